//! What is known of the far end's stream (RFC 3550 appendix A): which SSRC speaks, what is missing
//! from its sequence, how much its packets jitter.
//!
//! A far end may change its SSRC at any time (a PBX puts a conference bridge or another gateway
//! into the path) or jump in sequence. Both are believed only after three packets in order
//! while the old stream is silent, so that a stray or forged packet moves nothing and, above all,
//! keys no digit (SECURITY R-03).

use crate::timers::{Duration, Instant};

/// Gap that still counts as loss; a larger one is a jump (RFC 3550 appendix A.1).
const DROPOUT_MAX: u16 = 3_000;

/// Packets kept in mind to recognise duplicates; one that is older came too late to matter.
const WINDOW: u16 = 64;

/// Packets in order that a new SSRC or a jump takes.
const PROBATION: u8 = 3;

/// The old stream must have been silent this long before another takes over.
const OLD_SILENT: Duration = Duration::from_millis(55);

/// SECURITY R-04. Twice what any ordinary stream sends: 100 packets of 10 ms.
const PACKETS_PER_SECOND_MAX: u32 = 200;

/// What to do with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The next packet, or one that came late but was missing.
    Accept,
    /// The first accepted packet of another stream: a new SSRC, or a jump.
    NewStream,
    /// A duplicate, or not of the stream.
    Refuse,
}

/// The incoming stream.
#[derive(Debug, Default)]
pub(super) struct Inbound {
    stream: Option<Stream>,
    candidate: Option<Candidate>,
    rate: Rate,
    pub(super) received: u64,
    pub(super) refused: u64,
    /// Packets lost from streams that are over.
    lost_before: u64,
}

#[derive(Debug)]
struct Stream {
    ssrc: u32,
    /// First and highest sequence number, extended by the count of wraps.
    base: u64,
    highest: u64,
    /// Bit n: `highest - n` was received.
    window: u64,
    received: u64,
    last_at: Instant,
    /// Arrival minus timestamp, in timestamp units, of the last audio packet.
    transit: Option<u32>,
    /// Sixteen times the interarrival jitter.
    jitter_16: u32,
    /// Expected and received at the last report.
    reported: (u64, u64),
}

#[derive(Debug)]
struct Candidate {
    ssrc: u32,
    next: u16,
    packets: u8,
}

#[derive(Debug, Default)]
struct Rate {
    second: u64,
    packets: u32,
}

/// What a report block says about the stream (RFC 3550 section 6.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Report {
    pub(super) ssrc: u32,
    pub(super) fraction_lost: u8,
    pub(super) lost: u64,
    pub(super) highest: u32,
    pub(super) jitter: u32,
}

impl Inbound {
    /// Counts a datagram against the flood limit; false: drop it unread.
    pub(super) fn admit(&mut self, now: Instant) -> bool {
        let admitted = self.rate.admit(now);
        if !admitted {
            self.refused += 1;
        }
        admitted
    }

    pub(super) fn judge(&mut self, now: Instant, ssrc: u32, sequence: u16) -> Verdict {
        let verdict = match &mut self.stream {
            None => self.begin(now, ssrc, sequence),
            Some(stream) if stream.ssrc == ssrc && !stream.jumps_to(sequence) => {
                self.candidate = None;
                stream.take(now, sequence)
            }
            Some(stream) => {
                let silent = now.saturating_duration_since(stream.last_at) >= OLD_SILENT;
                if probation(&mut self.candidate, ssrc, sequence) >= PROBATION && silent {
                    self.begin(now, ssrc, sequence)
                } else {
                    Verdict::Refuse
                }
            }
        };
        match verdict {
            Verdict::Accept | Verdict::NewStream => self.received += 1,
            Verdict::Refuse => self.refused += 1,
        }
        verdict
    }

    /// Takes the timing of an audio packet (RFC 3550 appendix A.8). Telephone-events say nothing:
    /// all packets of one share a timestamp.
    pub(super) fn time(&mut self, now: Instant, timestamp: u32) {
        let Some(stream) = &mut self.stream else { return };
        // Timestamps wrap, and so does the difference.
        let arrival = (now.as_nanos() / 125_000) as u32;
        let transit = arrival.wrapping_sub(timestamp);
        if let Some(before) = stream.transit.replace(transit) {
            let change = (transit.wrapping_sub(before) as i32).unsigned_abs().min(0xff_ffff);
            let decay = (stream.jitter_16 + 8) >> 4;
            stream.jitter_16 = (stream.jitter_16 + change).saturating_sub(decay);
        }
    }

