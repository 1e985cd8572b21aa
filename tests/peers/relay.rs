//! Unmodified clients behind `portkeeper relay`: with one node, and when the primary of a cluster
//! is killed in the middle of a call.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::asterisk::Asterisk;
use crate::clients::{Client, serve_a_call};
use crate::gateway::{Gateway, Settings, binary};
use crate::phone::Call;
use crate::process::{Process, eventually, output};
use crate::runner::Test;

/// What this file proves.
pub const TESTS: &[Test] = &[
    ("relay::programs_behind_the_relay_serve_a_call_of_one_node", with_one_node),
    ("relay::programs_behind_the_relay_go_on_when_the_primary_is_killed", primary_killed),
];

/// Those whose libraries know one URL and do not all survive the end of their WebSocket.
const CLIENTS: [Client; 2] = [Client::NpmAri, Client::Asyncari];

const NODES: [&str; 3] = ["a", "b", "w"];

/// The backup's copy of a call is 50 ms old at most, on a machine that has time for it.
const COPIED: Duration = Duration::from_millis(500);

/// `portkeeper relay` on a fixed port.
struct Relay {
    process: Process,
    listen: SocketAddr,
}

impl Relay {
    fn start(nodes: &[SocketAddr]) -> Self {
        let listen = SocketAddr::from(([127, 0, 0, 1], 18_095));
        let mut command = binary();
        command.args(["relay", "--listen", &listen.to_string()]);
        for node in nodes {
            command.args(["--node", &node.to_string()]);
        }
        Self { process: Process::start("relay", &mut command), listen }
    }
}

fn with_one_node() {
    let asterisk = Asterisk::start(&[]);
    let gateway = Gateway::registered(&Settings::at(asterisk.sip, "asterisk"));
    let mut relay = Relay::start(&[gateway.ari]);
    for client in CLIENTS {
        let program = client.start(relay.listen, "main");
        gateway.instances(1);
        let call = Call::answered(asterisk.sip, "6001", "2000");
        serve_a_call(&program, &call);
        drop(program);
        gateway.instances(0);
    }
    assert_eq!(gateway.counter("stale_commands_total"), 0);
    assert!(relay.process.stop().success());
}

/// A primary, a backup and a witness, each in a folder of its own.
struct Cluster {
    folder: tempfile::TempDir,
    nodes: Vec<Process>,
}

impl Cluster {
    fn start(pbx: SocketAddr) -> Self {
        let folder = tempfile::Builder::new().prefix("pk-").tempdir_in("/tmp").expect("/tmp");
        for (number, node) in (0..).zip(NODES) {
            let at = folder.path().join(node);
            fs::create_dir(&at).expect("a fresh folder");
            crate::prompts::write(&at.join("prompts"));
            fs::write(at.join("pk.toml"), configuration(number, pbx)).expect("a fresh folder");
        }
        let mut cluster = Self { folder, nodes: Vec::new() };
        output(cluster.command(0).args(["cluster", "init", "--config", "pk.toml"]));
        cluster.join(1);
        cluster.join(2);
        for (number, node) in NODES.iter().enumerate() {
            let mut command = cluster.command(number);
            cluster.nodes.push(Process::start(node, command.args(["run", "--config", "pk.toml"])));
        }
        cluster.acts(0);
        cluster
    }

    fn at(&self, number: usize) -> PathBuf {
        self.folder.path().join(NODES[number])
    }

    fn command(&self, number: usize) -> Command {
        let mut command = binary();
        command.current_dir(self.at(number));
        command
    }

    /// Gives a node its certificate.
    fn join(&self, number: usize) {
        let token = ["cluster", "token", NODES[number], "--listen", "127.0.0.1:0"];
        let mut serving = self.command(0);
        serving.args(token).args(["--config", "pk.toml"]).stdout(Stdio::piped());
        let mut serving = serving.spawn().expect("the binary under test");
        let lines = BufReader::new(serving.stdout.take().expect("piped above")).lines();
        let line = lines.map_while(Result::ok).find(|line| line.contains("--token"));
        let line = line.expect("a token is printed");
        let words: Vec<&str> = line.split_whitespace().skip_while(|w| *w != "--token").collect();
        output(self.command(number).args(["cluster", "join", "--config", "pk.toml"]).args(words));
        assert!(serving.wait().expect("our own child").success());
    }

