//! SIP user agent of the pool: registrations, calls, transfers.
//!
//! [`Command`] and [`Event`] are all that the node sees of it; messages, transactions and dialogs
//! stay inside. It has never heard of an IVR instance.

mod deadlines;
pub mod dialog;
pub mod digest;
pub mod endpoint;
mod ident;
pub mod message;
mod pacing;
mod registrars;
mod registration;
mod session;
mod sources;
mod transaction;
mod transport;
pub mod wire;

pub use endpoint::Endpoint;
pub use endpoint::status::{Counters, Status};
pub use session::{MediaState, Recovery, Refresher, Terms, Way, snapshot};

use std::net::SocketAddr;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::codecs::Digit;
use crate::ids::{CallId, Epoch, PortId};
use crate::redact::Redacted;
use crate::sdp::{LocalMedia, Negotiated};
use crate::timers::Duration;

/// One of our UDP sockets, or TCP listeners: 0 when shared, else the port's index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SocketId(pub u16);

/// One TCP connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub u64);

/// What the world tells the endpoint.
#[derive(Clone, Debug)]
pub enum Input {
    /// A datagram arrived.
    Datagram {
        /// At which socket.
        socket: SocketId,
        /// From where.
        from: SocketAddr,
        /// Its bytes, hostile.
        bytes: Bytes,
    },
    /// A connection that we asked for stands, or somebody connected.
    StreamUp {
        /// Its name; ours for a `Connect`, the driver's (upper half set) for an accepted one.
        stream: StreamId,
        /// The other side.
        peer: SocketAddr,
        /// Our side.
        local: SocketAddr,
    },
    /// Bytes of a connection, in order, cut anywhere.
    StreamData {
        /// Which.
        stream: StreamId,
        /// Bytes, hostile.
        bytes: Bytes,
    },
    /// A connection ended, or could not be made.
    StreamDown {
        /// Which.
        stream: StreamId,
    },
    /// What became of a `Resolve`.
    Resolved {
        /// The entry of `pbx.registrars`.
        entry: usize,
        /// Its addresses, or why there are none.
        found: Result<Vec<SocketAddr>, String>,
    },
    /// An order of the node.
    Command(Command),
}

/// What the endpoint wants done.
#[derive(Clone, Debug)]
pub enum Output {
    /// Send a datagram.
    Datagram {
        /// From which socket.
        socket: SocketId,
        /// To where.
        to: SocketAddr,
        /// Its bytes.
        bytes: Bytes,
        /// Only a primary may send it, and no longer than it is one: REGISTER, 1xx and 2xx to
        /// INVITE, and what changes a dialog, of the ports of the pool.
        claims: bool,
    },
    /// Make a connection. Answered by `StreamUp` or `StreamDown`.
    Connect {
        /// Its name from then on.
        stream: StreamId,
        /// From which local socket's address.
        socket: SocketId,
        /// To where.
        to: SocketAddr,
    },
    /// Send bytes on a connection.
    StreamSend {
        /// Which.
        stream: StreamId,
        /// What.
        bytes: Bytes,
        /// As in `Datagram`.
        claims: bool,
    },
    /// End a connection.
    StreamClose {
        /// Which.
        stream: StreamId,
    },
    /// Resolve an entry of `pbx.registrars`. Answered by `Resolved`.
    Resolve {
        /// Its place in the list.
        entry: usize,
    },
    /// Something that the node wants to know.
    Event(Event),
}

