//! The zone of the machine: `TZ`, else `/etc/localtime`.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::menu::Zone;

/// How the clocks of the site stand at this moment, in milliseconds since 1970, UTC.
pub fn at(unix_ms: u64) -> Zone {
    of(&TimeZone::system(), unix_ms)
}

fn of(zone: &TimeZone, unix_ms: u64) -> Zone {
    let ms = i64::try_from(unix_ms).unwrap_or(i64::MAX);
    // A change that takes place just now is no preceding one.
    let soon = Timestamp::from_millisecond(ms.saturating_add(1));
    let (Ok(now), Ok(soon)) = (Timestamp::from_millisecond(ms), soon) else {
        return Zone::default();
    };
    let offset_s = zone.to_offset(now).seconds();
    let Some(changed) = zone.preceding(soon).next() else {
        return Zone { offset_s, since_unix_s: 0, before_s: offset_s };
    };
    let since_unix_s = changed.timestamp().as_second();
    let before = Timestamp::from_second(since_unix_s.saturating_sub(1));
    let before_s = before.map_or(offset_s, |before| zone.to_offset(before).seconds());
    Zone { offset_s, since_unix_s: u64::try_from(since_unix_s).unwrap_or(0), before_s }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 29 March 2026, 01:00 UTC: clocks in Berlin go from 2 to 3.
    const SPRING: u64 = 1_774_746_000;

    #[test]
    fn the_zone_knows_its_last_change_of_clocks() {
        let berlin = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").expect("a zone");
        let before = of(&berlin, (SPRING - 1) * 1_000);
        assert_eq!((before.offset_s, before.before_s), (3_600, 7_200));
        let after = of(&berlin, SPRING * 1_000);
        let wanted = Zone { offset_s: 7_200, since_unix_s: SPRING, before_s: 3_600 };
        assert_eq!(after, wanted);
    }

    #[test]
    fn a_zone_that_never_changes_has_one_offset() {
        assert_eq!(of(&TimeZone::UTC, SPRING * 1_000), Zone::default());
        let india = TimeZone::posix("IST-5:30").expect("a zone");
        let zone = of(&india, SPRING * 1_000);
        assert_eq!((zone.offset_s, zone.before_s), (19_800, 19_800));
    }
}
