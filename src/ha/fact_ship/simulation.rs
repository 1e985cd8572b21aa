//! Two data nodes and a witness under faults drawn from a seed: processes die with what the disk
//! has not taken, links are cut, lose, delay, double and reorder, disks stall. A stub stands for
//! the lease: one holder at a time, granted by the witness or by the other data node, and the
//! witness's note that a holder goes on alone.
//!
//! Looked at all the time: whoever may serve has every fact that was acknowledged before; no fact
//! is acknowledged twice; a name means the same fact on every disk; no lane has a hole. At the end
//! all faults are taken away, and every node must come to have everything.

use std::collections::{BTreeMap, VecDeque};

use rand_core::{RngCore, SeedableRng};

use super::*;
use crate::config::MemberRole;
use crate::ids::{CallId, PortId, Rng};
use crate::store::{Audit, Cdr, Vote, Who};
use crate::timers::Duration;

const NODES: usize = 3;
const WITNESS: usize = 2;
/// How long faults last.
const FAULTS: Duration = Duration::from_secs(15);
/// How long there is to recover from them.
const CALM: Duration = Duration::from_secs(10);
/// From the last sign of a holder to the next grant.
const LEASE: Duration = Duration::from_millis(600);

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// What a node has on its disk.
#[derive(Default)]
struct Disk {
    boot: u32,
    lanes: BTreeMap<Lane, Vec<Fact>>,
}

struct Process {
    ship: FactShip,
    run: u64,
    /// On its way to the disk; the first `committing` are in the commit that runs.
    queue: VecDeque<(Ticket, Fact)>,
    committing: usize,
    timer: Option<Instant>,
    caught_up: BTreeMap<usize, Epoch>,
    /// What was last asked of the witness: on, counter, done.
    wish: Option<(bool, u64, bool)>,
}

#[derive(Default)]
struct Node {
    disk: Disk,
    process: Option<Process>,
    slow_until: Instant,
}

#[derive(Clone, Copy, Default)]
struct Link {
    cut: bool,
    up: bool,
    session: u64,
}

#[derive(Clone, Copy)]
struct Note {
    node: usize,
    epoch: Epoch,
    counter: u64,
    on: bool,
}

struct Hold {
    node: usize,
    epoch: Epoch,
    by: usize,
    facts_of: Option<usize>,
    granted_at: Instant,
    serving: bool,
    complete: bool,
}

#[derive(Clone)]
enum Event {
    Ship { from: usize, to: usize, session: u64, message: Message },
    Wish { from: usize, session: u64, epoch: Epoch, counter: u64, on: bool },
    Noted { to: usize, session: u64, epoch: Epoch, counter: u64, on: bool },
    Commit { node: usize, run: u64 },
    Read { node: usize, run: u64, lane: Lane, after: u64, max: usize },
    Timer { node: usize, run: u64 },
    Connect,
    Down { node: usize, peer: usize, session: u64 },
    Start(usize),
    Heal(usize, usize),
    Append,
    Fault,
    Lease,
}

struct Acknowledged {
    at: Instant,
    /// Durable at the other data node, or noted: not only at the witness.
    by_holder: bool,
}

struct World {
    rng: Rng,
    now: Instant,
    calm_from: Instant,
    events: BTreeMap<(Instant, u64), Event>,
    count: u64,
    nodes: [Node; NODES],
    links: [[Link; NODES]; NODES],
    epoch: Epoch,
    hold: Option<Hold>,
    vacant_until: Instant,
    note: Option<Note>,
    tokens: u64,
    /// Body of each fact by name, as it was appended.
    bodies: BTreeMap<FactId, Body>,
    acknowledged: BTreeMap<FactId, Acknowledged>,
    served: u32,
    violation: Option<String>,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut world = Self {
            rng: Rng::seed_from_u64(seed),
            now: Instant::ZERO,
            calm_from: Instant::ZERO + FAULTS,
            events: BTreeMap::new(),
            count: 0,
            nodes: Default::default(),
            links: Default::default(),
            epoch: Epoch(0),
            hold: None,
            vacant_until: Instant::ZERO,
            note: None,
            tokens: 0,
            bodies: BTreeMap::new(),
            acknowledged: BTreeMap::new(),
            served: 0,
            violation: None,
        };
        (0..NODES).for_each(|node| world.at(ms(1), Event::Start(node)));
        for event in [Event::Connect, Event::Append, Event::Fault, Event::Lease] {
            world.at(ms(2), event);
        }
        world
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.rng.next_u64() % bound
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    fn is_calm(&self) -> bool {
        self.now >= self.calm_from
    }

