//! What a voter may promise and when its word goes out.

use super::cluster::{A, B, Cluster, W, ms};
use crate::ha::lease::{Input, Kind, Message, Output, Why};
use crate::ids::Epoch;
use crate::timers::Instant;

fn request(epoch: u64, counter: u64) -> Message {
    Message::Request { epoch: Epoch(epoch), counter, kind: Kind::New }
}

/// What the witness answered to this node, latest first.
fn answers(cluster: &Cluster, to: crate::ids::NodeId) -> Vec<Message> {
    let from_w = cluster.sent.iter().filter(|(from, at, _)| (*from, *at) == (W, to));
    let answer = |m: &Message| matches!(m, Message::Grant { .. } | Message::Refuse { .. });
    from_w.map(|(_, _, message)| message.clone()).filter(answer).rev().collect()
}

fn grant(epoch: u64, counter: u64) -> Message {
    Message::Grant { epoch: Epoch(epoch), counter, alone: None }
}

#[test]
fn a_promise_is_granted_when_it_is_durable_and_not_before() {
    let mut cluster = Cluster::trio();
    cluster.stuck.insert(W);
    cluster.receive(W, A, request(1, 1));
    assert_eq!(answers(&cluster, A), []);
    cluster.stuck.clear();
    cluster.settle();
    assert_eq!(answers(&cluster, A), [grant(1, 1)]);
    assert_eq!(cluster.members[&W].disk.promised, Epoch(1));
}

#[test]
fn a_renewal_needs_no_write() {
    let mut cluster = Cluster::trio();
    cluster.receive(W, A, request(1, 1));
    cluster.stuck.insert(W);
    cluster.receive(W, A, request(1, 2));
    assert_eq!(answers(&cluster, A)[0], grant(1, 2));
}

#[test]
fn a_promise_on_its_way_to_the_disk_already_refuses_others() {
    let mut cluster = Cluster::trio();
    cluster.stuck.insert(W);
    cluster.receive(W, A, request(1, 1));
    cluster.receive(W, B, request(2, 1));
    let why = Why::Held { by: A };
    assert_eq!(answers(&cluster, B), [Message::Refuse { epoch: Epoch(2), counter: 1, why }]);
}

#[test]
fn an_epoch_is_promised_to_one_node_only() {
    let mut cluster = Cluster::trio();
    cluster.receive(W, A, request(5, 1));
    cluster.run(2_000);
    for epoch in [4, 5] {
        cluster.receive(W, B, request(epoch, epoch));
        let why = Why::Older { promised: Epoch(5) };
        let refused = Message::Refuse { epoch: Epoch(epoch), counter: epoch, why };
        assert_eq!(answers(&cluster, B)[0], refused);
    }
    cluster.receive(W, B, request(6, 9));
    assert_eq!(answers(&cluster, B)[0], grant(6, 9));
}

#[test]
fn a_grant_lasts_101_percent_of_the_lease() {
    let mut cluster = Cluster::trio();
    cluster.receive(W, A, request(1, 1));
    cluster.run(605);
    cluster.receive(W, B, request(2, 1));
    assert!(matches!(answers(&cluster, B)[0], Message::Refuse { why: Why::Held { .. }, .. }));
    cluster.run(1);
    cluster.receive(W, B, request(2, 2));
    assert_eq!(answers(&cluster, B)[0], grant(2, 2));
}

#[test]
fn a_voter_that_restarted_says_nothing_for_102_percent_of_the_lease() {
    let mut cluster = Cluster::trio();
    cluster.receive(W, A, request(1, 1));
    let disk = cluster.kill(W);
    cluster.restart(W, disk);
    cluster.run(611);
    cluster.receive(W, B, request(2, 1));
    cluster.receive(W, B, Message::Ask { epoch: Epoch(1), counter: 2 });
    assert_eq!(answers(&cluster, B), []);
    cluster.run(1);
    cluster.receive(W, B, request(2, 3));
    assert_eq!(answers(&cluster, B), [grant(2, 3)]);
}

#[test]
fn a_repeated_request_is_answered_once() {
    let mut cluster = Cluster::trio();
    cluster.receive(W, A, request(1, 7));
    cluster.receive(W, A, request(1, 7));
    cluster.receive(W, A, request(1, 6));
    assert_eq!(answers(&cluster, A), [grant(1, 7)]);
}

