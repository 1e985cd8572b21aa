//! The only place where a SIP message becomes bytes.
//!
//! Long header names, Content-Length always and last, body verbatim. What would end a line early
//! is refused, not repaired: whoever let such a value in must hear of it.

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};
use memchr::memchr2;

use super::Headers;
use super::grammar::is_token;

/// Why a message cannot be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unprintable {
    /// CR, LF or NUL in the value of this field, or in the start line.
    Control(String),
    /// A name that is not a token.
    Name(String),
}

impl fmt::Display for Unprintable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Control(name) => write!(f, "line break or NUL in {name}"),
            Self::Name(name) => write!(f, "{name:?} is no header name"),
        }
    }
}

impl std::error::Error for Unprintable {}

/// A NUL may only be the second half of a quoted pair, which an echo can contain.
fn is_printable(bytes: &[u8]) -> bool {
    memchr2(b'\r', b'\n', bytes).is_none() && nul_only_escaped(bytes)
}

/// Whether a backslash stands before each NUL.
pub(super) fn nul_only_escaped(bytes: &[u8]) -> bool {
    memchr::memchr_iter(0, bytes)
        .all(|at| at.checked_sub(1).and_then(|before| bytes.get(before)) == Some(&b'\\'))
}

/// Writes a message; Content-Length among the headers is replaced by the length of the body.
pub fn write(start: &[u8], headers: &Headers, body: &[u8]) -> Result<Bytes, Unprintable> {
    if !is_printable(start) {
        return Err(Unprintable::Control("start line".to_owned()));
    }
    let size: usize = headers.iter().map(|h| h.name.len() + h.value.as_bytes().len() + 4).sum();
    let mut out = BytesMut::with_capacity(start.len() + size + body.len() + 32);
    out.put_slice(start);
    out.put_slice(b"\r\n");
    for header in headers.iter().filter(|h| h.name != "Content-Length") {
        if header.name.is_empty() || !header.name.chars().all(is_token) {
            return Err(Unprintable::Name(header.name.to_string()));
        }
        if !is_printable(header.value.as_bytes()) {
            return Err(Unprintable::Control(header.name.to_string()));
        }
        out.put_slice(header.name.as_bytes());
        out.put_slice(b": ");
        out.put_slice(header.value.as_bytes());
        out.put_slice(b"\r\n");
    }
    out.put_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
    out.put_slice(body);
    Ok(out.freeze())
}
