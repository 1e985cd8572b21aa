//! TCP: connections, framing, and what becomes of them.

use super::*;
use crate::ids::PortId;
use crate::sip::message::{Message, Method};
use crate::sip::{Command, Event, Input, Output, RegistrationState, StreamId};

const TCP: (&str, &str) = ("options_interval", "transport = \"tcp\"\noptions_interval");
const OURS: StreamId = StreamId(1);
const THEIRS: StreamId = StreamId(1 << 63);

fn up(bench: &mut Bench, stream: StreamId, peer: &str) {
    let (peer, local) = (peer.parse().expect("address"), "10.0.0.9:5070".parse().expect("address"));
    bench.input(Input::StreamUp { stream, peer, local });
}

fn data(bench: &mut Bench, stream: StreamId, bytes: &[u8]) {
    bench.input(Input::StreamData { stream, bytes: bytes.to_vec().into() });
}

/// Registered over a connection of ours.
fn registered() -> Bench {
    let mut bench = Bench::with(GENERIC, &[TCP]);
    bench.command(Command::Register { port: PortId(0) });
    bench.millis(0);
    assert!(matches!(bench.streams.pop_front(), Some(Output::Connect { stream: OURS, .. })));
    bench.silence();
    up(&mut bench, OURS, PBX);
    let register = bench.request(Method::Register);
    assert_eq!(bench.last().stream, Some(OURS));
    assert_eq!(register.headers.top_via().expect("Via").transport, "TCP");
    let contact = register.headers.contact_uri().expect("Contact");
    assert_eq!(contact.param("transport").as_deref(), Some("tcp"));
    let ok = reply(&register, 200, "Expires: 3600");
    data(&mut bench, OURS, &ok);
    assert_ne!(bench.endpoint.registration(PortId(0)), RegistrationState::Pending);
    bench.events.clear();
    bench
}

fn reply(request: &crate::sip::message::Request, status: u16, field: &str) -> Vec<u8> {
    let mut response = request.reply(status);
    let (name, value) = field.split_once(": ").expect("field");
    response.headers.push(name, value);
    response.to_bytes().expect("printable").to_vec()
}

#[test]
fn sip_r12_a_connection_is_made_once_and_calls_come_over_it_in_pieces() {
    let mut bench = registered();
    let invite = bench.invite("a").to_bytes().expect("printable");
    let (first, second) = invite.split_at(100);
    data(&mut bench, OURS, first);
    bench.no_event();
    data(&mut bench, OURS, second);
    let call = bench.incoming().call;
    bench.command(Command::Ring { call });
    bench.response(180);
    assert_eq!(bench.last().stream, Some(OURS));
    assert!(bench.streams.is_empty());
}

#[test]
fn sip_r12_a_connection_that_cannot_be_made_counts_as_a_node_that_failed() {
    let nodes = ("[\"10.0.0.5\"]", "[\"10.0.0.5\", \"10.0.0.6\"]");
    let mut bench = Bench::with(GENERIC, &[TCP, nodes]);
    bench.command(Command::Register { port: PortId(0) });
    bench.millis(0);
    bench.input(Input::StreamDown { stream: OURS });
    bench.millis(0);
    let connects = bench.streams.iter().filter_map(|s| match s {
        Output::Connect { to, .. } => Some(to.to_string()),
        _ => None,
    });
    assert_eq!(connects.collect::<Vec<_>>(), [PBX, "10.0.0.6:5060"]);
    bench.secs(10);
    let closed = |s: &Output| matches!(s, Output::StreamClose { stream: StreamId(2) });
    assert!(bench.streams.iter().any(closed), "a connection that does not come is given up");
}

#[test]
fn sip_r12_only_a_connection_that_never_stood_is_told_as_silence() {
    for (stood, status) in [(true, Some(503)), (false, None)] {
        let mut bench = Bench::with(GENERIC, &[TCP]);
        bench.command(Command::Register { port: PortId(0) });
        bench.millis(0);
        if stood {
            up(&mut bench, OURS, PBX);
            bench.request(Method::Register);
        }
        bench.input(Input::StreamDown { stream: OURS });
        let state = bench.endpoint.registration(PortId(0));
        assert_eq!(state, RegistrationState::Unreachable { status }, "stood: {stood}");
    }
}

#[test]
fn sip_r12_a_connection_lost_under_one_register_takes_no_other_port_to_another_node() {
    let nodes = ("[\"10.0.0.5\"]", "[\"10.0.0.5\", \"10.0.0.6\"]");
    let mut bench = Bench::with(GENERIC, &[TCP, nodes]);
    bench.command(Command::Register { port: PortId(0) });
    bench.millis(0);
    up(&mut bench, OURS, PBX);
    let register = bench.request(Method::Register);
    data(&mut bench, OURS, &reply(&register, 200, "Expires: 3600"));
    bench.command(Command::Register { port: PortId(1) });
    bench.millis(0);
    bench.request(Method::Register);
    bench.streams.clear();
    bench.input(Input::StreamDown { stream: OURS });
    bench.millis(0);
    let connects = bench.streams.iter().filter_map(|s| match s {
        Output::Connect { to, .. } => Some(to.to_string()),
        _ => None,
    });
    assert_eq!(connects.collect::<Vec<_>>(), [PBX, "10.0.0.6:5060"], "the other is renewed");
}

