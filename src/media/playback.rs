//! What a port plays: one playback runs, others wait in line.
//!
//! Sound is taken a frame at a time, in the codec of the moment, from prompts that hold both wire
//! codecs: the pieces of one playback follow each other without a gap, within a frame where need
//! be, and the next playback begins at a frame boundary. Playbacks end at a frame boundary too. A
//! change of codec in the middle costs nothing, since a position counts samples.
//!
//! A key that a playback listens for ends it here, and with it the waiting ones that listen for
//! the same key: an application that plays a menu as three playbacks wants all of it to stop.

use std::collections::VecDeque;

use super::events::Events;
use super::{Event, Playback, PlaybackControl, PlaybackEnd};
use crate::codecs::Digit;
use crate::codecs::g711::Law;
use crate::ids::MediaId;
use crate::sdp::Codec;
use crate::timers::Duration;

/// Playbacks of one port at once: the 64 that the link lets an application have on a channel, and
/// one of the node's own, which sounds while a call has no owner. One more ends at once as
/// stopped.
pub const PLAYBACKS_MAX: usize = 65;

/// Samples in a millisecond.
pub(super) const SAMPLES_PER_MS: u64 = 8;

/// How a codec writes samples.
pub(super) const fn law(codec: Codec) -> Law {
    match codec {
        Codec::Pcmu => Law::Mu,
        Codec::Pcma => Law::A,
    }
}

/// The byte that sounds like nothing.
pub(super) const fn silence(codec: Codec) -> u8 {
    law(codec).silence()
}

/// What the frame just filled means for events, which leave after the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Filled {
    /// Nothing plays: the frame is silence.
    Silence,
    /// The frame holds sound, or the silence of a pause.
    Sound,
}

/// The line of playbacks of one port.
#[derive(Debug, Default)]
pub(super) struct Player {
    running: Option<Running>,
    waiting: VecDeque<Playback>,
}

#[derive(Debug)]
struct Running {
    playback: Playback,
    length: u64,
    /// Next sample, from the start of the first piece.
    position: u64,
    stage: Stage,
    paused: bool,
    /// The part that the node knows of.
    part: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// No frame of it left yet.
    New,
    /// Its first frame is built and leaves now.
    Starting,
    /// The node knows that it runs.
    Started,
}

impl Player {
    /// Takes a playback: in place of what runs and waits, or in line.
    pub(super) fn play(&mut self, playback: Playback, events: &mut Events) {
        if playback.replace {
            self.stop_all(events);
        }
        if self.waiting.len() + usize::from(self.running.is_some()) >= PLAYBACKS_MAX {
            finished(events, playback.id, PlaybackEnd::Stopped, 0);
            return;
        }
        self.waiting.push_back(playback);
    }

    /// Carries out an operation; one on a playback that is over has no effect.
    pub(super) fn control(&mut self, id: MediaId, control: PlaybackControl, events: &mut Events) {
        if self.running.as_ref().is_some_and(|r| r.playback.id == id) {
            if control == PlaybackControl::Stop {
                self.end_running(PlaybackEnd::Stopped, events);
            } else if let Some(running) = &mut self.running {
                running.control(control);
            }
        } else if control == PlaybackControl::Stop {
            self.end_waiting(PlaybackEnd::Stopped, events, |playback| playback.id == id);
        }
    }

    /// Ends what runs and what waits.
    pub(super) fn stop_all(&mut self, events: &mut Events) {
        self.end_running(PlaybackEnd::Stopped, events);
        self.end_waiting(PlaybackEnd::Stopped, events, |_| true);
    }

    /// A key of the caller: ends every playback that listens for it.
    pub(super) fn barge_in(&mut self, digit: Digit, events: &mut Events) {
        if self.running.as_ref().is_some_and(|r| r.playback.barge_in.contains(digit)) {
            self.end_running(PlaybackEnd::BargedIn, events);
            let end = PlaybackEnd::BargedIn;
            self.end_waiting(end, events, |playback| playback.barge_in.contains(digit));
        }
    }

    /// Fills one frame. Call [`Self::sent`] when its packet was handed to the socket.
    pub(super) fn fill(&mut self, codec: Codec, frame: &mut [u8]) -> Filled {
        frame.fill(silence(codec));
        if self.running.is_none() {
            self.running = self.waiting.pop_front().map(Running::new);
        }
        let Some(running) = &mut self.running else { return Filled::Silence };
        if running.stage == Stage::New {
            running.stage = Stage::Starting;
        }
        if !running.paused {
            running.fill(codec, frame);
        }
        Filled::Sound
    }

