//! Workers on loopback sockets. Nothing here depends on how fast the machine is: what is asserted
//! is order, content, and what must never come.

#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "the far end's socket")]

use std::net::{SocketAddr, UdpSocket};

use bytes::Bytes;
use rtp_rs::{RtpPacketBuilder, RtpReader};
use tokio::sync::mpsc::{Receiver, channel};

use super::*;
use crate::codecs::Digit;
use crate::ids::MediaId;
use crate::media::{
    DigitSet, IfExists, Playback, PlaybackEnd, Prompt, Recording, SourcePolicy, StreamStart,
};
use crate::sdp::{Codec, Direction, Negotiated};
use crate::timers::Duration;

const PORT: PortId = PortId(2);
const CALL: CallId = CallId(5);
const START: StreamStart = StreamStart { ssrc: 42, sequence: 7, timestamp: 0 };

struct Rig {
    net: RtpNet,
    events: Receiver<Report>,
    far: UdpSocket,
    udp_port: u16,
    _recordings: tempfile::TempDir,
}

fn loopback(udp_port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], udp_port))
}

fn opening(call: CallId, udp_port: u16, policy: SourcePolicy) -> Command {
    Command::Open { call, udp_port, start: START, policy, detect_tones: false }
}

fn far_socket() -> UdpSocket {
    let socket = UdpSocket::bind(loopback(0)).expect("a socket");
    socket.set_read_timeout(Some(Duration::from_secs(10))).expect("a time-out");
    socket
}

impl Rig {
    fn start(policy: SourcePolicy) -> Self {
        let recordings = tempfile::tempdir().expect("a directory");
        let (sender, events) = channel(64);
        let config = Config {
            ports: 4,
            workers: Some(2),
            address: loopback(0).ip(),
            service: None,
            raise_priority: false,
            recordings: recordings.path().to_owned(),
            media: Arc::new(media::Config::default()),
        };
        let net = RtpNet::start(&config, Arc::new(sender)).expect("threads");
        let mut rig = Self { net, events, far: far_socket(), udp_port: 0, _recordings: recordings };
        rig.open(policy);
        rig
    }

    /// Opens the call on the first pair of ports that is free, as the node does.
    fn open(&mut self, policy: SourcePolicy) {
        let taken = UdpSocket::bind(loopback(0)).expect("a socket");
        let first = taken.local_addr().expect("an address").port() & !1;
        for udp_port in (first.min(60_000)..).step_by(2).take(500) {
            self.command(opening(CALL, udp_port, policy));
            match self.event() {
                Event::Opened => {
                    self.udp_port = udp_port;
                    return;
                }
                Event::OpenFailed => {}
                other => panic!("{other:?}"),
            }
        }
        panic!("no free pair of ports");
    }

    fn command(&self, command: Command) {
        self.net.send(PORT, command).expect("room");
    }

    fn event(&mut self) -> Event {
        let report = self.events.blocking_recv().expect("the workers run");
        assert_eq!(report.port, PORT);
        report.event
    }

    fn answer(&self, far: &UdpSocket) {
        self.command(Command::Session(Negotiated {
            remote: far.local_addr().expect("an address"),
            codec: Codec::Pcmu,
            event_send: Some(101),
            event_recv: Some(101),
            direction: Direction::SendRecv,
            ptime_ms: 20,
        }));
    }

    fn play(&self, id: u32, byte: u8, frames: usize) {
        let pcmu = Bytes::from(vec![byte; frames * 160]);
        self.command(Command::Play(Playback {
            id: MediaId(id),
            pieces: vec![Arc::new(Prompt { pcma: pcmu.clone(), pcmu })],
            parts: Vec::new(),
            offset: Duration::ZERO,
            skip: Duration::ZERO,
            repeat: false,
            barge_in: DigitSet::NONE,
            replace: false,
        }));
    }

    fn press(&self, far: &UdpSocket, sequence: u16, key: char) {
        let event = Digit::from_char(key).expect("a key").event();
        let packet = RtpPacketBuilder::new()
            .payload_type(101)
            .sequence(sequence.into())
            .timestamp(u32::from(sequence) * 8_000)
            .payload(&[event, 10, 0, 160])
            .build()
            .expect("a packet");
        far.send_to(&packet, loopback(self.udp_port)).expect("sent");
    }
}

