//! Wall time, and the one form in which ARI clients all read it.
//!
//! Go's client parses the zone as `-0700` and refuses `Z`; the others take either. So it is always
//! `YYYY-MM-DDThh:mm:ss.mmm+0000`.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::config::Day;
use crate::timers::Instant;

/// Milliseconds since 1970 in UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timestamp(pub u64);

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, millis) = (self.0 / 1000, self.0 % 1000);
        let (day, hour) = (Day::of(self.0), seconds / 3600 % 24);
        let (minute, second) = (seconds / 60 % 60, seconds % 60);
        write!(f, "{day}T{hour:02}:{minute:02}:{second:02}.{millis:03}+0000")
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The wall clock: what it showed last, and when that was on our own clock.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wall {
    unix_ms: u64,
    at: Instant,
}

impl Wall {
    /// The wall clock shows `unix_ms` at `now`.
    pub(super) const fn new(unix_ms: u64, now: Instant) -> Self {
        Self { unix_ms, at: now }
    }

    /// What it shows at `now`.
    pub(super) fn at(&self, now: Instant) -> Timestamp {
        let since = now.saturating_duration_since(self.at).as_millis();
        Timestamp(self.unix_ms.saturating_add(u64::try_from(since).unwrap_or(u64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timers::Duration;

    #[test]
    fn ari_r4_timestamps_have_milliseconds_and_a_numeric_zone() {
        assert_eq!(Timestamp(0).to_string(), "1970-01-01T00:00:00.000+0000");
        assert_eq!(Timestamp(951_827_696_789).to_string(), "2000-02-29T12:34:56.789+0000");
        assert_eq!(Timestamp(1_767_225_599_999).to_string(), "2025-12-31T23:59:59.999+0000");
        assert_eq!(Timestamp(4_107_542_400_000).to_string(), "2100-03-01T00:00:00.000+0000");
    }

    #[test]
    fn no_number_of_milliseconds_overflows() {
        assert!(Timestamp(u64::MAX).to_string().ends_with("+0000"));
    }

    #[test]
    fn the_wall_clock_runs_on_between_two_readings() {
        let start = Instant::ZERO + Duration::from_secs(5);
        let wall = Wall::new(1_000, start);
        assert_eq!(wall.at(start + Duration::from_millis(250)), Timestamp(1_250));
    }
}
