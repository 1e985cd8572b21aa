//! What a pair tells of its primary, which nobody but a person replaces.

use super::super::world::{A, B, World};
use super::{cut, down, events, order, pair};
use crate::ha::Role;
use crate::ha::role::{Event, Order};

fn primary(world: &World) -> Option<crate::ids::NodeId> {
    let node = &world.nodes[&B];
    let ha = node.ha.as_ref().expect("it runs");
    ha.primary(node.clock.local(world.now)).map(|(node, _)| node)
}

#[test]
fn of_a_pair_a_primary_that_is_lost_with_its_supervisor_is_told_once_and_replaced_by_nobody() {
    let mut world = pair();
    assert_eq!(primary(&world), Some(A));
    world.crash(A, false, "");
    world.run(60_000);
    assert_eq!(events(&world, B), [Event::PrimaryUnheard(A)]);
    assert_eq!((primary(&world), world.role(B)), (None, Some(Role::Backup)));
}

#[test]
fn of_a_pair_a_primary_whose_end_was_seen_is_down_and_not_merely_unheard() {
    let mut world = pair();
    world.crash(A, true, "");
    world.run(1_900);
    assert_eq!(events(&world, B)[0], down(false));
    let unheard = events(&world, B).contains(&Event::PrimaryUnheard(A));
    assert!(!unheard, "{:?}", events(&world, B));
}

#[test]
fn of_a_pair_a_link_that_is_torn_for_a_moment_is_no_news() {
    let mut world = pair();
    cut(&mut world, A, B);
    world.run(1_500);
    assert_eq!(primary(&world), None, "it is not heard at this moment");
    world.cut.clear();
    world.run(10_000);
    assert_eq!((events(&world, B), primary(&world)), (&[][..], Some(A)));
}

#[test]
fn of_a_pair_a_primary_that_released_its_role_is_not_unheard_when_it_goes() {
    let mut world = pair();
    order(&mut world, A, Order::Release);
    world.crash(A, false, "");
    world.run(10_000);
    assert_eq!(events(&world, B)[0], down(true));
    let unheard = events(&world, B).contains(&Event::PrimaryUnheard(A));
    assert!(!unheard, "{:?}", events(&world, B));
}
