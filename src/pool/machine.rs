//! The machine: inputs go to the port or instance they name, deadlines fire in order, outputs
//! queue up.
//!
//! Three indexes make every decision cheap, and all are kept in [`Pool::enter`] alone: the ports
//! of each instance (its load, and what moves when it fails), the calls that wait for one, oldest
//! first, and the deadlines of all ports in order.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use super::health::{Instance, Turn};
use super::port::{AppId, Busy, Call, Port, Stage, Stop};
use super::status::Counters;
use super::{Input, Output, Rebound};
use crate::config::{Application, Config, Entry};
use crate::ids::{CallId, InstanceId, PortId};
use crate::mutants::{Mutant, mutant};
use crate::timers::{Duration, Instant, earliest};

/// Lateness of a wake that counts: one ping. Less only delays a ping or a pong by as much, and
/// would add up over the wakes of one silence to a verdict that comes too late.
const LATE_MIN: Duration = Duration::from_millis(20);

/// A configured application with those who serve it.
#[derive(Clone, Debug)]
pub(super) struct App {
    pub rules: Application,
    pub instances: BTreeSet<InstanceId>,
}

/// All voice ports and instances of a node.
#[derive(Clone, Debug)]
pub struct Pool {
    pub(super) config: Arc<Config>,
    pub(super) apps: Vec<App>,
    app_ids: BTreeMap<String, AppId>,
    pub(super) ports: Vec<Port>,
    pub(super) instances: BTreeMap<InstanceId, Instance>,
    /// Calls that nobody can take, the longest unserved first.
    pub(super) waiting: BTreeSet<(Instant, PortId)>,
    deadlines: BTreeSet<(Instant, PortId)>,
    /// Lateness of the wake that is being handled.
    pub(super) late: Option<Duration>,
    /// Offers leave this node.
    pub(super) may_offer: bool,
    pub(super) counters: Counters,
    pub(super) rebounds: VecDeque<Rebound>,
    pub(super) outputs: VecDeque<Output>,
}

impl Pool {
    /// A pool of idle ports, without instances.
    pub fn new(config: Arc<Config>) -> Self {
        let (apps, app_ids) = applications(&config);
        let mut pool = Self {
            apps,
            app_ids,
            ports: Vec::new(),
            instances: BTreeMap::new(),
            waiting: BTreeSet::new(),
            deadlines: BTreeSet::new(),
            late: None,
            may_offer: true,
            counters: Counters::default(),
            rebounds: VecDeque::new(),
            outputs: VecDeque::new(),
            config,
        };
        // The control port comes last and is the menu's: without it, indexes stay those of the
        // configuration.
        let ports = pool.config.pool_ports().iter();
        let routes = ports.map(|port| pool.route(&port.applications)).collect::<Vec<_>>();
        let idle_since = Instant::ZERO;
        pool.ports = routes
            .into_iter()
            .map(|route| Port { route, busy: None, idle_since, armed: None })
            .collect();
        pool
    }

    fn route(&self, entries: &[Entry]) -> Vec<Stop> {
        let stop = |entry: &Entry| match entry {
            Entry::Announce => Some(Stop::Announce),
            Entry::Application(name) => self.app_id(name).map(Stop::App),
        };
        entries.iter().filter_map(stop).collect()
    }

    pub(super) fn app_id(&self, name: &str) -> Option<AppId> {
        self.app_ids.get(name).copied()
    }

    /// Takes an input. What names a port without a call, or an instance that is gone, is late and
    /// changes nothing.
    pub fn handle_input(&mut self, now: Instant, input: Input) {
        match input {
            Input::InstanceUp { instance, applications, user } => {
                self.instance_up(now, instance, applications, user);
            }
            Input::InstanceDown { instance } => self.instance_down(now, instance),
            Input::Pong { instance } => self.sign(now, instance, |i| i.pong(now)),
            Input::Unsent { instance, since } => {
                self.sign(now, instance, |i| i.set_unsent(since));
            }
            Input::MayOffer(may) => self.set_may_offer(now, may),
            Input::Drain { instance, on } => self.drain(now, instance, on),
            Input::Arrived { port, call } => self.arrived(now, port, call),
            Input::Recovered { port, call, saved } => self.recovered(now, port, call, *saved),
            Input::Originated { port, call, application, args, by } => {
                self.originated(now, port, call, &application, args, by);
            }
            Input::Up { port } => self.up(now, port),
            Input::Ended { port } => self.ended(now, port),
            Input::Digit { port, digit, duration_ms } => self.digit(now, port, digit, duration_ms),
            Input::Command { port, generation } => self.command(now, port, generation),
            Input::Sounding { port, on } => self.sounding(now, port, on),
            Input::Ack { port, generation, count } => self.ack(now, port, generation, count),
            Input::Variable { port, name, value } => self.variable(port, name, value),
            Input::Move { port, application, args } => self.move_to(now, port, &application, args),
            Input::Next { port } => self.next(now, port),
            Input::Rebind { port } => self.rebind(now, port),
            Input::AnnounceDone { port } => self.announce_done(now, port),
        }
    }

