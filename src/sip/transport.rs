//! Flows: where a message goes, and the connections that carry it.
//!
//! A connection to an address is opened once and shared by everybody who sends there from the same
//! socket; what is sent before it stands waits in it. Connections that others open are few and only
//! from PBX addresses. A message that began and is not complete after 32 seconds ends its
//! connection, so that nobody holds one open for nothing.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;

use crate::config;
use crate::sip::deadlines::Deadlines;
use crate::sip::wire::framing::Framer;
use crate::sip::{SocketId, StreamId};
use crate::timers::{Duration, Instant};

/// Time for a message to become complete (ASVS 17.3, RFC 3261 gives none).
const COMPLETE_WITHIN: Duration = Duration::from_secs(32);
/// Time for a connection to stand; half of what a dead registrar may cost a walk.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// Connections that one address may open to us.
const ACCEPTED_PER_ADDRESS: usize = 8;
/// Connections that all addresses together may open to us.
const ACCEPTED_MAX: usize = 64;
/// Messages that wait for a connection: more than the REGISTER window and the calls of a moment.
/// What does not fit is lost, as a datagram would be, and its transaction times out.
const WAITING_MAX: usize = 256;

/// Where a message goes, or came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Flow {
    pub(crate) socket: SocketId,
    pub(crate) peer: SocketAddr,
    /// The connection, when it is one.
    pub(crate) stream: Option<StreamId>,
}

impl Flow {
    /// The transport repeats what is lost.
    pub(crate) const fn reliable(&self) -> bool {
        self.stream.is_some()
    }
}

/// What to do in the world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Output {
    Datagram { socket: SocketId, to: SocketAddr, bytes: Bytes, claims: bool },
    Connect { stream: StreamId, socket: SocketId, to: SocketAddr },
    Send { stream: StreamId, bytes: Bytes, claims: bool },
    Close { stream: StreamId },
}

/// A connection whose bytes are no messages, and which was closed for it.
#[derive(Debug)]
pub(crate) struct Broken(pub(crate) Flow);

#[derive(Debug)]
enum State {
    Connecting {
        /// With whether each claims.
        waiting: Vec<(Bytes, bool)>,
        give_up_at: Instant,
    },
    /// `complete_by`: a message began and must be whole by then.
    Up { complete_by: Option<Instant> },
}

#[derive(Debug)]
struct Stream {
    socket: SocketId,
    peer: SocketAddr,
    ours: bool,
    framer: Framer,
    state: State,
}

/// All flows.
#[derive(Debug)]
pub(crate) struct Transport {
    kind: config::Transport,
    sockets: Vec<SocketAddr>,
    streams: BTreeMap<StreamId, Stream>,
    by_peer: BTreeMap<(SocketId, SocketAddr), StreamId>,
    accepted: BTreeMap<IpAddr, usize>,
    opened: u64,
    deadlines: Deadlines<StreamId>,
    outputs: VecDeque<Output>,
}

impl Transport {
    /// `sockets`: local addresses by [`SocketId`].
    pub(crate) fn new(kind: config::Transport, sockets: Vec<SocketAddr>) -> Self {
        Self {
            kind,
            sockets,
            streams: BTreeMap::new(),
            by_peer: BTreeMap::new(),
            accepted: BTreeMap::new(),
            opened: 0,
            deadlines: Deadlines::new(),
            outputs: VecDeque::new(),
        }
    }

    /// The flow from `socket` to `peer`, over the configured transport.
    pub(crate) fn flow_to(&mut self, now: Instant, socket: SocketId, peer: SocketAddr) -> Flow {
        let stream = match self.kind {
            config::Transport::Udp => None,
            config::Transport::Tcp => Some(self.stream_to(now, socket, peer)),
        };
        Flow { socket, peer, stream }
    }

    fn stream_to(&mut self, now: Instant, socket: SocketId, peer: SocketAddr) -> StreamId {
        match self.by_peer.get(&(socket, peer)) {
            Some(&stream) => stream,
            None => self.connect(now, socket, peer),
        }
    }

    fn connect(&mut self, now: Instant, socket: SocketId, peer: SocketAddr) -> StreamId {
        self.opened += 1;
        let id = StreamId(self.opened);
        let state = State::Connecting { waiting: vec![], give_up_at: now + CONNECT_WITHIN };
        self.insert(id, Stream { socket, peer, ours: true, framer: Framer::new(), state });
        self.outputs.push_back(Output::Connect { stream: id, socket, to: peer });
        id
    }

    fn insert(&mut self, id: StreamId, stream: Stream) {
        self.by_peer.insert((stream.socket, stream.peer), id);
        self.streams.insert(id, stream);
        self.note_deadline(id);
    }

    fn note_deadline(&mut self, id: StreamId) {
        let at = self.streams.get(&id).and_then(|stream| match stream.state {
            State::Connecting { give_up_at, .. } => Some(give_up_at),
            State::Up { complete_by } => complete_by,
        });
        self.deadlines.set(id, at);
    }

