//! Who acknowledged facts alone, and who must fetch them.

use super::cluster::{A, B, Cluster, W};
use crate::ha::lease::{End, Input, Message, Output};
use crate::ids::Epoch;

fn alone() -> Cluster {
    let mut cluster = Cluster::trio();
    cluster.input(A, Input::Acquire);
    cluster.input(A, Input::Solo(true));
    assert!(cluster.said(A).contains(&Output::Solo { on: true, epoch: Epoch(1) }));
    cluster
}

fn mark(cluster: &Cluster) -> Option<(crate::ids::NodeId, u64, bool)> {
    cluster.members[&W].disk.solo.map(|solo| (solo.node, solo.epoch.0, solo.on))
}

fn facts_of(cluster: &mut Cluster, node: crate::ids::NodeId) -> Option<crate::ids::NodeId> {
    let said = cluster.said(node);
    let held = said.iter().rev().find_map(|said| match said {
        Output::Held { facts_of, .. } => Some(*facts_of),
        _ => None,
    });
    held.expect("it held")
}

fn die(cluster: &mut Cluster, epoch: u64) {
    cluster.kill(A);
    let end = End::Crashed { cause: "x".into() };
    for node in [B, W] {
        let epoch = Epoch(epoch);
        cluster.receive(node, A, Message::Release { epoch, counter: u64::MAX, end: end.clone() });
    }
}

#[test]
fn a_mark_is_confirmed_when_it_is_durable() {
    let mut cluster = Cluster::trio();
    cluster.input(A, Input::Acquire);
    cluster.stuck.insert(W);
    cluster.input(A, Input::Solo(true));
    cluster.run(1_000);
    assert!(!cluster.said(A).contains(&Output::Solo { on: true, epoch: Epoch(1) }));
    cluster.stuck.clear();
    cluster.settle();
    assert!(cluster.said(A).contains(&Output::Solo { on: true, epoch: Epoch(1) }));
    assert_eq!(mark(&cluster), Some((A, 1, true)));
}

#[test]
fn a_lost_mark_is_sent_again() {
    let mut cluster = Cluster::trio();
    cluster.input(A, Input::Acquire);
    cluster.cut(A, W);
    cluster.input(A, Input::Solo(true));
    cluster.heal();
    cluster.run(150);
    assert!(cluster.said(A).contains(&Output::Solo { on: true, epoch: Epoch(1) }));
}

#[test]
fn a_late_off_does_not_overtake_a_newer_on() {
    let mut cluster = alone();
    cluster.input(A, Input::Solo(false));
    cluster.input(A, Input::Solo(true));
    let offs = cluster.sent.iter().filter(|s| matches!(s.2, Message::Solo { on: false, .. }));
    for off in offs.map(|sent| sent.2.clone()).collect::<Vec<_>>() {
        cluster.receive(W, A, off);
    }
    assert_eq!(mark(&cluster), Some((A, 1, true)));
}

#[test]
fn a_candidate_must_fetch_the_facts_of_the_one_who_went_alone() {
    let mut cluster = alone();
    die(&mut cluster, 1);
    cluster.input(B, Input::Acquire);
    assert_eq!(facts_of(&mut cluster, B), Some(A));
}

#[test]
fn a_candidate_need_not_when_nobody_is_marked() {
    let mut cluster = alone();
    cluster.input(A, Input::Solo(false));
    die(&mut cluster, 1);
    cluster.input(B, Input::Acquire);
    assert_eq!(facts_of(&mut cluster, B), None);
}

#[test]
fn a_candidate_without_the_witness_must_fetch_them_always() {
    let mut cluster = Cluster::trio();
    cluster.kill(W);
    cluster.input(B, Input::Acquire);
    assert_eq!(facts_of(&mut cluster, B), Some(A));
}

#[test]
fn the_word_of_the_witness_may_come_later() {
    let mut cluster = Cluster::trio();
    cluster.cut(B, W);
    cluster.input(B, Input::Acquire);
    assert_eq!(facts_of(&mut cluster, B), Some(A));
    cluster.heal();
    cluster.run(200);
    assert!(cluster.said(B).contains(&Output::FactsClear));
}

#[test]
fn a_mark_survives_a_candidate_that_died_before_it_had_the_facts() {
    let mut cluster = alone();
    die(&mut cluster, 1);
    cluster.input(B, Input::Acquire);
    let disk = cluster.kill(B);
    cluster.restart(B, disk);
    cluster.run(2_000);
    cluster.input(B, Input::Acquire);
    cluster.run(2_000);
    assert_eq!(facts_of(&mut cluster, B), Some(A));
}

#[test]
fn a_holder_that_has_the_facts_clears_the_mark_of_the_other_one() {
    let mut cluster = alone();
    die(&mut cluster, 1);
    cluster.input(B, Input::Acquire);
    cluster.run(1_000);
    assert_eq!(mark(&cluster), Some((A, 1, true)));
    cluster.input(B, Input::FactsHere);
    cluster.run(1_000);
    assert_eq!(mark(&cluster), Some((B, 2, false)));
}

#[test]
fn nothing_is_inherited_from_an_earlier_epoch() {
    let mut cluster = alone();
    let old = cluster.sent.iter().find(|sent| matches!(sent.2, Message::Solo { .. }));
    let (_, _, old) = old.expect("it was sent").clone();
    cluster.input(A, Input::Release(End::Controlled { marks: Vec::new(), to: None }));
    cluster.input(A, Input::Acquire);
    cluster.said(A);
    cluster.input(A, Input::Solo(false));
    assert_eq!(cluster.said(A), [Output::Solo { on: false, epoch: Epoch(2) }]);
    cluster.receive(W, A, old);
    assert_eq!(mark(&cluster), Some((A, 2, false)));
    let late = Message::SoloDone { epoch: Epoch(1), counter: (1 << 32) + 2, on: true };
    cluster.receive(A, W, late);
    assert_eq!(cluster.said(A), []);
}

#[test]
fn a_stale_mark_does_not_block_the_lease() {
    let mut cluster = alone();
    die(&mut cluster, 1);
    cluster.input(B, Input::Acquire);
    cluster.run(60_000);
    assert_eq!(cluster.holder(), Some(B));
}

#[test]
fn only_the_holder_is_marked() {
    let mut cluster = alone();
    let message = Message::Solo { epoch: Epoch(1), counter: 1 << 40, on: false };
    cluster.receive(W, B, message);
    assert_eq!(mark(&cluster), Some((A, 1, true)));
}

#[test]
fn without_a_witness_the_holder_decides_alone() {
    let mut cluster = Cluster::pair();
    cluster.input(A, Input::Acquire);
    cluster.input(A, Input::Solo(true));
    assert!(cluster.said(A).contains(&Output::Solo { on: true, epoch: Epoch(1) }));
}
