//! What is taken for the silence of a registrar, and what is not.

use super::*;
use crate::ids::PortId;
use crate::sip::message::{Message, Method, Request};
use crate::sip::{Command, Input, Output, RegistrationState, StreamId};

const TWO_NODES: (&str, &str) = ("[\"10.0.0.5\"]", "[\"10.0.0.5\", \"10.0.0.6\"]");
const WATCHED: (&str, &str) = ("options_interval = \"off\"", "options_interval = \"30s\"");

/// Where a port is bound, if it is.
fn node_of(bench: &Bench, port: u16) -> Option<usize> {
    match bench.endpoint.registration(PortId(port)) {
        RegistrationState::Registered { node, .. } => Some(node),
        _ => None,
    }
}

/// More calls out than there is room for.
fn fill(bench: &mut Bench) {
    for n in 0..2_000 {
        let (call, port) = (bench.endpoint.next_call_id(), PortId(n % 3));
        let (target, caller) = ("3000".to_owned(), crate::sip::Party::default());
        bench.command(Command::Invite { call, port, target, caller, media: local_media() });
    }
    assert!(bench.endpoint.status().counters.requests_dropped > 0, "full");
    bench.sent.clear();
}

/// The connection that was asked for to this node stands.
fn connect(bench: &mut Bench, node: &str) -> Option<StreamId> {
    let asked = |output: &Output| match output {
        Output::Connect { to, stream, .. } if to.to_string() == node => Some(*stream),
        _ => None,
    };
    let stream = bench.streams.iter().find_map(asked)?;
    let peer = node.parse().expect("address");
    let local = "10.0.0.9:5070".parse().expect("address");
    bench.input(Input::StreamUp { stream, peer, local });
    Some(stream)
}

/// Answers what came over a connection; returns what it was.
fn answer_over(bench: &mut Bench, stream: StreamId) -> Vec<Method> {
    let mut methods = vec![];
    for sent in std::mem::take(&mut bench.sent) {
        let Message::Request(request) = sent.message else { panic!("{sent:?}") };
        if sent.stream != Some(stream) {
            continue;
        }
        let mut response = request.reply(200);
        response.headers.push("Expires", "3600");
        let bytes = response.to_bytes().expect("printable");
        methods.push(request.method);
        bench.input(Input::StreamData { stream, bytes });
    }
    methods
}

#[test]
fn sip_r9_a_connection_lost_under_an_options_is_no_silence() {
    let tcp = ("options_interval = \"off\"", "transport = \"tcp\"\noptions_interval = \"30s\"");
    let mut bench = Bench::with(GENERIC, &[TWO_NODES, tcp]);
    (0..2).for_each(|port| bench.command(Command::Register { port: PortId(port) }));
    bench.millis(0);
    let first = connect(&mut bench, PBX).expect("a connection");
    assert_eq!(answer_over(&mut bench, first).len(), 3, "two bindings and the watch");
    bench.secs(29);
    connect(&mut bench, "10.0.0.6:5060");
    while bench.sent.iter().all(|sent| sent.stream != Some(first)) {
        bench.millis(100);
    }
    bench.streams.clear();
    bench.input(Input::StreamDown { stream: first });
    assert_eq!(bench.endpoint.status().nodes_up.first(), Some(&Some(true)));
    bench.sent.clear();
    bench.millis(0);
    let again = connect(&mut bench, PBX).expect("a connection to the same node");
    assert_eq!(answer_over(&mut bench, again), [Method::Register, Method::Register]);
    assert_eq!((node_of(&bench, 0), node_of(&bench, 1)), (Some(0), Some(0)));
    bench.secs(31);
    assert_eq!(answer_over(&mut bench, again), [Method::Options], "the watch goes on");
}

