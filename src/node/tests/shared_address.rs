//! Two nodes that share an address: calls go on from the other one, and nobody outside is told.

use super::cluster::{A, B, Trio, W, text};
use super::pbx::header;
use super::*;
use crate::ha::Role;
use crate::ids::Epoch;
use crate::media::StreamStart;

const ADDRESS: &str = "[cluster.address]\naddress = \"10.0.0.100/24\"\ninterface = \"eth0\"\n";

/// Beyond the lease, for a kernel that takes an address away.
const LINGER: Duration = Duration::from_millis(1_250);

const STOOD: StreamStart = StreamStart { ssrc: 7, sequence: 65_000, timestamp: 1_000 };

fn shared(name: &str) -> String {
    let takes = "profile = \"trio\"\ntakeover = \"shared_address\"";
    text(name, "auto", ADDRESS, "").replace("profile = \"trio\"", takes)
}

fn act(bench: &mut Bench) -> Made {
    bench.node.acts(bench.now);
    bench.node.route(bench.now);
    bench.take()
}

fn copy(from: &mut Bench, to: &mut Bench) {
    let made = from.run(Duration::from_millis(20));
    to.now = from.now;
    let text = serde_json::to_string(&made.copies).expect("plain data");
    let changes: Vec<CallChange> = serde_json::from_str(&text).expect("the same");
    changes.into_iter().for_each(|change| to.node.replicas.told(to.now, change));
}

/// A primary with its port registered, and the backup.
fn registered() -> (Bench, Bench) {
    let mut a = Bench::with(&shared("a"));
    act(&mut a);
    a.register();
    (a, Bench::seeded(&shared("b"), 2))
}

/// A call at the primary, whose stream has told where it stands, and the backup that has it copied.
fn copied() -> (Bench, Bench) {
    let (a, mut b) = registered();
    let mut a = a.in_call();
    a.media(media::Event::Standing(STOOD));
    copy(&mut a, &mut b);
    b.connect(FIRST);
    (a, b)
}

fn opened(bench: &mut Bench, call: CallId) -> Made {
    bench.call = call;
    bench.media(media::Event::Opened)
}

fn open(made: &Made) -> (u16, StreamStart) {
    let found = made.media.iter().find_map(|command| match command {
        media::Command::Open { udp_port, start, .. } => Some((*udp_port, *start)),
        _ => None,
    });
    found.expect("a UDP port is asked for")
}

#[test]
fn a_call_goes_on_in_its_stream_from_its_udp_port_and_no_invite_leaves() {
    let (a, mut b) = copied();
    b.now += Duration::from_millis(100);
    let (udp_port, start) = open(&act(&mut b));
    assert_eq!(udp_port, a.node.calls[&a.call].udp_port);
    // 20 ms until the copy was made and 100 ms since: six packets, and the leap.
    let sequence = 65_000_u16.wrapping_add(6 + 1_000);
    assert_eq!(start, StreamStart { ssrc: 7, sequence, timestamp: 1_000 + 120 * 8 });
    let mut made = opened(&mut b, a.call);
    let plays = |command: &media::Command| matches!(command, media::Command::Session(_));
    assert!(made.media.iter().any(plays), "the far end's address is known: {made:?}");
    made.add(b.run(Duration::from_secs(10)));
    assert!(!made.sip.iter().any(|text| text.starts_with("INVITE ")), "{:?}", made.sip);
    assert_eq!(b.node.takeover.map(|takeover| takeover.kept), Some(1));
}

#[test]
fn a_port_is_registered_under_the_same_contact_and_call_id_above_the_cseq() {
    let (mut a, mut b) = registered();
    copy(&mut a, &mut b);
    b.connect(FIRST);
    let before = a.node.sip.binding(PORT).expect("bound");
    let mut made = act(&mut b);
    made.add(b.run(Duration::from_millis(1)));
    let register = made.to_pbx("REGISTER ");
    let contact = before.contact.reveal().clone();
    assert_eq!(header(register, "Contact"), [contact.as_str()]);
    assert!(contact.contains("@10.0.0.100") && !contact.contains("pk-epoch"), "{contact}");
    assert_eq!(header(register, "Call-ID"), [before.call_id.reveal().as_str()]);
    let cseq = header(register, "CSeq")[0].split(' ').next().expect("a number").to_owned();
    assert!(cseq.parse::<u32>().expect("a number") > before.cseq + 99_999, "{cseq}");
    // The PBX calls the Contact that it knows, secret and all.
    b.contact = a.node.sip.contact(PORT).expect("a port").uri.to_string();
    let made = b.arrive();
    assert!(made.lines().iter().any(|line| line.contains(" 180 ")), "{:?}", made.lines());
}

