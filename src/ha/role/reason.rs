//! Why an order of a person is refused, or led to nothing: typed, so that whoever speaks with the
//! person has words of its own for it. As text each says who must do what.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reason {
    /// What the node lacks to serve.
    Lacks(Lack),
    /// Facts that were acknowledged may be at the other node alone.
    Behind {
        /// The other one; empty where there is none.
        other: String,
    },
    /// Its disk takes no more records.
    DiskFailed {
        /// Whose.
        node: String,
    },
    /// It does not reach its PBX.
    NoPbx {
        /// Who.
        node: String,
    },
    /// A witness serves nobody.
    Witness,
    /// Another node is primary, and is heard.
    IsPrimary {
        /// Who.
        node: String,
    },
    /// The other node of a pair serves its own PBX, and is heard.
    OwnPbx {
        /// Who.
        node: String,
    },
    /// Nothing proves that the other node of a pair does not act.
    NotReleased {
        /// Who.
        node: String,
    },
    /// The sentinel answers through the PBX: whoever has it acts.
    SentinelAnswers,
    /// It was not called yet.
    SentinelUntried,
    /// It has not been silent for as long as its registration may last.
    SentinelShort,
    /// It never answered this node, so its silence proves nothing.
    SentinelUnproven,
    /// A node that is not heard here may still act.
    HasLease {
        /// Who.
        node: String,
    },
    /// Another node was faster.
    Beaten {
        /// Who.
        by: String,
    },
    /// No majority granted the lease in time.
    FewVoters,
    /// The lease ran out before it was done.
    LeaseLost,
    /// Another node has a higher epoch.
    Outranked,
    /// The role was given up by order.
    GivenUp,
    /// A switch to another node is under way.
    Switching,
    /// A promotion is under way.
    Promoting,
    /// A switch needs a primary.
    NoPrimary {
        /// Who was to take over.
        to: String,
    },
    /// Only the other data node can take over.
    NotData,
    /// The node that the order concerns is not heard here.
    NoLink {
        /// Who.
        node: String,
    },
    /// A switch needs a link between both nodes.
    NoLinkToSwitch {
        /// Who was to take over.
        node: String,
    },
    /// The node that was asked to take over said nothing.
    Silent {
        /// Who.
        node: String,
    },
    /// The latest facts did not get to the other node in time.
    NotCopied,
    /// The other node did not take the role, and this one has it again.
    NotTaken,
    /// The other node has not said that it stored the release of this one.
    ReleaseUnstored {
        /// Who.
        node: String,
    },
    /// The order went from node to node and met no primary.
    Elsewhere {
        /// Where to give it.
        node: String,
    },
    /// A forced order without an attestation.
    NoWords,
    /// Only a fenced node rejoins.
    NotFenced,
    /// Too many orders wait.
    Busy,
    /// The record of the order is on one node alone.
    Unrecorded,
    /// This node is in no cluster.
    Alone,
}

/// What a node lacks to serve every port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Lack {
    /// The PBX refuses passwords.
    Passwords {
        /// Of how many ports.
        ports: u32,
    },
    /// There are more voice ports than free UDP ports.
    UdpPorts,
    /// The disk is nearly full.
    Disk,
    /// Prompts are missing or differ from the primary's.
    Prompts,
    /// The primary speaks a codec that is not spoken here.
    Codecs,
}

/// All of them as one text.
pub fn sentence(reasons: &[Reason]) -> String {
    reasons.iter().map(Reason::to_string).collect::<Vec<_>>().join("; ")
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lacks(lack) => lack.fmt(f),
            Self::Behind { other } => write!(
                f,
                "{other} may have acknowledged facts that are not here: start it, or force the \
                 promotion and lose them"
            ),
            Self::DiskFailed { node } => {
                write!(f, "the disk of {node} failed: replace it and restart the node")
            }
            Self::NoPbx { node } => write!(f, "{node} does not reach its PBX"),
            Self::IsPrimary { node } => write!(f, "{node} is primary"),
            Self::OwnPbx { node } => write!(f, "{node} is there, at its own PBX"),
            Self::NotReleased { node } => write!(
                f,
                "{node} has not released its role: whoever knows that it is halted must say so \
                 with `promote --force`, or start it"
            ),
            Self::SentinelAnswers => f.write_str(
                "the sentinel answers through the PBX: the primary lives, and only the link is cut",
            ),
            Self::SentinelUntried => {
                f.write_str("the sentinel was not called yet: ask again in half a minute")
            }
            Self::SentinelShort => f.write_str(
                "the sentinel is silent, but its registration may last longer: ask again in two \
                 minutes",
            ),
            Self::SentinelUnproven => f.write_str(
                "the sentinel is silent and never answered this node before, which proves nothing",
            ),
            Self::HasLease { node } => {
                write!(f, "{node} still has the lease, and there is no link to it")
            }
            Self::Beaten { by } => write!(f, "{by} has the lease; switch over from it"),
            Self::NoPrimary { to } => write!(f, "nobody is primary: `promote` {to} instead"),
            Self::NoLink { node } => {
                write!(f, "there is no link to {node}: give the order at {node}")
            }
            Self::NoLinkToSwitch { node } => {
                write!(f, "there is no link to {node}: a switch needs both nodes")
            }
            Self::Silent { node } => write!(f, "{node} does not answer: check the link to it"),
            Self::ReleaseUnstored { node } => write!(
                f,
                "this node gave its role up, but {node} has not said that it stored that: to \
                 promote {node} may need --force"
            ),
            Self::Elsewhere { node } => write!(f, "give the order at {node}"),
            Self::Witness => f.write_str("a witness is never primary"),
            Self::FewVoters => f.write_str(
                "too few voters answered: start the other node or the witness, or force it",
            ),
            Self::LeaseLost => f.write_str("its lease ran out: too few voters answered in time"),
            Self::Outranked => f.write_str("another node has a higher epoch"),
            Self::GivenUp => f.write_str("the role was given up by order"),
            Self::Switching => f.write_str("a switch is under way"),
            Self::Promoting => f.write_str("a promotion is under way: wait for its end"),
            Self::NotData => f.write_str("only the other data node can take over"),
            Self::NotCopied => {
                f.write_str("what was acknowledged could not be copied to the other node in time")
            }
            Self::NotTaken => {
                f.write_str("the other node did not take over, and this one is primary again")
            }
            Self::NoWords => f.write_str("say in words why nobody else is primary"),
            Self::NotFenced => f.write_str("this node is not fenced"),
            Self::Busy => f.write_str("too many orders wait: ask again in a minute"),
            Self::Unrecorded => f.write_str(
                "the record of this order could not be stored on a second node: see to the other \
                 nodes, or force it",
            ),
            Self::Alone => f.write_str("this node is alone: its configuration has no [cluster]"),
        }
    }
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passwords { ports } => write!(
                f,
                "the PBX refuses the passwords of {ports} ports to this node: see pbx.log and \
                 [[ports]], or force the promotion and serve without them"
            ),
            Self::UdpPorts => f.write_str(
                "fewer UDP ports are free than there are voice ports: widen media.udp_ports",
            ),
            Self::Disk => f.write_str(
                "less than 1 GiB is free where facts are stored: make room on this disk",
            ),
            Self::Prompts => f.write_str(
                "its prompts are missing or differ from the primary's: copy media.prompts to it \
                 and restart it, or force the promotion",
            ),
            Self::Codecs => f.write_str(
                "the primary speaks a codec that this node does not: make pbx.codecs equal",
            ),
        }
    }
}
