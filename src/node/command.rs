//! What an application's command means for dialog and sound. Each has been checked by the link:
//! the sender owns the call, and the call's state allows it.

use super::call::{Call, DigitsOut, Socket, Transfer, WaitingPlay};
use super::prompts::{Gap, Row};
use super::{Node, Output, Timer};
use crate::codecs::Digit;
use crate::config::Continue;
use crate::ids::{CallId, Generation, MediaId, PortId};
use crate::ivr::{self, ChannelCommand, ChannelState};
use crate::media::{self, DigitSet};
use crate::pool::{self, CommandKind};
use crate::sdp::LocalMedia;
use crate::sip;
use crate::timers::Instant;

/// Plays that wait behind a stored recording being read, at most.
const WAITING_PLAYS_MAX: usize = 64;

/// `dtmf` commands that wait for their `before`, at most.
const DIGITS_LATER_MAX: usize = 16;

impl Node {
    /// Carries out a command of a call's owner. It is a sign of life first of all.
    pub(super) fn command(
        &mut self,
        now: Instant,
        port: PortId,
        call: CallId,
        generation: Generation,
        command: ChannelCommand,
    ) {
        let kind = kind_of(&command);
        self.pool.handle_input(now, pool::Input::Command { port, generation, kind });
        if !self.calls.contains_key(&call) {
            return;
        }
        match command {
            ChannelCommand::Read | ChannelCommand::Ring(false) => {}
            ChannelCommand::Answer => self.answer(now, call),
            ChannelCommand::Ring(true) => self.sip_command(now, sip::Command::Ring { call }),
            ChannelCommand::Play { id, media, language, offset, skip } => {
                let loaded = Vec::new();
                self.play(now, call, WaitingPlay { id, media, language, offset, skip, loaded });
            }
            ChannelCommand::Playback { id, control } => self.control(now, call, id, control),
            ChannelCommand::Record { .. } => self.record(now, call, command),
            ChannelCommand::StopRecord { id, discard } => self.stop_record(call, id, discard),
            ChannelCommand::SetVariable { name, value } => {
                self.set_variable(now, port, call, generation, name, value);
            }
            ChannelCommand::Dtmf { digits, before, between, duration, after } => {
                let at = now + before;
                self.send_digits(call, DigitsOut { at, digits, duration, between, after });
            }
            ChannelCommand::Hangup { cause } => self.hang_up(now, call, Some(cause)),
            ChannelCommand::Continue { extension } => self.leave(now, port, call, extension),
            ChannelCommand::Redirect { target } => {
                self.transfer(now, call, target, Transfer::ByOwner);
            }
            ChannelCommand::Move { application, args } => {
                self.pool.handle_input(now, pool::Input::Move { port, application, args });
            }
            ChannelCommand::Moh(true) => self.music(now, call),
            ChannelCommand::Moh(false) => self.stop_music(call),
            ChannelCommand::Silence(true) => self.silence(now, call),
            ChannelCommand::Silence(false) => {}
            ChannelCommand::Hold(on) => self.hold(now, call, on),
            ChannelCommand::Mute { out, inbound } => self.mute(call, out, inbound),
        }
    }

    /// 200 as soon as the UDP port is ours.
    pub(super) fn answer(&mut self, now: Instant, call: CallId) {
        let Some(entry) = self.calls.get_mut(&call) else { return };
        if entry.state != ChannelState::Ring {
            return;
        }
        if let Socket::Opening { answer, .. } = &mut entry.socket {
            *answer = true;
            return;
        }
        let media = local_media(&self.config, entry.udp_port);
        self.sip_command(now, sip::Command::Answer { call, media });
        self.up(now, call);
    }

    /// The call is up: everybody is told once.
    pub(super) fn up(&mut self, now: Instant, call: CallId) {
        let Some(entry) = self.calls.get_mut(&call) else { return };
        if entry.is_up() {
            return;
        }
        entry.state = ChannelState::Up;
        let port = entry.port;
        self.ivr.handle_input(now, ivr::Input::State { call, state: ChannelState::Up });
        self.pool.handle_input(now, pool::Input::Up { port });
    }

