//! The lease: who may act as primary, and until when. One machine is voter, candidate and holder.
//!
//! **Three voters.** An epoch is granted to one node by two of three, the candidate's own voter
//! among them, and each promise is durable before it counts. The holder counts from *before* it
//! asked and trusts 80 % of what the voters grant from *after* they answered, so its lease is over
//! before any of them grants the next one, as long as clocks are wrong by less than 1 %. A voter
//! that starts has forgotten its grants and is silent until they have run out. Nobody has to hear
//! that a holder is gone: its own clock tells it.
//!
//! **Pair.** Two nodes have no majority: an epoch needs the consent of both, or the stored release
//! of the other one, or a person who says that the other one is halted. Silence proves nothing.
//!
//! **Forced.** What a person decides takes an epoch that outranks every lease, is durable before it
//! acts, and holds without a deadline until a voter grants it.
//!
//! **Alone.** The witness notes who acknowledges facts alone and says so when it grants the next
//! epoch: that candidate must fetch the facts before it serves. A mark belongs to the epoch in
//! which it was set and gives no right in a later one, but it stays until a later holder, who has
//! the facts, clears it.
//!
//! The operations are those of any arbiter with leases and compare-and-set, and no more: acquire,
//! renew (by itself), release, solo, read.

mod hold;
mod message;
mod outbox;
mod site;
mod voter;
mod watch;

#[cfg(test)]
mod tests;

pub use message::{End, Kind, Message, Why};
pub use site::{Mode, NEVER, Site, Timers};

use rand_core::RngCore;

use crate::ids::{Epoch, NodeId, Rng};
use crate::store::{Solo, Ticket, Vote};
use crate::timers::{Duration, Instant, earliest};

use hold::{Attempt, Hold};
use outbox::Outbox;
use voter::{Mine, Request, Voter};
use watch::Watch;

/// A forced epoch is so much higher than any known one.
pub const FORCED: u64 = 65_536;

/// No epoch reaches this; a message that says so is broken.
const EPOCH_END: Epoch = Epoch(u64::MAX / 2);

/// What the lease hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A member said something; `from` is what its certificate says.
    Received {
        /// Who.
        from: NodeId,
        /// What.
        message: Message,
    },
    /// Everything up to this write is durable.
    Persisted(Ticket),
    /// A write failed; none will be durable any more.
    StoreFailed,
    /// Try to get the lease, until it is held or another one has it.
    Acquire,
    /// A person attests that nobody else acts: take it.
    Force,
    /// Give it up, or stop trying.
    Release(End),
    /// Note that this holder acknowledges facts alone, or does so no more. Whoever asks for the
    /// latter must already have stopped.
    Solo(bool),
    /// Every fact that the other one acknowledged is here.
    FactsHere,
    /// Facts may exist elsewhere that are not here.
    Behind,
    /// Whether the other node of a pair serves another PBX: only then it needs no proof. What is
    /// held stays so, whatever it was taken by.
    OtherPbx(bool),
    /// The link to this node is up.
    Up(NodeId),
}

/// What comes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// To another member.
    Send {
        /// Whom.
        to: NodeId,
        /// What.
        message: Message,
    },
    /// Make this durable, after every write before it.
    Persist {
        /// Comes back.
        ticket: Ticket,
        /// What.
        vote: Vote,
    },
    /// This node has the lease.
    Held {
        /// Under which epoch it acts.
        epoch: Epoch,
        /// It must not serve before it has the facts of this one, or [`Output::FactsClear`].
        facts_of: Option<NodeId>,
    },
    /// The witness says that nobody else went on alone: there are no facts to wait for.
    FactsClear,
    /// This node had the lease, and may not act any more.
    Lost {
        /// The epoch that ended.
        epoch: Epoch,
        /// A higher one is known.
        outranked: bool,
    },
    /// Another one has it; this node tries no more.
    Beaten {
        /// Who.
        by: NodeId,
    },
    /// Too few answered; it tries again.
    Unanswered,
    /// Nobody has the lease.
    Vacant(Vacancy),
    /// A holder gave its epoch up.
    Released {
        /// Whose.
        from: NodeId,
        /// Which.
        epoch: Epoch,
        /// How.
        end: End,
    },
    /// The other node of a pair has stored that this one gave an epoch up.
    ReleaseStored {
        /// Which.
        epoch: Epoch,
    },
    /// This node's voter granted another one its lease.
    Follow {
        /// Whom.
        node: NodeId,
        /// Which.
        epoch: Epoch,
    },
    /// Facts may be acknowledged alone from here on in this epoch; or the mark is cleared.
    Solo {
        /// Alone.
        on: bool,
        /// The epoch.
        epoch: Epoch,
    },
}

/// How it is known that nobody has the lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vacancy {
    /// The holder, or whoever saw it end, said so.
    Released,
    /// It ran out here, and another voter says the same.
    Expired,
}

/// What this node is after.
#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// Nothing.
    Idle,
    /// The lease; it asks again then.
    Waiting { again_at: Instant },
    /// Asked for it.
    Asking(Attempt),
    /// Has it.
    Holding(Hold),
}

