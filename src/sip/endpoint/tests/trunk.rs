//! Calls that leave by the trunk.

use super::*;
use crate::ids::{CallId, PortId};
use crate::sip::message::{CSeq, Method, Request};
use crate::sip::{Command, EndCause, Event, Party};

const TRUNK: &str = "198.51.100.7:5070";
const PORT: PortId = PortId(4);
const SECTIONS: &str = "[control]\nextension = \"6090\"\npassword = \"kT7-pq2Zr9vXw4mN8sLd\"\n\
    [control.trunk]\naddress = \"198.51.100.7:5070\"\nnumber = \"4930123456\"\n\
    domain = \"sip.example\"\nauth_user = \"site7\"\npassword = \"nQ4-wz8Bv2yTk6rM1xPc\"\n\
    [[control.on_call]]\nextension = \"2001\"\noutside = \"49170555\"\n[applications.main]";

const CLUSTER: &str = "[cluster]\nid = \"north\"\nprofile = \"pair\"\ncredentials = \"cluster\"\n\
    [[cluster.nodes]]\nname = \"portkeeper\"\nlink = \"10.0.0.9:7443\"\n\
    [[cluster.nodes]]\nname = \"b\"\nlink = \"10.0.0.10:7443\"\n[pbx]";

/// A call that was placed by the trunk, and its INVITE.
fn placed() -> (Bench, CallId, Request) {
    let mut bench = Bench::with(GENERIC, &[("[applications.main]", SECTIONS)]);
    let call = bench.endpoint.next_call_id();
    let caller = Party { name: String::new().into(), number: "4930123456".to_owned().into() };
    let (target, media) = ("49170555".to_owned(), local_media());
    bench.command(Command::Invite { call, port: PORT, target, caller, media });
    let invite = bench.request(Method::Invite);
    (bench, call, invite)
}

fn reply(bench: &mut Bench, request: &Request, status: u16, headers: &[(&str, &str)]) {
    let mut response = request.reply(status);
    response.set_to_tag("pbx-tag");
    for &(name, value) in headers {
        response.headers.push(name, value);
    }
    if status == 200 && request.method == Method::Invite {
        response.headers.push("Content-Type", "application/sdp");
        response.body = sdp("sendrecv").into();
    }
    bench.datagram(TRUNK, response.to_bytes().expect("printable").to_vec());
}

fn from_trunk(bench: &mut Bench, request: &Request) {
    bench.datagram(TRUNK, request.to_bytes().expect("printable").to_vec());
}

#[test]
fn a_call_by_the_trunk_goes_to_its_address_proves_itself_there_and_is_up() {
    let (mut bench, call, invite) = placed();
    assert_eq!(bench.last().to, TRUNK.parse().expect("address"));
    assert!(!bench.last().claims, "whatever the node's role");
    assert_eq!(invite.target(), "sip:49170555@sip.example");
    let from = invite.headers.from().expect("From").uri;
    assert_eq!(from.to_string(), "sip:4930123456@sip.example");
    let challenge = "Digest realm=\"gw\", nonce=\"n1\", algorithm=SHA-256, qop=\"auth\"";
    reply(&mut bench, &invite, 407, &[("Proxy-Authenticate", challenge)]);
    bench.request(Method::Ack);
    let invite = bench.request(Method::Invite);
    let proof = invite.headers.get("Proxy-Authorization").expect("credentials");
    assert!(proof.contains("username=\"site7\""), "{proof}");
    reply(&mut bench, &invite, 200, &[("Contact", "<sip:gw@198.51.100.7:5070>")]);
    bench.request(Method::Ack);
    assert_eq!(bench.last().to, TRUNK.parse().expect("address"));
    assert!(matches!(bench.event(), Event::Media { .. }));
    assert!(matches!(bench.event(), Event::Established { call: told } if told == call));

    let mut far = Call::of_our_invite(call, &invite);
    let bye = far.request(Method::Bye);
    from_trunk(&mut bench, &bye);
    bench.response(200);
    let Event::Ended { cause, .. } = bench.event() else { panic!("ended") };
    assert_eq!(cause, EndCause::RemoteHangup);
    from_trunk(&mut bench, &bye);
    bench.response(200);
}

#[test]
fn nobody_calls_a_port_by_the_trunk_and_its_question_is_answered() {
    let (mut bench, ..) = placed();
    let invite = bench.invite("from-outside");
    from_trunk(&mut bench, &invite);
    bench.silence();
    assert_eq!(bench.endpoint.status().counters.unknown_sources, 1);
    let bytes = invite.to_bytes().expect("printable").to_vec();
    let text = String::from_utf8(bytes).expect("text");
    let text = text.replace(&bench.contact(0), &bench.contact(PORT.0));
    bench.datagram(PBX, text.into_bytes());
    bench.response(404);
    let mut options = bench.invite("alive");
    options.method = Method::Options;
    options.headers.set("CSeq", CSeq { seq: 1, method: Method::Options });
    from_trunk(&mut bench, &options);
    bench.response(200);
    bench.command(Command::Drain(true));
    let mut again = bench.invite("alive-and-drains");
    again.method = Method::Options;
    again.headers.set("CSeq", CSeq { seq: 1, method: Method::Options });
    from_trunk(&mut bench, &again);
    bench.response(200);
}

/// Lets the next OPTIONS to the trunk leave.
fn asked(bench: &mut Bench) -> Request {
    let trunk = TRUNK.parse().expect("address");
    loop {
        let asked = bench.request(Method::Options);
        if bench.last().to == trunk {
            assert!(!bench.last().claims, "whatever the node's role");
            assert_eq!(asked.target(), "sip:sip.example");
            return asked;
        }
    }
}

/// What is told of the trunk within `secs`.
fn told(bench: &mut Bench, secs: u64) -> Option<bool> {
    bench.sent.clear();
    bench.secs(secs);
    std::mem::take(&mut bench.events).into_iter().find_map(|event| match event {
        Event::Trunk { answers } => Some(answers),
        _ => None,
    })
}

#[test]
fn a_trunk_is_asked_all_the_time_and_its_third_silence_is_told() {
    let sections = [("[applications.main]", SECTIONS), ("[pbx]", CLUSTER)];
    let mut bench = Bench::with(GENERIC, &sections);
    bench.secs(1);
    let request = asked(&mut bench);
    reply(&mut bench, &request, 405, &[]);
    assert_eq!(told(&mut bench, 60), Some(true), "whoever refuses is there");
    assert_eq!(told(&mut bench, 145), None, "one was lost, and another");
    assert_eq!(told(&mut bench, 60), Some(false));
    assert_eq!(told(&mut bench, 300), None, "once");
    bench.secs(40);
    bench.sent.clear();
    bench.secs(2);
    let request = asked(&mut bench);
    reply(&mut bench, &request, 200, &[]);
    assert_eq!(told(&mut bench, 1), Some(true));
}

#[test]
fn a_node_alone_calls_nobody_and_asks_no_trunk() {
    let mut bench = Bench::with(GENERIC, &[("[applications.main]", SECTIONS)]);
    bench.secs(300);
    let trunk = TRUNK.parse().expect("address");
    assert!(bench.sent.iter().all(|sent| sent.to != trunk));
}
