//! Why a description is refused.

use std::fmt;

/// Why an offer or an answer is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SdpError {
    /// Over 4 KiB or over 64 lines.
    TooLarge,
    /// Not SDP: what the parser says.
    Syntax(String),
    /// No audio stream over plain RTP, or only disabled ones.
    NoAudio,
    /// No codec that both sides speak.
    NoCommonCodec,
    /// No address to send to: missing, a name, multicast, or of another family than ours.
    Address,
    /// An answer with another number of `m=` lines than its offer (RFC 3264 section 6).
    LineCount {
        /// Lines of our offer.
        offered: usize,
        /// Lines of the answer.
        answered: usize,
    },
}

impl SdpError {
    /// Status that refuses a request with such an offer.
    pub const fn status(&self) -> u16 {
        match self {
            Self::TooLarge => 413,
            Self::Syntax(_) => 400,
            Self::NoAudio | Self::NoCommonCodec | Self::Address | Self::LineCount { .. } => 488,
        }
    }
}

impl fmt::Display for SdpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge => f.write_str("SDP over 4 KiB or 64 lines"),
            Self::Syntax(what) => write!(f, "malformed SDP: {what}"),
            Self::NoAudio => f.write_str("no audio stream over RTP/AVP"),
            Self::NoCommonCodec => f.write_str("no common codec"),
            Self::Address => f.write_str("no usable media address"),
            Self::LineCount { offered, answered } => {
                write!(f, "{answered} m-lines answer {offered}")
            }
        }
    }
}

impl std::error::Error for SdpError {}
