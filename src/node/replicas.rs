//! Copies of calls: which of ours the backup must hear of, and what we know of the primary's.
//!
//! A change waits for 20 ms at most, so that a call that is offered, claimed and begins to play is
//! told once; every call is told again now and then, because some of a dialog's numbers move
//! without any event, and so that a copy that nobody took back goes. A node that may act no more
//! keeps copies of its own calls too, while it knows of no other primary: it may be asked to go on.
//! Copies live in memory only: with both nodes gone the calls are gone too.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};

use super::record::CallRecord;
use crate::ids::{CallId, PortId};
use crate::mutants::{Mutant, mutant};
use crate::sip::Binding;
use crate::timers::{Duration, Instant, earliest};

/// How long a change waits for others.
const GATHER: Duration = Duration::from_millis(20);
/// Bindings in one message at most.
const BINDINGS_MAX: usize = 256;
/// Octets of calls in one message at most. The link quotes them, and takes a frame of 1 MiB.
const MESSAGE_MAX: usize = 384 * 1024;
/// Calls that are over are remembered so many: a node that was cut off tells of them later.
const OVER_MAX: usize = 4_096;
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
    /// These are all there are.
    Only(BTreeSet<CallId>),
}

impl CallChange {
    /// In messages of a length that the link takes. What does not fit into any is left out, and its
    /// call is named.
    pub fn parted(changes: Vec<Self>) -> (Vec<Vec<Self>>, Vec<CallId>) {
        let (mut messages, mut left_out) = (Vec::new(), Vec::new());
        let (mut message, mut filled) = (Vec::new(), 0);
        for change in changes {
            let length = change.length();
            if let (Self::Put(record), true) = (&change, length > MESSAGE_MAX) {
                left_out.push(record.call());
                continue;
            }
            if filled + length > MESSAGE_MAX && !message.is_empty() {
                messages.push(std::mem::take(&mut message));
                filled = 0;
            }
            filled += length;
            message.push(change);
        }
        if !message.is_empty() {
            messages.push(message);
        }
        (messages, left_out)
    }

    fn length(&self) -> usize {
        serde_json::to_vec(self).map_or(usize::MAX, |text| text.len())
    }
}

/// Both directions.
#[derive(Debug, Default)]
pub struct Replicas {
    changed: BTreeSet<CallId>,
    flush_at: Option<Instant>,
    again_at: Option<Instant>,
    /// With when each came.
    theirs: BTreeMap<CallId, (Instant, Box<CallRecord>)>,
    /// Calls that have a CDR, wherever they ended, as they came.
    over: BTreeSet<CallId>,
    over_since: VecDeque<CallId>,
    /// Our ports that were granted something.
    granted: BTreeSet<PortId>,
    granted_at: Option<Instant>,
    bindings: BTreeMap<PortId, Box<Binding>>,
    /// Calls that the other node has named on this link and not told; `None`: it named none yet.
    awaited: Option<BTreeSet<CallId>>,
}

impl Replicas {
    /// The link to the other node is new: what is here may not be all.
    pub fn begin(&mut self) {
        self.awaited = None;
    }

    /// Whether every call is here that the other node has named.
    pub fn are_whole(&self) -> bool {
        self.awaited.as_ref().is_some_and(BTreeSet::is_empty)
    }

    /// One of our calls changed.
    pub fn changed(&mut self, now: Instant, call: CallId) {
        if mutant(Mutant::CopyNothing) {
            return;
        }
        self.changed.insert(call);
        self.flush_at.get_or_insert(now + GATHER);
        self.again_at.get_or_insert(now + AGAIN);
    }

    /// Nothing is told any more until something changes.
    pub fn rest(&mut self) {
        self.changed.clear();
        self.granted.clear();
        (self.flush_at, self.again_at, self.granted_at) = (None, None, None);
    }

    /// What changed is told now. A node that has nothing to tell gets no deadline: it would stay in
    /// the past.
    pub fn hurry(&mut self, now: Instant) {
        self.flush_at = self.flush_at.map(|_| now);
    }

    /// Whether all of our calls are to be told of again. `any`: there are some.
    pub fn all_due(&mut self, now: Instant, any: bool) -> bool {
        let due = self.again_at.take_if(|at| *at <= now).is_some();
        if due && any {
            self.again_at = Some(now + AGAIN);
        }
        due
    }

    /// The calls to tell of now.
    pub fn due(&mut self, now: Instant) -> BTreeSet<CallId> {
        if self.flush_at.is_none_or(|at| at > now) {
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
        self.await_no_more(&change);
        match change {
            CallChange::Gone(_) | CallChange::Only(_) if mutant(Mutant::KeepEnded) => {}
            CallChange::Put(record) if self.over.contains(&record.call()) => {}
            CallChange::Put(record) => drop(self.theirs.insert(record.call(), (now, record))),
            CallChange::Gone(call) => drop(self.theirs.remove(&call)),
            CallChange::Bound(binding) => drop(self.bindings.insert(binding.port, binding)),
            CallChange::Only(calls) => self.theirs.retain(|call, _| calls.contains(call)),
        }
    }

    fn await_no_more(&mut self, change: &CallChange) {
        let known = |call: &CallId| self.theirs.contains_key(call) || self.over.contains(call);
        match (change, &mut self.awaited) {
            (CallChange::Only(calls), awaited) => {
                *awaited = Some(calls.iter().copied().filter(|call| !known(call)).collect());
            }
            (CallChange::Put(record), Some(awaited)) => drop(awaited.remove(&record.call())),
            (CallChange::Gone(call), Some(awaited)) => drop(awaited.remove(call)),
            (CallChange::Put(_) | CallChange::Gone(_) | CallChange::Bound(_), _) => {}
        }
    }

    /// A call has its CDR: whoever tells of it has not heard so yet, and nobody carries it on.
    pub fn over(&mut self, call: CallId) {
        if mutant(Mutant::CarryOnOver) {
            return;
        }
        self.theirs.remove(&call);
        if !self.over.insert(call) {
            return;
        }
        self.over_since.push_back(call);
        if self.over_since.len() > OVER_MAX
            && let Some(first) = self.over_since.pop_front()
        {
            self.over.remove(&first);
        }
    }

    /// Whether the other node has this call, or somebody wrote its CDR.
    pub fn knows(&self, call: CallId) -> bool {
        self.theirs.contains_key(&call) || self.over.contains(&call)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_hurries_with_nothing_to_tell_is_not_called_for_it() {
        let mut replicas = Replicas::default();
        let now = Instant::ZERO + GATHER;
        replicas.hurry(now);
        assert_eq!(replicas.poll_timeout(), None);
        replicas.changed(now, CallId(1));
        replicas.hurry(now);
        assert_eq!(replicas.due(now), BTreeSet::from([CallId(1)]));
    }
}
