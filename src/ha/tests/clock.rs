//! A node's own clock: it runs at its own rate, and stands still while its machine is paused.

use crate::timers::{Duration, Instant};

/// Real time is microseconds of the world.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    real: u64,
    local: Instant,
    /// Parts in a million: 1,000,000 is a clock that is right.
    rate: u64,
    paused: bool,
}

impl Clock {
    pub fn new(offset: Duration, rate: u64) -> Self {
        Self { real: 0, local: Instant::ZERO + offset, rate, paused: false }
    }

    pub fn local(&self, real: u64) -> Instant {
        let passed = if self.paused { 0 } else { real - self.real };
        self.local + Duration::from_nanos(passed * self.rate / 1_000)
    }

    /// When this clock will show `local`; never while it stands still.
    pub fn real(&self, local: Instant) -> Option<u64> {
        let ahead = local.saturating_duration_since(self.local).as_nanos();
        let ahead = u64::try_from(ahead).ok()?.checked_mul(1_000)?.div_ceil(self.rate);
        (!self.paused).then_some(self.real + ahead)
    }

    pub fn pause(&mut self, real: u64, paused: bool) {
        self.local = self.local(real);
        self.real = real;
        self.paused = paused;
    }

    pub const fn is_paused(&self) -> bool {
        self.paused
    }
}
