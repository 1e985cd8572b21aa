//! What this node has of each lane.

use std::collections::{BTreeMap, VecDeque};

use super::{BATCH_MAX, Partner};
use crate::ids::{Epoch, NodeId};
use crate::store::{Body, Fact, FactId, Lane, Loaded, Stream};

/// Own facts that wait for the disk at most, of each stream: CDRs of more calls than a node has
/// ports.
const FRESH_MAX: usize = 4_096;
/// Own facts that are durable and kept for peers that lag a little; the rest is read back.
const KEPT: usize = 256;
/// Lanes of other nodes at most: three nodes that start every hour for a year.
const LANES_MAX: usize = 65_536;

/// How far a lane goes.
#[derive(Clone, Copy, Debug, Default)]
struct Have {
    /// Handed to the store.
    ordered: u64,
    /// The store has it.
    durable: u64,
}

/// A stream of this start.
#[derive(Debug)]
struct Own {
    lane: Lane,
    /// Counter of the last fact.
    appended: u64,
    /// The last facts, up to `appended`.
    fresh: VecDeque<Fact>,
}

/// All lanes.
#[derive(Debug)]
pub(super) struct Lanes {
    me: NodeId,
    have: BTreeMap<Lane, Have>,
    own: [Own; 2],
}

impl Lanes {
    pub fn new(me: NodeId, loaded: &Loaded) -> Self {
        let own = [Stream::Calls, Stream::Control].map(|stream| {
            let lane = Lane { node: me, boot: loaded.boot, stream };
            let appended = loaded.marks.get(&lane).copied().unwrap_or(0);
            Own { lane, appended, fresh: VecDeque::new() }
        });
        let have = |(&lane, &mark)| (lane, Have { ordered: mark, durable: mark });
        Self { me, have: loaded.marks.iter().map(have).collect(), own }
    }

    fn stream(&self, stream: Stream) -> &Own {
        &self.own[stream as usize]
    }

    /// The lane of a stream in this start.
    pub fn own(&self, stream: Stream) -> Lane {
        self.stream(stream).lane
    }

    /// The lanes of this start.
    pub fn of_this_start(&self) -> [Lane; 2] {
        [Stream::Control, Stream::Calls].map(|stream| self.own(stream))
    }

    /// Whether this start writes the lane.
    pub fn is_own(&self, lane: Lane) -> bool {
        self.own(lane.stream) == lane
    }

    /// Whether a fact would be of this start or a later one and was never written: somebody has
    /// put an old file in place of this one.
    pub fn disowns(&self, lane: Lane, counter: u64) -> bool {
        let own = self.stream(lane.stream);
        let later = lane.boot > own.lane.boot && counter > 0;
        lane.node == self.me && (later || (lane == own.lane && counter > own.appended))
    }

    /// The lanes of this node, of all of its starts, and how far they are durable.
    pub fn of_this_node(&self) -> impl Iterator<Item = (Lane, u64)> {
        let first = Lane { node: self.me, boot: 0, stream: Stream::Calls };
        let own = self.have.range(first..).take_while(|(lane, _)| lane.node == self.me);
        own.map(|(&lane, have)| (lane, have.durable))
    }

    /// The next fact of this node; it counts when it is appended.
    pub fn name(&self, epoch: Epoch, unix_ms: u64, body: Body) -> Fact {
        let own = self.stream(body.stream());
        let id = FactId { lane: own.lane, counter: own.appended + 1 };
        Fact { id, epoch, unix_ms, body }
    }

    pub fn append(&mut self, fact: Fact) {
        let own = &mut self.own[fact.id.lane.stream as usize];
        own.appended = fact.id.counter;
        own.fresh.push_back(fact);
    }

    pub fn is_full(&self, stream: Stream) -> bool {
        self.stream(stream).fresh.len() >= FRESH_MAX
    }

    /// The next own fact that the store does not have yet.
    pub fn order_next(&mut self) -> Option<Fact> {
        for own in &self.own {
            let ordered = self.ordered(own.lane);
            if let Some(fact) = own.get(ordered + 1) {
                let fact = fact.clone();
                self.have.entry(own.lane).or_default().ordered += 1;
                return Some(fact);
            }
        }
        None
    }

    /// Takes the next fact of another node's lane, if there is room for the lane.
    pub fn take(&mut self, id: FactId) -> bool {
        if self.have.len() >= LANES_MAX && !self.have.contains_key(&id.lane) {
            return false;
        }
        self.have.entry(id.lane).or_default().ordered = id.counter;
        true
    }

    pub fn durable(&mut self, id: FactId) {
        self.have.entry(id.lane).or_default().durable = id.counter;
    }

    /// Facts of the lane that the store has been given.
    pub fn ordered(&self, lane: Lane) -> u64 {
        self.have.get(&lane).map_or(0, |have| have.ordered)
    }

    /// Facts of the lane that are durable.
    pub fn mark(&self, lane: Lane) -> u64 {
        self.have.get(&lane).map_or(0, |have| have.durable)
    }

    /// Facts of the lane that can be sent: own ones need not be durable here first.
    pub fn top(&self, lane: Lane) -> u64 {
        if self.is_own(lane) { self.stream(lane.stream).appended } else { self.mark(lane) }
    }

    /// The marks of some lanes.
    pub fn marks(&self, which: impl Fn(Lane) -> bool) -> Vec<(Lane, u64)> {
        let some = self.have.iter().filter(|(lane, _)| which(**lane));
        some.map(|(&lane, have)| (lane, have.durable)).collect()
    }

    /// Every lane.
    pub fn all(&self) -> impl Iterator<Item = Lane> {
        self.have.keys().copied()
    }

    /// Facts behind `after` that are in memory, without a hole; none, if the first one is not.
    pub fn fresh(&self, lane: Lane, after: u64) -> Vec<Fact> {
        if !self.is_own(lane) {
            return Vec::new();
        }
        let own = self.stream(lane.stream);
        let facts = (after + 1..=own.appended).map_while(|counter| own.get(counter));
        facts.take(BATCH_MAX).cloned().collect()
    }

    /// Forgets what is durable and was sent to everybody who listens; keeps a few for those who
    /// lag.
    pub fn forget_shipped(&mut self, partners: &[Partner]) {
        for own in &mut self.own {
            let durable = self.have.get(&own.lane).map_or(0, |have| have.durable);
            let sent = partners.iter().filter_map(|partner| partner.needs_behind(own.lane)).min();
            let shipped = durable.min(sent.unwrap_or(durable));
            while let Some(first) = own.fresh.front()
                && let counter = first.id.counter
                && (counter <= shipped || (counter <= durable && own.fresh.len() > KEPT))
            {
                own.fresh.pop_front();
            }
        }
    }
}

impl Own {
    fn get(&self, counter: u64) -> Option<&Fact> {
        let first = self.fresh.front()?.id.counter;
        let index = usize::try_from(counter.checked_sub(first)?).ok()?;
        self.fresh.get(index)
    }
}
