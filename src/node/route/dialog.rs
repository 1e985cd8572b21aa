//! A call's life at the PBX: it comes, rings, is answered, held, transferred and ends.

use rand_core::RngCore;
use tracing::info;

use crate::config::Config;
use crate::ids::{CallId, PortId};
use crate::ivr::{self, ChannelState};
use crate::media::{self, SourcePolicy, StreamStart};
use crate::node::Node;
use crate::node::call::{Call, Leg, Socket, Transfer};
use crate::pool;
use crate::sdp::{Direction, LocalMedia, Negotiated};
use crate::sip::{self, EndCause};
use crate::timers::Instant;

impl Node {
    /// A call from the PBX: it rings at once; the pool decides who gets it.
    pub(in crate::node) fn incoming(&mut self, now: Instant, incoming: sip::Incoming) {
        if self.config.is_control(incoming.port) {
            return self.control_call(now, incoming);
        }
        if self.is_sentinel(incoming.port) {
            return self.sentinel_call(now, incoming);
        }
        let sip::Incoming { call, port, caller, called, .. } = incoming;
        let free = self.call_of(port).is_none() && self.phase.takes_calls();
        let Some(udp_port) = free.then(|| self.open_udp_port(now, call, port)).flatten() else {
            let status = self.config.pbx.refuse_status;
            self.sip_command(now, sip::Command::Refuse { call, status });
            return;
        };
        let mut entry = Call::new(call, port, udp_port, Leg::Inbound, now);
        entry.caller = caller;
        entry.called = called;
        self.admit(entry);
        self.sip_command(now, sip::Command::Ring { call });
        self.pool.handle_input(now, pool::Input::Arrived { port, call });
    }

    pub(super) fn admit(&mut self, entry: Call) {
        info!(call = %entry.id, port = %entry.port, "call begins");
        self.counters.calls_total += 1;
        if let Some(slot) = self.by_port.get_mut(usize::from(entry.port.0)) {
            *slot = Some(entry.id);
        }
        self.calls.insert(entry.id, entry);
    }

    /// Takes a UDP port and has the media port open it.
    pub(super) fn open_udp_port(
        &mut self,
        now: Instant,
        call: CallId,
        port: PortId,
    ) -> Option<u16> {
        let udp_port = self.udp_ports.take(now, &mut self.rng)?;
        let bits = self.rng.next_u64();
        let start = StreamStart {
            ssrc: (bits >> 32) as u32,
            sequence: bits as u16,
            timestamp: self.rng.next_u32(),
        };
        self.open_media(call, port, udp_port, start);
        Some(udp_port)
    }

    /// Has the media port open a UDP port.
    pub(super) fn open_media(
        &mut self,
        call: CallId,
        port: PortId,
        udp_port: u16,
        start: StreamStart,
    ) {
        let policy = if self.config.pbx.symmetric_rtp {
            SourcePolicy::Symmetric
        } else {
            SourcePolicy::Strict
        };
        let detect_tones = self.config.pbx.inband_dtmf;
        self.media(port, media::Command::Open { call, udp_port, start, policy, detect_tones });
    }

    pub(super) fn ringing(&mut self, now: Instant, call: CallId) {
        let Some(entry) = self.calls.get_mut(&call) else { return };
        if entry.state == ChannelState::Down {
            entry.state = ChannelState::Ringing;
            let state = ChannelState::Ringing;
            self.ivr.handle_input(now, ivr::Input::State { call, state });
        }
    }

    /// Offer and answer completed: the media port learns where to send, the application whether
    /// the far end holds.
    pub(super) fn negotiated(&mut self, now: Instant, call: CallId, negotiated: Negotiated) {
        let Some(entry) = self.calls.get_mut(&call) else { return };
        let before = entry.negotiated.replace(negotiated);
        let held = matches!(negotiated.direction, Direction::RecvOnly | Direction::Inactive);
        let changed = std::mem::replace(&mut entry.held, held) != held;
        let port = entry.port;
        self.media(port, media::Command::Session(negotiated));
        self.digits_due(now, call);
        if before.is_some_and(|before| before != negotiated) {
            self.control_changed(now, call);
        }
        if changed {
            self.ivr.handle_input(now, ivr::Input::Hold { call, on: held });
            self.sounding(now, call);
        }
    }

    /// A key press, by whatever way it came.
    pub(super) fn digit(
        &mut self,
        now: Instant,
        call: CallId,
        digit: crate::codecs::Digit,
        duration_ms: u32,
    ) {
        let Some(entry) = self.calls.get_mut(&call) else { return self.digit_lost(now, call) };
        entry.digits += 1;
        self.counters.digits_received_total += 1;
        let port = entry.port;
        self.pressed_while_waiting(call, digit);
        self.pool.handle_input(now, pool::Input::Digit { port, digit, duration_ms });
    }

