//! The link between two nodes, as they see it through TCP: in order, late when packets are lost,
//! and cut when nothing passes for three leases; then greeted anew.

use std::collections::BTreeMap;

use crate::ha::{member, peer::Beat};
use crate::ids::Epoch;
use crate::node::replicas::CallChange;
use crate::sim::links::{Dice, Ordered};
use crate::timers::{Duration, Instant};

/// Something on its way to the other node.
#[derive(Debug)]
pub enum Packet {
    /// The connection is there.
    Up,
    /// It has ended.
    Down,
    /// I live.
    Beat(Beat),
    /// A message, when it left, and what its sender last acted under.
    Message { acted: Epoch, message: Box<member::Message<Vec<CallChange>>>, sent: Instant },
}

/// One direction.
#[derive(Debug)]
pub struct Way {
    ordered: Ordered,
    /// Nothing passes.
    pub cut: bool,
    /// What waits for it to pass again, in the order in which it was sent: what a receiver that
    /// stands still was to have before the cut comes here after what was sent during it.
    pub held: BTreeMap<u64, Packet>,
    /// Packets that were sent.
    sent: u64,
    /// When the receiver last heard something.
    pub heard_at: Instant,
    /// The receiver thinks that it is connected.
    pub up: bool,
    slow: Duration,
}

impl Way {
    fn new() -> Self {
        Self {
            ordered: Ordered::new(Duration::from_micros(150), Duration::from_micros(300)),
            cut: false,
            held: BTreeMap::new(),
            sent: 0,
            heard_at: Instant::ZERO,
            up: false,
            slow: Duration::ZERO,
        }
    }

    /// When what is sent at `now` arrives, and its place among all that is sent.
    pub fn arrival(&mut self, now: Instant, dice: &mut Dice) -> (Instant, u64) {
        self.sent += 1;
        (self.ordered.arrival(now + self.slow, dice), self.sent)
    }

    /// The connection begins: nothing of an older one counts.
    fn begin(&mut self, now: Instant) {
        self.held.clear();
        self.heard_at = now;
        self.up = true;
    }
}

/// A link.
#[derive(Debug)]
pub struct Pair {
    /// Its ends: the lower one sends on the first way.
    pub ends: [usize; 2],
    /// From each end to the other.
    pub ways: [Way; 2],
    /// Which connection it is: a packet of an earlier one is lost.
    pub number: u64,
    /// Nothing has been wrong with it since.
    pub well_since: Instant,
}

impl Pair {
    /// A link that is not connected.
    pub fn new(low: usize, high: usize) -> Self {
        let ways = [Way::new(), Way::new()];
        Self { ends: [low, high], ways, number: 0, well_since: Instant::ZERO }
    }

    /// The way from this end.
    pub const fn way_from(&mut self, end: usize) -> &mut Way {
        &mut self.ways[if end == self.ends[0] { 0 } else { 1 }]
    }

    /// The way to this end.
    pub const fn way_to(&mut self, end: usize) -> &mut Way {
        &mut self.ways[if end == self.ends[0] { 1 } else { 0 }]
    }

    /// Whether both ends hold the same connection and it carries, as fast as ever.
    pub fn is_well(&self) -> bool {
        self.ways.iter().all(|way| way.up && !way.cut && way.slow.is_zero())
    }

    /// Whether one could be made.
    pub const fn is_wanting(&self) -> bool {
        let passes = !self.ways[0].cut && !self.ways[1].cut;
        passes && !(self.ways[0].up && self.ways[1].up)
    }

    /// Whether what this end sends does not pass.
    pub const fn is_cut_from(&self, end: usize) -> bool {
        self.ways[if end == self.ends[0] { 0 } else { 1 }].cut
    }

    /// Something is wrong with it, or is no more; what was slow may still be under way.
    pub fn disturbed(&mut self, now: Instant) {
        self.well_since = self.well_since.max(now);
    }

    /// A new connection.
    pub fn connect(&mut self, now: Instant) {
        self.number += 1;
        self.disturbed(now);
        self.ways.iter_mut().for_each(|way| way.begin(now));
    }

    /// What is sent takes so much longer.
    pub fn slow_down(&mut self, now: Instant, by: Duration) {
        // What is on its way is not overtaken.
        self.disturbed(now + self.ways[0].slow);
        self.ways.iter_mut().for_each(|way| way.slow = by);
    }
}
