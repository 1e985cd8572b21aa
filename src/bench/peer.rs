//! `portkeeper bench peer`: processor time of a call, beside a real Asterisk playing the same file.
//!
//! The same callers call both, one after the other; both play the same prompt in a loop by
//! themselves (`builtin:announce` here, `Playback` in the dialplan there), and both hear the
//! callers' stream. Counted is the time of the whole process, user and kernel, from
//! /proc/PID/stat; the callers are another process. If the node's media threads have real-time
//! scheduling, Asterisk gets it as well.

use std::io;
use std::path::Path;

use serde::Serialize;

use super::media::load;
use crate::admin::{Format, Request};
use crate::driver::clock;
use crate::redact::Redacted;
use crate::sim::pbx::{LineId, Manner};
use crate::stage::asterisk::{self, Asterisk};
use crate::stage::cast::{FIRST_EXTENSION, until};
use crate::stage::node::{self, Node, PASSWORD, pause};
use crate::stage::pbx::{Command, Keep, LineState, PbxNet};
use crate::stage::sound;
use crate::timers::Duration;

/// The prompt that both play.
const PROMPT: &str = "menu";

/// A call is set up every 10 ms.
const CALL_EVERY: Duration = Duration::from_millis(10);

/// What to measure.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Calls at once.
    pub calls: u32,
    /// Seconds for each of the two.
    pub seconds: u32,
    /// Print JSON.
    pub json: bool,
}

/// What came out. The names are those of the JSON; processor time is in cores.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Calls at once.
    pub calls: u32,
    /// Who was compared.
    pub peer: &'static str,
    /// Cores that the peer needs for a call.
    pub peer_cpu_per_call: f64,
    /// Cores that the node needs for a call.
    pub cpu_per_call: f64,
    /// How many times more the peer needs.
    pub ratio: f64,
    /// Scheduling of the peer's threads.
    pub peer_scheduling: &'static str,
    /// Scheduling of the node's media threads.
    pub scheduling: String,
    /// Share of packets that reached the callers, of those due: the peer's, the node's.
    pub packets_share: [f64; 2],
    /// Cores that other processes and the callers kept busy: beside the peer, beside the node.
    pub other_cpu_cores: [f64; 2],
}

/// One of the two, measured.
struct Cost {
    cpu_per_call: f64,
    packets_share: f64,
    other_cores: f64,
}

/// Measures and prints.
pub fn run(options: Options) -> io::Result<Report> {
    Asterisk::look()?;
    let report = super::in_directory(|directory| measure(options, directory))?;
    super::print(&report, options.json, Report::text)?;
    Ok(report)
}

fn measure(options: Options, directory: &Path) -> io::Result<Report> {
    sound::write_prompts(&directory.join("prompts"))?;
    let (ours, scheduling) = cost_of_node(options, directory)?;
    let real_time = scheduling == "fifo";
    let peer = cost_of_asterisk(options, directory, real_time)?;
    Ok(Report {
        calls: options.calls,
        peer: "Asterisk",
        peer_cpu_per_call: peer.cpu_per_call,
        cpu_per_call: ours.cpu_per_call,
        ratio: peer.cpu_per_call / ours.cpu_per_call,
        peer_scheduling: if real_time { "rr" } else { "default" },
        scheduling,
        packets_share: [peer.packets_share, ours.packets_share],
        other_cpu_cores: [peer.other_cores, ours.other_cores],
    })
}

fn cost_of_node(options: Options, directory: &Path) -> io::Result<(Cost, String)> {
    let pbx = callers(options)?;
    let setting = node::Setting {
        pbx: pbx.address,
        extensions: format!("{FIRST_EXTENSION}-{}", last_extension(options)),
        prompts: directory.join("prompts"),
        register_rate: 0,
        application: String::new(),
        announce: Some(PROMPT.to_owned()),
    };
    let node = Node::start(&setting, directory)?;
    let cost = cost(options, &pbx, node.pid())?;
    let status = node.ask(&Request::Status { format: Format::Json })?;
    let scheduling = status["media"]["scheduling"].as_str().unwrap_or("unknown").to_owned();
    node.stop()?;
    Ok((cost, scheduling))
}

