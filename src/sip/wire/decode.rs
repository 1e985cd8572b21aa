//! Percent-encoding of URIs (RFC 3261 section 19.1.2).

use std::borrow::Cow;
use std::fmt::Write;

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|d| u8::try_from(d).ok())
}

/// The byte that `%XY` at the start of `text` stands for.
fn escape_at(text: &[u8]) -> Option<u8> {
    match text {
        [b'%', high, low, ..] => Some((hex(*high)? << 4) | hex(*low)?),
        _ => None,
    }
}

/// Whether each `%` begins a complete escape.
pub(super) fn escapes_are_complete(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.iter().enumerate().all(|(at, b)| *b != b'%' || escape_at(&bytes[at..]).is_some())
}

/// Undoes percent-encoding. Bytes that are not UTF-8 afterwards become U+FFFD; an incomplete
/// escape stays as it is.
pub fn percent_decode(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let mut rest = text.as_bytes();
    let mut bytes = Vec::with_capacity(rest.len());
    while let Some((first, tail)) = rest.split_first() {
        match escape_at(rest) {
            Some(byte) => {
                bytes.push(byte);
                rest = rest.get(3..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    Cow::Owned(String::from_utf8_lossy(&bytes).into_owned())
}

/// Escapes every byte for which `plain` says no.
pub(super) fn percent_encode(text: &str, plain: impl Fn(u8) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii() && plain(byte) {
            out.push(char::from(byte));
        } else {
            // Writing into a String cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// RFC 3261 `unreserved`.
pub(super) fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.!~*'()".contains(&byte)
}

/// The form under which two texts are equal exactly when RFC 3261 section 19.1.4 says so: escapes
/// of unreserved characters undone, all other escapes in upper case.
pub(super) fn comparable(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while let Some(c) = text.get(at..).and_then(|rest| rest.chars().next()) {
        match escape_at(&text.as_bytes()[at..]) {
            Some(byte) if is_unreserved(byte) => out.push(char::from(byte)),
            Some(byte) => {
                let _ = write!(out, "%{byte:02X}");
            }
            None => out.push(c),
        }
        at +=
            if c == '%' && escape_at(&text.as_bytes()[at..]).is_some() { 3 } else { c.len_utf8() };
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decoding_undoes_encoding() {
        let text = "Grüße, 100% <x>";
        assert_eq!(percent_decode(&percent_encode(text, is_unreserved)), text);
    }

    #[test]
    fn an_incomplete_escape_stays_as_it_is() {
        assert_eq!(percent_decode("a%4"), "a%4");
        assert_eq!(percent_decode("%zz%41"), "%zzA");
        assert!(!escapes_are_complete("a%4"));
    }

    #[test]
    fn reserved_characters_differ_from_their_escapes() {
        assert_eq!(comparable("%61lice"), "alice");
        assert_ne!(comparable("a%3bb"), comparable("a;b"));
        assert_eq!(comparable("a%3bb"), comparable("a%3Bb"));
    }
}
