//! A machine's own clock: it runs at its own rate, and stands still while its machine is paused.

use crate::timers::{Duration, Instant};

/// Parts in a million of a clock that is right.
const RIGHT: u128 = 1_000_000;

/// What a machine takes for the time.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    real: Instant,
    local: Instant,
    rate: u32,
    paused: bool,
}

impl Clock {
    /// `rate` in parts per million.
    pub const fn new(offset: Duration, rate: u32) -> Self {
        let local = Instant::from_nanos(offset.as_nanos() as u64);
        Self { real: Instant::ZERO, local, rate, paused: false }
    }

    /// What it shows.
    pub fn local(&self, real: Instant) -> Instant {
        if self.paused {
            return self.local;
        }
        let passed = real.saturating_duration_since(self.real).as_nanos();
        self.local + nanos(passed * u128::from(self.rate) / RIGHT)
    }

    /// When it will show this; never while it stands still.
    pub fn real(&self, local: Instant) -> Option<Instant> {
        let ahead = local.saturating_duration_since(self.local).as_nanos();
        let ahead = (ahead * RIGHT).div_ceil(self.rate.max(1).into());
        (!self.paused).then(|| self.real + nanos(ahead))
    }

    /// Stops it, or lets it run on.
    pub fn pause(&mut self, real: Instant, paused: bool) {
        self.local = self.local(real);
        self.real = real;
        self.paused = paused;
    }

    /// Whether it stands still.
    pub const fn is_paused(&self) -> bool {
        self.paused
    }
}

fn nanos(count: u128) -> Duration {
    Duration::from_nanos(u64::try_from(count).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_has_come_when_the_clock_is_said_to_show_it() {
        for rate in [990_000, 999_999, 1_000_000, 1_009_973] {
            let clock = Clock::new(Duration::from_secs(3), rate);
            for step in 0..1_000_u64 {
                let due = Instant::from_nanos(3_000_000_000 + step * 7_777_777);
                let real = clock.real(due).expect("it runs");
                assert!(clock.local(real) >= due, "{rate} {step}");
            }
        }
    }

    #[test]
    fn a_paused_clock_goes_on_where_it_was() {
        let at = |ms: u64| Instant::from_nanos(ms * 1_000_000);
        let mut clock = Clock::new(Duration::ZERO, 1_000_000);
        clock.pause(at(10), true);
        assert_eq!((clock.local(at(500)), clock.real(at(20))), (at(10), None));
        clock.pause(at(1_000), false);
        assert_eq!(clock.local(at(1_005)), at(15));
    }
}
