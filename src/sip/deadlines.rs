//! Deadlines of many things in one order, so that neither a message nor a timer ever scans them.
//!
//! Each key has at most one deadline: its owner states it anew after every step, and the older one
//! is forgotten.

use std::collections::{BTreeMap, BTreeSet};

use crate::timers::Instant;

/// The next deadline of every `K`.
#[derive(Clone, Debug)]
pub(crate) struct Deadlines<K> {
    by_key: BTreeMap<K, Instant>,
    by_time: BTreeSet<(Instant, K)>,
}

impl<K: Ord + Copy> Deadlines<K> {
    pub(crate) const fn new() -> Self {
        Self { by_key: BTreeMap::new(), by_time: BTreeSet::new() }
    }

    /// States the deadline of `key`; `None` is never.
    pub(crate) fn set(&mut self, key: K, at: Option<Instant>) {
        let old = match at {
            Some(at) => self.by_key.insert(key, at),
            None => self.by_key.remove(&key),
        };
        if old == at {
            return;
        }
        if let Some(old) = old {
            self.by_time.remove(&(old, key));
        }
        if let Some(at) = at {
            self.by_time.insert((at, key));
        }
    }

    /// Takes the earliest key whose deadline has come.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<K> {
        let &(at, key) = self.by_time.first()?;
        if at > now {
            return None;
        }
        self.set(key, None);
        Some(key)
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        self.by_time.first().map(|&(at, _)| at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_one_deadline_and_the_last_word_counts() {
        let mut deadlines = Deadlines::new();
        deadlines.set(7, Some(Instant::from_nanos(10)));
        deadlines.set(7, Some(Instant::from_nanos(30)));
        deadlines.set(8, Some(Instant::from_nanos(20)));
        assert_eq!(deadlines.next(), Some(Instant::from_nanos(20)));
        assert_eq!(deadlines.pop_due(Instant::from_nanos(10)), None);
        assert_eq!(deadlines.pop_due(Instant::from_nanos(30)), Some(8));
        deadlines.set(7, None);
        assert_eq!(deadlines.pop_due(Instant::from_nanos(99)), None);
    }
}
