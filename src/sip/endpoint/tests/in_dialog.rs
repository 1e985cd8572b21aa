//! What happens within a call that is up.

use super::*;
use crate::codecs::Digit;
use crate::sdp::Direction;
use crate::sip::message::{Method, Response};
use crate::sip::{Command, EndCause, Event};

/// A call that is up, with nothing on the wire.
fn up() -> (Bench, Call) {
    let mut bench = Bench::registered(GENERIC);
    let call = bench.call();
    (bench, call)
}

fn body(response: &Response) -> String {
    String::from_utf8(response.body.to_vec()).expect("text")
}

#[track_caller]
fn media(bench: &mut Bench) -> crate::sdp::Negotiated {
    match bench.event() {
        Event::Media { media, .. } => media,
        other => panic!("wanted media, came {other:?}"),
    }
}

#[track_caller]
fn ended(bench: &mut Bench) -> EndCause {
    match bench.event() {
        Event::Ended { cause, .. } => cause,
        other => panic!("wanted the end, came {other:?}"),
    }
}

/// The far end changes the session and acknowledges our 200.
fn reinvite(bench: &mut Bench, far: &mut Call, sdp: String) -> Response {
    let request = far.offer(Method::Invite, sdp);
    bench.receive_request(&request);
    let ok = bench.response(200);
    let ack = far.request(Method::Ack);
    bench.receive_request(&ack);
    ok
}

#[test]
fn sip_d1_hold_in_all_its_forms_is_answered_and_told() {
    let zero = sdp("sendrecv").replace("c=IN IP4 10.0.0.5", "c=IN IP4 0.0.0.0");
    let forms = [
        (sdp("inactive"), "a=inactive", Direction::Inactive),
        (sdp("sendonly"), "a=recvonly", Direction::RecvOnly),
        (zero, "", Direction::Inactive),
    ];
    for (offer, answer, direction) in forms {
        let (mut bench, mut far) = up();
        let ok = reinvite(&mut bench, &mut far, offer);
        assert!(body(&ok).contains(answer), "{}", body(&ok));
        let told = media(&mut bench).direction;
        assert!(!told.sends(), "{told:?}");
        if !answer.is_empty() {
            assert_eq!(told, direction);
        }
        let ok = reinvite(&mut bench, &mut far, sdp("sendrecv"));
        assert!(body(&ok).contains("a=sendrecv"));
        assert_eq!(media(&mut bench).direction, Direction::SendRecv);
        bench.no_event();
    }
}

#[test]
fn sip_d2_a_reinvite_without_sdp_gets_the_full_list_and_sendrecv() {
    let (mut bench, mut far) = up();
    reinvite(&mut bench, &mut far, sdp("inactive"));
    bench.events.clear();
    let request = far.offer(Method::Invite, String::new());
    bench.receive_request(&request);
    let ok = bench.response(200);
    assert!(body(&ok).contains("RTP/AVP 8 0 101"), "{}", body(&ok));
    assert!(body(&ok).contains("a=sendrecv"));
    let mut ack = far.request(Method::Ack);
    ack.set_body("application/sdp", sdp("sendrecv"));
    bench.receive_request(&ack);
    assert_eq!(media(&mut bench).direction, Direction::SendRecv);
}

#[test]
fn sip_d3_a_changed_media_address_is_told() {
    let (mut bench, mut far) = up();
    reinvite(&mut bench, &mut far, bench::sdp_at("10.0.0.77", 50_000, "sendrecv"));
    assert_eq!(media(&mut bench).remote.to_string(), "10.0.0.77:50000");
    reinvite(&mut bench, &mut far, bench::sdp_at("10.0.0.77", 50_000, "sendrecv"));
    bench.no_event();
}

#[test]
fn sip_d4_update_is_answered_with_and_without_sdp_and_may_change_the_identity() {
    let (mut bench, mut far) = up();
    let mut bare = far.offer(Method::Update, String::new());
    bare.headers.push("Remote-Party-ID", "\"Bert\" <sip:3000@10.0.0.5>;party=calling");
    bench.receive_request(&bare);
    let ok = bench.response(200);
    assert!(ok.body.is_empty());
    assert!(ok.headers.has("Contact"));
    let Event::Identity { caller, .. } = bench.event() else { panic!("identity") };
    assert_eq!(caller.number.reveal(), "3000");
    let full = far.offer(Method::Update, sdp("sendonly"));
    bench.receive_request(&full);
    assert!(body(&bench.response(200)).contains("a=recvonly"));
    assert_eq!(media(&mut bench).direction, Direction::RecvOnly);
    bench.no_event();
}

