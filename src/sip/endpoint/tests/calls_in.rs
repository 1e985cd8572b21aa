//! Calls from the PBX, up to their ACK or their refusal.

use super::*;
use crate::sdp::{Codec, Direction};
use crate::sip::message::{Method, Request};
use crate::sip::{Command, EndCause, Event, RegistrationState};

/// An INVITE with an offer.
fn offer(bench: &Bench, call_id: &str) -> Request {
    let mut invite = bench.invite(call_id);
    invite.set_body("application/sdp", sdp("sendrecv"));
    invite
}

#[track_caller]
fn ended(bench: &mut Bench) -> EndCause {
    match bench.event() {
        Event::Ended { cause, .. } => cause,
        other => panic!("wanted the end, came {other:?}"),
    }
}

#[test]
fn sip_c1_without_an_offer_ours_is_complete_and_media_starts_with_the_ack() {
    let mut bench = Bench::registered(GENERIC);
    let invite = bench.invite("a");
    bench.receive_request(&invite);
    let call = bench.incoming().call;
    bench.command(Command::Answer { call, media: local_media() });
    let ok = bench.response(200);
    let body = String::from_utf8(ok.body.to_vec()).expect("text");
    for part in ["m=audio 16384 RTP/AVP 8 0 101", "a=fmtp:101 0-15", "a=sendrecv"] {
        assert!(body.contains(part), "{part} in {body}");
    }
    bench.no_event();
    let mut far = Call::of_invite(call, &invite, &ok);
    let mut ack = far.request(Method::Ack);
    ack.set_body("application/sdp", sdp("sendrecv"));
    bench.receive_request(&ack);
    let Event::Media { media, .. } = bench.event() else { panic!("media") };
    assert_eq!((media.codec, media.event_send), (Codec::Pcmu, Some(101)));
    assert!(matches!(bench.event(), Event::Established { .. }));
}

#[test]
fn sip_c1_a_missing_or_bad_answer_in_the_ack_ends_the_call() {
    for answer in ["", "v=0\r\n", "m=audio 1 RTP/AVP 18\r\n"] {
        let mut bench = Bench::registered(GENERIC);
        let invite = bench.invite("a");
        bench.receive_request(&invite);
        let call = bench.incoming().call;
        bench.command(Command::Answer { call, media: local_media() });
        let ok = bench.response(200);
        let mut ack = Call::of_invite(call, &invite, &ok).request(Method::Ack);
        if !answer.is_empty() {
            ack.set_body("application/sdp", answer.to_owned());
        }
        bench.receive_request(&ack);
        bench.request(Method::Bye);
        assert_eq!(ended(&mut bench), EndCause::Media);
    }
}

#[test]
fn sip_m7_an_answer_with_more_lines_than_our_offer_ends_the_call() {
    let mut bench = Bench::registered(GENERIC);
    let invite = bench.invite("a");
    bench.receive_request(&invite);
    let call = bench.incoming().call;
    bench.command(Command::Answer { call, media: local_media() });
    let ok = bench.response(200);
    let mut ack = Call::of_invite(call, &invite, &ok).request(Method::Ack);
    let two = sdp("sendrecv") + "m=video 0 RTP/AVP 96\r\n";
    ack.set_body("application/sdp", two);
    bench.receive_request(&ack);
    bench.request(Method::Bye);
    assert_eq!(ended(&mut bench), EndCause::Media);
}

#[test]
fn sip_m6_a_disabled_video_line_is_mirrored() {
    let mut bench = Bench::registered(GENERIC);
    let mut invite = bench.invite("a");
    let two = sdp("sendrecv") + "m=video 0 RTP/AVP 96\r\n";
    invite.set_body("application/sdp", two);
    bench.receive_request(&invite);
    let call = bench.incoming().call;
    bench.command(Command::Answer { call, media: local_media() });
    let ok = bench.response(200);
    let body = String::from_utf8(ok.body.to_vec()).expect("text");
    assert_eq!(body.matches("m=").count(), 2, "{body}");
    assert!(body.contains("m=video 0 "), "{body}");
}

