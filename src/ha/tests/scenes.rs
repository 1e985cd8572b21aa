//! Scenes of a cluster that a person would tell.

mod alone;
mod orders;
mod pair;
mod promotion;
mod start;

use super::world::{A, B, Node, W, World, settings};
use crate::ha::Role;
use crate::ha::lease::Timers;
use crate::ha::role::{Answer, Event, Order, sentence};
use crate::ids::NodeId;

/// A is primary, B and the witness follow.
fn trio() -> World {
    begun(World::new(settings(&[A, B], Some(W), Timers::LAN), 1))
}

/// A is primary, B follows, and nobody else is there.
fn pair() -> World {
    begun(World::new(settings(&[A, B], None, Timers::LAN), 1))
}

fn begun(mut world: World) -> World {
    let all: Vec<_> = world.nodes.keys().copied().collect();
    for id in all {
        world.start(id);
    }
    world.run(3_000);
    assert_eq!(world.primaries(), [A]);
    assert_eq!(world.role(B), Some(Role::Backup));
    for node in world.nodes.values_mut() {
        node.events.clear();
    }
    world
}

fn cut(world: &mut World, one: NodeId, other: NodeId) {
    world.cut.extend([(one, other), (other, one)]);
}

/// Gives an order and lets it run for a second.
fn order(world: &mut World, at: NodeId, order: Order) -> Option<Answer> {
    let request = world.order(at, order);
    world.run(1_000);
    world.answer(at, request).cloned()
}

fn promote(node: NodeId) -> Order {
    Order::Promote { node, forced: None }
}

fn force(node: NodeId, words: &str) -> Order {
    Order::Promote { node, forced: Some(words.to_owned()) }
}

fn switch(to: NodeId) -> Order {
    Order::Switchover { to, forced: false }
}

/// The reasons of a refusal, as one text.
fn reasons(answer: Option<Answer>) -> String {
    match answer {
        Some(Answer::Refused { reasons, .. }) => sentence(&reasons),
        other => panic!("not refused: {other:?}"),
    }
}

fn why(world: &World, id: NodeId) -> String {
    let Node { ha, clock, .. } = &world.nodes[&id];
    ha.as_ref().expect("it runs").passive_because(clock.local(world.now)).join("; ")
}

fn down(controlled: bool) -> Event {
    Event::PrimaryDown { node: A, controlled }
}

fn events(world: &World, id: NodeId) -> &[Event] {
    &world.nodes[&id].events
}

/// Milliseconds until this node is primary.
fn until_primary(world: &mut World, id: NodeId, most: u64) -> u64 {
    for passed in 0..most {
        if world.primaries() == [id] {
            return passed;
        }
        world.run(1);
    }
    panic!("{id} is {:?} after {most} ms: {}", world.role(id), why(world, id));
}
