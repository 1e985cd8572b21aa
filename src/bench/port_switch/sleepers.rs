//! Bare real-time threads that sleep on a worker's ticks, one on each core: how late the machine
//! wakes anybody, whatever he does.

#![expect(clippy::disallowed_methods, reason = "a thread sleeps")]

use std::io;
use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use rustix::thread::{CpuSet, sched_setaffinity};

use crate::driver::clock;
use crate::driver::rtp_net::Scheduling;
use crate::timers::{Duration, Instant};

/// Ticks of a worker with as many ports as this bench has.
const TICK: Duration = Duration::from_millis(5);

/// What counts as late, for packets as well.
const LATE: Duration = Duration::from_millis(5);

/// The threads.
pub(super) struct Sleepers {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Vec<Instant>>>,
}

impl Sleepers {
    pub(super) fn start() -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        let threads = (0..cores).map(|core| {
            let stop = Arc::clone(&stop);
            let name = format!("sleeper-{core}");
            std::thread::Builder::new().name(name).spawn(move || sleep(core, &stop))
        });
        let threads = threads.collect::<io::Result<_>>()?;
        Ok(Self { stop, threads })
    }

    /// The ticks that somebody was late for.
    pub(super) fn finish(self) -> Vec<Instant> {
        self.stop.store(true, Ordering::Relaxed);
        let late = self.threads.into_iter().filter_map(|thread| thread.join().ok());
        let mut late: Vec<_> = late.flatten().collect();
        late.sort_unstable();
        late
    }
}

fn sleep(core: usize, stop: &AtomicBool) -> Vec<Instant> {
    let mut cores = CpuSet::new();
    cores.set(core);
    // Where it is not allowed it sleeps on any core.
    let _ = sched_setaffinity(None, &cores);
    Scheduling::raise();
    let mut late = Vec::new();
    let tick = TICK.as_nanos() as u64;
    while !stop.load(Ordering::Relaxed) {
        let at = Instant::from_nanos((clock::now().as_nanos() / tick + 1) * tick);
        clock::sleep_until(at);
        if clock::now().saturating_duration_since(at) > LATE {
            late.push(at);
        }
    }
    late
}

/// How many ticks fall into windows of this length that begin at these instants.
pub(super) fn within(ticks: &[Instant], windows: &[Instant], length: Duration) -> usize {
    let is_within = |at: &&Instant| windows.iter().any(|&from| (from..from + length).contains(*at));
    ticks.iter().filter(is_within).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_counted_within_windows_only() {
        let at = |ms: u64| Instant::from_nanos(ms * 1_000_000);
        let ticks = [at(100), at(150), at(300), at(499)];
        assert_eq!(within(&ticks, &[at(100), at(300)], Duration::from_millis(200)), 4);
        assert_eq!(within(&ticks, &[at(101)], Duration::from_millis(50)), 1);
    }

    #[test]
    fn sleepers_end_when_they_are_told() {
        let sleepers = Sleepers::start().expect("threads");
        drop(sleepers.finish());
    }
}
