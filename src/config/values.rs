//! What the values of a configuration mean. Each function turns one TOML value into a value of
//! ours, or says what is allowed in its place.

use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::str::FromStr;

use toml::de::DeValue;

use super::reader::Meaning;
use crate::codecs::Digit;
use crate::timers::Duration;

/// A string, not empty: it may go into a SIP header, a path, a line of the log.
pub(super) fn text(value: &DeValue<'_>) -> Meaning<String> {
    match value.as_str() {
        Some("") => Err("must not be empty".to_owned()),
        Some(text) if text.chars().any(char::is_control) => {
            Err("write one line without control characters".to_owned())
        }
        Some(text) => Ok(text.to_owned()),
        None => Err("write it in quotes, as \"text\"".to_owned()),
    }
}

/// `true` or `false`.
pub(super) fn boolean(value: &DeValue<'_>) -> Meaning<bool> {
    value.as_bool().ok_or_else(|| "allowed are true and false, without quotes".to_owned())
}

/// A whole number within bounds.
pub(super) fn number<T>(bounds: RangeInclusive<T>) -> impl Fn(&DeValue<'_>) -> Meaning<T>
where
    T: FromStr + PartialOrd + Display,
{
    move |value| {
        let number = value.as_integer().filter(|i| i.radix() == 10);
        number.and_then(|i| i.as_str().parse().ok()).filter(|n| bounds.contains(n)).ok_or_else(
            || {
                let quotes = if value.is_str() { ", without quotes" } else { "" };
                format!("allowed are {} to {}{quotes}", bounds.start(), bounds.end())
            },
        )
    }
}

/// One of a few words.
pub(super) fn one_of<T: Clone>(
    choices: &'static [(&'static str, T)],
) -> impl Fn(&DeValue<'_>) -> Meaning<T> {
    move |value| {
        let found = value.as_str().and_then(|word| choices.iter().find(|(w, _)| *w == word));
        found.map(|(_, meaning)| meaning.clone()).ok_or_else(|| {
            let words: Vec<_> = choices.iter().map(|(word, _)| format!("\"{word}\"")).collect();
            format!("allowed are {}", words.join(", "))
        })
    }
}

/// A duration with its unit, as `"250ms"`, within bounds.
pub(super) fn duration(
    bounds: RangeInclusive<Duration>,
) -> impl Fn(&DeValue<'_>) -> Meaning<Duration> {
    move |value| {
        value.as_str().and_then(parse_duration).filter(|d| bounds.contains(d)).ok_or_else(|| {
            let (least, most) = (show_duration(*bounds.start()), show_duration(*bounds.end()));
            format!("write a number and a unit (ms, s, m, h) from \"{least}\" to \"{most}\"")
        })
    }
}

/// A duration, or `"off"`.
pub(super) fn duration_or_off(
    bounds: RangeInclusive<Duration>,
) -> impl Fn(&DeValue<'_>) -> Meaning<Option<Duration>> {
    let duration = duration(bounds);
    move |value| match value.as_str() {
        Some("off") => Ok(None),
        _ => duration(value).map(Some).map_err(|allowed| format!("{allowed}, or \"off\"")),
    }
}

fn parse_duration(text: &str) -> Option<Duration> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit())?;
    let count: u64 = text[..unit_at].parse().ok()?;
    let millis = match &text[unit_at..] {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    count.checked_mul(millis).map(Duration::from_millis)
}

/// A duration in its largest whole unit, as it would be written.
pub(super) fn show_duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    let units = [(3_600_000, "h"), (60_000, "m"), (1_000, "s")];
    let whole = units.iter().find(|(unit, _)| millis > 0 && millis.is_multiple_of(*unit));
    whole.map_or_else(|| format!("{millis}ms"), |(unit, name)| format!("{}{name}", millis / unit))
}

/// An IP address of one machine, not a name and not a wildcard.
pub(super) fn address(value: &DeValue<'_>) -> Meaning<IpAddr> {
    let address = value.as_str().and_then(|text| text.parse::<IpAddr>().ok());
    address.filter(|ip| !ip.is_unspecified() && !ip.is_multicast()).ok_or_else(|| {
        "write one IP address of a machine, as \"192.0.2.10\" (no name, no wildcard)".to_owned()
    })
}

/// An IP address and port to listen on.
pub(super) fn listener(value: &DeValue<'_>) -> Meaning<SocketAddr> {
    value
        .as_str()
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| "write address and port, as \"127.0.0.1:PORT\"".to_owned())
}