    /// Sends. A connection that is gone is made anew (RFC 3261 section 18.2.2): an answer must not
    /// be lost with the connection that its request came on.
    pub(crate) fn send(&mut self, now: Instant, flow: Flow, bytes: Bytes, claims: bool) {
        let Flow { socket, peer, .. } = flow;
        let Some(id) = flow.stream else {
            self.outputs.push_back(Output::Datagram { socket, to: peer, bytes, claims });
            return;
        };
        let id = if self.is_known(id) { id } else { self.stream_to(now, socket, peer) };
        match self.streams.get_mut(&id).map(|s| &mut s.state) {
            Some(State::Up { .. }) => {
                self.outputs.push_back(Output::Send { stream: id, bytes, claims });
            }
            Some(State::Connecting { waiting, .. }) if waiting.len() < WAITING_MAX => {
                waiting.push((bytes, claims));
            }
            Some(State::Connecting { .. }) | None => {}
        }
    }

    /// A connection stands. `welcome`: its peer may send requests. Returns whether it is kept.
    pub(crate) fn stream_up(
        &mut self,
        id: StreamId,
        peer: SocketAddr,
        local: SocketAddr,
        welcome: bool,
    ) -> bool {
        if let Some(stream) = self.streams.get_mut(&id) {
            let up = State::Up { complete_by: None };
            if let State::Connecting { waiting, .. } = std::mem::replace(&mut stream.state, up) {
                let send = |(bytes, claims)| Output::Send { stream: id, bytes, claims };
                self.outputs.extend(waiting.into_iter().map(send));
            }
            self.note_deadline(id);
            return true;
        }
        if !welcome || !self.count_accepted(peer.ip()) {
            self.outputs.push_back(Output::Close { stream: id });
            return false;
        }
        let socket = self.socket_at(local);
        let state = State::Up { complete_by: None };
        self.insert(id, Stream { socket, peer, ours: false, framer: Framer::new(), state });
        true
    }

    fn count_accepted(&mut self, address: IpAddr) -> bool {
        let all: usize = self.accepted.values().sum();
        let count = self.accepted.entry(address).or_default();
        let room = *count < ACCEPTED_PER_ADDRESS && all < ACCEPTED_MAX;
        if room {
            *count += 1;
        }
        room
    }

    fn socket_at(&self, local: SocketAddr) -> SocketId {
        let same = |s: &SocketAddr| s.port() == local.port();
        let index = self.sockets.iter().position(same).unwrap_or(0);
        SocketId(u16::try_from(index).unwrap_or(0))
    }

    /// Bytes arrived; [`Transport::next_message`] gives what they complete.
    pub(crate) fn stream_data(&mut self, id: StreamId, bytes: &Bytes) {
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.framer.push(bytes);
        }
    }

    /// The next whole message of a connection. [`Broken`]: it cannot be framed and is closed.
    pub(crate) fn next_message(
        &mut self,
        now: Instant,
        id: StreamId,
    ) -> Result<Option<(Flow, Bytes)>, Broken> {
        let Some(stream) = self.streams.get_mut(&id) else { return Ok(None) };
        let flow = Flow { socket: stream.socket, peer: stream.peer, stream: Some(id) };
        match stream.framer.next() {
            Ok(Some(bytes)) => {
                stream.state = State::Up { complete_by: None };
                Ok(Some((flow, bytes)))
            }
            Ok(None) => {
                stream.wait_for_rest(now);
                for _ in 0..stream.framer.take_pings() {
                    let bytes = Bytes::from_static(b"\r\n");
                    self.outputs.push_back(Output::Send { stream: id, bytes, claims: false });
                }
                self.note_deadline(id);
                Ok(None)
            }
            Err(_) => {
                self.outputs.push_back(Output::Close { stream: id });
                self.stream_down(id);
                Err(Broken(flow))
            }
        }
    }

    /// A connection ended. Returns what it was.
    pub(crate) fn stream_down(&mut self, id: StreamId) -> Option<Flow> {
        let stream = self.streams.remove(&id)?;
        self.deadlines.set(id, None);
        let key = (stream.socket, stream.peer);
        if self.by_peer.get(&key) == Some(&id) {
            self.by_peer.remove(&key);
        }
        if !stream.ours {
            self.uncount(stream.peer.ip());
        }
        Some(Flow { socket: stream.socket, peer: stream.peer, stream: Some(id) })
    }

    fn uncount(&mut self, address: IpAddr) {
        if let Some(count) = self.accepted.get_mut(&address) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.accepted.remove(&address);
            }
        }
    }

    /// Closes a connection that is overdue; the caller treats it as gone.
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Option<StreamId> {
        let id = self.deadlines.pop_due(now)?;
        self.outputs.push_back(Output::Close { stream: id });
        Some(id)
    }

    pub(crate) fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.deadlines.next()
    }

    /// Whether it stands.
    pub(crate) fn is_up(&self, id: StreamId) -> bool {
        self.streams.get(&id).is_some_and(|s| matches!(s.state, State::Up { .. }))
    }

    /// Whether it stands, or is about to.
    pub(crate) fn is_known(&self, id: StreamId) -> bool {
        self.streams.contains_key(&id)
    }
}

impl Stream {
    fn wait_for_rest(&mut self, now: Instant) {
        let begun = self.framer.is_waiting();
        if let State::Up { complete_by } = &mut self.state {
            *complete_by = match (begun, *complete_by) {
                (false, _) => None,
                (true, Some(at)) => Some(at),
                (true, None) => Some(now + COMPLETE_WITHIN),
            };
        }
    }
}
