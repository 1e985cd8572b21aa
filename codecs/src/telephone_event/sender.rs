//! Sends queued digits as telephone-events (RFC 4733 section 2.5.1), one packet a frame.
//!
//! The media port calls [`Sender::next_frame`] once a frame with the timestamp that the frame's
//! audio would have. While a packet comes back it replaces the audio; in the pause after a digit
//! nothing comes back and audio may be sent. Time is the RTP timestamp: the machine has no deadline
//! of its own, and a stream that pauses pauses its digits.
//!
//! Each event ends with three equal packets, a frame apart, so that the pause after a digit is
//! never shorter than two frames. An event longer than 0xFFFF units is cut into segments (section
//! 2.5.1.3); the last packet of a segment is sent once, as each frame carries one packet and the
//! next segment's reports begin at once.

use std::collections::VecDeque;

use super::{PAYLOAD_LEN, Payload};
use crate::{Digit, UNITS_PER_MS};

/// Digits that wait. Longer than any number, PIN or account; whoever queues more is told so.
pub const DIGITS_QUEUED_MAX: usize = 64;

/// Shortest tone: ITU-T Q.24 receivers must accept 40 ms, and not less.
const DURATION_MS_MIN: u32 = 40;

/// Longest tone and pause. Beyond a minute nobody means it.
const DURATION_MS_MAX: u32 = 60_000;

/// Shortest pause between digits (Q.24).
const PAUSE_MS_MIN: u32 = 40;

/// Loudness that is reported, -10 dBm0: the middle of what telephones send.
const VOLUME: u8 = 10;

/// Copies of the last packet after the first (section 2.5.1.4: three in all).
const END_REPEATS: u8 = 2;

/// What to send in place of a frame of audio.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// RTP payload.
    pub payload: [u8; PAYLOAD_LEN],
    /// RTP marker bit: the first packet of an event.
    pub marker: bool,
    /// RTP timestamp: the beginning of the event, the same in all its packets.
    pub timestamp: u32,
}

/// [`DIGITS_QUEUED_MAX`] digits wait already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueFull;

#[derive(Clone, Copy, Debug)]
struct Tone {
    digit: Digit,
    /// Timestamp units.
    duration: u32,
    /// Timestamp units.
    pause: u32,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Idle,
    /// The key is down. `segment` is where the running segment began; it is `start` at first.
    Sounding {
        tone: Tone,
        start: u32,
        segment: u32,
    },
    /// The key is up, at `ended`; the last packet is repeated, then the pause is waited out.
    Ended {
        last: Packet,
        repeats: u8,
        ended: u32,
        pause: u32,
    },
}

/// The sender of one stream.
#[derive(Debug)]
pub struct Sender {
    queue: VecDeque<Tone>,
    state: State,
}

impl Default for Sender {
    fn default() -> Self {
        Self::new()
    }
}

impl Sender {
    /// An idle sender. This is where it allocates, and only here.
    pub fn new() -> Self {
        Self { queue: VecDeque::with_capacity(DIGITS_QUEUED_MAX), state: State::Idle }
    }

    /// Queues a key press of `duration_ms`, with `pause_ms` of nothing after it; both are kept
    /// between 40 ms and a minute.
    pub fn queue(
        &mut self,
        digit: Digit,
        duration_ms: u32,
        pause_ms: u32,
    ) -> Result<(), QueueFull> {
        if self.queue.len() >= DIGITS_QUEUED_MAX {
            return Err(QueueFull);
        }
        self.queue.push_back(Tone {
            digit,
            duration: duration_ms.clamp(DURATION_MS_MIN, DURATION_MS_MAX) * UNITS_PER_MS,
            pause: pause_ms.clamp(PAUSE_MS_MIN, DURATION_MS_MAX) * UNITS_PER_MS,
        });
        Ok(())
    }

    /// Forgets the digits that wait; a running one comes to its end in order.
    pub fn clear(&mut self) {
        self.queue.clear();
    }

    /// What the frame of `samples` samples at `timestamp` carries in place of audio, if anything.
    ///
    /// The first packet of an event reports the whole frame as its duration: the key is down for
    /// all of it.
    pub fn next_frame(&mut self, timestamp: u32, samples: u32) -> Option<Packet> {
        match self.state {
            State::Idle => self.begin(timestamp, samples),
            State::Sounding { tone, start, segment } => {
                Some(self.sound(tone, start, segment, timestamp, samples))
            }
            State::Ended { last, repeats: repeats @ 1.., ended, pause } => {
                self.state = State::Ended { last, repeats: repeats - 1, ended, pause };
                Some(last)
            }
            State::Ended { ended, pause, .. } => {
                if elapsed(ended, timestamp) < pause {
                    return None;
                }
                self.begin(timestamp, samples)
            }
        }
    }

    /// Whether a digit sounds, waits, or is followed by its pause.
    pub fn is_busy(&self) -> bool {
        !matches!(self.state, State::Idle) || !self.queue.is_empty()
    }

    fn begin(&mut self, timestamp: u32, samples: u32) -> Option<Packet> {
        let Some(tone) = self.queue.pop_front() else {
            self.state = State::Idle;
            return None;
        };
        let first = self.sound(tone, timestamp, timestamp, timestamp, samples);
        Some(Packet { marker: true, ..first })
    }

