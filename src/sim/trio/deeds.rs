//! What is done to the world, carried out.

use super::action::{Action, Harm};
use super::client::Life;
use super::node_side::others;
use super::site::{A, B, NAMES, W};
use super::world::{Event, World};
use crate::ha::Role;
use crate::ha::role::Order;
use crate::ids::RequestId;
use crate::node::{self, AgentChange, RoleOrder};
use crate::sim::links::Weather;
use crate::sim::pbx::{self, LineId};
use crate::store::{Agent, Pin, Standing, Who};
use crate::timers::{Duration, Instant};

impl World {
    /// Does something.
    pub(super) fn act(&mut self, action: Action) {
        self.faults += u64::from(action.is_fault());
        self.note(format!("> {action}"));
        match action {
            Action::Call { port, delayed_offer } => self.call(port, delayed_offer),
            Action::Press { port, keys } => self.press(port, &keys),
            Action::HangUp { port } => {
                if let Some(line) = self.line_at(port) {
                    self.hang_up(line);
                }
            }
            Action::Hold { port, on } => {
                if let Some(line) = self.line_at(port) {
                    self.hold(line, on);
                }
            }
            Action::Crash { node, supervised, back } => self.crash(node, supervised, back),
            Action::PowerLoss { node, back } => self.power_loss(node, back),
            Action::Stop { node, part, time } => self.stop(node, part, time),
            Action::Cut { from, to, on } => self.cut(from, to, on),
            Action::CutOff { node, on } => others(node).for_each(|other| {
                self.cut(node, other, on);
                self.cut(other, node, on);
            }),
            Action::SlowLink { pair, by } => self.pairs[pair].slow_down(self.now, by),
            Action::CutPbx { node, on } => {
                self.hosts[node].pbx_cut = on;
                self.sky_changed(node);
            }
            Action::Sip { node, weather } => {
                let host = &mut self.hosts[node];
                (host.sip_in.weather, host.sip_out.weather) = (weather, weather);
                self.sky_changed(node);
            }
            Action::PbxForgets => self.pbx.forget_registrations(),
            Action::PbxRefuses(status) => self.pbx.refuse_registrations(status),
            Action::SlowDisk { node, by } => self.hosts[node].disk.slow = by,
            Action::DiskFails { node } => self.disk_fails(node),
            Action::Order { node, order } => self.order(node, order),
            Action::Agent { node } => self.add_agent(node),
            Action::Client { client, harm } => self.harm(client, harm),
        }
    }

    fn hold(&mut self, line: LineId, on: bool) {
        if let Some(caller) = self.callers.get_mut(&line) {
            (caller.holds, caller.heard_at) = (on, self.now);
        }
        self.tell_pbx(pbx::Input::Hold { line, on });
    }

    fn crash(&mut self, at: usize, supervised: bool, back: Duration) {
        let Some(process) = &self.hosts[at].process else { return };
        let role = process.node.member().map(|member| member.ha().role());
        let epoch = match role {
            Some(Role::Promoting(epoch) | Role::Primary(epoch)) => Some(epoch),
            _ => None,
        };
        self.dies(at, true);
        if let Some(epoch) = epoch.filter(|_| supervised) {
            for to in others(at) {
                let after = Duration::from_micros(u64::from(500 + self.dice.below(20_000)));
                self.queue.push(self.now + after, Event::Exited { from: at, to, epoch });
            }
        }
        self.queue.push(self.now + back, Event::Starts(at));
    }

    fn power_loss(&mut self, at: usize, back: Duration) {
        self.dies(at, false);
        self.queue.push(self.now + back, Event::Starts(at));
    }

    /// Nothing passes, or what waited does.
    fn cut(&mut self, from: usize, to: usize, on: bool) {
        let now = self.now;
        let pair = self.pair(from, to);
        let (number, way) = (pair.number, pair.way_from(from));
        way.cut = on;
        let held = if on { Default::default() } else { std::mem::take(&mut way.held) };
        pair.disturbed(now);
        // At once: what was sent after it and is on its way must not overtake it.
        for (place, packet) in held {
            self.queue.push(now, Event::Packet { from, to, number, place, packet });
        }
    }

    fn sky_changed(&mut self, at: usize) {
        let (now, host) = (self.now, &mut self.hosts[at]);
        let fair = host.sip_in.weather == Weather::FAIR && !host.pbx_cut;
        host.pbx_well_since = fair.then_some(now);
    }

