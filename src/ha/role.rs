//! Roles: what a node is, and what people and its policy may make of it.
//!
//! The lease says who *may* be primary; here it is decided who *shall*. A backup that hears of a
//! vacancy promotes itself if its policy says so and nothing stands against it; each obstacle is a
//! sentence that says who must do what. A vacancy is the word of a voter, never silence: a cut
//! between two nodes is no failure of either.
//!
//! A planned switch asks the successor first and has the old primary ship what it acknowledged, so
//! that the role is vacant only for the time of one grant. The last primary resumes by itself when
//! nobody took its place; one that was sent away, or gave its role up by order, waits for somebody
//! to follow or for a person.

mod auto;
mod leave;
mod orders;
mod reason;
mod sentinel;
mod types;

use std::collections::{BTreeMap, VecDeque};

use super::Role;
use super::lease::{self, End, Mode, Vacancy};
use super::sentinel::Seen;
use crate::ids::{Epoch, NodeId};
use crate::timers::{Duration, Instant, earliest};

pub use reason::{Lack, Reason, sentence};
pub use types::{Answer, Event, Input, Message, Order, Output, Pause, Settings, View};

use leave::Leaving;
use orders::Open;

/// A candidate waits so long for facts that only the other node has.
const FACTS_WAIT: Duration = Duration::from_secs(5);

/// A node that is not the first one leaves the role so long to the first after its own start.
pub const BOOT_WAIT: Duration = Duration::from_secs(10);

/// The primary of a pair that is not heard for so long is told of: a link that is torn for a moment
/// is up again by then, and whoever ended in order, or was seen to end, has said so.
const UNHEARD_AFTER: Duration = Duration::from_secs(2);

/// Two ends of a process of one cause within this time are a pattern.
const CRASHES_WITHIN: Duration = Duration::from_secs(60);

/// Crashes that are remembered: two nodes cannot have more in a minute that matter.
const CRASHES_KEPT: usize = 8;

/// What a node is, with what belongs to it.
#[derive(Clone, Debug)]
enum State {
    Witness,
    /// Follows, or would. Tries nothing by itself before `rests_until`.
    Backup {
        rests_until: Option<Instant>,
    },
    /// Asks for the lease.
    Asking,
    /// Has it, and may not serve before it has the facts of another node.
    Fetching {
        give_up_at: Instant,
    },
    Promoting {
        epoch: Epoch,
    },
    Primary {
        epoch: Epoch,
        leaving: Option<Leaving>,
    },
    /// Was primary. `sent_away`: not by a lease that ran out, so it does not come back by itself.
    Fenced {
        sent_away: bool,
    },
}

/// Another node.
#[derive(Clone, Copy, Debug, Default)]
struct Peer {
    up: bool,
    pbx: Option<bool>,
}

/// Nobody is primary.
#[derive(Clone, Copy, Debug)]
struct Gone {
    since: Instant,
    released: bool,
}

/// The roles machine of one node.
#[derive(Clone, Debug)]
pub struct Roles {
    settings: Settings,
    view: View,
    state: State,
    told: Role,
    started_at: Instant,
    /// Deadlines up to here have had their effect.
    decided_at: Instant,
    peers: BTreeMap<NodeId, Peer>,
    pbx: Option<bool>,
    lacks: Vec<Lack>,
    sentinel: Option<Seen>,
    store_failed: bool,
    gone: Option<Gone>,
    /// The primary of a pair is not heard; people are told of it then.
    unheard: Option<(NodeId, Instant)>,
    /// The role that this node has taken last had been given up before.
    vacated: bool,
    /// The voter knew so when the role was asked for.
    saw_release: bool,
    /// Somebody was followed since this start, or this node was primary.
    saw_primary: bool,
    /// A primary promised its role to this node until then.
    successor_until: Option<Instant>,
    pause: Pause,
    crashes: VecDeque<(Instant, String)>,
    /// No yield before.
    yields_from: Option<Instant>,
    /// Why a primary whose disk failed still is one, as it was last said.
    kept_because: Option<String>,
    orders: VecDeque<Open>,
    numbers: u64,
    out: VecDeque<Output>,
}

