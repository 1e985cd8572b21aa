//! Orders of people: each is answered once, by what it led to.

use super::{Answer, Message, Mode, Order, Output, Pause, Reason, Roles, State};
use crate::ha::lease;
use crate::ids::{Epoch, NodeId, RequestId};
use crate::timers::{Duration, Instant};

/// An order that led to nothing in this time is answered all the same: as unknown. One that led to
/// a promotion waits for its end, which the node sets.
const ORDER_WAIT: Duration = Duration::from_secs(15);

/// A promotion may go on for so long at another node.
const PROMOTION_MAX: Duration = Duration::from_secs(30);

/// Orders that wait: people do not have more at once.
const ORDERS_MAX: usize = 8;

/// Whom an order is answered to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Here(RequestId),
    Node(NodeId, u64),
}

/// What an order waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Awaits {
    /// This node serves.
    Promotion,
    /// Another node serves; `None`: this one has given its role up.
    Successor(Option<NodeId>),
    /// The other node has stored that this one gave this epoch up.
    Stored(Epoch),
    /// Another node answers.
    Answer(NodeId, u64),
    /// Another node hands its role over; then this node serves.
    Handover(NodeId, u64),
}

/// An order that waits.
#[derive(Clone, Debug)]
pub(super) struct Open {
    source: Source,
    awaits: Awaits,
    give_up_at: Instant,
}

impl Open {
    pub(super) fn waits_for_promotion(&self) -> bool {
        matches!(self.awaits, Awaits::Promotion | Awaits::Handover(..))
    }

    /// What it waits for is under way, and ends by itself.
    fn goes_on(&self, way: UnderWay) -> bool {
        way.promoting && self.waits_for_promotion() || way.unbinding && self.leaves()
    }

    pub(super) fn leaves(&self) -> bool {
        matches!(self.awaits, Awaits::Successor(_))
    }

    pub(super) fn awaits_stored(&mut self, epoch: Epoch, give_up_at: Instant) {
        (self.awaits, self.give_up_at) = (Awaits::Stored(epoch), give_up_at);
    }

    pub(super) fn is_stored(&self, epoch: Epoch) -> bool {
        self.awaits == Awaits::Stored(epoch)
    }

    pub(super) fn is_unstored(&self, now: Instant) -> bool {
        matches!(self.awaits, Awaits::Stored(_)) && now >= self.give_up_at
    }

    pub(super) fn leaves_to(&self, node: NodeId) -> bool {
        self.awaits == Awaits::Successor(Some(node))
    }
}

/// What has an end of its own, however long it takes.
#[derive(Clone, Copy, Debug)]
struct UnderWay {
    promoting: bool,
    unbinding: bool,
}

fn refused(reason: Reason) -> Answer {
    Answer::Refused { reasons: vec![reason], may_force: false }
}

impl Roles {
    pub(super) fn received(&mut self, now: Instant, from: NodeId, message: Message) {
        match message {
            Message::Prepare { number, yields } => self.prepare(now, from, number, yields),
            Message::Prepared { number, against } => self.prepared(now, from, number, against),
            Message::Do { number, order } => {
                self.ordered(now, Source::Node(from, number), order);
            }
            Message::Did { number, answer } => self.did(from, number, &answer),
            Message::Pause(pause) => self.paused_elsewhere(pause),
        }
    }

    fn did(&mut self, from: NodeId, number: u64, answer: &Answer) {
        let handover = Awaits::Handover(from, number);
        if *answer == Answer::Done && !matches!(self.state, State::Primary { .. }) {
            let handed = self.orders.iter_mut().filter(|open| open.awaits == handover);
            handed.for_each(|open| open.awaits = Awaits::Promotion);
        }
        let asked = Awaits::Answer(from, number);
        self.close_orders(|open| [asked, handover].contains(&open.awaits), answer);
    }

