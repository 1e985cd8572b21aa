//! One client's WebSocket, and behind it one to every node.
//!
//! Whatever any node sends goes to the client. What the client sends goes to the node that has the
//! channel, or acts. All of it is done by one task, so nothing overtakes anything; a client that
//! does not read holds up its own nodes only, whose bounds then apply, and after [`WRITE_MAX`] it
//! loses its connection here too.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Response, StatusCode};
use futures_util::{SinkExt, StreamExt};
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, timeout, timeout_at};

use super::Relay;
use super::hub::{Hub, State};
use super::pings::Pings;
use super::requests::{Answer, Refused, Requests};
use super::rest::NOBODY;
use super::upstream::{FromNode, Handshake, ToNode, Upstream};
use crate::driver::clock;
use crate::driver::http::{BODY_MAX, message};
use crate::ivr::Timestamp;

/// How long a client waits for the first node that accepts it.
const FIRST_MAX: Duration = Duration::from_secs(5);
/// Messages of the nodes that wait for one client. When they are so many, no more are read, and
/// more than some hundred wait in the node, which ends the connection by its own rule.
const MESSAGES_MAX: usize = 1_024;
/// Messages written with one flush.
const BATCH_MAX: usize = 128;
/// A client that takes nothing for so long reads no more.
const WRITE_MAX: Duration = Duration::from_secs(5);
/// How often requests that wait are looked at.
const TURN: Duration = Duration::from_millis(100);

/// The client is gone.
struct Gone;

/// A client that was accepted by a node.
pub(super) struct Session {
    hub: Arc<Hub>,
    /// The first application that it serves, for answers that are made here.
    application: String,
    /// As the nodes say it.
    asterisk_id: String,
    from_nodes: mpsc::Receiver<(usize, FromNode)>,
    /// What goes to each node, while its WebSocket is open.
    lanes: Vec<Option<mpsc::Sender<ToNode>>>,
    requests: Requests,
    pings: Pings,
    stop: watch::Receiver<bool>,
    /// One for each node; they end with the session.
    _upstreams: JoinSet<()>,
    _permit: OwnedSemaphorePermit,
}

/// Answers a handshake: accepted when a node has, refused when all that answer refuse.
pub(super) async fn open(
    relay: &Arc<Relay>,
    parts: Parts,
    mut upgrade: WebSocketUpgrade,
) -> Response<Body> {
    let Ok(permit) = Arc::clone(&relay.clients).try_acquire_owned() else {
        return message(StatusCode::SERVICE_UNAVAILABLE, "Too many WebSockets");
    };
    let mut session = Session::new(relay, parts, permit);
    match session.first_word().await {
        Ok(protocol) => {
            if let Some(protocol) = protocol {
                upgrade.set_selected_protocol(protocol);
            }
            let upgrade = upgrade.max_message_size(BODY_MAX).max_frame_size(BODY_MAX);
            upgrade.on_upgrade(|socket| session.run(socket))
        }
        Err(refusal) => *refusal,
    }
}

impl Session {
    fn new(relay: &Relay, parts: Parts, permit: OwnedSemaphorePermit) -> Self {
        let hub = Arc::clone(&relay.hub);
        let application = first_application(parts.uri.query().unwrap_or_default());
        let handshake = Handshake::new(parts);
        let (to_client, from_nodes) = mpsc::channel(MESSAGES_MAX);
        let mut upstreams = JoinSet::new();
        for node in 0..hub.len() {
            let (hub, handshake) = (Arc::clone(&hub), handshake.clone());
            upstreams.spawn(Upstream { hub, node, handshake, to_client: to_client.clone() }.run());
        }
        let lanes = vec![None; hub.len()];
        Self {
            hub,
            application,
            asterisk_id: String::new(),
            from_nodes,
            lanes,
            requests: Requests::default(),
            pings: Pings::default(),
            stop: relay.stop.subscribe(),
            _upstreams: upstreams,
            _permit: permit,
        }
    }

    /// Waits for a node that accepts, and returns the sub-protocol it chose; or for the refusal of
    /// every node that answers.
    async fn first_word(&mut self) -> Result<Option<HeaderValue>, Box<Response<Body>>> {
        let deadline = Instant::now() + FIRST_MAX;
        let mut silent: Vec<usize> = (0..self.hub.len()).collect();
        let mut refusal = None;
        while let Ok(Some((node, word))) = timeout_at(deadline, self.from_nodes.recv()).await {
            match word {
                FromNode::Up { to, protocol } => {
                    self.set_lane(node, Some(to));
                    return Ok(protocol);
                }
                FromNode::Refused(answer) => refusal = Some(answer),
                // Before a node is up it says nothing else.
                FromNode::Down | FromNode::Text(_) | FromNode::Ping(_) => {}
            }
            silent.retain(|waiting| *waiting != node);
            if silent.is_empty()
                && let Some(refusal) = refusal.take()
            {
                return Err(Box::new(refusal));
            }
        }
        let nobody = || message(StatusCode::SERVICE_UNAVAILABLE, "No node answers");
        Err(Box::new(refusal.unwrap_or_else(nobody)))
    }

    fn set_lane(&mut self, node: usize, lane: Option<mpsc::Sender<ToNode>>) {
        if let Some(place) = self.lanes.get_mut(node) {
            *place = lane;
        }
    }

