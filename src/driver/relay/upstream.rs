//! One client's WebSocket to one node, made anew with growing pauses whenever it is lost.
//!
//! A node that cannot be reached, or that refuses later what it accepted at first, is no reason to
//! end the client: it is tried again for as long as the client is there. What waits to be written
//! when a connection ends is lost with it, so nothing is ever sent twice.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use bytes::Bytes;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::frame::{Message, Reader, Writer};
use super::hub::Hub;
use super::requests::REQUESTS_MAX;

/// First pause before another try, and the longest.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// A handshake takes this long at most.
const HANDSHAKE_MAX: Duration = Duration::from_secs(3);
/// A node that takes nothing for so long loses the connection; its own sockets are tuned like that.
const WRITE_MAX: Duration = Duration::from_secs(3);
/// What waits to be written: every request in flight, and as many pongs. A pong that finds no room
/// is dropped, since the next one says the same.
const TO_NODE_MAX: usize = 2 * REQUESTS_MAX;

/// What a client's session hears of a node.
#[derive(Debug)]
pub(super) enum FromNode {
    /// Connected; what goes to the node goes here.
    Up {
        /// Ends with the connection.
        to: mpsc::Sender<ToNode>,
        /// The sub-protocol that the node chose.
        protocol: Option<HeaderValue>,
    },
    /// An event or an answer.
    Text(String),
    /// The node asks whether the application lives.
    Ping(Bytes),
    /// Not connected, or no longer.
    Down,
    /// It refuses this client: what it answered.
    Refused(Response<Body>),
}

/// What goes to a node.
#[derive(Debug)]
pub(super) enum ToNode {
    /// A request.
    Text(String),
    /// The application's answer to a ping.
    Pong(Bytes),
}

/// What the client asked for: sent to each node as it came.
#[derive(Clone, Debug)]
pub(super) struct Handshake {
    parts: Arc<Parts>,
}

/// One client at one node.
pub(super) struct Upstream {
    pub(super) hub: Arc<Hub>,
    pub(super) node: usize,
    pub(super) handshake: Handshake,
    /// With the node's number.
    pub(super) to_client: mpsc::Sender<(usize, FromNode)>,
}

/// An open WebSocket.
struct Open {
    socket: TokioIo<Upgraded>,
    protocol: Option<HeaderValue>,
}

/// The session is gone.
struct Gone;

impl Upstream {
    /// Until the client is gone.
    pub(super) async fn run(self) {
        let mut pause = PAUSE_MIN;
        loop {
            let said = match self.handshake.open(&self.hub, self.node).await {
                Ok(Ok(open)) => {
                    pause = PAUSE_MIN;
                    self.carry(open).await
                }
                Ok(Err(refusal)) => {
                    tracing::debug!(
                        node = self.hub.name(self.node),
                        status = refusal.status().as_u16(),
                        "a node refuses an application"
                    );
                    self.say(FromNode::Refused(refusal)).await
                }
                Err(error) => {
                    tracing::debug!(node = self.hub.name(self.node), %error, "no WebSocket");
                    self.say(FromNode::Down).await
                }
            };
            if said.is_err() {
                return;
            }
            sleep(pause).await;
            pause = (2 * pause).min(PAUSE_MAX);
        }
    }

    async fn say(&self, word: FromNode) -> Result<(), Gone> {
        self.to_client.send((self.node, word)).await.map_err(|_| Gone)
    }

    /// Carries messages both ways until the connection ends.
    async fn carry(&self, open: Open) -> Result<(), Gone> {
        let (to, mut from_client) = mpsc::channel(TO_NODE_MAX);
        self.say(FromNode::Up { to, protocol: open.protocol }).await?;
        let (read, write) = tokio::io::split(open.socket);
        let ended = tokio::select! {
            ended = self.read(Reader::new(read)) => ended?,
            ended = write_all(Writer::new(write), &mut from_client) => ended,
        };
        tracing::debug!(node = self.hub.name(self.node), error = %ended, "a WebSocket ended");
        // Before the word: what is offered from here on is not sent.
        drop(from_client);
        self.say(FromNode::Down).await
    }