    /// Does what is due. Harmless when called early; when called late, the lateness is the node's
    /// own and no instance pays for it.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.measure_lateness(now);
        self.instances_due(now);
        while let Some(&(at, port)) = self.deadlines.first() {
            if at > now {
                break;
            }
            self.fire(now, port);
            self.arm(now, port);
        }
        self.late = None;
    }

    /// The next output.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call [`Self::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        let ports = self.deadlines.first().map(|&(at, _)| at);
        earliest(self.instances.values().map(Instance::deadline).chain([ports]))
    }

    fn measure_lateness(&mut self, now: Instant) {
        let Some(due) = self.poll_timeout() else { return };
        let late = now.saturating_duration_since(due);
        if late <= LATE_MIN || mutant(Mutant::IgnoreLateness) {
            return;
        }
        self.late = Some(late);
        self.counters.late_wakes += 1;
        for instance in self.instances.values_mut() {
            instance.node_was_late(now, due);
        }
    }

    /// Pings, and all verdicts before their consequences: no call goes from one instance that hangs
    /// to another whose verdict falls in the same moment.
    fn instances_due(&mut self, now: Instant) {
        let mut turns = Vec::new();
        for instance in self.instances.values_mut() {
            if instance.deadline().is_none_or(|at| at > now) {
                continue;
            }
            if instance.take_ping(now) {
                self.outputs.push_back(Output::Ping { instance: instance.id });
            }
            turns.push((instance.id, instance.turn(now)));
        }
        turns.sort_by_key(|(_, turn)| !matches!(turn, Some(Turn::Hung { .. })));
        for (instance, turn) in turns {
            self.report(instance);
            self.act(now, instance, turn);
        }
    }

    fn sign(&mut self, now: Instant, id: InstanceId, give: impl FnOnce(&mut Instance)) {
        let Some(instance) = self.instances.get_mut(&id) else { return };
        give(instance);
        let turn = instance.turn(now);
        self.report(id);
        self.act(now, id, turn);
    }

    fn instance_up(&mut self, now: Instant, id: InstanceId, names: Vec<String>, user: String) {
        if self.instances.contains_key(&id) {
            return;
        }
        let apps: Vec<AppId> = names.iter().filter_map(|name| self.app_id(name)).collect();
        let hang_after = apps.iter().map(|&app| self.rules(app).hang_after).max();
        for &app in &apps {
            self.apps[usize::from(app.0)].instances.insert(id);
        }
        let instance = Instance::new(now, id, user, names, apps, hang_after);
        self.instances.insert(id, instance);
        self.serve_waiting(now);
    }

    fn instance_down(&mut self, now: Instant, id: InstanceId) {
        let Some(instance) = self.instances.remove(&id) else { return };
        for &app in &instance.applications {
            self.apps[usize::from(app.0)].instances.remove(&id);
        }
        let detect = now.saturating_duration_since(instance.last_sign());
        self.lose_all(now, instance.ports, super::Reason::Crash, detect);
    }

    fn drain(&mut self, now: Instant, id: InstanceId, on: bool) {
        let Some(instance) = self.instances.get_mut(&id) else { return };
        instance.draining = on;
        self.report(id);
        self.serve_waiting(now);
    }

    fn arrived(&mut self, now: Instant, port: PortId, call: CallId) {
        let Some(idle) = self.vacate(now, port) else { return };
        let call = Call::new(now, call, idle.route.clone());
        self.begin(now, port, call, None);
        self.place_new(now, port);
    }

    fn originated(
        &mut self,
        now: Instant,
        port: PortId,
        call: CallId,
        application: &str,
        args: Vec<String>,
        by: Option<InstanceId>,
    ) {
        let app = self.app_id(application);
        if self.vacate(now, port).is_none() {
            return;
        }
        // A called party has not asked for the entries of the port's own list.
        let mut call = Call::new(now, call, app.map(Stop::App).into_iter().collect());
        call.args = Some(args);
        self.begin(now, port, call, by);
    }

    /// Every new call starts as one that nobody has to care for yet.
    pub(super) fn begin(&mut self, now: Instant, port: PortId, call: Call, by: Option<InstanceId>) {
        let stage = Stage::Outbound { by };
        if let Some(slot) = self.ports.get_mut(usize::from(port.0)) {
            slot.busy = Some(Box::new(Busy { call, stage, since: now }));
        }
        self.counters.calls += 1;
    }

    fn ended(&mut self, now: Instant, port: PortId) {
        self.vacate(now, port);
    }

    /// Makes the port idle, whatever it did. `None`: there is no such port.
    pub(super) fn vacate(&mut self, now: Instant, port: PortId) -> Option<&Port> {
        self.leave_indexes(port);
        let slot = self.ports.get_mut(usize::from(port.0))?;
        if let Some(mut busy) = slot.busy.take() {
            slot.idle_since = now;
            self.counters.digits_discarded += busy.call.journal.discard_waiting();
        }
        self.arm(now, port);
        self.ports.get(usize::from(port.0))
    }

    pub(super) fn busy(&self, port: PortId) -> Option<&Busy> {
        self.ports.get(usize::from(port.0))?.busy.as_deref()
    }

    pub(super) fn busy_mut(&mut self, port: PortId) -> Option<&mut Busy> {
        self.ports.get_mut(usize::from(port.0))?.busy.as_deref_mut()
    }

    pub(super) fn rules(&self, app: AppId) -> &Application {
        &self.apps[usize::from(app.0)].rules
    }

    /// The only way into another stage: keeps the indexes.
    pub(super) fn enter(&mut self, now: Instant, port: PortId, stage: Stage) {
        self.leave_indexes(port);
        let Some(busy) = self.busy_mut(port) else { return };
        let (owner, waits) = (stage.owner(), stage.is_waiting());
        let unserved = busy.call.unserved_since;
        (busy.stage, busy.since) = (stage, now);
        if let Some(instance) = owner.and_then(|id| self.instances.get_mut(&id)) {
            instance.ports.insert(port);
        }
        if waits {
            self.waiting.insert((unserved, port));
            self.counters.queue_waits += 1;
        }
        self.arm(now, port);
    }

    fn leave_indexes(&mut self, port: PortId) {
        let Some(busy) = self.busy(port) else { return };
        let key = (busy.call.unserved_since, port);
        let owner = busy.stage.owner();
        self.waiting.remove(&key);
        if let Some(instance) = owner.and_then(|id| self.instances.get_mut(&id))
            && !mutant(Mutant::LeakLoad)
        {
            instance.ports.remove(&port);
        }
    }

    /// Puts the port's deadline in order; one that has passed is due at once.
    pub(super) fn arm(&mut self, now: Instant, port: PortId) {
        let Some(slot) = self.ports.get_mut(usize::from(port.0)) else { return };
        let wanted = slot.busy.as_ref().and_then(|busy| busy.deadline()).map(|at| at.max(now));
        if wanted == slot.armed {
            return;
        }
        if let Some(at) = slot.armed.take() {
            self.deadlines.remove(&(at, port));
        }
        slot.armed = wanted;
        if let Some(at) = wanted {
            self.deadlines.insert((at, port));
        }
    }
}

fn applications(config: &Config) -> (Vec<App>, BTreeMap<String, AppId>) {
    // 65,536 applications are more than any configuration has; the rest would stay without calls.
    let numbered = || (0..=u16::MAX).map(AppId).zip(&config.applications);
    let apps = numbered()
        .map(|(_, (_, rules))| App { rules: rules.clone(), instances: BTreeSet::new() })
        .collect();
    (apps, numbered().map(|(id, (name, _))| (name.clone(), id)).collect())
}
