//! A media thread allocates nothing while calls run: not the machine of a port, whatever happens in
//! a call, and not a worker with its sockets. One test without a test runner, so that nothing else
//! runs in the process.

#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "the far end's socket, no clock in between, and a test runner's last line"
)]

use std::alloc::System;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;

use portkeeper::codecs::Digit;
use portkeeper::codecs::g711::Law;
use portkeeper::codecs::tone::Generator;
use portkeeper::driver::rtp_net::{self, Report, RtpNet};
use portkeeper::ids::{CallId, MediaId, PortId};
use portkeeper::media::{
    self, Command, DigitSet, Event, IfExists, Input, MediaPort, Output, Playback, Prompt,
    Recording, SourcePolicy, StreamStart,
};
use portkeeper::sdp::{Codec, Direction, Negotiated};
use portkeeper::timers::{Duration, Instant};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, Stats, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const START: StreamStart = StreamStart { ssrc: 1, sequence: 0, timestamp: 0 };

fn open(udp_port: u16) -> Command {
    let policy = SourcePolicy::Strict;
    Command::Open { call: CallId(1), udp_port, start: START, policy, detect_tones: true }
}

fn answer(remote: SocketAddr, codec: Codec) -> Command {
    Command::Session(Negotiated {
        remote,
        codec,
        event_send: Some(101),
        event_recv: Some(101),
        direction: Direction::SendRecv,
        ptime_ms: 20,
    })
}

fn prompt_of(ms: usize) -> Arc<Prompt> {
    let pcmu = vec![0x55; ms * 8];
    Arc::new(Prompt { pcma: pcmu.clone().into(), pcmu: pcmu.into() })
}

fn music() -> Command {
    Command::Play(Playback {
        id: MediaId(1),
        pieces: vec![prompt_of(130), prompt_of(77)],
        parts: Vec::new(),
        offset: Duration::ZERO,
        skip: Duration::ZERO,
        repeat: true,
        barge_in: DigitSet::NONE,
        replace: false,
    })
}

/// A packet of the far end, built in place.
fn packet(kind: u8, sequence: u16, timestamp: u32, payload: &[u8], buffer: &mut [u8]) -> usize {
    buffer[..2].copy_from_slice(&[0x80, kind]);
    buffer[2..4].copy_from_slice(&sequence.to_be_bytes());
    buffer[4..8].copy_from_slice(&timestamp.to_be_bytes());
    buffer[8..12].copy_from_slice(&[0, 0, 0, 9]);
    buffer[12..12 + payload.len()].copy_from_slice(payload);
    12 + payload.len()
}

/// Takes everything that comes out; counts packets and pieces of recorded sound.
fn drain(port: &mut MediaPort) -> (usize, usize) {
    let (mut packets, mut pieces) = (0, 0);
    while let Some(output) = port.poll_output() {
        match output {
            Output::Rtp { .. } | Output::Rtcp { .. } => packets += 1,
            Output::Recorded { .. } => pieces += 1,
            _ => {}
        }
    }
    (packets, pieces)
}

