//! The node: owns every control-plane machine of the process, and is the only place where one
//! machine's output becomes another's input (`route.rs` and the files below `route/`).
//!
//! A driver hands in what the world did, calls [`Node::poll_output`] until it is empty, and comes
//! back at [`Node::poll_timeout`]. Nothing here waits: an answer that must wait for a UDP port, a
//! file or the PBX is a field of the call's ledger (`call.rs`), and the event that it waits for
//! finds it there.

mod address;
pub mod agents;
mod alarms;
mod call;
mod control;
mod denied;
mod incident;
mod order;
pub mod prompts;
mod proofs;
pub mod readiness;
mod rebinds;
pub mod record;
pub mod replicas;
mod route;
pub mod snapshot;
mod sound;
mod stop;
mod udp_ports;
mod view;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;

use crate::config::{ClusterProfile, Config, PortKind, Rehearsal};
use crate::ha::fact_ship::Token;
use crate::ha::peer::{Beat, Sound};
use crate::ha::role::Answer;
use crate::ha::{member, role};
use crate::ha::{proof, self_call};
use crate::ids::{
    self, CallId, CallIds, Epoch, Generation, InstanceId, MediaId, NodeId, PortId, RequestId,
};
use crate::ivr::{self, Ivr};
use crate::menu::{self, AlertCalls};
use crate::pool::{self, Pool};
use crate::redact::Redacted;
use crate::store::{Agents, Lane, Pin, Record, Ticket, Who};
use crate::timers::{Instant, earliest};
use crate::{media, sip};
use address::Address;
pub use agents::AgentChange;
use alarms::Alarms;
use call::Call;
use control::Controls;
pub use denied::{Denial, Denied};
pub use incident::Incident;
use incident::Incidents;
pub use order::{Order, RoleOrder};
pub use prompts::Prompts;
use proofs::Proofs;
use readiness::Readiness;
use rebinds::Rebinds;
use replicas::{CallChange, Replicas};
use route::{Serving, Starting};
use snapshot::AlarmKind;
pub use snapshot::Snapshot;
use snapshot::cluster::Takeover;
use stop::Phase;
use udp_ports::UdpPorts;

/// What a driver tells the node.
#[derive(Clone, Debug)]
pub enum Input {
    /// Wall time at this instant, in milliseconds since 1970; at least once a minute.
    Wall {
        /// Milliseconds since 1970, UTC.
        unix_ms: u64,
    },
    /// How the clocks of the site stand; at the start, and when that may have changed.
    Zone(menu::Zone),
    /// The secret by which nodes of the cluster prove themselves; at the start, if there is one.
    ProofKey(proof::Key),
    /// From the SIP sockets.
    Sip(sip::Input),
    /// From a port's media.
    Media {
        /// Which port.
        port: PortId,
        /// In which call; the port may have another one by now.
        call: CallId,
        /// When the worker saw it.
        at: Instant,
        /// What.
        event: media::Event,
    },
    /// A port's media takes no commands: its worker hangs.
    MediaStuck {
        /// Which port.
        port: PortId,
    },
    /// From the ARI listener: `Request`, `Upgrade`, `Text` or `Closed`.
    Ivr(ivr::Input),
    /// An instance answered a ping.
    Pong {
        /// Which.
        instance: InstanceId,
    },
    /// The oldest event that an instance's socket has not taken; `None`: all are out.
    Unsent {
        /// Which.
        instance: InstanceId,
        /// Since when.
        since: Option<Instant>,
    },
    /// An instance's socket takes no events: one was lost, and the connection is being ended.
    EventsFull {
        /// Which.
        instance: InstanceId,
        /// How many wait for it.
        events: usize,
    },
    /// The recorder did not take all sound in time.
    RecorderFull {
        /// Pieces of 20 ms that were lost since the start, in all recordings together.
        pieces: u64,
    },
    /// A marked event was handed to the socket.
    Written {
        /// The mark of its `Output::Text`.
        mark: Mark,
        /// When.
        at: Instant,
    },
    /// A stored recording was read, or could not be.
    Loaded {
        /// As asked.
        call: CallId,
        /// Its name.
        name: String,
        /// The sound.
        prompt: Option<Arc<media::Prompt>>,
    },
    /// From the other nodes of the cluster, their supervisors, or this node's disk.
    Cluster(member::Input<Vec<CallChange>>),
    /// A PIN was compared; `None`: it could not be.
    PinChecked {
        /// Of which call.
        call: CallId,
        /// Which.
        check: u32,
        /// It is the agent's.
        matched: Option<bool>,
    },
    /// A program of `[[autostart_on_promotion]]` could not be started, or has ended.
    ProgramFailed {
        /// Its place in the list.
        index: usize,
        /// In words.
        why: String,
    },
    /// An operator changes an agent. Answered by `AgentChanged`.
    Agent {
        /// The answer repeats it.
        id: RequestId,
        /// What.
        change: AgentChange,
        /// Who.
        who: Who,
    },
    /// How much is free where facts are stored; at least once a minute.
    Disk {
        /// Bytes.
        free: u64,
    },
    /// Somebody was turned away over HTTP.
    Denied(Denied),
    /// Something about the links to other nodes that a person must see to.
    Trouble {
        /// One sentence.
        text: String,
    },
    /// Somebody wants this node or another one to have another role. Answered by `Answer`.
    Role(RoleOrder),
    /// The supervisor has put the service address on the network card, or why it cannot.
    Address(Result<(), String>),
    /// An operator's order.
    Order(Order),
    /// Orderly stop: hand the role over with its calls; or refuse new calls, end the live ones and
    /// un-REGISTER. `Output::Stopped` ends it.
    Stop,
}

