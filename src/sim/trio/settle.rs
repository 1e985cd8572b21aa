//! What must hold at any time, looked at ten times a second, and what must hold in the end.

use super::checks::{Candidate, Kind, REPAIRED_WITHIN, Theft};
use super::node_side::partner;
use super::site::{self, A, B, NAMES, PORTS};
use super::world::World;
use crate::ha::Role;
use crate::ids::{CallId, PortId};
use crate::pool::PortState;
use crate::sim::pbx::LineId;
use crate::sim::site::extension;
use crate::store::FactId;
use crate::timers::{Duration, Instant};

/// A call that is to be carried on is in its far end's mind within this time.
const RECOVERED_WITHIN: Duration = Duration::from_secs(2);

/// RFC 3261 section 14.1: whoever did not make the Call-ID comes again by then.
const GLARE_MAX: Duration = Duration::from_secs(2);

/// A datagram is under way for so long at most (RFC 3261 section 17.1.1.1: T4).
const UNDER_WAY_MAX: Duration = Duration::from_secs(5);

/// RTP leaves a port every 20 ms, whatever sounds.
const SILENCE_MAX: Duration = Duration::from_millis(500);

/// Whoever connects is told of every call by then.
const COPIED_WITHIN: Duration = Duration::from_secs(1);

/// Behind the end of a fault its consequences may last so long.
const AFTERMATH: Duration = Duration::from_secs(1);

impl World {
    /// Looks at everything.
    pub(super) fn sweep(&mut self) {
        self.callers_give_up();
        self.follow_candidates();
        self.follow_thefts();
    }

    /// Calls of which the promoted node had a copy are carried on.
    fn follow_candidates(&mut self) {
        for candidate in std::mem::take(&mut self.checks.candidates) {
            match self.carried_on(candidate) {
                Some(true) => self.checks.counts.recovered += 1,
                Some(false) => {}
                None => {
                    let since = self.fair_since(candidate);
                    self.checks.candidates.push(Candidate { since, ..candidate });
                }
            }
        }
    }

    /// A PBX that waits for the answer to a re-INVITE of its own, from a node that is gone, lets
    /// nobody move the call before that; whoever was told so asks again within two seconds.
    fn fair_since(&self, Candidate { call, since, .. }: Candidate) -> Instant {
        match self.checks.calls.line_of(call) {
            Some(line) if self.pbx.asks(line) => self.now + GLARE_MAX,
            _ => since,
        }
    }

    /// Whether a call was carried on; `None`: not yet.
    fn carried_on(&mut self, candidate: Candidate) -> Option<bool> {
        let Candidate { call, host, since } = candidate;
        let Some(line) = self.checks.calls.get(call).map(|track| track.line) else {
            return Some(false);
        };
        // The caller gave up, or was never answered.
        if self.callers.get(&line).is_none_or(|caller| caller.phone.is_none()) {
            return Some(false);
        }
        let far_end = self.pbx.far_end(line)?;
        if far_end == site::sip_address(host) {
            return Some(true);
        }
        let at = &self.hosts[host];
        let acts = at.process.as_ref().is_some_and(|process| process.role.acts());
        let fair = at.pbx_well_since.is_some_and(|fair| fair <= since);
        let well = acts && at.stopped.is_none() && at.well_since <= since;
        if !(fair && well) {
            return Some(false);
        }
        if self.now > since + RECOVERED_WITHIN {
            let text = format!("{} did not carry {call} on", NAMES[host]);
            self.fail(Kind::Call, text);
        }
        None
    }

    /// Stolen bindings come back.
    fn follow_thefts(&mut self) {
        let now = self.now;
        let mut late = None;
        let mut thefts = std::mem::take(&mut self.checks.thefts);
        thefts.retain(|_, theft| {
            let (host, by) = (&self.hosts[theft.owner], &self.hosts[partner(theft.owner)]);
            // Whoever it was taken from serves no more, or the taker does.
            host.process.as_ref().is_some_and(|process| process.role.acts()) && !by.serves(now)
        });
        for (extension, theft) in &mut thefts {
            let host = &self.hosts[theft.owner];
            let fair = host.pbx_well_since.is_some() && host.stopped.is_none();
            if !fair || host.pbx_well_since.is_some_and(|at| at + AFTERMATH > now) {
                theft.since = now;
            } else if now > self.repaired_by(theft) {
                late = Some((extension.clone(), theft.owner));
            }
        }
        self.checks.thefts = thefts;
        if let Some((extension, owner)) = late {
            let text = format!("{} did not take the binding of {extension} back", NAMES[owner]);
            self.fail(Kind::Other, text);
        }
    }

