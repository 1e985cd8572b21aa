//! What an operator can order a node to do. Whoever makes an order has checked it against a
//! [`super::Snapshot`]; one that came too late (its instance is gone, its call is over) does
//! nothing.

use std::fmt;

use crate::ha::role;
use crate::ids::{InstanceId, PortId, RequestId};
use crate::store::Who;

/// Orders of roles that are carried out at once: each waits for other nodes.
pub(super) const ROLE_ORDERS_MAX: usize = 16;

/// Somebody wants a node to have another role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleOrder {
    /// The answer repeats it.
    pub id: RequestId,
    /// Who.
    pub who: Who,
    /// What.
    pub order: role::Order,
}

/// An operator's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Offer no new calls to an instance, or offer again. Its own calls stay.
    DrainInstance {
        /// Which.
        instance: InstanceId,
        /// On or off.
        on: bool,
    },
    /// Move a port's call to another instance.
    Rebind {
        /// The port.
        port: PortId,
    },
    /// Test the control extensions of the other nodes.
    SelfCall,
    /// Take no new calls from the PBX, or take them again. Calls that are up stay.
    DrainNode {
        /// On or off.
        on: bool,
    },
}

/// As on the command line.
impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DrainInstance { instance, on } => write!(f, "drain {instance}{}", off(*on)),
            Self::Rebind { port } => write!(f, "rebind {port}"),
            Self::DrainNode { on } => write!(f, "drain node{}", off(*on)),
            Self::SelfCall => f.write_str("self-call"),
        }
    }
}

const fn off(on: bool) -> &'static str {
    if on { "" } else { " --off" }
}
