//! `portkeeper bench port-switch`: what it takes to move all calls from an instance that hangs or
//! dies to another one.
//!
//! Everything is real: a node, its ports at a PBX emulator, callers, and one instance that has all
//! the calls while a fresh one stands by. In each run the owner is frozen, the fresh one takes the
//! calls, a third one stands by, and the owner is killed. Each call is one sample. The instants
//! are the node's own (`portkeeper rebinds`) but the first, which is taken before the signal is
//! sent; all are of the boot-time clock.
//!
//! Callers key digits across each signal, and are counted for what the instances acknowledged in
//! the end. Late packets are counted by the kernel's receive time in the 200 ms after a verdict,
//! and in as long a time with the same keys and no switch, so that what neighbours on the machine
//! do to both is taken off. Bare real-time threads that do nothing but sleep, one on each core,
//! tell when the machine woke nobody; one such stall makes all packets of a tick late, those of a
//! quarter of the ports. Late packets outside of stalls are the node's own; those within are most
//! likely the machine's. Without a real-time class the threads tell nothing, and both are unknown.
//!
//! Beside the detection of a crash stands its floor: the time until the end of a bare connection is
//! seen when the bare process behind it is killed.

#![expect(clippy::print_stderr, reason = "a command")]

mod floor;
mod sleepers;
#[cfg(test)]
mod tests;

use std::io;
use std::path::Path;

use serde::Serialize;
use serde_json::Value;

use super::media::load::Surroundings;
use crate::admin::distribution;
use crate::driver::clock;
use crate::sim::pbx::LineId;
use crate::stage::cast::{Cast, Switch, Troupe, until};
use crate::stage::figures::{Digits, Durations, late_in};
use crate::stage::node::pause;
use crate::stage::pbx::{Command, LineState, Report as PbxReport};
use crate::timers::{Duration, Instant};
use sleepers::{Sleepers, Stall};

/// An instance that has just connected shows that it answers pings.
const SETTLE: Duration = Duration::from_millis(300);

/// Keys are on their way when the signal comes.
const KEYS_BEFORE: Duration = Duration::from_millis(100);

/// Nobody asks the node anything while it switches.
const SWITCHES_WITHIN: Duration = Duration::from_millis(700);

/// Packets of so long after a verdict count.
const WINDOW: Duration = Duration::from_millis(200);

/// What to measure.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Ports, each with a call.
    pub ports: u32,
    /// Hangs, and as many crashes.
    pub runs: u32,
    /// Print JSON.
    pub json: bool,
}

/// What came out. The names are those of the JSON.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Ports, each with a call.
    pub ports: u32,
    /// Hangs, and as many crashes.
    pub runs: u32,
    /// Durations of the hangs.
    pub hang: Value,
    /// Durations of the crashes.
    pub crash: Value,
    /// Late packets after switches, less those in windows without one.
    pub rtp_late_over_5ms: i64,
    /// Late packets after switches, and in windows without one.
    pub rtp_late: [usize; 2],
    /// Those of them that no stall of the machine explains; `None`: not known, for want of a
    /// real-time class.
    pub rtp_late_without_stall: Option<[usize; 2]>,
    /// Late wake-ups of bare real-time threads after switches, and in windows without one.
    pub floor_late_wakes: Option<[usize; 2]>,
    /// Packets that never came, in all.
    pub rtp_skipped: u64,
    /// Calls that did not live to see the end.
    pub calls_lost: usize,
    /// Keys that no instance took.
    pub digits_lost: usize,
    /// Keys that were taken twice.
    pub digits_doubled: usize,
    /// Keys in all.
    pub digits_sent: usize,
    /// Calls that were taken from an instance that was well.
    pub false_verdicts: usize,
    /// Signal -> end of the connection seen, for a bare process.
    pub floor_crash_detect_ms: Value,
    /// Median detection of a crash over its floor.
    pub crash_detect_over_floor: f64,
    /// Scheduling class of the media workers.
    pub scheduling: String,
    /// Cores that other processes kept busy meanwhile.
    pub other_cpu_cores: f64,
}

/// Measures and prints.
pub fn run(options: Options) -> io::Result<Report> {
    let report = super::in_directory(|directory| measure(options, directory))?;
    super::print(&report, options.json, Report::text)?;
    Ok(report)
}

/// How the owner of the calls fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Hang,
    Crash,
}

