//! Members on a network that loses, delays, doubles and cuts, with disks that take their time,
//! clocks that are wrong and processes that stall, die and come back.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use rand_core::{RngCore, SeedableRng};

use super::clock::Clock;
use super::facts::{Facts, Marks, merge};
use crate::config::Promotion;
use crate::ha::lease::{Site, Timers};
use crate::ha::role::{Answer, Event, Order, Pause, Settings};
use crate::ha::{Ha, Input, Message, Output, Role};
use crate::ids::{Epoch, NodeId, RequestId, Rng};
use crate::store::{Loaded, Record, Ticket, Vote};
use crate::timers::{Duration, Instant};

pub const A: NodeId = NodeId(0);
pub const B: NodeId = NodeId(1);
pub const W: NodeId = NodeId(2);

/// Facts are written and shipped so often.
const TICK: u64 = 50_000;

/// Silence of the other node after which a primary goes on alone.
const SOLO_AFTER: u64 = 200_000;

/// Ports and calls are taken over in this time.
const TAKEOVER: u64 = 30_000;

/// What goes over a link.
#[derive(Clone, Debug)]
pub enum Packet {
    Ha(Message),
    /// I live, and reach the PBX or not.
    Beat(Option<bool>),
    Exited(Epoch, String),
    Sync(Marks),
    SyncAck(Marks),
    Pull(u64, Epoch),
    Pulled(u64, Marks),
}

#[derive(Clone, Debug)]
enum Happening {
    Deliver { from: NodeId, to: NodeId, packet: Packet },
    Written { node: NodeId, boot: u32, ticket: Ticket },
    Tick { node: NodeId },
    TakenOver { node: NodeId, boot: u32, epoch: Epoch },
    Settled { node: NodeId, boot: u32 },
    Wake { node: NodeId },
    Restart { node: NodeId },
}

/// One machine.
pub struct Node {
    pub ha: Option<Ha>,
    pub clock: Clock,
    pub disk: Vote,
    boot: u32,
    writes: VecDeque<(Ticket, Vote)>,
    /// Its disk is busy until then.
    disk_until: u64,
    /// Nothing of it runs, but its clock may.
    pub stalled: bool,
    /// What came while it did not run.
    inbox: VecDeque<(NodeId, Packet)>,
    heard: BTreeMap<NodeId, u64>,
    up: BTreeSet<NodeId>,
    pub facts: Facts,
    pub pbx: Option<bool>,
    /// By its own clock: the lease that it had when it was paused is over at the latest then.
    pub excused_until: Instant,
    /// The lease that the process had when it was last asked.
    pub acted: Option<Epoch>,
    pub events: Vec<Event>,
    pub answers: Vec<(RequestId, Answer)>,
    pub alarms: Vec<String>,
}

/// What may go wrong on the network and on the disks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Weather {
    /// Of a thousand packets.
    pub lost: u32,
    pub doubled: u32,
    pub late: u32,
    /// A late or doubled one comes up to so many microseconds late.
    pub late_by: u32,
    /// A write takes up to so many microseconds.
    pub disk: u32,
}

pub struct World {
    pub now: u64,
    pub nodes: BTreeMap<NodeId, Node>,
    pub settings: Settings,
    pub weather: Weather,
    pub cut: BTreeSet<(NodeId, NodeId)>,
    pub rng: Rng,
    pub acked: Marks,
    /// Who acted under each epoch.
    pub epochs: BTreeMap<Epoch, NodeId>,
    pub fault: Option<String>,
    pub forced: bool,
    /// How long a promotion takes.
    pub takeover: u64,
    pub traced: bool,
    queue: BTreeMap<(u64, u64), Happening>,
    count: u64,
    requests: u64,
}

pub fn settings(nodes: &[NodeId], witness: Option<NodeId>, timers: Timers) -> Settings {
    Settings {
        site: Site { me: A, nodes: nodes.to_vec(), witness, other_pbx: false, timers },
        policy: Promotion::Auto,
        names: ["a", "b", "w"].map(str::to_owned).to_vec(),
        boot_wait: Duration::from_secs(2),
        pause: Pause::default(),
    }
}

