//! The outgoing RTP stream of one call (RFC 3550).
//!
//! The sequence number grows by one for each packet that leaves, whatever it carries and whatever
//! is negotiated anew; the timestamp follows the clock, also while nothing may be sent, so that
//! the far end's jitter buffer sees one stream from the first packet to the last. The schedule is
//! absolute: a frame that is late does not delay the next. A worker that was kept from running
//! sends at most two frames to catch up; what is older is left out, on the timestamp as well.

use std::ops::Add;

use rtp_rs::{RtpPacketBuilder, Seq};

use super::StreamStart;
use crate::timers::{Duration, Instant};

/// A frame lasts 40 ms at most.
const SAMPLES_MAX: usize = 320;

const HEADER: usize = 12;

/// Frames sent to catch up, beside the one that is due.
const CATCH_UP_MAX: u64 = 2;

/// A frame that leaves later than this after its time counts as late.
const LATE_AFTER: Duration = Duration::from_millis(5);

/// What goes into the header beside the stream's own numbers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kind {
    pub(super) payload_type: u8,
    pub(super) marker: bool,
    pub(super) timestamp: u32,
}

/// How punctual a stream was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Punctuality {
    /// Frames that left more than 5 ms after their time.
    pub late: u64,
    /// Frames that left in a burst, to catch up.
    pub caught_up: u64,
    /// Frames left out because the worker was too late for them.
    pub left_out: u64,
}

impl Add for Punctuality {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            late: self.late + other.late,
            caught_up: self.caught_up + other.caught_up,
            left_out: self.left_out + other.left_out,
        }
    }
}

/// The stream.
#[derive(Debug)]
pub(super) struct Stream {
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
    next_at: Instant,
    frame: Duration,
    samples: usize,
    packet: [u8; HEADER + SAMPLES_MAX],
    length: usize,
    pub(super) packets: u64,
    pub(super) octets: u64,
    pub(super) punctuality: Punctuality,
}

impl Stream {
    pub(super) fn new(start: StreamStart, first_at: Instant) -> Self {
        Self {
            ssrc: start.ssrc,
            sequence: start.sequence,
            timestamp: start.timestamp,
            next_at: first_at,
            frame: Duration::from_millis(20),
            samples: 160,
            packet: [0; HEADER + SAMPLES_MAX],
            length: 0,
            packets: 0,
            octets: 0,
            punctuality: Punctuality::default(),
        }
    }

    /// Sets how much sound a packet holds: 10, 20, 30 or 40 ms, the nearest that is not above.
    pub(super) fn set_ptime(&mut self, ptime_ms: u8) {
        let ptime_ms = ptime_ms.clamp(10, 40) / 10 * 10;
        self.frame = Duration::from_millis(u64::from(ptime_ms));
        self.samples = usize::from(ptime_ms) * 8;
    }

    /// Takes the frame that is due, if one is: how many samples it holds, and the timestamp of
    /// the first.
    pub(super) fn next_frame(&mut self, now: Instant) -> Option<(usize, u32)> {
        if now < self.next_at {
            return None;
        }
        self.leave_out_what_is_too_old(now);
        if now >= self.next_at + self.frame {
            self.punctuality.caught_up += 1;
        }
        if now > self.next_at + LATE_AFTER {
            self.punctuality.late += 1;
        }
        let timestamp = self.timestamp;
        self.next_at += self.frame;
        self.advance(1);
        Some((self.samples, timestamp))
    }

    /// Builds the packet around a payload of at most 320 bytes.
    pub(super) fn build(&mut self, kind: Kind, payload: &[u8]) {
        let built = RtpPacketBuilder::new()
            .payload_type(kind.payload_type & 0x7f)
            .marked(kind.marker)
            .sequence(Seq::from(self.sequence))
            .timestamp(kind.timestamp)
            .ssrc(self.ssrc)
            .payload(payload)
            .build_into(&mut self.packet);
        // Only a payload above the bound can fail, and ours are frames.
        let Ok(length) = built else { return };
        self.length = length;
        self.sequence = self.sequence.wrapping_add(1);
        self.packets += 1;
        self.octets += payload.len() as u64;
    }

    /// The packet built last.
    pub(super) fn packet(&self) -> &[u8] {
        &self.packet[..self.length]
    }

    pub(super) fn next_at(&self) -> Instant {
        self.next_at
    }

    /// The timestamp that a sample taken at `now` would have (RFC 3550 section 6.4.1).
    pub(super) fn timestamp_at(&self, now: Instant) -> u32 {
        let ahead = self.next_at.saturating_duration_since(now).as_nanos() * 8 / 1_000_000;
        let behind = now.saturating_duration_since(self.next_at).as_nanos() * 8 / 1_000_000;
        // A timestamp wraps, so its lower half is all that counts.
        self.timestamp.wrapping_sub(ahead as u32).wrapping_add(behind as u32)
    }

