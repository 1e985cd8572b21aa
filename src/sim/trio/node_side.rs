//! The nodes' inputs and outputs, their links and their disks.

use super::action::Part;
use super::checks::{Candidate, Kind};
use super::host::{Process, Stopped};
use super::lines::Line;
use super::pair::Packet;
use super::site::{self, A, B, NAMES, Site};
use super::world::{Event, World};
use crate::ha::{self, Role, member, peer};
use crate::ids::{Epoch, NodeId, fork};
use crate::mutants::{Mutant, mutant};
use crate::node::replicas::CallChange;
use crate::node::{Input, Node, Output};
use crate::sip;
use crate::store::{Body, Record, Ticket};
use crate::timers::{Duration, Instant};

type Message = member::Message<Vec<CallChange>>;

/// A deadline that stays in the past after so many calls is one that is never met.
const TIMEOUTS_AT_ONCE_MAX: u32 = 4;

/// Wall time at the beginning.
const NOON: u64 = 1_767_225_600_000;

fn id(host: usize) -> NodeId {
    NodeId(u8::try_from(host).unwrap_or(u8::MAX))
}

impl World {
    /// A process starts, with what its disk holds.
    pub(super) fn starts(&mut self, at: usize) {
        if self.hosts[at].process.is_some() {
            return;
        }
        let (run, now) = (self.number(), self.now);
        let rng = fork(&mut self.rng);
        let host = &mut self.hosts[at];
        let loaded = host.disk.start();
        (host.started_at, host.well_since, host.midway) = (now, now, None);
        host.ledger = Default::default();
        let local = host.clock.local(now);
        let config = site::config(at, self.site);
        let sockets = vec![site::sip_address(at)];
        let prompts = crate::sim::site::prompts();
        let mut node = Node::new(config, prompts, sockets, rng, local);
        let unix_ms = NOON + now.as_nanos() / 1_000_000;
        node.handle_input(local, Input::Wall { unix_ms });
        node.join(local, &loaded);
        host.process = Some(Process {
            node: Box::new(node),
            run,
            due: None,
            beat: None,
            acted: Epoch::default(),
            lines: Line::all(),
            media_due: None,
            role: Role::Fenced,
        });
        self.note_of(at, "starts");
        self.queue.push(now, Event::Beat { host: at, run });
        self.perform(at);
    }

    /// The process of a host, if it is this one.
    pub(super) fn process(&mut self, at: usize, run: u64) -> Option<&mut Process> {
        self.hosts[at].process.as_mut().filter(|process| process.run == run)
    }

    /// Tells a process something; one that is gone hears nothing.
    pub(super) fn tell_run(&mut self, at: usize, run: u64, input: Input) {
        if self.process(at, run).is_some() {
            self.tell(at, input);
        }
    }

    /// Tells whatever runs on a host.
    pub(super) fn tell(&mut self, at: usize, input: Input) {
        let host = &mut self.hosts[at];
        let local = host.clock.local(self.now);
        let Some(process) = &mut host.process else { return };
        process.node.handle_input(local, input);
        if let Some(time) = host.midway.take() {
            self.stop(at, Part::Loop, time);
        }
        self.perform(at);
    }

    /// The node's deadline has come.
    pub(super) fn node_timeout(&mut self, at: usize) {
        for _ in 0..TIMEOUTS_AT_ONCE_MAX {
            let host = &mut self.hosts[at];
            let local = host.clock.local(self.now);
            let Some(process) = &mut host.process else { return };
            process.node.handle_timeout(local);
            if let Some(time) = host.midway.take() {
                self.stop(at, Part::Loop, time);
            }
            self.perform(at);
            if self.hosts[at].node_due().is_none_or(|due| due > self.now) {
                return;
            }
        }
        self.fail(Kind::Other, format!("the deadline of {} is in the past, again", NAMES[at]));
    }

    /// Something does not run for a while.
    pub(super) fn stop(&mut self, at: usize, part: Part, time: Duration) {
        let (now, hold) = (self.now, self.lease());
        let host = &mut self.hosts[at];
        if host.stopped.is_some() || host.process.is_none() {
            return;
        }
        if part == Part::Midway {
            host.midway = Some(time);
            return;
        }
        let until = now + time;
        host.stopped = Some(Stopped { part, until });
        if part == Part::Machine {
            host.clock.pause(now, true);
            host.excused_until = host.clock.local(now) + hold;
        }
        self.queue.push(until, Event::Wakes(at));
    }

