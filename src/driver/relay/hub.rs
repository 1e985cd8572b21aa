//! The nodes as the relay knows them, and to which of them a request goes.
//!
//! Each node is asked four times a second whether it acts (`GET /role`); a node that does not
//! answer within a second is lost until it answers again. Between two questions a node that speaks
//! of a channel acts, and one that says in an answer that it does not, does not.

#![expect(clippy::disallowed_types, reason = "short locks that are never held over a wait")]

use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Request, header};
use hyper::client::conn::http1::SendRequest;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tracing::{info, warn};

use super::dial::Dialler;
use super::owners::Owners;
use crate::driver::Standing;
use crate::driver::http::{ROLE, ROLE_PATH};

/// Between two questions to a node.
const ASK_EVERY: Duration = Duration::from_millis(250);
/// A node whose answer takes longer is lost. Its network threads answer, which wait for nobody.
const ANSWER_MAX: Duration = Duration::from_secs(1);
/// Between two tries to reach a node that is lost.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// Connections to a node that wait for another request.
const IDLE_MAX: usize = 32;
/// So long at most: the node ends one after 120 s, and a request must not meet that end.
const IDLE_FOR: Duration = Duration::from_secs(30);

/// What is known of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It does not answer, or was not asked yet.
    Lost,
    /// It answers and does not act.
    Follows,
    /// It has the ports and the calls.
    Acts,
}

/// Who may answer a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish<'a> {
    /// Any node: descriptions and the like.
    Anyone,
    /// The node that acts.
    Acting,
    /// The node that has this channel; if it is lost, the one that acts.
    Channel(&'a str),
}

/// A connection that may be used again, and since when it waits.
type Idle = (SendRequest<Body>, Instant);

pub(super) struct Node {
    pub(super) name: String,
    dialler: Dialler,
    idle: Mutex<Vec<Idle>>,
}

/// All nodes.
pub(super) struct Hub {
    nodes: Vec<Node>,
    states: watch::Sender<Vec<State>>,
    owners: Mutex<Owners>,
}

impl Hub {
    pub(super) fn new(nodes: Vec<(String, Dialler)>) -> Self {
        let nodes: Vec<_> = nodes
            .into_iter()
            .map(|(name, dialler)| Node { name, dialler, idle: Mutex::default() })
            .collect();
        let states = watch::Sender::new(vec![State::Lost; nodes.len()]);
        Self { nodes, states, owners: Mutex::default() }
    }

    /// How many nodes there are.
    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// A node's name for logs.
    pub(super) fn name(&self, node: usize) -> &str {
        self.nodes.get(node).map_or("?", |node| &node.name)
    }

    /// What is known, and a word when it changes.
    pub(super) fn states(&self) -> watch::Receiver<Vec<State>> {
        self.states.subscribe()
    }

    /// What is known of a node.
    pub(super) fn state(&self, node: usize) -> State {
        self.states.borrow().get(node).copied().unwrap_or(State::Lost)
    }

    /// Which node a request goes to now.
    pub(super) fn pick(&self, wish: Wish<'_>) -> Option<usize> {
        let states = self.states.borrow();
        let acting = || states.iter().position(|state| *state == State::Acts);
        let answers = |node: &usize| states.get(*node).is_some_and(|state| *state != State::Lost);
        match wish {
            Wish::Acting => acting(),
            Wish::Anyone => acting().or_else(|| (0..states.len()).find(answers)),
            Wish::Channel(id) => {
                let owner = lock(&self.owners).of(id);
                owner.filter(answers).or_else(acting)
            }
        }
    }

    /// A node spoke of a channel: it has it.
    pub(super) fn has(&self, node: usize, channel: &str) {
        lock(&self.owners).learn(channel, node);
    }

    /// Something about a node became known.
    pub(super) fn note(&self, node: usize, state: State) {
        let changed = self.states.send_if_modified(|states| match states.get_mut(node) {
            Some(known) if *known != state => {
                *known = state;
                true
            }
            Some(_) | None => false,
        });
        if changed {
            match state {
                State::Lost => warn!(node = self.name(node), "a node is lost"),
                State::Follows => info!(node = self.name(node), "a node answers and does not act"),
                State::Acts => info!(node = self.name(node), "a node acts"),
            }
        }
    }

    /// What an answer's headers say of its node.
    pub(super) fn note_headers(&self, node: usize, headers: &HeaderMap) {
        if let Some(acts) = acts(headers) {
            self.note(node, if acts { State::Acts } else { State::Follows });
        }
    }

    /// A new connection to a node, for a WebSocket.
    pub(super) async fn connect(&self, node: usize) -> io::Result<SendRequest<Body>> {
        let found = self.nodes.get(node).ok_or(io::ErrorKind::NotFound)?;
        found.dialler.connect().await
    }

    /// A connection to a node for one request.
    pub(super) async fn borrow(&self, node: usize) -> io::Result<SendRequest<Body>> {
        match self.nodes.get(node).and_then(Node::idle) {
            Some(sender) => Ok(sender),
            None => self.connect(node).await,
        }
    }

