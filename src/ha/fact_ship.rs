//! Facts, from the node that wrote one to every node that it is for, and when it may be called
//! acknowledged.
//!
//! **One number says what a node has.** Facts of a lane are written, shipped and made durable in
//! the order of their counter, so each node tells the others its *marks*: for each lane, the
//! counter up to which every fact is durable there. Whoever sees a mark below its own sends what
//! is missing: its own facts at once, those of others a little later, in case their writer did.
//! When a link comes up both sides tell all of their marks, and the union follows; the same way
//! brings back what an old primary wrote before it died. Nothing is ever taken back.
//!
//! **Acknowledged** is a fact that is durable here and on another node: for the holder of the lease
//! on the other data node, for everybody else on any node that it is for. Two of three have it
//! then, so every later majority does; who gets the lease asks both others what they have and is
//! sent it at once, so that the record by which an agent at the witness promotes a backup needs no
//! word of the dead primary. The one exception is the
//! witness's note that this holder goes on alone in this epoch, without which nobody is promoted
//! who has not fetched its facts. The note is asked for when the other node does not answer within
//! 700 ms, and given back in this order: everything that was acknowledged alone is shipped, nothing
//! more is acknowledged alone, the note is cleared. A pair has nobody who could take a note; its
//! holder goes on alone after a longer silence, and says so. Who does not hold never does.
//!
//! **Nothing is inherited across epochs.** The note is good for the epoch in which it was taken. A
//! note of an earlier one gives no right, but stays until its facts are known to be on both nodes.
//!
//! A store that has failed takes nothing more, and nothing of this node is acknowledged then. Its
//! audit records go to the others all the same, which keep them under this node's name: what people
//! tried at a node with a full disk must not go unrecorded.
//!
//! What is durable is read back from the store in pieces, so that a peer that was away for a week
//! costs no memory.

mod alone;
mod hold;
mod lanes;
mod partner;
mod pending;
mod receive;
mod send;
mod words;

use std::collections::VecDeque;

use crate::config::ClusterProfile;
use crate::ids::{Epoch, NodeId};
use crate::mutants::{Mutant, mutant};
use crate::store::{Body, Fact, FactId, Lane, Loaded, Record, Stream, Ticket};
use crate::timers::{Instant, earliest};

pub use self::words::{Content, Input, Message, Output, PeerStatus, Refusal, Site, Status, Token};

use self::alone::Alone;
use self::lanes::Lanes;
use self::partner::Partner;
use self::pending::Pending;

/// Facts of one message at most, and of one read.
pub const BATCH_MAX: usize = 64;
/// Bytes of a fact as JSON at most, so that a message stays below a frame.
pub const FACT_MAX: usize = 8 << 10;
/// Writes that wait for the disk at most: half of the store's queue.
const WRITING_MAX: usize = 512;

/// The right to go on alone, as far as it goes.
#[derive(Clone, Copy, Debug)]
struct Held {
    epoch: Epoch,
    /// Their facts may be the only ones of an earlier epoch: no note may replace theirs.
    facts_of: Option<NodeId>,
}

/// The machine of one node.
#[derive(Debug)]
pub struct FactShip {
    site: Site,
    /// Highest that is known.
    epoch: Epoch,
    held: Option<Held>,
    lanes: Lanes,
    partners: Vec<Partner>,
    pending: Pending,
    alone: Alone,
    /// Ordered and not yet durable, in order.
    writing: VecDeque<(Ticket, Box<Fact>)>,
    tickets: u64,
    /// Who the facts are for that are being read. One read at a time.
    reading: Option<(NodeId, Lane, u64)>,
    failed: bool,
    set_back: bool,
    late: u64,
    out: VecDeque<Output>,
}

impl FactShip {
    /// A node that starts with what it finds on its disk.
    pub fn new(site: Site, loaded: &Loaded) -> Self {
        let partners = site.others.iter().map(|&(node, role)| Partner::new(node, role)).collect();
        Self {
            epoch: loaded.vote.promised,
            held: None,
            lanes: Lanes::new(site.me, loaded),
            partners,
            pending: Pending::default(),
            alone: Alone::new(site.profile),
            writing: VecDeque::new(),
            tickets: 0,
            reading: None,
            failed: false,
            set_back: false,
            late: 0,
            out: VecDeque::new(),
            site,
        }
    }

    /// Takes something in.
    pub fn handle_input(&mut self, now: Instant, input: Input) {
        match input {
            Input::Append { token, unix_ms, body } => self.append(now, token, unix_ms, *body),
            Input::Persisted(ticket) => self.persisted(now, ticket),
            Input::StoreFailed => self.failed = true,
            Input::Up(node) => self.up(now, node),
            Input::Down(node) => self.down(now, node),
            Input::Received { from, message } => self.received(now, from, message),
            Input::Compare(node) => self.compare(now, node),
            Input::Epoch(epoch) => self.learn(epoch),
            Input::Held { epoch, facts_of } => self.held(now, epoch, facts_of),
            Input::FactsClear => self.facts_clear(),
            Input::Lost => self.lost(),
            Input::Solo { on, epoch } => self.noted(on, epoch),
            Input::Read { lane, after, facts } => self.read(now, lane, after, facts),
        }
        self.go_on(now);
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        for index in 0..self.partners.len() {
            if self.partners[index].ask_due(now) {
                self.ask(now, index);
            }
            self.partners[index].resend_if_due(now);
        }
        self.go_on(now);
    }

