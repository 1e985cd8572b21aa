//! Which numbers and PINs an agent may have.
//!
//! A PIN has 10 tries until somebody unlocks the agent, so it need not be long, but it must not be
//! among those that people try first: the rules are those of voice-mail systems.

use std::fmt;

use rand_core::RngCore;

use crate::ids::Rng;

/// Digits of an agent number.
const NUMBER_DIGITS: std::ops::RangeInclusive<usize> = 3..=10;
/// Digits of a PIN.
const PIN_DIGITS: std::ops::RangeInclusive<usize> = 6..=12;
/// Digits of a PIN that we make.
const PIN_GENERATED: usize = 8;
/// Every second PIN breaks a rule; so many in a row do it only by their extensions.
const DRAWS_MAX: usize = 1_000;
/// A PIN has at least so many different digits.
const DIFFERENT_MIN: usize = 3;
/// A digit may stand so often in a row.
const IN_A_ROW_MAX: usize = 2;
/// Shorter extensions are in too many PINs to say anything.
const EXTENSION_MIN: usize = 3;

/// Why a number cannot be an agent's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NumberFault {
    /// It has other characters than digits.
    NotDigits,
    /// It is too short or too long.
    Length,
}

impl fmt::Display for NumberFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotDigits => "an agent number has digits only: it is keyed on a telephone",
            Self::Length => "an agent number has 3 to 10 digits",
        })
    }
}

/// Why a PIN is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PinFault {
    /// It has other characters than digits.
    NotDigits,
    /// It is too short or too long.
    Length,
    /// It runs up or down.
    Run,
    /// A group of digits is all there is, again and again.
    Repeated,
    /// It has one or two different digits.
    FewDigits,
    /// A digit stands three times in a row.
    InARow,
    /// It holds the agent's number or extension, or one of them backwards.
    Own,
}

impl fmt::Display for PinFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotDigits => "a PIN has digits only: it is keyed on a telephone",
            Self::Length => "a PIN has 6 to 12 digits",
            Self::Run => "the PIN runs up or down, as 123456 does",
            Self::Repeated => "the PIN repeats a group, as 471471 does",
            Self::FewDigits => "the PIN has less than 3 different digits",
            Self::InARow => "the PIN has a digit more than twice in a row",
            Self::Own => "the PIN holds the agent's number or extension, or its reverse",
        })
    }
}

/// Whether a number can be an agent's.
///
/// # Errors
/// What is wrong with it.
pub fn check_number(number: &str) -> Result<(), NumberFault> {
    if !all_digits(number) {
        return Err(NumberFault::NotDigits);
    }
    if NUMBER_DIGITS.contains(&number.len()) { Ok(()) } else { Err(NumberFault::Length) }
}

/// Whether a PIN is good enough for an agent of this number, who calls from these extensions.
///
/// # Errors
/// The first rule that it breaks.
pub fn check_pin(pin: &str, number: &str, extensions: &[String]) -> Result<(), PinFault> {
    if !all_digits(pin) {
        return Err(PinFault::NotDigits);
    }
    if !PIN_DIGITS.contains(&pin.len()) {
        return Err(PinFault::Length);
    }
    let digits = pin.as_bytes();
    let own = extensions.iter().map(String::as_str).chain([number]);
    if runs(digits) {
        Err(PinFault::Run)
    } else if repeats(digits) {
        Err(PinFault::Repeated)
    } else if different(digits) < DIFFERENT_MIN {
        Err(PinFault::FewDigits)
    } else if digits.windows(IN_A_ROW_MAX + 1).any(|row| different(row) == 1) {
        Err(PinFault::InARow)
    } else if own.into_iter().any(|own| holds(pin, own)) {
        Err(PinFault::Own)
    } else {
        Ok(())
    }
}

