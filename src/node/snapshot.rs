//! What a node shows of itself: plain data, taken in one go between two inputs, so that its parts
//! agree with each other. The faces turn it into JSON, tables and metrics.
//!
//! Nothing secret is in here: no password, no Call-ID, no digit. A caller's number is masked when
//! it is shown.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::ids::{CallId, Generation, InstanceId, PortId};
use crate::media::Refusal;
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

/// Cumulative counts since the start of the node. Each becomes a metric of the same name.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Counters {
    /// Calls that began, both ways.
    pub calls_total: u64,
    /// Calls that ended, by how.
    pub calls_ended_total: BTreeMap<&'static str, u64>,
    /// Rebinds claimed by a new owner, by [`reason_name`].
    pub rebinds_total: BTreeMap<&'static str, u64>,
    /// How long rebinds took.
    #[serde(skip)]
    pub rebind_times: RebindTimes,
    /// ARI requests, over HTTP and WebSocket, by status of their answer.
    pub ari_requests_total: BTreeMap<u16, u64>,
    /// ARI events handed to sockets.
    pub ari_events_total: u64,
    /// Commands refused with 404 because their channel id is of an older generation.
    pub stale_commands_total: u64,
    /// Key presses that arrived.
    pub digits_received_total: u64,
    /// Key presses sent to an owner (a replayed one counts again).
    pub digits_delivered_total: u64,
    /// Key presses that an owner acknowledged.
    pub digits_acked_total: u64,
    /// Key presses given to no owner after a rebind, by the replay rule.
    pub digits_discarded_total: u64,
    /// Key presses that arrived and were lost: a full queue, or more than 12 in a second.
    pub digits_refused_total: u64,
    /// Key presses that an application sent and that never left: its call ended before, or the far
    /// end refused them.
    pub digits_unsent_total: u64,
    /// Messages refused, by kind: `sip_malformed`, `sdp`, `ari_json`, ...
    pub refused_messages_total: BTreeMap<&'static str, u64>,
    /// Datagrams from sources that are not ours to answer.
    pub unknown_sources_total: u64,
    /// Requests from the PBX whose Request-URI is none of our Contacts.
    pub unmatched_contacts_total: u64,
    /// RTP packets sent.
    pub rtp_sent_total: u64,
    /// RTP packets that arrived, with those that were refused.
    pub rtp_received_total: u64,
    /// RTP packets from a wrong source, SSRC or payload type, or malformed.
    pub rtp_refused_total: u64,
    /// RTP packets that left more than 5 ms after their time.
    pub rtp_late_total: u64,
    /// Times that a worker's clock was moved on because it was stopped for too long.
    pub rtp_rebases_total: u64,
    /// REGISTER requests sent.
    pub registers_total: u64,
    /// Inputs that a full queue dropped, by queue.
    pub dropped_total: BTreeMap<&'static str, u64>,
}

/// The durations of all rebinds so far, each step for itself.
#[derive(Clone, Debug, Default)]
pub struct RebindTimes {
    /// Last sign of life -> verdict.
    pub detect: Histogram,
    /// Verdict -> StasisStart written.
    pub decide: Histogram,
    /// StasisStart written -> first command.
    pub claim: Histogram,
    /// Last sign of life -> sound of the new owner.
    pub total: Histogram,
}

/// How many durations were how long.
#[derive(Clone, Debug, Default)]
pub struct Histogram {
    /// Durations of at most [`HISTOGRAM_MS`] each (and more than the one before), then the rest.
    pub counts: [u64; HISTOGRAM_MS.len() + 1],
    /// All durations together.
    pub sum: Duration,
}

/// Upper edges of a [`Histogram`] in milliseconds.
pub const HISTOGRAM_MS: [u32; 12] = [1, 2, 5, 10, 20, 50, 100, 250, 500, 1_000, 2_500, 10_000];

impl Histogram {
    /// Counts one duration.
    pub fn observe(&mut self, duration: Duration) {
        let within = |edge: &u32| duration <= Duration::from_millis(u64::from(*edge));
        let at = HISTOGRAM_MS.iter().position(within).unwrap_or(HISTOGRAM_MS.len());
        self.counts[at] += 1;
        self.sum = self.sum.saturating_add(duration);
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
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

/// Something that needs a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alarm {
    /// What.
    pub kind: AlarmKind,
    /// Milliseconds since it was raised.
    pub since_ms: u64,
}

/// What is wrong. `Display` gives one clear sentence that names who must act and what a caller
/// hears meanwhile.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AlarmKind {
    /// The PBX refused an account: 401 again, 403, 404.
    PbxRefused {
        /// The port's extension.
        extension: String,
        /// Which registrar.
        registrar: String,
        /// With what status.
        status: u16,
        /// What it comes from, where that is neither password nor account.
        why: Option<&'static str>,
    },
    /// No registrar answers.
    PbxUnreachable {
        /// The registrars that were tried.
        registrars: String,
        /// How many ports are without a binding.
        ports: u32,
    },
    /// A UDP port of the configured range belongs to another program.
    UdpPortInUse {
        /// Its number.
        udp_port: u16,
    },
    /// No healthy instance serves an application that ports list.
    NoInstance {
        /// The application.
        application: String,
        /// What a caller hears meanwhile: the name of the next entry, or the overflow action.
        fallback: String,
    },
    /// A prompt is not in the directory of prompts.
    PromptMissing {
        /// Its name.
        prompt: String,
        /// The file that would be it.
        path: String,
    },
    /// Key presses were lost: the node was stopped for too long, or they came too fast.
    DigitsRefused {
        /// The port's extension.
        extension: String,
        /// Which of the two.
        why: Refusal,
    },
    /// An instance took no events until its queue was full.
    EventsFull {
        /// The ARI user that it is.
        user: String,
        /// How many waited.
        events: usize,
    },
    /// Anything else, as one clear sentence.
    Other {
        /// The port's extension, if it is about one.
        extension: Option<String>,
        /// The sentence.
        text: String,
    },
}

