//! What outlives the process: facts, and what a voter has promised. Shapes and rules only; whoever
//! writes them to a disk is a driver.
//!
//! A [`Record`] is handed out with a [`Ticket`] and is durable once the ticket comes back. Records
//! become durable in the order in which they were handed out: there is one writer.

mod agents;
mod calls;
mod chain;
mod facts;

pub use agents::{AGENT_FAILURES_KEPT, Access, Agents};
pub use calls::final_cdrs;
pub use chain::{CHAIN_START, Link};
pub use facts::{
    Action, Agent, Audit, Body, Cdr, Fact, FactId, Lane, Outage, Pin, Standing, Stream, Who,
};

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ids::{Epoch, NodeId};

/// A write that was ordered; it comes back when the write is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// One write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// Append a fact. One that is there already is left as it is.
    Fact(Box<Fact>),
    /// Append a fact that came after its epoch had ended: its writer may not have acknowledged it.
    Late(Box<Fact>),
    /// A voter's whole state, in place of the one before.
    Vote(Vote),
}

/// What a voter must not forget.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vote {
    /// Highest epoch that it promised.
    pub promised: Epoch,
    /// Whom it promised that epoch to.
    pub holder: Option<NodeId>,
    /// Latest epoch under which this node itself was primary.
    pub held: Epoch,
    /// On the witness: the holder goes on alone in this epoch, and facts may exist there only.
    pub solo: Option<Solo>,
    /// On a data node: facts may exist elsewhere that it does not have; never promoted by itself.
    pub behind: bool,
    /// The other node of a pair was found to serve the same PBX, whatever the configuration says.
    #[serde(default)]
    pub same_pbx: bool,
}

impl Vote {
    /// The holder of the highest promise has given it up.
    pub fn is_released(&self) -> bool {
        self.promised > Epoch::default() && self.holder.is_none()
    }
}

/// The witness's note that one node acknowledges facts alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Solo {
    /// Who.
    pub node: NodeId,
    /// In which epoch.
    pub epoch: Epoch,
    /// Counter of the change, within the epoch: a lower one is late and has no effect.
    pub counter: u64,
    /// Alone, or together again.
    pub on: bool,
}

/// What a start finds on the disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    /// Which start of this node it is: higher than any before, durable before anything else is.
    pub boot: u32,
    /// Its voter's state.
    pub vote: Vote,
    /// For each lane, the counter up to which every fact is here.
    pub marks: BTreeMap<Lane, u64>,
    /// Every agent fact, every audit fact of the last day, and however old they are those that lock
    /// an agent, the last pause or its end, and who served last: agents first, then the rest, each
    /// oldest first. Enough for [`Agents`].
    pub facts: Vec<Fact>,
}
