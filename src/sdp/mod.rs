//! Offer and answer for one audio stream (RFC 3264), over the syntax of `sdp-types`.
//!
//! A port speaks G.711 and telephone-event and nothing else; every other stream of an offer is
//! answered with port 0, in its place.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

/// A G.711 flavour, with its static payload type (RFC 3551 table 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Codec {
    /// mu-law, payload type 0.
    Pcmu,
    /// A-law, payload type 8.
    Pcma,
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
