//! The ARI-compatible link: HTTP requests and WebSocket messages in, events and responses out.
//!
//! Pure: a driver owns the sockets. A channel id is the token of one offer of one call
//! (`<call>.<generation>`); an id of an older generation answers 404 for ever.
//!
//! A request goes through these files: `machine` takes it, `http` and `params` read it, `auth`
//! names the user, `docs::routes` finds the operation (and describes it to clients), one file per
//! resource carries it out, `authority` says on which call. `out` holds what leaves; `model` and
//! `events` are its JSON.

mod applications;
mod asterisk;
mod auth;
mod authority;
mod channel;
mod channels;
mod docs;
mod events;
mod fault;
pub mod fuzz;
mod http;
mod keying;
mod machine;
mod media_uri;
mod model;
mod originate;
mod out;
mod outbound;
mod params;
mod playbacks;
mod recordings;
mod rest_over_ws;
mod sockets;
mod sound;
mod timestamp;
mod tombstones;
mod variables;

#[cfg(test)]
mod tests;

pub use keying::DIGITS_MAX;
pub use machine::Ivr;
pub use out::Counters;
pub use outbound::matches;
pub use sound::PLAYBACKS_MAX;
pub use timestamp::Timestamp;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::codecs::Digit;
use crate::ids::{CallId, Generation, InstanceId, MediaId, PortId, RequestId};
use crate::redact::Redacted;
use crate::timers::Duration;

/// An HTTP request under `/ari`, as the driver read it.
#[derive(Clone, Debug)]
pub struct Request {
    /// Method, upper case.
    pub method: String,
    /// Path and query as they came; may carry `api_key`.
    pub uri: Redacted<String>,
    /// `Host` header.
    pub host: String,
    /// `Authorization` header.
    pub authorization: Option<Redacted<String>>,
    /// `Content-Type` header.
    pub content_type: Option<String>,
    /// `Sec-WebSocket-Protocol` header of an `Upgrade`: the sub-protocols that the client offers.
    pub protocols: Option<String>,
    /// Body, at most 64 KiB.
    pub body: Bytes,
}

/// An HTTP response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// Status.
    pub status: u16,
    /// Further headers.
    pub headers: Vec<(&'static str, String)>,
    /// JSON body, `application/json`; empty for 204.
    pub body: String,
}