#[test]
fn a_voter_whose_disk_failed_renews_what_is_durable_and_promises_nothing() {
    let mut cluster = Cluster::trio();
    cluster.receive(W, A, request(1, 1));
    cluster.input(W, Input::StoreFailed);
    cluster.receive(W, A, request(1, 2));
    assert_eq!(answers(&cluster, A)[0], grant(1, 2));
    cluster.run(1_000);
    cluster.receive(W, B, request(2, 1));
    assert!(matches!(answers(&cluster, B)[0], Message::Refuse { why: Why::Store, .. }));
}

#[test]
fn a_candidate_acts_when_its_own_promise_is_durable() {
    let mut cluster = Cluster::trio();
    cluster.stuck.insert(A);
    cluster.input(A, Input::Acquire);
    cluster.run(1_500);
    assert_eq!(cluster.holder(), None);
    cluster.stuck.clear();
    cluster.settle();
    assert_eq!(cluster.holder(), Some(A), "the voters were kept while the disk was slow");
    assert_eq!(cluster.members[&A].disk.held, Epoch(1));
}

#[test]
fn the_holder_counts_from_before_it_asked() {
    let mut cluster = Cluster::trio();
    let asked_at = cluster.now;
    cluster.cut(W, A);
    cluster.cut(B, A);
    cluster.input(A, Input::Acquire);
    let counter = (1 << 32) + 1;
    let (_, _, sent) = cluster.sent.iter().rev().find(|(from, ..)| *from == A).expect("it asked");
    let Message::Request { counter: last, .. } = sent else { panic!("{sent:?}") };
    assert!(*last >= counter);
    let grant = Message::Grant { epoch: Epoch(1), counter: *last, alone: None };
    cluster.now += ms(90);
    cluster.receive(A, W, grant);
    assert_eq!(cluster.lease(A).deadline(), Some(asked_at + ms(480)));
}

#[test]
fn a_grant_that_arrives_after_its_end_gives_nothing() {
    let mut cluster = Cluster::trio();
    cluster.cut(W, A);
    cluster.cut(B, A);
    cluster.input(A, Input::Acquire);
    let (_, _, sent) = cluster.sent.iter().rev().find(|(from, ..)| *from == A).expect("it asked");
    let Message::Request { counter, .. } = *sent else { panic!("{sent:?}") };
    cluster.now += ms(480);
    cluster.receive(A, W, Message::Grant { epoch: Epoch(1), counter, alone: None });
    assert_eq!(cluster.holder(), None);
}

#[test]
fn after_a_long_stall_the_holder_is_fenced_before_it_hears_any_grant() {
    let mut cluster = Cluster::trio();
    cluster.input(A, Input::Acquire);
    cluster.run(50);
    cluster.now += ms(5_000);
    let stale = Message::Grant { epoch: Epoch(1), counter: (1 << 32) + 2, alone: None };
    cluster.receive(A, W, stale);
    assert!(cluster.said(A).contains(&Output::Lost { epoch: Epoch(1), outranked: false }));
}

#[test]
fn an_epoch_beyond_all_reason_is_ignored() {
    let mut cluster = Cluster::trio();
    cluster.receive(W, A, request(u64::MAX, 1));
    cluster.receive(A, W, Message::Told { epoch: Epoch(u64::MAX), counter: 1, held: true });
    let why = Why::Older { promised: Epoch(u64::MAX) };
    cluster.receive(A, W, Message::Refuse { epoch: Epoch(0), counter: 1, why });
    cluster.input(A, Input::Acquire);
    assert_eq!(cluster.epoch(A), Some(Epoch(1)));
}

#[test]
fn a_stranger_is_not_heard() {
    let mut cluster = Cluster::trio();
    cluster.receive(W, crate::ids::NodeId(9), request(1, 1));
    assert_eq!(cluster.members[&W].disk.promised, Epoch(0));
}

#[test]
fn a_machine_that_may_be_paused_claims_after_a_fresh_renewal_only() {
    use crate::ha::lease::{Site, Timers};
    let site =
        Site { me: A, nodes: vec![A, B], witness: Some(W), other_pbx: false, timers: Timers::VM };
    let mut cluster = Cluster::new(site);
    cluster.run(2_100);
    cluster.input(A, Input::Acquire);
    let asked: Instant = cluster.now;
    cluster.cut(A, B);
    cluster.cut(A, W);
    assert!(cluster.lease(A).may_claim(asked + ms(999)));
    assert!(!cluster.lease(A).may_claim(asked + ms(1_000)));
    assert!(cluster.lease(A).holds(asked + ms(1_001)), "the lease itself lasts");
}
