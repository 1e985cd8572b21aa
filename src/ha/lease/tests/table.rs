//! What breaks and what comes of it, with two nodes and a witness.

use super::cluster::{A, B, Cluster, W};
use crate::ha::lease::{End, FORCED, Input, Kind, Message, Output, Vacancy, Why};
use crate::ids::{Epoch, NodeId};

/// A holds.
fn held_by_a() -> Cluster {
    let mut cluster = Cluster::trio();
    cluster.input(A, Input::Acquire);
    assert_eq!(cluster.holder(), Some(A));
    for node in [A, B, W] {
        cluster.said(node);
    }
    cluster
}

fn crashed() -> End {
    End::Crashed { cause: "killed".into() }
}

fn vacant(cluster: &mut Cluster, node: NodeId) -> bool {
    let vacant = |said: &Output| matches!(said, Output::Vacant(_));
    cluster.said(node).iter().any(vacant)
}

#[test]
fn without_b_a_keeps_the_lease_with_the_witness() {
    let mut cluster = held_by_a();
    cluster.kill(B);
    cluster.run(60_000);
    assert_eq!((cluster.holder(), cluster.epoch(A)), (Some(A), Some(Epoch(1))));
}

#[test]
fn without_the_witness_a_keeps_the_lease_with_b() {
    let mut cluster = held_by_a();
    cluster.kill(W);
    cluster.run(60_000);
    assert_eq!((cluster.holder(), cluster.epoch(A)), (Some(A), Some(Epoch(1))));
}

#[test]
fn without_the_witness_a_cannot_go_on_alone() {
    let mut cluster = held_by_a();
    cluster.kill(W);
    cluster.input(A, Input::Solo(true));
    cluster.run(10_000);
    assert_eq!(cluster.said(A), []);
}

#[test]
fn when_a_dies_b_hears_that_the_lease_is_vacant_and_gets_the_next_epoch() {
    let mut cluster = held_by_a();
    cluster.kill(A);
    cluster.run(620);
    assert!(vacant(&mut cluster, B));
    cluster.input(B, Input::Acquire);
    assert_eq!((cluster.holder(), cluster.epoch(B)), (Some(B), Some(Epoch(2))));
}

#[test]
fn a_cut_between_a_and_b_leaves_a_in_its_lease_and_b_without() {
    let mut cluster = held_by_a();
    cluster.cut(A, B);
    cluster.run(10_000);
    assert!(!vacant(&mut cluster, B), "the witness hears A");
    cluster.input(B, Input::Acquire);
    cluster.run(10_000);
    assert_eq!(cluster.holder(), Some(A));
    assert!(cluster.said(B).contains(&Output::Beaten { by: A }));
}

#[test]
fn a_that_is_cut_off_is_fenced_within_a_lease_and_before_b_can_have_the_next() {
    let mut cluster = held_by_a();
    cluster.cut(A, B);
    cluster.cut(A, W);
    cluster.run(490);
    assert_eq!(cluster.holder(), None);
    assert_eq!(cluster.said(A), [Output::Lost { epoch: Epoch(1), outranked: false }]);
    cluster.input(B, Input::Acquire);
    assert_eq!(cluster.holder(), None, "the grant of B's own voter lasts");
    cluster.run(150);
    cluster.input(B, Input::Acquire);
    assert_eq!(cluster.holder(), Some(B));
}

#[test]
fn of_any_two_nodes_lost_no_primary_is_left_unless_a_person_forces_it() {
    for (lost, left) in [([A, B], W), ([A, W], B), ([B, W], A)] {
        let mut cluster = held_by_a();
        for node in lost {
            cluster.kill(node);
        }
        cluster.run(2_000);
        cluster.input(left, Input::Release(End::Unused));
        if left == W {
            continue; // A witness is asked by nobody to hold.
        }
        cluster.input(left, Input::Acquire);
        cluster.run(10_000);
        assert_eq!(cluster.holder(), None, "{left} alone");
        cluster.input(left, Input::Force);
        cluster.run(10_000);
        assert_eq!(cluster.epoch(left).map(|e| e.0 > FORCED), Some(true));
    }
}

#[test]
fn a_release_frees_the_lease_at_once() {
    let mut cluster = held_by_a();
    cluster.input(A, Input::Release(End::Controlled { marks: Vec::new(), to: None }));
    assert!(cluster.said(B).contains(&Output::Vacant(Vacancy::Released)));
    cluster.input(B, Input::Acquire);
    assert_eq!(cluster.epoch(B), Some(Epoch(2)));
}

#[test]
fn the_release_that_a_supervisor_sends_for_a_dead_process_frees_the_lease_at_once() {
    let mut cluster = held_by_a();
    cluster.kill(A);
    for node in [B, W] {
        let message = Message::Release { epoch: Epoch(1), counter: u64::MAX, end: crashed() };
        cluster.receive(node, A, message);
    }
    cluster.input(B, Input::Acquire);
    assert_eq!(cluster.epoch(B), Some(Epoch(2)));
}

#[test]
fn the_release_of_an_older_epoch_frees_nothing() {
    let mut cluster = held_by_a();
    cluster.input(A, Input::Release(crashed()));
    cluster.input(A, Input::Acquire);
    let late = cluster
        .sent
        .iter()
        .find(|(_, to, message)| *to == W && matches!(message, Message::Release { .. }));
    let (_, _, late) = late.expect("it was sent").clone();
    cluster.receive(W, A, late.clone());
    cluster.receive(B, A, late);
    cluster.input(B, Input::Acquire);
    assert_eq!((cluster.holder(), cluster.epoch(A)), (Some(A), Some(Epoch(2))));
}

