//! One function for each fuzz target: hostile bytes in, no panic, and what is read must survive
//! being printed. The fuzz crate and the replay of its corpus call the same functions.

mod faces;
mod media;
mod peer;

pub use faces::{fuzz_ari_json, fuzz_configuration};
pub use media::{fuzz_rtp, fuzz_telephone_event};
pub use peer::fuzz_peer_frame;

use bytes::Bytes;
use rand_core::SeedableRng;

use crate::ids::Rng;
use crate::redact::Redacted;
use crate::sdp::{self, Codec, Direction, LocalMedia, Origin};
use crate::sip::digest::{Authorization, Credentials, Signed, parse_challenges};
use crate::sip::message::{
    CSeq, Malformed, MediaType, Message, Method, NameAddr, RAck, Replaces, Uri, Valued, Via,
};
use crate::sip::wire::framing::Framer;
use crate::sip::wire::split_list;

/// A datagram: read, answered, printed, read again.
pub fn fuzz_sip_message(data: &[u8]) {
    match Message::parse(Bytes::copy_from_slice(data)) {
        Ok(message) => check_message(&message),
        Err(refusal) => {
            if let Some(answer) = refusal.answer {
                assert!(answer.to_bytes().is_ok(), "an answer that cannot be sent");
            }
        }
    }
}

fn check_message(message: &Message) {
    read_everything(message);
    let printed = message.to_bytes().expect("what was read can be printed");
    let again = Message::parse_frame(printed.clone()).expect("what we print can be read");
    assert_eq!(again.to_bytes().as_ref(), Ok(&printed));
    assert_eq!(again.body(), message.body());
    assert_eq!(again.headers().vias(), message.headers().vias());
    assert_eq!(again.headers().contacts(), message.headers().contacts());
    if let Message::Request(request) = message {
        let mut reply = request.reply(200);
        reply.set_to_tag("fuzz");
        let printed = reply.to_bytes().expect("a reply can be printed");
        let reply = Message::parse_frame(printed).expect("and read");
        assert!(reply.headers().to().is_ok_and(|to| to.tag().is_some()));
    }
}

/// Calls every reader; none may panic.
fn read_everything(message: &Message) {
    let h = message.headers();
    let _ = (h.routes(), h.record_routes(), h.path(), h.service_routes(), h.refer_to());
    let _ = (h.expires(), h.min_expires(), h.retry_after(), h.session_expires(), h.min_se());
    let _ = (h.require(), h.supported(), h.allow(), h.rack(), h.rseq(), h.max_forwards());
    let _ = (h.replaces(), h.remote_party_id(), h.p_asserted_identity(), h.diversion());
    let _ = (h.history_info(), h.event(), h.subscription_state(), h.reasons(), h.content_type());
    let _ = (h.challenges(), h.referred_by(), message.sdp());
}

/// A stream: the messages do not depend on where it was cut. The first byte says where.
pub fn fuzz_stream_framing(data: &[u8]) {
    let Some((step, stream)) = data.split_first() else { return };
    let cut = frames(stream.chunks(usize::from(*step).max(1)));
    let whole = frames(std::iter::once(stream));
    assert_eq!(cut, whole);
    for frame in whole.0 {
        let _ = Message::parse_frame(frame);
    }
}

fn frames<'a>(chunks: impl Iterator<Item = &'a [u8]>) -> (Vec<Bytes>, Option<Malformed>, u32) {
    let mut framer = Framer::new();
    let (mut found, mut error) = (Vec::new(), None);
    for chunk in chunks {
        framer.push(chunk);
        loop {
            match framer.next() {
                Ok(Some(frame)) => found.push(frame),
                Ok(None) => break,
                Err(what) => {
                    error = Some(what);
                    break;
                }
            }
        }
    }
    (found, error, framer.take_pings())
}

/// A field value: read by every grammar; what one accepts must survive print and parse.
pub fn fuzz_uri_headers(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let text = text.as_ref();
    if text.contains(['\r', '\n']) {
        return; // Lines are joined before any of these grammars sees them.
    }
    fixpoint(text, Uri::parse);
    fixpoint(text, NameAddr::parse);
    fixpoint(text, Via::parse);
    fixpoint(text, CSeq::parse);
    fixpoint(text, RAck::parse);
    fixpoint(text, Replaces::parse);
    fixpoint(text, MediaType::parse);
    fixpoint(text, Valued::parse);
    if let Ok(uri) = Uri::parse(text) {
        assert!(uri.equivalent(&uri), "a URI equals itself");
        let _ = (uri.user_text(), uri.header("Replaces"), uri.param("transport"));
    }
    for part in split_list(text).unwrap_or_default() {
        let _ = NameAddr::parse(part);
    }
}

fn fixpoint<T>(text: &str, parse: impl Fn(&str) -> Result<T, Malformed>)
where
    T: PartialEq + std::fmt::Debug + std::fmt::Display,
{
    if let Ok(value) = parse(text) {
        let printed = value.to_string();
        assert_eq!(parse(&printed).as_ref(), Ok(&value), "{text:?} prints as {printed:?}");
    }
}

/// A session description: as an offer, and as the answer to ours.
pub fn fuzz_sdp(data: &[u8]) {
    let local = LocalMedia {
        address: std::net::Ipv4Addr::LOCALHOST.into(),
        udp_port: 20_000,
        codecs: vec![Codec::Pcmu, Codec::Pcma],
        telephone_event: 101,
    };
    let mut origin = Origin::new(1);
    if let Ok((text, agreed)) = sdp::answer(data, &local, &mut origin, Direction::SendRecv) {
        let again = sdp::answer(data, &local, &mut origin, Direction::SendRecv);
        assert_eq!(again, Ok((text, agreed)), "the same offer, the same answer and version");
        sdp::offer(&local, &mut origin, Direction::SendRecv);
        let _ = sdp::accept(data, &local, &origin, Direction::SendRecv);
    }
    let mut origin = Origin::new(1);
    sdp::offer(&local, &mut origin, Direction::SendRecv);
    let _ = sdp::accept(data, &local, &origin, Direction::SendRecv);
}

/// A challenge, answered; and an answer, checked.
pub fn fuzz_digest_challenge(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if text.contains(['\r', '\n']) {
        return; // A field value never holds a line break.
    }
    let password = Redacted::new("secret".to_owned());
    let (user, method, target) = ("100", &Method::Register, "sip:pbx.example");
    for challenge in parse_challenges(&text, false).unwrap_or_default() {
        let again = parse_challenges(&challenge.to_string(), false);
        assert_eq!(again.as_deref(), Ok(&[challenge.clone()][..]));
        let signed = Signed { user, password: &password, method, target, body: b"" };
        let value = Credentials::new(&challenge).authorize(signed, &mut Rng::seed_from_u64(1));
        let answer = Authorization::parse(&value).expect("our own answer can be read");
        assert!(answer.verify(&password, method, b""), "and is right");
    }
    if let Ok(answer) = Authorization::parse(&text) {
        assert_eq!(Authorization::parse(&answer.to_string()).as_ref(), Ok(&answer));
        let _ = (answer.verify(&password, method, b""), answer.nonce_count());
    }
}
