//! Ids that were taken from an instance: they answer 404, and each use of one is counted, because
//! it shows an instance that woke up.

use std::collections::VecDeque;

use indexmap::IndexMap;

use crate::ids::CallId;
use crate::timers::{Duration, Instant};

/// How long an id is remembered as taken. Afterwards it is merely unknown, which is also a 404.
const KEPT: Duration = Duration::from_secs(600);

/// Ids remembered at most. 10 minutes of one rebind of 1,000 calls a minute with a playback each
/// fit; past it the oldest are forgotten early, and only the count of stale commands suffers.
const KEPT_MAX: usize = 20_000;

#[derive(Debug, Default)]
pub(super) struct Tombstones {
    by_id: IndexMap<String, CallId>,
    by_age: VecDeque<(Instant, String)>,
}

impl Tombstones {
    pub(super) fn bury(&mut self, now: Instant, id: String, call: CallId) {
        if self.by_age.len() >= KEPT_MAX {
            self.forget_oldest();
        }
        if self.by_id.insert(id.clone(), call).is_none() {
            self.by_age.push_back((now + KEPT, id));
        }
    }

    pub(super) fn expire(&mut self, now: Instant) {
        while self.by_age.front().is_some_and(|(until, _)| *until <= now) {
            self.forget_oldest();
        }
    }

    pub(super) fn get(&self, id: &str) -> Option<CallId> {
        self.by_id.get(id).copied()
    }

    /// When the oldest is to be forgotten.
    pub(super) fn next_expiry(&self) -> Option<Instant> {
        self.by_age.front().map(|(until, _)| *until)
    }

    fn forget_oldest(&mut self) {
        if let Some((_, id)) = self.by_age.pop_front() {
            self.by_id.swap_remove(&id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_remembered_for_ten_minutes() {
        let mut tombstones = Tombstones::default();
        tombstones.bury(Instant::ZERO, "a.1".into(), CallId(1));
        tombstones.expire(Instant::ZERO + Duration::from_secs(599));
        assert_eq!(tombstones.get("a.1"), Some(CallId(1)));
        assert_eq!(tombstones.next_expiry(), Some(Instant::ZERO + KEPT));
        tombstones.expire(Instant::ZERO + KEPT);
        assert_eq!(tombstones.get("a.1"), None);
        assert_eq!(tombstones.next_expiry(), None);
    }

    #[test]
    fn a_full_graveyard_forgets_the_oldest() {
        let mut tombstones = Tombstones::default();
        for n in 0..=KEPT_MAX {
            tombstones.bury(Instant::ZERO, n.to_string(), CallId(1));
        }
        assert_eq!((tombstones.get("0"), tombstones.by_id.len()), (None, KEPT_MAX));
        assert!(tombstones.get("1").is_some());
    }
}
