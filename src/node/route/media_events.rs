//! What a port's media tells: its UDP port, key presses, what began and what ended.

use tracing::{info, warn};

use super::dialog::local_media;
use crate::ids::{CallId, MediaId, PortId};
use crate::ivr;
use crate::media::{self, KeyPress, PlaybackEnd, RecordingEnd, Refusal};
use crate::menu::Heard;
use crate::node::call::{Announcing, Call, Leg, Socket};
use crate::node::snapshot::AlarmKind;
use crate::node::{Mark, Node, is_own};
use crate::pool;
use crate::sip::{self, EndCause};
use crate::timers::Instant;

/// UDP ports that are tried for one call before it is refused.
const UDP_PORT_TRIES: u8 = 8;

impl Node {
    pub(in crate::node) fn media_event(
        &mut self,
        now: Instant,
        port: PortId,
        call: CallId,
        at: Instant,
        event: media::Event,
    ) {
        if let media::Event::DigitsRefused { count, why } = event {
            return self.digits_refused(now, port, count, why);
        }
        if self.call_of(port) != Some(call) {
            return; // The last words of a call that is over; the port may have the next one.
        }
        self.touch(now, call);
        match event {
            media::Event::Opened => self.opened(now, call),
            media::Event::OpenFailed => self.open_failed(now, call),
            media::Event::Digit { digit, in_band, .. } if self.is_control_call(call) => {
                let heard = if in_band { Heard::Tone } else { Heard::Event };
                self.control_digit(now, call, digit, heard);
            }
            media::Event::Digit { digit, duration_ms, rtp_timestamp, in_band } => {
                if let (false, Some(entry)) = (in_band, self.calls.get_mut(&call)) {
                    entry.last_key = Some(KeyPress { event: digit.event(), rtp_timestamp });
                }
                self.digit(now, call, digit, duration_ms);
            }
            media::Event::PlaybackStarted { id } => self.playback_started(now, call, id, at),
            media::Event::PlaybackContinuing { id, part } => {
                self.ivr.handle_input(now, ivr::Input::PlaybackContinuing { call, id, part });
            }
            media::Event::PlaybackFinished { id, end, .. } => {
                self.playback_finished(now, call, id, end);
            }
            media::Event::RecordingFinished { id, end, duration_ms } => {
                let failed = end == RecordingEnd::Failed;
                if let Some(entry) = self.calls.get_mut(&call) {
                    entry.media_over(id);
                }
                let done = ivr::Input::RecordingFinished { call, id, duration_ms, failed };
                self.ivr.handle_input(now, done);
                self.sounding(now, call);
            }
            media::Event::Keyed { sent, lost } => self.keyed(now, call, sent, lost),
            media::Event::Standing(stream) => {
                if let Some(entry) = self.calls.get_mut(&call) {
                    entry.stream = Some((stream, at));
                }
            }
            // The menu asks for the PIN again; an application's call is the same call.
            media::Event::NewSsrc => self.control_changed(now, call),
            media::Event::InboundSilent => self.inbound(now, call, true),
            media::Event::InboundBack => self.inbound(now, call, false),
            // Dealt with above: they are counted even when their call is over.
            media::Event::DigitsRefused { .. } => {}
        }
    }

    fn digits_refused(&mut self, now: Instant, port: PortId, count: u32, why: Refusal) {
        self.counters.digits_refused_total += u64::from(count);
        let port = self.config.port_of(port);
        let Some(port) = self.config.ports.get(usize::from(port.0)) else { return };
        let extension = port.extension.clone();
        self.alarms.raise_passing(AlarmKind::DigitsRefused { extension, why }, now);
    }

    /// Nothing can be played or heard any more on this port.
    pub(in crate::node) fn media_stuck(&mut self, now: Instant, port: PortId) {
        let Some(call) = self.call_of(port) else { return };
        let text = format!(
            "port {port} lost its call: its media worker hangs; look for a starved machine"
        );
        self.alarms.raise_passing(AlarmKind::Other { extension: None, text }, now);
        self.hang_up(now, call, Some(41));
    }

