//! Hangs, crashes, silent owners: who is judged when, and where the calls go.

use super::world::{PORT, World, at, config, ms};
use crate::ids::{InstanceId, PortId};
use crate::pool::{Health, Input, Output, PortState, Reason};

const MAIN: &str = "[\"main\"]";
const FULL: &str = "[\"main\", \"basic\", \"builtin:announce\"]";

/// A call that is up and bound to instance 1, with a prompt playing.
fn bound(list: &str, more: &str) -> World {
    let mut w = World::one(list, more);
    w.connect(1, &["main"]);
    w.arrive(0);
    w.command(PORT, 1);
    w.up();
    w.sounding(true);
    w
}

const ONE: InstanceId = InstanceId(1);

#[test]
fn a_crash_moves_every_call_at_once_with_a_new_token() {
    let mut w = bound(MAIN, "");
    w.connect(2, &["main"]);
    w.run(100);
    w.crash(ONE);
    let [.., revoke, _] = &w.events[..] else { panic!("{:?}", w.events) };
    assert!(matches!(
        revoke.output,
        Output::Revoke { generation, instance: ONE, .. } if generation.0 == 1
    ));
    assert_eq!(w.offered(), (2, 2, Reason::Crash));
    assert_eq!(w.offers()[1].0, w.now);
}

#[test]
fn a_hang_moves_the_calls_and_the_late_command_of_the_old_owner_is_refused() {
    let mut w = bound(MAIN, "");
    w.connect(2, &["main"]);
    w.run(1_000);
    w.freeze(ONE);
    w.run(300);
    assert_eq!(w.offered(), (2, 2, Reason::Hang));
    assert_eq!(w.health(ONE), Health::Hung);
    w.thaw(ONE);
    assert_eq!(w.health(ONE), Health::Healthy);
    w.command(PORT, 1);
    assert_eq!(w.port().state, PortState::Offered);
    assert_eq!(w.port().instance, Some(InstanceId(2)));
    assert_eq!(w.pool.counters().stale, 1);
}

#[test]
fn calls_of_an_instance_that_hangs_never_go_to_one_that_hangs_in_the_same_moment() {
    let mut w = World::new(config(2, MAIN, ""));
    for id in 1..=3 {
        w.connect_working(id, &["main"]);
    }
    w.arrive(0);
    w.arrive(1);
    w.run(1_000);
    w.freeze(InstanceId(1));
    w.freeze(InstanceId(2));
    w.run(400);
    let moved: Vec<u64> = w.offers()[2..].iter().map(|(_, o)| o.instance.0).collect();
    assert_eq!(moved, [3, 3]);
}

#[test]
fn a_live_call_stays_in_its_entry_then_goes_to_the_next_one_then_to_the_announcement() {
    let mut w = bound(FULL, "");
    let two = w.connect(2, &["main"]);
    let three = w.connect(3, &["basic"]);
    w.crash(ONE);
    assert_eq!(w.offered().0, 2);
    w.command(PORT, 2);
    w.crash(two);
    assert_eq!(w.offered().0, 3);
    w.command(PORT, 3);
    w.crash(three);
    assert_eq!(w.port().state, PortState::Announce);
    assert_eq!(w.port().instance, None);
}

#[test]
fn while_no_offer_may_leave_a_call_waits_and_its_next_owner_is_not_blamed() {
    let mut w = bound(FULL, "");
    let two = w.connect(2, &["main"]);
    w.input(Input::MayOffer(false));
    w.crash(ONE);
    w.run(1_000);
    assert_eq!((w.port().state, w.offers().len()), (PortState::Rebinding, 1));
    w.connect(3, &["main"]);
    assert_eq!(w.offers().len(), 1, "somebody else comes");
    w.input(Input::MayOffer(true));
    assert_eq!((w.offered(), w.health(two)), ((2, 2, Reason::Crash), Health::Healthy));
}

#[test]
fn an_earlier_entry_that_is_back_is_better_than_the_announcement() {
    let mut w = bound(FULL, "");
    let three = w.connect(3, &["basic"]);
    w.crash(ONE);
    w.command(PORT, 2);
    w.connect(4, &["main"]);
    w.crash(three);
    assert_eq!(w.offered().0, 4);
}