    /// Waits until a node is primary with all of its ports.
    fn acts(&self, number: usize) {
        eventually(&format!("{} is primary", NODES[number]), || {
            let status = self.ask(number, "status")?;
            let primary = status["cluster"]["role"] == "primary";
            (primary && status["registrations"]["registered"] == 4).then_some(())
        });
    }

    /// Waits until an instance is connected to a node.
    fn instance(&self, number: usize) {
        eventually("an instance is connected", || {
            let instances = self.ask(number, "instances")?;
            instances.as_array().is_some_and(|all| all.len() == 1).then_some(())
        });
    }

    fn ask(&self, number: usize, what: &str) -> Option<Value> {
        let mut command = self.command(number);
        let out = command.args([what, "--json", "--socket", "admin.sock"]).output().ok()?;
        serde_json::from_slice(&out.stdout).ok().filter(|_| out.status.success())
    }
}

fn ari(number: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 18_089 + number))
}

fn configuration(number: u16, pbx: SocketAddr) -> String {
    let node = NODES[usize::from(number)];
    let ports = if node == "w" {
        "[control]\nextension = \"6030\"\npassword = \"pw-6030\"\n"
    } else {
        "[[ports]]\nextensions = \"6001-6004\"\npassword = \"pw-{extension}\"\n\
         applications = [\"main\"]\n[applications.main]\n"
    };
    let member = |number: u16| {
        let role = if number == 2 { "role = \"witness\"\n" } else { "" };
        let (name, port) = (NODES[usize::from(number)], 17_443 + number);
        format!("[[cluster.nodes]]\nname = \"{name}\"\n{role}link = \"127.0.0.1:{port}\"\n")
    };
    format!(
        "[node]\nname = \"{node}\"\n[cluster]\nid = \"peers\"\nprofile = \"trio\"\n\
         timers = \"vm\"\ncredentials = \"cluster\"\nstore = \"state/pk.db\"\n{members}\
         [pbx]\nprofile = \"asterisk\"\nregistrars = [\"{pbx}\"]\ndomain = \"127.0.0.1\"\n\
         local_address = \"127.0.0.1\"\nsip_udp_port = {sip}\nmin_digest = \"md5\"\n{ports}\
         [media]\nudp_ports = \"{first}-{last}\"\nprompts = \"prompts\"\nrecordings = \"rec\"\n\
         [ari]\nlisten = \"{ari}\"\n[ari.users.ivr]\npassword = \"secret\"\n\
         [admin]\nsocket = \"admin.sock\"\nlisten = \"127.0.0.1:{observe}\"\n",
        members = [0, 1, 2].map(member).concat(),
        sip = 5_200 + 100 * number,
        first = 16_384 + 1_000 * number,
        last = 17_383 + 1_000 * number,
        ari = ari(number),
        observe = 19_108 + number,
    )
}

fn primary_killed() {
    let asterisk = Asterisk::start(&[]);
    for client in CLIENTS {
        let mut cluster = Cluster::start(asterisk.sip);
        let mut relay = Relay::start(&[ari(0), ari(1)]);
        let program = client.start(relay.listen, "main");
        cluster.instance(0);
        cluster.instance(1);
        let call = Call::answered(asterisk.sip, "6001", "2000");
        assert_eq!(program.step("start")["digits"], "");
        program.step("playing");
        call.hears("menu");
        call.press("1");
        assert_eq!(program.step("digit")["digits"], "1");
        thread::sleep(COPIED);
        cluster.nodes[0].kill();
        let start = program.step("start");
        assert_eq!(start["digits"], "1", "{client:?}: the checkpoint came along");
        assert_eq!(start["state"], "Up", "{client:?}: the call stays answered");
        program.step("playing");
        call.hears("resume");
        call.press("2");
        assert_eq!(program.step("digit")["digits"], "12");
        cluster.acts(1);
        call.press("#");
        program.step("hangup");
        call.wait_end();
        println!("    {client:?}: the longest silence was {:?}", call.rtp.longest_gap());
        assert!(relay.process.stop().success());
    }
}
