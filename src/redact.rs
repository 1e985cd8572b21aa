//! Values that must not reach a log: caller numbers, digits, PINs, passwords.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Wraps a value so that `Debug` and `Display` print `***`. Whoever needs the value says so with
/// [`Redacted::reveal`], which makes every such place easy to find.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Redacted<T>(T);

impl<T> Redacted<T> {
    /// Hides `value` from logs.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// The value itself, for the wire and for state; never for a log.
    pub const fn reveal(&self) -> &T {
        &self.0
    }
}

impl<T> From<T> for Redacted<T> {
    fn from(value: T) -> Self {
        Self(value)
    }
}

impl<T> fmt::Debug for Redacted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl<T> fmt::Display for Redacted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_debug_nor_display_shows_the_value() {
        let pin = Redacted::new("4711");
        assert_eq!(format!("{pin} {pin:?}"), "*** ***");
        assert_eq!(*pin.reveal(), "4711");
    }
}
