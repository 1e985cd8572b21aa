//! One key of a telephone: `0`-`9`, `*`, `#`, `A`-`D`.

use std::fmt;

/// A key press. Its number is the event code of RFC 4733 section 3.2, table 3.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digit(u8);

const KEYS: &[u8; 16] = b"0123456789*#ABCD";

impl Digit {
    /// The key of an event code, 0 to 15.
    pub const fn from_event(event: u8) -> Option<Self> {
        if event < 16 { Some(Self(event)) } else { None }
    }

    /// The key written as a character; letters in either case.
    pub fn from_char(key: char) -> Option<Self> {
        let key = key.to_ascii_uppercase();
        let at = KEYS.iter().position(|&k| char::from(k) == key)?;
        u8::try_from(at).ok().map(Self)
    }

    /// The event code, 0 to 15.
    pub const fn event(self) -> u8 {
        self.0
    }

    /// The key as a character.
    pub fn as_char(self) -> char {
        char::from(KEYS[usize::from(self.0)])
    }
}

/// Hidden: a digit may be part of a PIN.
impl fmt::Debug for Digit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digit(*)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_survives_both_spellings() {
        for event in 0..16 {
            let digit = Digit::from_event(event).expect("in range");
            assert_eq!(Digit::from_char(digit.as_char()), Some(digit));
        }
        assert_eq!(Digit::from_event(16), None);
        assert_eq!(Digit::from_char('x'), None);
    }
}
