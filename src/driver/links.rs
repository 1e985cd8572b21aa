//! Between HTTP tasks and the event loop: who waits for which answer, and the queue of each
//! WebSocket.
//!
//! HTTP tasks ask over the bounded [`ToNode`] channel; the event loop answers through the methods
//! here, which never wait and hold no lock beyond a table look-up. Only the end of a node waits a
//! moment, for its last events.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use dashmap::DashMap;
use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc, oneshot, watch};

use super::room::Room;
use super::{ToNode, clock};
use crate::ids::{InstanceId, RequestId};
use crate::ivr;
use crate::node::Mark;
use crate::timers::{Duration, Instant};

/// Events to one instance beside those of its calls.
const EVENTS_BASE: usize = 256;
/// A call makes StasisStart, state, StasisEnd and a digit within one scheduling delay.
const EVENTS_PER_CALL: usize = 4;

/// Requests on one WebSocket that the event loop has not handled, beside those of its calls;
/// whoever sends more waits in its own socket.
const REQUESTS_BASE: usize = 64;
/// A client pipelines a play behind an answer, or a variable behind a play.
const REQUESTS_PER_CALL: usize = 2;

/// The last events of a node that stops are written within this time, or not at all: an instance
/// that takes nothing holds no end up.
const LAST_WORDS_MAX: Duration = Duration::from_millis(200);

/// An event on its way to a socket.
#[derive(Debug)]
pub(super) struct Event {
    /// The message.
    pub(super) text: String,
    /// When the node made it.
    pub(super) at: Instant,
    /// The offer that it tells of, if it is a StasisStart.
    pub(super) offer: Option<Mark>,
}

/// What the node said to a request.
#[derive(Debug)]
pub(super) enum Answer {
    /// An HTTP response.
    Respond(ivr::Response),
    /// Open the WebSocket.
    Accept(Accepted),
}

/// The HTTP side of an accepted WebSocket.
#[derive(Debug)]
pub(super) struct Accepted {
    /// Sub-protocol to echo.
    pub(super) protocol: Option<&'static str>,
    /// Events to write.
    pub(super) events: mpsc::Receiver<Event>,
    /// What else the node wants.
    pub(super) wishes: Arc<Wishes>,
    /// Its requests in flight.
    pub(super) room: Arc<Room>,
    /// Tells the node that the connection ended, whichever way it ends.
    pub(super) open: Open,
    /// Where events are written: in the thread that makes them, which wakes no other one then.
    pub(super) control: Handle,
    /// Held while there are events to write.
    pub(super) lives: watch::Receiver<()>,
}

/// Wishes of the node that do not queue up: several are one.
#[derive(Debug, Default)]
pub(super) struct Wishes {
    /// Send a ping.
    pub(super) ping: Notify,
    /// End the connection, even in the middle of a write.
    pub(super) end: Notify,
}

/// The event loop's side of a WebSocket.
#[derive(Debug)]
struct Socket {
    events: mpsc::Sender<Event>,
    wishes: Arc<Wishes>,
    room: Arc<Room>,
}

/// What this node is to whoever may choose between several. Told with every HTTP answer, so that a
/// relay sends requests to the node that acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Standing {
    /// There is no other node.
    Alone,
    /// It has the ports and the calls.
    Primary,
    /// Another node has them, or may have: nothing is to be had here.
    Backup,
}

impl Standing {
    /// All of them, each at the place of its number.
    const ALL: [Self; 3] = [Self::Alone, Self::Primary, Self::Backup];

    /// Its word in the header `Portkeeper-Role`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Alone => "alone",
            Self::Primary => "primary",
            Self::Backup => "backup",
        }
    }

    /// The role of a word.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|standing| standing.word() == word)
    }

    /// Whether calls are served here.
    pub const fn acts(self) -> bool {
        matches!(self, Self::Alone | Self::Primary)
    }
}

/// The two tables, and what is said with every answer.
#[derive(Debug)]
pub struct Links {
    standing: AtomicU8,
    pending: DashMap<RequestId, oneshot::Sender<Answer>>,
    sockets: DashMap<InstanceId, Socket>,
    next_request: AtomicU64,
    next_instance: AtomicU64,
    to_node: mpsc::Sender<ToNode>,
    /// Bound of each socket's queue: [`EVENTS_BASE`] + [`EVENTS_PER_CALL`] x the calls that an
    /// instance can have, which are as many as there are ports. Its calls of the moment would not
    /// do: a rebind gives it many at once, and a queue does not grow.
    events_max: usize,
    runtime: Handle,
    /// Closed when no event waits to be written any more.
    writers: watch::Sender<()>,
}

impl Links {
    /// For a node with so many voice ports. Must be called within a tokio runtime: the one that
    /// the HTTP tasks run on.
    pub fn new(to_node: mpsc::Sender<ToNode>, ports: usize) -> Arc<Self> {
        Arc::new(Self {
            standing: AtomicU8::new(Standing::Alone as u8),
            pending: DashMap::new(),
            sockets: DashMap::new(),
            next_request: AtomicU64::new(1),
            next_instance: AtomicU64::new(1),
            to_node,
            events_max: EVENTS_BASE + EVENTS_PER_CALL * ports,
            runtime: Handle::current(),
            writers: watch::Sender::new(()),
        })
    }

