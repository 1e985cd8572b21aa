//! What a node shows of itself: plain data, taken in one go between two inputs, so that its parts
//! agree with each other. The faces turn it into JSON, tables and metrics.
//!
//! Nothing secret is in here: no password, no Call-ID, no digit. A caller's number is masked when
//! it is shown.

mod agent;
mod alarm;
pub mod cluster;
mod counters;

use std::fmt;

use serde::Serialize;

pub use self::agent::{Agent, Lock};
pub use self::alarm::{Alarm, AlarmKind};
pub use self::counters::{Counters, HISTOGRAM_MS, Histogram, RebindTimes};
use crate::ids::{CallId, Generation, InstanceId, PortId};
pub use crate::pool::PortState;
use crate::pool::Reason;
use crate::redact::Redacted;
use crate::timers::{Duration, Instant};

/// Everything that the faces show.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// The process.
    pub node: NodeInfo,
    /// Voice ports, indexed by [`PortId`].
    pub ports: Vec<Port>,
    /// Calls, by port.
    pub calls: Vec<Call>,
    /// Instances that are connected.
    pub instances: Vec<Instance>,
    /// Cumulative counts since the start.
    pub counters: Counters,
    /// The latest rebinds, oldest first, at most [`REBINDS_KEPT`].
    pub rebinds: Vec<Rebind>,
    /// What needs a person, most urgent first.
    pub alarms: Vec<Alarm>,
    /// The data plane.
    pub media: Media,
    /// The cluster; `None`: the node is alone.
    pub cluster: Option<cluster::Cluster>,
    /// Agents of the phone menu, by number; `None`: the node keeps none.
    pub agents: Option<Vec<Agent>>,
}

/// Rebinds kept for `status`: enough for a switch of 100 ports, twenty times over.
pub const REBINDS_KEPT: usize = 2_048;

/// The process.
#[derive(Clone, Debug, Default, Serialize)]
pub struct NodeInfo {
    /// `node.name` of the configuration.
    pub name: String,
    /// Version of the program.
    pub version: &'static str,
    /// `asterisk_id` of every ARI event.
    pub entity_id: String,
    /// Milliseconds since the start.
    pub uptime_ms: u64,
    /// The node takes no new calls.
    pub draining: bool,
    /// The store is being opened: the node takes no part in its cluster yet.
    pub opening: bool,
    /// `pbx.id` of the configuration.
    pub pbx: String,
    /// `pbx.profile` of the configuration.
    pub profile: String,
}

/// One voice port.
#[derive(Clone, Debug, Serialize)]
pub struct Port {
    /// Its index.
    pub port: PortId,
    /// User part of its AOR.
    pub extension: String,
    /// Its entries, as written in the configuration.
    pub applications: Vec<String>,
    /// Its binding at the PBX.
    pub registration: Registration,
    /// What it does.
    pub state: PortState,
    /// Milliseconds in this state.
    pub since_ms: u64,
    /// The application that serves its call.
    pub application: Option<String>,
    /// The instance that serves its call.
    #[serde(serialize_with = "name_of_some")]
    pub instance: Option<InstanceId>,
    /// Its call.
    #[serde(serialize_with = "name_of_some")]
    pub call: Option<CallId>,
    /// The generation of its latest offer.
    pub generation: Option<Generation>,
}

/// A port's binding at the PBX.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Registration {
    /// What it is.
    pub state: RegistrationState,
    /// One clear phrase, such as `403 from 10.0.0.5:5060`; empty when all is well.
    pub detail: String,
    /// Seconds granted.
    pub expires_s: Option<u32>,
    /// The registrar that granted them.
    pub registrar: Option<String>,
}

/// State of a binding at the PBX.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RegistrationState {
    /// Not asked for, or taken away.
    #[default]
    Off,
    /// Under way.
    Pending,
    /// The PBX sends calls here.
    Registered,
    /// Refused: password or account.
    Refused,
    /// No registrar answers.
    Unreachable,
    /// The name of the PBX does not resolve.
    Unresolved,
}

/// One call.
#[derive(Clone, Debug, Serialize)]
pub struct Call {
    /// Its name; `GW_CALL` of ARI.
    #[serde(serialize_with = "name_of")]
    pub call: CallId,
    /// Its port.
    pub port: PortId,
    /// The port's extension.
    pub extension: String,
    /// Who calls; shown with all but the last two characters masked.
    #[serde(serialize_with = "masked")]
    pub caller: Redacted<String>,
    /// Placed by us.
    pub outbound: bool,
    /// Milliseconds since its INVITE.
    pub since_ms: u64,
    /// 200 was sent or received.
    pub answered: bool,
    /// State of its port.
    pub state: PortState,
    /// The application that serves it.
    pub application: Option<String>,
    /// The instance that serves it.
    #[serde(serialize_with = "name_of_some")]
    pub instance: Option<InstanceId>,
    /// The generation of its latest offer.
    pub generation: Generation,
    /// Something sounds or records.
    pub playing: bool,
    /// Keys that the caller pressed.
    pub digits: u64,
    /// Keys that were not given to any owner after a rebind.
    pub digits_discarded: u64,
}