/// The next packet at the far end: sequence, timestamp and first octet.
fn heard(far: &UdpSocket) -> (u16, u32, u8) {
    let mut buffer = [0; 2_048];
    let (length, _) = far.recv_from(&mut buffer).expect("a packet within 10 s");
    let packet = RtpReader::new(&buffer[..length]).expect("RTP");
    (packet.sequence_number().into(), packet.timestamp(), packet.payload()[0])
}

fn digit_of(event: &Event) -> Option<char> {
    match event {
        Event::Digit { digit, .. } => Some(digit.as_char()),
        _ => None,
    }
}

#[test]
fn frames_arrive_in_order_and_the_prompt_is_whole() {
    let mut rig = Rig::start(SourcePolicy::Strict);
    rig.play(1, 9, 10);
    rig.answer(&rig.far);
    let frames: Vec<_> = (0..15).map(|_| heard(&rig.far)).collect();
    assert!(frames.windows(2).all(|pair| pair[1].0 == pair[0].0.wrapping_add(1)), "{frames:?}");
    assert!(frames.iter().all(|frame| frame.1 % 160 == 0), "{frames:?}");
    let sound: Vec<_> = frames.iter().map(|frame| frame.2).collect();
    assert_eq!(sound[..10], [9; 10]);
    assert_eq!(sound[10..], [0xff; 5]);
    let (id, end) = (MediaId(1), PlaybackEnd::Completed);
    assert_eq!(rig.event(), Event::PlaybackStarted { id });
    assert_eq!(rig.event(), Event::PlaybackFinished { id, end, position_ms: 200 });
}

#[test]
fn the_report_of_a_playback_bears_the_moment_of_its_first_packet() {
    let mut rig = Rig::start(SourcePolicy::Strict);
    rig.answer(&rig.far);
    heard(&rig.far);
    let asked = crate::driver::clock::now();
    rig.play(1, 9, 5);
    while heard(&rig.far).2 != 9 {}
    let arrived = crate::driver::clock::now();
    let report = rig.events.blocking_recv().expect("a report");
    assert!((asked..=arrived).contains(&report.at), "{asked:?} {report:?} {arrived:?}");
}

#[test]
fn r_01_a_key_from_another_socket_is_not_heard_even_if_it_was_there_before_the_answer() {
    let mut rig = Rig::start(SourcePolicy::Strict);
    let stranger = far_socket();
    for n in 0..5 {
        rig.press(&stranger, n, '6');
    }
    rig.answer(&rig.far);
    heard(&rig.far);
    for n in 5..10 {
        rig.press(&stranger, n, '6');
    }
    rig.press(&rig.far, 1, '5');
    assert_eq!(digit_of(&rig.event()), Some('5'));
    rig.press(&rig.far, 2, '7');
    assert_eq!(digit_of(&rig.event()), Some('7'));
}

#[test]
fn sip_d3_a_new_remote_address_moves_the_stream_and_the_source() {
    let mut rig = Rig::start(SourcePolicy::Strict);
    rig.answer(&rig.far);
    let (first, ..) = heard(&rig.far);
    let other = far_socket();
    rig.answer(&other);
    let (next, ..) = heard(&other);
    assert!(next > first);
    rig.press(&other, 9, '8');
    assert_eq!(digit_of(&rig.event()), Some('8'));
}

#[test]
fn sip_m2_a_far_end_behind_a_nat_is_learned() {
    let mut rig = Rig::start(SourcePolicy::Symmetric);
    let hidden = far_socket();
    rig.answer(&rig.far);
    heard(&rig.far);
    for n in 0..6 {
        rig.press(&hidden, n, '4');
    }
    assert_eq!(digit_of(&rig.event()), Some('4'));
    heard(&hidden);
}

#[test]
fn a_port_can_be_called_again_on_the_same_udp_port() {
    let mut rig = Rig::start(SourcePolicy::Strict);
    rig.answer(&rig.far);
    heard(&rig.far);
    rig.command(Command::Close);
    let (udp_port, policy) = (rig.udp_port, SourcePolicy::Strict);
    rig.command(opening(CallId(6), udp_port, policy));
    assert_eq!(rig.event(), Event::Opened);
    rig.answer(&rig.far);
    while heard(&rig.far).0 != START.sequence {}
}

