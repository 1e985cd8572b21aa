//! The grammar of URIs (RFC 3261 section 25.1, RFC 3966).

use std::net::{IpAddr, Ipv6Addr};

use nom::Parser;
use nom::bytes::complete::{take_while, take_while1};
use nom::character::complete::char;
use nom::combinator::{map_opt, opt, verify};
use nom::sequence::{delimited, preceded};

use super::super::decode::escapes_are_complete;
use super::super::limits::PARAMS_MAX;
use super::super::{Param, ParamValue, Params, Parsed, fail};
use super::{Host, Scheme, Uri};

/// Wider than RFC 3261, as PBXs are: `#` in dialled numbers, UTF-8 in names.
fn is_visible(c: char) -> bool {
    !c.is_control() && !c.is_whitespace() && !matches!(c, '<' | '>' | '"')
}

pub(super) fn uri(input: &str) -> Parsed<'_, Uri> {
    let name = verify(
        take_while1(|c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.')),
        |name: &str| name.starts_with(|c: char| c.is_ascii_alphabetic()),
    );
    let (rest, (name, _)) = (name, char(':')).parse(input)?;
    match Scheme::from_name(name) {
        scheme @ (Scheme::Sip | Scheme::Sips) => sip_uri(scheme, rest),
        Scheme::Tel => tel_uri(rest),
        scheme @ Scheme::Other(_) => {
            let (rest, opaque) = take_while1(is_visible).parse(rest)?;
            let user = Some(opaque.to_owned());
            Ok((rest, Uri { scheme, user, host: Host::Absent, ..Uri::sip(None, Host::Absent) }))
        }
    }
}

fn sip_uri(scheme: Scheme, input: &str) -> Parsed<'_, Uri> {
    let (rest, userinfo) = opt(userinfo).parse(input)?;
    let (rest, (host, port, params, headers)) =
        (host, opt(preceded(char(':'), port)), uri_params, uri_headers).parse(rest)?;
    let (user, password) = userinfo.map_or((None, None), |(u, p)| (Some(u), p));
    let password = password.map(str::to_owned);
    Ok((rest, Uri { scheme, user: user.map(str::to_owned), password, host, port, params, headers }))
}

fn userinfo(input: &str) -> Parsed<'_, (&str, Option<&str>)> {
    let user = verify(take_while1(|c| is_visible(c) && !matches!(c, '@' | ':')), |t: &str| {
        escapes_are_complete(t)
    });
    let password =
        verify(take_while(|c| is_visible(c) && c != '@'), |t: &str| escapes_are_complete(t));
    let (rest, (user, password, _)) =
        (user, opt(preceded(char(':'), password)), char('@')).parse(input)?;
    Ok((rest, (user, password)))
}

/// `host`: a bracketed IPv6 address, an IPv4 address or a name.
pub(in crate::sip::wire) fn host(input: &str) -> Parsed<'_, Host> {
    if input.starts_with('[') {
        let inside = take_while1(|c: char| c.is_ascii_hexdigit() || matches!(c, ':' | '.'));
        return map_opt(delimited(char('['), inside, char(']')), |text: &str| {
            text.parse::<Ipv6Addr>().ok().map(|ip| Host::Ip(IpAddr::V6(ip)))
        })
        .parse(input);
    }
    let mut name =
        take_while1(|c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | '~'));
    let (rest, name) = name.parse(input)?;
    Ok((rest, Host::from(name)))
}

/// `port`
pub(in crate::sip::wire) fn port(input: &str) -> Parsed<'_, u16> {
    map_opt(take_while1(|c: char| c.is_ascii_digit()), |d: &str| d.parse().ok()).parse(input)
}

fn uri_params(input: &str) -> Parsed<'_, Params> {
    let mut params = Params::default();
    let mut rest = input;
    for _ in 0..=PARAMS_MAX {
        let Ok((after, _)) = char::<_, nom::error::Error<_>>(';').parse(rest) else {
            return Ok((rest, params));
        };
        let piece = |c: char| is_visible(c) && !matches!(c, ';' | '?' | '=');
        let value = take_while(|c: char| is_visible(c) && !matches!(c, ';' | '?'));
        let (after, (name, value)) =
            (take_while1(piece), opt(preceded(char('='), value))).parse(after)?;
        if !escapes_are_complete(name) || !value.is_none_or(escapes_are_complete) {
            return fail(input);
        }
        let value = value.map(|v| ParamValue::Bare(v.to_owned()));
        params.push(Param { name: name.to_owned(), value });
        rest = after;
    }
    fail(input)
}

fn uri_headers(input: &str) -> Parsed<'_, Vec<(String, String)>> {
    let Some(text) = input.strip_prefix('?') else {
        return Ok((input, Vec::new()));
    };
    let (rest, text) =
        verify(take_while1(is_visible), |t: &str| escapes_are_complete(t)).parse(text)?;
    let headers: Vec<_> = text
        .split('&')
        .map(|one| one.split_once('=').unwrap_or((one, "")))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    if headers.len() > PARAMS_MAX || headers.iter().any(|(name, _)| name.is_empty()) {
        return fail(input);
    }
    Ok((rest, headers))
}

fn tel_uri(input: &str) -> Parsed<'_, Uri> {
    let number = verify(
        take_while1(|c: char| {
            c.is_ascii_hexdigit() || matches!(c, '+' | '-' | '.' | '(' | ')' | '*' | '#' | '%')
        }),
        |t: &str| escapes_are_complete(t),
    );
    let (rest, (number, params)) = (number, uri_params).parse(input)?;
    let user = Some(number.to_owned());
    Ok((rest, Uri { scheme: Scheme::Tel, user, params, ..Uri::sip(None, Host::Absent) }))
}
