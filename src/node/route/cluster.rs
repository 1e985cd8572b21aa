//! Lease, roles and facts of the cluster, and what they mean for ports and calls.
//!
//! The member says what this node is; `roles.rs` makes it so. A promotion is done when every call
//! of the other node was told of here and every port was answered by the PBX, or when that has
//! taken too long: a PBX that is away must not keep people waiting for the word.

use tracing::{info, warn};

use crate::config::{ClusterProfile, PortKind};
use crate::ha::fact_ship::{self, Token};
use crate::ha::peer::{self, Beat};
use crate::ha::role::{Answer, Event, Order, Reason, sentence};
use crate::ha::{Role, member};
use crate::ids::{CallId, NodeId, RequestId};
use crate::ivr;
use crate::node::agents::{self, AgentChange};
use crate::node::order::{ROLE_ORDERS_MAX, RoleOrder};
use crate::node::replicas::CallChange;
use crate::node::snapshot::{self, AlarmKind, cluster as view};
use crate::node::stop::STOP_ORDER;
use crate::node::{Asked, Duty, Node, Output, TakingOver};
use crate::pool;
use crate::sip::{self, RegistrationState};
use crate::store::{Action, Audit, Body, Loaded, Who};
use crate::timers::{Duration, Instant, earliest};

/// A promotion is called done after this, whatever the PBX has not answered.
const TAKE_OVER_MAX: Duration = Duration::from_secs(30);
/// The record of an order is stored on two nodes within this time, or the order is refused.
const AUDIT_WAIT: Duration = Duration::from_secs(3);

type Input = member::Input<Vec<CallChange>>;

impl Node {
    /// Takes this node's place in its cluster, with what was found on its disk. Before anything
    /// else, and not for a node alone.
    pub fn join(&mut self, now: Instant, loaded: &Loaded) {
        let rng = crate::ids::fork(&mut self.rng);
        let member = member::Member::new(now, &self.config.cluster, loaded, rng);
        self.member = Some(Box::new(member));
        self.boot = loaded.boot;
        for fact in &loaded.facts {
            self.agents.apply(fact);
            self.note_serving(fact);
        }
        self.tell_beat(now);
        // What was known of the PBX while the store was being opened reached nobody.
        self.told_pbx = None;
        self.tell_pbx(now);
        self.route(now);
    }

    pub(in crate::node) fn member_input(&mut self, now: Instant, input: Input) {
        let news = matches!(&input, member::Input::Link { event: peer::Event::Beat { .. }, .. });
        let linked = matches!(&input, member::Input::Link { .. });
        let before = self.role_before(&input);
        let failed = matches!(&input, member::Input::StoreFailed) && self.store_failed(now);
        let Some(member) = &mut self.member else { return };
        member.handle_input(now, input);
        self.tell_pool(now);
        self.note_primary(now);
        if linked {
            self.note_copy();
            self.end_alerts(now);
            self.judge_pbx(now);
            self.compare_sound(now);
            self.orders_without_a_second(now);
            self.watch_sentinel(now);
        }
        if failed {
            let why = "the disk takes no record: it is full, read-only or broken".to_owned();
            self.append_own(now, Action::Disk, Err(why));
        }
        if let Some((node, role)) = before {
            self.hear_promotion(now, node, role);
        }
        if news {
            self.outage_may_end(now);
            self.tell_menus(now);
        }
    }

    /// What a node that says something of itself said before.
    fn role_before(&self, input: &Input) -> Option<(NodeId, Role)> {
        let member::Input::Link { peer, event: peer::Event::Beat { .. } } = input else {
            return None;
        };
        let beat = self.member.as_ref()?.peers().get(peer)?.beat?;
        Some((*peer, beat.role))
    }

    /// What is due in the cluster comes before any input: a lease that has run out ends what the
    /// input might do under it.
    pub(in crate::node) fn member_due(&mut self, now: Instant) {
        let Some(member) = &mut self.member else { return };
        if member.poll_timeout().is_some_and(|at| at <= now) {
            member.handle_timeout(now);
            self.route(now);
        }
        self.tell_pool(now);
    }

    /// An offer that is made while this node may claim nothing would be withheld by whoever sends
    /// it, so none is made.
    fn tell_pool(&mut self, now: Instant) {
        let may = self.may_claim(now);
        if may != self.pool.may_offer() {
            self.pool.handle_input(now, pool::Input::MayOffer(may));
        }
    }

