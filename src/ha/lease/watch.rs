//! Whether anybody has the lease. One voter's silence proves nothing: a cut between two nodes looks
//! like the death of the other one. So a voter whose grant ran out asks the others, and says that
//! nobody has the lease when one of them agrees: no two of three are left to anybody.

use crate::timers::{Duration, Instant};

/// At first it asks four times in a renewal, then every second one: a cut may last for hours.
const HURRIED: u32 = 8;

/// The question of one vacancy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Watch {
    again_at: Option<Instant>,
    asked: u32,
    /// Counter of the first question: an answer to an earlier one is about an earlier vacancy.
    first: Option<u64>,
    said: bool,
}

impl Watch {
    pub(super) fn is_due(&self, now: Instant) -> bool {
        !self.said && self.again_at.is_none_or(|at| now >= at)
    }

    pub(super) fn asked(&mut self, now: Instant, counter: u64, renew: Duration) {
        self.asked = self.asked.saturating_add(1);
        self.first.get_or_insert(counter);
        self.again_at = Some(now + if self.asked <= HURRIED { renew / 4 } else { renew * 2 });
    }

    /// An answer. Returns whether nobody has the lease, once.
    pub(super) fn told(&mut self, counter: u64, held: bool) -> bool {
        let fresh = self.first.is_some_and(|first| counter >= first);
        let vacant = fresh && !held && !self.said;
        self.said |= vacant;
        vacant
    }

    /// It is known already.
    pub(super) fn said(&mut self) {
        self.said = true;
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.again_at.filter(|_| !self.said)
    }
}