    fn at(&mut self, after: Duration, event: Event) {
        self.count += 1;
        self.events.insert((self.now + after, self.count), event);
    }

    fn violated(&mut self, what: String) {
        self.violation.get_or_insert(format!("{:?}: {what}", self.now));
    }

    fn run(mut self) -> Result<Self, String> {
        let end = self.calm_from + CALM;
        while let Some(((now, _), event)) = self.events.pop_first()
            && now < end
            && self.violation.is_none()
        {
            self.now = now;
            self.event(event);
        }
        self.at_the_end();
        self.violation.take().map_or(Ok(self), Err)
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::Ship { from, to, session, message } => {
                if self.link(from, to).session == session {
                    let from = NodeId(from as u8);
                    self.input(to, Input::Received { from, message });
                }
            }
            Event::Wish { from, session, epoch, counter, on } => {
                self.wish_came(from, session, Note { node: from, epoch, counter, on });
            }
            Event::Noted { to, session, epoch, counter, on } => {
                self.noted(to, session, epoch, counter, on);
            }
            Event::Commit { node, run } => self.commit(node, run),
            Event::Read { node, run, lane, after, max } => self.read(node, run, lane, after, max),
            Event::Timer { node, run } => self.timer(node, run),
            Event::Connect => self.connect(),
            Event::Down { node, peer, session } => {
                if self.link(node, peer).session == session {
                    self.input(node, Input::Down(NodeId(peer as u8)));
                }
            }
            Event::Start(node) => self.start(node),
            Event::Heal(a, b) => self.link_mut(a, b).cut = false,
            Event::Append => self.append(),
            Event::Fault => self.fault(),
            Event::Lease => self.lease(),
        }
    }

    // Nodes.

    fn site(node: usize) -> Site {
        let role = |n| if n == WITNESS { MemberRole::Witness } else { MemberRole::Data };
        let others = (0..NODES).filter(|&n| n != node).map(|n| (NodeId(n as u8), role(n)));
        Site {
            me: NodeId(node as u8),
            profile: ClusterProfile::Trio,
            others: others.collect(),
            solo_after: Duration::from_secs(5),
        }
    }

    fn start(&mut self, node: usize) {
        self.count += 1;
        let (run, epoch) = (self.count, self.epoch);
        let Node { disk, process, .. } = &mut self.nodes[node];
        if process.is_some() {
            return;
        }
        disk.boot += 1;
        let marks = disk.lanes.iter().map(|(&lane, facts)| (lane, facts.len() as u64)).collect();
        let vote = Vote { promised: epoch, ..Vote::default() };
        let loaded = Loaded { boot: disk.boot, vote, marks, facts: Vec::new() };
        *process = Some(Process {
            ship: FactShip::new(Self::site(node), &loaded),
            run,
            queue: VecDeque::new(),
            committing: 0,
            timer: None,
            caught_up: BTreeMap::new(),
            wish: None,
        });
    }

    fn crash(&mut self, node: usize) {
        let Some(process) = self.nodes[node].process.take() else { return };
        // A commit that runs may have reached the disk or not, whole or not at all.
        let survives = if self.chance(50) { process.committing } else { 0 };
        for (_, fact) in process.queue.into_iter().take(survives) {
            self.store(node, fact);
        }
        (0..NODES).filter(|&peer| peer != node).for_each(|peer| self.drop_link(node, peer));
        if self.hold.as_ref().is_some_and(|hold| hold.node == node) {
            self.end_hold();
        }
        let after = ms(50 + self.below(3_000));
        self.at(after, Event::Start(node));
    }

    fn process(&mut self, node: usize, run: u64) -> Option<&mut Process> {
        self.nodes[node].process.as_mut().filter(|process| process.run == run)
    }

    fn input(&mut self, node: usize, input: Input) {
        let now = self.now;
        if let Some(process) = &mut self.nodes[node].process {
            process.ship.handle_input(now, input);
            self.perform(node);
        }
    }

    fn timer(&mut self, node: usize, run: u64) {
        let now = self.now;
        let Some(process) = self.process(node, run) else { return };
        process.timer = None;
        process.ship.handle_timeout(now);
        self.perform(node);
    }

    fn perform(&mut self, node: usize) {
        while let Some(process) = &mut self.nodes[node].process
            && let Some(output) = process.ship.poll_output()
        {
            let run = process.run;
            self.output(node, run, output);
        }
        let now = self.now;
        if let Some(process) = &mut self.nodes[node].process
            && let Some(due) = process.ship.poll_timeout()
            && process.timer.is_none_or(|timer| due < timer)
        {
            process.timer = Some(due);
            let run = process.run;
            // A timeout that is due for ever would stop the clock.
            let after = due.saturating_duration_since(now).max(Duration::from_micros(10));
            self.at(after, Event::Timer { node, run });
        }
        self.check_service();
    }

    fn output(&mut self, node: usize, run: u64, output: Output) {
        match output {
            Output::Persist { ticket, record } => self.persist(node, run, ticket, record),
            Output::Send { to, message } => {
                let (from, to) = (node, usize::from(to.0));
                let session = self.link(from, to).session;
                self.send(from, to, Event::Ship { from, to, session, message });
            }
            Output::Acknowledged { id, .. } => self.acknowledge(node, id),
            Output::WantSolo(on) => self.want_solo(node, on),
            Output::Read { lane, after, max } => {
                self.at(ms(1), Event::Read { node, run, lane, after, max });
            }
            Output::CaughtUp { with, epoch } => {
                if let Some(process) = self.process(node, run) {
                    process.caught_up.insert(usize::from(with.0), epoch);
                }
            }
            Output::Refused { why, .. } => self.violated(format!("n{node} refused: {why:?}")),
            Output::SetBack => self.violated(format!("n{node} thinks it was set back")),
            Output::Fact(_) | Output::Alone(_) => {}
        }
    }

    fn append(&mut self) {
        let after = ms(5 + self.below(60));
        self.at(after, Event::Append);
        if self.is_calm() {
            return;
        }
        let holder = self.hold.as_ref().map_or(0, |hold| hold.node);
        let node = if self.chance(70) { holder } else { self.below(3) as usize };
        if self.nodes[node].process.is_none() {
            return;
        }
        self.tokens += 1;
        let call = self.tokens;
        let body = if node == WITNESS || self.chance(30) { audit(call) } else { cdr(call) };
        let boot = self.nodes[node].disk.boot;
        let lane = Lane { node: NodeId(node as u8), boot, stream: body.stream() };
        let counter = 1 + self
            .bodies
            .range(FactId { lane, counter: 0 }..)
            .take_while(|b| b.0.lane == lane)
            .count();
        self.bodies.insert(FactId { lane, counter: counter as u64 }, body.clone());
        self.input(node, Input::Append { token: Token(call), unix_ms: 0, body: Box::new(body) });
    }

    fn acknowledge(&mut self, node: usize, id: FactId) {
        let held = self.hold.as_ref().is_some_and(|hold| hold.node == node);
        let by_holder = node != WITNESS && (held || id.lane.stream == Stream::Calls);
        let before = self.acknowledged.insert(id, Acknowledged { at: self.now, by_holder });
        if before.is_some() {
            self.violated(format!("{id:?} is acknowledged twice"));
        }
    }

    // Disks.

    fn persist(&mut self, node: usize, run: u64, ticket: Ticket, record: Record) {
        let (Record::Fact(fact) | Record::Late(fact)) = record else { return };
        let Some(process) = self.process(node, run) else { return };
        process.queue.push_back((ticket, *fact));
        if process.committing == 0 {
            self.begin_commit(node, run);
        }
    }

    fn begin_commit(&mut self, node: usize, run: u64) {
        let stall = self.nodes[node].slow_until.saturating_duration_since(self.now);
        let after = Duration::from_micros(500 + self.below(4_000)) + stall;
        let Some(process) = self.process(node, run) else { return };
        process.committing = process.queue.len();
        if process.committing > 0 {
            self.at(after, Event::Commit { node, run });
        }
    }

    fn commit(&mut self, node: usize, run: u64) {
        let Some(process) = self.process(node, run) else { return };
        let committing = std::mem::take(&mut process.committing);
        let durable: Vec<_> = process.queue.drain(..committing).collect();
        for (ticket, fact) in durable {
            self.store(node, fact);
            self.input(node, Input::Persisted(ticket));
        }
        self.begin_commit(node, run);
    }

    fn store(&mut self, node: usize, fact: Fact) {
        let lane = self.nodes[node].disk.lanes.entry(fact.id.lane).or_default();
        let expected = lane.len() as u64 + 1;
        if fact.id.counter != expected {
            return self.violated(format!("n{node}: {:?} instead of {expected}", fact.id));
        }
        let appended = self.bodies.get(&fact.id) == Some(&fact.body);
        lane.push(fact);
        if !appended {
            self.violated(format!("n{node}: a fact is not what was appended"));
        }
    }

    fn read(&mut self, node: usize, run: u64, lane: Lane, after: u64, max: usize) {
        if self.process(node, run).is_some() {
            let facts = self.nodes[node].disk.lanes.get(&lane);
            let facts = facts.into_iter().flatten().skip(after as usize).take(max).cloned();
            let facts = facts.collect();
            self.input(node, Input::Read { lane, after, facts });
        }
    }

    fn has(&self, node: usize, id: FactId) -> bool {
        let lane = self.nodes[node].disk.lanes.get(&id.lane);
        lane.is_some_and(|facts| facts.len() as u64 >= id.counter)
    }

    // Links.

    fn link(&self, a: usize, b: usize) -> Link {
        self.links[a.min(b)][a.max(b)]
    }

    fn link_mut(&mut self, a: usize, b: usize) -> &mut Link {
        &mut self.links[a.min(b)][a.max(b)]
    }

    fn send(&mut self, from: usize, to: usize, event: Event) {
        if !self.link(from, to).up {
            return;
        }
        let copies = if self.is_calm() {
            1
        } else {
            [1, 0, 2][usize::from(self.chance(3)) + usize::from(self.chance(3))]
        };
        for _ in 0..copies {
            let slow = if self.chance(5) { self.below(50_000) } else { 0 };
            let after = Duration::from_micros(100 + self.below(2_000) + slow);
            self.at(after, event.clone());
        }
    }

    fn connect(&mut self) {
        self.at(ms(20), Event::Connect);
        for (a, b) in [(0, 1), (0, 2), (1, 2)] {
            let alive = self.nodes[a].process.is_some() && self.nodes[b].process.is_some();
            let link = self.link_mut(a, b);
            if link.up || link.cut || !alive {
                continue;
            }
            link.up = true;
            link.session += 1;
            self.input(a, Input::Up(NodeId(b as u8)));
            self.input(b, Input::Up(NodeId(a as u8)));
        }
    }

    fn drop_link(&mut self, a: usize, b: usize) {
        let link = self.link_mut(a, b);
        if std::mem::take(&mut link.up) {
            link.session += 1;
            let session = link.session;
            for (node, peer) in [(a, b), (b, a)] {
                let after = ms(self.below(200));
                self.at(after, Event::Down { node, peer, session });
            }
        }
    }

    // Faults.

    fn fault(&mut self) {
        let after = ms(100 + self.below(1_500));
        if self.now + after < self.calm_from {
            self.at(after, Event::Fault);
        }
        let node = self.below(3) as usize;
        let peer = (node + 1 + self.below(2) as usize) % NODES;
        match self.below(10) {
            0..=2 => self.crash(node),
            // Power: two at once.
            3 => [node, peer].into_iter().for_each(|node| self.crash(node)),
            4..=6 => {
                self.link_mut(node, peer).cut = true;
                self.drop_link(node, peer);
                let after = ms(100 + self.below(4_000));
                self.at(after, Event::Heal(node, peer));
            }
            7 => self.nodes[node].slow_until = self.now + ms(1_500),
            _ => self.end_hold(),
        }
    }

    // The stub of the lease.

    fn end_hold(&mut self) {
        if let Some(hold) = self.hold.take() {
            self.input(hold.node, Input::Lost);
            self.vacant_until = self.now + LEASE;
        }
    }

    fn hears(&self, a: usize, b: usize) -> bool {
        self.nodes[b].process.is_some() && self.link(a, b).up
    }

    /// Every 50 ms: who can have the lease, and who cannot keep it.
    fn lease(&mut self) {
        self.at(ms(50), Event::Lease);
        self.send_wishes();
        match &self.hold {
            Some(hold) => {
                let (node, starved) =
                    (hold.node, !hold.serving && self.now > hold.granted_at + ms(2_000));
                if starved || !(0..NODES).any(|peer| peer != node && self.hears(node, peer)) {
                    self.end_hold();
                }
            }
            None if self.now >= self.vacant_until => self.grant(),
            None => {}
        }
    }

    fn grant(&mut self) {
        let node = self.below(2) as usize;
        if self.nodes[node].process.is_none() {
            return;
        }
        let (by, facts_of) = if self.hears(node, WITNESS) {
            let alone = self.note.filter(|note| note.on && note.node != node);
            (WITNESS, alone.map(|note| note.node))
        } else if self.hears(node, 1 - node) {
            // The other data node cannot say who went on alone: its own facts are all there are.
            (1 - node, Some(1 - node))
        } else {
            return;
        };
        let epoch = self.epoch.next();
        self.epoch = epoch;
        if let Some(process) = &mut self.nodes[node].process {
            process.wish = None;
        }
        let granted_at = self.now;
        let (serving, complete) = (false, false);
        self.hold = Some(Hold { node, epoch, by, facts_of, granted_at, serving, complete });
        let facts_of = facts_of.map(|node| NodeId(node as u8));
        self.input(node, Input::Held { epoch, facts_of });
    }

    fn want_solo(&mut self, node: usize, on: bool) {
        self.count += 1;
        let counter = self.count;
        if let Some(process) = &mut self.nodes[node].process {
            process.wish = Some((on, counter, false));
        }
        self.send_wishes();
    }

    fn send_wishes(&mut self) {
        let Some(hold) = &self.hold else { return };
        let (from, epoch) = (hold.node, hold.epoch);
        let Some(process) = &self.nodes[from].process else { return };
        if let Some((on, counter, false)) = process.wish {
            let session = self.link(from, WITNESS).session;
            self.send(from, WITNESS, Event::Wish { from, session, epoch, counter, on });
        }
    }

    /// The witness notes it at once; its disk is part of what the message takes.
    fn wish_came(&mut self, from: usize, session: u64, note: Note) {
        let Note { epoch, counter, on, .. } = note;
        let alive = self.nodes[WITNESS].process.is_some();
        if !alive || self.link(from, WITNESS).session != session || epoch != self.epoch {
            return;
        }
        let late = self.note.is_some_and(|known| known.epoch == epoch && known.counter > counter);
        if !late {
            self.note = Some(note);
            self.send(WITNESS, from, Event::Noted { to: from, session, epoch, counter, on });
        }
    }

    fn noted(&mut self, to: usize, session: u64, epoch: Epoch, counter: u64, on: bool) {
        if self.link(to, WITNESS).session != session {
            return;
        }
        let held = self.hold.as_ref().is_some_and(|h| h.node == to && h.epoch == epoch);
        let Some(process) = &mut self.nodes[to].process else { return };
        if held && process.wish == Some((on, counter, false)) {
            process.wish = Some((on, counter, true));
            self.input(to, Input::Solo { on, epoch });
        }
    }

    // What must be true.

    /// Whoever may serve has what was acknowledged before it was granted the lease: what a holder
    /// acknowledged at once, the rest when it has what its voter has.
    fn check_service(&mut self) {
        let Some(hold) = &mut self.hold else { return };
        let Some(process) = &self.nodes[hold.node].process else { return };
        let caught = |with| process.caught_up.get(&with).is_some_and(|at| *at >= hold.epoch);
        let before = (hold.serving, hold.complete);
        hold.serving |= hold.facts_of.is_none_or(caught);
        hold.complete |= hold.serving && caught(hold.by);
        if before == (hold.serving, hold.complete) {
            return;
        }
        self.served += u32::from(!before.0);
        let (node, complete, since) = (hold.node, hold.complete, hold.granted_at);
        let mut needed = self.acknowledged.iter().filter(|(id, fact)| {
            let at_home = node != WITNESS || id.lane.stream == Stream::Control;
            at_home && fact.at <= since && (complete || fact.by_holder)
        });
        if let Some((&id, _)) = needed.find(|&(&id, _)| !self.has(node, id)) {
            self.violated(format!("n{node} serves without {id:?}"));
        }
    }

    /// Every node has everything, and nobody waits.
    fn at_the_end(&mut self) {
        if self.violation.is_some() {
            return;
        }
        if self.hold.as_ref().is_none_or(|hold| !hold.complete) {
            return self.violated("nobody serves at the end".to_owned());
        }
        for node in 0..NODES {
            let pending =
                self.nodes[node].process.as_ref().map(|process| process.ship.status().pending);
            if pending != Some(0) {
                return self.violated(format!("n{node} still waits: {pending:?}"));
            }
            let lost = self.acknowledged.keys().find(|id| {
                (node != WITNESS || id.lane.stream == Stream::Control) && !self.has(node, **id)
            });
            if let Some(id) = lost {
                let what = format!("n{node} never got {id:?}");
                return self.violated(what);
            }
        }
        let calls = |node: usize| {
            let disk = &self.nodes[node].disk;
            disk.lanes.iter().map(|(lane, facts)| (*lane, facts.len())).collect::<Vec<_>>()
        };
        if calls(0) != calls(1) {
            self.violated("the data nodes differ at the end".to_owned());
        }
    }
}

