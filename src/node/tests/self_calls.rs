//! Three nodes that test each other's control extensions through the PBX.

use super::cluster::{A, B, Trio, W, text};
use super::sentinel::{bench, keyed, media_of, node, sent};
use super::*;
use crate::codecs::Digit;
use crate::ha::proof;
use crate::menu;
use crate::node::Order;

/// Behind the lines of the control extension: of a data node, and of the witness.
const PROOF_LINES: [PortId; 3] = [PortId(3), PortId(3), PortId(2)];
const CONTROL: PortId = PortId(1);

fn trio_with(control: &str) -> Trio {
    let mut trio = Trio::of(["a", "b", "w"].map(|name| {
        let mut text = text(name, "auto", "", "");
        for (link, number) in [("9:7400", "6091"), ("10:7400", "6092"), ("11:7400", "6090")] {
            let link = format!("link = \"10.0.0.{link}\"\n");
            text = text.replace(&link, &format!("{link}control = \"{number}\"\n"));
        }
        let number = if name == "a" { "6091" } else { "6092" };
        if name != "w" {
            text += &format!(
                "[control]\nextension = \"{number}\"\npassword = \"kT7-pq2Zr9vXw4mN8sLd\"\n"
            );
        }
        Bench::with(&(text + control))
    }));
    for at in [A, B, W] {
        trio.input(at, Input::ProofKey(proof::Key::new([7; proof::KEY_BYTES].into())));
    }
    trio.run(Duration::from_secs(5));
    assert!(trio.role(A).acts());
    trio
}

fn trio() -> Trio {
    trio_with("")
}

/// Whom a node calls at this moment, as the PBX hears it.
fn called(trio: &mut Trio, at: usize) -> Option<(String, String)> {
    node(trio, at).call_of(PROOF_LINES[at])?;
    let made = media_of(trio, at, PROOF_LINES[at], media::Event::Opened);
    let invite = made.to_pbx("INVITE ").to_owned();
    let number = invite.split(['@', ':']).nth(1).expect("a number").to_owned();
    Some((number, invite))
}

/// The far end answers, and the test is keyed.
fn question(trio: &mut Trio, at: usize, invite: &str) -> Vec<Digit> {
    bench(trio, at).pick_up(invite);
    trio.made[at] = Made::default();
    trio.run(Duration::from_millis(600));
    sent(&trio.made[at]).expect("a challenge")
}

/// A call reaches A's control extension, as one of this number.
fn ring(trio: &mut Trio) {
    let bench = bench(trio, A);
    bench.contact = bench.node.sip.contact(CONTROL).expect("a port").uri.to_string();
    bench.arrive();
    let made = media_of(trio, A, CONTROL, media::Event::Opened);
    assert!(made.lines().contains(&"SIP/2.0 200 OK"), "{:?}", made.lines());
}

/// What a node knows of A's control extension.
fn proven(trio: &Trio, at: usize) -> Option<bool> {
    let cluster = node(trio, at).cluster_view(trio.now).expect("a cluster");
    cluster.control_tests[0].proven
}

/// B tests A's extension, which answers.
fn test(trio: &mut Trio) {
    let (number, invite) = called(trio, B).expect("the first is called");
    assert_eq!(number, "6091");
    let question = question(trio, B, &invite);
    ring(trio);
    let made = keyed(trio, A, CONTROL, &question, false);
    assert!(!node(trio, A).controls.calls.values().any(|control| control.began), "no menu");
    let answer = sent(&made).expect("an answer");
    let made = keyed(trio, B, PROOF_LINES[B], &answer, false);
    let bye = made.to_pbx("BYE ").to_owned();
    bench(trio, B).reply(&bye, "200 OK");
    bench(trio, A).caller_hangs_up();
    trio.carry(B);
}

