//! Gaps of rsip 0.4 that our grammar and writer must not have: messages, headers, serialiser.

use bytes::Bytes;
use portkeeper::sip::message::{
    CSeq, Message, Method, NameAddr, RAck, Refresher, Request, SessionExpires, Unprintable, Uri,
    Via,
};
use portkeeper::sip::wire::framing::Framer;
use portkeeper::sip::wire::limits;

use crate::{options, parse, request, response, with};

#[test]
fn rsip_gap_01_folded_lines_are_joined() {
    let got = with("Subject: one\r\n  two\r\n\tthree");
    assert_eq!(got.headers.get("Subject"), Some("one two three"));
}

#[test]
fn rsip_gap_02_white_space_before_the_colon_is_allowed() {
    assert_eq!(with("Max-Forwards  \t: 70").headers.max_forwards(), Some(70));
}

#[test]
fn rsip_gap_03_compact_names_are_the_long_ones() {
    let text = "OPTIONS sip:b SIP/2.0\r\nv: SIP/2.0/UDP h;branch=z9hG4bK1\r\nf: <sip:a@x>;tag=1\r\n\
        t: <sip:b@x>\r\ni: c\r\nCSeq: 1 OPTIONS\r\nm: <sip:a@h>\r\nk: timer\r\nc: text/plain\r\n\
        e: gzip\r\ns: hi\r\no: presence\r\nl: 2\r\n\r\nhi";
    let got = request(text);
    let names: Vec<_> = got.headers.iter().map(|h| &*h.name).collect();
    assert_eq!(
        names,
        [
            "Via",
            "From",
            "To",
            "Call-ID",
            "CSeq",
            "Contact",
            "Supported",
            "Content-Type",
            "Content-Encoding",
            "Subject",
            "Event",
            "Content-Length"
        ]
    );
}

#[test]
fn rsip_gap_04_content_length_rules_the_body() {
    assert_eq!(&*request(options("Content-Length: 2\r\n", "hi there")).body, b"hi");
    for bad in ["9", "-1", "+2", "2 2", "99999999999999999999"] {
        let text = options(&format!("Content-Length: {bad}\r\n"), "hi");
        assert_eq!(parse(text).expect_err(bad).status(), Some(400), "{bad}");
    }
}

#[test]
fn rsip_gap_05_a_message_without_its_empty_line_is_refused() {
    let whole = options("", "");
    let cut = whole.strip_suffix("\r\n").expect("it ends so");
    assert!(parse(cut).is_err());
}

#[test]
fn rsip_gap_06_bytes_that_are_not_utf8_do_not_cost_the_message() {
    let mut text = options("Subject: M@ller\r\n", "").into_bytes();
    let at = text.windows(6).position(|w| w == b"M@ller").expect("there") + 1;
    text[at] = 0xFC;
    let got = request(&text);
    assert_eq!(got.headers.get("Subject"), Some("Müller"), "ISO 8859-1 is read");
    let printed = got.to_bytes().expect("printable");
    assert!(printed.windows(6).any(|w| w == b"M\xFCller"), "and echoed as it came");
}

#[test]
fn rsip_gap_07_leading_empty_lines_are_skipped() {
    assert_eq!(request(format!("\r\n\r\n{}", options("", ""))).method, Method::Options);
}

#[test]
fn rsip_gap_08_extension_methods_are_kept_and_case_matters() {
    for name in ["NEWMETHOD", "options", "!interesting-Method0123456789_*+`.%indeed'~"] {
        let text = options("", "").replace("OPTIONS", name);
        let got = request(&text);
        assert_eq!(got.method, Method::Extension(name.to_owned()));
        assert_eq!(got.reply(501).headers.cseq().expect("CSeq").method, got.method);
    }
}

#[test]
fn rsip_gap_09_a_status_line_may_end_behind_the_status() {
    for line in ["SIP/2.0 200", "SIP/2.0 200 "] {
        let text = options("", "").replace("OPTIONS sip:100@pk.example SIP/2.0", line);
        assert_eq!((response(&text).status, response(&text).reason), (200, String::new()));
    }
}

