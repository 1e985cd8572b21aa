//! What sounds on a call, by names: another node has the same prompts and goes on where this one
//! was.
//!
//! The media port alone knows the position to the sample. Here it follows from when the sound began
//! and what was done to it since, which is right to within the time that a command takes.

use serde::{Deserialize, Serialize};

use crate::ids::MediaId;
use crate::ivr::{MediaUri, PlaybackControl};
use crate::media::DigitSet;
use crate::timers::{Duration, Instant};

/// At 8,000 samples a second.
const MICROS_PER_SAMPLE: u64 = 125;

/// A playback that runs or waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sound {
    pub id: MediaId,
    pub media: Vec<MediaUri>,
    pub language: String,
    pub skip: Duration,
    /// Starts over at its end.
    pub repeat: bool,
    /// Keys that stop it.
    pub barge_in: DigitSet,
    /// Where it was when `since` began, from the start of the first piece.
    position: Duration,
    /// Running since; it stands still, or has not begun, without.
    #[serde(skip)]
    since: Option<Instant>,
    /// In a replica: it ran.
    ran: bool,
    /// An application holds it.
    pub paused: bool,
}

impl Sound {
    /// One that has not begun.
    pub fn new(id: MediaId, media: Vec<MediaUri>, language: &str, offset: Duration) -> Self {
        let language = language.to_owned();
        Self {
            id,
            media,
            language,
            skip: Duration::ZERO,
            repeat: false,
            barge_in: DigitSet::NONE,
            position: offset,
            since: None,
            ran: false,
            paused: false,
        }
    }

    /// One of the node's own, from its beginning.
    pub fn repeating(id: MediaId, media: Vec<MediaUri>, language: &str, repeat: bool) -> Self {
        Self { repeat, ..Self::new(id, media, language, Duration::ZERO) }
    }

    /// Its first frame has left.
    pub fn started(&mut self, at: Instant) {
        if !self.paused {
            self.since.get_or_insert(at);
        }
    }

    /// How far it has come.
    pub fn position(&self, now: Instant) -> Duration {
        let run = self.since.map(|since| now.saturating_duration_since(since));
        self.position.saturating_add(run.unwrap_or_default())
    }

    /// The same, as it was when a replica of it was made.
    pub fn standing(&self, now: Instant) -> Self {
        let (position, ran) = (self.position(now), self.since.is_some());
        Self { position, since: None, ran, ..self.clone() }
    }

    /// A replica is so much older.
    pub fn pass(&mut self, later: Duration) {
        if self.ran {
            self.position = self.position.saturating_add(later);
        }
    }

    /// Where a replica of it begins, in a row of so many samples. `None`: it is over.
    pub fn offset(&self, length: usize) -> Option<Duration> {
        let length = Duration::from_micros(length as u64 * MICROS_PER_SAMPLE);
        if self.repeat && !length.is_zero() {
            let turn = self.position.as_micros() % length.as_micros();
            return u64::try_from(turn).ok().map(Duration::from_micros);
        }
        (self.position < length).then_some(self.position)
    }

    /// What an application did to it.
    pub fn controlled(&mut self, now: Instant, control: PlaybackControl) {
        let position = self.position(now);
        let runs = self.since.is_some();
        match control {
            PlaybackControl::Restart => self.position = Duration::ZERO,
            PlaybackControl::Forward => self.position = position.saturating_add(self.skip),
            PlaybackControl::Reverse => self.position = position.saturating_sub(self.skip),
            PlaybackControl::Pause | PlaybackControl::Unpause | PlaybackControl::Stop => {
                self.position = position;
            }
        }
        match control {
            PlaybackControl::Pause => self.paused = true,
            PlaybackControl::Unpause => self.paused = false,
            _ => {}
        }
        let begun = runs || !self.position.is_zero();
        self.since = (begun && !self.paused).then_some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(ms)
    }

    fn ms(sound: &Sound, now: u64) -> u128 {
        sound.position(at(now)).as_millis()
    }

    fn sound() -> Sound {
        let media = vec![MediaUri::Sound("menu".to_owned())];
        let offset = Duration::from_millis(500);
        let sound = Sound::new(MediaId(1), media, "en", offset);
        Sound { skip: Duration::from_secs(1), ..sound }
    }

    #[test]
    fn a_sound_stands_until_its_first_frame_and_then_runs() {
        let mut sound = sound();
        assert_eq!(ms(&sound, 900), 500);
        sound.started(at(1_000));
        assert_eq!(ms(&sound, 1_250), 750);
        let replica = sound.standing(at(1_250));
        assert_eq!(ms(&replica, 99_000), 750);
    }

    #[test]
    fn a_replica_that_ran_has_gone_on_meanwhile() {
        let mut running = sound();
        running.started(at(0));
        let mut replica = running.standing(at(1_000));
        replica.pass(Duration::from_millis(40));
        assert_eq!(replica.offset(80_000), Some(Duration::from_millis(1_540)));
        assert_eq!(replica.offset(8_000), None, "it has ended");
        let mut waiting = sound().standing(at(1_000));
        waiting.pass(Duration::from_millis(40));
        assert_eq!(waiting.offset(80_000), Some(Duration::from_millis(500)));
        let turned = Sound { repeat: true, ..replica };
        assert_eq!(turned.offset(8_000), Some(Duration::from_millis(540)));
    }

    #[test]
    fn pause_and_skips_are_followed() {
        let mut sound = sound();
        sound.started(at(0));
        sound.controlled(at(2_000), PlaybackControl::Pause);
        sound.controlled(at(3_000), PlaybackControl::Reverse);
        assert_eq!(ms(&sound, 9_000), 1_500);
        sound.controlled(at(9_000), PlaybackControl::Unpause);
        sound.controlled(at(9_100), PlaybackControl::Forward);
        assert_eq!(ms(&sound, 9_200), 2_700);
        sound.controlled(at(9_200), PlaybackControl::Restart);
        assert_eq!(ms(&sound, 9_300), 100);
    }
}
