//! The configuration after validation: immutable, complete, every default filled in.
//!
//! Text becomes a [`Config`] in [`parse`], which reports every fault at once, each with its line,
//! its value and what is allowed.

mod check;
mod check_cluster;
mod cluster;
mod day;
mod fault;
mod lines;
mod parse;
mod profile;
mod reader;
mod section_admin;
mod section_alerts;
mod section_applications;
mod section_ari;
mod section_cluster;
mod section_pbx;
mod section_ports;
mod section_sentinel;
mod section_trunk;
mod self_call;
mod shared;
mod sockets;
mod values;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use crate::codecs::Digit;
use crate::ids::PortId;
use crate::redact::Redacted;
use crate::sdp::Codec;
use crate::timers::Duration;

pub use cluster::{
    Cluster, ClusterProfile, Control, Member, MemberRole, OnCall, Promotion, Rehearsal, Sentinel,
    ServiceAddress, Takeover, TimerProfile, Timers, Trunk,
};
pub use day::Day;
pub use fault::{Fault, Report, Severity};
pub use lines::CONTROL_CALLS;
pub use parse::{Parsed, Source, parse};
pub use section_admin::{Admin, Token, TokenRole};
pub use section_alerts::{Alerts, Webhook};
pub use self_call::NightTime;
pub use shared::{PARTS_MAX, Part, Shared};

/// Everything an operator decides.
#[derive(Clone, Debug)]
pub struct Config {
    /// `[node]`
    pub node: Node,
    /// `[pbx]`
    pub pbx: Pbx,
    /// `[cluster]`
    pub cluster: Cluster,
    /// `[[ports]]`, expanded: one entry a port, indexed by [`PortId`]; behind them the port of
    /// `[control]`, that of the sentinel and that of the trunk, where there are such.
    pub ports: Vec<Port>,
    /// `[control]`
    pub control: Option<Control>,
    /// `[applications.NAME]`
    pub applications: BTreeMap<String, Application>,
    /// `[announce]`, what `builtin:announce` does.
    pub announce: Announce,
    /// `[media]`
    pub media: Media,
    /// `[[autostart_on_promotion]]`, in the order in which they are started.
    pub autostart: Vec<Autostart>,
    /// `[ari]`
    pub ari: Ari,
    /// `[outbound]`
    pub outbound: Outbound,
    /// `[alerts]`
    pub alerts: Alerts,
    /// `[admin]`
    pub admin: Admin,
    /// `[log]`
    pub log: Log,
}

/// This process.
#[derive(Clone, Debug)]
pub struct Node {
    /// Name in logs and `status`.
    pub name: String,
    /// `asterisk_id` of every event and `system.entity_id`; the same on every node of a cluster.
    pub entity_id: String,
}

/// How SIP sockets are laid out (FIELD: CUCM wants one Contact IP:port per device).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SipPorts {
    /// All ports share one socket.
    Shared {
        /// Its number; 0 lets the system choose.
        udp_port: u16,
    },
    /// Port n uses `first + n`.
    PerDevice {
        /// The number of port 0.
        first: u16,
    },
}

/// Transport to the PBX.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// UDP.
    Udp,
    /// TCP; ports share the connection, or have one each with `PerDevice`.
    Tcp,
}

/// Where the 96-bit secret that marks our Contact is carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContactSecret {
    /// In the user part, after the extension.
    User,
    /// As a URI parameter.
    UriParam,
    /// Not at all; the source address alone is checked.
    None,
}

/// What the PBX does with the REGISTER of another device for an extension that is bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecondBinding {
    /// Takes it, in place of the first or beside it.
    Taken,
    /// Refuses it until the first is gone.
    Refused,
}

