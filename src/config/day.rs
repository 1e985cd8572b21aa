//! A day of the calendar, for what is good until then.

use std::fmt;

/// Milliseconds of a day, as wall clocks count.
const DAY_MS: u64 = 86_400_000;

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
        let mut parts = text.splitn(3, '-');
        let mut next = |digits: usize| {
            let part = parts.next().filter(|part| part.len() == digits)?;
            part.bytes().all(|octet| octet.is_ascii_digit()).then(|| part.parse::<u32>().ok())?
        };
        let (year, month, day) = (next(4)?, next(2)?, next(2)?);
        let known = year >= 1_970 && (1..=12).contains(&month) && day >= 1;
        (known && day <= length(year, month)).then(|| {
            let years: u32 = (1_970..year).map(days_of).sum();
            let months: u32 = (1..month).map(|month| length(year, month)).sum();
            Self(years + months + day - 1)
        })
    }

    /// Days from that one to this one; none if this one came first.
    pub const fn days_after(self, day: Self) -> u32 {
        self.0.saturating_sub(day.0)
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut year, mut month, mut rest) = (1_970, 1, self.0);
        while rest >= days_of(year) && year < 9_999 {
            rest -= days_of(year);
            year += 1;
        }
        while rest >= length(year, month) && month < 12 {
            rest -= length(year, month);
            month += 1;
        }
        write!(f, "{year:04}-{month:02}-{:02}", rest + 1)
    }
}

const fn is_leap(year: u32) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

const fn days_of(year: u32) -> u32 {
    if is_leap(year) { 366 } else { 365 }
}

const fn length(year: u32, month: u32) -> u32 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
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
        for text in ["2027-02-29", "2027-13-01", "2027-1-01", "1969-12-31", "2027-03", "soon", ""] {
            assert_eq!(Day::parse(text), None, "{text}");
        }
        assert!(Day::parse("2028-02-29").is_some());
    }
}
