//! What messages carry beside SDP, and SDP in company.

use super::*;
use crate::sip::message::{Method, Request};
use crate::sip::{Command, EndCause, Event};

/// SDP behind a part that nobody here reads, as gateways with QSIG or ISUP send it.
fn wrap(request: &mut Request, sdp: &str) {
    let body = format!(
        "--b\r\nContent-Type: application/qsig\r\n\r\n\u{1}\u{2}\r\n\
         --b\r\nContent-Type: application/sdp\r\n\r\n{sdp}\r\n--b--\r\n"
    );
    request.set_body("multipart/mixed;boundary=b", body);
}

#[test]
fn sip_c1_an_offer_in_company_is_answered_with_plain_sdp() {
    let mut bench = Bench::registered(GENERIC);
    let mut invite = bench.invite("a");
    wrap(&mut invite, &sdp("sendrecv"));
    bench.receive_request(&invite);
    let call = bench.incoming().call;
    bench.command(Command::Answer { call, media: local_media() });
    let ok = bench.response(200);
    assert_eq!(ok.headers.get("Content-Type"), Some("application/sdp"));
    assert!(matches!(bench.event(), Event::Media { .. }));

    let mut far = Call::of_invite(call, &invite, &ok);
    bench.receive_request(&far.request(Method::Ack));
    bench.events.clear();
    let mut hold = far.offer(Method::Invite, String::new());
    wrap(&mut hold, &sdp("inactive"));
    bench.receive_request(&hold);
    bench.response(200);
    assert!(matches!(bench.event(), Event::Media { .. }));
}

#[test]
fn sip_c1_an_answer_in_company_makes_the_call() {
    let mut bench = Bench::registered(GENERIC);
    let invite = bench.invite("a");
    bench.receive_request(&invite);
    let call = bench.incoming().call;
    bench.command(Command::Answer { call, media: local_media() });
    let ok = bench.response(200);
    let mut ack = Call::of_invite(call, &invite, &ok).request(Method::Ack);
    wrap(&mut ack, &sdp("sendrecv"));
    bench.receive_request(&ack);
    assert!(matches!(bench.event(), Event::Media { .. }));
    assert!(matches!(bench.event(), Event::Established { .. }));
}

#[test]
fn sip_c1_an_ack_with_something_else_than_sdp_has_no_answer() {
    let mut bench = Bench::registered(GENERIC);
    let invite = bench.invite("a");
    bench.receive_request(&invite);
    let call = bench.incoming().call;
    bench.command(Command::Answer { call, media: local_media() });
    let ok = bench.response(200);
    let mut ack = Call::of_invite(call, &invite, &ok).request(Method::Ack);
    ack.set_body("text/plain", sdp("sendrecv"));
    bench.receive_request(&ack);
    bench.request(Method::Bye);
    assert!(matches!(bench.event(), Event::Ended { cause: EndCause::Media, .. }));
}

#[test]
fn a_body_that_must_be_understood_and_is_not_gets_415_with_what_is() {
    let mut bench = Bench::registered(GENERIC);
    let mut invite = bench.invite("a");
    invite.set_body("application/isup", "\u{1}");
    bench.receive_request(&invite);
    assert_eq!(bench.response(415).headers.get("Accept"), Some("application/sdp"));
    bench.no_event();

    let mut far = bench.call();
    for method in [Method::Invite, Method::Update] {
        let mut change = far.offer(method, String::new());
        change.set_body("application/isup", "\u{1}");
        bench.receive_request(&change);
        assert_eq!(bench.response(415).headers.get("Accept"), Some("application/sdp"));
    }
    bench.no_event();
}

#[test]
fn an_optional_body_is_as_good_as_none() {
    let mut bench = Bench::registered(GENERIC);
    let mut invite = bench.invite("a");
    invite.set_body("application/isup", "\u{1}");
    invite.headers.push("Content-Disposition", "signal; handling = optional");
    bench.receive_request(&invite);
    let call = bench.incoming().call;
    bench.command(Command::Answer { call, media: local_media() });
    let ok = bench.response(200);
    assert!(String::from_utf8_lossy(&ok.body).contains("RTP/AVP 8 0 101"), "our own offer");
}
