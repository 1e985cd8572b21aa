//! What arrives of a series of packets, and what is made of it.

use super::*;
use crate::FRAME_SAMPLES;
use crate::telephone_event::Sender;
use proptest::prelude::*;

/// A packet on its way, and when it was sent.
#[derive(Clone, Copy, Debug)]
struct Sent {
    at_ms: u64,
    timestamp: u32,
    marker: bool,
    report: Payload,
}

fn digit(key: char) -> Digit {
    Digit::from_char(key).expect("a key")
}

/// What our sender makes of the keys, the first at `timestamp`.
fn series(keys: &str, timestamp: u32, duration_ms: u32, pause_ms: u32) -> Vec<Sent> {
    let mut sender = Sender::new();
    for key in keys.chars() {
        sender.queue(digit(key), duration_ms, pause_ms).expect("room");
    }
    let mut sent = Vec::new();
    for frame in 0.. {
        let now = timestamp.wrapping_add(frame * FRAME_SAMPLES as u32);
        if let Some(packet) = sender.next_frame(now, FRAME_SAMPLES as u32) {
            sent.push(Sent {
                at_ms: u64::from(frame) * 20,
                timestamp: packet.timestamp,
                marker: packet.marker,
                report: Payload::parse(&packet.payload).expect("four octets"),
            });
        }
        if !sender.is_busy() {
            break;
        }
    }
    sent
}

fn feed(receiver: &mut Receiver, packets: &[Sent]) -> String {
    let mut now_ms = 0;
    let mut keys = String::new();
    for packet in packets {
        now_ms = packet.at_ms.max(now_ms);
        let payload = packet.report.to_bytes();
        let press = receiver.receive(now_ms, packet.timestamp, packet.marker, &payload);
        keys.extend(press.map(|p| p.digit.as_char()));
    }
    keys
}

fn heard(packets: &[Sent]) -> String {
    feed(&mut Receiver::new(), packets)
}

#[test]
fn a_key_press_is_reported_on_its_first_packet_and_once() {
    let packets = series("5", 800, 100, 60);
    let mut receiver = Receiver::new();
    let first = receiver.receive(0, 800, true, &packets[0].report.to_bytes());
    assert_eq!(first, Some(Press { digit: digit('5'), rtp_timestamp: 800, duration_ms: 20 }));
    assert_eq!(receiver.held(), Some(digit('5')));
    assert_eq!(feed(&mut receiver, &packets[1..]), "");
    assert_eq!(receiver.held(), None);
}

#[test]
fn any_single_packet_of_an_event_is_enough() {
    let packets = series("8", 0, 100, 60);
    for packet in packets {
        assert_eq!(heard(&[packet]), "8", "{packet:?}");
    }
}

#[test]
fn back_to_back_and_repeated_digits_are_all_heard() {
    assert_eq!(heard(&series("1122#*AD00", u32::MAX - 5_000, 50, 50)), "1122#*AD00");
}

#[test]
fn lost_ends_do_not_join_two_presses_of_a_key() {
    let mut packets = series("77", 0, 100, 60);
    packets.retain(|p| !p.report.end);
    assert_eq!(heard(&packets), "77");
    packets.retain(|p| !p.marker);
    assert_eq!(heard(&packets), "77", "and the starts lost too");
}

#[test]
fn silence_ends_a_press_whose_ends_were_lost() {
    let mut receiver = Receiver::new();
    let packets = series("4", 0, 100, 60);
    feed(&mut receiver, &packets[..3]);
    let silent_at = receiver.poll_timeout().expect("held");
    assert_eq!(silent_at, packets[2].at_ms + SILENCE_MS);
    receiver.handle_timeout(silent_at - 1);
    assert_eq!(receiver.held(), Some(digit('4')), "early is harmless");
    receiver.handle_timeout(silent_at);
    assert_eq!((receiver.held(), receiver.poll_timeout()), (None, None));
    assert_eq!(feed(&mut receiver, &packets[3..]), "", "its late packets are the same press");
}

#[test]
fn an_event_that_starts_with_duration_0_is_one_press() {
    let mut packets = series("6", 400, 100, 60);
    for packet in packets.iter_mut().take(3) {
        // Three starts of duration 0, as Asterisk sends them.
        packet.report.duration = 0;
        packet.marker = true;
    }
    assert_eq!(heard(&packets), "6");
}

#[test]
fn segments_of_a_long_press_are_one_press() {
    let packets = series("9", 77, 20_000, 60);
    assert_eq!(heard(&packets), "9");
    // A sender that cuts at its last whole packet, and the cut lost in the network.
    let early: Vec<_> = (0..900u32)
        .map(|i| Sent {
            at_ms: u64::from(i) * 20,
            timestamp: i / 409 * 65_440,
            marker: i == 0,
            report: Payload {
                event: 9,
                end: i > 890,
                volume: 0,
                duration: u16::try_from(i % 409 * 160).expect("fits"),
            },
        })
        .filter(|p| p.at_ms % 8_180 < 8_080)
        .collect();
    assert_eq!(heard(&early), "9");
}

#[test]
fn a_marker_at_the_end_of_a_segment_is_a_new_press() {
    let long = Payload { event: 2, end: false, volume: 0, duration: 0xFFFF };
    let again = Payload { duration: 160, ..long };
    let packet = |at_ms, timestamp, marker, report| Sent { at_ms, timestamp, marker, report };
    assert_eq!(heard(&[packet(0, 0, true, long), packet(20, 0xFFFF, true, again)]), "22");
    assert_eq!(heard(&[packet(0, 0, true, long), packet(20, 0xFFFF, false, again)]), "2");
}

