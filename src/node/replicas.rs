//! Copies of calls: which of ours the backup must hear of, and what we know of the primary's.
//!
//! A change waits for 20 ms at most, so that a call that is offered, claimed and begins to play is
//! told once; every call is told again now and then, because some of a dialog's numbers move
//! without any event. Copies live in memory only: with both nodes gone the calls are gone too.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::record::CallRecord;
use crate::ids::{CallId, PortId};
use crate::sip::Binding;
use crate::timers::{Duration, Instant, earliest};

/// How long a change waits for others.
const GATHER: Duration = Duration::from_millis(20);
/// Bindings in one message at most.
const BINDINGS_MAX: usize = 256;
/// Every call is told again after this.
const AGAIN: Duration = Duration::from_secs(5);

/// What one node tells another of its calls.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CallChange {
    /// A call as it is now.
    Put(Box<CallRecord>),
    /// It is over.
    Gone(CallId),
    /// A port's binding at the PBX as it is now.
    Bound(Box<Binding>),
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
    /// Our ports that were granted something.
    granted: BTreeSet<PortId>,
    granted_at: Option<Instant>,
    bindings: BTreeMap<PortId, Box<Binding>>,
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
        earliest([self.flush_at, self.again_at, self.granted_at])
    }

    /// A port of ours was granted a binding.
    pub fn granted(&mut self, now: Instant, port: PortId) {
        self.granted.insert(port);
        self.granted_at.get_or_insert(now + GATHER);
    }

    /// The ports to tell of now, so many that they fit into a message.
    pub fn granted_due(&mut self, now: Instant) -> Vec<PortId> {
        if self.granted_at.is_none_or(|at| at > now) {
            return Vec::new();
        }
        let rest = match self.granted.iter().nth(BINDINGS_MAX).copied() {
            Some(next) => self.granted.split_off(&next),
            None => BTreeSet::new(),
        };
        self.granted_at = (!rest.is_empty()).then_some(now);
        std::mem::replace(&mut self.granted, rest).into_iter().collect()
    }

    /// The binding that the other node has, or had, at this port.
    pub fn binding(&self, port: PortId) -> Option<Box<Binding>> {
        self.bindings.get(&port).cloned()
    }

    /// The other node tells of its calls.
    pub fn told(&mut self, now: Instant, change: CallChange) {
        match change {
            CallChange::Put(record) => drop(self.theirs.insert(record.call(), (now, record))),
            CallChange::Gone(call) => drop(self.theirs.remove(&call)),
            CallChange::Bound(binding) => drop(self.bindings.insert(binding.port, binding)),
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
