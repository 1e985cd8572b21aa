//! The voter: what it promised, to whom it granted, and what waits for the disk.
//!
//! A promise counts once it is durable, so the grant of a new epoch waits for its write. Between
//! the two the voter already refuses everybody else: memory is never behind the disk. A renewal
//! changes nothing that must last and needs no write. Marks of the witness are part of the same
//! state, written by the same writer in the same order.

use std::collections::VecDeque;

use super::{Kind, Message, Mode, NEVER, Outbox, Output, Site, Vacancy, Why};
use crate::ids::{Epoch, NodeId};
use crate::mutants::{Mutant, mutant};
use crate::store::{Solo, Ticket, Vote};
use crate::timers::{Instant, earliest};

/// Writes waiting for the disk. Each follows from a request of one of two peers that wait for an
/// answer, so this many mean a disk that is stuck: promise nothing more.
const WRITES_MAX: usize = 32;

/// What happens when a write is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
enum After {
    /// The promise that waits is granted.
    Grant,
    /// The witness confirms a mark.
    Confirm(NodeId, Message),
    /// The release of this one's epoch lasts: the lease is free.
    Free(NodeId),
    /// Nothing here; whoever ordered it watches the ticket.
    Nothing,
}

/// A write on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Write {
    ticket: Ticket,
    promised: Epoch,
    after: After,
}

/// A grant that lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Live {
    to: NodeId,
    until: Instant,
}

/// A promise on its way to the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pending {
    to: NodeId,
    /// Of the latest request for it.
    counter: u64,
}

/// A request for an epoch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request {
    pub(super) from: NodeId,
    pub(super) epoch: Epoch,
    pub(super) counter: u64,
    pub(super) kind: Kind,
}

/// What the voter's own node is after.
#[derive(Clone, Copy, Debug)]
pub(super) enum Mine {
    Nothing,
    /// It asked for this epoch.
    Asks(Epoch),
    Holds,
}

/// The voter of one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Voter {
    vote: Vote,
    /// Highest promise that is on the disk.
    durable: Epoch,
    /// It has forgotten what it granted before it started, and says nothing until then.
    silent_until: Option<Instant>,
    live: Option<Live>,
    pending: Option<Pending>,
    /// Highest counter of a request for the promised epoch.
    heard: u64,
    writes: VecDeque<Write>,
    /// A write failed: nothing new is promised, ever.
    broken: bool,
}

impl Voter {
    pub(super) fn new(vote: Vote, silent_until: Instant) -> Self {
        Self {
            vote,
            durable: vote.promised,
            silent_until: Some(silent_until).filter(|_| !mutant(Mutant::NoBootWait)),
            live: None,
            pending: None,
            heard: 0,
            writes: VecDeque::new(),
            broken: false,
        }
    }

    /// Somebody asks.
    pub(super) fn request(
        &mut self,
        (now, site): (Instant, &Site),
        asked: Request,
        mine: Mine,
        out: &mut Outbox,
    ) {
        let Request { from, epoch, counter, .. } = asked;
        let late = epoch == self.vote.promised && counter <= self.heard;
        if self.is_silent(now) || late {
            return;
        }
        if let Some(why) = self.against(now, site, asked, mine) {
            out.send(from, Message::Refuse { epoch, counter, why });
        } else if epoch > self.vote.promised || self.vote.holder != Some(from) {
            self.promise(now, site, asked, out);
        } else {
            self.heard = counter;
            self.renew(now, site, from, counter, out);
        }
    }

    fn against(&self, now: Instant, site: &Site, asked: Request, mine: Mine) -> Option<Why> {
        let Request { from, epoch, kind, .. } = asked;
        let promised = self.vote.promised;
        let again = epoch == promised && self.vote.holder == Some(from);
        if !again && epoch <= promised && !mutant(Mutant::PromiseLower) {
            return Some(Why::Older { promised });
        }
        if kind == Kind::Forced {
            return self.full(again).then_some(Why::Store);
        }
        if let Some(by) = self.taken(now).filter(|&by| by != from)
            && !mutant(Mutant::GrantTwice)
        {
            return Some(Why::Held { by });
        }
        match mine {
            Mine::Holds => Some(Why::Held { by: site.me }),
            Mine::Asks(mine) if epoch <= mine || site.mode() == Mode::Pair => Some(Why::Rival),
            Mine::Nothing | Mine::Asks(_) => self.full(again).then_some(Why::Store),
        }
    }

