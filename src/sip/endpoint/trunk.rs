//! The watch over the trunk, which carries nothing until it is needed: OPTIONS once a minute.
//!
//! Any final answer means that it is there. Its silence is told after three in a row without one.
//! Gateways and providers that never answer OPTIONS exist, so whoever is told has to know whether
//! this one ever did.

use super::client::Owner;
use super::{Endpoint, TimerKey};
use crate::sip::Event;
use crate::timers::{Duration, Instant};

/// How often it is asked.
const INTERVAL: Duration = Duration::from_secs(60);
/// OPTIONS in a row without answer that make it silent.
const SILENT_AFTER: u8 = 3;

/// What is known of the trunk.
#[derive(Debug, Default)]
pub(super) struct Trunk {
    unanswered: u8,
    /// What was told last.
    answers: Option<bool>,
}

impl Endpoint {
    pub(super) fn trunk_timeout(&mut self, now: Instant) {
        let Some(trunk) = self.config.trunk() else { return };
        let (port, address) = (trunk.port, trunk.address);
        self.deadlines.set(TimerKey::Trunk, Some(now + INTERVAL));
        let Some(request) = self.options(port) else { return };
        let flow = self.transport.flow_to(now, self.socket_of(port), address);
        self.send_request(now, Owner::Trunk, flow, request, 0);
    }

    pub(super) fn trunk_answered(&mut self) {
        self.trunk.unanswered = 0;
        self.tell_trunk(true);
    }

    pub(super) fn trunk_failed(&mut self) {
        self.trunk.unanswered = self.trunk.unanswered.saturating_add(1);
        if self.trunk.unanswered >= SILENT_AFTER {
            self.tell_trunk(false);
        }
    }

    fn tell_trunk(&mut self, answers: bool) {
        if self.trunk.answers.replace(answers) != Some(answers) {
            self.event(Event::Trunk { answers });
        }
    }
}
