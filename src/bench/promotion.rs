//! `portkeeper bench promotion`: what it takes until the other node has ports and calls.
//!
//! Everything is real: two nodes and a witness as processes with TLS between them, a PBX emulator,
//! callers, and IVR instances at both nodes. In each run the primary is lost in one way: all of its
//! processes are frozen, as a host that is gone (it says nothing and closes nothing); or the
//! process that does the work is killed and its supervisor lives; or somebody asks for a
//! switchover. Then it comes back as a backup, and the next run goes the other way.

#![expect(clippy::print_stderr, reason = "a command")]

use std::io;
use std::path::Path;

use serde::Serialize;

use super::media::load::{self, Surroundings};
use crate::stage::promotion::{Act, Figures, Loss, Outcome};
use crate::stage::trio::{Cast, Trio};

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
    /// The promotions.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// Registrations a second; 0: no pacing.
    pub register_rate: u32,
    /// Scheduling class of the bench itself; nodes print theirs in their status.
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

fn measure(options: Options, directory: &Path) -> io::Result<Report> {
    let Options { ports, calls, runs, loss, rate, json } = options;
    let cast = Cast {
        ports: ports.max(calls + 1),
        register_rate: rate,
        promotion: "auto",
        directory: directory.to_owned(),
    };
    let mut trio = cast.start()?;
    let surroundings = Surroundings::begin(&trio.pids());
    let mut figures = Figures::default();
    for n in 1..=runs {
        once(&mut trio, calls, loss, &mut figures)?;
        if !json {
            eprint!("\r{n} of {runs} runs");
        }
    }
    figures.check_records(&trio)?;
    Ok(Report {
        outcome: figures.outcome(ports, calls, runs, loss),
        register_rate: rate,
        scheduling: load::scheduling(),
        other_cpu_cores: surroundings.other_cores(&trio.pids()),
    })
}

fn once(trio: &mut Trio, calls: u32, loss: Loss, figures: &mut Figures) -> io::Result<()> {
    let act = Act::begin(trio, calls, loss)?;
    let lost_at = act.lose(trio)?;
    act.watch(trio, lost_at, figures)?;
    act.end(trio, figures)
}

impl Report {
    fn text(&self) -> String {
        let pace = match self.register_rate {
            0 => "no pacing".to_owned(),
            rate => format!("{rate} REGISTERs a second"),
        };
        let Outcome { ports, calls, runs, loss, .. } = self.outcome;
        format!(
            "\r{ports} ports, {calls} calls, {runs} promotions; lost: {loss}; {pace}; {}, others \
             {:.2} cores\n{}",
            self.scheduling,
            self.other_cpu_cores,
            self.outcome.text(),
        )
    }
}
