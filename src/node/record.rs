//! A call as plain data: all that another node needs to carry it on, and what it makes of it.
//!
//! The record is a copy of moments: the dialog as the endpoint has it, the call as the pool has it,
//! and what sounds. Whoever takes the call over adds the time since the record was made to where
//! the sounds were, so that the caller hears the prompt go on where it was.

use serde::{Deserialize, Serialize};

use super::call::{Call, Leg};
use super::sound::Sound;
use crate::ids::{CallId, MediaId, PortId};
use crate::ivr::ChannelState;
use crate::media::{DigitSet, KeyPress, StreamStart};
use crate::pool;
use crate::sdp::Negotiated;
use crate::sip::{Party, snapshot};
use crate::timers::{Duration, Instant};

/// A count of another node is taken up to here, so that it can go on.
const COUNT_MAX: u32 = u32::MAX / 2;

/// A stream that goes on from another node leaps by so many packets: a record is a few seconds old
/// at most.
const SEQUENCE_LEAP: u16 = 1_000;

/// One call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallRecord {
    /// Its dialog.
    sip: snapshot::Snapshot,
    /// Whose it is.
    pool: pool::Saved,
    /// How old it is.
    age: Duration,
    caller: Party,
    called: Party,
    negotiated: Option<Negotiated>,
    held: bool,
    holds: bool,
    sounds: Vec<Sound>,
    music: Option<MediaId>,
    announce: Option<MediaId>,
    barge_in: Option<DigitSet>,
    muted: (bool, bool),
    digits: u64,
    last_key: Option<KeyPress>,
    takeovers: u32,
    rebinds: u32,
    /// Answered so long after it began.
    answered: Option<Duration>,
    /// Its UDP port.
    #[serde(default)]
    udp_port: u16,
    /// Where its stream stands.
    #[serde(default)]
    stream: Option<StreamStart>,
}

/// What is done when the UDP port of a recovered call is open.
#[derive(Clone, Debug)]
pub(super) struct Resume {
    pub sip: snapshot::Snapshot,
    pub pool: pool::Saved,
    pub sounds: Vec<Sound>,
    /// The UDP port that it had.
    pub udp_port: u16,
    /// When the record was read.
    pub since: Instant,
}

impl CallRecord {
    /// The record of a call at this moment.
    pub(super) fn of(
        call: &Call,
        sip: snapshot::Snapshot,
        pool: pool::Saved,
        now: Instant,
    ) -> Self {
        Self {
            sip,
            pool,
            age: now.saturating_duration_since(call.began_at),
            caller: call.caller.clone(),
            called: call.called.clone(),
            negotiated: call.negotiated,
            held: call.held,
            holds: call.holds,
            sounds: call.sounds.iter().map(|sound| sound.standing(now)).collect(),
            music: call.music.filter(|id| call.live.contains(id)),
            announce: call.announce.map(|announcing| announcing.last),
            barge_in: call.barge_in,
            muted: call.muted,
            digits: call.digits,
            last_key: call.last_key,
            takeovers: call.takeovers,
            rebinds: call.rebinds,
            answered: call.answered_at.map(|at| at.saturating_duration_since(call.began_at)),
            udp_port: call.udp_port,
            stream: call.stream.map(|(start, at)| start.after(now.saturating_duration_since(at))),
        }
    }

    /// Its name.
    pub const fn call(&self) -> CallId {
        self.sip.call
    }

    /// Its port.
    pub const fn port(&self) -> PortId {
        self.sip.port
    }

    /// Whether it is on hold, by either side.
    pub const fn is_held(&self) -> bool {
        self.held || self.holds
    }

    /// Whether it was answered when the record was made.
    pub const fn is_answered(&self) -> bool {
        matches!(self.sip.stage, snapshot::Stage::Up { .. })
    }

    /// The UDP port of its audio.
    pub const fn udp_port(&self) -> u16 {
        self.udp_port
    }

    /// How its stream goes on from another node: above whatever left since the record was made.
    pub fn stream_from_here(&self) -> Option<StreamStart> {
        let leapt = |start: StreamStart| StreamStart {
            sequence: start.sequence.wrapping_add(SEQUENCE_LEAP),
            ..start
        };
        self.stream.map(leapt)
    }

    /// The same `later`: what sounded has gone on meanwhile.
    #[must_use]
    pub fn aged(mut self, later: Duration) -> Self {
        self.age = self.age.saturating_add(later);
        self.stream = self.stream.map(|start| start.after(later));
        if let Some(first) = self.sounds.first_mut() {
            first.pass(later);
        }
        self
    }

    /// The call at this node.
    pub(super) fn into_call(self, udp_port: u16, now: Instant) -> Call {
        let up = matches!(self.sip.stage, snapshot::Stage::Up { .. } | snapshot::Stage::Ending);
        let mut call = Call::new(self.sip.call, self.sip.port, udp_port, Leg::Inbound, now);
        call.began_at = now - self.age;
        call.state = if up { ChannelState::Up } else { ChannelState::Ring };
        call.established = up;
        call.caller = self.caller;
        call.called = self.called;
        call.negotiated = self.negotiated;
        call.held = self.held;
        call.holds = self.holds;
        call.live = self.sounds.iter().map(|sound| sound.id).collect();
        self.sounds.iter().for_each(|sound| call.reserve_own(sound.id));
        call.music = self.music;
        call.announce = self.announce.map(|last| super::call::Announcing { last });
        call.barge_in = self.barge_in;
        call.muted = self.muted;
        call.digits = self.digits.min(COUNT_MAX.into());
        call.last_key = self.last_key;
        call.moving = true;
        call.takeovers = self.takeovers.saturating_add(1);
        call.rebinds = self.rebinds.min(COUNT_MAX);
        call.outbound = self.sip.outbound;
        call.answered_at = self.answered.map(|after| call.began_at + after);
        let Self { sip, pool, sounds, udp_port: had, .. } = self;
        let resume = Resume { sip, pool, sounds, udp_port: had, since: now };
        call.recovery = Some(Box::new(resume));
        call
    }
}
