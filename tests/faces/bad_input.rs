//! What is wrong outside of the node: each gives one clear line in the log that names who must
//! act, a state in `status`, a metric, and something that the caller hears.

#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "plays on real sockets and files"
)]

use std::fs;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};

use portkeeper::sim::app::Event;
use portkeeper::stage::pbx::LineState;

use super::stand::{
    Stand, Wish, call, eventually, free_tcp_port, hears_sound, line, line_when, loudness,
    own_udp_ports, pbx, press, repository,
};

/// One line in the log, the sentence in `status`, and the metric.
fn is_told(stand: &Stand, kind: &str, words: &[&str]) {
    let sentence = stand.alarm(kind);
    for word in words {
        assert!(sentence.contains(word), "no {word:?} in {sentence:?}");
    }
    let lines = stand.log_lines(&sentence);
    assert_eq!(lines.len(), 1, "one line: {lines:?}");
    assert!(lines[0].contains("WARN") && lines[0].contains(kind), "{lines:?}");
    assert!(stand.said(&["status"]).contains(&format!("ALARM      {sentence}")));
    assert_eq!(stand.metric(&format!("portkeeper_alarms{{kind=\"{kind}\"}}")), 1.0);
    let others = stand.json("status")["alarms"].as_array().expect("a list").len();
    assert_eq!(others, 1, "one thing is wrong, one alarm stands");
}

#[test]
fn a_refused_password_is_told_once_and_the_pbx_keeps_the_caller() {
    let pbx = pbx(&["6001"]);
    let (extensions, password) = ("\"6001\"", "not-the-one-of-the-account-1");
    let stand = Wish { extensions, password, ..Wish::at(pbx.address) }.start();
    let words = ["extension 6001", "403", "correct its auth_user and password"];
    is_told(&stand, "pbx_refused", &words);
    assert_eq!(stand.json("status")["registrations"]["refused"], 1);
    assert!(stand.said(&["ports"]).contains("refused with 403"));
    assert_eq!(stand.metric("portkeeper_registrations{state=\"refused\"}"), 1.0);
    assert!(stand.page("/readyz").1.contains("no port is registered at the PBX (1 refused"));
    let line = call(&pbx, 1, "6001");
    line_when(&pbx, line, LineState::Lost);
}

#[test]
fn an_unknown_account_is_told_once_and_callers_are_served_by_the_other_port() {
    let pbx = pbx(&["6001"]);
    let stand = Wish::at(pbx.address).start();
    is_told(&stand, "pbx_refused", &["extension 6002", "404", "or its account at the PBX"]);
    stand.registered(1);
    let _instance = stand.instance();
    let refused = call(&pbx, 1, "6002");
    line_when(&pbx, refused, LineState::Lost);
    let served = call(&pbx, 2, "6001");
    line_when(&pbx, served, LineState::Up);
    hears_sound(&pbx, served);
}

#[test]
fn an_unreachable_pbx_is_one_alarm_for_all_ports() {
    let nobody = free_tcp_port();
    let stand = Wish { transport: "tcp", ..Wish::at(nobody) }.start();
    let pbx = nobody.to_string();
    is_told(&stand, "pbx_unreachable", &[&pbx, "2 ports", "check the network"]);
    assert_eq!(stand.json("status")["registrations"]["unreachable"], 2);
    assert_eq!(stand.metric("portkeeper_registrations{state=\"unreachable\"}"), 2.0);
    assert!(stand.said(&["ports"]).contains("no answer from any registrar"));
    assert!(stand.page("/readyz").1.contains("2 unreachable"));
    assert_eq!(stand.page("/livez").0, 200, "the node itself is well");
}

#[test]
fn a_pbx_name_that_does_not_resolve_ends_no_node_and_is_told_everywhere() {
    let registrar = Some("pbx.invalid".to_owned());
    let stand = Wish { registrar, ..Wish::at(free_tcp_port()) }.start();
    is_told(&stand, "pbx_name_unknown", &["PBX name does not resolve: pbx.invalid:5060"]);
    assert_eq!(stand.json("status")["registrations"]["unresolved"], 2);
    assert_eq!(stand.metric("portkeeper_registrations{state=\"unresolved\"}"), 2.0);
    assert!(stand.metric("portkeeper_name_lookups_failed_total") >= 1.0);
    assert!(stand.said(&["ports"]).contains("PBX name does not resolve"));
    let (ready, why) = stand.page("/readyz");
    assert_eq!((ready, why.contains("PBX name does not resolve")), (503, true), "{why}");
    assert_eq!(stand.page("/livez").0, 200, "the node itself is well");
}

