//! Where a call may be sent to (toll fraud): only what `[outbound] allow` names.

use super::fault::Fault;
use crate::config::Config;

/// Longest extension.
const EXTENSION_MAX: usize = 64;

/// Reads the target of a redirect, refer or originate, and checks it.
///
/// Accepts `SIP/2001`, `PJSIP/2001`, `2001`, and `sip:2001@DOMAIN` with the domain of the PBX. The
/// result is the bare extension, so a host that a request names never reaches a Request-URI.
///
/// # Errors
///
/// 422 for something that is no extension of the PBX, 403 for one that is not allowed.
pub(super) fn target(config: &Config, endpoint: &str) -> Result<String, Fault> {
    let extension = extension(&config.pbx.domain, endpoint).ok_or_else(|| {
        Fault::new(422, "Endpoint must be SIP/EXTENSION or a SIP URI in the domain of the PBX")
    })?;
    if config.outbound.allow.iter().any(|pattern| matches(pattern, extension)) {
        return Ok(extension.to_owned());
    }
    Err(Fault::new(403, format!("{extension} is not allowed by the patterns of [outbound] allow")))
}

fn extension<'e>(domain: &str, endpoint: &'e str) -> Option<&'e str> {
    let bare = if let Some(uri) = endpoint.strip_prefix("sip:") {
        let (user, host) = uri.split_once('@')?;
        (host.eq_ignore_ascii_case(domain)).then_some(user)?
    } else if let Some((technology, rest)) = endpoint.split_once('/') {
        let known = ["sip", "pjsip"].iter().any(|t| technology.eq_ignore_ascii_case(t));
        known.then_some(rest)?
    } else {
        endpoint
    };
    let plain = bare.chars().all(|c| c.is_ascii_alphanumeric() || "+*#_-.".contains(c));
    (plain && (1..=EXTENSION_MAX).contains(&bare.len())).then_some(bare)
}

/// Digits stand for themselves, `X` for one digit, a trailing `.` for one or more keys.
pub fn matches(pattern: &str, extension: &str) -> bool {
    let (pattern, open) = match pattern.strip_suffix('.') {
        Some(head) => (head, true),
        None => (pattern, false),
    };
    let mut rest = extension.chars();
    let head_fits = pattern.chars().all(|p| {
        let Some(c) = rest.next() else { return false };
        if p.eq_ignore_ascii_case(&'x') { c.is_ascii_digit() } else { c == p }
    });
    let tail = rest.as_str();
    let is_key = |c: char| c.is_ascii_digit() || matches!(c, '*' | '#');
    head_fits && if open { !tail.is_empty() && tail.chars().all(is_key) } else { tail.is_empty() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn patterns_match_digit_by_digit() {
        for (pattern, extension) in [("2001", "2001"), ("20XX", "2099"), ("0.", "049"), (".", "1")]
        {
            assert!(matches(pattern, extension), "{pattern} {extension}");
        }
        let misses =
            [("2001", "20011"), ("20XX", "209"), ("20XX", "20a9"), ("0.", "0"), ("0.", "0x")];
        for (pattern, extension) in misses {
            assert!(!matches(pattern, extension), "{pattern} {extension}");
        }
    }

    #[test]
    fn only_the_domain_of_the_pbx_may_be_named() {
        assert_eq!(extension("pbx.example", "sip:2001@PBX.example"), Some("2001"));
        for endpoint in ["sip:2001@evil.example", "sip:2001", "IAX2/2001", "sips:2001@pbx.example"]
        {
            assert_eq!(extension("pbx.example", endpoint), None, "{endpoint}");
        }
    }

    #[test]
    fn no_extension_carries_syntax_of_sip() {
        for endpoint in ["SIP/", "SIP/a b", "SIP/1\r\nX: y", "SIP/1;x=y", "SIP/1@h", "sip:1>@pbx"] {
            assert_eq!(extension("pbx", endpoint), None, "{endpoint:?}");
        }
        for endpoint in ["SIP/2001", "pjsip/2001", "2001"] {
            assert_eq!(extension("pbx", endpoint), Some("2001"));
        }
    }

    proptest! {
        #[test]
        fn no_pattern_panics(pattern in any::<String>(), extension in any::<String>()) {
            matches(&pattern, &extension);
        }
    }
}
