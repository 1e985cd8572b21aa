//! Whom the witness calls when something happened.

use super::cluster::{A, B, Trio, W, text};
use super::menu::{bereft_with, call_too, key, log_in, witness};
use super::*;
use crate::ha::role::{Event, Order};
use crate::ids::Epoch;
use crate::menu::Alarm;
use crate::node::control::Trunk;
use crate::node::snapshot::AlarmKind;
use crate::node::snapshot::cluster::TRUNK_STATES;

const ON_CALL: &str = "[[control.on_call]]\nextension = \"2003\"\n\
    [[control.on_call]]\nextension = \"2004\"\n";

const TRUNK: &str = "[control.trunk]\naddress = \"198.51.100.7:5060\"\nnumber = \"4930123456\"\n";

/// Whose trunk reaches the second of the people on call.
fn with_trunk() -> Trio {
    Trio::with("auto", "", &format!("{TRUNK}{ON_CALL}outside = \"49170555\"\n"))
}

fn trio(promotion: &str) -> Trio {
    let mut trio = Trio::with(promotion, "", ON_CALL);
    trio.run(Duration::from_secs(5));
    trio.made[W] = Made::default();
    trio
}

/// Lets time pass; the numbers that the witness calls meanwhile. Nobody answers.
fn called(trio: &mut Trio, seconds: u32) -> Vec<String> {
    called_on(trio, PORT, seconds)
}

fn called_on(trio: &mut Trio, line: PortId, seconds: u32) -> Vec<String> {
    let mut numbers = Vec::new();
    for _ in 0..seconds * 10 {
        trio.run(Duration::from_millis(100));
        let bench = trio.nodes[W].as_mut().expect("alive");
        bench.now = trio.now;
        let Some(call) = bench.node.call_of(line).filter(|call| *call != bench.call) else {
            continue;
        };
        bench.call = call;
        let (port, at) = (line, trio.now);
        let made = bench.input(Input::Media { port, call, at, event: media::Event::Opened });
        let invite = made.to_pbx("INVITE ");
        numbers.push(invite.split(['@', ':']).nth(1).expect("a number").to_owned());
        trio.made[W].add(made);
        trio.carry(W);
    }
    numbers
}

#[test]
fn who_does_not_answer_is_given_up_for_the_next() {
    let mut trio = trio("auto");
    trio.kill(B);
    assert_eq!(called(&mut trio, 15), ["2003"]);
    assert_eq!(called(&mut trio, 20), ["2004"]);
    assert_eq!(called(&mut trio, 400).len(), 4, "three rounds");
}

#[test]
fn whose_call_never_left_is_called_when_the_extension_is_free() {
    let mut trio = trio("auto");
    let bench = trio.nodes[W].as_mut().expect("alive");
    bench.contact = bench.node.sip.contact(PORT).expect("a port").uri.to_string();
    bench.now = trio.now;
    bench.arrive();
    let in_menu = bench.call;
    trio.carry(W);
    trio.kill(B);
    for _ in 0..9 {
        let digit = crate::codecs::Digit::from_char('*').expect("a key");
        let event =
            media::Event::Digit { digit, duration_ms: 80, rtp_timestamp: 0, in_band: false };
        let at = trio.now;
        trio.input(W, Input::Media { port: PORT, call: in_menu, at, event });
        assert_eq!(called(&mut trio, 5), Vec::<String>::new(), "somebody is in the menu");
    }
    let bench = trio.nodes[W].as_mut().expect("alive");
    bench.now = trio.now;
    let made = bench.caller_hangs_up();
    trio.made[W].add(made);
    trio.carry(W);
    let called = called(&mut trio, 200);
    assert!(called.contains(&"2003".to_owned()) && called.contains(&"2004".to_owned()));
}

/// Lets time pass until the witness calls somebody, and has a voice mail answer; who it is.
fn voice_mail_answers(trio: &mut Trio) -> String {
    for _ in 0..300 {
        trio.run(Duration::from_millis(100));
        let said = std::mem::take(&mut trio.made[W].sip);
        let bench = trio.nodes[W].as_mut().expect("alive");
        if let Some(bye) = said.iter().find(|text| text.starts_with("BYE ")) {
            bench.reply(bye, "200 OK");
        }
        let mut calls = bench.node.controls.calls.iter();
        let Some((&call, _)) = calls.find(|(_, control)| !control.began) else { continue };
        let port = bench.node.calls[&call].port;
        let at = trio.now;
        let made = bench.input(Input::Media { port, call, at, event: media::Event::Opened });
        let invite = made.to_pbx("INVITE ").to_owned();
        bench.pick_up(&invite);
        return invite.split(['@', ':']).nth(1).expect("a number").to_owned();
    }
    panic!("nobody was called for 30 s");
}

