//! New calls, waiting, fallback, announcement, outbound calls and voluntary moves.

use super::world::{CALL, PORT, World, at, config, ms};
use crate::ids::{CallId, Generation, InstanceId, PortId};
use crate::pool::{Health, Input, Output, PortState, Reason};

const MAIN: &str = "[\"main\"]";
const FULL: &str = "[\"main\", \"basic\", \"builtin:announce\"]";

#[test]
fn a_new_call_goes_to_the_first_entry_and_is_bound_by_the_first_command() {
    let mut w = World::one(FULL, "[applications.main]\nargs = [\"x\"]\n");
    w.connect(2, &["basic"]);
    w.connect(1, &["main"]);
    w.arrive(0);
    let (_, offer) = w.offers().pop().expect("an offer");
    assert_eq!((offer.instance, offer.generation), (InstanceId(1), Generation(1)));
    assert_eq!((offer.application.as_str(), offer.args), ("main", vec!["x".to_owned()]));
    assert_eq!(w.port().state, PortState::Offered);
    let generation = Generation(1);
    w.input(Input::Command { port: PORT, generation });
    assert_eq!(w.port().state, PortState::Bound);
    assert_eq!(w.claims()[0].reason, Reason::New);
}

#[test]
fn calls_go_to_the_least_loaded_instance() {
    let mut w = World::new(config(6, MAIN, ""));
    for id in 1..=3 {
        w.connect(id, &["main"]);
    }
    for port in 0..6 {
        w.arrive(port);
    }
    let loads: Vec<usize> = w.pool.instances().map(|i| i.calls).collect();
    assert_eq!(loads, [2, 2, 2]);
    w.input(Input::Ended { port: PortId(1) });
    w.input(Input::Arrived { port: PortId(1), call: CallId(77) });
    assert_eq!(w.offered().0, 2);
}

#[test]
fn a_command_of_another_generation_claims_nothing_and_is_counted() {
    let mut w = World::one(MAIN, "");
    w.connect(1, &["main"]);
    w.arrive(0);
    w.command(PORT, 2);
    w.command(PORT, 0);
    assert_eq!(w.port().state, PortState::Offered);
    assert_eq!(w.pool.counters().stale, 2);
    w.command(PortId(9), 1);
    assert_eq!(w.pool.counters().stale, 3);
}

#[test]
fn the_next_entry_takes_a_new_call_when_the_first_has_no_healthy_instance() {
    let mut w = World::one(FULL, "");
    w.connect(2, &["basic"]);
    w.arrive(0);
    assert_eq!(w.offers()[0].1.application, "basic");
}

#[test]
fn without_an_instance_a_call_rings_for_queue_ring_and_then_hears_the_announcement() {
    let mut w = World::one(FULL, "[applications.main]\nqueue_ring = \"3s\"\n");
    w.arrive(0);
    assert_eq!(w.port().state, PortState::Queued);
    w.run(10_000);
    assert_eq!(w.events.len(), 1);
    assert_eq!(w.first(|o| matches!(o, Output::Announce { call: CALL, .. })), Some(3_000));
    assert_eq!(w.port().state, PortState::Announce);
    w.input(Input::AnnounceDone { port: PORT });
    assert!(w.first(|o| matches!(o, Output::Release { call: CALL, .. })).is_some());
    assert_eq!(w.port().state, PortState::Leaving);
    w.input(Input::Ended { port: PORT });
    assert_eq!(w.port().state, PortState::Idle);
}

#[test]
fn without_an_announcement_it_is_answered_with_the_hold_prompt_and_overflows_at_queue_max() {
    let overflow = "[applications.main]\nqueue_max = \"20s\"\noverflow = \"refer:2000\"\n";
    let mut w = World::one(MAIN, overflow);
    w.arrive(0);
    w.run(2_001);
    assert_eq!(w.first(|o| matches!(o, Output::HoldPrompt { .. })), Some(2_000));
    w.up();
    w.sounding(true);
    w.run(60_000);
    assert_eq!(
        w.first(|o| matches!(o, Output::Refer { target, .. } if target == "2000")),
        Some(20_000)
    );
    assert_eq!(w.events.len(), 2);
}

#[test]
fn overflow_may_be_the_announcement_of_a_port_that_does_not_list_it() {
    let mut w =
        World::one(MAIN, "[applications.main]\nqueue_max = \"5s\"\noverflow = \"announce\"\n");
    w.arrive(0);
    w.run(6_000);
    assert_eq!(w.first(|o| matches!(o, Output::Announce { .. })), Some(5_000));
}

#[test]
fn ari_r19_an_instance_that_connects_0_3_s_late_gets_the_call_at_once() {
    let mut w = World::one(MAIN, "");
    w.arrive(0);
    w.run(300);
    w.connect(1, &["main"]);
    assert_eq!(w.offers()[0].0, 300);
    assert_eq!(w.offered(), (1, 1, Reason::New));
}