/// A minute of a call in virtual time: music out; sound, tones and keys in; recorded; lost packets,
/// late workers, reports.
fn run_machine() -> Stats {
    let remote = SocketAddr::from(([192, 0, 2, 1], 4_000));
    let mut now = Instant::from_nanos(5_000_000_000);
    let mut port = MediaPort::new(Arc::new(media::Config::default()), Duration::ZERO);
    for input in [
        Input::Command(open(30_000)),
        Input::Bound,
        Input::Command(answer(remote, Codec::Pcma)),
        Input::Command(music()),
        Input::Command(Command::Record(Recording {
            id: MediaId(2),
            name: "x".into(),
            if_exists: IfExists::Fail,
            max_duration: None,
            max_silence: Some(Duration::from_secs(3_600)),
            terminate_on: DigitSet::NONE,
            beep: true,
        })),
        Input::Command(Command::SendDigits {
            digits: (0..16).filter_map(Digit::from_event).collect(),
            duration: Duration::from_millis(100),
            between: Duration::from_millis(100),
            after: Duration::ZERO,
        }),
    ] {
        port.handle_input(now, input);
        drain(&mut port);
    }
    let mut tone = Generator::dtmf(Digit::from_event(5).expect("a key"));
    let (mut samples, mut sound, mut buffer) = ([0; 160], [0; 160], [0; 200]);
    let (mut packets, mut pieces) = (0, 0);

    let region = Region::new(ALLOCATOR);
    for n in 0..3_000_u16 {
        now += Duration::from_millis(if n % 500 == 499 { 90 } else { 20 });
        tone.fill(&mut samples);
        Law::A.encode(&samples, &mut sound);
        let timestamp = u32::from(n) * 160;
        let length = match n % 50 {
            0 => continue,
            1..=5 if n > 1_000 => {
                let report = [5, 10, 0, (n % 50) as u8 * 40];
                packet(101, n, u32::from(n / 50) * 8_000, &report, &mut buffer)
            }
            25 => packet(13, n, timestamp, &[40], &mut buffer),
            26 => packet(77, n, timestamp, &sound, &mut buffer),
            _ => packet(8, n, timestamp, &sound, &mut buffer),
        };
        port.handle_input(now, Input::Rtp { from: remote, datagram: &buffer[..length] });
        let report = [0x80, 200, 0, 6, 0, 0, 0, 9].into_iter().chain([1; 20]);
        for (at, byte) in buffer.iter_mut().zip(report) {
            *at = byte;
        }
        port.handle_input(now, Input::Rtcp { from: remote, datagram: &buffer[..28] });
        while port.poll_timeout().is_some_and(|at| at <= now) {
            port.handle_timeout(now);
            let (sent, recorded) = drain(&mut port);
            packets += sent;
            pieces += recorded;
        }
        std::hint::black_box(port.statistics());
    }
    let change = region.change();
    assert!(packets > 2_900 && pieces > 2_900, "{packets} packets, {pieces} pieces");
    change
}

/// Opens a port's call on a free pair of UDP ports.
fn open_call(
    net: &RtpNet,
    events: &mut tokio::sync::mpsc::Receiver<Report>,
    port: PortId,
    next: &mut u16,
) -> u16 {
    loop {
        let udp_port = *next;
        *next += 2;
        net.send(port, open(udp_port)).expect("room");
        loop {
            match events.blocking_recv().expect("a report").event {
                Event::Opened => return udp_port,
                Event::OpenFailed => break,
                // Of a port that plays already.
                _ => {}
            }
        }
    }
}

/// Calls on loopback sockets, long enough for every branch of the loop but the slow reports.
fn run_worker() -> Stats {
    let (sender, mut events) = tokio::sync::mpsc::channel(256);
    let config = rtp_net::Config {
        ports: 8,
        workers: Some(1),
        address: SocketAddr::from(([127, 0, 0, 1], 0)).ip(),
        service: None,
        raise_priority: false,
        recordings: std::env::temp_dir(),
        media: Arc::new(media::Config::default()),
    };
    let net = RtpNet::start(&config, Arc::new(sender)).expect("threads");
    let free = UdpSocket::bind("127.0.0.1:0").expect("a socket").local_addr().expect("bound");
    let mut next = (free.port() & !1).min(60_000);
    let far: Vec<_> = (0..8)
        .map(|n| {
            let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
            let udp_port = open_call(&net, &mut events, PortId(n), &mut next);
            let remote = socket.local_addr().expect("an address");
            net.send(PortId(n), answer(remote, Codec::Pcmu)).expect("room");
            net.send(PortId(n), music()).expect("room");
            socket.connect(("127.0.0.1", udp_port)).expect("connected");
            socket
        })
        .collect();
    let exchange = |from: u16, to: u16| {
        let mut buffer = [0; 200];
        for n in from..to {
            for socket in &far {
                socket.recv(&mut buffer).expect("a packet");
                let length = packet(0, n, u32::from(n) * 160, &[0x7f; 160], &mut buffer);
                socket.send(&buffer[..length]).expect("sent");
            }
        }
    };
    exchange(0, 10);
    let region = Region::new(ALLOCATOR);
    exchange(10, 100);
    let change = region.change();
    assert!(net.counters().sent >= 800);
    change
}

fn allocates_nothing(run: fn() -> Stats) {
    let change = run();
    assert_eq!((change.allocations, change.reallocations), (0, 0), "{change:?}");
}

fn a_media_thread_allocates_nothing_while_calls_run() {
    allocates_nothing(run_machine);
    allocates_nothing(run_worker);
}

/// In the manner of a test runner, whose own thread might allocate beside what is counted.
fn main() {
    a_media_thread_allocates_nothing_while_calls_run();
    println!("test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out");
}
