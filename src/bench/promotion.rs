//! `portkeeper bench promotion`: what it takes until the other node has ports and calls.
//!
//! Everything is real: two nodes and a witness as processes with TLS between them, a PBX emulator,
//! callers that hear a tone whose pitch tells where in the prompt they are, and IVR instances at
//! both nodes. In each run the primary is lost in one way: all of its processes are frozen, as a
//! host that is gone (it says nothing and closes nothing); or the process that does the work is
//! killed and its supervisor lives; or somebody asks for a switchover. Then it comes back as a
//! backup, and the next run goes the other way.
//!
//! One more caller dials from the first moment on, and again after 50 ms without an answer. A port
//! that refuses is passed over at once for the next free one, as a hunt group does; a call counts
//! as refused when all of them did. The first one whom the new primary answers ends
//! `first_new_call_ms`. Every instant is of the boot-time clock: the signal or the request, what
//! the PBX emulator notes, and the kernel's receive times of packets. Keys are pressed before the
//! loss and after it, in a switchover also across it.

#![expect(clippy::print_stderr, reason = "a command")]

mod run;
#[cfg(test)]
mod tests;

use std::io;
use std::path::Path;

use serde::Serialize;
use serde_json::Value;

use super::media::load::{self, Surroundings};
use crate::admin::distribution;
use crate::driver::clock;
use crate::stage::figures::Digits;
use crate::stage::trio::{Cast, Trio};
use crate::timers::{Duration, Instant};

/// How the primary is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// A switchover.
    Planned,
    /// All processes of its host are frozen.
    Host,
    /// SIGKILL to the process of the node; its host lives.
    Process,
}

/// What to measure.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Voice ports. One more is made where each would have a call: for the new one.
    pub ports: u32,
    /// Calls that are up.
    pub calls: u32,
    /// Promotions.
    pub runs: u32,
    /// How the primary is lost.
    pub loss: Loss,
    /// Registrations that a node may begin in a second; 0: no pacing.
    pub rate: u32,
    /// Print JSON.
    pub json: bool,
}

/// What came out. The names are those of the JSON.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Voice ports.
    pub ports: u32,
    /// Calls that were up.
    pub calls: u32,
    /// Promotions.
    pub runs: u32,
    /// By a switchover.
    pub planned: bool,
    /// How it was lost: `planned`, `host`, `process`.
    pub loss: &'static str,
    /// Registrations a second; 0: no pacing.
    pub register_rate: u32,
    /// How live calls were taken over.
    pub takeover: &'static str,
    /// Loss -> the other node acts.
    pub detect_ms: Value,
    /// Loss -> the last port is bound to the other node.
    pub registered_ms: Value,
    /// Loss -> a new call is answered there.
    pub first_new_call_ms: Value,
    /// The longest silence of each call.
    pub audio_gap_ms: Value,
    /// How far off the prompt goes on from where it would be by then had nothing happened.
    pub playback_offset_error_ms: Value,
    /// Calls that did not live to see the end.
    pub calls_lost: usize,
    /// New calls that were refused.
    pub calls_refused: usize,
    /// Keys that no instance took.
    pub digits_lost: usize,
    /// Keys that were taken twice.
    pub digits_doubled: usize,
    /// Keys in all.
    pub digits_sent: usize,
    /// Scheduling class of the bench itself; nodes print theirs in their status.
    pub scheduling: String,
    /// Cores that other processes kept busy meanwhile.
    pub other_cpu_cores: f64,
}

/// What is gathered on the way.
#[derive(Clone, Debug, Default)]
pub struct Found {
    detect: Vec<Duration>,
    registered: Vec<Duration>,
    first_new_call: Vec<Duration>,
    gaps: Vec<Duration>,
    offsets: Vec<Duration>,
    calls_lost: usize,
    calls_refused: usize,
    digits: Digits,
}

/// Measures and prints.
pub fn run(options: Options) -> io::Result<Report> {
    let report = super::in_directory(|directory| measure(options, directory))?;
    super::print(&report, options.json, Report::text)?;
    Ok(report)
}

fn measure(options: Options, directory: &Path) -> io::Result<Report> {
    let ports = options.ports.max(options.calls + 1);
    let cast = Cast {
        ports,
        register_rate: options.rate,
        promotion: "auto",
        directory: directory.to_owned(),
    };
    let mut trio = cast.start()?;
    let surroundings = Surroundings::begin(&trio.pids());
    let mut found = Found::default();
    for n in 1..=options.runs {
        run::once(&mut trio, options, &mut found)?;
        if !options.json {
            eprint!("\r{n} of {} runs", options.runs);
        }
    }
    Ok(found.report(options, &surroundings, &trio))
}

impl Loss {
    /// Its name in the JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Host => "host",
            Self::Process => "process",
        }
    }

    /// Lets it happen. Returns when.
    fn happen(self, trio: &mut Trio, primary: usize) -> io::Result<Instant> {
        match self {
            Self::Planned => {
                let at = clock::now();
                trio.switch_over(primary)?;
                Ok(at)
            }
            Self::Host => trio.sites[primary].node.freeze(),
            Self::Process => trio.sites[primary].node.kill_worker(),
        }
    }
}

impl Found {
    fn report(self, options: Options, surroundings: &Surroundings, trio: &Trio) -> Report {
        Report {
            ports: options.ports,
            calls: options.calls,
            runs: options.runs,
            planned: options.loss == Loss::Planned,
            loss: options.loss.name(),
            register_rate: options.rate,
            takeover: "reinvite",
            detect_ms: distribution(&self.detect),
            registered_ms: distribution(&self.registered),
            first_new_call_ms: distribution(&self.first_new_call),
            audio_gap_ms: distribution(&self.gaps),
            playback_offset_error_ms: distribution(&self.offsets),
            calls_lost: self.calls_lost,
            calls_refused: self.calls_refused,
            digits_lost: self.digits.lost,
            digits_doubled: self.digits.doubled,
            digits_sent: self.digits.sent,
            scheduling: load::scheduling(),
            other_cpu_cores: surroundings.other_cores(&trio.pids()),
        }
    }
}

impl Report {
    /// Every call and every key came through, each key once.
    pub fn nothing_lost(&self) -> bool {
        (self.calls_lost, self.digits_lost, self.digits_doubled) == (0, 0, 0)
    }

    fn text(&self) -> String {
        let row = |name: &str, of: &Value| {
            let number = |what: &str| of[what].as_f64().unwrap_or(f64::NAN);
            let (p50, p99, max) = (number("p50"), number("p99"), number("max"));
            format!("{name:24} {p50:9.3} {p99:9.3} {max:9.3}\n")
        };
        let pace = match self.register_rate {
            0 => "no pacing".to_owned(),
            rate => format!("{rate} REGISTERs a second"),
        };
        let mut text = format!(
            "\r{} ports, {} calls, {} promotions; lost: {}; {pace}; {}, others {:.2} cores\n\
             in ms                          p50       p99       max\n",
            self.ports, self.calls, self.runs, self.loss, self.scheduling, self.other_cpu_cores,
        );
        text += &row("the other node acts", &self.detect_ms);
        text += &row("every port registered", &self.registered_ms);
        text += &row("first new call answered", &self.first_new_call_ms);
        text += &row("audio gap of a call", &self.audio_gap_ms);
        text += &row("off in the prompt", &self.playback_offset_error_ms);
        text += &format!(
            "calls lost: {}; new calls refused: {}; digits: {} sent, {} lost, {} doubled\n",
            self.calls_lost,
            self.calls_refused,
            self.digits_sent,
            self.digits_lost,
            self.digits_doubled,
        );
        text
    }
}
