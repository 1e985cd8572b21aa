//! The SIP user agent of all ports: where messages, transactions, sessions and registrations meet.
//!
//! A message finds its owner by keys, never by search: a response by the branch that we drew, a
//! request by its own branch, then by its dialog, then by the Request-URI. After every step the
//! part that was touched is *pumped*: its outputs are carried to where they belong and its next
//! deadline is noted. [`receive`] reads messages, [`client`] and [`server`] hold transactions,
//! [`credentials`] answers challenges, [`calls`] and [`register`] speak for sessions and ports,
//! [`recovery`] carries on the calls of another node.

mod account;
mod binding;
mod calls;
mod claims;
mod client;
mod companions;
mod credentials;
mod names;
mod query;
mod receive;
mod recovery;
mod register;
mod server;
pub mod status;
mod text;
mod trunk;
mod unanswered;
mod watch;

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use self::account::{Account, Directory};
use self::calls::Call;
use self::client::{Client, ClientKey};
use self::server::{Server, ServerKey};
use self::status::Counters;
use self::trunk::Trunk;
use self::watch::Watch;
use crate::config::{ClusterProfile, Config};
use crate::ids::{CallId, CallIds, Epoch, PortId, Rng, fork};
use crate::sip::deadlines::Deadlines;
use crate::sip::message::NameAddr;
use crate::sip::pacing::Pacing;
use crate::sip::registrars::Registrars;
use crate::sip::session::ServerId;
use crate::sip::sources::Sources;
use crate::sip::transport::{self, Transport};
use crate::sip::{Command, Event, Input, Output, SocketId};
use crate::timers::{Duration, Instant, earliest};

/// Alarms about unknown Request-URIs come at most this often; the counter has them all.
const ALARM_PAUSE: Duration = Duration::from_secs(60);

/// Whose deadline has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum TimerKey {
    Client(ClientKey),
    Server(ServerId),
    Call(CallId),
    Registration(PortId),
    Pacing(usize),
    Watch(usize),
    Trunk,
    Names,
}

/// The user agent. A machine: it reads no clock and owns no socket.
#[derive(Debug)]
pub struct Endpoint {
    config: Arc<Config>,
    registrars: Registrars,
    sockets: Vec<SocketAddr>,
    rng: Rng,
    ids: CallIds,
    transport: Transport,
    sources: Sources,
    accounts: Vec<Account>,
    directory: Directory,
    clients: BTreeMap<ClientKey, Client>,
    servers: BTreeMap<ServerId, Server>,
    server_keys: BTreeMap<ServerKey, ServerId>,
    /// From tag, Call-ID and CSeq of requests outside dialogs, to notice merged ones.
    origins: BTreeMap<server::Origin, ServerId>,
    last_server: u64,
    calls: BTreeMap<CallId, Call>,
    /// By Call-ID and our tag.
    dialogs: BTreeMap<(String, String), CallId>,
    /// Calls that the node counts.
    live: usize,
    pacing: Vec<Pacing>,
    watches: Vec<Watch>,
    trunk: Trunk,
    /// The first node of the list that is not known to be dead.
    best_node: usize,
    deadlines: Deadlines<TimerKey>,
    /// Calls whose far ends are told, one after the other, that they go on here.
    moves: recovery::Moves,
    draining: bool,
    /// Under which this node acts, or acted last; `None`: it is alone.
    epoch: Option<Epoch>,
    alarmed_at: Option<Instant>,
    counters: Counters,
    outputs: VecDeque<Output>,
}

impl Endpoint {
    /// `sockets`: local addresses by [`SocketId`], one when shared, else one for each port.
    pub fn new(config: Arc<Config>, sockets: Vec<SocketAddr>, mut rng: Rng, ids: CallIds) -> Self {
        let pbx = &config.pbx;
        let sockets: Vec<_> = sockets.into_iter().map(|s| named(s, pbx.local_address)).collect();
        let registrars = Registrars::new(&pbx.registrars, pbx.local_address);
        let known = registrars.addresses().map(|a| a.ip()).chain(pbx.sources.iter().copied());
        let sources = Sources::new(known);
        let accounts = account::all(&config, &sockets, &registrars.listed(), &mut rng);
        let pacing = || Pacing::new(pbx.register_rate, pbx.register_window);
        let mut deadlines = Deadlines::new();
        let clustered = config.cluster.profile != ClusterProfile::Single;
        let reach = clustered.then_some(watch::REACH_INTERVAL);
        if let Some(interval) = pbx.options_interval.or(reach) {
            let first = Instant::ZERO + interval;
            for node in registrars.listed() {
                deadlines.set(TimerKey::Watch(node), Some(first));
            }
        }
        // Only a node of a cluster calls people.
        let trunk = config.trunk().filter(|_| clustered).map(|_| Instant::ZERO);
        deadlines.set(TimerKey::Trunk, trunk);
        deadlines.set(TimerKey::Names, registrars.poll_timeout());
        Self {
            transport: Transport::new(pbx.transport, sockets.clone()),
            directory: Directory::new(&config, &accounts),
            pacing: (0..registrars.len()).map(|_| pacing()).collect(),
            watches: (0..registrars.len()).map(|_| Watch::new()).collect(),
            trunk: Trunk::default(),
            rng: fork(&mut rng),
            config,
            registrars,
            sockets,
            ids,
            sources,
            accounts,
            clients: BTreeMap::new(),
            servers: BTreeMap::new(),
            server_keys: BTreeMap::new(),
            origins: BTreeMap::new(),
            last_server: 0,
            calls: BTreeMap::new(),
            dialogs: BTreeMap::new(),
            live: 0,
            best_node: 0,
            deadlines,
            moves: recovery::Moves::default(),
            draining: false,
            epoch: None,
            alarmed_at: None,
            counters: Counters::default(),
            outputs: VecDeque::new(),
        }
    }

