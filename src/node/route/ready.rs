//! The rehearsal of a backup, what stands against it as primary, and how long a backup has served.

use super::cluster::millis;
use crate::config::{MemberRole, PortKind};
use crate::ha::peer::Unproven;
use crate::ha::role::Lack;
use crate::ha::{Role, member};
use crate::ids::{Epoch, NodeId, PortId};
use crate::menu;
use crate::node::snapshot::AlarmKind;
use crate::node::{Duty, Node, Phase};
use crate::sip::{self, RegistrationState};
use crate::store::{Action, Audit, Body, Fact, Who};
use crate::timers::{Duration, Instant, earliest};

/// A backup that has served for so long is told of: its site runs without the other one.
const REMIND_AFTER: Duration = Duration::from_secs(10 * 86_400);

/// A node that serves, and since when by the clock of its machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Serving {
    epoch: Epoch,
    unix_ms: u64,
    node: NodeId,
}

impl Serving {
    fn of(fact: &Fact) -> Option<Self> {
        let Body::Audit(Audit { action: Action::Serve { node }, .. }) = fact.body else {
            return None;
        };
        Some(Self { epoch: fact.epoch, unix_ms: fact.unix_ms, node })
    }
}

impl Node {
    /// The port whose turn it is proves its password.
    pub(in crate::node) fn rehearse(&mut self, now: Instant) {
        if !self.rehearses() {
            return;
        }
        if let Some(port) = self.readiness.due(now) {
            self.sip_command(now, sip::Command::Query { port });
        }
    }

    /// A node that acts proves its ports by having them; one that is fenced or about to end asks
    /// for nothing.
    fn rehearses(&self) -> bool {
        let backup = |member: &member::Member<_>| member.ha().role() == Role::Backup;
        let stays = self.duty == Duty::Following && self.phase == Phase::Running;
        stays && self.member.as_deref().is_some_and(backup)
    }

    pub(super) fn rehearses_at(&self) -> Option<Instant> {
        self.readiness.poll_timeout().filter(|_| self.rehearses())
    }

    /// What was proven, and what stands against a promotion that a person wants. What a backup
    /// lacks is an alarm, too.
    pub(in crate::node) fn tell_readiness(&mut self, now: Instant) {
        let lacks = match self.duty {
            Duty::Following => self.readiness.against(self.udp_ports.available()),
            Duty::Acting => Vec::new(),
        };
        let before = std::mem::replace(&mut self.readiness.alarmed, lacks.clone());
        let alarm = |lack: &Lack| AlarmKind::Other { extension: None, text: lack.to_string() };
        let over: Vec<_> = before.iter().filter(|lack| !lacks.contains(lack)).map(alarm).collect();
        self.alarms.clear(|kind| over.contains(kind));
        lacks.iter().for_each(|lack| self.alarms.raise(alarm(lack), now));
        self.member_input(now, member::Input::Lacks(lacks));
        self.tell_beat(now);
    }

    /// The other data node was heard of, or is not heard any more: what it sounds like as primary
    /// is compared.
    pub(super) fn compare_sound(&mut self, now: Instant) {
        let beat = self.data_peer().filter(|peer| peer.up).and_then(|peer| peer.beat);
        let sound = beat.filter(|beat| beat.role.acts()).map(|beat| beat.sound);
        if self.readiness.primary(sound) {
            self.tell_readiness(now);
        }
    }

    pub(super) fn data_peer(&self) -> Option<&member::Peer> {
        let node = self.config.cluster.data_peer()?;
        let copies = self.member.as_ref().filter(|member| member.ha().role() != Role::Witness);
        copies?.peers().get(&node.id)
    }

    /// How much is free where facts are stored.
    pub(in crate::node) fn disk(&mut self, now: Instant, free: u64) {
        if self.readiness.disk(free) {
            self.tell_readiness(now);
        }
    }

    /// How old the copy of calls and facts is: how long a primary has gone on without being heard
    /// here, or with what is being fetched from it. Nothing is lost by what a dead one does not do;
    /// that of a pair may live. `None`: nothing was ever copied as a whole.
    pub(super) fn data_age(&self, now: Instant) -> Option<Duration> {
        if self.duty == Duty::Acting {
            return Some(Duration::ZERO);
        }
        let peer = self.data_peer()?;
        let whole_at = self.whole_at?;
        let held = self.member.as_ref().is_some_and(|member| member.ha().holder(now).is_some());
        let dead = !peer.up && self.outage.is_some() && !held;
        let heard = peer.heard_at.is_some_and(|at| at <= whole_at);
        let current = heard && (peer.up || dead);
        Some(if current { Duration::ZERO } else { now.saturating_duration_since(whole_at) })
    }

    /// The other data node was heard: whether everything that it has is here.
    pub(super) fn note_copy(&mut self) {
        let Some(peer) = self.data_peer().filter(|peer| peer.up) else { return };
        let serves = peer.beat.is_some_and(|beat| beat.role.acts());
        let (heard_at, whole) = (peer.heard_at, !serves || self.replicas.are_whole());
        if whole && self.facts_are_here() {
            self.whole_at = heard_at;
        }
    }

    /// Whether every fact is here that the other data node had when the link came up; those that it
    /// wrote since then come by themselves.
    fn facts_are_here(&self) -> bool {
        let other = self.config.cluster.data_peer().map(|peer| peer.id);
        let peers = self.member.as_ref().map(|member| member.facts_status().peers);
        let mut peers = peers.into_iter().flatten();
        peers.any(|peer| Some(peer.node) == other && peer.caught_up.is_some())
    }

