//! Calls of another node: what it is told of ours, and how we carry on its.
//!
//! A recovered call begins like any other with a UDP port. When that is open, everybody hears of
//! the call in one breath: the media port where to send and what sounds, the endpoint whom to tell
//! that the audio comes from here now, the pool that an owner is wanted. Where the address of the
//! other node has come here too, the call keeps its UDP port and its stream, and nobody outside is
//! told.

use tracing::info;

use crate::ids::CallId;
use crate::media::{self, PlaybackControl};
use crate::mutants::{Mutant, mutant};
use crate::node::Node;
use crate::node::record::{CallRecord, Resume};
use crate::node::sound::Sound;
use crate::pool;
use crate::sip::{self, Recovery, Way};
use crate::timers::{Duration, Instant};

use super::dialog::local_media;

impl Node {
    /// A call as plain data. `None`: it is over, or has not come so far that another node could
    /// carry it on.
    pub fn call_record(&self, now: Instant, call: CallId) -> Option<CallRecord> {
        let entry = self.calls.get(&call)?;
        if entry.recovery.is_some() {
            return None;
        }
        let sip = self.sip.call_snapshot(now, call)?;
        let pool = self.pool.save(entry.port)?;
        Some(CallRecord::of(entry, sip, pool, now))
    }

    /// Carries on a call of another node.
    pub(in crate::node) fn recover(&mut self, now: Instant, record: CallRecord) {
        let (call, port) = (record.call(), record.port());
        let known = usize::from(port.0) < self.by_port.len();
        let over = mutant(Mutant::HeldIsOver) && record.is_held();
        if over || !known || self.call_of(port).is_some() || self.calls.contains_key(&call) {
            return;
        }
        let Some(udp_port) = self.reopen_udp_port(now, &record) else { return };
        let entry = record.into_call(udp_port, now);
        self.admit(entry);
    }

    /// With the address of the other node, a call keeps its UDP port and its stream.
    fn reopen_udp_port(&mut self, now: Instant, record: &CallRecord) -> Option<u16> {
        let (call, port, udp_port) = (record.call(), record.port(), record.udp_port());
        let stays = self.config.service_address().is_some();
        match record.stream_from_here().filter(|_| stays && self.udp_ports.take_this(udp_port)) {
            Some(start) => {
                self.open_media(call, port, udp_port, start);
                Some(udp_port)
            }
            None => self.open_udp_port(now, call, port),
        }
    }

    /// The far end speaks with this node now.
    pub(super) fn recovered(&mut self, call: CallId) {
        let Some(entry) = self.calls.get_mut(&call) else { return };
        if std::mem::take(&mut entry.moving) {
            info!(%call, "carried on from the other node");
            if let Some(takeover) = &mut self.takeover {
                takeover.kept += 1;
            }
        }
    }

    /// The UDP port of a recovered call is open.
    pub(super) fn resume(&mut self, now: Instant, call: CallId) {
        let Some(entry) = self.calls.get_mut(&call) else { return };
        let Some(resume) = entry.recovery.take() else { return };
        let Resume { sip: snapshot, pool: saved, sounds, udp_port: had, since } = *resume;
        let (port, muted) = (entry.port, entry.muted);
        let media = local_media(&self.config, port, entry.udp_port);
        // A call whose UDP port is taken here, or that has sent nothing yet, tells its far end.
        let stays = self.config.service_address().is_some() && entry.udp_port == had;
        let way = if stays { Way::SameAddress } else { Way::Reinvite };
        let last_key = entry.last_key;
        if let Some(negotiated) = entry.negotiated {
            if let Some(last) = last_key {
                self.media(port, media::Command::GoOnAfter(last));
            }
            if !mutant(Mutant::SilentCall) {
                self.media(port, media::Command::Session(negotiated));
            }
        }
        if muted != (false, false) {
            self.media(port, media::Command::Mute { out: muted.0, inbound: muted.1 });
        }
        self.resume_sounds(now, call, sounds, now.saturating_duration_since(since));
        let recovery = Recovery { snapshot, media, way };
        self.sip_command(now, sip::Command::Recover(Box::new(recovery)));
        let saved = Box::new(saved);
        if !mutant(Mutant::NoNewOwner) {
            self.pool.handle_input(now, pool::Input::Recovered { port, call, saved });
        }
        self.sounding(now, call);
        self.check_taken_over(now);
    }

    /// What sounded goes on, `late` after the record of it was read.
    fn resume_sounds(&mut self, now: Instant, call: CallId, sounds: Vec<Sound>, late: Duration) {
        let Some(port) = self.calls.get(&call).map(|entry| entry.port) else { return };
        let mut playbacks = Vec::new();
        let mut kept = Vec::new();
        for (at, mut sound) in sounds.into_iter().enumerate() {
            if at == 0 {
                sound.pass(late);
            }
            match self.resumed(now, &sound) {
                Some(playback) => {
                    playbacks.push(playback);
                    kept.push(sound);
                }
                None => self.forget_sound(call, &sound),
            }
        }
        let held = kept.first().filter(|sound| sound.paused).map(|sound| sound.id);
        if let Some(entry) = self.calls.get_mut(&call) {
            entry.sounds = kept;
            entry.inherited = !playbacks.is_empty();
        }
        if !playbacks.is_empty() {
            self.media(port, media::Command::PlayAll(playbacks));
        }
        if let Some(id) = held {
            self.media(port, media::Command::Control { id, control: PlaybackControl::Pause });
        }
    }

    /// A sound of another node, for the media port. `None`: it is over by now, or not here.
    fn resumed(&mut self, now: Instant, sound: &Sound) -> Option<media::Playback> {
        let row = match self.prompts.row(&sound.media, &sound.language) {
            Ok(row) => row,
            Err(gap) => {
                self.alarms.prompt_missing(&self.config, gap.name(), now);
                return None;
            }
        };
        let offset = sound.offset(row.length())?;
        Some(media::Playback {
            id: sound.id,
            pieces: row.pieces,
            parts: Vec::new(),
            offset,
            skip: sound.skip,
            repeat: sound.repeat,
            barge_in: sound.barge_in,
            replace: false,
        })
    }

    fn forget_sound(&mut self, call: CallId, sound: &Sound) {
        let Some(entry) = self.calls.get_mut(&call) else { return };
        entry.media_over(sound.id);
        if entry.announce.is_some_and(|announcing| announcing.last == sound.id) {
            entry.announce = None;
        }
    }
}
