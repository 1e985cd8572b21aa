//! A disk: writes take their time and become durable in order; a crash loses those on their way.
//! What is ordered while a transaction is under way goes into the next one, all of it together, as
//! the store's writer does.

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
    /// When the transaction that is under way ends, and when the one behind it does.
    ends: [Instant; 2],
    /// A transaction takes so much longer.
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
        let [running, next] = self.ends;
        let running = if now < running { running } else { next };
        self.ends = if now >= running {
            [now + time + self.slow; 2]
        } else if next > running {
            [running, next]
        } else {
            [running, running + time + self.slow]
        };
        Some(self.ends[1])
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
        self.ends = [Instant::ZERO; 2];
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_for_a_transaction_goes_into_the_next_one_together() {
        let at = |ms: u64| Instant::from_nanos(ms * 1_000_000);
        let time = Duration::from_millis(10);
        let mut disk = Disk::default();
        let mut write = |ms, ticket| {
            disk.write(at(ms), time, Ticket(ticket), Record::Vote(Vote::default())).expect("taken")
        };
        let ends =
            [write(0, 1), write(2, 2), write(9, 3), write(10, 4), write(20, 5), write(50, 6)];
        assert_eq!(ends, [10, 20, 20, 30, 40, 60].map(at));
    }
}