#[test]
fn sip_d4_an_update_with_an_offer_waits_for_the_answer_of_the_invite() {
    let mut bench = Bench::registered(GENERIC);
    let mut invite = bench.invite("a");
    invite.set_body("application/sdp", sdp("sendrecv"));
    bench.receive_request(&invite);
    let call = bench.incoming().call;
    bench.command(Command::Ring { call });
    let ringing = bench.response(180);
    let mut far = Call::of_invite(call, &invite, &ringing);
    let update = far.offer(Method::Update, sdp("sendrecv"));
    bench.receive_request(&update);
    assert!(bench.response(500).headers.retry_after().is_some());
    let bare = far.offer(Method::Update, String::new());
    bench.receive_request(&bare);
    bench.response(200);
}

#[test]
fn sip_d5_our_hold_that_meets_491_is_tried_again_by_the_timers_of_the_rfc() {
    let (mut bench, far) = up();
    bench.command(Command::Hold { call: far.call, on: true });
    let hold = bench.request(Method::Invite);
    assert!(body_of(&hold).contains("a=sendonly"));
    bench.reply(&hold, 491, &[]);
    bench.request(Method::Ack);
    bench.silence();
    // The far end placed the call, so ours is the short wait.
    let start = bench.clock();
    while bench.sent.is_empty() {
        bench.millis(10);
    }
    assert!(bench.clock() - start <= 2000);
    let again = bench.request(Method::Invite);
    bench.reply_sdp(&again, 200, &[("Contact", "<sip:2000@10.0.0.5>")], &sdp("recvonly"));
    bench.request(Method::Ack);
    assert_eq!(media(&mut bench).direction, Direction::SendOnly);
}

#[test]
fn a_change_that_waits_behind_an_invite_of_the_far_end_asks_for_no_deadline_in_the_past() {
    let (mut bench, mut far) = up();
    bench.command(Command::Hold { call: far.call, on: true });
    let hold = bench.request(Method::Invite);
    bench.reply(&hold, 491, &[]);
    bench.request(Method::Ack);
    let theirs = far.offer(Method::Invite, sdp("sendrecv"));
    bench.receive_request(&theirs);
    bench.response(200);
    // Longer than the wait: their ACK is still to come.
    bench.secs(3);
    bench.sent.clear();
    let ack = far.request(Method::Ack);
    bench.receive_request(&ack);
    assert!(body_of(&bench.request(Method::Invite)).contains("a=sendonly"));
}

fn body_of(request: &crate::sip::message::Request) -> String {
    String::from_utf8(request.body.to_vec()).expect("text")
}

#[test]
fn sip_d5_an_offer_that_crosses_ours_gets_491() {
    let (mut bench, mut far) = up();
    bench.command(Command::Hold { call: far.call, on: true });
    bench.request(Method::Invite);
    for method in [Method::Invite, Method::Update] {
        let crossing = far.offer(method, sdp("sendrecv"));
        bench.receive_request(&crossing);
        bench.response(491);
    }
}

#[test]
fn sip_d6_a_refused_change_keeps_the_session_on_both_sides() {
    let (mut bench, mut far) = up();
    let no_codec = far.offer(Method::Invite, sdp("sendrecv").replace("AVP 0 101", "AVP 18"));
    bench.receive_request(&no_codec);
    bench.response(488);
    bench.no_event();

    bench.command(Command::Hold { call: far.call, on: true });
    let hold = bench.request(Method::Invite);
    bench.reply(&hold, 488, &[]);
    bench.request(Method::Ack);
    assert!(matches!(bench.event(), Event::HoldRefused { on: true, .. }));
    let ok = reinvite(&mut bench, &mut far, sdp("sendrecv"));
    assert!(body(&ok).contains("a=sendrecv"), "the hold is forgotten");
    bench.no_event();
}

#[test]
fn sip_d6_a_bad_answer_in_the_ack_of_a_reinvite_keeps_what_was_agreed() {
    for answer in ["", "v=0\r\n"] {
        let (mut bench, mut far) = up();
        let request = far.offer(Method::Invite, String::new());
        bench.receive_request(&request);
        bench.response(200);
        let mut ack = far.request(Method::Ack);
        if !answer.is_empty() {
            ack.set_body("application/sdp", answer);
        }
        bench.receive_request(&ack);
        bench.secs(40);
        bench.silence();
        bench.no_event();
        assert_eq!(bench.endpoint.status().calls, 1);
    }
}

