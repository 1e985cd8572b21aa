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
use crate::driver::clock;
use crate::stage::node::pause;
use crate::stage::promotion::{Act, Figures, Loss, Outcome};
use crate::stage::trio::{Cast, Trio};
use crate::timers::Duration;

/// A host stays frozen for so long at least.
const FROZEN: Duration = Duration::from_secs(5);

/// A finished transaction is remembered for so long (64 times T1, RFC 3261 section 17.2.2).
const REMEMBERED: Duration = Duration::from_secs(32);

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
        let until = clock::now() + shortest_run(cast.ports, calls);
        once(&mut trio, calls, loss, &mut figures)?;
        pause(until.saturating_duration_since(clock::now()));
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

/// A run may not be shorter, lest the calls of many in a row meet the bound of a node's server
/// transactions, 4 for each port and 1,024. A call takes one of each node: half of them are used.
fn shortest_run(ports: u32, calls: u32) -> Duration {
    REMEMBERED * calls / ports.saturating_mul(2).saturating_add(512)
}

fn once(trio: &mut Trio, calls: u32, loss: Loss, figures: &mut Figures) -> io::Result<()> {
    let act = Act::begin(trio, calls, loss)?;
    let lost_at = act.lose(trio)?;
    act.watch(trio, lost_at, figures)?;
    if loss == Loss::Host {
        pause((lost_at + FROZEN).saturating_duration_since(clock::now()));
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_runs_use_half_of_the_transactions_of_a_node() {
        assert_eq!(shortest_run(0, 0), Duration::ZERO);
        for (ports, calls) in [(10, 4), (101, 100), (501, 500), (1_001, 1_000)] {
            let runs = REMEMBERED.as_secs_f64() / shortest_run(ports, calls).as_secs_f64();
            let used = runs * f64::from(calls);
            assert!(used <= f64::from(2 * ports + 513), "{ports} ports: {used}");
        }
    }
}