#[test]
fn a_live_call_that_nobody_can_take_keeps_its_prompt_until_queue_max_and_then_overflows() {
    let mut w = bound(MAIN, "[applications.main]\nqueue_max = \"30s\"\n");
    w.run(99);
    w.crash(ONE);
    let lost = w.now;
    assert_eq!(w.port().state, PortState::Rebinding);
    w.run(60_000);
    assert!(w.first(|o| matches!(o, Output::GatewayPrompt { .. })).is_none(), "it sounds");
    assert_eq!(w.first(|o| matches!(o, Output::Release { .. })), Some(lost + 30_000));
}

#[test]
fn a_live_call_that_waits_is_taken_by_the_next_instance_that_connects() {
    let mut w = bound(MAIN, "");
    w.crash(ONE);
    w.run(5_000);
    w.connect(2, &["main"]);
    assert_eq!(w.offered(), (2, 2, Reason::Crash));
}

#[test]
fn the_gateway_prompt_plays_when_nothing_sounds_for_1_5_s_after_a_rebind() {
    let mut w = bound(MAIN, "");
    w.connect(2, &["main"]);
    w.sounding(false);
    w.crash(ONE);
    let lost = w.now;
    w.run(1_600);
    let prompt = |o: &Output| matches!(o, Output::GatewayPrompt { .. });
    assert_eq!(w.first(prompt), Some(lost + 1_500));
}

#[test]
fn no_gateway_prompt_while_something_sounds_nor_once_the_new_owner_did_something() {
    let mut w = bound(MAIN, "");
    w.connect(2, &["main"]);
    w.crash(ONE);
    w.run(1_000);
    w.sounding(false);
    w.run(900);
    w.command(PORT, 2);
    w.run(3_000);
    assert!(w.first(|o| matches!(o, Output::GatewayPrompt { .. })).is_none());
}

#[test]
fn the_gateway_prompt_counts_from_the_end_of_what_sounded() {
    let mut w = bound(MAIN, "");
    w.crash(ONE);
    w.run(10_000);
    w.sounding(false);
    let quiet = w.now;
    w.run(2_000);
    assert_eq!(w.first(|o| matches!(o, Output::GatewayPrompt { .. })), Some(quiet + 1_500));
}

#[test]
fn without_a_command_in_2_s_the_next_instance_gets_the_call_with_the_next_token() {
    let mut w = World::one(MAIN, "");
    w.connect(1, &["main"]);
    w.connect(2, &["main"]);
    w.arrive(0);
    let start = w.now;
    w.run(2_500);
    assert_eq!(w.offers()[1].0, start + 2_000);
    assert_eq!(w.offered(), (2, 2, Reason::NoStart));
}

#[test]
fn after_three_tries_the_next_entry_is_asked_though_a_fourth_instance_is_healthy() {
    let mut w = World::one(FULL, "");
    for id in 1..=4 {
        w.connect(id, &["main"]);
    }
    w.connect(9, &["basic"]);
    w.arrive(0);
    w.run(6_500);
    let asked: Vec<u64> = w.offers().iter().map(|(_, offer)| offer.instance.0).collect();
    assert_eq!(asked, [1, 2, 3, 9]);
}

#[test]
fn tries_that_all_fail_end_in_the_announcement_with_growing_tokens() {
    let mut w = World::one("[\"main\", \"builtin:announce\"]", "");
    for id in 1..=3 {
        w.connect(id, &["main"]);
    }
    w.arrive(0);
    w.run(10_000);
    let tokens: Vec<u32> = w.offers().iter().map(|(_, offer)| offer.generation.0).collect();
    assert_eq!(tokens, [1, 2, 3]);
    assert_eq!(w.port().state, PortState::Announce);
}

#[test]
fn ten_seconds_of_silence_for_the_caller_move_that_call_alone() {
    let mut w = World::new(config(2, MAIN, ""));
    w.connect_working(1, &["main"]);
    w.arrive(0);
    w.arrive(1);
    w.run(100);
    w.connect(2, &["main"]);
    w.up();
    let up = w.now;
    w.run(9_999);
    assert_eq!(w.offers().len(), 2);
    w.run(1);
    assert_eq!(w.offered(), (2, 2, Reason::CallerSilence));
    assert_eq!(w.offers().pop().expect("an offer").0, up + 10_000);
    assert_eq!(w.pool.port(PortId(1)).expect("port 1").instance, Some(ONE));
}

#[test]
fn sound_or_commands_keep_a_call_and_its_owner_together() {
    let mut w = bound(MAIN, "");
    w.run(60_000);
    w.sounding(false);
    for _ in 0..5 {
        w.run(9_000);
        w.command(PORT, 1);
    }
    assert_eq!(w.port().state, PortState::Bound);
    assert_eq!(w.offers().len(), 1);
}

