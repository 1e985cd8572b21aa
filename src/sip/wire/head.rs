//! From bytes to lines: start line, header fields, body. Folded lines are joined here, so that no
//! other file knows of them.

use bytes::Bytes;
use memchr::memchr;

use super::grammar::{is_token, request_line, status_line};
use super::limits::{HEADER_MAX, HEADERS_MAX};
use super::writer::nul_only_escaped;
use super::{Headers, Malformed, Text};

/// The start line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// Of a request: method, Request-URI, version.
    Request {
        /// Method token.
        method: String,
        /// Request-URI as it came.
        uri: String,
        /// Version, `2.0`.
        version: String,
    },
    /// Of a response.
    Response {
        /// Version, `2.0`.
        version: String,
        /// Status.
        status: u16,
        /// Reason as it came.
        reason: String,
    },
    /// Of a request that does not follow the grammar, but whose header may still allow an answer.
    BadRequest,
}

/// A message in lines.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    /// The start line.
    pub(crate) start: Start,
    /// The fields that could be told apart.
    pub(crate) headers: Headers,
    /// The first line that could not.
    pub(crate) fault: Option<Malformed>,
    /// Everything behind the empty line.
    pub(crate) rest: Bytes,
}

impl Head {
    /// Splits a message. An error means that not even an answer can be made of it.
    pub(crate) fn split(raw: &Bytes) -> Result<Self, Malformed> {
        let mut lines = Lines { raw, at: 0 };
        let start = start_line(&lines.next_field()?.ok_or(Malformed("message: empty"))?)?;
        let mut head =
            Self { start, headers: Headers::with_capacity(24), fault: None, rest: Bytes::new() };
        while let Some(line) = lines.next_field()? {
            if head.headers.len() == HEADERS_MAX {
                return Err(Malformed("message: too many header fields"));
            }
            match field(&line) {
                Some((name, value)) => head.headers.push_text(name, Text::from_wire(value)),
                None => {
                    head.fault.get_or_insert(Malformed("header line"));
                }
            }
        }
        head.rest = raw.slice(lines.at..);
        Ok(head)
    }
}

/// Walks over lines that end in CRLF.
struct Lines<'a> {
    raw: &'a Bytes,
    at: usize,
}

impl Lines<'_> {
    /// The next field with its continuation lines joined; `None` at the empty line.
    fn next_field(&mut self) -> Result<Option<Bytes>, Malformed> {
        let start = self.at;
        let end = self.line_end(start)?;
        self.at = end + 2;
        if end == start {
            return Ok(None);
        }
        let mut field_end = end;
        while matches!(self.raw.get(self.at), Some(b' ' | b'\t')) {
            field_end = self.line_end(self.at)?;
            self.at = field_end + 2;
            if field_end - start > HEADER_MAX {
                break;
            }
        }
        if field_end - start > HEADER_MAX {
            return Err(Malformed("header field: too long"));
        }
        let field = self.raw.slice(start..field_end);
        if !nul_only_escaped(&field) {
            return Err(Malformed("header field: NUL"));
        }
        Ok(Some(if field_end == end { field } else { unfold(&field) }))
    }

    /// Where the line that begins at `from` ends. Neither CR nor LF may stand alone.
    fn line_end(&self, from: usize) -> Result<usize, Malformed> {
        let rest = self.raw.get(from..).unwrap_or_default();
        let line = memchr(b'\n', rest).ok_or(Malformed("message: no empty line"))?;
        match memchr(b'\r', &rest[..line]) {
            Some(cr) if cr + 1 == line => Ok(from + cr),
            _ => Err(Malformed("line: stray CR or LF")),
        }
    }
}

/// Joins lines: CRLF and the white space around it become one space (RFC 3261 section 7.3.1).
fn unfold(field: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(field.len());
    for line in field.split(|b| *b == b'\n') {
        let text = line.strip_suffix(b"\r").unwrap_or(line).trim_ascii_end();
        if out.is_empty() {
            out.extend_from_slice(text);
        } else {
            out.push(b' ');
            out.extend_from_slice(text.trim_ascii_start());
        }
    }
    out.into()
}

/// Name and value of a field. White space before the colon is allowed.
fn field(line: &Bytes) -> Option<(&str, Bytes)> {
    let colon = memchr(b':', line)?;
    let name = std::str::from_utf8(line[..colon].trim_ascii_end()).ok()?;
    if name.is_empty() || !name.chars().all(is_token) {
        return None;
    }
    Some((name, line.slice_ref(line[colon + 1..].trim_ascii())))
}

fn start_line(line: &Bytes) -> Result<Start, Malformed> {
    let value = Text::from_wire(line.clone());
    let text = value.as_str();
    if text.get(..4).is_some_and(|s| s.eq_ignore_ascii_case("SIP/")) {
        let (_, (version, status, reason)) =
            status_line(text).map_err(|_| Malformed("status line"))?;
        let (version, reason) = (version.to_owned(), reason.to_owned());
        return Ok(Start::Response { version, status, reason });
    }
    Ok(match request_line(text) {
        // What is not UTF-8 could not be echoed to the letter.
        Ok(_) if text.as_bytes() != &**line => Start::BadRequest,
        Ok((_, (method, uri, version))) => Start::Request {
            method: method.to_owned(),
            uri: uri.to_owned(),
            version: version.to_owned(),
        },
        Err(_) => Start::BadRequest,
    })
}
