//! Keys that the caller presses.
//!
//! A telephone-event is the caller's PBX saying that a key was pressed; it comes from the judged
//! source and SSRC and in the negotiated payload type, or not at all (SECURITY R-03).

use rtp_rs::RtpReader;

use super::Event;
use crate::codecs::telephone_event::Receiver;
use crate::timers::Instant;

/// What was pressed, as the two ways of hearing it tell.
#[derive(Debug, Default)]
pub(super) struct Keys {
    receiver: Receiver,
}

impl Keys {
    /// Another stream: timestamps of the old one mean nothing in it.
    pub(super) fn new_stream(&mut self) {
        self.receiver = Receiver::new();
    }

    /// Takes a telephone-event; the event to report, if a press begins.
    pub(super) fn receive(&mut self, now: Instant, packet: &RtpReader<'_>) -> Option<Event> {
        let now_ms = now.as_nanos() / 1_000_000;
        let (timestamp, marker) = (packet.timestamp(), packet.mark());
        let press = self.receiver.receive(now_ms, timestamp, marker, packet.payload())?;
        Some(Event::Digit {
            digit: press.digit,
            duration_ms: press.duration_ms,
            rtp_timestamp: press.rtp_timestamp,
            in_band: false,
        })
    }
}
