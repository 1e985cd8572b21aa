//! What the lease means for facts: when the other node need not have them.

use super::partner::Partner;
use super::{FactShip, Held, Output, alone};
use crate::config::{ClusterProfile, MemberRole};
use crate::ids::{Epoch, NodeId};
use crate::mutants::{Mutant, mutant};
use crate::timers::Instant;

impl FactShip {
    pub(super) fn learn(&mut self, epoch: Epoch) {
        self.epoch = self.epoch.max(epoch);
        // Whoever has a higher epoch may have asked what is here: nothing is added to it alone.
        if self.held.is_some_and(|held| held.epoch < self.epoch) {
            self.lost();
        }
    }

    pub(super) fn held(&mut self, now: Instant, epoch: Epoch, facts_of: Option<NodeId>) {
        self.learn(epoch);
        if epoch < self.epoch {
            return;
        }
        self.held = Some(Held { epoch, facts_of });
        self.alone.new_epoch();
        for index in 0..self.partners.len() {
            if self.partners[index].is_up() {
                self.ask(now, index);
            }
        }
    }

    pub(super) fn facts_clear(&mut self) {
        if let Some(held) = &mut self.held {
            held.facts_of = None;
        }
    }

    pub(super) fn lost(&mut self) {
        self.held = None;
        self.alone.new_epoch();
    }

    pub(super) fn noted(&mut self, on: bool, epoch: Epoch) {
        if self.held.is_some_and(|held| held.epoch == epoch) {
            self.alone.noted(on);
        }
    }

    /// The other data node.
    pub(super) fn other(&self) -> Option<&Partner> {
        self.partners.iter().find(|partner| partner.role == MemberRole::Data)
    }

    /// Since when the oldest fact waits that is durable here.
    pub(super) fn stalled_since(&self) -> Option<Instant> {
        let own = |stream| self.lanes.mark(self.lanes.own(stream));
        self.pending.oldest(|stream, counter| counter <= own(stream)).map(|oldest| oldest.since)
    }

    /// Whether everything that was acknowledged alone is on the other node, and the other way
    /// round.
    pub(super) fn is_together(&self) -> bool {
        let Some(other) = self.other().filter(|other| other.is_known()) else { return false };
        if mutant(Mutant::LeaveEarly) {
            return true;
        }
        let shipped = self.lanes.of_this_node().all(|(lane, mark)| {
            let needed = if self.lanes.is_own(lane) { self.alone.mark(lane.stream) } else { mark };
            other.mark(lane) >= needed
        });
        let fetched = self.held.is_none_or(|held| other.caught_up >= Some(held.epoch));
        shipped && fetched
    }

    /// Whether everything is here that a peer of a pair acknowledged, although it cannot be asked:
    /// it was heard too short a time ago to have gone on alone, and counted on this node before.
    pub fn is_in_step(&self, now: Instant, node: NodeId) -> bool {
        let Some(index) = self.index(node) else { return false };
        let partner = &self.partners[index];
        let lately = |down: Instant| now < down + self.site.solo_after / 2;
        let heard = partner.is_up() || partner.down_since().is_some_and(lately);
        heard && partner.caught_up.is_some() && self.writing.is_empty()
    }

    /// Whether this node has the lease, and every fact that was acknowledged before. Of any other
    /// node nobody would know that it has what nobody else has.
    fn may_go_alone(&self) -> bool {
        let holds = self.held.is_some_and(|held| held.facts_of.is_none());
        holds && self.site.profile != ClusterProfile::Single
    }

    pub(super) fn reconsider(&mut self, now: Instant) {
        if !self.may_go_alone() || self.failed {
            return;
        }
        let stalled = self.stalled_since();
        let due = self.alone_at().is_some_and(|at| now >= at);
        if let Some(alone) = self.alone.reconsider(due, stalled.is_none() && self.is_together()) {
            self.out.push_back(match self.site.profile {
                ClusterProfile::Trio => Output::WantSolo(alone),
                ClusterProfile::Single | ClusterProfile::Pair => Output::Alone(alone),
            });
        }
    }

    /// When the oldest fact has waited for long enough to go on alone. Never, when nothing can be
    /// written here: nobody would act on that deadline, and it would stay in the past.
    pub(super) fn alone_at(&self) -> Option<Instant> {
        if self.failed || !self.may_go_alone() {
            return None;
        }
        let since = self.stalled_since().filter(|_| self.alone.counts_on_others())?;
        match self.site.profile {
            ClusterProfile::Single => None,
            ClusterProfile::Trio => Some(since + alone::SOLO_AFTER),
            ClusterProfile::Pair => {
                let silent = self.other().and_then(Partner::down_since);
                Some(silent.map_or(since, |down| since.min(down)) + self.site.solo_after)
            }
        }
    }
}
