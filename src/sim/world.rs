//! The world: one node with its media ports, a PBX, phones, applications and an operator, under a
//! clock that only moves when something happens.
//!
//! It is the second driver of the node, beside the one on sockets, and like it knows nothing of
//! calls: it carries outputs to where they go and comes back when a deadline has come. What must
//! hold is looked at by the [`checks`](super::checks) as things pass by.
//!
//! Files: `node_side` carries the node's inputs and outputs, `sound` the media ports and phones,
//! `pbx_side` SIP and callers, `ari_side` the applications, `deeds` what is done to them all,
//! `settle` looks whether all is well, `summary` says what came of the calls.

mod ari_side;
mod deeds;
mod node_side;
mod pbx_side;
mod settle;
mod sound;
mod summary;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use rand_core::SeedableRng;

use super::action::Action;
use super::checks::{Checks, Seen};
use super::links::{Dice, Lossy, Ordered};
use super::notes::{Note, Trace};
use super::pbx::{LineId, Manner, Pbx};
use super::process::{Frame, Process};
use super::queue::Queue;
use super::site;
use crate::ids::{CallId, InstanceId, PortId, Rng, fork};
use crate::media;
use crate::node::{self, Node};
use crate::pool::Health;
use crate::redact::Redacted;
use crate::timers::{Duration, Instant};
use pbx_side::Caller;
use sound::Line;

/// How often the state of things is looked at, beside what passes by.
const SWEEP: Duration = Duration::from_millis(250);

/// Steps that a virtual second may take. The busiest honest second, in which 96 ports register,
/// takes some 3,000.
const STEPS_PER_SECOND_MAX: u64 = 20_000;

/// How a world is made.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Everything that chance decides.
    pub seed: u64,
    /// How the PBX behaves.
    pub manner: Manner,
    /// Keep every note.
    pub full_trace: bool,
    /// Fair links whose delay never varies: for scripts.
    pub steady: bool,
}

/// Something that is going to happen.
#[derive(Debug)]
enum Event {
    /// A SIP datagram arrives at the node.
    SipToNode(Bytes),
    /// A SIP datagram arrives at the PBX.
    SipToPbx(Bytes),
    /// An RTP packet of a phone arrives at a UDP port.
    Rtp { udp_port: u16, from: SocketAddr, packet: Vec<u8> },
    /// A command arrives at a media port.
    Command(PortId, media::Command),
    /// An event of a media port arrives at the node.
    Media(PortId, CallId, Instant, media::Event),
    /// A frame arrives at a process.
    ToProcess(InstanceId, Frame),
    /// A process has handled an event.
    Work(InstanceId, u32),
    /// A request of a process arrives.
    FromProcess(InstanceId, String),
    /// A pong arrives.
    Pong(InstanceId),
    /// Anything else that the node is told.
    ToNode(Box<node::Input>),
    /// The connection of a process ends.
    Closed(InstanceId),
    /// The node runs again.
    NodeWakes,
    /// Somebody does something.
    Do(Action),
    /// Time to look at everything.
    Sweep,
}

/// The node's process: it runs, or it does not and its inputs wait.
#[derive(Debug, Default)]
struct Stall {
    until: Option<Instant>,
    waiting: VecDeque<Waiting>,
}

/// What waits for a node that does not run.
#[derive(Debug)]
enum Waiting {
    Input(Box<node::Input>),
    Request(InstanceId, String),
    Pong(InstanceId),
    Media(PortId, CallId, Instant, media::Event),
}

/// The world.
pub struct World {
    now: Instant,
    queue: Queue<Event>,
    node: Node,
    node_due: Option<Instant>,
    stall: Stall,
    pbx: Pbx,
    pbx_due: Option<Instant>,
    lines: Vec<Line>,
    /// Ports whose media has a call, and the earliest of their deadlines.
    open: Vec<PortId>,
    media_due: Option<Instant>,
    callers: BTreeMap<LineId, Caller>,
    phones_due: Option<Instant>,
    processes: Vec<Process>,
    sip_to_node: Lossy,
    sip_to_pbx: Lossy,
    rtp: Lossy,
    binds_fail: u32,
    steady: bool,
    /// The node was asked to stop, and whether it has.
    stop: Option<bool>,
    dice: Dice,
    next_line: u32,
    next_request: u64,
    steps: u64,
    steps_this_second: (u64, u64),
    faults: u64,
    checks: Checks,
    trace: Trace,
    /// What the last batch of the node's outputs told applications.
    seen: Vec<(InstanceId, Seen)>,
    /// The status of the latest answer to a request.
    answer: Option<u16>,
    /// Calls that the pool gave up so far.
    releases: u64,
    known_health: BTreeMap<InstanceId, Health>,
    known_alarms: Vec<String>,
}

