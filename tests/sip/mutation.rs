//! Mutations of every message in `fixtures/sip`: nothing panics, and whatever is read survives
//! print and parse. The seed is fixed, so a find stays found.

use std::fs;
use std::path::Path;

use bytes::Bytes;
use portkeeper::ids::Rng;
use portkeeper::sip::message::Message;
use rand_core::{RngCore, SeedableRng};

/// Bytes that mean something in SIP, so that mutations get further than noise would.
const SPICE: &[&[u8]] = &[
    b"\r\n",
    b"\r\n ",
    b"\n",
    b"\r",
    b"\0",
    b"\\",
    b"\"",
    b"<",
    b">",
    b",",
    b";",
    b"=",
    b":",
    b"@",
    b"%",
    b"%00",
    b"%4",
    b"[",
    b"]",
    b"[::1]",
    b"*",
    b"?",
    b"&",
    b"/",
    b" ",
    b"\t",
    b"-1",
    b"4294967296",
    b"\xff",
    b"\xc3\xbc",
    b"sip:",
    b"tel:",
    b"SIP/2.0",
    b"Via: ",
    b"l: 0\r\n",
    b";;",
    b"\\\0",
    b"\"\\\"\"",
    b"()",
    b"--b",
];

fn seeds() -> Vec<Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/sip");
    let mut files = Vec::new();
    for dir in ["pbx", "rfc4475"] {
        let entries = fs::read_dir(root.join(dir)).expect("readable");
        files.extend(entries.map(|e| e.expect("entry").path()));
    }
    files.retain(|path| path.extension().is_some_and(|e| e == "sip"));
    files.sort();
    files.iter().map(|path| fs::read(path).expect("readable")).collect()
}

fn below(rng: &mut Rng, n: usize) -> usize {
    usize::try_from(rng.next_u64() % n.max(1) as u64).expect("small")
}

fn mutate(rng: &mut Rng, text: &mut Vec<u8>) {
    let at = below(rng, text.len() + 1);
    let end = at + below(rng, (text.len() - at).min(40) + 1);
    match rng.next_u32() % 5 {
        0 => drop(text.drain(at..end)),
        1 => {
            let piece = text[at..end].to_vec();
            let to = below(rng, text.len() + 1);
            text.splice(to..to, piece);
        }
        2 if at < text.len() => text[at] = rng.next_u32().to_le_bytes()[0],
        3 if at < text.len() => text[at] ^= 1 << (rng.next_u32() % 8),
        _ => drop(text.splice(at..at, SPICE[below(rng, SPICE.len())].iter().copied())),
    }
}

/// Everything that can be read of a message, so that every reader meets every mutation.
fn read_all(message: &Message) {
    let h = message.headers();
    let texts = [
        format!("{:?} {:?} {:?}", h.vias(), h.from(), h.to()),
        format!("{:?} {:?} {:?}", h.contacts(), h.cseq(), h.call_id()),
        format!("{:?} {:?} {:?}", h.routes(), h.record_routes(), h.refer_to()),
        format!("{:?} {:?} {:?}", h.replaces(), h.session_expires(), h.rack()),
        format!("{:?} {:?} {:?}", h.history_info(), h.diversion(), h.remote_party_id()),
        format!("{:?} {:?} {:?}", h.event(), h.subscription_state(), h.reasons()),
        format!("{:?} {:?} {:?}", h.challenges(), h.content_type(), message.sdp()),
    ];
    assert!(texts.iter().all(|t| !t.is_empty()));
}

/// Print and parse again: the same message, and the same text from then on.
fn is_fixpoint(message: &Message) -> bool {
    let Ok(printed) = message.to_bytes() else { return false };
    let Ok(again) = Message::parse_frame(printed.clone()) else { return false };
    let same_addresses = again.headers().contacts() == message.headers().contacts()
        && again.headers().vias() == message.headers().vias();
    again.to_bytes().as_ref() == Ok(&printed) && again.body() == message.body() && same_addresses
}

/// Whether an independent parser, where it reads the text at all, cuts it at the same places.
fn agrees_with_other_parser(text: &[u8], ours: &Message) -> bool {
    let limits = sipx_sip::Limits { max_folding_lines: 500, ..sipx_sip::Limits::datagram() };
    let Ok(theirs) = sipx_sip::parse_datagram(Bytes::copy_from_slice(text), &limits) else {
        return true;
    };
    theirs.body() == ours.body() && theirs.headers().len() == ours.headers().len()
}

#[test]
fn mutated_messages_neither_panic_nor_change_when_printed() {
    let mut rng = Rng::seed_from_u64(0x5eed);
    let (mut read, mut refused) = (0, 0);
    for seed in seeds() {
        for _ in 0..400 {
            let mut text = seed.clone();
            for _ in 0..=below(&mut rng, 2) {
                mutate(&mut rng, &mut text);
            }
            match Message::parse(Bytes::from(text.clone())) {
                Ok(message) => {
                    read_all(&message);
                    let lossy = String::from_utf8_lossy(&text);
                    assert!(is_fixpoint(&message), "{lossy}\n{message:?}");
                    assert!(agrees_with_other_parser(&text, &message), "{lossy}\n{message:?}");
                    read += 1;
                }
                Err(refusal) => {
                    let printable = refusal.answer.is_none_or(|a| a.to_bytes().is_ok());
                    assert!(printable, "{}", String::from_utf8_lossy(&text));
                    refused += 1;
                }
            }
        }
    }
    assert!(read > 5_000 && refused > 3_000, "both ways are walked: {read} {refused}");
}