/// One IVR application instance.
#[derive(Clone, Debug, Serialize)]
pub struct Instance {
    /// Its name here.
    #[serde(serialize_with = "name_of")]
    pub instance: InstanceId,
    /// The ARI user that it is.
    pub user: String,
    /// Applications that it serves.
    pub applications: Vec<String>,
    /// What the pool thinks of it.
    pub health: Health,
    /// Why, when not healthy.
    pub detail: String,
    /// An operator wants no new calls on it.
    pub draining: bool,
    /// Calls that it serves or is offered.
    pub calls: u32,
    /// Milliseconds since it connected.
    pub since_ms: u64,
    /// Its answers to pings; `None`: it never answered one and is judged by its work alone.
    pub pong: Option<Pong>,
    /// Milliseconds that the oldest event waits for its socket.
    pub unsent_ms: Option<u64>,
}

/// How fast an instance answers pings, in milliseconds.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Pong {
    /// Median.
    pub p50_ms: f64,
    /// 99th percentile.
    pub p99_ms: f64,
    /// Longest silence between two answers.
    pub longest_gap_ms: f64,
    /// Silence that means hung, as in force now.
    pub hang_after_ms: f64,
}

/// What the pool thinks of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// Gets calls.
    Healthy,
    /// Silent for a moment, or just back from a hang: gets no new calls.
    Suspect,
    /// Has lost its calls.
    Hung,
}

/// One call that changed hands. Instants are of the boot-time clock.
#[derive(Clone, Debug)]
pub struct Rebind {
    /// The call.
    pub call: CallId,
    /// Its port.
    pub port: PortId,
    /// Why.
    pub reason: Reason,
    /// Who had it.
    pub from: Option<InstanceId>,
    /// Who has it.
    pub to: InstanceId,
    /// Token of the new owner.
    pub generation: Generation,
    /// Last sign of life -> verdict.
    pub detect: Duration,
    /// The verdict fell.
    pub verdict_at: Instant,
    /// StasisStart was made.
    pub offered_at: Instant,
    /// StasisStart was taken by the socket.
    pub written_at: Option<Instant>,
    /// The first command of the new owner was read.
    pub claimed_at: Option<Instant>,
    /// The first packet of sound that the new owner asked for left.
    pub first_media_at: Option<Instant>,
}

impl Rebind {
    /// Verdict -> StasisStart written (made, where the socket has not reported yet).
    pub fn decide(&self) -> Duration {
        self.written_at.unwrap_or(self.offered_at).saturating_duration_since(self.verdict_at)
    }

    /// StasisStart written -> first command read.
    pub fn claim(&self) -> Option<Duration> {
        let written_at = self.written_at.unwrap_or(self.offered_at);
        self.claimed_at.map(|at| at.saturating_duration_since(written_at))
    }

    /// Last sign of life -> first packet of the new owner's sound.
    pub fn total(&self) -> Option<Duration> {
        self.first_media_at.map(|at| self.detect + at.saturating_duration_since(self.verdict_at))
    }
}

/// Why a call is offered, as in `GW_REASON`, JSON and metrics.
pub const fn reason_name(reason: Reason) -> &'static str {
    match reason {
        Reason::New => "new",
        Reason::Hang => "hang",
        Reason::Crash => "crash",
        Reason::NoStart => "no_start",
        Reason::CallerSilence => "caller_silence",
        Reason::Operator => "operator",
        Reason::Moved => "moved",
        Reason::Promotion => "promotion",
    }
}

/// The data plane.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Media {
    /// Worker threads.
    pub workers: u32,
    /// Scheduling class that the workers got: `fifo`, `nice -10`, `default`.
    pub scheduling: String,
}

fn name_of<T: fmt::Display, S: serde::Serializer>(
    id: &T,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_str(id)
}

fn name_of_some<T: fmt::Display, S: serde::Serializer>(
    id: &Option<T>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match id {
        Some(id) => serializer.collect_str(id),
        None => serializer.serialize_none(),
    }
}

fn masked<S: serde::Serializer>(
    value: &Redacted<String>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&mask(value))
}

/// The last two characters behind `***`; a value of up to four characters is hidden whole.
pub fn mask(value: &Redacted<String>) -> String {
    let characters = value.reveal().chars().count();
    if characters <= 4 {
        return "***".to_owned();
    }
    let tail: String = value.reveal().chars().skip(characters - 2).collect();
    format!("***{tail}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rebind() -> Rebind {
        Rebind {
            call: CallId(1),
            port: PortId(0),
            reason: Reason::Hang,
            from: Some(InstanceId(1)),
            to: InstanceId(2),
            generation: Generation(2),
            detect: Duration::from_millis(250),
            verdict_at: Instant::from_nanos(1_000_000_000),
            offered_at: Instant::from_nanos(1_001_000_000),
            written_at: None,
            claimed_at: None,
            first_media_at: None,
        }
    }

    #[test]
    fn durations_of_a_rebind_follow_one_another() {
        let mut rebind = rebind();
        assert_eq!(rebind.decide(), Duration::from_millis(1));
        assert_eq!((rebind.claim(), rebind.total()), (None, None));
        rebind.written_at = Some(Instant::from_nanos(1_002_000_000));
        rebind.claimed_at = Some(Instant::from_nanos(1_005_000_000));
        rebind.first_media_at = Some(Instant::from_nanos(1_020_000_000));
        assert_eq!(rebind.decide(), Duration::from_millis(2));
        assert_eq!(rebind.claim(), Some(Duration::from_millis(3)));
        assert_eq!(rebind.total(), Some(Duration::from_millis(270)));
    }

    #[test]
    fn a_caller_is_shown_by_the_last_two_characters_at_most() {
        assert_eq!(mask(&Redacted::new("+4930123456".to_owned())), "***56");
        assert_eq!(mask(&Redacted::new("2001".to_owned())), "***");
        assert_eq!(mask(&Redacted::new(String::new())), "***");
    }
}