    /// A name for a call that [`Command::Invite`] will place.
    pub fn next_call_id(&mut self) -> CallId {
        self.ids.next_id()
    }

    /// Takes what happened.
    pub fn handle_input(&mut self, now: Instant, input: Input) {
        match input {
            Input::Datagram { socket, from, bytes } => self.datagram(now, socket, from, bytes),
            Input::StreamUp { stream, peer, local } => {
                let welcome = self.hears(peer.ip());
                if !self.transport.stream_up(stream, peer, local, welcome) {
                    self.counters.refused_connections += 1;
                }
            }
            Input::StreamData { stream, bytes } => self.stream_data(now, stream, &bytes),
            Input::StreamDown { stream } => self.stream_down(now, stream),
            Input::Resolved { entry, found } => self.resolved(now, entry, found),
            Input::Command(command) => self.command(now, command),
        }
        self.pump_moves(now);
        self.carry_transport();
    }

    fn command(&mut self, now: Instant, command: Command) {
        match command {
            Command::Register { port } => self.register(now, port),
            Command::Unregister { port } => self.unregister(now, port),
            Command::Abandon { port } => self.abandon(now, port),
            Command::Epoch(epoch) => self.acts_under(epoch),
            Command::TakeOver { port, before } => self.take_over(now, port, before.as_deref()),
            Command::Verify => self.verify(now),
            Command::Query { port } => self.query(now, port),
            Command::Text { port, id, target, text } => {
                self.send_text(now, port, id, &target, &text);
            }
            Command::Forget { call } => self.forget(now, call),
            Command::Drain(on) => self.draining = on,
            Command::Recover(recovery) => self.recover(now, *recovery),
            Command::Invite { call, port, target, caller, media } => {
                self.place_call(now, call, port, &target, &caller, media);
            }
            Command::Refer { call, target, replaces: Some(other) } => {
                self.transfer_attended(now, call, target, other);
            }
            Command::Ring { call }
            | Command::Answer { call, .. }
            | Command::Refuse { call, .. }
            | Command::Hangup { call, .. }
            | Command::Refer { call, replaces: None, .. }
            | Command::Hold { call, .. }
            | Command::SendInfo { call, .. } => self.call_command(now, call, command),
        }
    }

    /// Does what is due. Harmless when called early.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(stream) = self.transport.handle_timeout(now) {
            self.counters.slow_connections += 1;
            self.stream_down(now, stream);
        }
        while let Some(key) = self.deadlines.pop_due(now) {
            match key {
                TimerKey::Client(key) => self.client_timeout(now, key),
                TimerKey::Server(id) => self.server_timeout(now, id),
                TimerKey::Call(call) => self.call_timeout(now, call),
                TimerKey::Registration(port) => self.registration_timeout(now, port),
                TimerKey::Pacing(node) => self.pump_pacing(now, node),
                TimerKey::Watch(node) => self.watch_timeout(now, node),
                TimerKey::Trunk => self.trunk_timeout(now),
                TimerKey::Names => self.names_timeout(now),
            }
        }
        self.pump_moves(now);
        self.carry_transport();
    }

    fn carry_transport(&mut self) {
        while let Some(output) = self.transport.poll_output() {
            self.outputs.push_back(match output {
                transport::Output::Datagram { socket, to, bytes, claims } => {
                    Output::Datagram { socket, to, bytes, claims }
                }
                transport::Output::Connect { stream, socket, to } => {
                    Output::Connect { stream, socket, to }
                }
                transport::Output::Send { stream, bytes, claims } => {
                    Output::StreamSend { stream, bytes, claims }
                }
                transport::Output::Close { stream } => Output::StreamClose { stream },
            });
        }
    }

    /// What shall be done; call until `None` after every `handle_*`.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call [`Endpoint::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        earliest([self.deadlines.next(), self.transport.poll_timeout()])
    }

    fn event(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    fn alarm(&mut self, port: Option<PortId>, text: String) {
        self.event(Event::Alarm { port, text });
    }

    fn account(&self, port: PortId) -> Option<&Account> {
        self.accounts.get(usize::from(port.0))
    }

    fn account_mut(&mut self, port: PortId) -> Option<&mut Account> {
        self.accounts.get_mut(usize::from(port.0))
    }

    /// The socket of a port.
    fn socket_of(&self, port: PortId) -> SocketId {
        SocketId(self.config.sip_socket(port))
    }

    /// The socket for what claims nothing, and is sent by a node that follows, too.
    fn asking_socket(&self, port: PortId) -> SocketId {
        SocketId(self.config.asking_socket(port))
    }

    fn local_address(&self, socket: SocketId) -> Option<SocketAddr> {
        self.sockets.get(usize::from(socket.0)).or_else(|| self.sockets.first()).copied()
    }

    /// The Contact of a port, for tests and for whoever dials it directly.
    pub fn contact(&self, port: PortId) -> Option<&NameAddr> {
        self.account(port).map(|account| &account.local.contact)
    }
}

#[cfg(test)]
impl Endpoint {
    /// Calls, dialogs, server keys and origins that are kept.
    fn sizes(&self) -> [usize; 4] {
        [self.calls.len(), self.dialogs.len(), self.server_keys.len(), self.origins.len()]
    }
}

/// A socket that listens everywhere is named by the configured address.
fn named(socket: SocketAddr, address: IpAddr) -> SocketAddr {
    if socket.ip().is_unspecified() { SocketAddr::new(address, socket.port()) } else { socket }
}

#[cfg(test)]
mod tests;
