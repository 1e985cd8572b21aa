//! What one SIP message costs: read, answered, printed; beside it a floor (looking at each byte
//! once, or copying it) and a peer (`sipx-sip`) on the same bytes.

mod surroundings;

use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group};
use portkeeper::ids::Rng;
use portkeeper::redact::Redacted;
use portkeeper::sdp::{self, Codec, Direction, LocalMedia, Origin};
use portkeeper::sip::digest::{Credentials, Signed};
use portkeeper::sip::message::{Message, Method, Request};
use rand_core::SeedableRng;

const INVITE: &[u8] = include_bytes!("../fixtures/sip/pbx/asterisk_invite.sip");
const REGISTERED: &[u8] = include_bytes!("../fixtures/sip/pbx/cucm_register_200.sip");
const CHALLENGE: &[u8] = include_bytes!("../fixtures/sip/pbx/cucm_register_401.sip");

fn message(text: &'static [u8]) -> Message {
    Message::parse(Bytes::from_static(text)).expect("a good fixture")
}

fn invite() -> Request {
    match message(INVITE) {
        Message::Request(request) => request,
        Message::Response(_) => unreachable!("the fixture is a request"),
    }
}

/// One pass over the bytes, and the lines found.
fn floor(text: &[u8]) -> usize {
    let valid = std::str::from_utf8(text).map_or(0, str::len);
    memchr::memchr_iter(b'\n', text).count() + valid
}

fn reading(c: &mut Criterion) {
    for (name, text) in [("invite", INVITE), ("register_200", REGISTERED)] {
        let mut group = c.benchmark_group(format!("read_{name}"));
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function("floor", |b| b.iter(|| floor(black_box(text))));
        group.bench_function("portkeeper", |b| {
            b.iter(|| Message::parse(Bytes::from_static(black_box(text))));
        });
        let limits = sipx_sip::Limits::datagram();
        group.bench_function("sipx_sip_lazy", |b| {
            b.iter(|| sipx_sip::parse_datagram(Bytes::from_static(black_box(text)), &limits));
        });
        group.finish();
    }
}

fn writing(c: &mut Criterion) {
    let (request, response) = (invite(), message(REGISTERED));
    c.bench_function("print_floor", |b| b.iter(|| black_box(REGISTERED).to_vec()));
    c.bench_function("print_register_200", |b| b.iter(|| black_box(&response).to_bytes()));
    c.bench_function("answer_invite", |b| {
        b.iter(|| {
            let mut ok = black_box(&request).reply(200);
            ok.set_to_tag("0123456789abcdef");
            ok.to_bytes()
        });
    });
    c.bench_function("read_answer_print_invite", |b| {
        b.iter(|| {
            let Ok(Message::Request(request)) = Message::parse(Bytes::from_static(INVITE)) else {
                return None;
            };
            request.reply(180).to_bytes().ok()
        });
    });
}

fn negotiating(c: &mut Criterion) {
    let local = LocalMedia {
        address: std::net::Ipv4Addr::LOCALHOST.into(),
        udp_port: 20_000,
        codecs: vec![Codec::Pcmu, Codec::Pcma],
        telephone_event: 101,
    };
    let offer = invite().sdp().expect("the fixture has an offer");
    c.bench_function("sdp_answer", |b| {
        b.iter(|| sdp::answer(&offer, &local, &mut Origin::new(1), Direction::SendRecv));
    });
    let challenge = message(CHALLENGE).headers().challenges().remove(0);
    let password = Redacted::new("s3cret".to_owned());
    let mut rng = Rng::seed_from_u64(1);
    c.bench_function("digest_md5", |b| {
        b.iter(|| {
            let (method, target) = (&Method::Register, "sip:10.10.0.11");
            let signed = Signed { user: "8001", password: &password, method, target, body: b"" };
            Credentials::new(&challenge).authorize(signed, &mut rng)
        });
    });
}

criterion_group!(benches, reading, writing, negotiating);
fn main() {
    surroundings::told(
        &[benches],
        &[
            ("read_invite/portkeeper", "read_invite/floor"),
            ("read_invite/portkeeper", "read_invite/sipx_sip_lazy"),
            ("read_register_200/portkeeper", "read_register_200/floor"),
            ("read_register_200/portkeeper", "read_register_200/sipx_sip_lazy"),
            ("print_register_200", "print_floor"),
        ],
    );
}
