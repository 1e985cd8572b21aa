//! A header value: bytes as they came, and the text that they stand for.
//!
//! SIP is UTF-8, but PBXs put ISO 8859-1 names between the quotes. Such a value reads as ISO 8859-1
//! and is echoed byte for byte.

use std::fmt;

use bytes::Bytes;

/// The value of a header field, unfolded and trimmed.
#[derive(Clone)]
pub struct Text {
    bytes: Bytes,
    /// The ISO 8859-1 reading of `bytes`, present exactly when they are not UTF-8.
    latin1: Option<Box<str>>,
}

impl Text {
    /// Takes bytes from the wire.
    pub fn from_wire(bytes: Bytes) -> Self {
        let latin1 = match std::str::from_utf8(&bytes) {
            Ok(_) => None,
            Err(_) => Some(bytes.iter().map(|b| char::from(*b)).collect::<String>().into()),
        };
        Self { bytes, latin1 }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        match &self.latin1 {
            Some(text) => text,
            // Never fails: `from_wire` has looked.
            None => std::str::from_utf8(&self.bytes).unwrap_or_default(),
        }
    }

    /// The bytes, for an echo.
    pub const fn as_bytes(&self) -> &Bytes {
        &self.bytes
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self { bytes: text.into(), latin1: None }
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for Text {}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