    /// Plays, or puts it behind the plays that wait for a recording to be read.
    fn play(&mut self, now: Instant, call: CallId, play: WaitingPlay) {
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
        while let Some(play) = self.calls.get(&call).and_then(|entry| entry.waiting.front()) {
            let id = play.id;
            match self.row_of(play) {
                Ok(row) => self.play_row(call, row),
                Err(Gap::Recording(name)) => {
                    self.outputs.push_back(Output::Load { call, name });
                    return;
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
    }

    /// The sounds of a play, recordings that were read among them.
    fn row_of(&self, play: &WaitingPlay) -> Result<Row, Gap> {
        let mut row = Row { pieces: Vec::new(), repeat: false };
        for uri in &play.media {
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

    /// Hands the first waiting play to the media port.
    fn play_row(&mut self, call: CallId, row: Row) {
        let Some(entry) = self.calls.get_mut(&call) else { return };
        let Some(play) = entry.waiting.front() else { return };
        let barge_in = entry.barge_in.unwrap_or_else(|| {
            let name = entry.application.as_deref().unwrap_or("");
            self.config.applications.get(name).map_or(DigitSet::NONE, |a| keys(&a.barge_in))
        });
        let playback = media::Playback {
            id: play.id,
            pieces: row.pieces,
            offset: play.offset,
            skip: play.skip,
            repeat: row.repeat,
            barge_in,
            replace: std::mem::take(&mut entry.inherited),
        };
        let port = entry.port;
        self.media(port, media::Command::Play(playback));
    }

    /// A stored recording was read.
    pub(super) fn loaded(
        &mut self,
        now: Instant,
        call: CallId,
        name: &str,
        prompt: Option<std::sync::Arc<media::Prompt>>,
    ) {
        let Some(entry) = self.calls.get_mut(&call) else { return };
        if let Some(play) = entry.waiting.front_mut() {
            play.loaded.push((name.to_owned(), prompt));
        }
        self.play_waiting(now, call);
    }

    fn playback_failed(&mut self, now: Instant, call: CallId, id: MediaId) {
        if let Some(entry) = self.calls.get_mut(&call) {
            entry.live.remove(&id);
        }
        let failed = true;
        self.ivr.handle_input(now, ivr::Input::PlaybackFinished { call, id, failed });
        self.sounding(now, call);
    }

    fn control(&mut self, now: Instant, call: CallId, id: MediaId, control: ivr::PlaybackControl) {
        let Some(entry) = self.calls.get_mut(&call) else { return };
        let stops = control == ivr::PlaybackControl::Stop;
        if stops && entry.waiting.iter().any(|play| play.id == id) {
            entry.waiting.retain(|play| play.id != id);
            entry.live.remove(&id);
            let failed = false;
            self.ivr.handle_input(now, ivr::Input::PlaybackFinished { call, id, failed });
            self.play_waiting(now, call);
            self.sounding(now, call);
            return;
        }
        let port = entry.port;
        self.media(port, media::Command::Control { id, control: control_of(control) });
    }

    fn record(&mut self, now: Instant, call: CallId, command: ChannelCommand) {
        let ChannelCommand::Record { id, name, max_duration, max_silence, terminate_on, beep } =
            command
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
                max_duration,
                max_silence,
                terminate_on,
                beep,
            }),
        );
        self.sounding(now, call);
    }

    fn stop_record(&mut self, call: CallId, id: MediaId, discard: bool) {
        let Some(entry) = self.calls.get(&call) else { return };
        let port = entry.port;
        self.media(port, media::Command::StopRecord { id, discard });
    }

    fn set_variable(
        &mut self,
        now: Instant,
        port: PortId,
        call: CallId,
        generation: Generation,
        name: String,
        value: String,
    ) {
        if name == "GW_ACK" {
            if let Ok(count) = value.trim().parse() {
                self.pool.handle_input(now, pool::Input::Ack { port, generation, count });
            }
            return;
        }
        if name == "GW_BARGE_IN" {
            let pressed: Vec<Digit> = value.chars().filter_map(Digit::from_char).collect();
            if let Some(entry) = self.calls.get_mut(&call) {
                entry.barge_in = Some(keys(&pressed));
            }
        }
        self.pool.handle_input(now, pool::Input::Variable { port, name, value });
    }

    /// Sends digits, after a pause if one is wanted.
    fn send_digits(&mut self, call: CallId, mut out: DigitsOut) {
        let Some(entry) = self.calls.get_mut(&call) else { return };
        if entry.digits_later.len() >= DIGITS_LATER_MAX {
            return;
        }
        let last = entry.digits_later.back().map_or(out.at, |earlier| earlier.at);
        out.at = out.at.max(last);
        // Two of one moment share a timer.
        self.timers.insert((out.at, call, Timer::Digits));
        entry.digits_later.push_back(out);
    }

    /// What has waited long enough goes, in the order in which it was asked for.
    pub(super) fn digits_due(&mut self, now: Instant, call: CallId) {
        while let Some(entry) = self.calls.get_mut(&call) {
            if entry.digits_later.front().is_none_or(|out| out.at > now) {
                return;
            }
            let Some(out) = entry.digits_later.pop_front() else { return };
            self.digits_out(now, call, out);
        }
    }

    /// As telephone-events where the far end takes them, else one INFO after the other.
    fn digits_out(&mut self, now: Instant, call: CallId, out: DigitsOut) {
        let DigitsOut { digits, duration, between, after, .. } = out;
        let Some(entry) = self.calls.get_mut(&call) else { return };
        let port = entry.port;
        if entry.negotiated.is_some_and(|negotiated| negotiated.event_send.is_some()) {
            let command = media::Command::SendDigits { digits, duration, between, after };
            return self.media(port, command);
        }
        let idle = entry.info_digits.is_empty();
        entry.info_digits.extend(digits.into_iter().map(|digit| (digit, duration, between)));
        if idle {
            self.info_digit(now, call);
        }
    }

    /// The next digit by INFO is due.
    pub(super) fn info_digit(&mut self, now: Instant, call: CallId) {
        let Some(entry) = self.calls.get_mut(&call) else { return };
        let Some((digit, duration, between)) = entry.info_digits.pop_front() else { return };
        if !entry.info_digits.is_empty() {
            self.timers.insert((now + duration + between, call, Timer::InfoDigit));
        }
        self.sip_command(now, sip::Command::SendInfo { call, digit, duration });
    }

    /// ARI `continue`: there is no dialplan to go on in, so the configuration says what it means.
    fn leave(&mut self, now: Instant, port: PortId, call: CallId, extension: Option<String>) {
        let name = self.calls.get(&call).and_then(|entry| entry.application.clone());
        let rule = name.and_then(|name| self.config.applications.get(&name));
        match (rule.map(|application| &application.on_continue), extension) {
            (Some(Continue::Next), _) => {
                self.pool.handle_input(now, pool::Input::Next { port });
            }
            (Some(Continue::Refer), Some(target)) => {
                self.transfer(now, call, target, Transfer::ByRule);
            }
            _ => self.hang_up(now, call, Some(16)),
        }
    }

    pub(super) fn transfer(&mut self, now: Instant, call: CallId, target: String, by: Transfer) {
        let Some(entry) = self.calls.get_mut(&call) else { return };
        entry.transfer = Some(by);
        self.sounding(now, call);
        self.sip_command(now, sip::Command::Refer { call, target, replaces: None });
    }

    fn silence(&mut self, now: Instant, call: CallId) {
        let Some(entry) = self.calls.get_mut(&call) else { return };
        entry.inherited = false;
        let port = entry.port;
        while let Some(play) = self.calls.get_mut(&call).and_then(|e| e.waiting.pop_front()) {
            if let Some(entry) = self.calls.get_mut(&call) {
                entry.live.remove(&play.id);
            }
            let finished = ivr::Input::PlaybackFinished { call, id: play.id, failed: false };
            self.ivr.handle_input(now, finished);
        }
        self.media(port, media::Command::StopAll);
        self.sounding(now, call);
    }

    fn hold(&mut self, now: Instant, call: CallId, on: bool) {
        let Some(entry) = self.calls.get_mut(&call) else { return };
        entry.holds = on;
        self.sounding(now, call);
        self.sip_command(now, sip::Command::Hold { call, on });
    }

    fn mute(&mut self, call: CallId, out: Option<bool>, inbound: Option<bool>) {
        let Some(entry) = self.calls.get_mut(&call) else { return };
        let (was_out, was_in) = entry.muted;
        entry.muted = (out.unwrap_or(was_out), inbound.unwrap_or(was_in));
        let (out, inbound) = entry.muted;
        let port = entry.port;
        self.media(port, media::Command::Mute { out, inbound });
    }

    /// Tells the pool whether the caller hears anything: silence is judged by it.
    pub(super) fn sounding(&mut self, now: Instant, call: CallId) {
        let Some(entry) = self.calls.get(&call) else { return };
        let (port, on) = (entry.port, entry.sounds());
        self.pool.handle_input(now, pool::Input::Sounding { port, on });
    }
}

/// The ground of every offer and answer of a call.
pub(super) fn local_media(config: &crate::config::Config, udp_port: u16) -> LocalMedia {
    LocalMedia {
        address: config.media.address,
        udp_port,
        codecs: config.pbx.codecs.clone(),
        telephone_event: config.pbx.telephone_event,
    }
}

fn kind_of(command: &ChannelCommand) -> CommandKind {
    match command {
        ChannelCommand::Read => CommandKind::Read,
        ChannelCommand::Play { .. }
        | ChannelCommand::Record { .. }
        | ChannelCommand::Moh(true)
        | ChannelCommand::Silence(true) => CommandKind::Sound,
        ChannelCommand::Answer
        | ChannelCommand::Ring(_)
        | ChannelCommand::Playback { .. }
        | ChannelCommand::StopRecord { .. }
        | ChannelCommand::SetVariable { .. }
        | ChannelCommand::Dtmf { .. }
        | ChannelCommand::Hangup { .. }
        | ChannelCommand::Continue { .. }
        | ChannelCommand::Redirect { .. }
        | ChannelCommand::Move { .. }
        | ChannelCommand::Moh(false)
        | ChannelCommand::Silence(false)
        | ChannelCommand::Hold(_)
        | ChannelCommand::Mute { .. } => CommandKind::Act,
    }
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

/// A list of keys as a set.
pub(super) fn keys(digits: &[Digit]) -> DigitSet {
    digits.iter().fold(DigitSet::NONE, |set, &digit| set.with(digit))
}

impl Call {
    /// A playback or recording is over; whether it was known.
    pub(super) fn media_over(&mut self, id: MediaId) -> bool {
        self.live.remove(&id)
    }
}
