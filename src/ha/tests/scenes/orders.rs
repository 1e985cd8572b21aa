//! What people order, with both nodes there.

use super::super::world::{A, B, W, World};
use super::{cut, down, events, force, order, promote, reasons, switch, trio, until_primary, why};
use crate::ha::role::{Answer, Event, Lack, Order};
use crate::ha::{Input, Role};

#[test]
fn a_switchover_leaves_the_role_vacant_for_a_moment_only() {
    let mut world = trio();
    let request = world.order(A, switch(B));
    let mut vacant = 0;
    for _ in 0..200 {
        world.run(1);
        vacant += u64::from(world.nodes.values().all(|node| {
            let local = node.clock.local(world.now);
            node.ha.as_ref().is_none_or(|ha| !ha.holds(local))
        }));
    }
    assert!((1..=20).contains(&vacant), "{vacant} ms");
    assert_eq!((world.primaries(), world.role(A)), (vec![B], Some(Role::Backup)));
    assert_eq!(world.answer(A, request), Some(&Answer::Done));
    assert_eq!(events(&world, B)[0], down(true));
}

#[test]
fn a_switchover_to_a_node_that_is_not_ready_is_refused_with_its_reasons() {
    let mut world = trio();
    world.input(B, Input::Lacks(vec![Lack::Disk]));
    assert!(reasons(order(&mut world, A, switch(B))).contains("make room on this disk"));
    assert_eq!(world.primaries(), [A]);
}

#[test]
fn a_forced_switchover_goes_to_a_node_that_is_not_ready() {
    let mut world = trio();
    world.input(B, Input::Lacks(vec![Lack::Disk]));
    let forced = Order::Switchover { to: B, forced: true };
    assert_eq!(order(&mut world, A, forced), Some(Answer::Done));
    assert_eq!(world.primaries(), [B]);
}

#[test]
fn a_switchover_can_be_ordered_at_each_node() {
    for at in [A, B, W] {
        let mut world = trio();
        assert_eq!(order(&mut world, at, switch(B)), Some(Answer::Done), "at {at}");
        assert_eq!(world.primaries(), [B]);
    }
}

#[test]
fn to_promote_a_backup_while_the_primary_lives_is_a_switchover() {
    for at in [B, W] {
        let mut world = trio();
        assert_eq!(order(&mut world, at, promote(B)), Some(Answer::Done), "at {at}");
        assert_eq!((world.primaries(), world.role(A)), (vec![B], Some(Role::Backup)));
    }
}

#[test]
fn a_drill_says_what_the_order_would_and_changes_nothing() {
    let drill = |world: &mut World| order(world, W, Order::Drill { node: B });
    let mut world = trio();
    assert_eq!(drill(&mut world), Some(Answer::Done), "the primary would hand its role over");
    assert_eq!((world.primaries(), world.role(B)), (vec![A], Some(Role::Backup)));
    world.input(B, Input::Lacks(vec![Lack::Disk]));
    assert!(reasons(drill(&mut world)).contains("make room on this disk"));
    world.input(B, Input::Lacks(Vec::new()));
    cut(&mut world, A, B);
    world.run(2_000);
    assert!(reasons(drill(&mut world)).contains("a has the lease"));
    assert!(reasons(order(&mut world, A, Order::Drill { node: B })).contains("there is no link"));
    let mut world = trio();
    world.crash(A, false, "");
    world.crash(W, false, "");
    world.run(2_000);
    let alone = order(&mut world, B, Order::Drill { node: B });
    assert!(reasons(alone).contains("too few voters answered"));
}

#[test]
fn to_promote_the_primary_changes_nothing() {
    let mut world = trio();
    assert_eq!(order(&mut world, B, promote(A)), Some(Answer::Done));
    assert_eq!(world.primaries(), [A]);
}

#[test]
fn failback_is_a_switchover_that_a_person_orders() {
    let mut world = trio();
    world.crash(A, true, "");
    until_primary(&mut world, B, 1_000);
    world.start(A);
    world.run(3_000);
    assert_eq!(order(&mut world, B, switch(A)), Some(Answer::Done));
    assert_eq!(world.primaries(), [A]);
}

#[test]
fn a_successor_that_does_not_take_over_leaves_the_old_primary_primary() {
    let mut world = trio();
    let request = world.order(A, switch(B));
    while world.primaries() == [A] {
        world.run_until(world.now + 50);
    }
    world.crash(B, false, "");
    world.run(10_000);
    assert_eq!(world.primaries(), [A]);
    assert!(matches!(world.answer(A, request), Some(Answer::Refused { .. })));
}

#[test]
fn a_switchover_without_a_link_is_refused() {
    let mut world = trio();
    cut(&mut world, A, B);
    world.run(2_000);
    assert!(reasons(order(&mut world, A, switch(B))).contains("there is no link to b"));
}

#[test]
fn a_promotion_at_a_node_that_the_primary_does_not_hear_is_refused() {
    let mut world = trio();
    cut(&mut world, A, B);
    world.run(2_000);
    assert!(reasons(order(&mut world, B, promote(B))).contains("a has the lease"));
    assert_eq!((world.primaries(), world.role(B)), (vec![A], Some(Role::Backup)));
}