fn audit(n: u64) -> Body {
    let who = Who::Operator(n.to_string());
    Body::Audit(Audit { who, action: crate::store::Action::Drill, result: Ok(()) })
}

fn cdr(call: u64) -> Body {
    Body::Cdr(Cdr {
        call: CallId(call),
        port: PortId(1),
        extension: "201".to_owned(),
        party: "300".to_owned().into(),
        outbound: false,
        began_unix_ms: 0,
        answered_ms: None,
        duration_ms: 0,
        cause: "normal".to_owned(),
        rebinds: 0,
        takeovers: 0,
    })
}

#[test]
fn whatever_breaks_no_acknowledged_fact_is_lost_or_doubled() {
    let (mut served, mut acknowledged) = (0, 0);
    for seed in 0..200 {
        match World::new(seed).run() {
            Ok(world) => {
                served += world.served;
                acknowledged += world.acknowledged.len();
            }
            Err(violation) => panic!("seed {seed}: {violation}"),
        }
    }
    assert!(served > 600 && acknowledged > 40_000, "{served} {acknowledged}: nothing happened");
}

#[cfg(feature = "mutants")]
#[test]
fn each_planted_bug_of_the_facts_is_found() {
    let found = |mutant| {
        crate::mutants::plant(Some(mutant));
        let seed = (0..2_000).find(|&seed| World::new(seed).run().is_err());
        crate::mutants::plant(None);
        seed
    };
    let missed: Vec<_> =
        Mutant::OF_FACTS.iter().filter(|&&mutant| found(mutant).is_none()).collect();
    assert!(missed.is_empty(), "{missed:?}");
}
