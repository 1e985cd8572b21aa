//! The PBX spreads calls over the ports: a queue and a linear hunt.

use std::collections::BTreeSet;

use crate::asterisk::Asterisk;
use crate::clients::Client;
use crate::gateway::{Gateway, Settings};
use crate::phone::Call;
use crate::process::eventually;
use crate::runner::Test;

/// What this file proves.
pub const TESTS: &[Test] = &[
    ("queue::six_calls_reach_six_ports", queue),
    ("queue::a_hunt_goes_past_busy_ports", hunt),
    ("queue::a_full_pool_refuses_and_serves_again", full),
    ("queue::without_an_instance_the_caller_hears_the_hold_prompt", nobody),
    ("queue::the_announcement_needs_no_instance", announcement),
];

fn ports_in_call(gateway: &Gateway) -> BTreeSet<String> {
    let calls = gateway.ask("calls");
    let all = calls.as_array().expect("a list of calls");
    all.iter().map(|c| c["extension"].as_str().unwrap_or("?").to_owned()).collect()
}

fn served(extensions: &'static str) -> (Asterisk, Gateway) {
    let asterisk = Asterisk::start(&[("PORTS", "30")]);
    let mut settings = Settings::at(asterisk.sip, "asterisk");
    settings.extensions = extensions;
    let gateway = Gateway::registered(&settings);
    (asterisk, gateway)
}

fn queue() {
    let (asterisk, gateway) = served("6001-6030");
    let _instance = Client::NpmAri.start(gateway.ari, "main");
    gateway.instances(1);
    let calls: Vec<Call> =
        (0..6).map(|n| Call::answered(asterisk.sip, "5000", &format!("200{n}"))).collect();
    calls.iter().for_each(|call| call.hears("menu"));
    assert_eq!(ports_in_call(&gateway).len(), 6, "six different ports");
    drop(calls);
    eventually("every port is free again", || ports_in_call(&gateway).is_empty().then_some(()));
}

fn hunt() {
    let (asterisk, gateway) = served("6001-6003");
    let _instance = Client::NpmAri.start(gateway.ari, "main");
    gateway.instances(1);
    let first = Call::answered(asterisk.sip, "5001", "2001");
    let second = Call::answered(asterisk.sip, "5001", "2002");
    first.hears("menu");
    second.hears("menu");
    assert_eq!(ports_in_call(&gateway), BTreeSet::from(["6001".into(), "6002".into()]));
}

fn full() {
    let (asterisk, gateway) = served("6001-6001");
    let _instance = Client::NpmAri.start(gateway.ari, "main");
    gateway.instances(1);
    let first = Call::answered(asterisk.sip, "6001", "2001");
    first.hears("menu");
    let refused = Call::place(asterisk.sip, "6001", "2002");
    let status = eventually("the second call is refused", || refused.status());
    assert!(status >= 400, "the only port is busy, and answered {status}");
    first.hang_up();
    eventually("the port is free", || ports_in_call(&gateway).is_empty().then_some(()));
    Call::answered(asterisk.sip, "6001", "2003").hears("menu");
}

fn nobody() {
    let (asterisk, gateway) = served("6001-6002");
    let call = Call::answered(asterisk.sip, "6001", "2001");
    call.hears("hold");
    let late = Client::NpmAri.start(gateway.ari, "main");
    late.step("playing");
    call.hears("menu");
}

fn announcement() {
    let asterisk = Asterisk::start(&[("PORTS", "2")]);
    let mut settings = Settings::at(asterisk.sip, "asterisk");
    settings.extensions = "6001-6002";
    settings.applications = "\"builtin:announce\"";
    let _gateway = Gateway::registered(&settings);
    let call = Call::answered(asterisk.sip, "6001", "2001");
    call.hears("closed");
    call.wait_end();
}
