//! Sources, streams, silence and hostile datagrams.

use proptest::prelude::*;

use super::harness::{CALL, Rig, START, far_address, negotiated};
use crate::media::{Command, Event, Input, SourcePolicy};
use crate::sdp::{Direction, Negotiated};

const SOUND: [u8; 160] = [0x55; 160];

fn open() -> Command {
    Command::Open {
        call: CALL,
        udp_port: 30_002,
        start: START,
        policy: SourcePolicy::Strict,
        detect_tones: true,
    }
}

fn silent_events(rig: &Rig) -> Vec<(u64, Event)> {
    let about_silence = |e: &Event| matches!(e, Event::InboundSilent | Event::InboundBack);
    rig.events.iter().filter(|(_, e)| about_silence(e)).cloned().collect()
}

#[test]
fn the_sockets_are_restricted_to_the_source_of_the_sdp() {
    let rig = Rig::answered();
    assert_eq!(rig.restricted, Some(far_address()));
}

#[test]
fn r_01_packets_of_another_source_are_counted_and_neither_heard_nor_answered() {
    let mut rig = Rig::answered();
    rig.far.address = "198.51.100.1:4000".parse().expect("an address");
    for _ in 0..100 {
        rig.far_event(1_000, '5', 320, true);
        rig.run(20);
    }
    assert_eq!(rig.keys(), "");
    assert_eq!(rig.refused(), 100);
    assert!(rig.sent.iter().all(|sent| sent.to == far_address()));
}

#[test]
fn sip_m2_a_learned_source_redirects_the_stream_and_restricts_the_sockets() {
    let mut rig = Rig::open(SourcePolicy::Symmetric);
    rig.command(Command::Session(negotiated()));
    assert_eq!(rig.restricted, None);
    rig.far.address = "198.51.100.1:7000".parse().expect("an address");
    for _ in 0..8 {
        rig.far_sound(&SOUND);
        rig.run(20);
    }
    assert_eq!(rig.restricted, Some(rig.far.address));
    assert_eq!(rig.sent.last().map(|sent| sent.to), Some(rig.far.address));
    assert_eq!(rig.port.statistics().map(|s| (s.received, s.refused)), Some((4, 4)));
}

#[test]
fn r_01_an_unanswered_learning_window_restricts_to_the_sdp() {
    let mut rig = Rig::open(SourcePolicy::Symmetric);
    rig.command(Command::Session(negotiated()));
    rig.run(3_001);
    assert_eq!(rig.restricted, Some(far_address()));
}

#[test]
fn the_same_answer_again_keeps_a_learned_source() {
    let mut rig = Rig::open(SourcePolicy::Symmetric);
    rig.command(Command::Session(negotiated()));
    rig.far.address = "198.51.100.1:7000".parse().expect("an address");
    for _ in 0..5 {
        rig.far_sound(&SOUND);
    }
    rig.command(Command::Session(negotiated()));
    assert_eq!(rig.restricted, Some(rig.far.address));
}

#[test]
fn another_ssrc_of_the_far_end_is_told_once_and_the_first_one_and_a_jump_are_not() {
    let mut rig = Rig::answered();
    let mut told = |ssrc, sequence| {
        (rig.far.ssrc, rig.far.sequence) = (ssrc, sequence);
        for _ in 0..8 {
            rig.far_sound(&SOUND);
            rig.run(20);
        }
        rig.events.iter().filter(|(_, event)| *event == Event::NewSsrc).count()
    };
    assert_eq!([(5, 100), (5, 20_000), (600, 40_000)].map(|(n, at)| told(n, at)), [0, 0, 1]);
}

#[test]
fn sip_m6_comfort_noise_keeps_the_far_end_alive() {
    let mut rig = Rig::answered();
    for _ in 0..30 {
        rig.run(1_000);
        rig.far_packet(13, false, &[40]);
    }
    assert_eq!(silent_events(&rig), []);
    assert_eq!(rig.refused(), 0);
}

#[test]
fn sip_m6_a_far_end_without_rtcp_is_as_good_as_any() {
    let mut rig = Rig::answered();
    for _ in 0..3_000 {
        rig.far_sound(&SOUND);
        rig.run(20);
    }
    assert_eq!(silent_events(&rig), []);
    let statistics = rig.port.statistics().expect("a call");
    assert_eq!((statistics.received, statistics.lost, statistics.refused), (3_000, 0, 0));
    assert!(rig.rtcp.len() >= 10, "it gets our reports all the same");
}

#[test]
fn an_unknown_payload_type_is_refused() {
    let mut rig = Rig::answered();
    for kind in [3, 8, 18, 96, 101, 127] {
        rig.far_packet(kind, false, &[0; 160]);
    }
    assert_eq!(rig.refused(), 6);
    assert_eq!(rig.port.statistics().map(|s| s.received), Some(0));
}

