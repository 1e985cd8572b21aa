//! What people, strangers and machines do wrong: each hears or reads an answer, is in the records
//! of another node, too, and changes nobody's role.

use super::cluster::{A, B, Trio, W};
use super::menu::{bereft, call, guess, heard, input, key, key_pin, log_in, witness};
use super::*;
use crate::ha::Role;
use crate::ha::peer::Refusal;
use crate::node::{AgentChange, Denial, Denied};
use crate::store::{Action, Agent, Audit, Body, Fact, Who};

/// How many records node B has of something that was done, with this result.
fn records(trio: &Trio, done: &Action, why: &str) -> usize {
    let is = |fact: &&Fact| {
        let Body::Audit(Audit { action, result, .. }) = &fact.body else { return false };
        action == done && *result == Err(why.to_owned())
    };
    trio.made[B].facts.iter().filter(is).count()
}

/// Nobody has another role than in a cluster whose primary is dead.
fn nobody_was_promoted(trio: &mut Trio) {
    trio.run(Duration::from_secs(5));
    assert_eq!((trio.role(B), trio.role(W)), (Role::Backup, Role::Witness));
}

#[test]
fn a_wrong_pin_is_told_recorded_and_promotes_nobody() {
    let mut trio = bereft();
    call(&mut trio);
    let said = log_in(&mut trio, false).join(" ");
    assert!(said.contains("portkeeper/not-correct"), "{said}");
    assert_eq!(records(&trio, &Action::Login, "wrong PIN"), 1);
    key(&mut trio, "1", false);
    nobody_was_promoted(&mut trio);
}

#[test]
fn an_unknown_agent_hears_what_a_wrong_pin_hears_and_is_recorded_without_the_number() {
    let mut trio = bereft();
    call(&mut trio);
    heard(&mut trio);
    key(&mut trio, "9999#", false);
    let said = key_pin(&mut trio, false).join(" ");
    assert!(said.contains("portkeeper/not-correct"), "{said}");
    assert_eq!(records(&trio, &Action::Login, "unknown agent"), 1);
    assert!(!format!("{:?}", trio.made[B].facts).contains("9999"));
    nobody_was_promoted(&mut trio);
}

#[test]
fn a_locked_agent_is_told_so_whatever_the_pin() {
    let mut trio = bereft();
    guess(&mut trio, 5);
    call(&mut trio);
    let said = log_in(&mut trio, true).join(" ");
    assert!(said.contains("portkeeper/locked"), "{said}");
    assert_eq!(records(&trio, &Action::Call, "locked"), 1);
    key(&mut trio, "1", false);
    nobody_was_promoted(&mut trio);
}

#[test]
fn a_call_from_another_telephone_than_the_agents_is_told_so_with_the_right_pin() {
    let mut trio = bereft();
    let agent = witness(&mut trio).node.agents.get("4711").expect("there").clone();
    let listed = Agent { extensions: vec!["200".to_owned()], ..agent };
    let (change, who) = (AgentChange::Set(Box::new(listed)), Who::Operator("root".to_owned()));
    input(&mut trio, Input::Agent { id: RequestId(2), change, who });
    trio.run(Duration::from_secs(1));
    call(&mut trio);
    let said = log_in(&mut trio, true).join(" ");
    assert!(said.contains("portkeeper/wrong-telephone"), "{said}");
    assert_eq!(records(&trio, &Action::Call, "not from this telephone"), 1);
    key(&mut trio, "1", false);
    nobody_was_promoted(&mut trio);
}

#[test]
fn a_caller_who_may_not_call_is_refused_and_recorded_once_a_minute() {
    let mut trio = Trio::with("auto", "", "callers = [\"2XX\"]\n");
    trio.run(Duration::from_secs(5));
    let bench = witness(&mut trio);
    bench.contact = bench.node.sip.contact(PORT).expect("a port").uri.to_string();
    for _ in 0..10 {
        let bench = witness(&mut trio);
        let made = bench.arrive();
        assert_eq!(made.lines(), ["SIP/2.0 480 Temporarily Unavailable"]);
        trio.deliver(W, made);
        trio.run(Duration::from_millis(100));
    }
    let why = "the caller is not one of control.callers";
    trio.run(Duration::from_secs(5));
    assert_eq!(records(&trio, &Action::Call, why), 1);
    trio.run(Duration::from_secs(60));
    let made = witness(&mut trio).arrive();
    trio.deliver(W, made);
    trio.run(Duration::from_secs(5));
    assert_eq!(records(&trio, &Action::Call, why), 2);
    assert!(matches!(trio.role(A), Role::Primary(_)));
}

