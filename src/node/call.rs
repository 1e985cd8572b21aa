//! What the node itself knows of a call: the facts that its machines do not share, and what the
//! call waits for.
//!
//! The pool owns whom a call belongs to, the endpoint its dialog, the media port its sound. Here
//! is the rest: who calls, which UDP port, what sounds by whose order.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use crate::codecs::Digit;
use crate::ids::{CallId, Generation, InstanceId, MediaId, PortId, RequestId};
use crate::ivr;
use crate::media::{self, DigitSet, KeyPress, StreamStart};
use crate::sdp::Negotiated;
use crate::sip::Party;
use crate::timers::{Duration, Instant};

use super::OWN_MAX;
use super::record::Resume;
use super::sound::Sound;

/// One call.
#[derive(Debug)]
pub struct Call {
    pub id: CallId,
    /// Its line: of a voice port, the port; see `Config::lines`.
    pub port: PortId,
    pub began_at: Instant,
    pub caller: Party,
    pub called: Party,
    pub udp_port: u16,
    pub socket: Socket,
    /// Where our stream stood, and when.
    pub stream: Option<(StreamStart, Instant)>,
    pub leg: Leg,
    pub state: ivr::ChannelState,
    pub negotiated: Option<Negotiated>,
    /// Nothing has come from the caller for `media.rtp_timeout`, where something should.
    pub silent: bool,
    /// The far end holds us.
    pub held: bool,
    /// We hold the far end, because an application said so.
    pub holds: bool,
    /// The owner's application, and the latest offer.
    pub application: Option<String>,
    pub offer: Option<OfferMade>,
    /// Playbacks and recordings that are not over.
    pub live: BTreeSet<MediaId>,
    /// The playbacks among them that the media port has, in order.
    pub sounds: Vec<Sound>,
    /// Another node had it; what is told as soon as the UDP port is open.
    pub recovery: Option<Box<Resume>>,
    /// Its far end does not speak with this node yet.
    pub moving: bool,
    /// How often another node had it before.
    pub takeovers: u32,
    /// How often it was offered again.
    pub rebinds: u32,
    /// We placed it.
    pub outbound: bool,
    pub answered_at: Option<Instant>,
    /// Hold music that an application asked for.
    pub music: Option<MediaId>,
    /// The recording that runs.
    pub recording: Option<MediaId>,
    /// What an earlier owner, or the node, left sounding: the next sound replaces it.
    pub inherited: bool,
    /// Plays that wait for a stored recording to be read, in order.
    pub waiting: VecDeque<WaitingPlay>,
    /// Keys that stop a playback; `GW_BARGE_IN` overrides the application's.
    pub barge_in: Option<DigitSet>,
    pub muted: (bool, bool),
    /// Digits that an application sends and that wait: for their `before`, for those that were
    /// asked for earlier, for an answer. The link bounds them.
    pub digits_later: VecDeque<DigitsOut>,
    /// Those that go out.
    pub keying: Keying,
    /// Rounds of the announcement that are left; `None`: no announcement runs.
    pub announce: Option<Announcing>,
    /// The dialog stands: 200 was acknowledged. Only then can the call be transferred.
    pub established: bool,
    /// What becomes of the call when its transfer fails.
    pub transfer: Option<Transfer>,
    /// Whom to transfer it to once the dialog stands.
    pub refer_to: Option<String>,
    pub digits: u64,
    /// The last of them that was a telephone-event.
    pub last_key: Option<KeyPress>,
    next_own: u32,
}

/// The UDP port of the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Socket {
    /// Asked for; what was wanted meanwhile happens when it opens.
    Opening { answer: bool, tries: u8 },
    /// Ours.
    Open,
}

/// Which way the call goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leg {
    /// The PBX called.
    Inbound,
    /// We call `target`; the request waits until the UDP port is open.
    Outbound { request: RequestId, target: String, give_up_at: Instant },
}

/// The latest offer of a call.
#[derive(Clone, Copy, Debug)]
pub struct OfferMade {
    pub generation: Generation,
    pub instance: InstanceId,
    /// Who had the call before.
    pub from: Option<InstanceId>,
    /// When the socket took StasisStart.
    pub written_at: Option<Instant>,
    /// It was answered with a command.
    pub claimed: bool,
    /// The first sound that this owner asked for.
    pub first_sound: Option<MediaId>,
}

