//! What voters and holders say to each other. Each message names its epoch and a counter of its
//! sender that never repeats, not even after a restart, so that a late one is known as late.

use serde::{Deserialize, Serialize};

use crate::ids::{Epoch, NodeId};
use crate::store::Lane;

/// Between two members.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Message {
    /// Grant me this epoch, or renew it.
    Request {
        /// Which.
        epoch: Epoch,
        /// Of the one who asks; the answer repeats it.
        counter: u64,
        /// How.
        kind: Kind,
    },
    /// Granted.
    Grant {
        /// Which.
        epoch: Epoch,
        /// Of the request.
        counter: u64,
        /// Who went on alone as far as the witness has noted. Others than the witness know nothing
        /// and say nothing.
        alone: Option<NodeId>,
    },
    /// Not granted.
    Refuse {
        /// Asked for.
        epoch: Epoch,
        /// Of the request.
        counter: u64,
        /// Why not.
        why: Why,
    },
    /// Does anybody but me hold a lease, as far as you know?
    Ask {
        /// Highest one that the asker knows.
        epoch: Epoch,
        /// Of the asker.
        counter: u64,
    },
    /// The answer.
    Told {
        /// Highest one promised.
        epoch: Epoch,
        /// Of the question.
        counter: u64,
        /// Somebody does.
        held: bool,
    },
    /// This epoch is over: its holder will not act under it again.
    Release {
        /// Which.
        epoch: Epoch,
        /// Of the sender.
        counter: u64,
        /// How it ended.
        end: End,
    },
    /// The release of this epoch is on the sender's disk: it needs nobody's word to take over.
    ReleaseStored {
        /// Which.
        epoch: Epoch,
    },
    /// To the witness: note that I acknowledge facts alone, or that I do so no more.
    Solo {
        /// Mine.
        epoch: Epoch,
        /// Of the change; a lower one is late.
        counter: u64,
        /// Alone.
        on: bool,
    },
    /// The witness has it on its disk.
    SoloDone {
        /// Of the change.
        epoch: Epoch,
        /// Of the change.
        counter: u64,
        /// Of the change.
        on: bool,
    },
}

impl Message {
    /// Of which epoch it speaks.
    pub const fn epoch(&self) -> Epoch {
        match *self {
            Self::Request { epoch, .. }
            | Self::Grant { epoch, .. }
            | Self::Refuse { epoch, .. }
            | Self::Ask { epoch, .. }
            | Self::Told { epoch, .. }
            | Self::Release { epoch, .. }
            | Self::ReleaseStored { epoch }
            | Self::Solo { epoch, .. }
            | Self::SoloDone { epoch, .. } => epoch,
        }
    }
}

/// How an epoch is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// For the first time.
    New,
    /// Again.
    Renew,
    /// A person decided: it outranks a lease.
    Forced,
}

/// Why an epoch was not granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Why {
    /// One as high was promised to another.
    Older {
        /// Highest one promised.
        promised: Epoch,
    },
    /// Somebody has the lease.
    Held {
        /// Who.
        by: NodeId,
    },
    /// This voter asked for as high a one itself. Others decide.
    Rival,
    /// The voter's disk takes no promise.
    Store,
}

/// How an epoch ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum End {
    /// The lease was asked for and not taken: nobody acted under it.
    Unused,
    /// An orderly end.
    Controlled {
        /// Up to where the facts of each lane go.
        marks: Vec<(Lane, u64)>,
        /// Who shall take over.
        to: Option<NodeId>,
    },
    /// Its process ended, says the system that ran it.
    Crashed {
        /// Of which cause, to tell a repeated one.
        cause: String,
    },
}
