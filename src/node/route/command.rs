//! What an application's command means for dialog and sound. Each has been checked by the link:
//! the sender owns the call, and the call's state allows it.

use crate::codecs::Digit;
use crate::config::Continue;
use crate::ids::{CallId, Generation, PortId};
use crate::ivr::ChannelCommand;
use crate::media;
use crate::node::Node;
use crate::node::call::{DigitsOut, Transfer, WaitingPlay};
use crate::pool;
use crate::sip;
use crate::timers::Instant;

use super::play::keys;

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
        self.pool.handle_input(now, pool::Input::Command { port, generation });
        if !self.calls.contains_key(&call) {
            return;
        }
        self.touch(now, call);
        match command {
            ChannelCommand::Read | ChannelCommand::Ring(false) => {}
            ChannelCommand::Answer => self.answer(now, call),
            ChannelCommand::Ring(true) => self.sip_command(now, sip::Command::Ring { call }),
            ChannelCommand::Play { id, media, language, offset, skip } => {
                let loaded = Vec::new();
                let pressed = false;
                let play = WaitingPlay { id, media, language, offset, skip, loaded, pressed };
                self.play(now, call, play);
            }
            ChannelCommand::Playback { id, control } => self.control(now, call, id, control),
            ChannelCommand::Record { .. } => self.record(now, call, command),
            ChannelCommand::StopRecord { id, discard } => self.stop_record(call, id, discard),
            ChannelCommand::SetVariable { name, value } => {
                self.set_variable(now, port, call, generation, name, value);
            }
            ChannelCommand::Dtmf { digits, before, between, duration, after } => {
                let at = now + before;
                self.send_digits(now, call, DigitsOut { at, digits, duration, between, after });
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
        self.keep_variable(now, port, call, name, value);
    }

    /// A variable for whoever has the call, which may mean something here too.
    pub(super) fn keep_variable(
        &mut self,
        now: Instant,
        port: PortId,
        call: CallId,
        name: String,
        value: String,
    ) {
        if name == "GW_BARGE_IN" {
            let pressed: Vec<Digit> = value.chars().filter_map(Digit::from_char).collect();
            if let Some(entry) = self.calls.get_mut(&call) {
                entry.barge_in = Some(keys(&pressed));
            }
        }
        self.pool.handle_input(now, pool::Input::Variable { port, name, value });
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

    fn hold(&mut self, now: Instant, call: CallId, on: bool) {
        self.holds(now, call, on);
        self.sip_command(now, sip::Command::Hold { call, on });
    }

    /// Whether we hold the far end: then silence means nothing.
    pub(super) fn holds(&mut self, now: Instant, call: CallId, on: bool) {
        let Some(entry) = self.calls.get_mut(&call) else { return };
        entry.holds = on;
        self.sounding(now, call);
    }

    fn mute(&mut self, call: CallId, out: Option<bool>, inbound: Option<bool>) {
        let Some(entry) = self.calls.get_mut(&call) else { return };
        let (was_out, was_in) = entry.muted;
        entry.muted = (out.unwrap_or(was_out), inbound.unwrap_or(was_in));
        let (out, inbound) = entry.muted;
        let port = entry.port;
        self.media(port, media::Command::Mute { out, inbound });
    }
}