    fn disk_fails(&mut self, at: usize) {
        self.hosts[at].disk.fail();
        self.hosts[at].well_since = self.now;
        let failed = crate::ha::member::Input::StoreFailed;
        if let Some(run) = self.hosts[at].process.as_ref().map(|process| process.run) {
            let input = Box::new(node::Input::Cluster(failed));
            self.queue.push(self.now, Event::ToNode { host: at, run, input });
        }
    }

    /// An operator at the command line of a node that runs.
    fn order(&mut self, at: usize, order: Order) {
        if self.hosts[at].stopped.is_some() {
            return;
        }
        self.checks.forced |= matches!(order, Order::Promote { forced: Some(_), .. });
        let (id, who) = (RequestId(self.number()), Who::Operator("root".to_owned()));
        self.tell(at, node::Input::Role(RoleOrder { id, who, order }));
    }

    fn add_agent(&mut self, at: usize) {
        if self.hosts[at].stopped.is_some() {
            return;
        }
        let id = self.number();
        let number = format!("{}", 1_000 + id);
        let Some(run) = self.hosts[at].process.as_ref().map(|process| process.run) else { return };
        self.asked.insert((at, id), number.clone());
        let agent = Agent {
            number,
            name: String::new(),
            standing: Standing::Enabled,
            pin: Pin { salt: vec![1; 16].into(), hash: vec![2; 32].into() },
            extensions: Vec::new(),
            callback: false,
        };
        let (change, who) = (AgentChange::Set(Box::new(agent)), Who::Operator("root".to_owned()));
        self.tell_run(at, run, node::Input::Agent { id: RequestId(id), change, who });
    }

    /// What an operator was told of an agent.
    pub(super) fn agent_changed(&mut self, at: usize, id: u64, done: bool) {
        if let Some(number) = self.asked.remove(&(at, id)).filter(|_| done) {
            self.note_of(at, &format!("has agent {number}"));
            self.checks.agents.insert(number);
        }
    }

    fn harm(&mut self, client: usize, harm: Harm) {
        match harm {
            Harm::Crash => self.client_crashes(client),
            Harm::Hang => self.clients[client].life = Life::Hung,
            Harm::Freeze => self.clients[client].life = Life::Frozen,
            Harm::Heal => self.client_heals(client),
        }
    }

    /// Every fault ends.
    pub fn heal(&mut self) {
        self.note("all is healed".to_owned());
        for at in [A, B, W] {
            if self.hosts[at].stopped.is_some() {
                if let Some(stopped) = &mut self.hosts[at].stopped {
                    stopped.until = self.now;
                }
                self.wakes(at);
            }
            self.hosts[at].midway = None;
            self.hosts[at].disk.slow = Duration::ZERO;
            if std::mem::take(&mut self.hosts[at].disk.failed) {
                // Another disk with the same data: the node must start anew.
                self.dies(at, true);
            }
            if self.hosts[at].process.is_none() {
                self.starts(at);
            }
            self.act(Action::CutOff { node: at, on: false });
            self.act(Action::CutPbx { node: at, on: false });
            self.act(Action::Sip { node: at, weather: Weather::FAIR });
        }
        (0..3).for_each(|pair| self.act(Action::SlowLink { pair, by: Duration::ZERO }));
        self.pbx.refuse_registrations(None);
        (0..self.clients.len()).for_each(|client| self.client_heals(client));
        let held: Vec<LineId> = self.callers.keys().copied().collect();
        held.into_iter().for_each(|line| self.hold(line, false));
    }

    /// Operators let automatic promotion go on, and nodes that were sent away follow.
    pub fn relieve(&mut self) {
        for node in [A, B] {
            self.act(Action::Order { node, order: Order::Resume });
            let role = self.hosts[node].process.as_ref().map(|process| process.role);
            if role == Some(Role::Fenced) {
                self.act(Action::Order { node, order: Order::Rejoin });
            }
        }
    }

    /// Every caller hangs up.
    pub fn everybody_hangs_up(&mut self) {
        let lines: Vec<LineId> = self.callers.keys().copied().collect();
        lines.into_iter().for_each(|line| self.hang_up(line));
    }

    /// When the latest start of a node with ports was.
    pub fn latest_start(&self) -> Instant {
        self.hosts[A].started_at.max(self.hosts[B].started_at)
    }

    /// The names of those that serve.
    pub(super) fn serving(&self) -> Vec<&'static str> {
        [A, B]
            .into_iter()
            .filter(|at| self.hosts[*at].serves(self.now))
            .map(|at| NAMES[at])
            .collect()
    }
}