impl Roles {
    /// A node that starts.
    pub fn new(now: Instant, settings: Settings) -> Self {
        let witness = settings.site.is_witness();
        let peers = settings.site.peers().map(|node| (node, Peer::default())).collect();
        Self {
            view: View::default(),
            state: if witness { State::Witness } else { State::Backup { rests_until: None } },
            told: if witness { Role::Witness } else { Role::Backup },
            started_at: now,
            decided_at: now,
            peers,
            pbx: None,
            lacks: Vec::new(),
            sentinel: None,
            store_failed: false,
            gone: None,
            unheard: None,
            vacated: false,
            saw_release: false,
            saw_primary: false,
            successor_until: None,
            pause: settings.pause.clone(),
            crashes: VecDeque::new(),
            yields_from: None,
            kept_because: None,
            orders: VecDeque::new(),
            numbers: 0,
            out: VecDeque::new(),
            settings,
        }
    }

    /// Takes something in; `view` is what the lease remembers now.
    pub fn handle_input(&mut self, now: Instant, view: View, input: Input) {
        self.view = view;
        match input {
            Input::Lease(said) => self.lease_said(now, said),
            Input::Up(node) => self.up(node),
            Input::Down(node) => self.down(now, node),
            Input::PeerPbx(node, reachable) => {
                if let Some(peer) = self.peers.get_mut(&node) {
                    peer.pbx = reachable;
                }
            }
            Input::Pbx(reachable) => self.pbx = Some(reachable),
            Input::Lacks(lacks) => self.lacks = lacks,
            Input::Sentinel(seen) => self.sentinel = seen,
            Input::Received(from, message) => self.received(now, from, message),
            Input::Order(id, order) => self.ordered(now, orders::Source::Here(id), order),
            Input::Unbound => self.unbound(now),
            Input::Settled(marks) => self.settled(now, marks),
            Input::FactsPulled => self.facts_here(),
            Input::Behind => self.out.push_back(Output::Lease(lease::Input::Behind)),
            Input::TakenOver => self.taken_over(),
            Input::Crashed(cause) => self.crashed(now, cause),
            Input::StoreFailed => self.store_failed = true,
            Input::Outranked(epoch) => self.outranked(epoch),
            Input::OtherPbx(other) => self.settings.site.other_pbx = other,
        }
        self.decide(now);
    }

    /// Does what is due; `view` is what the lease remembers now.
    pub fn handle_timeout(&mut self, now: Instant, view: View) {
        self.view = view;
        if let State::Fetching { give_up_at } = self.state
            && now >= give_up_at
        {
            self.give_up_fetching(now);
        }
        self.tell_unheard(now);
        self.expire_leaving(now);
        self.expire_orders(now);
        self.decide(now);
    }

