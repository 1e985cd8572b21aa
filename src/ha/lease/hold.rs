//! The candidate and the holder: from the first request to the end of the lease.

use std::collections::VecDeque;

use super::{End, FORCED, Kind, Lease, Message, Mode, NEVER, Output, State, Why};
use crate::ids::{Epoch, NodeId};
use crate::mutants::{Mutant, mutant};
use crate::store::Ticket;
use crate::timers::{Duration, Instant};

/// Requests whose answers may still count: more than a lease is long.
const SENT_MAX: usize = 16;

/// A candidate whose disk is slow keeps asking for so many leases, then leaves it to others.
const WRITING_LEASES: u32 = 8;

/// When each request left, by its counter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sent(VecDeque<(u64, Instant)>);

impl Sent {
    fn push(&mut self, counter: u64, at: Instant) {
        if self.0.len() == SENT_MAX {
            self.0.pop_front();
        }
        self.0.push_back((counter, at));
    }

    fn at(&self, counter: u64) -> Option<Instant> {
        self.0.iter().find(|sent| sent.0 == counter).map(|sent| sent.1)
    }
}

/// What is known of facts that only one node has: by the witness, in a pair by a stored release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// Nothing yet: the grant came from the other one.
    Unknown,
    /// Nobody else went on alone.
    Nobody,
    /// This one did.
    Alone(NodeId),
}

/// The candidate's own promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Own {
    /// Made once another voter has granted.
    Open,
    Writing(Ticket),
    Durable,
}

/// A candidacy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Attempt {
    pub(super) epoch: Epoch,
    pub(super) give_up_at: Instant,
    pub(super) renew_at: Instant,
    forced: bool,
    sent: Sent,
    /// Of the latest request that was granted: when it left, and until when it serves.
    granted: Option<(Instant, Instant)>,
    own: Own,
    word: Word,
}

impl Attempt {
    pub(super) fn persisted(&mut self, ticket: Ticket) {
        if matches!(self.own, Own::Writing(own) if own <= ticket) {
            self.own = Own::Durable;
        }
    }
}

/// A mark at the witness that this holder wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Wish {
    on: bool,
    counter: u64,
    done: bool,
}

/// A lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hold {
    pub(super) epoch: Epoch,
    pub(super) deadline: Instant,
    pub(super) renew_at: Instant,
    /// When the latest request left that was answered.
    pub(super) answered: Instant,
    /// Taken by a person's word and not granted by anybody yet.
    pub(super) forced: bool,
    sent: Sent,
    word: Word,
    /// Every fact of others is here.
    facts_here: bool,
    wish: Option<Wish>,
}

impl Lease {
    pub(super) fn acquire(&mut self, now: Instant) {
        if matches!(self.state, State::Idle) {
            self.ask(now);
        }
    }

    /// Begins a candidacy, or waits until this node's own voter is free.
    pub(super) fn ask(&mut self, now: Instant) {
        let taken = self.voter.taken(now).filter(|&by| by != self.site.me);
        if self.site.mode() == Mode::Trio {
            if let Some(by) = taken {
                self.state = State::Waiting { again_at: now };
                return self.beaten(by);
            }
            if self.voter.is_silent(now) {
                return self.wait(now, self.site.timers.renew);
            }
        }
        let epoch = self.known.max(self.voter.vote().promised).next();
        self.begin(now, epoch, false);
    }

    pub(super) fn force(&mut self, now: Instant) {
        if matches!(self.state, State::Holding(_)) {
            return;
        }
        self.abort();
        let known = self.known.max(self.voter.vote().promised);
        self.begin(now, self.site.forced(known), true);
    }

    fn begin(&mut self, now: Instant, epoch: Epoch, forced: bool) {
        // No epoch is asked for twice: a late word about the first time would be taken for one
        // about the second.
        self.known = epoch;
        self.unstored = None;
        let alone = forced || self.needs_no_grant();
        // A release says how far the facts go, and this node is behind until it has them.
        let vote = self.voter.vote();
        let complete = self.site.mode() == Mode::Pair && vote.is_released() && !vote.behind;
        self.state = State::Asking(Attempt {
            epoch,
            give_up_at: now + self.site.timers.ttl,
            renew_at: now + self.site.timers.renew,
            forced,
            sent: Sent::default(),
            granted: alone.then_some((now, NEVER)),
            own: Own::Open,
            word: if complete { Word::Nobody } else { Word::Unknown },
        });
        if alone {
            self.promise_own(now);
        } else {
            self.request(now);
        }
    }