    pub(super) fn role(&mut self, now: Instant, role: Role) {
        info!(?role, "role");
        match role {
            Role::Promoting(epoch) => {
                self.sip_command(now, sip::Command::Epoch(epoch));
                self.taking_over = Some(TakingOver { give_up_at: now + TAKE_OVER_MAX });
                if self.config.service_address().is_some() {
                    self.await_address(now);
                } else {
                    self.acts(now);
                }
            }
            Role::Backup | Role::Fenced => {
                self.taking_over = None;
                self.leave_address();
                self.follows(now);
            }
            Role::Candidate | Role::Primary(_) | Role::Witness => {}
        }
        self.tell_readiness(now);
        self.watch_sentinel(now);
    }

    pub(super) fn cluster_event(&mut self, now: Instant, event: &Event) {
        self.alert_event(now, event);
        self.tell_applications(now, event);
        let name = |node| self.config.cluster.name_of(node);
        let text = match event {
            Event::PrimaryDown { node, controlled: true } => {
                format!("{} gave the role of primary up in order", name(*node))
            }
            Event::PrimaryDown { node, controlled: false } => {
                format!("the primary {} is down: look for what ended it", name(*node))
            }
            Event::PromotionFailed { why, .. } => format!("promotion failed: {why}"),
            Event::PrimaryUnheard(node) => format!(
                "the primary {} is not heard: see whether it runs, or only the link is cut",
                name(*node)
            ),
            Event::BackupLost(node) => {
                format!("the backup {} is not heard: nobody would take over", name(*node))
            }
            Event::WitnessLost => "the witness is not heard: no promotion by itself".to_owned(),
            Event::AutomaticStopped { cause } => format!(
                "nodes ended twice of one cause ({cause}): no promotion by itself until somebody \
                 resumes it"
            ),
            Event::PromotionStarted(epoch) => {
                info!(%epoch, "promotion started");
                let text = format!("{} takes ports and calls over", self.my_name());
                return self.tell_incident(now, event, &text);
            }
            Event::PromotionDone(epoch) => {
                info!(%epoch, "promotion done");
                self.write_serving(now);
                let text = format!("{} is primary", self.my_name());
                return self.tell_incident(now, event, &text);
            }
        };
        match event {
            Event::PrimaryDown { node, controlled } => {
                self.outage_begins(now, *node, *controlled);
            }
            Event::PrimaryUnheard(node) => self.outage_begins(now, *node, false),
            _ => {}
        }
        self.tell_incident(now, event, &text);
        warn!(text, "cluster");
        self.alarms.raise_passing(AlarmKind::Other { extension: None, text }, now);
    }

    /// Applications hear of what concerns them.
    fn tell_applications(&mut self, now: Instant, event: &Event) {
        let node = |node| ("node", self.config.cluster.name_of(node));
        let me = node(self.config.cluster.me);
        let (name, details) = match event {
            Event::PrimaryDown { node: down, controlled } => {
                let kind = if *controlled { "controlled" } else { "uncontrolled" };
                ("primary.down", vec![node(*down), ("kind", kind.to_owned())])
            }
            Event::PrimaryUnheard(silent) => {
                ("primary.down", vec![node(*silent), ("kind", "unheard".to_owned())])
            }
            Event::PromotionStarted(epoch) => {
                ("promotion.started", vec![me, ("epoch", epoch.to_string())])
            }
            Event::PromotionDone(epoch) => {
                ("promotion.done", vec![me, ("epoch", epoch.to_string())])
            }
            Event::PromotionFailed { why, .. } => {
                ("promotion.failed", vec![me, ("why", why.clone())])
            }
            Event::BackupLost(lost) => ("backup.lost", vec![node(*lost)]),
            Event::WitnessLost => ("witness.lost", Vec::new()),
            Event::AutomaticStopped { cause } => {
                ("promotion.stopped", vec![("cause", cause.clone())])
            }
        };
        self.ivr.handle_input(now, ivr::Input::News { name, details });
    }

    // ---- Promotion -----------------------------------------------------------------------------

