//! `portkeeper bench false-verdicts`: healthy instances on a machine that has no time for them.
//!
//! A node with the default settings, three instances with calls whose callers key digits, and
//! threads that burn every core, or more threads than there are cores. Nothing is wrong with any
//! instance, so every verdict is false. How near the detector came to one is told by the longest
//! silence of an instance, beside `hang_after`; its floor is the longest silence of a bare echo
//! between two threads that is asked as often.

#![expect(clippy::disallowed_methods, reason = "a thread burns time")]

mod floor;

use std::io;
use std::num::NonZero;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;
use serde_json::Value;

use super::media::load::Surroundings;
use crate::admin::{Format, Request};
use crate::driver::clock;
use crate::sim::pbx::LineId;
use crate::stage::cast::{Cast, Troupe};
use crate::stage::node::pause;
use crate::timers::Duration;
use floor::Echo;

const INSTANCES: usize = 3;
const CALLS: u32 = 12;

/// Between two looks, and two keys of a caller.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What to measure.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How long.
    pub seconds: u64,
    /// Threads that burn; `None`: one for each core.
    pub hogs: Option<usize>,
    /// Print JSON.
    pub json: bool,
}

/// What came out. The names are those of the JSON.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// How long.
    pub seconds: u64,
    /// Threads that burned.
    pub hogs: usize,
    /// Healthy instances.
    pub instances: usize,
    /// Calls that they had.
    pub calls: u32,
    /// Calls that were taken from one of them, and instances seen as hung.
    pub false_verdicts: u64,
    /// Times that an instance was seen as suspect: it got no new calls for a moment.
    pub suspects_seen: usize,
    /// The longest silence of an instance.
    pub longest_pong_gap_ms: f64,
    /// The longest silence of a bare echo.
    pub floor_longest_gap_ms: f64,
    /// One over the other.
    pub gap_over_floor: f64,
    /// The silence that means a hang, the largest of the instances.
    pub hang_after_ms: f64,
    /// Scheduling class of the media workers; the control thread has the default one.
    pub scheduling: String,
    /// Cores that other processes kept busy besides.
    pub other_cpu_cores: f64,
}

/// Measures and prints.
pub fn run(options: Options) -> io::Result<Report> {
    let report = super::in_directory(|directory| measure(options, directory))?;
    super::print(&report, options.json, Report::text)?;
    Ok(report)
}

fn measure(options: Options, directory: &Path) -> io::Result<Report> {
    let cast = Cast { ports: CALLS, directory: directory.to_owned() };
    let mut troupe = cast.start()?;
    for _ in 0..INSTANCES {
        troupe.add_instance()?;
    }
    let lines = troupe.call(CALLS, 0)?;
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    let hogs = Hogs::start(options.hogs.unwrap_or(cores))?;
    let echo = Echo::start()?;
    let surroundings = Surroundings::begin(&troupe.pids());
    let mut seen = Seen::default();
    let until = clock::now() + Duration::from_secs(options.seconds);
    while clock::now() < until {
        look(&troupe, &lines, &mut seen)?;
    }
    let status = troupe.status()?;
    let other_cpu_cores = surroundings.other_cores(&troupe.pids());
    let floor_longest_gap_ms = echo.finish()?.as_secs_f64() * 1e3;
    let report = Report {
        seconds: options.seconds,
        hogs: hogs.count,
        instances: INSTANCES,
        calls: CALLS,
        false_verdicts: taken(&status) + seen.hung,
        suspects_seen: seen.suspects,
        longest_pong_gap_ms: seen.longest_gap_ms,
        floor_longest_gap_ms,
        gap_over_floor: seen.longest_gap_ms / floor_longest_gap_ms,
        hang_after_ms: seen.hang_after_ms,
        scheduling: status["media"]["scheduling"].as_str().unwrap_or("unknown").to_owned(),
        other_cpu_cores,
    };
    drop(hogs);
    troupe.node.stop()?;
    Ok(report)
}

/// What the looks at the instances showed.
#[derive(Debug, Default)]
struct Seen {
    hung: u64,
    suspects: usize,
    longest_gap_ms: f64,
    hang_after_ms: f64,
}

