//! Watches that the far end sends.
//!
//! A caller whose audio stops may have lost his network while the PBX still thinks that the call
//! is up. The node is told once, and once more when sound is back; it never ends a call for this
//! alone. While the direction says that the far end sends nothing, its silence means nothing.

use super::Event;
use super::events::Events;
use crate::timers::{Duration, Instant};

/// What is expected of the far end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Watch {
    /// Nothing: a hold, or no answer yet.
    #[default]
    Excused,
    /// A packet before this moment.
    Expecting { until: Instant },
    /// It was late, and the node knows.
    Silent,
}

impl Watch {
    /// The session changed: whether packets are expected from here on.
    pub(super) fn expect(
        &mut self,
        now: Instant,
        expected: bool,
        silent_after: Duration,
        events: &mut Events,
    ) {
        *self = match (*self, expected) {
            (Self::Silent, true) => Self::Silent,
            (_, true) => Self::Expecting { until: now + silent_after },
            (Self::Silent, false) => {
                events.push(Event::InboundBack);
                Self::Excused
            }
            (_, false) => Self::Excused,
        };
    }

    /// A packet of the stream came.
    pub(super) fn heard(&mut self, now: Instant, silent_after: Duration, events: &mut Events) {
        match self {
            Self::Excused => {}
            Self::Expecting { until } => *until = now + silent_after,
            Self::Silent => {
                events.push(Event::InboundBack);
                *self = Self::Expecting { until: now + silent_after };
            }
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant, events: &mut Events) {
        if self.poll_timeout().is_some_and(|until| now >= until) {
            events.push(Event::InboundSilent);
            *self = Self::Silent;
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        match self {
            Self::Expecting { until } => Some(*until),
            Self::Excused | Self::Silent => None,
        }
    }
}