/// The far end tells how its own call to the target goes.
fn notify(bench: &mut Bench, far: &mut Call, state: &str, line: &str) {
    let mut notify = far.request(Method::Notify);
    notify.headers.push("Event", "refer;id=2");
    notify.headers.push("Subscription-State", state);
    notify.set_body("message/sipfrag;version=2.0", format!("{line}\r\n"));
    bench.receive_request(&notify);
    bench.response(200);
}

#[test]
fn sip_d7_a_blind_transfer_follows_its_notifies() {
    for (line, status) in [("SIP/2.0 200 OK", 200), ("SIP/2.0 486 Busy Here", 486)] {
        let (mut bench, mut far) = up();
        let target = "3000".to_owned();
        bench.command(Command::Refer { call: far.call, target, replaces: None });
        let refer = bench.request(Method::Refer);
        assert_eq!(refer.headers.get("Refer-To"), Some("<sip:3000@pbx.example>"));
        assert_eq!(refer.headers.get("Referred-By"), Some("<sip:6001@pbx.example>"));
        bench.reply(&refer, 202, &[]);
        notify(&mut bench, &mut far, "active;expires=60", "SIP/2.0 100 Trying");
        notify(&mut bench, &mut far, "active;expires=60", "SIP/2.0 180 Ringing");
        bench.no_event();
        notify(&mut bench, &mut far, "terminated;reason=noresource", line);
        let Event::Referred { status: told, .. } = bench.event() else { panic!("referred") };
        assert_eq!(told, status);
        bench.no_event();
    }
}

#[test]
fn sip_d7_a_bye_right_after_the_202_is_a_transfer_that_went_well() {
    let (mut bench, mut far) = up();
    bench.command(Command::Refer { call: far.call, target: "3000".to_owned(), replaces: None });
    let refer = bench.request(Method::Refer);
    bench.reply(&refer, 202, &[]);
    let bye = far.request(Method::Bye);
    bench.receive_request(&bye);
    bench.response(200);
    assert!(matches!(bench.event(), Event::Referred { status: 200, .. }));
    assert_eq!(ended(&mut bench), EndCause::RemoteHangup);
}

#[test]
fn sip_d7_an_attended_transfer_names_the_other_dialog_as_its_far_end_knows_it() {
    let (mut bench, far) = up();
    let mut invite = bench.invite("call-b");
    invite.headers.set("From", "<sip:3000@pbx.example>;tag=other");
    invite.set_body("application/sdp", sdp("sendrecv"));
    let other = bench.call_by(invite);
    let (call, replaces) = (far.call, Some(other.call));
    bench.command(Command::Refer { call, target: "3000".to_owned(), replaces });
    let refer = bench.request(Method::Refer);
    let to = refer.headers.refer_to().expect("Refer-To");
    let our_tag = other.to.tag().expect("tag");
    let replaces = format!("call-b;to-tag=other;from-tag={our_tag}");
    assert_eq!(to.uri.header("Replaces").as_deref(), Some(&*replaces));
}

#[test]
fn sip_d7_a_refused_transfer_leaves_the_call() {
    let (mut bench, far) = up();
    bench.command(Command::Refer { call: far.call, target: "3000".to_owned(), replaces: None });
    let refer = bench.request(Method::Refer);
    bench.reply(&refer, 603, &[]);
    assert!(matches!(bench.event(), Event::Referred { status: 603, .. }));
    bench.command(Command::Refer { call: far.call, target: "3 0".to_owned(), replaces: None });
    assert!(matches!(bench.event(), Event::Referred { status: 416, .. }));
    assert_eq!(bench.endpoint.status().calls, 1);
}

#[test]
fn sip_d8_a_transfer_that_the_far_end_asks_for_is_declined() {
    let (mut bench, mut far) = up();
    let mut refer = far.request(Method::Refer);
    refer.headers.push("Refer-To", "<sip:0900@pbx.example>");
    bench.receive_request(&refer);
    bench.response(603);
    bench.no_event();
}

#[test]
fn sip_d9_a_cseq_that_does_not_rise_gets_500_and_gaps_are_fine() {
    let (mut bench, mut far) = up();
    far.cseq = 500;
    let ask = far.request(Method::Options);
    bench.receive_request(&ask);
    bench.response(200);
    for back in [1, 2] {
        far.cseq -= back;
        let ask = far.request(Method::Options);
        bench.receive_request(&ask);
        bench.response(500);
    }
}

