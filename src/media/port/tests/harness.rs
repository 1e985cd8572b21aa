//! A port with a far end: runs virtual time and keeps what came out.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use rtp_rs::{RtpPacketBuilder, RtpReader, Seq};

use crate::codecs::Digit;
use crate::codecs::telephone_event::Payload;
use crate::ids::{CallId, MediaId};
use crate::media::{
    Command, Config, DigitSet, Event, Input, MediaPort, Output, Playback, Prompt, SourcePolicy,
    StreamStart,
};
use crate::sdp::{Codec, Direction, Negotiated};
use crate::timers::{Duration, Instant};

pub(super) const CALL: CallId = CallId(7);

pub(super) const START: StreamStart = StreamStart { ssrc: 77, sequence: 65_530, timestamp: 500 };

/// A packet of ours, read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sent {
    pub(super) at_ms: u64,
    pub(super) to: SocketAddr,
    pub(super) kind: u8,
    pub(super) marker: bool,
    pub(super) sequence: u16,
    pub(super) timestamp: u32,
    pub(super) payload: Vec<u8>,
}

/// The port and everything that came out of it.
pub(super) struct Rig {
    pub(super) port: MediaPort,
    pub(super) now_ms: u64,
    pub(super) sent: Vec<Sent>,
    pub(super) rtcp: Vec<Vec<u8>>,
    pub(super) events: Vec<(u64, Event)>,
    pub(super) recorded: Vec<i16>,
    pub(super) restricted: Option<SocketAddr>,
    pub(super) released: bool,
    /// The far end's stream.
    pub(super) far: Far,
}

pub(super) struct Far {
    pub(super) address: SocketAddr,
    pub(super) ssrc: u32,
    pub(super) sequence: u16,
    pub(super) timestamp: u32,
}

pub(super) fn far_address() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 9], 4_000))
}

pub(super) fn negotiated() -> Negotiated {
    Negotiated {
        remote: far_address(),
        codec: Codec::Pcmu,
        event_send: Some(101),
        event_recv: Some(97),
        direction: Direction::SendRecv,
        ptime_ms: 20,
    }
}

pub(super) fn digit(key: char) -> Digit {
    Digit::from_char(key).expect("a key")
}

/// Sound of `ms` milliseconds, all samples of one value.
pub(super) fn prompt(byte: u8, ms: usize) -> Arc<Prompt> {
    let pcmu = Bytes::from(vec![byte; ms * 8]);
    Arc::new(Prompt { pcma: pcmu.clone(), pcmu })
}

pub(super) fn playback(id: u32, byte: u8, ms: usize) -> Playback {
    Playback {
        id: MediaId(id),
        pieces: vec![prompt(byte, ms)],
        parts: Vec::new(),
        offset: Duration::ZERO,
        skip: Duration::from_secs(3),
        repeat: false,
        barge_in: DigitSet::NONE,
        replace: false,
    }
}

impl Rig {
    /// A port whose call is open, without an answer yet.
    pub(super) fn open(policy: SourcePolicy) -> Self {
        let mut rig = Self {
            port: MediaPort::new(Arc::new(Config::default()), Duration::from_millis(3)),
            now_ms: 1_000,
            sent: Vec::new(),
            rtcp: Vec::new(),
            events: Vec::new(),
            recorded: Vec::new(),
            restricted: None,
            released: false,
            far: Far { address: far_address(), ssrc: 5, sequence: 9, timestamp: 70_000 },
        };
        rig.command(Command::Open {
            call: CALL,
            udp_port: 30_000,
            start: START,
            policy,
            detect_tones: true,
        });
        rig.input(Input::Bound);
        rig
    }

    /// A port with a plain answer.
    pub(super) fn answered() -> Self {
        let mut rig = Self::open(SourcePolicy::Strict);
        rig.command(Command::Session(negotiated()));
        rig
    }

    fn now(&self) -> Instant {
        Instant::from_nanos(self.now_ms * 1_000_000)
    }

    pub(super) fn command(&mut self, command: Command) {
        self.input(Input::Command(command));
    }

    pub(super) fn input(&mut self, input: Input<'_>) {
        let now = self.now();
        self.port.handle_input(now, input);
        self.collect();
    }

    /// Runs the clock, a millisecond a step.
    pub(super) fn run(&mut self, ms: u64) {
        for _ in 0..ms {
            self.now_ms += 1;
            self.catch_up();
        }
    }

    /// Lets time pass with nobody looking, then does what is due.
    pub(super) fn stall(&mut self, ms: u64) {
        self.now_ms += ms;
        self.catch_up();
    }

    fn catch_up(&mut self) {
        while self.port.poll_timeout().is_some_and(|at| at <= self.now()) {
            let now = self.now();
            self.port.handle_timeout(now);
            self.collect();
        }
    }

    fn collect(&mut self) {
        let at_ms = self.now_ms;
        while let Some(output) = self.port.poll_output() {
            match output {
                Output::Bind { .. } | Output::RecordingStarted { .. } => {}
                Output::Restrict(source) => self.restricted = source,
                Output::Rtp { to, packet } => self.sent.push(read(at_ms, to, packet)),
                Output::Rtcp { packet, .. } => self.rtcp.push(packet.to_vec()),
                Output::Recorded { samples, .. } => self.recorded.extend_from_slice(samples),
                Output::Release => self.released = true,
                Output::Event(_, event) => self.events.push((at_ms, event)),
            }
        }
    }

    /// The far end sends a frame of sound; its clock goes on.
    pub(super) fn far_sound(&mut self, bytes: &[u8]) {
        self.far_packet(0, false, bytes);
        self.far.timestamp = self.far.timestamp.wrapping_add(bytes.len() as u32);
    }

    /// The far end sends a telephone-event packet of the event that began at `timestamp`.
    pub(super) fn far_event(&mut self, timestamp: u32, key: char, duration: u16, end: bool) {
        let report = Payload { event: digit(key).event(), end, volume: 10, duration };
        let at = std::mem::replace(&mut self.far.timestamp, timestamp);
        self.far_packet(97, duration <= 160, &report.to_bytes());
        self.far.timestamp = at;
    }

    pub(super) fn far_packet(&mut self, kind: u8, marker: bool, payload: &[u8]) {
        let packet = RtpPacketBuilder::new()
            .payload_type(kind)
            .marked(marker)
            .sequence(Seq::from(self.far.sequence))
            .timestamp(self.far.timestamp)
            .ssrc(self.far.ssrc)
            .payload(payload)
            .build()
            .expect("a packet");
        self.far.sequence = self.far.sequence.wrapping_add(1);
        self.input(Input::Rtp { from: self.far.address, datagram: &packet });
    }

    pub(super) fn only_events(&self) -> Vec<Event> {
        self.events.iter().map(|(_, event)| event.clone()).collect()
    }

    pub(super) fn keys(&self) -> String {
        self.events
            .iter()
            .filter_map(|(_, event)| match event {
                Event::Digit { digit, .. } => Some(digit.as_char()),
                _ => None,
            })
            .collect()
    }

    pub(super) fn refused(&self) -> u64 {
        self.port.statistics().expect("a call").refused
    }
}

fn read(at_ms: u64, to: SocketAddr, packet: &[u8]) -> Sent {
    let packet = RtpReader::new(packet).expect("RTP");
    assert_eq!(packet.ssrc(), START.ssrc);
    Sent {
        at_ms,
        to,
        kind: packet.payload_type(),
        marker: packet.mark(),
        sequence: packet.sequence_number().into(),
        timestamp: packet.timestamp(),
        payload: packet.payload().to_vec(),
    }
}
