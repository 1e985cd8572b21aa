//! Events of one port that wait for the node.
//!
//! Digits are bounded: a caller cannot dial 64 digits in one scheduling delay, so a full queue
//! means a stuck node. Further digits are refused and counted, never dropped silently. Every other
//! event answers a command, or tells once of a part of what a command began, so a stuck node, which
//! gives none, cannot make the queue grow; of the two exceptions, silence that comes and goes
//! cancels itself, and a far end that changes its SSRC again is told of once.
//!
//! Each event bears the call that it is of: the last events of one call may still wait here when
//! the next one opens.

use std::collections::VecDeque;

use super::{Event, Refusal};
use crate::ids::CallId;

/// Digits that wait at most.
pub(super) const DIGITS_QUEUED_MAX: usize = 64;

/// Room reserved at the start of a call, so that no event of an ordinary call allocates.
const RESERVED: usize = DIGITS_QUEUED_MAX + 16;

/// The queue.
#[derive(Debug, Default)]
pub(super) struct Events {
    /// The call that was opened last; `None` before the first.
    call: Option<CallId>,
    queue: VecDeque<(CallId, Event)>,
    digits: usize,
    /// Digits that found no room, and digits beyond the pace, not yet reported.
    refused: u32,
    too_fast: u32,
}

impl Events {
    /// A call begins: it takes its memory, and its events bear its name.
    pub(super) fn open(&mut self, call: CallId) {
        self.report_refused();
        self.call = Some(call);
        self.queue.reserve(RESERVED);
    }

    /// Gives it back.
    pub(super) fn release(&mut self) {
        self.queue.shrink_to_fit();
    }

    /// The call that was opened last.
    pub(super) fn call(&self) -> Option<CallId> {
        self.call
    }

    pub(super) fn push(&mut self, event: Event) {
        // Before the first call nobody waits for an answer.
        let Some(call) = self.call else { return };
        match event {
            Event::Digit { .. } if self.digits >= DIGITS_QUEUED_MAX => {
                self.refused = self.refused.saturating_add(1);
                return;
            }
            Event::Digit { .. } => self.digits += 1,
            Event::InboundBack if self.queue.back() == Some(&(call, Event::InboundSilent)) => {
                self.queue.pop_back();
                return;
            }
            Event::NewSsrc if self.queue.contains(&(call, Event::NewSsrc)) => return,
            _ => {}
        }
        self.queue.push_back((call, event));
    }

    /// So many digits came faster than 12 a second and are lost; the node hears of them as of those
    /// that find no room.
    pub(super) fn refuse_too_fast(&mut self, count: u32) {
        self.too_fast = self.too_fast.saturating_add(count);
    }

    /// Puts an event back that the node could not take yet.
    pub(super) fn put_back(&mut self, call: CallId, event: Event) {
        if matches!(event, Event::Digit { .. }) {
            self.digits += 1;
        }
        self.queue.push_front((call, event));
    }

    pub(super) fn pop(&mut self) -> Option<(CallId, Event)> {
        if self.queue.is_empty() {
            self.report_refused();
        }
        let (call, event) = self.queue.pop_front()?;
        if matches!(event, Event::Digit { .. }) {
            self.digits -= 1;
        }
        Some((call, event))
    }

    fn report_refused(&mut self) {
        for (refused, why) in
            [(&mut self.refused, Refusal::NodeStuck), (&mut self.too_fast, Refusal::TooFast)]
        {
            let count = std::mem::take(refused);
            if let Some(call) = self.call.filter(|_| count > 0) {
                self.queue.push_back((call, Event::DigitsRefused { count, why }));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codecs::Digit;

    const CALL: CallId = CallId(1);

    fn open() -> Events {
        let mut events = Events::default();
        events.open(CALL);
        events
    }

    fn digit() -> Event {
        let digit = Digit::from_event(5).expect("a digit");
        Event::Digit { digit, duration_ms: 20, rtp_timestamp: 0, in_band: false }
    }

    #[test]
    fn the_65th_waiting_digit_is_refused_and_counted() {
        let mut events = open();
        for _ in 0..DIGITS_QUEUED_MAX + 3 {
            events.push(digit());
        }
        for _ in 0..DIGITS_QUEUED_MAX {
            assert_eq!(events.pop(), Some((CALL, digit())));
        }
        assert_eq!(
            events.pop(),
            Some((CALL, Event::DigitsRefused { count: 3, why: Refusal::NodeStuck }))
        );
        assert_eq!(events.pop(), None);
    }

    #[test]
    fn an_event_put_back_is_the_next_and_still_counts() {
        let mut events = open();
        events.push(digit());
        events.push(Event::Opened);
        let (call, first) = events.pop().expect("pushed");
        events.put_back(call, first);
        for _ in 1..=DIGITS_QUEUED_MAX {
            events.push(digit());
        }
        assert_eq!(events.pop(), Some((CALL, digit())));
        assert_eq!(events.pop(), Some((CALL, Event::Opened)));
        let rest = std::iter::from_fn(|| events.pop()).count();
        assert_eq!(rest, DIGITS_QUEUED_MAX - 1 + 1, "63 digits and one report");
    }

    #[test]
    fn silence_that_comes_and_goes_does_not_pile_up() {
        let mut events = open();
        for _ in 0..1_000 {
            events.push(Event::InboundSilent);
            events.push(Event::InboundBack);
        }
        assert_eq!(events.pop(), None);
    }

    #[test]
    fn a_far_end_that_changes_again_and_again_does_not_pile_up() {
        let mut events = open();
        (0..1_000).for_each(|_| events.push(Event::NewSsrc));
        assert_eq!(events.pop(), Some((CALL, Event::NewSsrc)));
        assert_eq!(events.pop(), None);
    }

    #[test]
    fn what_waits_of_one_call_keeps_its_name_when_the_next_one_opens() {
        let mut events = open();
        for _ in 0..=DIGITS_QUEUED_MAX {
            events.push(digit());
        }
        let next = CallId(2);
        events.open(next);
        events.push(Event::Opened);
        for _ in 0..DIGITS_QUEUED_MAX {
            assert_eq!(events.pop(), Some((CALL, digit())));
        }
        assert_eq!(
            events.pop(),
            Some((CALL, Event::DigitsRefused { count: 1, why: Refusal::NodeStuck }))
        );
        assert_eq!(events.pop(), Some((next, Event::Opened)));
    }
}
