//! Calls that a second node carries on. Its bench is another one, with another address.

use super::*;
use crate::ids::{CallId, Epoch};
use crate::sip::dialog::CSEQ_LEAP;
use crate::sip::message::{CSeq, Message, Method, Request};
use crate::sip::{Command, EndCause, Event, Recovery, Way};

/// The node that takes over.
fn backup() -> Bench {
    Bench::with(GENERIC, &[("10.0.0.9", "10.0.0.10")])
}

/// What the second node got of a call, over the link.
fn replica(bench: &Bench, call: CallId) -> Recovery {
    let taken = bench.endpoint.call_snapshot(bench.now, call).expect("a call");
    let text = serde_json::to_string(&taken).expect("plain data");
    let snapshot = serde_json::from_str(&text).expect("the same");
    let media = crate::sdp::LocalMedia {
        address: "10.0.0.10".parse().expect("address"),
        udp_port: 20_000,
        ..local_media()
    };
    Recovery { snapshot, media, way: Way::Reinvite }
}

fn recover(bench: &mut Bench, recovery: Recovery) {
    bench.command(Command::Recover(Box::new(recovery)));
}

/// A call of the first node that the second one has; its re-INVITE.
fn moved() -> (Bench, Call, Request) {
    let mut primary = Bench::registered(GENERIC);
    let far = primary.call();
    let mut bench = backup();
    bench.now = primary.now;
    recover(&mut bench, replica(&primary, far.call));
    let invite = bench.request(Method::Invite);
    (bench, far, invite)
}

fn text(request: &Request) -> String {
    String::from_utf8(request.body.to_vec()).expect("text")
}

/// The version in the `o=` line.
fn version(sdp: &str) -> u64 {
    let line = sdp.lines().find(|l| l.starts_with("o=")).expect("o=");
    line.split(' ').nth(2).expect("version").parse().expect("a number")
}

#[test]
fn the_far_end_is_told_the_new_address_with_leaps_of_cseq_and_version() {
    let (mut bench, far, invite) = moved();
    assert!(invite.headers.cseq().expect("CSeq").seq > CSEQ_LEAP);
    assert_eq!(invite.headers.call_id().expect("Call-ID"), far.call_id);
    assert_eq!(invite.headers.to().expect("To").tag(), Some("far"));
    let contact = invite.headers.contact_uri().expect("Contact").to_string();
    assert!(contact.contains("@10.0.0.10:5070"), "{contact}");
    let sdp = text(&invite);
    assert!(sdp.contains("c=IN IP4 10.0.0.10") && sdp.contains("m=audio 20000 "), "{sdp}");
    assert!(version(&sdp) > 1_000, "{sdp}");
    bench.no_event();
    bench.reply_sdp(&invite, 200, &[("Contact", "<sip:2000@10.0.0.5:5060>")], &sdp_of_pbx());
    bench.request(Method::Ack);
    assert!(matches!(bench.event(), Event::Recovered { call } if call == far.call));
}

fn sdp_of_pbx() -> String {
    sdp("sendrecv")
}

#[test]
fn the_far_end_hangs_up_at_the_node_that_carried_the_call_on() {
    let (mut bench, mut far, invite) = moved();
    bench.reply_sdp(&invite, 200, &[("Contact", "<sip:2000@10.0.0.5:5060>")], &sdp_of_pbx());
    bench.request(Method::Ack);
    bench.events.clear();
    far.uri = invite.headers.contact_uri().expect("Contact");
    let bye = far.request(Method::Bye);
    bench.receive_request(&bye);
    bench.response(200);
    assert!(matches!(bench.event(), Event::Ended { cause: EndCause::RemoteHangup, .. }));
}

#[test]
fn a_call_that_ended_in_the_gap_ends_here_once() {
    let (mut bench, far, invite) = moved();
    bench.reply(&invite, 481, &[]);
    bench.request(Method::Ack);
    let Event::Ended { call, cause } = bench.event() else { panic!("an end") };
    assert_eq!((call, cause), (far.call, EndCause::Lost));
    bench.secs(64);
    bench.no_event();
}