    /// Its answer was read to the end: it may be used again.
    pub(super) fn give_back(&self, node: usize, sender: SendRequest<Body>) {
        let Some(node) = self.nodes.get(node) else { return };
        let mut idle = lock(&node.idle);
        if idle.len() < IDLE_MAX {
            idle.push((sender, Instant::now()));
        }
    }

    /// Asks a node for ever whether it acts.
    pub(super) async fn watch(self: Arc<Self>, node: usize) -> Infallible {
        let mut pause = PAUSE_MIN;
        let mut told = String::new();
        loop {
            let error = match self.connect(node).await {
                Ok(mut sender) => loop {
                    match ask(&mut sender).await {
                        Ok(state) => self.note(node, state),
                        Err(error) => break error.to_string(),
                    }
                    (pause, told) = (PAUSE_MIN, String::new());
                    sleep(ASK_EVERY).await;
                },
                Err(error) => error.to_string(),
            };
            self.note(node, State::Lost);
            if error != told {
                warn!(node = self.name(node), error, "a node cannot be asked");
                told = error;
            }
            sleep(pause).await;
            pause = (2 * pause).min(PAUSE_MAX);
        }
    }

    /// One line for people and for systemd.
    pub(super) fn summary(&self) -> String {
        let states = self.states.borrow();
        let word = |state: &State| match state {
            State::Lost => "lost",
            State::Follows => "follows",
            State::Acts => "acts",
        };
        let all = self.nodes.iter().zip(states.iter());
        let words: Vec<_> = all.map(|(n, state)| format!("{} {}", n.name, word(state))).collect();
        words.join(", ")
    }
}

impl Node {
    /// The connection that was used last, if it is still good.
    fn idle(&self) -> Option<SendRequest<Body>> {
        let mut idle = lock(&self.idle);
        idle.retain(|(sender, since)| !sender.is_closed() && since.elapsed() < IDLE_FOR);
        idle.pop().map(|(sender, _)| sender)
    }
}

/// One question.
async fn ask(sender: &mut SendRequest<Body>) -> io::Result<State> {
    let mut request = Request::new(Body::empty());
    *request.uri_mut() = axum::http::Uri::from_static(ROLE_PATH);
    request.headers_mut().insert(header::HOST, HeaderValue::from_static("node"));
    let asked = async {
        sender.ready().await?;
        let answer = sender.send_request(request).await?;
        let acts = acts(answer.headers());
        let read = axum::body::to_bytes(Body::new(answer.into_body()), 1024).await;
        Ok::<_, hyper::Error>((acts, read))
    };
    let (acts, read) = timeout(ANSWER_MAX, asked)
        .await
        .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
        .map_err(io::Error::other)?;
    read.map_err(io::Error::other)?;
    match acts {
        Some(true) => Ok(State::Acts),
        Some(false) => Ok(State::Follows),
        None => Err(io::Error::other("it is no node")),
    }
}

fn acts(headers: &HeaderMap) -> Option<bool> {
    Standing::of_word(headers.get(ROLE)?.to_str().ok()?).map(Standing::acts)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while it holds one of these.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hub() -> Hub {
        let node = |name: &str| {
            let address = format!("{name}:1").parse().expect("an address");
            (name.to_owned(), Dialler::new(address, None).expect("a name"))
        };
        Hub::new(vec![node("a"), node("b")])
    }

    #[test]
    fn a_channel_is_asked_for_at_the_node_that_spoke_of_it_until_that_is_lost() {
        let hub = hub();
        hub.note(0, State::Acts);
        hub.note(1, State::Follows);
        hub.has(0, "5f-1.1");
        hub.note(0, State::Follows);
        hub.note(1, State::Acts);
        assert_eq!(hub.pick(Wish::Channel("5f-1.1")), Some(0), "it says 404 itself");
        assert_eq!(hub.pick(Wish::Channel("5f-1.2")), Some(1));
        hub.note(0, State::Lost);
        assert_eq!(hub.pick(Wish::Channel("5f-1.1")), Some(1));
    }

    #[test]
    fn only_descriptions_go_to_a_node_that_does_not_act() {
        let hub = hub();
        assert_eq!(hub.pick(Wish::Anyone), None);
        hub.note(1, State::Follows);
        assert_eq!((hub.pick(Wish::Anyone), hub.pick(Wish::Acting)), (Some(1), None));
        assert_eq!(hub.summary(), "a lost, b follows");
    }

    #[test]
    fn what_an_answer_says_of_its_node_counts_at_once() {
        let hub = hub();
        let mut headers = HeaderMap::new();
        hub.note_headers(1, &headers);
        assert_eq!(hub.state(1), State::Lost, "nothing was said");
        headers.insert(ROLE, HeaderValue::from_static("primary"));
        hub.note_headers(1, &headers);
        assert_eq!(hub.state(1), State::Acts);
    }
}