#[test]
fn sip_r9_an_options_that_had_no_place_here_is_no_silence() {
    let mut bench = Bench::with(GENERIC, &[WATCHED]);
    bench.command(Command::Register { port: PortId(0) });
    bench.millis(0);
    for request in std::mem::take(&mut bench.sent) {
        let Message::Request(request) = request.message else { panic!("{request:?}") };
        bench.reply(&request, 200, &[("Expires", "3600")]);
    }
    assert_eq!(bench.endpoint.status().nodes_up, [Some(true)]);
    bench.secs(29);
    fill(&mut bench);
    let before = bench.endpoint.status().counters.requests_dropped;
    bench.secs(5);
    assert!(bench.endpoint.status().counters.requests_dropped > before, "it was due");
    assert_eq!(bench.endpoint.status().nodes_up, [Some(true)]);
    let options = |sent: &bench::Sent| match &sent.message {
        Message::Request(request) => request.method == Method::Options,
        Message::Response(_) => false,
    };
    let asked = (0..120).any(|_| {
        bench.secs(1);
        bench.sent.drain(..).any(|sent| options(&sent))
    });
    assert!(asked, "the watch goes on");
}

#[test]
fn sip_r9_a_register_that_had_no_place_here_leaves_pace_and_node_alone() {
    let paced = ("register_rate = 0", "register_rate = 100");
    let mut bench = Bench::with(GENERIC, &[TWO_NODES, paced]);
    bench.command(Command::Register { port: PortId(0) });
    while bench.sent.is_empty() {
        bench.millis(10);
    }
    let register = bench.request(Method::Register);
    bench.reply(&register, 200, &[("Expires", "3600")]);
    fill(&mut bench);
    bench.command(Command::Register { port: PortId(1) });
    bench.secs(3);
    let status = bench.endpoint.status();
    let unreachable = RegistrationState::Unreachable { status: Some(503) };
    assert_eq!(status.registrations.get(1), Some(&unreachable), "it was due");
    assert_eq!(status.nodes_up, [Some(true), None]);
    assert_eq!(status.register_rate, [Some(100), Some(100)]);
    assert_eq!(node_of(&bench, 0), Some(0));
}

/// Grants two minutes to every REGISTER but those of `deaf` ports at the first node; returns
/// those.
fn grant(bench: &mut Bench, deaf: &[u16]) -> Vec<(u16, Request)> {
    let mut unanswered = vec![];
    for sent in std::mem::take(&mut bench.sent) {
        let Message::Request(request) = sent.message else { panic!("{sent:?}") };
        if request.method != Method::Register {
            continue;
        }
        let from = request.headers.get("From").expect("From");
        let ported = |port: &u16| from.contains(&format!("sip:{}@", 6_001 + port));
        match deaf.iter().find(|port| ported(port)) {
            Some(port) if sent.to.to_string() == PBX => unanswered.push((*port, request)),
            _ => bench.reply(&request, 200, &[("Expires", "120")]),
        }
    }
    unanswered
}

#[test]
fn sip_r9_a_silence_after_a_renewal_is_told_again() {
    let mut bench = Bench::with(GENERIC, &[TWO_NODES]);
    (0..3).for_each(|port| bench.command(Command::Register { port: PortId(port) }));
    bench.millis(0);
    assert!(grant(&mut bench, &[]).is_empty());
    // All three renew; one gets no answer, the others get theirs after that was told.
    let moved = |bench: &Bench| (0..3).find(|port| node_of(bench, *port) == Some(1));
    let mut waiting = std::collections::BTreeMap::new();
    while moved(&bench).is_none() {
        bench.millis(100);
        waiting.extend(grant(&mut bench, &[0, 1, 2]));
    }
    let moved = moved(&bench).expect("one");
    waiting.remove(&moved);
    waiting.values().for_each(|request| bench.reply(request, 200, &[("Expires", "120")]));
    let rest: Vec<u16> = waiting.into_keys().collect();
    assert_eq!(rest.iter().filter(|port| node_of(&bench, **port) == Some(0)).count(), 2);
    // The next silence is found by one of them; the other is renewed until then.
    while node_of(&bench, rest[0]) == Some(0) {
        bench.millis(100);
        grant(&mut bench, &rest[..1]);
    }
    bench.millis(0);
    grant(&mut bench, &rest[..1]);
    assert_eq!(node_of(&bench, rest[1]), Some(1), "it was told");
}
