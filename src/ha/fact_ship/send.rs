//! Sending what peers lack, from memory or from the disk.

use super::{BATCH_MAX, Content, FactShip, Output};
use crate::store::{Fact, FactId, Lane};
use crate::timers::Instant;

impl FactShip {
    pub(super) fn ship(&mut self, now: Instant) {
        for index in 0..self.partners.len() {
            while let Some((lane, after)) = self.partners[index].next(now, &self.lanes) {
                let fresh = self.lanes.fresh(lane, after);
                if fresh.is_empty() {
                    self.want_read(index, lane, after);
                    break;
                }
                self.send_facts(now, index, lane, fresh);
            }
        }
    }

    /// What is sent next waits for the disk; there is a next look when it has answered.
    pub(super) fn want_read(&mut self, index: usize, lane: Lane, after: u64) {
        if self.reading.is_none() && after < self.lanes.mark(lane) {
            self.reading = Some((self.partners[index].node, lane, after));
            self.out.push_back(Output::Read { lane, after, max: BATCH_MAX });
        }
    }

    pub(super) fn read(&mut self, now: Instant, lane: Lane, after: u64, facts: Vec<Fact>) {
        let Some((node, ..)) = self.reading.take_if(|r| (r.1, r.2) == (lane, after)) else {
            return;
        };
        let Some(index) = self.index(node) else { return };
        let right =
            (after + 1..).zip(&facts).all(|(counter, fact)| fact.id == FactId { lane, counter });
        if facts.is_empty() || !right {
            // The disk is tried again with the next resending.
            self.partners[index].pause(now, lane);
        } else if self.partners[index].is_up() {
            self.send_facts(now, index, lane, facts);
        }
    }

    pub(super) fn send_facts(&mut self, now: Instant, index: usize, lane: Lane, facts: Vec<Fact>) {
        if let Some(last) = facts.last() {
            self.partners[index].sent(now, lane, last.id.counter);
        }
        self.say(index, Content::Facts(facts));
    }
}
