//! Who may speak to us, and who gets our credentials.

use super::*;
use crate::ids::PortId;
use crate::sip::message::Method;
use crate::sip::{Command, Event, RegistrationState};

const CHALLENGE: &str = "Digest realm=\"pbx\", nonce=\"n1\", algorithm=SHA-256, qop=\"auth\"";

#[test]
fn s_01_a_challenge_with_another_realm_gets_no_credentials() {
    let mut bench = Bench::new(GENERIC);
    bench.command(Command::Register { port: PortId(0) });
    bench.millis(0);
    let register = bench.request(Method::Register);
    bench.reply(&register, 401, &[("WWW-Authenticate", CHALLENGE)]);
    let register = bench.request(Method::Register);
    bench.reply(&register, 200, &[("Expires", "3600")]);
    let far = bench.call();
    bench.command(Command::Hangup { call: far.call, cause: None });
    let bye = bench.request(Method::Bye);
    bench.events.clear();
    bench.reply(&bye, 401, &[("WWW-Authenticate", &CHALLENGE.replace("\"pbx\"", "\"evil\""))]);
    bench.silence();
    assert!(matches!(bench.event(), Event::Alarm { .. }));
    assert_eq!(bench.endpoint.status().counters.challenges_refused, 1);
}

#[test]
fn s_01_a_challenge_from_another_address_gets_no_credentials() {
    let sources = ("options_interval", "sources = [\"10.0.0.7\"]\noptions_interval");
    let mut bench = Bench::with(GENERIC, &[sources]);
    bench.command(Command::Register { port: PortId(0) });
    bench.millis(0);
    let register = bench.request(Method::Register);
    let mut response = register.reply(401);
    response.headers.push("WWW-Authenticate", CHALLENGE);
    let bytes = response.to_bytes().expect("printable");
    bench.datagram("10.0.0.7:5060", bytes.to_vec());
    bench.silence();
    let state = bench.endpoint.registration(PortId(0));
    assert!(matches!(state, RegistrationState::Refused { status: 401, .. }), "{state:?}");
}

#[test]
fn s_02_a_digest_weaker_than_the_configured_one_is_not_answered() {
    let mut bench = Bench::new(GENERIC);
    bench.command(Command::Register { port: PortId(0) });
    bench.millis(0);
    let register = bench.request(Method::Register);
    let md5 = "Digest realm=\"pbx\", nonce=\"n1\", algorithm=MD5";
    bench.reply(&register, 401, &[("WWW-Authenticate", md5)]);
    bench.silence();
    let why = Some("the PBX offers no digest that is strong enough");
    let state = bench.endpoint.registration(PortId(0));
    assert_eq!(state, RegistrationState::Refused { status: 401, why });
}

#[test]
fn s_04_strangers_are_met_with_silence_and_counted() {
    let mut bench = Bench::registered(GENERIC);
    let invite = bench.invite("x").to_bytes().expect("printable");
    bench.datagram(RAND, invite.to_vec());
    bench.datagram(RAND, b"OPTIONS sip:100@10.0.0.9 SIP/2.0\r\n\r\n".to_vec());
    bench.datagram(RAND, b"garbage".to_vec());
    bench.silence();
    bench.no_event();
    assert_eq!(bench.endpoint.status().counters.unknown_sources, 3);
}

#[test]
fn s_04_an_answer_from_a_stranger_is_not_taken() {
    let mut bench = Bench::new(GENERIC);
    bench.command(Command::Register { port: PortId(0) });
    bench.millis(0);
    let register = bench.request(Method::Register);
    let ok = register.reply(200).to_bytes().expect("printable").to_vec();
    bench.datagram(RAND, ok);
    assert_eq!(bench.endpoint.registration(PortId(0)), RegistrationState::Pending);
}

#[test]
fn s_04_a_request_uri_without_the_secret_gets_404_and_an_alarm_a_minute_at_most() {
    for secret in ["user", "uri_param"] {
        let setting = format!("contact_secret = \"{secret}\"\noptions_interval");
        let mut bench = Bench::with(GENERIC, &[("options_interval", &setting)]);
        for n in 0..3 {
            let mut invite = bench.invite(&format!("call-{n}"));
            let text = "sip:6001@10.0.0.9:5070;pk=000000000000000000000000";
            invite = with_uri(&invite, text);
            bench.receive_request(&invite);
            bench.response(404);
        }
        assert!(matches!(bench.event(), Event::Alarm { .. }));
        bench.no_event();
        assert_eq!(bench.endpoint.status().counters.refused_no_port, 3);
    }
}

/// The same request to another Request-URI.
fn with_uri(request: &crate::sip::message::Request, uri: &str) -> crate::sip::message::Request {
    let uri = crate::sip::message::Uri::parse(uri).expect("URI");
    let mut changed = crate::sip::message::Request::new(request.method.clone(), uri);
    changed.headers = request.headers.clone();
    changed.body = request.body.clone();
    changed
}

