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
pub mod peer;

use serde::{Deserialize, Serialize};

use crate::ids::Epoch;

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
