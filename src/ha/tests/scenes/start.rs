//! Who is primary after a start, in every order.

use super::super::world::{A, B, W, World, settings};
use super::{pair, trio, until_primary, why};
use crate::config::Promotion;
use crate::ha::Role;
use crate::ha::lease::Timers;

#[test]
fn a_then_b_makes_a_primary() {
    let mut world = World::trio();
    world.start(W);
    world.start(A);
    world.run(1_000);
    world.start(B);
    world.run(3_000);
    assert_eq!((world.primaries(), world.role(B)), (vec![A], Some(Role::Backup)));
}

#[test]
fn b_then_a_makes_a_primary() {
    let mut world = World::trio();
    world.start(W);
    world.start(B);
    world.run(1_000);
    world.start(A);
    world.run(3_000);
    assert_eq!((world.primaries(), world.role(B)), (vec![A], Some(Role::Backup)));
}

#[test]
fn b_alone_stays_passive_and_says_why() {
    let mut world = World::trio();
    world.start(B);
    world.run(60_000);
    assert_eq!(world.role(B), Some(Role::Backup));
    assert!(why(&world, B).contains("two of three must agree"), "{}", why(&world, B));
}

#[test]
fn b_with_the_witness_waits_for_a_and_then_serves() {
    let mut world = World::trio();
    world.start(B);
    world.start(W);
    world.run(1_500);
    assert_eq!(world.role(B), Some(Role::Backup));
    assert!(why(&world, B).contains("the first node at a start"), "{}", why(&world, B));
    until_primary(&mut world, B, 2_000);
}

#[test]
fn b_with_the_witness_waits_for_a_person_if_its_policy_is_manual() {
    let mut world = World::trio();
    world.settings.policy = Promotion::Manual;
    world.start(B);
    world.start(W);
    world.run(60_000);
    assert_eq!(world.role(B), Some(Role::Backup));
    assert!(why(&world, B).contains("an operator must promote"), "{}", why(&world, B));
}

#[test]
fn the_first_node_starts_whatever_the_policy_is() {
    let mut world = World::trio();
    world.settings.policy = Promotion::Manual;
    for id in [B, W, A] {
        world.start(id);
    }
    until_primary(&mut world, A, 2_000);
}

#[test]
fn after_a_loss_of_power_the_last_primary_is_primary_again() {
    let mut world = trio();
    world.crash(A, false, "");
    until_primary(&mut world, B, 3_000);
    world.start(A);
    world.run(1_000);
    for id in [A, B, W] {
        world.crash(id, false, "");
    }
    for id in [A, B, W] {
        world.start(id);
    }
    world.run(5_000);
    assert_eq!(world.primaries(), [B]);
}

#[test]
fn one_node_is_primary_by_itself() {
    let mut world = World::new(settings(&[A], None, Timers::LAN), 1);
    world.start(A);
    assert!(until_primary(&mut world, A, 1_000) < 100);
}

#[test]
fn of_a_pair_the_first_is_primary_once_both_are_there() {
    let mut world = World::pair();
    world.start(A);
    world.run(30_000);
    assert_eq!(world.role(A), Some(Role::Backup));
    assert!(why(&world, A).contains("or start it"), "{}", why(&world, A));
    world.start(B);
    until_primary(&mut world, A, 1_000);
}

#[test]
fn of_a_pair_b_alone_stays_passive_and_says_why() {
    let mut world = World::pair();
    world.start(B);
    world.run(60_000);
    assert_eq!(world.role(B), Some(Role::Backup));
    assert!(why(&world, B).contains("a has not released its role"), "{}", why(&world, B));
}

#[test]
fn of_a_pair_the_primary_that_restarts_is_primary_again_with_the_consent_of_the_other() {
    let mut world = pair();
    world.crash(A, false, "");
    world.run(5_000);
    assert_eq!(world.role(B), Some(Role::Backup));
    world.start(A);
    until_primary(&mut world, A, 2_000);
}