    async fn read<R: tokio::io::AsyncRead + Unpin>(
        &self,
        mut from: Reader<R>,
    ) -> Result<io::Error, Gone> {
        loop {
            match from.next().await {
                Ok(Message::Text(text)) => self.say(FromNode::Text(text)).await?,
                Ok(Message::Ping(payload)) => self.say(FromNode::Ping(payload)).await?,
                Ok(Message::Close) => return Ok(io::ErrorKind::ConnectionReset.into()),
                Err(error) => return Ok(error),
            }
        }
    }
}

/// Writes until the connection or the session ends.
async fn write_all<W: tokio::io::AsyncWrite + Unpin>(
    mut to: Writer<W>,
    from_client: &mut mpsc::Receiver<ToNode>,
) -> io::Error {
    loop {
        let written = match from_client.recv().await {
            Some(ToNode::Text(text)) => timeout(WRITE_MAX, to.text(text)).await,
            Some(ToNode::Pong(payload)) => timeout(WRITE_MAX, to.pong(payload)).await,
            None => {
                let _ = timeout(WRITE_MAX, to.close()).await;
                return io::ErrorKind::ConnectionAborted.into();
            }
        };
        match written {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return error,
            Err(_) => return io::ErrorKind::TimedOut.into(),
        }
    }
}

impl Handshake {
    pub(super) fn new(parts: Parts) -> Self {
        Self { parts: Arc::new(parts) }
    }

    /// Opens the WebSocket, or returns what the node answered instead.
    async fn open(&self, hub: &Hub, node: usize) -> io::Result<Result<Open, Response<Body>>> {
        let opened = timeout(HANDSHAKE_MAX, self.shake(hub, node)).await;
        opened.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }

    async fn shake(&self, hub: &Hub, node: usize) -> io::Result<Result<Open, Response<Body>>> {
        let mut sender = hub.connect(node).await?;
        let key = generate_key();
        let request = self.request(&key)?;
        let mut answer = sender.send_request(request).await.map_err(io::Error::other)?;
        hub.note_headers(node, answer.headers());
        let status = answer.status();
        if status.is_client_error() {
            return Ok(Err(refusal(answer).await?));
        }
        if status != StatusCode::SWITCHING_PROTOCOLS {
            return Err(io::Error::other(format!("the node answered {status}")));
        }
        let accept = answer.headers().get(header::SEC_WEBSOCKET_ACCEPT);
        if accept.is_none_or(|accept| accept != derive_accept_key(key.as_bytes()).as_str()) {
            return Err(io::Error::other("the node did not accept this handshake"));
        }
        let protocol = answer.headers().get(header::SEC_WEBSOCKET_PROTOCOL).cloned();
        let upgraded = hyper::upgrade::on(&mut answer).await.map_err(io::Error::other)?;
        Ok(Ok(Open { socket: TokioIo::new(upgraded), protocol }))
    }

    fn request(&self, key: &str) -> io::Result<Request<Body>> {
        let mut request = Request::new(Body::empty());
        if let Some(uri) = self.parts.uri.path_and_query() {
            *request.uri_mut() = uri.clone().into();
        }
        let headers = request.headers_mut();
        let kept = [
            header::HOST,
            header::AUTHORIZATION,
            header::ORIGIN,
            header::SEC_WEBSOCKET_PROTOCOL,
            header::USER_AGENT,
        ];
        for name in kept {
            if let Some(value) = self.parts.headers.get(&name) {
                headers.insert(name, value.clone());
            }
        }
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        let key = HeaderValue::from_str(key).map_err(io::Error::other)?;
        headers.insert(header::SEC_WEBSOCKET_KEY, key);
        Ok(request)
    }
}

/// A refusal as the client gets it.
async fn refusal(answer: Response<hyper::body::Incoming>) -> io::Result<Response<Body>> {
    let (head, body) = answer.into_parts();
    let body = to_bytes(Body::new(body), 64 * 1024).await.map_err(io::Error::other)?;
    let mut refusal = Response::new(Body::from(body));
    *refusal.status_mut() = head.status;
    copy(&head.headers, refusal.headers_mut());
    Ok(refusal)
}

fn copy(from: &HeaderMap, to: &mut HeaderMap) {
    for name in [header::CONTENT_TYPE, header::WWW_AUTHENTICATE] {
        if let Some(value) = from.get(&name) {
            to.insert(name, value.clone());
        }
    }
}