#[test]
fn late_packets_of_an_earlier_event_are_refused() {
    let packets = series("12", 0, 60, 60);
    let (ones, twos) = packets.split_at(5);
    assert_eq!(heard(&[twos, ones].concat()), "2", "never out of order");
    let mut receiver = Receiver::new();
    assert_eq!(feed(&mut receiver, &[ones, twos, ones].concat()), "12");
    assert_eq!(receiver.counts().stale, 5);
}

#[test]
fn a_sender_that_begins_a_new_timeline_is_heard() {
    let before = series("12", 3_000_000_000, 60, 60);
    let after = series("34", 160, 60, 60);
    assert_eq!(heard(&[before, after].concat()), "1234");
}

#[test]
fn another_key_or_a_shorter_duration_under_the_same_timestamp_is_refused() {
    let mut packets = series("3", 0, 100, 60);
    let mut forged = packets[2];
    forged.report.event = 9;
    packets.insert(3, forged);
    packets.insert(4, packets[0]);
    let mut receiver = Receiver::new();
    assert_eq!(feed(&mut receiver, &packets), "3");
    assert_eq!(receiver.counts().inconsistent, 2);
}

#[test]
fn the_thirteenth_press_in_a_second_is_refused_and_counted() {
    let mut receiver = Receiver::new();
    let payload = [1, 0x8A, 0, 160];
    let presses = (0..20u32)
        .filter(|&i| receiver.receive(u64::from(i) * 10, i * 80, true, &payload).is_some())
        .count();
    assert_eq!((presses, receiver.counts().too_fast), (12, 8));
    assert!(receiver.receive(1_000, 8_000, true, &payload).is_some(), "a second after the first");
}

#[test]
fn another_stream_may_use_old_names_but_goes_on_at_the_pace_of_the_sender() {
    let mut receiver = Receiver::new();
    let payload = [1, 0x8A, 0, 160];
    assert!(receiver.receive(0, 80, true, &payload).is_some());
    receiver.new_stream();
    assert!(receiver.receive(10, 80, true, &payload).is_some(), "the name of another event");
    let presses = (2..20u32)
        .filter(|&i| {
            receiver.new_stream();
            receiver.receive(u64::from(i) * 10, 80, true, &payload).is_some()
        })
        .count();
    assert_eq!((presses, receiver.counts().too_fast), (10, 8), "twelve in all");
}

#[test]
fn flash_and_fax_tones_are_no_digits() {
    let mut receiver = Receiver::new();
    for event in [16, 32, 36, 255] {
        assert_eq!(receiver.receive(0, 0, true, &[event, 10, 0, 160]), None);
    }
    assert_eq!(receiver.receive(0, 0, true, &[1, 2, 3]), None);
    assert_eq!((receiver.counts().other_events, receiver.counts().malformed), (4, 1));
}

fn keys() -> impl Strategy<Value = String> {
    // Twelve, so that the rule of twelve a second never refuses one.
    prop::collection::vec(0..16u8, 1..12)
        .prop_map(|events| events.into_iter().filter_map(Digit::from_event).map(Digit::as_char))
        .prop_map(Iterator::collect)
}

proptest! {
    #[test]
    fn no_order_and_no_loss_makes_two_presses_of_one(
        keys in keys(),
        timestamp: u32,
        order in prop::collection::vec(any::<prop::sample::Index>(), 0..400),
    ) {
        let packets = series(&keys, timestamp, 60, 60);
        let mut receiver = Receiver::new();
        let mut reported = Vec::new();
        for (i, index) in order.iter().enumerate() {
            let packet = index.get(&packets);
            let payload = packet.report.to_bytes();
            let now_ms = i as u64 * 20;
            let press = receiver.receive(now_ms, packet.timestamp, packet.marker, &payload);
            if let Some(press) = press {
                prop_assert_eq!(press.digit.event(), packet.report.event);
                reported.push(press.rtp_timestamp);
            }
        }
        let mut once = reported.clone();
        once.sort_unstable();
        once.dedup();
        prop_assert_eq!(once.len(), reported.len());
    }

    #[test]
    fn one_packet_of_each_event_in_order_gives_every_key(
        keys in keys(),
        timestamp: u32,
        picks in prop::collection::vec(any::<prop::sample::Index>(), 12),
    ) {
        let packets = series(&keys, timestamp, 100, 60);
        let events: Vec<_> = packets.chunk_by(|a, b| a.timestamp == b.timestamp).collect();
        let kept: Vec<_> = events.iter().zip(&picks).map(|(event, i)| *i.get(event)).collect();
        prop_assert_eq!(heard(&kept), keys);
    }

    #[test]
    fn any_octets_at_any_time_never_panic_nor_exceed_the_rate(
        packets in prop::collection::vec(
            (any::<u64>(), any::<u32>(), any::<bool>(), prop::collection::vec(any::<u8>(), 0..8)),
            0..200,
        ),
    ) {
        let mut receiver = Receiver::new();
        let mut presses = 0;
        for (now_ms, timestamp, marker, payload) in packets {
            let press = receiver.receive(now_ms % 900, timestamp, marker, &payload);
            presses += usize::from(press.is_some());
            receiver.poll_timeout();
        }
        prop_assert!(presses <= PRESSES_PER_SECOND_MAX);
    }
}

#[test]
fn what_another_receiver_has_reported_does_not_count_again_and_the_next_key_does() {
    let packets = series("47", 5_000, 200, 60);
    let first = packets[0].timestamp;
    for from in 0..packets.len() {
        let mut receiver = Receiver::new();
        receiver.go_on_after(digit('4'), first);
        let later = &packets[from..];
        let expected = if later.iter().any(|p| p.timestamp != first) { "7" } else { "" };
        assert_eq!(feed(&mut receiver, later), expected, "from packet {from} on");
    }
}
