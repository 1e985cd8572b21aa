//! Offer and answer for one audio stream (RFC 3264), over the syntax of `sdp-types`.
//!
//! A port speaks G.711 and telephone-event and nothing else; every other stream of an offer is
//! answered with port 0, in its place.
//!
//! [`offer`], [`answer`] and [`accept`] are pure: what one call must remember between them (version
//! of `o=`, the order of the `m=` lines) is an [`Origin`], which travels with the call. A far end
//! holds us with `a=sendonly`, `a=inactive` or `c=0.0.0.0`; each shows as our [`Direction`] only.

mod error;
mod negotiate;
mod origin;
mod read;

use std::net::{IpAddr, SocketAddr};

pub use error::SdpError;
pub use negotiate::{accept, answer, check, offer};
pub use origin::Origin;

use serde::{Deserialize, Serialize};

/// A G.711 flavour, with its static payload type (RFC 3551 table 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Codec {
    /// mu-law, payload type 0.
    Pcmu,
    /// A-law, payload type 8.
    Pcma,
}

impl Codec {
    /// Static payload type.
    pub const fn payload_type(self) -> u8 {
        match self {
            Self::Pcmu => 0,
            Self::Pcma => 8,
        }
    }

    /// Encoding name in `a=rtpmap`.
    pub const fn encoding(self) -> &'static str {
        match self {
            Self::Pcmu => "PCMU",
            Self::Pcma => "PCMA",
        }
    }
}

/// Who sends, seen from this side (RFC 3264 section 6.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Direction {
    /// Both ways.
    SendRecv,
    /// We send, the far end listens.
    SendOnly,
    /// We listen: the far end holds us.
    RecvOnly,
    /// Nobody sends.
    Inactive,
}

impl Direction {
    /// From two answers: do we send, do we listen.
    pub const fn new(send: bool, recv: bool) -> Self {
        match (send, recv) {
            (true, true) => Self::SendRecv,
            (true, false) => Self::SendOnly,
            (false, true) => Self::RecvOnly,
            (false, false) => Self::Inactive,
        }
    }

    /// Whether we send.
    pub const fn sends(self) -> bool {
        matches!(self, Self::SendRecv | Self::SendOnly)
    }

    /// Whether we listen.
    pub const fn recvs(self) -> bool {
        matches!(self, Self::SendRecv | Self::RecvOnly)
    }

    /// The same stream seen from the other side.
    #[must_use]
    pub const fn mirrored(self) -> Self {
        Self::new(self.recvs(), self.sends())
    }

    /// What is left when both sides must agree.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self::new(self.sends() && other.sends(), self.recvs() && other.recvs())
    }

    /// Name of the attribute.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }
}

/// What this side can do: the ground of every offer and answer of one call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalMedia {
    /// Address that receives the audio.
    pub address: IpAddr,
    /// Port that receives the audio.
    pub udp_port: u16,
    /// Codecs in order of preference.
    pub codecs: Vec<Codec>,
    /// Payload type that we offer for telephone-event (RFC 4733).
    pub telephone_event: u8,
}

/// What both sides agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Negotiated {
    /// Where our audio goes, and the only source that we accept.
    pub remote: SocketAddr,
    /// The codec, both ways.
    pub codec: Codec,
    /// Payload type of the telephone-events that we send; `None`: the far end takes none.
    pub event_send: Option<u8>,
    /// Payload type of the telephone-events that we receive.
    pub event_recv: Option<u8>,
    /// Who sends.
    pub direction: Direction,
    /// Milliseconds of audio in each packet that we send: 20 unless the far end's `maxptime`
    /// forbids it.
    pub ptime_ms: u8,
}

#[cfg(test)]
mod tests;