    pub(super) fn ssrc(&self) -> Option<u32> {
        self.stream.as_ref().map(|stream| stream.ssrc)
    }

    pub(super) fn lost(&self) -> u64 {
        self.lost_before + self.stream.as_ref().map_or(0, Stream::lost)
    }

    pub(super) fn jitter(&self) -> u32 {
        self.stream.as_ref().map_or(0, |stream| stream.jitter_16 >> 4)
    }

    /// The report block since the last one.
    pub(super) fn report(&mut self) -> Option<Report> {
        let stream = self.stream.as_mut()?;
        let now = (stream.expected(), stream.received);
        let expected = now.0 - stream.reported.0;
        let lost = expected.saturating_sub(now.1 - stream.reported.1);
        stream.reported = now;
        let fraction = (lost * 256).checked_div(expected).unwrap_or(0);
        Some(Report {
            ssrc: stream.ssrc,
            fraction_lost: u8::try_from(fraction).unwrap_or(u8::MAX),
            lost: stream.lost(),
            // The lower half: sequence number and 16 bits of wraps.
            highest: stream.highest as u32,
            jitter: stream.jitter_16 >> 4,
        })
    }

    fn begin(&mut self, now: Instant, ssrc: u32, sequence: u16) -> Verdict {
        self.candidate = None;
        self.lost_before = self.lost();
        self.stream = Some(Stream::new(now, ssrc, sequence));
        Verdict::NewStream
    }
}

/// Counts packets of a would-be stream that follow each other.
fn probation(candidate: &mut Option<Candidate>, ssrc: u32, sequence: u16) -> u8 {
    let packets = match candidate {
        Some(known) if known.ssrc == ssrc && known.next == sequence => {
            known.packets.saturating_add(1)
        }
        _ => 1,
    };
    *candidate = Some(Candidate { ssrc, next: sequence.wrapping_add(1), packets });
    packets
}

impl Stream {
    fn new(now: Instant, ssrc: u32, sequence: u16) -> Self {
        // One wrap in hand, so that a packet from before the first has a number too.
        let base = 0x1_0000 + u64::from(sequence);
        Self {
            ssrc,
            base,
            highest: base,
            window: 1,
            received: 1,
            last_at: now,
            transit: None,
            jitter_16: 0,
            reported: (0, 0),
        }
    }

    fn ahead(&self, sequence: u16) -> u16 {
        sequence.wrapping_sub(self.highest as u16)
    }

    fn jumps_to(&self, sequence: u16) -> bool {
        let ahead = self.ahead(sequence);
        (DROPOUT_MAX..=u16::MAX - WINDOW).contains(&ahead)
    }

    fn take(&mut self, now: Instant, sequence: u16) -> Verdict {
        let ahead = self.ahead(sequence);
        if ahead != 0 && ahead < DROPOUT_MAX {
            self.highest += u64::from(ahead);
            self.window = self.window.checked_shl(ahead.into()).unwrap_or(0) | 1;
        } else {
            let bit = 1_u64.checked_shl(self.ahead(sequence).wrapping_neg().into()).unwrap_or(0);
            if bit == 0 || self.window & bit != 0 {
                return Verdict::Refuse;
            }
            self.window |= bit;
        }
        self.received += 1;
        self.last_at = now;
        Verdict::Accept
    }

    fn expected(&self) -> u64 {
        self.highest - self.base + 1
    }

    fn lost(&self) -> u64 {
        self.expected().saturating_sub(self.received)
    }
}

impl Rate {
    fn admit(&mut self, now: Instant) -> bool {
        let second = now.as_nanos() / 1_000_000_000;
        if second != self.second {
            *self = Self { second, packets: 0 };
        }
        self.packets = self.packets.saturating_add(1);
        self.packets <= PACKETS_PER_SECOND_MAX
    }
}

#[cfg(test)]
mod tests;