#[test]
fn sip_d10_requests_within_the_call_are_authorized() {
    const CHALLENGE: &str = "Digest realm=\"asterisk\", nonce=\"n1\", algorithm=SHA-256";
    let (mut bench, far) = up();
    let call = far.call;
    let commands: [(Method, Command, u16); 3] = [
        (Method::Invite, Command::Hold { call, on: true }, 401),
        (Method::Refer, Command::Refer { call, target: "3000".to_owned(), replaces: None }, 407),
        (Method::Bye, Command::Hangup { call, cause: None }, 401),
    ];
    for (method, command, status) in commands {
        bench.command(command);
        let plain = bench.request(method.clone());
        let (challenge, answer) = match status {
            401 => ("WWW-Authenticate", "Authorization"),
            _ => ("Proxy-Authenticate", "Proxy-Authorization"),
        };
        bench.reply(&plain, status, &[(challenge, CHALLENGE)]);
        if method == Method::Invite {
            bench.request(Method::Ack);
        }
        let again = bench.request(method.clone());
        assert!(again.headers.has(answer), "{method}");
        let seq = |r: &crate::sip::message::Request| r.headers.cseq().expect("CSeq").seq;
        assert_eq!(seq(&again), seq(&plain) + 1);
        if method == Method::Invite {
            bench.reply_sdp(&again, 200, &[("Contact", "<sip:2000@10.0.0.5>")], &sdp("recvonly"));
            let ack = bench.request(Method::Ack);
            assert_eq!(seq(&ack), seq(&again));
        } else {
            bench.reply(&again, 200, &[]);
        }
    }
    bench.silence();
}

#[test]
fn sip_d10_a_refresh_by_update_and_a_digit_by_info_are_authorized() {
    const CHALLENGE: &str = "Digest realm=\"asterisk\", nonce=\"n1\", algorithm=SHA-256";
    let mut bench = Bench::registered(GENERIC);
    let mut invite = bench.invite("a");
    invite.headers.push("Supported", "timer");
    invite.headers.push("Session-Expires", "90;refresher=uas");
    invite.set_body("application/sdp", sdp("sendrecv"));
    let far = bench.call_by(invite);
    bench.secs(45);
    let update = bench.request(Method::Update);
    bench.reply(&update, 401, &[("WWW-Authenticate", CHALLENGE)]);
    let again = bench.request(Method::Update);
    assert!(again.headers.has("Authorization"));
    bench.reply(&again, 200, &[("Session-Expires", "90;refresher=uac")]);

    let digit = Digit::from_char('#').expect("key");
    let duration = crate::timers::Duration::from_millis(100);
    bench.command(Command::SendInfo { call: far.call, digit, duration });
    let info = bench.request(Method::Info);
    bench.reply(&info, 407, &[("Proxy-Authenticate", CHALLENGE)]);
    let again = bench.request(Method::Info);
    assert!(again.headers.has("Proxy-Authorization"));
    assert_eq!(body_of(&again), body_of(&info));
    bench.no_event();
}

#[test]
fn sip_d11_481_408_or_silence_to_a_change_means_that_the_dialog_is_gone() {
    for status in [Some(481), Some(408), None] {
        let (mut bench, far) = up();
        bench.command(Command::Hold { call: far.call, on: true });
        let hold = bench.request(Method::Invite);
        match status {
            Some(status) => {
                bench.reply(&hold, status, &[]);
                bench.request(Method::Ack);
            }
            None => {
                bench.secs(32);
                bench.sent.retain(|s| !format!("{:?}", s.message).contains("method: Invite"));
            }
        }
        bench.request(Method::Bye);
        assert_eq!(ended(&mut bench), EndCause::Lost);
        assert_eq!(bench.endpoint.status().calls, 0);
    }
}

#[test]
fn sip_d12_byes_that_cross_are_both_answered() {
    let (mut bench, mut far) = up();
    bench.command(Command::Hangup { call: far.call, cause: None });
    let ours = bench.request(Method::Bye);
    assert_eq!(ended(&mut bench), EndCause::LocalHangup { cause: None });
    let mut theirs = far.request(Method::Bye);
    theirs.headers.push("Reason", "Q.850;cause=16");
    theirs.headers.push("P-RTP-Stat", "PS=1,OS=160");
    bench.receive_request(&theirs);
    bench.response(200);
    bench.reply(&ours, 481, &[]);
    bench.secs(40);
    bench.silence();
    bench.no_event();
}

