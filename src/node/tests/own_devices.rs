//! Two nodes with devices of their own at one PBX: each serves all the time, neither takes over.

use super::*;
use crate::ha::{Role, peer};
use crate::node::snapshot::AlarmKind;
use crate::store::Loaded;

const CLUSTER: &str = "[applications.main]\n\
    [cluster]\nid = \"north\"\ncredentials = \"c\"\nprofile = \"pair\"\n\
    takeover = \"dual_devices\"\n\
    [[cluster.nodes]]\nname = \"a\"\nlink = \"10.0.0.9:7400\"\n\
    [[cluster.nodes]]\nname = \"b\"\nlink = \"10.0.0.10:7400\"\n";

/// A node that has started, whose PBX grants what it asks.
fn start(name: &str) -> Bench {
    let address = if name == "a" { "10.0.0.9" } else { "10.0.0.10" };
    let text = config("[\"main\"]", CLUSTER).replacen("10.0.0.9", address, 1);
    let mut bench = Bench::with(&format!("[node]\nname = \"{name}\"\n{text}"));
    bench.grants = true;
    bench.node.join(bench.now, &Loaded { boot: 1, ..Loaded::default() });
    bench.take();
    bench.run(Duration::from_secs(1));
    bench
}

fn link(bench: &mut Bench, peer: u8, event: peer::Event<member::Message<Vec<CallChange>>>) {
    let input = member::Input::Link { peer: NodeId(peer), event };
    bench.node.handle_input(bench.now, Input::Cluster(input));
}

fn role(bench: &Bench) -> Role {
    bench.node.member().expect("joined").ha().role()
}

#[test]
fn each_node_with_devices_of_its_own_registers_them_at_once_and_copies_no_call() {
    for (name, other) in [("a", 1), ("b", 0)] {
        let mut bench = start(name);
        let registered = bench.node.registrations[0];
        assert!(matches!(registered, sip::RegistrationState::Registered { .. }), "{name}");
        assert!(matches!(role(&bench), Role::Primary(_)), "{name}: {:?}", role(&bench));
        assert!(bench.node.may_claim(bench.now));
        link(&mut bench, other, peer::Event::Up { build: String::new(), anew: true });
        let made = bench.run(Duration::from_secs(1));
        assert!(made.copies.is_empty(), "{name}: {:?}", made.copies);
    }
}

#[test]
fn the_end_of_the_other_node_is_an_alarm_and_moves_nothing() {
    let mut bench = start("b");
    let before = role(&bench);
    link(&mut bench, 0, peer::Event::Up { build: String::new(), anew: true });
    link(&mut bench, 0, peer::Event::Down { why: None });
    bench.run(Duration::from_secs(20));
    let told = |kind: &AlarmKind| match kind {
        AlarmKind::Other { text, .. } => text.starts_with("a is not heard: its extensions"),
        _ => false,
    };
    assert!(bench.node.alarms.list(bench.now).iter().any(|alarm| told(&alarm.kind)));
    assert_eq!(role(&bench), before);
    let registered = bench.node.registrations[0];
    assert!(matches!(registered, sip::RegistrationState::Registered { .. }));
}

#[test]
fn who_serves_its_own_devices_is_no_backup_that_served_too_long() {
    let bench = start("b");
    let snapshot = bench.node.snapshot(bench.now);
    let cluster = snapshot.cluster.expect("one of two");
    assert_eq!(cluster.on_backup_since_ms, None);
    assert_eq!(cluster.passive_because, Vec::<String>::new());
    assert!(cluster.protections[1].contains("extensions of its own"), "{:?}", cluster.protections);
}