/// The PBX and how it wants to be spoken to: a profile's values, each of which can be overridden.
#[derive(Clone, Debug)]
pub struct Pbx {
    /// Names the physical PBX; typed by a person.
    pub id: String,
    /// Profile that the defaults came from: `asterisk`, `cucm`, `nec`, `freeswitch`, `kamailio`,
    /// `generic`.
    pub profile: String,
    /// Registrars `host:port` in order of preference.
    pub registrars: Vec<String>,
    /// Domain in From, To and the Request-URI of REGISTER.
    pub domain: String,
    /// Further addresses that may send us requests.
    pub sources: Vec<IpAddr>,
    /// Local address of SIP.
    pub local_address: IpAddr,
    /// Socket layout.
    pub sip_ports: SipPorts,
    /// Transport.
    pub transport: Transport,
    /// Contact secret.
    pub contact_secret: ContactSecret,
    /// Seconds asked for in REGISTER.
    pub expires: u32,
    /// What becomes of a second device's REGISTER.
    pub second_binding: SecondBinding,
    /// REGISTERs a second; `None`: pacing off.
    pub register_rate: Option<u32>,
    /// REGISTERs outstanding at most.
    pub register_window: u32,
    /// The weakest digest algorithm that is answered.
    pub min_digest: DigestAlgorithm,
    /// Status with which a port refuses a call that it cannot serve: 486 or 503.
    pub refuse_status: u16,
    /// How a node of the registrar list is watched (FIELD: OPTIONS counts only after an answer).
    pub options_interval: Option<Duration>,
    /// Session timer: smallest interval that we accept, and what we ask for.
    pub session_expires: Duration,
    /// Session timer: `Min-SE`.
    pub min_se: Duration,
    /// Media may come from another address than the SDP's.
    pub symmetric_rtp: bool,
    /// Detect DTMF tones in the audio until a telephone-event is seen.
    pub inband_dtmf: bool,
    /// Payload type offered for telephone-event.
    pub telephone_event: u8,
    /// Codecs in order of preference.
    pub codecs: Vec<Codec>,
}

/// Digest algorithms, weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DigestAlgorithm {
    /// MD5.
    Md5,
    /// SHA-256.
    Sha256,
    /// SHA-512-256.
    Sha512_256,
}

/// What a port is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortKind {
    /// Its calls are lent to applications.
    Pool,
    /// Its calls go to the menu; applications never see it.
    Control,
    /// Other nodes call it to hear whether the primary lives; applications never see it.
    Sentinel,
    /// Alert calls leave by it while the PBX is not reached; it registers nowhere, and nobody calls
    /// it.
    Trunk,
}

impl PortKind {
    /// Whether only the node that acts registers it.
    pub const fn moves(self) -> bool {
        match self {
            Self::Pool | Self::Sentinel => true,
            Self::Control | Self::Trunk => false,
        }
    }
}

/// One voice port.
#[derive(Clone, Debug)]
pub struct Port {
    /// Its index.
    pub id: PortId,
    /// What it is for.
    pub kind: PortKind,
    /// User part of its AOR.
    pub extension: String,
    /// Name for digest; often the extension.
    pub auth_user: String,
    /// Password for digest.
    pub password: Redacted<String>,
    /// Who serves its calls, in order; nobody, for one that is not of the pool.
    pub applications: Vec<Entry>,
    /// Whether `POST /channels` may use it.
    pub outbound: bool,
}

/// One entry of a port's `applications`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// The pool of instances that connected as this application.
    Application(String),
    /// `builtin:announce`
    Announce,
}

/// Which digits a new owner gets again after a rebind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replay {
    /// Un-acknowledged ones if the application acknowledges; all if none was ever delivered.
    Auto,
    /// Un-acknowledged ones.
    Unacked,
    /// All of the call.
    All,
    /// None.
    None,
}

/// What becomes of a call that no entry serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Overflow {
    /// Hang up.
    Release,
    /// Transfer to this extension or URI.
    Refer(String),
    /// Play `[announce]`.
    Announce,
}

