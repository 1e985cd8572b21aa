//! How fast one instance answers pings, and for how long it has been silent.

use std::collections::VecDeque;

use crate::timers::{Duration, Instant};

/// Pong times that the percentile is taken of: some 20 s of pings.
const PONG_TIMES_KEPT: usize = 1_024;

/// The percentile is taken anew after so many pongs.
const PONG_TIMES_FRESH: u32 = 64;

/// How fast pongs come.
#[derive(Clone, Debug)]
pub(super) struct Pongs {
    /// Latest pong times in microseconds, a ring.
    times: VecDeque<u32>,
    since_fresh: u32,
    pub p99: Duration,
    pub p50: Duration,
    pub longest_gap: Duration,
    pub last: Instant,
    /// The node's own lateness since the last pong.
    pub grace: Duration,
}

impl Pongs {
    pub fn new(now: Instant) -> Self {
        Self {
            times: VecDeque::new(),
            since_fresh: 0,
            p99: Duration::ZERO,
            p50: Duration::ZERO,
            longest_gap: Duration::ZERO,
            last: now,
            grace: Duration::ZERO,
        }
    }

    pub fn record(&mut self, time: Duration) {
        if self.times.len() >= PONG_TIMES_KEPT {
            self.times.pop_front();
        }
        self.times.push_back(u32::try_from(time.as_micros()).unwrap_or(u32::MAX));
        self.since_fresh += 1;
        if self.since_fresh >= PONG_TIMES_FRESH || self.times.len() <= PONG_TIMES_FRESH as usize {
            self.since_fresh = 0;
            self.take_percentiles();
        }
    }

    fn take_percentiles(&mut self) {
        let mut sorted: Vec<u32> = self.times.iter().copied().collect();
        sorted.sort_unstable();
        let at = |percent: usize| {
            let place = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
            sorted.get(place).map_or(Duration::ZERO, |&us| Duration::from_micros(us.into()))
        };
        (self.p50, self.p99) = (at(50), at(99));
    }

    /// Silence that counts: that of the node itself does not.
    pub fn silence(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.last).saturating_sub(self.grace)
    }
}
