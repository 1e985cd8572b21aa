//! Events of one port that wait for the node.
//!
//! Digits are bounded: a caller cannot dial 64 digits in one scheduling delay, so a full queue
//! means a stuck node. Further digits are refused and counted, never dropped silently. Every other
//! event answers a command, so a stuck node, which gives none, cannot make the queue grow; the one
//! exception, silence that comes and goes, cancels itself.

use std::collections::VecDeque;

use super::Event;

/// Digits that wait at most.
pub(super) const DIGITS_QUEUED_MAX: usize = 64;

/// Room reserved at the start of a call, so that no event of an ordinary call allocates.
const RESERVED: usize = DIGITS_QUEUED_MAX + 16;

/// The queue.
#[derive(Debug, Default)]
pub(super) struct Events {
    queue: VecDeque<Event>,
    digits: usize,
    refused: u32,
}

impl Events {
    /// Takes the memory of a call.
    pub(super) fn reserve(&mut self) {
        self.queue.reserve(RESERVED);
    }

    /// Gives it back.
    pub(super) fn release(&mut self) {
        self.queue.shrink_to_fit();
    }

    pub(super) fn push(&mut self, event: Event) {
        match event {
            Event::Digit { .. } if self.digits >= DIGITS_QUEUED_MAX => {
                self.refused = self.refused.saturating_add(1);
                return;
            }
            Event::Digit { .. } => self.digits += 1,
            Event::InboundBack if self.queue.back() == Some(&Event::InboundSilent) => {
                self.queue.pop_back();
                return;
            }
            _ => {}
        }
        self.queue.push_back(event);
    }

    /// Puts an event back that the node could not take yet.
    pub(super) fn put_back(&mut self, event: Event) {
        if matches!(event, Event::Digit { .. }) {
            self.digits += 1;
        }
        self.queue.push_front(event);
    }

    pub(super) fn pop(&mut self) -> Option<Event> {
        let event = self.queue.pop_front();
        if matches!(event, Some(Event::Digit { .. })) {
            self.digits -= 1;
        }
        if event.is_none() && self.refused > 0 {
            return Some(Event::DigitsRefused { count: std::mem::take(&mut self.refused) });
        }
        event
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codecs::Digit;

    fn digit() -> Event {
        let digit = Digit::from_event(5).expect("a digit");
        Event::Digit { digit, duration_ms: 20, rtp_timestamp: 0, in_band: false }
    }

    #[test]
    fn the_65th_waiting_digit_is_refused_and_counted() {
        let mut events = Events::default();
        for _ in 0..DIGITS_QUEUED_MAX + 3 {
            events.push(digit());
        }
        for _ in 0..DIGITS_QUEUED_MAX {
            assert_eq!(events.pop(), Some(digit()));
        }
        assert_eq!(events.pop(), Some(Event::DigitsRefused { count: 3 }));
        assert_eq!(events.pop(), None);
    }

    #[test]
    fn an_event_put_back_is_the_next_and_still_counts() {
        let mut events = Events::default();
        events.push(digit());
        events.push(Event::Opened);
        let first = events.pop().expect("pushed");
        events.put_back(first);
        for _ in 1..=DIGITS_QUEUED_MAX {
            events.push(digit());
        }
        assert_eq!(events.pop(), Some(digit()));
        assert_eq!(events.pop(), Some(Event::Opened));
        let rest = std::iter::from_fn(|| events.pop()).count();
        assert_eq!(rest, DIGITS_QUEUED_MAX - 1 + 1, "63 digits and one report");
    }

    #[test]
    fn silence_that_comes_and_goes_does_not_pile_up() {
        let mut events = Events::default();
        for _ in 0..1_000 {
            events.push(Event::InboundSilent);
            events.push(Event::InboundBack);
        }
        assert_eq!(events.pop(), None);
    }
}
