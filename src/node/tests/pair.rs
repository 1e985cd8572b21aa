//! A pair: what its backup tells of a primary that is not heard, or that gave its role up.

use super::cluster::{A, B, Trio};
use super::menu::{add_agent, call, heard, key, log_in};
use super::*;
use crate::ha::Role;
use crate::ha::role::Order;
use crate::menu::{Alarm, Primary};
use crate::node::snapshot::cluster::Cluster;

const ON_CALL: &str = "[[control.on_call]]\nextension = \"2003\"\n";

/// A is primary; nobody is promoted but by a person.
fn served() -> Trio {
    let mut trio = Trio::pair("manual", ON_CALL);
    trio.run(Duration::from_secs(5));
    assert_eq!((trio.role(A).acts(), trio.role(B)), (true, Role::Backup));
    trio.made[B] = Made::default();
    trio
}

fn node(trio: &Trio) -> &Node {
    &trio.nodes[B].as_ref().expect("alive").node
}

fn view(trio: &Trio) -> Cluster {
    node(trio).cluster_view(trio.now).expect("a cluster")
}

fn told(trio: &Trio) -> Vec<&'static str> {
    trio.made[B].alerts.iter().map(|incident| incident.kind).collect()
}

/// Somebody of the on-call list is being called.
fn rings(trio: &Trio) -> bool {
    node(trio).call_of(PortId(1)).is_some()
}

#[test]
fn a_lost_primary_of_a_pair_is_told_to_everybody_and_replaced_by_nobody() {
    let mut trio = served();
    assert_eq!(view(&trio).primary.as_deref(), Some("a"));
    trio.kill(A);
    trio.run(Duration::from_secs(4));
    let view = view(&trio);
    assert_eq!((view.primary, view.unheard_primary.as_deref()), (None, Some("a")));
    assert_eq!((trio.role(B), told(&trio)), (Role::Backup, vec!["primary.down"]));
    let text = "the primary a is not heard: see whether it runs, or only the link is cut";
    assert!(trio.alarm(B, text) && rings(&trio));
    let evidence = node(&trio).evidence(trio.now);
    assert!(matches!(evidence.primary, Primary::Silent { .. }), "{:?}", evidence.primary);
    assert_eq!(evidence.alarm, Some(Alarm::PrimaryDown));
}

#[test]
fn copies_of_a_primary_that_may_serve_behind_a_cut_link_grow_old() {
    let mut trio = served();
    trio.call(A);
    trio.run(Duration::from_secs(1));
    trio.kill(A);
    trio.run(Duration::from_secs(30));
    assert!(view(&trio).data_age_ms.is_some_and(|ms| ms >= 29_000), "{:?}", view(&trio));
}

#[test]
fn a_primary_of_a_pair_that_is_heard_again_rings_nobody_any_more() {
    let mut trio = served();
    trio.cut.insert((A, B));
    trio.down(B, A);
    trio.run(Duration::from_secs(4));
    assert!(rings(&trio));
    trio.cut.clear();
    trio.greet(B);
    assert!(!rings(&trio));
    assert_eq!(view(&trio).primary.as_deref(), Some("a"));
}

#[test]
fn after_a_release_the_phone_of_each_node_offers_the_one_that_follows() {
    let mut trio = served();
    trio.order(A, Order::Release);
    trio.run(Duration::from_secs(3));
    let offered = [A, B].map(|at| {
        let node = &trio.nodes[at].as_ref().expect("alive").node;
        node.evidence(trio.now).candidate.map(|candidate| candidate.name)
    });
    assert_eq!(offered, [Some("b".to_owned()), Some("b".to_owned())]);
}

/// Keys the digits that were spoken last.
fn confirm(trio: &mut Trio) {
    let asked = heard(trio);
    let digits: Vec<_> = asked.iter().filter_map(|word| word.strip_prefix("digits/")).collect();
    key(trio, &digits[digits.len() - 3..].concat(), false);
}

#[test]
fn the_phone_of_the_node_that_is_promoted_tells_how_far_it_is() {
    let mut trio = Trio::pair("manual", "");
    trio.run(Duration::from_secs(5));
    trio.phone = B;
    add_agent(&mut trio);
    trio.kill(A);
    trio.run(Duration::from_secs(4));
    call(&mut trio);
    log_in(&mut trio, true);
    trio.nodes[B].as_mut().expect("alive").grants = false;
    key(&mut trio, "1", false);
    confirm(&mut trio);
    trio.run(Duration::from_secs(1));
    assert!(heard(&mut trio).contains(&"portkeeper/may-force"));
    key(&mut trio, "1", false);
    confirm(&mut trio);
    let mut said = Vec::new();
    for _ in 0..4 {
        trio.run(Duration::from_secs(1));
        said.extend(heard(&mut trio));
    }
    assert!(matches!(trio.role(B), Role::Promoting(_)), "{:?}", trio.role(B));
    assert!(said.contains(&"portkeeper/ports-in-service"), "{said:?}");
}

#[test]
fn the_phone_of_a_primary_alone_tells_of_records_that_the_other_node_lacks() {
    let mut trio = served();
    trio.kill(B);
    trio.run(Duration::from_secs(8));
    trio.order(A, Order::Pause);
    trio.run(Duration::from_secs(3));
    let node = &trio.nodes[A].as_ref().expect("alive").node;
    let cluster = node.cluster_view(trio.now).expect("a cluster");
    assert_eq!((cluster.facts_pending, cluster.alone), (0, true));
    assert!(cluster.peers[0].unshipped_since_ms.is_some_and(|ms| ms >= 2_000), "{cluster:?}");
    let unshipped = node.evidence(trio.now).unshipped.expect("told");
    assert_eq!(Some(u64::from(unshipped.0)), cluster.peers[0].unshipped);
}

#[test]
fn a_release_in_a_pair_is_told_by_the_node_that_is_left() {
    let mut trio = served();
    trio.order(A, Order::Release);
    trio.run(Duration::from_secs(3));
    assert_eq!((trio.role(A), trio.role(B)), (Role::Fenced, Role::Backup));
    assert_eq!(told(&trio), ["primary.down"]);
    assert!(rings(&trio));
}