    /// Whether nobody else has to agree: there is nobody, or the other one's release is stored.
    fn needs_no_grant(&self) -> bool {
        let vote = self.voter.vote();
        match self.site.mode() {
            Mode::Single => true,
            Mode::Pair => {
                self.site.other_pbx || vote.is_released() || mutant(Mutant::PairWithoutProof)
            }
            Mode::Trio => false,
        }
    }

    /// Asks every other voter, and notes when.
    fn request(&mut self, now: Instant) {
        let counter = self.out.counter();
        let (epoch, kind) = match &mut self.state {
            State::Asking(attempt) => {
                attempt.sent.push(counter, now);
                if attempt.own != Own::Open {
                    self.voter.keep_own(now, &self.site);
                }
                (attempt.epoch, Kind::New)
            }
            State::Holding(hold) => {
                hold.sent.push(counter, now);
                self.voter.keep_own(now, &self.site);
                (hold.epoch, if hold.forced { Kind::Forced } else { Kind::Renew })
            }
            State::Idle | State::Waiting { .. } => return,
        };
        for peer in self.site.peers() {
            self.out.send(peer, Message::Request { epoch, counter, kind });
        }
    }

    /// Asks again when it is time, and repeats a mark that the witness has not confirmed.
    pub(super) fn renew(&mut self, now: Instant) {
        let next = now + self.site.timers.renew;
        match &mut self.state {
            // A forced epoch is not shown to anybody before it is durable.
            State::Asking(attempt) if now >= attempt.renew_at && attempt.forced => {
                attempt.renew_at = next;
            }
            State::Asking(attempt) if now >= attempt.renew_at => {
                attempt.renew_at = next;
                self.request(now);
            }
            State::Holding(hold) if now >= hold.renew_at => {
                hold.renew_at = next;
                self.request(now);
                self.send_wish();
            }
            State::Idle | State::Waiting { .. } | State::Asking(_) | State::Holding(_) => {}
        }
    }

    /// A voter granted.
    pub(super) fn granted(
        &mut self,
        now: Instant,
        from: NodeId,
        (epoch, counter): (Epoch, u64),
        alone: Option<NodeId>,
    ) {
        let word = match alone.filter(|&node| node != self.site.me) {
            Some(node) => Word::Alone(node),
            None => Word::Nobody,
        };
        let word = Some(word).filter(|_| self.site.witness == Some(from));
        match &mut self.state {
            State::Asking(attempt) if attempt.epoch == epoch && !attempt.forced => {
                let Some(sent) = attempt.sent.at(counter) else { return };
                attempt.word = word.unwrap_or(attempt.word);
                let until = self.until(now, sent);
                self.attempt_granted(now, sent, until);
            }
            State::Holding(hold) if hold.epoch == epoch => {
                let Some(sent) = hold.sent.at(counter) else { return };
                let until = self.until(now, sent);
                self.hold_granted(sent, until, word);
            }
            State::Idle | State::Waiting { .. } | State::Asking(_) | State::Holding(_) => {}
        }
    }

    /// Until when a request serves that left then.
    fn until(&self, now: Instant, sent: Instant) -> Instant {
        match self.site.mode() {
            Mode::Single | Mode::Pair => NEVER,
            Mode::Trio if mutant(Mutant::CountFromAnswer) => now + self.site.timers.hold(),
            Mode::Trio if mutant(Mutant::HoldTooLong) => sent + self.site.timers.ttl * 3 / 2,
            Mode::Trio => sent + self.site.timers.hold(),
        }
    }

    fn attempt_granted(&mut self, now: Instant, sent: Instant, until: Instant) {
        let State::Asking(attempt) = &mut self.state else { return };
        if until <= now {
            return;
        }
        attempt.granted = attempt.granted.max(Some((sent, until)));
        if attempt.own == Own::Open {
            self.promise_own(now);
        } else {
            self.settle(now);
        }
    }

