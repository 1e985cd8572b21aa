//! How a primary gives its role up: to a successor that said it would take over, or to nobody.
//!
//! It goes on serving while it asks and while it ships what it acknowledged; the release is the
//! last step, and names the successor, which takes the role whatever its policy says.

use super::{Answer, Message, Open, Output, Roles, State};
use crate::ha::lease::{self, End};
use crate::ids::NodeId;
use crate::store::Lane;
use crate::timers::{Duration, Instant};

/// A successor answers within this time, or does not take over.
const PREPARE_WAIT: Duration = Duration::from_secs(2);

/// What was acknowledged is shipped within this time, or the switch is off.
const SETTLE_WAIT: Duration = Duration::from_secs(3);

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
    /// Ships what it acknowledged.
    Settling { to: Option<NodeId>, forced: bool, give_up_at: Instant },
}

impl Leaving {
    pub(super) const fn give_up_at(&self) -> Instant {
        match self {
            Self::Asked { give_up_at, .. } | Self::Settling { give_up_at, .. } => *give_up_at,
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
    pub(super) fn prepared(&mut self, now: Instant, from: NodeId, number: u64, no: Vec<String>) {
        let Some(leaving) = self.leaving() else { return };
        let Some(Leaving::Asked { to, number: asked, forced, .. }) = *leaving else { return };
        if (to, asked) != (from, number) {
            return;
        }
        if no.is_empty() || forced {
            self.settle(now, Some(to), forced);
        } else {
            self.stay(now, no);
        }
    }

    /// Ships what was acknowledged, then releases.
    pub(super) fn settle(&mut self, now: Instant, to: Option<NodeId>, forced: bool) {
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
            self.turn(State::Fenced { sent_away: true });
            self.close_orders(Open::leaves, &Answer::Done);
        }
    }

    pub(super) fn expire_leaving(&mut self, now: Instant) {
        let State::Primary { leaving: Some(leaving), .. } = &self.state else { return };
        if now < leaving.give_up_at() {
            return;
        }
        match *leaving {
            Leaving::Asked { to, forced: false, .. } => {
                let reason = format!("{} does not answer: check the link to it", self.name(to));
                self.stay(now, vec![reason]);
            }
            Leaving::Settling { forced: false, .. } => {
                let reason = "what was acknowledged could not be copied to the other node in time";
                self.stay(now, vec![reason.to_owned()]);
            }
            Leaving::Asked { to, .. } => self.settle(now, Some(to), true),
            Leaving::Settling { to, .. } => self.leave(now, to, Vec::new()),
        }
    }

    /// The switch is off.
    fn stay(&mut self, now: Instant, reasons: Vec<String>) {
        let leaving = self.leaving().and_then(Option::take);
        if matches!(leaving, Some(Leaving::Asked { yields: true, .. })) {
            self.yields_from = Some(now + YIELD_RETRY);
        }
        let answer = Answer::Refused { reasons, may_force: true };
        self.close_orders(Open::leaves, &answer);
    }

    /// A primary that cannot reach the PBX, or whose disk failed, serves nobody: the other one does
    /// it, if it can.
    pub(super) fn yield_if_useless(&mut self, now: Instant) {
        let useless = self.pbx == Some(false) || self.store_failed;
        let Some(to) = self.other().filter(|&to| useless && self.is_up(to)) else { return };
        let reaches = self.peers.get(&to).is_some_and(|peer| peer.pbx == Some(true));
        let rests = self.yields_from.is_some_and(|at| now < at);
        if !reaches || rests || self.pause.on {
            return;
        }
        self.yields_from = Some(now + YIELD_PAUSE);
        self.ask_successor(now, to, false, true);
    }
}