#[test]
fn malformed_rtp_of_the_right_source_is_counted_and_changes_nothing() {
    let mut rig = Rig::answered();
    rig.far_sound(&SOUND);
    let header = [0x80, 0, 0, 10, 0, 0, 0, 1, 0, 0, 0, 5];
    let with = |first: u8, rest: &[u8]| {
        let mut datagram = [&header[..], rest].concat();
        datagram[0] = first;
        datagram
    };
    let malformed = [
        ("nothing", Vec::new()),
        ("a header cut short", header[..11].to_vec()),
        ("version 1", with(0x40, &SOUND)),
        ("CSRCs beyond the end", with(0x82, &[0; 7])),
        ("no room for the length of an extension", with(0x90, &[0; 3])),
        ("an extension beyond the end", with(0x90, &[0, 0, 0, 2, 0, 0, 0, 0])),
        ("padding without its length", with(0xa0, &[])),
        ("padding of no length", with(0xa0, &[0; 160])),
        ("more padding than packet", with(0xa0, &[161; 160])),
    ];
    for (refused, (what, datagram)) in (1..).zip(malformed) {
        rig.input(Input::Rtp { from: far_address(), datagram: &datagram });
        let counts = rig.port.statistics().map(|s| (s.received, s.refused));
        assert_eq!(counts, Some((1, refused)), "{what}");
    }
    rig.far_sound(&SOUND);
    let statistics = rig.port.statistics().expect("a call");
    assert_eq!((statistics.received, statistics.lost), (2, 0), "the stream goes on");
}

#[test]
fn sip_m8_silence_is_told_once_and_its_end_once() {
    let mut rig = Rig::answered();
    rig.far_sound(&SOUND);
    rig.run(60_000);
    rig.far_sound(&SOUND);
    rig.far_sound(&SOUND);
    assert_eq!(silent_events(&rig), [(11_000, Event::InboundSilent), (61_000, Event::InboundBack)]);
}

#[test]
fn sip_m8_a_silent_far_end_still_hears_us() {
    let mut rig = Rig::answered();
    rig.run(600_000);
    assert_eq!(silent_events(&rig), [(11_000, Event::InboundSilent)]);
    assert_eq!(rig.sent.len(), 30_000);
}

#[test]
fn sip_m8_a_held_call_may_be_silent() {
    for direction in [Direction::SendOnly, Direction::RecvOnly, Direction::Inactive] {
        let mut rig = Rig::answered();
        rig.command(Command::Session(Negotiated { direction, ..negotiated() }));
        rig.run(60_000);
        assert_eq!(silent_events(&rig), []);
        rig.command(Command::Session(negotiated()));
        rig.run(9_900);
        assert_eq!(silent_events(&rig), [], "the time begins anew after a hold");
        rig.run(200);
        assert_eq!(silent_events(&rig).len(), 1);
    }
}

#[test]
fn r_04_a_flood_is_dropped_and_the_call_goes_on() {
    let mut rig = Rig::answered();
    for _ in 0..10 {
        for _ in 0..1_000 {
            rig.far_sound(&SOUND);
        }
        rig.run(1_000);
    }
    let statistics = rig.port.statistics().expect("a call");
    assert!(statistics.received <= 2_200, "{statistics:?}");
    assert!(statistics.refused >= 7_800, "{statistics:?}");
    assert_eq!(rig.sent.len(), 500);
}

#[test]
fn statistics_count_loss() {
    let mut rig = Rig::answered();
    for n in 0..50 {
        if n % 10 == 5 {
            rig.far.sequence += 1;
        }
        rig.far_sound(&SOUND);
        rig.run(20);
    }
    let statistics = rig.port.statistics().expect("a call");
    assert_eq!((statistics.received, statistics.lost, statistics.sent), (50, 5, 50));
    assert_eq!(statistics.source, Some(far_address()));
}

#[test]
fn rtcp_on_the_rtp_port_is_not_taken_for_sound() {
    let mut rig = Rig::answered();
    rig.far_sound(&SOUND);
    let report = [0x80, 200, 0, 6, 0, 0, 0, 5].into_iter().chain([0; 20]).collect::<Vec<u8>>();
    rig.input(Input::Rtp { from: far_address(), datagram: &report });
    assert_eq!(rig.port.statistics().map(|s| (s.received, s.refused)), Some((1, 0)));
}

#[test]
fn a_new_call_on_the_port_begins_clean() {
    let mut rig = Rig::answered();
    rig.far_sound(&SOUND);
    rig.run(100);
    rig.command(Command::Close);
    assert_eq!(rig.port.statistics(), None);
    rig.command(open());
    rig.input(Input::Bound);
    assert_eq!(rig.only_events().last(), Some(&Event::Opened));
    assert_eq!(rig.port.statistics().map(|s| (s.received, s.sent)), Some((0, 0)));
}

#[test]
fn a_taken_udp_port_is_told_and_leaves_the_port_closed() {
    let mut rig = Rig::answered();
    rig.command(Command::Close);
    rig.command(open());
    rig.input(Input::BindFailed);
    assert_eq!(rig.only_events().last(), Some(&Event::OpenFailed));
    assert_eq!(rig.port.statistics(), None);
}

proptest! {
    #[test]
    fn no_datagram_harms(
        datagrams in prop::collection::vec(
            (0..4_u8, prop::collection::vec(any::<u8>(), 0..200)), 0..40,
        ),
    ) {
        let mut rig = Rig::answered();
        for (shape, mut datagram) in datagrams {
            // Most random bytes are no RTP at all; give three quarters of them a header.
            if datagram.len() > 12 && shape > 0 {
                datagram[0] = 0x80 | datagram[0] & 0x3f;
                datagram[1] = [0, 97, 97, 13][usize::from(shape)] | datagram[1] & 0x80;
                datagram[8..12].copy_from_slice(&[0, 0, 0, shape & 1]);
            }
            rig.input(Input::Rtp { from: far_address(), datagram: &datagram });
            rig.input(Input::Rtcp { from: far_address(), datagram: &datagram });
            rig.run(7);
        }
        prop_assert!(rig.port.statistics().is_some());
    }
}