    /// From here on every answer says so. Not called, a node is [`Standing::Alone`].
    pub fn set_standing(&self, standing: Standing) {
        self.standing.store(standing as u8, Ordering::Relaxed);
    }

    /// What was said last.
    pub fn standing(&self) -> Standing {
        let number = usize::from(self.standing.load(Ordering::Relaxed));
        Standing::ALL.get(number).copied().unwrap_or(Standing::Alone)
    }

    /// Answers a request; one whose client is gone is forgotten.
    pub fn respond(&self, request: RequestId, response: ivr::Response) {
        if let Some((_, waiting)) = self.pending.remove(&request) {
            let _ = waiting.send(Answer::Respond(response));
        }
    }

    /// Accepts an `Upgrade`. Events may be sent at once; they wait for the handshake. If the
    /// client is gone already the node hears `Closed`. Must be called within the runtime of the
    /// event loop: events are written there.
    pub fn accept(
        self: &Arc<Self>,
        request: RequestId,
        instance: InstanceId,
        protocol: Option<&'static str>,
    ) {
        let (sender, events) = mpsc::channel(self.events_max);
        let wishes = Arc::new(Wishes::default());
        let room = Arc::new(Room::new(REQUESTS_BASE));
        let (wished, places) = (Arc::clone(&wishes), Arc::clone(&room));
        self.sockets.insert(instance, Socket { events: sender, wishes: wished, room: places });
        let open = Open { links: Arc::clone(self), instance };
        let (control, lives) = (Handle::current(), self.writers.subscribe());
        let accepted = Accepted { protocol, events, wishes, room, open, control, lives };
        if let Some((_, waiting)) = self.pending.remove(&request) {
            // What could not be sent is dropped, which tells the node.
            let _ = waiting.send(Answer::Accept(accepted));
        }
    }

    /// Sends an event; `offer` names the offer that a StasisStart tells of, so that the moment of
    /// its writing can be reported.
    ///
    /// # Errors
    /// [`Full`]: an instance that has lost an event cannot go on. Its connection is ended.
    pub fn text(
        &self,
        instance: InstanceId,
        text: String,
        offer: Option<Mark>,
    ) -> Result<(), Full> {
        let event = Event { text, at: clock::now(), offer };
        let sent = self.sockets.get(&instance).map(|socket| socket.events.try_send(event));
        let Some(Err(mpsc::error::TrySendError::Full(_))) = sent else { return Ok(()) };
        if let Some((_, socket)) = self.sockets.remove(&instance) {
            socket.wishes.end.notify_one();
        }
        Err(Full { events: self.events_max })
    }

    /// So many calls an instance has: its requests in flight follow.
    pub fn calls(&self, instance: InstanceId, calls: usize) {
        if let Some(socket) = self.sockets.get(&instance) {
            socket.room.resize(REQUESTS_BASE + REQUESTS_PER_CALL * calls);
        }
    }

    /// Sends a ping, unless one waits already.
    pub fn ping(&self, instance: InstanceId) {
        if let Some(socket) = self.sockets.get(&instance) {
            socket.wishes.ping.notify_one();
        }
    }

    /// The node has stopped: what waits is written, and every WebSocket ends.
    pub async fn finish(&self) {
        self.sockets.clear();
        // Whoever has not taken it by then has lost it.
        let _ = tokio::time::timeout(LAST_WORDS_MAX, self.writers.closed()).await;
    }

    /// Connected WebSockets.
    pub fn connected(&self) -> usize {
        self.sockets.len()
    }

    /// Registers a question; the answer comes through the receiver.
    pub(super) fn ask(&self) -> (RequestId, oneshot::Receiver<Answer>) {
        let request = RequestId(self.next_request.fetch_add(1, Ordering::Relaxed));
        let (sender, receiver) = oneshot::channel();
        self.pending.insert(request, sender);
        (request, receiver)
    }

    /// A name for a connection that asks to be opened.
    pub(super) fn next_instance(&self) -> InstanceId {
        InstanceId(self.next_instance.fetch_add(1, Ordering::Relaxed))
    }

    /// Hands a message to the event loop, waiting while its queue is full. `Err`: it has stopped.
    pub(super) async fn tell(&self, message: ToNode) -> Result<(), Stopped> {
        self.to_node.send(message).await.map_err(|_| Stopped)
    }

    fn closed(&self, instance: InstanceId) {
        self.sockets.remove(&instance);
        let message = ToNode::ivr(ivr::Input::Closed { instance });
        if let Err(mpsc::error::TrySendError::Full(message)) = self.to_node.try_send(message) {
            let to_node = self.to_node.clone();
            self.runtime.spawn(async move { to_node.send(message).await });
        }
    }
}

/// The socket of an instance has taken nothing while so many events were made for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full {
    /// The bound of its queue.
    pub events: usize,
}

/// The event loop has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stopped;

/// Held as long as a WebSocket lives. Dropping it tells the node that the connection ended.
#[derive(Debug)]
pub(super) struct Open {
    links: Arc<Links>,
    instance: InstanceId,
}

impl Open {
    pub(super) fn instance(&self) -> InstanceId {
        self.instance
    }

    pub(super) fn links(&self) -> &Arc<Links> {
        &self.links
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.links.closed(self.instance);
    }
}
