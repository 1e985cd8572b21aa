//! What must hold, looked at from outside the nodes.
//!
//! A finding is counted under the name that the sum of all seeds has for it. What follows from an
//! order by force is outside the promise and is not counted.

mod calls;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

pub use calls::Calls;

use super::log::Log;
use crate::ids::{CallId, Epoch};
use crate::sim::pbx::LineId;
use crate::store::{FactId, Lane};
use crate::timers::{Duration, Instant};

/// What was found, by the names of the JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Instants at which two nodes might have claimed.
    pub dual_primaries: u64,
    /// Claims that left after the deadline of their sender.
    pub sent_after_deadline: u64,
    /// The longest time that a stolen binding stayed stolen.
    pub bindings_repaired_ms_max: u64,
    /// Acknowledged facts that the last primary does not have.
    pub acknowledged_lost: u64,
    /// Calls that were copied and not carried on.
    pub not_recovered: u64,
    /// Promotions.
    pub promotions: u64,
    /// Calls that were carried on.
    pub recovered: u64,
}

/// Which count a finding belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Two may act.
    Dual,
    /// A claim that was late.
    Late,
    /// A fact is lost.
    Fact,
    /// A call is lost.
    Call,
    /// Anything else.
    Other,
}

/// A call that a node promises to carry on.
#[derive(Clone, Copy, Debug)]
pub struct Candidate {
    /// Which.
    pub call: CallId,
    /// At which node.
    pub host: usize,
    /// When it was promoted.
    pub since: Instant,
}

/// A binding that somebody took who may not act.
#[derive(Clone, Copy, Debug)]
pub struct Theft {
    /// Whose it is.
    pub owner: usize,
    /// Since when it counts.
    pub since: Instant,
}

/// The checks of one world.
#[derive(Debug, Default)]
pub struct Checks {
    /// What was wrong first, and the last notes before it.
    pub failure: Option<(String, Vec<String>)>,
    /// What was found.
    pub counts: Counts,
    /// Somebody used force: safety is his.
    pub forced: bool,
    /// Calls and keys.
    pub calls: Calls,
    /// Calls that each node has a copy of, and whether it says that they were answered.
    pub copies: [BTreeMap<CallId, bool>; 2],
    /// Calls of a promotion that are not carried on yet.
    pub candidates: Vec<Candidate>,
    /// Facts that are acknowledged, by lane: each up to this counter.
    pub acknowledged: BTreeMap<Lane, u64>,
    /// Facts that their writer has on its disk or on its way to it.
    pub written: BTreeMap<Lane, u64>,
    /// Agents whose addition was acknowledged.
    pub agents: BTreeSet<String>,
    /// The number of the CDR of each call, by lane: a node that lost it may get it back.
    pub cdrs: BTreeMap<(Lane, CallId), u64>,
    /// Stolen bindings, by extension.
    pub thefts: BTreeMap<String, Theft>,
    /// Lines that the PBX gave up before they were answered.
    pub refused: BTreeSet<LineId>,
    /// Where the sound of each line that was answered was last.
    pub homes: BTreeMap<LineId, IpAddr>,
    /// Who acted under each epoch.
    pub epochs: BTreeMap<Epoch, usize>,
}

impl Checks {
    /// Something is wrong.
    pub fn fail(&mut self, now: Instant, log: &mut Log, kind: Kind, text: String) {
        let safety = matches!(kind, Kind::Dual | Kind::Late | Kind::Fact);
        if self.failure.is_some() || (self.forced && safety) {
            return;
        }
        match kind {
            Kind::Dual => self.counts.dual_primaries += 1,
            Kind::Late => self.counts.sent_after_deadline += 1,
            Kind::Fact => self.counts.acknowledged_lost += 1,
            Kind::Call => self.counts.not_recovered += 1,
            Kind::Other => {}
        }
        log.note(now, format!("VIOLATION {text}"));
        let lines: Vec<String> = log.lines().collect();
        let from = lines.len().saturating_sub(60);
        self.failure = Some((text, lines[from..].to_vec()));
    }

    /// A fact is on its way to its writer's disk.
    pub fn wrote(&mut self, id: FactId) {
        let mark = self.written.entry(id.lane).or_default();
        *mark = (*mark).max(id.counter);
    }

    /// A node has nothing left that is not acknowledged.
    pub fn all_acknowledged(&mut self, lane: Lane) {
        if let Some(written) = self.written.get(&lane) {
            self.acknowledged.insert(lane, *written);
        }
    }

    /// A stolen binding is back.
    pub fn repaired(&mut self, theft: Theft, now: Instant) {
        let took = now.saturating_duration_since(theft.since);
        let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let max = &mut self.counts.bindings_repaired_ms_max;
        *max = (*max).max(ms);
    }
}

/// A stolen binding is back within this time, with so few ports.
pub const REPAIRED_WITHIN: Duration = Duration::from_secs(2);
