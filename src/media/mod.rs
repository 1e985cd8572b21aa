//! The data plane of one voice port: a machine that turns commands, datagrams and the clock into
//! RTP packets and events.
//!
//! It lives on a media worker thread that owns its socket; nothing here waits, locks or allocates
//! while a call runs.

mod call;
mod digits;
mod events;
mod inbound;
mod jitter;
mod keying;
mod line;
mod playback;
mod port;
mod recorder;
mod rtcp;
mod source;
mod stream;
mod watch;

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::codecs::Digit;
use crate::ids::{CallId, MediaId};
use crate::sdp::{Codec, Negotiated};
use crate::timers::Duration;

pub use playback::PLAYBACKS_MAX;
pub use port::{Input, MediaPort, Output};
pub use stream::Punctuality;

/// What every port of a node has in common.
#[derive(Debug)]
pub struct Config {
    /// Silence of a far end that ought to send, before `InboundSilent`.
    pub silent_after: Duration,
    /// What sounds before a recording that asks for a beep.
    pub beep: Arc<Prompt>,
    /// How often a stream tells where it stands; `None`: nobody asks.
    pub standing_every: Option<Duration>,
}

impl Default for Config {
    /// 10 s: longer than a phone that changes its network, shorter than a caller's patience.
    fn default() -> Self {
        let silent_after = Duration::from_secs(10);
        Self { silent_after, beep: Arc::new(recorder::beep()), standing_every: None }
    }
}

/// A prompt in both wire codecs, ready to send: one byte a sample at 8,000 samples a second.
#[derive(Debug)]
pub struct Prompt {
    /// The prompt as mu-law.
    pub pcmu: Bytes,
    /// The same as A-law.
    pub pcma: Bytes,
}

impl Prompt {
    /// Its length in samples; a prompt whose two halves differ is as long as the shorter.
    pub fn len(&self) -> usize {
        self.pcmu.len().min(self.pcma.len())
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes to send in a codec.
    pub fn in_codec(&self, codec: Codec) -> &[u8] {
        let bytes = match codec {
            Codec::Pcmu => &self.pcmu,
            Codec::Pcma => &self.pcma,
        };
        &bytes[..self.len()]
    }
}

/// What the far end may send from (SECURITY R-01, RFC 4961).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourcePolicy {
    /// Only the address and port of the SDP; anything else is dropped and counted.
    Strict,
    /// In the first 3 s, or after the SDP changed, a source other than the SDP's may be learned
    /// from 5 packets of one SSRC when the SDP's own stays silent; then it is locked.
    Symmetric,
}

/// How a stream begins, or goes on. All three numbers are random for a new call (SECURITY R-02).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamStart {
    /// Synchronisation source.
    pub ssrc: u32,
    /// First sequence number.
    pub sequence: u16,
    /// First timestamp.
    pub timestamp: u32,
}

impl StreamStart {
    /// Where the stream stands `later`: packets of 20 ms have left.
    #[must_use]
    pub fn after(self, later: Duration) -> Self {
        // Both numbers wrap, so their lower halves are all that counts.
        let packets = (later.as_millis() / 20) as u16;
        let samples = (later.as_nanos() / 125_000) as u32;
        Self {
            sequence: self.sequence.wrapping_add(packets),
            timestamp: self.timestamp.wrapping_add(samples),
            ..self
        }
    }
}

/// A key press that came as a telephone-event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyPress {
    /// The key, by its event code (RFC 4733 section 3.2).
    pub event: u8,
    /// RTP timestamp of its beginning: its name in the stream.
    pub rtp_timestamp: u32,
}

/// A set of digits, as for barge-in: which keys stop a playback.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DigitSet(pub u16);

impl DigitSet {
    /// No key.
    pub const NONE: Self = Self(0);

    /// Whether the key is in the set.
    pub fn contains(self, digit: Digit) -> bool {
        self.0 & (1 << digit.event()) != 0
    }

    /// The set with the key in it.
    #[must_use]
    pub fn with(self, digit: Digit) -> Self {
        Self(self.0 | 1 << digit.event())
    }
}

/// One playback: pieces played one after the other without a gap.
#[derive(Clone, Debug)]
pub struct Playback {
    /// Its name in events.
    pub id: MediaId,
    /// The pieces.
    pub pieces: Vec<Arc<Prompt>>,
    /// The pieces with which a further part begins; each is told when it does.
    pub parts: Vec<usize>,
    /// Where to begin, from the start of the first piece.
    pub offset: Duration,
    /// How far `forward` and `reverse` move.
    pub skip: Duration,
    /// Start over at the end, for ever (hold music, tones).
    pub repeat: bool,
    /// Keys that stop it, in the data plane, without asking anybody.
    pub barge_in: DigitSet,
    /// Stop what plays or waits and begin at the next frame boundary; otherwise wait in line.
    pub replace: bool,
}

/// What an application may do to a running playback (ARI `operation`).
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

/// A recording of what the caller says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recording {
    /// Its name in events and in the recorder's frames.
    pub id: MediaId,
    /// Name of its file below the directory of recordings, without `.wav`.
    pub name: Arc<str>,
    /// What becomes of a file of that name.
    pub if_exists: IfExists,
    /// End after this much; `None`: no limit.
    pub max_duration: Option<Duration>,
    /// End after this much silence; `None`: never.
    pub max_silence: Option<Duration>,
    /// Keys that end it.
    pub terminate_on: DigitSet,
    /// Sound a beep first.
    pub beep: bool,
}

