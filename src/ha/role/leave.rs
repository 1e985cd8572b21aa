//! How a primary gives its role up: to a successor that said it would take over, or to nobody.
//!
//! It goes on serving while it asks, while the node takes its bindings away (where a PBX wants
//! that) and while it ships what it acknowledged; the release is the last step, and names the
//! successor, which takes the role whatever its policy says. Bindings go before the release,
//! because whoever has released sends no REGISTER any more.

use super::{Answer, Message, Mode, Open, Output, Reason, Roles, State, sentence};
use crate::ha::lease::{self, End};
use crate::ids::{Epoch, NodeId};
use crate::store::Lane;
use crate::timers::{Duration, Instant};

/// A successor answers within this time, or does not take over.
const PREPARE_WAIT: Duration = Duration::from_secs(2);

/// The node's own bound for taking bindings away is shorter.
const UNBIND_WAIT: Duration = Duration::from_secs(120);

/// What was acknowledged is shipped within this time, or the switch is off.
const SETTLE_WAIT: Duration = Duration::from_secs(3);

/// The other node of a pair has stored a release within this time.
const STORED_WAIT: Duration = Duration::from_secs(2);

/// A successor has so long to take the role; its old holder leaves it alone meanwhile.
pub(super) const SUCCESSOR_WAIT: Duration = Duration::from_secs(5);

/// No second yield within this time: a PBX that fails for both would be handed to and fro.
const YIELD_PAUSE: Duration = Duration::from_secs(600);

/// A successor that refused is asked again after this time.
const YIELD_RETRY: Duration = Duration::from_secs(10);

/// Reasons that one node tells another.
const REASONS_MAX: usize = 16;

/// A primary on its way out.
#[derive(Clone, Debug)]
pub(super) enum Leaving {
    /// Asked the successor.
    Asked { to: NodeId, number: u64, forced: bool, yields: bool, give_up_at: Instant },
    /// Has the bindings of its ports taken away.
    Unbinding { to: Option<NodeId>, forced: bool, give_up_at: Instant },
    /// Ships what it acknowledged.
    Settling { to: Option<NodeId>, forced: bool, give_up_at: Instant },
}

impl Leaving {
    pub(super) const fn give_up_at(&self) -> Instant {
        match self {
            Self::Asked { give_up_at, .. }
            | Self::Unbinding { give_up_at, .. }
            | Self::Settling { give_up_at, .. } => *give_up_at,
        }
    }
}

impl Roles {
    fn leaving(&mut self) -> Option<&mut Option<Leaving>> {
        match &mut self.state {
            State::Primary { leaving, .. } => Some(leaving),
            State::Witness
            | State::Backup { .. }
            | State::Asking
            | State::Fetching { .. }
            | State::Promoting { .. }
            | State::Fenced { .. } => None,
        }
    }

    /// Whether a switch is under way.
    pub(super) fn is_leaving(&self) -> bool {
        matches!(self.state, State::Primary { leaving: Some(_), .. })
    }

    /// Asks a node to take over.
    pub(super) fn ask_successor(&mut self, now: Instant, to: NodeId, forced: bool, yields: bool) {
        self.numbers += 1;
        let number = self.numbers;
        let give_up_at = now + PREPARE_WAIT;
        if let Some(leaving) = self.leaving() {
            *leaving = Some(Leaving::Asked { to, number, forced, yields, give_up_at });
            self.out.push_back(Output::Send(to, Message::Prepare { number, yields }));
        }
    }

    /// A primary asks whether this node would take over.
    pub(super) fn prepare(&mut self, now: Instant, from: NodeId, number: u64, yields: bool) {
        if self.settings.site.is_witness() {
            return;
        }
        let mut against = self.not_ready();
        if yields && against.is_empty() {
            self.yields_from = Some(now + YIELD_PAUSE);
        }
        against.truncate(REASONS_MAX);
        self.out.push_back(Output::Send(from, Message::Prepared { number, against }));
    }

    /// The successor answered.
    pub(super) fn prepared(&mut self, now: Instant, from: NodeId, number: u64, no: Vec<Reason>) {
        let Some(leaving) = self.leaving() else { return };
        let Some(Leaving::Asked { to, number: asked, forced, .. }) = *leaving else { return };
        if (to, asked) != (from, number) {
            return;
        }
        if no.is_empty() || forced {
            self.unbind(now, Some(to), forced);
        } else {
            self.stay(now, no);
        }
    }

    /// Lets the bindings go, then settles.
    pub(super) fn unbind(&mut self, now: Instant, to: Option<NodeId>, forced: bool) {
        if let Some(leaving) = self.leaving() {
            *leaving = Some(Leaving::Unbinding { to, forced, give_up_at: now + UNBIND_WAIT });
            self.out.push_back(Output::Unbind(true));
        }
    }

    /// They are gone, as far as they will be.
    pub(super) fn unbound(&mut self, now: Instant) {
        if let State::Primary { leaving: Some(Leaving::Unbinding { to, forced, .. }), .. } =
            self.state
        {
            self.settle(now, to, forced);
        }
    }

    /// Whether bindings are being taken away, which has its own end.
    pub(super) fn is_unbinding(&self) -> bool {
        matches!(self.state, State::Primary { leaving: Some(Leaving::Unbinding { .. }), .. })
    }

