//! Everything there is, under a clock that only moves when something happens.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use bytes::Bytes;
use rand_core::{RngCore, SeedableRng};

use super::action::Action;
use super::checks::{Checks, Kind};
use super::client::{Client, Frame};
use super::clock::Clock;
use super::host::Host;
use super::log::Log;
use super::pair::{Packet, Pair};
use super::pbx_side::Caller;
use super::site::{A, B, NAMES, Site, W};
use crate::ids::{CallId, Epoch, InstanceId, PortId, Rng, fork};
use crate::media;
use crate::node;
use crate::redact::Redacted;
use crate::sim::links::Dice;
use crate::sim::pbx::{LineId, Manner, Pbx};
use crate::sim::queue::Queue;
use crate::store::Ticket;
use crate::timers::{Duration, Instant};

/// How often the state of things is looked at, beside what passes by.
const SWEEP: Duration = Duration::from_millis(100);

/// How often two nodes, or an application and a node, try to connect.
const CONNECT: Duration = Duration::from_millis(150);

/// Steps that a virtual second may take.
const STEPS_PER_SECOND_MAX: u64 = 20_000;

/// How a world is made.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// Everything that chance decides.
    pub seed: u64,
    /// How the PBX behaves.
    pub manner: Manner,
    /// Which nodes there are.
    pub site: Site,
    /// Keep every note.
    pub full_trace: bool,
}

/// Something that is going to happen. What names a `run` is for one process and no later one.
#[derive(Debug)]
pub enum Event {
    /// A SIP datagram arrives at a node.
    SipToNode(usize, Bytes),
    /// A SIP datagram of a node arrives at the PBX.
    SipToPbx(usize, Bytes),
    /// An RTP packet of a phone arrives at a node.
    Rtp { host: usize, udp_port: u16, from: SocketAddr, packet: Vec<u8> },
    /// A command arrives at a media port.
    Command { host: usize, run: u64, port: PortId, command: media::Command },
    /// An event of a media port arrives at its node.
    Media { host: usize, run: u64, port: PortId, call: CallId, at: Instant, event: media::Event },
    /// Anything else that a node is told.
    ToNode { host: usize, run: u64, input: Box<node::Input> },
    /// Something arrives on a link: at this node, of that connection, in its place.
    Packet { from: usize, to: usize, number: u64, place: u64, packet: Packet },
    /// A supervisor tells of the end of its node.
    Exited { from: usize, to: usize, epoch: Epoch },
    /// A write is durable, unless the disk failed.
    Written { host: usize, run: u64, ticket: Ticket },
    /// A node says that it lives, and looks whether the others do.
    Beat { host: usize, run: u64 },
    /// Nodes and applications try to connect.
    Connect,
    /// A frame arrives at an application.
    ToClient { client: usize, host: usize, id: InstanceId, frame: Frame },
    /// What an application sends arrives.
    FromClient { host: usize, run: u64, id: InstanceId, text: Option<String> },
    /// What was stopped runs again.
    Wakes(usize),
    /// A process starts.
    Starts(usize),
    /// The other node must have a copy of this call.
    CopyDue { call: CallId, host: usize, run: u64, since: Instant },
    /// Somebody does something.
    Do(Action),
    /// Time to look at everything.
    Sweep,
}

/// The world.
pub struct World {
    pub(super) now: Instant,
    pub(super) queue: Queue<Event>,
    pub(super) hosts: [Host; 3],
    pub(super) pairs: [Pair; 3],
    pub(super) pbx: Pbx,
    pub(super) pbx_due: Option<Instant>,
    pub(super) callers: BTreeMap<LineId, Caller>,
    /// Whose INVITE a node is just told: it may be late, and its port called by somebody else.
    pub(super) invited: Option<LineId>,
    pub(super) phones_due: Option<Instant>,
    pub(super) clients: [Client; 2],
    pub(super) site: Site,
    pub(super) dice: Dice,
    pub(super) rng: Rng,
    /// Counts lines, connections, processes, requests and agents.
    pub(super) count: u64,
    pub(super) next_line: u32,
    pub(super) steps: u64,
    steps_this_second: (u64, u64),
    pub(super) faults: u64,
    pub(super) checks: Checks,
    pub(super) log: Log,
    /// Requests of applications that may change what is known of keys, by connection and name.
    pub(super) wishes: BTreeMap<(InstanceId, String), String>,
    /// Agents whose addition was asked for.
    pub(super) asked: BTreeMap<(usize, u64), String>,
}

