//! What nodes do by themselves when the primary goes.

use super::super::world::{A, B, W, World};
use super::{cut, down, events, order, promote, trio, until_primary, why};
use crate::config::Promotion;
use crate::ha::role::{Answer, Event, Lack, Order};
use crate::ha::{Input, Role};
use crate::ids::Epoch;
use crate::timers::Duration;

#[test]
fn a_lost_host_is_replaced_within_one_lease_and_a_half() {
    let mut world = trio();
    world.crash(A, false, "");
    assert!(until_primary(&mut world, B, 2_000) < 900);
    let expected = [down(false), Event::PromotionStarted(Epoch(2)), Event::PromotionDone(Epoch(2))];
    assert_eq!(events(&world, B), expected);
    assert_eq!(events(&world, W)[0], down(false));
}

#[test]
fn a_dead_process_on_a_living_host_is_replaced_without_waiting_for_the_lease() {
    let mut world = trio();
    world.crash(A, true, "");
    assert!(until_primary(&mut world, B, 2_000) < 60);
    assert_eq!(events(&world, B)[0], down(false));
}

#[test]
fn a_cut_between_a_and_b_is_not_told_as_a_failure_of_a() {
    let mut world = trio();
    cut(&mut world, A, B);
    world.run(10_000);
    assert_eq!(world.primaries(), [A]);
    for id in [B, W] {
        let told = events(&world, id).iter().any(|e| matches!(e, Event::PrimaryDown { .. }));
        assert!(!told, "{id}: {:?}", events(&world, id));
    }
}

#[test]
fn a_primary_that_is_cut_off_is_fenced_and_follows_when_it_is_back() {
    let mut world = trio();
    cut(&mut world, A, B);
    cut(&mut world, A, W);
    world.run(500);
    assert_eq!(world.role(A), Some(Role::Fenced));
    until_primary(&mut world, B, 1_000);
    world.run(5_000);
    assert_eq!(world.role(A), Some(Role::Fenced));
    world.cut.clear();
    world.run(1_000);
    assert_eq!((world.primaries(), world.role(A)), (vec![B], Some(Role::Backup)));
}

#[test]
fn a_frozen_primary_wakes_up_fenced() {
    let mut world = trio();
    world.stall(A, 5_000_000, false);
    until_primary(&mut world, B, 1_000);
    world.run(4_500);
    assert_eq!((world.primaries(), world.role(A)), (vec![B], Some(Role::Backup)));
}

#[test]
fn a_candidate_does_not_stand_again_and_again_beside_a_holder_that_was_paused_with_its_clock() {
    let mut world = trio();
    world.stall(A, 5_000_000, true);
    cut(&mut world, A, B);
    world.run(4_000);
    assert_eq!(world.role(B), Some(Role::Primary(Epoch(2))));
    cut(&mut world, B, W);
    while world.nodes[&A].stalled {
        world.run(1);
    }
    assert_eq!(world.role(B), Some(Role::Fenced));
    // What A refuses is there before what the witness has written.
    world.weather.disk = 20_000;
    world.cut.clear();
    world.run(2_000);
    assert_eq!(world.primaries().len(), 1);
    let epoch = world.nodes[&B].ha.as_ref().expect("it runs").epoch();
    assert!(epoch < Epoch(12), "{epoch}");
}

#[test]
fn a_primary_that_lost_its_voters_for_a_moment_comes_back_by_itself() {
    let mut world = trio();
    world.crash(B, false, "");
    cut(&mut world, A, W);
    world.run(550);
    assert_eq!(world.role(A), Some(Role::Fenced));
    world.cut.clear();
    until_primary(&mut world, A, 1_000);
}

#[test]
fn the_old_primary_does_not_take_the_role_back() {
    let mut world = trio();
    world.crash(A, true, "");
    until_primary(&mut world, B, 1_000);
    world.start(A);
    world.run(60_000);
    assert_eq!((world.primaries(), world.role(A)), (vec![B], Some(Role::Backup)));
}

#[test]
fn with_a_manual_policy_a_person_promotes() {
    let mut world = trio();
    for id in [A, B, W] {
        world.crash(id, false, "");
    }
    world.settings.policy = Promotion::Manual;
    for id in [A, B, W] {
        world.start(id);
    }
    until_primary(&mut world, A, 3_000);
    world.crash(A, false, "");
    world.run(10_000);
    assert_eq!(world.role(B), Some(Role::Backup));
    assert!(events(&world, W).contains(&down(false)), "people are told");
    assert_eq!(order(&mut world, B, promote(B)), Some(Answer::Done));
    assert_eq!(world.primaries(), [B]);
}

