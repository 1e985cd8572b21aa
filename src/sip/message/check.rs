//! What a message must have before anybody works with it, and the answer to one that has not.

use bytes::Bytes;

use super::{Malformed, Message, Method, Refusal, Request, Response};
use crate::sip::wire::names::SINGLE;
use crate::sip::wire::{Head, Headers, Start, Uri, content_length, reason};

/// Reads a message whose size is already known to be allowed.
pub(super) fn message(raw: Bytes, stream: bool) -> Result<Message, Refusal> {
    // Empty lines may come first (RFC 3261 section 7.5).
    let blank = raw.chunks(2).take_while(|pair| *pair == b"\r\n").count() * 2;
    if blank == raw.len() {
        return Err(Refusal::silent(Malformed("message: empty")));
    }
    let head = Head::split(&raw.slice(blank..)).map_err(Refusal::silent)?;
    match &head.start {
        Start::Response { .. } => response(head, stream).map_err(Refusal::silent),
        Start::Request { .. } | Start::BadRequest => request(head, stream),
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
    for party in [headers.from()?, headers.to()?] {
        // An empty tag would be neither a dialog's nor none.
        if party.params.has("tag") && party.tag().is_none() {
            return Err(Malformed("tag"));
        }
    }
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

/// A refusal, with an answer where one can be made. `None` for a method that could not be read.
fn refuse(status: u16, what: Malformed, method: Option<&Method>, headers: &Headers) -> Refusal {
    // The sender finds its request by the topmost Via and the method of CSeq; a request that lacks
    // From, To or Call-ID is answered without them.
    let possible = headers.top_via().is_ok() && headers.has("CSeq") && method != Some(&Method::Ack);
    let answer = possible.then(|| Box::new(answer(status, headers, false)));
    Refusal { what, answer }
}

/// An answer with the fields that RFC 3261 section 8.2.6.2 wants copied, as they came.
pub(super) fn answer(status: u16, request: &Headers, record_route: bool) -> Response {
    let mut headers = Headers::default();
    for header in request.iter() {
        let copied = match &*header.name {
            "Via" => true,
            "From" | "To" | "Call-ID" | "CSeq" => !headers.has(&header.name),
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