impl World {
    /// A world at time 0, in which the nodes are about to start.
    pub fn new(setup: &Setup) -> Self {
        let mut rng = Rng::seed_from_u64(setup.seed);
        let accounts = crate::sim::site::accounts().map(|(name, word)| (name, Redacted::new(word)));
        let accounts = accounts.collect();
        let address = crate::sim::site::pbx_address();
        let pbx = Pbx::new(address, accounts, setup.manner, fork(&mut rng));
        let hosts = [A, B, W].map(|_| {
            let offset = Duration::from_secs(1 + u64::from(rng.next_u32() % 100));
            let rate = 990_000 + rng.next_u32() % 20_001;
            Host::new(Clock::new(offset, rate), || Dice::new(fork(&mut rng)))
        });
        let mut world = Self {
            now: Instant::ZERO,
            queue: Queue::new(),
            hosts,
            pairs: [Pair::new(A, B), Pair::new(A, W), Pair::new(B, W)],
            pbx,
            pbx_due: None,
            callers: BTreeMap::new(),
            invited: None,
            phones_due: None,
            clients: [Client::new(), Client::new()],
            site: setup.site,
            dice: Dice::new(fork(&mut rng)),
            rng,
            count: 100,
            next_line: 0,
            steps: 0,
            steps_this_second: (0, 0),
            faults: 0,
            checks: Checks::default(),
            log: Log::new(setup.full_trace),
            wishes: BTreeMap::new(),
            asked: BTreeMap::new(),
        };
        for host in if setup.site == Site::Pair { A..=B } else { A..=W } {
            let at = Duration::from_millis(world.dice.below(50).into());
            world.queue.push(Instant::ZERO + at, Event::Starts(host));
        }
        world.queue.push(Instant::ZERO + CONNECT, Event::Connect);
        world.queue.push(Instant::ZERO + SWEEP, Event::Sweep);
        world
    }

    /// Something is done at a time that has not come yet.
    pub fn plan(&mut self, at: Instant, action: Action) {
        self.queue.push(at, Event::Do(action));
    }

    /// Lets things happen until `end`, or until something is wrong.
    pub fn run_until(&mut self, end: Instant) {
        while self.checks.failure.is_none() {
            let Some((at, source)) = self.next() else { break };
            if at > end {
                break;
            }
            self.now = self.now.max(at);
            self.count_step(source);
            match source {
                Source::Node(host) => self.node_timeout(host),
                Source::Media(host) => self.media_timeout(host),
                Source::Phones => self.phones_timeout(),
                Source::Pbx => self.pbx_timeout(),
                Source::Queue => self.happen(),
            }
            self.one_may_act();
        }
        self.now = self.now.max(end);
    }

    /// What happens next, and when. Among equals the first in the list.
    fn next(&self) -> Option<(Instant, Source)> {
        let mut next: Option<(Instant, Source)> = None;
        let mut consider = |at: Option<Instant>, source| {
            if let Some(at) = at
                && next.is_none_or(|(first, _)| at < first)
            {
                next = Some((at, source));
            }
        };
        for (index, host) in self.hosts.iter().enumerate() {
            consider(host.node_due(), Source::Node(index));
            consider(host.media_due(), Source::Media(index));
        }
        consider(self.phones_due, Source::Phones);
        consider(self.pbx_due, Source::Pbx);
        consider(self.queue.next_at(), Source::Queue);
        next
    }

    fn count_step(&mut self, source: Source) {
        self.steps += 1;
        self.log.step(self.now, source.number());
        let second = self.now.as_nanos() / 1_000_000_000;
        if self.steps_this_second.0 != second {
            self.steps_this_second = (second, 0);
        }
        self.steps_this_second.1 += 1;
        if self.steps_this_second.1 > STEPS_PER_SECOND_MAX {
            self.fail(Kind::Other, "a busy loop: too many steps in a second".to_owned());
        }
    }