/// Names one offer: its StasisStart is stamped when the socket takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mark {
    /// The call.
    pub call: CallId,
    /// The offer's token.
    pub generation: Generation,
}

/// What the node wants done.
#[derive(Debug)]
pub enum Output {
    /// For the SIP sockets (never an `Event`).
    Sip(sip::Output),
    /// For a port's media.
    Media {
        /// Which port.
        port: PortId,
        /// What.
        command: media::Command,
    },
    /// Read a stored recording. Answered by `Loaded`.
    Load {
        /// For which call.
        call: CallId,
        /// Its name.
        name: String,
    },
    /// Answer an ARI request.
    Respond {
        /// Which.
        request: RequestId,
        /// With what.
        response: ivr::Response,
    },
    /// Accept a WebSocket.
    Accept {
        /// Which upgrade.
        request: RequestId,
        /// The connection's name.
        instance: InstanceId,
        /// Sub-protocol to echo.
        protocol: Option<&'static str>,
    },
    /// Send an event.
    Text {
        /// To whom.
        instance: InstanceId,
        /// What.
        text: String,
        /// Report when the socket has taken it.
        mark: Option<Mark>,
    },
    /// Ping an instance.
    Ping {
        /// Which.
        instance: InstanceId,
    },
    /// To another node of the cluster.
    Peer {
        /// Which.
        to: NodeId,
        /// What.
        message: Box<member::Message<Vec<CallChange>>>,
    },
    /// What heartbeats say from here on.
    Beat(Beat),
    /// The highest epoch that is known, for all links.
    Epoch(Epoch),
    /// Tell the webhook and the hook.
    Alert(Box<Incident>),
    /// Tell whoever listens at this node.
    News(Box<Incident>),
    /// Make this durable, after everything before it. Answered by `member::Input::Persisted`.
    Persist {
        /// Comes back.
        ticket: Ticket,
        /// What.
        record: Record,
    },
    /// Read facts of a lane behind `after`, at most `max`. Answered by `member::Input::Read`.
    ReadFacts {
        /// The lane.
        lane: Lane,
        /// The fact before them.
        after: u64,
        /// At most so many.
        max: usize,
    },
    /// Start a program of `[[autostart_on_promotion]]`.
    StartProgram {
        /// Its place in the list.
        index: usize,
    },
    /// End those that were started.
    StopPrograms,
    /// Compare a PIN, off this thread. Answered by `PinChecked`.
    CheckPin {
        /// Of which call.
        call: CallId,
        /// Which.
        check: u32,
        /// As keyed.
        pin: Redacted<String>,
        /// The agent's; `None`: there is no such agent, and the work is the same.
        stored: Option<Pin>,
    },
    /// A change of an agent is acknowledged, or why it is not.
    AgentChanged {
        /// Which.
        id: RequestId,
        /// The result.
        result: Result<(), String>,
    },
    /// What became of a `Role`.
    Answer {
        /// Which.
        id: RequestId,
        /// The result.
        answer: Answer,
    },
    /// Everything is un-registered and finished: the process may end.
    Stopped,
}

