//! Requests that a client sent over its WebSocket and that are not answered yet.
//!
//! They leave in the order in which they came: one whose node is not there keeps those behind it
//! waiting, since commands over one WebSocket cannot overtake each other. What a node had when it
//! was lost is answered here, and never sent again unless it only reads.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::hub::Wish;
use super::rest::{self, LOST, NOBODY, WAIT_MAX};

/// Requests of one client in flight; it is read no faster. As many as a node takes of an instance
/// with 32 calls.
pub(super) const REQUESTS_MAX: usize = 128;
/// Longest request that is kept so that another node can answer it. One that reads has no body.
const KEPT_MAX: usize = 8 * 1024;

/// What an answer repeats of its request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Echo {
    pub(super) transaction_id: String,
    pub(super) request_id: String,
    pub(super) uri: String,
    method: String,
}

/// One request.
#[derive(Debug)]
struct Request {
    echo: Echo,
    /// Empty once it was sent and is not to be sent again.
    text: String,
    give_up_at: Instant,
}

/// The requests of one client.
#[derive(Debug, Default)]
pub(super) struct Requests {
    waiting: VecDeque<Request>,
    /// With the node that has it.
    sent: VecDeque<(usize, Request)>,
}

/// An answer that no node gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) echo: Echo,
    pub(super) why: &'static str,
}

impl Requests {
    /// Whether another one may be read.
    pub(super) fn have_room(&self) -> bool {
        self.waiting.len() + self.sent.len() < REQUESTS_MAX
    }

    /// Whether any waits for a node.
    pub(super) fn wait(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// A request of the client, hostile. What is none goes to a node too, which says so.
    pub(super) fn take(&mut self, now: Instant, text: String) {
        let echo = serde_json::from_str(&text).unwrap_or_default();
        self.waiting.push_back(Request { echo, text, give_up_at: now + WAIT_MAX });
    }

    /// Who may answer the next one.
    pub(super) fn next(&self) -> Option<Wish<'_>> {
        let next = self.waiting.front()?;
        let uri = &next.echo.uri;
        Some(rest::wish(uri.split('?').next().unwrap_or_default()))
    }

    /// The next one, which goes to this node.
    pub(super) fn send(&mut self, node: usize) -> Option<String> {
        let mut request = self.waiting.pop_front()?;
        let again = request.echo.only_reads() && request.text.len() <= KEPT_MAX;
        let text = if again { request.text.clone() } else { std::mem::take(&mut request.text) };
        self.sent.push_back((node, request));
        Some(text)
    }

    /// A node answered a request. `false`: it was answered here when the node seemed lost.
    pub(super) fn answered(&mut self, node: usize, answer: &Answer) -> bool {
        let is_it = |(at, request): &(usize, Request)| {
            *at == node
                && request.echo.request_id == answer.request_id
                && request.echo.transaction_id == answer.transaction_id
        };
        match self.sent.iter().position(is_it) {
            Some(index) => self.sent.remove(index).is_some(),
            None => false,
        }
    }

    /// A node is lost. What only reads waits for another one; the rest is answered.
    pub(super) fn lost(&mut self, node: usize) -> Vec<Refused> {
        let (lost, kept) = self.sent.drain(..).partition(|(at, _)| *at == node);
        self.sent = kept;
        let lost: VecDeque<(usize, Request)> = lost;
        let mut refused = Vec::new();
        let mut again = VecDeque::new();
        for (_, request) in lost {
            if request.text.is_empty() {
                refused.push(Refused { echo: request.echo, why: LOST });
            } else {
                again.push_back(request);
            }
        }
        again.append(&mut self.waiting);
        self.waiting = again;
        refused
    }

    /// Those that have waited too long.
    pub(super) fn expired(&mut self, now: Instant) -> Vec<Refused> {
        let expired = self.waiting.iter().take_while(|r| r.give_up_at <= now).count();
        let refused = |request: Request| Refused { echo: request.echo, why: NOBODY };
        self.waiting.drain(..expired).map(refused).collect()
    }
}

impl Echo {
    fn only_reads(&self) -> bool {
        ["GET", "HEAD"].contains(&self.method.as_str())
    }
}

/// What is read of a message of a node.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Answer {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) asterisk_id: String,
    pub(super) channel: Channel,
    transaction_id: String,
    request_id: String,
}

/// The channel that an event is about.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Channel {
    pub(super) id: String,
}