    /// Whether ports and calls are taken over by now.
    pub(in crate::node) fn check_taken_over(&mut self, now: Instant) {
        let Some(taking) = self.taking_over else { return };
        let waits = self.calls.values().any(|call| call.recovery.is_some());
        let answered = |state: &RegistrationState| {
            !matches!(state, RegistrationState::Off | RegistrationState::Pending)
        };
        let pool = self.config.ports.iter().filter(|port| port.kind == PortKind::Pool);
        let mut states = pool.map(|port| &self.registrations[usize::from(port.id.0)]);
        if now >= taking.give_up_at || (!waits && states.all(answered)) {
            self.taking_over = None;
            self.member_input(now, member::Input::TakenOver);
        }
    }

    /// When the cluster's parts want to be called again.
    pub(in crate::node) fn cluster_timeout(&self) -> Option<Instant> {
        earliest([
            self.member.as_ref().and_then(|member| member.poll_timeout()),
            self.taking_over.map(|taking| taking.give_up_at),
            self.unbinding,
            self.verify_at,
            self.address_timeout(),
            self.rehearses_at(),
            self.reminds_at(),
            self.role_orders.values().filter_map(|asked| asked.give_up_at).min(),
        ])
    }

    /// Whether a packet may leave that claims a port or a call. A node alone always may.
    pub fn may_claim(&self, now: Instant) -> bool {
        now < self.claims_until()
    }

    /// Until when packets may leave that claim a port or a call, if nothing more is heard.
    pub fn claims_until(&self) -> Instant {
        match &self.member {
            Some(member) => member.ha().claims_until().unwrap_or(Instant::ZERO),
            None if self.is_opening() => Instant::ZERO,
            None => Instant::from_nanos(u64::MAX),
        }
    }

    /// Whether ports and calls are served here.
    pub fn is_acting(&self) -> bool {
        self.duty == Duty::Acting
    }

    /// This node's part in its cluster; `None`: it is alone.
    pub fn member(&self) -> Option<&member::Member<Vec<CallChange>>> {
        self.member.as_deref()
    }

    /// What this node says of itself to the others.
    pub(in crate::node) fn tell_beat(&mut self, now: Instant) {
        let Some(member) = &self.member else { return };
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let (ports_proven, unproven) = self.ports_proven();
        // In whole seconds: a heartbeat that says nothing new is not made anew.
        let age = self.data_age(now).map(|age| age.as_secs().saturating_mul(1_000));
        let beat = Beat {
            role: member.ha().role(),
            pbx_reachable: self.reaches_pbx(),
            calls: count(self.calls.len()),
            ports_proven,
            ports: count(self.ports_of(PortKind::Pool).len()),
            unproven,
            data_age_ms: age,
            sound: self.readiness.sound,
        };
        if self.beat != Some(beat) {
            self.beat = Some(beat);
            self.outputs.push_back(Output::Beat(beat));
            self.tell_menus(now);
        }
    }

    /// Whether the PBX answers this node, as its registrations know or, without any, OPTIONS;
    /// `None`: it has not been heard of yet.
    pub(in crate::node) fn reaches_pbx(&self) -> Option<bool> {
        let any = |is: fn(&RegistrationState) -> bool| self.registrations.iter().any(is);
        if any(|s| {
            matches!(s, RegistrationState::Registered { .. } | RegistrationState::Refused { .. })
        }) {
            return Some(true);
        }
        let unreachable = any(|s| {
            matches!(s, RegistrationState::Unreachable { .. } | RegistrationState::Unresolved)
        });
        unreachable.then_some(false).or(self.pbx_answers)
    }

    /// The cluster hears what changed about the PBX.
    pub(in crate::node) fn tell_pbx(&mut self, now: Instant) {
        let reaches = self.reaches_pbx();
        if let Some(reachable) = reaches.filter(|_| self.told_pbx != reaches) {
            self.told_pbx = reaches;
            self.member_input(now, member::Input::Pbx(reachable));
            self.watch_sentinel(now);
        }
        self.judge_pbx(now);
        self.check_taken_over(now);
    }

    // ---- Orders --------------------------------------------------------------------------------

