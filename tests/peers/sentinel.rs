//! Two nodes of a pair at a real Asterisk: the backup asks through it whether the primary lives, by
//! keys that Asterisk passes on, and a person promotes it without force when nobody answers for
//! longer than the registration lasts. The control extensions test each other the same way.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use portkeeper::driver::enrol;
use serde_json::Value;

use crate::asterisk::Asterisk;
use crate::gateway::binary;
use crate::process::{Process, eventually, output, within};
use crate::runner::Test;

/// What this file proves.
pub const TESTS: &[Test] =
    &[("sentinel::it_proves_a_living_primary_and_its_silence_a_dead_one", lives_and_dies)];

const NODES: [&str; 2] = ["a", "b"];

/// Longer than Asterisk lets the sentinel be registered, and a few calls in vain.
const DEAD_WITHIN: Duration = Duration::from_secs(180);

/// Primary and backup, each in a folder of its own.
struct Pair {
    folder: tempfile::TempDir,
    nodes: Vec<Process>,
}

impl Pair {
    fn start(pbx: SocketAddr) -> Self {
        let folder = tempfile::Builder::new().prefix("pk-").tempdir_in("/tmp").expect("/tmp");
        let at = NODES.map(|node| folder.path().join(node));
        for (number, at) in (0..).zip(&at) {
            fs::create_dir(at).expect("a fresh folder");
            crate::prompts::write(&at.join("prompts"));
            fs::write(at.join("pk.toml"), configuration(number, pbx)).expect("a fresh folder");
        }
        let [a, b] = &at;
        let credentials = [a.join("cluster"), b.join("cluster")];
        let stores = [a.join("state"), b.join("state")];
        let enrolled: Vec<(&str, &Path, &Path)> =
            (0..2).map(|n| (NODES[n], credentials[n].as_path(), stores[n].as_path())).collect();
        enrol::all_here("peers", &enrolled).expect("certificates and one pepper");
        let mut pair = Self { folder, nodes: Vec::new() };
        for (number, node) in NODES.iter().enumerate() {
            let mut command = pair.command(number);
            pair.nodes.push(Process::start(node, command.args(["run", "--config", "pk.toml"])));
        }
        pair
    }

    fn at(&self, number: usize) -> PathBuf {
        self.folder.path().join(NODES[number])
    }

    fn command(&self, number: usize) -> Command {
        let mut command = binary();
        command.current_dir(self.at(number));
        command
    }

    fn cluster(&self, number: usize) -> Option<Value> {
        let mut command = self.command(number);
        let out = command.args(["status", "--json", "--socket", "admin.sock"]).output().ok()?;
        let status: Value = serde_json::from_slice(&out.stdout).ok()?;
        Some(status["cluster"].clone())
    }

    fn becomes(&self, number: usize, role: &str) {
        eventually(&format!("{} is {role}", NODES[number]), || {
            (self.cluster(number)?["role"] == role).then_some(())
        });
    }

    /// What b says of the sentinel becomes this.
    fn sentinel(&self, key: &str, value: &Value, patience: Duration) {
        within(patience, &format!("sentinel.{key} = {value}"), || {
            (self.cluster(1)?["sentinel"][key] == *value).then_some(())
        });
    }

    /// `portkeeper promote b`; what it says if it is refused.
    fn promote(&self) -> Result<(), String> {
        let mut command = self.command(1);
        let out = command.args(["promote", "b", "--socket", "admin.sock"]).output();
        let out = out.expect("the binary under test");
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        if out.status.success() { Ok(()) } else { Err(said) }
    }
}

fn configuration(number: u16, pbx: SocketAddr) -> String {
    let node = NODES[usize::from(number)];
    let member = |number: u16| {
        let (name, port) = (NODES[usize::from(number)], 17_443 + number);
        let control = 6_020 + number;
        format!(
            "[[cluster.nodes]]\nname = \"{name}\"\nlink = \"127.0.0.1:{port}\"\n\
             control = \"{control}\"\n"
        )
    };
    format!(
        "[node]\nname = \"{node}\"\n[cluster]\nid = \"peers\"\nprofile = \"pair\"\n\
         credentials = \"cluster\"\nstore = \"state/pk.db\"\n{members}\
         [pbx]\nprofile = \"asterisk\"\nregistrars = [\"{pbx}\"]\ndomain = \"127.0.0.1\"\n\
         local_address = \"127.0.0.1\"\nsip_udp_port = {sip}\nmin_digest = \"md5\"\n\
         expires = \"30s\"\n\
         [[ports]]\nextensions = \"6001-6004\"\npassword = \"pw-{{extension}}\"\n\
         applications = [\"main\"]\n[applications.main]\n\
         [control]\nextension = \"{control}\"\npassword = \"pw-{control}\"\n\
         [control.sentinel]\nextension = \"6025\"\npassword = \"pw-6025\"\n\
         [media]\nudp_ports = \"{first}-{last}\"\nprompts = \"prompts\"\nrecordings = \"rec\"\n\
         [ari]\nlisten = \"127.0.0.1:{ari}\"\n[ari.users.ivr]\npassword = \"secret\"\n\
         [admin]\nsocket = \"admin.sock\"\nlisten = \"127.0.0.1:{observe}\"\n",
        members = [0, 1].map(member).concat(),
        sip = 5_200 + 100 * number,
        control = 6_020 + number,
        first = 16_384 + 1_000 * number,
        last = 17_383 + 1_000 * number,
        ari = 18_089 + number,
        observe = 19_108 + number,
    )
}

fn lives_and_dies() {
    let asterisk = Asterisk::start(&[("MAX_EXPIRES", "30")]);
    let mut pair = Pair::start(asterisk.sip);
    pair.becomes(0, "primary");
    pair.becomes(1, "backup");
    let mut order = pair.command(1);
    output(order.args(["self-call", "--socket", "admin.sock"]));
    eventually("the control extension of a is proven", || {
        (pair.cluster(1)?["control_tests"][0]["proven"] == true).then_some(())
    });
    // The primary answers the challenge, and the backup takes the answer.
    pair.sentinel("proven", &true.into(), Duration::from_secs(90));
    pair.sentinel("state", &"unasked".into(), Duration::from_secs(1));

    pair.nodes[0].kill();
    pair.sentinel("state", &"silent".into(), Duration::from_secs(60));
    let refused = pair.promote().expect_err("nothing proves that a is dead");
    assert!(refused.contains("its registration may last longer"), "{refused}");
    pair.sentinel("state", &"dead".into(), DEAD_WITHIN);
    assert_eq!(pair.cluster(1).expect("b answers")["role"], "backup", "that alone promotes nobody");
    pair.promote().expect("a person may, without force");
    pair.becomes(1, "primary");
    pair.sentinel("state", &"registered".into(), Duration::from_secs(20));
    let shown = asterisk.cli("database show registrar/contact");
    let contact = shown.lines().find(|line| line.starts_with("/registrar/contact/6025"));
    assert!(contact.is_some_and(|line| line.contains(":5300")), "at b: {shown}");
}
