//! Fuzz functions of the data plane: a port in a call with a hostile far end.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::codecs::Digit;
use crate::codecs::telephone_event::{PAYLOAD_LEN, Payload, Receiver};
use crate::ids::{CallId, MediaId};
use crate::media::{
    Command, Config, DigitSet, Event, IfExists, Input, MediaPort, Output, Playback, Prompt,
    Recording, SourcePolicy, StreamStart,
};
use crate::sdp::{Codec, Direction, Negotiated};
use crate::timers::{Duration, Instant};

/// Key presses that the receiver takes within one second.
const PRESSES_MAX: usize = 12;

const OURS: StreamStart = StreamStart { ssrc: 77, sequence: 65_000, timestamp: u32::MAX - 9_000 };

/// A call that plays, records and listens, and packets of any kind from any of four sources. Each
/// packet is `flags, milliseconds since the one before, length, bytes`.
pub fn fuzz_rtp(data: &[u8]) {
    let Some((&first, mut rest)) = data.split_first() else { return };
    let policy = if first & 1 == 0 { SourcePolicy::Strict } else { SourcePolicy::Symmetric };
    let mut call = FuzzedCall::open(policy, first & 2 != 0);
    while let [flags, pause, length, tail @ ..] = rest {
        let (datagram, after) = tail.split_at(usize::from(*length).min(tail.len()));
        call.pass(u64::from(*pause));
        call.receive(*flags, datagram);
        rest = after;
    }
    call.command(Command::Close);
    call.pass(100);
    assert!(call.released, "a call that is closed gives its sockets back");
}

struct FuzzedCall {
    port: MediaPort,
    policy: SourcePolicy,
    now_ms: u64,
    next_sequence: u16,
    released: bool,
    press_times: Vec<u64>,
}

fn peer(number: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], 4_000 + 2 * u16::from(number)))
}

impl FuzzedCall {
    fn open(policy: SourcePolicy, detect_tones: bool) -> Self {
        let mut call = Self {
            port: MediaPort::new(Arc::new(Config::default()), Duration::from_millis(3)),
            policy,
            now_ms: 10_000,
            next_sequence: OURS.sequence,
            released: false,
            press_times: Vec::new(),
        };
        let (id, start) = (CallId(1), OURS);
        call.command(Command::Open { call: id, udp_port: 30_000, start, policy, detect_tones });
        call.input(Input::Bound);
        call.command(Command::Session(Negotiated {
            remote: peer(0),
            codec: Codec::Pcma,
            event_send: Some(101),
            event_recv: Some(101),
            direction: Direction::SendRecv,
            ptime_ms: 20,
        }));
        call.command(Command::Play(music()));
        call.command(Command::Record(recording()));
        call
    }

    fn command(&mut self, command: Command) {
        self.input(Input::Command(command));
    }

    fn receive(&mut self, flags: u8, datagram: &[u8]) {
        let from = peer(flags >> 1 & 3);
        if flags & 1 == 0 {
            self.input(Input::Rtp { from, datagram });
        } else {
            self.input(Input::Rtcp { from, datagram });
        }
    }

    fn now(&self) -> Instant {
        Instant::from_nanos(self.now_ms * 1_000_000)
    }

    fn input(&mut self, input: Input<'_>) {
        let now = self.now();
        self.port.handle_input(now, input);
        self.collect();
    }

    fn pass(&mut self, ms: u64) {
        self.now_ms += ms;
        let now = self.now();
        while self.port.poll_timeout().is_some_and(|at| at <= now) {
            self.port.handle_timeout(now);
            self.collect();
        }
    }

    fn collect(&mut self) {
        while let Some(output) = self.port.poll_output() {
            match output {
                Output::Rtp { to, packet } => {
                    assert!(self.policy == SourcePolicy::Symmetric || to == peer(0), "led away");
                    let sequence = u16::from_be_bytes([packet[2], packet[3]]);
                    assert_eq!(sequence, self.next_sequence, "no packet skipped or repeated");
                    self.next_sequence = sequence.wrapping_add(1);
                }
                Output::Recorded { samples, .. } => assert_eq!(samples.len(), 160),
                Output::Release => self.released = true,
                Output::Event(_, Event::Digit { in_band: false, .. }) => {
                    self.press_times.push(self.now_ms);
                    check_pace(&self.press_times);
                }
                Output::Bind { .. }
                | Output::Restrict(_)
                | Output::Rtcp { .. }
                | Output::RecordingStarted { .. }
                | Output::Event(..) => {}
            }
        }
    }
}

fn check_pace(times_ms: &[u64]) {
    if let [.., first, _, _, _, _, _, _, _, _, _, _, _, last] = times_ms {
        assert!(last - first >= 1_000, "over {PRESSES_MAX} keys in a second");
    }
}

/// Names of events that the receiver remembers.
const NAMES_REMEMBERED: usize = 16;

fn music() -> Playback {
    let pcmu = bytes::Bytes::from_static(&[0x55; 997]);
    Playback {
        id: MediaId(1),
        pieces: vec![Arc::new(Prompt { pcma: pcmu.clone(), pcmu })],
        parts: Vec::new(),
        offset: Duration::ZERO,
        skip: Duration::from_secs(3),
        repeat: true,
        barge_in: DigitSet::NONE,
        replace: false,
    }
}

fn recording() -> Recording {
    Recording {
        id: MediaId(2),
        name: "fuzz".into(),
        if_exists: IfExists::Fail,
        max_duration: None,
        max_silence: Some(Duration::from_secs(3_600)),
        terminate_on: DigitSet::NONE,
        beep: false,
    }
}

/// Event reports of one stream, each `flags and pause, timestamp (4), payload length, payload`.
pub fn fuzz_telephone_event(data: &[u8]) {
    let mut receiver = Receiver::new();
    let (mut now_ms, mut times, mut pressed_at) = (0, Vec::new(), BTreeMap::new());
    for (index, record) in data.chunks(10).enumerate() {
        let [flags, t0, t1, t2, t3, payload @ ..] = record else { return };
        now_ms += u64::from(flags >> 1);
        let name = u32::from_be_bytes([*t0, *t1, *t2, *t3]);
        if let Some(report) = Payload::parse(payload) {
            assert_eq!(Payload::parse(&report.to_bytes()), Some(report));
        }
        let press = receiver.receive(now_ms, name, flags & 1 != 0, payload);
        if let Some(press) = press {
            assert!(payload.len() >= PAYLOAD_LEN, "a key from half a report");
            assert_eq!(Some(press.digit), Digit::from_event(payload[0]));
            // Names come round again only after so many others that no network mixes them up.
            let before = pressed_at.insert(press.rtp_timestamp, index);
            let names_between = before.map(|before| index - before - 1);
            assert!(names_between.is_none_or(|n| n >= NAMES_REMEMBERED), "one event, two presses");
            times.push(now_ms);
            check_pace(&times);
        }
        assert_eq!(receiver.counts().presses as usize, times.len());
        assert_eq!(receiver.held().is_some(), receiver.poll_timeout().is_some());
    }
}