/// What is gathered on the way.
#[derive(Debug, Default)]
struct Found {
    hang: Durations,
    crash: Durations,
    floor: Vec<Duration>,
    switched: Vec<Instant>,
    calm: Vec<Instant>,
    /// `None`: nobody could tell.
    stalls: Option<Vec<Stall>>,
    false_verdicts: usize,
}

fn measure(options: Options, directory: &Path) -> io::Result<Report> {
    let cast = Cast { ports: options.ports.max(1), directory: directory.to_owned() };
    let mut troupe = cast.start()?;
    let mut owner = troupe.add_instance()?;
    let lines = troupe.call(cast.ports, 0)?;
    let surroundings = Surroundings::begin(&troupe.pids());
    let mut found = Found::default();
    let sleepers = Sleepers::start()?;
    for run in 1..=options.runs {
        for fault in [Fault::Hang, Fault::Crash] {
            owner = switch(&mut troupe, &lines, owner, fault, &mut found)?;
        }
        found.floor.push(floor::kill_to_end()?);
        if !options.json {
            eprint!("\r{run} of {} runs", options.runs);
        }
    }
    pause(SWITCHES_WITHIN);
    found.stalls = sleepers.finish();
    let other_cpu_cores = surroundings.other_cores(&troupe.pids());
    let report = troupe.report();
    let digits = count_digits(&mut troupe, &report)?;
    let status = troupe.status()?;
    end(&troupe, &lines)?;
    troupe.node.stop()?;
    let scheduling = status["media"]["scheduling"].as_str().unwrap_or("unknown").to_owned();
    Ok(found.report(options, &report, digits, scheduling, other_cpu_cores))
}

/// One fault, and after it the same keys without one. Returns who has the calls.
fn switch(
    troupe: &mut Troupe,
    lines: &[LineId],
    owner: usize,
    fault: Fault,
    found: &mut Found,
) -> io::Result<usize> {
    let began = clock::now();
    let standby = troupe.add_instance()?;
    pause(SETTLE);
    press(troupe, lines, "47");
    pause(KEYS_BEFORE);
    let Some(mut failing) = troupe.crew.instances.remove(&owner) else {
        return Err(io::Error::other("the owner of the calls is gone"));
    };
    let at = match fault {
        Fault::Hang => failing.freeze()?,
        Fault::Crash => failing.kill()?,
    };
    pause(SWITCHES_WITHIN);
    let switches = troupe.wait_for_switches(at, lines.len())?;
    found.add(fault, at, &switches);
    press(troupe, lines, "47");
    pause(KEYS_BEFORE);
    found.calm.push(clock::now());
    pause(SWITCHES_WITHIN);
    // A hung instance dies of its next signal; it has no calls any more.
    drop(failing);
    let name = format!("i{}", owner + 1);
    let is_false = |s: &&Switch| s.verdict_at_ns < at || s.from.as_ref() != Some(&name);
    found.false_verdicts += troupe.switches_since(began)?.iter().filter(is_false).count();
    Ok(standby)
}

fn press(troupe: &Troupe, lines: &[LineId], keys: &str) {
    for &line in lines {
        troupe.press(line, keys);
    }
}

fn count_digits(troupe: &mut Troupe, report: &PbxReport) -> io::Result<Digits> {
    let calls = troupe.calls()?;
    let taken = troupe.digits();
    let mut sum = Digits::default();
    for line in report.lines.values() {
        let call = calls.iter().find(|call| call["extension"] == line.extension);
        let name = call.and_then(|call| call["call"].as_str()).unwrap_or_default();
        let received = taken.get(name).map_or("", String::as_str);
        sum = sum.plus(Digits::compare(&line.pressed, received));
    }
    Ok(sum)
}

fn end(troupe: &Troupe, lines: &[LineId]) -> io::Result<()> {
    for &line in lines {
        troupe.pbx.command(Command::HangUp { line });
    }
    until("every call has ended", || Ok(troupe.calls()?.is_empty()))
}

impl Found {
    fn add(&mut self, fault: Fault, at: Instant, switches: &[Switch]) {
        match fault {
            Fault::Hang => self.hang.add(at, switches),
            Fault::Crash => self.crash.add(at, switches),
        }
        self.switched.extend(switches.iter().map(|switch| switch.verdict_at_ns).min());
    }

