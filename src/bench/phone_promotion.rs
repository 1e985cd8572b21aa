//! `portkeeper bench phone-promotion`: how long a person with a telephone waits for the word
//! "promoted".
//!
//! Two nodes and a witness as processes, with the policy `manual`. In each run all processes of the
//! primary are frozen, as a host that is gone; an emulated person calls the control extension of
//! the witness, keys agent number and PIN, hears that no primary answers, asks for the promotion,
//! keys the three digits that were spoken, and listens. Then the frozen node wakes up and follows.
//! Meanwhile the witness calls the person on call about the primary that is gone.

#![expect(clippy::print_stderr, reason = "a command")]

use std::io;
use std::path::Path;

use serde::Serialize;
use serde_json::Value;

use super::media::load::{self, Surroundings};
use crate::admin::distribution;
use crate::sim::pbx::Event;
use crate::stage::agent::Person;
use crate::stage::cast::until;
use crate::stage::trio::{Cast, ON_CALL, Registrations, Trio, other};
use crate::timers::Duration;

/// What to measure.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Voice ports.
    pub ports: u32,
    /// Promotions.
    pub runs: u32,
    /// Print JSON.
    pub json: bool,
}

/// What came out. The names are those of the JSON.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Voice ports.
    pub ports: u32,
    /// Promotions.
    pub runs: u32,
    /// Last digit of the confirmation -> the spoken result begins.
    pub spoken_result_ms: Value,
    /// Last digit of the confirmation -> the last port is bound to the promoted node.
    pub registered_ms: Value,
    /// Freeze -> the PBX has the alert call of the witness. Its budget is 30 calls an hour.
    pub alert_call_ms: Value,
    /// Calls that ended without a promotion. The first one ends the measurement.
    pub failed: u32,
    /// Scheduling class of the bench itself.
    pub scheduling: String,
    /// Cores that other processes kept busy meanwhile.
    pub other_cpu_cores: f64,
}

#[derive(Debug, Default)]
struct Found {
    spoken: Vec<Duration>,
    registered: Vec<Duration>,
    alerted: Vec<Duration>,
}

/// Measures and prints.
pub fn run(options: Options) -> io::Result<Report> {
    let report = super::in_directory(|directory| measure(options, directory))?;
    super::print(&report, options.json, Report::text)?;
    Ok(report)
}

fn measure(options: Options, directory: &Path) -> io::Result<Report> {
    let Options { ports, runs, json } = options;
    let directory = directory.to_owned();
    let cast = Cast { ports, register_rate: 0, promotion: "manual", directory };
    let mut trio = cast.start()?;
    let person = Person::enrolled(&trio, trio.wait_for_primary()?)?;
    let surroundings = Surroundings::begin(&trio.pids());
    let (mut found, mut failed) = (Found::default(), 0);
    for n in 1..=runs {
        if let Err(error) = once(&mut trio, &person, &mut found) {
            eprintln!("\rrun {n}: {error}");
            failed = 1;
            break;
        }
        if !json {
            eprint!("\r{n} of {runs} runs");
        }
    }
    Ok(Report {
        ports,
        runs,
        spoken_result_ms: distribution(&found.spoken),
        registered_ms: distribution(&found.registered),
        alert_call_ms: distribution(&found.alerted),
        failed,
        scheduling: load::scheduling(),
        other_cpu_cores: surroundings.other_cores(&trio.pids()),
    })
}

fn once(trio: &mut Trio, person: &Person, found: &mut Found) -> io::Result<()> {
    let primary = trio.wait_for_primary()?;
    let next = other(primary);
    trio.wait_for_backup(next)?;
    trio.pbx.events.try_iter().for_each(drop);
    let frozen_at = trio.sites[primary].node.freeze()?;
    let spoken = person.promote(trio)?;
    let mut registrations = Registrations::at(trio, next);
    let mut alerted_at = None;
    until("every port is registered", || {
        for noted in trio.pbx.events.try_iter() {
            registrations.see(trio, &noted);
            if matches!(&noted.event, Event::Dialled { extension } if extension == ON_CALL) {
                alerted_at.get_or_insert(noted.at);
            }
        }
        Ok(registrations.complete_at.is_some())
    })?;
    found.alerted.extend(alerted_at.map(|at| at.saturating_duration_since(frozen_at)));
    let since = |at: crate::timers::Instant| at.saturating_duration_since(spoken.confirmed_at);
    found.spoken.push(since(spoken.spoken_at));
    found.registered.extend(registrations.complete_at.map(since));
    trio.sites[primary].node.wake()?;
    trio.wait_for_backup(primary)
}

impl Report {
    fn text(&self) -> String {
        let row = |name: &str, of: &Value| {
            let number = |what: &str| of[what].as_f64().unwrap_or(f64::NAN);
            let (p50, p99, max) = (number("p50"), number("p99"), number("max"));
            format!("{name:30} {p50:9.3} {p99:9.3} {max:9.3}\n")
        };
        let mut text = format!(
            "\r{} ports, {} promotions by telephone, {} failed; {}, others {:.2} cores\n\
             ms after the last digit              p50       p99       max\n",
            self.ports, self.runs, self.failed, self.scheduling, self.other_cpu_cores,
        );
        text += &row("\"promoted\" is heard", &self.spoken_result_ms);
        text += &row("every port registered", &self.registered_ms);
        text += "ms after the primary froze\n";
        text += &row("the person on call is dialled", &self.alert_call_ms);
        text
    }
}