/// A play whose sound is not all here yet.
#[derive(Debug)]
pub struct WaitingPlay {
    pub id: MediaId,
    pub media: Vec<ivr::MediaUri>,
    pub language: String,
    pub offset: Duration,
    pub skip: Duration,
    /// Recordings that have been read, by name.
    pub loaded: Vec<(String, Option<Arc<media::Prompt>>)>,
    /// It waited already when the caller's last key came, and listens for that key: if the key ends
    /// what the caller hears, it ends this as well.
    pub pressed: bool,
}

/// Digits for the far end.
#[derive(Clone, Debug)]
pub struct DigitsOut {
    /// When they may go: after their `before`, and not before those that were asked for earlier.
    pub at: Instant,
    pub digits: Vec<Digit>,
    pub duration: Duration,
    pub between: Duration,
    pub after: Duration,
}

/// Digits that go out: those of one request, so that few commands are under way.
#[derive(Clone, Debug)]
pub enum Keying {
    Idle,
    /// As telephone-events: so many have not begun.
    Events {
        left: u32,
    },
    /// One INFO after the other: the next when the last is answered and its time is over.
    Infos {
        waiting: VecDeque<InfoDigit>,
        answered: bool,
        rest_until: Instant,
    },
}

/// A digit that goes out by INFO.
#[derive(Clone, Copy, Debug)]
pub struct InfoDigit {
    pub digit: Digit,
    pub duration: Duration,
    pub pause: Duration,
}

/// The announcement that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Announcing {
    pub last: MediaId,
}

/// A transfer under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transfer {
    /// Asked for by the owner, which keeps the call when it fails.
    ByOwner,
    /// Ordered by the configuration: the call is released when it fails.
    ByRule,
}

impl Call {
    /// A call that has just begun.
    pub fn new(id: CallId, port: PortId, udp_port: u16, leg: Leg, now: Instant) -> Self {
        let outbound = leg != Leg::Inbound;
        let state = match leg {
            Leg::Inbound => ivr::ChannelState::Ring,
            Leg::Outbound { .. } => ivr::ChannelState::Down,
        };
        Self {
            id,
            port,
            began_at: now,
            caller: Party::default(),
            called: Party::default(),
            udp_port,
            socket: Socket::Opening { answer: false, tries: 1 },
            stream: None,
            leg,
            state,
            negotiated: None,
            silent: false,
            held: false,
            holds: false,
            application: None,
            offer: None,
            live: BTreeSet::new(),
            sounds: Vec::new(),
            recovery: None,
            moving: false,
            takeovers: 0,
            rebinds: 0,
            outbound,
            answered_at: None,
            music: None,
            recording: None,
            inherited: false,
            waiting: VecDeque::new(),
            barge_in: None,
            muted: (false, false),
            digits_later: VecDeque::new(),
            keying: Keying::Idle,
            announce: None,
            established: false,
            transfer: None,
            refer_to: None,
            digits: 0,
            last_key: None,
            next_own: 0,
        }
    }

    /// Whether the PBX knows of the call: our INVITE leaves when the UDP port is open.
    pub fn is_at_pbx(&self) -> bool {
        self.leg == Leg::Inbound || self.socket == Socket::Open
    }

    /// The far end.
    pub const fn party(&self) -> &Party {
        if self.outbound { &self.called } else { &self.caller }
    }

    /// Whether 200 was sent or received.
    pub fn is_up(&self) -> bool {
        self.state == ivr::ChannelState::Up
    }

    /// A name for a playback of the node's own.
    pub fn own_media(&mut self) -> MediaId {
        self.next_own = (self.next_own + 1) % OWN_MAX;
        MediaId(self.next_own)
    }

    /// Whether the caller hears, or is recorded by, something that an application asked for; or
    /// is on hold or on his way to somebody else, when silence means nothing.
    pub fn sounds(&self) -> bool {
        let by_application = |id: &MediaId| !super::is_own(*id) || Some(*id) == self.music;
        let excused = self.held || self.holds || self.transfer.is_some();
        excused || self.announce.is_some() || self.live.iter().any(by_application)
    }

    /// A playback or recording is over; whether it was known.
    pub fn media_over(&mut self, id: MediaId) -> bool {
        self.sounds.retain(|sound| sound.id != id);
        self.live.remove(&id)
    }

    pub fn sound_mut(&mut self, id: MediaId) -> Option<&mut Sound> {
        self.sounds.iter_mut().find(|sound| sound.id == id)
    }

    /// Names that were given to playbacks elsewhere are not given again.
    pub fn reserve_own(&mut self, given: MediaId) {
        if super::is_own(given) {
            self.next_own = self.next_own.max(given.0);
        }
    }
}