    /// It runs again: what waits comes after the clock, or before it.
    pub(super) fn wakes(&mut self, at: usize) {
        let now = self.now;
        let host = &mut self.hosts[at];
        if host.stopped.is_none_or(|stopped| stopped.until > now) {
            return;
        }
        host.stopped = None;
        host.well_since = now;
        if host.clock.is_paused() {
            host.clock.pause(now, false);
        }
        for pair in self.pairs.iter_mut().filter(|pair| pair.ends.contains(&at)) {
            pair.way_to(at).heard_at = now;
        }
        self.note_of(at, "runs again");
        self.perform(at);
        // The event loop may find some inputs first.
        let late = Duration::from_micros(self.dice.below(400).into());
        if let Some(process) = &mut self.hosts[at].process {
            process.due = process.due.map(|due| due.max(now + late));
        }
    }

    /// Carries out what a node wants, if it runs.
    pub(super) fn perform(&mut self, at: usize) {
        if self.hosts[at].stopped.is_some() {
            return;
        }
        while let Some(process) = &mut self.hosts[at].process {
            let Some(output) = process.node.poll_output() else { break };
            self.carry_out(at, output);
        }
        let host = &mut self.hosts[at];
        let Some(process) = &mut host.process else { return };
        process.due = process.node.poll_timeout().and_then(|due| host.clock.real(due));
        self.look_at_facts(at);
        self.look_at_role(at);
    }

    fn carry_out(&mut self, at: usize, output: Output) {
        match output {
            Output::Sip(output) => self.send_sip(at, output),
            Output::Media { port, command } => self.order_media(at, port, command),
            Output::Text { instance, text, mark } => self.send_text(at, instance, text, mark),
            Output::Ping { instance } => self.send_ping(at, instance),
            Output::Accept { instance, .. } => self.accepted(at, instance),
            Output::Peer { to, message } => self.send_peer(at, usize::from(to.0), message),
            Output::Beat(beat) => {
                if let Some(process) = &mut self.hosts[at].process {
                    process.beat = Some(beat);
                }
                self.send_beats(at);
            }
            Output::Persist { ticket, record } => self.persist(at, ticket, record),
            Output::ReadFacts { lane, after, max } => {
                let facts = self.hosts[at].disk.read(lane, after, max);
                let input = member::Input::Read { lane, after, facts };
                self.later(at, Duration::from_millis(1), Input::Cluster(input));
            }
            Output::AgentChanged { id, result } => self.agent_changed(at, id.0, result.is_ok()),
            Output::Answer { answer, .. } => self.note_of(at, &format!("answers {answer:?}")),
            Output::Load { call, name } => {
                let loaded = Input::Loaded { call, name, prompt: None };
                self.later(at, Duration::from_millis(1), loaded);
            }
            Output::CheckPin { call, check, .. } => {
                let checked = Input::PinChecked { call, check, matched: None };
                self.later(at, Duration::from_millis(1), checked);
            }
            Output::Epoch(_)
            | Output::Respond { .. }
            | Output::Alert(_)
            | Output::News(_)
            | Output::StartProgram { .. }
            | Output::StopPrograms => {}
            Output::Stopped => self.fail(Kind::Other, "a node stopped unasked".to_owned()),
        }
    }

    fn later(&mut self, at: usize, after: Duration, input: Input) {
        let Some(run) = self.hosts[at].process.as_ref().map(|process| process.run) else { return };
        let event = Event::ToNode { host: at, run, input: Box::new(input) };
        self.queue.push(self.now + after, event);
    }

