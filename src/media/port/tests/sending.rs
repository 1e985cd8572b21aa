//! What leaves a port.

use rtcp_types::{Compound, Packet};

use std::sync::Arc;

use super::harness::{CALL, Rig, START, digit, negotiated, playback, prompt};
use crate::ids::MediaId;
use crate::media::{
    Command, Config, DigitSet, Event, Input, MediaPort, Playback, PlaybackEnd, SourcePolicy,
};
use crate::sdp::{Codec, Direction, Negotiated};
use crate::timers::Duration;

#[test]
fn an_answered_call_sends_silence_every_20_ms_in_its_phase() {
    let mut rig = Rig::answered();
    rig.run(200);
    let times: Vec<_> = rig.sent.iter().map(|sent| sent.at_ms).collect();
    assert_eq!(times, (0..10).map(|n| 1_003 + n * 20).collect::<Vec<_>>());
    assert!(rig.sent.iter().all(|sent| sent.payload == [0xff; 160] && sent.kind == 0));
}

#[test]
fn sequence_grows_by_one_and_the_timestamp_by_the_clock() {
    let mut rig = Rig::answered();
    rig.run(1_000);
    for (n, sent) in rig.sent.iter().enumerate() {
        assert_eq!(sent.sequence, START.sequence.wrapping_add(n as u16));
        assert_eq!(sent.timestamp, START.timestamp + n as u32 * 160);
        assert_eq!(sent.marker, n == 0);
    }
}

#[test]
fn nothing_leaves_before_the_answer() {
    let mut rig = Rig::open(SourcePolicy::Strict);
    rig.command(Command::Play(playback(1, 9, 100)));
    rig.run(500);
    assert_eq!((rig.sent.len(), rig.rtcp.len()), (0, 0));
    rig.command(Command::Session(negotiated()));
    rig.run(20);
    assert_eq!(rig.sent[0].payload, [9; 160], "a prompt asked for early begins with the answer");
}

#[test]
fn a_playback_is_reported_with_its_first_and_after_its_last_packet() {
    let mut rig = Rig::answered();
    rig.run(50);
    rig.command(Command::Play(playback(1, 9, 100)));
    rig.run(200);
    let sound: Vec<_> = rig.sent.iter().filter(|s| s.payload[0] == 9).map(|s| s.at_ms).collect();
    assert_eq!(sound, [1_063, 1_083, 1_103, 1_123, 1_143]);
    let id = MediaId(1);
    let end = PlaybackEnd::Completed;
    assert_eq!(
        rig.events[1..],
        [
            (1_063, Event::PlaybackStarted { id }),
            (1_143, Event::PlaybackFinished { id, end, position_ms: 100 })
        ]
    );
}

#[test]
fn a_hold_stops_packets_but_not_the_timestamp_and_the_prompt_waits() {
    let mut rig = Rig::answered();
    rig.command(Command::Play(playback(1, 9, 400)));
    rig.run(100);
    let hold = Negotiated { direction: Direction::Inactive, ..negotiated() };
    rig.command(Command::Session(hold));
    rig.run(200);
    assert_eq!(rig.sent.len(), 5);
    rig.command(Command::Session(negotiated()));
    rig.run(400);
    let resumed = &rig.sent[5];
    assert!(resumed.marker);
    assert_eq!(resumed.sequence, START.sequence.wrapping_add(5));
    assert_eq!(resumed.timestamp, START.timestamp + 15 * 160);
    assert_eq!(rig.sent.iter().filter(|s| s.payload[0] == 9).count(), 20, "all 400 ms of it");
}

#[test]
fn a_hold_by_an_address_of_zero_stops_packets() {
    let mut rig = Rig::answered();
    let remote = "0.0.0.0:4000".parse().expect("an address");
    rig.command(Command::Session(Negotiated { remote, ..negotiated() }));
    rig.run(100);
    assert_eq!(rig.sent.len(), 0);
    assert_eq!(rig.restricted, Some(super::harness::far_address()));
}

#[test]
fn who_only_sends_keeps_sending() {
    let mut rig = Rig::answered();
    let direction = Direction::SendOnly;
    rig.command(Command::Session(Negotiated { direction, ..negotiated() }));
    rig.run(100);
    assert_eq!(rig.sent.len(), 5);
}