/// What the node tells the endpoint.
#[derive(Clone, Debug)]
pub enum Command {
    /// Keep a port registered from here on.
    Register {
        /// Which.
        port: PortId,
    },
    /// Take a port's binding away (orderly stop).
    Unregister {
        /// Which.
        port: PortId,
    },
    /// From here on ports are registered as a primary of this epoch.
    Epoch(Epoch),
    /// Keep a port registered that another node had: at once, and without believing a refusal
    /// until the binding of that node must be over.
    TakeOver {
        /// Which.
        port: PortId,
        /// That node's binding, as far as it was told.
        before: Option<Box<Binding>>,
    },
    /// Send a text to an extension by MESSAGE; answered by [`Event::Texted`].
    Text {
        /// Who sends it.
        port: PortId,
        /// The answer repeats it.
        id: u32,
        /// A number, or a SIP URI.
        target: String,
        /// The text.
        text: String,
    },
    /// Ask the registrar for a port's bindings, which proves its password and changes nothing.
    /// Answered by `Queried`.
    Query {
        /// Which.
        port: PortId,
    },
    /// Renew every binding of the pool once: a late REGISTER of the node before may have taken
    /// one back.
    Verify,
    /// Think no more of a port's binding, and leave it to whoever has it now.
    Abandon {
        /// Which.
        port: PortId,
    },
    /// Think no more of a call: another node has it, or nobody. The far end is told nothing.
    Forget {
        /// Which.
        call: CallId,
    },
    /// Refuse new calls with 503 and answer OPTIONS with 503 (drain of the node), or accept again.
    Drain(bool),
    /// Send 180.
    Ring {
        /// Which call.
        call: CallId,
    },
    /// Answer with 200.
    Answer {
        /// Which call.
        call: CallId,
        /// What we offer or answer with.
        media: LocalMedia,
    },
    /// Refuse an unanswered call.
    Refuse {
        /// Which call.
        call: CallId,
        /// Status 400-699.
        status: u16,
    },
    /// End a call in whatever state it is: CANCEL, refusal or BYE.
    Hangup {
        /// Which call.
        call: CallId,
        /// Q.850 cause for the Reason header (RFC 3326).
        cause: Option<u8>,
    },
    /// Place a call.
    Invite {
        /// Its name, from `Endpoint::next_call_id`.
        call: CallId,
        /// From which port.
        port: PortId,
        /// Whom: an extension (completed with the PBX domain) or a SIP URI.
        target: String,
        /// Display name and number for From.
        caller: Party,
        /// What we offer.
        media: LocalMedia,
    },
    /// Transfer a call (REFER, RFC 3515).
    Refer {
        /// Which call.
        call: CallId,
        /// To whom: extension or SIP URI.
        target: String,
        /// Attended: the call that the far end shall replace (RFC 3891).
        replaces: Option<CallId>,
    },
    /// Hold the far end or take it back, by re-INVITE.
    Hold {
        /// Which call.
        call: CallId,
        /// Hold or resume.
        on: bool,
    },
    /// Carry on a call of another node. Answered by `Recovered`, or by `Ended`.
    Recover(Box<Recovery>),
    /// Send a digit by INFO, where no telephone-event was agreed. Answered by `InfoDone`.
    SendInfo {
        /// Which call.
        call: CallId,
        /// The key.
        digit: Digit,
        /// How long.
        duration: Duration,
    },
}

/// A person in a call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Party {
    /// Display name.
    pub name: Redacted<String>,
    /// Number or user part.
    pub number: Redacted<String>,
}

/// A port's binding as its holder knows it: what another node needs to take its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binding {
    /// Which port.
    pub port: PortId,
    /// The exact Contact.
    pub contact: Redacted<String>,
    /// Seconds granted.
    pub granted: u32,
    /// Call-ID of its REGISTERs.
    pub call_id: Redacted<String>,
    /// CSeq of the last of them, or an earlier one.
    pub cseq: u32,
    /// What its holder acts under.
    #[serde(default)]
    pub epoch: Epoch,
}

/// What a registrar says to a question that changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Queried {
    /// It takes the port's password.
    Proven,
    /// It does not, or does not want to be asked.
    Refused {
        /// The status.
        status: u16,
    },
    /// It says nothing.
    Silent,
}

/// State of a port's binding at the PBX.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegistrationState {
    /// Not asked for, or taken away.
    Off,
    /// Under way.
    Pending,
    /// Bound for so many more seconds at registrar `node`.
    Registered {
        /// Granted seconds.
        expires: u32,
        /// Index into the registrar list.
        node: usize,
    },
    /// The PBX refused the password or the account (401 again, 403, 404): a person must act.
    Refused {
        /// Its last status.
        status: u16,
        /// What it comes from, where the status alone would mislead: we gave no credentials.
        why: Option<&'static str>,
    },
    /// No answer, or 5xx, from every node of the list; tried again.
    Unreachable {
        /// The last status that one of them answered with, or 503 for a connection that was
        /// lost and for what could not be sent; `None`: not one of them is there.
        status: Option<u16>,
    },
    /// No name of the registrar list resolves: there is nobody to ask. Goes on by itself.
    Unresolved,
}

/// Why a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndCause {
    /// The far end hung up (BYE).
    RemoteHangup,
    /// The far end gave up before the answer (CANCEL, Expires).
    Cancelled,
    /// We hung up.
    LocalHangup {
        /// The Q.850 cause that was given for it.
        cause: Option<u8>,
    },
    /// Refused by the far end, or by us.
    Refused {
        /// The status.
        status: u16,
    },
    /// No ACK, no answer to a refresh, 481/408 in the dialog.
    Lost,
    /// Offer and answer found nothing in common, or the SDP was wrong.
    Media,
}