#[test]
fn a_call_without_a_digit_is_asked_ends_and_is_recorded() {
    let mut trio = bereft();
    call(&mut trio);
    let asked = heard(&mut trio);
    assert!(!asked.is_empty(), "a number is asked for");
    for _ in 0..12 {
        trio.run(Duration::from_secs(5));
        heard(&mut trio);
    }
    assert!(witness(&mut trio).node.calls.is_empty());
    assert_eq!(records(&trio, &Action::Call, "no key was pressed"), 1);
    nobody_was_promoted(&mut trio);
}

/// Three nodes, of which the first acts.
fn running() -> Trio {
    let mut trio = Trio::new("auto");
    trio.run(Duration::from_secs(5));
    assert!(matches!(trio.role(A), Role::Primary(_)), "{:?}", trio.role(A));
    trio
}

/// Something is wrong with a link of the witness, again and again.
fn refused_link(text: &str) {
    let mut trio = running();
    let before = [A, B, W].map(|at| trio.role(at));
    for _ in 0..20 {
        trio.input(W, Input::Trouble { text: text.to_owned() });
        trio.run(Duration::from_millis(500));
    }
    assert!(trio.alarm(W, text), "{text}");
    assert_eq!(records(&trio, &Action::Link, text), 1, "once, however often");
    assert_eq!([A, B, W].map(|at| trio.role(at)), before);
}

#[test]
fn an_expired_or_foreign_certificate_is_an_alarm_and_a_record() {
    refused_link("the certificate of b has expired: whoever administers the cluster renews it");
    refused_link("the certificate of b was not made by this cluster's CA");
}

#[test]
fn a_peer_of_another_version_or_cluster_is_an_alarm_and_a_record() {
    let (theirs, ours) = ("south".to_owned(), "north".to_owned());
    refused_link(&Refusal::OtherCluster { theirs, ours }.to_string());
    let build = "9.9.9".to_owned();
    refused_link(&Refusal::OtherVersion { protocol: 99, build }.to_string());
}

#[test]
fn configurations_that_disagree_are_an_alarm_and_a_record() {
    let what = "ports: \"6001-6030\" here, \"6001-6020\" at b".to_owned();
    refused_link(&Refusal::Disagrees { what }.to_string());
}

#[test]
fn a_clock_that_jumps_is_an_alarm_and_a_record_and_moves_no_role() {
    for by_ms in [3_600_000, -3_600_000] {
        let mut trio = running();
        let noon = 1_800_000_000_000_u64;
        for at in [A, B, W] {
            trio.input(at, Input::Wall { unix_ms: noon });
        }
        trio.run(Duration::from_secs(1));
        let unix_ms = (noon + 1_000).saturating_add_signed(by_ms);
        trio.input(A, Input::Wall { unix_ms });
        trio.run(Duration::from_secs(5));
        let alarms = trio.nodes[A].as_ref().expect("alive").node.alarms(trio.now);
        let told = |word: &str| alarms.iter().any(|alarm| alarm.kind.to_string().contains(word));
        assert!(told("the clock of this machine was set"), "{alarms:?}");
        let moved = |fact: &&Fact| {
            let Body::Audit(Audit { action, result, .. }) = &fact.body else { return false };
            *action == Action::ClockMoved { by_ms } && result.is_ok()
        };
        assert_eq!(trio.made[B].facts.iter().filter(moved).count(), 1);
        assert!(matches!(trio.role(A), Role::Primary(_)), "{:?}", trio.role(A));
        assert_eq!((trio.role(B), trio.role(W)), (Role::Backup, Role::Witness));
    }
}

#[test]
fn a_full_or_read_only_disk_of_a_backup_or_witness_is_an_alarm_and_moves_no_role() {
    for at in [B, W] {
        let mut trio = running();
        trio.input(at, Input::Cluster(member::Input::StoreFailed));
        trio.run(Duration::from_secs(10));
        let alarms = trio.nodes[at].as_ref().expect("alive").node.alarms(trio.now);
        assert!(alarms.iter().any(|alarm| alarm.kind.name() == "facts_refused"), "{alarms:?}");
        assert!(matches!(trio.role(A), Role::Primary(_)), "{:?}", trio.role(A));
        assert_eq!((trio.role(B), trio.role(W)), (Role::Backup, Role::Witness));
    }
}

