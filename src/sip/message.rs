//! Requests and responses, read by our own grammar and printed by our own writer.
//!
//! [`Message::parse`] checks what every message needs (RFC 3261 section 8.1.1) and says, where it
//! refuses, whether the sender can be told: a [`Refusal`] carries the finished answer. Everything
//! else is read when asked for, through [`Headers`].
//!
//! This is the only module that names `rsip`. Its types are a vocabulary that values are handed
//! over in, field by field; it neither reads nor prints anything that touches the wire.

use std::borrow::Cow;

use bytes::Bytes;

use super::wire::limits::{DATAGRAM_MAX, STREAM_MESSAGE_MAX};
use super::wire::names::SINGLE;
use super::wire::{Head, Start, reason, writer};

pub use super::wire::{
    CSeq, Contacts, Header, Headers, Host, Malformed, MediaType, Method, NameAddr, Param,
    ParamValue, Params, RAck, Refresher, Replaces, Scheme, SessionExpires, Text, Unprintable, Uri,
    Valued, Via,
};

/// A SIP message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// A request.
    Request(Request),
    /// A response.
    Response(Response),
}

/// A request, received or ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Its method.
    pub method: Method,
    /// Request-URI.
    pub uri: Uri,
    /// Header fields.
    pub headers: Headers,
    /// Body, without whatever followed it in the datagram.
    pub body: Bytes,
    /// Request-URI as it came; `None` for a request of ours.
    target: Option<String>,
}

/// A response, received or ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// Status, 100-699.
    pub status: u16,
    /// Reason phrase, as received, or the canonical one.
    pub reason: String,
    /// Header fields.
    pub headers: Headers,
    /// Body, without whatever followed it in the datagram.
    pub body: Bytes,
}

/// A message that was not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What is wrong with it.
    pub what: Malformed,
    /// The answer, complete but for a tag in To; `None` where nobody can be answered (a response,
    /// an ACK, a message without the fields that an answer copies, one beyond our limits).
    pub answer: Option<Box<Response>>,
}

impl Refusal {
    const fn silent(what: Malformed) -> Self {
        Self { what, answer: None }
    }

    /// Status of the answer, if there is one.
    pub fn status(&self) -> Option<u16> {
        self.answer.as_ref().map(|a| a.status)
    }
}

impl Message {
    /// Reads a datagram.
    pub fn parse(raw: Bytes) -> Result<Self, Refusal> {
        if raw.len() > DATAGRAM_MAX {
            return Err(Refusal::silent(Malformed("datagram: too long")));
        }
        Self::parse_limited(raw, false)
    }

    /// Reads one message of a stream, as [`super::wire::framing::Framer`] cut it out.
    pub fn parse_frame(raw: Bytes) -> Result<Self, Refusal> {
        if raw.len() > STREAM_MESSAGE_MAX {
            return Err(Refusal::silent(Malformed("message: too long")));
        }
        Self::parse_limited(raw, true)
    }

    fn parse_limited(raw: Bytes, stream: bool) -> Result<Self, Refusal> {
        // Empty lines may come first (RFC 3261 section 7.5).
        let blank = raw.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
        let head = Head::split(&raw.slice(blank..)).map_err(Refusal::silent)?;
        match &head.start {
            Start::Response { .. } => response(head, stream).map_err(Refusal::silent),
            Start::Request { .. } | Start::BadRequest => request(head, stream),
        }
    }

    /// The header fields.
    pub const fn headers(&self) -> &Headers {
        match self {
            Self::Request(r) => &r.headers,
            Self::Response(r) => &r.headers,
        }
    }

    /// The body.
    pub const fn body(&self) -> &Bytes {
        match self {
            Self::Request(r) => &r.body,
            Self::Response(r) => &r.body,
        }
    }

    /// As bytes for the wire.
    pub fn to_bytes(&self) -> Result<Bytes, Unprintable> {
        match self {
            Self::Request(r) => r.to_bytes(),
            Self::Response(r) => r.to_bytes(),
        }
    }
}

fn response(head: Head, stream: bool) -> Result<Message, Malformed> {
    let Start::Response { version, status, reason } = head.start else {
        return Err(Malformed("status line"));
    };
    if version != "2.0" {
        return Err(Malformed("SIP version"));
    }
    head.fault.map_or(Ok(()), Err)?;
    check_fields(&head.headers)?;
    let body = body(&head.headers, head.rest, stream)?;
    Ok(Message::Response(Response { status, reason, headers: head.headers, body }))
}

