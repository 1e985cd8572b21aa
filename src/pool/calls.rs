//! What the caller and the owner do with a call: digits on their way, acknowledgements, sound, and
//! the owner's or operator's wish to pass the call on.

use super::binding::new_call;
use super::machine::Pool;
use super::port::{AppId, Handover, Stage, Stop};
use super::verdict::QUIET;
use super::{Output, Reason};
use crate::codecs::Digit;
use crate::ids::{Generation, InstanceId, PortId};
use crate::timers::{Duration, Instant};

impl Pool {
    pub(super) fn up(&mut self, now: Instant, port: PortId) {
        let Some(busy) = self.busy_mut(port) else { return };
        busy.call.up = true;
        busy.stage.heard(now);
        match busy.stage {
            Stage::Outbound { by } => self.answered(now, port, by),
            // Whoever answered it, it does not ring.
            Stage::Queued { ref mut ring_until, .. } => *ring_until = None,
            Stage::Offered { .. }
            | Stage::Bound { .. }
            | Stage::Rebinding { .. }
            | Stage::Announce
            | Stage::Leaving => {}
        }
        self.arm(now, port);
    }

    /// The far end of an outbound call answered: it belongs to the instance that placed it, or to
    /// another of the same application.
    fn answered(&mut self, now: Instant, port: PortId, by: Option<InstanceId>) {
        let Some(busy) = self.busy_mut(port) else { return };
        busy.call.unserved_since = now;
        let app = busy.call.application();
        let asked = by
            .and_then(|id| self.instances.get(&id))
            .filter(|i| i.takes_calls() && app.is_some_and(|app| i.applications.contains(&app)));
        match asked.map(|i| i.id).filter(|_| self.may_offer) {
            Some(instance) => self.offer(now, port, 0, instance, new_call(now)),
            None => self.place(now, port, new_call(now)),
        }
    }

    pub(super) fn digit(&mut self, now: Instant, port: PortId, digit: Digit, duration_ms: u32) {
        let Some(busy) = self.busy_mut(port) else { return };
        let discarded = match busy.stage {
            Stage::Queued { .. }
            | Stage::Offered { .. }
            | Stage::Bound { .. }
            | Stage::Rebinding { .. }
            | Stage::Outbound { .. } => busy.call.journal.push(now, digit, duration_ms),
            Stage::Announce | Stage::Leaving => {
                busy.call.journal.refuse();
                1
            }
        };
        self.counters.digits_received += 1;
        self.counters.digits_discarded += discarded;
        self.deliver(now, port);
        self.arm(now, port);
    }

    /// Gives the owner the digits that may go now.
    pub(super) fn deliver(&mut self, now: Instant, port: PortId) {
        let Some(busy) = self.busy(port) else { return };
        let (Some(instance), Some(gate)) = (busy.stage.owner(), busy.stage.digits_from()) else {
            return;
        };
        let Some(app) = busy.call.application() else { return };
        let replay = self.rules(app).replay;
        let Some(busy) = self.busy_mut(port) else { return };
        let (call, generation) = (busy.call.id, busy.call.generation);
        let discarded = if gate <= now { busy.call.journal.settle(replay, app) } else { 0 };
        let mut digits = Vec::new();
        while let Some(digit) = busy.call.journal.next(now, gate, generation) {
            busy.stage.digit_delivered(now);
            digits.push(digit);
        }
        self.counters.digits_discarded += discarded;
        self.counters.digits_delivered += digits.len() as u64;
        self.outputs.extend(digits.into_iter().map(|(digit, duration_ms)| Output::Digit {
            port,
            call,
            generation,
            instance,
            digit,
            duration_ms,
        }));
    }

    pub(super) fn ack(&mut self, now: Instant, port: PortId, generation: Generation, count: u32) {
        if !self.holds(port, generation) {
            return;
        }
        self.command(now, port, generation);
        let Some(busy) = self.busy_mut(port) else { return };
        let Some(app) = busy.call.application() else { return };
        let newly = busy.call.journal.ack(app, count);
        self.counters.digits_acked += newly;
    }

