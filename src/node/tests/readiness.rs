//! What a backup lacks, and who hears of it.

use super::cluster::{A, B, Trio, W};
use super::*;
use crate::ha::peer::Unproven;
use crate::ha::role::{Lack, Order, Reason};

/// Three nodes, of which the backup has another prompt than the primary.
fn other_prompts() -> Trio {
    let mut trio = Trio::new("auto");
    let bench = trio.nodes[B].as_mut().expect("alive");
    bench.node.readiness.sound.prompts ^= 1;
    trio.run(Duration::from_secs(20));
    assert!(trio.role(A).acts());
    trio
}

fn view(trio: &Trio, at: usize) -> crate::node::snapshot::cluster::Cluster {
    let node = &trio.nodes[at].as_ref().expect("alive").node;
    node.cluster_view(trio.now).expect("a cluster")
}

#[test]
fn nodes_with_the_same_prompts_have_one_digest_and_any_difference_shows() {
    let digest = |bench: &Bench| bench.node.prompts.digest();
    assert_eq!(digest(&Bench::new()), digest(&Bench::new()));
    let sound = |octet| {
        let bytes = || Bytes::from(vec![octet; 4]);
        Arc::new(media::Prompt { pcmu: bytes(), pcma: bytes() })
    };
    let of = |name: &str, octet| {
        let sounds = [(name.to_owned(), sound(octet))].into();
        Prompts { sounds, ..Prompts::default() }.digest()
    };
    let digests = [of("a", 1), of("b", 1), of("a", 2), Prompts::default().digest()];
    assert_eq!(BTreeSet::from(digests).len(), 4);
}

#[test]
fn a_backup_with_other_prompts_than_the_primary_proves_no_port_and_says_why() {
    let trio = other_prompts();
    let backup = view(&trio, B);
    assert_eq!((backup.ports_proven, backup.ports), (0, 1));
    assert_eq!(backup.unproven_ports, Unproven { prompts: 1, ..Unproven::default() });
    assert_eq!(backup.unproven, ["1 ports: prompts are missing or differ from the primary's"]);
    let primary = view(&trio, A);
    assert_eq!((primary.ports_proven, primary.unproven.len()), (1, 0));
}

#[test]
fn a_switch_to_it_is_refused_with_the_reason_until_it_is_forced() {
    let mut trio = other_prompts();
    trio.made[A] = Made::default();
    trio.order(A, Order::Switchover { to: NodeId(1), forced: false });
    trio.run(Duration::from_secs(1));
    let Some(Answer::Refused { reasons, may_force: true }) = trio.made[A].answers.pop() else {
        panic!("{:?}", trio.made[A].answers);
    };
    assert_eq!(reasons, [Reason::Lacks(Lack::Prompts)]);
    assert!(trio.role(A).acts());
    trio.order(A, Order::Switchover { to: NodeId(1), forced: true });
    trio.run(Duration::from_secs(2));
    assert!(trio.role(B).acts());
}

#[test]
fn it_still_takes_a_dead_primary_over() {
    let mut trio = other_prompts();
    trio.kill(A);
    trio.run(Duration::from_secs(2));
    assert!(trio.role(B).acts());
}

#[test]
fn a_full_disk_is_told_as_soon_as_it_is_seen_and_when_it_is_over() {
    let mut trio = Trio::new("auto");
    trio.run(Duration::from_secs(20));
    trio.input(B, Input::Disk { free: 1_000_000 });
    let seen_at = |trio: &Trio, at: usize| {
        let member = trio.nodes[at].as_ref().expect("alive").node.member().expect("joined");
        member.peers()[&NodeId(1)].beat.expect("a beat").unproven.disk
    };
    assert_eq!((view(&trio, B).unproven_ports.disk, seen_at(&trio, W)), (1, 1));
    trio.input(B, Input::Disk { free: 1 << 40 });
    assert_eq!((view(&trio, B).unproven_ports.disk, seen_at(&trio, W)), (0, 0));
}

#[test]
fn a_copy_is_current_while_the_primary_is_heard_and_ages_from_the_last_word() {
    let mut trio = Trio::new("auto");
    trio.run(Duration::from_secs(20));
    assert_eq!((view(&trio, A).data_age_ms, view(&trio, B).data_age_ms), (Some(0), Some(0)));
    assert_eq!(view(&trio, W).data_age_ms, None, "a witness copies no calls");
    trio.cut.insert((A, B));
    let event = crate::ha::peer::Event::Down { why: None };
    trio.input(B, Input::Cluster(member::Input::Link { peer: NodeId(0), event }));
    trio.run(Duration::from_secs(30));
    assert!(trio.role(A).acts());
    let age = view(&trio, B).data_age_ms.expect("it has a copy");
    assert!((29_000..32_000).contains(&age), "{age}");
    trio.kill(A);
    trio.run(Duration::from_secs(2));
    assert!(trio.role(B).acts());
    assert_eq!(view(&trio, B).data_age_ms, Some(0));
}

#[test]
fn a_copy_is_not_current_while_the_primary_is_heard_and_has_not_told_what_it_has() {
    let mut trio = Trio::new("auto");
    trio.run(Duration::from_secs(20));
    trio.cut.insert((A, B));
    let link = |event| Input::Cluster(member::Input::Link { peer: NodeId(0), event });
    trio.input(B, link(crate::ha::peer::Event::Down { why: None }));
    trio.run(Duration::from_secs(3));
    trio.input(B, link(crate::ha::peer::Event::Up { build: String::new(), anew: true }));
    trio.run(Duration::from_secs(7));
    let age = view(&trio, B).data_age_ms.expect("it has a copy");
    assert!((9_000..12_000).contains(&age), "{age}");
    trio.cut.clear();
    trio.greet(B);
    trio.greet(A);
    trio.run(Duration::from_secs(1));
    assert_eq!(view(&trio, B).data_age_ms, Some(0));
}

#[test]
fn a_copy_is_not_current_before_every_call_is_here_that_the_primary_names() {
    let mut trio = Trio::new("auto");
    trio.run(Duration::from_secs(20));
    let call = trio.call(A);
    let node = &mut trio.nodes[B].as_mut().expect("alive").node;
    node.replicas.told(trio.now, CallChange::Only([call].into()));
    assert!(!node.replicas.are_whole());
    trio.run(Duration::from_secs(1));
    assert!(trio.nodes[B].as_ref().expect("alive").node.replicas.are_whole());
}

#[test]
fn a_backup_whose_password_is_wrong_is_not_wholly_ready_and_an_alarm_until_it_acts() {
    let mut trio = Trio::new("auto");
    trio.run(Duration::from_secs(20));
    let now = trio.now;
    let alarms = |trio: &Trio| trio.nodes[B].as_ref().expect("alive").node.alarms(now).len();
    let before = alarms(&trio);
    let node = &mut trio.nodes[B].as_mut().expect("alive").node;
    node.readiness.answered(PORT, sip::Queried::Refused { status: 401 });
    node.tell_readiness(now);
    assert_eq!(view(&trio, B).ports_proven, 0);
    assert_eq!(alarms(&trio), before + 1);
    trio.kill(A);
    trio.run(Duration::from_secs(2));
    assert!(trio.role(B).acts());
    let standing = trio.nodes[B].as_ref().expect("alive").node.alarms(trio.now);
    let refused = |text: &str| text.contains("refuses the passwords");
    assert!(!standing.iter().any(|alarm| refused(&alarm.kind.to_string())), "{standing:?}");
}