    /// The frame left: reports a playback that began with it or ended in it.
    pub(super) fn sent(&mut self, events: &mut Events) {
        let Some(running) = &mut self.running else { return };
        if running.stage == Stage::Starting {
            running.stage = Stage::Started;
            events.push(Event::PlaybackStarted { id: running.playback.id });
        }
        let part = running.part_that_left();
        if running.tells(part) {
            running.part = part;
            events.push(Event::PlaybackContinuing { id: running.playback.id, part });
        }
        if running.is_over() {
            self.end_running(PlaybackEnd::Completed, events);
        }
    }

    /// Position of the running playback.
    pub(super) fn position_ms(&self) -> Option<u64> {
        self.running.as_ref().map(|r| r.position / SAMPLES_PER_MS)
    }

    fn end_running(&mut self, end: PlaybackEnd, events: &mut Events) {
        if let Some(running) = self.running.take() {
            finished(events, running.playback.id, end, running.position / SAMPLES_PER_MS);
        }
    }

    fn end_waiting(
        &mut self,
        end: PlaybackEnd,
        events: &mut Events,
        ends: impl Fn(&Playback) -> bool,
    ) {
        self.waiting.retain(|playback| {
            let ends = ends(playback);
            if ends {
                finished(events, playback.id, end, samples(playback.offset) / SAMPLES_PER_MS);
            }
            !ends
        });
    }
}

fn finished(events: &mut Events, id: MediaId, end: PlaybackEnd, position_ms: u64) {
    events.push(Event::PlaybackFinished { id, end, position_ms });
}

fn samples(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).saturating_mul(SAMPLES_PER_MS)
}

impl Running {
    fn new(playback: Playback) -> Self {
        let length = playback.pieces.iter().map(|piece| piece.len() as u64).sum();
        let mut position = samples(playback.offset);
        if playback.repeat && length > 0 {
            position %= length;
        }
        let position = position.min(length);
        Self { playback, length, position, stage: Stage::New, paused: false, part: 0 }
    }

    fn is_over(&self) -> bool {
        !self.paused && self.position >= self.length && (!self.playback.repeat || self.length == 0)
    }

    fn control(&mut self, control: PlaybackControl) {
        let skip = samples(self.playback.skip);
        match control {
            PlaybackControl::Restart => self.position = 0,
            PlaybackControl::Pause => self.paused = true,
            PlaybackControl::Unpause => self.paused = false,
            PlaybackControl::Reverse => self.position = self.position.saturating_sub(skip),
            PlaybackControl::Forward => {
                self.position = self.position.saturating_add(skip).min(self.length);
            }
            PlaybackControl::Stop => self.position = self.length,
        }
    }

    fn fill(&mut self, codec: Codec, frame: &mut [u8]) {
        let mut filled = 0;
        while filled < frame.len() {
            let sound = self.sound_at_position(codec);
            if sound.is_empty() {
                if !self.playback.repeat || self.length == 0 {
                    return;
                }
                self.position = 0;
                continue;
            }
            let count = sound.len().min(frame.len() - filled);
            frame[filled..filled + count].copy_from_slice(&sound[..count]);
            filled += count;
            self.position += count as u64;
        }
    }

    /// Whether the node hears that this part sounds. Of what starts over for ever it hears each
    /// part once: nobody may make the queue of a stuck node grow.
    const fn tells(&self, part: usize) -> bool {
        part > self.part || (part < self.part && !self.playback.repeat)
    }

    /// The part of the last sample that left.
    fn part_that_left(&self) -> usize {
        let parts = &self.playback.parts;
        let mut end = 0;
        let ends = self.playback.pieces.iter().map(|piece| {
            end += piece.len() as u64;
            end
        });
        let piece = ends.take_while(|&end| end < self.position).count();
        parts.iter().take_while(|&&first| first <= piece).count()
    }

    /// From the position to the end of its piece; empty past the last one.
    fn sound_at_position(&self, codec: Codec) -> &[u8] {
        let mut start = 0;
        for piece in &self.playback.pieces {
            let end = start + piece.len() as u64;
            if self.position < end {
                // Below the length of a slice, so it fits.
                return &piece.in_codec(codec)[(self.position - start) as usize..];
            }
            start = end;
        }
        &[]
    }
}

#[cfg(test)]
mod tests;