/// Whether this node serves ports and calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Duty {
    /// It is primary, or alone.
    Acting,
    /// Another node is primary, or may be.
    Following,
}

/// A promotion whose ports and calls are being taken over.
#[derive(Clone, Copy, Debug)]
struct TakingOver {
    give_up_at: Instant,
}

/// An order that is being carried out.
#[derive(Clone, Debug)]
struct Asked {
    who: Who,
    order: role::Order,
    /// Its record, until that is stored on two nodes.
    token: Option<Token>,
    give_up_at: Option<Instant>,
}

impl Asked {
    const fn is_drill(&self) -> bool {
        matches!(self.order, role::Order::Drill { .. })
    }
}

/// A call that is no longer ours, whose sound goes on.
#[derive(Debug)]
struct Orphan {
    /// As it was when this node served it.
    call: Box<Call>,
    until: Instant,
}

/// Something that a call waits for by the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// Nobody answered our call.
    NoAnswer,
    /// The digits of `POST /channels/{id}/dtmf` are due, after `before`.
    Digits,
    /// The next of them by INFO.
    InfoDigit,
}

/// One process's control plane.
pub struct Node {
    config: Arc<Config>,
    started_at: Instant,
    phase: Phase,
    duty: Duty,
    address: Address,
    sip: sip::Endpoint,
    pool: Pool,
    ivr: Ivr,
    prompts: Arc<Prompts>,
    calls: BTreeMap<CallId, Call>,
    orphans: BTreeMap<CallId, Orphan>,
    replicas: Replicas,
    /// `None`: a node alone, or one whose store is being opened.
    member: Option<Box<member::Member<Vec<CallChange>>>>,
    /// Which start of this node it is.
    boot: u32,
    agents: Agents,
    /// Calls of the control extension.
    controls: Controls,
    proofs: Proofs,
    /// PINs that are being compared: the agent number of each.
    checks: BTreeMap<(CallId, u32), Redacted<String>>,
    /// What happened, is not over, and nobody has acknowledged; the gravest first.
    standing: BTreeSet<menu::Alarm>,
    last_primary: Option<(NodeId, Instant)>,
    taking_over: Option<TakingOver>,
    /// A program of `[[autostart_on_promotion]]` that is waited for.
    starting: Option<Starting>,
    /// The bindings are being taken away, until then.
    unbinding: Option<Instant>,
    /// When bindings that were taken over are looked at once more.
    verify_at: Option<Instant>,
    /// Since when this node acts.
    acts_since: Option<Instant>,
    /// When the copy of calls and facts was last known to be whole.
    whole_at: Option<Instant>,
    /// Who serves in the place of another node, as the records say.
    serving: Option<Serving>,
    readiness: Readiness,
    incidents: Incidents,
    /// Calls could not be answered since some moment.
    outage: Option<route::outage::Open>,
    /// What became of the calls of the latest promotion.
    takeover: Option<Takeover>,
    role_orders: BTreeMap<RequestId, Asked>,
    /// Changes of agents, by the last of their facts.
    changes: BTreeMap<Token, RequestId>,
    /// Facts that were appended.
    tokens: u64,
    /// What the other nodes were told last.
    beat: Option<Beat>,
    told_pbx: Option<bool>,
    /// Wall time as it was last told, and when.
    wall: (Instant, u64),
    /// How the clocks of the site stand.
    zone: menu::Zone,
    /// The call of each line.
    by_port: Vec<Option<CallId>>,
    registrations: Vec<sip::RegistrationState>,
    /// Whether the PBX answers OPTIONS; `None`: it never did.
    pbx_answers: Option<bool>,
    udp_ports: UdpPorts,
    timers: BTreeSet<(Instant, CallId, Timer)>,
    rebinds: Rebinds,
    alarms: Alarms,
    counters: snapshot::Counters,
    /// Instants of the outbound calls of the last hour (SECURITY S-10).
    outbound_at: VecDeque<Instant>,
    rng: ids::Rng,
    outputs: VecDeque<Output>,
}