impl World {
    /// A world at time 0: the node has just started, and no application yet.
    pub fn new(setup: &Setup) -> Self {
        let mut rng = Rng::seed_from_u64(setup.seed);
        let config = Arc::new(site::config());
        let accounts = site::accounts().map(|(name, word)| (name, Redacted::new(word)));
        let accounts = accounts.collect();
        let pbx = Pbx::new(site::pbx_address(), accounts, setup.manner, fork(&mut rng));
        let sockets = vec![site::node_address()];
        let node =
            Node::new(config.clone(), site::prompts(), sockets, fork(&mut rng), Instant::ZERO);
        let mut link = || Lossy::new(Dice::new(fork(&mut rng)));
        let (sip_to_node, sip_to_pbx, rtp) = (link(), link(), link());
        let mut world = Self {
            now: Instant::ZERO,
            queue: Queue::new(),
            lines: Line::all(config.lines()),
            node,
            node_due: None,
            stall: Stall::default(),
            pbx,
            pbx_due: None,
            open: Vec::new(),
            media_due: None,
            callers: BTreeMap::new(),
            phones_due: None,
            processes: Vec::new(),
            sip_to_node,
            sip_to_pbx,
            rtp,
            binds_fail: 0,
            steady: false,
            stop: None,
            dice: Dice::new(fork(&mut rng)),
            next_line: 0,
            next_request: 0,
            steps: 0,
            steps_this_second: (0, 0),
            faults: 0,
            checks: Checks::default(),
            trace: Trace::new(setup.full_trace),
            seen: Vec::new(),
            answer: None,
            releases: 0,
            known_health: BTreeMap::new(),
            known_alarms: Vec::new(),
        };
        if setup.steady {
            world.be_steady();
        }
        world.node.handle_input(Instant::ZERO, node::Input::Wall { unix_ms: 1_767_225_600_000 });
        world.queue.push(Instant::ZERO + SWEEP, Event::Sweep);
        world.perform();
        world
    }

    fn be_steady(&mut self) {
        self.steady = true;
        for link in [&mut self.sip_to_node, &mut self.sip_to_pbx, &mut self.rtp] {
            link.weather.jitter = Duration::ZERO;
        }
        self.lines.iter_mut().for_each(Line::be_steady);
    }

    /// Something is done at a time that has not come yet.
    pub fn plan(&mut self, at: Instant, action: Action) {
        self.queue.push(at, Event::Do(action));
    }

    /// Lets things happen until `end`, or until something is wrong.
    pub fn run_until(&mut self, end: Instant) {
        while !self.checks.failed() {
            let Some((at, source)) = self.next() else { break };
            if at > end {
                break;
            }
            self.now = self.now.max(at);
            self.count_step(source);
            match source {
                Source::Node => self.node_timeout(),
                Source::Media => self.media_timeout(),
                Source::Phones => self.phones_timeout(),
                Source::Pbx => self.pbx_timeout(),
                Source::Queue => self.happen(),
            }
        }
        self.now = self.now.max(end);
    }

    /// What happens next, and when. Among equals the first in the list.
    fn next(&self) -> Option<(Instant, Source)> {
        let node = if self.stall.until.is_some() { None } else { self.node_due };
        let all = [
            (node, Source::Node),
            (self.media_due, Source::Media),
            (self.phones_due, Source::Phones),
            (self.pbx_due, Source::Pbx),
            (self.queue.next_at(), Source::Queue),
        ];
        all.into_iter().filter_map(|(at, source)| Some((at?, source))).min_by_key(|(at, _)| *at)
    }

    fn count_step(&mut self, source: Source) {
        self.steps += 1;
        self.trace.step(self.now, source as u64, 0);
        let second = self.now.as_nanos() / 1_000_000_000;
        if self.steps_this_second.0 != second {
            self.steps_this_second = (second, 0);
        }
        self.steps_this_second.1 += 1;
        if self.steps_this_second.1 > STEPS_PER_SECOND_MAX {
            let text = format!("at most {STEPS_PER_SECOND_MAX} steps in a second: a busy loop");
            self.violation(None, text);
        }
    }

    fn happen(&mut self) {
        let Some(event) = self.queue.pop() else { return };
        match event {
            Event::SipToNode(bytes) => self.sip_arrives(bytes),
            Event::SipToPbx(bytes) => self.pbx_hears(bytes),
            Event::Rtp { udp_port, from, packet } => self.rtp_arrives(udp_port, from, &packet),
            Event::Command(port, command) => self.media_command(port, command),
            Event::Media(port, call, at, event) => self.media_event(port, call, at, event),
            Event::ToProcess(id, frame) => self.frame_arrives(id, frame),
            Event::Work(id, turn) => self.process_works(id, turn),
            Event::FromProcess(id, text) => self.request_arrives(id, text),
            Event::Pong(id) => self.pong_arrives(id),
            Event::ToNode(input) => self.tell_node(*input),
            Event::Closed(id) => self.connection_ends(id),
            Event::NodeWakes => self.node_wakes(),
            Event::Do(action) => self.act(action),
            Event::Sweep => {
                self.queue.push(self.now + SWEEP, Event::Sweep);
                self.sweep();
            }
        }
    }

    fn note(&mut self, note: Note) {
        self.trace.note(self.now, note);
    }

    fn violation(&mut self, port: Option<PortId>, text: String) {
        if !self.checks.failed() {
            self.note(Note::Violation(text.clone()));
            let last = self.trace.last_of(port, 40);
            self.checks.fail(self.now, text, last);
        }
    }

    /// Takes what the checks found.
    fn judge(&mut self) {
        while let Some((port, text)) = self.checks.take_finding() {
            self.violation(port, text);
        }
    }

    fn process(&mut self, id: InstanceId) -> Option<&mut Process> {
        let index = usize::try_from(id.0).ok()?.checked_sub(1)?;
        self.processes.get_mut(index)
    }

    /// Steps so far.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Faults so far.
    pub fn faults(&self) -> u64 {
        self.faults
    }

    /// What was noted.
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    /// What was wrong.
    pub fn failure(&self) -> Option<&super::checks::Failure> {
        self.checks.failure()
    }
}

/// Whose turn it is.
#[derive(Clone, Copy, Debug)]
enum Source {
    Node = 1,
    Media,
    Phones,
    Pbx,
    Queue,
}

/// A link between two threads of one machine.
const fn thread_link() -> Ordered {
    Ordered::new(Duration::from_micros(20), Duration::from_millis(2))
}