#[test]
fn sip_c2_180_is_reliable_where_the_invite_requires_it() {
    let mut bench = Bench::registered(GENERIC);
    let mut invite = offer(&bench, "a");
    invite.headers.push("Require", "100rel");
    bench.receive_request(&invite);
    let call = bench.incoming().call;
    bench.command(Command::Ring { call });
    let ringing = bench.response(180);
    assert!(ringing.headers.lists("Require", "100rel"));
    let rseq = ringing.headers.rseq().expect("RSeq");
    bench.millis(500);
    bench.response(180);
    bench.millis(1000);
    bench.response(180);

    let mut far = Call::of_invite(call, &invite, &ringing);
    let mut wrong = far.request(Method::Prack);
    wrong.headers.push("RAck", format!("{} 1 INVITE", rseq + 1));
    bench.receive_request(&wrong);
    bench.response(481);
    let mut prack = far.request(Method::Prack);
    prack.headers.push("RAck", format!("{rseq} 1 INVITE"));
    bench.receive_request(&prack);
    bench.response(200);
    bench.secs(20);
    bench.silence();
    bench.command(Command::Answer { call, media: local_media() });
    bench.response(200);
}

#[test]
fn sip_c2_a_reliable_180_that_nobody_confirms_ends_the_call() {
    let mut bench = Bench::registered(GENERIC);
    let mut invite = offer(&bench, "a");
    invite.headers.push("Require", "100rel");
    bench.receive_request(&invite);
    let call = bench.incoming().call;
    bench.command(Command::Ring { call });
    bench.secs(31);
    bench.sent.clear();
    bench.secs(1);
    bench.sent.retain(|s| !format!("{:?}", s.message).contains("status: 180"));
    bench.response(504);
    assert_eq!(ended(&mut bench), EndCause::Lost);
}

#[test]
fn sip_c2_an_offer_in_prack_is_declined_and_without_100rel_180_is_plain() {
    let mut bench = Bench::registered(GENERIC);
    let mut invite = offer(&bench, "a");
    invite.headers.push("Require", "100rel");
    bench.receive_request(&invite);
    let call = bench.incoming().call;
    bench.command(Command::Ring { call });
    let ringing = bench.response(180);
    let mut prack = Call::of_invite(call, &invite, &ringing).request(Method::Prack);
    prack.headers.push("RAck", format!("{} 1 INVITE", ringing.headers.rseq().expect("RSeq")));
    prack.set_body("application/sdp", sdp("sendrecv"));
    bench.receive_request(&prack);
    bench.response(488);

    let mut invite = offer(&bench, "b");
    invite.headers.push("Supported", "100rel");
    bench.receive_request(&invite);
    let call = bench.incoming().call;
    bench.command(Command::Ring { call });
    assert!(!bench.response(180).headers.has("RSeq"));
}

#[test]
fn sip_c3_a_call_rings_is_answered_and_is_up_with_the_ack() {
    let mut bench = Bench::registered(GENERIC);
    let invite = offer(&bench, "a");
    bench.receive_request(&invite);
    let incoming = bench.incoming();
    assert_eq!(incoming.caller.name.reveal(), "Anna");
    assert_eq!(incoming.caller.number.reveal(), "2000");
    assert_eq!(incoming.called.number.reveal(), "6001");
    let call = incoming.call;

    bench.command(Command::Ring { call });
    bench.response(180);
    bench.command(Command::Answer { call, media: local_media() });
    let ok = bench.response(200);
    let Event::Media { media, .. } = bench.event() else { panic!("media first") };
    assert_eq!((media.codec, media.direction), (Codec::Pcmu, Direction::SendRecv));
    assert_eq!(media.remote.to_string(), "10.0.0.5:40000");
    bench.no_event();

    let mut far = Call::of_invite(call, &invite, &ok);
    let ack = far.request(Method::Ack);
    bench.receive_request(&ack);
    assert!(matches!(bench.event(), Event::Established { .. }));
    bench.receive_request(&ack);
    bench.no_event();
    bench.secs(40);
    bench.silence();

    let bye = far.request(Method::Bye);
    bench.receive_request(&bye);
    bench.response(200);
    assert_eq!(ended(&mut bench), EndCause::RemoteHangup);
    assert_eq!(bench.endpoint.status().calls, 0);
}