impl Node {
    /// A node whose ports begin to register at once. `sockets`: the local SIP addresses by
    /// [`sip::SocketId`].
    pub fn new(
        config: Arc<Config>,
        prompts: Arc<Prompts>,
        sockets: Vec<SocketAddr>,
        mut rng: ids::Rng,
        now: Instant,
    ) -> Self {
        let call_ids = CallIds::new(&mut rng);
        let endpoint_rng = ids::fork(&mut rng);
        let sip = sip::Endpoint::new(config.clone(), sockets, endpoint_rng, call_ids);
        let on_call = config.control.as_ref().map(|control| control.on_call.clone());
        let alerts = AlertCalls::new(on_call.unwrap_or_default());
        let asks = config.cluster.rehearsal == Rehearsal::Query;
        let pool: Vec<PortId> = config.pool_ports().iter().map(|port| port.id).collect();
        let alarms = Alarms::new(&config, &prompts, now);
        let codecs = config.pbx.codecs.iter().map(|codec| 1 << codec.payload_type()).sum();
        let sound = Sound { prompts: prompts.digest(), codecs };
        let missing = alarms.stands(|kind| matches!(kind, AlarmKind::PromptMissing { .. }));
        let readiness = Readiness::new(now, pool.into_iter(), asks, sound, missing);
        let mut node = Self {
            started_at: now,
            phase: Phase::Running,
            duty: Duty::Acting,
            address: Address::Elsewhere,
            sip,
            pool: Pool::new(config.clone()),
            ivr: Ivr::new(config.clone()),
            calls: BTreeMap::new(),
            orphans: BTreeMap::new(),
            replicas: Replicas::default(),
            member: None,
            boot: 0,
            agents: Agents::default(),
            controls: Controls::new(alerts),
            proofs: Proofs { self_calls: route::self_calls(now, &config), ..Proofs::default() },
            checks: BTreeMap::new(),
            standing: BTreeSet::new(),
            last_primary: None,
            taking_over: None,
            starting: None,
            unbinding: None,
            verify_at: None,
            acts_since: None,
            whole_at: None,
            serving: None,
            readiness,
            incidents: Incidents::default(),
            outage: None,
            takeover: None,
            role_orders: BTreeMap::new(),
            changes: BTreeMap::new(),
            tokens: 0,
            beat: None,
            told_pbx: None,
            wall: (now, 0),
            zone: menu::Zone::default(),
            by_port: vec![None; config.lines()],
            registrations: vec![sip::RegistrationState::Off; config.ports.len()],
            pbx_answers: None,
            udp_ports: UdpPorts::new(&config.media),
            timers: BTreeSet::new(),
            rebinds: Rebinds::default(),
            alarms,
            counters: snapshot::Counters::default(),
            outbound_at: VecDeque::new(),
            prompts,
            rng,
            outputs: VecDeque::new(),
            config,
        };
        node.begin(now);
        node
    }

    /// Takes what the world did.
    pub fn handle_input(&mut self, now: Instant, input: Input) {
        self.member_due(now);
        match input {
            Input::Wall { unix_ms } => {
                self.clock_moved(now, unix_ms);
                self.wall = (now, unix_ms);
                self.ivr.handle_wall(unix_ms, now);
                self.instances_changed(now);
                self.alarms.pass(now);
                self.remind(now);
                self.night_comes(now);
                self.tokens_end(now, unix_ms);
                self.tell_beat(now);
            }
            Input::Zone(zone) => self.zone = zone,
            Input::Sip(input) => self.sip.handle_input(now, input),
            Input::Media { port, call, at, event } => {
                self.media_event(now, port, call, at, event);
            }
            Input::ProofKey(key) => self.proofs.key = Some(key),
            Input::MediaStuck { port } => self.media_stuck(now, port),
            Input::Ivr(input) => self.ivr_input(now, input),
            Input::Pong { instance } => {
                self.pool.handle_input(now, pool::Input::Pong { instance });
            }
            Input::Unsent { instance, since } => {
                self.pool.handle_input(now, pool::Input::Unsent { instance, since });
            }
            Input::EventsFull { instance, events } => self.events_full(now, instance, events),
            Input::RecorderFull { pieces } => self.recorder_full(now, pieces),
            Input::Written { mark, at } => self.written(mark, at),
            Input::Loaded { call, name, prompt } => self.loaded(now, call, &name, prompt),
            Input::Cluster(input) => self.member_input(now, input),
            Input::PinChecked { call, check, matched } => {
                self.pin_checked(now, call, check, matched);
            }
            Input::ProgramFailed { index, why } => self.program_failed(now, index, &why),
            Input::Agent { id, change, who } => self.change_agent(now, id, change, who),
            Input::Disk { free } => self.disk(now, free),
            Input::Denied(denied) => self.denied(now, denied),
            Input::Trouble { text } => self.link_trouble(now, text),
            Input::Role(order) => self.role_order(now, order),
            Input::Address(result) => self.address_answer(now, result),
            Input::Order(order) => self.order(now, order),
            Input::Stop => self.stop(now),
        }
        self.route(now);
    }

