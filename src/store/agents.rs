//! Agents and their locks, folded from facts.
//!
//! Nothing here is state of its own: whoever has the same facts comes to the same answer, in
//! whatever order they came after the agent itself, so that an agent who is locked at one node is
//! locked at each of them.
//! A lock is therefore never written; it follows from the failures, which are kept by the time
//! that their writer's clock said.
//!
//! The limits make a guess hopeless: ten tries at a PIN of six digits until somebody unlocks the
//! agent, ten an hour from one extension, twenty in ten minutes from all of them. No lock touches
//! the command line: nobody can lock people out of a promotion by keying wrong PINs.

use std::collections::{BTreeMap, BTreeSet};

use super::{Action, Agent, Audit, Body, Fact, FactId, Standing, Who};
use crate::ids::Epoch;

const MINUTE_MS: u64 = 60_000;

/// Failures in a row that lock an agent for [`LOCK_MS`].
const FAILURES_LOCK: usize = 5;
/// How long that is, counted from the failure.
const LOCK_MS: u64 = 30 * MINUTE_MS;
/// Failures in a row that lock an agent until somebody unlocks it.
const FAILURES_MAX: usize = 10;
/// Failures from one extension within [`EXTENSION_WITHIN_MS`] that lock the extension.
const EXTENSION_FAILURES_MAX: usize = 10;
/// The window of an extension.
const EXTENSION_WITHIN_MS: u64 = 60 * MINUTE_MS;
/// Failures of all extensions within [`FLOOD_WITHIN_MS`] that are an attack.
const FLOOD_FAILURES: usize = 20;
/// The window of all extensions.
const FLOOD_WITHIN_MS: u64 = 10 * MINUTE_MS;
/// How long only listed extensions may call after an attack.
const FLOOD_MS: u64 = 15 * MINUTE_MS;

/// Failures of one agent that are kept: more than are needed to lock it for good, because one that
/// is told late may stand before the others.
pub const AGENT_FAILURES_KEPT: usize = 64;
/// Failures of all that are kept. Whoever causes more within an hour meets the rule of an attack.
const FAILURES_KEPT: usize = 1_024;

/// When a fact happened, and its name, so that two at once stay two.
type Moment = (u64, FactId);

/// Whether somebody may key a PIN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Yes: the PIN decides.
    Open,
    /// Nobody has this number.
    Unknown,
    /// The agent is disabled.
    Disabled,
    /// The agent does not call from this extension.
    Elsewhere,
    /// Too many wrong PINs in a row.
    Locked {
        /// Milliseconds since 1970; `None`: until somebody unlocks the agent.
        until_unix_ms: Option<u64>,
    },
    /// Too many wrong PINs from this extension.
    ExtensionLocked {
        /// Milliseconds since 1970.
        until_unix_ms: u64,
    },
    /// Too many wrong PINs from everywhere: only extensions on an agent's own list may call.
    Flooded {
        /// Milliseconds since 1970.
        until_unix_ms: u64,
    },
}

/// One agent.
#[derive(Debug)]
struct Entry {
    agent: Agent,
    /// Orders the facts about one number: the highest holds.
    version: (Epoch, Moment),
    /// The last success or unlocking.
    cleared: Option<Moment>,
    /// Failures since then.
    failures: BTreeSet<Moment>,
}

/// All agents, as the facts have them.
#[derive(Debug, Default)]
pub struct Agents {
    agents: BTreeMap<String, Entry>,
    /// Failures of everybody, with the extension.
    failures: BTreeMap<Moment, String>,
}

impl Agents {
    /// Takes a fact in; one that is known already changes nothing.
    pub fn apply(&mut self, fact: &Fact) {
        let moment = (fact.unix_ms, fact.id);
        match &fact.body {
            Body::Agent(agent) => self.agent(agent, (fact.epoch, moment)),
            Body::Audit(audit) => self.audit(audit, moment),
            Body::Cdr(_) | Body::Outage(_) => {}
        }
    }

