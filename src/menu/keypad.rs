//! A number as it is keyed: `#` ends it, `*` starts over.

use std::fmt;

/// Keys of a number that are kept. More are counted as one more, so that it fits nothing.
const KEYS_MAX: usize = 16;

/// What was keyed so far. `Debug` does not show it.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Keypad(String);

impl fmt::Debug for Keypad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// What a key does to a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// More keys may come.
    More,
    /// The number is whole, or empty.
    Whole,
    /// It begins again.
    Over,
}

impl Keypad {
    pub(super) fn key(&mut self, key: char) -> Step {
        match key {
            '#' => Step::Whole,
            '*' => {
                self.0.clear();
                Step::Over
            }
            key => {
                if key.is_ascii_digit() && self.0.len() <= KEYS_MAX {
                    self.0.push(key);
                }
                Step::More
            }
        }
    }

    /// The number; nothing is left.
    pub(super) fn take(&mut self) -> String {
        std::mem::take(&mut self.0)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keyed(keys: &str) -> (Keypad, Step) {
        let mut keypad = Keypad::default();
        let steps: Vec<_> = keys.chars().map(|key| keypad.key(key)).collect();
        (keypad, *steps.last().expect("a key"))
    }

    #[test]
    fn a_hash_ends_a_number_and_a_star_starts_over() {
        let (mut number, step) = keyed("4711#");
        assert_eq!((number.take().as_str(), step), ("4711", Step::Whole));
        let (mut number, step) = keyed("99*12");
        assert_eq!((number.take().as_str(), step), ("12", Step::More));
        assert_eq!(keyed("9*"), (Keypad::default(), Step::Over));
    }

    #[test]
    fn letters_are_no_part_of_a_number() {
        let (mut number, _) = keyed("4A7D");
        assert_eq!(number.take(), "47");
    }

    #[test]
    fn endless_keys_keep_a_bounded_number_that_is_too_long_for_anything() {
        let (number, _) = keyed(&"1".repeat(500));
        assert_eq!(number.len(), KEYS_MAX + 1);
    }

    #[test]
    fn a_log_shows_no_key() {
        let (number, _) = keyed("4711");
        assert_eq!(format!("{number:?}"), "***");
    }
}
