//! What the faces show of the pool: plain data, read between two inputs.

use std::collections::BTreeMap;

use serde::Serialize;

use super::machine::Pool;
use super::port::Stage;
use super::{Health, Reason, Rebound};
use crate::ids::{CallId, Generation, InstanceId, PortId};
use crate::timers::{Duration, Instant};

/// What a port does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PortState {
    /// No call.
    Idle,
    /// A call waits for an instance.
    Queued,
    /// An instance was told of the call.
    Offered,
    /// An instance serves the call.
    Bound,
    /// The call was taken from its owner and waits for the next.
    Rebinding,
    /// The announcement plays.
    Announce,
    /// A call to the outside rings.
    Outbound,
    /// Released or transferred; its end is on the way.
    Leaving,
}

impl PortState {
    /// Every one of them.
    pub const ALL: [Self; 8] = [
        Self::Idle,
        Self::Queued,
        Self::Offered,
        Self::Bound,
        Self::Rebinding,
        Self::Announce,
        Self::Outbound,
        Self::Leaving,
    ];

    /// As `status` and JSON write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Queued => "queued",
            Self::Offered => "offered",
            Self::Bound => "bound",
            Self::Rebinding => "rebinding",
            Self::Announce => "announce",
            Self::Outbound => "outbound",
            Self::Leaving => "leaving",
        }
    }
}

/// One port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortStatus {
    /// Which.
    pub port: PortId,
    /// What it does.
    pub state: PortState,
    /// Since when.
    pub since: Instant,
    /// Its call.
    pub call: Option<CallId>,
    /// Token of the offer that stands, or of the next one.
    pub generation: Option<Generation>,
    /// Who was offered the call or serves it.
    pub instance: Option<InstanceId>,
    /// As which application, or for which one it waits.
    pub application: Option<String>,
    /// The call is answered.
    pub up: bool,
    /// Something plays or records.
    pub sounding: bool,
    /// Key presses of the call.
    pub digits: u64,
    /// Those that were given to nobody, by the replay rule.
    pub digits_discarded: u64,
}

/// One instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceStatus {
    /// Which.
    pub instance: InstanceId,
    /// Its ARI user.
    pub user: String,
    /// Applications that it serves.
    pub applications: Vec<String>,
    /// What it is worth.
    pub health: Health,
    /// An operator wants no new calls on it.
    pub draining: bool,
    /// Calls that it was offered or serves.
    pub calls: usize,
    /// When it connected.
    pub connected_at: Instant,
    /// Median, 99th percentile and longest silence of its pongs; `None`: it never answered a ping.
    pub pong: Option<(Duration, Duration, Duration)>,
    /// Silence that means hung, as in force.
    pub hang_after: Duration,
    /// Since when its oldest event waits for the socket.
    pub unsent: Option<Instant>,
}

/// Cumulative counts since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Calls that began, both ways.
    pub calls: u64,
    /// First commands on an offer.
    pub claims: u64,
    /// Rebinds that a new owner claimed.
    pub rebinds: BTreeMap<Reason, u64>,
    /// Calls taken from an owner.
    pub taken: BTreeMap<Reason, u64>,
    /// Instances that hung.
    pub hangs: u64,
    /// Commands and acknowledgements with a token that is not the one that stands.
    pub stale: u64,
    /// Times that a call had to wait for an instance.
    pub queue_waits: u64,
    /// Calls given to the announcement.
    pub announces: u64,
    /// Calls released or transferred by the pool itself.
    pub releases: u64,
    /// Gateway prompts, because nothing sounded after a rebind.
    pub gateway_prompts: u64,
    /// Moves and rebinds that could not be done.
    pub moves_refused: u64,
    /// Key presses that arrived.
    pub digits_received: u64,
    /// Key presses given to an owner; a replayed one counts again.
    pub digits_delivered: u64,
    /// Key presses that an owner acknowledged.
    pub digits_acked: u64,
    /// Key presses given to nobody, by rule.
    pub digits_discarded: u64,
    /// Variables that were one too many, or too long.
    pub variables_refused: u64,
    /// Wakes of the node more than 20 ms after they were due: more than a ping.
    pub late_wakes: u64,
}

impl Pool {
    /// What a port does; `None`: there is no such port.
    pub fn port(&self, port: PortId) -> Option<PortStatus> {
        let slot = self.ports.get(usize::from(port.0))?;
        let Some(busy) = &slot.busy else {
            return Some(idle(port, slot.idle_since));
        };
        let journal = &busy.call.journal;
        Some(PortStatus {
            port,
            state: state(&busy.stage),
            since: busy.since,
            call: Some(busy.call.id),
            generation: Some(busy.call.generation),
            instance: busy.stage.owner(),
            application: self.application_name(port),
            up: busy.call.up,
            sounding: journal.sounding,
            digits: journal.typed,
            digits_discarded: journal.discarded,
        })
    }

    /// All ports, in order.
    pub fn ports(&self) -> impl Iterator<Item = PortStatus> + '_ {
        let count = u16::try_from(self.ports.len()).unwrap_or(u16::MAX);
        (0..count).filter_map(|n| self.port(PortId(n)))
    }

    /// All instances that are connected, in the order they came.
    pub fn instances(&self) -> impl Iterator<Item = InstanceStatus> + '_ {
        self.instances.values().map(|i| InstanceStatus {
            instance: i.id,
            user: i.user.clone(),
            applications: i.names.clone(),
            health: i.health(),
            draining: i.draining,
            calls: i.ports.len(),
            connected_at: i.connected_at,
            pong: i.pong_times(),
            hang_after: i.hang_after(),
            unsent: i.unsent(),
        })
    }

    /// Counts since the start.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The latest 256 rebinds that were claimed, oldest first.
    pub fn rebounds(&self) -> impl Iterator<Item = &Rebound> {
        self.rebounds.iter()
    }
}

fn idle(port: PortId, since: Instant) -> PortStatus {
    PortStatus {
        port,
        state: PortState::Idle,
        since,
        call: None,
        generation: None,
        instance: None,
        application: None,
        up: false,
        sounding: false,
        digits: 0,
        digits_discarded: 0,
    }
}

fn state(stage: &Stage) -> PortState {
    match stage {
        Stage::Queued { .. } => PortState::Queued,
        Stage::Offered { .. } => PortState::Offered,
        Stage::Bound { .. } => PortState::Bound,
        Stage::Rebinding { .. } => PortState::Rebinding,
        Stage::Announce => PortState::Announce,
        Stage::Outbound { .. } => PortState::Outbound,
        Stage::Leaving => PortState::Leaving,
    }
}
