//! Keys of the caller (RFC 4733).

use super::harness::{Rig, digit, negotiated, playback};
use crate::ids::MediaId;
use crate::media::{Command, DigitSet, Event, Playback, PlaybackEnd};
use crate::sdp::Negotiated;

/// One key press as a telephone sends it: 100 ms, the end three times.
fn press(rig: &mut Rig, key: char) {
    let timestamp = rig.far.timestamp;
    for n in 1..=5_u16 {
        rig.far_event(timestamp, key, n * 160, n == 5);
        rig.run(20);
    }
    rig.far_event(timestamp, key, 800, true);
    rig.far_event(timestamp, key, 800, true);
    rig.far.timestamp = timestamp.wrapping_add(1_600);
    rig.run(100);
}

#[test]
fn sip_m3_each_press_is_one_digit_when_it_begins() {
    let mut rig = Rig::answered();
    for key in "1234567890*#ABCD".chars() {
        press(&mut rig, key);
    }
    assert_eq!(rig.keys(), "1234567890*#ABCD");
    let Event::Digit { rtp_timestamp, duration_ms, in_band, .. } = rig.events[1].1 else {
        panic!("{:?}", rig.events)
    };
    assert_eq!((rtp_timestamp, duration_ms, in_band), (70_000, 20, false));
    assert_eq!(rig.events[1].0, 1_000, "with the first packet, not the last");
}

#[test]
fn r_03_events_need_the_agreed_payload_type() {
    let mut rig = Rig::answered();
    for kind in [96, 98, 101] {
        rig.far_packet(kind, true, &[5, 10, 0, 160]);
        rig.run(20);
    }
    assert_eq!(rig.keys(), "");
    rig.command(Command::Session(Negotiated { event_recv: None, ..negotiated() }));
    press(&mut rig, '5');
    assert_eq!(rig.keys(), "", "none agreed, none heard");
}

#[test]
fn r_03_events_of_a_second_ssrc_are_refused_while_the_first_speaks() {
    let mut rig = Rig::answered();
    for n in 0..50 {
        rig.far_sound(&[0x55; 160]);
        let (ssrc, sequence) = (rig.far.ssrc, rig.far.sequence);
        rig.far.ssrc = 666;
        rig.far.sequence = n;
        rig.far_event(n.into(), '9', 160, false);
        (rig.far.ssrc, rig.far.sequence) = (ssrc, sequence);
        rig.run(20);
    }
    assert_eq!(rig.keys(), "");
}

#[test]
fn r_03_no_more_than_twelve_digits_a_second() {
    let mut rig = Rig::answered();
    for n in 0..60 {
        rig.far_event(100_000 + n * 800, '7', 160, true);
        rig.run(20);
    }
    assert!(rig.keys().len() <= 24, "{} digits in 1.2 s", rig.keys().len());
}

#[test]
fn sip_d3_a_press_that_spans_a_renegotiation_counts_once() {
    let mut rig = Rig::answered();
    let timestamp = rig.far.timestamp;
    rig.far_event(timestamp, '8', 160, false);
    rig.run(20);
    let remote = "192.0.2.77:5000".parse().expect("an address");
    rig.command(Command::Session(Negotiated { remote, ..negotiated() }));
    rig.far.address = remote;
    for n in 2..6 {
        rig.far_event(timestamp, '8', n * 160, n == 5);
        rig.run(20);
    }
    assert_eq!(rig.keys(), "8");
}

#[test]
fn a_key_stops_the_prompt_at_once_and_the_node_hears_of_the_key_first() {
    let mut rig = Rig::answered();
    let barge_in = DigitSet::NONE.with(digit('5'));
    rig.command(Command::Play(Playback { barge_in, ..playback(1, 9, 5_000) }));
    rig.run(200);
    press(&mut rig, '4');
    assert!(rig.sent.last().is_some_and(|sent| sent.payload[0] == 9), "4 does not stop it");
    rig.far_event(rig.far.timestamp, '5', 160, false);
    let [.., (_, Event::Digit { .. }), (_, Event::PlaybackFinished { id, end, .. })] =
        rig.events[..]
    else {
        panic!("{:?}", rig.events)
    };
    assert_eq!((id, end), (MediaId(1), PlaybackEnd::BargedIn));
    rig.run(20);
    assert_eq!(rig.sent.last().map(|sent| sent.payload[0]), Some(0xff));
}
