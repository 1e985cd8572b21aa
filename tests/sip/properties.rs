//! Well-formed messages in every dress that RFC 3261 allows: we read what was meant, and so does an
//! independent parser (`sipx-sip`).

use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed};

use portkeeper::sip::message::{Contacts, Message, NameAddr, Uri, Via};
use sipx_sip::{HeaderName, Limits, parse_datagram};

use crate::request;

/// The same cases in every run.
fn config() -> Config {
    Config {
        cases: 400,
        rng_seed: RngSeed::Fixed(0x51b),
        failure_persistence: None,
        ..Config::default()
    }
}

fn host() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z][a-z0-9]{0,8}(\\.[a-z][a-z0-9]{1,4}){0,2}",
        any::<[u8; 4]>().prop_map(|ip| std::net::Ipv4Addr::from(ip).to_string()),
        any::<[u8; 16]>().prop_map(|ip| format!("[{}]", std::net::Ipv6Addr::from(ip))),
    ]
}

fn hostport() -> impl Strategy<Value = String> {
    (host(), prop::option::of(1..=u16::MAX))
        .prop_map(|(host, port)| port.map_or(host.clone(), |p| format!("{host}:{p}")))
}

fn uri() -> impl Strategy<Value = String> {
    // No parentheses: the other parser takes them for comments, even inside brackets.
    let user = "([A-Za-z0-9_.!~*'&=+$,;?/-]|%[0-9A-F]{2}){1,12}";
    let params = prop::collection::vec("[a-z]{1,6}(=([A-Za-z0-9.:-]|%4[0-9A-F]){1,6})?", 0..3);
    ("sips?", prop::option::of(user), hostport(), params).prop_map(
        |(scheme, user, host, params)| {
            let user = user.map_or(String::new(), |u| format!("{u}@"));
            let params: String = params.iter().map(|p| format!(";{p}")).collect();
            format!("{scheme}:{user}{host}{params}")
        },
    )
}

/// White space that may stand around separators.
fn sws() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["", "", "", " ", "  ", "\t", "\r\n ", " \r\n\t"])
}

fn param() -> impl Strategy<Value = String> {
    let value = prop_oneof![
        Just(String::new()),
        "[a-z0-9.!%*_+`'~-]{1,8}".prop_map(|v| format!("={v}")),
        "([a-z <>,;@=]|\\\\[\"\\\\a]){0,8}".prop_map(|v| format!("=\"{v}\"")),
    ];
    ("x[a-z0-9-]{0,7}", value, sws(), sws())
        .prop_map(|(name, value, before, after)| format!("{before};{after}{name}{value}"))
}

fn params() -> impl Strategy<Value = String> {
    prop::collection::vec(param(), 0..4).prop_map(|all| all.concat())
}

fn name_addr() -> impl Strategy<Value = String> {
    let display = prop_oneof![
        Just(String::new()),
        "[A-Za-z0-9.!*_+-]{1,8}( [A-Za-z]{1,8})? ",
        "([A-Za-z <>,;@:ü]|\\\\[\"\\\\a]){1,12}".prop_map(|d| format!("\"{d}\" ")),
    ];
    (display, uri(), params())
        .prop_map(|(display, uri, params)| format!("{display}<{uri}>{params}"))
}

fn via() -> impl Strategy<Value = String> {
    let transport = prop::sample::select(vec!["UDP", "TCP", "TLS", "SCTP", "x-new"]);
    (transport, sws(), hostport(), "[A-Za-z0-9.]{1,10}", params()).prop_map(
        |(t, s, host, branch, params)| {
            format!("SIP{s}/{s}2.0{s}/{s}{t} {host}{s};{s}branch{s}={s}z9hG4bK{branch}{params}")
        },
    )
}

/// One or more lines that hold `values`, split anywhere.
fn lines(names: &'static [&'static str], values: Vec<String>) -> impl Strategy<Value = String> {
    let cuts = prop::collection::vec((any::<bool>(), prop::sample::select(names)), values.len());
    (cuts, sws()).prop_map(move |(cuts, space)| {
        let mut text = String::new();
        for (n, (value, (joined, name))) in values.iter().zip(&cuts).enumerate() {
            let joined = *joined && n > 0;
            let line =
                if joined { format!(",{space}{value}") } else { format!("{name} :{space}{value}") };
            text.push_str(if joined || n == 0 { "" } else { "\r\n" });
            text.push_str(&line);
        }
        text
    })
}

#[derive(Debug, Clone)]
struct Sample {
    text: String,
    vias: Vec<String>,
    contacts: Vec<String>,
    body: String,
}

