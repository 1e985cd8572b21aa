//! What this PBX owes a port, spoken with by hand.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use rand_core::SeedableRng;

use super::{Event, GLARE, Input, LineId, Manner, Output, Pbx};
use crate::ids::Rng;
use crate::redact::Redacted;
use crate::sip::message::{Message, Request};
use crate::sip::wire::Method;
use crate::timers::Instant;

const LINE: LineId = LineId(1);

const SDP: &str = "v=0\r\no=- 1 1 IN IP4 10.0.0.2\r\ns=-\r\nc=IN IP4 10.0.0.2\r\nt=0 0\r\n\
                   m=audio 20000 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n";

const REGISTER: &str = "REGISTER sip:10.0.0.1 SIP/2.0\r\n\
                        Via: SIP/2.0/UDP 10.0.0.2:5062;branch=z9hG4bKr\r\n\
                        From: <sip:6000@10.0.0.1>;tag=r\r\nTo: <sip:6000@10.0.0.1>\r\n\
                        Call-ID: r\r\nCSeq: 1 REGISTER\r\nMax-Forwards: 70\r\n\
                        Contact: <sip:6000@10.0.0.2:5062>\r\nExpires: 60\r\n\
                        Content-Length: 0\r\n\r\n";

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

fn tell(pbx: &mut Pbx, input: Input) -> Vec<Request> {
    pbx.handle_input(Instant::ZERO, input);
    sent(pbx)
}

fn sent(pbx: &mut Pbx) -> Vec<Request> {
    let sent = std::iter::from_fn(|| pbx.poll_output()).filter_map(|output| match output {
        Output::Datagram { bytes, .. } => Message::parse(bytes).ok(),
        Output::Event(_) => None,
    });
    let requests = sent.filter_map(|message| match message {
        Message::Request(request) => Some(request),
        Message::Response(_) => None,
    });
    requests.collect()
}

fn datagram(pbx: &mut Pbx, bytes: impl Into<bytes::Bytes>) -> Vec<Request> {
    tell(pbx, Input::Datagram { from: address("10.0.0.2:5062"), bytes: bytes.into() })
}

/// The port's answer to an INVITE of the PBX; what the PBX sends then.
fn answer(pbx: &mut Pbx, invite: &Request, status: u16, body: &str) -> Vec<Request> {
    let mut response = invite.reply(status);
    response.set_to_tag("port");
    response.headers.push("Contact", "<sip:6000@10.0.0.2:5062>");
    response.set_body("application/sdp", body.to_owned());
    datagram(pbx, response.to_bytes().expect("a response"))
}

#[test]
fn an_answer_that_comes_again_has_its_own_ack_again_and_a_refused_hold_is_tried_again() {
    let account = ("6000".to_owned(), Redacted::new("secret".to_owned()));
    let manner = Manner { digest: false, ..Manner::default() };
    let (at, accounts) = (address("10.0.0.1:5060"), BTreeMap::from([account]));
    let mut pbx = Pbx::new(at, accounts, manner, Rng::seed_from_u64(1));
    datagram(&mut pbx, REGISTER);
    let (extension, caller) = ("6000".to_owned(), "2001".to_owned());
    let media = address("10.0.0.9:10000");
    let call = Input::Call { line: LINE, extension, caller, media, delayed_offer: true };
    let invite = tell(&mut pbx, call).pop().expect("an INVITE");
    let ack = answer(&mut pbx, &invite, 200, SDP).pop().expect("an ACK");
    assert!(ack.method == Method::Ack && ack.sdp().is_some(), "{ack:?}");
    let hold = tell(&mut pbx, Input::Hold { line: LINE, on: true }).pop().expect("a re-INVITE");
    let refused = answer(&mut pbx, &hold, 491, "").pop().expect("an ACK");
    assert_eq!(refused.headers.cseq().map(|cseq| cseq.seq).ok(), Some(2));
    assert_eq!(answer(&mut pbx, &invite, 200, SDP), [ack], "the port waits for the answer in it");
    assert_eq!(answer(&mut pbx, &hold, 491, ""), [refused]);
    pbx.handle_timeout(Instant::ZERO + GLARE);
    let again = sent(&mut pbx).pop().expect("another re-INVITE");
    assert_eq!((again.method.clone(), again.sdp()), (Method::Invite, hold.sdp()));
    assert!(again.headers.cseq().is_ok_and(|cseq| cseq.seq == 3), "{again:?}");
}

#[test]
fn whom_a_port_calls_is_not_there() {
    let (at, accounts) = (address("10.0.0.1:5060"), BTreeMap::new());
    let mut pbx = Pbx::new(at, accounts, Manner::default(), Rng::seed_from_u64(1));
    let invite = REGISTER.replace("REGISTER sip:10.0.0.1", "INVITE sip:7999@10.0.0.1");
    let bytes = invite.replace("1 REGISTER", "1 INVITE").into();
    pbx.handle_input(Instant::ZERO, Input::Datagram { from: address("10.0.0.2:5062"), bytes });
    let noted = pbx.poll_output();
    let Some(Output::Event(Event::Dialled { extension })) = noted else { panic!("{noted:?}") };
    assert_eq!(extension, "7999");
    let Some(Output::Datagram { bytes, .. }) = pbx.poll_output() else { panic!("no answer") };
    assert!(bytes.starts_with(b"SIP/2.0 480 "), "{bytes:?}");
}
