//! Every file of the fuzz corpus, through the function that the fuzzer calls. A crash that the
//! fuzzer finds is added to `fixtures/corpus/<target>/` and stays found.

#![expect(clippy::disallowed_methods, reason = "reads fixtures")]

use std::fs;
use std::path::Path;

use portkeeper::sim::fuzz;

fn replay(target: &str, run: fn(&[u8])) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/corpus").join(target);
    let mut files: Vec<_> =
        fs::read_dir(dir).expect("a corpus").map(|e| e.expect("entry").path()).collect();
    files.sort();
    assert!(!files.is_empty(), "{target} has seeds");
    for file in files {
        let bytes = fs::read(&file).expect("readable");
        let done = std::panic::catch_unwind(|| run(&bytes));
        assert!(done.is_ok(), "{}", file.display());
    }
}

#[test]
fn sip_messages_do_no_harm() {
    replay("sip_message", fuzz::fuzz_sip_message);
}

#[test]
fn streams_do_not_depend_on_cuts() {
    replay("stream_framing", fuzz::fuzz_stream_framing);
}

#[test]
fn field_values_survive_printing() {
    replay("uri_headers", fuzz::fuzz_uri_headers);
}

#[test]
fn descriptions_do_no_harm() {
    replay("sdp", fuzz::fuzz_sdp);
}

#[test]
fn challenges_are_answered_rightly() {
    replay("digest_challenge", fuzz::fuzz_digest_challenge);
}

#[test]
fn calls_survive_hostile_packets() {
    replay("rtp", fuzz::fuzz_rtp);
}

#[test]
fn event_reports_give_one_key_press_each() {
    replay("telephone_event", fuzz::fuzz_telephone_event);
}

#[test]
fn ari_requests_are_answered_once() {
    replay("ari_json", fuzz::fuzz_ari_json);
}

#[test]
fn configurations_are_usable_or_told_why_not() {
    replay("configuration", fuzz::fuzz_configuration);
}

#[test]
fn frames_of_a_peer_do_no_harm() {
    replay("peer_frame", fuzz::fuzz_peer_frame);
}