#[test]
fn rsip_gap_10_sizes_are_limited() {
    let refused = |extra: &str| parse(options(extra, "")).is_err();
    let line = |n: usize| format!("X-Long: {}\r\n", "x".repeat(n));
    assert!(!refused(&line(limits::HEADER_MAX - 8)));
    assert!(refused(&line(limits::HEADER_MAX - 7)));
    assert!(refused(&format!("X-A: 1\r\n{}", " folded\r\n".repeat(600))), "folded lines count");
    assert!(!refused(&"X-A: 1\r\n".repeat(limits::HEADERS_MAX - 5)));
    assert!(refused(&"X-A: 1\r\n".repeat(limits::HEADERS_MAX - 4)));
    assert!(!refused(&"v: SIP/2.0/UDP h\r\n".repeat(limits::VIAS_MAX - 1)));
    assert!(refused(&"v: SIP/2.0/UDP h\r\n".repeat(limits::VIAS_MAX)));
    assert!(refused(&format!("v: SIP/2.0/UDP h{}\r\n", ", SIP/2.0/UDP h".repeat(15))));
    assert!(refused(&format!("m: <sip:a@b>{}\r\n", ";p".repeat(limits::PARAMS_MAX + 1))));
    assert!(refused(&format!("m: <sip:a@b{}>\r\n", ";p".repeat(limits::PARAMS_MAX + 1))));
    let body = "x".repeat(limits::DATAGRAM_MAX);
    assert!(parse(options("", &body)).is_err());
}

#[test]
fn rsip_gap_11_a_stream_is_cut_into_messages() {
    let one = options("Content-Length: 2\r\n", "hi");
    let mut framer = Framer::new();
    framer.push(format!("\r\n\r\n{one}{one}{}", &one[..20]).as_bytes());
    for _ in 0..2 {
        let frame = framer.next().expect("in order").expect("whole");
        assert!(Message::parse_frame(frame).is_ok());
    }
    assert_eq!(framer.next(), Ok(None));
    assert!(framer.is_waiting());
    assert_eq!(framer.take_pings(), 1);
}

#[test]
fn rsip_gap_12_single_fields_that_come_twice_are_refused() {
    for line in ["From: <sip:x@y>;tag=2", "t: <sip:x@y>", "Call-ID: d", "CSeq: 2 OPTIONS"] {
        let refusal = parse(options(&format!("{line}\r\n"), "")).expect_err(line);
        assert_eq!(refusal.status(), Some(400), "{line}");
    }
    assert!(parse(options("l: 0\r\nContent-Length: 0\r\n", "")).is_err());
}

#[test]
fn rsip_gap_22_spaces_and_bare_ipv6_in_via_are_read() {
    let via = Via::parse("SIP / 2.0 / UDP  h : 5070 ; branch = z9hG4bKx").expect("spaces");
    assert_eq!((via.port, via.branch()), (Some(5070), Some("z9hG4bKx")));
    let via = Via::parse("SIP/2.0/UDP [2001:db8::9];received=2001:db8::1;branch=z9hG4bKx");
    let via = via.expect("IPv6");
    assert_eq!(via.branch(), Some("z9hG4bKx"));
    let received = via.received().and_then(|host| host.ip());
    assert_eq!(received, Some("2001:db8::1".parse().expect("address")));
    assert!(Via::parse("SIP/2.0/UDP h;;branch=x").is_err(), "nothing is dropped silently");
}

#[test]
fn rsip_gap_23_every_hop_of_a_joined_via_is_kept() {
    let got = with("Via: SIP/2.0/TCP h2;branch=b2, SIP/2.0/UDP h3;branch=b3");
    let vias = got.headers.vias().expect("three");
    let branches: Vec<_> = vias.iter().filter_map(|v| v.branch()).collect();
    assert_eq!(branches, ["z9hG4bK1", "b2", "b3"]);
    assert_eq!(got.reply(200).headers.vias(), Ok(vias));
}

#[test]
fn rsip_gap_24_tabs_and_leading_spaces_in_cseq_are_read() {
    let cseq = CSeq { seq: 1, method: Method::Invite };
    assert_eq!(CSeq::parse("  1\tINVITE "), Ok(cseq));
    assert!(CSeq::parse("4294967296 INVITE").is_err());
}

#[test]
fn rsip_gap_25_route_sets_over_several_lines_are_whole() {
    let got = with(
        "Record-Route: <sip:p1;lr>\r\nSubject: between\r\nRecord-Route: <sip:p2;lr>, <sip:p3>\r\n\
         Route: <sip:r1;lr>\r\nRoute: <sip:r2;lr>",
    );
    let uris = |list: Vec<NameAddr>| list.iter().map(|r| r.uri.to_string()).collect::<Vec<_>>();
    let records = got.headers.record_routes().expect("three");
    assert_eq!(uris(records), ["sip:p1;lr", "sip:p2;lr", "sip:p3"]);
    assert_eq!(uris(got.headers.routes().expect("two")), ["sip:r1;lr", "sip:r2;lr"]);
}

