//! What is said, as a row of prompts: numbers, times, digits, spelled names.
//!
//! The order of the words is English: another language brings sounds of the same names, and where
//! its numbers are put together in another way, a voice of its own beside this one.

use std::fmt;

use super::words::{self, Prompt};
use crate::timers::Duration;

/// Numbers beyond are spoken digit by digit.
pub(super) const NUMBER_MAX: u64 = 999_999;

/// A spelled name ends here: nobody listens to more, and no queue fills.
const SPELLED_MAX: usize = 24;

/// Prompts in a row. What it says may be a secret for ten seconds, so `Debug` shows its length.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Speech(Vec<Prompt>);

impl fmt::Debug for Speech {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} prompts", self.0.len())
    }
}

/// A time of day on the clock of the site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
}

/// How far the clocks of the site are ahead of UTC, and before they were last changed. UTC where
/// nothing is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Zone {
    /// Seconds ahead of UTC.
    pub offset_s: i32,
    /// When the clocks were last changed, in seconds since 1970, UTC.
    pub since_unix_s: u64,
    /// Seconds ahead of UTC until then.
    pub before_s: i32,
}

impl Zone {
    /// What a clock on the wall showed at a moment since 1970, UTC.
    pub fn clock(self, unix_ms: u64) -> Clock {
        let unix_s = unix_ms / 1_000;
        let offset_s = if unix_s >= self.since_unix_s { self.offset_s } else { self.before_s };
        let minutes = unix_s.saturating_add_signed(offset_s.into()) / 60;
        Clock {
            hour: u8::try_from(minutes / 60 % 24).unwrap_or_default(),
            minute: u8::try_from(minutes % 60).unwrap_or_default(),
        }
    }
}

/// A moment in the past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Since {
    /// What a clock on the wall showed.
    pub clock: Clock,
    /// How long ago it is.
    pub ago: Duration,
}

impl Speech {
    /// The prompts, in order.
    pub fn prompts(&self) -> &[Prompt] {
        &self.0
    }

    /// `prompt`, and nothing else yet.
    pub(super) fn of(prompt: Prompt) -> Self {
        Self(vec![prompt])
    }

    /// And then `prompt`.
    #[must_use]
    pub(super) fn say(mut self, prompt: Prompt) -> Self {
        self.0.push(prompt);
        self
    }

