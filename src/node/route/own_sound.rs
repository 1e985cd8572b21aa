//! What the node itself plays: the prompts of its rules, the announcement, hold music.
//!
//! All of it goes by names of its own, so that no application hears of it, and whatever an
//! application plays next replaces it.

use tracing::warn;

use crate::ids::{CallId, MediaId, PortId};
use crate::ivr;
use crate::media::{self, DigitSet};
use crate::node::call::Announcing;
use crate::node::sound::Sound;
use crate::node::{Node, is_own};
use crate::pool;
use crate::timers::{Duration, Instant};

/// Hold music.
const MOH: &str = "moh";
/// Of the node's own prompts.
const LANGUAGE: &str = "en";

impl Node {
    pub(super) fn hold_prompt(&mut self, now: Instant, port: PortId, application: &str) {
        let Some(call) = self.call_of(port) else { return };
        self.answer(now, call);
        let rule = self.config.applications.get(application);
        let prompt = rule.and_then(|rule| rule.hold_prompt.clone());
        self.play_rule(now, call, prompt, true);
    }

    pub(super) fn gateway_prompt(&mut self, now: Instant, port: PortId, application: &str) {
        let Some(call) = self.call_of(port) else { return };
        let rule = self.config.applications.get(application);
        let prompt = rule.and_then(|rule| rule.gateway_prompt.clone());
        self.play_rule(now, call, prompt, false);
    }

    fn play_rule(&mut self, now: Instant, call: CallId, prompt: Option<String>, repeat: bool) {
        let sound = prompt.filter(|name| self.prompts.sound(name, LANGUAGE).is_some());
        let live = self.calls.get(&call).map(|entry| &entry.live);
        if live.is_some_and(|live| live.iter().any(|&id| is_own(id))) {
            return; // The caller hears something already, and may hear it for ever.
        }
        if let Some(sound) = sound {
            self.play_own(now, call, &[sound], repeat, false);
        }
    }

    /// `builtin:announce`: prompts, so often, and then what the configuration says.
    pub(super) fn announce(&mut self, now: Instant, port: PortId, call: CallId) {
        self.answer(now, call);
        if self.calls.get(&call).is_some_and(|entry| entry.announce.is_some()) {
            return; // It began at another node.
        }
        let there = |name: &&String| self.prompts.sound(name, LANGUAGE).is_some();
        let once: Vec<_> = self.config.announce.prompts.iter().filter(there).cloned().collect();
        let rounds = usize::try_from(self.config.announce.repeats.max(1)).unwrap_or(1);
        let names: Vec<_> = once.iter().cloned().cycle().take(once.len() * rounds).collect();
        if once.is_empty() {
            warn!(%call, "nothing to announce: no prompt of [announce] is there");
            self.pool.handle_input(now, pool::Input::AnnounceDone { port });
            return;
        }
        let last = self.play_own(now, call, &names, false, true);
        if let (Some(entry), Some(last)) = (self.calls.get_mut(&call), last) {
            entry.announce = Some(Announcing { last });
        }
        self.sounding(now, call);
    }

    pub(super) fn music(&mut self, now: Instant, call: CallId) {
        if self.prompts.sound(MOH, LANGUAGE).is_none() {
            self.alarms.prompt_missing(&self.config, MOH, now);
            return;
        }
        let music = self.play_own(now, call, &[MOH.to_owned()], true, true);
        if let Some(entry) = self.calls.get_mut(&call) {
            entry.music = music;
        }
        self.sounding(now, call);
    }

    /// Ends the hold music and nothing else: over HTTP this may arrive after the play that was
    /// sent behind it.
    pub(super) fn stop_music(&mut self, call: CallId) {
        let Some(entry) = self.calls.get(&call) else { return };
        let Some(id) = entry.music.filter(|id| entry.live.contains(id)) else { return };
        let port = entry.port;
        let control = media::PlaybackControl::Stop;
        self.media(port, media::Command::Control { id, control });
    }

    /// A playback of the node's own. Whatever an application plays next replaces it.
    fn play_own(
        &mut self,
        now: Instant,
        call: CallId,
        names: &[String],
        repeat: bool,
        replace: bool,
    ) -> Option<MediaId> {
        let entry = self.calls.get_mut(&call)?;
        let media: Vec<_> = names.iter().cloned().map(ivr::MediaUri::Sound).collect();
        let pieces = self.prompts.row(&media, LANGUAGE).ok()?.pieces;
        let id = entry.own_media();
        if replace {
            entry.sounds.clear();
        }
        entry.sounds.push(Sound::repeating(id, media, LANGUAGE, repeat));
        entry.live.insert(id);
        entry.inherited = true;
        let port = entry.port;
        let playback = media::Playback {
            id,
            pieces,
            parts: Vec::new(),
            offset: Duration::ZERO,
            skip: Duration::ZERO,
            repeat,
            barge_in: DigitSet::NONE,
            replace,
        };
        self.media(port, media::Command::Play(playback));
        self.sounding(now, call);
        Some(id)
    }
}
