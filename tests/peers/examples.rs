//! The example IVRs: menu, PIN and transfer, in three languages.

use std::net::SocketAddr;
use std::process::Command;

use crate::asterisk::Asterisk;
use crate::phone::Call;
use crate::process::{Process, eventually};
use crate::runner::{Test, top};

/// What this file proves.
pub const TESTS: &[Test] =
    &[("examples::each_ivr_goes_from_menu_to_transfer_at_a_real_asterisk", at_asterisk)];

/// The three programs.
pub const ALL: [&str; 3] = ["ivr.py", "ivr.mjs", "rust"];

/// Starts one that serves `app`.
pub fn start(program: &str, ari: SocketAddr, app: &str) -> Process {
    let peers = top().join(".peers");
    let source = top().join("examples").join(program);
    let mut command = match program {
        "ivr.py" => Command::new(peers.join("venv/bin/python")),
        "ivr.mjs" => Command::new("node"),
        _ => Command::new(peers.join("rust-clients/debug/ivr")),
    };
    if source.is_file() {
        command.arg(source);
    }
    command
        .arg(app)
        .env("ARI_URL", format!("http://{ari}/"))
        .env("ARI_HOST", ari.ip().to_string())
        .env("ARI_PORT", ari.port().to_string())
        .env("ARI_USER", "ivr")
        .env("ARI_PASSWORD", "secret");
    Process::start(program, &mut command)
}

/// From the menu to the right PIN, and back to the menu.
pub fn menu_and_pin(call: &Call) {
    call.hears("menu");
    call.press("1");
    call.hears("pin");
    call.press("1234");
    call.hears("right");
}

fn at_asterisk() {
    let asterisk = Asterisk::start(&[]);
    for program in ALL {
        let app = program.replace('.', "-");
        let _running = start(program, asterisk.http, &app);
        eventually("the example connects", || {
            asterisk.cli("ari show apps").contains(&app).then_some(())
        });
        let call = Call::answered(asterisk.sip, &format!("app-{app}"), "2000");
        menu_and_pin(&call);
        call.press("2");
        eventually("the PBX transfers the phone", || {
            call.requests().contains(&"REFER".to_owned()).then_some(())
        });
    }
}
