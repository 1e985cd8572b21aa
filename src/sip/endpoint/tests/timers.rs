//! Session timers (RFC 4028), on both sides and in both roles.

use super::*;
use crate::sip::message::{Method, Refresher, Request};
use crate::sip::{EndCause, Event};

/// A call whose INVITE has these fields.
fn call(fields: &[(&str, &str)]) -> (Bench, Call, crate::sip::message::Response) {
    let mut bench = Bench::registered(GENERIC);
    let mut invite = bench.invite("a");
    invite.set_body("application/sdp", sdp("sendrecv"));
    fields.iter().for_each(|(name, value)| invite.headers.push(name, value));
    bench.receive_request(&invite);
    let call = bench.incoming().call;
    bench.command(crate::sip::Command::Answer { call, media: local_media() });
    let ok = bench.response(200);
    let mut far = Call::of_invite(call, &invite, &ok);
    let ack = far.request(Method::Ack);
    bench.receive_request(&ack);
    bench.events.clear();
    (bench, far, ok)
}

#[test]
fn sip_c7_cucm_without_an_interval_gets_ours_and_we_refresh_by_update() {
    let fields = [("Supported", "timer,replaces"), ("Min-SE", "1800")];
    let (mut bench, _, ok) = call(&fields);
    let agreed = ok.headers.session_expires().expect("Session-Expires");
    assert_eq!((agreed.secs, agreed.refresher), (1800, Some(Refresher::Uas)));
    assert!(!ok.headers.has("Require"));
    bench.secs(899);
    bench.silence();
    bench.secs(1);
    let update = bench.request(Method::Update);
    assert!(update.body.is_empty());
    let ours = update.headers.session_expires().expect("Session-Expires");
    assert_eq!((ours.secs, ours.refresher), (1800, Some(Refresher::Uac)));
    let contact = ("Contact", "<sip:2000@10.0.0.5>");
    bench.reply(&update, 200, &[contact, ("Session-Expires", "1800;refresher=uac")]);
    bench.secs(900);
    bench.request(Method::Update);
    bench.no_event();
}

#[test]
fn sip_c7_a_far_end_that_refreshes_and_stops_is_hung_up_in_time() {
    let fields = [("Supported", "timer"), ("Session-Expires", "90;refresher=uac")];
    let (mut bench, mut far, ok) = call(&fields);
    assert!(ok.headers.lists("Require", "timer"));
    assert_eq!(ok.headers.get("Session-Expires"), Some("90;refresher=uac"));
    bench.secs(45);
    let mut refresh = far.offer(Method::Update, String::new());
    fields.iter().for_each(|(name, value)| refresh.headers.push(name, value));
    bench.receive_request(&refresh);
    bench.response(200);
    bench.secs(59);
    bench.silence();
    bench.secs(1);
    bench.request(Method::Bye);
    assert!(matches!(bench.event(), Event::Ended { cause: EndCause::Lost, .. }));
}

#[test]
fn sip_c7_the_role_of_refresher_is_taken_and_kept_by_reinvite_where_update_is_unknown() {
    let fields = [
        ("Allow", "INVITE, ACK, BYE"),
        ("Supported", "timer"),
        ("Session-Expires", "100;refresher=uas"),
    ];
    let mut bench = Bench::registered(GENERIC);
    let mut invite = bench.invite("a");
    invite.headers.remove("Allow");
    invite.set_body("application/sdp", sdp("sendrecv"));
    fields.iter().for_each(|(name, value)| invite.headers.push(name, value));
    bench.call_by(invite);
    bench.secs(50);
    let refresh = bench.request(Method::Invite);
    assert!(String::from_utf8_lossy(&refresh.body).contains("m=audio"));
    let fields = [("Contact", "<sip:2000@10.0.0.5>"), ("Session-Expires", "100;refresher=uac")];
    bench.reply_sdp(&refresh, 200, &fields, &sdp("sendrecv"));
    bench.request(Method::Ack);
    bench.no_event();
    bench.secs(50);
    bench.request(Method::Invite);
}

#[test]
fn sip_c7_too_short_an_interval_gets_422_and_ours_is_raised_by_422() {
    let mut bench = Bench::registered(GENERIC);
    let mut invite = bench.invite("a");
    invite.headers.push("Supported", "timer");
    invite.headers.push("Session-Expires", "30");
    bench.receive_request(&invite);
    assert_eq!(bench.response(422).headers.min_se(), Some(90));
    bench.no_event();

    let (mut bench, ..) = call(&[("Supported", "timer"), ("Session-Expires", "90;refresher=uas")]);
    bench.secs(45);
    let update = bench.request(Method::Update);
    bench.reply(&update, 422, &[("Min-SE", "300")]);
    let raised = bench.request(Method::Update);
    let expires = raised.headers.session_expires().expect("Session-Expires");
    assert_eq!((expires.secs, raised.headers.min_se()), (300, Some(300)));
    bench.reply(&raised, 422, &[("Min-SE", "300")]);
    bench.silence();
}

#[test]
fn sip_c7_a_refresh_by_update_that_is_not_taken_becomes_a_reinvite() {
    let (mut bench, ..) = call(&[("Supported", "timer"), ("Session-Expires", "90;refresher=uas")]);
    bench.secs(45);
    let update = bench.request(Method::Update);
    bench.reply(&update, 501, &[]);
    bench.request(Method::Invite);
}

#[test]
fn sip_d11_a_refresh_that_finds_no_dialog_frees_the_port() {
    let (mut bench, ..) = call(&[("Supported", "timer"), ("Session-Expires", "90;refresher=uas")]);
    bench.secs(45);
    let update: Request = bench.request(Method::Update);
    bench.reply(&update, 481, &[]);
    assert!(matches!(bench.event(), Event::Ended { cause: EndCause::Lost, .. }));
    assert_eq!(bench.endpoint.status().calls, 0);
}

#[test]
fn sip_c7_without_the_extension_there_is_no_timer() {
    let (mut bench, _, ok) = call(&[]);
    assert!(!ok.headers.has("Session-Expires"));
    bench.secs(100_000);
    bench.silence();
}

#[test]
fn sip_c7_a_refused_refresh_is_tried_again_within_the_rest_of_the_interval() {
    for status in [403, 422, 488, 500] {
        let fields = [("Supported", "timer"), ("Session-Expires", "1800;refresher=uas")];
        let (mut bench, ..) = call(&fields);
        bench.secs(900);
        let update = bench.request(Method::Update);
        bench.reply(&update, status, &[]);
        // 868 s are left until the BYE.
        bench.secs(433);
        bench.silence();
        bench.secs(1);
        let again = bench.request(Method::Update);
        let contact = ("Contact", "<sip:2000@10.0.0.5>");
        bench.reply(&again, 200, &[contact, ("Session-Expires", "1800;refresher=uac")]);
        bench.secs(899);
        bench.silence();
        bench.no_event();
    }
}

#[test]
fn sip_c7_a_refresh_that_is_refused_to_the_end_is_followed_by_bye() {
    let (mut bench, ..) = call(&[("Supported", "timer"), ("Session-Expires", "90;refresher=uas")]);
    bench.secs(45);
    let mut tries = 0;
    while bench.clock() < 60_000 {
        if !bench.sent.is_empty() {
            let update = bench.request(Method::Update);
            bench.reply(&update, 488, &[]);
            tries += 1;
        }
        bench.millis(500);
    }
    bench.request(Method::Bye);
    assert!(matches!(bench.event(), Event::Ended { cause: EndCause::Lost, .. }));
    assert_eq!(tries, 4, "after 45, 52.5, 56.25 and 58.25 s");
}