    pub(super) fn ordered(&mut self, now: Instant, source: Source, order: Order) {
        if self.orders.len() >= ORDERS_MAX {
            return self.answer(source, refused(Reason::Busy));
        }
        match order {
            Order::Promote { node, .. } | Order::Drill { node } if node != self.me() => {
                self.pass_on(now, source, node, order);
            }
            Order::Drill { .. } => self.order_drill(source),
            Order::Promote { forced: None, .. } => self.order_promotion(now, source),
            Order::Promote { forced: Some(words), .. } => self.order_force(now, source, &words),
            Order::Switchover { to, forced } => self.order_switch(now, source, to, forced),
            Order::Pause => self.order_pause(source, true),
            Order::Resume => self.order_pause(source, false),
            Order::Rejoin => self.order_rejoin(source),
            Order::Release => self.order_release(now, source),
        }
    }

    /// To the node that it concerns; only what was ordered here, so that none runs in circles.
    fn pass_on(&mut self, now: Instant, source: Source, to: NodeId, order: Order) {
        if matches!(source, Source::Node(..)) {
            let node = self.name(to);
            return self.answer(source, refused(Reason::Elsewhere { node }));
        }
        self.forward(now, source, to, order, Awaits::Answer);
    }

    fn forward(
        &mut self,
        now: Instant,
        source: Source,
        to: NodeId,
        order: Order,
        awaits: fn(NodeId, u64) -> Awaits,
    ) {
        if !self.is_up(to) {
            let node = self.name(to);
            return self.answer(source, refused(Reason::NoLink { node }));
        }
        self.numbers += 1;
        let number = self.numbers;
        self.out.push_back(Output::Send(to, Message::Do { number, order }));
        self.open(now, source, awaits(to, number));
    }

    fn order_promotion(&mut self, now: Instant, source: Source) {
        match self.state {
            State::Witness => return self.answer(source, refused(Reason::Witness)),
            State::Primary { .. } => return self.answer(source, Answer::Done),
            State::Promoting { .. } | State::Asking | State::Fetching { .. } => {
                return self.open(now, source, Awaits::Promotion);
            }
            State::Backup { .. } | State::Fenced { .. } => {}
        }
        if let Some(primary) = self.primary_that_is_heard() {
            let order = Order::Switchover { to: self.me(), forced: false };
            return self.forward(now, source, primary, order, Awaits::Handover);
        }
        let proof = self.lacks_proof();
        let reasons = self.against_alone(proof.clone());
        if !reasons.is_empty() {
            return self.answer(source, Answer::Refused { reasons, may_force: true });
        }
        self.open(now, source, Awaits::Promotion);
        if proof.is_some() {
            self.force();
        } else {
            self.ask();
        }
    }

    /// What a promotion by order would be refused for, as far as it can be known before anybody is
    /// asked for the lease.
    fn order_drill(&mut self, source: Source) {
        let mut reasons = match self.state {
            State::Witness => vec![Reason::Witness],
            State::Primary { .. }
            | State::Promoting { .. }
            | State::Asking
            | State::Fetching { .. } => Vec::new(),
            // The primary would ask this node the same.
            State::Backup { .. } | State::Fenced { .. }
                if self.primary_that_is_heard().is_some() =>
            {
                self.not_ready()
            }
            State::Backup { .. } | State::Fenced { .. } => self.against_alone(self.lacks_proof()),
        };
        let asks = matches!(self.state, State::Backup { .. } | State::Fenced { .. })
            && self.primary_that_is_heard().is_none();
        if asks && reasons.is_empty() {
            reasons.extend(self.voters_against());
        }
        let refused = Answer::Refused { reasons: reasons.clone(), may_force: true };
        self.answer(source, if reasons.is_empty() { Answer::Done } else { refused });
    }

    /// What the voters of three would say, as far as they have said it.
    fn voters_against(&self) -> Option<Reason> {
        let other = self.other().filter(|_| self.mode() == Mode::Trio)?;
        if !self.peers.values().any(|peer| peer.up) {
            return Some(Reason::FewVoters);
        }
        self.gone.is_none().then(|| Reason::Beaten { by: self.name(other) })
    }

    fn holder_elsewhere(&self) -> Option<NodeId> {
        self.view.holder.map(|(node, _)| node).filter(|&node| node != self.me())
    }

    fn primary_that_is_heard(&self) -> Option<NodeId> {
        self.holder_elsewhere().filter(|&node| self.is_up(node))
    }

