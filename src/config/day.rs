//! A day of the calendar, for what is good until then.
//!
//! Counts in years that begin on 1 March, so that the leap day is the last of its year, and in eras
//! of 400 years, which all have 146,097 days.

use std::fmt;

/// Milliseconds of a day, as wall clocks count.
const DAY_MS: u64 = 86_400_000;
/// Days of 400 years.
const ERA: u64 = 146_097;
/// Days from 1 March of the year 0 to the first of 1970.
const TO_1970: u64 = 719_468;

/// A day, UTC: how many came before it since the first of 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Day(u32);

impl Day {
    /// The day of a moment, in milliseconds since 1970.
    pub fn of(unix_ms: u64) -> Self {
        Self(u32::try_from(unix_ms / DAY_MS).unwrap_or(u32::MAX))
    }

    /// `2027-03-01`; `None`: there is no such day, or it is before 1970 or after 9999.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, '-').map(str::parse::<u64>);
        let mut next = || parts.next()?.ok().filter(|part| *part <= 9_999);
        let (year, month, day) = (next()?, next()?, next()?);
        let (year, month) =
            if month > 2 { (year, month - 3) } else { (year.checked_sub(1)?, month + 9) };
        let day_of_year = (153 * month + 2) / 5 + day.checked_sub(1)?;
        let day_of_era = year % 400 * 365 + year % 400 / 4 - year % 400 / 100 + day_of_year;
        let days = (year / 400 * ERA + day_of_era).checked_sub(TO_1970)?;
        // A day that there is not has the number of another one.
        Some(Self(u32::try_from(days).ok()?)).filter(|day| day.to_string() == text)
    }

    /// Days from that one to this one; none if this one came first.
    pub const fn days_after(self, day: Self) -> u32 {
        self.0.saturating_sub(day.0)
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let days = u64::from(self.0) + TO_1970;
        let (era, day_of_era) = (days / ERA, days % ERA);
        let leap_days = day_of_era / 1_460 + day_of_era / 146_096 - day_of_era / 36_524;
        let year_of_era = (day_of_era - leap_days) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month = (5 * day_of_year + 2) / 153; // 0 is March.
        let day = day_of_year - (153 * month + 2) / 5 + 1;
        let (month, carry) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
        write!(f, "{:04}-{month:02}-{day:02}", era * 400 + year_of_era + carry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_is_read_as_it_is_written() {
        for number in 0..60_000 {
            assert_eq!(Day::parse(&Day(number).to_string()), Some(Day(number)));
        }
        assert_eq!(Day::of(1_803_859_200_000).to_string(), "2027-03-01");
        assert_eq!(Day::of(1_803_859_199_999).to_string(), "2027-02-28");
    }

    #[test]
    fn what_is_no_day_is_none() {
        for text in [
            "2027-02-29",
            "2027-13-01",
            "2027-1-01",
            "1969-12-31",
            "2027-03",
            "soon",
            "",
            "+027-03-01",
        ] {
            assert_eq!(Day::parse(text), None, "{text}");
        }
        assert!(Day::parse("2028-02-29").is_some());
    }
}
