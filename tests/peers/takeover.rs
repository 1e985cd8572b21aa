//! An instance freezes or dies in the middle of a call; another process of the same program goes
//! on.

use std::time::Duration;

use serde_json::Value;

use crate::asterisk::Asterisk;
use crate::clients::{ALL, Client};
use crate::examples;
use crate::gateway::{Gateway, Settings};
use crate::phone::Call;
use crate::process::{Process, eventually};
use crate::runner::Test;

/// What this file proves.
pub const TESTS: &[Test] = &[
    ("takeover::a_frozen_program_that_pongs_is_replaced_in_hang_after_and_what_load_adds", frozen),
    ("takeover::a_frozen_program_that_answers_none_is_replaced_for_its_silence", frozen_mute),
    ("takeover::each_killed_program_is_replaced_in_mid_call", killed),
    ("takeover::examples_go_on_where_the_caller_was", examples_resume),
    ("takeover::an_example_goes_on_where_one_in_another_language_was", examples_mix),
];

/// What a loaded machine may add to a deadline, in milliseconds: the node excuses its own late
/// wakes, and `hang_after` is 8 times the slowest pongs, which may change after it was asked for.
const SLACK: f64 = 500.0;

/// How long the default lets a caller hear nothing, in milliseconds. No program that answers pings
/// may come near it, or its silence would have given it away as well.
const SILENCE: f64 = 10_000.0;

/// The same for `asyncari`, and how the configuration says it.
const SHORT_SILENCE: f64 = 2_000.0;
const SHORT: &str = "caller_silence = \"2s\"";

fn at_asterisk(main: &'static str) -> (Asterisk, Gateway) {
    let asterisk = Asterisk::start(&[]);
    let mut settings = Settings::at(asterisk.sip, "asterisk");
    settings.main = main;
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

/// The latest call that changed its owner: why, and how long that took.
fn latest_rebind(gateway: &Gateway) -> Value {
    let rebinds = gateway.ask("rebinds");
    rebinds.as_array().and_then(|all| all.last()).expect("a call changed its owner").clone()
}

/// The instance that has the only call.
fn owner(gateway: &Gateway) -> Value {
    let instances = gateway.ask("instances");
    let all = instances.as_array().expect("a list of instances");
    all.iter().find(|instance| instance["calls"] == 1).expect("one has the call").clone()
}

/// Freezes the owner of a call. Returns what the node knew of it before, and the rebind.
fn freeze(asterisk: &Asterisk, gateway: &Gateway, client: Client) -> (Value, Value) {
    let scene = Scene::new(asterisk, gateway, client);
    let stale = gateway.counter("stale_commands_total");
    let before = owner(gateway);
    scene.first.freeze();
    scene.call.press("2");
    scene.goes_on();
    let rebind = latest_rebind(gateway);
    assert_eq!(rebind["from"], before["instance"], "{client:?}");
    scene.first.resume();
    // It finds the digit that was sent to it before anybody knew that it is frozen, and works
    // on a call that is not its own any more.
    eventually(&format!("{client:?}: what the woken process does is refused"), || {
        (gateway.counter("stale_commands_total") > stale).then_some(())
    });
    (before, rebind)
}

fn frozen() {
    let (asterisk, gateway) = at_asterisk("");
    for client in ALL.into_iter().filter(|client| *client != Client::Asyncari) {
        let (before, rebind) = freeze(&asterisk, &gateway, client);
        assert_eq!(rebind["reason"], "hang", "{client:?}");
        let hang_after = ms(&before["pong"], "hang_after_ms");
        // Last pong to verdict, and to the first sound that the second process asked for.
        let (detect, total) = (ms(&rebind, "detect_ms"), ms(&rebind, "total_ms"));
        println!("    {client:?}: hang_after {hang_after}, detect {detect}, total {total} ms");
        assert!(detect <= hang_after + SLACK, "{client:?}: {detect} of {hang_after} ms");
        assert!(total <= hang_after + SLACK, "{client:?}: {total} of {hang_after} ms");
        assert!(total < SILENCE / 2.0, "{client:?}: {total} ms");
    }
}

fn frozen_mute() {
    let (asterisk, gateway) = at_asterisk(SHORT);
    let (before, rebind) = freeze(&asterisk, &gateway, Client::Asyncari);
    assert!(before["pong"].is_null(), "it never answered a ping: {before}");
    assert_eq!(rebind["reason"], "caller_silence");
    let detect = ms(&rebind, "detect_ms");
    println!("    detect {detect} ms");
    assert!((SHORT_SILENCE..=SHORT_SILENCE + SLACK).contains(&detect), "{detect} ms");
}

fn ms(of: &Value, key: &str) -> f64 {
    of[key].as_f64().unwrap_or_else(|| panic!("no {key} in {of}"))
}

fn killed() {
    let (asterisk, gateway) = at_asterisk("");
    for client in ALL {
        let mut scene = Scene::new(&asterisk, &gateway, client);
        scene.first.kill();
        scene.call.press("2");
        scene.goes_on();
        assert_eq!(latest_rebind(&gateway)["reason"], "crash", "{client:?}");
    }
}

fn examples_resume() {
    let (asterisk, gateway) = at_asterisk("");
    examples::ALL.iter().for_each(|program| example_resumes(&asterisk, &gateway, program, program));
}

fn examples_mix() {
    let (asterisk, gateway) = at_asterisk("");
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
