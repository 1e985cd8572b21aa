//! This node as a member of its cluster: lease and role, facts, and what the other nodes say of
//! themselves, in one machine.
//!
//! Each part knows nothing of the others. Here is what one means for another: whoever gets the
//! lease may acknowledge facts, after it has fetched those that only another node has; a note of
//! the witness is asked for by the facts and taken by the lease; both write to one disk, in the
//! order in which they ask. Copies of calls pass through as `C`, which this room does not know.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::fact_ship::{self, FactShip, Token};
use super::peer::{self, Beat, Refusal};
use super::role::{Answer, Event, Lack, Order, Settings};
use super::sentinel::Seen;
use super::{Ha, Role};
use crate::config::{Cluster, ClusterProfile, MemberRole, Takeover};
use crate::ids::{Epoch, NodeId, RequestId, Rng};
use crate::store::{Body, Fact, Lane, Loaded, Record, Ticket};
use crate::timers::{Instant, earliest};

/// What one node tells another, beside heartbeats.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message<C> {
    /// Of lease and roles.
    Ha(Box<super::Message>),
    /// Of facts.
    Facts(fact_ship::Message),
    /// Of calls.
    Calls {
        /// What the sender served them under. Not the highest epoch that it has heard of: one that
        /// has just woken hears of its successor's before it gives its own up.
        acted: Epoch,
        /// What it tells of them.
        calls: C,
    },
}

/// What a member hears.
#[derive(Clone, Debug)]
pub enum Input<C> {
    /// Something on the link to a peer.
    Link {
        /// Which.
        peer: NodeId,
        /// What.
        event: peer::Event<Message<C>>,
    },
    /// A node's supervisor says that its process is gone.
    Exited {
        /// Whose.
        node: NodeId,
        /// The epoch that ended.
        epoch: Epoch,
        /// Of which cause; empty if that is not known.
        cause: String,
    },
    /// A write, and every one before it, is durable.
    Persisted(Ticket),
    /// No write will be.
    StoreFailed,
    /// The answer to [`Output::Read`].
    Read {
        /// The lane.
        lane: Lane,
        /// The fact before them.
        after: u64,
        /// In order.
        facts: Vec<Fact>,
    },
    /// Somebody wants something.
    Order {
        /// The answer repeats it.
        id: RequestId,
        /// What.
        order: Order,
    },
    /// Something happened: make a fact of it.
    Append {
        /// The answer repeats it.
        token: Token,
        /// Wall time.
        unix_ms: u64,
        /// What.
        body: Box<Body>,
    },
    /// Whether this node reaches its PBX.
    Pbx(bool),
    /// What this node lacks to serve as primary.
    Lacks(Vec<Lack>),
    /// What the sentinel tells of a primary that is not heard.
    Sentinel(Option<Seen>),
    /// The sentinel of the other node answers through this node's PBX: it is the same.
    SamePbx,
    /// The answer to [`Output::Unbind`].
    Unbound,
    /// Ports and calls are taken over.
    TakenOver,
    /// A process of this node ended of this cause before this start.
    Crashed(String),
    /// A node of a higher epoch was met at the PBX.
    Outranked(Epoch),
}

/// What comes of it.
#[derive(Clone, Debug, PartialEq)]
pub enum Output<C> {
    /// To another node.
    Send {
        /// Whom.
        to: NodeId,
        /// What.
        message: Message<C>,
    },
    /// The highest epoch that is known: links carry it.
    Epoch(Epoch),
    /// Make this durable, after everything before it.
    Persist {
        /// Comes back.
        ticket: Ticket,
        /// What.
        record: Record,
    },
    /// Read facts of a lane behind `after`, at most `max`.
    Read {
        /// The lane.
        lane: Lane,
        /// The fact before them.
        after: u64,
        /// At most so many.
        max: usize,
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
    /// A fact will never be lost, or was not taken.
    Appended {
        /// Which.
        token: Token,
        /// In the second case, why.
        result: Result<(), fact_ship::Refusal>,
    },
    /// A fact is durable here, wherever it comes from.
    Fact(Box<Fact>),
    /// Take the bindings of the ports away, if the PBX gives them to no other device otherwise;
    /// [`Input::Unbound`] answers. `false`: this node goes on, and wants them back.
    Unbind(bool),
    /// Take no new calls: the role is about to be given up. Or take them again.
    Settle(bool),
    /// Copies of calls came from the other data node.
    Calls(C),
    /// The other data node is heard, and has no copy of any call.
    CallsWanted,
    /// A person must act; in one sentence.
    Alarm(String),
}

/// Whose write it is.
#[derive(Clone, Copy, Debug)]
enum Writer {
    Ha(Ticket),
    Facts(Ticket),
}

/// Another node, as it shows itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peer {
    /// It is heard.
    pub up: bool,
    /// Version of its program.
    pub build: String,
    /// What it last said of itself.
    pub beat: Option<Beat>,
    /// When it was last heard; `None`: never since the start.
    pub heard_at: Option<Instant>,
}