    /// Transfers a call, as soon as there is a dialog to do it in: an application may redirect in
    /// the same breath in which it answers, and a rule may pass on what only rings.
    pub(in crate::node) fn transfer(
        &mut self,
        now: Instant,
        call: CallId,
        target: String,
        by: Transfer,
    ) {
        let Some(entry) = self.calls.get_mut(&call) else { return };
        entry.transfer = Some(by);
        let established = entry.established;
        entry.refer_to = Some(target);
        self.sounding(now, call);
        if established {
            self.refer(now, call);
        } else {
            self.answer(now, call);
        }
    }

    fn refer(&mut self, now: Instant, call: CallId) {
        let target = self.calls.get_mut(&call).and_then(|entry| entry.refer_to.take());
        if let Some(target) = target {
            self.sip_command(now, sip::Command::Refer { call, target, replaces: None });
        }
    }

    pub(super) fn established(&mut self, now: Instant, call: CallId) {
        let Some(entry) = self.calls.get_mut(&call) else { return };
        entry.established = true;
        self.up(now, call);
        self.control_established(now, call);
        self.refer(now, call);
    }

    pub(in crate::node) fn referred(&mut self, now: Instant, call: CallId, status: u16) {
        let Some(entry) = self.calls.get_mut(&call) else { return };
        let transfer = entry.transfer.take();
        info!(%call, status, "transfer ended");
        self.sounding(now, call);
        if (200..300).contains(&status) || transfer == Some(Transfer::ByRule) {
            self.hang_up(now, call, Some(16));
        }
    }

    /// The call is over: everybody forgets it.
    pub(in crate::node) fn ended(&mut self, now: Instant, call: CallId, cause: EndCause) {
        let Some(entry) = self.calls.remove(&call) else {
            return self.orphan_ended(now, call, cause);
        };
        let control = self.is_control_call(call);
        if !control {
            self.touch(now, call);
            let cdr = self.cdr(now, &entry, cause);
            self.append_cdr(now, cdr);
        }
        if let Some(takeover) = self.takeover.as_mut().filter(|_| entry.moving) {
            takeover.lost += 1;
        }
        let busy = matches!(cause, EndCause::Refused { status: 486 | 600 });
        let asked = entry.is_at_pbx() && !busy;
        let Call { port, udp_port, .. } = entry;
        info!(%call, %port, ?cause, "call ended");
        if let Some(slot) = self.by_port.get_mut(usize::from(port.0)) {
            *slot = None;
        }
        self.timers.retain(|&(_, timed, _)| timed != call);
        self.media(port, media::Command::Close);
        self.udp_ports.give_back(now, udp_port);
        self.count_end(cause);
        if self.is_proof(call) {
            return self.proof_ended(now, call, asked);
        }
        if control {
            self.trunk_ended(now, port, cause);
            return self.control_ended(now, call);
        }
        let by_caller = matches!(cause, EndCause::RemoteHangup | EndCause::Cancelled);
        let cause = q850(cause);
        self.ivr.handle_input(now, ivr::Input::Ended { call, cause, by_caller });
        self.pool.handle_input(now, pool::Input::Ended { port });
    }

    fn count_end(&mut self, cause: EndCause) {
        if cause == EndCause::Media {
            *self.counters.refused_messages_total.entry("sdp").or_default() += 1;
        }
        *self.counters.calls_ended_total.entry(end_name(cause)).or_default() += 1;
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
        let media = local_media(&self.config, entry.port, entry.udp_port);
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
        entry.answered_at = Some(now);
        let port = entry.port;
        self.ivr.handle_input(now, ivr::Input::State { call, state: ChannelState::Up });
        self.pool.handle_input(now, pool::Input::Up { port });
    }
}

/// The ground of every offer and answer of a call.
pub(super) fn local_media(config: &Config, line: PortId, udp_port: u16) -> LocalMedia {
    LocalMedia {
        address: config.media_address(line),
        udp_port,
        codecs: config.pbx.codecs.clone(),
        telephone_event: config.pbx.telephone_event,
    }
}

/// Q.850 cause of an ending, as ARI shows it.
fn q850(cause: EndCause) -> u8 {
    match cause {
        EndCause::LocalHangup { cause } => cause.unwrap_or(16),
        EndCause::RemoteHangup | EndCause::Cancelled => 16,
        EndCause::Refused { status: 486 | 600 } => 17,
        EndCause::Refused { status: 408 | 480 } => 19,
        EndCause::Refused { status: 404 } => 1,
        EndCause::Refused { status: 488 | 606 } => 88,
        EndCause::Refused { .. } => 21,
        EndCause::Lost => 102,
        EndCause::Media => 88,
    }
}

/// How a call ended, as a label.
pub(super) const fn end_name(cause: EndCause) -> &'static str {
    match cause {
        EndCause::RemoteHangup => "caller",
        EndCause::Cancelled => "cancelled",
        EndCause::LocalHangup { .. } => "released",
        EndCause::Refused { .. } => "refused",
        EndCause::Lost => "lost",
        EndCause::Media => "media",
    }
}