    /// Somebody wants another role. The record of a promotion is stored on two nodes first; one by
    /// force cannot wait for that, nor one in a pair whose other node has released and is gone.
    pub(in crate::node) fn role_order(&mut self, now: Instant, ordered: RoleOrder) {
        let RoleOrder { id, who, order } = ordered;
        if self.member.is_none() {
            return self.refuse_role(now, id, Reason::Alone, false);
        }
        if self.role_orders.len() >= ROLE_ORDERS_MAX {
            return self.refuse_role(now, id, Reason::Busy, false);
        }
        let waits = matches!(order, Order::Promote { forced: None, .. }) && self.has_a_second();
        let token = waits.then(|| self.append_audit(now, who.clone(), &order, Ok(())));
        let give_up_at = waits.then_some(now + AUDIT_WAIT);
        let go = (!waits).then(|| order.clone());
        self.role_orders.insert(id, Asked { who, order, token, give_up_at });
        if let Some(order) = go {
            self.member_input(now, member::Input::Order { id, order });
        }
    }

    /// Whether a record may get to another node: that of a pair is heard.
    fn has_a_second(&self) -> bool {
        let pair = self.config.cluster.profile == ClusterProfile::Pair;
        let peers = self.member.as_ref().map(|member| member.peers());
        !pair || peers.is_some_and(|peers| peers.values().any(|peer| peer.up))
    }

    fn refuse_role(&mut self, now: Instant, id: RequestId, reason: Reason, may_force: bool) {
        self.role_answer(now, id, Answer::Refused { reasons: vec![reason], may_force });
    }

    /// A fact is stored on two nodes, or never will be.
    pub(super) fn appended(
        &mut self,
        now: Instant,
        token: Token,
        result: Result<(), fact_ship::Refusal>,
    ) {
        let stored = result.is_ok();
        if let Err(why) = result {
            self.fact_refused(now, why);
        }
        if let Some(id) = self.changes.remove(&token) {
            let why = "the change is stored on this node alone: see to the other nodes";
            let result = if stored { Ok(()) } else { Err(why.to_owned()) };
            return self.outputs.push_back(Output::AgentChanged { id, result });
        }
        let found = self.role_orders.iter_mut().find(|(_, asked)| asked.token == Some(token));
        let Some((&id, asked)) = found else { return };
        (asked.token, asked.give_up_at) = (None, None);
        let order = asked.order.clone();
        if stored {
            self.member_input(now, member::Input::Order { id, order });
        } else {
            self.refuse_role(now, id, Reason::Unrecorded, true);
        }
    }

    /// An order waits for the other node of a pair to store its record, and that node is gone.
    fn orders_without_a_second(&mut self, now: Instant) {
        if self.has_a_second() {
            return;
        }
        let waiting = self.role_orders.iter_mut().filter(|(_, asked)| asked.token.is_some());
        let orders: Vec<_> = waiting
            .map(|(&id, asked)| {
                (asked.token, asked.give_up_at) = (None, None);
                (id, asked.order.clone())
            })
            .collect();
        for (id, order) in orders {
            self.member_input(now, member::Input::Order { id, order });
        }
    }

    /// Orders whose record no second node took in time.
    pub(in crate::node) fn orders_due(&mut self, now: Instant) {
        let due = |asked: &Asked| asked.give_up_at.is_some_and(|at| at <= now);
        let late = self.role_orders.iter().find(|(_, asked)| due(asked)).map(|(&id, _)| id);
        if let Some(id) = late {
            self.refuse_role(now, id, Reason::Unrecorded, true);
        }
    }

    pub(super) fn role_answer(&mut self, now: Instant, id: RequestId, answer: Answer) {
        self.note_primary(now);
        if id == STOP_ORDER {
            self.role_left(now, &answer);
        }
        let asked = self.role_orders.remove(&id);
        let drill = asked.as_ref().is_some_and(Asked::is_drill);
        if let Some(asked) = asked {
            let result = match &answer {
                Answer::Done => Ok(()),
                Answer::Refused { reasons, .. } => Err(sentence(reasons)),
                Answer::Unknown => Err("no answer in time: it may still happen".to_owned()),
            };
            self.append_audit(now, asked.who, &asked.order, result);
        }
        if !self.menu_answer(now, id, drill, &answer) {
            self.outputs.push_back(Output::Answer { id, answer });
        }
    }

    pub(in crate::node) fn change_agent(
        &mut self,
        now: Instant,
        id: RequestId,
        change: AgentChange,
        who: Who,
    ) {
        let facts = change.facts(&self.agents, who);
        let last = facts.into_iter().map(|body| self.append(now, body)).last();
        match last.filter(|_| self.member.is_some()) {
            Some(token) => drop(self.changes.insert(token, id)),
            None => {
                let result = Err("nothing was changed: no such agent, or a node alone".to_owned());
                self.outputs.push_back(Output::AgentChanged { id, result });
            }
        }
    }