/// Levels of the log, all of them or by module: `"info"`, `"portkeeper::sip=debug,info"`.
pub(super) fn log_filter(value: &DeValue<'_>) -> Meaning<String> {
    let path = |text: &str| {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"_:".contains(&b);
        !text.is_empty() && text.bytes().all(allowed)
    };
    let known = |directive: &str| match directive.trim().split_once('=') {
        Some((module, level)) => path(module) && LEVELS.contains(&level),
        None => LEVELS.contains(&directive.trim()),
    };
    value.as_str().filter(|text| text.split(',').all(known)).map(str::to_owned).ok_or_else(|| {
        format!(
            "allowed are {}, also by module, as \"portkeeper::sip=debug,info\"",
            LEVELS.join(", ")
        )
    })
}

const LEVELS: &[&str] = &["off", "error", "warn", "info", "debug", "trace"];

/// A range of UDP ports, as `"16384-32767"`.
pub(super) fn udp_range(value: &DeValue<'_>) -> Meaning<(u16, u16)> {
    let range = value.as_str().and_then(|text| text.split_once('-')).and_then(|(first, last)| {
        Some((first.trim().parse::<u16>().ok()?, last.trim().parse::<u16>().ok()?))
    });
    match range {
        Some((first, _)) if first % 2 != 0 => Err(format!(
            "the first port must be even, as RTP uses even ports: write \"{}-...\"",
            first.saturating_add(1)
        )),
        Some((first, last)) if first >= 1024 && first < last => Ok((first, last)),
        _ => Err("write first and last port from 1024 to 65535, as \"16384-17383\"".to_owned()),
    }
}

/// `HOST` or `HOST:PORT`; the port is added where it is missing.
pub(super) fn host_port(default_port: u16) -> impl Fn(&DeValue<'_>) -> Meaning<String> {
    move |value| {
        value.as_str().and_then(|text| with_port(text, default_port)).ok_or_else(|| {
            format!("write host and port, as \"pbx.example:{default_port}\" or \"[2001:db8::5]\"")
        })
    }
}

fn with_port(text: &str, default_port: u16) -> Option<String> {
    if text.parse::<SocketAddr>().is_ok() {
        return Some(text.to_owned());
    }
    if let Ok(ip) = text.trim_start_matches('[').trim_end_matches(']').parse() {
        return Some(SocketAddr::new(ip, default_port).to_string());
    }
    let (host, port) = match text.split_once(':') {
        Some((host, port)) => (host, port.parse().ok()?),
        None => (text, default_port),
    };
    (is_host_name(host) && port != 0).then(|| format!("{host}:{port}"))
}

/// A DNS name or an IPv4 address in its place.
pub(super) fn is_host_name(text: &str) -> bool {
    let label = |l: &str| {
        (1..=63).contains(&l.len()) && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    text.len() <= 253 && text.split('.').all(label)
}

/// A set of keys, as `"0-9*#"`; `""` is none.
pub(super) fn keys(value: &DeValue<'_>) -> Meaning<Vec<Digit>> {
    value
        .as_str()
        .and_then(parse_keys)
        .ok_or_else(|| "write telephone keys, as \"0-9*#\", or \"\" for none".to_owned())
}

fn parse_keys(text: &str) -> Option<Vec<Digit>> {
    let mut keys = Vec::new();
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        let first = Digit::from_char(c)?;
        let mut last = first;
        if rest.next_if_eq(&'-').is_some() {
            last = Digit::from_char(rest.next()?)?;
        }
        if last < first {
            return None;
        }
        keys.extend((first.event()..=last.event()).filter_map(Digit::from_event));
    }
    Some(keys)
}

/// Extensions: `"6001"` or a range `"6001-6030"`; leading zeros stay.
pub(super) fn extensions(value: &DeValue<'_>) -> Meaning<Vec<String>> {
    let text = value.as_str().unwrap_or_default();
    let expanded = match text.split_once('-') {
        Some((first, last)) => expand(first.trim(), last.trim()),
        None => is_user(text).then(|| vec![text.to_owned()]),
    };
    expanded.ok_or_else(|| {
        "write an extension in quotes, as \"6001\", or a rising range of equally long numbers \
         with at most 10000 in it, as \"6001-6030\""
            .to_owned()
    })
}

