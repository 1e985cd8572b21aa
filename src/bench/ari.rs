//! `portkeeper bench ari`: how fast the link is while every port is busy.
//!
//! A node whose ports all have calls that hear a prompt and key digits; a client in this process
//! takes the events on a WebSocket as any application does, acknowledges and plays, and another
//! one sends commands over HTTP, one after the other. Both have raised priority, so that what is
//! measured is the node and not the scheduling of its clients.
//!
//! A command is measured from before the client's write to after its read: what the node takes
//! between reading the request and writing the response is less. The floor is a bare echo of as
//! many bytes, measured in turns with the commands. A digit is measured from the moment before the
//! phone sends the first packet of its event until the client has read `ChannelDtmfReceived`; the
//! floor of that is the worker's poll of each socket, every 10 ms.

mod client;
mod commands;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::mpsc;

use serde::Serialize;
use serde_json::Value;

use super::media::load::Surroundings;
use crate::admin::distribution;
use crate::driver::clock;
use crate::sim::pbx::LineId;
use crate::stage::cast::{Cast, Troupe};
use crate::stage::node::pause;
use crate::stage::pbx::Report as PbxReport;
use crate::timers::{Duration, Instant};
use client::Note;

/// Each caller keys a digit so often.
const KEY_EVERY: Duration = Duration::from_millis(500);

/// Between the last key and the last event.
const SETTLE: Duration = Duration::from_millis(500);

/// What to measure.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Ports, each with a call.
    pub ports: u32,
    /// How long.
    pub seconds: u64,
    /// Print JSON.
    pub json: bool,
}

/// What came out. The names are those of the JSON.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Ports, each with a call.
    pub ports: u32,
    /// How long.
    pub seconds: u64,
    /// Command sent -> response read.
    pub command_ms: Value,
    /// The same of a bare echo.
    pub floor_command_ms: Value,
    /// Medians, one over the other.
    pub command_over_floor: f64,
    /// First packet of a key sent -> event read.
    pub digit_ms: Value,
    /// Keys without an event.
    pub digits_lost: usize,
    /// Scheduling class of the media workers; the control thread has the default one.
    pub scheduling: String,
    /// Cores that other processes kept busy meanwhile.
    pub other_cpu_cores: f64,
}

/// What was measured.
#[derive(Debug, Default)]
struct Samples {
    commands: Vec<Duration>,
    floor: Vec<Duration>,
    digits: Vec<Duration>,
    digits_lost: usize,
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
    let notes = client::start(troupe.node.ari)?;
    let lines = troupe.call(ports, 0)?;
    let mut heard = Heard::default();
    heard.listen(&notes);
    let surroundings = Surroundings::begin(&troupe.pids());
    let until = clock::now() + Duration::from_secs(options.seconds.max(1));
    let channels = heard.channels.values().cloned().collect();
    let commands = commands::start(troupe.node.ari, channels, until)?;
    key(&troupe, &lines, until);
    pause(SETTLE);
    let other_cpu_cores = surroundings.other_cores(&troupe.pids());
    heard.listen(&notes);
    let mut samples = heard.compare(&troupe.report());
    (samples.commands, samples.floor) = commands.finish()?;
    let status = troupe.status()?;
    troupe.node.stop()?;
    let scheduling = status["media"]["scheduling"].as_str().unwrap_or("unknown").to_owned();
    Ok(samples.report(options, scheduling, other_cpu_cores))
}

/// Keys on one line after the other, evenly over the time.
fn key(troupe: &Troupe, lines: &[LineId], until: Instant) {
    let pause_between = KEY_EVERY / u32::try_from(lines.len()).unwrap_or(1).max(1);
    let mut at = clock::now();
    for (line, key) in lines.iter().cycle().zip(('0'..='9').cycle()) {
        if at >= until {
            return;
        }
        troupe.press(*line, &key.to_string());
        at += pause_between;
        clock::sleep_until(at);
    }
}

/// What the client told.
#[derive(Debug, Default)]
struct Heard {
    /// Channel id by the number of the caller.
    channels: BTreeMap<String, String>,
    /// When digits were read, by channel id.
    digits: BTreeMap<String, Vec<Instant>>,
}