#[test]
fn a_late_answer_to_an_earlier_take_over_changes_nothing_about_the_next_one() {
    let (mut bench, far, first) = moved();
    let again = replica(&bench, far.call);
    bench.command(Command::Forget { call: far.call });
    recover(&mut bench, again);
    let second = bench.request(Method::Invite);
    bench.reply(&second, 491, &[]);
    bench.request(Method::Ack);
    bench.reply_sdp(&first, 200, &[("Contact", "<sip:2000@10.0.0.5:5060>")], &sdp_of_pbx());
    let ack = bench.request(Method::Ack);
    assert_eq!(ack.headers.cseq().expect("CSeq").seq, first.headers.cseq().expect("CSeq").seq);
    bench.secs(3);
    let third = bench.request(Method::Invite);
    assert!(third.headers.cseq().expect("CSeq").seq > second.headers.cseq().expect("CSeq").seq);
    bench.no_event();
}

#[test]
fn a_take_over_of_a_forgotten_call_is_repeated_under_the_lease_alone() {
    let (mut bench, far, _) = moved();
    bench.command(Command::Forget { call: far.call });
    bench.sent.clear();
    bench.secs(1);
    assert!(
        !bench.sent.is_empty() && bench.sent.iter().all(|sent| sent.claims),
        "{:?}",
        bench.sent
    );
}

#[test]
fn a_re_invite_that_a_forgotten_call_accepted_is_refused_when_it_comes_again() {
    let mut bench = Bench::registered(GENERIC);
    let mut far = bench.call();
    let hold = far.offer(Method::Invite, sdp("sendonly"));
    bench.receive_request(&hold);
    bench.response(200);
    let copy = replica(&bench, far.call);
    bench.command(Command::Forget { call: far.call });
    recover(&mut bench, copy);
    bench.request(Method::Invite);
    bench.receive_request(&hold);
    bench.response(500);
}

#[test]
fn a_refusal_before_the_port_is_registered_is_no_verdict() {
    let (mut bench, far, invite) = moved();
    bench.reply(&invite, 403, &[]);
    bench.request(Method::Ack);
    bench.secs(1);
    let again = bench.request(Method::Invite);
    assert!(again.headers.cseq().expect("CSeq").seq > invite.headers.cseq().expect("CSeq").seq);
    bench.reply_sdp(&again, 200, &[("Contact", "<sip:2000@10.0.0.5:5060>")], &sdp_of_pbx());
    bench.request(Method::Ack);
    assert!(matches!(bench.event(), Event::Recovered { call } if call == far.call));
}

#[test]
fn a_far_end_that_refuses_for_half_a_minute_is_given_up_with_bye() {
    let (mut bench, _, mut invite) = moved();
    let began = bench.clock();
    loop {
        bench.reply(&invite, 403, &[]);
        bench.request(Method::Ack);
        bench.secs(1);
        match bench.sent.front().map(|s| s.message.clone()) {
            Some(Message::Request(r)) if r.method == Method::Bye => break,
            _ => invite = bench.request(Method::Invite),
        }
    }
    assert!((30_000..=33_000).contains(&(bench.clock() - began)));
    bench.request(Method::Bye);
    assert!(matches!(bench.event(), Event::Ended { cause: EndCause::Lost, .. }));
}

#[test]
fn a_challenge_within_the_call_is_answered_for_the_realm_that_the_other_node_knew() {
    let mut primary = Bench::registered(GENERIC);
    let far = primary.call();
    let challenge = "Digest realm=\"pbx\", nonce=\"n1\", algorithm=SHA-256, qop=\"auth\"";
    primary.command(Command::Hold { call: far.call, on: true });
    let hold = primary.request(Method::Invite);
    primary.reply(&hold, 401, &[("WWW-Authenticate", challenge)]);
    let mut bench = backup();
    bench.now = primary.now;
    recover(&mut bench, replica(&primary, far.call));
    let invite = bench.request(Method::Invite);
    let strange = challenge.replace("pbx", "elsewhere");
    bench.reply(&invite, 401, &[("WWW-Authenticate", &strange)]);
    bench.request(Method::Ack);
    bench.secs(1);
    let again = bench.request(Method::Invite);
    bench.reply(&again, 401, &[("WWW-Authenticate", &challenge.replace("n1", "n2"))]);
    bench.request(Method::Ack);
    let signed = bench.request(Method::Invite);
    assert!(signed.headers.get("Authorization").expect("credentials").contains("n2"));
}

