//! Records the caller, 20 ms a step, as linear samples for the thread that writes files.
//!
//! A recording has a clock of its own from its beginning, so that its length is the time that
//! passed, whatever the far end sends. It ends by command, by a key, by length, or when the caller
//! has been quiet for long enough.

use super::jitter::Jitter;
use super::playback::SAMPLES_PER_MS;
use super::{Event, Prompt, Recording, RecordingEnd};
use crate::codecs::Digit;
use crate::codecs::conceal::Concealer;
use crate::codecs::g711::Law;
use crate::codecs::tone::{Signal, Zone};
use crate::ids::MediaId;
use crate::sdp::Codec;
use crate::timers::{Duration, Instant};

const FRAME: Duration = Duration::from_millis(20);

/// Samples of a frame.
pub(super) const FRAME_SAMPLES: usize = 160;

/// What is concealed at once, 10 ms: every packet time is a multiple of it.
const PIECE: usize = 80;

/// A frame whose samples are below this on average is silence: some -42 dBm0, above the hiss of a
/// line, below speech.
const SILENCE_BELOW: u32 = 256;

/// A recording that was kept from running this long goes on from the present.
const BEHIND_MAX: Duration = Duration::from_secs(1);

/// A recording of one port.
#[derive(Debug)]
pub(super) struct Recorder {
    recording: Recording,
    stage: Stage,
    jitter: Jitter,
    concealer: Concealer,
    recorded: u64,
    /// Samples of silence up to here.
    quiet: u64,
    frame: [i16; FRAME_SAMPLES],
}

#[derive(Debug)]
enum Stage {
    /// The beep has come this far.
    Beeping { position: usize },
    /// Taking sound; the next frame is due.
    Recording { next_at: Instant },
}

impl Recorder {
    pub(super) fn new(now: Instant, recording: Recording) -> Self {
        let stage = if recording.beep {
            Stage::Beeping { position: 0 }
        } else {
            Stage::Recording { next_at: now + FRAME }
        };
        Self {
            recording,
            stage,
            jitter: Jitter::new(),
            concealer: Concealer::new(),
            recorded: 0,
            quiet: 0,
            frame: [0; FRAME_SAMPLES],
        }
    }

    pub(super) fn id(&self) -> MediaId {
        self.recording.id
    }

    /// Fills a frame with the beep, in place of everything else; false: there is none, or no more.
    pub(super) fn beep(
        &mut self,
        now: Instant,
        beep: &Prompt,
        codec: Codec,
        frame: &mut [u8],
    ) -> bool {
        let Stage::Beeping { position } = &mut self.stage else { return false };
        let rest = &beep.in_codec(codec)[*position..];
        let count = rest.len().min(frame.len());
        frame[..count].copy_from_slice(&rest[..count]);
        *position += count;
        if *position == beep.len() {
            self.stage = Stage::Recording { next_at: now + FRAME };
        }
        true
    }

    /// Takes sound of the caller.
    pub(super) fn hear(&mut self, timestamp: u32, sound: &[i16]) {
        self.jitter.insert(timestamp, sound);
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        match self.stage {
            Stage::Beeping { .. } => None,
            // At once, when its last frame has left.
            Stage::Recording { .. } if self.is_over().is_some() => Some(Instant::ZERO),
            Stage::Recording { next_at } => Some(next_at),
        }
    }

    /// Makes the frame that is due; see [`Self::frame`].
    pub(super) fn step(&mut self, now: Instant) -> bool {
        let Stage::Recording { next_at } = &mut self.stage else { return false };
        if now < *next_at {
            return false;
        }
        if now.saturating_duration_since(*next_at) > BEHIND_MAX {
            *next_at = now;
        }
        *next_at += FRAME;
        for piece in self.frame.chunks_mut(PIECE) {
            if self.jitter.take(piece) {
                self.concealer.received(piece);
            } else {
                self.concealer.lost(piece);
            }
        }
        self.recorded += FRAME_SAMPLES as u64;
        self.quiet = if is_silent(&self.frame) { self.quiet + FRAME_SAMPLES as u64 } else { 0 };
        true
    }

    /// The frame made last.
    pub(super) fn frame(&self) -> &[i16] {
        &self.frame
    }

    /// Why it has to end, if it has.
    pub(super) fn is_over(&self) -> Option<RecordingEnd> {
        if reaches(self.recorded, self.recording.max_duration) {
            Some(RecordingEnd::Duration)
        } else if reaches(self.quiet, self.recording.max_silence) {
            Some(RecordingEnd::Silence)
        } else {
            None
        }
    }

    pub(super) fn ends_with(&self, digit: Digit) -> bool {
        self.recording.terminate_on.contains(digit)
    }

    /// The event of its end.
    pub(super) fn finished(&self, end: RecordingEnd) -> Event {
        let duration_ms = self.recorded / SAMPLES_PER_MS;
        Event::RecordingFinished { id: self.recording.id, end, duration_ms }
    }
}

fn reaches(samples: u64, limit: Option<Duration>) -> bool {
    limit.is_some_and(|limit| u128::from(samples / SAMPLES_PER_MS) >= limit.as_millis())
}

fn is_silent(frame: &[i16]) -> bool {
    let sum: u32 = frame.iter().map(|sample| u32::from(sample.unsigned_abs())).sum();
    sum < SILENCE_BELOW * FRAME_SAMPLES as u32
}

/// The tone before a recording, in both codecs.
pub(super) fn beep() -> Prompt {
    let samples = Signal::Beep.render(Zone::Neutral);
    let encode = |law: Law| samples.iter().map(|sample| law.encode_sample(*sample)).collect();
    Prompt { pcmu: encode(Law::Mu), pcma: encode(Law::A) }
}