/// What the world and the node tell the link.
#[derive(Clone, Debug)]
pub enum Input {
    /// A request over HTTP.
    Request {
        /// To be named in the response.
        request: RequestId,
        /// The request.
        http: Request,
    },
    /// A request to open a WebSocket on `/ari/events`.
    Upgrade {
        /// To be named in the answer.
        request: RequestId,
        /// The name that the connection gets if it is accepted.
        instance: InstanceId,
        /// The request.
        http: Request,
    },
    /// A text message on a WebSocket.
    Text {
        /// Which.
        instance: InstanceId,
        /// The message, hostile.
        text: String,
    },
    /// A WebSocket ended.
    Closed {
        /// Which.
        instance: InstanceId,
    },
    /// A call is offered: make a channel and send StasisStart.
    Offer(Offer),
    /// A call is taken from its owner: StasisEnd, and the id is dead.
    Revoke {
        /// The call.
        call: CallId,
        /// The dead token.
        generation: Generation,
    },
    /// The call changed state.
    State {
        /// The call.
        call: CallId,
        /// What it is.
        state: ChannelState,
    },
    /// A digit for the owner.
    Digit {
        /// The call.
        call: CallId,
        /// The key.
        digit: Digit,
        /// How long, in milliseconds.
        duration_ms: u32,
    },
    /// The far end held the call or took it back.
    Hold {
        /// The call.
        call: CallId,
        /// Held or not.
        on: bool,
    },
    /// A playback began to sound.
    PlaybackStarted {
        /// The call.
        call: CallId,
        /// Which.
        id: MediaId,
    },
    /// A further URI of a playback sounds.
    PlaybackContinuing {
        /// The call.
        call: CallId,
        /// Which.
        id: MediaId,
        /// Its place in the list.
        part: usize,
    },
    /// A playback ended; `failed`: its media could not be found.
    PlaybackFinished {
        /// The call.
        call: CallId,
        /// Which.
        id: MediaId,
        /// It never sounded.
        failed: bool,
    },
    /// A recording ended.
    RecordingFinished {
        /// The call.
        call: CallId,
        /// Which.
        id: MediaId,
        /// Its length in milliseconds.
        duration_ms: u64,
        /// It could not be written.
        failed: bool,
    },
    /// Digits of a `Dtmf` are dealt with: there is room for so many others.
    Keyed {
        /// The call.
        call: CallId,
        /// How many were sent.
        sent: u32,
        /// How many never will be.
        lost: u32,
    },
    /// Nobody serves the application of a `Move`: the call stays with its owner.
    MoveFailed {
        /// The call.
        call: CallId,
        /// To which application.
        application: String,
        /// With which arguments.
        args: Vec<String>,
    },
    /// The answer to `Originate`.
    Originated {
        /// Of which request.
        request: RequestId,
        /// The call, or why not: a status and a sentence.
        result: Result<NewCall, (u16, String)>,
    },
    /// Something of the cluster, told to every instance once, as a ChannelUserevent.
    News {
        /// `primary.down`, `promotion.done`, ...
        name: &'static str,
        /// What belongs to it.
        details: Vec<(&'static str, String)>,
    },
    /// The call is over: ChannelHangupRequest if the far end did it, StasisEnd, ChannelDestroyed.
    Ended {
        /// The call.
        call: CallId,
        /// Q.850 cause.
        cause: u8,
        /// The far end hung up.
        by_caller: bool,
    },
}

/// A call placed by `POST /channels`: its channel exists before it is answered.
#[derive(Clone, Debug)]
pub struct NewCall {
    /// The call.
    pub call: CallId,
    /// The port.
    pub port: PortId,
    /// `protocol_id`: stays with the call. Never the Call-ID header, which is as good as a key
    /// to the dialog. Empty: the name of the call.
    pub protocol_id: String,
}

/// A call offered to an instance.
#[derive(Clone, Debug)]
pub struct Offer {
    /// The call.
    pub call: CallId,
    /// The port.
    pub port: PortId,
    /// Its extension.
    pub extension: String,
    /// The token.
    pub generation: Generation,
    /// Who gets it.
    pub instance: InstanceId,
    /// As which application.
    pub application: String,
    /// Arguments of StasisStart.
    pub args: Vec<String>,
    /// `GW_REASON`: why it is offered.
    pub reason: &'static str,
    /// State as is.
    pub state: ChannelState,
    /// Caller: name and number.
    pub caller: (String, String),
    /// Dialled: name and number.
    pub connected: (String, String),
    /// `protocol_id`: stays with the call. Never the Call-ID header, which is as good as a key
    /// to the dialog. Empty: the name of the call.
    pub protocol_id: String,
    /// Variables that the call has, `GW_CHECKPOINT` among them.
    pub variables: Vec<(String, String)>,
}

/// ARI's `state` of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelState {
    /// Not there yet.
    Down,
    /// Inbound, not answered.
    Ring,
    /// Outbound, ringing.
    Ringing,
    /// Answered.
    Up,
}

/// A source of sound, from a `media` URI.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MediaUri {
    /// `sound:NAME`
    Sound(String),
    /// `digits:1234`, spoken one by one.
    Digits(String),
    /// `number:1234`, spoken as a number.
    Number(u64),
    /// `tone:ring`
    Tone(String),
    /// `recording:NAME`
    Recording(String),
}

