//! Who gets a call, and who has claimed it.
//!
//! The entry whose turn it is keeps the call while one of its instances is healthy; the least
//! loaded one gets it. Then the following entries are asked, then the earlier ones: an instance
//! that is there beats a prompt. Three offers without any command use an entry up. Only then comes
//! the announcement for a call that had an owner, if its port lists it, or the wait.

use super::machine::Pool;
use super::port::{AppId, Call, Handover, Stage, Stop};
use super::{Offer, Output, Reason, Rebound};
use crate::ids::{Generation, InstanceId, PortId};
use crate::mutants::{Mutant, mutant};
use crate::timers::{Duration, Instant};

/// A new owner gets no digit before its first command and this much more.
const HOLD_AFTER_CLAIM: Duration = Duration::from_millis(250);

/// But after this long in any case.
const HOLD_MAX: Duration = Duration::from_secs(2);

/// Offers without any command at one entry before the next entry is asked.
const TRIES_MAX: u8 = 3;

/// Rebinds kept for `status`.
const REBOUNDS_KEPT: usize = 256;

impl Pool {
    /// A call that has just come.
    pub(super) fn place_new(&mut self, now: Instant, port: PortId) {
        let Some(busy) = self.busy(port) else { return };
        match busy.call.route.first() {
            Some(Stop::Announce) => self.announce(now, port, 0),
            Some(Stop::App(_)) => {
                let handover = new_call(now);
                self.place(now, port, handover);
            }
            None => self.release(now, port),
        }
    }

    /// Offers a call to the best instance there is, or finds it a place to wait.
    pub(super) fn place(&mut self, now: Instant, port: PortId, handover: Handover) {
        let Some(busy) = self.busy(port) else { return };
        if !self.may_offer {
            return self.wait(now, port, handover);
        }
        if let Some((at, instance)) = self.choose(&busy.call) {
            self.offer(now, port, at, instance, handover);
            return;
        }
        match busy.call.announce_at() {
            Some(at) if busy.call.was_owned => self.announce(now, port, at),
            Some(_) | None => self.wait(now, port, handover),
        }
    }

    /// The entry and the instance for a call.
    pub(super) fn choose(&self, call: &Call) -> Option<(usize, InstanceId)> {
        let exhausted = usize::from(call.tries >= TRIES_MAX);
        let following = (call.at + exhausted)..call.route.len();
        let earlier = 0..call.at.min(call.route.len());
        following.chain(earlier).find_map(|at| self.choose_at(call, at))
    }

    fn choose_at(&self, call: &Call, at: usize) -> Option<(usize, InstanceId)> {
        match call.route.get(at)? {
            Stop::App(app) => self.least_loaded(*app, &call.avoid).map(|id| (at, id)),
            Stop::Announce => None,
        }
    }

    pub(super) fn least_loaded(&self, app: AppId, avoid: &[InstanceId]) -> Option<InstanceId> {
        let serving = &self.apps[usize::from(app.0)].instances;
        let candidates = serving.iter().filter_map(|id| self.instances.get(id));
        candidates
            .filter(|i| mutant(Mutant::OfferToHung) || i.takes_calls() && !avoid.contains(&i.id))
            .min_by_key(|i| i.ports.len())
            .map(|i| i.id)
    }

    pub(super) fn offer(
        &mut self,
        now: Instant,
        port: PortId,
        at: usize,
        instance: InstanceId,
        handover: Handover,
    ) {
        let Some(busy) = self.busy_mut(port) else { return };
        busy.call.go_to(at);
        let Some(app) = busy.call.application() else { return };
        let start_by = now + self.rules(app).start_deadline;
        let digits_from = if mutant(Mutant::SkipHold) { now } else { now + HOLD_MAX };
        let stage = Stage::Offered { instance, offered_at: now, start_by, digits_from, handover };
        self.enter(now, port, stage);
        if handover.reason != Reason::New
            && let Some(target) = self.instances.get_mut(&instance)
        {
            target.exempt(start_by);
        }
        self.tell(port, app, instance, handover.reason);
    }

    fn tell(&mut self, port: PortId, app: AppId, instance: InstanceId, reason: Reason) {
        let rules = self.rules(app);
        let (application, configured) = (rules.name.clone(), &rules.args);
        let Some(busy) = self.busy(port) else { return };
        let offer = Offer {
            port,
            call: busy.call.id,
            generation: busy.call.generation,
            instance,
            application,
            args: busy.call.args.as_ref().unwrap_or(configured).clone(),
            reason,
            variables: busy.call.journal.variables(),
        };
        self.outputs.push_back(Output::Offer(offer));
    }

    /// Whether this is the token of the offer that stands. Everything else is stale.
    pub(super) fn holds(&mut self, port: PortId, generation: Generation) -> bool {
        // Who placed a call has its token before the far end answers.
        let has_token =
            |stage: &Stage| stage.owner().is_some() || matches!(stage, Stage::Outbound { .. });
        let owned = self.busy(port).filter(|busy| has_token(&busy.stage));
        let holds = owned
            .is_some_and(|busy| busy.call.generation == generation || mutant(Mutant::AcceptStale));
        self.counters.stale += u64::from(!holds);
        holds
    }

    /// A command of the owner: the first one claims the call.
    pub(super) fn command(&mut self, now: Instant, port: PortId, generation: Generation) {
        if !self.holds(port, generation) {
            return;
        }
        self.claim(now, port);
        let Some(busy) = self.busy_mut(port) else { return };
        busy.stage.commanded(now);
        if let Some(app) = busy.call.application() {
            busy.call.journal.answered(app);
        }
        if let Some(instance) = busy.stage.owner().and_then(|id| self.instances.get_mut(&id)) {
            instance.command(now);
        }
        self.arm(now, port);
    }

    fn claim(&mut self, now: Instant, port: PortId) {
        let Some(busy) = self.busy(port) else { return };
        let Stage::Offered { instance, offered_at, digits_from, handover, .. } = busy.stage else {
            return;
        };
        let call = busy.call.id;
        let generation = busy.call.generation;
        let silence = busy.call.application().and_then(|app| self.rules(app).caller_silence);
        let digits_from = digits_from.min(now + HOLD_AFTER_CLAIM);
        self.enter(
            now,
            port,
            Stage::Bound {
                instance,
                digits_from,
                silence,
                idle_since: now,
                unanswered: 0,
                ignored_since: None,
            },
        );
        self.served(port);
        let Handover { reason, detect, verdict_at, .. } = handover;
        self.record(Rebound {
            port,
            call,
            reason,
            generation,
            instance,
            detect,
            verdict_at,
            offered_at,
            claimed_at: now,
        });
    }

    fn served(&mut self, port: PortId) {
        let Some(busy) = self.busy_mut(port) else { return };
        busy.call.was_owned = true;
        busy.call.avoid.clear();
        busy.call.tries = 0;
        busy.call.journal.claimed();
    }

    fn record(&mut self, rebound: Rebound) {
        self.counters.claims += 1;
        self.outputs.push_back(Output::Claimed(rebound));
        if rebound.reason == Reason::New {
            return;
        }
        *self.counters.rebinds.entry(rebound.reason).or_default() += 1;
        if self.rebounds.len() >= REBOUNDS_KEPT {
            self.rebounds.pop_front();
        }
        self.rebounds.push_back(rebound);
    }
}

/// A call that nobody was given yet.
pub(super) fn new_call(since: Instant) -> Handover {
    Handover { reason: Reason::New, detect: Duration::ZERO, verdict_at: since, quiet_at: None }
}
