//! `name-addr` and `addr-spec` with header parameters: From, To, Contact, Route, identities.

use std::fmt;

use nom::Parser;
use nom::bytes::complete::{take_till, take_while, take_while1};
use nom::character::complete::char;
use nom::combinator::opt;
use serde::{Deserialize, Serialize};

use super::grammar::{Parsed, fail, number, params, quoted_string, sws};
use super::params::Quoted;
use super::{Malformed, Params, Uri};

/// A URI with a display name and parameters.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct NameAddr {
    /// Display name without quotes and escapes; `None` when there is none or it is empty.
    pub display: Option<String>,
    /// The URI.
    pub uri: Uri,
    /// Parameters of the header field, behind the `>`.
    pub params: Params,
}

/// What Contact says.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Contacts {
    /// `*`: all bindings of the AOR.
    Star,
    /// These; empty when the field is missing.
    List(Vec<NameAddr>),
}

impl Contacts {
    /// The addresses; none for `*`.
    pub fn list(&self) -> &[NameAddr] {
        match self {
            Self::Star => &[],
            Self::List(list) => list,
        }
    }

    /// The first address.
    pub fn first(&self) -> Option<&NameAddr> {
        self.list().first()
    }
}

impl NameAddr {
    /// Neither name nor parameters.
    pub fn new(uri: Uri) -> Self {
        Self { display: None, uri, params: Params::default() }
    }

    /// The same with a display name; an empty one is none.
    #[must_use]
    pub fn with_display(mut self, name: &str) -> Self {
        self.display = (!name.is_empty()).then(|| name.to_owned());
        self
    }

    /// The same with a tag.
    #[must_use]
    pub fn with_tag(mut self, tag: &str) -> Self {
        self.params.set("tag", tag);
        self
    }

    /// Reads a whole text.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        match name_addr(text) {
            Ok(("", found)) => Ok(found),
            _ => Err(Malformed("address")),
        }
    }

    /// The tag, if there is one and it is not empty.
    pub fn tag(&self) -> Option<&str> {
        self.params.get("tag").filter(|tag| !tag.is_empty())
    }

    /// The `expires` parameter in seconds; `None` when missing or not a number.
    pub fn expires(&self) -> Option<u32> {
        self.params.get("expires").and_then(number)
    }

    /// Preference in thousandths, 1000 when missing or malformed (RFC 3261 section 20.10).
    pub fn q_milli(&self) -> u16 {
        let text = self.params.get("q").unwrap_or("1");
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let milli = fraction.bytes().chain(*b"000").take(3).try_fold(0u16, |sum, digit| {
            digit.is_ascii_digit().then(|| sum * 10 + u16::from(digit - b'0'))
        });
        match (whole, milli) {
            ("0" | "", Some(milli)) => milli,
            _ => 1000,
        }
    }
}

impl fmt::Display for NameAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(display) = &self.display {
            write!(f, "{} ", Quoted(display))?;
        }
        write!(f, "<{}>{}", self.uri, self.params)
    }
}

fn name_addr(input: &str) -> Parsed<'_, NameAddr> {
    let (rest, (_, quoted)) = (sws, opt(quoted_string)).parse(input)?;
    let (rest, (display, uri)) = match quoted {
        Some(display) => {
            let (rest, (_, uri)) = (sws, bracketed).parse(rest)?;
            (rest, (Some(display), uri))
        }
        None => unquoted(rest)?,
    };
    let (rest, (params, _)) = (params, sws).parse(rest)?;
    let display = display.filter(|name| !name.is_empty());
    Ok((rest, NameAddr { display, uri, params }))
}

/// A name without quotes and a URI in brackets, or a bare URI. Any text is taken for a name: PBXs
/// leave the quotes off names that need them.
fn unquoted(input: &str) -> Parsed<'_, (Option<String>, Uri)> {
    let name = |c: char| !matches!(c, '<' | '"') && (c == '\t' || !c.is_ascii_control());
    let (rest, before) = take_while(name).parse(input)?;
    if rest.starts_with('<') {
        let (rest, uri) = bracketed(rest)?;
        return Ok((rest, (Some(before.trim().to_owned()), uri)));
    }
    // Without brackets, `;` begins a parameter of the header and `?` must not occur
    // (RFC 3261 section 20.10).
    let bare = |c: char| !matches!(c, ';' | ',' | '?' | '<' | '"') && !c.is_whitespace();
    let (rest, text) = take_while1(bare).parse(input)?;
    Uri::parse(text).map_or_else(|_| fail(input), |uri| Ok((rest, (None, uri))))
}

/// `<URI>`; white space inside the brackets is forgiven.
fn bracketed(input: &str) -> Parsed<'_, Uri> {
    let (rest, (_, text, _)) = (char('<'), take_till(|c| c == '>'), char('>')).parse(input)?;
    Uri::parse(text.trim()).map_or_else(|_| fail(input), |uri| Ok((rest, uri)))
}
