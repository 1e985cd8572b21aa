//! Thirty ports at a real Asterisk: registered, refreshed, re-homed, taken away in order.

use std::thread;
use std::time::Duration;

use crate::asterisk::Asterisk;
use crate::clients::{Client, serve_a_call};
use crate::gateway::{Gateway, Settings};
use crate::phone::Call;
use crate::process::{PATIENCE, eventually, within};
use crate::runner::Test;

/// What this file proves.
pub const TESTS: &[Test] = &[
    ("registration::thirty_ports_stay_registered_over_refreshes", stay_registered),
    ("registration::an_orderly_stop_takes_every_binding_away", orderly_stop),
    ("registration::sha_256_is_answered", sha_256),
    ("registration::ports_register_and_take_calls_over_tcp", over_tcp),
    ("registration::a_wrong_password_is_said_and_not_hammered", wrong_password),
    ("registration::an_extension_that_the_pbx_lacks_leaves_the_others_alone", unknown_extension),
    ("registration::ports_come_back_when_the_pbx_does", pbx_restarts),
];

/// Contacts that Asterisk knows of extensions 60xx.
fn contacts(asterisk: &Asterisk) -> Vec<String> {
    let listing = asterisk.cli("pjsip show contacts");
    listing
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Contact:"))
        .map(|line| line.trim().to_owned())
        .filter(|line| line.starts_with("60"))
        .collect()
}

fn stay_registered() {
    let asterisk = Asterisk::start(&[("MAX_EXPIRES", "12")]);
    let gateway = Gateway::registered(&Settings::at(asterisk.sip, "asterisk"));
    assert_eq!(contacts(&asterisk).len(), 30);
    // Three granted lifetimes: without refreshes every binding would be gone twice over.
    for _ in 0..18 {
        thread::sleep(Duration::from_secs(2));
        assert_eq!(contacts(&asterisk).len(), 30, "a binding lapsed");
        assert!(gateway.all_registered());
    }
    let granted = gateway.port("6001")["registration"]["expires_s"].as_u64();
    // Asterisk rounds down what is left of the 12 s.
    assert!(matches!(granted, Some(10..=12)), "the PBX decides the lifetime: {granted:?}");
}

fn orderly_stop() {
    let asterisk = Asterisk::start(&[]);
    let mut gateway = Gateway::registered(&Settings::at(asterisk.sip, "asterisk"));
    let status = gateway.process.stop();
    assert!(status.success(), "an orderly stop is a success, not {status}");
    eventually("every binding is taken away", || contacts(&asterisk).is_empty().then_some(()));
}

fn sha_256() {
    let asterisk = Asterisk::start(&[("ALGORITHM", "SHA-256"), ("PORTS", "2")]);
    let mut settings = Settings::at(asterisk.sip, "asterisk");
    settings.extensions = "6001-6002";
    let _gateway = Gateway::registered(&settings);
    assert_eq!(contacts(&asterisk).len(), 2);
}

fn over_tcp() {
    let asterisk = Asterisk::start(&[("PORTS", "4")]);
    let mut settings = Settings::at(asterisk.sip, "asterisk");
    settings.extensions = "6001-6004";
    settings.pbx = "transport = \"tcp\"";
    let gateway = Gateway::registered(&settings);
    let bindings = asterisk.cli("database show registrar");
    assert!(bindings.to_lowercase().contains("transport=tcp"), "{bindings}");
    let program = Client::NpmAri.start(gateway.ari, "main");
    gateway.instances(1);
    let call = Call::answered(asterisk.sip, "6003", "2000");
    serve_a_call(&program, &call);
}

fn wrong_password() {
    let asterisk = Asterisk::start(&[("PORTS", "2")]);
    let mut settings = Settings::at(asterisk.sip, "asterisk");
    settings.extensions = "6001-6002";
    settings.password = "not-the-password-of-{extension}";
    let gateway = Gateway::start(&settings);
    let port = gateway.port_becomes("6001", "refused");
    let detail = port["registration"]["detail"].as_str().unwrap_or("");
    assert!(detail.contains("401") || detail.contains("password"), "says why: {detail:?}");
    let status = gateway.ask("status");
    assert!(status["alarms"].as_array().is_some_and(|all| !all.is_empty()), "an alarm: {status}");
    let sent = gateway.counter("registers_total");
    thread::sleep(Duration::from_secs(3));
    let more = gateway.counter("registers_total") - sent;
    assert!(more <= 2, "{more} REGISTERs in 3 s with a password that is known to be wrong");
}

fn unknown_extension() {
    let asterisk = Asterisk::start(&[("PORTS", "2")]);
    let mut settings = Settings::at(asterisk.sip, "asterisk");
    settings.extensions = "6001-6003";
    let gateway = Gateway::start(&settings);
    let port = gateway.port_becomes("6003", "refused");
    let detail = port["registration"]["detail"].as_str().unwrap_or("");
    assert!(detail.contains("40"), "says what the PBX said: {detail:?}");
    gateway.port_becomes("6001", "registered");
}

fn pbx_restarts() {
    let asterisk = Asterisk::start(&[("MAX_EXPIRES", "12"), ("PORTS", "4")]);
    let mut settings = Settings::at(asterisk.sip, "asterisk");
    settings.extensions = "6001-6004";
    let gateway = Gateway::registered(&settings);
    drop(asterisk);
    gateway.port_becomes("6001", "unreachable");
    let asterisk = Asterisk::start(&[("MAX_EXPIRES", "12"), ("PORTS", "4")]);
    within(PATIENCE * 3, "every port is registered again", || {
        gateway.all_registered().then_some(())
    });
    assert_eq!(contacts(&asterisk).len(), 4);
}