#[test]
fn waiting_calls_are_served_the_longest_waiting_first() {
    let mut w = World::new(config(3, MAIN, ""));
    for port in [2, 0, 1] {
        w.arrive(port);
        w.run(10);
    }
    w.connect(1, &["main"]);
    let order: Vec<u16> = w.offers().iter().map(|(_, offer)| offer.port.0).collect();
    assert_eq!(order, [2, 0, 1]);
}

#[test]
fn an_instance_of_another_application_gets_nothing() {
    let mut w = World::one(MAIN, "");
    w.connect(1, &["other", "never-configured"]);
    w.arrive(0);
    assert!(w.offers().is_empty());
}

#[test]
fn a_suspect_instance_gets_no_new_call_and_a_waiting_one_when_it_is_well_again() {
    let mut w = World::one(MAIN, "");
    let one = w.connect(1, &["main"]);
    w.run(500);
    w.freeze(one);
    w.run(150);
    assert_eq!(w.health(one), Health::Suspect);
    w.arrive(0);
    assert!(w.offers().is_empty());
    w.thaw(one);
    assert_eq!(w.offered().0, 1);
}

#[test]
fn a_draining_instance_keeps_its_calls_and_gets_no_other() {
    let mut w = World::new(config(2, MAIN, ""));
    let one = w.connect_working(1, &["main"]);
    w.arrive(0);
    w.run(10);
    w.input(Input::Drain { instance: one, on: true });
    assert_eq!(w.health(one), Health::Draining);
    w.arrive(1);
    assert_eq!(w.offers().len(), 1);
    assert_eq!(w.port().state, PortState::Bound);
    w.input(Input::Drain { instance: one, on: false });
    assert_eq!(w.offers().len(), 2);
    assert_eq!(w.health(one), Health::Healthy);
}

#[test]
fn an_announce_port_announces_at_once_and_next_goes_on_to_the_application_behind_it() {
    let mut w = World::one("[\"builtin:announce\", \"main\"]", "");
    w.connect(1, &["main"]);
    w.arrive(0);
    assert_eq!(w.first(|o| matches!(o, Output::Announce { .. })), Some(1));
    w.input(Input::Next { port: PORT });
    assert_eq!(w.offered(), (1, 1, Reason::Moved));
    w.command(PORT, 1);
    w.input(Input::Next { port: PORT });
    assert!(w.first(|o| matches!(o, Output::Release { .. })).is_some(), "nothing comes after");
}

#[test]
fn next_of_an_owner_goes_strictly_on_and_kills_its_token() {
    let mut w = World::one(FULL, "");
    w.connect(1, &["main"]);
    w.connect(2, &["basic"]);
    w.arrive(0);
    w.command(PORT, 1);
    w.input(Input::Next { port: PORT });
    assert_eq!(w.offered(), (2, 2, Reason::Moved));
    w.command(PORT, 1);
    assert_eq!(w.port().state, PortState::Offered);
    w.command(PORT, 2);
    w.input(Input::Next { port: PORT });
    assert_eq!(w.port().state, PortState::Announce);
}

#[test]
fn a_move_takes_its_arguments_along_and_falls_back_to_the_rest_of_the_list() {
    let mut w = World::one("[\"main\", \"builtin:announce\"]", "");
    w.connect(1, &["main"]);
    let three = w.connect(3, &["other"]);
    w.arrive(0);
    w.command(PORT, 1);
    let args = vec!["from-main".to_owned()];
    w.input(Input::Move { port: PORT, application: "other".into(), args: args.clone() });
    let (_, offer) = w.offers().pop().expect("an offer");
    assert_eq!((offer.application.as_str(), &offer.args), ("other", &args));
    w.command(PORT, 2);
    let four = w.connect(4, &["other"]);
    w.crash(three);
    let (_, offer) = w.offers().pop().expect("an offer");
    assert_eq!((offer.instance, &offer.args), (four, &args), "same arguments at a rebind");
    w.command(PORT, 3);
    w.crash(four);
    assert_eq!(w.offers().pop().expect("an offer").1.application, "main");
}

#[test]
fn a_move_to_an_application_that_nobody_serves_changes_nothing_and_the_owner_is_told() {
    let mut w = World::one(MAIN, "");
    w.connect(1, &["main"]);
    let two = w.connect(2, &["other"]);
    w.arrive(0);
    w.command(PORT, 1);
    w.input(Input::Drain { instance: two, on: true });
    for application in ["nowhere", "basic", "other"] {
        w.events.clear();
        w.input(Input::Move {
            port: PORT,
            application: application.into(),
            args: vec!["x".into()],
        });
        let [event] = &w.events[..] else { panic!("{:?}", w.events) };
        let Output::MoveFailed { call, application: to, args, .. } = &event.output else {
            panic!("{event:?}");
        };
        assert_eq!((*call, to.as_str(), args), (CALL, application, &vec!["x".to_owned()]));
    }
    assert_eq!(w.port().state, PortState::Bound);
    assert_eq!(w.port().generation, Some(Generation(1)));
    assert_eq!(w.pool.counters().moves_refused, 3);
    w.input(Input::Drain { instance: two, on: false });
    w.input(Input::Move { port: PORT, application: "other".into(), args: Vec::new() });
    assert_eq!(w.offered(), (2, 2, Reason::Moved));
}