/// One IVR application.
#[derive(Clone, Debug)]
pub struct Application {
    /// Its name in `?app=`.
    pub name: String,
    /// `args` of its StasisStart.
    pub args: Vec<String>,
    /// A call without an instance rings this long, then is answered and hears `hold_prompt`.
    pub queue_ring: Duration,
    /// And waits this long in all before `overflow`.
    pub queue_max: Duration,
    /// Prompt for a waiting caller.
    pub hold_prompt: Option<String>,
    /// Prompt for a caller who was rebound, hears nothing, and whose new owner is silent for 1.5 s.
    pub gateway_prompt: Option<String>,
    /// What becomes of a call that was not taken.
    pub overflow: Overflow,
    /// Silence of pongs that means hung: the least of it.
    pub hang_after: Duration,
    /// StasisStart without any command.
    pub start_deadline: Duration,
    /// Caller hears nothing and nothing happens; `None`: off.
    pub caller_silence: Option<Duration>,
    /// Digits replayed after a rebind.
    pub replay: Replay,
    /// Keys that stop a playback in the data plane.
    pub barge_in: Vec<Digit>,
    /// What `continue` does: release, refer to a target, or go on with the next entry.
    pub on_continue: Continue,
}

/// What ARI `continue` means here, where there is no dialplan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Continue {
    /// Hang up.
    Release,
    /// Transfer to the `extension` of the request.
    Refer,
    /// The next entry of the port's list takes the call.
    Next,
}

/// The built-in announcement: needs no instance.
#[derive(Clone, Debug)]
pub struct Announce {
    /// Prompts, played in order.
    pub prompts: Vec<String>,
    /// How often.
    pub repeats: u32,
    /// And then: release or refer.
    pub then: Overflow,
}

/// Audio.
#[derive(Clone, Debug)]
pub struct Media {
    /// Address in our SDP.
    pub address: IpAddr,
    /// First UDP port for RTP (even).
    pub udp_first: u16,
    /// Last UDP port for RTP.
    pub udp_last: u16,
    /// Worker threads; `None`: one per 2,000 ports.
    pub workers: Option<u16>,
    /// Directory of prompts: `NAME.wav` plays as `sound:NAME`.
    pub prompts: PathBuf,
    /// Directory of recordings.
    pub recordings: PathBuf,
    /// Inbound silence that is reported.
    pub rtp_timeout: Duration,
}

/// A program that a node starts when it is promoted, and ends when it is primary no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Autostart {
    /// Program and arguments.
    pub command: Vec<String>,
    /// It is ready when an instance of this application is connected and healthy.
    pub application: String,
    /// And failed when that takes longer; the next one is started all the same.
    pub ready_within: Duration,
}

/// The ARI-compatible listener.
#[derive(Clone, Debug)]
pub struct Ari {
    /// Address.
    pub listen: SocketAddr,
    /// Where it is spoken over TLS, with the node's certificate of the cluster.
    pub tls_listen: Option<SocketAddr>,
    /// Users by name.
    pub users: BTreeMap<String, AriUser>,
}

/// Who may speak ARI.
#[derive(Clone, Debug)]
pub struct AriUser {
    /// Password.
    pub password: Redacted<String>,
    /// Only GET.
    pub read_only: bool,
    /// Applications that this user may serve; empty: all.
    pub applications: Vec<String>,
}

/// Outbound calls and transfers (SECURITY S-10).
#[derive(Clone, Debug)]
pub struct Outbound {
    /// Patterns of targets: digits, `X` for one digit, a trailing `.` for the rest. Empty: none.
    pub allow: Vec<String>,
    /// Outbound calls at once.
    pub max_calls: u32,
    /// Outbound calls an hour.
    pub max_per_hour: u32,
}

/// Logs.
#[derive(Clone, Debug)]
pub struct Log {
    /// JSON lines or text.
    pub json: bool,
    /// Filter, as `info` or `portkeeper::sip=debug,info`.
    pub filter: String,
}

impl Default for Log {
    fn default() -> Self {
        Self { json: false, filter: "info".to_owned() }
    }
}

#[cfg(test)]
mod tests;