#[test]
fn sip_d3_a_new_codec_address_and_packet_time_take_effect_at_the_next_frame() {
    let mut rig = Rig::answered();
    rig.command(Command::Play(playback(1, 9, 400)));
    rig.run(100);
    let remote = "192.0.2.10:6000".parse().expect("an address");
    let codec = Codec::Pcma;
    rig.command(Command::Session(Negotiated { remote, codec, ptime_ms: 30, ..negotiated() }));
    rig.run(90);
    let sent = &rig.sent[5];
    assert_eq!((sent.to, sent.kind, sent.payload.len()), (remote, 8, 240));
    assert_eq!(sent.sequence, START.sequence.wrapping_add(5));
    assert_eq!(sent.timestamp, START.timestamp + 5 * 160);
    assert_eq!(rig.sent[6].timestamp, START.timestamp + 5 * 160 + 240);
    assert_eq!(rig.sent[6].at_ms, sent.at_ms + 30);
}

#[test]
fn sip_m1_packets_of_40_ms_are_sent_when_asked_for() {
    let mut rig = Rig::open(SourcePolicy::Strict);
    rig.command(Command::Session(Negotiated { ptime_ms: 40, ..negotiated() }));
    rig.run(400);
    assert_eq!(rig.sent.len(), 10);
    assert!(rig.sent.iter().all(|sent| sent.payload.len() == 320));
}

#[test]
fn a_stalled_worker_catches_up_two_frames_and_leaves_out_the_rest() {
    let mut rig = Rig::answered();
    rig.run(20);
    rig.stall(1_000);
    rig.run(20);
    assert_eq!(rig.sent.len(), 1 + 3 + 1);
    let last = rig.sent.last().expect("sent");
    assert_eq!(last.timestamp, START.timestamp + 51 * 160);
    assert_eq!(last.sequence, START.sequence.wrapping_add(4));
    let punctuality = rig.port.punctuality();
    assert_eq!((punctuality.left_out, punctuality.caught_up), (47, 2));
}

#[test]
fn ten_minutes_of_late_wake_ups_add_up_to_no_drift_and_no_burst() {
    let mut rig = Rig::answered();
    let mut waits = [1, 7, 15, 2, 11, 4, 13].iter().cycle();
    let mut passed = 0;
    while passed < 600_000 {
        let wait = *waits.next().expect("endless");
        rig.stall(wait);
        passed += wait;
    }
    for (n, sent) in rig.sent.iter().enumerate() {
        let late = sent.at_ms - (1_003 + n as u64 * 20);
        assert!(late < 15, "packet {n} left {late} ms after its time");
    }
    assert!((29_999..=30_001).contains(&rig.sent.len()), "{}", rig.sent.len());
    assert!(rig.sent.windows(2).all(|two| two[1].at_ms - two[0].at_ms > 5));
    assert_eq!(rig.port.punctuality().left_out, 0);
}

#[test]
fn sip_m3_digits_are_sent_as_events_in_the_payload_type_that_was_agreed() {
    let mut rig = Rig::answered();
    rig.run(20);
    rig.command(Command::SendDigits {
        digits: vec![digit('4'), digit('2')],
        duration: Duration::from_millis(100),
        between: Duration::from_millis(100),
        after: Duration::ZERO,
    });
    rig.run(500);
    let keys: Vec<_> = rig.sent.iter().filter(|sent| sent.kind == 101).collect();
    assert_eq!(keys.iter().filter(|sent| sent.marker).count(), 2);
    assert_eq!(keys.iter().filter(|sent| sent.payload[1] & 0x80 != 0).count(), 6, "3 ends each");
    assert_eq!(keys[0].payload[0], 4);
    let in_order = rig.sent.windows(2).all(|p| p[1].sequence == p[0].sequence.wrapping_add(1));
    assert!(in_order, "events and sound share one sequence");
    let sound = rig.sent.last().expect("sent");
    assert_eq!(sound.timestamp, START.timestamp + (rig.sent.len() as u32 - 1) * 160);
}

#[test]
fn a_muted_playback_goes_on_unheard() {
    let mut rig = Rig::answered();
    rig.command(Command::Play(playback(1, 9, 100)));
    rig.command(Command::Mute { out: true, inbound: false });
    rig.run(60);
    rig.command(Command::Mute { out: false, inbound: false });
    rig.run(60);
    let heard: Vec<_> = rig.sent.iter().map(|sent| sent.payload[0]).collect();
    assert_eq!(heard, [0xff, 0xff, 0xff, 9, 9, 0xff]);
}