impl AlarmKind {
    /// Every name that [`Self::name`] gives.
    pub const NAMES: [&str; 8] = [
        "pbx_refused",
        "pbx_unreachable",
        "udp_port_in_use",
        "no_instance",
        "prompt_missing",
        "digits_refused",
        "events_full",
        "other",
    ];

    /// A stable short name for JSON and metrics.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::PbxRefused { .. } => "pbx_refused",
            Self::PbxUnreachable { .. } => "pbx_unreachable",
            Self::UdpPortInUse { .. } => "udp_port_in_use",
            Self::NoInstance { .. } => "no_instance",
            Self::PromptMissing { .. } => "prompt_missing",
            Self::DigitsRefused { .. } => "digits_refused",
            Self::EventsFull { .. } => "events_full",
            Self::Other { .. } => "other",
        }
    }
}

impl fmt::Display for AlarmKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PbxRefused { extension, registrar, status, why: Some(why) } => write!(
                f,
                "extension {extension} is not registered at PBX {registrar} ({status}): {why}; \
                 correct [pbx] or the PBX; it gets no calls meanwhile"
            ),
            Self::PbxRefused { extension, registrar, status, why: None } => write!(
                f,
                "PBX {registrar} refuses extension {extension} with {status}: correct its \
                 auth_user and password in [[ports]], or its account at the PBX; \
                 it gets no calls meanwhile"
            ),
            Self::PbxUnreachable { registrars, ports } => write!(
                f,
                "no answer from the PBX at {registrars}: {ports} ports are not registered and \
                 get no calls; check the network and pbx.registrars"
            ),
            Self::UdpPortInUse { udp_port } => write!(
                f,
                "another program holds UDP port {udp_port} of media.udp_ports: \
                 another port is used for the call; move the range or stop that program"
            ),
            Self::NoInstance { application, fallback } => write!(
                f,
                "no healthy instance of application {application} is connected: \
                 callers get {fallback}; start the application or look at its log"
            ),
            Self::PromptMissing { prompt, path } => write!(
                f,
                "prompt {prompt} cannot be played, callers hear silence in its place: \
                 put a WAV file at {path}"
            ),
            Self::DigitsRefused { extension, why: Refusal::TooFast } => write!(
                f,
                "extension {extension} lost key presses that came faster than 12 a second: \
                 look at the telephone-events that the PBX or gateway sends"
            ),
            Self::DigitsRefused { extension, why: Refusal::NodeStuck } => write!(
                f,
                "extension {extension} lost key presses because the node was stopped: \
                 look for a starved or suspended machine"
            ),
            Self::EventsFull { user, events } => write!(
                f,
                "an instance of ARI user {user} took no events until {events} waited for it: \
                 its connection was ended and its calls were moved; look at its process and network"
            ),
            Self::Other { extension: Some(extension), text } => {
                write!(f, "extension {extension}: {text}")
            }
            Self::Other { extension: None, text } => f.write_str(text),
        }
    }
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
    fn a_histogram_counts_a_duration_under_its_edge() {
        let mut histogram = Histogram::default();
        for millis in [0, 1, 3, 11_000] {
            histogram.observe(Duration::from_millis(millis));
        }
        assert_eq!(histogram.counts, [2, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        assert_eq!((histogram.count(), histogram.sum), (4, Duration::from_millis(11_004)));
    }

    #[test]
    fn a_caller_is_shown_by_the_last_two_characters_at_most() {
        assert_eq!(mask(&Redacted::new("+4930123456".to_owned())), "***56");
        assert_eq!(mask(&Redacted::new("2001".to_owned())), "***");
        assert_eq!(mask(&Redacted::new(String::new())), "***");
    }

    #[test]
    fn an_alarm_says_who_must_act() {
        let refused = AlarmKind::PbxRefused {
            extension: "6001".into(),
            registrar: "10.0.0.5:5060".into(),
            status: 403,
            why: None,
        };
        assert_eq!(refused.name(), "pbx_refused");
        assert!(AlarmKind::NAMES.contains(&refused.name()));
        assert!(refused.to_string().contains("correct its auth_user and password"));
    }
}
