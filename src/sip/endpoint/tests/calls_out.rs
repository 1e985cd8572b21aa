//! Calls that we place.

use super::*;
use crate::ids::{CallId, PortId};
use crate::sip::message::{Method, NameAddr, Request};
use crate::sip::{Command, EndCause, Event, Party};

const CONTACT: (&str, &str) = ("Contact", "<sip:3000@10.0.0.5:5060>");

/// A call to extension 3000 whose INVITE is on the wire.
fn placed() -> (Bench, CallId, Request) {
    let mut bench = Bench::registered(GENERIC);
    let call = place(&mut bench, "3000");
    let invite = bench.request(Method::Invite);
    (bench, call, invite)
}

fn place(bench: &mut Bench, target: &str) -> CallId {
    let call = bench.endpoint.next_call_id();
    let caller = Party { name: "Main \"IVR\"".to_owned().into(), number: "5000".to_owned().into() };
    let (target, media) = (target.to_owned(), local_media());
    bench.command(Command::Invite { call, port: PortId(0), target, caller, media });
    call
}

#[track_caller]
fn ended(bench: &mut Bench) -> EndCause {
    match bench.event() {
        Event::Ended { cause, .. } => cause,
        other => panic!("wanted the end, came {other:?}"),
    }
}

#[test]
fn a_placed_call_rings_and_is_up_with_the_200() {
    let (mut bench, call, invite) = placed();
    assert_eq!(invite.target(), "sip:3000@pbx.example");
    let from = invite.headers.from().expect("From");
    assert_eq!(from.display.as_deref(), Some("Main \"IVR\""));
    assert_eq!(from.uri.to_string(), "sip:6001@pbx.example");
    let asserted = invite.headers.p_asserted_identity();
    assert_eq!(asserted[0].uri.to_string(), "sip:5000@pbx.example");
    bench.reply(&invite, 100, &[]);
    bench.reply(&invite, 180, &[CONTACT]);
    assert!(matches!(bench.event(), Event::Ringing { .. }));
    bench.reply(&invite, 183, &[CONTACT]);
    bench.no_event();
    bench.reply_sdp(&invite, 200, &[CONTACT], &sdp("sendrecv"));
    let ack = bench.request(Method::Ack);
    assert_eq!(ack.target(), "sip:3000@10.0.0.5:5060");
    assert!(matches!(bench.event(), Event::Media { .. }));
    let Event::Established { call: told } = bench.event() else { panic!("established") };
    assert_eq!(told, call);

    bench.reply_sdp(&invite, 200, &[CONTACT], &sdp("sendrecv"));
    let again = bench.request(Method::Ack);
    assert_eq!(again.headers.cseq(), ack.headers.cseq());
    bench.no_event();

    let mut far = Call::of_our_invite(call, &invite);
    let bye = far.request(Method::Bye);
    bench.receive_request(&bye);
    bench.response(200);
    assert_eq!(ended(&mut bench), EndCause::RemoteHangup);
}

#[test]
fn sip_d10_an_invite_is_authorized_and_its_refusal_acknowledged() {
    let (mut bench, _, invite) = placed();
    let challenge = "Digest realm=\"pbx\", nonce=\"n\", algorithm=SHA-256, qop=\"auth\"";
    bench.reply(&invite, 407, &[("Proxy-Authenticate", challenge)]);
    let ack = bench.request(Method::Ack);
    assert_eq!(ack.headers.top_via(), invite.headers.top_via());
    assert_eq!(ack.headers.to().expect("To").tag(), Some("pbx-tag"));
    let again = bench.request(Method::Invite);
    assert!(again.headers.has("Proxy-Authorization"));
    bench.reply_sdp(&again, 200, &[CONTACT], &sdp("sendrecv"));
    let ack = bench.request(Method::Ack);
    assert_eq!(ack.headers.cseq().expect("CSeq").seq, 2);
}

#[test]
fn a_refused_call_tells_its_status() {
    let (mut bench, _, invite) = placed();
    bench.reply(&invite, 486, &[]);
    bench.request(Method::Ack);
    assert_eq!(ended(&mut bench), EndCause::Refused { status: 486 });
    bench.reply(&invite, 486, &[]);
    bench.request(Method::Ack);
    bench.no_event();
    assert_eq!(bench.endpoint.status().calls, 0);
}

#[test]
fn an_unanswered_invite_is_given_up_after_32_seconds() {
    let (mut bench, ..) = placed();
    bench.secs(32);
    assert_eq!(bench.sent.len(), 6);
    assert_eq!(ended(&mut bench), EndCause::Refused { status: 408 });
}

#[test]
fn sip_c8_our_cancel_waits_for_the_first_answer() {
    let (mut bench, call, invite) = placed();
    bench.command(Command::Hangup { call, cause: None });
    assert_eq!(ended(&mut bench), EndCause::LocalHangup { cause: None });
    bench.silence();
    bench.reply(&invite, 100, &[]);
    let cancel = bench.request(Method::Cancel);
    assert_eq!(cancel.headers.top_via(), invite.headers.top_via());
    bench.reply(&cancel, 200, &[]);
    bench.reply(&invite, 487, &[]);
    bench.request(Method::Ack);
    bench.secs(60);
    bench.silence();
    bench.no_event();
}

