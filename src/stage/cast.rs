//! The whole cast of a play: a PBX with phones, a node with registered ports, IVR instances.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::crew::{Crew, play_at};
use super::node::{Node, PASSWORD, Setting, pause};
use super::pbx::{Command, Keep, LineState, PbxNet, Report};
use super::sound;
use crate::admin::{Format, Request};
use crate::codecs::Digit;
use crate::redact::Redacted;
use crate::sim::pbx::{LineId, Manner};
use crate::timers::Instant;

/// A play that does not go on after this has failed.
pub const PATIENCE: Duration = Duration::from_secs(40);
const POLL: Duration = Duration::from_millis(10);

/// A call is placed every 10 ms.
const CALL_EVERY: Duration = Duration::from_millis(10);

/// First extension of a play.
pub const FIRST_EXTENSION: u32 = 6_001;

/// How many ports, and what of them.
#[derive(Clone, Debug)]
pub struct Cast {
    /// Voice ports.
    pub ports: u32,
    /// Directory for files of this play.
    pub directory: PathBuf,
}

/// Everybody, on stage.
pub struct Troupe {
    /// The PBX.
    pub pbx: PbxNet,
    /// The node.
    pub node: Node,
    /// The instances.
    pub crew: Crew,
    next_line: u32,
}

/// A rebind as the node reports it.
#[derive(Clone, Debug, Deserialize)]
pub struct Switch {
    /// `GW_CALL`
    pub call: String,
    /// Index of its port.
    pub port: u32,
    /// Why.
    pub reason: String,
    /// Who had the call.
    pub from: Option<String>,
    /// Who has it.
    pub to: String,
    /// When the verdict fell.
    pub verdict_at_ns: Instant,
    /// When the socket took StasisStart.
    pub written_at_ns: Option<Instant>,
    /// When the first command was read.
    pub claimed_at_ns: Option<Instant>,
    /// When the first packet of the new owner's sound left.
    pub first_media_at_ns: Option<Instant>,
}

impl Switch {
    /// Every instant is known.
    pub fn is_complete(&self) -> bool {
        self.written_at_ns.is_some()
            && self.claimed_at_ns.is_some()
            && self.first_media_at_ns.is_some()
    }
}

impl Cast {
    /// Starts PBX and node, and waits until every port is registered.
    pub fn start(&self) -> io::Result<Troupe> {
        let last = FIRST_EXTENSION + self.ports - 1;
        let password = Redacted::new(PASSWORD.to_owned());
        let accounts = (FIRST_EXTENSION..=last).map(|n| (n.to_string(), password.clone()));
        let pbx = PbxNet::start(accounts.collect(), Manner::default())?;
        let prompts = self.directory.join("prompts");
        sound::write_prompts(&prompts)?;
        let setting = Setting {
            pbx: pbx.address,
            extensions: format!("{FIRST_EXTENSION}-{last}"),
            prompts,
            register_rate: 0,
            application: String::new(),
            announce: None,
        };
        let node = Node::start(&setting, &self.directory)?;
        let troupe = Troupe { pbx, node, crew: Crew::default(), next_line: 0 };
        let ports = self.ports as usize;
        until("every port is registered", || Ok(troupe.pbx.report().registered == ports))?;
        Ok(troupe)
    }
}

impl Troupe {
    /// Starts one more instance and waits until the node knows it.
    pub fn add_instance(&mut self) -> io::Result<usize> {
        self.start_instance(false)
    }

    /// Starts an instance that answers pings and does nothing.
    pub fn add_stuck_instance(&mut self) -> io::Result<usize> {
        self.start_instance(true)
    }

    fn start_instance(&mut self, livelocked: bool) -> io::Result<usize> {
        let mut play = play_at(self.node.ari);
        play.livelocked = livelocked;
        self.crew.add(&play)
    }

    /// Calls so many ports and waits until all are answered and served.
    pub fn call(&mut self, calls: u32, recorded: u32) -> io::Result<Vec<LineId>> {
        let lines = self.place(calls, recorded);
        self.wait_until_served(&lines)?;
        Ok(lines)
    }

    /// Calls so many ports, one after the other.
    pub fn place(&mut self, calls: u32, recorded: u32) -> Vec<LineId> {
        let place = |n: u32| {
            self.next_line += 1;
            let line = LineId(self.next_line);
            let extension = (FIRST_EXTENSION + n).to_string();
            let keep = if n < recorded { Keep::Sound } else { Keep::Nothing };
            let delayed_offer = n % 2 == 1;
            self.pbx.command(Command::Call { line, extension, keep, delayed_offer });
            pause(CALL_EVERY);
            line
        };
        (0..calls).map(place).collect()
    }

    /// Waits until all of these are answered and served.
    pub fn wait_until_served(&self, lines: &[LineId]) -> io::Result<()> {
        until("every call is answered", || {
            let report = self.pbx.report();
            Ok(lines.iter().all(|line| report.lines[line].state == LineState::Up))
        })?;
        until("every call is served", || {
            Ok(self.calls()?.iter().all(|call| call["state"] == "bound"))
        })
    }

    /// Presses keys on a line.
    pub fn press(&self, line: LineId, keys: &str) {
        let digits = keys.chars().filter_map(Digit::from_char).collect();
        self.pbx.command(Command::Press { line, digits });
    }

    /// Calls as `portkeeper calls --json` shows them.
    pub fn calls(&self) -> io::Result<Vec<Value>> {
        let calls = self.node.ask(&Request::Calls { format: Format::Json })?;
        Ok(calls.as_array().cloned().unwrap_or_default())
    }

    /// `portkeeper status --json`
    pub fn status(&self) -> io::Result<Value> {
        self.node.ask(&Request::Status { format: Format::Json })
    }

    /// Rebinds whose verdict fell after an instant.
    pub fn switches_since(&self, at: Instant) -> io::Result<Vec<Switch>> {
        let rebinds = self.node.ask(&Request::Rebinds { format: Format::Json })?;
        let switches: Vec<Switch> = serde_json::from_value(rebinds)?;
        Ok(switches.into_iter().filter(|switch| switch.verdict_at_ns >= at).collect())
    }

    /// Waits until so many calls were switched after an instant, claimed and heard.
    pub fn wait_for_switches(&self, at: Instant, calls: usize) -> io::Result<Vec<Switch>> {
        let mut found = Vec::new();
        until("every call has a new owner", || {
            found = self.switches_since(at)?;
            Ok(found.iter().filter(|switch| switch.is_complete()).count() >= calls)
        })?;
        Ok(found)
    }

    /// How many calls an instance serves, by what it said itself and lost since.
    pub fn calls_of(&mut self, index: usize) -> usize {
        self.crew.calls_of(index)
    }

    /// The digits that the instances took and acknowledged, by `GW_CALL`.
    pub fn digits(&mut self) -> BTreeMap<String, String> {
        self.crew.digits()
    }

    /// Processes that live: the node and the instances.
    pub fn pids(&self) -> Vec<u32> {
        self.crew.pids().chain([self.node.pid()]).collect()
    }

    /// How the calls are, seen from the PBX.
    pub fn report(&self) -> Report {
        self.pbx.report()
    }
}

/// Looks again and again until something is so.
pub fn until(what: &str, mut is_so: impl FnMut() -> io::Result<bool>) -> io::Result<()> {
    for _ in 0..PATIENCE.as_millis() / POLL.as_millis() {
        if is_so()? {
            return Ok(());
        }
        pause(POLL);
    }
    Err(io::Error::new(io::ErrorKind::TimedOut, format!("waited in vain until {what}")))
}