#[test]
fn sip_c3_a_200_without_ack_is_repeated_for_32_seconds_and_then_ends_with_bye() {
    let mut bench = Bench::registered(GENERIC);
    let invite = offer(&bench, "a");
    bench.receive_request(&invite);
    let call = bench.incoming().call;
    bench.command(Command::Answer { call, media: local_media() });
    bench.events.clear();
    let mut times = vec![];
    let start = bench.clock();
    for _ in 0..320 {
        while !bench.sent.is_empty() {
            bench.response(200);
            times.push(bench.clock() - start);
        }
        bench.millis(100);
        bench.receive_request(&invite);
    }
    let rfc = [0, 500, 1500, 3500, 7500, 11500, 15500, 19500, 23500, 27500, 31500];
    assert_eq!(times, rfc);
    bench.request(Method::Bye);
    assert_eq!(ended(&mut bench), EndCause::Lost);
}

#[test]
fn sip_c4_from_without_a_user_and_identity_headers_of_cucm_are_read() {
    let mut bench = Bench::registered(GENERIC);
    let mut invite = bench.invite("a");
    invite.headers.set("From", "<sip:10.0.0.5>;tag=far");
    let rpid = "\"J\u{fc}rgen, \\\"X\\\"\" <sip:3000@10.0.0.5;x-cisco-number=1>;party=calling";
    invite.headers.push("Remote-Party-ID", rpid);
    invite.headers.push("Diversion", "<sip:5000@10.0.0.5>;reason=no-answer;counter=1");
    invite.headers.push("Alert-Info", "<file://Bellcore-dr2/>");
    invite.headers.push("Send-Info", "conference, x-cisco-conference");
    bench.receive_request(&invite);
    let incoming = bench.incoming();
    assert_eq!(incoming.caller.name.reveal(), "J\u{fc}rgen, \"X\"");
    assert_eq!(incoming.caller.number.reveal(), "3000");
    assert_eq!(incoming.called.number.reveal(), "5000");
}

#[test]
fn sip_c6_an_unknown_requirement_gets_420_and_an_unknown_method_501() {
    let mut bench = Bench::registered(GENERIC);
    let mut invite = bench.invite("a");
    invite.headers.push("Require", "timer, magic");
    invite.headers.push("Require", "wonder");
    bench.receive_request(&invite);
    let refusal = bench.response(420);
    assert_eq!(refusal.headers.get("Unsupported"), Some("magic, wonder"));
    bench.no_event();

    let mut far = bench.call();
    let unknown = far.request(Method::Extension("DANCE".to_owned()));
    bench.receive_request(&unknown);
    assert!(bench.response(501).headers.lists("Allow", "UPDATE"));
    let message = far.request(Method::Message);
    bench.receive_request(&message);
    assert!(bench.response(405).headers.lists("Allow", "UPDATE"));
}

#[test]
fn sip_c8_cancel_ends_a_call_before_and_after_180() {
    for ring in [false, true] {
        let mut bench = Bench::registered(GENERIC);
        let invite = offer(&bench, "a");
        bench.receive_request(&invite);
        let call = bench.incoming().call;
        if ring {
            bench.command(Command::Ring { call });
            bench.response(180);
        }
        bench.receive_request(&cancel(&invite));
        bench.response(200);
        bench.response(487);
        assert_eq!(ended(&mut bench), EndCause::Cancelled);
        bench.millis(500);
        bench.response(487);
        bench.receive_request(&acknowledge(&invite));
        bench.secs(40);
        bench.silence();
    }
}

/// CANCEL or ACK of a refusal: the branch of the INVITE.
fn like(invite: &Request, method: Method) -> Request {
    let mut request = Request::new(method.clone(), invite.uri.clone());
    for name in ["Via", "From", "To", "Call-ID"] {
        request.headers.push(name, invite.headers.get(name).expect("there"));
    }
    request.headers.push("CSeq", format!("1 {method}"));
    request
}

fn cancel(invite: &Request) -> Request {
    like(invite, Method::Cancel)
}

fn acknowledge(invite: &Request) -> Request {
    like(invite, Method::Ack)
}

