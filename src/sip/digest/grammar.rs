//! The shape that challenges and answers share: a scheme and `name=value` fields.

use nom::Parser;
use nom::branch::alt;
use nom::bytes::complete::{take_while, take_while1};
use nom::character::complete::char;
use nom::combinator::{map, opt, verify};
use nom::sequence::preceded;

use crate::sip::wire::limits::PARAMS_MAX;
use crate::sip::wire::{Parsed, fail, token};

/// Fields of one challenge or answer; names without regard to case, the first of a name counts.
pub(super) struct Fields<'a>(Vec<(&'a str, &'a str)>);

impl Fields<'_> {
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| *v)
    }
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t')
}

/// Text without the commas and blanks at its start.
pub(super) fn separators(text: &str) -> &str {
    text.trim_start_matches(|c| is_blank(c) || c == ',')
}

/// What stands between quotes, escapes untouched.
fn quoted(input: &str) -> Parsed<'_, &str> {
    let (inside, _) = char('"').parse(input)?;
    let mut escaped = false;
    let end = inside.bytes().position(|b| {
        let ends = b == b'"' && !escaped;
        escaped = b == b'\\' && !escaped;
        ends
    });
    let split = end.and_then(|at| Some((inside.get(at + 1..)?, inside.get(..at)?)));
    split.map_or_else(|| fail(input), Ok)
}

fn field(input: &str) -> Parsed<'_, (&str, &str)> {
    let bare =
        take_while(|c: char| !is_blank(c) && !c.is_control() && !matches!(c, ',' | '"' | '\\'));
    let equals = (take_while(is_blank), char('='), take_while(is_blank));
    map((token, equals, alt((quoted, bare))), |(name, _, value)| (name, value)).parse(input)
}

/// `Digest a=b, c="d"`: the fields end where the next challenge begins.
pub(super) fn scheme_and_fields(input: &str) -> Parsed<'_, (&str, Fields<'_>)> {
    let comma = (take_while(is_blank), char(','), take_while(|c| is_blank(c) || c == ','));
    let (mut rest, (scheme, _)) = (token, take_while1(is_blank)).parse(input)?;
    let mut fields = Vec::new();
    let (after, first) = opt(field).parse(rest)?;
    fields.extend(first);
    rest = after;
    let mut next = verify(opt(preceded(comma, field)), Option::is_some);
    while let Ok((after, Some(one))) = next.parse(rest) {
        if fields.len() == PARAMS_MAX {
            break;
        }
        fields.push(one);
        rest = after;
    }
    let (rest, _) = take_while(is_blank).parse(rest)?;
    // What follows must be the end or another challenge, not a broken field.
    if rest.is_empty() || rest.starts_with(',') {
        return Ok((rest, (scheme, Fields(fields))));
    }
    fail(rest)
}
