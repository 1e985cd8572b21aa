//! `portkeeper bench register`: how fast a node registers all of its ports.
//!
//! A node, without pacing unless it is asked for, against a stub registrar that challenges every
//! REGISTER, checks the digest and answers at once, on a blocking socket of its own. Counted is the
//! time from the first datagram that reaches the stub to the 200 of the last port. The floor is the
//! same number of round trips with datagrams of the same size and the same window between two bare
//! threads.

mod floor;
mod stub;

use std::io;
use std::path::Path;

use serde::Serialize;

use super::media::load::{self, Surroundings};
use crate::stage::cast::FIRST_EXTENSION;
use crate::stage::node::{Node, Setting};
use crate::stage::sound;
use crate::timers::Duration;
use stub::Stub;

/// Outstanding REGISTERs of a node at most.
const WINDOW: usize = 32;

/// What to measure.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Ports that register.
    pub ports: u32,
    /// Times that a node is started.
    pub runs: u32,
    /// Registrations that the node may begin in a second; 0: no pacing.
    pub rate: u32,
    /// Print JSON.
    pub json: bool,
}

/// What came out. The names are those of the JSON.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Ports that register.
    pub ports: u32,
    /// First datagram to the last 200, median of the runs.
    pub total_ms: f64,
    /// Each run.
    pub runs_ms: Vec<f64>,
    /// The bare round trips, median of the runs.
    pub floor_ms: f64,
    /// One over the other.
    pub total_over_floor: f64,
    /// Processor time of the node's control thread in the median run, its start included.
    pub control_cpu_ms: f64,
    /// Processor time of the registrar's thread in the median run.
    pub stub_cpu_ms: f64,
    /// Registrations begun in a second, median of the runs: REGISTERs without credentials.
    pub begun_per_second: f64,
    /// REGISTERs that came more than once.
    pub repeated: u64,
    /// Scheduling class of the node's control thread and of the stub.
    pub scheduling: &'static str,
    /// Cores that other processes kept busy meanwhile.
    pub other_cpu_cores: f64,
}

/// What one run of the registrar saw.
#[derive(Clone, Copy, Debug)]
struct Seen {
    total: Duration,
    cpu: Duration,
    control_cpu: Duration,
    begun_per_second: f64,
    repeated: u64,
}

/// Measures and prints.
pub fn run(options: Options) -> io::Result<Report> {
    let report = super::in_directory(|directory| measure(options, directory))?;
    super::print(&report, options.json, Report::text)?;
    Ok(report)
}

fn measure(options: Options, directory: &Path) -> io::Result<Report> {
    sound::write_prompts(&directory.join("prompts"))?;
    let surroundings = Surroundings::begin(&[]);
    let (mut seen, mut floors) = (Vec::new(), Vec::new());
    for _ in 0..options.runs.max(1) {
        seen.push(register(options.ports.max(1), options.rate, directory)?);
        floors.push(floor::round_trips(2 * options.ports.max(1), WINDOW)?);
    }
    let other_cpu_cores = surroundings.other_cores(&[]);
    Ok(report(options.ports, &seen, &mut floors, other_cpu_cores))
}

/// One node, from its start until all of its ports are registered.
fn register(ports: u32, rate: u32, directory: &Path) -> io::Result<Seen> {
    let last = FIRST_EXTENSION + ports - 1;
    let stub = Stub::start(FIRST_EXTENSION..=last)?;
    let setting = Setting {
        pbx: stub.address,
        extensions: format!("{FIRST_EXTENSION}-{last}"),
        prompts: directory.join("prompts"),
        register_rate: rate,
        application: String::new(),
        announce: None,
    };
    let node = Node::start(&setting, directory)?;
    let seen = stub.wait()?;
    let control_cpu = load::thread_time(node.pid(), "control");
    Ok(Seen { control_cpu, ..seen })
}

fn report(ports: u32, seen: &[Seen], floors: &mut [Duration], other_cpu_cores: f64) -> Report {
    let ms = |duration: Duration| duration.as_secs_f64() * 1e3;
    let mut sorted = seen.to_vec();
    sorted.sort_by_key(|seen| seen.total);
    floors.sort_unstable();
    let middle = sorted.get(sorted.len() / 2).copied();
    let total_ms = middle.map_or(0.0, |seen| ms(seen.total));
    let floor_ms = floors.get(floors.len() / 2).copied().map_or(0.0, ms);
    Report {
        ports,
        total_ms,
        runs_ms: seen.iter().map(|seen| ms(seen.total)).collect(),
        floor_ms,
        total_over_floor: total_ms / floor_ms,
        control_cpu_ms: middle.map_or(0.0, |seen| ms(seen.control_cpu)),
        stub_cpu_ms: middle.map_or(0.0, |seen| ms(seen.cpu)),
        begun_per_second: middle.map_or(0.0, |seen| seen.begun_per_second),
        repeated: seen.iter().map(|seen| seen.repeated).sum(),
        scheduling: "default",
        other_cpu_cores,
    }
}

impl Report {
    fn text(&self) -> String {
        let runs: Vec<_> = self.runs_ms.iter().map(|ms| format!("{ms:.1}")).collect();
        format!(
            "{} ports registered in {:.1} ms (each run: {}); {} repeated\n\
             {:.1} registrations begun in a second\n\
             processor time: node {:.1} ms, registrar {:.1} ms\n\
             floor: bare round trips in {:.1} ms; registering takes {:.1} times that\n\
             scheduling {}, other processes {:.2} cores\n",
            self.ports,
            self.total_ms,
            runs.join(" "),
            self.repeated,
            self.begun_per_second,
            self.control_cpu_ms,
            self.stub_cpu_ms,
            self.floor_ms,
            self.total_over_floor,
            self.scheduling,
            self.other_cpu_cores,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_run_is_reported_with_its_own_processor_time() {
        let seen = [30, 10, 20].map(|ms| Seen {
            total: Duration::from_millis(ms),
            cpu: Duration::from_millis(ms / 10),
            control_cpu: Duration::from_millis(ms / 2),
            begun_per_second: 1e3 / ms as f64,
            repeated: 1,
        });
        let mut floors = [2, 4, 5].map(Duration::from_millis);
        let report = report(1_000, &seen, &mut floors, 0.5);
        assert_eq!((report.total_ms, report.stub_cpu_ms, report.floor_ms), (20.0, 2.0, 4.0));
        assert_eq!((report.total_over_floor, report.control_cpu_ms), (5.0, 10.0));
        assert_eq!((report.repeated, report.begun_per_second), (3, 50.0));
        let json = serde_json::to_value(&report).expect("JSON");
        assert_eq!((&json["ports"], &json["total_ms"]), (&1_000.into(), &20.0.into()));
        assert!(report.text().contains("each run: 30.0 10.0 20.0"), "{}", report.text());
    }
}