#[test]
fn a_pbx_by_name_is_resolved_and_its_ports_register() {
    let pbx = pbx(&["6001", "6002"]);
    let name = format!("localhost:{}", pbx.address.port());
    let stand = Wish { registrar: Some(name.clone()), ..Wish::at(pbx.address) }.start();
    stand.registered(2);
    let ports = stand.json("ports");
    assert!(ports.to_string().contains(&name), "{ports}");
}

/// Some prompts of the repository in a directory of their own.
fn some_prompts(names: &[&str]) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    for name in names {
        let file = format!("{name}.wav");
        let from = repository("fixtures/prompts/en").join(&file);
        let to = directory.path().join(&file);
        fs::create_dir_all(to.parent().expect("a directory")).expect("made");
        fs::copy(from, to).expect("copied");
    }
    let path = directory.path().to_owned();
    (directory, path)
}

#[test]
fn a_missing_hold_prompt_is_told_at_the_start_and_the_caller_waits_in_silence() {
    let pbx = pbx(&["6001", "6002"]);
    let (_directory, prompts) = some_prompts(&["menu"]);
    let application = "queue_ring = \"0ms\"\nhold_prompt = \"please-hold\"";
    let file = prompts.join("please-hold.wav");
    let stand = Wish { application, prompts, ..Wish::at(pbx.address) }.start();
    let path = Path::new(&file).to_str().expect("a plain path").to_owned();
    is_told(&stand, "prompt_missing", &["please-hold", "silence", "put a WAV file at", &path]);
    stand.registered(2);
    let waits = call(&pbx, 1, "6001");
    line_when(&pbx, waits, LineState::Up);
    eventually("silence", || (line(&pbx, waits).heard.packets > 20).then_some(()));
    assert!(loudness(&line(&pbx, waits)) < 100, "silence, and no gap");
    // And the call is served as soon as somebody is there.
    let _instance = stand.instance();
    hears_sound(&pbx, waits);
}

#[test]
fn a_directory_of_prompts_that_is_not_there_is_told_and_the_node_serves_without() {
    let pbx = pbx(&["6001", "6002"]);
    let prompts = PathBuf::from("/nowhere/prompts");
    let stand = Wish { prompts, ..Wish::at(pbx.address) }.start();
    is_told(&stand, "other", &["media.prompts", "/nowhere/prompts", "start the node again"]);
    stand.registered(2);
    let _instance = stand.instance();
    let served = call(&pbx, 1, "6001");
    line_when(&pbx, served, LineState::Up);
}

#[test]
fn a_prompt_that_an_application_misses_is_told_and_the_call_goes_on() {
    let pbx = pbx(&["6001", "6002"]);
    let (_directory, prompts) = some_prompts(&["menu"]);
    let stand = Wish { prompts, ..Wish::at(pbx.address) }.start();
    stand.registered(2);
    let instance = stand.instance();
    let served = call(&pbx, 1, "6001");
    line_when(&pbx, served, LineState::Up);
    hears_sound(&pbx, served);
    // The application answers a key with "digits/7", which is not there.
    press(&pbx, served, "7");
    is_told(&stand, "prompt_missing", &["digits/7", "put a WAV file at"]);
    press(&pbx, served, "7");
    instance.wait_for(|said| matches!(said, Event::Acknowledged { digits, .. } if digits == "77"));
    assert_eq!(line(&pbx, served).state, LineState::Up);
    assert_eq!(stand.log_lines("prompt digits/7 cannot be played").len(), 1, "told once");
}

/// Takes the even ports of a range, all but the last `free` ones.
fn occupy(range: &str, free: usize) -> Vec<UdpSocket> {
    let (first, last) = range.split_once('-').expect("a range");
    let (first, last): (u16, u16) = (first.parse().expect("it"), last.parse().expect("it"));
    let even: Vec<u16> = (first..last).step_by(2).collect();
    let taken = &even[..even.len() - free];
    taken.iter().map(|&port| UdpSocket::bind(("127.0.0.1", port)).expect("free")).collect()
}