    /// Agents for people; `None`: a node alone keeps none.
    pub(in crate::node) fn agents_view(&self, now: Instant) -> Option<Vec<snapshot::Agent>> {
        self.member.as_ref()?;
        Some(agents::view(&self.agents, self.unix_ms(now)))
    }

    /// The cluster for people.
    pub(in crate::node) fn cluster_view(&self, now: Instant) -> Option<view::Cluster> {
        let member = self.member.as_ref()?;
        let (config, ha, facts) = (&self.config.cluster, member.ha(), member.facts_status());
        let peer = |node: &crate::config::Member| {
            let seen = member.peers().get(&node.id).cloned().unwrap_or_default();
            let unshipped = facts.peers.iter().find(|peer| peer.node == node.id);
            let ms = |at: Instant| millis(now.saturating_duration_since(at));
            view::Peer {
                name: node.name.clone(),
                kind: view::kind_name(node.role),
                up: seen.up,
                heard_ms: seen.heard_at.map(ms),
                role: seen.beat.map(|beat| view::role_name(beat.role)),
                pbx_reachable: seen.beat.and_then(|beat| beat.pbx_reachable),
                build: seen.build,
                unshipped: unshipped.and_then(|peer| peer.unshipped),
                unshipped_since_ms: unshipped.and_then(|peer| peer.since).map(ms),
            }
        };
        let unheard = ha.holder(now).filter(|_| ha.primary(now).is_none());
        Some(view::Cluster {
            id: config.id.clone(),
            profile: config.profile.name(),
            role: view::role_name(ha.role()),
            epoch: ha.epoch().0,
            primary: ha.primary(now).map(|(node, _)| config.name_of(node)),
            unheard_primary: unheard.map(|(node, _)| config.name_of(node)),
            paused: ha.paused(),
            passive_because: ha.passive_because(now),
            protections: view::protections(config, ha.other_pbx()),
            nodes: config.nodes.iter().map(|node| node.name.clone()).collect(),
            peers: config.peers().map(peer).collect(),
            facts_pending: facts.pending,
            alone: facts.alone,
            copied_calls: self.replicas.copies(),
            ports_proven: self.beat.map_or(0, |beat| beat.ports_proven),
            ports: self.beat.map_or(0, |beat| beat.ports),
            unproven_ports: self.beat.map(|beat| beat.unproven).unwrap_or_default(),
            unproven: self.readiness_notes(),
            data_age_ms: self.data_age(now).map(millis),
            on_backup_since_ms: self.on_backup_since(now),
            sentinel: self.sentinel_view(now),
            trunk: self.trunk_view(),
            control_tests: self.tests_view(now),
            takeover: self.takeover,
        })
    }

    // ---- Facts of orders -----------------------------------------------------------------------

    fn append_audit(
        &mut self,
        now: Instant,
        who: Who,
        order: &Order,
        result: Result<(), String>,
    ) -> Token {
        let action = match order {
            Order::Promote { node, forced } => {
                Action::Promote { node: *node, forced: forced.clone() }
            }
            Order::Switchover { to, .. } => Action::Promote { node: *to, forced: None },
            Order::Drill { .. } => Action::Drill,
            Order::Pause => Action::Pause(true),
            Order::Resume => Action::Pause(false),
            Order::Rejoin => Action::Rejoin,
            Order::Release => Action::Release,
        };
        self.append(now, Body::Audit(Audit { who, action, result }))
    }

    /// Wall time, from what a driver last said of it.
    pub(in crate::node) fn unix_ms(&self, now: Instant) -> u64 {
        let (at, unix_ms) = self.wall;
        let since = now.saturating_duration_since(at).as_millis();
        unix_ms.saturating_add(u64::try_from(since).unwrap_or(u64::MAX))
    }

    /// Copies of these calls leave at once: the role is about to be given up.
    pub(super) fn tell_changed(&mut self, now: Instant) {
        let calls: Vec<CallId> = self.calls.keys().copied().collect();
        calls.into_iter().for_each(|call| self.touch(now, call));
        self.tell_copies_now(now);
    }
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