fn request(head: Head, stream: bool) -> Result<Message, Refusal> {
    let Head { start, headers, fault, rest } = head;
    let (method, target, version) = match start {
        Start::Request { method, uri, version } => (Method::from_token(&method), uri, version),
        Start::Response { .. } | Start::BadRequest => {
            return Err(refuse(400, Malformed("request line"), None, &headers));
        }
    };
    if version != "2.0" {
        return Err(refuse(505, Malformed("SIP version"), Some(&method), &headers));
    }
    match checked(&method, &target, &headers, fault, rest, stream) {
        Ok((uri, body)) => {
            let target = Some(target);
            Ok(Message::Request(Request { method, uri, headers, body, target }))
        }
        Err(what) => Err(refuse(400, what, Some(&method), &headers)),
    }
}

/// The parts of a request that may still be wrong when its lines are right.
fn checked(
    method: &Method,
    target: &str,
    headers: &Headers,
    fault: Option<Malformed>,
    rest: Bytes,
    stream: bool,
) -> Result<(Uri, Bytes), Malformed> {
    fault.map_or(Ok(()), Err)?;
    let uri = Uri::parse(target).map_err(|_| Malformed("Request-URI"))?;
    if !uri.headers.is_empty() {
        return Err(Malformed("Request-URI: it has headers"));
    }
    check_fields(headers)?;
    if headers.cseq()?.method != *method {
        return Err(Malformed("CSeq: another method"));
    }
    Ok((uri, body(headers, rest, stream)?))
}

/// What every message must have, and once. Lists that routing and dialogs rest on are read here, so
/// that nothing later stumbles over them.
fn check_fields(headers: &Headers) -> Result<(), Malformed> {
    for name in SINGLE {
        if headers.lines(name).nth(1).is_some() {
            return Err(Malformed("header: twice what may come once"));
        }
    }
    if headers.vias()?.is_empty() {
        return Err(Malformed("Via"));
    }
    headers.from()?;
    headers.to()?;
    headers.call_id()?;
    headers.cseq()?;
    headers.contacts()?;
    headers.routes()?;
    headers.record_routes()?;
    match headers.get("Max-Forwards") {
        Some(_) if headers.max_forwards().is_none() => Err(Malformed("Max-Forwards")),
        _ => Ok(()),
    }
}

/// The body that Content-Length announces (RFC 3261 section 18.3): on a datagram it may be missing,
/// and what follows it is dropped; on a stream it must be there.
fn body(headers: &Headers, rest: Bytes, stream: bool) -> Result<Bytes, Malformed> {
    let Some(text) = headers.get("Content-Length") else {
        return if stream { Err(Malformed("Content-Length: missing")) } else { Ok(rest) };
    };
    let length = content_length(text).ok_or(Malformed("Content-Length"))?;
    if length > rest.len() || (stream && length != rest.len()) {
        return Err(Malformed("Content-Length: not the length of the body"));
    }
    Ok(rest.slice(..length))
}

/// Digits only: neither sign nor overflow.
pub(super) fn content_length(text: &str) -> Option<usize> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

/// A refusal, with an answer where one can be made. `None` for a method that could not be read.
fn refuse(status: u16, what: Malformed, method: Option<&Method>, headers: &Headers) -> Refusal {
    let needed = ["Via", "From", "To", "Call-ID", "CSeq"];
    let possible = needed.iter().all(|name| headers.has(name))
        && headers.top_via().is_ok()
        && method != Some(&Method::Ack);
    let answer = possible.then(|| Box::new(answer(status, headers, false)));
    Refusal { what, answer }
}

/// An answer with the fields that RFC 3261 section 8.2.6.2 wants copied, as they came.
fn answer(status: u16, request: &Headers, record_route: bool) -> Response {
    let mut headers = Headers::default();
    for header in request.iter() {
        let copied = match &*header.name {
            "Via" | "From" | "To" | "Call-ID" | "CSeq" => true,
            "Timestamp" => status == 100,
            "Record-Route" => record_route && status > 100 && status < 300,
            _ => false,
        };
        if copied {
            headers.push_text(&header.name, header.value.clone());
        }
    }
    Response { status, reason: reason::phrase(status).to_owned(), headers, body: Bytes::new() }
}

