//! Digits on their way to an owner, and over a change of owners.

use super::world::{PORT, World, config};
use crate::ids::InstanceId;
use crate::pool::{Input, PortState};

const MAIN: &str = "[\"main\"]";
const ONE: InstanceId = InstanceId(1);

fn offered(more: &str) -> World {
    let mut w = World::one(MAIN, more);
    w.connect(1, &["main"]);
    w.arrive(0);
    w
}

/// Bound to instance 1 since 1 s, with instance 2 beside it.
fn bound(more: &str) -> World {
    let mut w = offered(more);
    w.command(PORT, 1);
    w.up();
    w.sounding(true);
    w.connect(2, &["main"]);
    w.run(1_000);
    w
}

#[test]
fn a_digit_for_a_settled_owner_goes_out_in_the_same_moment() {
    let mut w = bound("");
    w.type_keys("1");
    w.type_keys("2");
    assert_eq!(w.digits(1), [(w.now, '1'), (w.now, '2')]);
}

#[test]
fn ari_r15_digits_are_held_until_250_ms_after_the_first_command_and_go_150_ms_apart() {
    let mut w = offered("");
    w.type_keys("12");
    w.run(100);
    w.command(PORT, 1);
    let claim = w.now;
    w.type_keys("3");
    w.run(2_000);
    assert_eq!(w.digits(1), [(claim + 250, '1'), (claim + 400, '2'), (claim + 550, '3')]);
}

#[test]
fn ari_r14_a_live_digit_waits_behind_replayed_ones_and_keeps_its_distance() {
    let mut w = offered("");
    w.type_keys("1");
    w.command(PORT, 1);
    let claim = w.now;
    w.run(300);
    w.type_keys("2");
    w.run(1_000);
    assert_eq!(w.digits(1), [(claim + 250, '1'), (claim + 400, '2')]);
}

#[test]
fn digits_are_held_2_s_at_most_where_an_application_is_given_longer_to_start() {
    let mut w = offered("[applications.main]\nstart_deadline = \"10s\"\n");
    let offer = w.now;
    w.type_keys("1");
    w.run(5_000);
    assert_eq!(w.digits(1), [(offer + 2_000, '1')]);
    assert_eq!(w.port().state, PortState::Offered);
}

#[test]
fn digits_typed_while_nobody_has_the_call_reach_the_first_owner() {
    let mut w = World::one(MAIN, "");
    w.arrive(0);
    w.run(500);
    w.type_keys("7");
    w.run(500);
    w.connect_working(1, &["main"]);
    w.run(1_000);
    assert_eq!(w.keys(1), "7");
}

#[test]
fn an_acknowledging_application_loses_and_doubles_nothing_over_a_crash() {
    let mut w = bound("");
    w.type_keys("123");
    w.ack(1, 2);
    w.crash(ONE);
    w.type_keys("4");
    w.run(100);
    w.command(PORT, 2);
    let claim = w.now;
    w.type_keys("5");
    w.run(3_000);
    assert_eq!(w.digits(2), [(claim + 250, '3'), (claim + 400, '4'), (claim + 550, '5')]);
    assert_eq!(w.pool.counters().digits_acked, 2);
    assert_eq!(w.pool.counters().digits_discarded, 0);
}

#[test]
fn an_application_without_acknowledgements_gets_only_what_is_typed_for_its_new_instance() {
    let mut w = bound("");
    w.type_keys("12");
    w.crash(ONE);
    w.type_keys("3");
    w.run(100);
    w.command(PORT, 2);
    w.type_keys("4");
    w.run(3_000);
    assert_eq!(w.keys(2), "4");
    assert_eq!(w.pool.counters().digits_discarded, 3);
    assert_eq!(w.port().digits_discarded, 3);
}

#[test]
fn digits_held_for_an_owner_that_never_started_reach_the_next_one() {
    let mut w = offered("");
    w.connect(2, &["main"]);
    w.type_keys("12");
    w.run(2_100);
    w.command(PORT, 2);
    w.run(1_000);
    assert_eq!((w.keys(1).as_str(), w.keys(2).as_str()), ("", "12"));
}

#[test]
fn the_policy_of_the_application_decides_what_is_replayed() {
    for (policy, again) in [("all", "1234"), ("unacked", "234"), ("none", ""), ("auto", "234")] {
        let mut w = bound(&format!("[applications.main]\nreplay = \"{policy}\"\n"));
        w.type_keys("123");
        w.ack(1, 1);
        w.crash(ONE);
        w.type_keys("4");
        w.command(PORT, 2);
        w.run(3_000);
        assert_eq!(w.keys(2), again, "{policy}");
    }
}

#[test]
fn an_acknowledgement_of_a_dead_token_counts_for_nothing() {
    let mut w = bound("");
    w.type_keys("12");
    w.ack(1, 0);
    w.crash(ONE);
    w.ack(1, 2);
    w.command(PORT, 2);
    w.run(3_000);
    assert_eq!(w.keys(2), "12");
    assert_eq!(w.pool.counters().stale, 1);
}

#[test]
fn an_acknowledgement_is_a_command_too() {
    let mut w = offered("");
    w.ack(1, 0);
    assert_eq!(w.port().state, PortState::Bound);
}

#[test]
fn a_move_takes_along_what_its_owner_was_not_given() {
    let mut w = offered("");
    w.connect(3, &["other"]);
    w.type_keys("1");
    w.command(PORT, 1);
    w.run(300);
    w.type_keys("2");
    w.input(Input::Move { port: PORT, application: "other".into(), args: Vec::new() });
    w.type_keys("3");
    w.command(PORT, 2);
    w.run(3_000);
    assert_eq!((w.keys(1).as_str(), w.keys(2).as_str()), ("1", "23"));
    assert_eq!(w.pool.counters().digits_discarded, 0);
}

#[test]
fn digits_in_an_announcement_are_counted_as_discarded() {
    let mut w = World::new(config(1, "[\"builtin:announce\"]", ""));
    w.arrive(0);
    w.type_keys("12");
    assert_eq!(w.pool.counters().digits_discarded, 2);
}

#[test]
fn digits_of_a_lost_owner_are_counted_where_the_next_one_only_passes_the_call_on() {
    let mut w = bound("[applications.main]\non_continue = \"next\"\n");
    w.connect(3, &["other"]);
    w.type_keys("12");
    w.crash(ONE);
    w.command(PORT, 2);
    w.input(Input::Move { port: PORT, application: "other".into(), args: Vec::new() });
    w.command(PORT, 3);
    w.run(3_000);
    assert_eq!((w.keys(1).as_str(), w.keys(3).as_str()), ("12", ""));
    assert_eq!(w.pool.counters().digits_discarded, 2);
}

#[test]
fn digits_of_a_lost_owner_are_counted_when_an_announcement_is_all_that_is_left() {
    let mut w = World::one("[\"main\", \"builtin:announce\"]", "");
    w.connect(1, &["main"]);
    w.arrive(0);
    w.ack(1, 0);
    w.run(1_000);
    w.type_keys("12");
    w.ack(1, 1);
    w.crash(ONE);
    assert_eq!(w.port().state, PortState::Announce);
    assert_eq!(w.port().digits_discarded, 1, "2");
}