    /// And then what `other` says.
    #[must_use]
    pub(super) fn then(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    /// A number in words: 1,042 is "one thousand forty two".
    #[must_use]
    pub(super) fn number(mut self, number: u64) -> Self {
        if number > NUMBER_MAX {
            return self.digits(&number.to_string());
        }
        let (thousands, rest) = (number / 1_000, number % 1_000);
        if thousands > 0 {
            self = self.below_1000(thousands).say(words::THOUSAND);
        }
        if rest > 0 || thousands == 0 { self.below_1000(rest) } else { self }
    }

    fn below_1000(mut self, number: u64) -> Self {
        let (hundreds, rest) = (number / 100, number % 100);
        if hundreds > 0 {
            self = self.below_100(hundreds).say(words::HUNDRED);
        }
        if rest > 0 || hundreds == 0 { self.below_100(rest) } else { self }
    }

    fn below_100(self, number: u64) -> Self {
        let number = u8::try_from(number).unwrap_or(u8::MAX);
        match (number / 10, number % 10) {
            (0 | 1, _) | (2, 0) => self.say(words::small(number)),
            (tens, 0) => self.say(words::tens(tens)),
            (tens, ones) => self.say(words::tens(tens)).say(words::small(ones)),
        }
    }

    /// "Forty eight of ninety six".
    #[must_use]
    pub(super) fn of_all(self, number: u32, all: u32) -> Self {
        self.number(number.into()).say(words::OF).number(all.into())
    }

    /// Digits one by one; anything else is left out.
    #[must_use]
    pub(super) fn digits(mut self, text: &str) -> Self {
        let digits = text.chars().filter_map(|c| c.to_digit(10)).take(SPELLED_MAX);
        self.0.extend(digits.filter_map(|digit| u8::try_from(digit).ok()).map(words::small));
        self
    }

    /// A name letter by letter; a character without a sound is left out.
    #[must_use]
    pub(super) fn spelled(mut self, name: &str) -> Self {
        let prompt = |c: char| match c {
            '0'..='9' => c.to_digit(10).and_then(|d| u8::try_from(d).ok()).map(words::small),
            '-' | '_' => Some(words::DASH),
            '.' => Some(words::DOT),
            '/' => Some(words::SLASH),
            ' ' => Some(words::SPACE),
            c => words::letter(c),
        };
        self.0.extend(name.chars().filter_map(prompt).take(SPELLED_MAX));
        self
    }

    /// "Fourteen oh two", "nine hundred", "zero thirty".
    #[must_use]
    pub(super) fn clock(self, clock: Clock) -> Self {
        let (hour, minute) = (clock.hour.min(23), clock.minute.min(59));
        let speech = self.number(hour.into());
        match minute {
            0 => speech.say(words::HUNDRED),
            1..=9 => speech.say(words::OH).number(minute.into()),
            _ => speech.number(minute.into()),
        }
    }

    /// How long, in its two largest units: "two hours five minutes".
    #[must_use]
    pub(super) fn lasting(self, duration: Duration) -> Self {
        let seconds = duration.as_secs();
        let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
        let (seconds, minutes_left, hours_left) = (seconds % 60, minutes % 60, hours % 24);
        match (days, hours, minutes) {
            (1.., ..) => self.unit(days, DAYS).unless_zero(hours_left, HOURS),
            (0, 1.., _) => self.unit(hours, HOURS).unless_zero(minutes_left, MINUTES),
            (0, 0, 10..) => self.unit(minutes, MINUTES),
            (0, 0, 1..) => self.unit(minutes, MINUTES).unless_zero(seconds, SECONDS),
            (0, 0, 0) => self.unit(seconds, SECONDS),
        }
    }

    fn unless_zero(self, number: u64, unit: Unit) -> Self {
        if number == 0 { self } else { self.unit(number, unit) }
    }

    fn unit(self, number: u64, (one, many): Unit) -> Self {
        self.number(number).say(if number == 1 { one } else { many })
    }

    /// "Fourteen oh two. That is five minutes ago." Beyond a day the clock says nothing.
    #[must_use]
    pub(super) fn since(self, since: Since) -> Self {
        let speech = if since.ago < Duration::from_secs(86_400) {
            self.clock(since.clock).say(words::THAT_IS)
        } else {
            self
        };
        speech.lasting(since.ago).say(words::AGO)
    }
}

/// One of it, and several.
type Unit = (Prompt, Prompt);

const SECONDS: Unit = (words::SECOND, words::SECONDS);
const MINUTES: Unit = (words::MINUTE, words::MINUTES);
const HOURS: Unit = (words::HOUR, words::HOURS);
const DAYS: Unit = (words::DAY, words::DAYS);

#[cfg(test)]
mod tests {
    use super::*;

    fn text(speech: &Speech) -> String {
        let last = |prompt: &Prompt| prompt.rsplit('/').next().unwrap_or("").to_owned();
        speech.0.iter().map(last).collect::<Vec<_>>().join(" ")
    }

    /// What a listener makes of a spoken number.
    fn understood(speech: &Speech) -> u64 {
        let (mut thousands, mut rest) = (0, 0);
        for prompt in &speech.0 {
            match *prompt {
                words::THOUSAND => (thousands, rest) = (rest * 1_000, 0),
                words::HUNDRED => rest *= 100,
                digits => {
                    let value: u64 = digits["digits/".len()..].parse().expect("a number");
                    assert!(value > 0 || speech.0.len() == 1, "zero is said alone");
                    rest += value;
                }
            }
        }
        thousands + rest
    }

