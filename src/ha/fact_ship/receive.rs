//! What peers say: marks, which tell what they lack, and facts.

use super::{Content, FactShip, Message, Output};
use crate::ids::{Epoch, NodeId};
use crate::mutants::{Mutant, mutant};
use crate::store::{Fact, FactId, Lane};
use crate::timers::Instant;

impl FactShip {
    pub(super) fn index(&self, node: NodeId) -> Option<usize> {
        self.partners.iter().position(|partner| partner.node == node)
    }

    pub(super) fn say(&mut self, index: usize, content: Content) {
        let partner = &mut self.partners[index];
        let message = Message { epoch: self.epoch, counter: partner.count(self.epoch), content };
        self.out.push_back(Output::Send { to: partner.node, message });
    }

    pub(super) fn ask(&mut self, now: Instant, index: usize) {
        self.partners[index].asked(now);
        self.say(index, Content::Ask);
    }

    pub(super) fn up(&mut self, now: Instant, node: NodeId) {
        if let Some(index) = self.index(node) {
            self.partners[index].up();
            self.ask(now, index);
        }
    }

    pub(super) fn compare(&mut self, now: Instant, node: NodeId) {
        if let Some(index) = self.index(node)
            && self.partners[index].is_up()
        {
            self.ask(now, index);
        }
    }

    pub(super) fn down(&mut self, now: Instant, node: NodeId) {
        if let Some(index) = self.index(node) {
            self.partners[index].down(now);
        }
        self.reading.take_if(|reading| reading.0 == node);
    }

    pub(super) fn received(&mut self, now: Instant, from: NodeId, message: Message) {
        let Some(index) = self.index(from) else { return };
        if !self.partners[index].hears(message.epoch, message.counter) {
            return;
        }
        self.learn(message.epoch);
        match message.content {
            Content::Ask => {
                let lanes = self.lanes.marks(|lane| self.partners[index].wants(lane.stream));
                self.say(index, Content::Marks { all: true, lanes });
                self.partners[index].hurry(now);
            }
            Content::Marks { all, lanes } => self.marks(now, index, (all, message.epoch), lanes),
            Content::Facts(facts) => self.facts(index, facts),
        }
    }

    pub(super) fn marks(
        &mut self,
        now: Instant,
        index: usize,
        (all, epoch): (bool, Epoch),
        mut lanes: Vec<(Lane, u64)>,
    ) {
        let partner = &mut self.partners[index];
        lanes.retain(|(lane, _)| self.site.knows(lane.node) && partner.wants(lane.stream));
        if lanes.iter().any(|&(lane, mark)| self.lanes.disowns(lane, mark)) {
            return self.set_back();
        }
        if all {
            partner.tells_all(now, epoch, self.epoch, lanes);
            partner.compare(now, &self.lanes);
        } else if partner.is_known() {
            partner.tells(now, &lanes, &self.lanes);
        }
        self.check_goals();
    }

    /// What the peer is told in return is what is durable here, whether it was new or not: the
    /// mark of a fact that came twice may have been lost.
    pub(super) fn facts(&mut self, index: usize, facts: Vec<Fact>) {
        let Some(lane) = facts.first().map(|fact| fact.id.lane) else { return };
        if self.failed || !self.site.knows(lane.node) {
            return;
        }
        for fact in facts {
            if !self.fact(lane, fact) {
                break;
            }
        }
        let counter = match mutant(Mutant::TellUndurable) {
            false => self.lanes.mark(lane),
            true => self.lanes.ordered(lane),
        };
        self.say(index, Content::Marks { all: false, lanes: vec![(lane, counter)] });
    }

    /// Takes a fact of another node, or says that no more of them can be taken.
    pub(super) fn fact(&mut self, lane: Lane, fact: Fact) -> bool {
        let FactId { lane: of, counter } = fact.id;
        if of != lane || fact.body.stream() != lane.stream {
            return false;
        }
        if self.lanes.disowns(lane, counter) {
            self.set_back();
            return false;
        }
        if self.lanes.is_own(lane) || counter <= self.lanes.ordered(lane) {
            return true;
        }
        let follows = counter == self.lanes.ordered(lane) + 1 || mutant(Mutant::AcceptGap);
        if !follows || !self.has_room() || !self.lanes.take(fact.id) {
            return false;
        }
        let late = fact.epoch < self.epoch;
        self.late += u64::from(late);
        self.persist(Box::new(fact), late);
        true
    }

    pub(super) fn set_back(&mut self) {
        if !self.set_back {
            self.set_back = true;
            self.out.push_back(Output::SetBack);
        }
    }

    pub(super) fn check_goals(&mut self) {
        for partner in &mut self.partners {
            let Some(epoch) = partner.reaches_goal(&self.lanes) else { continue };
            let with = partner.node;
            if let Some(held) = &mut self.held
                && epoch >= held.epoch
            {
                held.facts_of.take_if(|of| *of == with);
            }
            self.out.push_back(Output::CaughtUp { with, epoch });
        }
    }
}
