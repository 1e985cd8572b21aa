//! Two nodes without a majority: what is proof, and what is not.

use super::cluster::{A, B, Cluster};
use crate::ha::lease::{End, FORCED, Input, Message, Output, Vacancy};
use crate::ids::Epoch;

fn held_by_a() -> Cluster {
    let mut cluster = Cluster::pair();
    cluster.input(A, Input::Acquire);
    assert_eq!(cluster.holder(), Some(A));
    cluster
}

fn orderly() -> Input {
    Input::Release(End::Controlled { marks: Vec::new(), to: None })
}

#[test]
fn a_node_alone_gets_nothing_at_its_first_start() {
    let mut cluster = Cluster::pair();
    cluster.kill(B);
    cluster.input(A, Input::Acquire);
    cluster.run(60_000);
    assert_eq!(cluster.holder(), None);
    assert!(cluster.said(A).contains(&Output::Unanswered));
}

#[test]
fn with_the_consent_of_the_other_one_it_starts() {
    let mut cluster = held_by_a();
    cluster.run(60_000);
    assert_eq!(cluster.epoch(A), Some(Epoch(1)));
}

#[test]
fn a_holder_keeps_its_role_when_the_other_one_is_silent() {
    let mut cluster = held_by_a();
    cluster.kill(B);
    cluster.run(3_600_000);
    assert_eq!(cluster.holder(), Some(A));
}

#[test]
fn silence_is_no_proof() {
    let mut cluster = held_by_a();
    cluster.cut(A, B);
    cluster.run(3_600_000);
    cluster.input(B, Input::Acquire);
    cluster.run(60_000);
    assert_eq!(cluster.holder(), Some(A));
}

#[test]
fn the_other_ones_death_is_no_proof() {
    let mut cluster = held_by_a();
    cluster.kill(A);
    cluster.input(B, Input::Acquire);
    cluster.run(3_600_000);
    assert_eq!(cluster.holder(), None);
}

#[test]
fn a_release_is_proof_once_it_is_stored() {
    let mut cluster = held_by_a();
    cluster.stuck.insert(B);
    cluster.said(B);
    cluster.input(A, orderly());
    assert!(!cluster.said(B).contains(&Output::Vacant(Vacancy::Released)));
    let stored = Output::ReleaseStored { epoch: Epoch(1) };
    assert!(!cluster.said(A).contains(&stored));
    cluster.stuck.clear();
    cluster.settle();
    assert!(cluster.said(A).contains(&stored));
    assert!(cluster.said(B).contains(&Output::Vacant(Vacancy::Released)));
    cluster.kill(A);
    cluster.input(B, Input::Acquire);
    assert_eq!(cluster.epoch(B), Some(Epoch(2)));
}

#[test]
fn a_stored_release_is_proof_after_a_restart_too() {
    let mut cluster = held_by_a();
    cluster.input(A, orderly());
    cluster.kill(A);
    let disk = cluster.kill(B);
    cluster.restart(B, disk);
    cluster.input(B, Input::Acquire);
    assert_eq!(cluster.epoch(B), Some(Epoch(2)));
}

#[test]
fn its_own_release_proves_nothing_to_a_node() {
    let mut cluster = held_by_a();
    cluster.input(A, orderly());
    cluster.kill(B);
    cluster.input(A, Input::Acquire);
    cluster.run(60_000);
    assert_eq!(cluster.holder(), None);
}

#[test]
fn a_release_that_did_not_arrive_is_no_proof() {
    let mut cluster = held_by_a();
    cluster.cut(A, B);
    cluster.input(A, orderly());
    cluster.kill(A);
    cluster.input(B, Input::Acquire);
    cluster.run(60_000);
    assert_eq!(cluster.holder(), None);
}

#[test]
fn the_release_of_an_earlier_epoch_is_no_proof() {
    let mut cluster = held_by_a();
    cluster.input(A, orderly());
    cluster.input(A, Input::Acquire);
    assert_eq!(cluster.epoch(A), Some(Epoch(2)));
    let end = End::Crashed { cause: String::new() };
    cluster.receive(B, A, Message::Release { epoch: Epoch(1), counter: u64::MAX, end });
    cluster.cut(A, B);
    cluster.input(B, Input::Acquire);
    cluster.run(60_000);
    assert_eq!(cluster.holder(), Some(A));
}

#[test]
fn a_holder_does_not_consent() {
    let mut cluster = held_by_a();
    cluster.input(B, Input::Acquire);
    assert_eq!(cluster.holder(), Some(A));
    assert!(cluster.said(B).contains(&Output::Beaten { by: A }));
}

#[test]
fn a_node_that_restarted_gives_its_consent() {
    let mut cluster = held_by_a();
    let disk = cluster.kill(A);
    cluster.restart(A, disk);
    cluster.input(B, Input::Acquire);
    assert_eq!(cluster.epoch(B), Some(Epoch(2)));
}

#[test]
fn an_attestation_takes_an_epoch_that_is_durable_before_it_counts() {
    let mut cluster = held_by_a();
    cluster.kill(A);
    cluster.stuck.insert(B);
    cluster.input(B, Input::Force);
    cluster.run(1_000);
    assert_eq!(cluster.holder(), None);
    cluster.stuck.clear();
    cluster.settle();
    assert_eq!(cluster.epoch(B), Some(Epoch(1 + FORCED)));
    assert_eq!(cluster.members[&B].disk.held, Epoch(1 + FORCED));
}

#[test]
fn a_holder_that_was_not_halted_yields_to_the_attested_one_when_they_meet() {
    let mut cluster = held_by_a();
    cluster.cut(A, B);
    cluster.input(B, Input::Force);
    cluster.heal();
    cluster.run(1_000);
    assert_eq!(cluster.holder(), Some(B));
    assert!(cluster.said(A).contains(&Output::Lost { epoch: Epoch(1), outranked: true }));
}

#[test]
fn a_node_that_serves_another_pbx_needs_no_proof() {
    let mut cluster = Cluster::pair_of_two_pbxs();
    cluster.kill(A);
    cluster.input(B, Input::Acquire);
    assert_eq!(cluster.holder(), Some(B));
}

#[test]
fn a_candidate_must_have_the_facts_of_the_other_one() {
    let mut cluster = held_by_a();
    let held = |of| Output::Held { epoch: Epoch(1), facts_of: of };
    assert!(cluster.said(A).contains(&held(Some(B))));
}

#[test]
fn a_late_release_of_an_unheard_epoch_ends_nothing_that_is_held() {
    let mut cluster = held_by_a();
    let end = End::Crashed { cause: String::new() };
    cluster.receive(A, B, Message::Release { epoch: Epoch(9), counter: u64::MAX, end });
    cluster.run(1_000);
    assert_eq!(cluster.epoch(A), Some(Epoch(1)));
    assert_eq!(cluster.members[&A].disk.holder, Some(A), "nor does it free what A holds");
}

#[test]
fn two_persons_on_both_sides_of_a_cut_force_different_epochs_and_the_higher_one_stays() {
    let mut cluster = Cluster::pair();
    cluster.cut(A, B);
    cluster.input(A, Input::Force);
    cluster.input(B, Input::Force);
    let (of_a, of_b) = (cluster.epoch(A), cluster.epoch(B));
    assert!(of_a.is_some() && of_a < of_b, "{of_a:?} {of_b:?}");
    cluster.heal();
    cluster.run(200);
    assert_eq!(cluster.holder(), Some(B));
    assert_eq!(cluster.epoch(B), of_b);
}