fn cost_of_asterisk(options: Options, directory: &Path, real_time: bool) -> io::Result<Cost> {
    let pbx = callers(options)?;
    let setting = asterisk::Setting {
        pbx: pbx.address,
        extensions: (FIRST_EXTENSION, last_extension(options)),
        prompts: directory.join("prompts"),
        dialplan: format!(
            "exten => _play-.,1,Answer()\n same => n(again),Playback({PROMPT})\n \
             same => n,Goto(again)\n"
        ),
        real_time,
    };
    let asterisk = Asterisk::start(&setting, &directory.join("asterisk.log"))?;
    cost(options, &pbx, asterisk.pid()?)
}

fn callers(options: Options) -> io::Result<PbxNet> {
    let password = Redacted::new(PASSWORD.to_owned());
    let extensions = FIRST_EXTENSION..=last_extension(options);
    let accounts = extensions.map(|n| (n.to_string(), password.clone())).collect();
    PbxNet::start(accounts, Manner::default())
}

fn last_extension(options: Options) -> u32 {
    FIRST_EXTENSION + options.calls.max(1) - 1
}

/// Waits for the registrations, calls every extension, and measures while all hear the prompt.
fn cost(options: Options, pbx: &PbxNet, pid: u32) -> io::Result<Cost> {
    let calls = options.calls.max(1);
    until("every extension is registered", || Ok(pbx.report().registered == calls as usize))?;
    for n in 1..=calls {
        let extension = (FIRST_EXTENSION + n - 1).to_string();
        let line = LineId(n);
        pbx.command(Command::Call { line, extension, keep: Keep::Nothing, delayed_offer: false });
        pause(CALL_EVERY);
    }
    until("every caller hears something", || {
        let report = pbx.report();
        let hears = |line: &crate::stage::pbx::LineReport| {
            line.state == LineState::Up && line.heard.packets > 0
        };
        Ok(report.lines.values().filter(|line| hears(line)).count() == calls as usize)
    })?;
    pause(Duration::from_secs(1));
    let (load, packets, cpu) = (load::Load::begin(), packets(pbx), load::ticks_of(pid));
    let began = clock::now();
    pause(Duration::from_secs(u64::from(options.seconds.max(1))));
    let busy = (load::ticks_of(pid) - cpu) as f64 / load::TICKS;
    let seconds = clock::now().saturating_duration_since(began).as_secs_f64();
    let heard = (self::packets(pbx) - packets) as f64;
    Ok(Cost {
        cpu_per_call: busy / seconds / f64::from(calls),
        packets_share: heard / (seconds * 50.0 * f64::from(calls)),
        other_cores: load.all_cores() - busy / seconds,
    })
}

fn packets(pbx: &PbxNet) -> u64 {
    pbx.report().lines.values().map(|line| line.heard.packets).sum()
}

impl Report {
    fn text(&self) -> String {
        let ms = |cores: f64| cores * 1e3;
        format!(
            "{} calls, each playing the same prompt; cores for 1,000 calls\n\
             {:11} {:7.3}   scheduling {:8} packets {:6.2} %   others {:.2} cores\n\
             portkeeper  {:7.3}   scheduling {:8} packets {:6.2} %   others {:.2} cores\n\
             {} needs {:.1} times as much\n",
            self.calls,
            self.peer,
            ms(self.peer_cpu_per_call),
            self.peer_scheduling,
            self.packets_share[0] * 100.0,
            self.other_cpu_cores[0],
            ms(self.cpu_per_call),
            self.scheduling,
            self.packets_share[1] * 100.0,
            self.other_cpu_cores[1],
            self.peer,
            self.ratio,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_json_has_the_keys_of_the_manual() {
        let report = Report {
            calls: 100,
            peer: "Asterisk",
            peer_cpu_per_call: 0.001_4,
            cpu_per_call: 0.000_2,
            ratio: 7.0,
            peer_scheduling: "rr",
            scheduling: "fifo".to_owned(),
            packets_share: [1.0, 1.0],
            other_cpu_cores: [0.1, 0.1],
        };
        let json = serde_json::to_value(&report).expect("JSON");
        for key in ["calls", "peer", "peer_cpu_per_call", "cpu_per_call", "ratio"] {
            assert!(!json[key].is_null(), "{key}");
        }
        assert!(report.text().contains("Asterisk      1.400"), "{}", report.text());
    }
}