    pub(super) fn variable(&mut self, port: PortId, name: String, value: String) {
        // It counts on one channel id; the next one starts from 1.
        if name == "GW_ACK" {
            return;
        }
        let Some(busy) = self.busy_mut(port) else { return };
        let Some(app) = busy.call.application() else { return };
        let kept = busy.call.journal.set_variable(app, name, value);
        self.counters.variables_refused += u64::from(!kept);
    }

    pub(super) fn sounding(&mut self, now: Instant, port: PortId, on: bool) {
        let Some(busy) = self.busy_mut(port) else { return };
        if busy.call.journal.sounding == on {
            return;
        }
        busy.call.journal.sounding = on;
        busy.stage.heard(now);
        let quiet = (busy.call.up && !on).then_some(now + QUIET);
        if let Some(handover) = busy.stage.handover_mut()
            && handover.reason != Reason::New
        {
            handover.quiet_at = quiet;
        }
        self.arm(now, port);
    }

    /// ARI `move`: the rest of the port's list stays behind the new application. One that nobody
    /// can serve is refused, for the caller is better off with an owner that works.
    pub(super) fn move_to(
        &mut self,
        now: Instant,
        port: PortId,
        application: &str,
        args: Vec<String>,
    ) {
        let served = |app: &AppId| self.least_loaded(*app, &[]).is_some();
        let Some(app) = self.app_id(application).filter(served) else {
            self.move_failed(port, application, args);
            return;
        };
        let Some(handover) = self.take(now, port, Reason::Moved, Duration::ZERO) else { return };
        let Some(busy) = self.busy_mut(port) else { return };
        let call = &mut busy.call;
        match call.route.iter().position(|stop| *stop == Stop::App(app)) {
            Some(at) => call.go_to(at),
            None => {
                let at = (call.at + 1).min(call.route.len());
                call.route.insert(at, Stop::App(app));
                call.go_to(at);
            }
        }
        call.args = Some(args);
        self.place(now, port, handover);
    }

    fn move_failed(&mut self, port: PortId, application: &str, args: Vec<String>) {
        self.counters.moves_refused += 1;
        if let Some(call) = self.busy(port).map(|busy| busy.call.id) {
            let application = application.to_owned();
            self.outputs.push_back(Output::MoveFailed { port, call, application, args });
        }
    }

    /// On to the next entry, from an owner or from the announcement.
    pub(super) fn next(&mut self, now: Instant, port: PortId) {
        let Some(busy) = self.busy(port) else { return };
        let handover = match busy.stage {
            Stage::Offered { .. } | Stage::Bound { .. } => {
                self.take(now, port, Reason::Moved, Duration::ZERO)
            }
            Stage::Announce => Some(Handover { reason: Reason::Moved, ..new_call(now) }),
            Stage::Queued { .. }
            | Stage::Rebinding { .. }
            | Stage::Outbound { .. }
            | Stage::Leaving => None,
        };
        if let Some(handover) = handover {
            self.place_after(now, port, handover);
        }
    }

    /// Places a call that asked for what comes after its entry: nothing earlier will do.
    fn place_after(&mut self, now: Instant, port: PortId, handover: Handover) {
        let Some(busy) = self.busy_mut(port) else { return };
        busy.call.unserved_since = now;
        let rest = busy.call.route.split_off((busy.call.at + 1).min(busy.call.route.len()));
        busy.call.route = rest;
        busy.call.at = 0;
        busy.call.args = None;
        match busy.call.route.first() {
            Some(Stop::Announce) => self.announce(now, port, 0),
            Some(Stop::App(_)) => self.place(now, port, handover),
            None => self.release(now, port),
        }
    }

    /// An operator wants another owner. Without one the call stays where it is.
    pub(super) fn rebind(&mut self, now: Instant, port: PortId) {
        let Some(busy) = self.busy(port) else { return };
        let Some(owner) = busy.stage.owner() else { return };
        let mut call = busy.call.clone();
        call.avoid.push(owner);
        if self.choose(&call).is_none() {
            self.counters.moves_refused += 1;
            return;
        }
        if let Some(handover) = self.take(now, port, Reason::Operator, Duration::ZERO) {
            self.place(now, port, handover);
        }
    }
}