impl Request {
    /// A request of ours, still without header fields.
    pub fn new(method: Method, uri: Uri) -> Self {
        Self { method, uri, headers: Headers::default(), body: Bytes::new(), target: None }
    }

    /// Request-URI to the letter: as it came, or as it will be printed. Digest is computed on it.
    pub fn target(&self) -> Cow<'_, str> {
        match &self.target {
            Some(text) => Cow::Borrowed(text),
            None => Cow::Owned(self.uri.to_string()),
        }
    }

    /// The answer to this request: Via, From, To, Call-ID, CSeq copied to the letter, Timestamp
    /// into a 100, Record-Route where a dialog is made. Tag of To and Contact are the caller's.
    pub fn reply(&self, status: u16) -> Response {
        answer(status, &self.headers, self.method.opens_dialog())
    }

    /// Sets body and Content-Type.
    pub fn set_body(&mut self, content_type: &str, body: impl Into<Bytes>) {
        self.headers.set("Content-Type", content_type);
        self.body = body.into();
    }

    /// As bytes for the wire.
    pub fn to_bytes(&self) -> Result<Bytes, Unprintable> {
        let target = self.target();
        if target.contains([' ', '\t']) {
            return Err(Unprintable::Control("Request-URI".to_owned()));
        }
        let start = format!("{} {target} SIP/2.0", self.method);
        writer::write(start.as_bytes(), &self.headers, &self.body)
    }
}

impl Response {
    /// Sets the tag of To, unless it has one.
    pub fn set_to_tag(&mut self, tag: &str) {
        let Some(to) = self.headers.get("To") else { return };
        if NameAddr::parse(to).is_ok_and(|to| to.tag().is_none()) {
            let tagged = format!("{to};tag={tag}");
            self.headers.set("To", tagged);
        }
    }

    /// Sets body and Content-Type.
    pub fn set_body(&mut self, content_type: &str, body: impl Into<Bytes>) {
        self.headers.set("Content-Type", content_type);
        self.body = body.into();
    }

    /// Whether it is the last answer to its request.
    pub const fn is_final(&self) -> bool {
        self.status >= 200
    }

    /// As bytes for the wire.
    pub fn to_bytes(&self) -> Result<Bytes, Unprintable> {
        let start = format!("SIP/2.0 {} {}", self.status, self.reason);
        writer::write(start.as_bytes(), &self.headers, &self.body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INVITE: &str = "INVITE sip:100@pk.example SIP/2.0\r\n\
        v: SIP/2.0/UDP 10.0.0.1:5060;rport;branch=z9hG4bKa , SIP/2.0/TCP [2001:db8::1];branch=b\r\n\
        From: \"A \\\"q\\\"\" <sip:john.doe@example.com>;tag=1\r\n\
        To: <sip:100@pk.example>\r\n\
        Call-ID: abc\r\n\
        CSeq: 1\t INVITE\r\n\
        Record-Route: <sip:p1;lr>\r\n\
        Record-Route: <sip:p2;lr>,\r\n <sip:p3;lr>\r\n\
        Content-Length: 3\r\n\r\nabcdef";

    fn request(text: &str) -> Request {
        match Message::parse(Bytes::copy_from_slice(text.as_bytes())) {
            Ok(Message::Request(request)) => request,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_request_is_read_and_answered() {
        let invite = request(INVITE);
        assert_eq!(invite.method, Method::Invite);
        assert_eq!(invite.headers.vias().expect("two hops").len(), 2);
        assert_eq!(invite.headers.record_routes().expect("three").len(), 3);
        assert_eq!(invite.headers.from().expect("From").display.as_deref(), Some("A \"q\""));
        assert_eq!(&*invite.body, b"abc");
        let mut ok = invite.reply(200);
        ok.set_to_tag("xyz");
        let text = ok.to_bytes().expect("printable");
        let text = std::str::from_utf8(&text).expect("UTF-8");
        assert!(text.starts_with("SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 10.0.0.1:5060;rport;"));
        assert!(text.contains("To: <sip:100@pk.example>;tag=xyz\r\n"));
        assert!(text.ends_with("Content-Length: 0\r\n\r\n"));
    }

    #[test]
    fn a_wrong_request_is_refused_with_an_answer() {
        let text = INVITE.replace("CSeq: 1\t", "CSeq: x");
        let refusal = Message::parse(text.into()).expect_err("bad CSeq");
        assert_eq!(refusal.status(), Some(400));
    }
}
