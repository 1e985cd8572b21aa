//! Texts to telephones.

use super::bindings::events;
use super::*;
use crate::ids::PortId;
use crate::sip::message::Method;
use crate::sip::{Command, Event};

const PORT: PortId = PortId(0);

fn text(bench: &mut Bench, text: &str) {
    let target = "2001".to_owned();
    bench.command(Command::Text { port: PORT, id: 7, target, text: text.to_owned() });
}

fn texted(bench: &mut Bench) -> Vec<(u32, Option<u16>)> {
    events(bench, |event| match event {
        Event::Texted { id, status } => Some((*id, *status)),
        _ => None,
    })
}

#[test]
fn a_text_is_a_message_outside_a_dialog_that_answers_a_challenge() {
    let mut bench = Bench::with(GENERIC, &[]);
    text(&mut bench, "the primary a is down");
    let message = bench.request(Method::Message);
    assert_eq!(message.uri.user_text().as_deref(), Some("2001"));
    assert_eq!(message.headers.get("Content-Type"), Some("text/plain;charset=UTF-8"));
    assert_eq!(message.body, "the primary a is down");
    assert!(message.headers.get("Contact").is_none(), "RFC 3428 section 8");
    let challenge = "Digest realm=\"pbx\", nonce=\"n1\", algorithm=SHA-256, qop=\"auth\"";
    bench.reply(&message, 401, &[("WWW-Authenticate", challenge)]);
    let again = bench.request(Method::Message);
    assert!(again.headers.get("Authorization").is_some());
    assert_eq!(again.headers.cseq().expect("CSeq").seq, 2);
    assert!(texted(&mut bench).is_empty());
    bench.reply(&again, 202, &[]);
    assert_eq!(texted(&mut bench), [(7, Some(202))]);
}

#[test]
fn a_text_that_is_refused_or_not_answered_says_so() {
    for status in [405, 415, 480] {
        let mut bench = Bench::with(GENERIC, &[]);
        text(&mut bench, "x");
        let message = bench.request(Method::Message);
        bench.reply(&message, status, &[]);
        assert_eq!(texted(&mut bench), [(7, Some(status))]);
    }
    let mut bench = Bench::with(GENERIC, &[]);
    text(&mut bench, "x");
    bench.secs(40);
    assert_eq!(texted(&mut bench), [(7, None)]);
}

#[test]
fn a_long_text_is_cut_between_two_characters() {
    let mut bench = Bench::with(GENERIC, &[]);
    text(&mut bench, &"\u{e9}x\u{e9}".repeat(200));
    let message = bench.request(Method::Message);
    assert!(
        (590..=600).contains(&message.body.len()) && message.body.starts_with("\u{e9}x".as_bytes())
    );
    assert!(str::from_utf8(&message.body).is_ok());
}