/// The machine.
#[derive(Debug)]
pub struct Member<C> {
    cluster: Cluster,
    ha: Ha,
    facts: FactShip,
    peers: BTreeMap<NodeId, Peer>,
    writes: VecDeque<(Ticket, Writer)>,
    tickets: u64,
    /// The highest epoch that links and facts were told.
    told: Epoch,
    /// What this run of the node last acted under: copies of calls from before that are late.
    acted: Epoch,
    /// The role is about to be given up, when every fact is shipped.
    settling: bool,
    /// The other node of a pair was met at this node's PBX, whatever the configuration says.
    same_pbx: bool,
    out: VecDeque<Output<C>>,
}

impl<C> Member<C> {
    /// A node that starts with what it finds on its disk.
    pub fn new(now: Instant, cluster: &Cluster, loaded: &Loaded, rng: Rng) -> Self {
        let settings = Settings::of(cluster, loaded);
        let site = fact_ship::Site::new(cluster);
        let peers = cluster.peers().map(|member| (member.id, Peer::default())).collect();
        let mut member = Self {
            cluster: cluster.clone(),
            ha: Ha::new(now, settings, loaded, rng),
            facts: FactShip::new(site, loaded),
            peers,
            writes: VecDeque::new(),
            tickets: 0,
            told: Epoch::default(),
            acted: Epoch::default(),
            settling: false,
            same_pbx: false,
            out: VecDeque::new(),
        };
        member.pump(now);
        member
    }

    /// Takes something in.
    pub fn handle_input(&mut self, now: Instant, input: Input<C>) {
        match input {
            Input::Link { peer, event } => self.link(now, peer, event),
            Input::Exited { node, epoch, cause } => {
                self.ha.handle_input(now, super::Input::Exited { node, epoch, cause });
            }
            Input::Persisted(ticket) => self.persisted(now, ticket),
            Input::StoreFailed => {
                self.ha.handle_input(now, super::Input::StoreFailed);
                self.facts(now, fact_ship::Input::StoreFailed);
            }
            Input::Read { lane, after, facts } => {
                self.facts(now, fact_ship::Input::Read { lane, after, facts });
            }
            Input::Order { id, order } => {
                self.ha.handle_input(now, super::Input::Order { id, order });
            }
            Input::Append { token, unix_ms, body } => {
                self.facts(now, fact_ship::Input::Append { token, unix_ms, body });
            }
            Input::Pbx(reachable) => self.ha.handle_input(now, super::Input::Pbx(reachable)),
            Input::Lacks(lacks) => self.ha.handle_input(now, super::Input::Lacks(lacks)),
            Input::Sentinel(seen) => self.ha.handle_input(now, super::Input::Sentinel(seen)),
            Input::SamePbx => self.same_pbx(now),
            Input::Unbound => self.ha.handle_input(now, super::Input::Unbound),
            Input::TakenOver => self.ha.handle_input(now, super::Input::TakenOver),
            Input::Crashed(cause) => self.ha.handle_input(now, super::Input::Crashed(cause)),
            Input::Outranked(epoch) => self.ha.handle_input(now, super::Input::Outranked(epoch)),
        }
        self.pump(now);
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.ha.handle_timeout(now);
        self.facts.handle_timeout(now);
        self.pump(now);
    }

    /// What it wants done.
    pub fn poll_output(&mut self) -> Option<Output<C>> {
        self.out.pop_front()
    }

    /// When it wants to be called again.
    pub fn poll_timeout(&self) -> Option<Instant> {
        earliest([self.ha.poll_timeout(), self.facts.poll_timeout()])
    }

    fn facts(&mut self, now: Instant, input: fact_ship::Input) {
        self.facts.handle_input(now, input);
    }

