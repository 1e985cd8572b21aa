//! Which node of the list is asked: where a walk begins and goes on, when a port returns to a
//! better node, and what follows when one is dead or has another address.

use std::collections::BTreeSet;

use super::{Bound, Output, Registration, State};
use crate::sip::RegistrationState;
use crate::timers::Instant;

impl Registration {
    /// Who waited for another address asks at `ask_at`; what is under way comes to its end first.
    pub(super) fn nodes_changed(&mut self, changed: &BTreeSet<usize>, ask_at: Instant) {
        match self.state {
            State::Nowhere => {
                self.state = State::Delayed { ask_at };
                self.report(RegistrationState::Pending);
            }
            State::Queued { round } if !self.nodes.contains(&round.node) => {
                self.outputs.push_back(Output::Withdraw { node: round.node });
                self.begin_walk(round.attempt);
            }
            State::Registered { ref mut refresh_at }
                if self.bound.is_some_and(|bound| changed.contains(&bound.node)) =>
            {
                *refresh_at = (*refresh_at).min(ask_at);
            }
            State::Refused { retry_at: Some(ref mut at) }
            | State::Backoff { retry_at: ref mut at, .. } => *at = (*at).min(ask_at),
            State::Off
            | State::Delayed { .. }
            | State::Queued { .. }
            | State::Pending { .. }
            | State::Registered { .. }
            | State::Refused { retry_at: None }
            | State::LeaveQueued
            | State::Leaving { .. } => {}
        }
    }

    pub(super) fn return_to_better(&mut self, now: Instant) {
        let Some(Bound { node }) = self.bound else { return };
        if let State::Registered { ref mut refresh_at } = self.state
            && !self.live
            && self.preferred < node
        {
            *refresh_at = now;
        }
    }

    pub(super) fn node_down(&mut self, now: Instant, node: usize) {
        let others = self.nodes.len() > 1;
        let Some(next) = self.next_after(node).filter(|_| others) else { return };
        match self.state {
            State::Queued { round } if round.node == node => {
                self.outputs.push_back(Output::Withdraw { node });
                self.node_failed(now, round, None, None);
            }
            State::Registered { .. } if self.bound == Some(Bound { node }) => {
                self.ask(self.walk(next, 1, 0));
            }
            State::Off
            | State::Delayed { .. }
            | State::Nowhere
            | State::Queued { .. }
            | State::Pending { .. }
            | State::Registered { .. }
            | State::Refused { .. }
            | State::Backoff { .. }
            | State::LeaveQueued
            | State::Leaving { .. } => {}
        }
    }

    /// The node after this one, in a circle.
    pub(super) fn next_after(&self, node: usize) -> Option<usize> {
        self.nodes.range(node + 1..).next().or_else(|| self.nodes.first()).copied()
    }

    pub(super) fn begin_walk(&mut self, attempt: u32) {
        match self.first_node() {
            Some(node) => self.ask(self.walk(node, 0, attempt)),
            None => {
                self.state = State::Nowhere;
                if self.nameless {
                    self.report(RegistrationState::Unresolved);
                }
            }
        }
    }

    /// Where the next walk begins.
    pub(super) fn first_node(&self) -> Option<usize> {
        let wished = match self.bound {
            Some(Bound { node }) if self.live => node,
            Some(Bound { node }) => node.min(self.preferred),
            None => self.preferred,
        };
        self.nodes.get(&wished).copied().or_else(|| self.next_after(wished))
    }
}
