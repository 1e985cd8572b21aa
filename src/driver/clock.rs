//! The boot-time clock, the only one that the core's [`Instant`] comes from. It counts through a
//! suspend of the machine, which `CLOCK_MONOTONIC` does not.

use rustix::time::{ClockId, clock_gettime};

use crate::timers::Instant;

/// The time.
pub fn now() -> Instant {
    let time = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
    Instant::from_nanos(seconds.saturating_mul(1_000_000_000).saturating_add(nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_does_not_run_backwards() {
        let before = now();
        assert!(now() >= before && before > Instant::ZERO);
    }
}