#[test]
fn a_call_whose_udp_port_is_taken_tells_its_far_end_of_another() {
    let (a, mut b) = copied();
    let (taken, _) = open(&act(&mut b));
    b.call = a.call;
    b.media(media::Event::OpenFailed);
    let udp_port = b.node.calls[&a.call].udp_port;
    assert_ne!(udp_port, taken);
    let made = opened(&mut b, a.call);
    let invite = made.to_pbx("INVITE ");
    assert!(invite.contains("c=IN IP4 10.0.0.100"), "{invite}");
    assert!(invite.contains(&format!("m=audio {udp_port} ")), "{invite}");
}

#[test]
fn the_sound_of_a_node_that_acts_no_more_ends_with_its_role_and_without_goodbye() {
    let (mut a, _) = copied();
    a.node.follows(a.now);
    a.node.route(a.now);
    let made = a.take();
    assert!(matches!(made.media[..], [media::Command::Leave]), "{made:?}");
    assert!(made.sip.is_empty(), "{:?}", made.sip);
}

fn trio() -> Trio {
    let mut trio = Trio::of(["a", "b", "w"].map(|name| Bench::with(&shared(name))));
    trio.run(Duration::from_secs(3));
    trio.input(A, Input::Address(Ok(())));
    trio.run(Duration::from_secs(2));
    assert!(matches!(trio.role(A), Role::Primary(_)), "{:?}", trio.role(A));
    trio
}

/// How long a promoted node waits before it asks for the address.
fn waits(trio: &mut Trio, at: usize) -> Duration {
    let step = Duration::from_millis(5);
    let promoting = |trio: &Trio| matches!(trio.role(at), Role::Promoting(_));
    while !promoting(trio) {
        trio.run(step);
    }
    let since = trio.now;
    let asks = |trio: &Trio| {
        let node = &trio.nodes[at].as_ref().expect("alive").node;
        node.address_until(trio.now).is_some()
    };
    while !asks(trio) {
        assert!(promoting(trio));
        trio.run(step);
    }
    trio.now.saturating_duration_since(since)
}

#[test]
fn a_promoted_node_waits_until_a_lost_host_cannot_have_the_address() {
    let mut trio = trio();
    trio.kill(A);
    assert!(waits(&mut trio, B) >= LINGER);
    let acts = |trio: &Trio| trio.nodes[B].as_ref().expect("alive").node.is_acting();
    assert!(!acts(&trio), "the address is not here yet");
    trio.input(B, Input::Address(Err("no such network card".to_owned())));
    assert!(!acts(&trio));
    let node = &trio.nodes[B].as_ref().expect("alive").node;
    assert!(node.alarms(trio.now).iter().any(|alarm| alarm.kind.name() == "no_address"));
    trio.input(B, Input::Address(Ok(())));
    assert!(acts(&trio));
    let node = &trio.nodes[B].as_ref().expect("alive").node;
    assert!(!node.alarms(trio.now).iter().any(|alarm| alarm.kind.name() == "no_address"));
}

#[test]
fn a_promoted_node_does_not_wait_for_a_role_that_was_given_up() {
    let mut trio = trio();
    trio.kill(A);
    for at in [B, W] {
        let (node, epoch, cause) = (NodeId(0), Epoch(1), String::new());
        trio.input(at, Input::Cluster(member::Input::Exited { node, epoch, cause }));
    }
    assert!(waits(&mut trio, B) < Duration::from_millis(20));
}

#[test]
fn the_address_is_held_no_longer_than_the_lease() {
    let mut trio = trio();
    let node = &trio.nodes[A].as_ref().expect("alive").node;
    let until = node.address_until(trio.now).expect("held");
    assert!(until <= node.member().and_then(|member| member.ha().deadline()).expect("a lease"));
    trio.cut = [(A, B), (A, W)].into();
    trio.run(Duration::from_secs(1));
    let node = &trio.nodes[A].as_ref().expect("alive").node;
    assert_eq!((trio.role(A), node.address_until(trio.now)), (Role::Fenced, None));
}
