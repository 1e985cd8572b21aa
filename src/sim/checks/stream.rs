//! The sound that leaves a port, packet by packet: one stream from the first to the last.
//!
//! The sequence number grows by one, the source stays, the timestamp follows the clock, and 20 ms
//! lie between two packets, whoever owns the call and however often that changes. Only a hold may
//! part two packets, and then by whole frames.

use crate::timers::{Duration, Instant};

/// Time between two packets.
const FRAME: Duration = Duration::from_millis(20);

/// A caller who hears nothing for so long has been forgotten: every rule of the node that ends
/// a silence is due before.
const SILENCE_MAX: Duration = Duration::from_secs(16);

/// Payload type of telephone-events here.
const EVENT: u8 = 101;

#[derive(Clone, Copy, Debug)]
struct Last {
    at: Instant,
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
}

/// The stream of one call.
#[derive(Debug, Default)]
pub struct Stream {
    /// Since when it may flow; `None`: no answer yet, or held.
    flows_since: Option<Instant>,
    /// A hold lies between the last packet and the next.
    parted: bool,
    last: Option<Last>,
    /// When the caller last heard something.
    sound_at: Option<Instant>,
    sounds: bool,
    /// Packets so far.
    pub packets: u64,
    /// The longest time between two packets without a hold.
    pub longest_gap: Duration,
}

impl Stream {
    /// The port may send, or may not.
    pub fn allow(&mut self, now: Instant, on: bool) {
        self.parted |= !on;
        match (self.flows_since, on) {
            (None, true) => {
                self.flows_since = Some(now);
                self.sound_at = Some(now);
            }
            (Some(_), true) => {}
            (_, false) => self.flows_since = None,
        }
    }

    /// A packet left. Returns what is wrong with it, and whether sound began or ceased.
    pub fn packet(&mut self, now: Instant, packet: &[u8]) -> (Option<String>, Option<bool>) {
        let Some((header, payload)) = packet.split_first_chunk::<12>() else {
            return (Some("an RTP packet without a header".into()), None);
        };
        let read = Last {
            at: now,
            ssrc: u32::from_be_bytes([header[8], header[9], header[10], header[11]]),
            sequence: u16::from_be_bytes([header[2], header[3]]),
            timestamp: u32::from_be_bytes([header[4], header[5], header[6], header[7]]),
        };
        let is_event = header[1] & 0x7f == EVENT;
        let fault = self.judge(read, is_event);
        self.packets += 1;
        let silent = matches!(payload.first(), None | Some(0xff | 0xd5));
        if !silent {
            self.sound_at = Some(now);
        }
        // The name of an event is its beginning; the clock goes on beneath it.
        let timestamp = match (is_event, self.last) {
            (true, Some(last)) => last.timestamp.wrapping_add(ticks(last.at, now)),
            _ => read.timestamp,
        };
        self.last = Some(Last { timestamp, ..read });
        self.parted = false;
        let changed = self.sounds == silent;
        self.sounds = !silent;
        (fault, changed.then_some(!silent))
    }

    fn judge(&mut self, read: Last, is_event: bool) -> Option<String> {
        if self.flows_since.is_none() {
            return Some("RTP left a port that is held, or has no answer yet".into());
        }
        let last = self.last?;
        let gap = read.at.saturating_duration_since(last.at);
        if !self.parted {
            self.longest_gap = self.longest_gap.max(gap);
        }
        let whole_frames = gap.as_nanos().is_multiple_of(FRAME.as_nanos());
        let expected = last.timestamp.wrapping_add(ticks(last.at, read.at));
        if read.ssrc != last.ssrc {
            Some("the RTP stream changed its source".into())
        } else if read.sequence != last.sequence.wrapping_add(1) {
            Some(format!("RTP sequence {} after {}", read.sequence, last.sequence))
        } else if !whole_frames || gap.is_zero() || gap > FRAME && !self.parted {
            Some(format!("{gap:?} between two RTP packets"))
        } else if !is_event && read.timestamp != expected {
            Some(format!("RTP timestamp {} where the clock says {expected}", read.timestamp))
        } else {
            None
        }
    }

    /// What is wrong with a stream of which nothing is heard: it has stopped, or is silent.
    pub fn look(&self, now: Instant) -> Option<String> {
        let since = self.flows_since?;
        let last = self.last.map_or(since, |last| last.at.max(since));
        if now.saturating_duration_since(last) > FRAME + FRAME {
            return Some(format!("no RTP packet since {last:?}"));
        }
        let heard = self.sound_at.map_or(since, |at| at.max(since));
        let silence = now.saturating_duration_since(heard);
        (silence > SILENCE_MAX).then(|| format!("the caller has heard nothing for {silence:?}"))
    }
}

/// Timestamp units between two instants.
fn ticks(from: Instant, to: Instant) -> u32 {
    // Timestamps wrap.
    (to.saturating_duration_since(from).as_nanos() / 125_000) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_nanos(ms * 1_000_000)
    }

    fn packet(sequence: u16, timestamp: u32) -> Vec<u8> {
        let mut packet = vec![0x80, 0];
        packet.extend_from_slice(&sequence.to_be_bytes());
        packet.extend_from_slice(&timestamp.to_be_bytes());
        packet.extend_from_slice(&[0, 0, 0, 1, 0x11]);
        packet
    }

    /// A stream of three good packets, the last at 40 ms.
    fn stream() -> Stream {
        let mut stream = Stream::default();
        stream.allow(at(0), true);
        for n in 0..3_u16 {
            let sent = packet(65_534_u16.wrapping_add(n), u32::from(n) * 160);
            assert_eq!(stream.packet(at(u64::from(n) * 20), &sent).0, None);
        }
        stream
    }

    #[test]
    fn a_skip_a_repetition_a_gap_and_a_clock_that_stands_still_are_seen() {
        for (ms, sequence, timestamp) in [(60, 2, 480), (60, 0, 480), (80, 1, 640), (60, 1, 320)] {
            let fault = stream().packet(at(ms), &packet(sequence, timestamp)).0;
            assert!(fault.is_some(), "{ms} {sequence} {timestamp}");
        }
        assert_eq!(stream().packet(at(60), &packet(1, 480)).0, None);
    }

    #[test]
    fn a_hold_may_part_two_packets_but_not_move_the_clock() {
        let mut held = stream();
        held.allow(at(45), false);
        assert!(held.look(at(5_000)).is_none());
        held.allow(at(5_000), true);
        assert_eq!(held.packet(at(5_020), &packet(1, 320 + 249 * 160)).0, None);
        let mut held = stream();
        held.allow(at(45), false);
        assert!(held.packet(at(60), &packet(1, 480)).0.is_some(), "sent although held");
    }

    #[test]
    fn a_stream_that_stops_and_one_that_only_hisses_are_seen() {
        assert!(stream().look(at(81)).is_some());
        let mut silent = stream();
        for n in 3..1_000_u32 {
            let mut sent = packet((n as u16).wrapping_sub(2), n * 160);
            sent[12] = 0xff;
            assert_eq!(silent.packet(at(u64::from(n) * 20), &sent).0, None);
        }
        assert!(silent.look(at(999 * 20)).is_some_and(|text| text.contains("heard nothing")));
    }
}
