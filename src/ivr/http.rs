//! The target of a request: path and query, percent-decoded, with a bound on everything.

use super::fault::Fault;

/// Longest path and query, in bytes.
pub(super) const TARGET_MAX: usize = 8 * 1024;

/// Parameters in a query or a form at most.
const PAIRS_MAX: usize = 256;

/// The path below `/ari`, segment by segment, and the query.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// Decoded. A trailing slash leaves an empty last segment, which no route has.
    pub segments: Vec<String>,
    pub query: Vec<(String, String)>,
}

impl Target {
    /// Reads `/ari/channels/x?app=y`.
    pub(super) fn parse(target: &str) -> Result<Self, Fault> {
        if target.len() > TARGET_MAX {
            return Err(Fault::new(414, "Path and query are longer than 8 KiB"));
        }
        let target = target.split('#').next().unwrap_or("");
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let below = path.strip_prefix("/ari/").ok_or_else(not_found)?;
        let segments = below.split('/').map(|s| decode(s, false)).collect::<Result<_, _>>()?;
        Ok(Self { segments, query: pairs(query)? })
    }

    /// The `uri` of a REST request on a WebSocket: relative to `/ari/`, which some clients write
    /// nevertheless.
    pub(super) fn parse_relative(uri: &str) -> Result<Self, Fault> {
        let relative = uri.trim_start_matches('/');
        let relative = relative.strip_prefix("ari/").unwrap_or(relative);
        Self::parse(&format!("/ari/{relative}"))
    }

    pub(super) fn first(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }
}

pub(super) fn not_found() -> Fault {
    Fault::missing("Resource not found")
}

/// Reads `a=1&b=2`, of a query or of a form.
pub(super) fn pairs(text: &str) -> Result<Vec<(String, String)>, Fault> {
    let mut found = Vec::new();
    for pair in text.split('&').filter(|p| !p.is_empty()) {
        if found.len() == PAIRS_MAX {
            return Err(Fault::bad("More than 256 parameters"));
        }
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        found.push((decode(name, true)?, decode(value, true)?));
    }
    Ok(found)
}

/// Percent-decoding (RFC 3986 section 2.1); in queries and forms `+` is a space.
fn decode(text: &str, plus_is_space: bool) -> Result<String, Fault> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => hex(rest.next())? << 4 | hex(rest.next())?,
            b'+' if plus_is_space => b' ',
            other => other,
        });
    }
    String::from_utf8(bytes).map_err(|_| Fault::bad("Percent-encoding is not UTF-8"))
}

fn hex(digit: Option<u8>) -> Result<u8, Fault> {
    let value = digit.and_then(|d| char::from(d).to_digit(16));
    let value = value.and_then(|v| u8::try_from(v).ok());
    value.ok_or_else(|| Fault::bad("Percent sign without two hexadecimal digits"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn path_and_query_are_decoded_after_they_are_split() {
        let target = Target::parse("/ari/channels/a%2Fb/play?media=sound%3Ax%2By+z&lang&a=1=2#f");
        let target = target.expect("valid");
        assert_eq!(target.segments, ["channels", "a/b", "play"]);
        assert_eq!(
            target.query,
            [pair("media", "sound:x+y z"), pair("lang", ""), pair("a", "1=2")]
        );
        assert_eq!(target.first("a"), Some("1=2"));
    }

    #[test]
    fn a_plus_in_the_path_is_a_plus() {
        assert_eq!(Target::parse("/ari/a+b").expect("valid").segments, ["a+b"]);
    }

    #[test]
    fn broken_encodings_are_400() {
        for uri in ["/ari/%", "/ari/%4", "/ari/%zz", "/ari/x?a=%ff", "/ari/x?%=1"] {
            assert_eq!(Target::parse(uri).expect_err("refused").status, 400, "{uri}");
        }
    }

    #[test]
    fn other_paths_are_404_and_giants_414() {
        for uri in ["", "/", "/ari", "/arix/y", "*", "http://host/ari/x"] {
            assert_eq!(Target::parse(uri).expect_err("refused").status, 404, "{uri}");
        }
        let giant = format!("/ari/{}", "a".repeat(TARGET_MAX));
        assert_eq!(Target::parse(&giant).expect_err("refused").status, 414);
        let many = format!("/ari/x?{}", "a&".repeat(PAIRS_MAX + 1));
        assert_eq!(Target::parse(&many).expect_err("refused").status, 400);
    }

    #[test]
    fn a_relative_uri_may_be_written_in_full() {
        for uri in ["channels/1?a=b", "/channels/1?a=b", "/ari/channels/1?a=b"] {
            let target = Target::parse_relative(uri).expect("valid");
            assert_eq!(target.segments, ["channels", "1"], "{uri}");
        }
    }

    fn encode(text: &str) -> String {
        text.bytes().map(|b| format!("%{b:02X}")).collect()
    }

    proptest! {
        #[test]
        fn whatever_is_encoded_is_decoded_again(
            segments in prop::collection::vec(any::<String>(), 1..5),
            query in prop::collection::vec((any::<String>(), any::<String>()), 0..5),
        ) {
            let path: Vec<_> = segments.iter().map(|s| encode(s)).collect();
            let pairs: Vec<_> =
                query.iter().map(|(n, v)| format!("{}={}", encode(n), encode(v))).collect();
            let uri = format!("/ari/{}?{}", path.join("/"), pairs.join("&"));
            prop_assume!(uri.len() <= TARGET_MAX);
            let target = Target::parse(&uri).expect("valid");
            prop_assert_eq!(target, Target { segments, query });
        }

        #[test]
        fn no_target_panics(uri in any::<String>(), tail in "[%&=+?#/0-9a-f]{0,64}") {
            drop(Target::parse(&uri));
            drop(Target::parse(&format!("/ari/{tail}")));
            drop(Target::parse_relative(&tail));
        }
    }
}
