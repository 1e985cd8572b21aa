//! Who is called when something happened, from which node, and when that is over.

use tracing::warn;

use crate::config::{Member, MemberRole};
use crate::ha::Role;
use crate::ha::role::Event;
use crate::menu::{Alarm, AlertInput, AlertOutput, Entry};
use crate::node::Node;
use crate::node::control::{Control, Purpose};
use crate::node::snapshot::AlarmKind;
use crate::timers::{Duration, Instant};

/// After an orderly stop of a primary another one is to act within this.
const SUCCESSOR_WITHIN: Duration = Duration::from_millis(1_500);

impl Node {
    /// Something of the cluster that people must hear of.
    pub(in crate::node) fn alert_event(&mut self, now: Instant, event: &Event) {
        let alarm = match event {
            Event::PrimaryDown { controlled: false, .. } | Event::PrimaryUnheard(_) => {
                Alarm::PrimaryDown
            }
            Event::PrimaryDown { controlled: true, .. } => Alarm::PrimaryStopped,
            Event::PromotionFailed { .. } => Alarm::PromotionFailed,
            Event::BackupLost(_) => Alarm::BackupLost,
            Event::WitnessLost => Alarm::WitnessLost,
            Event::PromotionDone(_) => Alarm::Promoted,
            Event::PromotionStarted(_) | Event::AutomaticStopped { .. } => return,
        };
        self.standing.insert(alarm);
        let notify = self.config.control.as_ref().is_some_and(|c| c.notify_on_promotion);
        if alarm == Alarm::Promoted && notify {
            self.tell_telephones(now);
        }
        if matches!(event, Event::PrimaryDown { .. } | Event::PrimaryUnheard(_)) {
            for told in [Alarm::Promoted, Alarm::PromotionFailed] {
                self.over(now, told);
            }
        }
        if !self.calls_people(now) {
            return;
        }
        if alarm == Alarm::PrimaryStopped {
            self.controls.stopped_until = Some(now + SUCCESSOR_WITHIN);
        } else {
            self.ring_for(now, alarm);
        }
    }

    pub(super) fn ring_for(&mut self, now: Instant, alarm: Alarm) {
        self.standing.insert(alarm);
        self.alert(now, AlertInput::Raised(alarm));
    }

    /// People hear of it from one node, and every node remembers it.
    pub(super) fn people_hear(&mut self, now: Instant, alarm: Alarm, kind: &AlarmKind) {
        self.standing.insert(alarm);
        let name = match alarm {
            Alarm::PbxUnreachable => "pbx.unreachable",
            _ => "running_on_backup_since",
        };
        let tells = self.calls_people(now);
        self.incident(now, name, None, tells, &kind.to_string());
        if tells {
            self.ring_for(now, alarm);
        }
    }

    /// Whether any node reaches the PBX. None, as far as they are heard: nothing here mends that,
    /// and whoever would be promoted would meet the same.
    pub(in crate::node) fn judge_pbx(&mut self, now: Instant) {
        let Some(member) = &self.member else { return };
        let (cluster, peers) = (&self.config.cluster, member.peers());
        let reaches = |node: &Member| match peers.get(&node.id) {
            Some(peer) => peer.beat.filter(|_| peer.up).and_then(|beat| beat.pbx_reachable),
            None => self.reaches_pbx(),
        };
        let is_data = |node: &&Member| node.role == MemberRole::Data;
        let missed = cluster.nodes.iter().filter(is_data).any(|node| reaches(node) == Some(false));
        let lost = missed && !cluster.nodes.iter().any(|node| reaches(node) == Some(true));
        if lost == self.alarms.stands(|kind| *kind == AlarmKind::PbxLost) {
            return;
        }
        if lost {
            self.alarms.raise(AlarmKind::PbxLost, now);
            self.people_hear(now, Alarm::PbxUnreachable, &AlarmKind::PbxLost);
        } else {
            self.alarms.clear(|kind| *kind == AlarmKind::PbxLost);
            self.over(now, Alarm::PbxUnreachable);
        }
    }

    fn over(&mut self, now: Instant, alarm: Alarm) {
        self.standing.remove(&alarm);
        self.alert(now, AlertInput::Over(alarm));
    }

    /// Somebody has heard of all that stands.
    pub(super) fn acknowledged(&mut self, now: Instant) {
        for alarm in std::mem::take(&mut self.standing) {
            self.over(now, alarm);
        }
    }

    /// What is over is told to nobody any more, and when it happens again it is news.
    pub(super) fn end_alerts(&mut self, now: Instant) {
        let Some(member) = &self.member else { return };
        let me = self.config.cluster.me;
        let up = |node| node == me || member.peers().get(&node).is_some_and(|peer| peer.up);
        let mut over = Vec::new();
        if member.ha().primary(now).is_some_and(|(node, _)| up(node)) {
            over.extend([Alarm::PrimaryDown, Alarm::PrimaryStopped]);
            self.controls.stopped_until = None;
        }
        let mut data =
            self.config.cluster.nodes.iter().filter(|node| node.role == MemberRole::Data);
        if data.all(|node| up(node.id)) {
            over.push(Alarm::BackupLost);
        }
        if self.config.cluster.witness().is_none_or(up) {
            over.push(Alarm::WitnessLost);
        }
        let first = self.config.cluster.nodes.iter().find(|node| node.role == MemberRole::Data);
        let primary = member.ha().primary(now).map(|(node, _)| node);
        if primary.is_some() && primary == first.map(|node| node.id) {
            over.push(Alarm::OnBackup);
            self.alarms.clear(|kind| matches!(kind, AlarmKind::OnBackup { .. }));
        }
        for alarm in over {
            self.over(now, alarm);
        }
    }

    /// The witness calls people; without one, whoever acts, or the one that is left.
    pub(in crate::node) fn calls_people(&self, now: Instant) -> bool {
        let Some(member) = &self.member else { return false };
        match self.config.cluster.witness() {
            Some(witness) if witness == self.config.cluster.me => true,
            Some(witness) if member.peers().get(&witness).is_some_and(|peer| peer.up) => false,
            _ => member.ha().role() != Role::Backup || member.ha().primary(now).is_none(),
        }
    }

    pub(super) fn alert(&mut self, now: Instant, input: AlertInput) {
        self.controls.alerts.handle_input(now, input);
        self.pump_alerts(now);
    }

    pub(super) fn pump_alerts(&mut self, now: Instant) {
        while let Some(output) = self.controls.alerts.poll_output() {
            match output {
                AlertOutput::Call { person, alarm } => {
                    let list = self.config.control.as_ref().map(|control| &control.on_call);
                    let Some(called) = list.and_then(|list| list.get(person)).cloned() else {
                        continue;
                    };
                    let purpose = Purpose::Menu(Entry::Alert { alarm, person: called.agent });
                    self.place_control(now, called.extension, purpose, Some(person));
                }
                AlertOutput::Cancel { person } => {
                    let waiting = self.controls.to_place.len();
                    self.controls.to_place.retain(|(_, _, waits)| *waits != Some(person));
                    if self.controls.to_place.len() < waiting {
                        self.controls.alerts.handle_input(now, AlertInput::Ended { person });
                    }
                    let of = |control: &Control| control.person == Some(person);
                    let found = self.controls.calls.iter().find(|(_, control)| of(control));
                    if let Some(call) = found.map(|(call, _)| *call) {
                        self.hang_up(now, call, Some(16));
                    }
                }
                AlertOutput::NobodyReached => warn!("nobody on the on-call list was reached"),
            }
        }
    }
}
