//! The latest rebinds, each with the instants from verdict to sound, for `status` and the bench.

use std::collections::VecDeque;

use super::Mark;
use super::snapshot::{REBINDS_KEPT, Rebind};
use crate::timers::Instant;

/// A ring of rebinds.
#[derive(Debug, Default)]
pub struct Rebinds(VecDeque<Rebind>);

impl Rebinds {
    /// Keeps one more, and forgets the oldest when there are too many.
    pub fn push(&mut self, rebind: Rebind) {
        if self.0.len() == REBINDS_KEPT {
            self.0.pop_front();
        }
        self.0.push_back(rebind);
    }

    /// The socket has taken the StasisStart of an offer.
    pub fn written(&mut self, mark: Mark, at: Instant) {
        if let Some(rebind) = self.find(mark) {
            rebind.written_at.get_or_insert(at);
        }
    }

    /// The new owner's first sound left.
    pub fn first_media(&mut self, mark: Mark, at: Instant) {
        if let Some(rebind) = self.find(mark) {
            rebind.first_media_at.get_or_insert(at);
        }
    }

    /// All of them, oldest first.
    pub fn list(&self) -> Vec<Rebind> {
        self.0.iter().cloned().collect()
    }

    /// The newest first: a mark is asked for soon after its rebind.
    fn find(&mut self, mark: Mark) -> Option<&mut Rebind> {
        self.0.iter_mut().rev().find(|r| r.call == mark.call && r.generation == mark.generation)
    }
}
