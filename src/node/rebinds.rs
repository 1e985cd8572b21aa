//! The latest rebinds, each with the instants from verdict to sound, for `status` and the bench.

use std::collections::VecDeque;

use super::Mark;
use super::snapshot::{REBINDS_KEPT, Rebind, RebindTimes};
use crate::timers::Instant;

/// A ring of rebinds, and how long all of them took.
#[derive(Debug, Default)]
pub struct Rebinds {
    ring: VecDeque<Rebind>,
    times: RebindTimes,
}

impl Rebinds {
    /// Keeps one more, and forgets the oldest when there are too many.
    pub fn push(&mut self, rebind: Rebind) {
        self.times.detect.observe(rebind.detect);
        self.times.decide.observe(rebind.decide());
        if let Some(claim) = rebind.claim() {
            self.times.claim.observe(claim);
        }
        if self.ring.len() == REBINDS_KEPT {
            self.ring.pop_front();
        }
        self.ring.push_back(rebind);
    }

    /// The socket has taken the StasisStart of an offer.
    pub fn written(&mut self, mark: Mark, at: Instant) {
        if let Some(rebind) = self.find(mark) {
            rebind.written_at.get_or_insert(at);
        }
    }

    /// The new owner's first sound left.
    pub fn first_media(&mut self, mark: Mark, at: Instant) {
        let Some(rebind) = self.find(mark).filter(|r| r.first_media_at.is_none()) else { return };
        rebind.first_media_at = Some(at);
        if let Some(total) = rebind.total() {
            self.times.total.observe(total);
        }
    }

    /// All of them, oldest first.
    pub fn list(&self) -> Vec<Rebind> {
        self.ring.iter().cloned().collect()
    }

    /// How long all rebinds so far took.
    pub fn times(&self) -> RebindTimes {
        self.times.clone()
    }

    /// The newest first: a mark is asked for soon after its rebind.
    fn find(&mut self, mark: Mark) -> Option<&mut Rebind> {
        self.ring.iter_mut().rev().find(|r| r.call == mark.call && r.generation == mark.generation)
    }
}
