//! Inputs in any order, with any numbers, at any pace: nothing panics, every index stays true, and
//! no deadline is left behind.

use proptest::prelude::*;

use super::world::{config, key, ms};
use crate::ids::{CallId, Generation, InstanceId, PortId};
use crate::pool::{Input, Pool};
use crate::timers::Instant;

fn names() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["main", "basic", "other", "unknown", ""]).prop_map(str::to_owned)
}

fn of_instances() -> impl Strategy<Value = Input> {
    let instance = || (0_u64..4).prop_map(InstanceId);
    prop_oneof![
        (instance(), prop::collection::vec(names(), 0..3)).prop_map(|(instance, applications)| {
            Input::InstanceUp { instance, applications, user: String::new() }
        }),
        instance().prop_map(|instance| Input::InstanceDown { instance }),
        instance().prop_map(|instance| Input::Pong { instance }),
        (instance(), any::<Option<u64>>()).prop_map(|(instance, since)| Input::Unsent {
            instance,
            since: since.map(Instant::from_nanos),
        }),
        (instance(), any::<bool>()).prop_map(|(instance, on)| Input::Drain { instance, on }),
    ]
}

fn of_calls() -> impl Strategy<Value = Input> {
    let port = || (0_u16..4).prop_map(PortId);
    let call = || (0_u64..50).prop_map(CallId);
    let by = prop::option::of((0_u64..4).prop_map(InstanceId));
    prop_oneof![
        (port(), call()).prop_map(|(port, call)| Input::Arrived { port, call }),
        (port(), call(), names(), by).prop_map(|(port, call, application, by)| {
            Input::Originated { port, call, application, args: Vec::new(), by }
        }),
        port().prop_map(|port| Input::Up { port }),
        port().prop_map(|port| Input::Ended { port }),
        (port(), any::<u32>()).prop_map(|(port, duration_ms)| Input::Digit {
            port,
            digit: key('1'),
            duration_ms
        }),
        (port(), any::<bool>()).prop_map(|(port, on)| Input::Sounding { port, on }),
        port().prop_map(|port| Input::AnnounceDone { port }),
    ]
}

fn of_owners() -> impl Strategy<Value = Input> {
    let port = || (0_u16..4).prop_map(PortId);
    let generation = || (0_u32..8).prop_map(Generation);
    prop_oneof![
        4 => (port(), generation()).prop_map(|(port, generation)| {
            Input::Command { port, generation }
        }),
        2 => (port(), generation(), any::<u32>()).prop_map(|(port, generation, count)| {
            Input::Ack { port, generation, count }
        }),
        1 => (port(), ".*", ".*")
            .prop_map(|(port, name, value)| Input::Variable { port, name, value }),
        1 => (port(), names()).prop_map(|(port, application)| {
            Input::Move { port, application, args: Vec::new() }
        }),
        1 => port().prop_map(|port| Input::Next { port }),
        1 => port().prop_map(|port| Input::Rebind { port }),
    ]
}

fn pauses() -> impl Strategy<Value = u64> {
    prop_oneof![3 => Just(0), 3 => 0..50_u64, 2 => 50..3_000_u64, 1 => 3_000..100_000_u64]
}

fn steps() -> impl Strategy<Value = Vec<(u64, Input)>> {
    let input = prop_oneof![of_instances(), of_calls(), of_owners()];
    prop::collection::vec((pauses(), input), 0..120)
}

fn run(list: &str, steps: Vec<(u64, Input)>) {
    let mut pool = Pool::new(config(3, list, ""));
    let mut now = Instant::from_nanos(1);
    for (pause, input) in steps {
        now += ms(pause);
        pool.handle_timeout(now);
        pool.handle_input(now, input);
        while pool.poll_output().is_some() {}
        loads_are_true(&pool);
        pool.handle_timeout(now);
        while pool.poll_output().is_some() {}
        assert!(pool.poll_timeout().is_none_or(|at| at >= now));
        loads_are_true(&pool);
    }
}

fn loads_are_true(pool: &Pool) {
    for instance in pool.instances() {
        let owned = pool.ports().filter(|p| p.instance == Some(instance.instance)).count();
        assert_eq!(instance.calls, owned);
    }
    let connected = |id| pool.instances().any(|i| i.instance == id);
    assert!(pool.ports().all(|p| p.instance.is_none_or(connected)));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_order_of_inputs_breaks_an_index_or_leaves_a_deadline_behind(steps in steps()) {
        run("[\"main\", \"basic\"]", steps);
    }

    #[test]
    fn nor_on_a_port_that_announces(steps in steps()) {
        run("[\"builtin:announce\", \"main\", \"builtin:announce\", \"basic\"]", steps);
    }
}