#[test]
fn a_udp_port_in_use_is_told_and_the_call_takes_another() {
    let pbx = pbx(&["6001"]);
    let range = own_udp_ports();
    let (first, _) = range.split_once('-').expect("a range");
    let first: u16 = first.parse().expect("a number");
    // Four ports, one of them free: the random choice hits it within the tries of one call.
    let range = format!("{first}-{}", first + 7);
    let _held = occupy(&range, 1);
    let udp_ports = Some(range.clone());
    let wish = Wish { extensions: "\"6001\"", udp_ports, ..Wish::at(pbx.address) };
    let stand = wish.start();
    stand.registered(1);
    let _instance = stand.instance();
    // The first choice may be the free one; the next call then takes another, since ports rest.
    let mut lines = 0;
    while stand.json("status")["alarms"].as_array().is_some_and(Vec::is_empty) {
        lines += 1;
        let served = call(&pbx, lines, "6001");
        line_when(&pbx, served, LineState::Up);
        hears_sound(&pbx, served);
        pbx.command(portkeeper::stage::pbx::Command::HangUp { line: served });
        line_when(&pbx, served, LineState::Done);
        stand.status_when("idle", |s| s["calls"] == 0);
    }
    let sentence = stand.alarm("udp_port_in_use");
    assert!(sentence.contains("media.udp_ports") && sentence.contains("stop that program"));
    assert_eq!(stand.log_lines(&sentence).len(), 1);
    assert!(stand.metric("portkeeper_alarms{kind=\"udp_port_in_use\"}") >= 1.0);
}

#[test]
fn a_range_that_is_all_in_use_refuses_the_call_so_that_the_pbx_goes_on() {
    let pbx = pbx(&["6001"]);
    let range = own_udp_ports();
    let (first, _) = range.split_once('-').expect("a range");
    let first: u16 = first.parse().expect("a number");
    let range = format!("{first}-{}", first + 1);
    let _held = occupy(&range, 0);
    let udp_ports = Some(range);
    let stand = Wish { extensions: "\"6001\"", udp_ports, ..Wish::at(pbx.address) }.start();
    stand.registered(1);
    let _instance = stand.instance();
    let refused = call(&pbx, 1, "6001");
    line_when(&pbx, refused, LineState::Lost);
    let words = [first.to_string(), "move the range or stop that program".to_owned()];
    is_told(&stand, "udp_port_in_use", &words.each_ref().map(String::as_str));
    assert_eq!(stand.metric("portkeeper_calls_ended_total{cause=\"refused\"}"), 1.0);
    stand.status_when("idle", |s| s["ports"]["idle"] == 1);
}

#[test]
fn without_an_instance_the_next_entry_of_the_port_speaks() {
    let pbx = pbx(&["6001", "6002"]);
    let wish = Wish {
        applications: "[\"main\", \"builtin:announce\"]",
        announce: "prompts = [\"please-try-again-later\"]",
        ..Wish::at(pbx.address)
    };
    let stand = wish.start();
    stand.registered(2);
    let line = call(&pbx, 1, "6001");
    line_when(&pbx, line, LineState::Up);
    hears_sound(&pbx, line);
    assert_eq!(stand.json("status")["ports"]["announce"], 1);
    is_told(
        &stand,
        "no_instance",
        &["application main", "builtin:announce", "start the application"],
    );
    assert_eq!(stand.metric("portkeeper_instances{health=\"healthy\"}"), 0.0);
    assert!(stand.said(&["status"]).contains("none connected"));
    line_when(&pbx, line, LineState::Lost);
}

#[test]
fn without_an_instance_and_a_next_entry_the_caller_hears_the_hold_prompt() {
    let pbx = pbx(&["6001", "6002"]);
    let application = "queue_ring = \"0ms\"\nhold_prompt = \"please-hold\"";
    let stand = Wish { application, ..Wish::at(pbx.address) }.start();
    stand.registered(2);
    let waits = call(&pbx, 1, "6001");
    line_when(&pbx, waits, LineState::Up);
    hears_sound(&pbx, waits);
    is_told(&stand, "no_instance", &["application main", "hold prompt", "start the application"]);
    assert_eq!(stand.json("status")["ports"]["queued"], 1);
    let instance = stand.instance();
    instance.wait_for(|said| matches!(said, Event::Started { .. }));
    stand.status_when("the alarm is over", |s| s["alarms"].as_array().is_some_and(Vec::is_empty));
    assert_eq!(stand.log_lines("alarm over: no healthy instance").len(), 1);
}
