//! What is refused and forced all the same, by one person or two.

use super::desk::{Desk, PIN, evidence, who};
use crate::ids::NodeId;
use crate::menu::{Config, Evidence, Input, Obstacle, Order, Promotion, Proposal};
use crate::store::Action;
use crate::timers::Duration;

const TWO: Config = Config { two_person: true };

/// A promotion that was refused and may be forced.
fn refused(config: Config) -> Desk {
    let mut desk = Desk::let_in(config);
    desk.keys("1");
    desk.confirm();
    let obstacles = vec![Obstacle::NoMajority];
    desk.promotion(Promotion::Refused { obstacles, may_force: true });
    desk
}

/// What the last order was forced with.
fn attested(desk: &Desk) -> Option<&str> {
    match desk.orders.last() {
        Some(Order::Promote { forced, .. }) => forced.as_deref(),
        _ => None,
    }
}

#[test]
fn force_needs_a_key_and_three_more_digits_and_an_attestation() {
    let mut desk = refused(Config::default());
    desk.hears("There is no majority of servers. It can be forced, when the primary server is");
    desk.keys("1");
    desk.hears("To force the promotion, key these three digits.");
    assert_eq!(desk.promotions(), 1, "the refused one");
    desk.confirm();
    assert_eq!(desk.promotions(), 2);
    assert_eq!(attested(&desk), Some("agent 4711 declared by phone that the primary is halted"));
}

#[test]
fn any_other_key_forces_nothing() {
    for key in ["2", "3", "9", "0"] {
        let mut desk = refused(Config::default());
        desk.keys(key);
        desk.hears("Nothing was forced.");
        assert_eq!(desk.promotions(), 1);
    }
}

#[test]
fn with_two_persons_a_second_agent_has_to_agree() {
    let mut desk = refused(TWO);
    desk.keys("1");
    desk.confirm();
    assert_eq!(desk.promotions(), 1, "nothing is forced yet");
    assert_eq!(desk.orders.last(), Some(&Order::Propose { who: who("4711") }));
    desk.hears("A second agent has to agree within five minutes");
    desk.log_in("4711");
    desk.hears("The second agent must be another one.");
    desk.log_in("4712");
    assert_eq!(desk.promotions(), 2);
    let both = "agents 4711 and 4712 declared by phone that the primary is halted";
    assert_eq!(attested(&desk), Some(both));
}

#[test]
fn a_second_agent_whose_pin_is_wrong_agrees_to_nothing() {
    let mut desk = refused(TWO);
    desk.keys("1");
    desk.confirm();
    for _ in 0..3 {
        desk.keys("4712#");
        desk.pin("555123");
    }
    desk.hears("vm-goodbye");
    assert_eq!(desk.promotions(), 1);
}

#[test]
fn nobody_agrees_after_five_minutes() {
    let mut desk = refused(TWO);
    desk.keys("1");
    desk.confirm();
    desk.listen();
    desk.wait(Duration::from_secs(299));
    assert!(!desk.last().contains("five minutes are over"));
    desk.wait(Duration::from_secs(1));
    desk.hears("The five minutes are over.");
    let (action, result) = desk.results().pop().expect("written down");
    assert!(matches!(action, Action::Promote { node: NodeId(1), forced: Some(_) }));
    assert_eq!(result, Err("no second agent agreed".to_owned()));

    let mut late = refused(TWO);
    late.keys("1");
    late.confirm();
    late.listen();
    late.wait(Duration::from_secs(298));
    late.keys("4712#");
    late.pin(PIN);
    late.hears("The five minutes are over.");
    assert_eq!(late.promotions(), 1);
}

#[test]
fn the_second_agent_may_call_from_elsewhere() {
    let mut second = Desk::called(TWO);
    let proposal = Some(Proposal { by: "4711".to_owned() });
    second.input(Input::Evidence(Evidence { proposal, ..evidence() }));
    second.log_in("4712");
    second.hears("Agent 4 7 1 1 asks to force the promotion");
    second.keys("1");
    second.hears("To force the promotion, key these three digits.");
    assert_eq!(second.promotions(), 0);
    second.confirm();
    let both = "agents 4711 and 4712 declared by phone that the primary is halted";
    assert_eq!(attested(&second), Some(both));

    // And the first, who waits, hears what comes of it.
    let mut first = refused(TWO);
    first.keys("1");
    first.confirm();
    first.listen();
    first.promotion(Promotion::Progress { ports: 9, of: 96 });
    first.promotion(Promotion::Done { ports: 96, of: 96 });
    first.hears("Promoted.");
}

#[test]
fn nobody_agrees_with_himself_by_a_second_call() {
    let mut again = Desk::called(TWO);
    let proposal = Some(Proposal { by: "4711".to_owned() });
    again.input(Input::Evidence(Evidence { proposal, ..evidence() }));
    again.log_in("4711");
    again.hears("To promote server w e s t press 1.");
    again.keys("1");
    again.confirm();
    assert_eq!(attested(&again), None, "an ordinary promotion");
}