    /// Carries messages until the client is gone or the relay stops.
    async fn run(mut self, mut client: WebSocket) {
        let (mut states, mut stop) = (self.hub.states(), self.stop.clone());
        let stopped = async move { drop(stop.wait_for(|stop| *stop).await) };
        tokio::pin!(stopped);
        let mut turn = interval(TURN);
        loop {
            let carried = tokio::select! {
                word = self.from_nodes.recv() => match word {
                    Some((node, word)) => self.hear(&mut client, node, word).await,
                    None => Err(Gone),
                },
                message = client.next(), if self.requests.have_room() => self.take(message),
                changed = states.changed() => match changed {
                    Ok(()) => self.look(&mut client).await,
                    Err(_) => Err(Gone),
                },
                _ = turn.tick(), if self.requests.wait() => {
                    let refused = self.requests.expired(Instant::now());
                    self.refuse(&mut client, refused).await
                }
                () = &mut stopped => return close(&mut client).await,
            };
            if carried.is_err() {
                return;
            }
            self.send_requests();
        }
    }

    /// A message of a node, and all that wait behind it.
    async fn hear(
        &mut self,
        client: &mut WebSocket,
        node: usize,
        word: FromNode,
    ) -> Result<(), Gone> {
        let mut out = Vec::new();
        self.hear_one(node, word, &mut out);
        while out.len() < BATCH_MAX
            && let Ok((node, word)) = self.from_nodes.try_recv()
        {
            self.hear_one(node, word, &mut out);
        }
        write(client, out).await
    }

    fn hear_one(&mut self, node: usize, word: FromNode, out: &mut Vec<Message>) {
        match word {
            FromNode::Up { to, .. } => self.set_lane(node, Some(to)),
            FromNode::Text(text) => {
                if self.learn(node, &text) {
                    out.push(Message::Text(text.into()));
                }
            }
            FromNode::Ping(payload) => out.push(Message::Ping(self.pings.ask(node, payload))),
            FromNode::Down | FromNode::Refused(_) => {
                self.set_lane(node, None);
                let refused = self.requests.lost(node);
                out.extend(refused.iter().map(|refused| self.refusal(refused)));
            }
        }
    }

    /// What a message tells about its node. `false`: the client has had this answer.
    fn learn(&mut self, node: usize, text: &str) -> bool {
        let told: Answer = serde_json::from_str(text).unwrap_or_default();
        if self.asterisk_id.is_empty() {
            self.asterisk_id = told.asterisk_id.clone();
        }
        if told.kind == "RESTResponse" {
            return self.requests.answered(node, &told);
        }
        if !told.channel.id.is_empty() {
            self.hub.has(node, &told.channel.id);
        }
        if told.kind == "StasisStart" {
            self.hub.note(node, State::Acts);
        }
        true
    }

    /// A message of the client.
    fn take(&mut self, message: Option<Result<Message, axum::Error>>) -> Result<(), Gone> {
        match message {
            Some(Ok(Message::Text(text))) => {
                self.requests.take(Instant::now(), text.as_str().to_owned());
            }
            Some(Ok(Message::Pong(payload))) => {
                for (node, payload) in self.pings.answer(&payload) {
                    if let Some(lane) = self.lanes.get(node).and_then(Option::as_ref) {
                        // Without room the next pong says the same.
                        let _ = lane.try_send(ToNode::Pong(payload));
                    }
                }
            }
            // The library answers its pings; ARI has no binary messages.
            Some(Ok(Message::Ping(_) | Message::Binary(_))) => {}
            Some(Ok(Message::Close(_)) | Err(_)) | None => return Err(Gone),
        }
        Ok(())
    }

    /// What is known of the nodes changed: a lost one answers nothing, though its connection may
    /// still be open.
    async fn look(&mut self, client: &mut WebSocket) -> Result<(), Gone> {
        let mut refused = Vec::new();
        for node in 0..self.hub.len() {
            if self.hub.state(node) == State::Lost {
                refused.append(&mut self.requests.lost(node));
            }
        }
        self.refuse(client, refused).await
    }

    /// Sends requests in order, as far as their nodes are there.
    fn send_requests(&mut self) {
        while let Some(wish) = self.requests.next() {
            let Some(node) = self.hub.pick(wish) else { return };
            let Some(lane) = self.lanes.get(node).and_then(Option::as_ref) else { return };
            let Ok(place) = lane.try_reserve() else { return };
            if let Some(text) = self.requests.send(node) {
                place.send(ToNode::Text(text));
            }
        }
    }

    async fn refuse(&self, client: &mut WebSocket, refused: Vec<Refused>) -> Result<(), Gone> {
        write(client, refused.iter().map(|refused| self.refusal(refused)).collect()).await
    }

    fn refusal(&self, refused: &Refused) -> Message {
        if refused.why == NOBODY {
            tracing::warn!("no node acts: a request was refused");
        }
        let timestamp = Timestamp(clock::unix_ms()).to_string();
        Message::Text(refused.text(&self.application, timestamp, &self.asterisk_id).into())
    }
}

/// Writes messages with one flush.
async fn write(client: &mut WebSocket, messages: Vec<Message>) -> Result<(), Gone> {
    if messages.is_empty() {
        return Ok(());
    }
    let written = async {
        for message in messages {
            client.feed(message).await?;
        }
        client.flush().await
    };
    match timeout(WRITE_MAX, written).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(Gone),
        Err(_) => {
            tracing::warn!("a client reads nothing: its connection is ended");
            Err(Gone)
        }
    }
}

async fn close(client: &mut WebSocket) {
    let frame = CloseFrame { code: close_code::AWAY, reason: "the relay stops".into() };
    let _ = write(client, vec![Message::Close(Some(frame))]).await;
}

/// `?app=` up to its first comma.
fn first_application(query: &str) -> String {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let list = pairs.find(|(name, _)| *name == "app").map_or("", |(_, list)| list);
    list.split([',', '%']).next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_application_of_a_list_is_named() {
        assert_eq!(first_application("api_key=u:p&app=main,other"), "main");
        assert_eq!(first_application("app=main%2Cother"), "main");
        assert_eq!(first_application("x"), "");
    }
}