#[test]
fn a_call_that_only_rings_is_not_silent() {
    let mut w = World::one(MAIN, "");
    w.connect(1, &["main"]);
    w.arrive(0);
    w.command(PORT, 1);
    w.run(30_000);
    assert_eq!(w.port().state, PortState::Bound);
}

#[test]
fn three_digits_unanswered_for_10_s_move_the_call_even_while_a_prompt_plays() {
    let mut w = bound(MAIN, "");
    w.connect(2, &["main"]);
    w.run(1_000);
    w.type_keys("12");
    w.run(30_000);
    assert_eq!(w.offers().len(), 1, "two are not enough");
    w.type_keys("3");
    let third = w.now;
    w.run(11_000);
    assert_eq!(w.offered(), (2, 2, Reason::CallerSilence));
    assert_eq!(w.offers().pop().expect("an offer").0, third + 10_000);
}

#[test]
fn caller_silence_can_be_off_or_shorter() {
    let mut w = bound(MAIN, "[applications.main]\ncaller_silence = \"off\"\n");
    w.sounding(false);
    w.run(600_000);
    assert_eq!(w.offers().len(), 1);
    let mut w = bound(MAIN, "[applications.main]\ncaller_silence = \"2s\"\n");
    w.sounding(false);
    w.run(2_001);
    assert_eq!(w.port().state, PortState::Rebinding);
}

#[test]
fn two_calls_that_fail_within_30_s_condemn_an_instance_that_pongs() {
    let mut w = World::new(config(3, MAIN, ""));
    let one = w.connect(1, &["main"]);
    for port in 0..3 {
        w.arrive(port);
    }
    w.command(PortId(2), 1);
    w.connect(2, &["main"]);
    w.run(2_500);
    assert_eq!(w.health(one), Health::Hung);
    let last = w.offers().pop().expect("an offer").1;
    assert_eq!((last.port, last.reason), (PortId(2), Reason::Hang), "though it was claimed");
}

#[test]
fn an_instance_that_never_pongs_is_caught_by_its_calls_and_tried_again_later() {
    let mut w = World::one(MAIN, "[applications.main]\ncaller_silence = \"2s\"\n");
    let mute = w.connect_mute(1, &["main"]);
    w.connect_working(2, &["main"]);
    w.run(60_000);
    assert_eq!(w.health(mute), Health::Healthy, "silence of pongs says nothing about it");
    w.arrive(0);
    w.command(PORT, 1);
    w.up();
    w.run(2_100);
    assert_eq!(w.offered(), (2, 2, Reason::CallerSilence));
}

#[test]
fn a_node_that_was_stopped_itself_judges_nobody() {
    let mut w = bound(MAIN, "");
    w.connect(2, &["main"]);
    w.run(1_000);
    w.stall(4_000);
    w.run(1_000);
    assert_eq!(w.offers().len(), 1);
    assert_eq!(w.health(ONE), Health::Healthy);
    assert_eq!(w.pool.counters().late_wakes, 1);
}

#[test]
fn a_busy_node_that_wakes_10_ms_late_each_time_still_detects_a_hang_within_300_ms() {
    let mut w = bound(MAIN, "");
    w.connect(2, &["main"]);
    w.run(1_000);
    w.freeze(ONE);
    let frozen = w.now;
    while w.offers().len() == 1 {
        let due = w.pool.poll_timeout().expect("pings").as_nanos() / 1_000_000;
        w.stall(due.saturating_sub(w.now) + 10);
    }
    assert!(w.now - frozen <= 300, "{} ms", w.now - frozen);
}

#[test]
fn a_late_node_gives_an_offer_its_two_seconds_anew_as_far_as_it_was_late() {
    let mut w = World::one(MAIN, "");
    w.connect(1, &["main"]);
    w.connect(2, &["main"]);
    w.arrive(0);
    w.stall(3_000);
    assert_eq!(w.offers().len(), 1, "the command may be waiting to be read");
    w.command(PORT, 1);
    assert_eq!(w.port().state, PortState::Bound);
    assert_eq!(w.offered().0, 1);
}

#[test]
fn the_burst_of_a_rebind_does_not_make_its_receiver_suspect() {
    let mut w = bound(MAIN, "");
    let two = w.connect(2, &["main"]);
    w.crash(ONE);
    w.input(Input::Unsent { instance: two, since: Some(at(w.now)) });
    w.run(1_900);
    assert_eq!(w.health(two), Health::Healthy);
    w.command(PORT, 2);
    w.run(200);
    assert_eq!(w.health(two), Health::Suspect);
}