#[test]
fn a_held_call_stays_held() {
    let mut primary = Bench::registered(GENERIC);
    let mut far = primary.call();
    let hold = far.offer(Method::Invite, sdp("inactive"));
    primary.receive_request(&hold);
    primary.response(200);
    let ack = far.request(Method::Ack);
    primary.receive_request(&ack);
    let mut bench = backup();
    bench.now = primary.now;
    recover(&mut bench, replica(&primary, far.call));
    let invite = bench.request(Method::Invite);
    bench.reply_sdp(&invite, 200, &[("Contact", "<sip:2000@10.0.0.5:5060>")], &sdp("inactive"));
    bench.request(Method::Ack);
    assert!(matches!(bench.event(), Event::Recovered { .. }));
    bench.no_event();
}

#[test]
fn a_change_of_the_far_end_that_crosses_the_take_over_is_told_to_wait_and_comes_again() {
    let (mut bench, mut far, invite) = moved();
    far.uri = invite.headers.contact_uri().expect("Contact");
    let hold = far.offer(Method::Invite, sdp("sendonly"));
    bench.receive_request(&hold);
    bench.response(491);
    let seq = hold.headers.cseq().expect("CSeq").seq;
    let mut ack = hold;
    ack.method = Method::Ack;
    ack.headers.set("CSeq", CSeq { seq, method: Method::Ack });
    bench.receive_request(&ack);
    bench.reply(&invite, 491, &[]);
    bench.request(Method::Ack);
    while bench.sent.is_empty() {
        bench.millis(10);
    }
    let again = bench.request(Method::Invite);
    bench.reply_sdp(&again, 200, &[("Contact", "<sip:2000@10.0.0.5:5060>")], &sdp_of_pbx());
    bench.request(Method::Ack);
    assert!(matches!(bench.event(), Event::Recovered { .. }));
}

#[test]
fn a_ringing_call_is_answered_by_the_other_node() {
    let mut primary = Bench::registered(GENERIC);
    let mut invite = primary.invite("a");
    invite.set_body("application/sdp", sdp("sendrecv"));
    primary.receive_request(&invite);
    let call = primary.incoming().call;
    primary.command(Command::Ring { call });
    let mut bench = backup();
    bench.now = primary.now;
    let recovery = replica(&primary, call);
    let media = recovery.media.clone();
    recover(&mut bench, recovery);
    assert!(matches!(bench.event(), Event::Recovered { .. }));
    bench.command(Command::Answer { call, media });
    let ok = bench.response(200);
    let via = ok.headers.get("Via").expect("Via");
    assert!(via.contains("branch=z9hG4bK-a-1"), "{via}");
    let mut far = Call::of_invite(call, &invite, &ok);
    let ack = far.request(Method::Ack);
    bench.receive_request(&ack);
    assert!(bench.events.iter().any(|e| matches!(e, Event::Established { .. })));
}

#[test]
fn a_call_that_was_being_hung_up_is_hung_up() {
    let mut primary = Bench::registered(GENERIC);
    let far = primary.call();
    primary.command(Command::Hangup { call: far.call, cause: None });
    let mut bench = backup();
    bench.now = primary.now;
    recover(&mut bench, replica(&primary, far.call));
    let bye = bench.request(Method::Bye);
    assert!(bye.headers.cseq().expect("CSeq").seq > CSEQ_LEAP);
    bench.silence();
}

#[test]
fn the_session_timer_goes_on_and_the_take_over_refreshes_it() {
    let mut primary = Bench::registered(GENERIC);
    let mut invite = primary.invite("a");
    invite.headers.push("Supported", "timer");
    invite.headers.push("Session-Expires", "90;refresher=uac");
    invite.set_body("application/sdp", sdp("sendrecv"));
    let far = primary.call_by(invite);
    primary.secs(50);
    let mut bench = backup();
    bench.now = primary.now;
    recover(&mut bench, replica(&primary, far.call));
    let taken = bench.request(Method::Invite);
    assert!(taken.headers.get("Session-Expires").expect("a timer").starts_with("90"));
    let headers = [
        ("Contact", "<sip:2000@10.0.0.5:5060>"),
        ("Session-Expires", "90;refresher=uas"),
        ("Require", "timer"),
    ];
    bench.reply_sdp(&taken, 200, &headers, &sdp_of_pbx());
    bench.request(Method::Ack);
    bench.secs(40);
    bench.silence();
    bench.secs(21);
    bench.request(Method::Bye);
}