    fn report(
        self,
        options: Options,
        pbx: &PbxReport,
        digits: Digits,
        scheduling: String,
        other_cpu_cores: f64,
    ) -> Report {
        let late = [late(pbx, &self.switched), late(pbx, &self.calm)];
        let stalls = self.stalls.as_deref();
        let unexplained = |stalls: &[Stall], arrivals: &[Instant]| {
            let is_explained = |at| stalls.iter().any(|stall| stall.explains(at));
            arrivals.iter().filter(|at| !is_explained(**at)).count()
        };
        let rtp_late_without_stall =
            stalls.map(|s| [unexplained(s, &late[0]), unexplained(s, &late[1])]);
        let late = [late[0].len(), late[1].len()];
        let wakes = |s, windows: &[Instant]| sleepers::within(s, windows, WINDOW);
        let lines = pbx.lines.values();
        Report {
            ports: options.ports,
            runs: options.runs,
            hang: self.hang.json(),
            crash: self.crash.json(),
            rtp_late_over_5ms: late[0] as i64 - late[1] as i64,
            rtp_late: late,
            rtp_late_without_stall,
            floor_late_wakes: stalls.map(|s| [wakes(s, &self.switched), wakes(s, &self.calm)]),
            rtp_skipped: lines.clone().map(|line| line.heard.skipped).sum(),
            calls_lost: lines.filter(|line| line.state != LineState::Up).count(),
            digits_lost: digits.lost,
            digits_doubled: digits.doubled,
            digits_sent: digits.sent,
            false_verdicts: self.false_verdicts,
            crash_detect_over_floor: median(&self.crash.detect) / median(&self.floor),
            floor_crash_detect_ms: distribution(&self.floor),
            scheduling,
            other_cpu_cores,
        }
    }
}

/// Late packets of all callers in the windows that begin at these instants.
fn late(pbx: &PbxReport, windows: &[Instant]) -> Vec<Instant> {
    let of_line = |arrivals: &[Instant]| -> Vec<Instant> {
        windows.iter().flat_map(|&from| late_in(arrivals, from, from + WINDOW)).collect()
    };
    pbx.lines.values().flat_map(|line| of_line(&line.arrivals)).collect()
}

fn median(durations: &[Duration]) -> f64 {
    let mut sorted = durations.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).map_or(0.0, Duration::as_secs_f64)
}

impl Report {
    /// Every call and every key came through, each key once, and no verdict was false.
    pub fn nothing_lost(&self) -> bool {
        (self.calls_lost, self.digits_lost, self.digits_doubled) == (0, 0, 0)
            && self.false_verdicts == 0
    }

    fn text(&self) -> String {
        let pair = |counts: Option<[usize; 2]>| match counts {
            Some([switched, calm]) => format!("{switched} and {calm}"),
            None => "unknown, no real-time class".to_owned(),
        };
        let row = |name: &str, of: &Value, key: &str| {
            let number = |what: &str| of[key][what].as_f64().unwrap_or(f64::NAN);
            let (p50, p99, max) = (number("p50"), number("p99"), number("max"));
            let what = key.trim_end_matches("_ms");
            format!("{name:6} {what:7} {p50:9.3} {p99:9.3} {max:9.3}\n")
        };
        let mut text = format!(
            "\r{} calls, {} hangs, {} crashes; media scheduling {}, other processes {:.2} cores\n\
             in ms              p50       p99       max\n",
            self.ports, self.runs, self.runs, self.scheduling, self.other_cpu_cores,
        );
        for (name, of) in [("hang", &self.hang), ("crash", &self.crash)] {
            for key in ["detect_ms", "decide_ms", "claim_ms", "total_ms"] {
                text += &row(name, of, key);
            }
        }
        let floor = self.floor_crash_detect_ms["p50"].as_f64().unwrap_or(f64::NAN);
        text += &format!(
            "floor: the end of a bare killed process is seen after {floor:.3} ms; a crash takes \
             {:.1} times that\n\
             late packets after switches: {}, in windows without: {}; skipped: {}\n\
             of these outside of stalls of the machine: {}\n\
             floor: late wake-ups of bare real-time threads in the same windows: {}\n\
             calls lost: {}; digits: {} sent, {} lost, {} doubled; false verdicts: {}\n",
            self.crash_detect_over_floor,
            self.rtp_late[0],
            self.rtp_late[1],
            self.rtp_skipped,
            pair(self.rtp_late_without_stall),
            pair(self.floor_late_wakes),
            self.calls_lost,
            self.digits_sent,
            self.digits_lost,
            self.digits_doubled,
            self.false_verdicts,
        );
        text
    }
}
