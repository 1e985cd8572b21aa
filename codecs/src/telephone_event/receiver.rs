//! Receives telephone-events (RFC 4733 section 2.5.2) and reports each key press once, when it
//! begins.
//!
//! All packets of one event carry the RTP timestamp of its beginning, so the timestamp names the
//! event, and the first packet that arrives of it, whichever it is, is the key press: lost starts,
//! lost ends, three ends and durations of 0 need no special case. What remains is to tell an old
//! name from a new one:
//!
//! * The last sixteen names are remembered; packets of them never count again.
//! * A name up to two seconds older than the current one belongs to an event that was overtaken;
//!   it is refused, so that keys are never reported out of order. A name further back is a sender
//!   that began a new timeline (no network keeps a packet for two seconds) and counts.
//! * A name that continues the current event where a segment ends (section 2.5.1.3), with the same
//!   key and no marker, is the same key press.
//!
//! The end of a press (end bit, the next event, or silence) only matters to [`Receiver::held`].
//! Packets must come from the locked source, SSRC and payload type; the caller tells of a change of
//! SSRC, see [`Receiver::new_stream`].

use super::Payload;
use crate::{Digit, UNITS_PER_MS};

/// Names that are remembered; more than a second's worth of the fastest keying that is accepted.
const REMEMBERED: usize = 16;

/// Key presses accepted in one second. People reach 8; machines keep 40 ms + 40 ms.
const PRESSES_PER_SECOND_MAX: usize = 12;

/// Silence that ends a press whose end packets were lost: four packets at 50 ms, the longest
/// packet time in use.
const SILENCE_MS: u64 = 200;

/// How far back a packet may lie and be an overtaken one.
const OVERTAKEN_UNITS: u32 = 2_000 * UNITS_PER_MS;

/// A segment ends at 0xFFFF, or with the last whole packet before it: up to 200 ms earlier.
const SEGMENT_UNITS: std::ops::RangeInclusive<u32> = 0xFFFF - 200 * UNITS_PER_MS..=0xFFFF;

/// A key went down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Press {
    /// The key.
    pub digit: Digit,
    /// RTP timestamp of the beginning.
    pub rtp_timestamp: u32,
    /// How long it had lasted when its first packet that arrived was sent, in milliseconds.
    pub duration_ms: u32,
}

/// What was refused, cumulative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Key presses reported.
    pub presses: u32,
    /// Packets too short for an event report.
    pub malformed: u32,
    /// Events that are no key: flash, fax and modem tones.
    pub other_events: u32,
    /// Packets of an event that is over, or was overtaken by a later one.
    pub stale: u32,
    /// Packets that contradict their event: another key, or a shorter duration.
    pub inconsistent: u32,
    /// Key presses beyond 12 a second. They are lost, which the caller should raise an alarm about.
    pub too_fast: u32,
}

/// An event by its name.
#[derive(Clone, Copy, Debug)]
struct Event {
    digit: Digit,
    /// RTP timestamp of the running segment.
    timestamp: u32,
    /// The longest duration heard of the running segment.
    duration: u16,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// No event has been heard.
    Fresh,
    /// The key is down.
    Held { event: Event, silent_at_ms: u64 },
    /// The end bit was heard.
    Released { event: Event },
    /// The packets ceased without an end bit.
    Faded { event: Event },
}

/// The receiver of one sender, one stream (SSRC) at a time.
#[derive(Debug)]
pub struct Receiver {
    state: State,
    recent: [Option<u32>; REMEMBERED],
    recent_at: usize,
    /// When the last presses came, oldest at `press_at`.
    presses_ms: [Option<u64>; PRESSES_PER_SECOND_MAX],
    press_at: usize,
    counts: Counts,
}

impl Default for Receiver {
    fn default() -> Self {
        Self::new()
    }
}

impl Receiver {
    /// A receiver that has heard nothing.
    pub fn new() -> Self {
        Self {
            state: State::Fresh,
            recent: [None; REMEMBERED],
            recent_at: 0,
            presses_ms: [None; PRESSES_PER_SECOND_MAX],
            press_at: 0,
            counts: Counts::default(),
        }
    }

    /// Takes one telephone-event packet that arrived at `now_ms` (milliseconds of any steady
    /// clock); returns the key press when this packet is the first of it.
    pub fn receive(
        &mut self,
        now_ms: u64,
        rtp_timestamp: u32,
        marker: bool,
        payload: &[u8],
    ) -> Option<Press> {
        self.handle_timeout(now_ms);
        let Some(report) = Payload::parse(payload) else {
            bump(&mut self.counts.malformed);
            return None;
        };
        let Some(digit) = Digit::from_event(report.event) else {
            bump(&mut self.counts.other_events);
            return None;
        };
        let heard = Event { digit, timestamp: rtp_timestamp, duration: report.duration };
        let Some(current) = self.current() else {
            return self.press(now_ms, heard, report.end);
        };
        if rtp_timestamp == current.timestamp {
            self.hear_again(now_ms, current, heard, report.end);
            None
        } else if self.is_stale(current, rtp_timestamp) {
            bump(&mut self.counts.stale);
            None
        } else if !marker && self.continues(current, heard) {
            self.remember(rtp_timestamp);
            self.hold(now_ms, heard, report.end);
            None
        } else {
            self.press(now_ms, heard, report.end)
        }
    }