#[test]
fn each_node_calls_the_others_after_its_start_and_one_of_them_answers() {
    let mut trio = trio();
    let targets = |trio: &Trio, at: usize| {
        let cluster = node(trio, at).cluster_view(trio.now).expect("a cluster");
        cluster.control_tests.iter().map(|test| test.extension.clone()).collect::<Vec<_>>()
    };
    assert_eq!(targets(&trio, A), ["6092", "6090"]);
    assert_eq!(targets(&trio, W), ["6091", "6092"]);
    trio.run(Duration::from_secs(136));
    assert_eq!(proven(&trio, B), None);
    test(&mut trio);
    assert_eq!(proven(&trio, B), Some(true));
    assert_eq!(node(&trio, B).evidence(trio.now).tests, None, "the witness comes next");
    trio.run(Duration::from_secs(6));
    assert_eq!(called(&mut trio, B).expect("the witness").0, "6090");
}

#[test]
fn it_is_made_once_a_night_by_the_clock_of_the_site_each_node_at_its_own_minute() {
    let mut trio = trio();
    // Each of the calls after the start finds nobody.
    trio.run(Duration::from_secs(1_200));
    // 03:40 in Kolkata is 22:10 of the day before.
    trio.input(B, Input::Zone(menu::Zone { offset_s: 19_800, ..Default::default() }));
    let clock = |trio: &mut Trio, hour: u64, minute: u64| {
        let unix_ms = (20_000 * 86_400 + hour * 3_600 + minute * 60) * 1_000;
        trio.input(B, Input::Wall { unix_ms });
        trio.run(Duration::from_secs(1));
        node(trio, B).call_of(PROOF_LINES[B]).is_some()
    };
    trio.run(Duration::from_secs(6 * 3_600));
    assert!(!clock(&mut trio, 3, 41) && !clock(&mut trio, 22, 10), "that is the minute of a");
    assert!(clock(&mut trio, 22, 11));
}

#[test]
fn one_that_does_not_answer_is_an_alarm_until_it_does() {
    let mut trio = trio();
    let text = "the control extension 6091 of a did not answer the test call of this node, so \
                that people may not reach its phone menu: see to its registration and its \
                forwarding at the PBX, and whether telephone-events or INFO pass";
    trio.run(Duration::from_secs(135));
    for _ in 0..3 {
        trio.run(Duration::from_secs(1));
        let (_, invite) = called(&mut trio, B).expect("a is called");
        assert_eq!((proven(&trio, B), trio.alarm(B, text)), (None, false));
        bench(&mut trio, B).reply(&invite, "480 Temporarily Unavailable");
        trio.run(Duration::from_secs(60));
    }
    assert_eq!((proven(&trio, B), trio.alarm(B, text)), (Some(false), true));
    let spoken = node(&trio, B).evidence(trio.now).tests;
    assert_eq!(spoken, Some(menu::Tests::Failed { name: "a".to_owned() }));
    trio.run(Duration::from_secs(600));
    trio.input(B, Input::Order(Order::SelfCall));
    trio.run(Duration::from_secs(1));
    test(&mut trio);
    assert_eq!((proven(&trio, B), trio.alarm(B, text)), (Some(true), false));
}

#[test]
fn a_node_that_is_not_heard_is_not_called() {
    let mut trio = trio();
    trio.kill(A);
    trio.run(Duration::from_secs(137));
    assert_eq!(called(&mut trio, B), None);
    trio.run(Duration::from_secs(5));
    assert_eq!(called(&mut trio, B).expect("the witness").0, "6090");
    assert_eq!(proven(&trio, B), None);
}

#[test]
fn who_keys_a_number_first_or_makes_tones_speaks_with_the_menu() {
    let keys = |text: &str| -> Vec<Digit> { text.chars().filter_map(Digit::from_char).collect() };
    for (typed, in_band) in [("1*#*12345678", false), ("*#*12345678", true), ("**#", false)] {
        let mut trio = trio();
        ring(&mut trio);
        let made = keyed(&mut trio, A, CONTROL, &keys(typed), in_band);
        assert_eq!(sent(&made), None, "{typed}");
        assert!(node(&trio, A).controls.calls.values().any(|control| control.menu.is_some()));
    }
}

#[test]
fn a_list_of_callers_lets_the_other_nodes_through() {
    let trio = trio_with("callers = [\"20XX\"]\n");
    let may = |number| node(&trio, A).may_call_control(number);
    assert!(may("2001") && may("6092") && may("6090"));
    assert!(!may("6091") && !may("3001"));
}