#[test]
fn rsip_gap_headers_without_a_type_have_one() {
    let got = with(
        "RAck: 776656 1 INVITE\r\nRSeq: 988789\r\nx: 1800;refresher=UAS\r\nMin-SE: 90;lr\r\n\
         Refer-To: <sip:t@x?Replaces=c%3Bto-tag%3Da%3Bfrom-tag%3Db>\r\n\
         Replaces: c;to-tag=a;from-tag=b;early-only\r\nPath: <sip:p;lr>\r\n\
         Service-Route: <sip:s;lr>\r\nReason: Q.850;cause=16;text=\"bye, bye\", SIP ;cause=200\r\n\
         Diversion: <sip:d@x>;reason=user-busy, \"P\" <sip:e@x>\r\n\
         P-Asserted-Identity: \"N\" <sip:1@x>, <tel:+49123>\r\n\
         Remote-Party-ID: \"R\" <sip:2@x>;party=calling;privacy=off\r\n\
         History-Info: <sip:h2@x>;index=1.10,<sip:h1@x>;index=1.2\r\n\
         Allow-Events: presence, mwi\r\n\
         Subscription-State: terminated ;reason=noresource;retry-after=5",
    );
    let headers = &got.headers;
    let cseq = CSeq { seq: 1, method: Method::Invite };
    assert_eq!(headers.rack(), Ok(RAck { rseq: 776_656, cseq }));
    assert_eq!(headers.rseq(), Some(988_789));
    let timer = SessionExpires { secs: 1800, refresher: Some(Refresher::Uas) };
    assert_eq!(headers.session_expires(), Some(timer));
    assert_eq!(headers.min_se(), Some(90));
    let refer_to = headers.refer_to().expect("Refer-To");
    assert_eq!(refer_to.uri.header("replaces").as_deref(), Some("c;to-tag=a;from-tag=b"));
    let replaces = headers.replaces().expect("there").expect("well formed");
    assert!(replaces.early_only && replaces.to_tag == "a" && replaces.from_tag == "b");
    assert_eq!(headers.path().expect("Path").len(), 1);
    assert_eq!(headers.service_routes().expect("Service-Route").len(), 1);
    let reasons = headers.reasons();
    assert_eq!(
        reasons.iter().filter_map(|r| r.params.get("cause")).collect::<Vec<_>>(),
        ["16", "200"]
    );
    assert_eq!(headers.diversion()[1].display.as_deref(), Some("P"));
    assert_eq!(headers.p_asserted_identity()[1].uri.user.as_deref(), Some("+49123"));
    assert_eq!(headers.remote_party_id()[0].params.get("party"), Some("calling"));
    assert_eq!(headers.history_info()[0].uri.user.as_deref(), Some("h1"), "by index");
    assert_eq!(headers.all("Allow-Events"), ["presence", "mwi"]);
    let state = headers.subscription_state().expect("Subscription-State");
    assert_eq!((&*state.value, state.params.get("reason")), ("terminated", Some("noresource")));
}

fn ours() -> Request {
    let mut ours = Request::new(Method::Message, Uri::sip(Some("b"), "example.com"));
    ours.headers.push("Via", Via::new("udp", "h", 5060, "z9hG4bK1"));
    ours.headers.push("From", NameAddr::new(Uri::sip(Some("a"), "example.com")).with_tag("1"));
    ours.headers.push("To", NameAddr::new(Uri::sip(Some("b"), "example.com")));
    ours.headers.push("i", "c");
    ours.headers.push("CSeq", CSeq { seq: 1, method: Method::Message });
    ours
}

#[test]
fn rsip_gap_33_bodies_are_written_to_the_byte() {
    let mut message = ours();
    message.set_body("application/octet-stream", Bytes::from_static(b"\xFF\x00\xFE\r"));
    let bytes = message.to_bytes().expect("printable");
    assert!(bytes.ends_with(b"Content-Length: 4\r\n\r\n\xFF\x00\xFE\r"));
    assert_eq!(request(&bytes).body, message.body);
}

