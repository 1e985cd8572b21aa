//! The way between a port and the far end of its call, since the first answer: what was agreed,
//! whom we believe, and the stream that we send.

use std::net::SocketAddr;

use super::keying::Keying;
use super::playback::law;
use super::rtcp::Rtcp;
use super::source::{self, Source};
use super::stream::{Kind, Stream};
use super::watch::Watch;
use super::{SourcePolicy, StreamStart};
use crate::sdp::{Direction, Negotiated};
use crate::timers::Instant;

/// Comfort noise (RFC 3389): the far end is there and says nothing.
const COMFORT_NOISE: u8 = 13;

/// What the answer made possible.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) negotiated: Negotiated,
    pub(super) source: Source,
    pub(super) stream: Stream,
    /// The next packet begins a talk spurt: the first one, and the first after a hold.
    pub(super) marker: bool,
    pub(super) rtcp: Rtcp,
    pub(super) watch: Watch,
}

impl Line {
    pub(super) fn new(
        now: Instant,
        first_at: Instant,
        start: StreamStart,
        negotiated: Negotiated,
        policy: SourcePolicy,
    ) -> Self {
        Self {
            negotiated,
            source: Source::new(now, negotiated.remote, policy),
            stream: Stream::new(start, first_at),
            marker: true,
            rtcp: Rtcp::new(now, start),
            watch: Watch::default(),
        }
    }

    pub(super) fn renegotiate(
        &mut self,
        now: Instant,
        negotiated: Negotiated,
        policy: SourcePolicy,
    ) {
        // A hold by `c=0.0.0.0` says where not to send, not where packets come from.
        if is_usable(negotiated.remote) && negotiated.remote != self.source.sdp() {
            self.source = Source::new(now, negotiated.remote, policy);
        }
        self.negotiated = negotiated;
    }

    /// Builds the packet of a key that we press, in place of a frame of sound.
    pub(super) fn send_key(
        &mut self,
        keying: &mut Keying,
        timestamp: u32,
        frame: &mut [u8],
    ) -> bool {
        let Some(payload_type) = self.negotiated.event_send else {
            let law = law(self.negotiated.codec);
            let sounds = keying.sound(timestamp, law, frame);
            if sounds {
                self.send_sound(frame, timestamp);
            }
            return sounds;
        };
        let Some(key) = keying.event(timestamp, frame.len()) else { return false };
        let kind = Kind { payload_type, marker: key.marker, timestamp: key.timestamp };
        self.stream.build(kind, &key.payload);
        true
    }

    pub(super) fn send_sound(&mut self, frame: &[u8], timestamp: u32) {
        let marker = std::mem::take(&mut self.marker);
        let payload_type = law(self.negotiated.codec).payload_type();
        self.stream.build(Kind { payload_type, marker, timestamp }, frame);
    }

    pub(super) fn knows(&self, kind: u8) -> bool {
        kind == law(self.negotiated.codec).payload_type()
            || Some(kind) == self.negotiated.event_recv
            || kind == COMFORT_NOISE
    }

    /// Whether we may send.
    pub(super) fn speaks(&self) -> bool {
        is_usable(self.negotiated.remote)
            && matches!(self.negotiated.direction, Direction::SendRecv | Direction::SendOnly)
    }

    /// Whether the far end ought to send: not while either side holds the other.
    pub(super) fn hears(&self) -> bool {
        is_usable(self.negotiated.remote) && self.negotiated.direction == Direction::SendRecv
    }

    /// Where our reports go.
    pub(super) fn rtcp_target(&self) -> Option<SocketAddr> {
        let target = self.source.target();
        if is_usable(target) { source::rtcp_of(target) } else { None }
    }
}

fn is_usable(address: SocketAddr) -> bool {
    !address.ip().is_unspecified() && address.port() != 0
}
