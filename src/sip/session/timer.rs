//! The session timer (RFC 4028): who refreshes a session, when, and when it is dead.
//!
//! The refresher acts at half the interval. The other side waits for two thirds and more of it and
//! hangs up shortly before its end, so that a call whose far end vanished does not hold a port.

use serde::{Deserialize, Serialize};

use crate::timers::{Duration, Instant};

/// Shortest interval that is kept, in seconds, whatever a far end agrees to.
pub(crate) const SHORTEST: u32 = 30;

/// Shortest pause before a refresh that failed is tried again.
const RETRY_LEAST: Duration = Duration::from_secs(2);

/// Who refreshes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refresher {
    /// This side.
    Local,
    /// The far end.
    Remote,
}

/// What the INVITE or UPDATE of the far end asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    /// `Session-Expires` and its `refresher`, as `uac` is the far end: `Remote`.
    pub(crate) expires: Option<(u32, Option<Refresher>)>,
    /// `Min-SE`.
    pub(crate) min_se: u32,
    /// `Supported: timer`.
    pub(crate) supported: bool,
}

/// What we are ready for: seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Policy {
    /// Interval that we ask for.
    pub(crate) expires: u32,
    /// Smallest interval that we accept.
    pub(crate) min_se: u32,
}

/// An agreed interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// Interval in seconds.
    pub interval: u32,
    /// The far end only where it knows of timers: the answer then carries `Require: timer`.
    pub refresher: Refresher,
}

/// The answer to a request that came with, or without, a session timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// No timer.
    None,
    /// This timer.
    Terms(Terms),
    /// 422 with this Min-SE.
    TooSmall { min_se: u32 },
}

/// Section 9: the side that answers decides.
pub(crate) fn answer(asked: Asked, policy: Policy) -> Answer {
    let peer_supports = asked.supported;
    match asked.expires {
        Some((seconds, _)) if seconds < policy.min_se && peer_supports => {
            Answer::TooSmall { min_se: policy.min_se }
        }
        Some((seconds, refresher)) => Answer::Terms(Terms {
            interval: seconds.max(policy.min_se),
            refresher: match refresher {
                Some(refresher) if peer_supports => refresher,
                None if peer_supports => Refresher::Remote,
                // Table 2: a far end without the extension cannot refresh.
                Some(_) | None => Refresher::Local,
            },
        }),
        // The far end can, and did not ask: we ask, and do the work.
        None if peer_supports => Answer::Terms(Terms {
            interval: policy.expires.max(asked.min_se),
            refresher: Refresher::Local,
        }),
        None => Answer::None,
    }
}

/// A running timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SessionTimer {
    terms: Terms,
    /// When this side refreshes; `None` while a refresh is under way, or when it is not ours.
    refresh_at: Option<Instant>,
    expires_at: Instant,
}

/// What a deadline asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// Nothing yet.
    Early,
    /// Refresh the session.
    Refresh,
    /// The session is dead: hang up.
    Expired,
}

impl SessionTimer {
    /// Starts, or starts over after a refresh.
    pub(crate) fn start(now: Instant, terms: Terms) -> Self {
        let interval = Duration::from_secs(u64::from(terms.interval));
        let refresh_at = match terms.refresher {
            Refresher::Local => Some(now + interval / 2),
            Refresher::Remote => None,
        };
        // Section 10: BYE shortly before the end, min(32 s, a third of the interval).
        let early = (interval / 3).min(Duration::from_secs(32));
        Self { terms, refresh_at, expires_at: now + (interval - early) }
    }

    /// Goes on with what another node left of it. A take-over that is told refreshes the session;
    /// for one that is not, see [`Self::refresh_again`].
    pub(crate) fn resume(now: Instant, terms: Terms, remaining: Duration) -> Self {
        Self { terms, refresh_at: None, expires_at: now + remaining }
    }

    /// The session was not refreshed. If that is up to us it is tried again in the middle of what
    /// is left of the interval: a session that nobody refreshes ends with our BYE (section 10).
    pub(crate) fn refresh_again(&mut self, now: Instant) {
        if self.terms.refresher == Refresher::Local && self.refresh_at.is_none() {
            self.refresh_at = Some(now + (self.remaining(now) / 2).max(RETRY_LEAST));
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Due {
        if now >= self.expires_at {
            return Due::Expired;
        }
        if self.refresh_at.is_some_and(|at| now >= at) {
            self.refresh_at = None;
            return Due::Refresh;
        }
        Due::Early
    }

    pub(crate) fn poll_timeout(&self) -> Instant {
        self.refresh_at.unwrap_or(self.expires_at).min(self.expires_at)
    }

    pub(crate) const fn terms(&self) -> Terms {
        self.terms
    }

    /// Time until the session is dead, for a replica.
    pub(crate) fn remaining(&self, now: Instant) -> Duration {
        self.expires_at.saturating_duration_since(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: Policy = Policy { expires: 1800, min_se: 90 };

    fn asked(expires: Option<(u32, Option<Refresher>)>, supported: bool) -> Asked {
        Asked { expires, min_se: 90, supported }
    }

    fn terms(interval: u32, refresher: Refresher) -> Answer {
        Answer::Terms(Terms { interval, refresher })
    }

    #[test]
    fn the_refresher_that_the_far_end_names_is_taken() {
        let local = asked(Some((1800, Some(Refresher::Local))), true);
        assert_eq!(answer(local, POLICY), terms(1800, Refresher::Local));
        let open = asked(Some((1800, None)), true);
        assert_eq!(answer(open, POLICY), terms(1800, Refresher::Remote));
    }

    #[test]
    fn a_far_end_without_the_extension_never_refreshes_and_never_gets_422() {
        let uac = asked(Some((60, Some(Refresher::Remote))), false);
        assert_eq!(answer(uac, POLICY), terms(90, Refresher::Local));
        assert_eq!(answer(asked(None, false), POLICY), Answer::None);
    }

    #[test]
    fn a_far_end_that_can_and_does_not_ask_gets_our_interval_above_its_minimum() {
        let cucm = Asked { expires: None, min_se: 2400, supported: true };
        assert_eq!(answer(cucm, POLICY), terms(2400, Refresher::Local));
    }

    #[test]
    fn too_small_an_interval_is_refused() {
        let brief = asked(Some((60, None)), true);
        assert_eq!(answer(brief, POLICY), Answer::TooSmall { min_se: 90 });
    }

    #[test]
    fn the_refresher_acts_at_half_time_and_the_other_side_hangs_up_before_the_end() {
        let start = |refresher| {
            let terms = Terms { interval: 90, refresher };
            SessionTimer::start(Instant::ZERO, terms)
        };
        let mut local = start(Refresher::Local);
        let at = |seconds| Instant::ZERO + Duration::from_secs(seconds);
        assert_eq!(local.poll_timeout(), at(45));
        assert_eq!(local.handle_timeout(at(45)), Due::Refresh);
        assert_eq!(local.handle_timeout(at(46)), Due::Early);
        let mut remote = start(Refresher::Remote);
        assert_eq!(remote.poll_timeout(), at(60));
        assert_eq!(remote.handle_timeout(at(60)), Due::Expired);
    }
}
