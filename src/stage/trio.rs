//! A cluster of three nodes as processes on loopback: two with the same voice ports, at addresses
//! of their own, and a witness. The PBX emulator is that of every play: the last REGISTER of an
//! extension wins, a call goes to where its extension is bound, and a re-INVITE moves the call.
//!
//! IVR instances are connected to both data nodes. Where calls are carried on, they stay steady:
//! what a caller hears then is what the node does.

mod plan;

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::cast::{FIRST_EXTENSION, until};
use super::crew::{Crew, play_at};
use super::instance::Play;
use super::node::{CONFIGURATION, Node, PASSWORD, free_tcp_port, pause, write_file};
use super::pbx::{Command, Keep, LineState, Noted, PbxNet};
use super::sound;
use crate::admin::{Format, Request, RoleWish};
use crate::codecs::Digit;
use crate::driver::enrol;
use crate::driver::records::{self, Wanted};
use crate::ids::CallId;
use crate::redact::Redacted;
use crate::sim::pbx::{Event, LineId, Manner};
use crate::timers::Instant;
use plan::Plan;

/// Names of the nodes; the first two have the ports.
pub const NAMES: [&str; 3] = ["a", "b", "w"];

const WITNESS: usize = 2;

/// First of the control extensions, one for each node.
const FIRST_CONTROL: u32 = 7_001;

/// Who is called when something happened, and never answers.
pub const ON_CALL: &str = "7999";

/// What callers hear: its pitch tells where they are in it.
pub const MENU: &str = "rising";

const CALL_EVERY: Duration = Duration::from_millis(4);

/// How big the play is.
#[derive(Clone, Debug)]
pub struct Cast {
    /// Voice ports.
    pub ports: u32,
    /// Registrations that a node may begin in a second; 0: no pacing.
    pub register_rate: u32,
    /// `cluster.promotion`
    pub promotion: &'static str,
    /// Directory for files of this play.
    pub directory: PathBuf,
}

/// One node, and the instances that are connected to it.
pub struct Site {
    /// Its processes.
    pub node: Node,
    /// Where its SIP and RTP come from.
    pub address: IpAddr,
    /// Its instances, by their index in the crew.
    pub instances: Vec<usize>,
    directory: PathBuf,
}

/// Everybody, on stage.
pub struct Trio {
    /// The PBX.
    pub pbx: PbxNet,
    /// The nodes, in the order of [`NAMES`].
    pub sites: Vec<Site>,
    /// The instances.
    pub crew: Crew,
    /// Voice ports.
    pub ports: u32,
    next_line: u32,
}

impl Cast {
    /// Starts PBX and nodes, and waits until one of them is primary and has every port.
    pub fn start(&self) -> io::Result<Trio> {
        let last = FIRST_EXTENSION + self.ports - 1;
        let password = Redacted::new(PASSWORD.to_owned());
        let controls = FIRST_CONTROL..FIRST_CONTROL + NAMES.len() as u32;
        let extensions = (FIRST_EXTENSION..=last).chain(controls);
        let accounts = extensions.map(|n| (n.to_string(), password.clone()));
        let pbx = PbxNet::start(accounts.collect(), Manner::default())?;
        let sites = self.nodes_at(pbx.address)?;
        let mut trio = Trio { pbx, sites, crew: Crew::default(), ports: self.ports, next_line: 0 };
        trio.begin(self.promotion)?;
        (0..WITNESS).try_for_each(|at| trio.staff(at))?;
        Ok(trio)
    }

    /// Starts the nodes at a PBX, whichever it is, and waits until they answer.
    pub fn nodes_at(&self, pbx: SocketAddr) -> io::Result<Vec<Site>> {
        let prompts = self.directory.join("prompts");
        sound::write_prompts(&prompts)?;
        sound::write_rising(&prompts.join(format!("{MENU}.wav")))?;
        self.enrol()?;
        let mut sites = self.start_nodes(pbx, &prompts)?;
        for site in &mut sites {
            site.node.wait_for_start(&site.directory)?;
        }
        Ok(sites)
    }

    fn directory_of(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn enrol(&self) -> io::Result<()> {
        let stores = NAMES.map(|name| self.directory_of(name));
        let credentials = stores.clone().map(|store| store.join("credentials"));
        let directories = credentials.iter().zip(&stores);
        let nodes: Vec<(&str, &Path, &Path)> = NAMES
            .into_iter()
            .zip(directories)
            .map(|(name, (credentials, store))| (name, credentials.as_path(), store.as_path()))
            .collect();
        enrol::all_here("play", &nodes)
    }

    fn start_nodes(&self, pbx: SocketAddr, prompts: &Path) -> io::Result<Vec<Site>> {
        let mut links = Vec::new();
        for _ in NAMES {
            links.push(free_tcp_port()?);
        }
        let start = |(at, name): (usize, &&str)| {
            let directory = self.directory_of(name);
            let address = address(at);
            let ari = free_tcp_port()?;
            let plan = Plan { at, cast: self, pbx, links: &links, ari, prompts };
            write_file(&directory.join(CONFIGURATION), &plan.configuration(&directory)?)?;
            let node = Node::spawn(ari, &directory)?;
            Ok(Site { node, address, instances: Vec::new(), directory })
        };
        NAMES.iter().enumerate().map(start).collect()
    }
}

/// Each node has an address of its own, as it would have on a machine of its own.
fn address(at: usize) -> IpAddr {
    Ipv4Addr::new(127, 0, 0, u8::try_from(at + 1).unwrap_or(u8::MAX)).into()
}

impl Site {
    /// `portkeeper status --json`
    pub fn status(&self) -> io::Result<Value> {
        self.node.ask(&Request::Status { format: Format::Json })
    }