/// What the endpoint tells the node.
#[derive(Clone, Debug)]
pub enum Event {
    /// A port's binding changed.
    Registration {
        /// Which port.
        port: PortId,
        /// What it is.
        state: RegistrationState,
    },
    /// The registrar lists a binding of a node that acts under a higher epoch.
    Outranked {
        /// Which.
        epoch: Epoch,
    },
    /// Whether any node of the registrar list answers OPTIONS, from the first answer on; told with
    /// every OPTIONS.
    Answers {
        /// One does.
        any: bool,
    },
    /// The trunk answers OPTIONS, or has left three in a row unanswered. Told when it changes.
    Trunk {
        /// It does.
        answers: bool,
    },
    /// A name of the registrar list does not resolve, or does again.
    Named {
        /// Its place in the list.
        entry: usize,
        /// Why not; `None`: it does.
        why: Option<String>,
    },
    /// What became of a text.
    Texted {
        /// Which.
        id: u32,
        /// The final answer; `None`: there is none.
        status: Option<u16>,
    },
    /// What became of a `Query`.
    Queried {
        /// Which port.
        port: PortId,
        /// What.
        queried: Queried,
    },
    /// The PBX calls a port.
    Incoming(Incoming),
    /// An outbound call rings (any 18x).
    Ringing {
        /// Which.
        call: CallId,
    },
    /// The call is up: ACK received, or 200 received and acknowledged.
    Established {
        /// Which.
        call: CallId,
    },
    /// An offer and answer completed; also at every change.
    Media {
        /// Which.
        call: CallId,
        /// The result.
        media: Negotiated,
    },
    /// The far end's identity changed (UPDATE or re-INVITE with another party).
    Identity {
        /// Which.
        call: CallId,
        /// Who it is.
        caller: Party,
    },
    /// A digit by INFO.
    Digit {
        /// Which.
        call: CallId,
        /// The key.
        digit: Digit,
        /// How long, in milliseconds.
        duration_ms: u32,
    },
    /// The INFO of a digit is over.
    InfoDone {
        /// Which call.
        call: CallId,
        /// The far end took it; otherwise the digit is lost.
        sent: bool,
    },
    /// The far end refused to be held, or to be resumed: all is as it was before.
    HoldRefused {
        /// Which call.
        call: CallId,
        /// What it refused.
        on: bool,
    },
    /// A transfer ended. On success the call ends by itself or the node hangs up.
    Referred {
        /// Which.
        call: CallId,
        /// Final status of the transfer, 200 for success.
        status: u16,
    },
    /// The far end has agreed to speak with this node in a call that another one began.
    Recovered {
        /// Which.
        call: CallId,
    },
    /// The call is over and forgotten.
    Ended {
        /// Which.
        call: CallId,
        /// Why.
        cause: EndCause,
    },
    /// Something that a person should hear of.
    Alarm {
        /// The port whose binding it concerns; `None`: something that happened once.
        port: Option<PortId>,
        /// One clear line, in place of the port's last one.
        text: String,
    },
    /// The last alarm of a port's binding is over.
    AlarmOver {
        /// The port.
        port: PortId,
    },
}

impl Event {
    /// The call that it is of.
    pub const fn call(&self) -> Option<CallId> {
        match self {
            Self::Registration { .. }
            | Self::Outranked { .. }
            | Self::Answers { .. }
            | Self::Trunk { .. }
            | Self::Named { .. }
            | Self::Queried { .. }
            | Self::Texted { .. }
            | Self::Alarm { .. }
            | Self::AlarmOver { .. } => None,
            Self::Incoming(Incoming { call, .. })
            | Self::Ringing { call }
            | Self::Established { call }
            | Self::Media { call, .. }
            | Self::Identity { call, .. }
            | Self::Digit { call, .. }
            | Self::InfoDone { call, .. }
            | Self::HoldRefused { call, .. }
            | Self::Referred { call, .. }
            | Self::Recovered { call }
            | Self::Ended { call, .. } => Some(*call),
        }
    }
}

/// A new call from the PBX.
#[derive(Clone, Debug)]
pub struct Incoming {
    /// Its name.
    pub call: CallId,
    /// Which port.
    pub port: PortId,
    /// Who calls, by the order of identity headers of the profile.
    pub caller: Party,
    /// What was dialled first (Diversion, History-Info), else the port's extension.
    pub called: Party,
    /// Call-ID header, for correlation (`protocol_id`). Secret outside ARI.
    pub sip_call_id: Redacted<String>,
}
