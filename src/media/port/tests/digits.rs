//! Keys of the caller (RFC 4733).

use super::harness::{Rig, digit, negotiated, playback};
use crate::codecs::dtmf_detect::Detector;
use crate::codecs::g711::Law;
use crate::codecs::tone::Generator;
use crate::ids::MediaId;
use crate::media::{
    Command, DigitSet, Event, KeyPress, Playback, PlaybackEnd, Refusal, SourcePolicy,
};
use crate::sdp::{Codec, Negotiated};
use crate::timers::Duration;

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
fn the_rest_of_a_press_that_another_node_has_reported_does_not_count() {
    let mut rig = Rig::open(SourcePolicy::Strict);
    rig.command(Command::GoOnAfter(KeyPress { event: 4, rtp_timestamp: rig.far.timestamp }));
    rig.command(Command::Session(negotiated()));
    press(&mut rig, '4');
    assert_eq!(rig.keys(), "");
    press(&mut rig, '4');
    assert_eq!(rig.keys(), "4");
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
fn sip_m6_keys_of_a_new_ssrc_count_once_it_has_taken_over() {
    let mut rig = Rig::answered();
    press(&mut rig, '1');
    rig.far.ssrc = 600;
    rig.far.sequence = 40_000;
    rig.far.timestamp = 12;
    for _ in 0..5 {
        rig.far_sound(&[0x55; 160]);
        rig.run(20);
    }
    press(&mut rig, '2');
    assert_eq!(rig.keys(), "12");
}

#[test]
fn sip_m3_a_press_whose_first_and_last_packets_are_lost_counts_once() {
    let mut rig = Rig::answered();
    for (n, key) in "37".chars().enumerate() {
        let timestamp = 90_000 + n as u32 * 4_000;
        rig.far_event(timestamp, key, 480, false);
        rig.run(20);
        rig.far_event(timestamp, key, 640, false);
        rig.run(400);
    }
    assert_eq!(rig.keys(), "37");
}

#[test]
fn r_03_no_more_than_twelve_digits_a_second() {
    let mut rig = Rig::answered();
    for n in 0..60 {
        rig.far_event(100_000 + n * 800, '7', 160, true);
        rig.run(20);
    }
    assert!(rig.keys().len() <= 24, "{} digits in 1.2 s", rig.keys().len());
    let refused = rig.events.iter().map(|(_, event)| match event {
        Event::DigitsRefused { count, why: Refusal::TooFast } => *count as usize,
        _ => 0,
    });
    assert_eq!(rig.keys().len() + refused.sum::<usize>(), 60, "the others are told as lost");
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

/// A key as sound, and a pause after it.
fn play_tone(rig: &mut Rig, key: char, ms: usize, pause_ms: usize) {
    let mut generator = Generator::dtmf(digit(key));
    for _ in 0..ms / 20 {
        let mut samples = [0; 160];
        generator.fill(&mut samples);
        let mut octets = [0; 160];
        Law::Mu.encode(&samples, &mut octets);
        rig.far_sound(&octets);
        rig.run(20);
    }
    for _ in 0..pause_ms / 20 {
        rig.far_sound(&[0xff; 160]);
        rig.run(20);
    }
}

#[test]
fn sip_m4_tones_are_heard_where_no_events_come() {
    let mut rig = Rig::answered();
    for key in "159D#0".chars() {
        play_tone(&mut rig, key, 80, 80);
    }
    assert_eq!(rig.keys(), "159D#0");
    assert!(matches!(rig.events[1].1, Event::Digit { in_band: true, .. }));
}

#[test]
fn sip_m4_the_same_key_twice_counts_twice_even_when_the_pause_is_not_sent() {
    let mut rig = Rig::answered();
    play_tone(&mut rig, '5', 80, 80);
    play_tone(&mut rig, '5', 80, 0);
    rig.far.timestamp += 8 * 200;
    rig.run(200);
    play_tone(&mut rig, '5', 80, 80);
    assert_eq!(rig.keys(), "555");
}

#[test]
fn sip_m5_a_key_that_comes_as_tone_and_as_event_counts_once() {
    for lead_ms in [0, 40, 80, 120] {
        let mut rig = Rig::answered();
        let timestamp = rig.far.timestamp;
        play_tone(&mut rig, '6', lead_ms, 0);
        for n in 1..=5_u16 {
            rig.far_event(timestamp, '6', n * 160, n == 5);
            play_tone(&mut rig, '6', 20, 0);
        }
        play_tone(&mut rig, '6', 0, 100);
        assert_eq!(rig.keys(), "6", "the tone leads by {lead_ms} ms");
    }
}

#[test]
fn sip_m5_tones_mean_nothing_once_an_event_was_seen() {
    let mut rig = Rig::answered();
    press(&mut rig, '1');
    play_tone(&mut rig, '2', 100, 100);
    press(&mut rig, '3');
    assert_eq!(rig.keys(), "13");
}

#[test]
fn sip_m5_an_event_of_another_key_right_after_a_tone_is_another_press() {
    let mut rig = Rig::answered();
    play_tone(&mut rig, '2', 60, 60);
    press(&mut rig, '4');
    assert_eq!(rig.keys(), "24");
}

#[test]
fn tones_are_heard_again_when_events_are_negotiated_away() {
    let mut rig = Rig::answered();
    press(&mut rig, '1');
    rig.command(Command::Session(Negotiated { event_recv: None, ..negotiated() }));
    play_tone(&mut rig, '2', 100, 100);
    assert_eq!(rig.keys(), "12");
}

#[test]
fn a_muted_caller_makes_no_tones() {
    let mut rig = Rig::answered();
    rig.command(Command::Mute { out: false, inbound: true });
    play_tone(&mut rig, '2', 100, 100);
    assert_eq!(rig.keys(), "");
}

#[test]
fn a_far_end_that_takes_no_events_gets_tones() {
    for (codec, law) in [(Codec::Pcmu, Law::Mu), (Codec::Pcma, Law::A)] {
        let mut rig = Rig::answered();
        rig.command(Command::Session(Negotiated { event_send: None, codec, ..negotiated() }));
        rig.command(Command::SendDigits {
            digits: "42#".chars().map(digit).collect(),
            duration: Duration::from_millis(80),
            between: Duration::from_millis(80),
            after: Duration::ZERO,
        });
        rig.run(800);
        let mut detector = Detector::new();
        let mut heard = String::new();
        for sent in &rig.sent {
            assert_eq!(sent.kind, law.payload_type());
            let mut samples = [0; 160];
            law.decode(&sent.payload, &mut samples);
            heard.extend(detector.push(&samples).map(|digit| digit.as_char()));
        }
        assert_eq!(heard, "42#");
    }
}