    /// What stands against a promotion where no primary can hand its role over.
    fn against_alone(&self, proof: Option<Reason>) -> Vec<Reason> {
        let mut reasons = self.not_ready();
        if self.mode() == Mode::Trio
            && let Some(primary) = self.holder_elsewhere()
        {
            reasons.push(Reason::HasLease { node: self.name(primary) });
        }
        if let Some(proof) = proof.filter(|_| !self.is_dead_at_pbx()) {
            reasons.push(proof);
            reasons.extend(self.sentinel_against());
        }
        reasons
    }

    /// In a pair, what is not proven of the other node, where it cannot consent.
    fn lacks_proof(&self) -> Option<Reason> {
        self.no_proof().filter(|_| self.mode() == Mode::Pair && !self.may_ask_pair())
    }

    /// The other node is there and may consent.
    fn may_ask_pair(&self) -> bool {
        self.settings.site.other_pbx || self.other().is_some_and(|other| self.is_up(other))
    }

    fn order_force(&mut self, now: Instant, source: Source, words: &str) {
        if words.trim().is_empty() {
            return self.answer(source, refused(Reason::NoWords));
        }
        match self.state {
            State::Witness => self.answer(source, refused(Reason::Witness)),
            State::Primary { .. } => self.answer(source, Answer::Done),
            State::Fetching { .. } => {
                // A person decided that the facts of the other node may be lost.
                self.open(now, source, Awaits::Promotion);
                self.facts_here();
            }
            State::Promoting { .. } => self.open(now, source, Awaits::Promotion),
            State::Backup { .. } | State::Asking | State::Fenced { .. } if self.store_failed => {
                let reason = self.disk_failed();
                self.answer(source, refused(reason));
            }
            State::Backup { .. } | State::Asking | State::Fenced { .. } => {
                self.open(now, source, Awaits::Promotion);
                self.force();
            }
        }
    }

    fn force(&mut self) {
        self.turn(State::Asking);
        self.out.push_back(Output::Lease(lease::Input::Force));
    }

    fn order_switch(&mut self, now: Instant, source: Source, to: NodeId, forced: bool) {
        let holder = self.view.holder.map(|(node, _)| node);
        if holder == Some(to) {
            return self.answer(source, Answer::Done);
        }
        if let Some(primary) = holder.filter(|&node| node != self.me()) {
            let order = Order::Switchover { to, forced };
            return self.pass_on(now, source, primary, order);
        }
        if self.settings.site.other() != Some(to) {
            return self.answer(source, refused(Reason::NotData));
        }
        let node = self.name(to);
        match self.state {
            State::Primary { .. } if self.is_leaving() => {
                self.answer(source, refused(Reason::Switching));
            }
            State::Primary { .. } if !self.is_up(to) => {
                self.answer(source, refused(Reason::NoLinkToSwitch { node }));
            }
            State::Primary { .. } => {
                self.open(now, source, Awaits::Successor(Some(to)));
                self.ask_successor(now, to, forced, false);
            }
            State::Promoting { .. } => {
                self.answer(source, refused(Reason::Promoting));
            }
            State::Witness
            | State::Backup { .. }
            | State::Asking
            | State::Fetching { .. }
            | State::Fenced { .. } => {
                self.answer(source, refused(Reason::NoPrimary { to: node }));
            }
        }
    }

    fn order_pause(&mut self, source: Source, on: bool) {
        let halted = self.pause.halted.clone().filter(|_| on);
        if !on {
            self.crashes.clear();
        }
        self.set_pause(on, halted);
        self.answer(source, Answer::Done);
    }

    /// Every node hears of it, those that are not heard later.
    pub(super) fn set_pause(&mut self, on: bool, halted: Option<String>) {
        let version = self.pause.version.saturating_add(1);
        self.pause = Pause { version, unix_ms: 0, on, halted };
        let up: Vec<_> = self.peers.iter().filter(|(_, peer)| peer.up).map(|(&n, _)| n).collect();
        for node in up {
            self.out.push_back(Output::Send(node, Message::Pause(self.pause.clone())));
        }
    }

