//! The health rules as claims, one millisecond at a time.

use std::collections::VecDeque;

use super::*;

fn at(ms: u64) -> Instant {
    Instant::from_nanos(ms * 1_000_000)
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn instance() -> Instance {
    Instance::new(at(0), InstanceId(1), String::new(), Vec::new(), Vec::new(), None)
}

/// Runs until `until`, answering each ping after `delay`. Returns the turns with their times.
fn run(i: &mut Instance, from: u64, until: u64, delay: Option<u64>) -> Vec<(u64, Turn, Health)> {
    let mut pongs_due = VecDeque::new();
    let mut turns = Vec::new();
    for now in from..until {
        if pongs_due.front().is_some_and(|&t| t <= now) {
            pongs_due.pop_front();
            i.pong(at(now));
        }
        if i.take_ping(at(now)) {
            pongs_due.extend(delay.map(|d| now + d));
        }
        if let Some(turn) = i.turn(at(now)) {
            turns.push((now, turn, i.health()));
        }
    }
    turns
}

/// An instance that looks at its socket only every so many milliseconds.
fn busy_handler(every: u64) -> Instance {
    let mut i = instance();
    for now in 0..40 {
        i.take_ping(at(now * every));
        i.pong(at((now + 1) * every));
    }
    i
}

#[test]
fn silence_of_pongs_is_suspect_at_100_ms_and_hung_at_250() {
    let mut i = instance();
    assert!(run(&mut i, 0, 1_003, Some(1)).is_empty(), "the last pong comes at 1,002");
    assert!(run(&mut i, 1_003, 1_102, None).is_empty());
    assert_eq!(i.health(), Health::Healthy);
    run(&mut i, 1_102, 1_103, None);
    assert_eq!(i.health(), Health::Suspect);
    assert!(!i.takes_calls());
    let turns = run(&mut i, 1_103, 1_300, None);
    assert_eq!(turns, [(1_252, Turn::Hung { detect: ms(250) }, Health::Hung)]);
}

#[test]
fn ari_r16_a_client_that_never_ponged_is_never_judged_by_pings_and_soon_left_in_peace() {
    let mut i = instance();
    let mut pings = 0;
    for now in 0..20_000 {
        pings += u32::from(i.take_ping(at(now)));
        assert_eq!(i.turn(at(now)), None);
    }
    assert_eq!(i.health(), Health::Healthy);
    assert!((50..60).contains(&pings), "{pings} pings");
}

#[test]
fn a_slow_client_is_given_eight_times_its_own_p99_but_at_most_3_s() {
    let mut i = instance();
    run(&mut i, 0, 2_000, Some(15));
    assert_eq!(i.hang_after(), ms(250), "8 x 15 ms is less than the configured least");
    assert_eq!(busy_handler(90).hang_after(), ms(8 * 90));
    assert_eq!(busy_handler(1_900).hang_after(), HANG_AFTER_MAX);
}

#[test]
fn the_nodes_own_lateness_is_not_the_silence_of_an_instance() {
    let mut i = instance();
    run(&mut i, 0, 1_003, Some(1));
    i.node_was_late(at(1_502), at(1_021));
    i.take_ping(at(1_502));
    assert_eq!(i.turn(at(1_502)), None);
    assert_eq!(i.health(), Health::Healthy);
    assert!(i.deadline().is_some_and(|t| t >= at(1_502)));
    let turns = run(&mut i, 1_502, 2_000, None);
    assert_eq!(turns.len(), 1, "it does hang when it is silent though the node listens");
    assert_eq!(turns[0].0, 1_002 + 250 + 481);
}

#[test]
fn an_old_unsent_event_is_suspect_and_the_burst_of_a_rebind_is_exempt() {
    let mut i = instance();
    i.set_unsent(Some(at(0)));
    i.exempt(at(2_000));
    run(&mut i, 0, 2_000, Some(1));
    assert_eq!(i.health(), Health::Healthy);
    run(&mut i, 2_000, 2_001, Some(1));
    assert_eq!(i.health(), Health::Suspect);
    i.set_unsent(None);
    assert_eq!(i.turn(at(2_002)), Some(Turn::Available { fresh: false }));
}

#[test]
fn two_verdicts_about_calls_within_30_s_are_hung_and_two_further_apart_are_not() {
    let mut i = instance();
    assert_eq!(i.call_verdict(at(0)), None);
    assert_eq!(i.call_verdict(at(30_001)), None);
    assert_eq!(i.call_verdict(at(40_000)), Some(Turn::Hung { detect: ms(40_000) }));
    assert_eq!(i.health(), Health::Hung);
}

#[test]
fn condemned_for_its_calls_it_is_tried_again_after_30_s_with_one_call_to_fail() {
    let mut i = instance();
    i.call_verdict(at(0));
    i.call_verdict(at(1));
    assert_eq!(run(&mut i, 1, 30_001, None), []);
    assert_eq!(i.turn(at(30_001)), Some(Turn::Available { fresh: true }));
    assert!(matches!(i.call_verdict(at(31_000)), Some(Turn::Hung { .. })));
}

#[test]
fn it_is_healthy_with_its_next_pong_after_a_first_hang() {
    let mut i = instance();
    run(&mut i, 0, 1_000, Some(1));
    run(&mut i, 1_000, 5_000, None);
    assert_eq!(i.health(), Health::Hung);
    i.pong(at(5_000));
    assert_eq!(i.turn(at(5_000)), Some(Turn::Available { fresh: true }));
}

#[test]
fn hung_twice_within_60_s_means_5_s_of_good_health_before_calls() {
    let mut i = instance();
    run(&mut i, 0, 1_000, Some(1));
    run(&mut i, 1_000, 2_000, None);
    run(&mut i, 2_000, 3_000, Some(1));
    run(&mut i, 3_000, 4_000, None);
    assert_eq!(i.health(), Health::Hung);
    let turns = run(&mut i, 4_000, 6_000, Some(1));
    assert_eq!(turns, []);
    assert_eq!(i.health(), Health::Suspect);
    run(&mut i, 6_000, 6_150, None);
    let turns = run(&mut i, 6_150, 12_000, Some(1));
    let [(when, Turn::Available { fresh: true }, Health::Healthy)] = turns[..] else {
        panic!("{turns:?}");
    };
    assert!((11_140..11_200).contains(&when), "the pause started the 5 s anew: {when}");
}
