//! A person with a telephone, and the control extension of the witness.

use super::cluster::{A, B, Trio, W};
use super::*;
use crate::codecs::Digit;
use crate::ha::Role;
use crate::ha::role::Order;
use crate::node::AgentChange;
use crate::store::{Action, Agent, Audit, Body, Pin, Standing, Who};

/// A cluster whose primary is dead, whose policy is to ask a person, and that knows one agent.
pub(super) fn bereft() -> Trio {
    bereft_with("")
}

/// With more text in the witness's `[control]`.
pub(super) fn bereft_with(control: &str) -> Trio {
    let mut trio = Trio::with("manual", "", control);
    trio.run(Duration::from_secs(2));
    trio.order(A, Order::Promote { node: NodeId(0), forced: None });
    trio.run(Duration::from_secs(2));
    assert!(matches!(trio.role(A), Role::Primary(_)), "{:?}", trio.made[A].answers);
    add_agent(&mut trio);
    trio.kill(A);
    trio.run(Duration::from_secs(3));
    assert_eq!(trio.role(B), Role::Backup);
    trio
}

pub(super) fn add_agent(trio: &mut Trio) {
    let agent = Agent {
        number: "4711".to_owned(),
        name: "Ada".to_owned(),
        standing: Standing::Enabled,
        pin: Pin { salt: vec![1; 16].into(), hash: vec![2; 32].into() },
        extensions: Vec::new(),
        callback: false,
    };
    let change = AgentChange::Set(Box::new(agent));
    let who = Who::Operator("root".to_owned());
    input(trio, Input::Agent { id: RequestId(1), change, who });
    trio.run(Duration::from_secs(1));
}

/// The node whose control extension is called.
pub(super) fn witness(trio: &mut Trio) -> &mut Bench {
    let now = trio.now;
    let bench = trio.nodes[trio.phone].as_mut().expect("alive");
    bench.now = now;
    bench
}

pub(super) fn input(trio: &mut Trio, input: Input) {
    let bench = witness(trio);
    bench.node.handle_input(bench.now, input);
    trio.carry(trio.phone);
}

/// Somebody calls, and the node answers.
pub(super) fn call(trio: &mut Trio) {
    let bench = witness(trio);
    let port = bench.node.config.control.as_ref().expect("[control]").port;
    bench.contact = bench.node.sip.contact(port).expect("a port").uri.to_string();
    call_too(trio);
}

/// Somebody else calls while the first caller is there; the tests' caller is this one from here on.
pub(super) fn call_too(trio: &mut Trio) {
    let bench = witness(trio);
    let before: Vec<_> = bench.node.controls.calls.keys().copied().collect();
    let made = bench.arrive();
    let at = trio.phone;
    trio.made[at].add(made);
    let bench = witness(trio);
    let new = bench.node.controls.calls.keys().find(|call| !before.contains(call));
    bench.call = *new.expect("taken");
    media(trio, media::Event::Opened);
    let lines = trio.made[at].lines();
    assert!(lines.contains(&"SIP/2.0 200 OK"), "{lines:?}");
}

/// An event of the media of the tests' caller.
fn media(trio: &mut Trio, event: media::Event) {
    let bench = witness(trio);
    let (call, at) = (bench.call, bench.now);
    // A call that is over has no line; what comes late is of the first one.
    let port = bench.node.calls.get(&call).map_or(PORT, |entry| entry.port);
    input(trio, Input::Media { port, call, at, event });
}

/// What was said since the last time, word by word; it is heard to its end.
pub(super) fn heard(trio: &mut Trio) -> Vec<&'static str> {
    let at = trio.phone;
    let made = std::mem::take(&mut trio.made[at]);
    let words: Vec<_> = made.played().iter().flat_map(|play| play.pieces.clone()).collect();
    let last = made.played().last().map(|play| play.id);
    trio.made[at].checks = made.checks.clone();
    let bench = witness(trio);
    let prompts = Arc::clone(&bench.node.prompts);
    let name = |word: &Arc<media::Prompt>| {
        let found = prompts.menu.iter().find(|(_, known)| Arc::ptr_eq(known, word));
        *found.expect("a word of the menu").0
    };
    let said = words.iter().map(name).collect();
    if let Some(id) = last {
        let end = PlaybackEnd::Completed;
        media(trio, media::Event::PlaybackFinished { id, end, position_ms: 0 });
    }
    said
}

