//! What the machine hears and says.

use serde::{Deserialize, Serialize};

use crate::config::{Cluster, ClusterProfile, MemberRole};
use crate::ids::{Epoch, NodeId};
use crate::store::{Body, Fact, FactId, Lane, Record, Ticket};
use crate::timers::{Duration, Instant};

/// Whoever has appended a fact and waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub u64);

/// The cluster, as far as facts go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// This node.
    pub me: NodeId,
    /// What stands behind an acknowledgement.
    pub profile: ClusterProfile,
    /// The other nodes.
    pub others: Vec<(NodeId, MemberRole)>,
    /// Silence of the other node after which a pair goes on alone.
    pub solo_after: Duration,
}

impl Site {
    /// The site of a configuration.
    pub fn new(cluster: &Cluster) -> Self {
        let others = cluster.peers().map(|member| (member.id, member.role)).collect();
        let (me, profile, solo_after) = (cluster.me, cluster.profile, cluster.solo_after);
        Self { me, profile, others, solo_after }
    }

    pub(super) fn knows(&self, node: NodeId) -> bool {
        node == self.me || self.others.iter().any(|&(other, _)| other == node)
    }
}

/// What one node tells another about facts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Highest epoch that the sender knows.
    pub epoch: Epoch,
    /// Counts within the epoch, from 1. One that comes late is not heard.
    pub counter: u64,
    /// What it says.
    pub content: Content,
}

/// What a message says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Content {
    /// Tell all of your marks, now that you know of this epoch.
    Ask,
    /// What is durable here.
    Marks {
        /// The answer to `Ask`: every lane that the receiver has business with. Else those that
        /// have grown.
        all: bool,
        /// The counter up to which every fact of a lane is durable here.
        lanes: Vec<(Lane, u64)>,
    },
    /// Facts of one lane in the order of their counters, without a hole.
    Facts(Vec<Fact>),
}

/// What the machine hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// Something happened here: make a fact of it.
    Append {
        /// Comes back in [`Output::Acknowledged`] or [`Output::Refused`].
        token: Token,
        /// Wall time.
        unix_ms: u64,
        /// What.
        body: Box<Body>,
    },
    /// This write and every one before it is durable.
    Persisted(Ticket),
    /// No write will be durable any more.
    StoreFailed,
    /// A peer is heard: a new connection, whatever was sent on the one before.
    Up(NodeId),
    /// A peer is heard no more.
    Down(NodeId),
    /// A peer said something.
    Received {
        /// Who.
        from: NodeId,
        /// What.
        message: Message,
    },
    /// Ask a peer what it has. [`Output::CaughtUp`] follows when all of it is here.
    Compare(NodeId),
    /// A higher epoch is known.
    Epoch(Epoch),
    /// This node has the lease.
    Held {
        /// In which epoch.
        epoch: Epoch,
        /// Facts of this node must be fetched first. See [`Output::CaughtUp`].
        facts_of: Option<NodeId>,
    },
    /// The witness says that there are none to be fetched.
    FactsClear,
    /// This node does not have the lease any more.
    Lost,
    /// The witness has durably noted what was last asked for with [`Output::WantSolo`], and nothing
    /// that was asked for before that.
    Solo {
        /// Alone, or together again.
        on: bool,
        /// The epoch.
        epoch: Epoch,
    },
    /// What [`Output::Read`] asked for; nothing, if it could not be read.
    Read {
        /// The lane.
        lane: Lane,
        /// The fact before them.
        after: u64,
        /// In order, without a hole.
        facts: Vec<Fact>,
    },
}

/// What comes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Make this durable, after every write before it. Tickets are this machine's own.
    Persist {
        /// Comes back in [`Input::Persisted`].
        ticket: Ticket,
        /// What.
        record: Record,
    },
    /// To a peer.
    Send {
        /// Whom.
        to: NodeId,
        /// What.
        message: Message,
    },
    /// A fact of this node will never be lost.
    Acknowledged {
        /// Whose.
        token: Token,
        /// Its name.
        id: FactId,
        /// Only this node has it for the time being.
        alone: bool,
    },
    /// It was not taken, and never will be.
    Refused {
        /// Whose.
        token: Token,
        /// Why.
        why: Refusal,
    },
    /// A fact became durable here, of this node or of another one: whatever follows from facts
    /// takes it in.
    Fact(Box<Fact>),
    /// Ask the witness for its note, or to clear it.
    WantSolo(bool),
    /// A pair acknowledges what only this node has, or does so no more.
    Alone(bool),
    /// Read facts of a lane behind `after`, at most `max` of them.
    Read {
        /// The lane.
        lane: Lane,
        /// The fact before them.
        after: u64,
        /// At most so many.
        max: usize,
    },
    /// Everything that a peer had durable when it knew of this epoch is durable here.
    CaughtUp {
        /// The peer.
        with: NodeId,
        /// The epoch.
        epoch: Epoch,
    },
    /// Others have facts of this very start of this node that it did not write: its file was set
    /// back. Nothing is acknowledged any more; only a new start ends it.
    SetBack,
}

/// Why a fact was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refusal {
    /// The store has failed: another node must go on.
    StoreFailed,
    /// The store has failed, and the fact is on its way to another node.
    Elsewhere,
    /// Too many wait for the disk or for other nodes.
    Full,
    /// It is longer than 8 KiB.
    TooLong,
}

/// How facts stand, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// No fact is acknowledged any more.
    pub failed: bool,
    /// Facts are acknowledged that only this node has.
    pub alone: bool,
    /// Facts of this node that are not acknowledged.
    pub pending: usize,
    /// Those of them that are not even durable here.
    pub undurable: usize,
    /// Since when the oldest of them waits.
    pub pending_since: Option<Instant>,
    /// Facts that came after their epoch had ended, since the start.
    pub late: u64,
    /// The other nodes.
    pub peers: Vec<PeerStatus>,
}

/// How facts stand with a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerStatus {
    /// Which.
    pub node: NodeId,
    /// It is heard.
    pub up: bool,
    /// Facts that are durable here and that it lacks, as far as it has told; `None`: it has not
    /// been heard since the start.
    pub unshipped: Option<u64>,
    /// Since when there are any.
    pub since: Option<Instant>,
    /// Everything that it had when it knew of this epoch is here.
    pub caught_up: Option<Epoch>,
}
