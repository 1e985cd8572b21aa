//! A lease, as whoever reads the letters sees it: which request left when, and which was granted.
//!
//! The product's own account of its lease is not asked. A holder may claim until 80 % of a lease
//! have passed since it sent the latest request that another voter granted.

use std::collections::BTreeMap;

use crate::ha::lease::Message;
use crate::ids::Epoch;
use crate::timers::{Duration, Instant};

/// Requests whose answers may still come.
const KEPT: usize = 64;

/// One node's.
#[derive(Debug, Default)]
pub struct Ledger {
    sent: BTreeMap<(Epoch, u64), Instant>,
    /// Under which epoch, until when by its own clock.
    lease: Option<(Epoch, Instant)>,
    /// Taken by a person's word.
    pub forced: bool,
}

impl Ledger {
    /// The node sends a letter; `local` is its own time.
    pub fn sends(&mut self, local: Instant, message: &Message) {
        match message {
            Message::Request { epoch, counter, kind } => {
                self.forced |= *kind == crate::ha::lease::Kind::Forced;
                self.sent.entry((*epoch, *counter)).or_insert(local);
                if self.sent.len() > KEPT {
                    self.sent.pop_first();
                }
            }
            Message::Release { epoch, .. } => drop(self.lease.take_if(|lease| lease.0 <= *epoch)),
            _ => {}
        }
    }

    /// The node gets one; `lease` is the length of a lease.
    pub fn gets(&mut self, message: &Message, lease: Duration) {
        let Message::Grant { epoch, counter, .. } = message else { return };
        let Some(sent) = self.sent.get(&(*epoch, *counter)) else { return };
        let until = *sent + lease * 4 / 5;
        if self.lease.is_none_or(|known| known < (*epoch, until)) {
            self.lease = Some((*epoch, until));
        }
    }

    /// Whether a claim may leave.
    pub fn may_claim(&self, local: Instant) -> bool {
        self.forced || self.lease.is_some_and(|(_, until)| local < until)
    }
}
