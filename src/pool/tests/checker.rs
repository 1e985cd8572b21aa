//! Watches everything that goes into a pool and comes out of it, and says what is wrong.
//!
//! Each key press carries a number of its own in place of its duration, so that the checker knows
//! every digit again.

use std::collections::{BTreeMap, BTreeSet};

use crate::ids::{CallId, Generation, InstanceId, PortId};
use crate::pool::{Counters, Health, Input, Offer, Output, Pool, PortState, Reason};
use crate::timers::{Duration, Instant};

const HOLD: Duration = Duration::from_millis(250);
const HOLD_MAX: Duration = Duration::from_secs(2);
const PACE: Duration = Duration::from_millis(150);

/// An offer that stands.
#[derive(Clone, Debug)]
struct Token {
    generation: Generation,
    instance: InstanceId,
    application: String,
    offered_at: Instant,
    claimed_at: Option<Instant>,
    /// Numbers of the digits that were delivered under it.
    digits: Vec<u32>,
}

/// What the checker knows of a call.
#[derive(Clone, Debug, Default)]
struct Watched {
    token: Option<Token>,
    /// Who lost it last and when, unless it was passed on.
    lost: Option<(InstanceId, Instant)>,
    last_generation: Generation,
    /// When which digit was typed.
    typed: BTreeMap<u32, Instant>,
    delivered: BTreeSet<u32>,
    acked: BTreeSet<u32>,
    /// Those that an owner had when it passed the call on: handled, as far as anybody knows.
    handed_on: BTreeSet<u32>,
    paced_at: Option<Instant>,
    acknowledges: BTreeSet<String>,
    leaving: bool,
}

#[derive(Default)]
pub(super) struct Checker {
    calls: BTreeMap<PortId, (CallId, Watched)>,
    health: BTreeMap<InstanceId, Health>,
    applications: BTreeMap<InstanceId, Vec<String>>,
    /// Since when an instance runs without a pause; missing while it does not.
    pub running_since: BTreeMap<InstanceId, Instant>,
    /// The token with which the command that is being handled came.
    command: Option<(PortId, Generation)>,
    discarded: u64,
    pub fault: Option<String>,
}

impl Checker {
    fn check(&mut self, right: bool, now: Instant, fault: impl FnOnce() -> String) {
        if !right && self.fault.is_none() {
            self.fault = Some(format!("at {} ms: {}", now.as_nanos() / 1_000_000, fault()));
        }
    }

    pub fn input(&mut self, now: Instant, input: &Input, pool: &Pool) {
        self.command = None;
        self.discarded = pool.counters().digits_discarded;
        match input {
            Input::InstanceUp { instance, applications, .. } => {
                self.health.insert(*instance, Health::Healthy);
                self.applications.insert(*instance, applications.clone());
            }
            Input::InstanceDown { instance } => {
                self.health.remove(instance);
            }
            Input::Arrived { port, call } => {
                self.calls.insert(*port, (*call, Watched::default()));
            }
            Input::Digit { port, duration_ms, .. } => {
                if let Some((_, watched)) = self.calls.get_mut(port) {
                    watched.typed.insert(*duration_ms, now);
                }
            }
            Input::Command { port, generation, .. } => self.command = Some((*port, *generation)),
            Input::Ack { port, generation, count } => self.ack(*port, *generation, *count),
            _ => {}
        }
    }

    fn ack(&mut self, port: PortId, generation: Generation, count: u32) {
        self.command = Some((port, generation));
        let Some((_, watched)) = self.calls.get_mut(&port) else { return };
        let Some(token) = watched.token.as_ref().filter(|t| t.generation == generation) else {
            return;
        };
        watched.acknowledges.insert(token.application.clone());
        watched.acked.extend(token.digits.iter().take(count as usize));
    }