    /// What claims leaves only while the lease lasts, as it is at this moment.
    fn send_sip(&mut self, at: usize, output: sip::Output) {
        let sip::Output::Datagram { bytes, claims, .. } = output else {
            return self.fail(Kind::Other, "a connection is wanted, at a site with UDP".to_owned());
        };
        // In a pair a person's word may be the lease: there is no letter to read.
        let by_letters = self.site != Site::Pair;
        let (now, host) = (self.now, &mut self.hosts[at]);
        if claims && !host.may_claim(now) && !mutant(Mutant::SendUnchecked) {
            return;
        }
        let excused = !by_letters || host.is_excused(now);
        if claims && !excused && !host.ledger.may_claim(host.clock.local(now)) {
            let line = bytes.split(|byte| *byte == b'\r').next().unwrap_or_default();
            let line = String::from_utf8_lossy(line).into_owned();
            return self.fail(Kind::Late, format!("{} sent {line} after its lease", NAMES[at]));
        }
        let arrivals = if host.pbx_cut { [None, None] } else { host.sip_out.arrivals(now) };
        for arrival in arrivals.into_iter().flatten() {
            self.queue.push(arrival, Event::SipToPbx(at, bytes.clone()));
        }
    }

    // ---- Links ---------------------------------------------------------------------------------

    fn send_peer(&mut self, from: usize, to: usize, message: Box<Message>) {
        if let member::Message::Ha(letter) = &*message
            && let ha::Message::Lease(letter) = &**letter
        {
            let host = &mut self.hosts[from];
            host.ledger.sends(host.clock.local(self.now), letter);
            self.checks.forced |= host.ledger.forced;
        }
        let Some(process) = &mut self.hosts[from].process else { return };
        let role = process.node.member().map(|member| member.ha().role());
        if let Some(Role::Promoting(epoch) | Role::Primary(epoch)) = role {
            process.acted = epoch;
        }
        let acted = process.acted;
        self.send(from, to, Packet::Message { acted, message, sent: self.now });
    }

    pub(super) fn send_beats(&mut self, from: usize) {
        let Some(beat) = self.hosts[from].process.as_ref().and_then(|p| p.beat) else { return };
        for to in others(from) {
            self.send(from, to, Packet::Beat(beat));
        }
    }

    /// Sends over the connection as its sender knows it; nothing, if there is none.
    fn send(&mut self, from: usize, to: usize, packet: Packet) {
        let now = self.now;
        let pair = &mut self.pairs[from + to - 1];
        if !pair.way_to(from).up {
            return;
        }
        let number = pair.number;
        let (arrival, place) = pair.way_from(from).arrival(now, &mut self.dice);
        self.queue.push(arrival, Event::Packet { from, to, number, place, packet });
    }

    pub(super) fn packet_arrives(
        &mut self,
        (from, to): (usize, usize),
        (number, place): (u64, u64),
        packet: Packet,
    ) {
        let now = self.now;
        if number != self.pair(from, to).number || self.hosts[to].process.is_none() {
            return;
        }
        let way = self.pair(from, to).way_from(from);
        if way.cut {
            return drop(way.held.insert(place, packet));
        }
        if !way.up && !matches!(packet, Packet::Down) {
            return;
        }
        way.heard_at = now;
        let event = match packet {
            Packet::Up => peer::Event::Up { build: String::new(), anew: true },
            Packet::Down => {
                if !std::mem::take(&mut way.up) {
                    return;
                }
                peer::Event::Down { why: None }
            }
            Packet::Beat(beat) => peer::Event::Beat { epoch: Epoch::default(), beat },
            Packet::Message { acted, message, sent } => {
                self.copied(from, to, &message, (acted, sent));
                peer::Event::Message { epoch: Epoch::default(), message: *message }
            }
        };
        let peer = id(from);
        self.tell(to, Input::Cluster(member::Input::Link { peer, event }));
    }

    /// What a node is about to hear of calls and of its lease.
    fn copied(
        &mut self,
        from: usize,
        to: usize,
        message: &Message,
        (acted, sent): (Epoch, Instant),
    ) {
        match message {
            member::Message::Ha(letter) => {
                let lease = self.lease();
                if let ha::Message::Lease(letter) = &**letter {
                    self.hosts[to].ledger.gets(letter, lease);
                }
            }
            member::Message::Calls { calls, .. } if !self.is_late(to, acted) => {
                let run = self.hosts[from].process.as_ref().map_or(0, |process| process.run);
                calls.iter().for_each(|change| self.copy(to, run, change, sent));
            }
            member::Message::Calls { .. } | member::Message::Facts(_) => {}
        }
    }

