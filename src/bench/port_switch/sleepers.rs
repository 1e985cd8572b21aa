//! Bare real-time threads that sleep on a worker's ticks, one on each core: how late the machine
//! wakes anybody, whatever he does. They stand above the workers, so that what a worker computes
//! does not delay them: a packet that was due while one of them was not woken is most likely late
//! by the machine's fault. It is no proof. A kernel that does not preempt itself (`PREEMPT_NONE`)
//! finishes a worker's system call before it wakes anybody, and such a stall is the worker's own.
//!
//! Where no real-time class is to be had they tell nothing: anybody may delay them.

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

/// What counts as late. A packet counts from 5 ms on; from its worker's wake-up to its arrival it
/// is on its way for up to a millisecond, behind those of its tick.
const LATE: Duration = Duration::from_millis(4);

/// So long after the machine goes on, the packets arrive that waited for it.
const AFTERMATH: Duration = Duration::from_millis(2);

/// A time in which a core woke nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Stall {
    /// When somebody should have been woken.
    pub(super) from: Instant,
    /// When he was.
    pub(super) until: Instant,
}

impl Stall {
    /// Whether a packet that arrived late at this moment may have waited for the machine.
    pub(super) fn explains(&self, arrived: Instant) -> bool {
        (self.from..self.until + AFTERMATH).contains(&arrived)
    }
}

/// The threads.
pub(super) struct Sleepers {
    stop: Arc<AtomicBool>,
    /// `None`: the thread did not stand above the workers.
    threads: Vec<JoinHandle<Option<Vec<Stall>>>>,
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

    /// The times in which somebody was not woken; `None`: they did not stand above the workers.
    pub(super) fn finish(self) -> Option<Vec<Stall>> {
        self.stop.store(true, Ordering::Relaxed);
        let told = self.threads.into_iter().map(|thread| thread.join().ok().flatten());
        merged(told.collect::<Vec<_>>())
    }
}

/// All stalls in order, where every thread tells of its own.
fn merged(told: Vec<Option<Vec<Stall>>>) -> Option<Vec<Stall>> {
    let mut stalls = told.into_iter().collect::<Option<Vec<_>>>()?.concat();
    stalls.sort_unstable();
    Some(stalls)
}

fn sleep(core: usize, stop: &AtomicBool) -> Option<Vec<Stall>> {
    let mut cores = CpuSet::new();
    cores.set(core);
    // Where it is not allowed it sleeps on any core.
    let _ = sched_setaffinity(None, &cores);
    if !Scheduling::raise_above_workers() {
        return None;
    }
    let mut late = Vec::new();
    let tick = TICK.as_nanos() as u64;
    while !stop.load(Ordering::Relaxed) {
        let at = Instant::from_nanos((clock::now().as_nanos() / tick + 1) * tick);
        clock::sleep_until(at);
        let woken = clock::now();
        if woken.saturating_duration_since(at) > LATE {
            late.push(Stall { from: at, until: woken });
        }
    }
    Some(late)
}

/// How many of them begin in windows of this length that begin at these instants.
pub(super) fn within(stalls: &[Stall], windows: &[Instant], length: Duration) -> usize {
    let holds = |at: Instant| windows.iter().any(|&from| (from..from + length).contains(&at));
    stalls.iter().filter(|stall| holds(stall.from)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stalls_are_counted_within_windows_only() {
        let at = |ms: u64| Instant::from_nanos(ms * 1_000_000);
        let stalls = [100, 150, 300, 499].map(|ms| Stall { from: at(ms), until: at(ms + 7) });
        assert_eq!(within(&stalls, &[at(100), at(300)], Duration::from_millis(200)), 4);
        assert_eq!(within(&stalls, &[at(101)], Duration::from_millis(50)), 1);
    }

    #[test]
    fn a_stall_explains_what_arrives_until_shortly_after_it_and_nothing_else() {
        let at = |ms: u64| Instant::from_nanos(ms * 1_000_000);
        let stall = Stall { from: at(100), until: at(107) };
        let explained = [99, 100, 106, 108, 109].map(|ms| stall.explains(at(ms)));
        assert_eq!(explained, [false, true, true, true, false]);
    }

    #[test]
    fn stalls_are_unknown_when_one_thread_did_not_stand_above_the_workers() {
        let at = |ms: u64| Instant::from_nanos(ms * 1_000_000);
        let stall = |ms: u64| Stall { from: at(ms), until: at(ms + 7) };
        let both = merged(vec![Some(vec![stall(20)]), Some(vec![stall(10)])]);
        assert_eq!(both, Some(vec![stall(10), stall(20)]));
        assert_eq!(merged(vec![Some(vec![stall(20)]), None]), None);
    }

    #[test]
    fn sleepers_end_when_they_are_told() {
        let sleepers = Sleepers::start().expect("threads");
        drop(sleepers.finish());
    }
}