    fn sound(
        &mut self,
        tone: Tone,
        start: u32,
        segment: u32,
        timestamp: u32,
        samples: u32,
    ) -> Packet {
        let lasted = elapsed(start, timestamp).saturating_add(samples);
        let in_segment = elapsed(segment, timestamp).saturating_add(samples);
        let report = |end, duration| Packet {
            payload: Payload { event: tone.digit.event(), end, volume: VOLUME, duration }
                .to_bytes(),
            marker: false,
            timestamp: segment,
        };
        let Ok(duration) = u16::try_from(in_segment) else {
            // Full: close the segment, without the end bit; the next begins where it ends.
            let next = segment.wrapping_add(u32::from(u16::MAX));
            self.state = State::Sounding { tone, start, segment: next };
            return report(false, u16::MAX);
        };
        if lasted < tone.duration {
            self.state = State::Sounding { tone, start, segment };
            return report(false, duration);
        }
        let last = report(true, duration);
        let ended = timestamp.wrapping_add(samples);
        self.state = State::Ended { last, repeats: END_REPEATS, ended, pause: tone.pause };
        last
    }
}

/// Units from `from` to `to`, zero when the timestamp went backwards.
fn elapsed(from: u32, to: u32) -> u32 {
    let units = to.wrapping_sub(from);
    if units > u32::MAX / 2 { 0 } else { units }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FRAME_SAMPLES;

    const FRAME: u32 = FRAME_SAMPLES as u32;

    fn digit(key: char) -> Digit {
        Digit::from_char(key).expect("a key")
    }

    /// What `frames` frames from `timestamp` on carry.
    fn run(sender: &mut Sender, timestamp: u32, frames: u32) -> Vec<Option<(Packet, Payload)>> {
        (0..frames)
            .map(|i| {
                let packet = sender.next_frame(timestamp.wrapping_add(i * FRAME), FRAME)?;
                Some((packet, Payload::parse(&packet.payload).expect("four octets")))
            })
            .collect()
    }

    #[test]
    fn an_event_is_one_marker_growing_durations_and_three_ends_on_one_timestamp() {
        let mut sender = Sender::new();
        sender.queue(digit('5'), 100, 60).expect("room");
        // Across the wrap of the timestamp.
        let sent = run(&mut sender, u32::MAX - 200, 12);
        let packets: Vec<_> = sent.iter().flatten().collect();
        assert_eq!(packets.len(), 7);
        assert!(packets.iter().all(|(p, r)| p.timestamp == u32::MAX - 200 && r.event == 5));
        let markers: Vec<_> = packets.iter().map(|(p, _)| p.marker).collect();
        assert_eq!(markers, [true, false, false, false, false, false, false]);
        let durations: Vec<_> = packets.iter().map(|(_, r)| r.duration).collect();
        assert_eq!(durations, [160, 320, 480, 640, 800, 800, 800]);
        let ends: Vec<_> = packets.iter().map(|(_, r)| r.end).collect();
        assert_eq!(ends, [false, false, false, false, true, true, true]);
        assert!(!sender.is_busy());
    }

    #[test]
    fn the_pause_lies_between_the_end_of_a_digit_and_the_next() {
        let mut sender = Sender::new();
        sender.queue(digit('1'), 80, 100).expect("room");
        sender.queue(digit('1'), 80, 100).expect("room");
        let sent = run(&mut sender, 8_000, 20);
        let firsts: Vec<_> =
            sent.iter().enumerate().filter(|(_, s)| s.is_some_and(|(p, _)| p.marker)).collect();
        // 4 frames of tone and 5 of pause.
        assert_eq!(firsts.iter().map(|(i, _)| *i).collect::<Vec<_>>(), [0, 9]);
    }

    #[test]
    fn a_long_press_is_cut_into_segments_that_join_without_a_gap() {
        let mut sender = Sender::new();
        sender.queue(digit('0'), 20_000, 40).expect("room");
        let sent = run(&mut sender, 1_000, 1_010);
        let packets: Vec<_> = sent.iter().flatten().collect();
        let mut segments: Vec<u32> = packets.iter().map(|(p, _)| p.timestamp).collect();
        segments.dedup();
        assert_eq!(segments, [1_000, 66_535, 132_070]);
        assert_eq!(packets.iter().filter(|(p, _)| p.marker).count(), 1);
        assert_eq!(packets.iter().filter(|(_, r)| r.end).count(), 3);
        let (last, report) = packets.last().expect("some");
        assert_eq!(last.timestamp + u32::from(report.duration), 1_000 + 160_000);
    }

    #[test]
    fn a_full_queue_refuses_and_clearing_lets_the_running_digit_end() {
        let mut sender = Sender::new();
        for _ in 0..DIGITS_QUEUED_MAX {
            sender.queue(digit('7'), 60, 60).expect("room");
        }
        assert_eq!(sender.queue(digit('7'), 60, 60), Err(QueueFull));
        assert!(sender.next_frame(0, FRAME).is_some());
        sender.clear();
        let sent = run(&mut sender, FRAME, 20);
        assert_eq!(sent.iter().flatten().filter(|(_, r)| r.end).count(), 3);
        assert!(!sender.is_busy());
    }

    #[test]
    fn a_timestamp_that_steps_back_prolongs_the_digit_but_ends() {
        let mut sender = Sender::new();
        sender.queue(digit('3'), 60, 60).expect("room");
        sender.next_frame(100_000, FRAME);
        sender.next_frame(50, FRAME);
        let sent = run(&mut sender, 100_160, 10);
        assert_eq!(sent.iter().flatten().filter(|(_, r)| r.end).count(), 3);
    }

    #[test]
    fn shorter_than_40_ms_is_sent_as_40_ms() {
        let mut sender = Sender::new();
        sender.queue(digit('9'), 0, 0).expect("room");
        let sent = run(&mut sender, 0, 10);
        let last = sent.iter().flatten().last().expect("some");
        assert_eq!(last.1.duration, 320);
    }
}