    pub fn output(&mut self, now: Instant, output: &Output) {
        match output {
            Output::Offer(offer) => self.offer(now, offer),
            Output::Revoke { port, call, generation, instance } => {
                self.revoke(now, *port, *call, *generation, *instance);
            }
            Output::Digit { port, call, generation, instance, duration_ms, .. } => {
                self.same_call(now, *port, *call);
                self.digit(now, *port, *generation, *instance, *duration_ms);
            }
            Output::Claimed(rebound) => {
                self.same_call(now, rebound.port, rebound.call);
                self.claim(now, rebound.port, rebound.generation, rebound.instance);
            }
            Output::Release { port, call } | Output::Refer { port, call, .. } => {
                self.same_call(now, *port, *call);
                self.leaves(*port);
            }
            Output::Announce { port, call } | Output::MoveFailed { port, call, .. } => {
                self.same_call(now, *port, *call);
            }
            Output::HoldPrompt { port, .. } | Output::GatewayPrompt { port, .. } => {
                let known = self.calls.contains_key(port);
                self.check(known, now, || format!("a prompt on idle port {port}"));
            }
            Output::Health { instance, health } => self.verdict(now, *instance, *health),
            Output::Ping { .. } => {}
        }
    }

    fn same_call(&mut self, now: Instant, port: PortId, call: CallId) {
        let live = self.calls.get(&port).is_some_and(|(c, w)| *c == call && !w.leaving);
        self.check(live, now, || format!("an output for a call on port {port} that is over"));
    }

    fn leaves(&mut self, port: PortId) {
        if let Some((_, watched)) = self.calls.get_mut(&port) {
            watched.leaving = true;
        }
    }

    fn offer(&mut self, now: Instant, offer: &Offer) {
        self.same_call(now, offer.port, offer.call);
        let healthy = self.health.get(&offer.instance) == Some(&Health::Healthy);
        self.check(healthy, now, || format!("an offer to {}, unfit", offer.instance));
        let serves = self.applications.get(&offer.instance);
        let serves = serves.is_some_and(|names| names.contains(&offer.application));
        self.check(serves, now, || format!("{} does not serve it", offer.instance));
        let Some((_, watched)) = self.calls.get_mut(&offer.port) else { return };
        let (last, standing) = (watched.last_generation, watched.token.is_some());
        let failed = watched.lost == Some((offer.instance, now));
        watched.last_generation = offer.generation;
        watched.token = Some(Token {
            generation: offer.generation,
            instance: offer.instance,
            application: offer.application.clone(),
            offered_at: now,
            claimed_at: None,
            digits: Vec::new(),
        });
        self.check(offer.generation > last, now, || "a token for the second time".into());
        self.check(!standing, now, || "an offer while another one stands".into());
        self.check(!failed, now, || "an offer to the instance that just failed".into());
    }

    fn revoke(&mut self, now: Instant, port: PortId, call: CallId, g: Generation, i: InstanceId) {
        self.same_call(now, port, call);
        let Some((_, watched)) = self.calls.get_mut(&port) else { return };
        let token = watched.token.take();
        watched.lost = Some((i, now));
        let right = token.is_some_and(|t| t.generation == g && t.instance == i);
        self.check(right, now, || "a revoke of an offer that does not stand".into());
    }

    fn claim(&mut self, now: Instant, port: PortId, generation: Generation, i: InstanceId) {
        let by_command = self.command == Some((port, generation));
        self.check(by_command, now, || "a claim without a command of this token".into());
        let Some((_, watched)) = self.calls.get_mut(&port) else { return };
        let Some(token) = &mut watched.token else {
            self.check(false, now, || "a claim of nothing".into());
            return;
        };
        let right = token.generation == generation && token.instance == i;
        let first = token.claimed_at.is_none();
        token.claimed_at = Some(now);
        self.check(right && first, now, || "a claim of another offer, or a second one".into());
    }

    fn digit(&mut self, now: Instant, port: PortId, g: Generation, i: InstanceId, number: u32) {
        let Some((_, watched)) = self.calls.get_mut(&port) else { return };
        let Some(token) = watched.token.as_mut().filter(|t| t.generation == g) else {
            self.check(false, now, || "a digit for a dead token".into());
            return;
        };
        let owner = token.instance == i;
        let gate = token
            .claimed_at
            .map_or(token.offered_at + HOLD_MAX, |t| (t + HOLD).min(token.offered_at + HOLD_MAX));
        let in_order = token.digits.last().is_none_or(|&last| last < number);
        token.digits.push(number);
        let typed = watched.typed.get(&number).copied();
        let waited = typed.is_some_and(|t| t < now);
        let paced = watched.paced_at.is_none_or(|t| now >= t + PACE);
        if waited {
            watched.paced_at = Some(now);
        }
        let acked = watched.acked.contains(&number);
        watched.delivered.insert(number);
        self.check(owner, now, || "a digit for somebody else".into());
        self.check(now >= gate, now, || format!("digit {number} before the gate opens"));
        self.check(in_order, now, || format!("digit {number} out of order or twice"));
        self.check(typed.is_some(), now, || "a digit that nobody typed".into());
        self.check(paced, now, || format!("digit {number} less than 150 ms after the last"));
        self.check(!acked, now, || format!("digit {number} was acknowledged before"));
    }