impl World {
    /// Machines that stand still; [`World::start`] starts them.
    pub fn new(settings: Settings, seed: u64) -> Self {
        let mut rng = Rng::seed_from_u64(seed);
        let all: Vec<_> =
            settings.site.nodes.iter().copied().chain(settings.site.witness).collect();
        let node = |rng: &mut Rng| Node {
            ha: None,
            clock: Clock::new(
                Duration::from_secs(1 + u64::from(rng.next_u32() % 100)),
                990_000 + u64::from(rng.next_u32() % 20_001),
            ),
            disk: Vote::default(),
            boot: 0,
            writes: VecDeque::new(),
            disk_until: 0,
            stalled: false,
            inbox: VecDeque::new(),
            heard: BTreeMap::new(),
            up: BTreeSet::new(),
            facts: Facts::default(),
            pbx: Some(true),
            excused_until: Instant::ZERO,
            acted: None,
            events: Vec::new(),
            answers: Vec::new(),
            alarms: Vec::new(),
        };
        let nodes = all.into_iter().map(|id| (id, node(&mut rng))).collect();
        Self {
            now: 0,
            nodes,
            settings,
            weather: Weather::default(),
            cut: BTreeSet::new(),
            rng,
            acked: Marks::new(),
            epochs: BTreeMap::new(),
            fault: None,
            forced: false,
            takeover: TAKEOVER,
            traced: false,
            queue: BTreeMap::new(),
            count: 0,
            requests: 0,
        }
    }

    pub fn trio() -> Self {
        Self::new(settings(&[A, B], Some(W), Timers::LAN), 1)
    }

    pub fn pair() -> Self {
        Self::new(settings(&[A, B], None, Timers::LAN), 1)
    }

    pub fn node(&mut self, id: NodeId) -> &mut Node {
        self.nodes.get_mut(&id).expect("a machine")
    }

    pub fn below(&mut self, end: u32) -> u32 {
        self.rng.next_u32() % end.max(1)
    }

    fn later(&mut self, after: u64, happening: Happening) {
        self.count += 1;
        self.queue.insert((self.now + after, self.count), happening);
    }

    /// Starts a process on this machine, with what its disk holds.
    pub fn start(&mut self, id: NodeId) {
        let settings = Settings {
            site: Site { me: id, ..self.settings.site.clone() },
            ..self.settings.clone()
        };
        let rng = Rng::seed_from_u64(self.rng.next_u64());
        let now = self.now;
        let node = self.node(id);
        if node.ha.is_some() {
            return;
        }
        node.boot += 1;
        let loaded = Loaded { boot: node.boot, vote: node.disk, ..Loaded::default() };
        node.facts = node.facts.restarted();
        node.ha = Some(Ha::new(node.clock.local(now), settings, &loaded, rng));
        node.heard.clear();
        node.up.clear();
        node.inbox.clear();
        let reaches = node.pbx;
        if let Some(reaches) = reaches {
            self.input(id, Input::Pbx(reaches));
        }
        self.collect(id);
        self.later(0, Happening::Tick { node: id });
    }

    /// The process ends; what was not written is lost. A supervisor tells the others.
    pub fn crash(&mut self, id: NodeId, supervised: bool, cause: &str) {
        self.trace(|| format!("{id} crashes, supervised {supervised}"));
        let node = self.node(id);
        let Some(ha) = node.ha.take() else { return };
        node.writes.clear();
        node.acted = None;
        let epoch = match ha.role() {
            Role::Promoting(epoch) | Role::Primary(epoch) => Some(epoch),
            Role::Witness | Role::Backup | Role::Candidate | Role::Fenced => None,
        };
        if let Some(epoch) = epoch.filter(|_| supervised) {
            for to in self.others(id) {
                self.send(id, to, Packet::Exited(epoch, cause.to_owned()));
            }
        }
    }

    pub fn restart_in(&mut self, id: NodeId, after: u64) {
        self.later(after, Happening::Restart { node: id });
    }

    /// Nothing of this node runs for a while; `clock`: not even its clock.
    pub fn stall(&mut self, id: NodeId, micros: u64, clock: bool) {
        let (now, hold) = (self.now, self.settings.site.timers.hold());
        self.trace(|| format!("{id} stalls for {micros}, clock {clock}"));
        let node = self.node(id);
        if node.stalled {
            return;
        }
        node.stalled = true;
        if clock {
            node.clock.pause(now, true);
            node.excused_until = node.clock.local(now) + hold;
        }
        self.later(micros, Happening::Wake { node: id });
    }

    pub fn wake(&mut self, id: NodeId) {
        let now = self.now;
        let node = self.node(id);
        node.stalled = false;
        if node.clock.is_paused() {
            node.clock.pause(now, false);
        }
        while let Some((from, packet)) = self.node(id).inbox.pop_front() {
            self.deliver(from, id, packet);
        }
    }

