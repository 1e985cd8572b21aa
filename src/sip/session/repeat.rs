//! A response that is sent again until the far end confirms it: a 2xx to INVITE until its ACK
//! (RFC 3261 section 13.3.1.4), a reliable 1xx until its PRACK (RFC 3262 section 3).
//!
//! Both repeat over reliable transports too, for the next hop may be an unreliable one. The pause
//! of a 2xx ends at T2; that of a 1xx doubles on.

use crate::sip::transaction::{T1, T1_X64, T2};
use crate::timers::{Duration, Instant};

/// What a deadline asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// Nothing yet.
    Early,
    /// Send it again.
    Again,
    /// Nobody confirmed for 64*T1.
    GaveUp,
}

/// The rhythm of one response.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Repeat {
    at: Instant,
    pause: Duration,
    pause_max: Duration,
    give_up_at: Instant,
}

impl Repeat {
    /// A 2xx was sent.
    pub(crate) fn success(now: Instant) -> Self {
        Self { at: now + T1, pause: T1, pause_max: T2, give_up_at: now + T1_X64 }
    }

    /// A reliable 1xx was sent.
    pub(crate) fn provisional(now: Instant) -> Self {
        Self { pause_max: T1_X64, ..Self::success(now) }
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Due {
        if now >= self.give_up_at {
            return Due::GaveUp;
        }
        if now < self.at {
            return Due::Early;
        }
        self.pause = (self.pause * 2).min(self.pause_max);
        self.at = now + self.pause;
        Due::Again
    }

    pub(crate) fn poll_timeout(&self) -> Instant {
        self.at.min(self.give_up_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(mut repeat: Repeat) -> Vec<u64> {
        let mut times = vec![];
        loop {
            let now = repeat.poll_timeout();
            times.push(now.as_nanos() / 1_000_000);
            if repeat.handle_timeout(now) == Due::GaveUp {
                return times;
            }
        }
    }

    #[test]
    fn a_success_doubles_up_to_t2_and_a_provisional_doubles_on() {
        let success = [500, 1500, 3500, 7500, 11500, 15500, 19500, 23500, 27500, 31500, 32000];
        assert_eq!(series(Repeat::success(Instant::ZERO)), success);
        let provisional = [500, 1500, 3500, 7500, 15500, 31500, 32000];
        assert_eq!(series(Repeat::provisional(Instant::ZERO)), provisional);
    }
}
