//! What roles hear and say, to the lease, to people and to each other.

use serde::{Deserialize, Serialize};

use super::{BOOT_WAIT, Lack, Reason};
use crate::config::{Cluster, Promotion};
use crate::ha::Role;
use crate::ha::lease::{self, Site};
use crate::ha::sentinel::Seen;
use crate::ids::{Epoch, NodeId, RequestId};
use crate::store::{Action, Audit, Body, Fact, Lane, Loaded, Vote};
use crate::timers::Duration;

/// What is fixed for the life of a node.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The cluster.
    pub site: Site,
    /// When a backup promotes itself.
    pub policy: Promotion,
    /// Names of the nodes, by number, for texts.
    pub names: Vec<String>,
    /// A node that is not the first one leaves the role so long to the first after its own start;
    /// [`BOOT_WAIT`] unless there is a reason.
    pub boot_wait: Duration,
    /// Whether automatic promotion was paused before the start.
    pub pause: Pause,
}

impl Settings {
    /// Those of a configuration, and of what a start finds on the disk.
    pub fn of(cluster: &Cluster, loaded: &Loaded) -> Self {
        Self {
            site: Site::of(cluster),
            policy: cluster.promotion,
            names: cluster.nodes.iter().map(|member| member.name.clone()).collect(),
            boot_wait: BOOT_WAIT,
            pause: Pause::stored(&loaded.facts),
        }
    }
}

/// What a person wants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Order {
    /// Make this node primary.
    Promote {
        /// Which.
        node: NodeId,
        /// Without what makes it safe: the words of whoever attests that nobody else acts.
        forced: Option<String>,
    },
    /// Make this node primary while both live.
    Switchover {
        /// Which.
        to: NodeId,
        /// Even if it is not ready.
        forced: bool,
    },
    /// Say whether an unforced promotion of this node would be refused, and change nothing.
    Drill {
        /// Which.
        node: NodeId,
    },
    /// No automatic promotion until `Resume`.
    Pause,
    /// Automatic promotion as configured; forgets repeated crashes too.
    Resume,
    /// Let this node follow again.
    Rejoin,
    /// Give this node's role up; it does not take it back by itself.
    Release,
}

/// What became of an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// It is as wanted.
    Done,
    /// It is not, and will not be.
    Refused {
        /// Why; never empty.
        reasons: Vec<Reason>,
        /// A forced order would be carried out.
        may_force: bool,
    },
    /// No answer came in time: it may still happen.
    Unknown,
}

/// Between two nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message {
    /// Primary to successor: would you take over?
    Prepare {
        /// The answer repeats it.
        number: u64,
        /// The sender yields because it does not reach its PBX.
        yields: bool,
    },
    /// What stands against it.
    Prepared {
        /// Of the question.
        number: u64,
        /// Nothing, or why not.
        against: Vec<Reason>,
    },
    /// Somebody ordered this at the sender.
    Do {
        /// The answer repeats it.
        number: u64,
        /// What.
        order: Order,
    },
    /// What became of it.
    Did {
        /// Of the order.
        number: u64,
        /// The result.
        answer: Answer,
    },
    /// Whether automatic promotion is paused or was stopped.
    Pause(Pause),
}

/// Whether automatic promotion is paused by a person, or was stopped by crashes. It is told to
/// every node, so that one whose process has just begun anew knows of it too; the highest version
/// holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Pause {
    /// Counts changes since the oldest process that knows of it began.
    pub(super) version: u64,
    /// When it was ordered, where it is known from the disk alone: of nodes that all begin anew,
    /// the one that was there last knows.
    #[serde(default)]
    pub(super) unix_ms: u64,
    /// By a person.
    pub(super) on: bool,
    /// Two crashes of one cause: this one.
    pub(super) halted: Option<String>,
}

impl Pause {
    /// What the last order of these records says.
    fn stored(facts: &[Fact]) -> Self {
        let order = |fact: &Fact| match &fact.body {
            Body::Audit(Audit { action: Action::Pause(on), result: Ok(()), .. }) => {
                Some(Self { unix_ms: fact.unix_ms, on: *on, ..Self::default() })
            }
            Body::Audit(_) | Body::Cdr(_) | Body::Agent(_) | Body::Outage(_) => None,
        };
        facts.iter().filter_map(order).max_by_key(|pause| pause.unix_ms).unwrap_or_default()
    }
}

