//! What people are told of the cluster, what the ledger gets, and what a backup proves.

use super::cluster::{A, B, Trio, W, text};
use super::*;
use crate::ha::Role;
use crate::store::{Body, Fact, Outage, Who};

fn kinds(trio: &Trio, node: usize) -> Vec<&'static str> {
    trio.made[node].alerts.iter().map(|incident| incident.kind).collect()
}

fn outages(trio: &Trio, node: usize) -> Vec<Outage> {
    let outage = |fact: &Fact| match &fact.body {
        Body::Outage(outage) => Some(outage.clone()),
        _ => None,
    };
    trio.made[node].facts.iter().filter_map(outage).collect()
}

#[test]
fn the_witness_tells_that_the_primary_is_down_once_and_nobody_else_does() {
    let mut trio = Trio::new("auto");
    trio.run(Duration::from_secs(5));
    trio.made.iter_mut().for_each(|made| made.alerts.clear());
    trio.kill(A);
    trio.run(Duration::from_secs(10));
    assert!(matches!(trio.role(B), Role::Primary(_)));
    let down = |kinds: Vec<&str>| kinds.iter().filter(|kind| **kind == "primary.down").count();
    assert_eq!((down(kinds(&trio, W)), down(kinds(&trio, B))), (1, 0));
    let told = trio.made[W].alerts.iter().find(|told| told.kind == "primary.down");
    let told = told.expect("told");
    assert_eq!((told.told_by.as_str(), told.source.as_str()), ("w", "portkeeper/north"));
    assert!(told.text.contains("the primary a is down"), "{told:?}");
}

#[test]
fn whoever_listens_hears_once_that_the_primary_is_down_at_every_node() {
    let mut trio = Trio::new("auto");
    trio.run(Duration::from_secs(5));
    trio.made.iter_mut().for_each(|made| made.news.clear());
    trio.kill(A);
    trio.run(Duration::from_secs(10));
    let heard = |at: usize| {
        let kinds = trio.made[at].news.iter().map(|incident| incident.kind);
        kinds.filter(|kind| kind.starts_with('p')).collect::<Vec<_>>()
    };
    for at in [B, W] {
        assert_eq!(heard(at), ["primary.down", "promotion.started", "promotion.done"], "{at}");
    }
    let ids = |at: usize| {
        let of = trio.made[at].news.iter().filter(|incident| incident.kind.starts_with('p'));
        of.map(|incident| incident.id.clone()).collect::<Vec<_>>()
    };
    assert_eq!(ids(B), ids(W), "the same incidents");
}

#[test]
fn what_becomes_of_a_promotion_is_told_once_where_it_happens() {
    let mut trio = Trio::new("auto");
    trio.run(Duration::from_secs(5));
    trio.made.iter_mut().for_each(|made| made.alerts.clear());
    trio.kill(A);
    trio.run(Duration::from_secs(60));
    let told = |node: usize| {
        let kinds = kinds(&trio, node);
        ["promotion.started", "promotion.done"]
            .map(|wanted| kinds.iter().filter(|kind| **kind == wanted).count())
    };
    assert_eq!((told(B), told(W)), ([1, 1], [0, 0]));
}

#[test]
fn the_witness_measures_from_the_last_sign_of_the_primary_to_the_first_port_that_is_bound_again() {
    let mut trio = Trio::new("auto");
    trio.run(Duration::from_secs(5));
    trio.kill(A);
    trio.run(Duration::from_secs(10));
    let found = outages(&trio, W);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(!found[0].planned);
    assert!((100..3_000).contains(&found[0].lasted_ms), "{found:?}");
    assert_eq!(outages(&trio, B), found, "the fact is shipped to the node that was promoted");
}

#[test]
fn a_backup_asks_for_its_ports_in_turn_and_says_how_many_are_proven() {
    let mut trio = Trio::new("auto");
    trio.run(Duration::from_secs(20));
    let node = &trio.nodes[B].as_ref().expect("alive").node;
    let view = node.cluster_view(trio.now).expect("a cluster");
    assert_eq!((view.ports_proven, view.ports), (1, 1), "{:?}", view.unproven);
    assert!(view.unproven.is_empty());
    assert_eq!(node.beat.expect("a beat").ports_proven, 1);
}

#[test]
fn how_long_the_backup_has_served_outlives_its_process() {
    const BEGAN: u64 = 1_800_000_000_000;
    const DAY_MS: u64 = 86_400_000;
    let mut trio = Trio::new("auto");
    trio.input(B, Input::Wall { unix_ms: BEGAN });
    trio.run(Duration::from_secs(5));
    trio.kill(A);
    trio.run(Duration::from_secs(5));
    assert!(matches!(trio.role(B), Role::Primary(_)));
    let facts = std::mem::take(&mut trio.made[B].facts);
    let nodes = ["b", "w"].map(|name| Some(Bench::with(&text(name, "auto", "", ""))));
    let [b, w] = nodes;
    let mut trio = Trio::begin_with([None, b, w], &facts);
    trio.input(B, Input::Wall { unix_ms: BEGAN + 9 * DAY_MS });
    trio.run(Duration::from_secs(20));
    let bench = trio.nodes[B].as_ref().expect("alive");
    let since = bench.node.cluster_view(trio.now).expect("a cluster").on_backup_since_ms;
    assert!(since.is_some_and(|ms| ms > 9 * DAY_MS - 10_000), "{since:?}");
    let served = |fact: &&Fact| matches!(&fact.body, Body::Audit(a) if a.who == Who::Policy);
    assert_eq!(trio.made[B].facts.iter().find(served), None, "it goes on");
    trio.input(B, Input::Wall { unix_ms: BEGAN + 11 * DAY_MS });
    trio.run(Duration::from_secs(1));
    let alarms = trio.nodes[B].as_ref().expect("alive").node.alarms(trio.now);
    assert!(alarms.iter().any(|alarm| alarm.kind.name() == "on_backup"), "{alarms:?}");
    assert!(!kinds(&trio, W).contains(&"running_on_backup_since"));
    trio.input(W, Input::Wall { unix_ms: BEGAN + 11 * DAY_MS });
    trio.input(W, Input::Wall { unix_ms: BEGAN + 11 * DAY_MS });
    let told = |kind: &&&str| **kind == "running_on_backup_since";
    assert_eq!(kinds(&trio, W).iter().filter(told).count(), 1);
    assert!(!kinds(&trio, B).contains(&"running_on_backup_since"), "the witness tells it");
}

#[test]
fn ten_days_on_the_backup_are_an_alarm_that_stops_nothing() {
    let mut trio = Trio::new("auto");
    trio.run(Duration::from_secs(5));
    trio.kill(A);
    trio.run(Duration::from_secs(10));
    let mut bench = trio.nodes[B].take().expect("alive");
    let alarm = |bench: &Bench| {
        bench
            .node
            .alarms
            .stands(|kind| matches!(kind, crate::node::snapshot::AlarmKind::OnBackup { .. }))
    };
    let day = Duration::from_secs(86_400);
    let since = bench.node.cluster_view(bench.now).expect("a cluster").on_backup_since_ms;
    assert!(since.is_some_and(|ms| ms < 15_000), "{since:?}");
    bench.node.remind(bench.now + 9 * day);
    assert!(!alarm(&bench));
    bench.node.remind(bench.now + 10 * day);
    assert!(alarm(&bench));
    bench.node.follows(bench.now + 11 * day);
    assert!(!alarm(&bench));
}
