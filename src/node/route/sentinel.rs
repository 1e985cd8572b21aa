//! The sentinel: why this node calls it, and who hears what it tells.

use tracing::info;

use crate::ha::member;
use crate::ha::proof::{About, Outcome};
use crate::ha::sentinel::{Input, Output, Seen, Silence, Watch};
use crate::menu;
use crate::node::snapshot::{AlarmKind, cluster as view};
use crate::node::stop::Phase;
use crate::node::{Duty, Node};
use crate::sip::RegistrationState;
use crate::timers::{Duration, Instant};

use super::cluster::millis;

impl Node {
    /// Links, roles or the PBX have changed: whether the sentinel is to be called.
    pub(in crate::node) fn watch_sentinel(&mut self, now: Instant) {
        if self.config.sentinel().is_none() {
            return;
        }
        let (lasts, reachable) = (self.sentinel_lasts(), self.reaches_pbx() == Some(true));
        let watch = self.sentinel_watch();
        for input in [Input::Lasts(lasts), Input::Pbx(reachable), Input::Watch(watch)] {
            self.proofs.sentinel.handle_input(now, input);
        }
        self.pump_sentinel(now);
    }

    fn sentinel_watch(&self) -> Watch {
        let Some(member) = self.member.as_ref().filter(|_| self.phase == Phase::Running) else {
            return Watch::No;
        };
        if self.duty == Duty::Acting || self.proofs.key.is_none() {
            return Watch::No;
        }
        let cluster = &self.config.cluster;
        let acts = |peer: &&member::Peer| peer.up && peer.beat.is_some_and(|b| b.role.acts());
        if let Some(node) = cluster.data_peer().filter(|node| cluster.other_pbx(node.id)) {
            let heard = member.peers().get(&node.id).filter(acts).is_some();
            return if heard { Watch::Apart } else { Watch::No };
        }
        let is_data = |node: &&crate::config::Member| node.role == crate::config::MemberRole::Data;
        let mut data =
            cluster.nodes.iter().filter(is_data).filter_map(|n| member.peers().get(&n.id));
        if data.clone().any(|peer| acts(&peer)) {
            Watch::Heard
        } else if data.any(|peer| !peer.up) {
            Watch::Unheard
        } else {
            Watch::No
        }
    }

    /// How long a primary that is gone may stay registered: what it was granted, if that is known,
    /// or what it asks for.
    fn sentinel_lasts(&self) -> Duration {
        let port = self.config.sentinel().and_then(|sentinel| sentinel.port);
        let granted = port.and_then(|port| self.replicas.binding(port)).map(|b| b.granted);
        let seconds = granted.unwrap_or_default().max(self.config.pbx.expires);
        Duration::from_secs(seconds.into())
    }

    pub(super) fn sentinel_due(&mut self, now: Instant) {
        self.proofs.sentinel.handle_timeout(now);
        self.pump_sentinel(now);
    }

    pub(super) fn sentinel_called(&mut self, now: Instant, outcome: Outcome) {
        info!(?outcome, "the sentinel was called");
        self.proofs.sentinel.handle_input(now, Input::Called(outcome));
        self.pump_sentinel(now);
    }

    fn pump_sentinel(&mut self, now: Instant) {
        while let Some(output) = self.proofs.sentinel.poll_output() {
            match output {
                Output::Call => self.call_sentinel(now),
                Output::SamePbx => self.member_input(now, member::Input::SamePbx),
            }
        }
        self.tell_sentinel(now);
    }

    fn call_sentinel(&mut self, now: Instant) {
        let extension = self.config.sentinel().map(|sentinel| sentinel.extension.clone());
        let placed = extension.is_some_and(|to| self.place_proof(now, About::Sentinel, &to));
        if !placed {
            self.proofs.sentinel.handle_input(now, Input::Called(Outcome::NotMade));
        }
    }

    /// The cluster and people hear what is known, when it changes.
    fn tell_sentinel(&mut self, now: Instant) {
        self.tell_misplaced(now);
        let seen = self.proofs.sentinel.seen();
        if std::mem::replace(&mut self.proofs.told, seen) == seen {
            return;
        }
        self.member_input(now, member::Input::Sentinel(seen));
        self.tell_menus(now);
    }

    fn tell_misplaced(&mut self, now: Instant) {
        let Some(sentinel) = self.config.sentinel() else { return };
        let text = format!(
            "the sentinel {} does not answer this node though the primary is heard, so that its \
             silence would prove nothing: see to its account and its forwarding at the PBX, and \
             whether the control extension may call it",
            sentinel.extension
        );
        let kind = AlarmKind::Other { extension: None, text };
        if self.proofs.sentinel.is_misplaced() {
            self.alarms.raise(kind, now);
        } else {
            self.alarms.clear(|standing| *standing == kind);
        }
    }

    /// What the phone menu says of it.
    pub(super) fn sentinel_spoken(&self, now: Instant) -> Option<menu::Sentinel> {
        Some(match self.proofs.sentinel.seen()? {
            Seen::Untried => menu::Sentinel::Untried,
            Seen::Answers => menu::Sentinel::Answers,
            Seen::Silent { since, silence } => {
                let dead = silence == Silence::Dead;
                menu::Sentinel::Silent { since: self.since(now, since), dead }
            }
        })
    }

    /// What `status` says of it; `None`: there is none.
    pub(super) fn sentinel_view(&self, now: Instant) -> Option<view::Sentinel> {
        let sentinel = self.config.sentinel()?;
        let registration = sentinel.port.and_then(|p| self.registrations.get(usize::from(p.0)));
        let registered = matches!(registration, Some(RegistrationState::Registered { .. }));
        let (state, since) = match (self.duty, self.proofs.sentinel.seen()) {
            (Duty::Acting, _) if registered => ("registered", None),
            (Duty::Acting, _) => ("unregistered", None),
            (Duty::Following, None) => ("unasked", None),
            (Duty::Following, Some(Seen::Untried)) => ("untried", None),
            (Duty::Following, Some(Seen::Answers)) => ("answers", None),
            (Duty::Following, Some(Seen::Silent { since, silence })) => {
                (if silence == Silence::Dead { "dead" } else { "silent" }, Some(since))
            }
        };
        Some(view::Sentinel {
            extension: sentinel.extension.clone(),
            state,
            silent_ms: since.map(|at| millis(now.saturating_duration_since(at))),
            proven: self.proofs.sentinel.is_proven(),
        })
    }
}