    fn link(&mut self, now: Instant, node: NodeId, event: peer::Event<Message<C>>) {
        let Some(peer) = self.peers.get_mut(&node) else { return };
        match event {
            peer::Event::Up { build, .. } => {
                (peer.up, peer.build, peer.heard_at) = (true, build, Some(now));
                if self.is_data(node) {
                    let other = self.cluster.other_pbx(node) && !self.same_pbx;
                    self.ha.handle_input(now, super::Input::OtherPbx(other));
                }
                self.ha.handle_input(now, super::Input::Up(node));
                self.facts(now, fact_ship::Input::Up(node));
                if self.is_data(node) {
                    self.out.push_back(Output::CallsWanted);
                }
            }
            peer::Event::Down { why } => {
                let lost = std::mem::replace(&mut peer.up, false);
                if lost && self.cluster.takeover == Takeover::DualDevices {
                    let name = self.cluster.name_of(node);
                    self.out.push_back(Output::Alarm(format!(
                        "{name} is not heard: its extensions may ring nowhere; see whether it \
                         runs, and whether the PBX hunts on to ours"
                    )));
                }
                if matches!(why, Some(Refusal::SamePbx { .. })) {
                    self.ha.handle_input(now, super::Input::OtherPbx(false));
                }
                self.ha.handle_input(now, super::Input::Down(node));
                self.facts(now, fact_ship::Input::Down(node));
            }
            peer::Event::Beat { beat, .. } => {
                (peer.beat, peer.heard_at) = (Some(beat), Some(now));
                let reachable = beat.pbx_reachable;
                self.ha.handle_input(now, super::Input::PeerPbx { node, reachable });
            }
            peer::Event::Message { message, .. } => {
                peer.heard_at = Some(now);
                self.message(now, node, message);
            }
            peer::Event::Silent { .. } | peer::Event::Heard => {}
        }
    }

    /// Neither takes over from the other one by itself until a person has corrected it, and started
    /// this node anew.
    fn same_pbx(&mut self, now: Instant) {
        self.same_pbx = true;
        self.ha.handle_input(now, super::Input::OtherPbx(false));
        self.out.push_back(Output::Alarm(
            "the sentinel of the other node answers through this node's PBX: both serve one PBX, \
             and this node takes over by proof alone; correct `pbx` of [[cluster.nodes]]"
                .to_owned(),
        ));
    }

    fn message(&mut self, now: Instant, from: NodeId, message: Message<C>) {
        match message {
            Message::Ha(message) => {
                let message = *message;
                self.ha.handle_input(now, super::Input::Received { from, message });
            }
            Message::Facts(message) => {
                self.facts(now, fact_ship::Input::Received { from, message });
            }
            // Whoever sent an older one did not know that its calls had another owner: kept, they
            // would come to life again at the next promotion.
            Message::Calls { acted, calls } if self.is_data(from) => {
                if acted >= self.acted {
                    self.out.push_back(Output::Calls(calls));
                }
            }
            Message::Calls { .. } => {}
        }
    }

    fn is_data(&self, node: NodeId) -> bool {
        self.cluster.member(node).is_some_and(|member| member.role == MemberRole::Data)
    }

    /// Writes become durable in the order in which they were asked for.
    fn persisted(&mut self, now: Instant, ticket: Ticket) {
        let (mut ha, mut facts) = (None, None);
        while let Some(&(_, writer)) = self.writes.front().filter(|(given, _)| *given <= ticket) {
            match writer {
                Writer::Ha(own) => ha = Some(own),
                Writer::Facts(own) => facts = Some(own),
            }
            self.writes.pop_front();
        }
        if let Some(own) = ha {
            self.ha.handle_input(now, super::Input::Persisted(own));
        }
        if let Some(own) = facts {
            self.facts(now, fact_ship::Input::Persisted(own));
        }
    }

    fn persist(&mut self, writer: Writer, record: Record) {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.writes.push_back((ticket, writer));
        self.out.push_back(Output::Persist { ticket, record });
    }

    /// Hands on what the parts say to each other, until none says more.
    fn pump(&mut self, now: Instant) {
        loop {
            if let Some(said) = self.ha.poll_output() {
                self.ha_said(now, said);
            } else if let Some(said) = self.facts.poll_output() {
                self.facts_said(now, said);
            } else if !self.tell_epoch(now) && !self.settle(now) {
                return;
            }
        }
    }

    fn ha_said(&mut self, now: Instant, said: super::Output) {
        match said {
            super::Output::Send { to, message } => {
                let message = Message::Ha(Box::new(message));
                self.out.push_back(Output::Send { to, message });
            }
            super::Output::Persist { ticket, record } => self.persist(Writer::Ha(ticket), record),
            super::Output::Role(role) => self.role(now, role),
            super::Output::Event(event) => self.out.push_back(Output::Event(event)),
            super::Output::Answer { id, answer } => {
                self.out.push_back(Output::Answer { id, answer });
            }
            super::Output::Unbind(on) => self.out.push_back(Output::Unbind(on)),
            super::Output::Settle => {
                self.settling = true;
                self.out.push_back(Output::Settle(true));
            }
            super::Output::SettleNow => self.settled(now),
            super::Output::Alarm(text) => self.out.push_back(Output::Alarm(text)),
            super::Output::NeedsFacts { from } => {
                let (epoch, facts_of) = (self.ha.epoch(), Some(from));
                self.facts(now, fact_ship::Input::Held { epoch, facts_of });
            }
            super::Output::Marks { from, marks } => self.released(now, from, &marks),
            super::Output::Solo { on, epoch } => {
                self.facts(now, fact_ship::Input::Solo { on, epoch });
            }
        }
    }

