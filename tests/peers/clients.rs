//! The public ARI clients: the same small IVR on each of them.

use std::net::SocketAddr;
use std::process::Command;

use crate::asterisk::Asterisk;
use crate::gateway::{Gateway, Settings};
use crate::phone::Call;
use crate::process::Process;
use crate::runner::{Test, top};

/// What this file proves.
pub const TESTS: &[Test] = &[
    ("clients::each_program_serves_a_call_at_a_real_asterisk", programs_at_asterisk),
    ("clients::each_program_serves_a_call_here", programs_here),
];

/// The five public clients, one of them with both of its transports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    /// npm `ari-client`.
    NpmAri,
    /// npm `@ipcom/asterisk-ari`.
    NpmIpcom,
    /// PyPI `asyncari`.
    Asyncari,
    /// Crate `asterisk-ari`.
    AsteriskAri,
    /// Crate `asterisk-rs-ari`, requests over HTTP.
    AsteriskRsAri,
    /// The same crate, requests over the WebSocket of the events.
    AsteriskRsAriWebSocket,
}

/// All of them.
pub const ALL: [Client; 6] = [
    Client::NpmAri,
    Client::NpmIpcom,
    Client::Asyncari,
    Client::AsteriskAri,
    Client::AsteriskRsAri,
    Client::AsteriskRsAriWebSocket,
];

impl Client {
    /// Starts a process of it that serves `app`, and waits until it is connected.
    pub fn start(self, ari: SocketAddr, app: &str) -> Process {
        let mut command = self.command();
        command.env("ARI_URL", format!("http://{ari}")).env("ARI_APP", app);
        let process = Process::start(&format!("{self:?}"), &mut command);
        process.step("connected");
        process
    }

    fn command(self) -> Command {
        let clients = top().join("tests/peers/clients");
        let peers = top().join(".peers");
        let run = |program: &str, script: &str| {
            let mut command = Command::new(program);
            command.arg(clients.join(script));
            command
        };
        match self {
            Self::NpmAri => run("node", "ari-client.mjs"),
            Self::NpmIpcom => run("node", "ipcom.mjs"),
            Self::Asyncari => {
                let python = peers.join("venv/bin/python");
                run(python.to_str().expect("a path in UTF-8"), "asyncari_ivr.py")
            }
            Self::AsteriskAri => Command::new(peers.join("rust-clients/debug/asterisk_ari")),
            Self::AsteriskRsAri => Command::new(peers.join("rust-clients/debug/asterisk_rs_ari")),
            Self::AsteriskRsAriWebSocket => {
                let mut command = Self::AsteriskRsAri.command();
                command.env("ARI_TRANSPORT", "websocket");
                command
            }
        }
    }
}

/// Answer, play, digits, variable, hang-up, as caller and program see them.
pub fn serve_a_call(program: &Process, call: &Call) {
    assert_eq!(program.step("start")["digits"], "", "a fresh call has no checkpoint");
    program.step("answered");
    program.step("playing");
    call.hears("menu");
    for (key, so_far) in [("1", "1"), ("2", "12")] {
        call.press(key);
        let step = program.step("digit");
        assert_eq!(step["digits"], so_far);
        assert_eq!(step["variable"], so_far, "the variable reads back");
    }
    program.step("played");
    call.press("#");
    program.step("hangup");
    call.wait_end();
    program.step("end");
}

fn programs_at_asterisk() {
    let asterisk = Asterisk::start(&[]);
    for client in ALL {
        let app = format!("{client:?}");
        let program = client.start(asterisk.http, &app);
        let call = Call::answered(asterisk.sip, &format!("app-{app}"), "2000");
        serve_a_call(&program, &call);
    }
}

fn programs_here() {
    let asterisk = Asterisk::start(&[]);
    let gateway = Gateway::registered(&Settings::at(asterisk.sip, "asterisk"));
    for client in ALL {
        let program = client.start(gateway.ari, "main");
        gateway.instances(1);
        let call = Call::answered(asterisk.sip, "6001", "2000");
        serve_a_call(&program, &call);
        drop(program);
        gateway.instances(0);
    }
    assert_eq!(gateway.counter("stale_commands_total"), 0);
}
