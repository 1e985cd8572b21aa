//! `/recordings`: what is being recorded, and what was recorded since this process started.

use std::collections::{BTreeMap, VecDeque};

use super::ChannelCommand;
use super::channel::RecordingState;
use super::docs::routes::RecordingOp;
use super::events::Body;
use super::fault::{Fault, Outcome, Reply};
use super::machine::{Ask, Ivr};
use super::model::{RecordingView, StoredView, json};
use crate::ids::{CallId, MediaId};
use crate::timers::Instant;

/// Finished recordings that are remembered by name; past it the oldest names are forgotten. The
/// files are not touched.
const STORED_MAX: usize = 4096;

/// Finished recordings and the application that made each.
#[derive(Debug, Default)]
pub(super) struct Stored {
    by_name: BTreeMap<String, String>,
    by_age: VecDeque<String>,
}

impl Stored {
    pub(super) fn contains(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    /// The application that made it.
    pub(super) fn maker(&self, name: &str) -> Option<&str> {
        self.by_name.get(name).map(String::as_str)
    }

    fn add(&mut self, name: String, application: String) {
        if self.by_name.insert(name.clone(), application).is_none() {
            self.by_age.push_back(name);
        }
        if self.by_age.len() > STORED_MAX
            && let Some(oldest) = self.by_age.pop_front()
        {
            self.by_name.remove(&oldest);
        }
    }
}

impl Ivr {
    pub(super) fn recording_request(&mut self, op: RecordingOp, ask: &Ask<'_>) -> Outcome {
        match op {
            RecordingOp::ListStored => Ok(self.list_stored(ask)),
            RecordingOp::GetStored => self.get_stored(ask),
            RecordingOp::GetLive => self.get_live(ask),
            RecordingOp::Stop => self.stop_recording(ask, false),
            RecordingOp::Cancel => self.stop_recording(ask, true),
        }
    }

    fn list_stored(&self, ask: &Ask<'_>) -> Reply {
        let mine = self.stored.by_name.iter().filter(|(_, a)| ask.user.serves(a));
        let views: Vec<_> = mine.map(|(name, _)| StoredView { name, format: "wav" }).collect();
        Reply::ok(json(&views))
    }

    fn get_stored(&self, ask: &Ask<'_>) -> Outcome {
        let found = self.stored.by_name.get_key_value(ask.arg(0));
        let found = found.filter(|(_, application)| ask.user.serves(application));
        let (name, _) = found.ok_or_else(Fault::no_recording)?;
        Ok(Reply::ok(json(&StoredView { name, format: "wav" })))
    }

    fn get_live(&mut self, ask: &Ask<'_>) -> Outcome {
        let (call, id) = self.live_recording(ask)?;
        let channel = self.channels.get(&call).ok_or_else(Fault::no_recording)?;
        let recording = channel.recordings.iter().find(|r| r.media == id);
        let recording = recording.ok_or_else(Fault::no_recording)?;
        Ok(Reply::ok(json(&recording.view(&channel.id, RecordingState::Recording, None))))
    }

    fn stop_recording(&mut self, ask: &Ask<'_>, discard: bool) -> Outcome {
        let (call, id) = self.live_recording(ask)?;
        let channel = self.channels.get_mut(&call).ok_or_else(Fault::no_recording)?;
        for recording in channel.recordings.iter_mut().filter(|r| r.media == id) {
            recording.discarded |= discard;
        }
        Ok(self.done(call, ChannelCommand::StopRecord { id, discard }))
    }

    /// Whether a recording was, or is being, made by an application that the user may not serve.
    pub(super) fn is_of_others(&self, ask: &Ask<'_>, name: &str) -> bool {
        let live = self.live_recordings.get(name).and_then(|(call, _)| self.channels.get(call));
        let live = live.map(|channel| channel.application.as_str());
        let makers = live.into_iter().chain(self.stored.maker(name));
        makers.into_iter().any(|maker| !ask.user.serves(maker))
    }

    /// A recording is over; `duration_ms` is `None` when the call ended before it was known.
    pub(super) fn recording_finished(
        &mut self,
        now: Instant,
        call: CallId,
        id: MediaId,
        duration_ms: Option<u64>,
        failed: bool,
    ) {
        let Some(channel) = self.channels.get(&call) else { return };
        let Some(recording) = channel.recordings.iter().find(|r| r.media == id) else { return };
        let state = match (failed, recording.discarded) {
            (true, _) => RecordingState::Failed,
            (false, true) => RecordingState::Canceled,
            (false, false) => RecordingState::Done,
        };
        if !recording.inherited {
            let recording = recording.view(&channel.id, state, duration_ms.map(|ms| ms / 1000));
            let body = match failed {
                true => Body::RecordingFailed { recording },
                false => Body::RecordingFinished { recording },
            };
            let audience = self.audience(channel);
            self.out.event(now, &audience, &channel.application, &body);
        }
        self.put_away(call, id, state);
    }

    fn put_away(&mut self, call: CallId, id: MediaId, state: RecordingState) {
        let Some(channel) = self.channels.get_mut(&call) else { return };
        let Some(at) = channel.recordings.iter().position(|r| r.media == id) else { return };
        let recording = channel.recordings.remove(at);
        if self.live_recordings.get(&recording.name) == Some(&(call, id)) {
            self.live_recordings.remove(&recording.name);
        }
        if state == RecordingState::Done {
            self.stored.add(recording.name, channel.application.clone());
        }
    }

    pub(super) fn tell_recording<F>(&mut self, now: Instant, call: CallId, id: MediaId, body: F)
    where
        F: for<'c> FnOnce(RecordingView<'c>) -> Body<'c>,
    {
        let Some(channel) = self.channels.get(&call) else { return };
        let Some(recording) = channel.recordings.iter().find(|r| r.media == id) else { return };
        let body = body(recording.view(&channel.id, RecordingState::Recording, None));
        let audience = self.audience(channel);
        self.out.event(now, &audience, &channel.application, &body);
    }
}