#[test]
fn a_recovered_call_is_recovered_again() {
    let (mut bench, far, invite) = moved();
    bench.reply_sdp(&invite, 200, &[("Contact", "<sip:2000@10.0.0.5:5060>")], &sdp_of_pbx());
    bench.request(Method::Ack);
    let mut third = Bench::with(GENERIC, &[("10.0.0.9", "10.0.0.11")]);
    third.now = bench.now;
    recover(&mut third, replica(&bench, far.call));
    let again = third.request(Method::Invite);
    let cseq = |request: &Request| request.headers.cseq().expect("CSeq").seq;
    assert!(cseq(&again) >= cseq(&invite) + CSEQ_LEAP);
    assert!(version(&text(&again)) >= version(&text(&invite)) + 1_000);
}

#[test]
fn two_nodes_that_go_on_from_one_copy_do_not_send_the_same() {
    let mut primary = Bench::registered(GENERIC);
    primary.command(Command::Epoch(Epoch(1)));
    let far = primary.call();
    let copy = replica(&primary, far.call);
    let told = |epoch| {
        let mut bench = backup();
        bench.now = primary.now;
        bench.command(Command::Epoch(epoch));
        recover(&mut bench, copy.clone());
        bench.request(Method::Invite)
    };
    let (first, second) = (told(Epoch(2)), told(Epoch(3)));
    let cseq = |request: &Request| request.headers.cseq().expect("CSeq").seq;
    assert_eq!(cseq(&second), cseq(&first) + CSEQ_LEAP);
    assert!(version(&text(&second)) >= version(&text(&first)) + 1_000);
}

#[test]
fn no_more_than_32_far_ends_are_told_at_once() {
    let mut primary = Bench::registered(GENERIC);
    let far = primary.call();
    let one = replica(&primary, far.call);
    let mut bench = backup();
    bench.now = primary.now;
    for n in 0..40 {
        let mut recovery = one.clone();
        recovery.snapshot.call = CallId(1_000 + n);
        let dialog = recovery.snapshot.dialog.as_mut().expect("a dialog");
        dialog.call_id = format!("call-{n}");
        recover(&mut bench, recovery);
    }
    assert_eq!(bench.sent.len(), 32);
    let first = bench.request(Method::Invite);
    bench.reply_sdp(&first, 200, &[("Contact", "<sip:2000@10.0.0.5:5060>")], &sdp_of_pbx());
    let invites = bench
        .sent
        .iter()
        .filter(|sent| matches!(&sent.message, Message::Request(r) if r.method == Method::Invite));
    assert_eq!(invites.count(), 32);
}

#[test]
fn with_the_address_of_the_other_node_the_far_end_hears_nothing() {
    let mut primary = Bench::registered(GENERIC);
    let far = primary.call();
    let mut bench = Bench::new(GENERIC);
    bench.now = primary.now;
    let recovery = Recovery { way: Way::SameAddress, ..replica(&primary, far.call) };
    recover(&mut bench, recovery);
    bench.silence();
    assert!(matches!(bench.event(), Event::Recovered { call } if call == far.call));
}

#[test]
fn with_the_address_of_the_other_node_the_refresher_refreshes_in_the_rest_of_the_interval() {
    let mut primary = Bench::registered(GENERIC);
    let mut invite = primary.invite("a");
    invite.headers.push("Supported", "timer");
    invite.headers.push("Session-Expires", "90;refresher=uas");
    invite.set_body("application/sdp", sdp("sendrecv"));
    let far = primary.call_by(invite);
    primary.secs(40);
    let mut bench = Bench::new(GENERIC);
    bench.now = primary.now;
    let recovery = Recovery { way: Way::SameAddress, ..replica(&primary, far.call) };
    recover(&mut bench, recovery);
    bench.secs(9);
    bench.silence();
    bench.secs(1);
    bench.request(Method::Update);
}
