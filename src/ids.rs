//! Names of things, shared by every module. Each is a number; none carries meaning beyond equality
//! and order.

use std::fmt;

use rand_core::RngCore;
use serde::{Deserialize, Serialize};

/// The generator that every machine draws from: unguessable when a driver seeds it from the
/// operating system (tags, Call-IDs and secrets rest on it), repeatable when a simulator does.
pub type Rng = rand_chacha::ChaCha12Rng;

/// A generator of its own for a part of the whole, so that the order in which parts draw does not
/// couple them.
pub fn fork(rng: &mut Rng) -> Rng {
    use rand_core::SeedableRng;
    let mut seed = [0; 32];
    rng.fill_bytes(&mut seed);
    Rng::from_seed(seed)
}

/// A voice port: the index of its entry in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PortId(pub u16);

impl fmt::Display for PortId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A call, from its INVITE to its end. The upper half is drawn once per start of a node, so that
/// names of calls never repeat across restarts; the lower half counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CallId(pub u64);

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}-{}", self.0 >> 32, self.0 & 0xffff_ffff)
    }
}

/// Hands out call names.
#[derive(Clone, Debug)]
pub struct CallIds(u64);

impl CallIds {
    /// Starts a new series.
    pub fn new(rng: &mut Rng) -> Self {
        Self(u64::from(rng.next_u32()) << 32)
    }

    /// A name not given out before.
    pub fn next_id(&mut self) -> CallId {
        self.0 += 1;
        CallId(self.0)
    }
}

/// Counts the offers of one call, from 1. Whoever holds an older one has lost the call.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Generation(pub u32);

impl Generation {
    /// The generation of the next offer.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An IVR application instance: the process behind one WebSocket. A process that connects again is
/// a new instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct InstanceId(pub u64);

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "i{}", self.0)
    }
}

/// A playback or recording on one port's media, unique within its call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MediaId(pub u32);

/// A request that waits for an answer from the node (an ARI request, an operator's command).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// A node of the cluster: the index of its entry in the configuration, which is the same on every
/// node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NodeId(pub u8);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "n{}", self.0)
    }
}

/// Counts promotions, from 1; 0 is before the first. Whoever acts under an older one is fenced.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Epoch(pub u64);

impl Epoch {
    /// The epoch of the next promotion.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// How often a number leaps that was written under `since` and is carried on under this epoch:
    /// two nodes that go on from one copy must not come to the same. A forced epoch is 65,536
    /// higher and counts as 500, for a CSeq has 31 bits.
    #[must_use]
    pub fn leaps(self, since: Self) -> u32 {
        let higher = self.0.saturating_sub(since.0);
        let leaps = (higher % 65_536 + higher / 65_536 * 500).clamp(1, 10_000);
        u32::try_from(leaps).unwrap_or(1)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