pub(super) fn key(trio: &mut Trio, keys: &str, in_band: bool) {
    for key in keys.chars() {
        let digit = Digit::from_char(key).expect("a key");
        let event = media::Event::Digit { digit, duration_ms: 80, rtp_timestamp: 0, in_band };
        media(trio, event);
        trio.run(Duration::from_millis(300));
    }
}

/// Number and PIN; the comparison says `matched`.
pub(super) fn log_in(trio: &mut Trio, matched: bool) -> Vec<&'static str> {
    heard(trio);
    key(trio, "4711#", false);
    key_pin(trio, matched)
}

pub(super) fn key_pin(trio: &mut Trio, matched: bool) -> Vec<&'static str> {
    heard(trio);
    key(trio, "836152#", false);
    let (call, check, pin) = trio.made[trio.phone].checks.pop().expect("a PIN to compare");
    assert_eq!(pin, "836152");
    input(trio, Input::PinChecked { call, check, matched: Some(matched) });
    trio.run(Duration::from_secs(2));
    heard(trio)
}

#[test]
fn an_agent_promotes_the_backup_by_phone_and_hears_the_result_on_the_open_call() {
    let mut trio = bereft();
    call(&mut trio);
    let state = log_in(&mut trio, true);
    assert!(state.len() > 5, "the state is spoken: {state:?}");
    key(&mut trio, "1", false);
    let asked = heard(&mut trio);
    let digits: Vec<_> = asked.iter().filter_map(|word| word.strip_prefix("digits/")).collect();
    assert_eq!(digits.len(), 3, "{asked:?}");
    trio.run(Duration::from_millis(100));
    key(&mut trio, &digits.concat(), false);
    trio.run(Duration::from_secs(3));
    assert!(matches!(trio.role(B), Role::Primary(_)), "{:?}", trio.role(B));
    let said = heard(&mut trio);
    assert!(said.iter().any(|word| word.contains("promoted")), "{said:?}");
}

#[test]
fn the_witness_says_how_many_ports_the_backup_has_proven_and_why_not_the_rest() {
    let mut trio = bereft();
    trio.input(B, Input::Disk { free: 1_000_000 });
    call(&mut trio);
    let state = log_in(&mut trio, true).join(" ");
    let wanted = "digits/0 portkeeper/of digits/1 portkeeper/ports-proven digits/1 \
                  portkeeper/port portkeeper/reason-disk portkeeper/data-current";
    assert!(state.contains(wanted), "{state}");
}

#[test]
fn times_of_day_are_those_of_the_site() {
    let mut trio = bereft();
    let zone = crate::menu::Zone { offset_s: 19_800, ..Default::default() };
    input(&mut trio, Input::Zone(zone));
    call(&mut trio);
    let state = log_in(&mut trio, true).join(" ");
    assert!(state.contains("portkeeper/is-silent-since digits/5 digits/30"), "{state}");
}

#[test]
fn wrong_digits_or_a_wrong_pin_change_no_role() {
    let mut trio = bereft();
    call(&mut trio);
    log_in(&mut trio, false);
    key(&mut trio, "1", false);
    trio.run(Duration::from_secs(5));
    assert_eq!(trio.role(B), Role::Backup);
    let mut trio = bereft();
    call(&mut trio);
    log_in(&mut trio, true);
    key(&mut trio, "1", false);
    let asked = heard(&mut trio);
    let wrong: String = asked
        .iter()
        .filter_map(|word| word.strip_prefix("digits/"))
        .map(|digit| if digit == "9" { '0' } else { '9' })
        .collect();
    key(&mut trio, &wrong, false);
    trio.run(Duration::from_secs(5));
    assert_eq!(trio.role(B), Role::Backup);
}

