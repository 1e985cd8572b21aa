//! Roles, the lease behind them, and what one node tells another.
//!
//! A cluster has two data nodes, one of which is *primary*, and at best a witness that votes. The
//! lease says who is primary: a majority grants it for an epoch, and it ends by its holder's own
//! clock before any voter would grant the next one. Facts (CDRs, audit records) are acknowledged
//! when two nodes have them, and calls are copied to the backup as they change.
//!
//! ```text
//!            +-------- lease: who may act, until when
//! role ------+-------- facts: what was acknowledged is never lost
//!            +-------- calls: what the backup needs to carry calls on
//! peer: frames between two nodes, and whether they belong together
//! ```

pub mod fact_ship;
pub mod lease;
pub mod member;
pub mod peer;
pub mod proof;
pub mod role;
pub mod self_call;
pub mod sentinel;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use crate::ids::{Epoch, NodeId, RequestId, Rng};
use crate::store::{Lane, Loaded, Record, Ticket};
use crate::timers::{Instant, earliest};

use lease::{End, Lease};
use role::{Answer, Event, Lack, Order, Roles, Settings, View};
use sentinel::Seen;

/// Between the machines of two nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message {
    /// Of the lease.
    Lease(lease::Message),
    /// Of the roles.
    Role(role::Message),
}

/// What a cluster's member hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// The link to this node is up.
    Up(NodeId),
    /// It is down, or nothing was heard on it for one lease.
    Down(NodeId),
    /// Another node said something.
    Received {
        /// Who, as its certificate says.
        from: NodeId,
        /// What.
        message: Message,
    },
    /// The supervisor of another node says that the process of this epoch is gone.
    Exited {
        /// Whose.
        node: NodeId,
        /// Under which epoch it may have acted.
        epoch: Epoch,
        /// Of which cause; empty if that is not known, or if no cause repeats itself.
        cause: String,
    },
    /// Every record up to this one is durable.
    Persisted(Ticket),
    /// The disk failed; no later record is durable.
    StoreFailed,
    /// Somebody wants something.
    Order {
        /// The answer repeats it.
        id: RequestId,
        /// What.
        order: Order,
    },
    /// Whether another node says that it reaches its PBX.
    PeerPbx {
        /// Which.
        node: NodeId,
        /// `None`: it does not know.
        reachable: Option<bool>,
    },
    /// Whether this node reaches its PBX.
    Pbx(bool),
    /// What this node lacks to serve as primary.
    Lacks(Vec<Lack>),
    /// What the extension that only a primary registers tells of one that is not heard; `None`:
    /// none is missed, or there is no such extension.
    Sentinel(Option<Seen>),
    /// The answer to [`Output::Unbind`].
    Unbound,
    /// The answer to [`Output::Settle`]: up to where the facts of each lane were acknowledged.
    Settled(Vec<(Lane, u64)>),
    /// The answer to [`Output::NeedsFacts`], or: this node is not behind any more.
    FactsPulled,
    /// Facts may have been acknowledged elsewhere that are not here.
    Behind,
    /// Facts shall be acknowledged by this node alone, or no longer. [`Output::Solo`] answers.
    Solo(bool),
    /// Ports and calls are taken over.
    TakenOver,
    /// This node's process ended of this cause before this start, or just now elsewhere.
    Crashed(String),
    /// A node of a higher epoch was met at the PBX.
    Outranked(Epoch),
    /// Whether the other node of a pair serves another PBX, by its extensions too.
    OtherPbx(bool),
}

/// What comes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// To another node.
    Send {
        /// Whom.
        to: NodeId,
        /// What.
        message: Message,
    },
    /// Make this durable, after everything before it.
    Persist {
        /// Comes back.
        ticket: Ticket,
        /// What.
        record: Record,
    },
    /// This node is something else.
    Role(Role),
    /// Something that applications and people hear of.
    Event(Event),
    /// What became of an order.
    Answer {
        /// Which.
        id: RequestId,
        /// The result.
        answer: Answer,
    },
    /// Take the bindings of the ports away, if the PBX gives them to no other device otherwise;
    /// [`Input::Unbound`] answers. `false`: this node goes on, and wants them back.
    Unbind(bool),
    /// Take no new calls and ship what was acknowledged; [`Input::Settled`] answers.
    Settle,
    /// There is no more time for that: [`Input::Settled`] answers at once.
    SettleNow,
    /// A person must act; in one sentence.
    Alarm(String),
    /// Fetch every fact of this node; [`Input::FactsPulled`] answers, at once if they are here.
    NeedsFacts {
        /// Whose.
        from: NodeId,
    },
    /// Another node gave its role up with facts up to these counters. In a pair, this node is
    /// behind until [`Input::FactsPulled`].
    Marks {
        /// Who.
        from: NodeId,
        /// Its lanes; none, if it did not say.
        marks: Vec<(Lane, u64)>,
    },
    /// From here on facts may be acknowledged by this node alone, in this epoch; or no longer.
    Solo {
        /// Alone.
        on: bool,
        /// The epoch.
        epoch: Epoch,
    },
}

