//! What happens to a call that has an owner: what the caller does is passed on, and when the owner
//! fails or gives it away, it is taken and placed anew.
//!
//! A call is taken in one way only ([`Pool::take`]): the old token dies with the new generation,
//! the old owner is told, the journal closes the channel. Only then is a next owner looked for.

use std::collections::BTreeSet;

use super::binding::new_call;
use super::health::Turn;
use super::machine::Pool;
use super::port::{Busy, Handover, Stage, Stop};
use super::{Output, Reason};
use crate::codecs::Digit;
use crate::ids::{Generation, InstanceId, PortId};
use crate::mutants::{Mutant, mutant};
use crate::timers::{Duration, Instant};

/// After a rebind, the caller hears nothing and nobody does anything about it for so long: the
/// gateway's own prompt plays.
const QUIET: Duration = Duration::from_millis(1_500);

impl Pool {
    /// Carries out what became of an instance.
    pub(super) fn act(&mut self, now: Instant, id: InstanceId, turn: Option<Turn>) {
        match turn {
            Some(Turn::Hung { detect }) => self.hung(now, id, detect),
            Some(Turn::Available { fresh }) => {
                if fresh {
                    self.forgive(id);
                }
                self.serve_waiting(now);
            }
            None => {}
        }
    }

    fn hung(&mut self, now: Instant, id: InstanceId, detect: Duration) {
        let Some(instance) = self.instances.get(&id) else { return };
        let mut ports = instance.ports.clone();
        if mutant(Mutant::LeaveOneBehind) {
            ports.pop_last();
        }
        self.counters.hangs += 1;
        self.lose_all(now, ports, Reason::Hang, detect);
    }

    /// Reports the health of an instance if it changed.
    pub(super) fn report(&mut self, id: InstanceId) {
        let Some(instance) = self.instances.get_mut(&id) else { return };
        let health = instance.health();
        if instance.reported != health {
            instance.reported = health;
            self.outputs.push_back(Output::Health { instance: id, health });
        }
    }

    /// An instance failed as a whole.
    pub(super) fn lose_all(
        &mut self,
        now: Instant,
        ports: BTreeSet<PortId>,
        reason: Reason,
        detect: Duration,
    ) {
        for port in ports {
            if let Some(handover) = self.take(now, port, reason, detect) {
                self.place(now, port, handover);
            }
        }
    }

    /// Takes a call from its owner. The caller places it anew in the same breath.
    fn take(
        &mut self,
        now: Instant,
        port: PortId,
        reason: Reason,
        detect: Duration,
    ) -> Option<Handover> {
        let busy = self.busy_mut(port)?;
        let instance = busy.stage.owner()?;
        let (call, stale) = (busy.call.id, busy.call.generation);
        if !mutant(Mutant::KeepGeneration) {
            busy.call.generation = stale.next();
        }
        let quiet_at = quiet_at(now, busy);
        mark_loss(now, busy, instance, reason);
        *self.counters.taken.entry(reason).or_default() += 1;
        if !mutant(Mutant::ForgetRevoke) {
            self.outputs.push_back(Output::Revoke { port, call, generation: stale, instance });
        }
        Some(Handover { reason, detect, verdict_at: now, quiet_at })
    }

    /// The owner failed this one call: it goes on, and the instance has a mark against it.
    fn call_failed(&mut self, now: Instant, port: PortId, reason: Reason, since: Instant) {
        let Some(owner) = self.busy(port).and_then(|busy| busy.stage.owner()) else { return };
        let detect = now.saturating_duration_since(since);
        let Some(handover) = self.take(now, port, reason, detect) else { return };
        let turn = self.instances.get_mut(&owner).and_then(|i| i.call_verdict(now));
        self.place(now, port, handover);
        self.report(owner);
        self.act(now, owner, turn);
    }

    /// Does what is due at a port.
    pub(super) fn fire(&mut self, now: Instant, port: PortId) {
        let Some(busy) = self.busy(port) else { return };
        match &busy.stage {
            Stage::Queued { give_up_at, .. } if *give_up_at <= now => self.overflow(now, port),
            Stage::Queued { .. } => self.ring_over(now, port),
            Stage::Rebinding { give_up_at, .. } if *give_up_at <= now => self.overflow(now, port),
            Stage::Rebinding { .. } => self.break_silence(now, port),
            Stage::Offered { start_by, offered_at, .. } if *start_by <= now => {
                let offered_at = *offered_at;
                self.verdict_due(now, port, Reason::NoStart, offered_at);
            }
            Stage::Offered { .. } => {
                self.break_silence(now, port);
                self.deliver(now, port);
            }
            Stage::Bound { idle_since, ignored_since, .. } => {
                let since = ignored_since.unwrap_or(*idle_since);
                if busy.silence_at().is_some_and(|at| at <= now) {
                    self.verdict_due(now, port, Reason::CallerSilence, since);
                }
                self.deliver(now, port);
            }
            Stage::Announce | Stage::Outbound { .. } | Stage::Leaving => {}
        }
    }

    /// A late node does not judge: the command it waits for may be waiting to be read.
    fn verdict_due(&mut self, now: Instant, port: PortId, reason: Reason, since: Instant) {
        match self.late {
            None => self.call_failed(now, port, reason, since),
            Some(late) => {
                if let Some(busy) = self.busy_mut(port) {
                    busy.stage.forgive(late);
                }
            }
        }
    }

    fn break_silence(&mut self, now: Instant, port: PortId) {
        let Some(busy) = self.busy_mut(port) else { return };
        let Some(handover) = busy.stage.handover_mut() else { return };
        if handover.quiet_at.is_none_or(|at| at > now) {
            return;
        }
        handover.quiet_at = None;
        self.counters.gateway_prompts += 1;
        if let Some(application) = self.application_name(port) {
            self.outputs.push_back(Output::GatewayPrompt { port, application });
        }
    }

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
        match asked.map(|i| i.id) {
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
    fn deliver(&mut self, now: Instant, port: PortId) {
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
        let kept = busy.call.journal.set_variable(name, value);
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

    /// ARI `move`: the rest of the port's list stays behind the new application.
    pub(super) fn move_to(
        &mut self,
        now: Instant,
        port: PortId,
        application: &str,
        args: Vec<String>,
    ) {
        let Some(app) = self.app_id(application) else {
            self.counters.moves_refused += 1;
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

fn mark_loss(now: Instant, busy: &mut Busy, instance: InstanceId, reason: Reason) {
    let call = &mut busy.call;
    if matches!(busy.stage, Stage::Bound { .. }) {
        call.unserved_since = now;
    }
    match reason {
        Reason::Moved => {
            call.journal.handed_on();
            return;
        }
        Reason::NoStart => call.tries = call.tries.saturating_add(1),
        Reason::New | Reason::Hang | Reason::Crash | Reason::CallerSilence | Reason::Operator => {}
    }
    call.journal.lost();
    if !call.avoid.contains(&instance) {
        call.avoid.push(instance);
    }
}

/// When the gateway prompt is due: counted from the first loss, whoever fails in between.
fn quiet_at(now: Instant, busy: &Busy) -> Option<Instant> {
    if let Stage::Offered { handover, .. } = &busy.stage
        && handover.reason != Reason::New
    {
        return handover.quiet_at;
    }
    (busy.call.up && !busy.call.journal.sounding).then_some(now + QUIET)
}
