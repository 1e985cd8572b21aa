//! One registration, driven by hand.

use rand_core::SeedableRng;

use super::*;

fn secs(seconds: u64) -> Instant {
    Instant::ZERO + Duration::from_secs(seconds)
}

fn new(nodes: usize) -> Registration {
    let mut registration = Registration::new(Rng::seed_from_u64(1), (0..nodes).collect(), 300);
    registration.handle_input(Instant::ZERO, Input::Start { delay: Duration::ZERO });
    registration.handle_timeout(Instant::ZERO);
    registration
}

/// Lets every REGISTER out; returns `(node, expires)` of each, and everything else.
fn drain(registration: &mut Registration, now: Instant) -> (Vec<(usize, u32)>, Vec<Output>) {
    let (mut sent, mut rest) = (vec![], vec![]);
    while let Some(output) = registration.poll_output() {
        match output {
            Output::Ask { .. } => registration.handle_input(now, Input::Go),
            Output::Send { node, expires, .. } => sent.push((node, expires)),
            other => rest.push(other),
        }
    }
    (sent, rest)
}

fn answer(registration: &mut Registration, now: Instant, status: u16) {
    let granted = if status == 200 { 120 } else { 0 };
    let answer = Answer { status, granted, ..Answer::default() };
    registration.handle_input(now, Input::Answer(answer));
}

#[test]
fn a_granted_binding_is_refreshed_near_half_time() {
    let mut registration = new(1);
    assert_eq!(drain(&mut registration, Instant::ZERO).0, [(0, 300)]);
    answer(&mut registration, Instant::ZERO, 200);
    let refresh = registration.poll_timeout().expect("refresh");
    assert!((secs(54)..=secs(66)).contains(&refresh), "{refresh:?}");
    let state = RegistrationState::Registered { expires: 120, node: 0 };
    assert_eq!(drain(&mut registration, Instant::ZERO).1, [Output::State(state)]);
    registration.handle_timeout(refresh);
    assert_eq!(drain(&mut registration, refresh), (vec![(0, 300)], vec![]));
}

#[test]
fn a_port_that_is_taken_over_asks_soon_again_when_its_nonce_was_over() {
    let mut registration = Registration::new(Rng::seed_from_u64(1), [0].into(), 300);
    let take_over = Input::TakeOver { within: Duration::from_secs(70), cseq: 1 };
    registration.handle_input(Instant::ZERO, take_over);
    registration.handle_timeout(Instant::ZERO);
    assert_eq!(drain(&mut registration, Instant::ZERO).0, [(0, 300)]);
    let over = Answer { status: 401, stale: true, ..Answer::default() };
    registration.handle_input(Instant::ZERO, Input::Answer(over));
    assert_eq!(registration.poll_timeout(), Some(secs(1)));
    registration.handle_timeout(secs(1));
    assert_eq!(drain(&mut registration, secs(1)), (vec![(0, 300)], vec![]));
}

#[test]
fn dead_nodes_are_walked_through_and_then_retried_with_growing_pauses() {
    let mut registration = new(3);
    let (mut now, mut walks) = (Instant::ZERO, vec![]);
    for _ in 0..4 {
        for node in 0..3 {
            assert_eq!(drain(&mut registration, now).0, [(node, 300)]);
            registration.handle_input(now, Input::Failed { status: None });
        }
        let retry = registration.poll_timeout().expect("retry");
        walks.push(retry.saturating_duration_since(now).as_secs());
        now = retry;
        registration.handle_timeout(now);
    }
    assert!(walks.is_sorted(), "{walks:?}");
    assert!(walks[0] >= 2 && walks[3] <= 90, "{walks:?}");
}

#[test]
fn a_walk_that_got_one_answer_is_not_told_as_silence() {
    let unreachable = |status| Output::State(RegistrationState::Unreachable { status });
    for (first, then) in [(Some(503), None), (None, Some(503)), (Some(500), Some(503))] {
        let mut registration = new(2);
        drain(&mut registration, Instant::ZERO);
        for status in [first, then] {
            match status {
                Some(status) => answer(&mut registration, Instant::ZERO, status),
                None => registration.handle_input(Instant::ZERO, Input::Failed { status: None }),
            }
            if status == first {
                drain(&mut registration, Instant::ZERO);
            }
        }
        let told = drain(&mut registration, Instant::ZERO).1;
        assert_eq!(told, [unreachable(then.or(first))], "{first:?}, then {then:?}");
        // What the next walk finds is its own.
        registration.handle_timeout(registration.poll_timeout().expect("retry"));
        for _ in 0..2 {
            drain(&mut registration, Instant::ZERO);
            registration.handle_input(Instant::ZERO, Input::Failed { status: None });
        }
        assert_eq!(drain(&mut registration, Instant::ZERO).1, [unreachable(None)]);
    }
}

#[test]
fn a_standby_node_that_grants_nothing_is_not_a_binding() {
    let mut registration = new(2);
    drain(&mut registration, Instant::ZERO);
    let standby = Answer { status: 200, granted: 0, ..Answer::default() };
    registration.handle_input(Instant::ZERO, Input::Answer(standby));
    assert_eq!(drain(&mut registration, Instant::ZERO).0, [(1, 300)]);
    assert_eq!(registration.bound_node(), None);
}

#[test]
fn a_stop_that_overtakes_the_answer_still_takes_the_binding_away() {
    let mut registration = new(1);
    drain(&mut registration, Instant::ZERO);
    registration.handle_input(Instant::ZERO, Input::Stop);
    answer(&mut registration, Instant::ZERO, 200);
    assert_eq!(drain(&mut registration, Instant::ZERO).0, [(0, 0)]);
    answer(&mut registration, Instant::ZERO, 200);
    assert_eq!(registration.reported(), RegistrationState::Off);
}

#[test]
fn a_port_returns_to_a_better_node_only_without_a_live_call() {
    let mut registration = new(2);
    drain(&mut registration, Instant::ZERO);
    registration.handle_input(Instant::ZERO, Input::Failed { status: None });
    drain(&mut registration, Instant::ZERO);
    registration.handle_input(Instant::ZERO, Input::Prefer { node: 1 });
    answer(&mut registration, Instant::ZERO, 200);
    registration.handle_input(secs(1), Input::Live(true));
    registration.handle_input(secs(1), Input::Prefer { node: 0 });
    assert!(registration.poll_timeout() > Some(secs(50)));
    registration.handle_input(secs(2), Input::Live(false));
    assert_eq!(registration.poll_timeout(), Some(secs(2)));
    registration.handle_timeout(secs(2));
    assert_eq!(drain(&mut registration, secs(2)).0, [(0, 300)]);
}

#[test]
fn a_start_that_overtakes_the_end_waits_for_it() {
    let mut registration = new(1);
    drain(&mut registration, Instant::ZERO);
    answer(&mut registration, Instant::ZERO, 200);
    registration.handle_input(Instant::ZERO, Input::Stop);
    assert_eq!(drain(&mut registration, Instant::ZERO).0, [(0, 0)]);
    registration.handle_input(Instant::ZERO, Input::Start { delay: Duration::ZERO });
    assert_eq!(drain(&mut registration, Instant::ZERO).0, []);
    answer(&mut registration, Instant::ZERO, 200);
    registration.handle_timeout(Instant::ZERO);
    assert_eq!(drain(&mut registration, Instant::ZERO).0, [(0, 300)]);
}