/// What an application wants done with its channel. Each one is also a sign of life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChannelCommand {
    /// A GET on the channel: a sign of life, nothing else.
    Read,
    /// Answer.
    Answer,
    /// Ring, or stop ringing.
    Ring(bool),
    /// Play, after what waits.
    Play {
        /// Its number.
        id: MediaId,
        /// The pieces.
        media: Vec<MediaUri>,
        /// Language directory.
        language: String,
        /// Where to begin, from the start of the first piece.
        offset: Duration,
        /// Step of forward and reverse.
        skip: Duration,
    },
    /// Act on a playback.
    Playback {
        /// Its number.
        id: MediaId,
        /// ARI operation: restart, pause, unpause, reverse, forward, stop.
        control: PlaybackControl,
    },
    /// Record.
    Record {
        /// Its number.
        id: MediaId,
        /// File name without ending; checked for path characters.
        name: String,
        /// What becomes of a file of that name.
        if_exists: IfExists,
        /// Seconds; `None`: no limit.
        max_duration: Option<Duration>,
        /// Seconds; `None`: no limit.
        max_silence: Option<Duration>,
        /// `none`, `any`, `*`, `#`: the keys.
        terminate_on: Vec<Digit>,
        /// Beep first.
        beep: bool,
    },
    /// End a recording; `discard` throws it away.
    StopRecord {
        /// Its number.
        id: MediaId,
        /// Keep nothing.
        discard: bool,
    },
    /// Set a variable.
    SetVariable {
        /// Name.
        name: String,
        /// Value, at most 4 KiB.
        value: String,
    },
    /// Send digits, as soon as the call is answered. Each is told of in `Input::Keyed`, until when
    /// it counts as one of the 64 that a call may have waiting.
    Dtmf {
        /// The keys.
        digits: Vec<Digit>,
        /// Wait first.
        before: Duration,
        /// Pause between.
        between: Duration,
        /// Length of each.
        duration: Duration,
        /// Wait after.
        after: Duration,
    },
    /// Hang up.
    Hangup {
        /// Q.850 cause.
        cause: u8,
    },
    /// Leave the application.
    Continue {
        /// Where to, if the configuration says refer.
        extension: Option<String>,
    },
    /// Transfer.
    Redirect {
        /// Extension or SIP URI, checked against the allow-list.
        target: String,
    },
    /// To another application.
    Move {
        /// Which.
        application: String,
        /// Its arguments.
        args: Vec<String>,
    },
    /// Music on hold, on or off.
    Moh(bool),
    /// Silence, on or off: what plays stops.
    Silence(bool),
    /// Hold the far end, or take it back.
    Hold(bool),
    /// Mute.
    Mute {
        /// Audio to the caller; `None`: unchanged.
        out: Option<bool>,
        /// Audio from the caller; `None`: unchanged.
        inbound: Option<bool>,
    },
}

/// What a recording does when a file of its name is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfExists {
    /// It fails.
    Fail,
    /// It takes its place once it is whole.
    Overwrite,
    /// It goes on where that one ends.
    Append,
}

/// Operations on a playback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlaybackControl {
    /// Back to the beginning.
    Restart,
    /// Stand still.
    Pause,
    /// Go on.
    Unpause,
    /// Back by `skip`.
    Reverse,
    /// On by `skip`.
    Forward,
    /// End it.
    Stop,
}

/// What the link wants done.
#[derive(Clone, Debug)]
pub enum Output {
    /// Answer an HTTP request (or refuse an `Upgrade`).
    Respond {
        /// Which.
        request: RequestId,
        /// With what.
        response: Response,
    },
    /// Accept an `Upgrade`; the instance is up.
    Accept {
        /// Which.
        request: RequestId,
        /// The connection's name.
        instance: InstanceId,
        /// Applications that it serves.
        applications: Vec<String>,
        /// The user.
        user: String,
        /// Sub-protocol to echo.
        protocol: Option<&'static str>,
    },
    /// Send a text message.
    Text {
        /// To whom.
        instance: InstanceId,
        /// What.
        text: String,
    },
    /// An owner, checked to be one, wants something done.
    Command {
        /// The port.
        port: PortId,
        /// The call.
        call: CallId,
        /// The owner's token.
        generation: Generation,
        /// What.
        command: ChannelCommand,
    },
    /// `POST /channels`. Answered by `Originated`.
    Originate {
        /// Of which request.
        request: RequestId,
        /// Extension or SIP URI, checked against the allow-list.
        target: String,
        /// For whom.
        application: String,
        /// Arguments of StasisStart.
        args: Vec<String>,
        /// Caller name and number.
        caller: (String, String),
        /// Give up after this.
        timeout: Duration,
        /// Variables of the new call.
        variables: Vec<(String, String)>,
        /// Over whose WebSocket it was asked, if it was.
        by: Option<InstanceId>,
    },
    /// A command came with a stale token and was refused with 404.
    Stale {
        /// The call, if it is known.
        call: Option<CallId>,
    },
}