#[test]
fn an_orderly_end_is_told_as_one_and_the_backup_takes_over() {
    let mut world = trio();
    assert_eq!(order(&mut world, A, Order::Release), Some(Answer::Done));
    assert_eq!((world.primaries(), world.role(A)), (vec![B], Some(Role::Backup)));
    assert_eq!(events(&world, B)[0], down(true));
    assert_eq!(events(&world, W)[0], down(true));
}

#[test]
fn a_node_that_gave_its_role_up_by_order_does_not_take_it_back_by_itself() {
    let mut world = trio();
    world.crash(B, false, "");
    assert_eq!(order(&mut world, A, Order::Release), Some(Answer::Done));
    world.run(30_000);
    assert_eq!(world.role(A), Some(Role::Fenced));
    assert!(why(&world, A).contains("rejoin"), "{}", why(&world, A));
    assert_eq!(order(&mut world, A, Order::Rejoin), Some(Answer::Done));
    assert_eq!(world.primaries(), [A]);
}

#[test]
fn a_promotion_without_a_majority_is_refused_and_called_off() {
    let mut world = trio();
    world.crash(A, false, "");
    world.crash(W, false, "");
    world.run(2_000);
    let request = world.order(B, promote(B));
    world.run(16_000);
    let answer = world.answer(B, request).cloned();
    assert!(reasons(answer).contains("too few voters answered"));
    let failed = |event: &&Event| matches!(event, Event::PromotionFailed { .. });
    assert_eq!(events(&world, B).iter().filter(failed).count(), 1);
    world.input(B, Input::Behind); // Nothing automatic shall hide what is left of the order.
    world.start(W);
    world.run(5_000);
    assert_eq!(world.role(B), Some(Role::Backup));
}

#[test]
fn a_forced_promotion_needs_words() {
    let mut world = trio();
    world.crash(A, false, "");
    world.crash(W, false, "");
    world.run(2_000);
    assert!(reasons(order(&mut world, B, force(B, "  "))).contains("say in words"));
    world.forced = true;
    assert_eq!(order(&mut world, B, force(B, "A is off")), Some(Answer::Done));
    assert_eq!(world.primaries(), [B]);
}

#[test]
fn a_forced_promotion_is_possible_for_a_node_that_is_behind() {
    let mut world = trio();
    cut(&mut world, A, B);
    world.run(2_000);
    world.crash(A, false, "");
    world.run(10_000);
    assert!(reasons(order(&mut world, B, promote(B))).contains("facts that are not here"));
    world.forced = true;
    assert_eq!(order(&mut world, B, force(B, "A burnt down")), Some(Answer::Done));
    assert_eq!(world.primaries(), [B]);
}

#[test]
fn the_primary_yields_to_a_forced_one_at_once() {
    let mut world = trio();
    world.forced = true;
    assert_eq!(order(&mut world, B, force(B, "A answers nobody")), Some(Answer::Done));
    assert_eq!((world.primaries(), world.role(A)), (vec![B], Some(Role::Backup)));
}

#[test]
fn a_witness_is_never_primary() {
    let mut world = trio();
    assert!(reasons(order(&mut world, W, promote(W))).contains("never primary"));
    assert!(reasons(order(&mut world, A, switch(W))).contains("only the other data node"));
}

#[test]
fn an_order_for_a_node_without_a_link_names_where_to_give_it() {
    let mut world = trio();
    world.crash(B, false, "");
    world.run(2_000);
    assert!(reasons(order(&mut world, W, promote(B))).contains("give the order at b"));
}

#[test]
fn an_order_that_another_node_does_not_answer_is_unknown_and_not_refused() {
    let mut world = trio();
    world.stall(B, 60_000_000, false);
    let request = world.order(W, promote(B));
    world.run(46_000);
    assert_eq!(world.answer(W, request), Some(&Answer::Unknown));
}

#[test]
fn an_order_waits_while_its_promotion_goes_on_wherever_it_was_given() {
    let mut world = trio();
    world.takeover = 25_000_000;
    world.crash(A, false, "");
    world.run(100);
    let requests = [B, W].map(|at| (at, world.order(at, promote(B))));
    world.run(20_000);
    assert!(matches!(world.role(B), Some(Role::Promoting(_))), "{:?}", world.role(B));
    let answers = |world: &World| requests.map(|(at, id)| world.answer(at, id).cloned());
    assert_eq!(answers(&world), [None, None]);
    world.run(10_000);
    assert_eq!(answers(&world), [Some(Answer::Done), Some(Answer::Done)]);
}

#[test]
fn too_many_orders_are_refused() {
    let mut world = trio();
    world.stall(B, 30_000_000, false);
    for _ in 0..8 {
        world.order(W, promote(B));
    }
    assert!(reasons(order(&mut world, W, promote(B))).contains("too many orders"));
}

#[test]
fn only_a_fenced_node_rejoins() {
    let mut world = trio();
    assert!(reasons(order(&mut world, A, Order::Rejoin)).contains("not fenced"));
}