    /// What it wants done.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// When it wants to be called again.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let own = match &self.state {
            State::Fetching { give_up_at } => Some(*give_up_at),
            State::Primary { leaving: Some(leaving), .. } => Some(leaving.give_up_at()),
            State::Backup { .. }
            | State::Witness
            | State::Asking
            | State::Promoting { .. }
            | State::Primary { .. }
            | State::Fenced { .. } => None,
        };
        let unheard = self.unheard.map(|(_, at)| at);
        earliest([own, self.orders_due(), unheard, self.next_decision()])
    }

    /// What this node is.
    pub const fn role(&self) -> Role {
        match self.state {
            State::Witness => Role::Witness,
            State::Backup { .. } => Role::Backup,
            State::Asking | State::Fetching { .. } => Role::Candidate,
            State::Promoting { epoch } => Role::Promoting(epoch),
            State::Primary { epoch, .. } => Role::Primary(epoch),
            State::Fenced { .. } => Role::Fenced,
        }
    }

    /// Whether the other node of a pair serves another PBX.
    pub const fn other_pbx(&self) -> bool {
        self.settings.site.other_pbx
    }

    /// Whether the role that this node has was given up by the node before: nothing of that one
    /// acts any more, whatever the clocks say.
    pub const fn was_vacated(&self) -> bool {
        self.vacated
    }

    /// Whether automatic promotion is paused.
    pub const fn paused(&self) -> bool {
        self.pause.on
    }

    fn turn(&mut self, state: State) {
        if matches!(state, State::Asking) {
            self.saw_release = self.view.vote.is_released();
        }
        self.state = state;
        let role = self.role();
        if std::mem::replace(&mut self.told, role) != role {
            self.out.push_back(Output::Role(role));
        }
    }

    fn event(&mut self, event: Event) {
        self.out.push_back(Output::Event(event));
    }

    fn name(&self, node: NodeId) -> String {
        let name = self.settings.names.get(usize::from(node.0));
        name.map_or_else(|| node.to_string(), Clone::clone)
    }

    fn me(&self) -> NodeId {
        self.settings.site.me
    }

    fn other(&self) -> Option<NodeId> {
        self.settings.site.other()
    }

    fn is_up(&self, node: NodeId) -> bool {
        self.peers.get(&node).is_some_and(|peer| peer.up)
    }

    /// Whether this is the other node of a pair, and not heard: nobody knows what it does.
    pub fn is_unheard(&self, node: NodeId) -> bool {
        self.mode() == Mode::Pair && node != self.me() && !self.is_up(node)
    }

    fn is_holder(&self, node: NodeId) -> bool {
        self.view.holder.is_some_and(|(holder, _)| holder == node)
    }

    fn mode(&self) -> Mode {
        self.settings.site.mode()
    }

    fn lease_said(&mut self, now: Instant, said: lease::Output) {
        match said {
            lease::Output::Held { epoch, facts_of } => self.held(now, epoch, facts_of),
            lease::Output::FactsClear => self.facts_here(),
            lease::Output::Lost { epoch, outranked } => self.lost(epoch, outranked),
            lease::Output::Beaten { by } => self.beaten(now, by),
            lease::Output::Unanswered => self.unanswered(),
            lease::Output::Vacant(vacancy) => self.vacant(now, vacancy),
            lease::Output::Released { from, end, .. } => self.released(now, from, end),
            lease::Output::ReleaseStored { epoch } => self.release_stored(epoch),
            lease::Output::Follow { node, .. } => self.follow(node),
            lease::Output::Send { .. }
            | lease::Output::Persist { .. }
            | lease::Output::Solo { .. } => {}
        }
    }

    fn held(&mut self, now: Instant, epoch: Epoch, facts_of: Option<NodeId>) {
        self.vacated = self.gone.take().is_some_and(|gone| gone.released) || self.saw_release;
        self.saw_primary = true;
        self.successor_until = None;
        if let Some(node) = facts_of {
            self.turn(State::Fetching { give_up_at: now + FACTS_WAIT });
            self.out.push_back(Output::NeedsFacts(node));
        } else {
            self.promote(epoch);
        }
    }

    fn promote(&mut self, epoch: Epoch) {
        self.turn(State::Promoting { epoch });
        self.out.push_back(Output::Lease(lease::Input::FactsHere));
        self.event(Event::PromotionStarted(epoch));
    }

    fn facts_here(&mut self) {
        match (&self.state, self.view.holder) {
            (State::Fetching { .. }, Some((node, epoch))) if node == self.me() => {
                self.promote(epoch);
            }
            // Whoever follows and has everything is not behind any more.
            _ => self.out.push_back(Output::Lease(lease::Input::FactsHere)),
        }
    }

    /// Somebody acknowledged facts that are out of reach. To serve without them would lose them, so
    /// this node leaves the role to the one that has them, or to a person.
    fn give_up_fetching(&mut self, now: Instant) {
        self.out.push_back(Output::Lease(lease::Input::Behind));
        self.out.push_back(Output::Lease(lease::Input::Release(End::Unused)));
        self.turn(State::Backup { rests_until: Some(now + FACTS_WAIT) });
        self.fail_promotion(self.is_behind(), true);
    }

    /// What was tried has failed.
    fn fail_promotion(&mut self, reason: Reason, may_force: bool) {
        let (epoch, why) = (self.view.vote.promised, reason.to_string());
        self.event(Event::PromotionFailed { epoch, why });
        self.refuse_promotion(reason, may_force);
    }

    fn taken_over(&mut self) {
        if let State::Promoting { epoch } = self.state {
            self.turn(State::Primary { epoch, leaving: None });
            self.event(Event::PromotionDone(epoch));
            self.close_orders(Open::waits_for_promotion, &Answer::Done);
        }
    }

    fn lost(&mut self, epoch: Epoch, outranked: bool) {
        let reason = if outranked { Reason::Outranked } else { Reason::LeaseLost };
        if matches!(self.state, State::Promoting { .. }) {
            self.event(Event::PromotionFailed { epoch, why: reason.to_string() });
        }
        if !matches!(self.state, State::Backup { .. }) {
            self.turn(State::Fenced { sent_away: outranked });
        }
        self.refuse_promotion(reason, false);
        self.close_orders(Open::leaves, &Answer::Unknown);
    }

    fn outranked(&mut self, epoch: Epoch) {
        let (State::Promoting { epoch: mine } | State::Primary { epoch: mine, .. }) = self.state
        else {
            return;
        };
        if epoch > mine {
            self.out.push_back(Output::Lease(lease::Input::Release(End::Unused)));
            self.lost(mine, true);
        }
    }

    fn beaten(&mut self, now: Instant, by: NodeId) {
        if matches!(self.state, State::Asking) {
            // Until the vacancy is told anew, and never at once: a voter may say so again and again
            // beside a holder that was paused with its clock. In a pair, where none is told, for
            // longer.
            self.gone = None;
            let timers = &self.settings.site.timers;
            let rest = if self.mode() == Mode::Pair { timers.ttl } else { timers.renew };
            self.turn(State::Backup { rests_until: Some(now + rest) });
            self.refuse_promotion(Reason::Beaten { by: self.name(by) }, true);
        }
    }

    fn unanswered(&mut self) {
        if self.store_failed {
            self.turn(State::Backup { rests_until: None });
            self.refuse_promotion(self.disk_failed(), false);
        }
    }

    fn vacant(&mut self, now: Instant, vacancy: Vacancy) {
        if self.gone.is_some() {
            return;
        }
        self.gone = Some(Gone { since: now, released: vacancy == Vacancy::Released });
        if vacancy == Vacancy::Expired
            && self.saw_primary
            && let Some(node) = self.view.vote.holder
        {
            self.event(Event::PrimaryDown { node, controlled: false });
        }
    }

    fn released(&mut self, now: Instant, from: NodeId, end: End) {
        let controlled = matches!(end, End::Controlled { .. });
        let unused = end == End::Unused;
        match end {
            End::Controlled { to, .. } => {
                let mine = to == Some(self.me());
                self.successor_until = mine.then_some(now + leave::SUCCESSOR_WAIT);
            }
            End::Crashed { cause } => self.crashed(now, cause),
            End::Unused => {}
        }
        if !unused {
            self.event(Event::PrimaryDown { node: from, controlled });
        }
    }

    fn follow(&mut self, node: NodeId) {
        self.gone = None;
        self.saw_primary = true;
        self.successor_until = None;
        match self.state {
            State::Fenced { .. } | State::Backup { .. } => {
                self.turn(State::Backup { rests_until: None });
            }
            State::Witness
            | State::Asking
            | State::Fetching { .. }
            | State::Promoting { .. }
            | State::Primary { .. } => {}
        }
        self.close_orders(|open| open.leaves_to(node), &Answer::Done);
    }

    fn up(&mut self, node: NodeId) {
        self.unheard = self.unheard.filter(|(unheard, _)| *unheard != node);
        if let Some(peer) = self.peers.get_mut(&node) {
            peer.up = true;
            let pause = self.pause.clone();
            self.out.push_back(Output::Send(node, Message::Pause(pause)));
        }
    }

    fn down(&mut self, now: Instant, node: NodeId) {
        let Some(peer) = self.peers.get_mut(&node).filter(|peer| peer.up) else { return };
        *peer = Peer::default();
        if self.settings.site.witness == Some(node) {
            self.event(Event::WitnessLost);
        } else if self.view.holder.is_some_and(|(holder, _)| holder != node) {
            self.event(Event::BackupLost(node));
        } else if self.mode() == Mode::Pair && self.is_holder(node) {
            self.unheard = Some((node, now + UNHEARD_AFTER));
        } else if self.settings.site.other_pbx && self.gone.is_none() {
            // Its lease is its own: all that is known of it is that it is not heard.
            self.gone = Some(Gone { since: now, released: false });
        }
    }

    /// Nothing follows from it but what people are told: the lease stays as it is.
    fn tell_unheard(&mut self, now: Instant) {
        let due = self.unheard.take_if(|(_, at)| now >= *at).map(|(node, _)| node);
        if let Some(node) = due.filter(|&node| self.is_holder(node)) {
            self.event(Event::PrimaryUnheard(node));
        }
    }

    /// A datagram that kills the process kills the next node too: automatic promotion stops when
    /// two processes have ended of one cause.
    fn crashed(&mut self, now: Instant, cause: String) {
        if cause.is_empty() {
            return;
        }
        self.crashes.retain(|(at, _)| now <= *at + CRASHES_WITHIN);
        let repeated = self.crashes.iter().any(|(_, known)| *known == cause);
        if self.crashes.len() == CRASHES_KEPT {
            self.crashes.pop_front();
        }
        self.crashes.push_back((now, cause.clone()));
        if repeated && self.pause.halted.is_none() {
            self.set_pause(self.pause.on, Some(cause.clone()));
            self.event(Event::AutomaticStopped { cause });
        }
    }
}
