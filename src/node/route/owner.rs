//! Whom a call belongs to: it is offered, claimed, taken away, and who there is to take it.

use tracing::{debug, info};

use crate::config::{Entry, Overflow};
use crate::ids::{CallId, Generation};
use crate::ivr;
use crate::node::call::OfferMade;
use crate::node::snapshot::{AlarmKind, Rebind, reason_name};
use crate::node::view::entry_name;
use crate::node::{Duty, Mark, Node};
use crate::pool::{self, Reason};
use crate::sip;
use crate::timers::{Duration, Instant};

/// Instances of a node that was started again connect within this time.
const INSTANCES_EXPECTED_WITHIN: Duration = Duration::from_secs(3);

impl Node {
    /// What the old owner has begun goes on; what still waits for a file shall not begin, or it
    /// would sound in place of what the new owner plays.
    pub(super) fn revoke(&mut self, now: Instant, call: CallId, generation: Generation) {
        if let Some(entry) = self.calls.get_mut(&call) {
            for play in std::mem::take(&mut entry.waiting) {
                entry.live.remove(&play.id);
            }
        }
        self.ivr.handle_input(now, ivr::Input::Revoke { call, generation });
        self.sounding(now, call);
    }

    /// StasisStart for the new owner. What sounds goes on under it.
    pub(super) fn offer(&mut self, now: Instant, offer: pool::Offer) {
        let Some(entry) = self.calls.get_mut(&offer.call) else { return };
        let pool::Offer { port, call, generation, instance, .. } = offer;
        let from = entry.offer.map(|made| made.instance);
        entry.offer = Some(OfferMade {
            generation,
            instance,
            from,
            written_at: None,
            claimed: false,
            first_sound: None,
        });
        entry.application = Some(offer.application.clone());
        entry.inherited |= !entry.live.is_empty();
        if offer.reason != Reason::New {
            entry.rebinds += 1;
            let reason = reason_name(offer.reason);
            // Whoever claims it is told by a line of its own, when nobody waits for it.
            debug!(%call, %port, %instance, %generation, reason, "offered again");
        }
        let text =
            |party: &sip::Party| (party.name.reveal().clone(), party.number.reveal().clone());
        let offered = ivr::Offer {
            call,
            port,
            extension: self.config.ports[usize::from(port.0)].extension.clone(),
            generation,
            instance,
            application: offer.application,
            args: offer.args,
            reason: reason_name(offer.reason),
            state: entry.state,
            caller: text(&entry.caller),
            connected: text(&entry.called),
            // Whoever knows a Call-ID can move the call, so ARI gets the call's own name.
            protocol_id: String::new(),
            variables: offer.variables,
        };
        self.flush_ivr(now);
        self.ivr.handle_input(now, ivr::Input::Offer(offered));
        let mark = Mark { call, generation };
        while let Some(output) = self.ivr.poll_output() {
            self.ivr_output(now, output, Some((instance, mark)));
        }
    }

    /// Events that were made before leave before.
    fn flush_ivr(&mut self, now: Instant) {
        while let Some(output) = self.ivr.poll_output() {
            self.ivr_output(now, output, None);
        }
    }

    pub(super) fn claimed(&mut self, rebound: pool::Rebound) {
        if rebound.reason == Reason::New {
            return;
        }
        let mut offer = self.calls.get_mut(&rebound.call).and_then(|entry| entry.offer.as_mut());
        if let Some(made) = &mut offer {
            made.claimed = true;
        }
        let rebind = Rebind {
            call: rebound.call,
            port: rebound.port,
            reason: rebound.reason,
            from: offer.as_ref().and_then(|made| made.from),
            to: rebound.instance,
            generation: rebound.generation,
            detect: rebound.detect,
            verdict_at: rebound.verdict_at,
            offered_at: rebound.offered_at,
            written_at: offer.and_then(|made| made.written_at),
            claimed_at: Some(rebound.claimed_at),
            first_media_at: None,
        };
        let ms = |duration: Duration| duration.as_secs_f64() * 1e3;
        info!(
            call = %rebind.call, port = %rebind.port, to = %rebind.to,
            reason = reason_name(rebind.reason), detect_ms = ms(rebind.detect),
            decide_ms = ms(rebind.decide()), claim_ms = rebind.claim().map(ms),
            "rebound"
        );
        self.rebinds.push(rebind);
    }

    /// The socket has taken the StasisStart of an offer.
    pub(in crate::node) fn written(&mut self, mark: Mark, at: Instant) {
        let offer = self.calls.get_mut(&mark.call).and_then(|entry| entry.offer.as_mut());
        if let Some(made) = offer.filter(|made| made.generation == mark.generation) {
            made.written_at.get_or_insert(at);
            if !made.claimed {
                return; // It is no rebind yet.
            }
        }
        self.rebinds.written(mark, at);
    }

    /// Applications without a healthy instance raise one alarm each, once instances had the time
    /// to connect after a start.
    pub(in crate::node) fn instances_changed(&mut self, now: Instant) {
        self.programs_due(now);
        if self.duty != Duty::Acting {
            // Nobody calls here; the applications may be on their way to the primary.
            return self.alarms.clear(|kind| matches!(kind, AlarmKind::NoInstance { .. }));
        }
        for name in self.config.clone().applications.keys() {
            let served = self.may_serve(name);
            if served {
                self.alarms.clear(|kind| {
                    matches!(kind, AlarmKind::NoInstance { application, .. } if application == name)
                });
            } else if now >= self.started_at + INSTANCES_EXPECTED_WITHIN {
                let fallback = self.fallback_of(name);
                let kind = AlarmKind::NoInstance { application: name.clone(), fallback };
                self.alarms.raise(kind, now);
            }
        }
    }

    /// What a caller gets while nobody serves an application, in words: the next entry of the
    /// first port that lists it, else what the application's overflow says.
    fn fallback_of(&self, application: &str) -> String {
        let is_it = |entry: &Entry| *entry == Entry::Application(application.to_owned());
        let mut next = self.config.ports.iter().filter_map(|port| {
            let at = port.applications.iter().position(is_it)?;
            port.applications.get(at + 1)
        });
        if let Some(next) = next.next() {
            return entry_name(next);
        }
        match self.config.applications.get(application).map(|rule| &rule.overflow) {
            Some(Overflow::Refer(target)) => {
                format!("the hold prompt and are then transferred to {target}")
            }
            Some(Overflow::Announce) => "the hold prompt, then the announcement".to_owned(),
            Some(Overflow::Release) | None => "the hold prompt, then the release".to_owned(),
        }
    }
}