/// The lease machine of one node.
#[derive(Clone, Debug)]
pub struct Lease {
    site: Site,
    voter: Voter,
    state: State,
    watch: Watch,
    /// Highest epoch heard of.
    known: Epoch,
    /// The configuration gives the other node of a pair a PBX of its own.
    own_pbx: bool,
    /// What this node of a pair gave up, as long as the other one has not stored that.
    unstored: Option<(Epoch, End)>,
    rng: Rng,
    out: Outbox,
}

impl Lease {
    /// A node that starts for the `boot`th time with what it finds on its disk.
    pub fn new(now: Instant, mut site: Site, vote: Vote, boot: u32, rng: Rng) -> Self {
        let own_pbx = site.other_pbx;
        site.other_pbx &= !vote.same_pbx;
        let silent = if site.mode() == Mode::Trio { site.timers.silence() } else { Duration::ZERO };
        Self {
            voter: Voter::new(vote, now + silent),
            site,
            state: State::Idle,
            watch: Watch::default(),
            known: vote.promised,
            own_pbx,
            unstored: None,
            rng,
            out: Outbox::new(boot),
        }
    }

    /// Takes something in.
    pub fn handle_input(&mut self, now: Instant, input: Input) {
        // First what time has ended: a grant that waited in a queue must not revive it.
        self.expire(now);
        match input {
            Input::Received { from, message } => self.received(now, from, message),
            Input::Persisted(ticket) => self.persisted(now, ticket),
            Input::StoreFailed => self.store_failed(now),
            Input::Acquire => self.acquire(now),
            Input::Force => self.force(now),
            Input::Release(end) => self.release(end),
            Input::Solo(on) => self.solo(now, on),
            Input::FactsHere => self.facts_here(),
            Input::Behind => self.voter.set_behind(true, &mut self.out),
            Input::OtherPbx(other) => {
                self.site.other_pbx = other;
                self.voter.set_same_pbx(self.own_pbx && !other, &mut self.out);
            }
            Input::Up(node) => self.release_again(node),
        }
        self.watch(now);
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.expire(now);
        match &self.state {
            State::Waiting { again_at } if now >= *again_at => self.ask(now),
            State::Asking(attempt) if now >= attempt.give_up_at => self.unanswered(now),
            State::Asking(_) | State::Holding(_) => self.renew(now),
            State::Idle | State::Waiting { .. } => {}
        }
        self.watch(now);
    }