#[test]
fn sip_d12_a_hang_up_before_the_ack_waits_for_it() {
    let mut bench = Bench::registered(GENERIC);
    let mut invite = bench.invite("a");
    invite.set_body("application/sdp", sdp("sendrecv"));
    bench.receive_request(&invite);
    let call = bench.incoming().call;
    bench.command(Command::Answer { call, media: local_media() });
    let ok = bench.response(200);
    bench.command(Command::Hangup { call, cause: Some(31) });
    bench.silence();
    let ack = Call::of_invite(call, &invite, &ok).request(Method::Ack);
    bench.receive_request(&ack);
    let bye = bench.request(Method::Bye);
    assert_eq!(bye.headers.get("Reason"), Some("Q.850;cause=31"));
}

#[test]
fn sip_d12_a_bye_without_an_ack_before_it_ends_the_call() {
    let mut bench = Bench::registered(GENERIC);
    let mut invite = bench.invite("a");
    invite.set_body("application/sdp", sdp("sendrecv"));
    bench.receive_request(&invite);
    let call = bench.incoming().call;
    bench.command(Command::Answer { call, media: local_media() });
    let ok = bench.response(200);
    bench.events.clear();
    let bye = Call::of_invite(call, &invite, &ok).request(Method::Bye);
    bench.receive_request(&bye);
    bench.response(200);
    assert_eq!(ended(&mut bench), EndCause::RemoteHangup);
    bench.secs(40);
    bench.silence();
}

#[test]
fn sip_c9_options_in_the_dialog_is_answered() {
    let (mut bench, mut far) = up();
    let ask = far.request(Method::Options);
    bench.receive_request(&ask);
    assert!(bench.response(200).headers.lists("Allow", "UPDATE"));
}

#[test]
fn sip_m4_digits_by_info_are_told_and_sent_and_kpml_is_refused() {
    let (mut bench, mut far) = up();
    let mut info = far.request(Method::Info);
    info.set_body("application/dtmf-relay", "Signal=7\r\nDuration=160\r\n");
    bench.receive_request(&info);
    bench.response(200);
    let Event::Digit { digit, duration_ms, .. } = bench.event() else { panic!("digit") };
    assert_eq!((digit.as_char(), duration_ms), ('7', 160));

    let mut unknown = far.request(Method::Info);
    unknown.set_body("application/x-magic", "1");
    bench.receive_request(&unknown);
    bench.response(415);

    let mut kpml = far.request(Method::Subscribe);
    kpml.headers.push("Event", "kpml");
    bench.receive_request(&kpml);
    bench.response(489);

    let digit = Digit::from_char('#').expect("key");
    let duration = crate::timers::Duration::from_millis(100);
    bench.command(Command::SendInfo { call: far.call, digit, duration });
    let info = bench.request(Method::Info);
    assert_eq!(body_of(&info), "Signal=#\r\nDuration=100\r\n");
    bench.command(Command::SendInfo { call: far.call, digit, duration });
    bench.silence();
    bench.reply(&info, 200, &[]);
    assert!(matches!(bench.event(), Event::InfoDone { sent: true, .. }));
    let info = bench.request(Method::Info);
    bench.no_event();
    bench.reply(&info, 415, &[]);
    assert!(matches!(bench.event(), Event::InfoDone { sent: false, .. }));
}

#[test]
fn a_digit_by_info_that_nobody_answers_is_told_as_lost() {
    let (mut bench, far) = up();
    let digit = Digit::from_char('#').expect("key");
    let duration = crate::timers::Duration::from_millis(100);
    bench.command(Command::SendInfo { call: far.call, digit, duration });
    bench.request(Method::Info);
    bench.secs(40);
    assert!(matches!(bench.event(), Event::InfoDone { sent: false, .. }));
}

#[test]
fn requests_of_a_dialog_that_we_do_not_know_get_481() {
    let (mut bench, mut far) = up();
    far.from = far.from.clone().with_tag("somebody-else");
    let bye = far.request(Method::Bye);
    bench.receive_request(&bye);
    bench.response(481);
    bench.no_event();
    assert_eq!(bench.endpoint.status().counters.refused_no_dialog, 1);
}

#[test]
fn a_reinvite_without_ack_ends_the_call() {
    let (mut bench, mut far) = up();
    let request = far.offer(Method::Invite, sdp("inactive"));
    bench.receive_request(&request);
    bench.events.clear();
    bench.secs(32);
    bench.sent.retain(|s| format!("{:?}", s.message).contains("method: Bye"));
    bench.request(Method::Bye);
    assert_eq!(ended(&mut bench), EndCause::Lost);
}