impl Seen {
    fn add(&mut self, instance: &Value) {
        let number = |key: &str| instance["pong"][key].as_f64().unwrap_or_default();
        self.hung += u64::from(instance["health"] == "hung");
        self.suspects += usize::from(instance["health"] == "suspect");
        self.longest_gap_ms = self.longest_gap_ms.max(number("longest_gap_ms"));
        self.hang_after_ms = self.hang_after_ms.max(number("hang_after_ms"));
    }
}

fn look(troupe: &Troupe, lines: &[LineId], seen: &mut Seen) -> io::Result<()> {
    for &line in lines {
        troupe.press(line, "5");
    }
    pause(LOOK_EVERY);
    let instances = troupe.node.ask(&Request::Instances { format: Format::Json })?;
    instances.as_array().into_iter().flatten().for_each(|instance| seen.add(instance));
    Ok(())
}

/// Calls that were taken from an instance, for whatever reason.
fn taken(status: &Value) -> u64 {
    let by_reason = status["counters"]["rebinds_total"].as_object();
    by_reason.into_iter().flatten().filter_map(|(_, count)| count.as_u64()).sum()
}

/// Threads that do nothing but burn.
struct Hogs {
    count: usize,
    stop: Arc<AtomicBool>,
}

impl Hogs {
    fn start(count: usize) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        for _ in 0..count {
            let stop = Arc::clone(&stop);
            std::thread::Builder::new().name("hog".to_owned()).spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            })?;
        }
        Ok(Self { count, stop })
    }
}

impl Drop for Hogs {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

impl Report {
    /// No healthy instance was taken for one that hangs.
    pub fn none_was_false(&self) -> bool {
        self.false_verdicts == 0
    }

    fn text(&self) -> String {
        format!(
            "{} s with {} hogs, {} instances with {} calls: {} false verdicts\n\
             longest silence {:.1} ms, a hang is {:.0} ms; seen as suspect {} times\n\
             floor: a bare echo was silent for {:.1} ms; an instance for {:.1} times that\n\
             media scheduling {}, other processes {:.2} cores\n",
            self.seconds,
            self.hogs,
            self.instances,
            self.calls,
            self.false_verdicts,
            self.longest_pong_gap_ms,
            self.hang_after_ms,
            self.suspects_seen,
            self.floor_longest_gap_ms,
            self.gap_over_floor,
            self.scheduling,
            self.other_cpu_cores,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_hung_instance_and_a_moved_call_are_verdicts_and_a_suspect_is_none() {
        let mut seen = Seen::default();
        let pong = json!({ "longest_gap_ms": 120.5, "hang_after_ms": 250.0 });
        seen.add(&json!({ "health": "suspect", "pong": pong }));
        assert_eq!((seen.hung, seen.suspects), (0, 1));
        seen.add(&json!({ "health": "hung", "pong": null }));
        assert_eq!((seen.hung, seen.longest_gap_ms, seen.hang_after_ms), (1, 120.5, 250.0));
        let status = json!({ "counters": { "rebinds_total": { "hang": 3, "no_start": 1 } } });
        assert_eq!((taken(&status), taken(&json!({}))), (4, 0));
    }

    #[test]
    fn one_false_verdict_fails_the_command() {
        let with = |false_verdicts| Report {
            seconds: 1,
            hogs: 2,
            instances: INSTANCES,
            calls: CALLS,
            false_verdicts,
            suspects_seen: 3,
            longest_pong_gap_ms: 100.0,
            floor_longest_gap_ms: 50.0,
            gap_over_floor: 2.0,
            hang_after_ms: 250.0,
            scheduling: "fifo".to_owned(),
            other_cpu_cores: 0.0,
        };
        assert!(with(0).none_was_false() && !with(1).none_was_false());
    }

    #[test]
    fn hogs_end_with_their_owner() {
        let hogs = Hogs::start(1).expect("a thread");
        let stop = Arc::clone(&hogs.stop);
        drop(hogs);
        assert!(stop.load(Ordering::Relaxed));
    }
}
