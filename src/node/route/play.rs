//! What an application plays and records, and whether the caller hears anything.

use std::sync::Arc;

use crate::codecs::Digit;
use crate::config::Config;
use crate::ids::{CallId, MediaId};
use crate::ivr::{self, ChannelCommand};
use crate::media::{self, DigitSet};
use crate::node::call::{Call, WaitingPlay};
use crate::node::prompts::{Gap, Row};
use crate::node::sound::Sound;
use crate::node::{Node, Output};
use crate::pool;
use crate::timers::Instant;

/// Plays that wait behind a stored recording being read, at most: as many as the link lets an
/// application have on one channel.
const WAITING_PLAYS_MAX: usize = ivr::PLAYBACKS_MAX;

// They reach the port in one command, and may find one of the node's own there.
const _: () = assert!(media::PLAYBACKS_MAX > WAITING_PLAYS_MAX);

impl Node {
    /// Plays, or puts it behind the plays that wait for a recording to be read.
    pub(super) fn play(&mut self, now: Instant, call: CallId, play: WaitingPlay) {
        let id = play.id;
        let Some(entry) = self.calls.get_mut(&call) else { return };
        entry.live.insert(id);
        if let Some(offer) = &mut entry.offer {
            offer.first_sound.get_or_insert(id);
        }
        let room = entry.waiting.len() < WAITING_PLAYS_MAX;
        if room {
            entry.waiting.push_back(play);
        } else {
            self.playback_failed(now, call, id);
        }
        if self.calls.get(&call).is_some_and(|entry| entry.waiting.len() == 1) {
            self.play_waiting(now, call);
        }
        self.sounding(now, call);
    }

    /// Plays what is complete, in order, up to the first that still waits.
    fn play_waiting(&mut self, now: Instant, call: CallId) {
        let mut ready = self.take_ready(now, call);
        let Some(port) = self.calls.get(&call).map(|entry| entry.port) else { return };
        if ready.len() > 1 {
            self.media(port, media::Command::PlayAll(ready));
        } else if let Some(playback) = ready.pop() {
            self.media(port, media::Command::Play(playback));
        }
    }

    fn take_ready(&mut self, now: Instant, call: CallId) -> Vec<media::Playback> {
        let mut ready = Vec::new();
        while let Some(play) = self.calls.get(&call).and_then(|entry| entry.waiting.front()) {
            let id = play.id;
            match self.row_of(play) {
                Ok(row) => ready.extend(self.playback(call, row)),
                Err(Gap::Recording(name)) => {
                    self.outputs.push_back(Output::Load { call, name });
                    break;
                }
                Err(Gap::Missing(name)) => {
                    self.alarms.prompt_missing(&self.config, &name, now);
                    self.playback_failed(now, call, id);
                }
            }
            if let Some(entry) = self.calls.get_mut(&call) {
                entry.waiting.pop_front();
            }
        }
        ready
    }

    /// The sounds of a play, recordings that were read among them.
    fn row_of(&self, play: &WaitingPlay) -> Result<Row, Gap> {
        let mut row = Row { pieces: Vec::new(), parts: Vec::new(), repeat: false };
        for (n, uri) in play.media.iter().enumerate() {
            row.parts.extend((n > 0).then_some(row.pieces.len()));
            if let ivr::MediaUri::Recording(name) = uri {
                let Some((_, loaded)) = play.loaded.iter().find(|(n, _)| n == name) else {
                    return Err(Gap::Recording(name.clone()));
                };
                row.pieces.push(loaded.clone().ok_or_else(|| Gap::Missing(name.clone()))?);
                continue;
            }
            let part = self.prompts.row(std::slice::from_ref(uri), &play.language)?;
            row.pieces.extend(part.pieces);
            row.repeat |= part.repeat;
        }
        Ok(row)
    }

    /// The first waiting play, for the media port.
    fn playback(&mut self, call: CallId, row: Row) -> Option<media::Playback> {
        let entry = self.calls.get_mut(&call)?;
        let play = entry.waiting.front()?;
        let barge_in = barge_in_of(&self.config, entry);
        let mut sound = Sound::new(play.id, play.media.clone(), &play.language, play.offset);
        (sound.skip, sound.repeat, sound.barge_in) = (play.skip, row.repeat, barge_in);
        let replace = std::mem::take(&mut entry.inherited);
        if replace {
            entry.sounds.clear();
        }
        let (id, offset, skip) = (play.id, play.offset, play.skip);
        entry.sounds.push(sound);
        Some(media::Playback {
            id,
            pieces: row.pieces,
            parts: row.parts,
            offset,
            skip,
            repeat: row.repeat,
            barge_in,
            replace,
        })
    }

    /// A stored recording was read.
    pub(in crate::node) fn loaded(
        &mut self,
        now: Instant,
        call: CallId,
        name: &str,
        prompt: Option<Arc<media::Prompt>>,
    ) {
        let Some(entry) = self.calls.get_mut(&call) else { return };
        if let Some(play) = entry.waiting.front_mut() {
            play.loaded.push((name.to_owned(), prompt));
        }
        self.play_waiting(now, call);
    }

    /// A key of the caller, before anybody can answer it. Whether it ends what the caller hears is
    /// known at the port, which tells next.
    pub(super) fn pressed_while_waiting(&mut self, call: CallId, digit: Digit) {
        let Some(entry) = self.calls.get_mut(&call) else { return };
        let listens = barge_in_of(&self.config, entry).contains(digit);
        entry.waiting.iter_mut().for_each(|play| play.pressed = listens);
    }