    /// Ports that are proven, and why the others are not; those that it has where it acts.
    pub(super) fn ports_proven(&self) -> (u32, Unproven) {
        if self.duty == Duty::Following {
            return self.readiness.counts(self.udp_ports.available());
        }
        let bound = |port: &&PortId| {
            let state = self.registrations[usize::from(port.0)];
            matches!(state, RegistrationState::Registered { .. })
        };
        let bound = self.ports_of(PortKind::Pool).iter().filter(bound).count();
        (u32::try_from(bound).unwrap_or(u32::MAX), Unproven::default())
    }

    /// Why not every port is proven, in short sentences.
    pub(super) fn readiness_notes(&self) -> Vec<String> {
        if !self.rehearses() {
            return Vec::new();
        }
        let of = |(count, why): (u32, menu::Unproven)| {
            let why = match why {
                menu::Unproven::Refused => "the PBX refuses password or account",
                menu::Unproven::Unreachable => "the PBX does not answer",
                menu::Unproven::Prompts => "prompts are missing or differ from the primary's",
                menu::Unproven::Codec => "the primary has a codec that pbx.codecs lacks here",
                menu::Unproven::UdpPorts => "no UDP port of media.udp_ports is free",
                menu::Unproven::Disk => "less than 1 GiB is free where facts are stored",
                menu::Unproven::Untried => "not asked yet",
            };
            format!("{count} ports: {why}")
        };
        let counts = spoken(self.ports_proven().1).into_iter().map(of);
        counts.chain(self.readiness.note()).collect()
    }

    pub(super) fn my_name(&self) -> String {
        self.config.cluster.name_of(self.config.cluster.me)
    }

    /// A record may say who serves.
    pub(in crate::node) fn note_serving(&mut self, fact: &Fact) {
        self.serving = self.serving.max(Serving::of(fact));
    }

    /// This node serves, and writes it down unless it was the last that did: a process that begins
    /// anew goes on.
    pub(super) fn write_serving(&mut self, now: Instant) {
        let node = self.config.cluster.me;
        if self.serving.is_none_or(|serving| serving.node != node) {
            let (who, action) = (Who::Policy, Action::Serve { node });
            self.append(now, Body::Audit(Audit { who, action, result: Ok(()) }));
        }
    }

    /// When this node began to serve, by the wall clock, as the records say.
    fn served_since_ms(&self) -> Option<u64> {
        let mine = |serving: &Serving| serving.node == self.config.cluster.me;
        self.serving.filter(mine).map(|serving| serving.unix_ms)
    }

    /// Milliseconds that this node has served in the place of the first one, in this process or in
    /// earlier ones; `None`: it does not.
    pub(super) fn on_backup_since(&self, now: Instant) -> Option<u64> {
        let since = self.serves_as_backup()?;
        let here = millis(now.saturating_duration_since(since));
        let ms = self.served_since_ms().map_or(0, |ms| self.unix_ms(now).saturating_sub(ms));
        Some(here.max(ms))
    }

    fn serves_as_backup(&self) -> Option<Instant> {
        let cluster = &self.config.cluster;
        let is_backup = cluster.data_peer().is_some_and(|other| other.id < cluster.me);
        self.acts_since.filter(|_| is_backup)
    }

    /// Ten days on the backup are an alarm at every node, once, and change nothing.
    pub(in crate::node) fn remind(&mut self, now: Instant) {
        let here = self.reminds_at().filter(|at| *at <= now).map(|_| self.config.cluster.me);
        let Some(node) = here.or_else(|| self.other_serves_long(now)) else { return };
        let days = u32::try_from(REMIND_AFTER.as_secs() / 86_400).unwrap_or(u32::MAX);
        let kind = AlarmKind::OnBackup { node: self.config.cluster.name_of(node), days };
        if !self.is_reminded() {
            self.alarms.raise(kind.clone(), now);
            self.people_hear(now, menu::Alarm::OnBackup, &kind);
        }
    }

    /// Another node that has served for so long in the place of the first, as the records say.
    fn other_serves_long(&self, now: Instant) -> Option<NodeId> {
        let serving = self.serving.filter(|_| self.wall.1 > 0)?;
        let cluster = &self.config.cluster;
        let member = self.member.as_ref()?;
        let first = cluster.nodes.iter().find(|node| node.role == MemberRole::Data)?;
        let serves = member.ha().primary(now).map(|(node, _)| node) == Some(serving.node);
        let long = self.unix_ms(now) >= serving.unix_ms + millis(REMIND_AFTER);
        let other = serving.node != first.id && serving.node != cluster.me;
        (other && serves && long).then_some(serving.node)
    }

    fn is_reminded(&self) -> bool {
        self.alarms.stands(|kind| matches!(kind, AlarmKind::OnBackup { .. }))
    }

    pub(super) fn reminds_at(&self) -> Option<Instant> {
        let since = self.serves_as_backup().filter(|_| !self.is_reminded())?;
        let (at, unix_ms) = self.wall;
        let left = |ms: u64| (ms + millis(REMIND_AFTER)).saturating_sub(unix_ms);
        let recorded = self.served_since_ms().map(|ms| at + Duration::from_millis(left(ms)));
        earliest([Some(since + REMIND_AFTER), recorded])
    }
}

/// Reasons as the menu speaks them; no zeros.
pub(super) fn spoken(unproven: Unproven) -> Vec<(u32, menu::Unproven)> {
    [
        (unproven.refused, menu::Unproven::Refused),
        (unproven.unreachable, menu::Unproven::Unreachable),
        (unproven.prompts, menu::Unproven::Prompts),
        (unproven.codecs, menu::Unproven::Codec),
        (unproven.udp_ports, menu::Unproven::UdpPorts),
        (unproven.disk, menu::Unproven::Disk),
        (unproven.untried, menu::Unproven::Untried),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
    .collect()
}