    /// The UDP port is ours: what waited for it happens.
    fn opened(&mut self, now: Instant, call: CallId) {
        let Some(entry) = self.calls.get_mut(&call) else { return };
        let before = std::mem::replace(&mut entry.socket, Socket::Open);
        let opened = entry.udp_port;
        self.alarms.clear(|kind| *kind == AlarmKind::UdpPortInUse { udp_port: opened });
        let Some(entry) = self.calls.get(&call) else { return };
        if entry.recovery.is_some() {
            self.resume(now, call);
        } else if let Leg::Outbound { target, .. } = &entry.leg {
            let media = local_media(&self.config, entry.port, entry.udp_port);
            let (target, caller) = (target.clone(), entry.caller.clone());
            let port = self.config.port_of(entry.port);
            self.sip_command(now, sip::Command::Invite { call, port, target, caller, media });
        } else if matches!(before, Socket::Opening { answer: true, .. }) {
            self.answer(now, call);
        }
    }

    /// Somebody else holds the UDP port: another is tried.
    fn open_failed(&mut self, now: Instant, call: CallId) {
        let Some(entry) = self.calls.get(&call) else { return };
        let (port, udp_port, socket) = (entry.port, entry.udp_port, entry.socket);
        self.alarms.raise(AlarmKind::UdpPortInUse { udp_port }, now);
        self.udp_ports.give_back(now, udp_port);
        let Socket::Opening { answer, tries } = socket else { return };
        let another =
            if tries < UDP_PORT_TRIES { self.open_udp_port(now, call, port) } else { None };
        match (another, self.calls.get_mut(&call)) {
            (Some(udp_port), Some(entry)) => {
                entry.udp_port = udp_port;
                entry.socket = Socket::Opening { answer, tries: tries + 1 };
            }
            _ => self.no_socket(now, call),
        }
    }

    fn no_socket(&mut self, now: Instant, call: CallId) {
        let inbound = self.calls.get(&call).is_some_and(|entry| entry.leg == Leg::Inbound);
        if inbound {
            let status = self.config.pbx.refuse_status;
            self.sip_command(now, sip::Command::Refuse { call, status });
        } else {
            self.ended(now, call, EndCause::LocalHangup { cause: Some(41) });
        }
    }

    fn playback_started(&mut self, now: Instant, call: CallId, id: MediaId, at: Instant) {
        if let Some(sound) = self.calls.get_mut(&call).and_then(|entry| entry.sound_mut(id)) {
            sound.started(at);
        }
        if is_own(id) {
            return;
        }
        let offer = self.calls.get(&call).and_then(|entry| entry.offer);
        if let Some(made) = offer.filter(|made| made.first_sound == Some(id)) {
            self.rebinds.first_media(Mark { call, generation: made.generation }, at);
        }
        self.ivr.handle_input(now, ivr::Input::PlaybackStarted { call, id });
    }

    fn playback_finished(&mut self, now: Instant, call: CallId, id: MediaId, end: PlaybackEnd) {
        let Some(entry) = self.calls.get_mut(&call) else { return };
        entry.media_over(id);
        let port = entry.port;
        if self.is_control_call(call) {
            return self.control_played(now, call, id);
        }
        let Some(entry) = self.calls.get_mut(&call) else { return };
        if entry.announce == Some(Announcing { last: id }) {
            entry.announce = None;
            if end == PlaybackEnd::Completed {
                self.pool.handle_input(now, pool::Input::AnnounceDone { port });
            }
        }
        if !is_own(id) {
            let failed = false;
            self.ivr.handle_input(now, ivr::Input::PlaybackFinished { call, id, failed });
        }
        if end == PlaybackEnd::BargedIn {
            self.end_pressed(now, call);
        }
        self.sounding(now, call);
    }

    /// The caller sends nothing, or is heard again. While the PBX answers, session timers and BYE
    /// say when a call is over; without it nobody will, so the silence does.
    fn inbound(&mut self, now: Instant, call: CallId, silent: bool) {
        let Some(entry) = self.calls.get_mut(&call) else { return };
        entry.silent = silent;
        let what = if silent { "no sound from the caller" } else { "the caller is heard again" };
        info!(%call, "{what}");
        self.end_silent_calls(now);
    }

    /// Calls without sound from the caller, while no PBX would say that they are over. A PBX is
    /// mostly found dead only after its callers have fallen silent. The trunk is none of it.
    pub(super) fn end_silent_calls(&mut self, now: Instant) {
        if !self.pbx_is_silent() {
            return;
        }
        let over = |entry: &Call| entry.silent && !self.is_trunk(entry.port);
        let over = self.calls.iter().filter(|(_, entry)| over(entry)).map(|(call, _)| *call);
        for call in over.collect::<Vec<_>>() {
            warn!(%call, "no PBX and no sound from the caller: the call is over");
            self.hang_up(now, call, Some(27));
        }
    }
}
