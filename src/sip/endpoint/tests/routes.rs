//! Where messages go: answers back to where they came from, each device over its own socket.

use super::*;
use crate::ids::PortId;
use crate::sip::message::Method;
use crate::sip::{Command, Input, Output, SocketId};

/// OPTIONS with this Via.
fn options(via: &str) -> Vec<u8> {
    bench::wire(&format!(
        "OPTIONS sip:10.0.0.9 SIP/2.0\nVia: {via}\nFrom: <sip:a@b>;tag=1\nTo: <sip:c@d>\n\
         Call-ID: o\nCSeq: 1 OPTIONS\n"
    ))
}

#[test]
fn answers_go_to_the_port_of_the_via_or_where_rport_asks_to_the_source() {
    let cases = [
        ("SIP/2.0/UDP 10.0.0.5:5080;branch=z9hG4bK-1", "10.0.0.5:5080", None),
        ("SIP/2.0/UDP 10.0.0.5;branch=z9hG4bK-2", "10.0.0.5:5060", None),
        ("SIP/2.0/UDP 10.0.0.5:5080;rport;branch=z9hG4bK-3", "10.0.0.5:33000", Some("10.0.0.5")),
        ("SIP/2.0/UDP 192.0.2.1:5080;branch=z9hG4bK-4", "10.0.0.5:5080", Some("10.0.0.5")),
        ("SIP/2.0/UDP pbx.example:5080;branch=z9hG4bK-5", "10.0.0.5:5080", Some("10.0.0.5")),
    ];
    for (via, to, received) in cases {
        let mut bench = Bench::registered(GENERIC);
        bench.datagram("10.0.0.5:33000", options(via));
        let ok = bench.response(200);
        assert_eq!(bench.last().to.to_string(), to, "{via}");
        let top = ok.headers.top_via().expect("Via");
        assert_eq!(top.params.get("received"), received, "{via}");
    }
}

#[test]
fn sip_c11_an_invite_of_several_fragments_is_a_call() {
    let mut bench = Bench::registered(GENERIC);
    let mut invite = bench.invite("a");
    for n in 0..30 {
        let hop = format!("<sip:10.0.0.5:5060;lr;of={n};{}>", "x".repeat(100));
        invite.headers.push("Record-Route", hop);
    }
    invite.set_body("application/sdp", sdp("sendrecv"));
    assert!(invite.to_bytes().expect("printable").len() > 4_000);
    let far = bench.call_by(invite);
    bench.command(Command::Hangup { call: far.call, cause: None });
    let bye = bench.request(Method::Bye);
    assert_eq!(bye.headers.routes().expect("routes").len(), 30);
}

const CUCM: (&str, &str) = ("profile = \"generic\"", "profile = \"cucm\"");

#[test]
fn sip_r13_each_device_speaks_from_its_own_socket_in_calls_too() {
    let mut bench = Bench::with(GENERIC, &[CUCM]);
    for port in [1, 2] {
        let mut invite = bench.invite(&format!("call-{port}"));
        invite.set_body("application/sdp", sdp("sendrecv"));
        let uri = bench.contact(port);
        let text = String::from_utf8(invite.to_bytes().expect("printable").to_vec());
        let text = text.expect("text").replacen(&bench.contact(0), &uri, 1);
        let from = PBX.parse().expect("address");
        let (socket, bytes) = (SocketId(port), text.into_bytes().into());
        bench.input(Input::Datagram { socket, from, bytes });
        let call = bench.incoming();
        assert_eq!(call.port, PortId(port));
        bench.command(Command::Ring { call: call.call });
        bench.response(180);
        assert_eq!(bench.last().socket, SocketId(port));
    }
}

#[test]
fn sip_r13_each_device_has_its_own_connection_over_tcp() {
    let tcp =
        ("options_interval", "transport = \"tcp\"\nsip_port = \"per_device\"\noptions_interval");
    let mut bench = Bench::with(GENERIC, &[tcp]);
    (0..3).for_each(|p| bench.command(Command::Register { port: PortId(p) }));
    bench.millis(0);
    let mut sockets: Vec<_> = bench
        .streams
        .iter()
        .filter_map(|s| match s {
            Output::Connect { socket, .. } => Some(socket.0),
            _ => None,
        })
        .collect();
    sockets.sort_unstable();
    assert_eq!(sockets, [0, 1, 2]);
}
