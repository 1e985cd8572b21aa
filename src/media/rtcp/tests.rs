//! Claims about RTCP, read back with the parsers of `rtcp-types`.

use proptest::prelude::*;
use rtcp_types::Packet;

use super::*;

const START: StreamStart = StreamStart { ssrc: 0x1234_5678, sequence: 1, timestamp: 2 };

fn at(ms: u64) -> Instant {
    Instant::from_nanos(ms * 1_000_000)
}

fn received() -> Report {
    Report { ssrc: 9, fraction_lost: 64, lost: 5, highest: 0x1_0007, jitter: 80 }
}

fn sent() -> Sent {
    Sent { timestamp: 777, packets: 1 << 33 | 50, octets: 8_000 }
}

#[test]
fn a_sender_report_carries_our_counts_and_the_far_ends_loss() {
    let mut rtcp = Rtcp::new(at(0), START);
    rtcp.report(at(2_500), Some(sent()), Some(received()));
    let packets: Vec<_> = Compound::parse(rtcp.packet()).expect("compound").collect();
    let Ok(Packet::Sr(report)) = &packets[0] else { panic!("{packets:?}") };
    assert_eq!(report.ssrc(), START.ssrc);
    assert_eq!(report.ntp_timestamp(), (2 << 32) | (1 << 31), "2.5 s");
    assert_eq!(
        (report.rtp_timestamp(), report.packet_count(), report.octet_count()),
        (777, 50, 8_000)
    );
    let block = report.report_blocks().next().expect("a block");
    assert_eq!((block.ssrc(), block.fraction_lost(), block.cumulative_lost()), (9, 64, 5));
    assert_eq!((block.extended_sequence_number(), block.interarrival_jitter()), (0x1_0007, 80));
    let Ok(Packet::Sdes(description)) = &packets[1] else { panic!("{packets:?}") };
    assert_eq!(description.chunks().next().expect("a chunk").ssrc(), START.ssrc);
}

#[test]
fn who_does_not_send_reports_as_a_receiver() {
    let mut rtcp = Rtcp::new(at(0), START);
    rtcp.report(at(1), None, Some(received()));
    let first = Compound::parse(rtcp.packet()).expect("compound").next();
    assert!(matches!(&first, Some(Ok(Packet::Rr(report))) if report.n_reports() == 1));
    rtcp.report(at(1), None, None);
    let first = Compound::parse(rtcp.packet()).expect("compound").next();
    assert!(matches!(&first, Some(Ok(Packet::Rr(report))) if report.n_reports() == 0));
}

#[test]
fn a_goodbye_follows_the_last_report() {
    let mut rtcp = Rtcp::new(at(0), START);
    rtcp.report(at(1), Some(sent()), Some(received()));
    rtcp.add_bye();
    let packets: Vec<_> = Compound::parse(rtcp.packet()).expect("compound").collect();
    assert_eq!(packets.len(), 3);
    assert!(matches!(&packets[2], Ok(Packet::Bye(bye)) if bye.ssrcs().eq([START.ssrc])));
}

#[test]
fn the_far_ends_report_comes_back_with_its_delay() {
    let mut theirs = Rtcp::new(at(0), StreamStart { ssrc: 9, ..START });
    theirs.report(at(10_500), Some(sent()), None);
    let mut ours = Rtcp::new(at(0), START);
    assert!(ours.receive(at(20_000), theirs.packet(), Some(9)));
    ours.report(at(21_500), Some(sent()), Some(received()));
    let Some(Ok(Packet::Sr(report))) = Compound::parse(ours.packet()).expect("compound").next()
    else {
        panic!("no sender report")
    };
    let block = report.report_blocks().next().expect("a block");
    assert_eq!(block.last_sender_report_timestamp(), (10 << 16) | (1 << 15), "10.5 s");
    assert_eq!(block.delay_since_last_sender_report_timestamp(), (1 << 16) | (1 << 15), "1.5 s");
}

#[test]
fn a_report_of_another_ssrc_is_not_the_far_ends() {
    let mut theirs = Rtcp::new(at(0), StreamStart { ssrc: 8, ..START });
    theirs.report(at(10_500), Some(sent()), None);
    let mut ours = Rtcp::new(at(0), START);
    assert!(ours.receive(at(20_000), theirs.packet(), Some(9)));
    assert_eq!(ours.last_report, None);
}

#[test]
fn reports_are_five_seconds_apart() {
    let mut rtcp = Rtcp::new(at(0), START);
    let mut times = Vec::new();
    for ms in (0..30_000).step_by(20) {
        if rtcp.is_due(at(ms)) {
            times.push(ms);
        }
    }
    assert_eq!(times.len(), 6);
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] == 5_000), "{times:?}");
}

proptest! {
    #[test]
    fn no_bytes_from_the_network_harm(bytes in prop::collection::vec(any::<u8>(), 0..160)) {
        Rtcp::new(at(0), START).receive(at(1), &bytes, Some(0));
    }

    #[test]
    fn no_report_with_random_bytes_harms(
        flags in 0x80..=0xbf_u8,
        words in 0..12_u8,
        bytes in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        let mut packet = vec![flags, SENDER_REPORT, 0, words];
        packet.extend(bytes);
        packet.resize((usize::from(words) + 1) * 4, 0);
        Rtcp::new(at(0), START).receive(at(1), &packet, Some(0));
    }
}