    pub fn others(&self, id: NodeId) -> Vec<NodeId> {
        self.nodes.keys().copied().filter(|&other| other != id).collect()
    }

    fn send(&mut self, from: NodeId, to: NodeId, packet: Packet) {
        let Weather { lost, doubled, late, late_by, .. } = self.weather;
        if self.below(1_000) < lost {
            return;
        }
        let copies = if self.below(1_000) < doubled { 2 } else { 1 };
        for copy in 0..copies {
            let is_late = copy > 0 || self.below(1_000) < late;
            let late = if is_late { self.below(late_by) } else { 0 };
            let after = 200 + self.below(300) + late;
            let packet = packet.clone();
            self.later(after.into(), Happening::Deliver { from, to, packet });
        }
    }

    pub fn input(&mut self, id: NodeId, input: Input) {
        let now = self.now;
        if !matches!(input, Input::PeerPbx { .. }) {
            self.trace(|| format!("{id} <- {input:?}"));
        }
        let node = self.node(id);
        let local = node.clock.local(now);
        if let Some(ha) = &mut node.ha {
            ha.handle_input(local, input);
        }
        self.collect(id);
    }

    pub fn order(&mut self, id: NodeId, order: Order) -> RequestId {
        self.requests += 1;
        let request = RequestId(self.requests);
        self.input(id, Input::Order { id: request, order });
        request
    }

    /// The answer to an order, if there is one yet.
    pub fn answer(&self, id: NodeId, request: RequestId) -> Option<&Answer> {
        let answers = &self.nodes[&id].answers;
        answers.iter().find(|(known, _)| *known == request).map(|(_, answer)| answer)
    }

    pub fn role(&self, id: NodeId) -> Option<Role> {
        self.nodes[&id].ha.as_ref().map(Ha::role)
    }

    /// Nodes that are primary and may act.
    pub fn primaries(&self) -> Vec<NodeId> {
        let serves = |node: &Node| {
            let local = node.clock.local(self.now);
            node.ha
                .as_ref()
                .is_some_and(|ha| matches!(ha.role(), Role::Primary(_)) && ha.holds(local))
        };
        self.nodes.iter().filter(|(_, node)| serves(node)).map(|(&id, _)| id).collect()
    }

    fn collect(&mut self, id: NodeId) {
        loop {
            let node = self.node(id);
            let Some(output) = node.ha.as_mut().and_then(Ha::poll_output) else { break };
            self.carry_out(id, output);
        }
        self.check();
    }

    fn carry_out(&mut self, id: NodeId, output: Output) {
        let boot = self.node(id).boot;
        self.trace(|| format!("{id} -> {output:?}"));
        match output {
            Output::Send { to, message } => {
                self.send(id, to, Packet::Ha(message));
            }
            Output::Persist { ticket, record: Record::Vote(vote) } => {
                let takes = u64::from(300 + self.below(self.weather.disk));
                let now = self.now;
                let node = self.node(id);
                node.writes.push_back((ticket, vote));
                node.disk_until = node.disk_until.max(now) + takes;
                let after = node.disk_until - now;
                self.later(after, Happening::Written { node: id, boot, ticket });
            }
            Output::Persist { record: Record::Fact(_) | Record::Late(_), .. } => {}
            Output::Marks { from, .. } => self.released(id, from),
            Output::Role(Role::Promoting(epoch)) => {
                self.check_promotion(id, epoch);
                self.later(self.takeover, Happening::TakenOver { node: id, boot, epoch });
            }
            Output::Role(_) => {
                let facts = &mut self.node(id).facts;
                (facts.alone, facts.asked) = (None, None);
            }
            Output::Event(event) => self.node(id).events.push(event),
            Output::Answer { id: request, answer } => self.node(id).answers.push((request, answer)),
            Output::Unbind(true) => self.input(id, Input::Unbound),
            Output::Unbind(false) => {}
            Output::SettleNow => self.input(id, Input::Settled(Vec::new())),
            Output::Alarm(text) => self.node(id).alarms.push(text),
            Output::Settle => self.later(1_000, Happening::Settled { node: id, boot }),
            Output::NeedsFacts { .. } => self.pull(id),
            Output::Solo { on, epoch } => {
                let facts = &mut self.node(id).facts;
                facts.alone = Some(epoch).filter(|_| on && facts.asked == Some((true, epoch)));
            }
        }
    }