    /// Starts it again if its processes have ended, and waits until it answers.
    pub fn restart(&mut self) -> io::Result<()> {
        if !self.node.is_alive()? {
            self.node = Node::spawn(self.node.ari, &self.directory)?;
        }
        self.node.wait_for_start(&self.directory)
    }

    /// An instance of this node that plays [`MENU`] and stays steady.
    pub fn play(&self) -> Play {
        let mut play = play_at(self.node.ari);
        play.habits.menu = Some(MENU.to_owned());
        play.habits.steady = true;
        play
    }

    /// What it is in the cluster; `None`: it does not answer.
    pub fn role(&self) -> Option<String> {
        let status = self.status().ok()?;
        Some(status["cluster"]["role"].as_str()?.to_owned())
    }

    /// Calls as `portkeeper calls --json` shows them.
    pub fn calls(&self) -> io::Result<Vec<Value>> {
        let calls = self.node.ask(&Request::Calls { format: Format::Json })?;
        Ok(calls.as_array().cloned().unwrap_or_default())
    }
}

impl Trio {
    /// With the policy `manual` a person makes the first primary.
    fn begin(&self, promotion: &str) -> io::Result<()> {
        if promotion == "manual" {
            until("the first node is promoted", || {
                let wish = RoleWish::Promote { node: None, force: None };
                Ok(self.sites[0].node.ask(&Request::Role { wish, format: Format::Json }).is_ok())
            })?;
        }
        self.wait_for_primary().map(drop)
    }

    /// The data node that is primary.
    pub fn primary(&self) -> Option<usize> {
        (0..WITNESS).find(|&at| self.sites[at].role().as_deref() == Some("primary"))
    }

    /// Waits until a node is primary, and has every port. Returns it.
    pub fn wait_for_primary(&self) -> io::Result<usize> {
        let mut primary = None;
        until("a node is primary", || {
            primary = self.primary();
            Ok(primary.is_some())
        })?;
        let at = primary.unwrap_or_default();
        self.wait_for_ports(at)?;
        Ok(at)
    }

    /// Waits until every voice port is bound to a node, beside its control extension.
    pub fn wait_for_ports(&self, at: usize) -> io::Result<()> {
        let (address, ports) = (self.sites[at].address, self.ports as usize);
        until("every port is registered", || {
            Ok(self.pbx.report().devices.get(&address).is_some_and(|n| *n >= ports))
        })
    }

    /// Gives a node an instance, if it has none that lives.
    pub fn staff(&mut self, at: usize) -> io::Result<()> {
        let connected = self.sites[at].node.ask(&Request::Instances { format: Format::Json })?;
        if connected.as_array().is_some_and(|all| !all.is_empty()) {
            return Ok(());
        }
        let index = self.crew.add(&self.sites[at].play())?;
        self.sites[at].instances.push(index);
        Ok(())
    }

    /// Calls so many ports, one after the other.
    pub fn place(&mut self, calls: u32) -> Vec<LineId> {
        let place = |n: u32| {
            let line = self.dial(n);
            pause(CALL_EVERY);
            line
        };
        (0..calls).map(place).collect()
    }

    /// Calls one port.
    pub fn dial(&mut self, port: u32) -> LineId {
        self.dial_extension(FIRST_EXTENSION + port, Keep::Pitch, port % 2 == 1)
    }

    /// Calls the control extension of the witness.
    pub fn dial_witness(&mut self, keep: Keep) -> LineId {
        self.dial_extension(FIRST_CONTROL + WITNESS as u32, keep, false)
    }

    fn dial_extension(&mut self, extension: u32, keep: Keep, delayed_offer: bool) -> LineId {
        self.next_line += 1;
        let line = LineId(self.next_line);
        let extension = extension.to_string();
        self.pbx.command(Command::Call { line, extension, keep, delayed_offer });
        line
    }

    /// Waits until calls are answered and served at one node, and the other one has copies.
    pub fn wait_until_served(&self, lines: &[LineId], at: usize) -> io::Result<()> {
        until("every call is answered", || {
            let report = self.pbx.report();
            Ok(lines.iter().all(|line| report.lines[line].state == LineState::Up))
        })?;
        until("every call is served", || {
            let calls = self.sites[at].calls()?;
            let bound = calls.iter().filter(|call| call["state"] == "bound");
            Ok(bound.count() == lines.len())
        })?;
        self.wait_for_copies(lines.len(), other(at))
    }

