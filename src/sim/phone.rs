//! A phone behind the PBX: sends and hears RTP, presses keys, and watches the sound for faults.
//!
//! It keeps count of what a caller would notice: the longest gap between two packets, sequence
//! numbers that skip or repeat, and, where asked to, the sound itself.

use std::net::SocketAddr;

use crate::codecs::Digit;
use crate::codecs::telephone_event::Sender;
use crate::sdp::{Codec, Negotiated};
use crate::timers::{Duration, Instant};

/// Samples of one frame.
const FRAME: u32 = 160;
const FRAME_TIME: Duration = Duration::from_millis(20);
const HEADER_LEN: usize = 12;

/// What a caller would notice of the sound.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// Packets that arrived.
    pub packets: u64,
    /// Packets missing from the sequence.
    pub skipped: u64,
    /// Packets that arrived twice or late.
    pub repeated: u64,
    /// The longest time between two packets.
    pub longest_gap: Duration,
    /// When the last one arrived.
    pub last_at: Option<Instant>,
    /// Streams beside the first: a rebind must not begin a new one.
    pub further_sources: u64,
}

/// One phone in one call.
#[derive(Debug)]
pub struct Phone {
    media: Negotiated,
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
    next_frame_at: Instant,
    keys: Sender,
    heard: Heard,
    expected: Option<(u32, u16)>,
    recording: Option<Vec<u8>>,
    /// Length of the recording after each packet.
    ends: Vec<usize>,
    arrivals: Option<Vec<Instant>>,
    packet: Vec<u8>,
}

impl Phone {
    /// A phone that begins to send now. `record` keeps the sound, one byte a sample.
    pub fn new(media: Negotiated, ssrc: u32, record: bool, now: Instant) -> Self {
        Self {
            media,
            ssrc,
            sequence: (ssrc >> 8) as u16,
            timestamp: ssrc.rotate_left(7),
            next_frame_at: now,
            keys: Sender::new(),
            heard: Heard::default(),
            expected: None,
            recording: record.then(Vec::new),
            ends: Vec::new(),
            arrivals: None,
            packet: Vec::with_capacity(HEADER_LEN + FRAME as usize),
        }
    }

    /// Keeps the time of every packet from here on.
    pub fn keep_arrivals(&mut self) {
        self.arrivals = Some(Vec::new());
    }

    /// The time of every packet, if it was kept.
    pub fn arrivals(&self) -> Option<&[Instant]> {
        self.arrivals.as_deref()
    }

    /// The call's media changed.
    pub fn change(&mut self, media: Negotiated) {
        self.media = media;
    }

    /// Presses a key; presses wait for each other.
    pub fn press(&mut self, digit: Digit, duration_ms: u32, pause_ms: u32) -> bool {
        self.media.event_send.is_some() && self.keys.queue(digit, duration_ms, pause_ms).is_ok()
    }

    /// Whether all keys have left.
    pub fn is_quiet(&self) -> bool {
        !self.keys.is_busy()
    }

    /// What it speaks.
    pub fn codec(&self) -> Codec {
        self.media.codec
    }

    /// Where its packets go.
    pub fn target(&self) -> SocketAddr {
        self.media.remote
    }

    /// When the next frame is due.
    pub fn poll_timeout(&self) -> Instant {
        self.next_frame_at
    }

    /// Sends nothing until `at`, as a phone that suppresses silence: the clock goes on, the
    /// sequence does not.
    pub fn rest_until(&mut self, at: Instant) {
        while self.next_frame_at < at {
            self.next_frame_at += FRAME_TIME;
            self.timestamp = self.timestamp.wrapping_add(FRAME);
        }
    }

    /// The frame that is due: where it goes, and its bytes.
    pub fn next_frame(&mut self) -> (SocketAddr, &[u8]) {
        self.next_frame_at += FRAME_TIME;
        self.sequence = self.sequence.wrapping_add(1);
        self.timestamp = self.timestamp.wrapping_add(FRAME);
        match (self.keys.next_frame(self.timestamp, FRAME), self.media.event_send) {
            (Some(event), Some(payload_type)) => {
                self.header(payload_type, event.marker, event.timestamp);
                self.packet.extend_from_slice(&event.payload);
            }
            _ => {
                let codec = self.media.codec;
                self.header(codec.payload_type(), false, self.timestamp);
                self.packet.resize(HEADER_LEN + FRAME as usize, silence(codec));
            }
        }
        (self.media.remote, &self.packet)
    }

