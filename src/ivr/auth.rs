//! Who asks: HTTP Basic (RFC 7617), or `api_key=user:password` in the query as most client
//! libraries send it.
//!
//! A request without credentials is answered 401 and never with a closed socket: the first probe
//! of npm's client has none, and only socket errors make it give up.

use std::hint::black_box;

use super::fault::Fault;
use crate::config::{Ari, AriUser};

/// Longest credentials that are looked at, in bytes.
const CREDENTIALS_MAX: usize = 512;

/// A user of the link, known by password.
#[derive(Clone, Copy, Debug)]
pub(super) struct User<'c> {
    pub name: &'c str,
    pub rights: &'c AriUser,
}

impl User<'_> {
    /// Whether the user may act for an application.
    pub(super) fn serves(&self, application: &str) -> bool {
        let allowed = &self.rights.applications;
        allowed.is_empty() || allowed.iter().any(|a| a == application)
    }
}

/// The user that the credentials name. The header outranks the query.
///
/// # Errors
///
/// 401 if there are none, or they are wrong.
pub(super) fn user<'c>(
    ari: &'c Ari,
    authorization: Option<&str>,
    api_key: Option<&str>,
) -> Result<User<'c>, Fault> {
    let credentials = match authorization {
        Some(header) => basic(header),
        None => api_key.filter(|k| k.len() <= CREDENTIALS_MAX).map(str::to_owned),
    };
    let credentials = credentials.ok_or_else(unauthorized)?;
    let (name, password) = credentials.split_once(':').ok_or_else(unauthorized)?;
    let known = ari.users.get_key_value(name);
    // An unknown user costs the same comparison as a known one.
    let expected = known.map_or("", |(_, user)| user.password.reveal().as_str());
    let same = equal(password.as_bytes(), expected.as_bytes());
    match known {
        Some((name, rights)) if same && !expected.is_empty() => Ok(User { name, rights }),
        Some(_) | None => Err(unauthorized()),
    }
}

fn unauthorized() -> Fault {
    Fault::new(401, "Authentication required").with("WWW-Authenticate", "Basic realm=\"ari\"")
}

fn basic(header: &str) -> Option<String> {
    let (scheme, token) = header.trim().split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") || token.len() > CREDENTIALS_MAX {
        return None;
    }
    String::from_utf8(base64(token.trim())?).ok()
}

/// Decodes base64 (RFC 4648 section 4), padded or not.
fn base64(text: &str) -> Option<Vec<u8>> {
    let text = text.trim_end_matches('=').as_bytes();
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3 + 2);
    for group in text.chunks(4) {
        if group.len() == 1 {
            return None;
        }
        let mut bits = 0_u32;
        for at in 0..4 {
            bits = bits << 6 | u32::from(group.get(at).map_or(Some(0), |&c| sextet(c))?);
        }
        bytes.extend_from_slice(&bits.to_be_bytes()[1..group.len()]);
    }
    Some(bytes)
}

const fn sextet(c: u8) -> Option<u8> {
    Some(match c {
        b'A'..=b'Z' => c - b'A',
        b'a'..=b'z' => c - b'a' + 26,
        b'0'..=b'9' => c - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    })
}

/// Compares in a time that tells nothing of where two passwords differ.
fn equal(given: &[u8], expected: &[u8]) -> bool {
    let mut difference = u8::from(given.len() != expected.len());
    for (at, byte) in given.iter().enumerate() {
        difference |= black_box(byte ^ expected.get(at).copied().unwrap_or(0));
    }
    black_box(difference) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_knows_the_vectors_of_rfc_4648() {
        for (text, plain) in [("", ""), ("Zg==", "f"), ("Zm8=", "fo"), ("Zm9v", "foo")] {
            assert_eq!(base64(text), Some(plain.as_bytes().to_vec()));
        }
        assert_eq!(base64("Zm9vYmE"), Some(b"fooba".to_vec()));
        assert_eq!(base64("Z"), None);
        assert_eq!(base64("Zm9%"), None);
    }

    #[test]
    fn passwords_are_equal_only_as_a_whole() {
        assert!(equal(b"secret", b"secret"));
        for wrong in ["", "s", "secre", "secrets", "Secret"] {
            assert!(!equal(wrong.as_bytes(), b"secret"), "{wrong}");
        }
    }

    #[test]
    fn a_header_of_another_scheme_is_no_credential() {
        assert_eq!(basic("Basic dTpw"), Some("u:p".into()));
        assert_eq!(basic("basic  dTpw"), Some("u:p".into()));
        assert_eq!(basic("Bearer dTpw"), None);
        assert_eq!(basic("Basic"), None);
        assert_eq!(basic(&format!("Basic {}", "A".repeat(4096))), None);
    }
}