/// An answer in the shape of a node's.
#[derive(Debug, Serialize)]
pub(super) struct RestResponse<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    transaction_id: &'a str,
    request_id: &'a str,
    status_code: u16,
    reason_phrase: &'static str,
    uri: &'a str,
    content_type: &'static str,
    message_body: String,
    application: &'a str,
    timestamp: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    asterisk_id: &'a str,
}

impl Refused {
    /// The message to the client.
    pub(super) fn text(&self, application: &str, timestamp: String, asterisk_id: &str) -> String {
        let answer = RestResponse {
            kind: "RESTResponse",
            transaction_id: &self.echo.transaction_id,
            request_id: &self.echo.request_id,
            status_code: 503,
            reason_phrase: "Service Unavailable",
            uri: &self.echo.uri,
            content_type: "application/json",
            message_body: serde_json::json!({ "message": self.why }).to_string(),
            application,
            timestamp,
            asterisk_id,
        };
        // A structure of strings and a number always has a JSON form.
        serde_json::to_string(&answer).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(id: &str, method: &str, uri: &str) -> String {
        let kind = "RESTRequest";
        serde_json::json!({"type": kind, "request_id": id, "method": method, "uri": uri})
            .to_string()
    }

    fn answer(id: &str) -> Answer {
        Answer { request_id: id.to_owned(), ..Answer::default() }
    }

    fn ids(refused: &[Refused]) -> Vec<(&str, &str)> {
        refused.iter().map(|r| (r.echo.request_id.as_str(), r.why)).collect()
    }

    #[tokio::test]
    async fn what_a_lost_node_had_is_answered_and_only_what_reads_is_sent_again() {
        let (mut requests, now) = (Requests::default(), Instant::now());
        let (play, look) = ("channels/5f-1.1/play", "channels/5f-1.1");
        for text in [request("1", "POST", play), request("2", "GET", look)] {
            requests.take(now, text);
        }
        assert_eq!(requests.next(), Some(Wish::Channel("5f-1.1")));
        let sent = [requests.send(0), requests.send(0)];
        assert_eq!(sent[1], Some(request("2", "GET", look)));
        requests.take(now, request("3", "POST", play));
        assert_eq!(requests.lost(1), []);
        assert_eq!(ids(&requests.lost(0)), [("1", LOST)]);
        assert_eq!(requests.send(1), Some(request("2", "GET", look)));
        assert_eq!(requests.send(1), Some(request("3", "POST", play)), "behind the older one");
        assert!(!requests.answered(0, &answer("1")), "a late answer is a second one");
        assert!(requests.answered(1, &answer("3")) && requests.answered(1, &answer("2")));
        assert!(!requests.answered(1, &answer("2")));
    }

    #[tokio::test]
    async fn a_request_waits_five_seconds_for_a_node_that_acts() {
        let (mut requests, now) = (Requests::default(), Instant::now());
        requests.take(now, request("1", "POST", "channels"));
        assert_eq!(requests.next(), Some(Wish::Acting));
        assert_eq!(requests.expired(now + WAIT_MAX - std::time::Duration::from_millis(1)), []);
        assert_eq!(ids(&requests.expired(now + WAIT_MAX)), [("1", NOBODY)]);
        assert!(!requests.wait());
    }

    #[tokio::test]
    async fn a_client_is_read_no_further_than_so_many_requests() {
        let (mut requests, now) = (Requests::default(), Instant::now());
        for _ in 0..REQUESTS_MAX {
            assert!(requests.have_room());
            requests.take(now, "{".to_owned());
        }
        assert!(!requests.have_room());
        requests.send(0);
        assert!(!requests.have_room());
        assert!(requests.answered(0, &answer("")), "of what is no request, as nodes answer it");
        assert!(requests.have_room());
    }

    #[test]
    fn a_refusal_has_the_shape_of_an_answer() {
        let echo = Echo { request_id: "r".into(), uri: "channels".into(), ..Echo::default() };
        let refused = Refused { echo, why: NOBODY };
        let text = refused.text("main", "2026-01-02T03:04:05.678+0000".into(), "pk");
        let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!((&value["status_code"], &value["uri"]), (&503.into(), &"channels".into()));
        let fixture = include_str!("../../../fixtures/ari/RESTResponse.json");
        let fixture: serde_json::Value = serde_json::from_str(fixture).expect("JSON");
        let missing = fixture.as_object().expect("an object").keys();
        assert_eq!(missing.filter(|key| value.get(*key).is_none()).count(), 0);
    }
}
