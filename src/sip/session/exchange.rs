//! Our own changes of a session: at most one re-INVITE or UPDATE is out, the rest waits.
//!
//! Two sides that change a session at once both get 491, and each waits by chance before it tries
//! again: whoever placed the call 2.1-4 s, the other 0-2 s (RFC 3261 section 14.1), so that the
//! second try of one finds the other at rest.

use rand_core::RngCore;

use crate::ids::Rng;
use crate::timers::{Duration, Instant};

/// What we want of the far end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Change {
    /// Prove that the session lives (RFC 4028).
    Refresh,
    /// Hold (`true`) or resume.
    Hold(bool),
    /// Tell the far end that the call goes on at this node.
    TakeOver,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing under way.
    Idle,
    /// Sent, not answered.
    Out { change: Change },
    /// Refused for the moment.
    Waiting { change: Change, retry_at: Instant },
}

/// The change under way and the one that waits behind it.
#[derive(Clone, Debug)]
pub(crate) struct Exchange {
    state: State,
    /// The last wish wins: a resume that overtakes a hold replaces it.
    next: Option<Change>,
}

impl Exchange {
    pub(crate) const fn new() -> Self {
        Self { state: State::Idle, next: None }
    }

    /// Wishes for a change; [`Exchange::take`] says when it may leave.
    pub(crate) fn want(&mut self, change: Change) {
        // The others refresh as well, so they are never replaced by a refresh.
        if change >= Change::Hold(false) || self.next.is_none() {
            self.next = Some(change);
        }
    }

    /// The change that shall leave.
    pub(crate) fn take(&mut self, now: Instant) -> Option<Change> {
        let change = match self.state {
            State::Out { .. } => return None,
            State::Waiting { retry_at, .. } if now < retry_at => return None,
            State::Waiting { change, .. } => self.after_wait(change),
            State::Idle => self.next.take()?,
        };
        self.state = State::Out { change };
        Some(change)
    }

    /// What leaves after a wait: the last wish, but for a refresh, which every change is, and for
    /// what must follow a take-over.
    fn after_wait(&mut self, change: Change) -> Change {
        match (change, self.next.take()) {
            (Change::TakeOver, Some(next @ Change::Hold(_))) => {
                self.next = Some(next);
                change
            }
            (_, Some(Change::Refresh) | None) => change,
            (_, Some(next)) => next,
        }
    }

    /// It was answered, well or badly; returns what it was.
    pub(crate) fn done(&mut self) -> Option<Change> {
        let change = self.under_way();
        self.state = State::Idle;
        change
    }

    /// 491: both sides at once.
    pub(crate) fn glare(&mut self, now: Instant, placed_by_us: bool, rng: &mut Rng) {
        let tens = if placed_by_us { 210 + rng.next_u32() % 191 } else { rng.next_u32() % 201 };
        self.retry(now + Duration::from_millis(10) * tens);
    }

    /// Refused until `retry_at`.
    pub(crate) fn retry(&mut self, retry_at: Instant) {
        if let State::Out { change } = self.state {
            self.state = State::Waiting { change, retry_at };
        }
    }

    /// The change that is out.
    pub(crate) const fn under_way(&self) -> Option<Change> {
        match self.state {
            State::Out { change } => Some(change),
            State::Idle | State::Waiting { .. } => None,
        }
    }

    pub(crate) const fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Waiting { retry_at, .. } => Some(retry_at),
            State::Idle | State::Out { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use rand_core::SeedableRng;

    use super::*;

    #[test]
    fn one_change_is_out_and_the_last_wish_follows() {
        let mut exchange = Exchange::new();
        exchange.want(Change::Hold(true));
        assert_eq!(exchange.take(Instant::ZERO), Some(Change::Hold(true)));
        exchange.want(Change::Hold(false));
        exchange.want(Change::Refresh);
        assert_eq!(exchange.take(Instant::ZERO), None);
        assert_eq!(exchange.done(), Some(Change::Hold(true)));
        assert_eq!(exchange.take(Instant::ZERO), Some(Change::Hold(false)));
    }

    #[test]
    fn glare_waits_longer_on_the_side_that_placed_the_call() {
        let mut rng = Rng::seed_from_u64(7);
        for _ in 0..200 {
            for (ours, from, to) in [(true, 2100, 4000), (false, 0, 2000)] {
                let mut exchange = Exchange::new();
                exchange.want(Change::Refresh);
                exchange.take(Instant::ZERO);
                exchange.glare(Instant::ZERO, ours, &mut rng);
                let wait = exchange.poll_timeout().expect("retry").as_nanos() / 1_000_000;
                assert!((from..=to).contains(&wait), "{ours} {wait}");
            }
        }
    }

    #[test]
    fn a_change_that_waits_is_not_replaced_by_a_refresh_that_falls_due() {
        let mut exchange = Exchange::new();
        exchange.want(Change::Hold(true));
        exchange.take(Instant::ZERO);
        exchange.retry(Instant::ZERO);
        exchange.want(Change::Refresh);
        assert_eq!(exchange.take(Instant::ZERO), Some(Change::Hold(true)));
        exchange.done();
        assert_eq!(exchange.take(Instant::ZERO), None, "it refreshed as well");
    }

    #[test]
    fn a_take_over_that_waits_leaves_before_the_hold_that_was_wished_for_meanwhile() {
        let mut exchange = Exchange::new();
        exchange.want(Change::TakeOver);
        exchange.take(Instant::ZERO);
        exchange.want(Change::Hold(true));
        exchange.retry(Instant::ZERO);
        assert_eq!(exchange.take(Instant::ZERO), Some(Change::TakeOver));
        exchange.done();
        assert_eq!(exchange.take(Instant::ZERO), Some(Change::Hold(true)));
    }
}