impl Heard {
    fn listen(&mut self, notes: &mpsc::Receiver<Note>) {
        for note in notes.try_iter() {
            match note {
                Note::Started { caller, channel } => drop(self.channels.insert(caller, channel)),
                Note::Digit { channel, at } => self.digits.entry(channel).or_default().push(at),
            }
        }
    }

    /// Each key of each caller with its event.
    fn compare(&self, pbx: &PbxReport) -> Samples {
        let mut samples = Samples::default();
        for line in pbx.lines.values() {
            let channel = self.channels.get(&line.caller);
            let read = channel.and_then(|channel| self.digits.get(channel));
            let read = read.map_or(&[][..], Vec::as_slice);
            samples.digits_lost += line.keys_at.len().saturating_sub(read.len());
            let pairs = line.keys_at.iter().zip(read);
            samples.digits.extend(pairs.map(|(&sent, at)| at.saturating_duration_since(sent)));
        }
        samples
    }
}

impl Samples {
    fn report(self, options: Options, scheduling: String, other_cpu_cores: f64) -> Report {
        Report {
            ports: options.ports,
            seconds: options.seconds,
            command_over_floor: median(&self.commands) / median(&self.floor),
            command_ms: distribution(&self.commands),
            floor_command_ms: distribution(&self.floor),
            digit_ms: distribution(&self.digits),
            digits_lost: self.digits_lost,
            scheduling,
            other_cpu_cores,
        }
    }
}

fn median(durations: &[Duration]) -> f64 {
    let mut sorted = durations.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).map_or(0.0, Duration::as_secs_f64)
}

impl Report {
    /// Every key had its event.
    pub fn nothing_lost(&self) -> bool {
        self.digits_lost == 0
    }

    fn text(&self) -> String {
        let row = |name: &str, of: &Value| {
            let number = |key: &str| of[key].as_f64().unwrap_or(f64::NAN);
            let (p50, p99, max) = (number("p50"), number("p99"), number("max"));
            let n = of["n"].as_u64().unwrap_or_default();
            format!("{name:16} {p50:9.3} {p99:9.3} {max:9.3} {n:9}\n")
        };
        format!(
            "{} busy ports, {} s; media scheduling {}, other processes {:.2} cores\n\
             in ms                  p50       p99       max         n\n{}{}{}\
             a command takes {:.1} times the floor; digits lost: {}\n",
            self.ports,
            self.seconds,
            self.scheduling,
            self.other_cpu_cores,
            row("command", &self.command_ms),
            row("floor (echo)", &self.floor_command_ms),
            row("key to event", &self.digit_ms),
            self.command_over_floor,
            self.digits_lost,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stage::pbx::LineReport;

    #[test]
    fn each_key_is_compared_with_its_own_event_and_the_last_without_one_is_lost() {
        let at = |ms: u64| Instant::from_nanos(ms * 1_000_000);
        let mut heard = Heard::default();
        let (sender, notes) = mpsc::channel();
        for note in [
            Note::Started { caller: "20001".to_owned(), channel: "c.1".to_owned() },
            Note::Digit { channel: "c.1".to_owned(), at: at(107) },
            Note::Digit { channel: "c.1".to_owned(), at: at(603) },
        ] {
            sender.send(note).expect("a receiver");
        }
        heard.listen(&notes);
        let keys_at = vec![at(100), at(600), at(1_100)];
        let line = LineReport { caller: "20001".to_owned(), keys_at, ..LineReport::default() };
        let pbx = PbxReport { lines: [(LineId(1), line)].into(), ..PbxReport::default() };
        let samples = heard.compare(&pbx);
        assert_eq!(samples.digits, [7, 3].map(Duration::from_millis));
        assert_eq!(samples.digits_lost, 1);
        let options = Options { ports: 1, seconds: 1, json: true };
        let report = samples.report(options, "fifo".to_owned(), 0.0);
        assert_eq!(report.digit_ms["max"], 7.0);
        assert!(report.text().contains("digits lost: 1"), "{}", report.text());
        assert!(!report.nothing_lost(), "the command has to fail");
    }
}