    /// A node of a pair knows by its link whether it has all that the other one acknowledged; links
    /// of this world fail in one direction, which theirs do not, so the world tells it.
    fn released(&mut self, id: NodeId, from: NodeId) {
        let here = self.nodes[&id].facts.here.get(&from).copied().unwrap_or(0);
        if self.settings.site.witness.is_none() && here >= self.acked_by(from) {
            self.input(id, Input::FactsPulled);
        }
    }

    fn other(&self, id: NodeId) -> Option<NodeId> {
        self.settings.site.nodes.iter().copied().find(|&node| node != id)
    }

    /// Asks for every fact that the other node has at this moment or later.
    fn pull(&mut self, id: NodeId) {
        self.count += 1;
        let number = self.count;
        self.node(id).facts.pull = Some(number);
        self.ask_facts(id);
    }

    fn ask_facts(&mut self, id: NodeId) {
        let node = self.node(id);
        let epoch = node.ha.as_ref().map_or(Epoch::default(), |ha| ha.lease.vote().held);
        if let (Some(number), Some(other)) = (self.node(id).facts.pull, self.other(id)) {
            self.send(id, other, Packet::Pull(number, epoch));
        }
    }

    fn deliver(&mut self, from: NodeId, to: NodeId, packet: Packet) {
        let now = self.now;
        let node = self.node(to);
        if node.ha.is_none() {
            return;
        }
        if node.stalled {
            return node.inbox.push_back((from, packet));
        }
        if !matches!(packet, Packet::Exited(..)) {
            node.heard.insert(from, now);
            if node.up.insert(from) {
                self.input(to, Input::Up(from));
            }
        }
        match packet {
            Packet::Ha(message) => self.input(to, Input::Received { from, message }),
            Packet::Beat(reachable) => self.input(to, Input::PeerPbx { node: from, reachable }),
            Packet::Exited(epoch, cause) => {
                self.input(to, Input::Exited { node: from, epoch, cause })
            }
            Packet::Sync(marks) => {
                let facts = &mut self.node(to).facts;
                merge(&mut facts.here, &marks);
                let here = facts.here.clone();
                self.send(to, from, Packet::SyncAck(here));
            }
            Packet::SyncAck(marks) => merge(&mut self.node(to).facts.there, &marks),
            Packet::Pull(number, epoch) => {
                let facts = &mut self.node(to).facts;
                facts.barred = facts.barred.max(epoch);
                let here = facts.here.clone();
                self.send(to, from, Packet::Pulled(number, here));
            }
            Packet::Pulled(number, marks) => {
                let facts = &mut self.node(to).facts;
                merge(&mut facts.here, &marks);
                if facts.pull == Some(number) {
                    facts.pull = None;
                    self.input(to, Input::FactsPulled);
                }
            }
        }
    }

    fn tick(&mut self, id: NodeId) {
        let now = self.now;
        self.later(TICK, Happening::Tick { node: id });
        let node = self.node(id);
        if node.stalled || node.ha.is_none() {
            return;
        }
        let silence = u64::try_from(self.settings.site.timers.ttl.as_micros()).expect("short");
        let node = self.node(id);
        let silent = |node: &Node, peer: &NodeId| {
            node.heard.get(peer).is_none_or(|&heard| now > heard + silence)
        };
        let lost: Vec<_> = node.up.iter().copied().filter(|peer| silent(node, peer)).collect();
        for peer in lost {
            self.node(id).up.remove(&peer);
            self.input(id, Input::Down(peer));
        }
        let beat = Packet::Beat(self.node(id).pbx);
        for to in self.others(id) {
            self.send(id, to, beat.clone());
        }
        if self.settings.site.nodes.contains(&id) {
            self.facts_tick(id);
        }
    }

    /// Writes a fact, ships, acknowledges, and asks the witness when the other node is silent.
    fn facts_tick(&mut self, id: NodeId) {
        let Some(other) = self.other(id) else { return };
        let now = self.now;
        let node = self.node(id);
        let local = node.clock.local(now);
        let ha = node.ha.as_ref().expect("it runs");
        let (role, behind) = (ha.role(), ha.lease.vote().behind);
        let acts = ha.holds(local);
        if behind && node.facts.pull.is_none() {
            self.pull(id);
        }
        self.ask_facts(id);
        if let Role::Primary(epoch) = role
            && acts
            && epoch >= self.node(id).facts.barred
        {
            *self.node(id).facts.here.entry(id).or_default() += 1;
            self.acknowledge(id, epoch);
        }
        let marks = self.node(id).facts.here.clone();
        self.send(id, other, Packet::Sync(marks));
    }

