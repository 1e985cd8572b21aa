//! An instance freezes or dies in the middle of a call; another process of the same program goes
//! on.

use std::time::Duration;

use crate::asterisk::Asterisk;
use crate::clients::{ALL, Client};
use crate::examples;
use crate::gateway::{Gateway, Settings};
use crate::phone::Call;
use crate::process::{Process, eventually};
use crate::runner::Test;

/// What this file proves.
pub const TESTS: &[Test] = &[
    ("takeover::each_frozen_program_is_replaced_in_mid_call", frozen),
    ("takeover::each_killed_program_is_replaced_in_mid_call", killed),
    ("takeover::examples_go_on_where_the_caller_was", examples_resume),
    ("takeover::an_example_goes_on_where_one_in_another_language_was", examples_mix),
];

/// `asyncari` never answers a ping: what gives it away is a caller who hears nothing.
const SILENCE: &str = "caller_silence = \"2s\"";

fn at_asterisk() -> (Asterisk, Gateway) {
    let asterisk = Asterisk::start(&[]);
    let mut settings = Settings::at(asterisk.sip, "asterisk");
    settings.main = SILENCE;
    let gateway = Gateway::registered(&settings);
    (asterisk, gateway)
}

/// A call that the first process serves, up to its first digit; and a second process, waiting.
struct Scene {
    first: Process,
    second: Process,
    call: Call,
}

impl Scene {
    fn new(asterisk: &Asterisk, gateway: &Gateway, client: Client) -> Self {
        let first = client.start(gateway.ari, "main");
        gateway.instances(1);
        let call = Call::answered(asterisk.sip, "6001", "2000");
        first.step("playing");
        call.hears("menu");
        call.press("1");
        assert_eq!(first.step("digit")["digits"], "1");
        let second = client.start(gateway.ari, "main");
        gateway.instances(2);
        Self { first, second, call }
    }

    /// The second process has the call, with all that the first one knew, and ends it.
    fn goes_on(&self) {
        let start = self.second.step("start");
        assert_eq!(start["digits"], "1", "the checkpoint came along");
        assert_eq!(start["state"], "Up", "the call stays answered");
        self.second.step("playing");
        self.call.hears("resume");
        assert_eq!(self.second.step("digit")["digits"], "12", "typed while nobody listened");
        self.call.press("3");
        assert_eq!(self.second.step("digit")["digits"], "123");
        self.call.press("#");
        self.second.step("hangup");
        self.call.wait_end();
        // A new SSRC or a jump in the sequence would be heard as a click by real phones.
        assert_eq!(self.call.rtp.sequence_breaks(), 0, "RTP goes on untouched");
        let seen = self.call.requests();
        assert!(seen.iter().all(|m| m == "BYE"), "the PBX saw nothing of it: {seen:?}");
        let gap = self.call.rtp.longest_gap();
        assert!(gap < Duration::from_secs(1), "the stream stood still for {gap:?}");
    }
}

/// Why the latest call changed its owner.
fn reason(gateway: &Gateway) -> String {
    let rebinds = gateway.ask("rebinds");
    let latest = rebinds.as_array().and_then(|all| all.last()).expect("a call changed its owner");
    latest["reason"].as_str().expect("each has a reason").to_owned()
}

fn frozen() {
    let (asterisk, gateway) = at_asterisk();
    for client in ALL {
        let scene = Scene::new(&asterisk, &gateway, client);
        let stale = gateway.counter("stale_commands_total");
        scene.first.freeze();
        scene.call.press("2");
        scene.goes_on();
        // The pings give a program away long before its silence does, if it ever answered one.
        let why = if client == Client::Asyncari { "caller_silence" } else { "hang" };
        assert_eq!(reason(&gateway), why, "{client:?}");
        scene.first.resume();
        // It finds the digit that was sent to it before anybody knew that it is frozen, and works
        // on a call that is not its own any more.
        eventually(&format!("{client:?}: what the woken process does is refused"), || {
            (gateway.counter("stale_commands_total") > stale).then_some(())
        });
    }
}

fn killed() {
    let (asterisk, gateway) = at_asterisk();
    for client in ALL {
        let mut scene = Scene::new(&asterisk, &gateway, client);
        scene.first.kill();
        scene.call.press("2");
        scene.goes_on();
        assert_eq!(reason(&gateway), "crash", "{client:?}");
    }
}

fn examples_resume() {
    let (asterisk, gateway) = at_asterisk();
    examples::ALL.iter().for_each(|program| example_resumes(&asterisk, &gateway, program, program));
}

fn examples_mix() {
    let (asterisk, gateway) = at_asterisk();
    let [python, node, rust] = examples::ALL;
    for (first, second) in [(python, node), (node, rust), (rust, python)] {
        example_resumes(&asterisk, &gateway, first, second);
    }
}

/// The first process is killed when half of the PIN is typed; the second takes the other half.
fn example_resumes(asterisk: &Asterisk, gateway: &Gateway, first: &str, second: &str) {
    let acknowledged = gateway.counter("digits_acked_total");
    let mut first = examples::start(first, gateway.ari, "main");
    gateway.instances(1);
    let call = Call::answered(asterisk.sip, "6002", "2000");
    call.hears("menu");
    call.press("1");
    call.hears("pin");
    call.press("12");
    eventually("what was typed is acknowledged", || {
        (gateway.counter("digits_acked_total") == acknowledged + 3).then_some(())
    });
    let second = examples::start(second, gateway.ari, "main");
    gateway.instances(2);
    first.kill();
    call.press("34");
    // Had the PIN begun anew, two digits more would not be right.
    call.hears("right");
    call.press("2");
    eventually("the caller is transferred", || call.rtp.hears("transferred").then_some(()));
    drop(second);
    gateway.instances(0);
}