    /// Another stream begins: timestamps of the old one mean nothing in it. The pace of key presses
    /// is the sender's and goes on, or a sender that changes its SSRC could key without a limit.
    pub fn new_stream(&mut self) {
        self.state = State::Fresh;
        self.recent = [None; REMEMBERED];
    }

    /// The stream goes on in which another receiver has reported this press: what is still to come
    /// of it, and of all before it, does not count again.
    pub fn go_on_after(&mut self, digit: Digit, rtp_timestamp: u32) {
        self.remember(rtp_timestamp);
        self.state = State::Faded { event: Event { digit, timestamp: rtp_timestamp, duration: 0 } };
    }

    /// Ends a press whose packets have ceased. Harmless when called early.
    pub fn handle_timeout(&mut self, now_ms: u64) {
        if let State::Held { event, silent_at_ms } = self.state
            && now_ms >= silent_at_ms
        {
            self.state = State::Faded { event };
        }
    }

    /// When to call [`Self::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<u64> {
        match self.state {
            State::Held { silent_at_ms, .. } => Some(silent_at_ms),
            State::Fresh | State::Released { .. } | State::Faded { .. } => None,
        }
    }

    /// The key that is down.
    pub fn held(&self) -> Option<Digit> {
        match self.state {
            State::Held { event, .. } => Some(event.digit),
            State::Fresh | State::Released { .. } | State::Faded { .. } => None,
        }
    }

    /// What was accepted and refused so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    fn current(&self) -> Option<Event> {
        match self.state {
            State::Fresh => None,
            State::Held { event, .. } | State::Released { event } | State::Faded { event } => {
                Some(event)
            }
        }
    }

    /// Another packet of the current event.
    fn hear_again(&mut self, now_ms: u64, current: Event, heard: Event, end: bool) {
        if heard.digit != current.digit || heard.duration < current.duration {
            // Forged, or reordered within the event: durations only grow.
            bump(&mut self.counts.inconsistent);
            return;
        }
        match self.state {
            // The end is final; its copies, and reports that it overtook, change nothing.
            State::Released { .. } => {}
            State::Fresh | State::Held { .. } | State::Faded { .. } => {
                self.hold(now_ms, heard, end);
            }
        }
    }

    fn is_stale(&self, current: Event, timestamp: u32) -> bool {
        let back = current.timestamp.wrapping_sub(timestamp);
        back <= OVERTAKEN_UNITS || self.recent.contains(&Some(timestamp))
    }

    /// Whether an event that begins elsewhere is the current one's next segment.
    fn continues(&self, current: Event, heard: Event) -> bool {
        let ended = matches!(self.state, State::Released { .. });
        let ahead = heard.timestamp.wrapping_sub(current.timestamp);
        let was_long = current.duration > u16::MAX / 2;
        let joins =
            ahead == u32::from(current.duration) || was_long && SEGMENT_UNITS.contains(&ahead);
        !ended && heard.digit == current.digit && joins
    }

    fn press(&mut self, now_ms: u64, event: Event, end: bool) -> Option<Press> {
        // Remembered even when refused: the rest of its packets must not count either.
        self.remember(event.timestamp);
        self.hold(now_ms, event, end);
        if self.presses_ms[self.press_at].is_some_and(|then| now_ms < then.saturating_add(1_000)) {
            bump(&mut self.counts.too_fast);
            return None;
        }
        self.presses_ms[self.press_at] = Some(now_ms);
        self.press_at = (self.press_at + 1) % PRESSES_PER_SECOND_MAX;
        bump(&mut self.counts.presses);
        Some(Press {
            digit: event.digit,
            rtp_timestamp: event.timestamp,
            duration_ms: u32::from(event.duration) / UNITS_PER_MS,
        })
    }

    fn hold(&mut self, now_ms: u64, event: Event, end: bool) {
        self.state = if end {
            State::Released { event }
        } else {
            State::Held { event, silent_at_ms: now_ms.saturating_add(SILENCE_MS) }
        };
    }

    fn remember(&mut self, timestamp: u32) {
        self.recent[self.recent_at] = Some(timestamp);
        self.recent_at = (self.recent_at + 1) % REMEMBERED;
    }
}

fn bump(count: &mut u32) {
    *count = count.saturating_add(1);
}

#[cfg(test)]
mod tests;