/// A member of a cluster: its lease and its role.
#[derive(Debug)]
pub struct Ha {
    lease: Lease,
    roles: Roles,
    tickets: u64,
    /// Writes of the lease on their way, oldest first: the number given out, and the lease's own.
    writes: VecDeque<(Ticket, Ticket)>,
    /// The latest epoch of each node whose process is known to be gone.
    exits: BTreeMap<NodeId, Epoch>,
    out: VecDeque<Output>,
}

impl Ha {
    /// A node that starts with what it finds on its disk.
    pub fn new(now: Instant, mut settings: Settings, loaded: &Loaded, rng: Rng) -> Self {
        let lease = Lease::new(now, settings.site.clone(), loaded.vote, loaded.boot, rng);
        settings.site.other_pbx &= !loaded.vote.same_pbx;
        let roles = Roles::new(now, settings);
        let (writes, out) = (VecDeque::new(), VecDeque::new());
        let mut ha = Self { lease, roles, tickets: 0, writes, exits: BTreeMap::new(), out };
        ha.handle_timeout(now);
        ha
    }

    /// Takes something in.
    pub fn handle_input(&mut self, now: Instant, input: Input) {
        match input {
            Input::Received { from, message: Message::Lease(message) } => {
                self.lease.handle_input(now, lease::Input::Received { from, message });
            }
            Input::Received { from, message: Message::Role(message) } => {
                self.tell(now, role::Input::Received(from, message));
            }
            Input::Exited { node, epoch, cause } => {
                // A supervisor says it again to whom it reaches again; the cause counts once, also
                // where this node's voter knew nothing of the epoch.
                if self.exits.get(&node).is_none_or(|&known| known < epoch) {
                    self.exits.insert(node, epoch);
                    self.tell(now, role::Input::Crashed(cause));
                }
                let end = End::Crashed { cause: String::new() };
                // Whoever acted under an epoch never asks for it again: this is the last word.
                let message = lease::Message::Release { epoch, counter: u64::MAX, end };
                self.lease.handle_input(now, lease::Input::Received { from: node, message });
            }
            Input::Persisted(ticket) => self.persisted(now, ticket),
            Input::StoreFailed => {
                self.lease.handle_input(now, lease::Input::StoreFailed);
                self.tell(now, role::Input::StoreFailed);
            }
            Input::Solo(on) => self.lease.handle_input(now, lease::Input::Solo(on)),
            Input::Up(node) => {
                self.lease.handle_input(now, lease::Input::Up(node));
                self.tell(now, role::Input::Up(node));
            }
            Input::Down(node) => self.tell(now, role::Input::Down(node)),
            Input::Order { id, order } => self.tell(now, role::Input::Order(id, order)),
            Input::PeerPbx { node, reachable } => {
                self.tell(now, role::Input::PeerPbx(node, reachable));
            }
            Input::Pbx(reachable) => self.tell(now, role::Input::Pbx(reachable)),
            Input::Lacks(lacks) => self.tell(now, role::Input::Lacks(lacks)),
            Input::Sentinel(seen) => self.tell(now, role::Input::Sentinel(seen)),
            Input::Unbound => self.tell(now, role::Input::Unbound),
            Input::Settled(marks) => self.tell(now, role::Input::Settled(marks)),
            Input::FactsPulled => self.tell(now, role::Input::FactsPulled),
            Input::Behind => self.tell(now, role::Input::Behind),
            Input::TakenOver => self.tell(now, role::Input::TakenOver),
            Input::Crashed(cause) => self.tell(now, role::Input::Crashed(cause)),
            Input::Outranked(epoch) => self.tell(now, role::Input::Outranked(epoch)),
            Input::OtherPbx(other) => {
                self.lease.handle_input(now, lease::Input::OtherPbx(other));
                self.tell(now, role::Input::OtherPbx(other));
            }
        }
        self.pump(now);
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.lease.handle_timeout(now);
        self.pump(now);
        self.roles.handle_timeout(now, self.view(now));
        self.pump(now);
    }

    /// What it wants done.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// When it wants to be called again.
    pub fn poll_timeout(&self) -> Option<Instant> {
        earliest([self.lease.poll_timeout(), self.roles.poll_timeout()])
    }

    fn view(&self, now: Instant) -> View {
        View { vote: *self.lease.vote(), holder: self.lease.holder(now) }
    }

    fn tell(&mut self, now: Instant, input: role::Input) {
        self.roles.handle_input(now, self.view(now), input);
    }

    fn persisted(&mut self, now: Instant, ticket: Ticket) {
        let mut last = None;
        while let Some(&(_, own)) = self.writes.front().filter(|(given, _)| *given <= ticket) {
            last = Some(own);
            self.writes.pop_front();
        }
        if let Some(own) = last {
            self.lease.handle_input(now, lease::Input::Persisted(own));
        }
    }