fn expand(first: &str, last: &str) -> Option<Vec<String>> {
    const RANGE_MAX: u64 = 10_000;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !digits(first) || !digits(last) || first.len() != last.len() {
        return None;
    }
    let (from, to): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
    let width = first.len();
    (from <= to && to - from < RANGE_MAX)
        .then(|| (from..=to).map(|n| format!("{n:0width$}")).collect())
}

/// What may stand before the `@` of an AOR without escapes.
fn is_user(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-_.+*#".contains(&b);
    (1..=64).contains(&text.len()) && text.bytes().all(allowed)
}

/// The name of an application: what ARI clients put into `?app=` unescaped.
pub(super) fn is_application_name(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    (1..=64).contains(&text.len()) && text.bytes().all(allowed)
}

/// What may be a password in a URL without escapes: some ARI clients do not escape.
pub(super) fn is_url_safe(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~".contains(&b))
}

/// A pattern of outbound targets: digits and `X`, with a trailing `.` for the rest.
pub(super) fn pattern(value: &DeValue<'_>) -> Meaning<String> {
    let text = value.as_str().unwrap_or_default();
    let fixed = text.strip_suffix('.').unwrap_or(text);
    let allowed = |b: u8| b.is_ascii_digit() || b"X+*#".contains(&b);
    if !text.is_empty() && fixed.bytes().all(allowed) {
        return Ok(text.to_owned());
    }
    Err("write digits, X for any one digit, and a \".\" at the end for any rest, as \"2XXX\""
        .into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn string(text: &str) -> DeValue<'_> {
        DeValue::String(text.into())
    }

    #[test]
    fn a_duration_has_a_unit() {
        let hour = Duration::ZERO..=Duration::from_secs(3_600);
        let read = |text| duration(hour.clone())(&string(text)).ok();
        assert_eq!(read("250ms"), Some(Duration::from_millis(250)));
        assert_eq!(read("2s"), Some(Duration::from_secs(2)));
        assert_eq!(read("1h"), Some(Duration::from_secs(3_600)));
        assert_eq!((read("2"), read("s"), read("2 s"), read("2h")), (None, None, None, None));
        assert_eq!(read("99999999999999999999h"), None);
    }

    #[test]
    fn a_duration_is_shown_as_it_would_be_written() {
        assert_eq!(show_duration(Duration::from_millis(250)), "250ms");
        assert_eq!(show_duration(Duration::from_secs(90)), "90s");
        assert_eq!(show_duration(Duration::from_secs(7_200)), "2h");
        assert_eq!(show_duration(Duration::ZERO), "0ms");
    }

    #[test]
    fn a_range_of_extensions_keeps_leading_zeros() {
        assert_eq!(extensions(&string("098-101")).expect("range"), ["098", "099", "100", "101"]);
        assert_eq!(extensions(&string("desk.1")).expect("name"), ["desk.1"]);
        for wrong in ["6030-6001", "98-101", "a-b", "", "x@y", "1-99999999"] {
            assert!(extensions(&string(wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn keys_are_single_or_ranges() {
        let read = |text| keys(&string(text)).map(|k| k.iter().map(|d| d.as_char()).collect());
        assert_eq!(read("0-9*#"), Ok("0123456789*#".to_owned()));
        assert_eq!(read(""), Ok(String::new()));
        assert!(read("9-0").is_err() && read("1-").is_err() && read("x").is_err());
    }

    #[test]
    fn a_registrar_gets_the_port_of_the_profile() {
        let read = |text| host_port(5070)(&string(text)).ok();
        assert_eq!(read("pbx.example").as_deref(), Some("pbx.example:5070"));
        assert_eq!(read("10.0.0.5:5060").as_deref(), Some("10.0.0.5:5060"));
        assert_eq!(read("2001:db8::5").as_deref(), Some("[2001:db8::5]:5070"));
        assert_eq!(read("[2001:db8::5]:5061").as_deref(), Some("[2001:db8::5]:5061"));
        assert_eq!((read("a b"), read("host:0"), read("sip:x")), (None, None, None));
    }

    #[test]
    fn rtp_ports_begin_even() {
        assert_eq!(udp_range(&string("16384-17383")), Ok((16_384, 17_383)));
        assert!(udp_range(&string("16385-17383")).expect_err("odd").contains("16386"));
        assert!(udp_range(&string("17383-16384")).is_err());
        assert!(udp_range(&string("80-90")).is_err());
        assert!(udp_range(&string("65535-65535")).is_err());
    }
}
