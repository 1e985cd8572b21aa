//! The SIP wire from outside: what rsip gets wrong, RFC 4475, PBXs' messages, properties.

#![expect(clippy::disallowed_methods, reason = "reads fixtures")]

mod gaps;
mod gaps_digest;
mod gaps_uri;
mod mutation;
mod pbx;
mod properties;
mod torture;

use bytes::Bytes;
use portkeeper::sip::message::{Message, Refusal, Request, Response};

/// A request with the fields that every request needs, `extra` lines and a body.
pub(crate) fn options(extra: &str, body: &str) -> String {
    format!(
        "OPTIONS sip:100@pk.example SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK1\r\n\
         From: <sip:a@example.com>;tag=1\r\nTo: <sip:b@example.com>\r\nCall-ID: c\r\n\
         CSeq: 1 OPTIONS\r\n{extra}\r\n{body}"
    )
}

pub(crate) fn parse(text: impl AsRef<[u8]>) -> Result<Message, Refusal> {
    Message::parse(Bytes::copy_from_slice(text.as_ref()))
}

pub(crate) fn request(text: impl AsRef<[u8]>) -> Request {
    match parse(text) {
        Ok(Message::Request(request)) => request,
        other => panic!("no request: {other:?}"),
    }
}

pub(crate) fn response(text: impl AsRef<[u8]>) -> Response {
    match parse(text) {
        Ok(Message::Response(response)) => response,
        other => panic!("no response: {other:?}"),
    }
}

/// A minimal request with one more header line.
pub(crate) fn with(line: &str) -> Request {
    request(options(&format!("{line}\r\n"), ""))
}