    fn acknowledge(&mut self, id: NodeId, epoch: Epoch) {
        let now = self.now;
        let facts = &mut self.node(id).facts;
        let (here, there) = facts.own(id);
        // What was written just now cannot be there yet.
        let lacks = there + 1 < here;
        let since = lacks.then(|| *facts.lacking_since.get_or_insert(now));
        facts.lacking_since = since;
        let sure = if facts.alone == Some(epoch) { here } else { there.min(here) };
        let mark = self.acked.entry(id).or_default();
        *mark = sure.max(*mark);
        let asked = self.node(id).facts.asked.filter(|&(_, of)| of == epoch).map(|(on, _)| on);
        if since.is_some_and(|since| now > since + SOLO_AFTER) && asked != Some(true) {
            self.ask_solo(id, epoch, true);
        } else if asked == Some(true) && !lacks && there >= self.acked_by(id) {
            // It stops before it says so, and only when the other one has all.
            self.node(id).facts.alone = None;
            self.ask_solo(id, epoch, false);
        }
    }

    fn acked_by(&self, id: NodeId) -> u64 {
        self.acked.get(&id).copied().unwrap_or(0)
    }

    fn ask_solo(&mut self, id: NodeId, epoch: Epoch, on: bool) {
        self.node(id).facts.asked = Some((on, epoch));
        self.input(id, Input::Solo(on));
    }

    fn happen(&mut self, happening: Happening) {
        let runs = |world: &Self, id: NodeId, boot: u32| {
            let node = &world.nodes[&id];
            node.ha.is_some() && node.boot == boot
        };
        match happening {
            Happening::Deliver { from, to, packet } => {
                if !self.cut.contains(&(from, to)) {
                    self.deliver(from, to, packet);
                }
            }
            Happening::Written { node, boot, ticket } if runs(self, node, boot) => {
                let member = self.node(node);
                if let Some((_, vote)) = member.writes.pop_front() {
                    member.disk = vote;
                }
                if member.stalled {
                    return self.later(10_000, Happening::Written { node, boot, ticket });
                }
                self.input(node, Input::Persisted(ticket));
            }
            Happening::Tick { node } if self.nodes[&node].ha.is_some() => self.tick(node),
            Happening::TakenOver { node, boot, epoch } if runs(self, node, boot) => {
                if self.role(node) == Some(Role::Promoting(epoch)) {
                    self.input(node, Input::TakenOver);
                }
            }
            Happening::Settled { node, boot } if runs(self, node, boot) => {
                self.input(node, Input::Settled(Vec::new()));
            }
            Happening::Wake { node } => self.wake(node),
            Happening::Restart { node } => self.start(node),
            Happening::Written { .. }
            | Happening::Tick { .. }
            | Happening::TakenOver { .. }
            | Happening::Settled { .. } => {}
        }
    }

    fn trace(&self, text: impl FnOnce() -> String) {
        if self.traced {
            eprintln!("{:>9} {}", self.now, text());
        }
    }

    /// The next moment at which a node wants to be called.
    fn next_timeout(&self) -> Option<(u64, NodeId)> {
        let due = self.nodes.iter().filter(|(_, node)| !node.stalled).filter_map(|(&id, node)| {
            let at = node.ha.as_ref()?.poll_timeout()?;
            Some((node.clock.real(at)?.max(self.now), id))
        });
        due.min()
    }

    pub fn run_until(&mut self, end: u64) {
        while self.fault.is_none() {
            let timeout = self.next_timeout().filter(|&(at, _)| at <= end);
            let queued = self.queue.keys().next().copied().filter(|&(at, _)| at <= end);
            match (timeout, queued) {
                (Some((at, id)), queued) if queued.is_none_or(|(next, _)| at < next) => {
                    self.now = at;
                    let node = self.node(id);
                    let local = node.clock.local(at);
                    if let Some(ha) = &mut node.ha {
                        ha.handle_timeout(local);
                        let next = ha.poll_timeout();
                        assert!(next.is_none_or(|next| next > local), "{id}: still due");
                    }
                    self.collect(id);
                }
                (_, Some(key)) => {
                    self.now = key.0;
                    let happening = self.queue.remove(&key).expect("it was there");
                    self.happen(happening);
                }
                (_, None) => break,
            }
        }
        self.now = self.now.max(end);
    }

    pub fn run(&mut self, millis: u64) {
        self.run_until(self.now + millis * 1_000);
    }
}