    fn agent(&mut self, agent: &Agent, version: (Epoch, Moment)) {
        match self.agents.get_mut(&agent.number) {
            Some(entry) if entry.version < version => {
                (entry.agent, entry.version) = (agent.clone(), version);
            }
            Some(_) => {}
            None => {
                let (agent, failures) = (agent.clone(), BTreeSet::new());
                let entry = Entry { agent, version, cleared: None, failures };
                self.agents.insert(entry.agent.number.clone(), entry);
            }
        }
    }

    fn audit(&mut self, audit: &Audit, moment: Moment) {
        match (&audit.action, &audit.who, audit.result.is_ok()) {
            (Action::Login, Who::Agent { number, .. }, true) => self.clear(number, moment),
            (Action::Login, Who::Agent { number, extension }, false) => {
                self.failure(number, extension.reveal(), moment);
            }
            (Action::Unlock { number }, _, true) => self.clear(number, moment),
            _ => {}
        }
    }

    fn clear(&mut self, number: &str, moment: Moment) {
        if let Some(entry) = self.agents.get_mut(number)
            && entry.cleared < Some(moment)
        {
            entry.cleared = Some(moment);
            entry.failures = entry.failures.split_off(&moment);
        }
    }

    fn failure(&mut self, number: &str, extension: &str, moment: Moment) {
        self.failures.insert(moment, extension.to_owned());
        if self.failures.len() > FAILURES_KEPT {
            self.failures.pop_first();
        }
        // What is keyed for nobody counts for its extension only: no list grows by wrong numbers.
        if let Some(entry) = self.agents.get_mut(number)
            && entry.cleared < Some(moment)
        {
            entry.failures.insert(moment);
            if entry.failures.len() > AGENT_FAILURES_KEPT {
                entry.failures.pop_first();
            }
        }
    }

    /// The agent of a number, enabled or not.
    pub fn get(&self, number: &str) -> Option<&Agent> {
        self.agents.get(number).map(|entry| &entry.agent)
    }

    /// Every agent, by number.
    pub fn iter(&self) -> impl Iterator<Item = &Agent> {
        self.agents.values().map(|entry| &entry.agent)
    }

    /// Wrong PINs since the agent's last success or unlocking.
    pub fn failures(&self, number: &str) -> usize {
        self.agents.get(number).map_or(0, |entry| entry.failures.len())
    }

    /// The agent's own lock, wherever the call comes from: [`Access::Locked`], if anything.
    pub fn lock(&self, number: &str, unix_ms: u64) -> Option<Access> {
        self.agents.get(number)?.lock(unix_ms)
    }

    /// Whether somebody who calls from `extension` may key the PIN of agent `number`.
    pub fn standing(&self, number: &str, extension: &str, unix_ms: u64) -> Access {
        let entry = self.agents.get(number);
        let listed =
            entry.is_some_and(|entry| entry.agent.extensions.iter().any(|e| e == extension));
        if let Some(until_unix_ms) = self.extension_locked(extension, unix_ms) {
            return Access::ExtensionLocked { until_unix_ms };
        }
        if let Some(until_unix_ms) = self.flooded(unix_ms).filter(|_| !listed) {
            return Access::Flooded { until_unix_ms };
        }
        entry.map_or(Access::Unknown, |entry| entry.standing(listed, unix_ms))
    }

    /// Until when only listed extensions may call, if there is an attack: worth an alarm.
    pub fn flooded(&self, unix_ms: u64) -> Option<u64> {
        let times: Vec<u64> = self.failures.keys().map(|moment| moment.0).collect();
        let mut bursts = times.windows(FLOOD_FAILURES).filter_map(|burst| {
            let (first, last) = (*burst.first()?, *burst.last()?);
            (last - first <= FLOOD_WITHIN_MS).then(|| last.saturating_add(FLOOD_MS))
        });
        bursts.next_back().filter(|&until| unix_ms < until)
    }