    fn verdict(&mut self, now: Instant, instance: InstanceId, health: Health) {
        self.health.insert(instance, health);
        let innocent = self
            .running_since
            .get(&instance)
            .is_some_and(|&t| now.saturating_duration_since(t) > Duration::from_secs(5));
        let condemned = health == Health::Hung && innocent;
        self.check(!condemned, now, || format!("{instance} is well and was called hung"));
    }

    /// After an input: a call that ended took all its digits along, delivered or counted.
    pub fn ended(&mut self, now: Instant, port: PortId, discarded_by_call: u64, after: &Counters) {
        let Some((_, watched)) = self.calls.remove(&port) else { return };
        let counted = discarded_by_call + (after.digits_discarded - self.discarded);
        let missing = (watched.typed.len() - watched.delivered.len()) as u64;
        self.check(missing <= counted, now, || {
            format!("{missing} digits of port {port} vanished, {counted} counted")
        });
    }

    /// After every step: ports, loads and verdicts agree.
    pub fn consistent(&mut self, now: Instant, pool: &Pool) {
        let mut loads: BTreeMap<InstanceId, usize> = BTreeMap::new();
        for port in pool.ports() {
            let served = matches!(port.state, PortState::Offered | PortState::Bound);
            self.check(served == port.instance.is_some(), now, || format!("{port:?}"));
            let idle = port.state == PortState::Idle;
            self.check(idle == port.call.is_none(), now, || format!("{port:?}"));
            let Some(instance) = port.instance else { continue };
            *loads.entry(instance).or_default() += 1;
            let fit = self.health.get(&instance).is_some_and(|&h| h != Health::Hung);
            self.check(fit, now, || format!("port {} stays with {instance}", port.port));
            let token = self.calls.get(&port.port).and_then(|(_, w)| w.token.as_ref());
            let agreed = token.map(|t| (t.generation, t.instance));
            let right = agreed == port.generation.map(|g| (g, instance));
            self.check(right, now, || format!("{port:?} but the token is {agreed:?}"));
        }
        for instance in pool.instances() {
            let right = instance.calls == loads.get(&instance.instance).copied().unwrap_or(0);
            self.check(right, now, || format!("load of {}: {}", instance.instance, instance.calls));
        }
    }

    /// When all is quiet: an application that acknowledges was given everything it has not
    /// acknowledged.
    pub fn settled(&mut self, now: Instant, pool: &Pool) {
        let mut faults = Vec::new();
        for (port, (_, watched)) in &self.calls {
            let bound = pool
                .port(*port)
                .is_some_and(|p| p.state == PortState::Bound && p.digits_discarded == 0);
            let Some(token) = &watched.token else { continue };
            if !bound || !watched.acknowledges.contains(&token.application) {
                continue;
            }
            let done = [&watched.acked, &watched.handed_on];
            let owed = |n: &&u32| !done.iter().any(|s| s.contains(n)) && !token.digits.contains(n);
            if let Some(number) = watched.typed.keys().find(owed) {
                faults.push(format!("digit {number} of port {port} never came"));
            }
        }
        self.check(faults.is_empty(), now, || faults.join(", "));
    }

    /// A call was passed on, by its owner or an operator: its last owner may have it again.
    pub fn passed_on(&mut self, port: PortId, reason: Reason) {
        if let Some((_, watched)) = self.calls.get_mut(&port)
            && reason == Reason::Moved
        {
            watched.lost = None;
            watched.handed_on = watched.delivered.clone();
        }
    }
}
