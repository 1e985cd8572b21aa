//! Reading, answering, refusing.

use super::*;

const INVITE: &str = "INVITE sip:100@pk.example SIP/2.0\r\n\
    v: SIP/2.0/UDP 10.0.0.1:5060;rport;branch=z9hG4bKa , SIP/2.0/TCP [2001:db8::1];branch=b\r\n\
    From: \"A \\\"q\\\"\" <sip:john.doe@example.com>;tag=1\r\n\
    To: <sip:100@pk.example>\r\n\
    Call-ID: abc\r\n\
    CSeq: 1\t INVITE\r\n\
    Record-Route: <sip:p1;lr>\r\n\
    Record-Route: <sip:p2;lr>,\r\n <sip:p3;lr>\r\n\
    Content-Length: 3\r\n\r\nabcdef";

fn request(text: &str) -> Request {
    match Message::parse(Bytes::copy_from_slice(text.as_bytes())) {
        Ok(Message::Request(request)) => request,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_request_is_read_and_answered() {
    let invite = request(INVITE);
    assert_eq!(invite.method, Method::Invite);
    assert_eq!(invite.headers.vias().expect("two hops").len(), 2);
    assert_eq!(invite.headers.record_routes().expect("three").len(), 3);
    assert_eq!(invite.headers.from().expect("From").display.as_deref(), Some("A \"q\""));
    assert_eq!(&*invite.body, b"abc");
    let mut ok = invite.reply(200);
    ok.set_to_tag("xyz");
    let text = ok.to_bytes().expect("printable");
    let text = std::str::from_utf8(&text).expect("UTF-8");
    assert!(text.starts_with("SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 10.0.0.1:5060;rport;"));
    assert!(text.contains("To: <sip:100@pk.example>;tag=xyz\r\n"));
    assert!(text.ends_with("Content-Length: 0\r\n\r\n"));
}

#[test]
fn a_wrong_request_is_refused_with_an_answer() {
    let text = INVITE.replace("CSeq: 1\t", "CSeq: x");
    let refusal = Message::parse(text.into()).expect_err("bad CSeq");
    assert_eq!(refusal.status(), Some(400));
}

#[test]
fn an_empty_tag_is_refused() {
    for tag in ["tag=", "tag"] {
        let refusal = Message::parse(INVITE.replace("tag=1", tag).into()).expect_err("no tag");
        assert_eq!((refusal.what, refusal.status()), (Malformed("tag"), Some(400)));
    }
}