    /// Ships what was acknowledged, then releases.
    fn settle(&mut self, now: Instant, to: Option<NodeId>, forced: bool) {
        if let Some(leaving) = self.leaving() {
            *leaving = Some(Leaving::Settling { to, forced, give_up_at: now + SETTLE_WAIT });
            self.out.push_back(Output::Settle);
        }
    }

    /// It is shipped.
    pub(super) fn settled(&mut self, now: Instant, marks: Vec<(Lane, u64)>) {
        if let State::Primary { leaving: Some(Leaving::Settling { to, .. }), .. } = self.state {
            self.leave(now, to, marks);
        }
    }

    fn leave(&mut self, now: Instant, to: Option<NodeId>, marks: Vec<(Lane, u64)>) {
        let end = End::Controlled { marks, to };
        self.out.push_back(Output::Lease(lease::Input::Release(end)));
        if to.is_some() {
            self.turn(State::Backup { rests_until: Some(now + SUCCESSOR_WAIT) });
        } else {
            let State::Primary { epoch, .. } = self.state else { return };
            self.turn(State::Fenced { sent_away: true });
            self.await_stored(now, epoch);
        }
    }

    /// A voter forgets a lease by itself. The other node of a pair does not: until it has stored
    /// the release, only force promotes it, and whoever ordered this must know.
    fn await_stored(&mut self, now: Instant, epoch: Epoch) {
        if self.mode() != Mode::Pair || self.settings.site.other_pbx {
            return self.close_orders(Open::leaves, &Answer::Done);
        }
        for open in self.orders.iter_mut().filter(|open| open.leaves()) {
            open.awaits_stored(epoch, now + STORED_WAIT);
        }
    }

    /// The other node needs nobody's word to take over.
    pub(super) fn release_stored(&mut self, epoch: Epoch) {
        self.close_orders(|open| open.is_stored(epoch), &Answer::Done);
    }

    /// The other node did not say so in time, or is not there.
    pub(super) fn expire_stored(&mut self, now: Instant) {
        if self.orders.iter().any(|open| open.is_unstored(now)) {
            let node = self.other().map_or_else(String::new, |other| self.name(other));
            let reason = Reason::ReleaseUnstored { node };
            self.out.push_back(Output::Alarm(reason.to_string()));
            let answer = Answer::Refused { reasons: vec![reason], may_force: false };
            self.close_orders(|open| open.is_unstored(now), &answer);
        }
    }

    pub(super) fn expire_leaving(&mut self, now: Instant) {
        let State::Primary { leaving: Some(leaving), .. } = &self.state else { return };
        if now < leaving.give_up_at() {
            return;
        }
        match *leaving {
            Leaving::Asked { to, forced: false, .. } => {
                let reason = Reason::Silent { node: self.name(to) };
                self.stay(now, vec![reason]);
            }
            Leaving::Settling { forced: false, .. } => {
                self.stay(now, vec![Reason::NotCopied]);
            }
            Leaving::Asked { to, .. } => self.unbind(now, Some(to), true),
            Leaving::Unbinding { .. } => self.unbound(now),
            Leaving::Settling { to, forced, .. } => {
                let give_up_at = now + SETTLE_WAIT;
                if let Some(leaving) = self.leaving() {
                    *leaving = Some(Leaving::Settling { to, forced, give_up_at });
                }
                self.out.push_back(Output::SettleNow);
            }
        }
    }

    /// The switch is off.
    fn stay(&mut self, now: Instant, reasons: Vec<Reason>) {
        let leaving = self.leaving().and_then(Option::take);
        if matches!(leaving, Some(Leaving::Unbinding { .. } | Leaving::Settling { .. })) {
            self.out.push_back(Output::Unbind(false));
        }
        if matches!(leaving, Some(Leaving::Asked { yields: true, .. })) {
            self.yields_from = Some(now + YIELD_RETRY);
            self.keep_role(sentence(&reasons));
        }
        let answer = Answer::Refused { reasons, may_force: true };
        self.close_orders(Open::leaves, &answer);
    }

    /// A primary that cannot reach the PBX serves nobody, and one whose disk failed acknowledges
    /// nothing: the other one does it, if it can. Without a PBX that takes one who says that it
    /// reaches it; a disk that failed is no matter of the PBX, and who is asked knows better.
    pub(super) fn yield_if_useless(&mut self, now: Instant) {
        let Some(to) = self.other() else { return };
        let reaches = self.peers.get(&to).is_some_and(|peer| peer.pbx == Some(true));
        let useless = self.store_failed || (self.pbx == Some(false) && reaches);
        if !useless || self.yields_from.is_some_and(|at| now < at) {
            return;
        }
        if let Some(why) = self.no_yield(to) {
            return self.keep_role(why);
        }
        self.yields_from = Some(now + YIELD_PAUSE);
        self.ask_successor(now, to, false, true);
    }

    fn no_yield(&self, to: NodeId) -> Option<String> {
        let name = self.name(to);
        if self.pause.on {
            return Some(format!("automatic promotion is paused: `resume`, or switch to {name}"));
        }
        (!self.is_up(to)).then(|| format!("{name} is not heard: start it, or see to the link"))
    }

    /// Somebody must act on a disk that failed; said once for each reason.
    fn keep_role(&mut self, why: String) {
        if !self.store_failed || self.kept_because.as_ref() == Some(&why) {
            return;
        }
        let text = format!("{}, and it keeps the role of primary: {why}", self.disk_failed());
        self.out.push_back(Output::Alarm(text));
        self.kept_because = Some(why);
    }
}
