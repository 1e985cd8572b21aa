//! Calls in which one node asks another one to prove itself: placed from a line of the control
//! extension that no person needs, and taken by the sentinel.
//!
//! Such a call has media and a dialog like any other, and none of the pool or of applications.

use crate::codecs::Digit;
use crate::config::PortKind;
use crate::ha::proof::{About, Exchange, Input, Output};
use crate::ids::{CallId, PortId, RequestId};
use crate::menu::Heard;
use crate::node::call::{Call, DigitsOut, Leg};
use crate::node::stop::Phase;
use crate::node::{Duty, Node, Timer};
use crate::sip::{self, RegistrationState};
use crate::timers::{Duration, Instant};

/// Whom we call has this long to answer.
const RING: Duration = Duration::from_secs(10);
/// A digit sounds so long, and so long it is silent before the next.
const DIGIT: Duration = Duration::from_millis(100);

impl Node {
    /// Calls an extension and asks who answers. Whether that was possible.
    pub(super) fn place_proof(&mut self, now: Instant, about: About, to: &str) -> bool {
        let Some((key, line)) = self.proofs.key.clone().zip(self.config.proof_line()) else {
            return false;
        };
        let port = self.config.port_of(line);
        let registered = matches!(
            self.registrations.get(usize::from(port.0)),
            Some(RegistrationState::Registered { .. })
        );
        if !registered || self.call_of(line).is_some() || self.phase != Phase::Running {
            return false;
        }
        let call = self.sip.next_call_id();
        let Some(udp_port) = self.open_udp_port(now, call, line) else { return false };
        let exchange = Exchange::ask(&mut self.rng, &key, about, to);
        let give_up_at = now + RING;
        // No application waits for an answer.
        let leg = Leg::Outbound { request: RequestId(0), target: to.to_owned(), give_up_at };
        let mut placed = Call::new(call, line, udp_port, leg, now);
        let number = self.config.ports[usize::from(port.0)].extension.clone();
        placed.caller = sip::Party { name: String::new().into(), number: number.into() };
        placed.called = sip::Party { name: String::new().into(), number: to.to_owned().into() };
        self.admit(placed);
        self.timers.insert((give_up_at, call, Timer::NoAnswer));
        self.proofs.calls.insert(call, exchange);
        true
    }

    /// Whether an extension is the sentinel.
    pub(super) fn is_sentinel(&self, port: PortId) -> bool {
        let port = self.config.ports.get(usize::from(port.0));
        port.is_some_and(|port| port.kind == PortKind::Sentinel)
    }

    /// Somebody calls the sentinel. Who acts answers, also while it takes no calls of the pool: it
    /// lives.
    pub(super) fn sentinel_call(&mut self, now: Instant, incoming: sip::Incoming) {
        let sip::Incoming { call, port, caller, called, .. } = incoming;
        let key = self.proofs.key.clone().filter(|_| self.answers_sentinel(now));
        let Some(key) = key else {
            return self.sip_command(now, sip::Command::Refuse { call, status: 480 });
        };
        let free = self.call_of(port).is_none();
        let Some(udp_port) = free.then(|| self.open_udp_port(now, call, port)).flatten() else {
            return self.sip_command(now, sip::Command::Refuse { call, status: 486 });
        };
        let mut entry = Call::new(call, port, udp_port, Leg::Inbound, now);
        (entry.caller, entry.called) = (caller, called);
        self.admit(entry);
        let extension = &self.config.ports[usize::from(port.0)].extension;
        let exchange = Exchange::answer(&key, About::Sentinel, extension);
        self.proofs.calls.insert(call, exchange);
        self.answer(now, call);
    }

    fn answers_sentinel(&self, now: Instant) -> bool {
        self.duty == Duty::Acting && self.may_claim(now)
    }

    // ---- What happens in a call ----------------------------------------------------------------

    pub(super) fn is_proof(&self, call: CallId) -> bool {
        self.proofs.calls.contains_key(&call)
    }

    /// A key was pressed. A tone in the sound counts for nothing.
    pub(super) fn proof_digit(&mut self, now: Instant, call: CallId, key: Digit, heard: Heard) {
        match heard {
            Heard::Event | Heard::Info => self.proof_input(now, call, Input::Key(key)),
            Heard::Tone => {}
        }
    }

    /// It is over. `asked`: the far end could have answered.
    pub(super) fn proof_ended(&mut self, now: Instant, call: CallId, asked: bool) {
        self.proof_input(now, call, Input::Ended { asked });
        self.proofs.calls.remove(&call);
        // A test had a line of the control extension.
        self.place_waiting(now);
    }

    pub(super) fn proof_input(&mut self, now: Instant, call: CallId, input: Input) {
        if let Some(exchange) = self.proofs.calls.get_mut(&call) {
            exchange.handle_input(now, input);
            self.pump_proof(now, call);
        }
    }

    /// Deadlines of these calls, and of the next one.
    pub(in crate::node) fn proofs_due(&mut self, now: Instant) {
        let due = |exchange: &Exchange| exchange.poll_timeout().is_some_and(|at| at <= now);
        let calls = self.proofs.calls.iter().filter(|(_, exchange)| due(exchange));
        for call in calls.map(|(&call, _)| call).collect::<Vec<_>>() {
            if let Some(exchange) = self.proofs.calls.get_mut(&call) {
                exchange.handle_timeout(now);
            }
            self.pump_proof(now, call);
        }
        self.sentinel_due(now);
        self.self_calls_due(now);
    }

    pub(in crate::node) fn proofs_timeout(&self) -> Option<Instant> {
        let calls = self.proofs.calls.values().filter_map(Exchange::poll_timeout);
        let next = [self.proofs.sentinel.poll_timeout(), self.proofs.self_calls.poll_timeout()];
        calls.chain(next.into_iter().flatten()).min()
    }

    fn pump_proof(&mut self, now: Instant, call: CallId) {
        while let Some((about, output)) = self
            .proofs
            .calls
            .get_mut(&call)
            .and_then(|exchange| Some((exchange.about(), exchange.poll_output()?)))
        {
            match output {
                Output::Keys(digits) => {
                    let port = self.calls.get(&call).map(|entry| entry.port);
                    if port.is_some_and(|p| self.is_sentinel(p)) && !self.answers_sentinel(now) {
                        self.hang_up(now, call, Some(16)); // Another node may act by now.
                        continue;
                    }
                    let (duration, between, after) = (DIGIT, DIGIT, Duration::ZERO);
                    let out = DigitsOut { at: now, digits, duration, between, after };
                    self.send_digits(now, call, out);
                }
                Output::HangUp => self.hang_up(now, call, Some(16)),
                Output::Done(outcome) => match about {
                    About::Sentinel => self.sentinel_called(now, outcome),
                    About::ControlExtension => self.self_called(now, outcome),
                },
            }
        }
    }
}
