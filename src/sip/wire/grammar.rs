//! The basic rules of RFC 3261 section 25.1, over text whose folded lines are already joined.

use nom::branch::alt;
use nom::bytes::complete::{tag, take_while, take_while1};
use nom::character::complete::char;
use nom::combinator::{map, opt, rest};
use nom::error::ErrorKind;
use nom::sequence::{delimited, preceded};
use nom::{IResult, Parser};

use super::limits::{LIST_MAX, PARAMS_MAX};
use super::{Malformed, Param, ParamValue, Params};

pub(crate) type Parsed<'a, T> = IResult<&'a str, T>;

/// Fails at `input`.
pub(crate) fn fail<T>(input: &str) -> Parsed<'_, T> {
    Err(nom::Err::Error(nom::error::Error::new(input, ErrorKind::Verify)))
}

/// A character of a `token`.
pub(super) fn is_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-.!%*_+`'~".contains(c)
}

const fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t')
}

/// Optional white space.
pub(crate) fn sws(input: &str) -> Parsed<'_, &str> {
    take_while(is_blank).parse(input)
}

/// Mandatory white space.
pub(super) fn lws(input: &str) -> Parsed<'_, &str> {
    take_while1(is_blank).parse(input)
}

/// `token`
pub(crate) fn token(input: &str) -> Parsed<'_, &str> {
    take_while1(is_token).parse(input)
}

/// A separator with optional white space on both sides.
pub(super) fn separator<'a>(c: char) -> impl Parser<&'a str, Output = char, Error = NomError<'a>> {
    delimited(sws, char(c), sws)
}

pub(super) type NomError<'a> = nom::error::Error<&'a str>;

/// `quoted-string`, without its quotes and escapes. An escaped NUL is dropped: it may be echoed,
/// but nobody may read it. A bare one is refused.
pub(crate) fn quoted_string(input: &str) -> Parsed<'_, String> {
    let (mut rest, _) = char('"').parse(input)?;
    let mut text = String::new();
    loop {
        let plain = rest.find(['"', '\\', '\0']).unwrap_or(rest.len());
        text.push_str(&rest[..plain]);
        let mut tail = rest[plain..].chars();
        match (tail.next(), tail.as_str()) {
            (Some('"'), after) => return Ok((after, text)),
            (Some('\\'), after) => {
                let mut tail = after.chars();
                match tail.next() {
                    Some('\0') => {}
                    Some(escaped) => text.push(escaped),
                    None => return fail(input),
                }
                rest = tail.as_str();
            }
            (Some(_) | None, _) => return fail(input),
        }
    }
}

/// What may stand behind the `=` of a parameter without quotes. Wider than RFC 3261: bare IPv6
/// addresses in `received`, base64 in vendor parameters.
fn is_bare_value(c: char) -> bool {
    !c.is_control() && !matches!(c, ' ' | ';' | ',' | '"' | '<' | '>')
}

fn value(input: &str) -> Parsed<'_, ParamValue> {
    alt((
        map(quoted_string, ParamValue::Quoted),
        map(take_while(is_bare_value), |v: &str| ParamValue::Bare(v.to_owned())),
    ))
    .parse(input)
}

fn param(input: &str) -> Parsed<'_, Param> {
    map((token, opt(preceded(separator('='), value))), |(name, value)| Param {
        name: name.to_owned(),
        value,
    })
    .parse(input)
}

/// `*( SEMI generic-param )`, at most [`PARAMS_MAX`] of them.
pub(super) fn params(input: &str) -> Parsed<'_, Params> {
    let mut params = Params::default();
    let mut rest = input;
    for _ in 0..=PARAMS_MAX {
        let Ok((after, _)) = separator(';').parse(rest) else {
            return Ok((rest, params));
        };
        let (after, one) = param(after)?;
        params.push(one);
        rest = after;
    }
    fail(input)
}

/// A token and its parameters, the whole of `text`: Event, Reason, Subscription-State, ...
pub(super) fn token_and_params(text: &str) -> Option<(String, Params)> {
    let (rest, (_, value, params, _)) = (sws, token, params, sws).parse(text).ok()?;
    rest.is_empty().then(|| (value.to_owned(), params))
}

/// Decimal digits that fit in 32 bits, the whole of `text` but for white space around.
pub(super) fn number(text: &str) -> Option<u32> {
    let text = text.trim_matches(is_blank);
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

/// The value of Content-Length. Digits only: neither sign nor overflow.
pub(crate) fn content_length(text: &str) -> Option<usize> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

/// Splits a field at its commas, but not inside quotes or angle brackets. Empty elements
/// are dropped.
pub fn split_list(text: &str) -> Result<Vec<&str>, Malformed> {
    let mut parts = Vec::new();
    let (mut start, mut quoted, mut escaped, mut angle) = (0, false, false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' if !angle => quoted = !quoted,
            _ if quoted => {}
            b'<' => angle = true,
            b'>' => angle = false,
            b',' if !angle => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
        if parts.len() > LIST_MAX {
            return Err(Malformed("list: too long"));
        }
    }
    if quoted || angle {
        return Err(Malformed("list: open quote or bracket"));
    }
    parts.push(&text[start..]);
    Ok(parts.into_iter().map(|p| p.trim_matches(is_blank)).filter(|p| !p.is_empty()).collect())
}

/// `SIP/2.0`, in any case.
pub(super) fn sip_slash(input: &str) -> Parsed<'_, &str> {
    let (after, _) = nom::bytes::complete::tag_no_case("SIP/").parse(input)?;
    take_while1(|c: char| c.is_ascii_digit() || c == '.').parse(after)
}

/// A request line: method, Request-URI, version. Exactly one space between them.
pub(super) fn request_line(input: &str) -> Parsed<'_, (&str, &str, &str)> {
    let target = take_while1(|c: char| c != ' ' && !c.is_control());
    let (after, (method, _, uri, _, version)) =
        (token, tag(" "), target, tag(" "), sip_slash).parse(input)?;
    if after.is_empty() { Ok((after, (method, uri, version))) } else { fail(after) }
}

/// A status line: version, status, reason. The reason and its space may be missing.
pub(super) fn status_line(input: &str) -> Parsed<'_, (&str, u16, &str)> {
    let (after, (version, _, digits)) =
        (sip_slash, tag(" "), take_while1(|c: char| c.is_ascii_digit())).parse(input)?;
    let (after, reason) = opt(preceded(tag(" "), rest)).parse(after)?;
    match digits.parse::<u16>() {
        Ok(status) if digits.len() == 3 && after.is_empty() && (100..700).contains(&status) => {
            Ok((after, (version, status, reason.unwrap_or_default())))
        }
        _ => fail(input),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_brackets_and_escapes_hide_commas() {
        let list = r#""a, \"b" <sip:x,y@z>, <sip:b> ;q=1,, c"#;
        let parts = split_list(list).expect("well formed");
        assert_eq!(parts, [r#""a, \"b" <sip:x,y@z>"#, "<sip:b> ;q=1", "c"]);
        assert!(split_list("\"open").is_err());
    }

    #[test]
    fn start_lines_are_read_to_the_letter() {
        assert!(request_line("INVITE sip:a@b SIP/2.0").is_ok());
        assert!(request_line("INVITE  sip:a@b SIP/2.0").is_err());
        assert!(request_line("INVITE sip:a@b SIP/2.0 ").is_err());
        assert_eq!(status_line("SIP/2.0 200"), Ok(("", ("2.0", 200, ""))));
        assert_eq!(status_line("SIP/2.0 200 All ok"), Ok(("", ("2.0", 200, "All ok"))));
        assert!(status_line("SIP/2.0 4294967301 better not break").is_err());
    }
}