#[test]
fn the_end_of_a_call_stops_everything_and_says_goodbye() {
    let mut rig = Rig::answered();
    rig.command(Command::Play(playback(1, 9, 1_000)));
    rig.run(100);
    rig.command(Command::Close);
    assert!(rig.released);
    let last = rig.rtcp.last().expect("a goodbye");
    let packets: Vec<_> = Compound::parse(last).expect("RTCP").collect();
    assert!(matches!(packets.last(), Some(Ok(Packet::Bye(_)))));
    let end = PlaybackEnd::Stopped;
    let finished = Event::PlaybackFinished { id: MediaId(1), end, position_ms: 100 };
    assert_eq!(rig.only_events().last(), Some(&finished));
    rig.run(1_000);
    assert_eq!(rig.sent.len(), 5);
    assert_eq!(rig.port.poll_timeout(), None);
}

#[test]
fn a_call_that_goes_on_elsewhere_ends_here_without_goodbye() {
    let mut rig = Rig::answered();
    rig.run(100);
    rig.command(Command::Leave);
    assert!(rig.released);
    assert_eq!(rig.rtcp.len(), 0);
    rig.run(1_000);
    assert_eq!(rig.sent.len(), 5);
}

#[test]
fn a_stream_tells_where_it_stands_as_often_as_it_is_asked_to() {
    let every = Duration::from_millis(400);
    let mut rig = Rig::open(SourcePolicy::Strict);
    let config = Config { standing_every: Some(every), ..Config::default() };
    rig.port = MediaPort::new(Arc::new(config), Duration::from_millis(3));
    rig.command(Command::Open {
        call: CALL,
        udp_port: 30_000,
        start: START,
        policy: SourcePolicy::Strict,
        detect_tones: true,
    });
    rig.input(Input::Bound);
    rig.command(Command::Session(negotiated()));
    rig.run(1_000);
    let told: Vec<_> = rig
        .events
        .iter()
        .filter_map(|(at, event)| match event {
            Event::Standing(start) => Some((*at, *start)),
            _ => None,
        })
        .collect();
    assert_eq!(told.len(), 3, "{told:?}");
    let (at, stood) = told[1];
    let next = rig.sent.iter().find(|sent| sent.at_ms > at).expect("it goes on");
    assert_eq!((stood.ssrc, stood.sequence), (START.ssrc, next.sequence));
    let later = Duration::from_millis(next.at_ms - at);
    assert_eq!(stood.after(later).timestamp, next.timestamp);
}

#[test]
fn reports_go_to_the_port_beside_every_five_seconds() {
    let mut rig = Rig::answered();
    rig.run(21_000);
    assert_eq!(rig.rtcp.len(), 4);
    let first = Compound::parse(&rig.rtcp[0]).expect("RTCP").next();
    assert!(matches!(&first, Some(Ok(Packet::Sr(report))) if report.packet_count() > 40));
}

#[test]
fn each_digit_that_begins_to_leave_is_told_and_each_that_finds_no_room() {
    let mut rig = Rig::answered();
    let command = || Command::SendDigits {
        digits: vec![digit('1'); 40],
        duration: Duration::from_millis(40),
        between: Duration::from_millis(40),
        after: Duration::ZERO,
    };
    rig.command(command());
    rig.command(command());
    assert_eq!(rig.only_events().last(), Some(&Event::Keyed { sent: 0, lost: 16 }));
    rig.run(64 * 120);
    let sent = |event: &Event| if let Event::Keyed { sent, .. } = event { *sent } else { 0 };
    assert_eq!(rig.only_events().iter().map(sent).sum::<u32>(), 64);
}

#[test]
fn playbacks_of_one_command_sound_one_after_the_other() {
    let mut rig = Rig::answered();
    rig.command(Command::PlayAll(vec![playback(1, 7, 20), playback(2, 8, 20)]));
    rig.run(60);
    let heard: Vec<u8> = rig.sent.iter().map(|sent| sent.payload[0]).collect();
    assert_eq!(heard, [7, 8, 0xff]);
}

#[test]
fn a_port_without_a_call_answers_what_waits_for_an_answer() {
    let mut rig = Rig::answered();
    rig.command(Command::Close);
    rig.command(Command::PlayAll(vec![playback(8, 1, 10)]));
    rig.command(Command::Play(Playback {
        pieces: vec![prompt(1, 10)],
        parts: Vec::new(),
        barge_in: DigitSet::NONE,
        ..playback(9, 1, 10)
    }));
    let end = PlaybackEnd::Stopped;
    let finished = Event::PlaybackFinished { id: MediaId(9), end, position_ms: 0 };
    assert_eq!(rig.only_events().last(), Some(&finished));
}
