//! Calls that end at a node that serves them no more: each has one CDR that counts.

use super::cluster::{A, B, Trio, W};
use super::*;
use crate::ha::Role;
use crate::store::{Body, final_cdrs};

/// A trio whose primary has a call.
fn in_call() -> (Trio, CallId) {
    let mut trio = Trio::new("auto");
    trio.run(Duration::from_secs(5));
    let call = trio.call(A);
    trio.run(Duration::from_secs(1));
    (trio, call)
}

/// The primary hears nobody for so long that it may act no more.
fn cut_off(trio: &mut Trio) {
    trio.cut.extend([(A, B), (A, W)]);
    trio.run(Duration::from_secs(1));
    assert_eq!(trio.role(A), Role::Fenced);
}

/// The nodes hear each other again.
fn heal(trio: &mut Trio) {
    trio.cut.clear();
    for (at, from) in [(A, B), (A, W), (B, A), (W, A)] {
        trio.down(at, from);
    }
    for at in [A, B, W] {
        trio.greet(at);
        trio.beat(at);
    }
}

fn hang_up(trio: &mut Trio, at: usize) {
    let made = trio.nodes[at].as_mut().expect("alive").caller_hangs_up();
    trio.deliver(at, made);
    trio.run(Duration::from_secs(1));
}

/// Cause and takeovers of what a node wrote of calls that ended there.
fn wrote(trio: &Trio, node: usize) -> Vec<(String, u32)> {
    let here = NodeId(u8::try_from(node).expect("three"));
    let own = trio.made[node].facts.iter().filter(|fact| fact.id.lane.node == here);
    own.filter_map(|fact| match &fact.body {
        Body::Cdr(cdr) => Some((cdr.cause.clone(), cdr.takeovers)),
        _ => None,
    })
    .collect()
}

#[test]
fn a_caller_who_hangs_up_at_a_fenced_node_that_nobody_follows_has_a_cdr_and_is_not_called_back() {
    let (mut trio, call) = in_call();
    trio.kill(B);
    cut_off(&mut trio);
    hang_up(&mut trio, A);
    assert_eq!(wrote(&trio, A), [("caller".to_owned(), 0)]);
    heal(&mut trio);
    trio.run(Duration::from_secs(40));
    assert!(trio.role(A).acts());
    assert!(!trio.nodes[A].as_ref().expect("alive").node.calls.contains_key(&call));
    assert_eq!(wrote(&trio, A).len(), 1);
}

#[test]
fn of_a_call_that_ends_at_both_nodes_the_cdr_of_whoever_had_it_last_counts() {
    let (mut trio, call) = in_call();
    cut_off(&mut trio);
    assert!(trio.role(B).acts());
    hang_up(&mut trio, A);
    let bench = trio.nodes[B].as_mut().expect("alive");
    bench.call = call;
    let made = bench.media(media::Event::Opened);
    let invite = made.to_pbx("INVITE ").to_owned();
    trio.deliver(B, made);
    let bench = trio.nodes[B].as_mut().expect("alive");
    let made = bench.reply(&invite, "481 Call/Transaction Does Not Exist");
    trio.deliver(B, made);
    trio.run(Duration::from_secs(40));
    assert_eq!((wrote(&trio, A).len(), wrote(&trio, B).len()), (1, 1));
    let facts = [A, B].into_iter().flat_map(|node| &trio.made[node].facts);
    let counts: Vec<_> = final_cdrs(facts).into_values().map(|fact| fact.id.lane.node).collect();
    assert_eq!(counts, [NodeId(1)]);
}

#[test]
fn a_call_that_the_new_primary_does_not_have_is_written_down_when_its_sound_ends() {
    for has_copy in [false, true] {
        let (mut trio, call) = in_call();
        if !has_copy {
            trio.nodes[B].as_mut().expect("alive").node.replicas = Default::default();
        }
        cut_off(&mut trio);
        assert!(trio.role(B).acts());
        if has_copy {
            let bench = trio.nodes[B].as_mut().expect("alive");
            bench.call = call;
            let made = bench.media(media::Event::Opened);
            let invite = made.to_pbx("INVITE ").to_owned();
            trio.deliver(B, made);
            let made = trio.nodes[B].as_mut().expect("alive").pick_up(&invite);
            trio.deliver(B, made);
        }
        heal(&mut trio);
        trio.run(Duration::from_secs(28));
        assert_eq!(wrote(&trio, A), []);
        trio.run(Duration::from_secs(3));
        let wanted = if has_copy { vec![] } else { vec![("lost".to_owned(), 0)] };
        assert_eq!(wrote(&trio, A), wanted);
    }
}

#[test]
fn a_call_that_somebody_may_still_carry_on_is_not_called_lost() {
    let (mut trio, call) = in_call();
    trio.kill(B);
    cut_off(&mut trio);
    trio.run(Duration::from_secs(60));
    assert_eq!(wrote(&trio, A), []);
    heal(&mut trio);
    trio.run(Duration::from_secs(3));
    assert!(trio.nodes[A].as_ref().expect("alive").node.calls.contains_key(&call));
}
