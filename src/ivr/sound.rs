//! `play` and `record` on a channel, and what the node tells of them.
//!
//! Plays of one channel sound one after the other in the order in which their requests arrived. A
//! play with the id of an earlier one of the same channel is that one: a client library repeats
//! requests after a socket error.

use super::channel::{Playback, PlaybackState, Recording, RecordingState};
use super::events::Body;
use super::fault::{Fault, Outcome, Reply};
use super::machine::{Ask, Ivr};
use super::media_uri;
use super::model::json;
use super::{ChannelCommand, IfExists, MediaUri};
use crate::codecs::Digit;
use crate::ids::{CallId, MediaId};
use crate::timers::{Duration, Instant};

/// Pieces of one playback.
const PIECES_MAX: usize = 64;

/// Playbacks of one channel that are not over. A dialog queues a handful; more shows a loop.
pub const PLAYBACKS_MAX: usize = 64;

/// Longest id that a client may choose.
const ID_MAX: usize = 128;

/// Longest offset and skip: a day, in milliseconds.
const OFFSET_MAX: u64 = 86_400_000;

/// ARI's default step of `forward` and `reverse`, in milliseconds.
const SKIP_DEFAULT: u64 = 3000;

impl Ivr {
    pub(super) fn play(&mut self, call: CallId, ask: &Ask<'_>) -> Outcome {
        let wanted = ask.args.get(1).copied().or_else(|| ask.params.get("playbackId"));
        if let Some(reply) = wanted.map(|id| self.earlier(call, id)).transpose()?.flatten() {
            return Ok(reply);
        }
        let uris = ask.params.list("media");
        if uris.is_empty() || uris.len() > PIECES_MAX {
            return Err(Fault::bad("Parameter media must name 1 to 64 pieces"));
        }
        let media: Vec<_> =
            uris.iter().map(|uri| media_uri::parse(uri)).collect::<Result<_, _>>()?;
        self.may_hear(ask, &media)?;
        let language = language(ask)?;
        let offset = ask.params.millis("offsetms", 0, OFFSET_MAX)?;
        let skip = ask.params.millis("skipms", SKIP_DEFAULT, OFFSET_MAX)?;
        self.answer(call)?;
        let (id, body) = self.queue_playback(call, wanted, &uris, &language)?;
        self.order(call, ChannelCommand::Play { id, media, language, offset, skip });
        Ok(Reply::created(body))
    }

    /// The playback that already has this id, if it is on the same channel.
    ///
    /// # Errors
    ///
    /// 409 if it is on another one, 400 if it cannot be an id.
    fn earlier(&self, call: CallId, id: &str) -> Result<Option<Reply>, Fault> {
        if !is_id(id) {
            return Err(Fault::bad("Playback id must be 1 to 128 of A-Z, a-z, 0-9, - . _ : @"));
        }
        match self.playback_ids.get(id) {
            None => Ok(None),
            Some((other, _)) if *other != call => {
                Err(Fault::conflict("Playback id is in use on another channel"))
            }
            Some((_, media)) => {
                let channel = self.channels.get(&call).ok_or_else(Fault::no_channel)?;
                let playback = channel.playbacks.iter().find(|p| p.media == *media);
                let playback = playback.ok_or_else(Fault::no_playback)?;
                Ok(Some(Reply::created(json(&playback.view(&channel.id)))))
            }
        }
    }

    /// Nobody hears what an application recorded that he may not serve.
    fn may_hear(&self, ask: &Ask<'_>, media: &[MediaUri]) -> Result<(), Fault> {
        let refused = media.iter().any(|piece| match piece {
            MediaUri::Recording(name) => self.is_of_others(ask, name),
            MediaUri::Sound(_) | MediaUri::Digits(_) | MediaUri::Number(_) | MediaUri::Tone(_) => {
                false
            }
        });
        if refused {
            return Err(Fault::conflict("A recording of this name is another user's"));
        }
        Ok(())
    }

    fn queue_playback(
        &mut self,
        call: CallId,
        wanted: Option<&str>,
        uris: &[&str],
        language: &str,
    ) -> Result<(MediaId, String), Fault> {
        let channel = self.channels.get_mut(&call).ok_or_else(Fault::no_channel)?;
        if channel.playbacks.iter().filter(|p| !p.is_finished()).count() >= PLAYBACKS_MAX {
            return Err(Fault::conflict("64 playbacks wait on this channel already"));
        }
        let media = channel.next_media();
        let id =
            wanted.map_or_else(|| format!("{}-p{}", channel.id, media.0 & 0xffff), str::to_owned);
        let playback = Playback {
            id: id.clone(),
            media,
            uris: uris.iter().map(|uri| (*uri).to_owned()).collect(),
            part: 0,
            language: language.to_owned(),
            state: PlaybackState::Queued,
        };
        let body = json(&playback.view(&channel.id));
        channel.playbacks.push(playback);
        self.playback_ids.insert(id, (call, media));
        Ok((media, body))
    }

    pub(super) fn record(&mut self, call: CallId, ask: &Ask<'_>) -> Outcome {
        let name = media_uri::recording_name(ask.params.required("name")?)
            .ok_or_else(|| Fault::bad("Parameter name must be a plain file name"))?;
        if ask.params.get("format").is_some_and(|f| f != "wav") {
            return Err(Fault::new(422, "Recordings are made in the format wav only"));
        }
        let max_duration = seconds(ask, "maxDurationSeconds")?;
        let max_silence = seconds(ask, "maxSilenceSeconds")?;
        let terminate_on = terminators(ask.params.get("terminateOn").unwrap_or("none"))?;
        let beep = ask.params.flag("beep")?;
        let if_exists = self.free_for_recording(call, ask, &name)?;
        self.answer(call)?;
        let channel = self.channels.get_mut(&call).ok_or_else(Fault::no_channel)?;
        let id = channel.next_media();
        let recording =
            Recording { name: name.clone(), media: id, discarded: false, inherited: false };
        let body = json(&recording.view(&channel.id, RecordingState::Queued, None));
        channel.recordings.push(recording);
        self.live_recordings.insert(name.clone(), (call, id));
        self.order(
            call,
            ChannelCommand::Record {
                id,
                name,
                if_exists,
                max_duration,
                max_silence,
                terminate_on,
                beep,
            },
        );
        self.tell_recording(ask.now, call, id, |recording| Body::RecordingStarted { recording });
        Ok(Reply::created(body))
    }

