//! ARI's REST interface over HTTP, one connection for each request: as plain as a client can be.
//!
//! Requests of one channel wait for each other, those of different channels do not: a PBX may
//! answer only when the playback before has ended.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

/// Longest answer: a list of some hundred channels.
const ANSWER_MAX: u64 = 4 << 20;

/// Where the interface is, and who asks.
#[derive(Clone, Debug)]
pub(super) struct Rest {
    /// ARI listener.
    pub(super) ari: SocketAddr,
    /// `user:password`
    pub(super) api_key: String,
}

/// Requests of a lane that wait.
const WAITING_MAX: usize = 64;

/// Carries requests, each lane in order, and brings the answers to one place.
pub(super) struct Couriers {
    rest: Rest,
    answers: mpsc::Sender<String>,
    lanes: BTreeMap<String, mpsc::Sender<String>>,
}

impl Couriers {
    /// Couriers that have nothing to do, and where the answers come.
    pub(super) fn new(rest: Rest) -> (Self, mpsc::Receiver<String>) {
        let (answers, receiver) = mpsc::channel(WAITING_MAX);
        (Self { rest, answers, lanes: BTreeMap::new() }, receiver)
    }

    /// Takes a `RESTRequest`. What its id has before the last slash names its lane.
    pub(super) fn carry(&mut self, request: String) -> io::Result<()> {
        let Request { request_id, .. } = serde_json::from_str(&request)?;
        let name = request_id.rsplit_once('/').map_or("", |(lane, _)| lane).to_owned();
        let start = || lane(self.rest.clone(), self.answers.clone());
        let lane = self.lanes.entry(name).or_insert_with(start);
        lane.try_send(request).map_err(io::Error::other)
    }
}

/// Performs requests one by one, until nobody has any.
fn lane(rest: Rest, answers: mpsc::Sender<String>) -> mpsc::Sender<String> {
    let (sender, mut requests) = mpsc::channel::<String>(WAITING_MAX);
    tokio::spawn(async move {
        while let Some(request) = requests.recv().await {
            // Without an answer the application goes on, as it does over a WebSocket.
            let Ok(answer) = rest.perform(&request).await else { continue };
            if answers.send(answer).await.is_err() {
                return;
            }
        }
    });
    sender
}

/// What an application would send over its WebSocket.
#[derive(Debug, Deserialize)]
struct Request {
    request_id: String,
    method: String,
    uri: String,
}

/// What it would receive there.
#[derive(Debug, Serialize)]
struct Answer {
    #[serde(rename = "type")]
    kind: &'static str,
    request_id: String,
    status_code: u16,
}

impl Rest {
    /// Performs a `RESTRequest`; the answer is a `RESTResponse`.
    async fn perform(&self, request: &str) -> io::Result<String> {
        let Request { request_id, method, uri } = serde_json::from_str(request)?;
        let (status, _) = self.ask(&method, &uri).await?;
        let answer = Answer { kind: "RESTResponse", request_id, status_code: status };
        Ok(serde_json::to_string(&answer)?)
    }

    /// Every channel there is.
    pub(super) async fn channels(&self) -> io::Result<Vec<Value>> {
        let (_, body) = self.ask("GET", "channels").await?;
        Ok(serde_json::from_slice(&body)?)
    }

    async fn ask(&self, method: &str, uri: &str) -> io::Result<(u16, Vec<u8>)> {
        let Self { ari, api_key } = self;
        let mark = if uri.contains('?') { '&' } else { '?' };
        let request = format!(
            "{method} /ari/{uri}{mark}api_key={api_key} HTTP/1.1\r\nHost: {ari}\r\n\
             Connection: close\r\nContent-Length: 0\r\n\r\n"
        );
        let mut stream = TcpStream::connect(ari).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.take(ANSWER_MAX).read_to_end(&mut answer).await?;
        split(&answer).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }
}

/// Status and body of an answer that ends with its connection.
fn split(answer: &[u8]) -> Option<(u16, Vec<u8>)> {
    let end = memchr::memmem::find(answer, b"\r\n\r\n")?;
    let head = std::str::from_utf8(answer.get(..end)?).ok()?;
    let status = head.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some((status, answer.get(end + 4..)?.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_and_body_are_told_apart() {
        let answer = b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\n[]";
        assert_eq!(split(answer), Some((201, b"[]".to_vec())));
        assert_eq!(split(b"HTTP/1.1 201 Created\r\n"), None);
        assert_eq!(split(b"HTTP/1.1 what\r\n\r\n"), None);
    }
}