#[test]
fn sip_r13_a_port_is_found_by_user_by_parameter_or_by_its_own_socket() {
    for secret in ["user", "uri_param", "none"] {
        let setting = format!("contact_secret = \"{secret}\"\noptions_interval");
        let mut bench = Bench::with(GENERIC, &[("options_interval", &setting)]);
        let invite = with_uri(&bench.invite("a"), &bench.contact(1));
        bench.receive_request(&invite);
        assert_eq!(bench.incoming().port, PortId(1), "{secret}");
    }
    let nec = [
        ("profile = \"generic\"", "profile = \"nec\""),
        ("options_interval", "sip_port = \"per_device\"\noptions_interval"),
        ("[\"10.0.0.5\"]", "[\"10.0.0.5:5060\"]"),
    ];
    let mut bench = Bench::with(GENERIC, &nec);
    let invite = with_uri(&bench.invite("a"), "sip:10.0.0.9:5072");
    bench.input(crate::sip::Input::Datagram {
        socket: crate::sip::SocketId(2),
        from: PBX.parse().expect("address"),
        bytes: invite.to_bytes().expect("printable"),
    });
    assert_eq!(bench.incoming().port, PortId(2));
}

#[test]
fn s_04_the_secret_has_96_bits_and_differs_between_ports() {
    let bench = Bench::new(GENERIC);
    let secret = |port| {
        let contact = bench.contact(port);
        let (user, _) = contact.split_once('@').expect("user");
        user.rsplit_once('-').expect("secret").1.to_owned()
    };
    assert_eq!(secret(0).len(), 24);
    assert_ne!(secret(0), secret(1));
}

fn flood(bench: &mut Bench) {
    for n in 0..500 {
        bench.receive(&format!(
            "OPTIONS sip:10.0.0.9 SIP/2.0\nVia: SIP/2.0/UDP {PBX};branch=z9hG4bK-{n}\n\
             From: <sip:a@b>;tag={n}\nTo: <sip:c@d>\nCall-ID: {n}\nCSeq: 1 OPTIONS\n"
        ));
    }
}

#[test]
fn s_07_a_call_that_is_up_can_be_ended_in_the_middle_of_a_flood() {
    let mut bench = Bench::registered(GENERIC);
    let mut far = bench.call();
    flood(&mut bench);
    bench.sent.clear();
    let bye = far.request(Method::Bye);
    bench.receive_request(&bye);
    bench.response(200);
    assert_eq!(bench.endpoint.status().calls, 0);
}

#[test]
fn s_07_a_flood_of_the_pbx_itself_gets_503_and_costs_no_memory() {
    let mut bench = Bench::registered(GENERIC);
    flood(&mut bench);
    let status = |s: &bench::Sent| match &s.message {
        crate::sip::message::Message::Response(r) => r.status,
        crate::sip::message::Message::Request(_) => 0,
    };
    let refused: Vec<_> = bench.sent.iter().filter(|s| status(s) == 503).collect();
    assert_eq!(refused.len(), 100);
    let counters = bench.endpoint.status().counters;
    assert_eq!(counters.refused_flood, 100);
    assert_eq!(bench.endpoint.status().server_transactions, 400);
    bench.secs(33);
    assert_eq!(bench.endpoint.status().server_transactions, 0);
}

#[test]
fn s_08_a_malformed_message_of_the_pbx_is_refused_and_counted() {
    let mut bench = Bench::registered(GENERIC);
    let invite = bench.invite("m").to_bytes().expect("printable");
    let text = String::from_utf8(invite.to_vec()).expect("text");
    bench.datagram(PBX, text.replace("Content-Length: 0", "Content-Length: 9").into_bytes());
    bench.response(400);
    bench.datagram(PBX, vec![b'x'; 9000]);
    bench.datagram(PBX, b"\r\n\r\n".to_vec());
    bench.silence();
    assert_eq!(bench.endpoint.status().counters.malformed, 2);
}

#[test]
fn s_09_message_subscribe_and_refer_are_refused() {
    let mut bench = Bench::registered(GENERIC);
    for (method, status) in
        [("MESSAGE", 405), ("SUBSCRIBE", 489), ("REFER", 603), ("PUBLISH", 405), ("FOO", 501)]
    {
        bench.receive(&format!(
            "{method} {} SIP/2.0\nVia: SIP/2.0/UDP {PBX};branch=z9hG4bK-{method}\n\
             From: <sip:a@b>;tag=1\nTo: <sip:c@d>\nCall-ID: {method}\nCSeq: 1 {method}\n\
             Refer-To: <sip:x@y>\nEvent: kpml\n",
            bench.contact(0)
        ));
        let response = bench.response(status);
        if matches!(status, 405 | 501) {
            assert!(response.headers.lists("Allow", "INVITE"));
        }
    }
}