    fn extension_locked(&self, extension: &str, unix_ms: u64) -> Option<u64> {
        let failures = self.failures.iter().rev().filter(|(_, from)| *from == extension);
        let (oldest, _) = failures.take(EXTENSION_FAILURES_MAX).nth(EXTENSION_FAILURES_MAX - 1)?;
        Some(oldest.0.saturating_add(EXTENSION_WITHIN_MS)).filter(|&until| unix_ms < until)
    }
}

impl Entry {
    fn standing(&self, listed: bool, unix_ms: u64) -> Access {
        if self.agent.standing == Standing::Disabled {
            return Access::Disabled;
        }
        if !listed && !self.agent.extensions.is_empty() {
            return Access::Elsewhere;
        }
        self.lock(unix_ms).unwrap_or(Access::Open)
    }

    fn lock(&self, unix_ms: u64) -> Option<Access> {
        let nth = |n: usize| self.failures.iter().nth(n - 1).map(|moment| moment.0);
        if nth(FAILURES_MAX).is_some() {
            return Some(Access::Locked { until_unix_ms: None });
        }
        let until = nth(FAILURES_LOCK)?.saturating_add(LOCK_MS);
        (unix_ms < until).then_some(Access::Locked { until_unix_ms: Some(until) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::NodeId;
    use crate::store::{Lane, Pin, Stream};

    const NOON: u64 = 1_800_000_000_000;

    fn fact(counter: u64, unix_ms: u64, body: Body) -> Fact {
        let lane = Lane { node: NodeId(2), boot: 1, stream: Stream::Control };
        Fact { id: FactId { lane, counter }, epoch: Epoch(1), unix_ms, body }
    }

    fn agent(counter: u64, number: &str, extensions: &[&str]) -> Fact {
        let pin = Pin { salt: vec![1; 16].into(), hash: vec![2; 32].into() };
        let agent = Agent {
            number: number.to_owned(),
            name: "Ada".to_owned(),
            standing: Standing::Enabled,
            pin,
            extensions: extensions.iter().map(|&e| e.to_owned()).collect(),
            callback: false,
        };
        fact(counter, NOON, Body::Agent(agent))
    }

    fn login(counter: u64, unix_ms: u64, who: (&str, &str), good: bool) -> Fact {
        let (number, extension) = (who.0.to_owned(), who.1.to_owned().into());
        let who = Who::Agent { number, extension };
        let result = if good { Ok(()) } else { Err("wrong PIN".to_owned()) };
        fact(counter, unix_ms, Body::Audit(Audit { who, action: Action::Login, result }))
    }

    /// Agent 4711 with failures at these seconds after noon, each from an extension of its own.
    fn failed(seconds: impl IntoIterator<Item = u64>) -> Agents {
        let mut agents = Agents::default();
        agents.apply(&agent(1, "4711", &[]));
        for (counter, second) in (2..).zip(seconds) {
            let extension = format!("3{counter:03}");
            agents.apply(&login(counter, NOON + second * 1_000, ("4711", &extension), false));
        }
        agents
    }

    #[test]
    fn five_failures_in_a_row_lock_an_agent_for_half_an_hour() {
        let open = failed([0, 1, 2, 3]);
        assert_eq!(open.standing("4711", "200", NOON + 4_000), Access::Open);
        let locked = failed([0, 1, 2, 3, 4]);
        let until = NOON + 4_000 + LOCK_MS;
        let lock = Access::Locked { until_unix_ms: Some(until) };
        assert_eq!(locked.standing("4711", "200", NOON + 5_000), lock);
        assert_eq!(locked.standing("4711", "200", until), Access::Open);
    }

    #[test]
    fn ten_failures_in_a_row_lock_an_agent_until_somebody_unlocks_it() {
        let mut agents = failed((0..10).map(|n| n * 600));
        let years = NOON + 100_000_000_000;
        assert_eq!(agents.standing("4711", "200", years), Access::Locked { until_unix_ms: None });
        let who = Who::Operator("root".to_owned());
        let action = Action::Unlock { number: "4711".to_owned() };
        let unlock = Body::Audit(Audit { who, action, result: Ok(()) });
        agents.apply(&fact(99, years, unlock));
        assert_eq!(agents.standing("4711", "200", years), Access::Open);
    }

    #[test]
    fn a_success_ends_the_row_and_what_is_told_late_does_not_start_it_again() {
        let mut agents = failed([0, 60, 120, 180]);
        agents.apply(&login(50, NOON + 200_000, ("4711", "200"), true));
        assert_eq!(agents.failures("4711"), 0);
        agents.apply(&login(51, NOON + 150_000, ("4711", "200"), false));
        assert_eq!(agents.failures("4711"), 0, "it happened before the success");
    }

    #[test]
    fn the_order_in_which_facts_come_makes_no_difference() {
        let mut facts: Vec<_> =
            (2..9).map(|n| login(n, NOON + n * 60_000, ("4711", "200"), n == 3)).collect();
        let answers: Vec<_> = (0..facts.len())
            .map(|_| {
                facts.rotate_left(1);
                let mut agents = Agents::default();
                agents.apply(&agent(1, "4711", &[]));
                facts.iter().chain(&facts).for_each(|fact| agents.apply(fact));
                agents.standing("4711", "200", NOON + 9 * 60_000)
            })
            .collect();
        let locked = Access::Locked { until_unix_ms: Some(NOON + 8 * 60_000 + LOCK_MS) };
        assert!(answers.iter().all(|&answer| answer == locked), "{answers:?}");
    }

    #[test]
    fn an_extension_may_fail_ten_times_an_hour_whatever_number_it_keys() {
        let mut agents = Agents::default();
        agents.apply(&agent(1, "4711", &[]));
        for n in 0..10 {
            let number = format!("9{n}");
            agents.apply(&login(n + 2, NOON + n * 300_000, (&number, "666"), false));
        }
        let now = NOON + 46 * MINUTE_MS;
        let locked = Access::ExtensionLocked { until_unix_ms: NOON + EXTENSION_WITHIN_MS };
        assert_eq!(agents.standing("4711", "666", now), locked);
        assert_eq!(agents.standing("4711", "200", now), Access::Open);
        assert_eq!(agents.standing("4711", "666", NOON + EXTENSION_WITHIN_MS), Access::Open);
    }

    #[test]
    fn twenty_failures_in_ten_minutes_leave_the_menu_to_listed_extensions() {
        let mut agents = failed([]);
        agents.apply(&agent(100, "4712", &["200"]));
        for n in 0..20 {
            let extension = format!("5{n:02}");
            agents.apply(&login(n + 2, NOON + n * 30_000, ("1", &extension), false));
        }
        let last = NOON + 19 * 30_000;
        let flooded = Access::Flooded { until_unix_ms: last + FLOOD_MS };
        assert_eq!(agents.standing("4711", "200", last), flooded);
        assert_eq!(agents.standing("4712", "200", last), Access::Open);
        assert_eq!(agents.standing("4712", "201", last), flooded);
        assert_eq!(agents.standing("4711", "200", last + FLOOD_MS), Access::Open);
    }

    #[test]
    fn the_newest_fact_about_a_number_holds() {
        let mut agents = failed([]);
        let mut change = agent(7, "4711", &["200"]);
        change.unix_ms += 1;
        agents.apply(&change);
        agents.apply(&agent(1, "4711", &[]));
        assert_eq!(agents.standing("4711", "300", NOON), Access::Elsewhere);
        assert_eq!(agents.standing("4711", "200", NOON), Access::Open);
        assert_eq!(agents.standing("1", "200", NOON), Access::Unknown);
    }

    #[test]
    fn wrong_numbers_do_not_grow_without_bound() {
        let mut agents = failed(0..2_000);
        for n in 0..2_000 {
            agents.apply(&login(n + 3_000, NOON, (&n.to_string(), "200"), false));
        }
        assert_eq!((agents.agents.len(), agents.failures.len()), (1, FAILURES_KEPT));
        assert_eq!(agents.failures("4711"), AGENT_FAILURES_KEPT);
    }
}