#[test]
fn an_instance_that_hung_twice_gets_waiting_calls_only_after_5_s_of_good_health() {
    let mut w = World::one(MAIN, "");
    let one = w.connect(1, &["main"]);
    for _ in 0..2 {
        w.run(1_000);
        w.freeze(one);
        w.run(1_000);
        w.thaw(one);
    }
    w.arrive(0);
    let back = w.now;
    assert!(w.offers().is_empty());
    w.run(10_000);
    assert_eq!(w.offers()[0].0, back + 5_000);
}

#[test]
fn a_verdict_moves_100_calls_evenly_and_detects_within_300_ms() {
    let mut w = World::new(config(100, MAIN, ""));
    w.connect_working(1, &["main"]);
    for port in 0..100 {
        w.arrive(port);
    }
    w.run(1_000);
    w.connect_working(2, &["main"]);
    w.connect_working(3, &["main"]);
    w.run(1_000);
    w.freeze(ONE);
    w.run(500);
    assert_eq!(w.claims().len(), 200);
    assert!(w.claims()[100..].iter().all(|r| r.detect <= ms(300)));
    let loads: Vec<usize> = w.pool.instances().map(|i| i.calls).collect();
    assert_eq!(loads, [0, 50, 50]);
}

#[test]
fn the_latest_256_rebinds_are_kept() {
    let mut w = World::new(config(300, MAIN, ""));
    w.connect_working(1, &["main"]);
    for port in 0..300 {
        w.arrive(port);
    }
    w.run(10);
    w.connect_working(2, &["main"]);
    w.crash(ONE);
    w.run(10);
    assert_eq!(w.pool.rebounds().count(), 256);
    assert_eq!(w.pool.rebounds().last().map(|r| r.port), Some(PortId(299)));
    assert_eq!(w.pool.counters().rebinds[&Reason::Crash], 300);
}

#[test]
fn a_lone_instance_that_was_slow_once_gets_the_call_again_after_a_second() {
    let mut w = World::one(MAIN, "");
    let one = w.connect(1, &["main"]);
    w.arrive(0);
    w.run(2_999);
    assert_eq!((w.offers().len(), w.health(one)), (1, Health::Healthy));
    w.run(1);
    assert_eq!(w.offered(), (1, 2, Reason::New));
    w.command(PORT, 2);
    assert_eq!(w.port().state, PortState::Bound);
}

#[test]
fn a_silent_owner_that_is_alone_gets_the_live_call_again_after_a_second() {
    let mut w = bound(MAIN, "");
    w.sounding(false);
    w.run(10_999);
    assert_eq!(w.port().state, PortState::Rebinding);
    w.run(1);
    assert_eq!(w.offered(), (1, 2, Reason::CallerSilence));
}

#[test]
fn an_instance_that_connects_within_the_second_is_preferred_to_the_one_that_failed() {
    let mut w = bound(MAIN, "");
    w.sounding(false);
    w.run(10_500);
    w.connect(2, &["main"]);
    w.run(1_000);
    assert_eq!(w.offered(), (2, 2, Reason::CallerSilence));
}

#[test]
fn an_instance_that_pongs_but_does_no_work_loses_each_call_2_s_after_its_offer() {
    let mut w = World::new(config(2, MAIN, ""));
    let two = w.connect_working(2, &["main"]);
    w.arrive(0);
    w.run(100);
    w.connect(1, &["main"]);
    w.connect_working(3, &["main"]);
    w.crash(two);
    assert_eq!(w.offered(), (1, 2, Reason::Crash));
    w.run(1_999);
    assert_eq!((w.offered().0, w.health(ONE)), (1, Health::Healthy));
    w.run(1);
    assert_eq!(w.offered(), (3, 3, Reason::NoStart));
    w.arrive(1);
    assert_eq!(w.offered(), (1, 1, Reason::New), "one failure may be one slow handler");
    w.run(2_000);
    assert_eq!(w.offered(), (3, 2, Reason::NoStart));
    assert_eq!(w.health(ONE), Health::Hung, "two are not");
    w.run(100);
    let states: Vec<_> = w.pool.ports().map(|port| (port.state, port.instance)).collect();
    assert_eq!(states, [(PortState::Bound, Some(InstanceId(3))); 2]);
}