#[test]
fn a_drill_while_the_primary_lives_hears_that_the_backup_would_be_promoted() {
    let mut trio = Trio::new("auto");
    trio.run(Duration::from_secs(20));
    add_agent(&mut trio);
    let drill = |trio: &mut Trio| {
        call(trio);
        log_in(trio, true);
        key(trio, "9", false);
        let asked = heard(trio);
        let digits: Vec<_> = asked.iter().filter_map(|word| word.strip_prefix("digits/")).collect();
        key(trio, &digits.concat(), false);
        trio.run(Duration::from_secs(1));
        heard(trio).join(" ")
    };
    assert!(drill(&mut trio).contains("portkeeper/drill-over portkeeper/drill-possible"));
    trio.input(B, Input::Disk { free: 1_000_000 });
    let said = drill(&mut trio);
    assert!(said.contains("portkeeper/drill-refused portkeeper/disk-full"), "{said}");
    assert!(trio.role(A).acts());
    let drills = trio.made[B].facts.iter().filter_map(|fact| match &fact.body {
        Body::Audit(Audit { action: Action::Drill, result, .. }) => Some(result.is_ok()),
        _ => None,
    });
    assert_eq!(drills.collect::<Vec<_>>(), [true, false]);
}

#[test]
fn a_caller_whose_ssrc_changes_keys_his_pin_again() {
    let mut trio = bereft();
    call(&mut trio);
    log_in(&mut trio, true);
    media(&mut trio, media::Event::NewSsrc);
    let said = heard(&mut trio);
    assert!(said.contains(&"portkeeper/call-changed"), "{said:?}");
    key(&mut trio, "1", false);
    assert!(!heard(&mut trio).contains(&"portkeeper/key-to-promote"));
}

#[test]
fn an_agent_hears_why_a_promotion_is_refused_and_that_it_can_be_forced() {
    let mut trio = bereft();
    trio.input(B, Input::Disk { free: 1_000_000 });
    call(&mut trio);
    log_in(&mut trio, true);
    key(&mut trio, "1", false);
    let asked = heard(&mut trio);
    let digits: Vec<_> = asked.iter().filter_map(|word| word.strip_prefix("digits/")).collect();
    key(&mut trio, &digits.concat(), false);
    trio.run(Duration::from_secs(3));
    let said = heard(&mut trio).join(" ");
    let wanted = "portkeeper/promotion-refused portkeeper/disk-full portkeeper/may-force";
    assert!(said.contains(wanted), "{said}");
    assert_eq!(trio.role(B), Role::Backup);
}

#[test]
fn keys_that_are_heard_as_tones_count_for_nothing() {
    let mut trio = bereft();
    call(&mut trio);
    heard(&mut trio);
    key(&mut trio, "4711#836152#", true);
    assert!(trio.made[W].checks.is_empty());
}

#[test]
fn a_call_without_any_key_ends_by_itself() {
    let mut trio = bereft();
    call(&mut trio);
    for _ in 0..12 {
        trio.run(Duration::from_secs(5));
        heard(&mut trio);
    }
    assert!(witness(&mut trio).node.calls.is_empty());
}

#[test]
fn telephones_that_asked_for_it_hear_once_that_the_system_restarts() {
    let mut trio = bereft();
    call(&mut trio);
    log_in(&mut trio, true);
    trio.made[W] = Made::default();
    key(&mut trio, "44", false);
    let bench = witness(&mut trio);
    bench.caller_hangs_up();
    let (mut called, mut calls) = (Vec::new(), BTreeSet::new());
    for _ in 0..150 {
        trio.run(Duration::from_secs(1));
        let bench = witness(&mut trio);
        let placed = bench.node.calls.values().find(|entry| entry.outbound).map(|entry| entry.id);
        let Some(call) = placed.filter(|call| calls.insert(*call)) else { continue };
        bench.call = call;
        trio.made[W] = Made::default();
        media(&mut trio, media::Event::Opened);
        let invite = trio.made[W].to_pbx("INVITE ").to_owned();
        called.push(invite.split(['@', ':']).nth(1).expect("a number").to_owned());
    }
    assert_eq!(called, ["2001", "2002"], "each once, one after the other");
}

#[test]
fn every_try_is_in_the_audit_log_of_both_nodes() {
    let mut trio = bereft();
    call(&mut trio);
    log_in(&mut trio, false);
    trio.run(Duration::from_secs(1));
    for node in [B, W] {
        let bench = trio.nodes[node].as_ref().expect("alive");
        assert_eq!(bench.node.agents.failures("4711"), 1);
    }
}

/// Wrong PINs, each in a call of its own.
pub(super) fn guess(trio: &mut Trio, guesses: usize) {
    for _ in 0..guesses {
        call(trio);
        log_in(trio, false);
        witness(trio).caller_hangs_up();
        trio.carry(W);
        trio.run(Duration::from_secs(1));
    }
}

