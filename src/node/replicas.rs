//! Copies of calls: which of ours the backup must hear of, and what we know of the primary's.
//!
//! A change waits for 20 ms at most, so that a call that is offered, claimed and begins to play is
//! told once; every call is told again now and then, because some of a dialog's numbers move
//! without any event. Copies live in memory only: with both nodes gone the calls are gone too.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::record::CallRecord;
use crate::ids::CallId;
use crate::timers::{Duration, Instant, earliest};

/// How long a change waits for others.
const GATHER: Duration = Duration::from_millis(20);
/// Every call is told again after this.
const AGAIN: Duration = Duration::from_secs(5);

/// What one node tells another of its calls.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CallChange {
    /// A call as it is now.
    Put(Box<CallRecord>),
    /// It is over.
    Gone(CallId),
    /// What follows is all there is.
    All,
}

/// Both directions.
#[derive(Debug, Default)]
pub struct Replicas {
    changed: BTreeSet<CallId>,
    flush_at: Option<Instant>,
    again_at: Option<Instant>,
    /// With when each came.
    theirs: BTreeMap<CallId, (Instant, Box<CallRecord>)>,
}

impl Replicas {
    /// One of our calls changed.
    pub fn changed(&mut self, now: Instant, call: CallId) {
        self.changed.insert(call);
        self.flush_at.get_or_insert(now + GATHER);
        self.again_at.get_or_insert(now + AGAIN);
    }

    /// What changed is told now.
    pub fn hurry(&mut self, now: Instant) {
        self.flush_at = Some(now);
    }

    /// The calls to tell of now. `ours`: all there are.
    pub fn due(&mut self, now: Instant, ours: impl Iterator<Item = CallId>) -> BTreeSet<CallId> {
        if self.again_at.is_some_and(|at| at <= now) {
            self.changed.extend(ours);
            self.again_at = (!self.changed.is_empty()).then_some(now + AGAIN);
        } else if self.flush_at.is_none_or(|at| at > now) {
            return BTreeSet::new();
        }
        self.flush_at = None;
        std::mem::take(&mut self.changed)
    }

    /// When calls are to be told of.
    pub fn poll_timeout(&self) -> Option<Instant> {
        earliest([self.flush_at, self.again_at])
    }

    /// The other node tells of its calls.
    pub fn told(&mut self, now: Instant, change: CallChange) {
        match change {
            CallChange::Put(record) => drop(self.theirs.insert(record.call(), (now, record))),
            CallChange::Gone(call) => drop(self.theirs.remove(&call)),
            CallChange::All => self.theirs.clear(),
        }
    }

    /// How many calls of the other node could be carried on.
    pub fn copies(&self) -> usize {
        self.theirs.len()
    }

    /// All of them, each as old as it is.
    pub fn take(&mut self, now: Instant) -> Vec<CallRecord> {
        let aged = |(at, record): (Instant, Box<CallRecord>)| {
            record.aged(now.saturating_duration_since(at))
        };
        std::mem::take(&mut self.theirs).into_values().map(aged).collect()
    }
}