fn sample() -> impl Strategy<Value = Sample> {
    let lists = (prop::collection::vec(via(), 1..4), prop::collection::vec(name_addr(), 1..4));
    (lists, name_addr(), name_addr(), uri(), "[ -~]{0,40}").prop_flat_map(
        |((vias, contacts), from, to, target, body)| {
            let via_lines = lines(&["Via", "v", "VIA"], vias.clone());
            let contact_lines = lines(&["Contact", "m", "contact"], contacts.clone());
            (via_lines, contact_lines).prop_map(move |(via_lines, contact_lines)| Sample {
                text: format!(
                    "INVITE {target} SIP/2.0\r\n{via_lines}\r\nf:{from}\r\nTo: {to}\r\n\
                     {contact_lines}\r\nCSeq: 7\tINVITE\r\ni: a@b\r\nl: {}\r\n\r\n{body}",
                    body.len()
                ),
                vias: vias.clone(),
                contacts: contacts.clone(),
                body: body.clone(),
            })
        },
    )
}

/// A value as it reads when its folded lines are joined.
fn unfolded(text: &str) -> String {
    text.replace(" \r\n\t", " ").replace("\r\n ", " ")
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn what_was_written_is_read(sample in sample()) {
        let got = request(&sample.text);
        let vias = sample.vias.iter().map(|v| Via::parse(&unfolded(v)));
        prop_assert_eq!(got.headers.vias(), vias.collect::<Result<Vec<_>, _>>());
        let contacts: Vec<_> =
            sample.contacts.iter().map(|c| NameAddr::parse(&unfolded(c)).expect("one")).collect();
        prop_assert_eq!(got.headers.contacts(), Ok(Contacts::List(contacts)));
        prop_assert_eq!(&*got.body, sample.body.as_bytes());
    }

    #[test]
    fn printed_addresses_read_the_same(text in name_addr()) {
        let once = NameAddr::parse(&unfolded(&text)).expect("well formed");
        prop_assert_eq!(NameAddr::parse(&once.to_string()), Ok(once));
    }

    #[test]
    fn printed_uris_are_what_was_read(text in uri()) {
        let once = Uri::parse(&text).expect("well formed");
        prop_assert_eq!(Uri::parse(&once.to_string()), Ok(once.clone()));
        prop_assert!(once.equivalent(&once));
    }

    #[test]
    fn an_independent_parser_reads_the_same(sample in sample()) {
        let ours = request(&sample.text);
        let limits = Limits { max_folding_lines: 200, ..Limits::datagram() };
        let theirs = parse_datagram(sample.text.clone().into(), &limits);
        let Ok(sipx_sip::Message::Request(theirs)) = theirs else {
            return Err(TestCaseError::fail(format!("{theirs:?}")));
        };
        prop_assert_eq!(ours.uri.port, theirs.uri.port());
        prop_assert_eq!(ours.uri.user.as_deref().map(str::as_bytes), theirs.uri.user());
        prop_assert_eq!(ours.headers.len(), theirs.headers.len());
        prop_assert_eq!(&ours.body, theirs.body());
        for (name, list) in [("Via", HeaderName::Via), ("Contact", HeaderName::Contact)] {
            let count = theirs.headers.count(&list);
            prop_assert_eq!(ours.headers.lines(name).count(), count);
        }
        let mut branches = Vec::new();
        for line in theirs.headers.get_all(&HeaderName::Via) {
            let hops = sipx_sip::Via::parse_list(&line.value()).expect("they read it too");
            branches.extend(hops.iter().map(|hop| hop.branch().map(<[u8]>::to_vec)));
        }
        let vias = ours.headers.vias().expect("well formed");
        let own: Vec<_> = vias.iter().map(|v| v.branch().map(|b| b.as_bytes().to_vec())).collect();
        prop_assert_eq!(own, branches);
        let mut addresses = Vec::new();
        for line in theirs.headers.get_all(&HeaderName::Contact) {
            let list = sipx_sip::Address::parse_list(&line.value(), "Contact");
            addresses.extend(list.expect("they read it too"));
        }
        let Ok(Contacts::List(own)) = ours.headers.contacts() else { panic!("a list") };
        prop_assert_eq!(own.len(), addresses.len());
        for (own, other) in own.iter().zip(&addresses) {
            prop_assert_eq!(own.uri.user.as_deref().map(str::as_bytes), other.uri.user());
            let display = own.display.as_deref().unwrap_or_default().trim().as_bytes().to_vec();
            let other_display = other.display_name.clone().unwrap_or_default();
            prop_assert_eq!(display, other_display.trim_ascii().to_vec());
            prop_assert_eq!(own.params.iter().count(), other.params.len());
            for param in &other.params {
                let name = std::str::from_utf8(&param.name).expect("a token");
                prop_assert!(own.params.has(name));
            }
        }
    }

    #[test]
    fn framing_does_not_depend_on_cuts(sample in sample(), step in 1usize..200) {
        let mut framer = portkeeper::sip::wire::framing::Framer::new();
        let stream = [sample.text.as_bytes(), b"\r\n\r\n", sample.text.as_bytes()].concat();
        let mut frames = Vec::new();
        for chunk in stream.chunks(step) {
            framer.push(chunk);
            while let Some(frame) = framer.next().expect("well formed") {
                frames.push(frame);
            }
        }
        prop_assert_eq!(frames.len(), 2);
        for frame in frames {
            prop_assert_eq!(&frame[..], sample.text.as_bytes());
            prop_assert!(Message::parse_frame(frame).is_ok());
        }
    }
}
