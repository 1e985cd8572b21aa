//! Requests over HTTP: each goes to one node, and to another one only if the first cannot have
//! carried it out, or if it only reads.
//!
//! While no node acts, a request waits, for as long as a promotion takes at most.

use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, Method, Request, Response, StatusCode, Uri, header};
use bytes::Bytes;
use hyper::client::conn::http1::SendRequest;
use tokio::time::{Instant, timeout, timeout_at};

use super::hub::{Hub, State, Wish};
use crate::driver::http::message;

/// How long a request waits for a node that acts.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(5);
/// A node answers within milliseconds; one that takes so long is as good as lost.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// Longest answer: a list of some thousand channels.
const ANSWER_LENGTH_MAX: usize = 4 << 20;
/// Nodes that are tried for one request. More only if they change their roles meanwhile.
const TRIES_MAX: usize = 4;

/// What a request is answered when its node was lost meanwhile.
pub(super) const LOST: &str =
    "The node was lost before it answered: the request may have been carried out";
/// What a request is answered when no node acts.
pub(super) const NOBODY: &str = "No node acts: the request was not carried out";

/// How one try failed.
enum Failed {
    /// The node has not seen the request.
    Unsent,
    /// It may have.
    Lost,
}

/// Headers that speak of a connection and not of a request (RFC 9110 section 7.6.1), and the
/// length, which is counted anew.
const OF_CONNECTION: [HeaderName; 9] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::EXPECT,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Carries a request to a node and brings the answer.
pub(super) async fn forward(hub: &Hub, parts: &Parts, body: &Bytes) -> Response<Body> {
    let wish = wish(parts.uri.path());
    let deadline = Instant::now() + WAIT_MAX;
    let only_reads = [Method::GET, Method::HEAD].contains(&parts.method);
    for _ in 0..TRIES_MAX {
        let Some(node) = wait_for(hub, wish, deadline).await else { break };
        match attempt(hub, node, parts, body).await {
            // It says itself that it has done nothing.
            Ok(answer)
                if answer.status() == StatusCode::SERVICE_UNAVAILABLE
                    && hub.state(node) == State::Follows => {}
            Ok(answer) => return answer,
            Err(Failed::Unsent) => hub.note(node, State::Lost),
            Err(Failed::Lost) if only_reads => hub.note(node, State::Lost),
            Err(Failed::Lost) => return message(StatusCode::SERVICE_UNAVAILABLE, LOST),
        }
    }
    message(StatusCode::SERVICE_UNAVAILABLE, NOBODY)
}

/// Who may answer a request on this path.
pub(super) fn wish(path: &str) -> Wish<'_> {
    let path = path.trim_start_matches('/');
    let mut segments = path.strip_prefix("ari/").unwrap_or(path).split('/');
    match (segments.next(), segments.next()) {
        (Some("channels"), Some(id)) if !id.is_empty() => Wish::Channel(id),
        (Some("api-docs" | "asterisk"), _) => Wish::Anyone,
        _ => Wish::Acting,
    }
}

/// The node for a request, as soon as there is one.
async fn wait_for(hub: &Hub, wish: Wish<'_>, deadline: Instant) -> Option<usize> {
    let mut states = hub.states();
    loop {
        if let Some(node) = hub.pick(wish) {
            return Some(node);
        }
        timeout_at(deadline, states.changed()).await.ok()?.ok()?;
    }
}

async fn attempt(
    hub: &Hub,
    node: usize,
    parts: &Parts,
    body: &Bytes,
) -> Result<Response<Body>, Failed> {
    let mut sender = hub.borrow(node).await.map_err(|_| Failed::Unsent)?;
    let exchange = timeout(ANSWER_MAX, exchange(&mut sender, request(parts, body)));
    let mut states = hub.states();
    let lost = states.wait_for(|states| states.get(node).is_none_or(|s| *s == State::Lost));
    let answer = tokio::select! {
        biased;
        answer = exchange => answer.map_err(|_| Failed::Lost)??,
        _ = lost => return Err(Failed::Lost),
    };
    hub.note_headers(node, answer.headers());
    hub.give_back(node, sender);
    Ok(answer)
}

/// One request and its whole answer.
async fn exchange(
    sender: &mut SendRequest<Body>,
    request: Request<Body>,
) -> Result<Response<Body>, Failed> {
    sender.ready().await.map_err(|_| Failed::Unsent)?;
    let answer = sender.try_send_request(request).await.map_err(|mut error| {
        if error.take_message().is_some() { Failed::Unsent } else { Failed::Lost }
    })?;
    let (mut head, body) = answer.into_parts();
    let body = to_bytes(Body::new(body), ANSWER_LENGTH_MAX).await.map_err(|_| Failed::Lost)?;
    head.headers = without_connection(&head.headers);
    Ok(Response::from_parts(head, Body::from(body)))
}

fn request(parts: &Parts, body: &Bytes) -> Request<Body> {
    let mut request = Request::new(Body::from(body.clone()));
    request.method_mut().clone_from(&parts.method);
    *request.uri_mut() = parts.uri.path_and_query().cloned().map_or_else(Uri::default, Uri::from);
    *request.headers_mut() = without_connection(&parts.headers);
    request
}

pub(super) fn without_connection(headers: &HeaderMap) -> HeaderMap {
    let mut kept = headers.clone();
    for name in OF_CONNECTION {
        kept.remove(name);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_says_who_may_answer() {
        assert_eq!(wish("/ari/channels/5f-1.2/play"), Wish::Channel("5f-1.2"));
        assert_eq!(wish("channels/5f-1.2"), Wish::Channel("5f-1.2"));
        assert_eq!(wish("/ari/channels"), Wish::Acting);
        assert_eq!(wish("/ari/playbacks/x"), Wish::Acting);
        assert_eq!(wish("/ari/api-docs/resources.json"), Wish::Anyone);
        assert_eq!(wish("/ari/asterisk/info"), Wish::Anyone);
        assert_eq!(wish(""), Wish::Acting);
    }

    #[test]
    fn what_speaks_of_a_connection_is_not_passed_on() {
        let mut headers = HeaderMap::new();
        for name in ["connection", "keep-alive", "content-length", "authorization", "host"] {
            headers.insert(HeaderName::from_static(name), "x".parse().expect("a value"));
        }
        let kept = without_connection(&headers);
        let mut names: Vec<_> = kept.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["authorization", "host"]);
    }
}