    fn hold_granted(&mut self, sent: Instant, until: Instant, word: Option<Word>) {
        let State::Holding(hold) = &mut self.state else { return };
        // Once granted, what a person took is a lease like any other.
        hold.deadline = if hold.forced { until } else { hold.deadline.max(until) };
        hold.forced = false;
        hold.answered = hold.answered.max(sent);
        let Some(word) = word else { return };
        hold.word = word;
        match word {
            Word::Nobody if !hold.facts_here => {
                hold.facts_here = true;
                self.out.push(Output::FactsClear);
            }
            // What the other one had alone is here too: its mark has served.
            Word::Alone(_) if hold.facts_here && hold.wish.is_none() => self.wish(false),
            Word::Unknown | Word::Nobody | Word::Alone(_) => {}
        }
    }

    fn promise_own(&mut self, now: Instant) {
        let State::Asking(attempt) = &mut self.state else { return };
        let (epoch, forced) = (attempt.epoch, attempt.forced);
        let ticket = self.voter.own(now, &self.site, epoch, forced, &mut self.out);
        let Some(ticket) = ticket else { return self.unanswered(now) };
        attempt.own = Own::Writing(ticket);
        let patience = self.site.timers.ttl * WRITING_LEASES;
        attempt.give_up_at = if forced { NEVER } else { now + patience };
        if mutant(Mutant::ActBeforeDurable) {
            self.settle(now);
        }
    }

    /// Becomes holder once its own promise is durable and a grant still lasts.
    pub(super) fn settle(&mut self, now: Instant) {
        let State::Asking(attempt) = &mut self.state else { return };
        let durable = attempt.own == Own::Durable || mutant(Mutant::ActBeforeDurable);
        let Some((answered, deadline)) = attempt.granted.filter(|&(_, until)| now < until) else {
            return;
        };
        if !durable {
            return;
        }
        let (epoch, forced, word) = (attempt.epoch, attempt.forced, attempt.word);
        let hold = Hold {
            epoch,
            deadline,
            renew_at: attempt.renew_at,
            answered,
            forced,
            sent: std::mem::take(&mut attempt.sent),
            word,
            facts_here: false,
            wish: None,
        };
        self.become_holder(now, hold);
    }

    fn become_holder(&mut self, now: Instant, mut hold: Hold) {
        let facts_of = self.facts_of(&hold);
        hold.facts_here = facts_of.is_none();
        let epoch = hold.epoch;
        let shown = !hold.forced && !self.needs_no_grant();
        self.state = State::Holding(hold);
        self.out.push(Output::Held { epoch, facts_of });
        if !shown {
            self.request(now);
        }
    }

    /// Whose facts a new holder must have before it serves.
    fn facts_of(&self, hold: &Hold) -> Option<NodeId> {
        if hold.forced || mutant(Mutant::ServeWithoutFacts) {
            return None;
        }
        match (self.site.mode(), hold.word) {
            (Mode::Single, _) | (Mode::Pair | Mode::Trio, Word::Nobody) => None,
            (Mode::Pair, _) => self.site.other().filter(|_| !self.site.other_pbx),
            (Mode::Trio, Word::Unknown) => self.site.other(),
            (Mode::Trio, Word::Alone(node)) => Some(node),
        }
    }

    /// A voter refused.
    pub(super) fn refused(&mut self, now: Instant, epoch: Epoch, why: Why) {
        if let Why::Older { promised } = why {
            self.heard_of(promised);
        }
        let State::Asking(attempt) = &self.state else { return };
        if attempt.epoch != epoch {
            return;
        }
        match why {
            Why::Older { .. } => {
                self.abort();
                let pause = self.jitter();
                self.wait(now, pause);
            }
            Why::Held { by } => self.beaten(by),
            Why::Rival | Why::Store => {}
        }
    }

    /// An epoch is promised to somebody: one that outranks this node's ends its own.
    pub(super) fn heard_of(&mut self, promised: Epoch) {
        if promised >= super::EPOCH_END {
            return;
        }
        self.known = self.known.max(promised);
        // A candidate that failed may have been promised a little more than a lease that is good.
        // What a person took and nobody granted yields to anything higher.
        let leased = |hold: &Hold| self.site.mode() == Mode::Trio && !hold.forced;
        if let State::Holding(hold) = &self.state
            && promised.0 >= hold.epoch.0.saturating_add(if leased(hold) { FORCED } else { 1 })
            && !self.site.other_pbx
        {
            self.lose(true);
        }
    }