    /// Whether a process has acted since its partner did, under this epoch: what it is told of
    /// calls is from before its own time. It knows nothing of what an earlier process did.
    fn is_late(&self, host: usize, acted: Epoch) -> bool {
        self.hosts[host].process.as_ref().is_some_and(|process| process.acted > acted)
    }

    fn copy(&mut self, to: usize, run: u64, change: &CallChange, sent: Instant) {
        let now = self.now;
        let Some(copies) = self.checks.copies.get_mut(to) else { return };
        match change {
            CallChange::Put(record) => {
                if copies.insert(record.call(), record.is_answered()).is_none() {
                    let text = format!("{} has a copy of {}", NAMES[to], record.call());
                    self.log.note(now, text);
                }
                if let Some(track) = self.checks.calls.get(record.call()) {
                    track.told(run, sent);
                }
            }
            CallChange::Gone(call) => drop(copies.remove(call)),
            CallChange::Only(calls) => copies.retain(|call, _| calls.contains(call)),
            CallChange::Bound(_) => {}
        }
    }

    /// A beat is due; and whoever was not heard for three leases is given up.
    pub(super) fn beat(&mut self, at: usize, run: u64) {
        if self.process(at, run).is_none() {
            return;
        }
        let renew = site::config(at, self.site).cluster.timers.renew;
        let again = self.hosts[at].clock.local(self.now) + renew;
        let again = self.hosts[at].clock.real(again).unwrap_or(self.now + renew);
        self.queue.push(again, Event::Beat { host: at, run });
        self.send_beats(at);
        let (now, silence) = (self.now, self.lease() * 3);
        for other in others(at) {
            let way = self.pair(at, other).way_to(at);
            if way.up && now > way.heard_at + silence {
                self.hang_up_link(at, other);
            }
        }
    }

    /// A node gives a connection up, and says so.
    fn hang_up_link(&mut self, at: usize, other: usize) {
        self.send(at, other, Packet::Down);
        let now = self.now;
        let pair = self.pair(at, other);
        pair.way_to(at).up = false;
        pair.disturbed(now);
        let (peer, event) = (id(other), peer::Event::Down { why: None });
        self.tell(at, Input::Cluster(member::Input::Link { peer, event }));
    }

    /// Nodes that live and reach each other connect.
    pub(super) fn connect_nodes(&mut self) {
        for index in 0..self.pairs.len() {
            let [low, high] = self.pairs[index].ends;
            let alive = |at: usize| {
                self.hosts[at].process.is_some() && self.hosts[at].all_stopped().is_none()
            };
            if !self.pairs[index].is_wanting() || !alive(low) || !alive(high) {
                continue;
            }
            for (at, other) in [(low, high), (high, low)] {
                if std::mem::take(&mut self.pairs[index].way_to(at).up) {
                    let (peer, event) = (id(other), peer::Event::Down { why: None });
                    let input = Input::Cluster(member::Input::Link { peer, event });
                    self.later(at, Duration::ZERO, input);
                }
            }
            self.pairs[index].connect(self.now);
            self.send(low, high, Packet::Up);
            self.send(high, low, Packet::Up);
        }
    }

    /// A process is gone. `said`: its kernel closes its connections.
    pub(super) fn dies(&mut self, at: usize, said: bool) {
        let Some(process) = self.hosts[at].process.take() else { return };
        let now = self.now;
        let host = &mut self.hosts[at];
        host.disk.crash();
        host.well_since = now;
        (host.stopped, host.midway) = (None, None);
        if host.clock.is_paused() {
            host.clock.pause(now, false);
        }
        for other in others(at) {
            if said {
                self.send(at, other, Packet::Down);
            }
            let pair = self.pair(at, other);
            pair.way_to(at).up = false;
            pair.disturbed(now);
        }
        if at < self.checks.copies.len() {
            self.checks.copies[at].clear();
        }
        self.connections_end(at, process.run, said);
    }

    pub(super) fn exit_told(&mut self, from: usize, to: usize, epoch: Epoch) {
        if !self.pair(from, to).way_from(from).cut {
            let (node, cause) = (id(from), String::new());
            self.tell(to, Input::Cluster(member::Input::Exited { node, epoch, cause }));
        }
    }

