//! `portkeeper bench livelock`: an instance that answers every ping and does no work.
//!
//! Its socket library lives, so no silence tells; the calls themselves do. Each call is offered to
//! the stuck instance first, gets no command within the StasisStart deadline, and moves to one that
//! works. The second such call condemns the instance, and those that wait for it move at once. All
//! is counted from the moment at which the caller's INVITE was sent.

use std::io;
use std::path::Path;

use serde::Serialize;
use serde_json::Value;

use super::media::load::Surroundings;
use crate::admin::distribution;
use crate::stage::cast::{Cast, FIRST_EXTENSION, Switch, until};
use crate::stage::pbx::{LineState, Report as PbxReport};
use crate::timers::{Duration, Instant};

/// `start_deadline` of an application, as it is when nobody sets it.
const DEADLINE: Duration = Duration::from_secs(2);

/// What to measure.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Ports, each with a call.
    pub ports: u32,
    /// Print JSON.
    pub json: bool,
}

/// What came out. The names are those of the JSON.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Ports, each with a call.
    pub ports: u32,
    /// INVITE -> the call is taken from the stuck instance.
    pub detect_ms: Value,
    /// Verdict -> StasisStart written to one that works.
    pub decide_ms: Value,
    /// INVITE -> first command of one that works.
    pub claimed_ms: Value,
    /// The longest detection over the deadline, which is its floor.
    pub detect_over_deadline: f64,
    /// Calls that were not answered in the end.
    pub calls_lost: usize,
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

fn measure(options: Options, directory: &Path) -> io::Result<Report> {
    let ports = options.ports.max(1);
    let cast = Cast { ports, directory: directory.to_owned() };
    let mut troupe = cast.start()?;
    troupe.add_stuck_instance()?;
    let surroundings = Surroundings::begin(&troupe.pids());
    let lines = troupe.place(ports, 0);
    until("every call is offered", || {
        Ok(troupe.calls()?.iter().filter(|call| call["state"] == "offered").count() == lines.len())
    })?;
    troupe.add_instance()?;
    let switches = troupe.wait_for_switches(Instant::ZERO, lines.len())?;
    troupe.wait_until_served(&lines)?;
    let other_cpu_cores = surroundings.other_cores(&troupe.pids());
    let report = troupe.report();
    let status = troupe.status()?;
    troupe.node.stop()?;
    let mut found = Report::of(ports, &switches, &report);
    found.calls_lost = report.lines.values().filter(|l| l.state != LineState::Up).count();
    found.scheduling = status["media"]["scheduling"].as_str().unwrap_or("unknown").to_owned();
    found.other_cpu_cores = other_cpu_cores;
    Ok(found)
}

impl Report {
    fn of(ports: u32, switches: &[Switch], pbx: &PbxReport) -> Self {
        let placed_at = |switch: &Switch| {
            let extension = (FIRST_EXTENSION + switch.port).to_string();
            pbx.lines.values().find(|line| line.extension == extension).map(|line| line.placed_at)
        };
        let took =
            |from: Option<Instant>, to: Option<Instant>| Some(to?.saturating_duration_since(from?));
        let all = |duration: &dyn Fn(&Switch) -> Option<Duration>| {
            switches.iter().filter_map(duration).collect::<Vec<_>>()
        };
        let detect = all(&|s| took(placed_at(s), Some(s.verdict_at_ns)));
        let decide = all(&|s| took(Some(s.verdict_at_ns), s.written_at_ns));
        let claimed = all(&|s| took(placed_at(s), s.claimed_at_ns));
        let longest = detect.iter().max().map_or(0.0, Duration::as_secs_f64);
        Self {
            ports,
            detect_ms: distribution(&detect),
            decide_ms: distribution(&decide),
            claimed_ms: distribution(&claimed),
            detect_over_deadline: longest / DEADLINE.as_secs_f64(),
            calls_lost: 0,
            scheduling: String::new(),
            other_cpu_cores: 0.0,
        }
    }

    /// Every call was answered in the end.
    pub fn nothing_lost(&self) -> bool {
        self.calls_lost == 0
    }

    fn text(&self) -> String {
        let row = |name: &str, of: &Value| {
            let number = |key: &str| of[key].as_f64().unwrap_or(f64::NAN);
            let (p50, p99, max) = (number("p50"), number("p99"), number("max"));
            format!("{name:8} {p50:9.3} {p99:9.3} {max:9.3}\n")
        };
        format!(
            "{} calls offered to an instance that pongs and does nothing; in ms, from the INVITE\n\
             {:8} {:>9} {:>9} {:>9}\n{}{}{}\
             floor: the deadline of {} s; detecting takes {:.3} times that; calls lost: {}\n\
             media scheduling {}, other processes {:.2} cores\n",
            self.ports,
            "",
            "p50",
            "p99",
            "max",
            row("detect", &self.detect_ms),
            row("decide", &self.decide_ms),
            row("claimed", &self.claimed_ms),
            DEADLINE.as_secs(),
            self.detect_over_deadline,
            self.calls_lost,
            self.scheduling,
            self.other_cpu_cores,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::pbx::LineId;
    use crate::stage::pbx::LineReport;
    use serde_json::json;

    #[test]
    fn a_claim_is_counted_from_the_invite_of_its_own_call() {
        let switch: Switch = serde_json::from_value(json!({
            "call": "1-1", "port": 3, "reason": "no_start", "from": "i1", "to": "i2",
            "verdict_at_ns": 9_000_000_000_u64, "written_at_ns": 9_001_000_000_u64,
            "claimed_at_ns": 9_003_000_000_u64, "first_media_at_ns": null,
        }))
        .expect("a switch");
        let line = |extension: &str, ms: u64| LineReport {
            extension: extension.to_owned(),
            placed_at: Instant::from_nanos(ms * 1_000_000),
            ..LineReport::default()
        };
        let lines = [(LineId(1), line("6001", 1)), (LineId(4), line("6004", 7_000))].into();
        let mut report = Report::of(1, &[switch], &PbxReport { lines, ..PbxReport::default() });
        assert_eq!(report.detect_ms["max"], 2_000.0);
        assert_eq!(report.decide_ms["max"], 1.0);
        assert_eq!(report.claimed_ms["max"], 2_003.0);
        assert!(report.text().contains("1.000 times"), "{}", report.text());
        assert!(report.nothing_lost());
        report.calls_lost = 1;
        assert!(!report.nothing_lost(), "the command has to fail");
    }
}