#[test]
fn auto_after_waits_so_long_and_not_longer() {
    let mut world = trio();
    world.crash(B, false, "");
    world.settings.policy = Promotion::AutoAfter(Duration::from_secs(30));
    world.start(B);
    world.run(3_000);
    world.crash(A, false, "");
    world.run(29_000);
    assert_eq!(world.role(B), Some(Role::Backup));
    until_primary(&mut world, B, 3_000);
}

#[test]
fn auto_after_does_not_wait_after_a_release() {
    let mut world = trio();
    world.crash(B, false, "");
    world.settings.policy = Promotion::AutoAfter(Duration::from_secs(30));
    world.start(B);
    world.run(3_000);
    world.crash(A, true, "");
    assert!(until_primary(&mut world, B, 1_000) < 60);
}

#[test]
fn a_pause_at_any_node_blocks_automatic_promotion_until_it_ends() {
    let mut world = trio();
    assert_eq!(order(&mut world, W, Order::Pause), Some(Answer::Done));
    world.crash(A, false, "");
    world.run(10_000);
    assert_eq!(world.role(B), Some(Role::Backup));
    assert!(why(&world, B).contains("paused"));
    world.order(W, Order::Resume);
    until_primary(&mut world, B, 1_000);
}

#[test]
fn the_node_that_was_primary_last_goes_on_though_promotion_is_paused() {
    let mut world = trio();
    assert_eq!(order(&mut world, W, Order::Pause), Some(Answer::Done));
    world.crash(A, true, "");
    world.run(2_000);
    assert_eq!(world.role(B), Some(Role::Backup));
    world.start(A);
    until_primary(&mut world, A, 3_000);
}

#[test]
fn two_ends_of_one_cause_stop_automatic_promotion() {
    let mut world = trio();
    world.crash(A, true, "index out of bounds");
    until_primary(&mut world, B, 1_000);
    world.start(A);
    world.input(A, Input::Crashed("index out of bounds".into()));
    world.run(2_000);
    world.crash(B, true, "index out of bounds");
    world.run(10_000);
    assert_eq!(world.role(A), Some(Role::Backup));
    assert!(why(&world, A).contains("index out of bounds"), "{}", why(&world, A));
    let cause = "index out of bounds".to_owned();
    assert!(events(&world, A).contains(&Event::AutomaticStopped { cause }));
    world.order(A, Order::Resume);
    until_primary(&mut world, A, 1_000);
}

#[test]
fn a_process_that_begins_anew_hears_that_automatic_promotion_was_stopped_and_that_it_goes_on() {
    let mut world = trio();
    world.crash(A, true, "index out of bounds");
    until_primary(&mut world, B, 1_000);
    world.start(A);
    world.input(A, Input::Crashed("index out of bounds".into()));
    world.run(2_000);
    world.crash(B, true, "index out of bounds");
    world.run(2_000);
    // It knows of its own end, and not of the one before.
    world.start(B);
    world.input(B, Input::Crashed("index out of bounds".into()));
    world.run(20_000);
    assert_eq!((world.role(A), world.role(B)), (Some(Role::Backup), Some(Role::Backup)));
    assert!(why(&world, B).contains("index out of bounds"), "{}", why(&world, B));
    world.order(W, Order::Resume);
    until_primary(&mut world, A, 3_000);
}

#[test]
fn an_end_that_is_told_again_counts_once_and_one_of_an_unknown_epoch_counts() {
    let mut world = trio();
    let cause = "index out of bounds".to_owned();
    let exited = |epoch| Input::Exited { node: A, epoch: Epoch(epoch), cause: cause.clone() };
    let stopped = Event::AutomaticStopped { cause: cause.clone() };
    world.input(W, exited(90));
    world.input(W, exited(90));
    assert!(!events(&world, W).contains(&stopped));
    world.input(W, exited(91));
    assert!(events(&world, W).contains(&stopped));
}

#[test]
fn two_ends_of_two_causes_do_not() {
    let mut world = trio();
    world.crash(A, true, "one");
    until_primary(&mut world, B, 1_000);
    world.start(A);
    world.run(2_000);
    world.crash(B, true, "another");
    until_primary(&mut world, A, 1_000);
}

#[test]
fn a_primary_that_does_not_reach_the_pbx_yields_to_one_that_does() {
    let mut world = trio();
    world.node(A).pbx = Some(false);
    world.input(A, Input::Pbx(false));
    assert!(until_primary(&mut world, B, 1_000) < 100);
    assert!(events(&world, B).contains(&down(true)));
}

#[test]
fn it_does_not_yield_to_one_that_does_not_reach_it_either() {
    let mut world = trio();
    for id in [A, B] {
        world.node(id).pbx = Some(false);
        world.input(id, Input::Pbx(false));
    }
    world.run(60_000);
    assert_eq!(world.primaries(), [A]);
}