    /// Bindings are renewed two leases after the promotion, and once more after T4.
    fn repaired_by(&self, theft: &Theft) -> Instant {
        let promoted_at = self.hosts[theft.owner].promoted_at;
        let first = promoted_at + 2 * self.lease();
        let last = promoted_at + UNDER_WAY_MAX;
        let renewed = if theft.since > first { last } else { first };
        (theft.since + REPAIRED_WITHIN).max(renewed + AFTERMATH)
    }

    /// The one that serves; `None`: none does, or not all is well with it.
    fn primary(&self) -> Option<usize> {
        let mut all = [A, B].into_iter().filter(|at| self.hosts[*at].serves(self.now));
        all.next().filter(|_| all.next().is_none())
    }

    /// Why not all is well; `None`: one node serves everything.
    pub fn unsettled(&mut self) -> Option<String> {
        let Some(primary) = self.primary() else {
            let serving = self.serving();
            let why: Vec<String> = [A, B].iter().map(|at| self.why_passive(*at)).collect();
            return Some(format!("{serving:?} serve, not one: {}", why.join("; ")));
        };
        let other = partner(primary);
        let role = self.hosts[other].process.as_ref().map(|process| process.role);
        if role != Some(Role::Backup) {
            return Some(format!("{} is {role:?} beside a primary", NAMES[other]));
        }
        let ports = (0..PORTS).map(PortId);
        let lines = ports.clone().find_map(|port| self.unregistered(primary, port));
        lines.or_else(|| ports.clone().find_map(|port| self.unserved(primary, port)))
    }

    fn why_passive(&self, at: usize) -> String {
        let Some(process) = &self.hosts[at].process else {
            return format!("{} is dead", NAMES[at]);
        };
        let local = self.hosts[at].clock.local(self.now);
        let why = process.node.member().map(|member| member.ha().passive_because(local));
        format!("{} is {:?} because {:?}", NAMES[at], process.role, why.unwrap_or_default())
    }

    fn unregistered(&self, primary: usize, port: PortId) -> Option<String> {
        let extension = extension(port);
        let bound = self.pbx.bound_to(&extension, self.now);
        if self.pbx.waits(&extension, bound.is_none(), self.now) {
            return None; // The port finds out when it comes again, and not before.
        }
        (bound != Some(site::sip_address(primary)))
            .then(|| format!("{extension} is bound to {bound:?}, and {} serves", NAMES[primary]))
    }

    /// A call that is up is served by the primary, and its keys have arrived.
    fn unserved(&mut self, primary: usize, port: PortId) -> Option<String> {
        let (line, extension) = (self.line_at(port)?, extension(port));
        self.callers.get(&line)?.phone.as_ref()?;
        let far_end = self.pbx.far_end(line)?;
        let call = self.checks.calls.of_line(line)?;
        if far_end != site::sip_address(primary) {
            // One that the primary had no copy of goes on sounding where it was, for a while.
            let run = self.hosts[primary].process.as_ref()?.run;
            let promised =
                self.checks.calls.get(call)?.promised == Some(run) && !self.pbx.asks(line);
            return promised.then(|| format!("the call of {extension} is at {far_end}"));
        }
        let lost = self.is_lost(primary, call);
        let process = self.hosts[primary].process.as_ref()?;
        let status = process.node.pool().port(port)?;
        if lost && status.call != Some(call) {
            return None;
        }
        if status.call != Some(call) || status.state != PortState::Bound {
            let state = status.state.name();
            return Some(format!("{extension} is {state}, with the caller of {call}"));
        }
        let run = process.run;
        let caller = self.callers.get(&line)?;
        if !caller.holds && self.now > caller.heard_at + SILENCE_MAX {
            return Some(format!("the caller of {extension} hears nothing"));
        }
        if self.must_have_copy(partner(primary), call) {
            let text =
                format!("{} has no copy of the call of {extension}", NAMES[partner(primary)]);
            return Some(text);
        }
        let settled = self.checks.calls.get(call)?.has_settled(run);
        settled.err().map(|text| format!("{extension}: {text}"))
    }

