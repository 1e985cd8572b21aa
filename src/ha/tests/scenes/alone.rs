//! A pair: two nodes, no witness, and a person in place of a majority.

use super::super::world::{A, B, World, settings};
use super::{force, order, pair, promote, reasons, switch, until_primary, why};
use crate::ha::lease::{FORCED, Timers};
use crate::ha::role::{Answer, Order};
use crate::ha::sentinel::{Seen, Silence};
use crate::ha::{Input, Role};
use crate::ids::Epoch;
use crate::timers::Instant;

#[test]
fn the_backup_of_a_lost_host_waits_for_a_person() {
    let mut world = pair();
    world.crash(A, false, "");
    world.run(60_000);
    assert_eq!(world.role(B), Some(Role::Backup));
    assert!(why(&world, B).contains("promote --force"), "{}", why(&world, B));
}

#[test]
fn a_promotion_without_proof_is_refused_with_what_would_be_proof() {
    let mut world = pair();
    world.crash(A, false, "");
    world.run(2_000);
    let text = reasons(order(&mut world, B, promote(B)));
    assert!(text.contains("whoever knows that it is halted must say so"), "{text}");
}

#[test]
fn who_attests_that_the_other_one_is_halted_promotes() {
    let mut world = pair();
    world.crash(A, false, "");
    world.forced = true;
    world.run(2_000);
    assert_eq!(order(&mut world, B, force(B, "A is halted")), Some(Answer::Done));
    assert_eq!(world.role(B), Some(Role::Primary(Epoch(1 + FORCED))));
    assert_eq!(world.node(B).disk.held, Epoch(1 + FORCED));
}

#[test]
fn a_sentinel_that_is_dead_at_a_living_pbx_is_enough_for_a_person() {
    let mut world = pair();
    world.crash(A, false, "");
    world.forced = true;
    world.run(2_000);
    world.input(B, silent(Silence::Dead));
    world.run(2_000);
    assert_eq!(world.role(B), Some(Role::Backup), "and for nobody else");
    assert_eq!(order(&mut world, B, promote(B)), Some(Answer::Done));
    assert_eq!(world.primaries(), [B]);
}

#[test]
fn a_dead_sentinel_proves_nothing_to_a_node_that_does_not_reach_the_pbx() {
    let mut world = pair();
    world.crash(A, false, "");
    world.run(2_000);
    world.input(B, silent(Silence::Dead));
    world.input(B, Input::Pbx(false));
    assert!(reasons(order(&mut world, B, promote(B))).contains("has not released"));
}

#[test]
fn a_promotion_without_proof_is_refused_with_what_the_sentinel_tells() {
    for (seen, said) in [
        (Input::Sentinel(Some(Seen::Untried)), "the sentinel was not called yet"),
        (Input::Sentinel(Some(Seen::Answers)), "the primary lives"),
        (silent(Silence::Short), "its registration may last longer"),
        (silent(Silence::Unproven), "never answered this node before"),
    ] {
        let mut world = pair();
        world.crash(A, false, "");
        world.run(2_000);
        assert!(!reasons(order(&mut world, B, promote(B))).contains("sentinel"));
        world.input(B, seen);
        let reasons = reasons(order(&mut world, B, promote(B)));
        assert!(reasons.contains("has not released") && reasons.contains(said), "{reasons}");
        assert_eq!(world.role(B), Some(Role::Backup));
    }
}

#[test]
fn a_sentinel_that_answers_again_takes_the_proof_away() {
    let mut world = pair();
    world.crash(A, false, "");
    world.run(2_000);
    world.input(B, silent(Silence::Dead));
    assert_eq!(order(&mut world, B, Order::Drill { node: B }), Some(Answer::Done));
    world.input(B, Input::Sentinel(Some(Seen::Answers)));
    assert!(reasons(order(&mut world, B, promote(B))).contains("the primary lives"));
}

fn silent(silence: Silence) -> Input {
    Input::Sentinel(Some(Seen::Silent { since: Instant::ZERO, silence }))
}

#[test]
fn after_an_orderly_end_the_backup_takes_over_by_itself() {
    let mut world = pair();
    assert_eq!(order(&mut world, A, Order::Release), Some(Answer::Done));
    assert_eq!(world.primaries(), [B]);
}

#[test]
fn after_the_word_of_a_supervisor_the_backup_takes_over_by_itself() {
    let mut world = pair();
    world.crash(A, true, "");
    world.restart_in(A, 100_000);
    until_primary(&mut world, B, 2_000);
    world.run(5_000);
    assert_eq!((world.primaries(), world.role(A)), (vec![B], Some(Role::Backup)));
}

#[test]
fn a_planned_switch_needs_no_force() {
    let mut world = pair();
    assert_eq!(order(&mut world, B, switch(B)), Some(Answer::Done));
    assert_eq!((world.primaries(), world.role(A)), (vec![B], Some(Role::Backup)));
    assert_eq!(order(&mut world, A, promote(A)), Some(Answer::Done));
    assert_eq!(world.primaries(), [A]);
}

#[test]
fn the_primary_of_a_broken_link_stays_and_the_backup_too() {
    let mut world = pair();
    world.cut.extend([(A, B), (B, A)]);
    world.run(60_000);
    assert_eq!((world.primaries(), world.role(B)), (vec![A], Some(Role::Backup)));
}

#[test]
fn a_primary_that_was_not_halted_is_fenced_when_it_meets_the_attested_one() {
    let mut world = pair();
    world.forced = true;
    world.cut.extend([(A, B), (B, A)]);
    world.run(1_000);
    assert_eq!(order(&mut world, B, force(B, "A is halted")), Some(Answer::Done));
    world.cut.clear();
    world.run(1_000);
    assert_eq!((world.primaries(), world.role(A)), (vec![B], Some(Role::Backup)));
}

#[test]
fn a_backup_at_another_pbx_takes_over_when_the_first_is_not_heard() {
    let mut settings = settings(&[A, B], None, Timers::LAN);
    settings.site.other_pbx = true;
    let mut world = World::new(settings, 1);
    world.forced = true; // Two leases: each node has its own PBX.
    world.start(A);
    world.start(B);
    world.run(3_000);
    assert_eq!((world.primaries(), world.role(B)), (vec![A], Some(Role::Backup)));
    world.crash(A, false, "");
    until_primary(&mut world, B, 2_000);
    world.start(A);
    world.run(5_000);
    assert_eq!(world.primaries(), [A, B], "each serves its own");
}

#[test]
fn a_backup_whose_pbx_turned_out_to_be_the_same_does_not_take_over_by_itself() {
    let mut settings = settings(&[A, B], None, Timers::LAN);
    settings.site.other_pbx = true;
    let mut world = World::new(settings, 1);
    world.start(A);
    world.start(B);
    world.run(3_000);
    assert_eq!((world.primaries(), world.role(B)), (vec![A], Some(Role::Backup)));
    for id in [A, B] {
        world.input(id, Input::OtherPbx(false));
    }
    world.cut.extend([(A, B), (B, A)]);
    world.run(60_000);
    assert_eq!((world.primaries(), world.role(B)), (vec![A], Some(Role::Backup)));
    assert!(why(&world, B).contains("has not released"), "{}", why(&world, B));
}