#[test]
fn a_voice_mail_that_stays_on_the_line_holds_nobody_up() {
    let on_call = ON_CALL.to_owned() + "[[control.on_call]]\nextension = \"2005\"\n";
    let mut trio = Trio::with("auto", "", &on_call);
    trio.run(Duration::from_secs(5));
    trio.kill(B);
    let mails = [(); 3].map(|()| voice_mail_answers(&mut trio));
    assert_eq!(mails, ["2003", "2004", "2005"]);
}

#[test]
fn a_switchover_rings_nobody_and_a_stop_without_a_successor_does() {
    let mut trio = trio("manual");
    trio.order(A, Order::Promote { node: NodeId(0), forced: None });
    trio.run(Duration::from_secs(2));
    assert!(trio.role(A).acts());
    called(&mut trio, 400);
    trio.order(A, Order::Switchover { to: NodeId(1), forced: false });
    let rung = called(&mut trio, 4);
    assert!(trio.role(B).acts());
    called(&mut trio, 400);
    trio.order(B, Order::Release);
    assert_eq!(called(&mut trio, 4), ["2003"]);
    assert_eq!(rung, Vec::<String>::new());
}

#[test]
fn what_happens_again_is_told_again() {
    let mut trio = trio("auto");
    for _ in 0..2 {
        trio.cut.extend([(A, B), (B, W)]);
        trio.down(W, B);
        assert_eq!(called(&mut trio, 400).len(), 6, "two people, three rounds");
        trio.cut.clear();
        trio.greet(W);
        assert_eq!(called(&mut trio, 5), Vec::<String>::new());
    }
}

#[test]
fn a_pbx_that_no_node_reaches_is_told_at_once_and_that_a_promotion_would_not_help() {
    let mut trio = trio("auto");
    let told = |trio: &Trio| {
        let kinds = trio.made[W].alerts.iter().map(|incident| incident.kind);
        kinds.filter(|kind| *kind == "pbx.unreachable").count()
    };
    let lose = |trio: &mut Trio, at: usize| {
        let bench = trio.nodes[at].as_mut().expect("alive");
        (bench.pbx_dead, bench.grants) = (true, false);
    };
    lose(&mut trio, B);
    trio.run(Duration::from_secs(150));
    assert_eq!(told(&trio), 0, "the primary reaches it");
    [A, W].into_iter().for_each(|at| lose(&mut trio, at));
    assert_eq!(called(&mut trio, 150).first().map(String::as_str), Some("2003"));
    assert_eq!(told(&trio), 1);
    let incident = trio.made[W].alerts.last().expect("told");
    assert!(incident.text.contains("a promotion would not help"), "{incident:?}");
    let bench = trio.nodes[W].as_ref().expect("alive");
    assert_eq!(bench.node.evidence(trio.now).alarm, Some(Alarm::PbxUnreachable));
    assert!(trio.role(A).acts(), "nobody is better off");
}

#[test]
fn a_node_that_does_not_reach_the_pbx_calls_by_the_trunk_whom_that_reaches() {
    let mut trio = with_trunk();
    trio.run(Duration::from_secs(150));
    trio.kill(B);
    assert_eq!(called(&mut trio, 15), ["2003"], "the PBX is reached");
    for at in [A, W] {
        let bench = trio.nodes[at].as_mut().expect("alive");
        (bench.pbx_dead, bench.grants) = (true, false);
    }
    let by_trunk = called_on(&mut trio, PortId(1), 300);
    assert!(by_trunk.len() >= 2, "in every round: {by_trunk:?}");
    assert!(by_trunk.iter().all(|number| number == "49170555"), "{by_trunk:?}");
    assert_eq!(called(&mut trio, 200), Vec::<String>::new(), "nothing leaves for the PBX");
}

/// What the witness says of its trunk, and whether that is an alarm.
fn trunk(trio: &Trio) -> (&'static str, bool) {
    let snapshot = trio.nodes[W].as_ref().expect("alive").node.snapshot(trio.now);
    let alarm = snapshot.alarms.iter().any(
        |alarm| matches!(&alarm.kind, AlarmKind::Other { text, .. } if text.contains("the trunk")),
    );
    (snapshot.cluster.expect("a cluster").trunk.expect("a trunk").state, alarm)
}

#[test]
fn a_trunk_that_answers_no_more_is_an_alarm_until_it_does() {
    let mut trio = with_trunk();
    assert_eq!(trunk(&trio), ("answers", false));
    trio.nodes[W].as_mut().expect("alive").pbx_dead = true;
    trio.run(Duration::from_secs(240));
    assert_eq!(trunk(&trio), ("silent", true));
    trio.nodes[W].as_mut().expect("alive").pbx_dead = false;
    trio.run(Duration::from_secs(61));
    assert_eq!(trunk(&trio), ("answers", false));
}

