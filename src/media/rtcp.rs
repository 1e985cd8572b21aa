//! RTCP of one call (RFC 3550 section 6): a report every 5 s, and BYE at the end.
//!
//! `rtcp-types` collects a packet on the heap. A media thread must not, so each shape of report is
//! made once, when the call begins, and the numbers of the moment are written into a copy. The NTP
//! timestamp counts from the start of the machine, which section 6.4.1 allows to a sender that has
//! no wall clock.

use rtcp_types::{
    Bye, Compound, ReceiverReport, ReportBlock, RtcpPacketParser, RtcpPacketWriter,
    RtcpPacketWriterExt, Sdes, SdesChunk, SdesItem, SenderReport,
};

use super::StreamStart;
use super::inbound::Report;
use crate::timers::{Duration, Instant};

/// Between two reports (RFC 3550 section 6.2).
const INTERVAL: Duration = Duration::from_secs(5);

/// Room for a sender report with one block, a description and a goodbye.
const PACKET_MAX: usize = 128;

const SENDER_REPORT: u8 = 200;

/// Whether a datagram on the RTP port is RTCP (RFC 5761 section 4).
pub(super) fn is_rtcp(datagram: &[u8]) -> bool {
    datagram.get(1).is_some_and(|byte| (64..=95).contains(&(byte & 0x7f)))
}

/// What our reports say about our own stream; absent while we do not send.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    pub(super) timestamp: u32,
    pub(super) packets: u64,
    pub(super) octets: u64,
}

/// Reports of one call.
#[derive(Debug)]
pub(super) struct Rtcp {
    ssrc: u32,
    next_at: Instant,
    /// Middle of the NTP timestamp of the far end's last report, and when it came.
    last_report: Option<(u32, Instant)>,
    shapes: [Shape; 4],
    packet: [u8; PACKET_MAX],
    length: usize,
}

/// A compound packet whose numbers are still zero.
#[derive(Clone, Copy, Debug)]
struct Shape {
    bytes: [u8; PACKET_MAX],
    length: usize,
}

impl Rtcp {
    pub(super) fn new(now: Instant, start: StreamStart) -> Self {
        // Calls that begin together report apart.
        let apart = Duration::from_millis(u64::from(start.ssrc % 4_000));
        Self {
            ssrc: start.ssrc,
            next_at: now + Duration::from_secs(1) + apart,
            last_report: None,
            shapes: [(false, false), (false, true), (true, false), (true, true)]
                .map(|(sends, receives)| Shape::new(start, sends, receives)),
            packet: [0; PACKET_MAX],
            length: 0,
        }
    }

    pub(super) fn poll_timeout(&self) -> Instant {
        self.next_at
    }

    /// Takes the deadline of the next report, if it has come.
    pub(super) fn is_due(&mut self, now: Instant) -> bool {
        let due = now >= self.next_at;
        if due {
            self.next_at = now + INTERVAL;
        }
        due
    }

    /// Reads the far end's packets; false: it is none.
    pub(super) fn receive(&mut self, now: Instant, datagram: &[u8], peer: Option<u32>) -> bool {
        if Compound::parse(datagram).is_err() {
            return false;
        }
        let mut rest = datagram;
        while let [_, kind, high, low, ..] = *rest {
            let length = (usize::from(u16::from_be_bytes([high, low])) + 1) * 4;
            let Some((packet, after)) = rest.split_at_checked(length) else { return false };
            if kind == SENDER_REPORT {
                self.receive_report(now, packet, peer);
            }
            rest = after;
        }
        true
    }

    fn receive_report(&mut self, now: Instant, packet: &[u8], peer: Option<u32>) {
        let Ok(report) = SenderReport::parse(packet) else { return };
        if Some(report.ssrc()) == peer {
            // The middle 32 bits of 64.
            self.last_report = Some(((report.ntp_timestamp() >> 16) as u32, now));
        }
    }

    /// Builds a report.
    pub(super) fn report(&mut self, now: Instant, sent: Option<Sent>, received: Option<Report>) {
        let which = usize::from(sent.is_some()) * 2 + usize::from(received.is_some());
        let shape = &self.shapes[which];
        self.packet = shape.bytes;
        self.length = shape.length;
        let mut at = 8;
        if let Some(sent) = sent {
            self.put_sent(now, sent);
            at = 28;
        }
        if let Some(received) = received {
            self.put_block(at, now, received);
        }
    }

    /// Appends a goodbye to the report just built. For the end of a call: it allocates.
    pub(super) fn add_bye(&mut self) {
        let bye = Bye::builder().add_source(self.ssrc);
        if let Ok(written) = bye.write_into(&mut self.packet[self.length..]) {
            self.length += written;
        }
    }

    /// The packet built last.
    pub(super) fn packet(&self) -> &[u8] {
        &self.packet[..self.length]
    }

    fn put_sent(&mut self, now: Instant, sent: Sent) {
        self.put(8, &ntp(now).to_be_bytes());
        self.put(16, &sent.timestamp.to_be_bytes());
        // Counts wrap (RFC 3550 section 6.4.1).
        self.put(20, &(sent.packets as u32).to_be_bytes());
        self.put(24, &(sent.octets as u32).to_be_bytes());
    }

    fn put_block(&mut self, at: usize, now: Instant, received: Report) {
        let lost = u32::try_from(received.lost).unwrap_or(u32::MAX).min(0x7f_ffff);
        let (last, delay) = match self.last_report {
            Some((middle, came)) => (middle, units(now.saturating_duration_since(came))),
            None => (0, 0),
        };
        let words = [
            received.ssrc,
            u32::from(received.fraction_lost) << 24 | lost,
            received.highest,
            received.jitter,
            last,
            delay,
        ];
        for (n, word) in words.into_iter().enumerate() {
            self.put(at + n * 4, &word.to_be_bytes());
        }
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.packet[at..at + bytes.len()].copy_from_slice(bytes);
    }
}

impl Shape {
    fn new(start: StreamStart, sends: bool, receives: bool) -> Self {
        let mut shape = Self { bytes: [0; PACKET_MAX], length: 0 };
        let block = || ReportBlock::builder(0);
        if sends {
            let report = SenderReport::builder(start.ssrc);
            shape.add(&if receives { report.add_report_block(block()) } else { report });
        } else {
            let report = ReceiverReport::builder(start.ssrc);
            shape.add(&if receives { report.add_report_block(block()) } else { report });
        }
        // Random for a call, as its numbers are, and says nothing of who we are (RFC 7022).
        let cname = format!("{:08x}{:08x}", start.ssrc, start.timestamp);
        let item = SdesItem::builder(SdesItem::CNAME, &cname);
        shape.add(&Sdes::builder().add_chunk(SdesChunk::builder(start.ssrc).add_item(item)));
        shape
    }

    fn add(&mut self, packet: &impl RtcpPacketWriter) {
        // The longest shape has 92 bytes.
        if let Ok(written) = packet.write_into(&mut self.bytes[self.length..]) {
            self.length += written;
        }
    }
}

/// A moment as NTP writes it: 32 bits of seconds, 32 bits of fraction.
fn ntp(now: Instant) -> u64 {
    let nanos = now.as_nanos();
    let (seconds, rest) = (nanos / 1_000_000_000, nanos % 1_000_000_000);
    (seconds << 32) | ((rest << 32) / 1_000_000_000)
}

/// A duration in 1/65,536 s.
fn units(duration: Duration) -> u32 {
    u32::try_from((duration.as_nanos() << 16) / 1_000_000_000).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