    #[test]
    fn a_time_of_day_is_that_of_the_site_as_its_clocks_stood_then() {
        let changed = 1_774_746_000;
        let berlin = Zone { offset_s: 7_200, since_unix_s: changed, before_s: 3_600 };
        let at = |unix_s: u64| berlin.clock(unix_s * 1_000);
        assert_eq!(at(changed), Clock { hour: 3, minute: 0 });
        assert_eq!(at(changed - 60), Clock { hour: 1, minute: 59 });
        let new_york = Zone { offset_s: -14_400, since_unix_s: 0, before_s: -18_000 };
        assert_eq!(new_york.clock(changed * 1_000), Clock { hour: 21, minute: 0 });
        assert_eq!(Zone::default().clock(changed * 1_000), Clock { hour: 1, minute: 0 });
        assert_eq!(new_york.clock(0), Clock { hour: 0, minute: 0 }, "before 1970 nothing was");
    }

    #[test]
    fn every_number_up_to_999_999_is_understood_as_it_was_meant() {
        for number in 0..=NUMBER_MAX {
            let speech = Speech::default().number(number);
            assert_eq!(understood(&speech), number);
            assert!(speech.0.len() <= 9, "{number}");
        }
    }

    #[test]
    fn numbers_sound_like_english() {
        let said = |number| text(&Speech::default().number(number));
        assert_eq!(said(0), "0");
        assert_eq!(said(96), "90 6");
        assert_eq!(said(110), "1 hundred 10");
        assert_eq!(said(21_042), "20 1 thousand 40 2");
        assert_eq!(said(1_000_000), "1 0 0 0 0 0 0");
        assert_eq!(text(&Speech::default().of_all(48, 96)), "40 8 of 90 6");
    }

    #[test]
    fn times_of_day_are_read_as_on_a_24_hour_clock() {
        let said = |hour, minute| text(&Speech::default().clock(Clock { hour, minute }));
        assert_eq!(said(14, 2), "14 oh 2");
        assert_eq!(said(14, 0), "14 hundred");
        assert_eq!(said(0, 30), "0 30");
        assert_eq!(said(23, 59), "20 3 50 9");
        assert_eq!(said(99, 99), "20 3 50 9", "a clock that is wrong is no reason to fail");
    }

    #[test]
    fn every_time_of_day_sounds_different() {
        let clocks = (0..24).flat_map(|hour| (0..60).map(move |minute| Clock { hour, minute }));
        let said: std::collections::BTreeSet<_> =
            clocks.map(|clock| text(&Speech::default().clock(clock))).collect();
        assert_eq!(said.len(), 24 * 60);
    }

    #[test]
    fn durations_are_said_in_their_two_largest_units() {
        let said = |seconds| text(&Speech::default().lasting(Duration::from_secs(seconds)));
        assert_eq!(said(0), "0 seconds");
        assert_eq!(said(1), "1 second");
        assert_eq!(said(61), "1 minute 1 second");
        assert_eq!(said(600 + 59), "10 minutes");
        assert_eq!(said(3_600), "1 hour");
        assert_eq!(said(2 * 3_600 + 300), "2 hours 5 minutes");
        assert_eq!(said(10 * 86_400 + 3_600), "10 days 1 hour");
    }

    #[test]
    fn a_moment_of_yesterday_is_told_without_the_clock() {
        let clock = Clock { hour: 14, minute: 2 };
        let said = |ago| text(&Speech::default().since(Since { clock, ago }));
        assert_eq!(said(Duration::from_secs(300)), "14 oh 2 that-is 5 minutes ago");
        assert_eq!(said(Duration::from_secs(90_000)), "1 day 1 hour ago");
    }

    #[test]
    fn names_are_spelled_and_digits_spoken_singly() {
        assert_eq!(text(&Speech::default().spelled("East-1.b")), "e a s t dash 1 dot b");
        assert_eq!(text(&Speech::default().spelled("ü{")), "", "no sound, no word");
        assert_eq!(text(&Speech::default().digits("407")), "4 0 7");
        assert_eq!(Speech::default().spelled(&"x".repeat(500)).0.len(), SPELLED_MAX);
    }

    #[test]
    fn what_is_said_is_not_in_a_log() {
        let speech = Speech::default().digits("407");
        assert_eq!(format!("{speech:?}"), "3 prompts");
    }
}