    /// The numbers of a packet that would leave at `now`.
    pub(super) fn standing(&self, now: Instant) -> StreamStart {
        let timestamp = self.timestamp_at(now);
        StreamStart { ssrc: self.ssrc, sequence: self.sequence, timestamp }
    }

    fn leave_out_what_is_too_old(&mut self, now: Instant) {
        let behind = now.saturating_duration_since(self.next_at).as_nanos();
        let frames = u64::try_from(behind / self.frame.as_nanos()).unwrap_or(u64::MAX);
        let left_out = frames.saturating_sub(CATCH_UP_MAX);
        if left_out > 0 {
            self.punctuality.left_out += left_out;
            self.next_at += Duration::from_nanos(left_out * self.frame.as_nanos() as u64);
            self.advance(left_out);
        }
    }

    fn advance(&mut self, frames: u64) {
        let samples = frames.wrapping_mul(self.samples as u64);
        self.timestamp = self.timestamp.wrapping_add(samples as u32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rtp_rs::RtpReader;

    const START: StreamStart = StreamStart { ssrc: 7, sequence: 0xfffe, timestamp: u32::MAX - 100 };

    fn at(ms: u64) -> Instant {
        Instant::from_nanos(ms * 1_000_000)
    }

    fn send(stream: &mut Stream, now: Instant) -> Option<(u16, u32)> {
        let (samples, timestamp) = stream.next_frame(now)?;
        stream.build(Kind { payload_type: 0, marker: false, timestamp }, &[0xff; 320][..samples]);
        let packet = RtpReader::new(stream.packet()).expect("a packet");
        Some((packet.sequence_number().into(), packet.timestamp()))
    }

    #[test]
    fn sequence_and_timestamp_wrap() {
        let mut stream = Stream::new(START, at(0));
        let sent: Vec<_> = (0..4).filter_map(|n| send(&mut stream, at(n * 20))).collect();
        let first = START.timestamp;
        let expected: Vec<_> = (0..4u16)
            .map(|n| (0xfffe_u16.wrapping_add(n), first.wrapping_add(u32::from(n) * 160)))
            .collect();
        assert_eq!(sent, expected);
    }

    #[test]
    fn a_late_frame_does_not_delay_the_next() {
        let mut stream = Stream::new(START, at(0));
        assert!(send(&mut stream, at(13)).is_some());
        assert_eq!(stream.next_at(), at(20));
        assert_eq!(stream.punctuality, Punctuality { late: 1, ..Punctuality::default() });
    }

    #[test]
    fn two_missed_frames_are_caught_up() {
        let mut stream = Stream::new(START, at(0));
        let sent = std::iter::from_fn(|| send(&mut stream, at(41))).count();
        assert_eq!(sent, 3);
        assert_eq!(stream.punctuality, Punctuality { late: 2, caught_up: 2, left_out: 0 });
    }

    #[test]
    fn what_is_older_is_left_out_of_the_timestamp_but_not_of_the_sequence() {
        let mut stream = Stream::new(START, at(0));
        let sent: Vec<_> = std::iter::from_fn(|| send(&mut stream, at(1_000))).collect();
        assert_eq!(sent.len(), 3);
        assert_eq!(sent[0], (0xfffe, START.timestamp.wrapping_add(48 * 160)));
        assert_eq!(stream.punctuality.left_out, 48);
        assert_eq!(stream.next_at(), at(1_020));
    }

    #[test]
    fn a_stall_of_years_does_not_overflow() {
        let mut stream = Stream::new(START, at(0));
        assert!(send(&mut stream, Instant::from_nanos(u64::MAX - 1)).is_some());
    }

    #[test]
    fn sip_m1_ptime_sets_packet_size_and_pace() {
        for (asked, ms) in [(10, 10_u8), (20, 20), (25, 20), (30, 30), (40, 40), (0, 10), (255, 40)]
        {
            let mut stream = Stream::new(START, at(0));
            stream.set_ptime(asked);
            let (samples, _) = stream.next_frame(at(0)).expect("due");
            assert_eq!((samples, stream.next_at()), (usize::from(ms) * 8, at(ms.into())));
        }
    }

    #[test]
    fn a_timestamp_can_be_told_for_any_moment() {
        let mut stream = Stream::new(StreamStart { timestamp: 1_000, ..START }, at(100));
        assert_eq!(stream.timestamp_at(at(90)), 920);
        assert!(send(&mut stream, at(100)).is_some());
        assert_eq!(stream.timestamp_at(at(100)), 1_000);
        assert_eq!(stream.timestamp_at(at(125)), 1_200);
    }
}
