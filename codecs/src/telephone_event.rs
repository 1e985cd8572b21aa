//! Key presses as RTP payload (RFC 4733): the four octets, and the machines that send and receive.
//!
//! An event is many packets that share one RTP timestamp, the moment when the key went down; each
//! says how long it has lasted so far, and the last one, with the end bit, is sent three times.
//! [`Sender`] makes such a series out of a queue of digits, one packet a frame; [`Receiver`] makes
//! one key press out of whatever arrives of a series.

mod receiver;
mod sender;

pub use receiver::{Counts, Press, Receiver};
pub use sender::{DIGITS_QUEUED_MAX, Packet, QueueFull, Sender};

/// Octets of one event report.
pub const PAYLOAD_LEN: usize = 4;

/// One event report (RFC 4733 section 2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payload {
    /// The event; 0 to 15 are the keys, see [`crate::Digit::from_event`].
    pub event: u8,
    /// Whether the event has ended; `duration` is then final.
    pub end: bool,
    /// Power of the tone as -dBm0, 0 to 63.
    pub volume: u8,
    /// How long the event (or this segment of it) has lasted, in timestamp units.
    pub duration: u16,
}

const END_BIT: u8 = 0x80;
const VOLUME_BITS: u8 = 0x3F;

impl Payload {
    /// Reads the first report of an RTP payload; `None` when it is shorter than one.
    ///
    /// Octets that follow are left alone: some gateways pad, and a key press, which is followed by
    /// a pause, cannot share a packet with the next (section 2.5.1.5 packs events without pause).
    /// The reserved bit is ignored, as section 2.3.3 says.
    pub fn parse(octets: &[u8]) -> Option<Self> {
        let &[event, flags, high, low] = octets.first_chunk::<PAYLOAD_LEN>()?;
        Some(Self {
            event,
            end: flags & END_BIT != 0,
            volume: flags & VOLUME_BITS,
            duration: u16::from_be_bytes([high, low]),
        })
    }

    /// The report as octets. A volume over 63 is written as 63, the quietest.
    pub fn to_bytes(self) -> [u8; PAYLOAD_LEN] {
        let [high, low] = self.duration.to_be_bytes();
        let end = if self.end { END_BIT } else { 0 };
        [self.event, end | self.volume.min(VOLUME_BITS), high, low]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_four_octets_are_those_of_the_rfc() {
        let payload = Payload { event: 11, end: true, volume: 10, duration: 0x0320 };
        assert_eq!(payload.to_bytes(), [11, 0x8A, 0x03, 0x20]);
        assert_eq!(Payload::parse(&[11, 0xCA, 0x03, 0x20, 0, 0]), Some(payload));
    }

    proptest! {
        #[test]
        fn any_octets_parse_or_are_too_short(octets in prop::collection::vec(any::<u8>(), 0..9)) {
            let parsed = Payload::parse(&octets);
            prop_assert_eq!(parsed.is_some(), octets.len() >= PAYLOAD_LEN);
            if let Some(payload) = parsed {
                prop_assert_eq!(Payload::parse(&payload.to_bytes()), Some(payload));
            }
        }
    }
}