#[test]
fn what_is_tried_at_a_node_with_a_full_disk_is_in_the_records_of_the_others() {
    let mut trio = running();
    trio.input(W, Input::Cluster(member::Input::StoreFailed));
    let who = Who::Agent { number: "1".to_owned(), extension: "2".to_owned().into() };
    let result = Err("wrong PIN".to_owned());
    let login = Audit { who, action: Action::Login, result };
    let bench = trio.nodes[W].as_mut().expect("alive");
    bench.node.append(trio.now, Body::Audit(login));
    bench.node.route(trio.now);
    trio.carry(W);
    trio.run(Duration::from_secs(2));
    for at in [A, B] {
        let of_witness = |fact: &&Fact| fact.id.lane.node == NodeId(2);
        let actions = trio.made[at].facts.iter().filter(of_witness).map(|fact| match &fact.body {
            Body::Audit(audit) => audit.action.clone(),
            other => panic!("{other:?}"),
        });
        assert_eq!(actions.collect::<Vec<_>>(), [Action::Disk, Action::Login]);
    }
    let bench = trio.nodes[W].as_ref().expect("alive");
    assert_eq!(bench.node.snapshot(bench.now).counters.facts_refused_total, 0);
}

#[test]
fn a_full_disk_of_the_only_server_ends_no_call_and_loses_its_record_loudly() {
    let mut trio = running();
    let call = trio.call(A);
    trio.kill(B);
    trio.run(Duration::from_secs(3));
    trio.input(A, Input::Cluster(member::Input::StoreFailed));
    trio.run(Duration::from_secs(20));
    assert!(matches!(trio.role(A), Role::Primary(_)), "{:?}", trio.role(A));
    let bench = trio.nodes[A].as_mut().expect("alive");
    assert!(bench.node.calls[&call].is_up());
    bench.caller_hangs_up();
    let refused = |bench: &Bench| bench.node.snapshot(bench.now).counters.facts_refused_total;
    assert_eq!(refused(bench), 1, "its CDR");
    bench.input(Input::Cluster(member::Input::StoreFailed));
    assert_eq!(refused(bench), 1, "a disk fails once");
}

#[test]
fn who_asks_with_a_token_that_is_not_for_it_is_in_the_records_once_while_the_alarm_stands() {
    let mut trio = Trio::new("auto");
    trio.run(Duration::from_secs(5));
    let from = Some("10.0.0.7".parse().expect("an address"));
    let role = Denial::Role { token: "wall".to_owned(), request: "promote" };
    for why in [role.clone(), role, Denial::Expired { token: "wall".to_owned() }] {
        trio.input(A, Input::Denied(Denied { from, why }));
    }
    trio.run(Duration::from_secs(1));
    let ask = Action::Ask { request: "promote".to_owned() };
    assert_eq!(records(&trio, &ask, "not with this token"), 1);
    assert_eq!(records(&trio, &Action::Login, "the token has expired"), 1);
    let facts = format!("{:?}", trio.made[B].facts);
    assert!(facts.contains("token wall from 10.0.0.7"), "{facts}");
}

#[test]
fn a_token_whose_last_day_is_near_is_an_alarm() {
    let hash = "ab".repeat(32);
    let token = format!("[admin.tokens.desk]\nsha256 = \"{hash}\"\nexpires = \"2027-03-20\"\n");
    let text = config("[\"main\"]", &format!("[applications.main]\n{token}"));
    let mut bench = Bench::with(&text);
    let mut alarms_on = |day: u64| {
        let noon = 1_803_859_200_000 + (day - 1) * 86_400_000 + 43_200_000; // Of March 2027.
        bench.input(Input::Wall { unix_ms: noon });
        let alarms = bench.node.alarms(bench.now);
        alarms.iter().filter(|alarm| alarm.kind.to_string().contains("until 2027-03-20")).count()
    };
    assert_eq!([5, 6, 20, 25].map(&mut alarms_on), [0, 1, 1, 1]);
}