    // ---- Disk and facts ------------------------------------------------------------------------

    fn persist(&mut self, at: usize, ticket: Ticket, record: Record) {
        if let Record::Fact(fact) = &record
            && fact.id.lane.node == id(at)
        {
            self.checks.wrote(fact.id);
            if let Body::Cdr(cdr) = &fact.body
                && let Some(first) =
                    self.checks.cdrs.insert((fact.id.lane, cdr.call), fact.id.counter)
                && first != fact.id.counter
            {
                let call = cdr.call;
                self.fail(Kind::Other, format!("{} wrote two CDRs of {call}", NAMES[at]));
            }
        }
        let time = Duration::from_micros(u64::from(300 + self.dice.below(4_000)));
        let durable = self.hosts[at].disk.write(self.now, time, ticket, record);
        let Some(run) = self.hosts[at].process.as_ref().map(|process| process.run) else { return };
        match durable {
            Some(when) => self.queue.push(when, Event::Written { host: at, run, ticket }),
            None => self.later(at, Duration::ZERO, Input::Cluster(member::Input::StoreFailed)),
        }
    }

    pub(super) fn written(&mut self, at: usize, run: u64, ticket: Ticket) {
        if self.process(at, run).is_some() && self.hosts[at].disk.written(ticket) {
            self.tell(at, Input::Cluster(member::Input::Persisted(ticket)));
        }
    }

    /// A node that has nothing left to acknowledge has acknowledged all that it wrote.
    fn look_at_facts(&mut self, at: usize) {
        let Some(process) = &self.hosts[at].process else { return };
        let Some(member) = process.node.member() else { return };
        let lanes = self.checks.written.keys();
        let boot = self.hosts[at].disk.boots();
        let own = lanes.filter(|lane| lane.node == id(at) && lane.boot == boot);
        let open = |lane: &&crate::store::Lane| {
            self.checks.acknowledged.get(lane) != self.checks.written.get(lane)
        };
        let open: Vec<_> = own.filter(open).copied().collect();
        if !open.is_empty() && member.facts_status().pending == 0 {
            open.into_iter().for_each(|lane| self.checks.all_acknowledged(lane));
        }
    }

    // ---- Roles ---------------------------------------------------------------------------------

    fn look_at_role(&mut self, at: usize) {
        let Some(process) = &mut self.hosts[at].process else { return };
        let Some(role) = process.node.member().map(|member| member.ha().role()) else { return };
        let before = std::mem::replace(&mut process.role, role);
        if before == role {
            return;
        }
        if let Role::Promoting(epoch) = role {
            process.acted = epoch;
        }
        self.note_of(at, &format!("is {role:?}"));
        if let Role::Promoting(epoch) = role {
            self.promotes(at, epoch);
        }
    }

    /// Calls that it has a copy of are to be carried on; nobody else had this epoch.
    fn promotes(&mut self, at: usize, epoch: Epoch) {
        self.checks.counts.promotions += 1;
        self.hosts[at].promoted_at = self.now;
        let owner = *self.checks.epochs.entry(epoch).or_insert(at);
        if owner != at {
            let text = format!("{} and {} acted under {epoch}", NAMES[owner], NAMES[at]);
            self.fail(Kind::Dual, text);
        }
        let Some(copies) = self.checks.copies.get_mut(at) else { return };
        let since = self.now;
        let run = self.hosts[at].process.as_ref().map(|process| process.run);
        for (call, answered) in std::mem::take(copies) {
            let Some(track) = self.checks.calls.get(call) else { continue };
            track.carried_on();
            // Whoever answered it did not live to tell: two answers of one INVITE are beyond us.
            let caller = self.callers.get(&track.line);
            if !answered && caller.is_some_and(|caller| caller.phone.is_some()) {
                continue;
            }
            track.promised = run;
            self.checks.candidates.push(Candidate { call, host: at, since });
        }
    }
}

/// The other nodes.
pub fn others(at: usize) -> impl Iterator<Item = usize> {
    (A..=site::W).filter(move |other| *other != at)
}

/// The other node that has ports.
pub const fn partner(at: usize) -> usize {
    if at == A { B } else { A }
}