    /// Hands on what lease and roles say to each other, until neither says more.
    fn pump(&mut self, now: Instant) {
        loop {
            if let Some(said) = self.lease.poll_output() {
                self.lease_said(now, said);
            } else if let Some(said) = self.roles.poll_output() {
                self.role_said(now, said);
            } else {
                return;
            }
        }
    }

    fn lease_said(&mut self, now: Instant, said: lease::Output) {
        match said {
            lease::Output::Send { to, message } => {
                self.out.push_back(Output::Send { to, message: Message::Lease(message) });
            }
            lease::Output::Persist { ticket: own, vote } => {
                self.tickets += 1;
                let ticket = Ticket(self.tickets);
                self.writes.push_back((ticket, own));
                self.out.push_back(Output::Persist { ticket, record: Record::Vote(vote) });
            }
            lease::Output::Solo { on, epoch } => self.out.push_back(Output::Solo { on, epoch }),
            lease::Output::Released { from, epoch, end } => {
                let marks = match &end {
                    End::Controlled { marks, .. } => marks.clone(),
                    End::Crashed { .. } | End::Unused => Vec::new(),
                };
                self.out.push_back(Output::Marks { from, marks });
                self.tell(now, role::Input::Lease(lease::Output::Released { from, epoch, end }));
            }
            said => self.tell(now, role::Input::Lease(said)),
        }
    }

    fn role_said(&mut self, now: Instant, said: role::Output) {
        self.out.push_back(match said {
            role::Output::Lease(input) => return self.lease.handle_input(now, input),
            role::Output::Send(to, message) => Output::Send { to, message: Message::Role(message) },
            role::Output::Role(role) => Output::Role(role),
            role::Output::Event(event) => Output::Event(event),
            role::Output::Answer(id, answer) => Output::Answer { id, answer },
            role::Output::Unbind(on) => Output::Unbind(on),
            role::Output::Settle => Output::Settle,
            role::Output::SettleNow => Output::SettleNow,
            role::Output::Alarm(text) => Output::Alarm(text),
            role::Output::NeedsFacts(from) => Output::NeedsFacts { from },
        });
    }

    /// Whether this node may act as primary at this moment: the question at the moment of sending.
    pub fn holds(&self, now: Instant) -> bool {
        self.roles.role().acts() && self.lease.holds(now)
    }

    /// Whether a packet may leave that claims a port, a call or an acknowledgement.
    pub fn may_claim(&self, now: Instant) -> bool {
        self.claims_until().is_some_and(|until| now < until)
    }

    /// Until when that is so, if nothing more is heard; `None`: it is not.
    pub fn claims_until(&self) -> Option<Instant> {
        self.lease.claims_until().filter(|_| self.roles.role().acts())
    }

    /// Until when it may act by its lease; `None`: not at all.
    pub fn deadline(&self) -> Option<Instant> {
        self.lease.deadline()
    }

    /// What it is.
    pub const fn role(&self) -> Role {
        self.roles.role()
    }

    /// Why it does not become primary by itself: sentences that say who must do what.
    pub fn passive_because(&self, now: Instant) -> Vec<String> {
        self.roles.passive_because(now)
    }

    /// Who has the lease as far as this node knows, and under which epoch.
    pub fn holder(&self, now: Instant) -> Option<(NodeId, Epoch)> {
        self.lease.holder(now)
    }

    /// Who is primary as far as anybody can tell: in a pair, where a grant has no end, the holder
    /// must be heard too.
    pub fn primary(&self, now: Instant) -> Option<(NodeId, Epoch)> {
        self.holder(now).filter(|&(node, _)| !self.roles.is_unheard(node))
    }

    /// Highest epoch that this node has heard of.
    pub const fn epoch(&self) -> Epoch {
        self.lease.known()
    }

    /// Whether the other node of a pair serves another PBX, so that it needs no proof.
    pub const fn other_pbx(&self) -> bool {
        self.roles.other_pbx()
    }

    /// Whether the node before gave the role up that this node has.
    pub const fn was_vacated(&self) -> bool {
        self.roles.was_vacated()
    }

    /// Whether automatic promotion is paused.
    pub const fn paused(&self) -> bool {
        self.roles.paused()
    }
}

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// Votes, and has no ports of the pool.
    Witness,
    /// Follows the primary.
    Backup,
    /// Asks for the lease.
    Candidate,
    /// Has the lease of this epoch; makes it durable and takes calls and ports over.
    Promoting(Epoch),
    /// Serves.
    Primary(Epoch),
    /// Was primary and may act no more; registers nothing until it follows again.
    Fenced,
}

impl Role {
    /// Whether it may act as primary, as far as its role goes; the lease's deadline decides.
    pub const fn acts(self) -> bool {
        matches!(self, Self::Promoting(_) | Self::Primary(_))
    }
}