    /// What it wants done.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// When it wants to be called again.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let partners = self.partners.iter().map(Partner::poll_timeout);
        earliest(partners.chain([self.alone_at()]))
    }

    /// Whatever follows from any change: writes, messages, acknowledgements.
    fn go_on(&mut self, now: Instant) {
        self.order();
        self.ship(now);
        self.settle();
        self.reconsider(now);
        self.settle();
        self.lanes.forget_shipped(&self.partners);
    }

    // What happens here.

    fn append(&mut self, now: Instant, token: Token, unix_ms: u64, body: Body) {
        if let Err(why) = self.try_append(now, token, unix_ms, body) {
            self.out.push_back(Output::Refused { token, why });
        }
    }

    fn try_append(
        &mut self,
        now: Instant,
        token: Token,
        unix_ms: u64,
        body: Body,
    ) -> Result<(), Refusal> {
        let stream = body.stream();
        if self.set_back || (self.failed && stream == Stream::Calls) {
            return Err(Refusal::StoreFailed);
        }
        let waits = !self.failed && self.pending.is_full();
        if waits || self.lanes.is_full(stream) {
            return Err(Refusal::Full);
        }
        let fact = self.lanes.name(self.epoch, unix_ms, body);
        if !serde_json::to_vec(&fact).is_ok_and(|json| json.len() <= FACT_MAX) {
            return Err(Refusal::TooLong);
        }
        if !self.failed {
            self.pending.push(stream, fact.id.counter, token, now);
        }
        self.touch(now, fact.id.lane);
        self.lanes.append(fact);
        match self.partners.iter().any(Partner::is_up) {
            _ if !self.failed => Ok(()),
            true => Err(Refusal::Elsewhere),
            false => Err(Refusal::StoreFailed),
        }
    }

    /// Hands own facts to the store, as far as it has room for them.
    fn order(&mut self) {
        while self.has_room()
            && let Some(fact) = self.lanes.order_next()
        {
            self.persist(Box::new(fact), false);
        }
    }

    fn has_room(&self) -> bool {
        self.writing.len() < WRITING_MAX && !self.failed
    }

    fn persist(&mut self, fact: Box<Fact>, late: bool) {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.writing.push_back((ticket, fact.clone()));
        let record = if late { Record::Late(fact) } else { Record::Fact(fact) };
        self.out.push_back(Output::Persist { ticket, record });
    }

    fn persisted(&mut self, now: Instant, ticket: Ticket) {
        while !self.failed && self.writing.front().is_some_and(|(ordered, _)| *ordered <= ticket) {
            let Some((_, fact)) = self.writing.pop_front() else { break };
            let FactId { lane, counter } = fact.id;
            self.lanes.durable(fact.id);
            self.out.push_back(Output::Fact(fact));
            self.touch(now, lane);
            self.tell_mark(lane, counter);
        }
        self.check_goals();
    }

    /// A lane has grown: who lacks what was added?
    fn touch(&mut self, now: Instant, lane: Lane) {
        let own = lane.node == self.site.me;
        for partner in &mut self.partners {
            partner.lacks(now, lane, own);
        }
    }

    fn tell_mark(&mut self, lane: Lane, counter: u64) {
        for index in 0..self.partners.len() {
            let partner = &self.partners[index];
            if partner.is_up() && partner.wants(lane.stream) {
                self.say(index, Content::Marks { all: false, lanes: vec![(lane, counter)] });
            }
        }
    }

    // Acknowledging.

    fn settle(&mut self) {
        for stream in [Stream::Calls, Stream::Control] {
            while let Some(oldest) = self.pending.first(stream)
                && let Some(alone) = self.stands(stream, oldest.counter)
            {
                self.pending.pop(stream);
                if alone {
                    self.alone.acknowledged(stream, oldest.counter);
                }
                let id = FactId { lane: self.lanes.own(stream), counter: oldest.counter };
                self.out.push_back(Output::Acknowledged { token: oldest.token, id, alone });
            }
        }
    }

    /// Whether a fact of this node may be acknowledged, and whether it is then here alone.
    fn stands(&self, stream: Stream, counter: u64) -> Option<bool> {
        let lane = self.lanes.own(stream);
        if self.failed || self.set_back || self.lanes.mark(lane) < counter {
            return None;
        }
        let has = |partner: &Partner| partner.wants(stream) && partner.mark(lane) >= counter;
        let elsewhere = match self.site.profile {
            ClusterProfile::Single => return Some(false),
            ClusterProfile::Trio if self.held.is_some() => self.other().is_some_and(has),
            ClusterProfile::Pair | ClusterProfile::Trio => self.partners.iter().any(has),
        };
        if elsewhere {
            return Some(false);
        }
        (self.alone.is_alone() || mutant(Mutant::AckAlone)).then_some(true)
    }

    // For people.

    /// How facts stand.
    pub fn status(&self) -> Status {
        let oldest = self.pending.oldest(|_, _| true);
        Status {
            failed: self.failed || self.set_back,
            alone: self.alone.is_alone(),
            pending: self.pending.len(),
            undurable: [Stream::Calls, Stream::Control]
                .map(|stream| self.pending.beyond(stream, self.lanes.mark(self.lanes.own(stream))))
                .iter()
                .sum(),
            pending_since: oldest.map(|oldest| oldest.since),
            late: self.late,
            peers: self.partners.iter().map(|partner| partner.status(&self.lanes)).collect(),
        }
    }

    /// For each lane of this start of this node, how far it is acknowledged.
    pub fn acknowledged_marks(&self) -> Vec<(Lane, u64)> {
        let acknowledged = |lane: Lane| match self.pending.first(lane.stream) {
            Some(waiting) => waiting.counter.saturating_sub(1),
            None => self.lanes.mark(lane),
        };
        self.lanes.of_this_start().map(|lane| (lane, acknowledged(lane))).to_vec()
    }

    /// For each lane, the counter up to which every fact is durable here.
    pub fn mark(&self, lane: Lane) -> u64 {
        self.lanes.mark(lane)
    }
}

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