/// A PIN that no rule refuses; `None`: the extensions are so many that none is left.
pub fn generate_pin(rng: &mut Rng, number: &str, extensions: &[String]) -> Option<String> {
    let mut draws = std::iter::repeat_with(|| random_digits(rng, PIN_GENERATED)).take(DRAWS_MAX);
    draws.find(|pin| check_pin(pin, number, extensions).is_ok())
}

/// So many random digits.
pub(super) fn random_digits(rng: &mut Rng, count: usize) -> String {
    let digit = |_| char::from(b'0' + u8::try_from(rng.next_u32() % 10).unwrap_or(0));
    (0..count).map(digit).collect()
}

fn all_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Each digit follows the one before, up or down; 0 follows 9.
fn runs(digits: &[u8]) -> bool {
    let steps =
        |by: u8| digits.windows(2).all(|pair| (pair[0] - b'0' + by) % 10 == (pair[1] - b'0') % 10);
    steps(1) || steps(9)
}

fn repeats(digits: &[u8]) -> bool {
    let again = |length: &usize| {
        let (first, rest) = digits.split_at(*length);
        digits.len().is_multiple_of(*length) && rest.chunks(*length).all(|group| group == first)
    };
    (1..digits.len()).any(|length| again(&length))
}

fn different(digits: &[u8]) -> usize {
    digits.iter().collect::<std::collections::BTreeSet<_>>().len()
}

fn holds(pin: &str, own: &str) -> bool {
    let reverse: String = own.chars().rev().collect();
    own.len() >= EXTENSION_MIN && (pin.contains(own) || pin.contains(&reverse))
}

#[cfg(test)]
mod tests {
    use rand_core::SeedableRng;

    use super::*;

    fn refused(pin: &str) -> PinFault {
        check_pin(pin, "4711", &["2038".to_owned()]).expect_err(pin)
    }

    #[test]
    fn pins_that_people_try_first_are_refused_with_the_reason() {
        assert_eq!(refused("12345"), PinFault::Length);
        assert_eq!(refused("1234567890123"), PinFault::Length);
        assert_eq!(refused("12a456"), PinFault::NotDigits);
        assert_eq!(refused(""), PinFault::NotDigits);
        for run in ["123456", "987654", "890123", "210987"] {
            assert_eq!(refused(run), PinFault::Run, "{run}");
        }
        for group in ["111111", "121212", "471471", "48154815"] {
            assert_eq!(refused(group), PinFault::Repeated, "{group}");
        }
        assert_eq!(refused("1122112"), PinFault::FewDigits);
        assert_eq!(refused("194445"), PinFault::InARow);
        for own in ["947118", "981174", "920381", "983025"] {
            assert_eq!(refused(own), PinFault::Own, "{own}");
        }
    }

    #[test]
    fn ordinary_pins_are_taken() {
        for pin in ["190472", "11223344", "735519", "203647110812"] {
            check_pin(pin, "4712", &["2039".to_owned(), "7".to_owned()]).expect(pin);
        }
    }

    #[test]
    fn a_generated_pin_breaks_no_rule_and_is_another_each_time() {
        let mut rng = Rng::seed_from_u64(1);
        let pins: std::collections::BTreeSet<_> =
            (0..1_000).map(|_| generate_pin(&mut rng, "4711", &[]).expect("one")).collect();
        assert!(pins.len() > 990, "{} different ones", pins.len());
        for pin in pins {
            check_pin(&pin, "4711", &[]).expect("good");
        }
    }

    #[test]
    fn where_no_pin_is_left_none_is_made() {
        let all: Vec<_> = (0..1_000).map(|n| format!("{n:03}")).collect();
        assert_eq!(generate_pin(&mut Rng::seed_from_u64(1), "4711", &all), None);
    }

    #[test]
    fn agent_numbers_are_three_to_ten_digits() {
        check_number("123").expect("good");
        check_number("1234567890").expect("good");
        assert_eq!(check_number("12"), Err(NumberFault::Length));
        assert_eq!(check_number("12345678901"), Err(NumberFault::Length));
        assert_eq!(check_number("12x"), Err(NumberFault::NotDigits));
    }
}
