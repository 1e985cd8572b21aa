//! What one port costs a media thread each 20 ms, system calls aside: a frame out, a packet in, and
//! a packet in that is listened to for tones. The floor is a copy of a packet's octets.

mod surroundings;

use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::Arc;

use criterion::{Criterion, criterion_group};
use portkeeper::codecs::g711::Law;
use portkeeper::ids::{CallId, MediaId};
use portkeeper::media::{
    Command, Config, DigitSet, Input, MediaPort, Playback, Prompt, SourcePolicy, StreamStart,
};
use portkeeper::sdp::{Codec, Direction, Negotiated};
use portkeeper::timers::{Duration, Instant};

/// A port whose call plays music.
fn answered(detect_tones: bool, now: Instant, remote: SocketAddr) -> MediaPort {
    let mut port = MediaPort::new(Arc::new(Config::default()), Duration::ZERO);
    let start = StreamStart { ssrc: 1, sequence: 0, timestamp: 0 };
    let policy = SourcePolicy::Strict;
    let pcmu: Vec<u8> = (0..80_000).map(|n| (n % 251) as u8).collect();
    let music = Arc::new(Prompt { pcma: pcmu.clone().into(), pcmu: pcmu.into() });
    for input in [
        Input::Command(Command::Open {
            call: CallId(1),
            udp_port: 30_000,
            start,
            policy,
            detect_tones,
        }),
        Input::Bound,
        Input::Command(Command::Session(Negotiated {
            remote,
            codec: Codec::Pcmu,
            event_send: Some(101),
            event_recv: Some(101),
            direction: Direction::SendRecv,
            ptime_ms: 20,
        })),
        Input::Command(Command::Play(Playback {
            id: MediaId(1),
            pieces: vec![music],
            parts: Vec::new(),
            offset: Duration::ZERO,
            skip: Duration::ZERO,
            repeat: true,
            barge_in: DigitSet::NONE,
            replace: false,
        })),
    ] {
        port.handle_input(now, input);
        drain(&mut port);
    }
    port
}

fn drain(port: &mut MediaPort) {
    while let Some(output) = port.poll_output() {
        black_box(&output);
    }
}

/// The far end's packets, loud enough that the detector does not skip them.
struct Far {
    packet: [u8; 172],
    count: u16,
}

impl Far {
    fn new() -> Self {
        let mut packet = [0; 172];
        packet[0] = 0x80;
        packet[11] = 9;
        let samples: Vec<i16> = (0..160).map(|n| (n * 7_919 % 16_000) as i16 - 8_000).collect();
        Law::Mu.encode(&samples, &mut packet[12..]);
        Self { packet, count: 0 }
    }

    fn next(&mut self) -> &[u8] {
        self.count = self.count.wrapping_add(1);
        self.packet[2..4].copy_from_slice(&self.count.to_be_bytes());
        self.packet[4..8].copy_from_slice(&(u32::from(self.count) * 160).to_be_bytes());
        &self.packet
    }
}

fn frame_out(c: &mut Criterion) {
    let mut now = Instant::from_nanos(1_000_000_000);
    let mut port = answered(false, now, SocketAddr::from(([192, 0, 2, 1], 4_000)));
    c.bench_function("frame_out", |b| {
        b.iter(|| {
            now += Duration::from_millis(20);
            port.handle_timeout(now);
            drain(&mut port);
        });
    });
}

fn packet_in(c: &mut Criterion, name: &str, detect_tones: bool) {
    let mut now = Instant::from_nanos(1_000_000_000);
    let from = SocketAddr::from(([192, 0, 2, 1], 4_000));
    let mut port = answered(detect_tones, now, from);
    let mut far = Far::new();
    c.bench_function(name, |b| {
        b.iter(|| {
            now += Duration::from_millis(20);
            port.handle_input(now, Input::Rtp { from, datagram: far.next() });
            drain(&mut port);
        });
    });
}

fn floor(c: &mut Criterion) {
    let mut far = Far::new();
    let mut packet = [0; 172];
    c.bench_function("floor_copy", |b| {
        b.iter(|| {
            packet.copy_from_slice(black_box(far.next()));
            black_box(&mut packet);
        });
    });
}

fn all(c: &mut Criterion) {
    floor(c);
    frame_out(c);
    packet_in(c, "packet_in", false);
    packet_in(c, "packet_in_listening", true);
}

criterion_group!(benches, all);
fn main() {
    let over = ["frame_out", "packet_in", "packet_in_listening"];
    surroundings::told(&[benches], &over.map(|name| (name, "floor_copy")));
}