#[test]
fn sip_c8_a_200_that_crosses_our_cancel_is_acknowledged_and_ended() {
    let (mut bench, call, invite) = placed();
    bench.reply(&invite, 180, &[CONTACT]);
    bench.command(Command::Hangup { call, cause: None });
    bench.request(Method::Cancel);
    bench.reply_sdp(&invite, 200, &[CONTACT], &sdp("sendrecv"));
    bench.request(Method::Ack);
    bench.request(Method::Bye);
}

#[test]
fn sip_c8_a_far_end_that_rings_for_ever_is_cancelled_after_180_seconds() {
    let (mut bench, _, invite) = placed();
    assert_eq!(invite.headers.expires(), Some(180));
    bench.reply(&invite, 180, &[CONTACT]);
    bench.secs(179);
    bench.silence();
    bench.secs(1);
    bench.request(Method::Cancel);
    bench.event();
    assert_eq!(ended(&mut bench), EndCause::Refused { status: 408 });
    bench.secs(33);
    assert_eq!(bench.endpoint.status().client_transactions, 0);
}

#[test]
fn sip_c2_a_reliable_provisional_answer_gets_prack_once() {
    let (mut bench, _, invite) = placed();
    let fields = [CONTACT, ("Require", "100rel"), ("RSeq", "17")];
    bench.reply_sdp(&invite, 183, &fields, &sdp("sendrecv"));
    let prack = bench.request(Method::Prack);
    assert_eq!(prack.headers.get("RAck"), Some("17 1 INVITE"));
    bench.event();
    assert!(matches!(bench.event(), Event::Media { .. }), "early media");
    bench.reply_sdp(&invite, 183, &fields, &sdp("sendrecv"));
    bench.silence();
    bench.reply(&prack, 200, &[]);
    bench.reply(&invite, 200, &[CONTACT]);
    bench.request(Method::Ack);
    assert!(matches!(bench.event(), Event::Established { .. }));
}

#[test]
fn a_second_branch_of_a_fork_is_acknowledged_and_ended() {
    let (mut bench, _, invite) = placed();
    bench.reply_sdp(&invite, 200, &[CONTACT], &sdp("sendrecv"));
    bench.request(Method::Ack);
    let mut other = invite.reply(200);
    other.set_to_tag("another-phone");
    other.headers.push("Contact", "<sip:3000@10.0.0.6>");
    bench.receive_response(&other);
    for method in [Method::Ack, Method::Bye] {
        let request = bench.request(method);
        assert_eq!(request.target(), "sip:3000@10.0.0.6");
        let to: NameAddr = request.headers.to().expect("To");
        assert_eq!(to.tag(), Some("another-phone"));
    }
    assert_eq!(bench.endpoint.status().calls, 1);
}

#[test]
fn sip_c1_a_200_without_a_usable_answer_is_acknowledged_and_ended() {
    for answer in ["", "v=0\r\n"] {
        let (mut bench, _, invite) = placed();
        bench.reply_sdp(&invite, 200, &[CONTACT], answer);
        bench.request(Method::Ack);
        bench.request(Method::Bye);
        assert_eq!(ended(&mut bench), EndCause::Media);
    }
}

#[test]
fn sip_c7_our_interval_is_raised_by_422_and_the_far_end_may_take_the_refresh() {
    let (mut bench, _, invite) = placed();
    assert_eq!(invite.headers.session_expires().expect("asked").secs, 1800);
    bench.reply(&invite, 422, &[("Min-SE", "3600")]);
    bench.request(Method::Ack);
    let raised = bench.request(Method::Invite);
    let expires = raised.headers.session_expires().expect("asked").secs;
    assert_eq!((expires, raised.headers.min_se()), (3600, Some(3600)));
    let fields = [CONTACT, ("Session-Expires", "3600;refresher=uas"), ("Require", "timer")];
    bench.reply_sdp(&raised, 200, &fields, &sdp("sendrecv"));
    bench.request(Method::Ack);
    bench.secs(3567);
    bench.silence();
    bench.secs(1);
    bench.request(Method::Bye);
}

#[test]
fn sip_d5_the_side_that_placed_the_call_waits_longer_after_a_glare() {
    let (mut bench, call, invite) = placed();
    bench.reply_sdp(&invite, 200, &[CONTACT], &sdp("sendrecv"));
    bench.request(Method::Ack);
    bench.command(Command::Hold { call, on: true });
    let hold = bench.request(Method::Invite);
    bench.reply(&hold, 491, &[]);
    bench.request(Method::Ack);
    bench.millis(2090);
    bench.silence();
    bench.millis(1910);
    bench.request(Method::Invite);
}

#[test]
fn a_target_that_is_none_is_refused_at_once() {
    let mut bench = Bench::registered(GENERIC);
    place(&mut bench, "not a target");
    assert_eq!(ended(&mut bench), EndCause::Refused { status: 416 });
    bench.silence();
}
