//! A disk: writes take their time and become durable in order; a crash loses those on their way.

use std::collections::{BTreeMap, VecDeque};

use crate::store::{Body, Fact, FactId, Lane, Loaded, Record, Ticket, Vote};
use crate::timers::{Duration, Instant};

/// What outlives the process.
#[derive(Debug, Default)]
pub struct Disk {
    vote: Vote,
    facts: BTreeMap<FactId, Fact>,
    boots: u32,
    writes: VecDeque<(Ticket, Record)>,
    busy_until: Instant,
    /// A write takes so much longer.
    pub slow: Duration,
    /// It takes no write, until it is replaced.
    pub failed: bool,
}

impl Disk {
    /// A write is ordered. Returns when it is durable; `None`: never.
    pub fn write(
        &mut self,
        now: Instant,
        time: Duration,
        ticket: Ticket,
        record: Record,
    ) -> Option<Instant> {
        if self.failed {
            return None;
        }
        self.writes.push_back((ticket, record));
        self.busy_until = self.busy_until.max(now) + time + self.slow;
        Some(self.busy_until)
    }

    /// The time of a write has come. Whether it is durable: no, if the disk failed meanwhile.
    pub fn written(&mut self, ticket: Ticket) -> bool {
        while self.writes.front().is_some_and(|(first, _)| *first <= ticket) {
            let Some((_, record)) = self.writes.pop_front() else { break };
            match record {
                Record::Vote(vote) => self.vote = vote,
                Record::Fact(fact) | Record::Late(fact) => {
                    self.facts.entry(fact.id).or_insert(*fact);
                }
            }
        }
        !self.failed
    }

    /// It takes nothing more; what was on its way is lost.
    pub fn fail(&mut self) {
        self.failed = true;
        self.writes.clear();
    }

    /// The process is gone.
    pub fn crash(&mut self) {
        self.writes.clear();
        self.busy_until = Instant::ZERO;
    }

    /// A process starts.
    pub fn start(&mut self) -> Loaded {
        self.boots += 1;
        let agents = self.facts.values().filter(|fact| matches!(fact.body, Body::Agent(_)));
        let rest = self.facts.values().filter(|fact| matches!(fact.body, Body::Audit(_)));
        Loaded {
            boot: self.boots,
            vote: self.vote,
            marks: self.marks(),
            facts: agents.chain(rest).cloned().collect(),
        }
    }

    fn marks(&self) -> BTreeMap<Lane, u64> {
        let mut marks = BTreeMap::new();
        for id in self.facts.keys() {
            let mark = marks.entry(id.lane).or_insert(0);
            if id.counter == *mark + 1 {
                *mark = id.counter;
            }
        }
        marks
    }

    /// Facts of a lane behind `after`.
    pub fn read(&self, lane: Lane, after: u64, max: usize) -> Vec<Fact> {
        let from = FactId { lane, counter: after + 1 };
        let to = FactId { lane, counter: u64::MAX };
        self.facts.range(from..=to).take(max).map(|(_, fact)| fact.clone()).collect()
    }

    /// Whether a fact is on it.
    pub fn has(&self, id: FactId) -> bool {
        self.facts.contains_key(&id)
    }

    /// How often a process has started.
    pub const fn boots(&self) -> u32 {
        self.boots
    }
}
