//! Claims about the incoming stream.

use super::*;

fn at(ms: u64) -> Instant {
    Instant::from_nanos(ms * 1_000_000)
}

/// Feeds sequence numbers of one SSRC, 20 ms apart, and counts what is accepted.
fn accepted(inbound: &mut Inbound, start_ms: u64, ssrc: u32, sequences: &[u16]) -> usize {
    let mut ms = start_ms;
    let mut count = 0;
    for &sequence in sequences {
        ms += 20;
        count += usize::from(inbound.judge(at(ms), ssrc, sequence) != Verdict::Refuse);
    }
    count
}

#[test]
fn loss_is_what_is_missing_and_a_late_packet_is_not() {
    let mut inbound = Inbound::default();
    assert_eq!(accepted(&mut inbound, 0, 1, &[65_534, 65_535, 2, 0]), 4);
    assert_eq!(inbound.lost(), 1, "sequence 1");
    assert_eq!(inbound.received, 4);
}

#[test]
fn a_duplicate_is_refused() {
    let mut inbound = Inbound::default();
    assert_eq!(accepted(&mut inbound, 0, 1, &[5, 5, 6, 5, 6, 7]), 3);
    assert_eq!(inbound.refused, 3);
}

#[test]
fn a_packet_from_before_the_first_is_taken_once() {
    let mut inbound = Inbound::default();
    assert_eq!(accepted(&mut inbound, 0, 1, &[0, 65_535, 65_535, 1]), 3);
    assert_eq!(inbound.lost(), 0);
}

#[test]
fn sip_m6_a_new_ssrc_takes_over_after_three_packets_when_the_old_one_is_silent() {
    let mut inbound = Inbound::default();
    assert_eq!(accepted(&mut inbound, 0, 1, &[10, 11, 12]), 3);
    assert_eq!(accepted(&mut inbound, 60, 2, &[900, 901]), 0);
    assert_eq!(inbound.judge(at(120), 2, 902), Verdict::NewStream);
    assert_eq!(accepted(&mut inbound, 120, 2, &[903, 904]), 2);
    assert_eq!(inbound.ssrc(), Some(2));
}

#[test]
fn r_03_another_ssrc_never_takes_over_while_the_old_one_speaks() {
    let mut inbound = Inbound::default();
    for n in 0..50 {
        let now = at(u64::from(n) * 20);
        assert_ne!(inbound.judge(now, 1, n), Verdict::Refuse);
        for burst in 0..4 {
            assert_eq!(inbound.judge(now, 2, n * 4 + burst), Verdict::Refuse);
        }
    }
    assert_eq!(inbound.ssrc(), Some(1));
}

#[test]
fn sip_m6_a_jump_in_sequence_is_followed_after_three_packets_and_is_no_loss() {
    let mut inbound = Inbound::default();
    assert_eq!(accepted(&mut inbound, 0, 1, &[10, 11]), 2);
    assert_eq!(accepted(&mut inbound, 40, 1, &[30_000, 30_001, 30_002, 30_003]), 2);
    assert_eq!(inbound.lost(), 0);
}

#[test]
fn one_stray_packet_far_away_moves_nothing() {
    let mut inbound = Inbound::default();
    assert_eq!(accepted(&mut inbound, 0, 1, &[10, 40_000, 11, 40_001, 12]), 3);
}

#[test]
fn every_pair_of_sequence_numbers_is_handled() {
    for second in 0..=u16::MAX {
        let mut inbound = Inbound::default();
        inbound.judge(at(0), 1, 1_000);
        inbound.judge(at(20), 1, second);
        inbound.judge(at(40), 1, second.wrapping_add(1));
        assert!(inbound.report().is_some());
    }
}

#[test]
fn steady_packets_have_no_jitter_and_uneven_ones_have() {
    let mut inbound = Inbound::default();
    for n in 0..200_u64 {
        inbound.judge(at(n * 20), 1, n as u16);
        inbound.time(at(n * 20), n as u32 * 160);
    }
    assert_eq!(inbound.jitter(), 0);
    for n in 200..600_u64 {
        inbound.judge(at(n * 20 + n % 2 * 10), 1, n as u16);
        inbound.time(at(n * 20 + n % 2 * 10), n as u32 * 160);
    }
    assert!((70..=81).contains(&inbound.jitter()), "10 ms is 80 units: {}", inbound.jitter());
}

#[test]
fn a_timestamp_jump_cannot_overflow_the_jitter() {
    let mut inbound = Inbound::default();
    for n in 0..1_000_u32 {
        inbound.judge(at(u64::from(n)), 1, n as u16);
        inbound.time(at(u64::from(n)), n.wrapping_mul(0x7fff_fff1));
    }
    assert!(inbound.jitter() > 0);
}

#[test]
fn a_report_tells_the_fraction_since_the_last_one() {
    let mut inbound = Inbound::default();
    accepted(&mut inbound, 0, 3, &[0, 1, 2, 3]);
    assert_eq!(inbound.report().map(|r| (r.fraction_lost, r.lost)), Some((0, 0)));
    accepted(&mut inbound, 80, 3, &[5, 7]);
    let report = inbound.report().expect("a stream");
    assert_eq!((report.fraction_lost, report.lost), (128, 2), "2 of 4");
    assert_eq!(report.highest & 0xffff, 7);
}

#[test]
fn r_04_the_201st_packet_of_a_second_is_dropped_and_counted() {
    let mut inbound = Inbound::default();
    let admitted = (0..300).filter(|_| inbound.admit(at(5_500))).count();
    assert_eq!((admitted, inbound.refused), (200, 100));
    assert!(inbound.admit(at(6_000)), "the next second is clean");
}
