//! Who votes, who may hold, and how long a lease lasts.

use super::FORCED;
use crate::config::{Cluster, Member, MemberRole, Takeover, TimerProfile};
use crate::ids::{Epoch, NodeId};
use crate::timers::{Duration, Instant};

/// A deadline that never comes: the holder of a lease that nobody but a person can end.
pub const NEVER: Instant = Instant::from_nanos(u64::MAX);

/// More than there are numbers of nodes.
const NODES: u64 = 256;

/// How long a lease lasts and how often it is renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Timers {
    /// A holder renews so often.
    pub renew: Duration,
    /// What a voter grants; the other spans follow from it.
    pub ttl: Duration,
    /// The machine may be paused together with its clock: whoever claims needs a renewal that was
    /// answered within two renewals.
    pub may_pause: bool,
}

impl Timers {
    /// Two hosts on one switch.
    pub const LAN: Self = Self {
        renew: Duration::from_millis(100),
        ttl: Duration::from_millis(600),
        may_pause: false,
    };
    /// Virtual machines that may be paused or migrated.
    pub const VM: Self =
        Self { renew: Duration::from_millis(500), ttl: Duration::from_secs(2), may_pause: true };
    /// A remote site.
    pub const WAN: Self =
        Self { renew: Duration::from_secs(1), ttl: Duration::from_secs(5), may_pause: false };

    /// The holder trusts its lease for so long after it asked. With the voter's 101 % this leaves
    /// room for two clocks that are wrong by 1 % each, and for the last packet to arrive.
    pub fn hold(self) -> Duration {
        self.ttl * 8 / 10
    }

    /// A voter keeps a grant for so long after it answered.
    pub fn grant(self) -> Duration {
        self.ttl * 101 / 100
    }

    /// A voter that started is silent for so long: it has forgotten what it granted.
    pub fn silence(self) -> Duration {
        self.ttl * 102 / 100
    }
}

/// What stands behind a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// One node: it holds by itself.
    Single,
    /// Two nodes without a majority: both agree, or the other released, or a person attests.
    Pair,
    /// Two nodes and a witness: two of three decide.
    Trio,
}

/// The cluster as one node sees it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Site {
    /// This node.
    pub me: NodeId,
    /// The nodes that may hold: one, or two. The first is primary when nothing else decides. A node
    /// with devices of its own is the only one of its lease.
    pub nodes: Vec<NodeId>,
    /// Votes only.
    pub witness: Option<NodeId>,
    /// The other node of a pair serves another PBX: its lease is not ours, and no proof is needed.
    pub other_pbx: bool,
    /// Spans of time.
    pub timers: Timers,
}

impl Site {
    /// The cluster that the configuration names.
    pub fn of(cluster: &Cluster) -> Self {
        let own_devices = cluster.takeover == Takeover::DualDevices;
        let holds = |member: &&Member| {
            member.role == MemberRole::Data && (member.id == cluster.me || !own_devices)
        };
        let data = cluster.nodes.iter().filter(holds);
        let Cluster { timers, timer_profile, .. } = cluster;
        let timers = Timers {
            renew: timers.renew,
            ttl: timers.lease,
            may_pause: *timer_profile == TimerProfile::Vm,
        };
        Self {
            me: cluster.me,
            nodes: data.map(|member| member.id).collect(),
            witness: cluster.witness(),
            other_pbx: cluster.data_peer().is_some_and(|peer| cluster.other_pbx(peer.id)),
            timers,
        }
    }

    /// The epoch that a person's word takes here: it outranks every known one, and no other node
    /// takes the same one, also where neither hears of the other.
    pub fn forced(&self, known: Epoch) -> Epoch {
        let least = known.0.saturating_add(FORCED);
        let residue = u64::from(self.me.0).wrapping_sub(least) % NODES;
        Epoch(least.saturating_add(residue))
    }

    /// What decides.
    pub fn mode(&self) -> Mode {
        match (self.nodes.len(), self.witness) {
            (0 | 1, _) => Mode::Single,
            (_, None) => Mode::Pair,
            (_, Some(_)) => Mode::Trio,
        }
    }

    /// All but this one.
    pub fn peers(&self) -> impl Iterator<Item = NodeId> {
        let all = self.nodes.iter().copied().chain(self.witness);
        all.filter(|&node| node != self.me)
    }

    /// The other node that may hold.
    pub fn other(&self) -> Option<NodeId> {
        self.nodes.iter().copied().find(|&node| node != self.me)
    }

    /// This node votes only.
    pub fn is_witness(&self) -> bool {
        self.witness == Some(self.me)
    }

    /// This node is primary when nothing else decides.
    pub fn is_first(&self) -> bool {
        self.nodes.first() == Some(&self.me)
    }
}
