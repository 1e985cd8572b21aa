//! When a call is taken from its owner: the instance failed as a whole, or it failed this call.
//!
//! A call is taken in one way only ([`Pool::take`]): the old token dies with the new generation,
//! the old owner is told, the journal closes the channel. Only then is a next owner looked for.

use std::collections::BTreeSet;

use super::health::Turn;
use super::machine::Pool;
use super::port::{Busy, Handover, Stage};
use super::{Output, Reason};
use crate::ids::{InstanceId, PortId};
use crate::mutants::{Mutant, mutant};
use crate::timers::{Duration, Instant};

/// After a rebind, the caller hears nothing and nobody does anything about it for so long: the
/// gateway's own prompt plays.
pub(super) const QUIET: Duration = Duration::from_millis(1_500);

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
    pub(super) fn take(
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
            Stage::Queued { give_up_at, .. } | Stage::Rebinding { give_up_at, .. }
                if *give_up_at <= now =>
            {
                self.overflow(now, port);
            }
            Stage::Queued { ring_until: Some(at), .. } if *at <= now => self.ring_over(now, port),
            Stage::Queued { .. } | Stage::Rebinding { .. } => {
                self.break_silence(now, port);
                self.try_again(now, port);
            }
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
        Reason::New
        | Reason::Hang
        | Reason::Crash
        | Reason::CallerSilence
        | Reason::Operator
        | Reason::Promotion => {}
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
