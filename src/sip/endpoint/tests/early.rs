//! Before the final answer, and after it from somebody else: early dialogs, forks, PRACK.

use super::*;
use crate::ids::{CallId, PortId};
use crate::sip::message::{Method, NameAddr, Request, Response};
use crate::sip::{Command, Event, Party};

const CONTACT: (&str, &str) = ("Contact", "<sip:3000@10.0.0.5:5060>");

fn placed() -> (Bench, CallId, Request) {
    let mut bench = Bench::registered(GENERIC);
    let call = bench.endpoint.next_call_id();
    let (port, target) = (PortId(0), "3000".to_owned());
    let (caller, media) = (Party::default(), local_media());
    bench.command(Command::Invite { call, port, target, caller, media });
    let invite = bench.request(Method::Invite);
    (bench, call, invite)
}

/// An answer of one phone of several.
fn branch(invite: &Request, status: u16, tag: &str) -> Response {
    let mut response = invite.reply(status);
    response.set_to_tag(tag);
    response.headers.push("Contact", format!("<sip:3000@10.0.0.5:5060;phone={tag}>"));
    response
}

#[track_caller]
fn media(bench: &mut Bench) -> crate::sdp::Negotiated {
    match bench.event() {
        Event::Media { media, .. } => media,
        other => panic!("wanted media, came {other:?}"),
    }
}

#[test]
fn sip_c2_an_invite_without_an_offer_that_requires_100rel_is_answered_without_180() {
    let mut bench = Bench::registered(GENERIC);
    let mut invite = bench.invite("a");
    invite.headers.push("Require", "100rel");
    bench.receive_request(&invite);
    let call = bench.incoming().call;
    bench.command(Command::Ring { call });
    bench.silence();
    bench.command(Command::Answer { call, media: local_media() });
    let ok = bench.response(200);
    assert!(!ok.body.is_empty());
}

#[test]
fn the_phone_that_answers_is_the_far_end_whichever_rang_first() {
    let (mut bench, call, invite) = placed();
    bench.receive_response(&branch(&invite, 180, "kitchen"));
    bench.receive_response(&branch(&invite, 180, "office"));
    let mut ok = branch(&invite, 200, "office");
    ok.set_body("application/sdp", sdp("sendrecv"));
    bench.receive_response(&ok);
    let ack = bench.request(Method::Ack);
    assert_eq!(ack.headers.to().as_ref().map(NameAddr::tag), Ok(Some("office")));
    assert_eq!(ack.target(), "sip:3000@10.0.0.5:5060;phone=office");
    bench.events.clear();
    bench.command(Command::Hangup { call, cause: None });
    let bye = bench.request(Method::Bye);
    assert_eq!(bye.headers.to().as_ref().map(NameAddr::tag), Ok(Some("office")));
}

#[test]
fn sip_c2_a_reliable_answer_out_of_order_gets_no_prack() {
    let (mut bench, _, invite) = placed();
    let fields = |rseq| [CONTACT, ("Require", "100rel"), ("RSeq", rseq)];
    bench.reply(&invite, 180, &fields("5"));
    bench.request(Method::Prack);
    bench.reply(&invite, 183, &fields("7"));
    bench.silence();
    bench.reply(&invite, 183, &fields("6"));
    assert_eq!(bench.request(Method::Prack).headers.get("RAck"), Some("6 1 INVITE"));
}

#[test]
fn sip_d4_media_that_was_agreed_on_early_may_be_changed_by_update_before_the_200() {
    let (mut bench, call, invite) = placed();
    let fields = [CONTACT, ("Require", "100rel"), ("RSeq", "1")];
    bench.reply_sdp(&invite, 183, &fields, &sdp("sendrecv"));
    let prack = bench.request(Method::Prack);
    bench.reply(&prack, 200, &[]);
    assert!(matches!(bench.event(), Event::Ringing { .. }));
    media(&mut bench);

    let mut far = Call::of_our_invite(call, &invite);
    let moved = far.offer(Method::Update, bench::sdp_at("10.0.0.8", 50_000, "sendrecv"));
    bench.receive_request(&moved);
    assert!(!bench.response(200).body.is_empty());
    assert_eq!(media(&mut bench).remote.to_string(), "10.0.0.8:50000");

    bench.reply_sdp(&invite, 200, &[CONTACT], &sdp("sendrecv"));
    bench.request(Method::Ack);
    assert!(matches!(bench.event(), Event::Established { .. }), "the older SDP is not taken back");
    bench.no_event();
}

#[test]
fn sip_d5_an_update_with_an_offer_before_our_own_is_answered_gets_491() {
    let (mut bench, call, invite) = placed();
    bench.reply(&invite, 180, &[CONTACT]);
    let update = Call::of_our_invite(call, &invite).offer(Method::Update, sdp("sendrecv"));
    bench.receive_request(&update);
    bench.response(491);
}

#[test]
fn sip_c2_each_phone_of_a_fork_counts_its_reliable_answers_by_itself() {
    let (mut bench, _, invite) = placed();
    let reliable = |tag: &str, rseq: u32| {
        let mut response = branch(&invite, 183, tag);
        response.headers.push("Require", "100rel");
        response.headers.push("RSeq", rseq);
        response
    };
    for (tag, rseq) in [("kitchen", 1), ("office", 1), ("kitchen", 2)] {
        bench.receive_response(&reliable(tag, rseq));
        let prack = bench.request(Method::Prack);
        assert_eq!(prack.headers.to().as_ref().map(NameAddr::tag), Ok(Some(tag)));
        assert_eq!(prack.headers.get("RAck"), Some(&*format!("{rseq} 1 INVITE")));
    }
    bench.receive_response(&reliable("office", 1));
    bench.silence();
}