    /// Whether the disk takes no promise. A renewal of a durable one needs no disk.
    fn full(&self, again: bool) -> bool {
        let stuck = self.broken || self.writes.len() >= WRITES_MAX;
        stuck && !(again && self.durable >= self.vote.promised)
    }

    fn promise(&mut self, now: Instant, site: &Site, asked: Request, out: &mut Outbox) {
        let Request { from, epoch, counter, .. } = asked;
        self.vote.promised = epoch;
        self.vote.holder = Some(from);
        self.heard = counter;
        self.live = None;
        self.pending = Some(Pending { to: from, counter });
        self.write(After::Grant, out);
        if mutant(Mutant::GrantBeforeDurable) {
            self.grant_pending(now, site, out);
        }
    }

    fn renew(&mut self, now: Instant, site: &Site, from: NodeId, counter: u64, out: &mut Outbox) {
        if let Some(pending) = &mut self.pending {
            pending.counter = counter;
        } else if self.durable >= self.vote.promised {
            self.grant(now, site, from, counter, out);
        }
    }

    fn grant(&mut self, now: Instant, site: &Site, to: NodeId, counter: u64, out: &mut Outbox) {
        let epoch = self.vote.promised;
        let until = if site.mode() == Mode::Trio { now + site.timers.grant() } else { NEVER };
        self.live = Some(Live { to, until });
        let alone = self.alone().filter(|_| site.is_witness());
        out.send(to, Message::Grant { epoch, counter, alone });
        out.follow(to, epoch);
    }

    fn grant_pending(&mut self, now: Instant, site: &Site, out: &mut Outbox) {
        if let Some(Pending { to, counter }) = self.pending.take() {
            self.grant(now, site, to, counter, out);
        }
    }

    fn write(&mut self, after: After, out: &mut Outbox) -> Ticket {
        let ticket = out.persist(self.vote);
        self.writes.push_back(Write { ticket, promised: self.vote.promised, after });
        ticket
    }

    /// Everything up to this write is durable.
    pub(super) fn persisted(
        &mut self,
        now: Instant,
        site: &Site,
        ticket: Ticket,
        out: &mut Outbox,
    ) {
        let done = |write: &Write| write.ticket <= ticket;
        while self.writes.front().is_some_and(done) {
            let Some(write) = self.writes.pop_front() else { return };
            self.durable = self.durable.max(write.promised);
            match write.after {
                After::Grant if write.promised == self.vote.promised => {
                    self.grant_pending(now, site, out);
                }
                After::Grant | After::Nothing => {}
                After::Confirm(to, message) => out.send(to, message),
                After::Free(by) => {
                    out.send(by, Message::ReleaseStored { epoch: write.promised });
                    out.push(Output::Vacant(Vacancy::Released));
                }
            }
        }
    }

    /// The disk failed: what is on its way never becomes durable.
    pub(super) fn store_failed(&mut self) {
        self.broken = true;
        self.writes.clear();
        self.pending = None;
    }

    /// This node promises itself an epoch. `None`: it may not, having promised another.
    pub(super) fn own(
        &mut self,
        now: Instant,
        site: &Site,
        epoch: Epoch,
        forced: bool,
        out: &mut Outbox,
    ) -> Option<Ticket> {
        let taken = self.taken(now).is_some_and(|by| by != site.me) && site.mode() == Mode::Trio;
        if self.full(false) || epoch <= self.vote.promised || (taken && !forced) {
            return None;
        }
        self.vote.promised = epoch;
        self.vote.holder = Some(site.me);
        self.vote.held = epoch;
        self.heard = 0;
        self.pending = None;
        self.keep_own(now, site);
        Some(self.write(After::Nothing, out))
    }

    /// This node votes for itself once more.
    pub(super) fn keep_own(&mut self, now: Instant, site: &Site) {
        self.live = Some(Live { to: site.me, until: now + site.timers.grant() });
    }