#[test]
fn an_answered_outbound_call_goes_to_the_instance_that_placed_it() {
    let mut w = World::one(MAIN, "");
    w.connect(1, &["other"]);
    let two = w.connect(2, &["other"]);
    let application = "other".to_owned();
    let args = vec!["out".to_owned()];
    w.input(Input::Originated { port: PORT, call: CALL, application, args, by: Some(two) });
    assert_eq!(w.port().state, PortState::Outbound);
    w.run(7_000);
    assert!(w.offers().is_empty());
    w.up();
    assert_eq!(w.offered(), (2, 1, Reason::New));
    assert_eq!(w.offers()[0].1.args, ["out"]);
}

#[test]
fn an_outbound_call_whose_instance_is_gone_goes_to_another_one_or_hears_the_hold_prompt() {
    let mut w = World::one(FULL, "");
    let two = w.connect(2, &["other"]);
    let application = "other".to_owned();
    w.input(Input::Originated {
        port: PORT,
        call: CALL,
        application,
        args: Vec::new(),
        by: Some(two),
    });
    w.crash(two);
    w.up();
    assert_eq!(w.port().state, PortState::Queued);
    assert!(w.first(|o| matches!(o, Output::HoldPrompt { .. })).is_some());
    w.run(5_000);
    assert!(w.first(|o| matches!(o, Output::Announce { .. })).is_none(), "not asked for");
    w.connect(3, &["other"]);
    assert_eq!(w.offered().0, 3);
}

#[test]
fn an_operator_moves_one_call_and_only_if_somebody_can_take_it() {
    let mut w = World::one("[\"main\", \"builtin:announce\"]", "");
    w.connect(1, &["main"]);
    w.arrive(0);
    w.command(PORT, 1);
    w.input(Input::Rebind { port: PORT });
    assert_eq!(w.port().state, PortState::Bound);
    assert_eq!(w.pool.counters().moves_refused, 1);
    w.connect(2, &["main"]);
    w.input(Input::Rebind { port: PORT });
    assert_eq!(w.offered(), (2, 2, Reason::Operator));
}

#[test]
fn an_ended_call_leaves_nothing_behind() {
    let mut w = World::one(MAIN, "");
    w.connect(1, &["main"]);
    w.arrive(0);
    w.type_keys("12");
    w.input(Input::Ended { port: PORT });
    let events = w.events.len();
    w.type_keys("3");
    w.command(PORT, 1);
    w.up();
    w.input(Input::Ended { port: PORT });
    w.run(30_000);
    assert_eq!(w.events.len(), events);
    assert_eq!(w.pool.instances().next().expect("one").calls, 0);
    assert_eq!(w.pool.counters().digits_discarded, 2);
    assert_eq!(w.port().state, PortState::Idle);
}

#[test]
fn variables_go_along_with_the_offer_but_never_an_acknowledgement() {
    let mut w = World::one(MAIN, "");
    let one = w.connect(1, &["main"]);
    w.connect(2, &["main"]);
    w.arrive(0);
    w.command(PORT, 1);
    for (name, value) in [("GW_CHECKPOINT", "menu=3"), ("GW_ACK", "7")] {
        w.input(Input::Variable { port: PORT, name: name.into(), value: value.into() });
    }
    w.crash(one);
    let variables = w.offers().pop().expect("an offer").1.variables;
    assert_eq!(variables, [("GW_CHECKPOINT".to_owned(), "menu=3".to_owned())]);
}

#[test]
fn inputs_for_what_is_not_there_change_nothing() {
    let mut w = World::one(MAIN, "");
    let port = PortId(60_000);
    let instance = InstanceId(9);
    w.input(Input::Arrived { port, call: CALL });
    w.input(Input::Up { port });
    w.input(Input::Next { port });
    w.input(Input::Rebind { port });
    w.input(Input::AnnounceDone { port });
    w.input(Input::Pong { instance });
    w.input(Input::Unsent { instance, since: Some(at(0)) });
    w.input(Input::Drain { instance, on: true });
    w.input(Input::InstanceDown { instance });
    assert!(w.events.is_empty());
    assert_eq!(w.pool.poll_timeout(), None);
    assert!(w.pool.port(port).is_none());
}

#[test]
fn a_claim_reports_its_three_durations_apart() {
    let mut w = World::one(MAIN, "");
    let one = w.connect(1, &["main"]);
    w.connect(2, &["main"]);
    w.arrive(0);
    w.command(PORT, 1);
    w.run(1_000);
    w.freeze(one);
    w.run(400);
    let verdict = w.offers().pop().expect("an offer").0;
    w.command(PORT, 2);
    let rebound = *w.pool.rebounds().last().expect("one rebind");
    assert_eq!((rebound.reason, rebound.detect), (Reason::Hang, ms(250)));
    assert_eq!((rebound.verdict_at, rebound.offered_at), (at(verdict), at(verdict)));
    assert_eq!(rebound.claimed_at, at(w.now));
    assert_eq!(w.pool.counters().rebinds[&Reason::Hang], 1);
}
