//! Facts of this node: what is made a record of, and what a store that takes none costs.
//!
//! PINs that were keyed here count from that moment, and not when a disk has the record: a disk
//! that is full or hangs gives nobody more guesses. They are kept under the name of a start that no
//! node has; the record that becomes durable later is the same try, and is not counted again.

use super::cluster::millis;
use super::dialog::end_name;
use crate::ha::fact_ship::{Refusal, Token};
use crate::ha::member;
use crate::mutants::{Mutant, mutant};
use crate::node::Node;
use crate::node::call::Call;
use crate::node::snapshot::AlarmKind;
use crate::sip::EndCause;
use crate::store::{Action, Audit, Body, Cdr, Fact, FactId, Lane, Stream, Who};
use crate::timers::Instant;

/// Time services correct less than this without a step.
const CLOCK_MOVED_MS: u64 = 2_000;

/// Starts of a node count from 1.
const NO_START: u32 = 0;

impl Node {
    pub(in crate::node) fn append(&mut self, now: Instant, body: Body) -> Token {
        self.tokens += 1;
        let token = Token(self.tokens);
        let unix_ms = self.unix_ms(now);
        if is_login(&body) {
            self.count_login(token, unix_ms, body.clone());
            self.tell_flood(now, unix_ms);
        }
        self.member_input(now, member::Input::Append { token, unix_ms, body: Box::new(body) });
        token
    }

    fn count_login(&mut self, token: Token, unix_ms: u64, body: Body) {
        let node = self.config.cluster.me;
        let lane = Lane { node, boot: NO_START, stream: Stream::Control };
        let id = FactId { lane, counter: token.0 };
        let epoch = self.member.as_ref().map(|member| member.ha().epoch()).unwrap_or_default();
        self.agents.apply(&Fact { id, epoch, unix_ms, body });
    }

    /// Wrong PINs of many callers are an attack, and somebody must hear of it.
    fn tell_flood(&mut self, now: Instant, unix_ms: u64) {
        if self.agents.flooded(unix_ms).is_some() {
            let text = "20 wrong PINs within ten minutes: for 15 minutes the phone menu takes an \
                        agent from his own extensions only; see `portkeeper audit` for who calls, \
                        and keep those telephones away from the control extension";
            let kind = AlarmKind::Other { extension: None, text: text.to_owned() };
            self.alarms.raise_passing(kind, now);
        }
    }

    /// A fact is durable here, wherever it comes from.
    pub(super) fn fact_stored(&mut self, fact: &Fact) {
        self.note_serving(fact);
        if let Body::Cdr(cdr) = &fact.body {
            self.replicas.over(cdr.call);
        }
        let Lane { node, boot, .. } = fact.id.lane;
        let counted = (node, boot) == (self.config.cluster.me, self.boot) && is_login(&fact.body);
        let learned = node == self.config.cluster.me || !mutant(Mutant::UnlearnedAgents);
        if !counted && learned {
            self.agents.apply(fact);
        }
    }

    /// A fact is lost: nobody will ever read of it, unless another node has it.
    pub(super) fn fact_refused(&mut self, now: Instant, why: Refusal) {
        if why == Refusal::Elsewhere {
            return;
        }
        self.counters.facts_refused_total += 1;
        self.alarms.raise_passing(AlarmKind::FactsRefused { why }, now);
    }

    /// The disk takes no record until the node is started again. Those on their way to it are lost,
    /// as far as anybody knows. Whether that is news.
    pub(super) fn store_failed(&mut self, now: Instant) -> bool {
        let kind = AlarmKind::FactsRefused { why: Refusal::StoreFailed };
        let known = self.alarms.stands(|standing| *standing == kind);
        self.alarms.raise(kind, now);
        if known {
            return false;
        }
        let facts = self.member.as_ref().map(|member| member.facts_status());
        let lost = facts.map_or(0, |facts| facts.undurable);
        self.counters.facts_refused_total += u64::try_from(lost).unwrap_or(u64::MAX);
        true
    }

    /// A link is refused, by whichever side. Once in the records as long as the alarm stands: a
    /// stranger who tries again and again must not fill them.
    pub(in crate::node) fn link_trouble(&mut self, now: Instant, text: String) {
        let kind = AlarmKind::Other { extension: None, text: text.clone() };
        if self.alarms.raise_news(kind, now) {
            self.append_own(now, Action::Link, Err(text));
        }
    }

    /// Roles, calls and sound go by the boot-time clock; what people read, and when a lock of an
    /// agent ends, by this one.
    pub(in crate::node) fn clock_moved(&mut self, now: Instant, unix_ms: u64) {
        let (_, told) = self.wall;
        let by_ms = unix_ms.cast_signed().wrapping_sub(self.unix_ms(now).cast_signed());
        if told == 0 || by_ms.unsigned_abs() < CLOCK_MOVED_MS {
            return;
        }
        let text = "the clock of this machine was set, or stood still while the machine was \
                    paused: look at its time service and hypervisor; times in records from before \
                    and after do not compare";
        let kind = AlarmKind::Other { extension: None, text: text.to_owned() };
        if self.alarms.raise_news(kind, now) {
            self.append_own(now, Action::ClockMoved { by_ms }, Ok(()));
        }
    }

    /// Something that this node did of itself, or met.
    pub(super) fn append_own(&mut self, now: Instant, action: Action, result: Result<(), String>) {
        let audit = Audit { who: Who::Policy, action, result };
        self.append(now, Body::Audit(audit));
    }

    /// What is written of a call that is over.
    pub(super) fn cdr(&self, now: Instant, call: &Call, cause: EndCause) -> Cdr {
        let ms = |from: Instant, to: Instant| millis(to.saturating_duration_since(from));
        let port = &self.config.ports[usize::from(call.port.0)];
        let duration_ms = ms(call.began_at, now);
        Cdr {
            call: call.id,
            port: call.port,
            extension: port.extension.clone(),
            party: call.party().number.clone(),
            outbound: call.outbound,
            began_unix_ms: self.unix_ms(now).saturating_sub(duration_ms),
            answered_ms: call.answered_at.map(|at| ms(call.began_at, at)),
            duration_ms,
            cause: end_name(cause).to_owned(),
            rebinds: call.rebinds,
            takeovers: call.takeovers,
        }
    }

    /// A call is over: nobody carries it on.
    pub(super) fn append_cdr(&mut self, now: Instant, cdr: Cdr) {
        if self.member.is_some() {
            self.replicas.over(cdr.call);
            self.append(now, Body::Cdr(cdr));
        }
    }
}

const fn is_login(body: &Body) -> bool {
    matches!(body, Body::Audit(Audit { action: Action::Login, .. }))
}