#[test]
fn a_trunk_that_never_answered_is_not_one_that_fell_silent() {
    let never = Trunk::Untried.after(false).after(false);
    assert_eq!((never, never.after(true)), (Trunk::Unheard, Trunk::Answers));
    assert_eq!(never.after(true).after(false).after(false), Trunk::Silent);
    let told = [Trunk::Untried, Trunk::Answers, Trunk::Silent, Trunk::Unheard].map(Trunk::name);
    assert!(told.iter().all(|name| TRUNK_STATES.contains(name)), "{told:?}");
}

/// A trio whose witness has reached nobody but a person by the trunk, who listens.
fn listening_by_trunk() -> (Trio, CallId) {
    let person = "[[control.on_call]]\nextension = \"2003\"\noutside = \"49170555\"\n";
    let mut trio = Trio::with("auto", "", &format!("{TRUNK}{person}"));
    trio.run(Duration::from_secs(150));
    for at in [A, B, W] {
        let bench = trio.nodes[at].as_mut().expect("alive");
        (bench.pbx_dead, bench.grants) = (true, false);
    }
    let line = PortId(1);
    for _ in 0..2_000 {
        trio.run(Duration::from_millis(100));
        let at = trio.now;
        let bench = trio.nodes[W].as_mut().expect("alive");
        if let Some(call) = bench.node.call_of(line) {
            let event = media::Event::Opened;
            let made = bench.input(Input::Media { port: line, call, at, event });
            bench.pick_up(made.to_pbx("INVITE "));
            return (trio, call);
        }
    }
    panic!("nobody was called");
}

#[test]
fn who_listens_by_the_trunk_and_is_silent_is_not_taken_for_a_caller_of_the_dead_pbx() {
    let (mut trio, call) = listening_by_trunk();
    let (line, at) = (PortId(1), trio.now);
    let bench = trio.nodes[W].as_mut().expect("alive");
    assert!(bench.node.pbx_is_silent());
    let event = media::Event::InboundSilent;
    let made = bench.input(Input::Media { port: line, call, at, event });
    assert!(!made.sip.iter().any(|text| text.starts_with("BYE ")), "{:?}", made.sip);
    assert_eq!(bench.node.call_of(line), Some(call));
}

#[test]
fn the_primary_rings_people_when_it_is_the_witness_that_is_lost() {
    let control =
        format!("[control]\nextension = \"6091\"\npassword = \"kT7-pq2Zr9vXw4mN8sLd\"\n{ON_CALL}");
    let mut trio = Trio::of(["a", "b", "w"].map(|name| {
        let data = if name == "w" { "" } else { &control };
        Bench::with(&(text(name, "auto", "", ON_CALL) + data))
    }));
    trio.run(Duration::from_secs(5));
    assert!(trio.role(A).acts());
    let rings = |trio: &Trio, at: usize| {
        let bench = trio.nodes[at].as_ref().expect("alive");
        bench.node.call_of(PortId(1)).is_some()
    };
    assert!(!rings(&trio, A) && !rings(&trio, B), "nothing has happened");
    trio.kill(W);
    trio.run(Duration::from_secs(5));
    assert!(rings(&trio, A) && !rings(&trio, B), "the primary alone");
}

#[test]
fn a_failed_promotion_that_an_agent_acknowledges_rings_nobody_any_more() {
    let mut trio = bereft_with(ON_CALL);
    let bench = witness(&mut trio);
    let event = Event::PromotionFailed { epoch: Epoch(1), why: "no majority".to_owned() };
    bench.node.alert_event(bench.now, &event);
    bench.contact = bench.node.sip.contact(PORT).expect("a port").uri.to_string();
    assert!(bench.node.controls.alerts.poll_timeout().is_some(), "somebody is called");
    call_too(&mut trio);
    log_in(&mut trio, true);
    key(&mut trio, "3", false);
    let bench = witness(&mut trio);
    assert_eq!(bench.node.controls.alerts.poll_timeout(), None);
    assert_eq!(bench.node.evidence(bench.now).alarm, None);
}

#[test]
fn what_is_over_does_not_hide_what_happens_later() {
    let mut trio = Trio::new("auto");
    trio.run(Duration::from_secs(5));
    trio.kill(A);
    trio.run(Duration::from_secs(10));
    assert!(trio.role(B).acts());
    let bench = witness(&mut trio);
    assert_ne!(bench.node.evidence(bench.now).alarm, Some(Alarm::PrimaryDown));
    bench.node.alert_event(bench.now, &Event::BackupLost(NodeId(0)));
    assert_eq!(bench.node.evidence(bench.now).alarm, Some(Alarm::BackupLost));
}