#[test]
fn sip_c8_a_cancel_that_crosses_our_200_changes_nothing() {
    let mut bench = Bench::registered(GENERIC);
    let invite = offer(&bench, "a");
    bench.receive_request(&invite);
    let call = bench.incoming().call;
    bench.command(Command::Answer { call, media: local_media() });
    let ok = bench.response(200);
    bench.receive_request(&cancel(&invite));
    bench.response(200);
    let ack = Call::of_invite(call, &invite, &ok).request(Method::Ack);
    bench.receive_request(&ack);
    bench.event();
    assert!(matches!(bench.event(), Event::Established { .. }));

    bench.receive_request(&cancel(&offer(&bench, "never-seen")));
    bench.response(481);
}

#[test]
fn sip_c8_a_call_rings_no_longer_than_its_expires() {
    let mut bench = Bench::registered(GENERIC);
    let mut invite = offer(&bench, "a");
    invite.headers.push("Expires", "20");
    bench.receive_request(&invite);
    bench.incoming();
    bench.millis(200);
    bench.response(100);
    bench.millis(19_799);
    bench.no_event();
    bench.millis(1);
    bench.response(487);
    assert_eq!(ended(&mut bench), EndCause::Cancelled);
}

#[test]
fn sip_c9_options_outside_a_dialog_is_answered_and_a_draining_node_says_503() {
    let mut bench = Bench::registered(GENERIC);
    let ask = |bench: &mut Bench, n: u32, status| {
        bench.receive(&format!(
            "OPTIONS sip:10.0.0.9 SIP/2.0\nVia: SIP/2.0/UDP {PBX};branch=z9hG4bK-o{n}\n\
             From: <sip:a@b>;tag={n}\nTo: <sip:c@d>\nCall-ID: o{n}\nCSeq: 1 OPTIONS\n"
        ));
        let response = bench.response(status);
        assert!(response.headers.lists("Allow", "INVITE"));
        assert_eq!(response.headers.get("Accept"), Some("application/sdp"));
    };
    ask(&mut bench, 1, 200);
    bench.command(Command::Drain(true));
    ask(&mut bench, 2, 503);
    bench.receive_request(&offer(&bench, "a"));
    bench.response(503);
    bench.no_event();
    bench.command(Command::Drain(false));
    ask(&mut bench, 3, 200);
}

#[test]
fn sip_c10_a_full_pool_refuses_as_the_profile_says() {
    let busy = [("options_interval", "refuse_status = 486\noptions_interval")];
    let cucm = [("profile = \"generic\"", "profile = \"cucm\"")];
    for (changes, status) in [(&[][..], 503), (&busy[..], 486), (&cucm[..], 486)] {
        let mut bench = Bench::with(GENERIC, changes);
        for n in 0..3 {
            bench.receive_request(&offer(&bench, &format!("call-{n}")));
            bench.incoming();
        }
        bench.receive_request(&offer(&bench, "one-too-many"));
        bench.response(status);
        bench.no_event();
        assert_eq!(bench.endpoint.status().calls, 3);
    }
}

#[test]
fn sip_c11_folded_compact_and_repeated_headers_are_understood() {
    let mut bench = Bench::registered(GENERIC);
    let uri = bench.contact(0);
    let head = format!(
        "INVITE {uri} SIP/2.0\n\
         v: SIP/2.0/UDP 10.0.0.5:5060;branch=z9hG4bK-1;rport,\n\
         \x20SIP/2.0/UDP 10.0.0.8;branch=z9hG4bK-2\n\
         v: SIP/2.0/TCP [2001:db8::9]:5061;received=2001:db8::1;branch=z9hG4bK-3\n\
         f: \"An\n  na\" <sip:2000@x>;tag=far\n\
         t: sip:6001@pbx.example\n\
         i: compact\n\
         CSeq: 7\t INVITE\n\
         Record-Route: <sip:10.0.0.5:5080;lr>,\n <sip:10.0.0.8>\n\
         m: <sip:2000@192.0.2.1>\n"
    );
    bench.receive(&head);
    let call = bench.incoming().call;
    bench.command(Command::Answer { call, media: local_media() });
    let ok = bench.response(200);
    assert_eq!(ok.headers.vias().expect("vias").len(), 3);
    let first = ok.headers.top_via().expect("via");
    assert_eq!(first.rport(), Some(Some(5060)));
    assert_eq!(ok.headers.record_routes().expect("routes").len(), 2);
}