    /// A call from before the primary's time, of which it had no copy, is lost. If it had the call
    /// itself in an earlier time, its promotion ends the sound of it, and the caller gives up soon.
    fn is_lost(&mut self, primary: usize, call: CallId) -> bool {
        let host = &self.hosts[primary];
        let (run, promoted_at) =
            (host.process.as_ref().map(|process| process.run), host.promoted_at);
        let track = self.checks.calls.get(call);
        track.is_some_and(|track| track.began_at < promoted_at && track.promised != run)
    }

    /// Whether the backup lacks a copy of a call though it was told of all, now and then.
    fn must_have_copy(&self, backup: usize, call: CallId) -> bool {
        let linked = self.pairs[0].is_well() && self.pairs[0].well_since + COPIED_WITHIN < self.now;
        linked && !self.checks.copies[backup].contains_key(&call)
    }

    /// One node serves everything.
    pub fn must_be_settled(&mut self) {
        if let Some(text) = self.unsettled() {
            return self.fail(Kind::Other, text);
        }
        let Some(primary) = self.primary() else { return };
        self.must_have_facts(primary);
        self.must_have_agents(primary);
    }

    /// Every acknowledged fact is at the one who serves.
    fn must_have_facts(&mut self, primary: usize) {
        let disk = &self.hosts[primary].disk;
        let lost = self.checks.acknowledged.iter().find_map(|(&lane, &mark)| {
            let mut ids = (1..=mark).map(|counter| FactId { lane, counter });
            ids.find(|id| !disk.has(*id))
        });
        if let Some(id) = lost {
            let text = format!("{} lacks {id:?}, which was acknowledged", NAMES[primary]);
            self.fail(Kind::Fact, text);
        }
    }

    fn must_have_agents(&mut self, primary: usize) {
        let local = self.hosts[primary].clock.local(self.now);
        let Some(process) = &self.hosts[primary].process else { return };
        let known = process.node.snapshot(local).agents.unwrap_or_default();
        let has = |number: &&String| known.iter().any(|agent| agent.number == **number);
        let lost = self.checks.agents.iter().find(|number| !has(number)).cloned();
        if let Some(number) = lost {
            let text = format!("{} knows no agent {number}, who was added", NAMES[primary]);
            self.fail(Kind::Fact, text);
        }
    }

    /// What is left of calls at a node.
    fn left_at(&self, host: usize) -> Option<String> {
        let process = self.hosts[host].process.as_ref()?;
        process.node.pool().ports().find_map(|status| {
            let port = extension(status.port);
            if status.call.is_some_and(|call| self.waits_for_its_ack(host, call)) {
                return None;
            }
            if status.state != PortState::Idle {
                let state = status.state.name();
                return Some(format!("{port} still {state} after everybody hung up"));
            }
            let line = process.lines.get(usize::from(status.port.0))?;
            line.udp_port.map(|_| format!("the UDP port of {port} is not given back"))
        })
    }

    /// A ringing call that the PBX gave up while nobody had it, or that another node has answered,
    /// is answered all the same by the one who carries it on, and waits 32 s for its ACK (RFC 3261
    /// section 13.3.1.4).
    fn waits_for_its_ack(&self, host: usize, call: CallId) -> bool {
        let elsewhere = |line: LineId| {
            let home = self.checks.homes.get(&line);
            home.is_some_and(|home| *home != site::sip_address(host).ip())
        };
        let line = self.checks.calls.line_of(call);
        line.is_some_and(|line| self.checks.refused.contains(&line) || elsewhere(line))
    }

    /// After everybody hung up: nothing is left of any call at the primary.
    pub fn must_be_empty(&mut self) {
        let Some(primary) = self.primary() else {
            return self.fail(Kind::Other, "nobody serves at the end".to_owned());
        };
        if let Some(text) = self.left_at(primary) {
            self.fail(Kind::Other, text);
        }
        let left: Vec<LineId> = self.callers.keys().copied().collect();
        if let Some(line) = left.first() {
            self.fail(Kind::Other, format!("line {} is still there", line.0));
        }
    }
}
