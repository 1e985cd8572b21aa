//! What a node does by itself, and what stands against it.

use super::{Gone, Mode, Output, Reason, Roles, State};
use crate::config::Promotion;
use crate::ha::lease::{self, NEVER};
use crate::ids::Epoch;
use crate::timers::{Instant, earliest};

impl Roles {
    /// Asks for the lease, or hands the role over, if that is due.
    pub(super) fn decide(&mut self, now: Instant) {
        self.decided_at = now;
        match self.state {
            State::Backup { .. } | State::Fenced { .. } => {
                if self.passive_because(now).is_empty() {
                    self.ask();
                }
            }
            State::Primary { leaving: None, .. } => self.yield_if_useless(now),
            State::Witness
            | State::Asking
            | State::Fetching { .. }
            | State::Promoting { .. }
            | State::Primary { .. } => {}
        }
    }

    pub(super) fn ask(&mut self) {
        self.turn(State::Asking);
        self.out.push_back(Output::Lease(lease::Input::Acquire));
    }

    /// Why this node does not become primary by itself; empty when it is about to, or is.
    pub fn passive_because(&self, now: Instant) -> Vec<String> {
        let resting = match self.state {
            State::Backup { rests_until } => rests_until.filter(|&until| now < until),
            State::Fenced { sent_away: true } => Some(NEVER),
            State::Fenced { sent_away: false } => None,
            State::Witness
            | State::Asking
            | State::Fetching { .. }
            | State::Promoting { .. }
            | State::Primary { .. } => return Vec::new(),
        };
        let mut against = Vec::new();
        if resting.is_some() {
            against.push(self.resting_text());
        }
        against.extend(self.no_vacancy());
        if self.mode() != Mode::Single {
            against.extend(self.not_allowed(now));
        }
        against.extend(self.unfit().iter().map(Reason::to_string));
        against
    }

    fn resting_text(&self) -> String {
        match self.state {
            State::Fenced { .. } => {
                "it was sent away: it follows when another node serves, or an operator says \
                 `rejoin` here"
                    .to_owned()
            }
            _ => "it leaves the role to the other node for a few seconds".to_owned(),
        }
    }

    /// Why nobody says that the role is vacant.
    fn no_vacancy(&self) -> Option<String> {
        match self.mode() {
            Mode::Single => None,
            Mode::Trio if self.gone.is_some() => None,
            Mode::Trio => Some(match self.view.holder {
                Some((node, _)) => format!("{} is primary", self.name(node)),
                None => "no other voter says that the role is vacant: two of three must agree; \
                         start another node"
                    .to_owned(),
            }),
            Mode::Pair => self.no_proof().map(|reason| reason.to_string()),
        }
    }

    /// Why nothing proves that the other node of a pair does not act.
    pub(super) fn no_proof(&self) -> Option<Reason> {
        let other = self.other()?;
        let node = self.name(other);
        if self.is_up(other) && self.view.holder.is_some_and(|(node, _)| node == other) {
            return Some(Reason::IsPrimary { node });
        }
        if self.settings.site.other_pbx {
            return self.is_up(other).then_some(Reason::OwnPbx { node });
        }
        if self.view.vote.is_released() || self.is_last() && self.is_up(other) {
            return None;
        }
        Some(Reason::NotReleased { node })
    }

    /// This node was primary last, or is the first of a cluster that never had one.
    pub(super) fn is_last(&self) -> bool {
        let vote = &self.view.vote;
        if vote.promised == Epoch::default() {
            return self.settings.site.is_first();
        }
        vote.held == vote.promised
    }

    fn is_successor(&self, now: Instant) -> bool {
        self.successor_until.is_some_and(|until| now < until)
    }

    /// What policy and people have against it.
    fn not_allowed(&self, now: Instant) -> Vec<String> {
        let mut against = Vec::new();
        if self.is_successor(now) {
            return against;
        }
        if let Some(cause) = &self.pause.halted {
            against.push(format!(
                "processes ended twice of the same cause ({cause}): find it, then `resume`"
            ));
        }
        // Whoever goes on is not promoted.
        if self.is_last() {
            return against;
        }
        if self.pause.on {
            against.push("automatic promotion is paused: `resume` ends that".to_owned());
        }
        if self.settings.policy == Promotion::Manual {
            against.push("the policy is manual: an operator must promote".to_owned());
        }
        if self.due_at().is_some_and(|at| now < at) {
            against.push("it waits as its policy says, and for the first node at a start".into());
        }
        against
    }

    /// From when on a vacancy is taken.
    fn due_at(&self) -> Option<Instant> {
        let policy = match (self.settings.policy, self.gone) {
            (Promotion::AutoAfter(wait), Some(Gone { since, released: false })) => {
                Some(since + wait)
            }
            (Promotion::AutoAfter(_) | Promotion::Auto | Promotion::Manual, _) => None,
        };
        // A node that has not seen a primary since its start may simply have started first, unless
        // the other one of a pair has given its role up.
        let released = self.mode() == Mode::Pair && self.view.vote.is_released();
        let boot =
            (!self.saw_primary && !released).then_some(self.started_at + self.settings.boot_wait);
        policy.max(boot)
    }

    /// What this node's own state has against it.
    fn unfit(&self) -> Vec<Reason> {
        let mut against = Vec::new();
        if self.view.vote.behind {
            against.push(self.is_behind());
        }
        if self.store_failed && self.mode() != Mode::Single {
            against.push(self.disk_failed());
        }
        let peer = self.other().and_then(|other| self.peers.get(&other));
        if self.pbx == Some(false) && peer.is_some_and(|peer| peer.up && peer.pbx == Some(true)) {
            against.push(self.no_pbx());
        }
        against
    }

    /// What stands against a promotion that a person wants.
    pub(super) fn not_ready(&self) -> Vec<Reason> {
        let mut against = self.unfit();
        if self.pbx == Some(false) && !against.contains(&self.no_pbx()) {
            against.push(self.no_pbx());
        }
        against.extend(self.lacks.iter().cloned().map(Reason::Lacks));
        against
    }

    pub(super) fn is_behind(&self) -> Reason {
        Reason::Behind { other: self.other().map_or_else(String::new, |other| self.name(other)) }
    }

    pub(super) fn disk_failed(&self) -> Reason {
        Reason::DiskFailed { node: self.name(self.me()) }
    }

    fn no_pbx(&self) -> Reason {
        Reason::NoPbx { node: self.name(self.me()) }
    }

    /// When time alone may change what this node does.
    pub(super) fn next_decision(&self) -> Option<Instant> {
        let (rests, due) = match self.state {
            State::Backup { rests_until } => (rests_until, self.due_at()),
            State::Fenced { .. } => (None, self.due_at()),
            State::Primary { leaving: None, .. } => (None, self.yields_from),
            State::Witness
            | State::Asking
            | State::Fetching { .. }
            | State::Promoting { .. }
            | State::Primary { .. } => (None, None),
        };
        earliest([rests, due].map(|at| at.filter(|&at| at > self.decided_at)))
    }
}