#[test]
fn the_last_events_of_a_call_bear_its_name_when_the_next_one_follows_at_once() {
    let mut rig = Rig::start(SourcePolicy::Strict);
    rig.answer(&rig.far);
    rig.play(1, 9, 1_000);
    while heard(&rig.far).2 != 9 {}
    let next = CallId(6);
    rig.command(Command::Close);
    rig.command(opening(next, rig.udp_port, SourcePolicy::Strict));
    let mut told = Vec::new();
    while told.last() != Some(&(next, Event::Opened)) {
        let report = rig.events.blocking_recv().expect("the workers run");
        told.push((report.call, report.event));
    }
    let before = &told[..told.len() - 1];
    assert!(before.iter().all(|(call, _)| *call == CALL), "{told:?}");
    let ended = |event: &Event| matches!(event, Event::PlaybackFinished { .. });
    assert!(before.iter().any(|(_, event)| ended(event)), "{told:?}");
}

#[test]
fn a_far_end_that_is_not_there_yet_does_not_stop_the_stream() {
    let mut rig = Rig::start(SourcePolicy::Strict);
    let address = far_socket().local_addr().expect("an address");
    rig.command(Command::Session(Negotiated {
        remote: address,
        codec: Codec::Pcmu,
        event_send: None,
        event_recv: None,
        direction: Direction::SendRecv,
        ptime_ms: 20,
    }));
    rig.play(1, 9, 5);
    assert_eq!(rig.event(), Event::PlaybackStarted { id: MediaId(1) });
    assert!(matches!(rig.event(), Event::PlaybackFinished { .. }));
    let late = UdpSocket::bind(address).expect("the port is free");
    late.set_read_timeout(Some(Duration::from_secs(10))).expect("a time-out");
    heard(&late);
}

#[test]
fn statistics_and_counters_tell_of_the_call() {
    let rig = Rig::start(SourcePolicy::Strict);
    rig.answer(&rig.far);
    for _ in 0..30 {
        heard(&rig.far);
    }
    let statistics = rig.net.statistics(PORT).expect("a call");
    assert!(statistics.sent > 0 && statistics.source == rig.far.local_addr().ok());
    let counters = rig.net.counters();
    assert!(counters.sent >= 29 && counters.live == 1 && counters.cpu_nanos > 0, "{counters:?}");
    assert_eq!(rig.net.statistics(PortId(3)), None);
    assert_eq!(rig.net.statistics(PortId(4_000)), None);
    assert_eq!((rig.net.workers(), rig.net.scheduling()), (2, Scheduling::Default));
}

#[test]
fn a_recording_becomes_a_file() {
    let mut rig = Rig::start(SourcePolicy::Strict);
    rig.answer(&rig.far);
    rig.command(Command::Record(Recording {
        id: MediaId(3),
        name: "voice".into(),
        if_exists: IfExists::Fail,
        max_duration: Some(Duration::from_millis(200)),
        max_silence: None,
        terminate_on: DigitSet::NONE,
        beep: false,
    }));
    let Event::RecordingFinished { id, duration_ms, .. } = rig.event() else { panic!() };
    assert_eq!((id, duration_ms), (MediaId(3), 200));
    let file = rig._recordings.path().join("voice.wav");
    assert_eq!(hound::WavReader::open(file).expect("a WAV file").duration(), 1_600);
}

#[test]
fn events_that_find_no_room_wait_in_their_port() {
    let mut rig = Rig::start(SourcePolicy::Strict);
    rig.answer(&rig.far);
    heard(&rig.far);
    for n in 0..200 {
        rig.play(n, 1, 0);
        heard(&rig.far);
    }
    let mut ids = Vec::new();
    while ids.len() < 200 {
        if let Event::PlaybackFinished { id, .. } = rig.event() {
            ids.push(id.0);
        }
    }
    assert_eq!(ids, (0..200).collect::<Vec<_>>());
}
