//! The 49 messages of RFC 4475, each with the verdict that `fixtures/sip/rfc4475/VERDICTS` records.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use bytes::Bytes;
use portkeeper::sip::message::{Contacts, Message, Method, Scheme};

fn dir() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/sip/rfc4475")
}

fn read(name: &str) -> Bytes {
    fs::read(dir().join(format!("{name}.sip"))).expect("readable").into()
}

fn accepted(name: &str) -> Message {
    Message::parse(read(name)).unwrap_or_else(|e| panic!("{name}: {e:?}"))
}

/// `name -> "accept" | "refuse STATUS" | "drop"`
fn recorded() -> BTreeMap<String, String> {
    let text = fs::read_to_string(dir().join("VERDICTS")).expect("readable");
    let lines = text.lines().filter_map(|line| {
        let (name, verdict) = line.split('#').next()?.trim().split_once(' ')?;
        Some((name.to_owned(), verdict.trim().to_owned()))
    });
    lines.collect()
}

fn verdict(name: &str) -> String {
    match Message::parse(read(name)) {
        Ok(_) => "accept".to_owned(),
        Err(refusal) => match refusal.status() {
            Some(status) => format!("refuse {status}"),
            None => "drop".to_owned(),
        },
    }
}

#[test]
fn every_message_gets_its_recorded_verdict() {
    let recorded = recorded();
    let files = fs::read_dir(dir()).expect("readable").filter_map(|entry| {
        let path = entry.expect("entry").path();
        (path.extension()? == "sip").then(|| path.file_stem().map(|n| n.to_owned()))?
    });
    let names: Vec<_> = files.map(|n| n.into_string().expect("ASCII")).collect();
    assert_eq!((names.len(), recorded.len()), (49, 49));
    let now: BTreeMap<_, _> = names.into_iter().map(|n| (n.clone(), verdict(&n))).collect();
    assert_eq!(now, recorded);
}

#[test]
fn every_accepted_message_survives_print_and_parse() {
    for (name, _) in recorded().into_iter().filter(|(_, verdict)| verdict == "accept") {
        let message = accepted(&name);
        let printed = message.to_bytes().unwrap_or_else(|e| panic!("{name}: {e}"));
        let again = Message::parse(printed.clone()).unwrap_or_else(|e| panic!("{name}: {e:?}"));
        assert_eq!(again.to_bytes().expect("as before"), printed, "{name}");
        assert_eq!(again.body(), message.body(), "{name}");
    }
}

#[test]
fn every_answer_to_a_refused_message_can_be_sent() {
    for name in recorded().into_keys() {
        if let Err(refusal) = Message::parse(read(&name))
            && let Some(answer) = refusal.answer
        {
            assert!(answer.to_bytes().is_ok(), "{name}");
            assert!(answer.headers.lines("To").count() <= 1, "{name}");
        }
    }
}

#[test]
fn wsinv_is_read_through_its_white_space() {
    let message = accepted("wsinv");
    let headers = message.headers();
    assert_eq!(headers.from().expect("From").display.as_deref(), Some("J Rosenberg \\\""));
    assert_eq!(headers.to().expect("To").tag(), Some("1918181833n"));
    assert_eq!(headers.max_forwards(), Some(68));
    assert_eq!(headers.cseq().expect("CSeq").seq, 9);
    let vias = headers.vias().expect("three hops");
    let branches: Vec<_> = vias.iter().filter_map(|v| v.branch()).collect();
    assert_eq!(branches, ["390skdjuw", "z9hG4bK9ikj8", "z9hG4bK30239"]);
    let contacts = headers.contacts().expect("Contact");
    let contact = contacts.first().expect("one");
    assert_eq!((contact.display.as_deref(), contact.q_milli()), (Some("Quoted string \"\""), 330));
    assert!(headers.routes().expect("Route")[0].uri.is_loose_router());
}

#[test]
fn intmeth_uses_every_character_that_is_allowed() {
    let Message::Request(request) = accepted("intmeth") else { panic!("a request") };
    let method = "!interesting-Method0123456789_*+`.%indeed'~";
    assert_eq!(request.method, Method::Extension(method.to_owned()));
    assert_eq!(
        request.uri.user.as_deref(),
        Some("1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*")
    );
    let to = request.headers.to().expect("To");
    assert_eq!(to.display.as_deref(), Some("BEL:\u{7} NUL: DEL:\u{7f}"));
    let from = request.headers.from().expect("From");
    assert_eq!(from.params.get("fromParam''~+*_!.-%"), Some("работающий"));
    let call_id = "intmeth.word%ZK-!.*_+'@word`~)(><:\\/\"][?}{";
    assert_eq!(request.headers.call_id(), Ok(call_id));
}

#[test]
fn escapes_are_undone_where_a_value_is_read() {
    let Message::Request(request) = accepted("esc01") else { panic!("a request") };
    assert_eq!(request.uri.user_text().as_deref(), Some("sips:user@example.com"));
    assert_eq!(request.headers.to().expect("To").uri.user_text().as_deref(), Some("user"));
    let contact = request.headers.contact_uri().expect("Contact");
    assert_eq!(contact.user_text().as_deref(), Some("caller"));
    let null = accepted("escnull").headers().to().expect("To").uri;
    assert_eq!(null.user_text().as_deref(), Some("null-\0-null"));
}

#[test]
fn dblreq_is_one_request() {
    let Message::Request(request) = accepted("dblreq") else { panic!("a request") };
    assert_eq!((request.method, request.body.len()), (Method::Register, 0));
}

#[test]
fn transports_of_other_hops_do_not_matter() {
    let vias = accepted("transports").headers().vias().expect("five hops");
    let transports: Vec<_> = vias.iter().map(|v| v.transport.as_str()).collect();
    assert_eq!(transports, ["UDP", "SCTP", "TLS", "UNKNOWN", "TCP"]);
}

#[test]
fn unknown_schemes_are_kept_for_their_refusal() {
    let Message::Request(request) = accepted("unkscm") else { panic!("a request") };
    assert_eq!(request.uri.scheme, Scheme::Other("nobodyknowsthisscheme".to_owned()));
    assert_eq!(request.target(), "nobodyKnowsThisScheme:totallyopaquecontent");
    let Message::Request(request) = accepted("unksm2") else { panic!("a request") };
    assert_eq!(request.headers.to().expect("To").uri.to_string(), "isbn:2983792873");
}

#[test]
fn parameters_belong_to_the_uri_only_within_brackets() {
    let contact = |name| match accepted(name).headers().contacts().expect("Contact") {
        Contacts::List(mut list) => list.remove(0),
        Contacts::Star => panic!("no star"),
    };
    assert!(contact("cparam01").params.has("unknownparam"));
    assert!(contact("cparam02").uri.params.has("unknownparam"));
    let escaped = contact("regescrt").uri;
    assert_eq!(escaped.header("Route").as_deref(), Some("<sip:sip.example.com>"));
}