#[test]
fn nobody_yields_twice_in_ten_minutes() {
    let mut world = trio();
    world.node(A).pbx = Some(false);
    world.input(A, Input::Pbx(false));
    until_primary(&mut world, B, 1_000);
    world.node(A).pbx = Some(true);
    world.input(A, Input::Pbx(true));
    world.node(B).pbx = Some(false);
    world.input(B, Input::Pbx(false));
    world.run(595_000);
    assert_eq!(world.primaries(), [B]);
    until_primary(&mut world, A, 10_000);
}

#[test]
fn a_primary_whose_disk_failed_hands_over() {
    let mut world = trio();
    world.input(A, Input::StoreFailed);
    until_primary(&mut world, B, 1_000);
}

#[test]
fn a_disk_that_failed_asks_for_no_word_about_the_pbx() {
    for reaches in [None, Some(true)] {
        let mut world = trio();
        world.node(B).pbx = None;
        world.run(200);
        if let Some(reaches) = reaches {
            world.input(A, Input::Pbx(reaches));
        }
        world.input(A, Input::StoreFailed);
        until_primary(&mut world, B, 1_000);
    }
}

#[test]
fn a_primary_whose_disk_failed_and_that_cannot_hand_over_says_once_who_must_act() {
    let said = |prepare: fn(&mut World)| {
        let mut world = trio();
        prepare(&mut world);
        world.run(1_000);
        world.input(A, Input::StoreFailed);
        world.run(60_000);
        assert_eq!(world.primaries(), [A]);
        world.node(A).alarms.clone()
    };
    let paused = said(|world| {
        world.order(A, Order::Pause);
    });
    assert!(paused.len() == 1 && paused[0].contains("`resume`, or switch to b"), "{paused:?}");
    let lost = said(|world| world.crash(B, false, ""));
    assert!(lost.len() == 1 && lost[0].contains("b is not heard: start it"), "{lost:?}");
    let unfit = said(|world| world.input(B, Input::Lacks(vec![Lack::Disk])));
    assert!(unfit.len() == 1 && unfit[0].contains("make room on this disk"), "{unfit:?}");
}

#[test]
fn a_candidate_that_cannot_get_the_facts_says_that_its_promotion_failed() {
    let mut world = trio();
    cut(&mut world, A, B);
    world.run(2_000);
    world.crash(A, false, "");
    world.run(60_000);
    let failed = |event: &&Event| matches!(event, Event::PromotionFailed { .. });
    let told: Vec<_> = events(&world, B).iter().filter(failed).collect();
    let [Event::PromotionFailed { why, .. }] = told[..] else { panic!("{told:?}") };
    assert!(why.contains("facts that are not here"), "{why}");
}

#[test]
fn a_node_that_was_outranked_waits_until_it_follows() {
    let mut world = trio();
    cut(&mut world, A, B);
    world.crash(B, false, "");
    world.input(A, Input::Outranked(Epoch(70_000)));
    world.run(10_000);
    assert_eq!(world.role(A), Some(Role::Fenced));
    assert!(why(&world, A).contains("rejoin"), "{}", why(&world, A));
    world.order(A, Order::Rejoin);
    until_primary(&mut world, A, 1_000);
}

#[test]
fn a_node_that_is_behind_is_never_promoted_by_itself() {
    let mut world = trio();
    cut(&mut world, A, B);
    world.run(2_000);
    world.crash(A, false, "");
    world.run(60_000);
    assert!(world.primaries().is_empty(), "A acknowledged facts alone");
    assert!(why(&world, B).contains("facts that are not here"), "{}", why(&world, B));
    assert_eq!(world.fault, None);
    world.cut.clear();
    world.start(A);
    world.run(5_000);
    assert_eq!(world.primaries().len(), 1, "whoever has the facts serves");
    assert_eq!(world.fault, None);
}

#[test]
fn a_lost_backup_and_a_lost_witness_are_told() {
    let mut world = trio();
    world.crash(B, false, "");
    world.crash(W, false, "");
    world.run(590);
    // B's end is told by A before its own lease runs out; the witness's too.
    world.run(200);
    let told = |event| events(&world, A).contains(&event);
    assert!(told(Event::WitnessLost), "{:?}", events(&world, A));
}

#[test]
fn a_lost_backup_is_told_by_the_primary_and_the_witness() {
    let mut world = trio();
    world.crash(B, false, "");
    world.run(1_000);
    assert_eq!(events(&world, A), [Event::BackupLost(B)]);
    assert_eq!(events(&world, W), [Event::BackupLost(B)]);
}