#[test]
fn sip_r12_a_reset_during_a_transaction_fails_it_and_the_binding_is_renewed() {
    let mut bench = registered();
    let call = bench.endpoint.next_call_id();
    let (port, target) = (PortId(0), "3000".to_owned());
    let (caller, media) = (crate::sip::Party::default(), local_media());
    bench.command(Command::Invite { call, port, target, caller, media });
    bench.request(Method::Invite);
    bench.input(Input::StreamDown { stream: OURS });
    assert!(matches!(bench.event(), Event::Ended { .. }));
    bench.millis(0);
    assert!(matches!(bench.streams.pop_back(), Some(Output::Connect { stream: StreamId(2), .. })));
    up(&mut bench, StreamId(2), PBX);
    bench.request(Method::Register);
}

#[test]
fn s_08_a_message_that_does_not_become_whole_in_32_seconds_ends_its_connection() {
    let mut bench = registered();
    let invite = bench.invite("a").to_bytes().expect("printable");
    data(&mut bench, OURS, &invite[..50]);
    bench.secs(20);
    data(&mut bench, OURS, &invite[50..60]);
    bench.secs(11);
    assert!(bench.streams.is_empty());
    bench.secs(1);
    assert!(matches!(bench.streams.pop_front(), Some(Output::StreamClose { stream: OURS })));
}

#[test]
fn s_08_bytes_that_cannot_be_framed_end_their_connection() {
    let mut bench = registered();
    data(&mut bench, OURS, b"OPTIONS sip:a SIP/2.0\r\nContent-Length: x\r\n\r\n");
    assert!(matches!(bench.streams.pop_front(), Some(Output::StreamClose { stream: OURS })));
}

#[test]
fn s_08_strangers_get_no_connection_and_the_pbx_eight() {
    let mut bench = registered();
    up(&mut bench, THEIRS, RAND);
    assert!(matches!(bench.streams.pop_front(), Some(Output::StreamClose { stream: THEIRS })));
    for n in 1..=9 {
        up(&mut bench, StreamId(THEIRS.0 + n), &format!("10.0.0.5:{}", 20_000 + n));
    }
    let StreamId(ninth) = StreamId(THEIRS.0 + 9);
    let closed = bench.streams.pop_front();
    assert!(matches!(closed, Some(Output::StreamClose { stream }) if stream.0 == ninth));
    assert!(bench.streams.is_empty());
    bench.input(Input::StreamDown { stream: StreamId(THEIRS.0 + 1) });
    up(&mut bench, StreamId(THEIRS.0 + 10), "10.0.0.5:20010");
    assert!(bench.streams.is_empty());
    assert_eq!(bench.endpoint.status().counters.refused_connections, 2);
}

#[test]
fn a_call_over_a_connection_of_the_pbx_is_answered_and_ended_on_it() {
    let mut bench = registered();
    up(&mut bench, THEIRS, "10.0.0.5:33000");
    let mut invite = bench.invite("a");
    invite.set_body("application/sdp", sdp("sendrecv"));
    data(&mut bench, THEIRS, &invite.to_bytes().expect("printable"));
    let call = bench.incoming().call;
    bench.command(Command::Answer { call, media: local_media() });
    let ok = bench.response(200);
    assert_eq!(bench.last().stream, Some(THEIRS));
    let ack = Call::of_invite(call, &invite, &ok).request(Method::Ack);
    data(&mut bench, THEIRS, &ack.to_bytes().expect("printable"));
    bench.command(Command::Hangup { call, cause: None });
    bench.request(Method::Bye);
    assert_eq!(bench.last().stream, Some(THEIRS));
    assert!(matches!(bench.last().message, Message::Request(_)));
}

#[test]
fn sip_r12_an_answer_whose_connection_is_gone_goes_over_a_new_one() {
    let mut bench = registered();
    up(&mut bench, THEIRS, "10.0.0.5:33000");
    let invite = bench.invite("a");
    data(&mut bench, THEIRS, &invite.to_bytes().expect("printable"));
    let call = bench.incoming().call;
    bench.input(Input::StreamDown { stream: THEIRS });
    bench.command(Command::Refuse { call, status: 486 });
    bench.response(486);
    assert_eq!(bench.last().stream, Some(OURS), "the one that stands to that address");
}
