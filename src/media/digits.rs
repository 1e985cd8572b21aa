//! Keys that the caller presses, heard in two ways.
//!
//! A telephone-event is the caller's PBX saying that a key was pressed; it comes from the judged
//! source and SSRC and in the negotiated payload type, or not at all (SECURITY R-03). A tone is
//! sound that anybody who talks can make; it is listened for where the profile says so, and only
//! until the first telephone-event shows that the PBX sends those. Many gateways let the beginning
//! of the tone through before they send the event, so the first event that names the key just heard
//! as a tone is the same press.

use rtp_rs::RtpReader;

use super::{Event, KeyPress};
use crate::codecs::Digit;
use crate::codecs::dtmf_detect::Detector;
use crate::codecs::telephone_event::Receiver;
use crate::timers::{Duration, Instant};

/// How long after a tone the event of the same press may come: gateways need 40 to 100 ms to be
/// sure of a tone, and a network delays sound and events alike.
const SAME_PRESS: Duration = Duration::from_millis(500);

/// What a tone has lasted when it is heard: two blocks of the detector and what it waits for.
const TONE_MS: u32 = 40;

/// A timestamp that jumps this far without a packet lost is a pause: 20 ms.
const PAUSE: u32 = 160;

/// The keys of one call.
#[derive(Debug)]
pub(super) struct Keys {
    receiver: Receiver,
    tones: Tones,
    /// The last press of the stream to come that another node has reported.
    reported: Option<KeyPress>,
    /// Presses beyond the pace of the receiver, which nobody was told of yet.
    too_fast: u32,
}

/// Whether and how tones are listened for.
#[derive(Debug)]
enum Tones {
    /// The profile says no.
    Never,
    /// Telephone-events have been seen.
    Outdone,
    /// Boxed: most calls send events.
    Listening(Box<Ear>),
}

#[derive(Debug)]
struct Ear {
    detector: Detector,
    /// Sequence number and timestamp that follow what was heard last.
    next: Option<(u16, u32)>,
    last: Option<(Digit, Instant)>,
}

impl Keys {
    pub(super) fn new(detect_tones: bool) -> Self {
        let tones = if detect_tones { Tones::listening() } else { Tones::Never };
        Self { receiver: Receiver::new(), tones, reported: None, too_fast: 0 }
    }

    /// Another stream: timestamps of the old one mean nothing in it.
    pub(super) fn new_stream(&mut self) {
        self.receiver.new_stream();
        if let Tones::Listening(ear) = &mut self.tones {
            ear.pause();
        }
        let Some(last) = self.reported.take() else { return };
        if let Some(digit) = Digit::from_event(last.event) {
            self.receiver.go_on_after(digit, last.rtp_timestamp);
        }
    }

    /// The first stream goes on from one in which another node has reported this press.
    pub(super) fn go_on_after(&mut self, last: KeyPress) {
        self.reported = Some(last);
    }

    /// The far end was told that we take no telephone-events: tones are all that can come.
    pub(super) fn expect_no_events(&mut self) {
        if matches!(self.tones, Tones::Outdone) {
            self.tones = Tones::listening();
        }
    }

    /// Takes a telephone-event; the event to report, if a press begins that was not heard yet.
    pub(super) fn receive(&mut self, now: Instant, packet: &RtpReader<'_>) -> Option<Event> {
        let now_ms = now.as_nanos() / 1_000_000;
        let (timestamp, marker) = (packet.timestamp(), packet.mark());
        let before = self.receiver.counts().too_fast;
        let press = self.receiver.receive(now_ms, timestamp, marker, packet.payload());
        self.too_fast += self.receiver.counts().too_fast.saturating_sub(before);
        let press = press?;
        let was_heard = self.tones.outdo(now, press.digit);
        (!was_heard).then_some(Event::Digit {
            digit: press.digit,
            duration_ms: press.duration_ms,
            rtp_timestamp: press.rtp_timestamp,
            in_band: false,
        })
    }

    /// How many presses came faster than 12 a second since the last call; they are lost.
    pub(super) fn take_too_fast(&mut self) -> u32 {
        std::mem::take(&mut self.too_fast)
    }

    /// Whether sound has to be given to [`Self::listen`].
    pub(super) fn wants_sound(&self) -> bool {
        matches!(self.tones, Tones::Listening(_))
    }

    /// Listens to the sound of a packet.
    pub(super) fn listen(
        &mut self,
        now: Instant,
        packet: &RtpReader<'_>,
        sound: &[i16],
    ) -> Option<Event> {
        let Tones::Listening(ear) = &mut self.tones else { return None };
        let digit = ear.listen(packet, sound)?;
        ear.last = Some((digit, now));
        Some(Event::Digit {
            digit,
            duration_ms: TONE_MS,
            rtp_timestamp: packet.timestamp(),
            in_band: true,
        })
    }
}

impl Tones {
    fn listening() -> Self {
        Self::Listening(Box::new(Ear { detector: Detector::new(), next: None, last: None }))
    }

    /// A telephone-event came: true if its key press was heard as a tone.
    fn outdo(&mut self, now: Instant, digit: Digit) -> bool {
        let Self::Listening(ear) = self else { return false };
        let was_heard = ear.detector.held() == Some(digit)
            || ear.last.is_some_and(|(heard, at)| {
                heard == digit && now.saturating_duration_since(at) < SAME_PRESS
            });
        *self = Self::Outdone;
        was_heard
    }
}

impl Ear {
    fn listen(&mut self, packet: &RtpReader<'_>, sound: &[i16]) -> Option<Digit> {
        let sequence: u16 = packet.sequence_number().into();
        let timestamp = packet.timestamp();
        if self
            .next
            .is_some_and(|(next, at)| next == sequence && timestamp.wrapping_sub(at) >= PAUSE)
        {
            self.pause();
        }
        // At most 640.
        let after = timestamp.wrapping_add(sound.len() as u32);
        self.next = Some((sequence.wrapping_add(1), after));
        self.detector.push(sound)
    }

    /// The far end sent nothing for a while, because there was nothing: a key that is heard from
    /// here on is pressed anew.
    fn pause(&mut self) {
        self.detector.reset();
        self.next = None;
    }
}