#[test]
fn rsip_gap_34_line_breaks_in_values_are_refused() {
    for evil in ["x\r\nEvil: 1", "x\nEvil: 1", "x\0"] {
        let mut message = ours();
        message.headers.push("Subject", evil);
        assert_eq!(message.to_bytes(), Err(Unprintable::Control("Subject".to_owned())));
    }
    for evil in ["Evil: 1\r\nX", "", "a b"] {
        let mut message = ours();
        message.headers.push(evil, "x");
        assert_eq!(message.to_bytes(), Err(Unprintable::Name(evil.to_owned())));
    }
    let mut message = ours();
    message.uri.user = Some("a b\r\n".to_owned());
    assert!(message.to_bytes().is_err());
}

#[test]
fn rsip_gap_35_reason_phrases_are_canonical_and_incoming_ones_are_kept() {
    let got = request(options("", ""));
    let line = |status: u16| {
        let bytes = got.reply(status).to_bytes().expect("printable");
        String::from_utf8_lossy(&bytes).lines().next().map(str::to_owned)
    };
    assert_eq!(line(503).as_deref(), Some("SIP/2.0 503 Service Unavailable"));
    assert_eq!(line(481).as_deref(), Some("SIP/2.0 481 Call/Transaction Does Not Exist"));
    let text = options("", "")
        .replace("OPTIONS sip:100@pk.example SIP/2.0", "SIP/2.0 486 On the phone, überlastet");
    assert_eq!(response(text).reason, "On the phone, überlastet");
}

#[test]
fn rsip_gap_36_what_was_read_survives_print_and_parse() {
    let message = parse(options(
        "Contact: \"A \\\"q\\\"\" <sip:a:p@[2001:db8::1]:5070;transport=x?a=b>;q=0.5;+x=\"a;b\"\r\n\
         Supported: a ,, b\r\nc: text/plain\r\nContent-Length: 2\r\n",
        "hi",
    ))
    .expect("well formed");
    let printed = message.to_bytes().expect("printable");
    let again = parse(&printed).expect("our own text");
    assert_eq!(again.to_bytes().expect("printable"), printed);
    assert_eq!(again.body(), message.body());
    assert_eq!(again.headers().contacts(), message.headers().contacts());
}

#[test]
fn rsip_gap_37_our_types_are_state_that_can_be_stored() {
    let contact = "\"A\" <sip:a@[::1]:5070;lr?x=y>;expires=60;+sip.instance=\"<urn:x>\"";
    let contact = NameAddr::parse(contact).expect("well formed");
    let json = serde_json::to_string(&contact).expect("plain data");
    assert_eq!(serde_json::from_str::<NameAddr>(&json).expect("our own"), contact);
    let via = Via::parse("SIP/2.0/TLS h:5061;branch=z9hG4bK1;rport").expect("well formed");
    let json = serde_json::to_string(&via).expect("plain data");
    assert_eq!(serde_json::from_str::<Via>(&json).expect("our own"), via);
}

/// Names of packages that depend on `wanted` (`"name version"` where several versions exist).
fn dependants(lock: &str, wanted: &str) -> Vec<String> {
    let packages = lock.split("[[package]]").filter(|p| p.contains(&format!(" \"{wanted}\",")));
    let name = |package: &str| {
        let line = package.lines().find_map(|l| l.strip_prefix("name = "));
        line.unwrap_or_default().trim_matches('"').to_owned()
    };
    packages.map(name).collect()
}

#[test]
fn rsip_gap_38_its_old_dependencies_serve_rsip_alone() {
    let lock = include_str!("../../Cargo.lock");
    for old in ["md-5 0.9.1", "sha2 0.9.9", "bstr 0.2.17"] {
        assert_eq!(dependants(lock, old), ["rsip"], "{old}");
    }
    // Certificates of the cluster are read with the same old parser.
    let certificates = ["asn1-rs", "der-parser", "rusticata-macros", "x509-parser"];
    let mut users = dependants(lock, "nom 7.1.3");
    users.retain(|user| !certificates.contains(&user.as_str()));
    assert_eq!(users, ["rsip"]);
    assert!(dependants(lock, "nom 8.0.0").contains(&"portkeeper".to_owned()));
}

#[test]
fn rsip_gap_39_its_licence_is_named_by_hand() {
    let deny = include_str!("../../deny.toml");
    let named = deny.split("[[licenses.").skip(1).any(|entry| entry.contains("crate = \"rsip\""));
    assert!(named);
}