    fn header(&mut self, payload_type: u8, marker: bool, timestamp: u32) {
        self.packet.clear();
        self.packet.push(0x80);
        self.packet.push(payload_type | if marker { 0x80 } else { 0 });
        self.packet.extend_from_slice(&self.sequence.to_be_bytes());
        self.packet.extend_from_slice(&timestamp.to_be_bytes());
        self.packet.extend_from_slice(&self.ssrc.to_be_bytes());
    }

    /// A packet came from the port.
    pub fn hear(&mut self, now: Instant, packet: &[u8]) {
        let Some((header, payload)) = packet.split_first_chunk::<HEADER_LEN>() else { return };
        let sequence = u16::from_be_bytes([header[2], header[3]]);
        let ssrc = u32::from_be_bytes([header[8], header[9], header[10], header[11]]);
        self.heard.packets += 1;
        if let Some(last) = self.heard.last_at {
            let gap = now.saturating_duration_since(last);
            self.heard.longest_gap = self.heard.longest_gap.max(gap);
        }
        self.heard.last_at = Some(now);
        if let Some(arrivals) = &mut self.arrivals {
            arrivals.push(now);
        }
        self.follow(ssrc, sequence);
        if let Some(recording) = &mut self.recording {
            if header[1] & 0x7f == self.media.codec.payload_type() {
                recording.extend_from_slice(payload);
            }
            self.ends.push(recording.len());
        }
    }

    fn follow(&mut self, ssrc: u32, sequence: u16) {
        if let Some((source, expected)) = self.expected {
            if source != ssrc {
                self.heard.further_sources += 1;
            } else {
                let ahead = sequence.wrapping_sub(expected);
                if ahead >= 0x8000 {
                    self.heard.repeated += 1;
                    return;
                }
                self.heard.skipped += u64::from(ahead);
            }
        }
        self.expected = Some((ssrc, sequence.wrapping_add(1)));
    }

    /// What a caller would have noticed.
    pub fn heard(&self) -> &Heard {
        &self.heard
    }

    /// The sound, if it was kept, in the call's codec.
    pub fn recording(&self) -> Option<(Codec, &[u8])> {
        self.recording.as_deref().map(|sound| (self.media.codec, sound))
    }

    /// Where in the recording each packet's sound ends; a PBX may send packets of any length.
    pub fn ends(&self) -> &[usize] {
        &self.ends
    }
}

const fn silence(codec: Codec) -> u8 {
    match codec {
        Codec::Pcmu => 0xff,
        Codec::Pcma => 0xd5,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sdp::Direction;

    fn phone() -> Phone {
        let media = Negotiated {
            remote: "127.0.0.1:4000".parse().expect("address"),
            codec: Codec::Pcmu,
            event_send: Some(101),
            event_recv: Some(101),
            direction: Direction::SendRecv,
            ptime_ms: 20,
        };
        Phone::new(media, 7, true, Instant::ZERO)
    }

    fn packet(sequence: u16, ssrc: u32) -> Vec<u8> {
        let mut packet = vec![0x80, 0];
        packet.extend_from_slice(&sequence.to_be_bytes());
        packet.extend_from_slice(&[0; 4]);
        packet.extend_from_slice(&ssrc.to_be_bytes());
        packet.extend_from_slice(&[0x55; 160]);
        packet
    }

    #[test]
    fn skips_repeats_gaps_and_new_sources_are_counted() {
        let mut phone = phone();
        let at = |ms| Instant::ZERO + Duration::from_millis(ms);
        phone.hear(at(0), &packet(65_535, 1));
        phone.hear(at(20), &packet(0, 1));
        phone.hear(at(90), &packet(3, 1));
        phone.hear(at(91), &packet(3, 1));
        phone.hear(at(92), &packet(9, 2));
        let heard = phone.heard();
        assert_eq!((heard.packets, heard.skipped, heard.repeated), (5, 2, 1));
        assert_eq!(heard.further_sources, 1);
        assert_eq!(heard.longest_gap, Duration::from_millis(70));
    }

    #[test]
    fn a_key_replaces_the_audio_of_its_frames() {
        let mut phone = phone();
        assert!(phone.press(Digit::from_char('5').expect("a key"), 100, 60));
        let (to, first) = phone.next_frame();
        assert_eq!(to.port(), 4000);
        assert_eq!((first.len(), first[1]), (16, 0x80 | 101));
        let events = (0..20).filter(|_| phone.next_frame().1[1] == 101).count();
        assert_eq!(events, 4 + 2, "100 ms in five frames, and the end twice more");
        assert!(phone.is_quiet());
    }
}
