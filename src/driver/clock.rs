//! The boot-time clock, the only one that the core's [`Instant`] comes from. It counts through a
//! suspend of the machine, which `CLOCK_MONOTONIC` does not.

use rustix::thread::clock_nanosleep_absolute;
use rustix::time::{ClockId, Timespec, clock_gettime};

use crate::timers::Instant;

/// The time.
pub fn now() -> Instant {
    Instant::from_nanos(read(ClockId::Boottime))
}

/// Processor time of the calling thread, in nanoseconds.
pub fn thread_cpu_nanos() -> u64 {
    read(ClockId::ThreadCPUTime)
}

/// Sleeps until a moment, or until a signal comes. For threads with a schedule of their own.
pub fn sleep_until(at: Instant) {
    let nanos = at.as_nanos();
    let time = Timespec {
        tv_sec: i64::try_from(nanos / 1_000_000_000).unwrap_or(i64::MAX),
        tv_nsec: (nanos % 1_000_000_000) as i64,
    };
    // Whoever calls looks at the clock again.
    let _ = clock_nanosleep_absolute(ClockId::Boottime, &time);
}

fn read(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(nanos)
}

/// Wall time, in milliseconds since 1970, UTC. For what people and other programs read; never for
/// a deadline.
pub fn unix_ms() -> u64 {
    let time = clock_gettime(ClockId::Realtime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let millis = u64::try_from(time.tv_nsec).unwrap_or(0) / 1_000_000;
    seconds.saturating_mul(1_000).saturating_add(millis)
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