    /// What is for a node that does not run comes when it does.
    fn waits(&self, event: &Event) -> Option<Instant> {
        match event {
            // It is still on its way: what is sent later must not overtake it.
            Event::Packet { from, to, .. } if self.pairs[from + to - 1].is_cut_from(*from) => None,
            Event::SipToNode(host, _)
            | Event::Media { host, .. }
            | Event::ToNode { host, .. }
            | Event::Packet { to: host, .. }
            | Event::Exited { to: host, .. }
            | Event::Written { host, .. }
            | Event::Beat { host, .. }
            | Event::FromClient { host, .. } => self.hosts[*host].loop_stopped(),
            Event::Rtp { host, .. } | Event::Command { host, .. } => {
                self.hosts[*host].all_stopped()
            }
            Event::SipToPbx(..)
            | Event::Connect
            | Event::ToClient { .. }
            | Event::Wakes(_)
            | Event::Starts(_)
            | Event::CopyDue { .. }
            | Event::Do(_)
            | Event::Sweep => None,
        }
    }

    fn happen(&mut self) {
        let Some(event) = self.queue.pop() else { return };
        if let Some(until) = self.waits(&event).filter(|until| *until > self.now) {
            return self.queue.push(until, event);
        }
        match event {
            Event::SipToNode(host, bytes) => self.sip_arrives(host, bytes),
            Event::SipToPbx(host, bytes) => self.pbx_hears(host, bytes),
            Event::Rtp { host, udp_port, from, packet } => {
                self.rtp_arrives(host, udp_port, from, &packet);
            }
            Event::Command { host, run, port, command } => {
                self.media_command(host, run, port, command);
            }
            Event::Media { host, run, port, call, at, event } => {
                self.media_event(host, run, (port, call, at), event);
            }
            Event::ToNode { host, run, input } => self.tell_run(host, run, *input),
            Event::Packet { from, to, number, place, packet } => {
                self.packet_arrives((from, to), (number, place), packet);
            }
            Event::Exited { from, to, epoch } => self.exit_told(from, to, epoch),
            Event::Written { host, run, ticket } => self.written(host, run, ticket),
            Event::Beat { host, run } => self.beat(host, run),
            Event::Connect => {
                self.queue.push(self.now + CONNECT, Event::Connect);
                self.connect_nodes();
                self.connect_clients();
            }
            Event::ToClient { client, host, id, frame } => {
                self.client_hears(client, host, id, frame)
            }
            Event::FromClient { host, run, id, text } => self.client_asks(host, run, id, text),
            Event::Wakes(host) => self.wakes(host),
            Event::Starts(host) => self.starts(host),
            Event::CopyDue { call, host, run, since } => {
                self.must_be_copied(call, host, run, since)
            }
            Event::Do(action) => self.act(action),
            Event::Sweep => {
                self.queue.push(self.now + SWEEP, Event::Sweep);
                self.sweep();
            }
        }
    }

    /// At most one node may claim at any instant, by its own clock. One that was paused together
    /// with its clock cannot know better for a moment: what it does then must be harmless.
    fn one_may_act(&mut self) {
        let may = |host: &Host| host.may_claim(self.now) && !host.is_excused(self.now);
        if may(&self.hosts[A]) && may(&self.hosts[B]) {
            let roles = [A, B].map(|at| self.hosts[at].process.as_ref().map(|p| p.role));
            self.fail(Kind::Dual, format!("two nodes may act: {roles:?}"));
        }
    }

    /// Somebody gets a number that nobody had before.
    pub(super) const fn number(&mut self) -> u64 {
        self.count += 1;
        self.count
    }

    pub(super) fn note(&mut self, text: String) {
        self.log.note(self.now, text);
    }

    pub(super) fn note_of(&mut self, host: usize, text: &str) {
        self.log.note(self.now, format!("{} {text}", NAMES[host]));
    }

    pub(super) fn fail(&mut self, kind: Kind, text: String) {
        self.checks.fail(self.now, &mut self.log, kind, text);
    }

    /// The pair of two nodes.
    pub(super) const fn pair(&mut self, one: usize, other: usize) -> &mut Pair {
        // 0 and 1, 0 and 2, 1 and 2.
        &mut self.pairs[one + other - 1]
    }

    /// The length of a lease.
    pub(super) fn lease(&self) -> Duration {
        super::site::config(A, self.site).cluster.timers.lease
    }
}

/// Whose turn it is.
#[derive(Clone, Copy, Debug)]
enum Source {
    Node(usize),
    Media(usize),
    Phones,
    Pbx,
    Queue,
}

impl Source {
    const fn number(self) -> u64 {
        match self {
            Self::Node(host) => 1 + host as u64,
            Self::Media(host) => 4 + host as u64,
            Self::Phones => 7,
            Self::Pbx => 8,
            Self::Queue => 9,
        }
    }
}