/// What the node tells a port's media.
#[derive(Clone, Debug)]
pub enum Command {
    /// Take the UDP port for a new call. Answered by `Opened` or `OpenFailed`.
    Open {
        /// The call. Every event names the call that it is of, because the last events of one call
        /// may reach the node when the next has begun.
        call: CallId,
        /// Local RTP port, even; RTCP is the next one.
        udp_port: u16,
        /// How the stream begins.
        start: StreamStart,
        /// What the far end may send from.
        policy: SourcePolicy,
        /// Listen for keys as tones, until the first telephone-event is seen.
        detect_tones: bool,
    },
    /// The last key press of the far end's stream that another node has reported already. Comes
    /// before the first packet.
    GoOnAfter(KeyPress),
    /// The result of an offer and answer; may come again at any time.
    Session(Negotiated),
    /// Play something.
    Play(Playback),
    /// Play several things, in order. What waited for a file may be many playbacks at once, and
    /// one command takes one place in the queue.
    PlayAll(Vec<Playback>),
    /// Act on a playback.
    Control {
        /// Which.
        id: MediaId,
        /// What to do.
        control: PlaybackControl,
    },
    /// End every playback, running and waiting. Each reports `PlaybackFinished`.
    StopAll,
    /// Send digits to the far end as telephone-events, after what waits already. Each is reported
    /// in `Keyed`.
    SendDigits {
        /// The keys, in order.
        digits: Vec<Digit>,
        /// How long each lasts.
        duration: Duration,
        /// Pause between two.
        between: Duration,
        /// Pause after the last, before anything that was sent later.
        after: Duration,
    },
    /// Record the caller.
    Record(Recording),
    /// End a recording; it reports `RecordingFinished`.
    StopRecord {
        /// Which.
        id: MediaId,
        /// Keep nothing of it.
        discard: bool,
    },
    /// Stop or let pass audio: to the caller (`out`), from the caller (`inbound`).
    Mute {
        /// Send silence instead of audio.
        out: bool,
        /// Record and detect nothing.
        inbound: bool,
    },
    /// The call is over: give the socket back.
    Close,
    /// The call goes on at another node, in the same stream: give the socket back, and tell the far
    /// end of no end.
    Leave,
}

/// Why a playback ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlaybackEnd {
    /// Played to its end.
    Completed,
    /// Stopped by a command, or replaced.
    Stopped,
    /// Stopped by a key of the caller.
    BargedIn,
}

/// Why a recording ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordingEnd {
    /// By command, or the call ended.
    Stopped,
    /// By command, and nothing of it is kept.
    Discarded,
    /// `max_duration` reached.
    Duration,
    /// `max_silence` reached.
    Silence,
    /// A key of `terminate_on`.
    Digit,
    /// It could not be written: the disk is full, the name is taken, or one runs on this port.
    Failed,
}

/// What a port's media tells the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The UDP port is ours.
    Opened,
    /// The UDP port was taken by somebody; try another.
    OpenFailed,
    /// A key press. Reported when it begins; once per press.
    Digit {
        /// The key.
        digit: Digit,
        /// How long it has lasted when reported, in milliseconds.
        duration_ms: u32,
        /// RTP timestamp of its beginning.
        rtp_timestamp: u32,
        /// Heard as a tone, not received as a telephone-event: anybody who talks can make one, so
        /// it never counts for a PIN (SECURITY R-03).
        in_band: bool,
    },
    /// The first frame of a playback left.
    PlaybackStarted {
        /// Which.
        id: MediaId,
    },
    /// Another part of a playback began to leave, or was jumped to.
    PlaybackContinuing {
        /// Which.
        id: MediaId,
        /// The part: 0 is the first.
        part: usize,
    },
    /// Digits of `SendDigits`, which came one after the other.
    Keyed {
        /// So many began to leave.
        sent: u32,
        /// So many never will: more than 64 waited.
        lost: u32,
    },
    /// A playback is over.
    PlaybackFinished {
        /// Which.
        id: MediaId,
        /// Why.
        end: PlaybackEnd,
        /// How far it came, in milliseconds from its start.
        position_ms: u64,
    },
    /// A recording is over.
    RecordingFinished {
        /// Which.
        id: MediaId,
        /// Why.
        end: RecordingEnd,
        /// Its length in milliseconds.
        duration_ms: u64,
    },
    /// Where our stream stands: the numbers of the next packet, for a node that carries it on.
    Standing(StreamStart),
    /// Another stream of the far end speaks: its SSRC changed. Somebody else may be on the line.
    NewSsrc,
    /// No RTP from the far end for the time-out, though it ought to send.
    InboundSilent,
    /// RTP from the far end again.
    InboundBack,
    /// Digits were refused: they are lost, and somebody must hear of it.
    DigitsRefused {
        /// How many since the last report.
        count: u32,
        /// Why.
        why: Refusal,
    },
}

/// Why digits were refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refusal {
    /// More than the queue holds: the node is stuck (see the bound in ARCHITECTURE.md).
    NodeStuck,
    /// More than 12 in a second, which no person keys and no pause of a machine allows.
    TooFast,
}

/// Counters of one port's stream, cumulative over the call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Packets sent.
    pub sent: u64,
    /// Packets accepted.
    pub received: u64,
    /// Packets missing from the far end's sequence.
    pub lost: u64,
    /// Packets from a wrong source, SSRC or payload type, or malformed.
    pub refused: u64,
    /// Packets that left more than 5 ms after their time.
    pub late: u64,
    /// Interarrival jitter (RFC 3550 section 6.4.1), in timestamp units.
    pub jitter: u32,
    /// Position of the running playback in milliseconds, if one runs.
    pub playback_position_ms: Option<u64>,
    /// Where packets come from, once locked.
    pub source: Option<SocketAddr>,
}