#[test]
fn a_store_that_takes_nothing_gives_nobody_more_guesses_and_is_an_alarm() {
    let mut trio = bereft();
    guess(&mut trio, 2);
    input(&mut trio, Input::Cluster(member::Input::StoreFailed));
    guess(&mut trio, 2);
    let bench = witness(&mut trio);
    let locked = |bench: &Bench| bench.node.agents.lock("4711", bench.node.unix_ms(bench.now));
    assert_eq!((bench.node.agents.failures("4711"), locked(bench)), (4, None));
    guess(&mut trio, 1);
    let bench = witness(&mut trio);
    assert!(locked(bench).is_some(), "five in a row");
    assert_eq!(bench.node.snapshot(bench.now).counters.facts_refused_total, 0, "B has them");
    let alarms = bench.node.alarms(bench.now);
    let full = alarms.iter().find(|alarm| alarm.kind.name() == "facts_refused").expect("told");
    assert!(full.kind.to_string().contains("make room on the disk"), "{}", full.kind);
    call(&mut trio);
    let said = log_in(&mut trio, true);
    assert!(said.iter().any(|word| word.contains("locked")), "{said:?}");
}

#[test]
fn two_callers_are_served_each_for_himself_and_a_third_is_told_that_it_is_busy() {
    let mut trio = bereft();
    call(&mut trio);
    let first = witness(&mut trio).call;
    heard(&mut trio);
    key(&mut trio, "4711#", false);
    call_too(&mut trio);
    let said = log_in(&mut trio, false).join(" ");
    assert!(said.contains("not-correct"), "{said}");
    witness(&mut trio).call = first;
    let state = key_pin(&mut trio, true);
    assert!(state.len() > 5, "the state is spoken to the first one: {state:?}");
    let bench = witness(&mut trio);
    let made = bench.arrive();
    assert!(made.lines().contains(&"SIP/2.0 486 Busy Here"), "{:?}", made.lines());
    witness(&mut trio).call = first;
    trio.made[W] = Made::default();
    key(&mut trio, "1", false);
    let asked = heard(&mut trio);
    let digits: Vec<_> = asked.iter().filter_map(|word| word.strip_prefix("digits/")).collect();
    key(&mut trio, &digits.concat(), false);
    trio.run(Duration::from_secs(3));
    assert!(matches!(trio.role(B), Role::Primary(_)), "{:?}", trio.role(B));
}

#[test]
fn twenty_wrong_pins_within_ten_minutes_are_an_alarm() {
    let mut trio = bereft();
    let bench = witness(&mut trio);
    let alarm = |bench: &Bench| {
        let alarms = bench.node.snapshot(bench.now).alarms;
        alarms.iter().any(|alarm| alarm.kind.to_string().contains("20 wrong PINs"))
    };
    for n in 0..20 {
        assert!(!alarm(bench), "{n}");
        let who = Who::Agent { number: format!("{n}"), extension: format!("2{n}").into() };
        let result = Err("wrong PIN".to_owned());
        bench.node.append(bench.now, Body::Audit(Audit { who, action: Action::Login, result }));
        bench.now += Duration::from_secs(20);
    }
    assert!(alarm(bench));
}

#[test]
fn a_lock_counts_wrong_pins_of_all_callers() {
    let mut trio = bereft();
    guess(&mut trio, 4);
    call(&mut trio);
    let first = witness(&mut trio).call;
    heard(&mut trio);
    key(&mut trio, "4711#", false);
    call_too(&mut trio);
    log_in(&mut trio, false);
    witness(&mut trio).call = first;
    let said = key_pin(&mut trio, true);
    assert!(said.iter().any(|word| word.contains("locked")), "{said:?}");
}

#[test]
fn who_is_called_keeps_no_agent_out_and_nobody_else_is_called_meanwhile() {
    let mut trio = bereft();
    call(&mut trio);
    log_in(&mut trio, true);
    trio.made[W] = Made::default();
    key(&mut trio, "44", false);
    trio.run(Duration::from_secs(5));
    let placed = |trio: &mut Trio| {
        let bench = witness(trio);
        bench.node.calls.values().filter(|entry| entry.outbound).count()
    };
    assert_eq!(placed(&mut trio), 1, "the first telephone, beside the agent");
    witness(&mut trio).caller_hangs_up();
    trio.run(Duration::from_secs(1));
    assert_eq!(placed(&mut trio), 1, "one after the other");
    call(&mut trio);
}