    /// Whether a recording of this name may begin: one runs on a channel at a time, and a name is
    /// used once unless the request says `overwrite` or `append`.
    fn free_for_recording(
        &self,
        call: CallId,
        ask: &Ask<'_>,
        name: &str,
    ) -> Result<IfExists, Fault> {
        let channel = self.channels.get(&call).ok_or_else(Fault::no_channel)?;
        if channel.recordings.iter().any(|r| !r.inherited) {
            return Err(Fault::conflict("This channel is being recorded already"));
        }
        let running = self.live_recordings.get(name).is_some_and(|(other, _)| *other != call);
        let exists = self.stored.contains(name) || self.live_recordings.contains_key(name);
        let if_exists = match ask.params.get("ifExists").unwrap_or("fail") {
            "fail" => IfExists::Fail,
            "overwrite" => IfExists::Overwrite,
            "append" => IfExists::Append,
            _ => return Err(Fault::bad("Parameter ifExists must be fail, overwrite or append")),
        };
        let theirs = self.is_of_others(ask, name);
        if running || theirs || (exists && if_exists == IfExists::Fail) {
            return Err(Fault::conflict("A recording of this name exists"));
        }
        Ok(if_exists)
    }
}

/// What the node tells.
impl Ivr {
    pub(super) fn playback_started(&mut self, now: Instant, call: CallId, id: MediaId) {
        let channel = self.channels.get_mut(&call);
        let Some(playback) = channel.and_then(|c| c.playback(id)) else { return };
        playback.state = PlaybackState::Playing;
        self.tell_playback(now, call, id);
    }

    pub(super) fn playback_continuing(
        &mut self,
        now: Instant,
        call: CallId,
        id: MediaId,
        part: usize,
    ) {
        let channel = self.channels.get_mut(&call);
        let Some(playback) = channel.and_then(|c| c.playback(id)) else { return };
        (playback.state, playback.part) = (PlaybackState::Continuing, part);
        self.tell_playback(now, call, id);
    }

    pub(super) fn playback_finished(
        &mut self,
        now: Instant,
        call: CallId,
        id: MediaId,
        failed: bool,
    ) {
        let channel = self.channels.get_mut(&call);
        let Some(playback) = channel.and_then(|c| c.playback(id)) else { return };
        playback.state = if failed { PlaybackState::Failed } else { PlaybackState::Done };
        self.tell_playback(now, call, id);
        let Some(channel) = self.channels.get_mut(&call) else { return };
        for id in channel.forget_finished() {
            self.playback_ids.swap_remove(&id);
        }
    }

    fn tell_playback(&mut self, now: Instant, call: CallId, id: MediaId) {
        let Some(channel) = self.channels.get(&call) else { return };
        let Some(playback) = channel.playbacks.iter().rfind(|p| p.media == id) else { return };
        let (state, playback) = (playback.state, playback.view(&channel.id));
        let body = match state {
            PlaybackState::Queued => return,
            PlaybackState::Playing => Body::PlaybackStarted { playback },
            PlaybackState::Continuing => Body::PlaybackContinuing { playback },
            PlaybackState::Done | PlaybackState::Failed => Body::PlaybackFinished { playback },
        };
        let audience = self.audience(channel);
        self.out.event(now, &audience, &channel.application, &body);
    }

    /// The call is over: what sounded or waited did not reach its end, what was recorded did.
    pub(super) fn end_media(&mut self, now: Instant, call: CallId) {
        let Some(channel) = self.channels.get(&call) else { return };
        let playing: Vec<_> =
            channel.playbacks.iter().filter(|p| !p.is_finished()).map(|p| p.media).collect();
        let recording: Vec<_> = channel.recordings.iter().map(|r| r.media).collect();
        for id in playing {
            self.playback_finished(now, call, id, true);
        }
        for id in recording {
            self.recording_finished(now, call, id, None, false);
        }
    }
}

pub(super) fn is_id(id: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._:@".contains(&b);
    (1..=ID_MAX).contains(&id.len()) && id.bytes().all(plain)
}

fn language(ask: &Ask<'_>) -> Result<String, Fault> {
    let language = ask.params.get("lang").unwrap_or(super::channel::LANGUAGE);
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if language.len() > 16 || !language.chars().all(plain) {
        return Err(Fault::bad("Parameter lang must be a language, as en or pt_BR"));
    }
    Ok(language.to_owned())
}

/// Seconds, of which 0 is no limit.
fn seconds(ask: &Ask<'_>, name: &'static str) -> Result<Option<Duration>, Fault> {
    let seconds = ask.params.number::<u32>(name)?.unwrap_or(0);
    Ok((seconds > 0).then(|| Duration::from_secs(u64::from(seconds))))
}

fn terminators(keys: &str) -> Result<Vec<Digit>, Fault> {
    match keys {
        "none" => Ok(Vec::new()),
        "any" => Ok((0..16).filter_map(Digit::from_event).collect()),
        "*" | "#" => Ok(keys.chars().filter_map(Digit::from_char).collect()),
        _ => Err(Fault::bad("Parameter terminateOn must be none, any, * or #")),
    }
}