    /// Does what is due. Harmless when called early.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.member_due(now);
        self.address_due(now);
        self.orders_due(now);
        self.control_due(now);
        self.proofs_due(now);
        self.programs_due(now);
        self.check_taken_over(now);
        self.check_unbound(now);
        self.verify_due(now);
        self.rehearse(now);
        self.remind(now);
        self.sip.handle_timeout(now);
        self.pool.handle_timeout(now);
        self.ivr.handle_timeout(now);
        while let Some((at, call, timer)) = self.timers.first().copied() {
            if at > now {
                break;
            }
            self.timers.pop_first();
            self.call_timer(now, call, timer);
        }
        self.orphans_due(now);
        self.route(now);
        self.tell_copies(now);
    }

    /// The next thing to do, until `None`.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call `handle_timeout`.
    pub fn poll_timeout(&self) -> Option<Instant> {
        earliest([
            self.sip.poll_timeout(),
            self.pool.poll_timeout(),
            self.ivr.poll_timeout(),
            self.timers.first().map(|(at, ..)| *at),
            self.orphans.values().map(|orphan| orphan.until).min(),
            self.replicas.poll_timeout(),
            self.cluster_timeout(),
            self.control_timeout(),
            self.proofs_timeout(),
            self.programs_timeout(),
            self.phase.give_up_at(),
        ])
    }

    /// A node alone acts at once; one of several waits until it is told to.
    fn begin(&mut self, now: Instant) {
        if self.config.cluster.profile == ClusterProfile::Single {
            self.register(now, |_| true);
        } else {
            self.duty = Duty::Following;
            self.sip_command(now, sip::Command::Drain(true));
            self.register(now, |kind| kind == PortKind::Control);
        }
        self.route(now);
    }

    /// Whether this node is one of several and its store is not here yet.
    pub(in crate::node) fn is_opening(&self) -> bool {
        self.config.cluster.profile != ClusterProfile::Single && self.member.is_none()
    }

    /// Whether another node wants copies of our calls.
    fn copies_calls(&self) -> bool {
        self.duty == Duty::Acting && self.config.cluster.data_peer().is_some()
    }

    fn order(&mut self, now: Instant, order: Order) {
        match order {
            Order::DrainInstance { instance, on } => {
                self.pool.handle_input(now, pool::Input::Drain { instance, on });
            }
            Order::Rebind { port } => self.pool.handle_input(now, pool::Input::Rebind { port }),
            Order::DrainNode { on } => self.drain(now, on),
            Order::SelfCall => self.self_call_input(now, self_call::Input::Begin),
        }
    }

    fn drain(&mut self, now: Instant, on: bool) {
        self.phase = match self.phase {
            Phase::Running | Phase::Draining if on => Phase::Draining,
            Phase::Running | Phase::Draining => Phase::Running,
            stopping => stopping,
        };
        self.sip_command(now, sip::Command::Drain(on));
    }

    fn sip_command(&mut self, now: Instant, command: sip::Command) {
        self.sip.handle_input(now, sip::Input::Command(command));
    }

    fn media(&mut self, port: PortId, command: media::Command) {
        self.outputs.push_back(Output::Media { port, command });
    }

    fn call_of(&self, port: PortId) -> Option<CallId> {
        self.by_port.get(usize::from(port.0)).copied().flatten()
    }

    fn hang_up(&mut self, now: Instant, call: CallId, cause: Option<u8>) {
        if self.calls.get(&call).is_some_and(|entry| !entry.is_at_pbx()) {
            return self.ended(now, call, sip::EndCause::LocalHangup { cause });
        }
        self.sip_command(now, sip::Command::Hangup { call, cause });
    }
}

/// Playbacks that the node began by itself have names below this; an application's carry the
/// generation of its channel above these bits.
const OWN_MAX: u32 = 1 << 16;

fn is_own(id: MediaId) -> bool {
    id.0 < OWN_MAX
}

#[cfg(test)]
mod tests;
