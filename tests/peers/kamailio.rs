//! A real Kamailio as registrar: what a second host does to a binding, 423, and calls over a proxy
//! that stays in the route.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use crate::clients::{Client, serve_a_call};
use crate::gateway::{Gateway, Settings};
use crate::phone::Call;
use crate::process::{eventually, output};
use crate::runner::{Test, top};

/// What this file proves.
pub const TESTS: &[Test] = &[
    ("kamailio::a_call_over_a_proxy_is_served", call),
    ("kamailio::too_short_a_lifetime_is_asked_again_with_the_least", min_expires),
    ("kamailio::replace_keeps_the_newer_host_even_when_the_older_stops", replace),
    ("kamailio::fork_leaves_the_call_to_the_host_that_answers", fork),
    ("kamailio::reject_is_said_and_overcome_when_the_binding_goes", reject),
];

/// A running Kamailio. Dropping it ends it.
struct Kamailio {
    dir: PathBuf,
    sip: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Kamailio {
    fn start(mode: &str, min_expires: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("pk-").tempdir_in("/tmp").expect("/tmp");
        let dir = folder.path().join("k");
        let sip: SocketAddr = "127.0.0.1:15160".parse().expect("an address");
        output(
            script()
                .arg("start")
                .arg(&dir)
                .env("SIP_PORT", sip.port().to_string())
                .env("MODE", mode)
                .env("MIN_EXPIRES", min_expires),
        );
        Self { dir, sip, _folder: folder }
    }

    fn contacts(&self, extension: &str) -> Vec<String> {
        let out = script().arg("contacts").arg(&self.dir).arg(extension).output();
        let text = String::from_utf8_lossy(&out.expect("the script runs").stdout).into_owned();
        text.lines().map(str::to_owned).collect()
    }

    /// How many requests it answered with a status of a class of its own, such as `4xx`, or one
    /// that it counts by itself, such as `401`.
    fn answered(&self, status: &str) -> u64 {
        let text = output(script().arg("answered").arg(&self.dir).arg(status));
        text.trim().parse().unwrap_or_else(|_| panic!("no count of {status}: {text:?}"))
    }

    /// Two ports here; `number` tells nodes apart.
    fn node(&self, number: u16) -> Settings {
        let mut settings = Settings::at(self.sip, "kamailio");
        settings.extensions = "6001-6002";
        settings.number = number;
        settings
    }
}

impl Drop for Kamailio {
    fn drop(&mut self) {
        let _ = script().arg("stop").arg(&self.dir).status();
    }
}

fn script() -> Command {
    Command::new(top().join("tests/peers/kamailio.sh"))
}

fn call() {
    let kamailio = Kamailio::start("replace", "0");
    let gateway = Gateway::registered(&kamailio.node(0));
    let program = Client::NpmAri.start(gateway.ari, "main");
    gateway.instances(1);
    let call = Call::answered(kamailio.sip, "6001", "2000");
    serve_a_call(&program, &call);
}

fn min_expires() {
    let kamailio = Kamailio::start("replace", "90");
    let mut settings = kamailio.node(0);
    settings.pbx = "expires = \"60s\"";
    let gateway = Gateway::registered(&settings);
    assert_eq!(gateway.port("6001")["registration"]["expires_s"].as_u64(), Some(90));
    assert_eq!(kamailio.answered("4xx"), 2, "one 423 for each port, and then it knows");
}

fn replace() {
    let kamailio = Kamailio::start("replace", "0");
    let mut older = Gateway::registered(&kamailio.node(0));
    let newer = Gateway::registered(&kamailio.node(1));
    let contacts = kamailio.contacts("6001");
    assert_eq!(contacts.len(), 1, "the newer one replaces the older one: {contacts:?}");
    older.process.stop();
    assert_eq!(kamailio.contacts("6001"), contacts, "a stop takes away its own Contact only");
    assert!(newer.all_registered());
}

fn fork() {
    let kamailio = Kamailio::start("fork", "0");
    let silent = Gateway::registered(&kamailio.node(0));
    let serving = Gateway::registered(&kamailio.node(1));
    assert_eq!(kamailio.contacts("6001").len(), 2);
    let program = Client::NpmAri.start(serving.ari, "main");
    serving.instances(1);
    let call = Call::answered(kamailio.sip, "6001", "2000");
    program.step("playing");
    call.hears("menu");
    eventually("the other port is free again", || {
        (silent.port("6001")["state"] == "idle").then_some(())
    });
    assert!(!call.ended(), "the call goes on at the host that answered");
}

fn reject() {
    let kamailio = Kamailio::start("reject", "0");
    let mut first = Gateway::registered(&kamailio.node(0));
    let second = Gateway::start(&kamailio.node(1));
    eventually("the refusal is said", || {
        let port = second.port("6001");
        let detail = port["registration"]["detail"].as_str().unwrap_or("").to_owned();
        (port["registration"]["state"] != "registered" && detail.contains("503")).then_some(())
    });
    first.process.stop();
    second.port_becomes("6001", "registered");
    assert_eq!(kamailio.contacts("6001").len(), 1);
}
