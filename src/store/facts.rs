//! Facts: what happened, written once and never changed. CDRs, audit records, agents and outages.
//!
//! A fact is named by the node that wrote it, that node's start and a counter, so that two logs
//! merge by union. Facts of one [`Lane`] are written and shipped in the order of their counter,
//! which makes one number say what a node has of it.

use serde::{Deserialize, Serialize};

use crate::ids::{CallId, Epoch, NodeId, PortId};
use crate::redact::Redacted;

/// The facts of one stream that one node wrote in one of its starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Lane {
    /// Who wrote them.
    pub node: NodeId,
    /// In which of its starts.
    pub boot: u32,
    /// What they are about.
    pub stream: Stream,
}

/// Facts that go to the same nodes. Each stream counts by itself, so that a node that has no
/// business with one of them still has the other without a hole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Stream {
    /// CDRs: for the data nodes.
    Calls,
    /// Audit records, agents and outages: for every node.
    Control,
}

/// Names a fact, for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FactId {
    /// Whose.
    pub lane: Lane,
    /// Counts within the lane, from 1.
    pub counter: u64,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact {
    /// Its name.
    pub id: FactId,
    /// Highest epoch that its writer knew.
    pub epoch: Epoch,
    /// When, by the writer's wall clock: milliseconds since 1970, UTC.
    pub unix_ms: u64,
    /// What.
    pub body: Body,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Body {
    /// Somebody did something, or tried to.
    Audit(Audit),
    /// A call ended.
    Cdr(Cdr),
    /// An agent was added, changed or disabled: the latest fact about a number holds.
    Agent(Agent),
    /// Nobody answered calls for a while.
    Outage(Outage),
}

impl Body {
    /// The stream that it belongs to.
    pub const fn stream(&self) -> Stream {
        match self {
            Self::Cdr(_) => Stream::Calls,
            Self::Audit(_) | Self::Agent(_) | Self::Outage(_) => Stream::Control,
        }
    }
}

/// Who did something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Who {
    /// The node itself, by its policy.
    Policy,
    /// Somebody on the command line of a node, a user of its system; or who showed a token, by
    /// its name.
    Operator(String),
    /// An agent on the phone; `extension` as the PBX says it.
    Agent {
        /// Agent number, as keyed: it may name nobody.
        number: String,
        /// Calling extension.
        extension: Redacted<String>,
    },
}

impl Who {
    /// A name for people, without a number that only its owner may read.
    pub fn name(&self) -> &str {
        match self {
            Self::Policy => "policy",
            Self::Operator(name) | Self::Agent { number: name, .. } => name,
        }
    }
}

/// What somebody did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    /// Promoted `node`.
    Promote {
        /// Which.
        node: NodeId,
        /// Without what makes it safe; the attestation.
        forced: Option<String>,
    },
    /// Gave the role up.
    Release,
    /// Found that its disk takes no record any more, until the node starts again.
    Disk,
    /// Began to serve, where another node did before, or none.
    Serve {
        /// Which.
        node: NodeId,
    },
    /// Blocked automatic promotion, or allowed it again.
    Pause(bool),
    /// Allowed a fenced node to follow again.
    Rejoin,
    /// Keyed agent number and PIN, which were compared: a failure counts towards a lock. Or showed
    /// a wrong token, which locks nothing.
    Login,
    /// Called the menu and was not let in before a PIN was compared: locked, nothing keyed, or a
    /// caller that may not.
    Call,
    /// Cleared an agent's locks.
    Unlock {
        /// Whose.
        number: String,
    },
    /// Added an agent or changed one.
    ChangeAgent {
        /// Whose.
        number: String,
    },
    /// Acknowledged an alert.
    Acknowledge,
    /// Went through the menu's drill.
    Drill,
    /// Had the restart message sent to the telephones.
    RestartMessage,
    /// Could not link to another node, or refused one that wanted to link.
    Link,
    /// Asked over HTTP for something else.
    Ask {
        /// What.
        request: String,
    },
    /// Found the wall clock moved by so many milliseconds.
    ClockMoved {
        /// Forward, or back.
        by_ms: i64,
    },
}

/// One line of the audit log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audit {
    /// Who.
    pub who: Who,
    /// What.
    pub action: Action,
    /// Whether it was done; else why not, in a few words.
    pub result: Result<(), String>,
}

/// One call, from its beginning to its end, wherever it was served in between.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cdr {
    /// Its name; one CDR for each, whoever writes it.
    pub call: CallId,
    /// Its port.
    pub port: PortId,
    /// The port's extension.
    pub extension: String,
    /// Who called, or was called.
    pub party: Redacted<String>,
    /// We placed it.
    pub outbound: bool,
    /// Milliseconds since 1970, UTC.
    pub began_unix_ms: u64,
    /// Answered so many milliseconds after it began.
    pub answered_ms: Option<u64>,
    /// Lasted so many milliseconds.
    pub duration_ms: u64,
    /// Why it ended, in one word.
    pub cause: String,
    /// How often it was rebound.
    pub rebinds: u32,
    /// How often it was taken over by another node.
    pub takeovers: u32,
}

/// A person who may promote by phone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agent {
    /// Agent number: 3 to 10 digits.
    pub number: String,
    /// For lists; never spoken.
    pub name: String,
    /// May act, or not.
    pub standing: Standing,
    /// The PIN.
    pub pin: Pin,
    /// Extensions that the agent calls from; empty: any internal one.
    pub extensions: Vec<String>,
    /// Hang up and call the first of these back.
    pub callback: bool,
}

/// Whether an agent may act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Standing {
    /// Yes.
    Enabled,
    /// No.
    Disabled,
}

/// A PIN at rest: argon2id, then HMAC-SHA-256 with a pepper that is not in the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    /// 16 bytes.
    pub salt: Redacted<Vec<u8>>,
    /// 32 bytes.
    pub hash: Redacted<Vec<u8>>,
}

/// Calls could not be answered, as the witness measured it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outage {
    /// Names the incident: the epoch that ended with it.
    pub ended: Epoch,
    /// Milliseconds since 1970, UTC.
    pub began_unix_ms: u64,
    /// From the last sign of the old primary to the first port that was bound again.
    pub lasted_ms: u64,
    /// It was announced: a switchover or an orderly stop.
    pub planned: bool,
}
