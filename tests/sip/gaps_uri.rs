//! Gaps of rsip 0.4 that our grammar must not have: URIs and addresses.

use std::net::IpAddr;

use portkeeper::sip::message::{Contacts, Host, NameAddr, Scheme, Uri};

use crate::with;

fn uri(text: &str) -> Uri {
    Uri::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"))
}

fn address(text: &str) -> NameAddr {
    NameAddr::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"))
}

#[test]
fn rsip_gap_13_a_user_part_may_have_a_dot() {
    let got = uri("sip:john.doe@example.com");
    assert_eq!(got.user.as_deref(), Some("john.doe"));
    assert_eq!(got.host, Host::Name("example.com".to_owned()));
}

#[test]
fn rsip_gap_14_ipv6_is_read_and_written_in_brackets() {
    let got = uri("sip:a@[2001:db8::1]:5060;transport=tcp");
    let ip: IpAddr = "2001:db8::1".parse().expect("address");
    assert_eq!((got.host.ip(), got.port), (Some(ip), Some(5060)));
    assert_eq!(
        Uri::sip(Some("a"), ip).with_port(Some(5060)).to_string(),
        "sip:a@[2001:db8::1]:5060"
    );
    assert!(Uri::parse("sip:a@2001:db8::1").is_err());
    assert!(Uri::parse("sip:a@[2001:db8::1").is_err());
}

#[test]
fn rsip_gap_15_headers_of_a_uri_are_its_headers() {
    let got = uri("sip:a@example.com;x?Subject=next%20meeting&Replaces=c%3Bto-tag%3D1");
    assert_eq!(got.host, Host::Name("example.com".to_owned()));
    assert_eq!(got.header("subject").as_deref(), Some("next meeting"));
    assert_eq!(got.header("Replaces").as_deref(), Some("c;to-tag=1"));
    assert_eq!(
        got.to_string(),
        "sip:a@example.com;x?Subject=next%20meeting&Replaces=c%3Bto-tag%3D1"
    );
}

#[test]
fn rsip_gap_16_quoted_parameter_values_are_read() {
    let got = address("<sip:a@b>;+sip.instance=\"<urn:uuid:1>\";foo=\"a;b\\\"c\";expires=60");
    assert_eq!(got.params.get("+sip.instance"), Some("<urn:uuid:1>"));
    assert_eq!(got.params.get("foo"), Some("a;b\"c"));
    assert_eq!(got.expires(), Some(60));
}

#[test]
fn rsip_gap_17_spaces_lists_and_brackets_in_names_are_read() {
    let got = address("\"a <b>\" <sip:a@b> ; tag = x ;  q=0.33");
    assert_eq!((got.display.as_deref(), got.tag(), got.q_milli()), (Some("a <b>"), Some("x"), 330));
    let contacts = with("Contact: <sip:a@b>;q=0.1 , \"c, d\" <sip:c@d>,sip:e@f;expires=5");
    let Contacts::List(list) = contacts.headers.contacts().expect("three") else { panic!("star") };
    assert_eq!(list.len(), 3);
    assert_eq!((list[1].display.as_deref(), list[2].expires()), (Some("c, d"), Some(5)));
}

#[test]
fn rsip_gap_18_unknown_transports_do_not_matter() {
    assert_eq!(
        uri("sip:a@b;transport=carrier-pigeon").param("Transport").as_deref(),
        Some("carrier-pigeon")
    );
    let got = with("Via: SIP/2.0/UNKNOWN h;branch=b");
    assert_eq!(got.headers.vias().expect("two")[1].transport, "UNKNOWN");
}

#[test]
fn rsip_gap_19_telephone_and_other_uris_are_read_and_printed() {
    for text in [
        "tel:+1-201-555-0123;phone-context=example.com",
        "tel:7042;phone-context=+49",
        "mailto:a@b.example",
        "urn:service:sos",
        "sips:a@b",
    ] {
        assert_eq!(uri(text).to_string(), text);
    }
    let tel = uri("TEL:+49(89)1234");
    assert_eq!((tel.scheme, tel.user.as_deref()), (Scheme::Tel, Some("+49(89)1234")));
    assert!(uri("tel:+49-89-1234").equivalent(&uri("tel:+49(89)1234")));
}

#[test]
fn rsip_gap_20_uris_are_equal_as_rfc_3261_says() {
    let equal = [
        ("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp"),
        ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
        ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;newparam=5"),
        (
            "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
            "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
        ),
        (
            "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
            "sip:alice@atlanta.com?priority=urgent&subject=project%20x",
        ),
    ];
    for (a, b) in equal {
        assert!(uri(a).equivalent(&uri(b)) && uri(b).equivalent(&uri(a)), "{a} {b}");
    }
    let different = [
        ("SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp"),
        ("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting"),
        ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
        ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off"),
        ("sip:a%3Bb@x", "sip:a;b@x"),
        ("sip:a@x", "sips:a@x"),
    ];
    for (a, b) in different {
        assert!(!uri(a).equivalent(&uri(b)) && !uri(b).equivalent(&uri(a)), "{a} {b}");
    }
    assert_eq!(uri("sip:%C3%BC%40home@x").user_text().as_deref(), Some("ü@home"));
    assert_eq!(Uri::sip(Some("a b@c"), "x").to_string(), "sip:a%20b%40c@x");
}

#[test]
fn rsip_gap_21_display_names_lose_their_quotes_and_get_them_back() {
    let built = NameAddr::new(uri("sip:x@y")).with_display("A \"q\" \\ <z>");
    assert_eq!(built.to_string(), "\"A \\\"q\\\" \\\\ <z>\" <sip:x@y>");
    assert_eq!(address(&built.to_string()), built);
    let injected = NameAddr::new(uri("sip:x@y")).with_display("a\r\nEvil: 1");
    assert_eq!(injected.to_string(), "\"a  Evil: 1\" <sip:x@y>");
}
