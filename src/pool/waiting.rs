//! A call that nobody can take: it waits, is served when somebody comes, or goes its last way.
//!
//! A new call rings for `queue_ring`, then hears the announcement if its port lists it, or the hold
//! prompt. One that had an owner goes on hearing what it heard. Both overflow `queue_max` after
//! nobody served them any more.

use super::Output;
use super::binding::new_call;
use super::machine::Pool;
use super::port::{Handover, Stage};
use crate::config::Overflow;
use crate::ids::{CallId, InstanceId, PortId};
use crate::timers::{Duration, Instant};

/// A call that every instance failed, and that nobody else took within this time, may go to one of
/// them again: it is healthy, and one slow handler is no reason to leave a caller waiting.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

impl Pool {
    /// Nobody can take it: it rings, or hears a prompt, until somebody can or it has waited enough.
    pub(super) fn wait(&mut self, now: Instant, port: PortId, handover: Handover) {
        let Some(busy) = self.busy_mut(port) else { return };
        busy.call.tries = 0;
        let Some(app) = busy.call.application() else {
            self.release(now, port);
            return;
        };
        let (since, up) = (busy.call.unserved_since, busy.call.up);
        let (was_owned, sounding) = (busy.call.was_owned, busy.call.journal.sounding);
        let again_at = (!busy.call.avoid.is_empty()).then_some(now + AGAIN_AFTER);
        let rules = self.rules(app);
        let give_up_at = since + rules.queue_max;
        if was_owned {
            self.enter(now, port, Stage::Rebinding { handover, give_up_at, again_at });
            return;
        }
        let ring_until = (!up).then_some(since + rules.queue_ring);
        self.enter(now, port, Stage::Queued { ring_until, give_up_at, again_at });
        if up && !sounding {
            self.hold_prompt(port);
        }
    }

    fn hold_prompt(&mut self, port: PortId) {
        if let Some(application) = self.application_name(port) {
            self.outputs.push_back(Output::HoldPrompt { port, application });
        }
    }

    pub(super) fn application_name(&self, port: PortId) -> Option<String> {
        let app = self.busy(port)?.call.application()?;
        Some(self.rules(app).name.clone())
    }

    /// It rang long enough.
    pub(super) fn ring_over(&mut self, now: Instant, port: PortId) {
        let Some(busy) = self.busy_mut(port) else { return };
        if let Some(at) = busy.call.announce_at() {
            self.announce(now, port, at);
            return;
        }
        if let Stage::Queued { ring_until, .. } = &mut busy.stage {
            *ring_until = None;
        }
        self.hold_prompt(port);
    }

    /// Offers leave this node, or do not.
    pub(super) fn set_may_offer(&mut self, now: Instant, may: bool) {
        if !std::mem::replace(&mut self.may_offer, may) && may {
            self.serve_waiting(now);
        }
    }

    /// Whether they do, as the pool was told last.
    pub fn may_offer(&self) -> bool {
        self.may_offer
    }

    /// An instance may be given calls: those that wait are asked again.
    pub(super) fn serve_waiting(&mut self, now: Instant) {
        let waiting: Vec<PortId> = self.waiting.iter().map(|&(_, port)| port).collect();
        for port in waiting {
            self.serve(now, port);
        }
    }

    fn serve(&mut self, now: Instant, port: PortId) {
        let Some(busy) = self.busy(port) else { return };
        let handover = match &busy.stage {
            Stage::Queued { .. } => new_call(busy.call.unserved_since),
            Stage::Rebinding { handover, .. } => *handover,
            Stage::Offered { .. }
            | Stage::Bound { .. }
            | Stage::Announce
            | Stage::Outbound { .. }
            | Stage::Leaving => return,
        };
        if let Some((at, instance)) = self.choose(&busy.call).filter(|_| self.may_offer) {
            self.offer(now, port, at, instance, handover);
        }
    }

    /// Nobody else came in time.
    pub(super) fn try_again(&mut self, now: Instant, port: PortId) {
        let Some(busy) = self.busy_mut(port) else { return };
        let Some(again_at) = busy.stage.again_mut() else { return };
        if again_at.take_if(|at| *at <= now).is_some() {
            busy.call.avoid.clear();
            self.serve(now, port);
        }
    }

    /// It came back from a hang: what it failed at before is forgotten.
    pub(super) fn forgive(&mut self, instance: InstanceId) {
        let ports = self.waiting.iter().map(|&(_, port)| port);
        for port in ports {
            if let Some(busy) = self.ports[usize::from(port.0)].busy.as_mut() {
                busy.call.avoid.retain(|&id| id != instance);
            }
        }
    }

    /// It waited long enough.
    pub(super) fn overflow(&mut self, now: Instant, port: PortId) {
        let Some(busy) = self.busy(port) else { return };
        let end = busy.call.route.len();
        let at = busy.call.announce_at().unwrap_or(end);
        let overflow = busy.call.application().map(|app| self.rules(app).overflow.clone());
        match overflow {
            Some(Overflow::Refer(target)) => self.refer(now, port, target),
            Some(Overflow::Announce) => self.announce(now, port, at),
            Some(Overflow::Release) | None => self.release(now, port),
        }
    }

    pub(super) fn announce(&mut self, now: Instant, port: PortId, at: usize) {
        let Some(busy) = self.busy_mut(port) else { return };
        busy.call.go_to(at);
        let call = busy.call.id;
        self.enter(now, port, Stage::Announce);
        self.nobody_listens(port);
        self.counters.announces += 1;
        self.outputs.push_back(Output::Announce { port, call });
    }

    pub(super) fn announce_done(&mut self, now: Instant, port: PortId) {
        let announces = self.busy(port).is_some_and(|b| matches!(b.stage, Stage::Announce));
        if !announces {
            return;
        }
        match self.config.announce.then.clone() {
            Overflow::Refer(target) => self.refer(now, port, target),
            // An announcement after the announcement would never end.
            Overflow::Release | Overflow::Announce => self.release(now, port),
        }
    }

    pub(super) fn release(&mut self, now: Instant, port: PortId) {
        let Some(call) = self.leave(now, port) else { return };
        self.outputs.push_back(Output::Release { port, call });
    }

    fn refer(&mut self, now: Instant, port: PortId, target: String) {
        let Some(call) = self.leave(now, port) else { return };
        self.outputs.push_back(Output::Refer { port, call, target });
    }

    fn leave(&mut self, now: Instant, port: PortId) -> Option<CallId> {
        let call = self.busy(port)?.call.id;
        self.enter(now, port, Stage::Leaving);
        self.nobody_listens(port);
        self.counters.releases += 1;
        Some(call)
    }

    fn nobody_listens(&mut self, port: PortId) {
        let Some(busy) = self.busy_mut(port) else { return };
        let discarded = busy.call.journal.discard_waiting();
        self.counters.digits_discarded += discarded;
    }
}