    /// The key ended what the caller heard, and with it what was to come after that.
    pub(super) fn end_pressed(&mut self, now: Instant, call: CallId) {
        self.end_waiting(now, call, |play| play.pressed);
    }

    /// Ends plays that wait for a recording to be read, and goes on with the next.
    fn end_waiting(&mut self, now: Instant, call: CallId, over: impl Fn(&WaitingPlay) -> bool) {
        let Some(entry) = self.calls.get_mut(&call) else { return };
        let first_ended = entry.waiting.front().is_some_and(&over);
        let ended: Vec<_> = entry.waiting.iter().filter(|p| over(p)).map(|p| p.id).collect();
        entry.waiting.retain(|play| !over(play));
        for id in ended {
            entry.live.remove(&id);
            let failed = false;
            self.ivr.handle_input(now, ivr::Input::PlaybackFinished { call, id, failed });
        }
        if first_ended {
            self.play_waiting(now, call);
        }
    }

    fn playback_failed(&mut self, now: Instant, call: CallId, id: MediaId) {
        if let Some(entry) = self.calls.get_mut(&call) {
            entry.live.remove(&id);
        }
        let failed = true;
        self.ivr.handle_input(now, ivr::Input::PlaybackFinished { call, id, failed });
        self.sounding(now, call);
    }

    pub(super) fn control(
        &mut self,
        now: Instant,
        call: CallId,
        id: MediaId,
        control: ivr::PlaybackControl,
    ) {
        let Some(entry) = self.calls.get_mut(&call) else { return };
        let stops = control == ivr::PlaybackControl::Stop;
        if stops && entry.waiting.iter().any(|play| play.id == id) {
            self.end_waiting(now, call, |play| play.id == id);
            self.sounding(now, call);
            return;
        }
        if let Some(sound) = entry.sound_mut(id) {
            sound.controlled(now, control);
        }
        let port = entry.port;
        self.media(port, media::Command::Control { id, control: control_of(control) });
    }

    pub(super) fn record(&mut self, now: Instant, call: CallId, command: ChannelCommand) {
        let ChannelCommand::Record {
            id,
            name,
            if_exists,
            max_duration,
            max_silence,
            terminate_on,
            beep,
        } = command
        else {
            return;
        };
        let Some(entry) = self.calls.get_mut(&call) else { return };
        entry.live.insert(id);
        let port = entry.port;
        // The link lets one recording run on a channel: an older one is that of an earlier owner.
        let older = entry.recording.replace(id).filter(|older| entry.live.contains(older));
        let inherited = std::mem::take(&mut entry.inherited);
        if inherited {
            self.media(port, media::Command::StopAll);
        }
        if let Some(id) = older {
            self.media(port, media::Command::StopRecord { id, discard: false });
        }
        let terminate_on = keys(&terminate_on);
        let name = name.into();
        self.media(
            port,
            media::Command::Record(media::Recording {
                id,
                name,
                if_exists: if_exists_of(if_exists),
                max_duration,
                max_silence,
                terminate_on,
                beep,
            }),
        );
        self.sounding(now, call);
    }

    pub(super) fn stop_record(&mut self, call: CallId, id: MediaId, discard: bool) {
        let Some(entry) = self.calls.get(&call) else { return };
        let port = entry.port;
        self.media(port, media::Command::StopRecord { id, discard });
    }

    pub(super) fn silence(&mut self, now: Instant, call: CallId) {
        let Some(entry) = self.calls.get_mut(&call) else { return };
        entry.inherited = false;
        let port = entry.port;
        self.end_waiting(now, call, |_| true);
        self.media(port, media::Command::StopAll);
        self.sounding(now, call);
    }

    /// Tells the pool whether the caller hears anything: silence is judged by it.
    pub(super) fn sounding(&mut self, now: Instant, call: CallId) {
        let Some(entry) = self.calls.get(&call) else { return };
        let (port, on) = (entry.port, entry.sounds());
        self.pool.handle_input(now, pool::Input::Sounding { port, on });
    }
}

/// The keys that end a play of this call.
fn barge_in_of(config: &Config, entry: &Call) -> DigitSet {
    entry.barge_in.unwrap_or_else(|| {
        let name = entry.application.as_deref().unwrap_or("");
        config.applications.get(name).map_or(DigitSet::NONE, |a| keys(&a.barge_in))
    })
}

fn control_of(control: ivr::PlaybackControl) -> media::PlaybackControl {
    match control {
        ivr::PlaybackControl::Restart => media::PlaybackControl::Restart,
        ivr::PlaybackControl::Pause => media::PlaybackControl::Pause,
        ivr::PlaybackControl::Unpause => media::PlaybackControl::Unpause,
        ivr::PlaybackControl::Reverse => media::PlaybackControl::Reverse,
        ivr::PlaybackControl::Forward => media::PlaybackControl::Forward,
        ivr::PlaybackControl::Stop => media::PlaybackControl::Stop,
    }
}

fn if_exists_of(if_exists: ivr::IfExists) -> media::IfExists {
    match if_exists {
        ivr::IfExists::Fail => media::IfExists::Fail,
        ivr::IfExists::Overwrite => media::IfExists::Overwrite,
        ivr::IfExists::Append => media::IfExists::Append,
    }
}

/// A list of keys as a set.
pub(super) fn keys(digits: &[Digit]) -> DigitSet {
    digits.iter().fold(DigitSet::NONE, |set, &digit| set.with(digit))
}