    fn paused_elsewhere(&mut self, pause: Pause) {
        if pause <= self.pause {
            return;
        }
        if pause.halted.is_none() && !pause.on {
            // Somebody has resumed it: what crashed before is forgotten here, too.
            self.crashes.clear();
        }
        self.pause = pause;
    }

    fn order_rejoin(&mut self, source: Source) {
        match self.state {
            State::Fenced { .. } | State::Backup { .. } => {
                self.turn(State::Backup { rests_until: None });
                self.answer(source, Answer::Done);
            }
            State::Witness
            | State::Asking
            | State::Fetching { .. }
            | State::Promoting { .. }
            | State::Primary { .. } => self.answer(source, refused(Reason::NotFenced)),
        }
    }

    fn order_release(&mut self, now: Instant, source: Source) {
        match self.state {
            State::Primary { .. } if !self.is_leaving() => {
                self.open(now, source, Awaits::Successor(None));
                // An orderly end is not held up: what cannot be shipped in time stays here.
                self.unbind(now, None, true);
            }
            State::Primary { .. } => self.answer(source, refused(Reason::Switching)),
            State::Promoting { .. } | State::Fetching { .. } | State::Asking => {
                let end = lease::End::Controlled { marks: Vec::new(), to: None };
                self.out.push_back(Output::Lease(lease::Input::Release(end)));
                self.turn(State::Fenced { sent_away: true });
                self.refuse_promotion(Reason::GivenUp, false);
                self.answer(source, Answer::Done);
            }
            State::Witness | State::Backup { .. } | State::Fenced { .. } => {
                self.answer(source, Answer::Done);
            }
        }
    }

    fn open(&mut self, now: Instant, source: Source, awaits: Awaits) {
        let elsewhere = matches!(awaits, Awaits::Answer(..));
        let wait = if elsewhere { ORDER_WAIT + PROMOTION_MAX } else { ORDER_WAIT };
        self.orders.push_back(Open { source, awaits, give_up_at: now + wait });
    }

    fn answer(&mut self, source: Source, answer: Answer) {
        self.out.push_back(match source {
            Source::Here(id) => Output::Answer(id, answer),
            Source::Node(node, number) => Output::Send(node, Message::Did { number, answer }),
        });
    }

    /// Answers every order that waits for this.
    pub(super) fn close_orders(&mut self, which: impl Fn(&Open) -> bool, answer: &Answer) {
        let (done, open) = std::mem::take(&mut self.orders).into_iter().partition(which);
        self.orders = open;
        for Open { source, .. } in Vec::from_iter(done) {
            self.answer(source, answer.clone());
        }
    }

    pub(super) fn refuse_promotion(&mut self, reason: Reason, may_force: bool) {
        let answer = Answer::Refused { reasons: vec![reason], may_force };
        self.close_orders(Open::waits_for_promotion, &answer);
    }

    pub(super) fn expire_orders(&mut self, now: Instant) {
        // A switch that led back to this node did not lead to the other one.
        if matches!(self.state, State::Primary { leaving: None, .. }) {
            self.close_orders(Open::leaves, &refused(Reason::NotTaken));
        }
        let late = |open: &Open| now >= open.give_up_at;
        if matches!(self.state, State::Asking)
            && self.orders.iter().any(|open| late(open) && open.waits_for_promotion())
        {
            // Called off, so that it does not come when nobody expects it any more.
            self.out.push_back(Output::Lease(lease::Input::Release(lease::End::Unused)));
            self.turn(State::Backup { rests_until: None });
            self.fail_promotion(Reason::FewVoters, true);
        }
        self.expire_stored(now);
        let way = self.under_way();
        self.close_orders(|open| late(open) && !open.goes_on(way), &Answer::Unknown);
    }

    pub(super) fn orders_due(&self) -> Option<Instant> {
        let way = self.under_way();
        let waiting = self.orders.iter().filter(|open| !open.goes_on(way));
        waiting.map(|open| open.give_up_at).min()
    }

    fn under_way(&self) -> UnderWay {
        UnderWay {
            promoting: matches!(self.state, State::Promoting { .. }),
            unbinding: self.is_unbinding(),
        }
    }
}
