//! The rehearsal of a backup, what stands against it as primary, and how long a backup has served.

use crate::config::MemberRole;
use crate::ha::{Role, member};
use crate::ids::NodeId;
use crate::menu;
use crate::node::readiness::Unproven;
use crate::node::snapshot::AlarmKind;
use crate::node::{Duty, Node, Phase};
use crate::sip;
use crate::timers::{Duration, Instant};

/// A backup that has served for so long is told of: its site runs without the other one.
const REMIND_AFTER: Duration = Duration::from_secs(10 * 86_400);

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

    /// What was proven, and what stands against a promotion that a person wants.
    pub(super) fn tell_readiness(&mut self, now: Instant) {
        let mut against = Vec::new();
        let refused = |(_, why): &&(u32, Unproven)| *why == Unproven::Refused;
        let unproven = self.readiness.unproven();
        if let Some((count, _)) = unproven.iter().find(refused)
            && self.readiness.note().is_none()
        {
            against.push(format!(
                "the PBX refuses the passwords of {count} ports to this node: see pbx.log and \
                 [[ports]], or force the promotion and serve without them"
            ));
        }
        if self.udp_ports.available() < self.config.pool_ports().len() {
            against.push(
                "fewer UDP ports are free than there are voice ports: widen media.udp_ports"
                    .to_owned(),
            );
        }
        self.member_input(now, member::Input::Against(against));
        self.tell_beat();
    }

    /// Why not every port is proven, in short sentences.
    pub(super) fn readiness_notes(&self) -> Vec<String> {
        if !self.rehearses() {
            return Vec::new();
        }
        let of = |(count, why): (u32, Unproven)| match why {
            Unproven::Refused => format!("{count} ports: the PBX refuses password or account"),
            Unproven::Unreachable => format!("{count} ports: the PBX does not answer"),
            Unproven::Untried => format!("{count} ports: not asked yet"),
        };
        let counts = self.readiness.unproven().into_iter().map(of);
        counts.chain(self.readiness.note()).collect()
    }

    /// The same as the menu speaks it, where this node is the one that would serve.
    pub(super) fn unproven(&self, serving: NodeId) -> Vec<(u32, menu::Unproven)> {
        if serving != self.config.cluster.me || !self.rehearses() {
            return Vec::new();
        }
        let of = |(count, why): (u32, Unproven)| {
            let why = match why {
                Unproven::Refused => menu::Unproven::Refused,
                Unproven::Unreachable => menu::Unproven::Unreachable,
                Unproven::Untried => menu::Unproven::Untried,
            };
            (count, why)
        };
        self.readiness.unproven().into_iter().map(of).collect()
    }

    pub(super) fn my_name(&self) -> String {
        self.config.cluster.name_of(self.config.cluster.me)
    }

    /// Milliseconds that this node has served in the place of the first one; `None`: it does not.
    pub(super) fn on_backup_since(&self, now: Instant) -> Option<u64> {
        let since = self.serves_as_backup()?;
        let ms = now.saturating_duration_since(since).as_millis();
        Some(u64::try_from(ms).unwrap_or(u64::MAX))
    }

    fn serves_as_backup(&self) -> Option<Instant> {
        let first = self.config.cluster.nodes.iter().find(|node| node.role == MemberRole::Data);
        let is_backup = first.is_some_and(|first| first.id != self.config.cluster.me);
        self.acts_since.filter(|_| is_backup)
    }

    /// Ten days on the backup are an alarm, once, and change nothing.
    pub(in crate::node) fn remind(&mut self, now: Instant) {
        if self.reminds_at().is_some_and(|at| at <= now) {
            let days = u32::try_from(REMIND_AFTER.as_secs() / 86_400).unwrap_or(u32::MAX);
            self.alarms.raise(AlarmKind::OnBackup { node: self.my_name(), days }, now);
        }
    }

    pub(super) fn reminds_at(&self) -> Option<Instant> {
        let stands = self.alarms.stands(|kind| matches!(kind, AlarmKind::OnBackup { .. }));
        self.serves_as_backup().filter(|_| !stands).map(|since| since + REMIND_AFTER)
    }
}