    /// Another node gave its role up, with facts up to these marks, if it said so. Which facts it
    /// acknowledged is known then, also if it never comes back.
    fn released(&mut self, now: Instant, from: NodeId, marks: &[(Lane, u64)]) {
        let lacks = marks.iter().any(|&(lane, mark)| self.facts.mark(lane) < mark);
        if self.cluster.profile != ClusterProfile::Pair {
            if lacks {
                self.ha.handle_input(now, super::Input::Behind);
            }
        } else if !lacks && (!marks.is_empty() || self.facts.is_in_step(now, from)) {
            self.ha.handle_input(now, super::Input::FactsPulled);
        } else {
            self.facts(now, fact_ship::Input::Compare(from));
        }
    }

    fn role(&mut self, now: Instant, role: Role) {
        match role {
            Role::Promoting(epoch) => {
                self.acted = epoch;
                self.facts(now, fact_ship::Input::Held { epoch, facts_of: None });
            }
            Role::Backup | Role::Fenced => self.facts(now, fact_ship::Input::Lost),
            Role::Primary(_) | Role::Witness | Role::Candidate => {}
        }
        if !matches!(role, Role::Primary(_)) && std::mem::take(&mut self.settling) {
            self.out.push_back(Output::Settle(false));
        }
        self.out.push_back(Output::Role(role));
    }

    fn facts_said(&mut self, now: Instant, said: fact_ship::Output) {
        match said {
            fact_ship::Output::Persist { ticket, record } => {
                self.persist(Writer::Facts(ticket), record);
            }
            fact_ship::Output::Send { to, message } => {
                self.out.push_back(Output::Send { to, message: Message::Facts(message) });
            }
            fact_ship::Output::Acknowledged { token, .. } => {
                self.out.push_back(Output::Appended { token, result: Ok(()) });
            }
            fact_ship::Output::Refused { token, why } => {
                self.out.push_back(Output::Appended { token, result: Err(why) });
            }
            fact_ship::Output::Fact(fact) => self.out.push_back(Output::Fact(fact)),
            fact_ship::Output::WantSolo(on) => {
                self.ha.handle_input(now, super::Input::Solo(on));
            }
            fact_ship::Output::Alone(_) => {}
            fact_ship::Output::Read { lane, after, max } => {
                self.out.push_back(Output::Read { lane, after, max });
            }
            fact_ship::Output::CaughtUp { with, .. } if self.is_data(with) => {
                self.ha.handle_input(now, super::Input::FactsPulled);
            }
            fact_ship::Output::CaughtUp { .. } => {}
            fact_ship::Output::SetBack => self.out.push_back(Output::Alarm(
                "the store was set back while this node ran: start the node anew".to_owned(),
            )),
        }
    }

    /// Links and facts hear of a higher epoch. Whether there was one.
    fn tell_epoch(&mut self, now: Instant) -> bool {
        let epoch = self.ha.epoch();
        if epoch <= self.told {
            return false;
        }
        self.told = epoch;
        self.facts(now, fact_ship::Input::Epoch(epoch));
        self.out.push_back(Output::Epoch(epoch));
        true
    }

    /// A primary that gives its role up has shipped every fact. Whether that was news.
    fn settle(&mut self, now: Instant) -> bool {
        let status = self.facts.status();
        let shipped = |peer: &fact_ship::PeerStatus| {
            !self.is_data(peer.node) || !peer.up || peer.unshipped == Some(0)
        };
        if !self.settling || status.pending > 0 || !status.peers.iter().all(shipped) {
            return false;
        }
        self.settled(now);
        true
    }

    /// How far its facts go that others count on; the tail that nobody was told of may stay here.
    fn settled(&mut self, now: Instant) {
        self.settling = false;
        let marks = self.facts.acknowledged_marks();
        self.ha.handle_input(now, super::Input::Settled(marks));
    }

    // ---- For people and for whoever sends ------------------------------------------------------

    /// What this run of the node last acted under.
    pub const fn acted(&self) -> Epoch {
        self.acted
    }

    /// Lease and role.
    pub const fn ha(&self) -> &Ha {
        &self.ha
    }

    /// How facts stand.
    pub fn facts_status(&self) -> fact_ship::Status {
        self.facts.status()
    }

    /// The other nodes.
    pub const fn peers(&self) -> &BTreeMap<NodeId, Peer> {
        &self.peers
    }
}