    fn wait_for_copies(&self, calls: usize, at: usize) -> io::Result<()> {
        until("the backup has a copy of every call", || {
            Ok(self.sites[at].status()?["cluster"]["copied_calls"].as_u64() == Some(calls as u64))
        })
    }

    /// Waits until a node follows another one and hears all others.
    pub fn wait_for_backup(&self, at: usize) -> io::Result<()> {
        until("the other node is backup", || {
            let Ok(status) = self.sites[at].status() else { return Ok(false) };
            let cluster = &status["cluster"];
            let peers = cluster["peers"].as_array();
            let hears_all = peers.is_some_and(|peers| peers.iter().all(|peer| peer["up"] == true));
            Ok(cluster["role"] == "backup" && hears_all)
        })
    }

    /// Asks for a switchover from a node to the other one.
    pub fn switch_over(&self, from: usize) -> io::Result<()> {
        let wish = RoleWish::Switchover { to: NAMES[other(from)].to_owned(), force: false };
        self.sites[from].node.ask(&Request::Role { wish, format: Format::Json }).map(drop)
    }

    /// When a node that is primary began to act.
    pub fn acted_at(&self, at: usize) -> io::Result<Instant> {
        let status = self.sites[at].status()?;
        let nanos = status["cluster"]["takeover"]["acted_at_ns"].as_u64();
        nanos.map(Instant::from_nanos).ok_or_else(|| io::Error::other("it took nothing over"))
    }

    /// A caller hangs up.
    pub fn give_up(&self, line: LineId) {
        self.pbx.command(Command::HangUp { line });
    }

    /// Presses keys on a line.
    pub fn press(&self, line: LineId, keys: &str) {
        let digits = keys.chars().filter_map(Digit::from_char).collect();
        self.pbx.command(Command::Press { line, digits });
    }

    /// Hangs up, and waits until the node has no calls.
    pub fn hang_up(&self, lines: &[LineId], at: usize) -> io::Result<()> {
        lines.iter().for_each(|&line| self.give_up(line));
        until("every call has ended", || Ok(self.sites[at].calls()?.is_empty()))
    }

    /// Waits until every record of a node is stored on a second one, too.
    pub fn wait_until_recorded(&self, at: usize) -> io::Result<()> {
        until("every record is acknowledged", || {
            Ok(self.sites[at].status()?["cluster"]["facts_pending"] == 0)
        })
    }

    /// The calls of which a node's store has a record.
    pub fn recorded_calls(&self, at: usize) -> io::Result<BTreeSet<String>> {
        let path = self.sites[at].directory.join(CONFIGURATION);
        let wanted = Wanted { since: None, limit: 100_000, json: true };
        let lines = records::cdr(&path, &wanted)
            .map_err(|failure| io::Error::other(format!("{failure:?}")))?;
        let call = |line: &str| {
            let record: Value = serde_json::from_str(line).ok()?;
            Some(CallId(record["fact"]["body"]["Cdr"]["call"].as_u64()?).to_string())
        };
        Ok(lines.lines().filter_map(call).collect())
    }

    /// Whether a node registered a voice port.
    pub fn is_claim(&self, noted: &Noted, at: usize) -> bool {
        let Event::Registered { extension } = &noted.event else { return false };
        let ports = FIRST_EXTENSION..FIRST_EXTENSION + self.ports;
        let is_port = extension.parse().is_ok_and(|number| ports.contains(&number));
        is_port && noted.device.is_some_and(|device| device.ip() == self.sites[at].address)
    }

    /// Processes that live: the nodes and the instances.
    pub fn pids(&self) -> Vec<u32> {
        let nodes = self.sites.iter().flat_map(|site| site.node.pids());
        self.crew.pids().chain(nodes).collect()
    }
}

/// Which ports were bound to a node since one began to watch.
pub struct Registrations {
    at: usize,
    ports: usize,
    bound: BTreeSet<String>,
    /// When the last of them was.
    pub complete_at: Option<Instant>,
}

impl Registrations {
    /// Watches a node.
    pub fn at(trio: &Trio, at: usize) -> Self {
        Self { at, ports: trio.ports as usize, bound: BTreeSet::new(), complete_at: None }
    }

    /// Takes what the PBX noted.
    pub fn see(&mut self, trio: &Trio, noted: &Noted) {
        let Event::Registered { extension } = &noted.event else { return };
        if trio.is_claim(noted, self.at) {
            self.bound.insert(extension.clone());
        }
        if self.complete_at.is_none() && self.bound.len() == self.ports {
            self.complete_at = Some(noted.at);
        }
    }

    /// How many are bound, of how many.
    pub fn progress(&self) -> (usize, usize) {
        (self.bound.len(), self.ports)
    }
}

/// The other data node.
pub const fn other(at: usize) -> usize {
    1 - at
}