#[test]
fn sip_c11_a_strict_router_gets_its_own_uri_as_request_uri() {
    let mut bench = Bench::registered(GENERIC);
    let mut invite = offer(&bench, "a");
    invite.headers.push("Record-Route", "<sip:10.0.0.5:5080>");
    invite.headers.push("Record-Route", "<sip:10.0.0.5:5090;lr>");
    let far = bench.call_by(invite);
    bench.command(Command::Hangup { call: far.call, cause: Some(16) });
    let bye = bench.request(Method::Bye);
    assert_eq!(bench.last().to.to_string(), "10.0.0.5:5080");
    assert_eq!(bye.target(), "sip:10.0.0.5:5080");
    let routes: Vec<_> = bye.headers.all("Route").into_iter().map(str::to_owned).collect();
    assert_eq!(routes, ["<sip:10.0.0.5:5090;lr>", "<sip:2000@10.0.0.5:5060>"]);
    assert_eq!(bye.headers.get("Reason"), Some("Q.850;cause=16"));
}

#[test]
fn sip_c12_a_repeated_invite_is_one_call_and_a_merged_one_gets_482() {
    let mut bench = Bench::registered(GENERIC);
    let invite = offer(&bench, "a");
    bench.receive_request(&invite);
    let call = bench.incoming().call;
    bench.command(Command::Ring { call });
    let first = bench.response(180);
    bench.receive_request(&invite);
    assert_eq!(bench.response(180).to_bytes(), first.to_bytes());
    let mut other = offer(&bench, "a");
    other.headers.set("Via", "SIP/2.0/UDP 10.0.0.5:5060;branch=z9hG4bK-other");
    bench.receive_request(&other);
    bench.response(482);
    bench.no_event();
}

#[test]
fn sip_d8_replaces_and_join_find_no_dialog() {
    let mut bench = Bench::registered(GENERIC);
    for (n, name) in ["Replaces", "Join"].into_iter().enumerate() {
        let mut invite = offer(&bench, &format!("call-{n}"));
        invite.headers.push(name, "x;to-tag=1;from-tag=2");
        bench.receive_request(&invite);
        bench.response(481);
    }
    bench.no_event();
}

#[test]
fn a_refused_or_hung_up_call_says_why() {
    let mut bench = Bench::registered(GENERIC);
    bench.receive_request(&offer(&bench, "a"));
    let call = bench.incoming().call;
    bench.command(Command::Refuse { call, status: 486 });
    bench.response(486);
    assert_eq!(ended(&mut bench), EndCause::Refused { status: 486 });

    bench.receive_request(&offer(&bench, "b"));
    let call = bench.incoming().call;
    bench.command(Command::Hangup { call, cause: Some(21) });
    let refusal = bench.response(603);
    assert_eq!(refusal.headers.get("Reason"), Some("Q.850;cause=21"));
    assert_eq!(ended(&mut bench), EndCause::LocalHangup { cause: Some(21) });
}

#[test]
fn an_offer_that_nobody_can_answer_is_refused_before_it_becomes_a_call() {
    let mut bench = Bench::registered(GENERIC);
    let cases = [("AVP 18", 488), ("SAVP 0", 488), ("AVP 0\r\nnonsense", 400)];
    for (number, (instead, status)) in cases.into_iter().enumerate() {
        let mut invite = bench.invite(&number.to_string());
        invite.set_body("application/sdp", sdp("sendrecv").replace("AVP 0 101", instead));
        bench.receive_request(&invite);
        bench.response(status);
        bench.no_event();
    }
    assert_eq!(bench.endpoint.status().counters.refused_offers, 3);
}

#[test]
fn a_call_does_not_need_a_binding() {
    let mut bench = Bench::new(GENERIC);
    bench.receive_request(&offer(&bench, "a"));
    bench.incoming();
    assert_eq!(bench.endpoint.registration(crate::ids::PortId(0)), RegistrationState::Off);
}