#[test]
fn the_late_release_of_an_earlier_candidacy_frees_nothing() {
    let mut cluster = Cluster::trio();
    cluster.kill(B);
    cluster.cut(A, W);
    cluster.input(A, Input::Acquire);
    cluster.run(700);
    let unused = cluster.sent.iter().find(|sent| matches!(sent.2, Message::Release { .. }));
    let (_, _, unused) = unused.expect("it gave up once").clone();
    cluster.heal();
    cluster.run(1_000);
    let epoch = cluster.epoch(A).expect("it holds");
    assert!(epoch > unused.epoch(), "no epoch is asked for twice");
    cluster.receive(W, A, unused.clone());
    let Message::Release { counter, end, .. } = unused else { panic!("{unused:?}") };
    cluster.receive(W, A, Message::Release { epoch, counter, end });
    let asks = Message::Request { epoch: epoch.next(), counter: 1, kind: Kind::New };
    cluster.receive(W, B, asks);
    let refused = |sent: &Message| matches!(sent, Message::Refuse { why: Why::Held { .. }, .. });
    assert!(cluster.sent.iter().any(|(from, to, sent)| (*from, *to) == (W, B) && refused(sent)));
}

#[test]
fn a_holder_that_lost_its_lease_may_have_the_next_one_before_anybody_else() {
    let mut cluster = held_by_a();
    cluster.cut(A, B);
    cluster.cut(A, W);
    cluster.run(490);
    cluster.heal();
    cluster.run(30);
    assert!(vacant(&mut cluster, A), "only its own grants last");
    cluster.input(A, Input::Acquire);
    assert_eq!(cluster.epoch(A), Some(Epoch(2)));
}

#[test]
fn of_two_that_ask_at_once_one_gets_it() {
    let mut cluster = Cluster::trio();
    let now = cluster.now;
    cluster.lease(A).handle_input(now, Input::Acquire);
    cluster.lease(B).handle_input(now, Input::Acquire);
    cluster.settle();
    cluster.run(2_000);
    assert!(cluster.holder().is_some());
}

#[test]
fn of_two_that_ask_at_once_without_a_witness_one_gets_it() {
    let mut cluster = Cluster::trio();
    cluster.kill(W);
    let now = cluster.now;
    cluster.lease(A).handle_input(now, Input::Acquire);
    cluster.lease(B).handle_input(now, Input::Acquire);
    cluster.settle();
    cluster.run(5_000);
    assert!(cluster.holder().is_some());
}

#[test]
fn a_forced_epoch_outranks_a_lease_at_once() {
    let mut cluster = held_by_a();
    cluster.input(B, Input::Force);
    assert_eq!((cluster.holder(), cluster.epoch(B)), (Some(B), Some(Epoch(1 + FORCED))));
    assert!(cluster.said(A).contains(&Output::Lost { epoch: Epoch(1), outranked: true }));
}

#[test]
fn a_holder_that_hears_another_one_renew_a_higher_epoch_holds_no_more() {
    let mut cluster = held_by_a();
    let renewal = |epoch| Message::Request { epoch: Epoch(epoch), counter: 9, kind: Kind::Renew };
    cluster.receive(A, B, renewal(1));
    assert_eq!(cluster.holder(), Some(A));
    cluster.receive(A, B, renewal(2));
    assert_eq!(cluster.holder(), None);
    assert!(cluster.said(A).contains(&Output::Lost { epoch: Epoch(1), outranked: true }));
}

#[test]
fn a_forced_epoch_that_was_granted_is_a_lease_like_any_other() {
    let mut cluster = held_by_a();
    cluster.kill(A);
    cluster.input(B, Input::Force);
    cluster.run(1_000);
    cluster.cut(B, W);
    cluster.run(600);
    assert_eq!(cluster.holder(), None);
}

#[test]
fn a_forced_holder_that_nobody_granted_has_no_deadline() {
    let mut cluster = held_by_a();
    cluster.kill(A);
    cluster.kill(W);
    cluster.input(B, Input::Force);
    cluster.run(3_600_000);
    assert_eq!(cluster.holder(), Some(B));
}

#[test]
fn of_two_that_were_forced_and_not_granted_the_lower_yields_to_a_promise_of_the_higher() {
    let mut cluster = Cluster::trio();
    cluster.cut(A, B);
    cluster.cut(A, W);
    cluster.cut(B, W);
    cluster.input(A, Input::Force);
    cluster.input(B, Input::Force);
    cluster.cut.retain(|&(from, to)| from == A || to == A);
    cluster.run(200);
    cluster.cut.retain(|&(from, to)| from == B || to == B);
    cluster.run(200);
    assert_eq!(cluster.epoch(A), None);
    assert!(cluster.epoch(B).is_some());
}

#[test]
fn a_single_node_holds_by_itself_and_each_start_has_its_epoch() {
    let mut cluster = Cluster::single();
    cluster.input(A, Input::Acquire);
    cluster.run(60_000);
    assert_eq!(cluster.epoch(A), Some(Epoch(1)));
    let disk = cluster.kill(A);
    cluster.restart(A, disk);
    cluster.input(A, Input::Acquire);
    assert_eq!(cluster.epoch(A), Some(Epoch(2)));
}