    /// It could not be had; later again, unless a person wanted it: they decide again.
    pub(super) fn unanswered(&mut self, now: Instant) {
        let forced = matches!(&self.state, State::Asking(attempt) if attempt.forced);
        self.abort();
        if forced {
            return self.out.push(Output::Unanswered);
        }
        let pause = self.site.timers.renew + self.jitter();
        self.wait(now, pause);
        self.out.push(Output::Unanswered);
    }

    pub(super) fn wait(&mut self, now: Instant, pause: Duration) {
        self.state = State::Waiting { again_at: now + pause };
    }

    /// Another one has the lease: a candidate leaves it at that.
    pub(super) fn beaten(&mut self, by: NodeId) {
        if matches!(self.state, State::Asking(_) | State::Waiting { .. }) {
            self.abort();
            self.out.push(Output::Beaten { by });
        }
    }

    /// Ends a candidacy and frees what it was granted.
    pub(super) fn abort(&mut self) {
        if let State::Asking(Attempt { epoch, .. }) = self.state {
            self.send_release(epoch, &End::Unused);
        }
        self.state = State::Idle;
        self.voter.free_own(&self.site);
    }

    /// Gives the lease up, or stops trying.
    pub(super) fn release(&mut self, end: End) {
        let State::Holding(Hold { epoch, .. }) = self.state else { return self.abort() };
        self.state = State::Idle;
        self.voter.free_own(&self.site);
        self.send_release(epoch, &end);
        // A majority forgets a lease by itself; the other node of a pair has to be told.
        self.unstored = Some((epoch, end)).filter(|_| self.site.mode() == Mode::Pair);
    }

    /// The link to this node is up: it may not have heard of the release.
    pub(super) fn release_again(&mut self, node: NodeId) {
        let idle = matches!(self.state, State::Idle);
        if let Some((epoch, end)) = self.unstored.clone().filter(|_| idle) {
            let counter = self.out.counter();
            self.out.send(node, Message::Release { epoch, counter, end });
        }
    }

    fn send_release(&mut self, epoch: Epoch, end: &End) {
        let counter = self.out.counter();
        for peer in self.site.peers() {
            self.out.send(peer, Message::Release { epoch, counter, end: end.clone() });
        }
    }

    pub(super) fn lose(&mut self, outranked: bool) {
        let State::Holding(Hold { epoch, .. }) = self.state else { return };
        self.state = State::Idle;
        self.voter.free_own(&self.site);
        self.out.push(Output::Lost { epoch, outranked });
    }

    pub(super) fn facts_here(&mut self) {
        if let State::Holding(hold) = &mut self.state {
            hold.facts_here = true;
        }
        self.voter.set_behind(false, &mut self.out);
    }

    /// Asks for a mark. Without a witness there is nobody to ask, and the holder's word is enough.
    pub(super) fn solo(&mut self, now: Instant, on: bool) {
        let State::Holding(Hold { epoch, .. }) = self.state else { return };
        if self.site.mode() == Mode::Trio {
            self.wish(on);
        } else if self.holds(now) {
            self.out.push(Output::Solo { on, epoch });
        }
    }

    fn wish(&mut self, on: bool) {
        let counter = self.out.counter();
        if let State::Holding(hold) = &mut self.state {
            hold.wish = Some(Wish { on, counter, done: false });
        }
        self.send_wish();
    }

    fn send_wish(&mut self) {
        let State::Holding(hold) = &self.state else { return };
        let wish = hold.wish.filter(|wish| !wish.done);
        if let (Some(Wish { on, counter, .. }), Some(witness)) = (wish, self.site.witness) {
            self.out.send(witness, Message::Solo { epoch: hold.epoch, counter, on });
        }
    }

    pub(super) fn solo_done(&mut self, epoch: Epoch, counter: u64, on: bool) {
        let State::Holding(hold) = &mut self.state else { return };
        if hold.epoch != epoch {
            return;
        }
        if let Some(wish) = &mut hold.wish
            && wish.counter == counter
            && !wish.done
        {
            wish.done = true;
            self.out.push(Output::Solo { on, epoch });
        }
    }
}
