//! The binary under test, in a folder of its own.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::process::{PATIENCE, Process, eventually, output, within};

/// What a test wants different from a node with 30 ports at the Asterisk of the tests.
pub struct Settings {
    /// Registrars, in order.
    pub registrars: Vec<SocketAddr>,
    /// Profile of the PBX.
    pub profile: &'static str,
    /// Extensions of its ports.
    pub extensions: &'static str,
    /// Their password; `{extension}` stands for the extension.
    pub password: &'static str,
    /// Who serves them, as in the configuration.
    pub applications: &'static str,
    /// Nodes that run side by side have different numbers, from 0.
    pub number: u16,
    /// Further lines of `[pbx]`.
    pub pbx: &'static str,
    /// Further lines of `[applications.main]`.
    pub main: &'static str,
    /// Further sections.
    pub more: &'static str,
}

impl Settings {
    /// At this PBX.
    pub fn at(registrar: SocketAddr, profile: &'static str) -> Self {
        Self {
            registrars: vec![registrar],
            profile,
            extensions: "6001-6030",
            password: "pw-{extension}",
            applications: "\"main\"",
            number: 0,
            pbx: "",
            main: "",
            more: "",
        }
    }

    fn text(&self) -> String {
        let registrars: Vec<String> = self.registrars.iter().map(|r| format!("\"{r}\"")).collect();
        format!(
            r#"[node]
name = "peers"
[pbx]
profile = "{}"
registrars = [{}]
domain = "127.0.0.1"
local_address = "127.0.0.1"
sip_udp_port = {}
min_digest = "md5"
{}
[[ports]]
extensions = "{}"
password = "{}"
applications = [{}]
[applications.main]
hold_prompt = "hold"
gateway_prompt = "gateway"
{}
[announce]
prompts = ["closed"]
[media]
udp_ports = "{}-{}"
prompts = "prompts"
recordings = "recordings"
[ari]
listen = "{}"
[ari.users.ivr]
password = "secret"
[outbound]
allow = ["2001", "70XX"]
[admin]
socket = "admin.sock"
listen = "127.0.0.1:{}"
[log]
filter = "portkeeper=debug,info"
{}
"#,
            self.profile,
            registrars.join(", "),
            5_200 + 100 * self.number,
            self.pbx,
            self.extensions,
            self.password,
            self.applications,
            self.main,
            16_384 + 2_000 * self.number,
            18_383 + 2_000 * self.number,
            self.ari(),
            19_108 + self.number,
            self.more
        )
    }

    fn ari(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 18_089 + self.number))
    }
}

/// A running node. Dropping it kills it.
pub struct Gateway {
    /// Its process.
    pub process: Process,
    /// Where instances connect.
    pub ari: SocketAddr,
    config: PathBuf,
    folder: tempfile::TempDir,
}

impl Gateway {
    /// Starts it and waits until it answers its command line.
    pub fn start(settings: &Settings) -> Self {
        let folder = tempfile::Builder::new().prefix("pk-").tempdir_in("/tmp").expect("/tmp");
        crate::prompts::write(&folder.path().join("prompts"));
        let config = folder.path().join("portkeeper.toml");
        fs::write(&config, settings.text()).expect("a fresh folder");
        let mut command = binary();
        let process = Process::start("portkeeper", command.args(["run", "--config"]).arg(&config));
        let ari = settings.ari();
        let mut gateway = Self { process, ari, config, folder };
        gateway.answers();
        gateway
    }

    /// Starts it and waits until every port is registered.
    pub fn registered(settings: &Settings) -> Self {
        let gateway = Self::start(settings);
        eventually("every port is registered", || gateway.all_registered().then_some(()));
        gateway
    }

    /// Where its configuration, prompts and recordings are.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A request on the link of the instances, as anybody with the password sends it.
    pub fn post(&self, path: &str, query: &str) -> String {
        let mut stream = TcpStream::connect(self.ari).expect("the node listens");
        write!(
            stream,
            "POST /ari/{path}?api_key=ivr:secret&{query} HTTP/1.1\r\nHost: {}\r\n\
             Content-Length: 0\r\nConnection: close\r\n\r\n",
            self.ari
        )
        .expect("the node listens");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("the node answers");
        answer
    }

    /// `portkeeper COMMAND --json`
    pub fn ask(&self, command: &str) -> Value {
        let text = output(self.command(command).arg("--json"));
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{command}: {error}: {text}"))
    }

    /// Whether no port is without its binding.
    pub fn all_registered(&self) -> bool {
        let ports = self.ask("ports");
        let all = ports.as_array().expect("a list of ports");
        !all.is_empty() && all.iter().all(|p| p["registration"]["state"] == "registered")
    }

    /// One port, by its extension.
    pub fn port(&self, extension: &str) -> Value {
        let ports = self.ask("ports");
        let all = ports.as_array().expect("a list of ports");
        let found = all.iter().find(|port| port["extension"] == extension);
        found.unwrap_or_else(|| panic!("no port {extension} in {ports}")).clone()
    }

    /// Waits until this port's binding is in this state, and returns it.
    pub fn port_becomes(&self, extension: &str, state: &str) -> Value {
        // An unreachable PBX takes 32 s to be certain (RFC 3261, timer F).
        within(PATIENCE * 3, &format!("{extension} becomes {state}"), || {
            Some(self.port(extension)).filter(|port| port["registration"]["state"] == state)
        })
    }

    /// A count of `status`.
    pub fn counter(&self, name: &str) -> u64 {
        let status = self.ask("status");
        let value = status["counters"][name].as_u64();
        value.unwrap_or_else(|| panic!("no counter {name} in {}", status["counters"]))
    }

    /// Waits until so many instances are connected.
    pub fn instances(&self, count: usize) {
        eventually(&format!("{count} instances"), || {
            self.ask("instances").as_array().is_some_and(|all| all.len() == count).then_some(())
        });
    }

    /// Waits for its first answer; a node that cannot start tells why.
    fn answers(&mut self) {
        let give_up = Instant::now() + PATIENCE;
        while self.try_ask("status").is_none() {
            if self.process.ended() || Instant::now() > give_up {
                self.process.fail("the node does not answer `status`");
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn try_ask(&self, command: &str) -> Option<Value> {
        let out = self.command(command).arg("--json").output().ok()?;
        serde_json::from_slice(&out.stdout).ok().filter(|_| out.status.success())
    }

    fn command(&self, command: &str) -> Command {
        let mut binary = binary();
        binary.arg(command).arg("--socket").arg(self.config.with_file_name("admin.sock"));
        binary
    }
}

/// The program under test.
pub fn binary() -> Command {
    Command::new(env!("CARGO_BIN_EXE_portkeeper"))
}