    /// This node holds no more and says so to its own voter, which need not wait.
    pub(super) fn free_own(&mut self, site: &Site) {
        self.live.take_if(|live| live.to == site.me);
    }

    /// Somebody's epoch is over. Returns whether that freed the lease here.
    pub(super) fn released(
        &mut self,
        site: &Site,
        from: NodeId,
        (epoch, counter): (Epoch, u64),
        out: &mut Outbox,
    ) -> bool {
        // One from before the latest request is about an earlier candidacy.
        let current = epoch == self.vote.promised && counter > self.heard;
        let current = current || mutant(Mutant::ReleaseLate);
        if !current || self.vote.holder != Some(from) {
            return false;
        }
        self.free(site, from, out);
        true
    }

    /// The other one of a pair has held an epoch that this voter never heard of, and gave it up.
    pub(super) fn released_unheard(
        &mut self,
        site: &Site,
        (from, epoch): (NodeId, Epoch),
        out: &mut Outbox,
    ) {
        self.vote.promised = epoch;
        self.heard = 0;
        self.free(site, from, out);
    }

    fn free(&mut self, site: &Site, from: NodeId, out: &mut Outbox) {
        self.pending = None;
        self.live = None;
        self.vote.holder = None;
        if site.mode() == Mode::Pair && !self.full(false) {
            // In the same write: until it is known to have them, it lacks facts of the other one.
            self.vote.behind = !site.other_pbx;
            self.write(After::Free(from), out);
        }
    }

    /// The holder goes on alone, or no more; only the witness notes it.
    pub(super) fn solo(&mut self, site: &Site, solo: Solo, out: &mut Outbox) {
        let Solo { node, epoch, counter, on } = solo;
        let holder = self.vote.promised == epoch && self.vote.holder == Some(node);
        if !site.is_witness() || !(holder || mutant(Mutant::SoloOfAnybody)) {
            return;
        }
        let done = Message::SoloDone { epoch, counter, on };
        match self.vote.solo.filter(|known| known.epoch == epoch && known.node == node) {
            Some(known) if counter < known.counter && !mutant(Mutant::SoloUnordered) => return,
            Some(known) if counter == known.counter => {
                return self.confirm_again(node, done, out);
            }
            Some(_) | None => {}
        }
        if !self.full(false) {
            self.vote.solo = Some(solo);
            self.write(After::Confirm(node, done), out);
        }
    }

    fn confirm_again(&self, to: NodeId, done: Message, out: &mut Outbox) {
        let waits = |write: &Write| matches!(&write.after, After::Confirm(_, m) if *m == done);
        if !self.broken && !self.writes.iter().any(waits) {
            out.send(to, done);
        }
    }

    /// Facts may exist elsewhere, or no more.
    pub(super) fn set_behind(&mut self, behind: bool, out: &mut Outbox) {
        if self.vote.behind != behind && !self.broken {
            self.vote.behind = behind;
            self.write(After::Nothing, out);
        }
    }

    /// The other node of a pair serves the same PBX though it is configured otherwise, or does not.
    pub(super) fn set_same_pbx(&mut self, same: bool, out: &mut Outbox) {
        if self.vote.same_pbx != same && !self.broken {
            self.vote.same_pbx = same;
            self.write(After::Nothing, out);
        }
    }

    /// Forgets what has run out.
    pub(super) fn expire(&mut self, now: Instant) {
        self.live.take_if(|live| now >= live.until);
        self.silent_until.take_if(|until| now >= *until);
    }

    /// Who has this voter's grant, or will have when the disk answers.
    pub(super) fn taken(&self, now: Instant) -> Option<NodeId> {
        let live = self.live.filter(|live| now < live.until).map(|live| live.to);
        live.or(self.pending.map(|pending| pending.to))
    }

    /// Says nothing yet.
    pub(super) fn is_silent(&self, now: Instant) -> bool {
        self.silent_until.is_some_and(|until| now < until)
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        earliest([self.silent_until, self.live.map(|live| live.until)])
    }

    /// Who acknowledges facts alone, by the note of this voter.
    pub(super) fn alone(&self) -> Option<NodeId> {
        self.vote.solo.filter(|solo| solo.on).map(|solo| solo.node)
    }

    pub(super) const fn vote(&self) -> &Vote {
        &self.vote
    }
}