    /// What it wants done.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.out.pop()
    }

    /// When it wants to be called again.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let own = match &self.state {
            State::Idle => None,
            State::Waiting { again_at } => Some(*again_at),
            State::Asking(attempt) => Some(attempt.give_up_at.min(attempt.renew_at)),
            State::Holding(hold) => Some(hold.deadline.min(hold.renew_at)),
        };
        let deadlines = [own, self.voter.poll_timeout(), self.watch.poll_timeout()];
        earliest(deadlines).filter(|&at| at < NEVER)
    }

    fn expire(&mut self, now: Instant) {
        self.voter.expire(now);
        if let State::Holding(hold) = &self.state
            && now >= hold.deadline
        {
            self.lose(false);
        }
    }

    fn received(&mut self, now: Instant, from: NodeId, message: Message) {
        if message.epoch() >= EPOCH_END || !self.site.peers().any(|peer| peer == from) {
            return;
        }
        self.known = self.known.max(message.epoch());
        match message {
            Message::Request { epoch, counter, kind } => {
                self.requested(now, Request { from, epoch, counter, kind });
            }
            Message::Grant { epoch, counter, alone } => {
                self.granted(now, from, (epoch, counter), alone);
            }
            Message::Refuse { epoch, why, .. } => self.refused(now, epoch, why),
            Message::Ask { counter, .. } => self.asked(now, from, counter),
            Message::Told { counter, held, .. } => {
                if self.watch.told(counter, held) {
                    self.out.push(Output::Vacant(Vacancy::Expired));
                }
            }
            Message::Release { epoch, counter, end } => {
                self.released(from, (epoch, counter), end);
            }
            Message::ReleaseStored { epoch } => {
                self.unstored.take_if(|(unstored, _)| *unstored == epoch);
                self.out.push(Output::ReleaseStored { epoch });
            }
            Message::Solo { epoch, counter, on } => {
                let solo = Solo { node: from, epoch, counter, on };
                self.voter.solo(&self.site, solo, &mut self.out);
            }
            Message::SoloDone { epoch, counter, on } => self.solo_done(epoch, counter, on),
        }
    }

    fn requested(&mut self, now: Instant, request: Request) {
        // Only a holder renews, and what is forced outranks: either ends a lower epoch at once,
        // also that of a node which was paused with its clock and thinks that it has time left.
        if let State::Holding(hold) = &self.state
            && request.kind != Kind::New
            && request.epoch > hold.epoch
            && !self.site.other_pbx
        {
            self.lose(true);
        }
        let mine = match &self.state {
            State::Idle | State::Waiting { .. } => Mine::Nothing,
            State::Asking(attempt) => Mine::Asks(attempt.epoch),
            State::Holding(_) => Mine::Holds,
        };
        self.voter.request((now, &self.site), request, mine, &mut self.out);
        if self.voter.taken(now) == Some(request.from) {
            self.beaten(request.from);
        }
    }

    fn asked(&mut self, now: Instant, from: NodeId, counter: u64) {
        if self.voter.is_silent(now) {
            return;
        }
        let held = self.voter.taken(now).is_some_and(|by| by != from);
        let epoch = self.voter.vote().promised;
        self.out.send(from, Message::Told { epoch, counter, held });
    }

    fn released(&mut self, from: NodeId, (epoch, counter): (Epoch, u64), end: End) {
        let pair = self.site.mode() == Mode::Pair;
        if self.is_unheard(epoch, &end) {
            self.voter.released_unheard(&self.site, (from, epoch), &mut self.out);
        } else {
            let freed = self.voter.released(&self.site, from, (epoch, counter), &mut self.out);
            if !freed || (end == End::Unused && !pair) {
                return;
            }
        }
        self.out.push(Output::Released { from, epoch, end });
        if self.site.mode() == Mode::Trio {
            self.watch.said();
            self.out.push(Output::Vacant(Vacancy::Released));
        }
    }

    /// Whether the other node of a pair ends an epoch under which it acted unheard. Nothing was
    /// promised against it here, unless this node holds itself: then nothing becomes vacant.
    fn is_unheard(&self, epoch: Epoch, end: &End) -> bool {
        let holds = matches!(self.state, State::Holding(_));
        let pair = self.site.mode() == Mode::Pair && !self.site.other_pbx;
        pair && *end != End::Unused && epoch > self.voter.vote().promised && !holds
    }

    fn persisted(&mut self, now: Instant, ticket: Ticket) {
        self.voter.persisted(now, &self.site, ticket, &mut self.out);
        if let State::Asking(attempt) = &mut self.state {
            attempt.persisted(ticket);
            self.settle(now);
        }
    }

    fn store_failed(&mut self, now: Instant) {
        self.voter.store_failed();
        if matches!(self.state, State::Asking(_) | State::Waiting { .. }) {
            self.abort();
            self.wait(now, self.site.timers.ttl);
        }
    }

    fn watch(&mut self, now: Instant) {
        let idle = matches!(self.state, State::Idle) && self.site.mode() == Mode::Trio;
        if !idle || self.voter.is_silent(now) || self.voter.taken(now).is_some() {
            self.watch = Watch::default();
        } else if self.watch.is_due(now) {
            let counter = self.out.counter();
            self.watch.asked(now, counter, self.site.timers.renew);
            let epoch = self.known;
            for peer in self.site.peers() {
                self.out.send(peer, Message::Ask { epoch, counter });
            }
        }
    }

    /// Up to half a renewal, so that two that ask at once do not do so again.
    fn jitter(&mut self) -> Duration {
        self.site.timers.renew * (self.rng.next_u32() % 256) / 512
    }

    /// Whether it may act at this moment: the question before anything leaves that claims.
    pub fn holds(&self, now: Instant) -> bool {
        self.deadline().is_some_and(|deadline| now < deadline)
    }

    /// Until when it may act; `None`: not at all, [`NEVER`]: until somebody says otherwise.
    pub fn deadline(&self) -> Option<Instant> {
        match &self.state {
            State::Holding(hold) => Some(hold.deadline),
            State::Idle | State::Waiting { .. } | State::Asking(_) => None,
        }
    }

    /// Whether it holds, and on a machine that may be paused has heard so a moment ago.
    pub fn may_claim(&self, now: Instant) -> bool {
        self.claims_until().is_some_and(|until| now < until)
    }

    /// Until when that is so, if nothing more is heard.
    pub fn claims_until(&self) -> Option<Instant> {
        let State::Holding(hold) = &self.state else { return None };
        let timers = &self.site.timers;
        let may_pause = timers.may_pause && self.site.mode() == Mode::Trio && !hold.forced;
        let fresh = may_pause.then(|| hold.answered + timers.renew * 2);
        Some(fresh.map_or(hold.deadline, |fresh| fresh.min(hold.deadline)))
    }

    /// Who has the lease as far as this node knows, and under which epoch.
    pub fn holder(&self, now: Instant) -> Option<(NodeId, Epoch)> {
        match &self.state {
            State::Holding(hold) if now < hold.deadline => Some((self.site.me, hold.epoch)),
            State::Idle | State::Waiting { .. } | State::Asking(_) | State::Holding(_) => {
                let other = self.voter.taken(now).filter(|&node| node != self.site.me);
                other.map(|node| (node, self.voter.vote().promised))
            }
        }
    }

    /// What this node's voter remembers.
    pub const fn vote(&self) -> &Vote {
        self.voter.vote()
    }

    /// Highest epoch that this node has heard of.
    pub const fn known(&self) -> Epoch {
        self.known
    }

    /// The cluster.
    pub const fn site(&self) -> &Site {
        &self.site
    }
}