/// What roles hear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// The lease said something.
    Lease(lease::Output),
    /// The link to this node is up.
    Up(NodeId),
    /// It is down.
    Down(NodeId),
    /// Whether another node says that it reaches its PBX.
    PeerPbx(NodeId, Option<bool>),
    /// Whether this node reaches its PBX.
    Pbx(bool),
    /// What this node lacks to serve as primary.
    Lacks(Vec<Lack>),
    /// What the extension that only a primary registers tells of one that is not heard.
    Sentinel(Option<Seen>),
    /// Another node said something.
    Received(NodeId, Message),
    /// Somebody wants something.
    Order(RequestId, Order),
    /// The answer to `Unbind(true)`.
    Unbound,
    /// The answer to `Settle`: what was acknowledged, up to these counters, is at the other node;
    /// or to `SettleNow`, wherever it is.
    Settled(Vec<(Lane, u64)>),
    /// The answer to `NeedsFacts`.
    FactsPulled,
    /// Facts may exist elsewhere that are not here.
    Behind,
    /// Ports and calls are taken over.
    TakenOver,
    /// A process of this node ended of this cause.
    Crashed(String),
    /// The disk failed.
    StoreFailed,
    /// Somebody of a higher epoch was met at the PBX.
    Outranked(Epoch),
    /// Whether the other node of a pair serves another PBX.
    OtherPbx(bool),
}

/// What comes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// To the lease.
    Lease(lease::Input),
    /// To another node.
    Send(NodeId, Message),
    /// This node is something else.
    Role(Role),
    /// Something that applications and people hear of.
    Event(Event),
    /// What became of an order.
    Answer(RequestId, Answer),
    /// Take the bindings of the ports away, if the PBX gives them to no other device otherwise;
    /// `Unbound` answers. `false`: this node goes on, and wants them back.
    Unbind(bool),
    /// Take no new calls and ship what was acknowledged; `Settled` answers.
    Settle,
    /// There is no more time for that; `Settled` answers at once.
    SettleNow,
    /// A person must act; in one sentence.
    Alarm(String),
    /// Fetch every fact of this node; `FactsPulled` answers, at once if they are here.
    NeedsFacts(NodeId),
}

/// Something that applications and people hear of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Nobody is primary.
    PrimaryDown {
        /// Who was.
        node: NodeId,
        /// In an orderly way.
        controlled: bool,
    },
    /// The primary of a pair is not heard. Whether it serves behind a cut link nobody knows.
    PrimaryUnheard(NodeId),
    /// This node takes over.
    PromotionStarted(Epoch),
    /// It serves.
    PromotionDone(Epoch),
    /// It does not.
    PromotionFailed {
        /// What was tried.
        epoch: Epoch,
        /// In words.
        why: String,
    },
    /// The node that would take over is not heard.
    BackupLost(NodeId),
    /// The witness is not heard.
    WitnessLost,
    /// Processes ended twice of one cause: no node promotes itself until somebody resumes it.
    AutomaticStopped {
        /// The cause.
        cause: String,
    },
}

/// What the lease remembers at this moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct View {
    /// The voter's memory.
    pub vote: Vote,
    /// Who has the lease, as far as this node knows.
    pub holder: Option<(NodeId, Epoch)>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{FactId, Stream, Who};

    fn ordered(unix_ms: u64, on: bool, result: Result<(), String>) -> Fact {
        let lane = Lane { node: NodeId(0), boot: 1, stream: Stream::Control };
        let audit = Audit { who: Who::Policy, action: Action::Pause(on), result };
        let (id, epoch) = (FactId { lane, counter: unix_ms }, Epoch(1));
        Fact { id, epoch, unix_ms, body: Body::Audit(audit) }
    }

    #[test]
    fn of_the_orders_on_the_disk_the_last_one_that_was_carried_out_holds() {
        let refused = ordered(4, true, Err("no".to_owned()));
        let facts = [ordered(3, false, Ok(())), ordered(2, true, Ok(())), refused];
        let pause = Pause::stored(&facts);
        assert!(!pause.on);
        assert!(pause > Pause::stored(&facts[1..]), "who was there last knows");
        let told = Pause { version: 1, ..Pause::default() };
        assert!(told > pause, "and better than any disk a process that has run since");
    }
}
