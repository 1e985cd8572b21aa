//! Every arrow between two machines. "What happens when ...?" is answered here.
//!
//! Each function takes one output of one machine and hands it to the others. The order of the
//! lines matters where two of them reach the same application: what it sees first stands first.

use tracing::{debug, info};

use super::call::{Call, Leg, OfferMade, Transfer};
use super::snapshot::{AlarmKind, Rebind, reason_name};
use super::{Mark, Node, Output, Phase, Timer};
use crate::config::Overflow;
use crate::ids::{CallId, Generation, InstanceId, PortId};
use crate::ivr::{self, ChannelState};
use crate::media::{self, SourcePolicy, StreamStart};
use crate::pool::{self, Reason};
use crate::sdp::{Direction, Negotiated};
use crate::sip::{self, EndCause, RegistrationState};
use crate::timers::{Duration, Instant};

/// Instances of a node that was started again connect within this time.
const INSTANCES_EXPECTED_WITHIN: Duration = Duration::from_secs(3);

impl Node {
    /// Carries outputs to inputs until every machine is quiet.
    pub(super) fn route(&mut self, now: Instant) {
        loop {
            if let Some(output) = self.sip.poll_output() {
                self.sip_output(now, output);
            } else if let Some(output) = self.ivr.poll_output() {
                self.ivr_output(now, output, None);
            } else if let Some(output) = self.pool.poll_output() {
                self.pool_output(now, output);
            } else {
                break;
            }
        }
        self.check_stopped(now);
    }

    // ---- From the SIP endpoint -----------------------------------------------------------------

    fn sip_output(&mut self, now: Instant, output: sip::Output) {
        match output {
            sip::Output::Event(event) => self.sip_event(now, event),
            wire => self.outputs.push_back(Output::Sip(wire)),
        }
    }

    fn sip_event(&mut self, now: Instant, event: sip::Event) {
        match event {
            sip::Event::Registration { port, state } => self.registration(now, port, state),
            sip::Event::Incoming(incoming) => self.incoming(now, incoming),
            sip::Event::Ringing { call } => self.ringing(now, call),
            sip::Event::Established { call } => self.up(now, call),
            sip::Event::Media { call, media } => self.negotiated(now, call, media),
            sip::Event::Identity { call, caller } => {
                if let Some(entry) = self.calls.get_mut(&call) {
                    entry.caller = caller;
                }
            }
            sip::Event::Digit { call, digit, duration_ms } => {
                self.digit(now, call, digit, duration_ms);
            }
            sip::Event::Referred { call, status } => self.referred(now, call, status),
            sip::Event::Ended { call, cause } => self.ended(now, call, cause),
            sip::Event::Alarm { port, text } => self.sip_alarm(now, port, text),
        }
    }

    fn registration(&mut self, now: Instant, port: PortId, state: RegistrationState) {
        let index = usize::from(port.0);
        let Some(slot) = self.registrations.get_mut(index) else { return };
        *slot = state;
        let extension = self.config.ports[index].extension.clone();
        let registrar = self.config.pbx.registrars.first().cloned().unwrap_or_default();
        match state {
            RegistrationState::Registered { expires, node } => {
                debug!(%port, extension, expires, node, "registered");
                self.alarms.clear(|kind| {
                    matches!(kind, AlarmKind::PbxRefused { extension: e, .. } if *e == extension)
                });
            }
            RegistrationState::Refused { status } => {
                self.alarms.raise(AlarmKind::PbxRefused { extension, registrar, status }, now);
            }
            RegistrationState::Off
            | RegistrationState::Pending
            | RegistrationState::Unreachable { .. } => {}
        }
        self.pbx_reachable(now);
    }

    /// One alarm for an unreachable PBX, however many ports miss it.
    fn pbx_reachable(&mut self, now: Instant) {
        let is_alarm = |kind: &AlarmKind| matches!(kind, AlarmKind::PbxUnreachable { .. });
        let count = |is: fn(&RegistrationState) -> bool| {
            self.registrations.iter().filter(|state| is(state)).count()
        };
        if count(|state| matches!(state, RegistrationState::Unreachable { .. })) == 0 {
            return self.alarms.clear(is_alarm);
        }
        let waiting = count(|state| {
            matches!(state, RegistrationState::Unreachable { .. } | RegistrationState::Pending)
        });
        let ports = u32::try_from(waiting).unwrap_or(u32::MAX);
        let registrars = self.config.pbx.registrars.join(", ");
        let kind = AlarmKind::PbxUnreachable { registrars, ports };
        if self.pbx_unreachable() {
            self.alarms.revise(is_alarm, kind);
        } else {
            self.alarms.raise(kind, now);
        }
    }

    pub(super) fn pbx_unreachable(&self) -> bool {
        self.alarms.stands(|kind| matches!(kind, AlarmKind::PbxUnreachable { .. }))
    }

    /// A call from the PBX: it rings at once; the pool decides who gets it.
    pub(super) fn incoming(&mut self, now: Instant, incoming: sip::Incoming) {
        let sip::Incoming { call, port, caller, called, .. } = incoming;
        let free = self.call_of(port).is_none() && self.phase == Phase::Running;
        let Some(udp_port) = free.then(|| self.open_udp_port(now, port)).flatten() else {
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
    pub(super) fn open_udp_port(&mut self, now: Instant, port: PortId) -> Option<u16> {
        use rand_core::RngCore;
        let udp_port = self.udp_ports.take(now, &mut self.rng)?;
        let bits = self.rng.next_u64();
        let start = StreamStart {
            ssrc: (bits >> 32) as u32,
            sequence: bits as u16,
            timestamp: self.rng.next_u32(),
        };
        let policy = if self.config.pbx.symmetric_rtp {
            SourcePolicy::Symmetric
        } else {
            SourcePolicy::Strict
        };
        let detect_tones = self.config.pbx.inband_dtmf;
        self.media(port, media::Command::Open { udp_port, start, policy, detect_tones });
        Some(udp_port)
    }

    fn ringing(&mut self, now: Instant, call: CallId) {
        let Some(entry) = self.calls.get_mut(&call) else { return };
        if entry.state == ChannelState::Down {
            entry.state = ChannelState::Ringing;
            let state = ChannelState::Ringing;
            self.ivr.handle_input(now, ivr::Input::State { call, state });
        }
    }

    /// Offer and answer completed: the media port learns where to send, the application whether
    /// the far end holds.
    fn negotiated(&mut self, now: Instant, call: CallId, negotiated: Negotiated) {
        let Some(entry) = self.calls.get_mut(&call) else { return };
        entry.negotiated = Some(negotiated);
        let held = matches!(negotiated.direction, Direction::RecvOnly | Direction::Inactive);
        let changed = std::mem::replace(&mut entry.held, held) != held;
        let port = entry.port;
        self.media(port, media::Command::Session(negotiated));
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
        let Some(entry) = self.calls.get_mut(&call) else { return };
        entry.digits += 1;
        self.counters.digits_received_total += 1;
        let port = entry.port;
        self.pool.handle_input(now, pool::Input::Digit { port, digit, duration_ms });
    }

    pub(super) fn referred(&mut self, now: Instant, call: CallId, status: u16) {
        let Some(entry) = self.calls.get_mut(&call) else { return };
        let transfer = entry.transfer.take();
        info!(%call, status, "transfer ended");
        self.sounding(now, call);
        if (200..300).contains(&status) || transfer == Some(Transfer::ByRule) {
            self.hang_up(now, call, Some(16));
        }
    }

    fn sip_alarm(&mut self, now: Instant, port: Option<PortId>, text: String) {
        let extension = port.and_then(|port| self.config.ports.get(usize::from(port.0)));
        let text = match extension {
            Some(port) => format!("extension {}: {text}", port.extension),
            None => text,
        };
        self.alarms.raise(AlarmKind::Other { text }, now);
    }

    /// The call is over: everybody forgets it.
    pub(super) fn ended(&mut self, now: Instant, call: CallId, cause: EndCause) {
        let Some(entry) = self.calls.remove(&call) else { return };
        let Call { port, udp_port, .. } = entry;
        info!(%call, %port, ?cause, "call ended");
        if let Some(slot) = self.by_port.get_mut(usize::from(port.0)) {
            *slot = None;
        }
        self.timers.retain(|&(_, timed, _)| timed != call);
        self.media(port, media::Command::Close);
        self.udp_ports.give_back(now, udp_port);
        self.count_end(cause);
        let by_caller = matches!(cause, EndCause::RemoteHangup | EndCause::Cancelled);
        let cause = q850(cause);
        self.ivr.handle_input(now, ivr::Input::Ended { call, cause, by_caller });
        self.pool.handle_input(now, pool::Input::Ended { port });
    }

    fn count_end(&mut self, cause: EndCause) {
        *self.counters.calls_ended_total.entry(end_name(cause)).or_default() += 1;
    }

    // ---- From the pool -------------------------------------------------------------------------

    fn pool_output(&mut self, now: Instant, output: pool::Output) {
        match output {
            pool::Output::Ping { instance } => self.outputs.push_back(Output::Ping { instance }),
            pool::Output::Offer(offer) => self.offer(now, offer),
            pool::Output::Revoke { call, generation, .. } => self.revoke(now, call, generation),
            pool::Output::Digit { call, digit, duration_ms, .. } => {
                self.ivr.handle_input(now, ivr::Input::Digit { call, digit, duration_ms });
            }
            pool::Output::Claimed(rebound) => self.claimed(rebound),
            pool::Output::HoldPrompt { port, application } => {
                self.hold_prompt(now, port, &application);
            }
            pool::Output::GatewayPrompt { port, application } => {
                self.gateway_prompt(now, port, &application);
            }
            pool::Output::Announce { port, call } => self.announce(now, port, call),
            pool::Output::Release { call, .. } => self.hang_up(now, call, Some(41)),
            pool::Output::Refer { call, target, .. } => {
                self.transfer(now, call, target, Transfer::ByRule);
            }
            pool::Output::Health { instance, health } => {
                info!(%instance, ?health, "instance health");
                self.instances_changed(now);
            }
        }
    }

    /// What the old owner has begun goes on; what still waits for a file shall not begin, or it
    /// would sound in place of what the new owner plays.
    fn revoke(&mut self, now: Instant, call: CallId, generation: Generation) {
        if let Some(entry) = self.calls.get_mut(&call) {
            for play in std::mem::take(&mut entry.waiting) {
                entry.live.remove(&play.id);
            }
        }
        self.ivr.handle_input(now, ivr::Input::Revoke { call, generation });
        self.sounding(now, call);
    }

    /// StasisStart for the new owner. What sounds goes on under it.
    fn offer(&mut self, now: Instant, offer: pool::Offer) {
        let Some(entry) = self.calls.get_mut(&offer.call) else { return };
        let pool::Offer { port, call, generation, instance, .. } = offer;
        let from = entry.offer.map(|made| made.instance);
        entry.offer =
            Some(OfferMade { generation, instance, from, written_at: None, first_sound: None });
        entry.application = Some(offer.application.clone());
        entry.inherited |= !entry.live.is_empty();
        if offer.reason != Reason::New {
            let reason = reason_name(offer.reason);
            info!(%call, %port, %instance, %generation, reason, "offered again");
        }
        let text =
            |party: &sip::Party| (party.name.reveal().clone(), party.number.reveal().clone());
        let offered = ivr::Offer {
            call,
            port,
            extension: self.config.ports[usize::from(port.0)].extension.clone(),
            generation,
            instance,
            application: offer.application,
            args: offer.args,
            reason: reason_name(offer.reason),
            state: entry.state,
            caller: text(&entry.caller),
            connected: text(&entry.called),
            // Whoever knows a Call-ID can move the call, so ARI gets the call's own name.
            protocol_id: String::new(),
            variables: offer.variables,
        };
        self.flush_ivr(now);
        self.ivr.handle_input(now, ivr::Input::Offer(offered));
        let mark = Mark { call, generation };
        while let Some(output) = self.ivr.poll_output() {
            self.ivr_output(now, output, Some((instance, mark)));
        }
    }

    /// Events that were made before leave before.
    fn flush_ivr(&mut self, now: Instant) {
        while let Some(output) = self.ivr.poll_output() {
            self.ivr_output(now, output, None);
        }
    }

    fn claimed(&mut self, rebound: pool::Rebound) {
        if rebound.reason == Reason::New {
            return;
        }
        let offer = self.calls.get(&rebound.call).and_then(|entry| entry.offer);
        let rebind = Rebind {
            call: rebound.call,
            port: rebound.port,
            reason: rebound.reason,
            from: offer.and_then(|made| made.from),
            to: rebound.instance,
            generation: rebound.generation,
            detect: rebound.detect,
            verdict_at: rebound.verdict_at,
            offered_at: rebound.offered_at,
            written_at: offer.and_then(|made| made.written_at),
            claimed_at: Some(rebound.claimed_at),
            first_media_at: None,
        };
        let ms = |duration: Duration| duration.as_secs_f64() * 1e3;
        info!(
            call = %rebind.call, port = %rebind.port, to = %rebind.to,
            reason = reason_name(rebind.reason), detect_ms = ms(rebind.detect),
            decide_ms = ms(rebind.decide()), claim_ms = rebind.claim().map(ms),
            "rebound"
        );
        self.rebinds.push(rebind);
    }

    /// The socket has taken the StasisStart of an offer.
    pub(super) fn written(&mut self, mark: Mark, at: Instant) {
        let offer = self.calls.get_mut(&mark.call).and_then(|entry| entry.offer.as_mut());
        if let Some(made) = offer.filter(|made| made.generation == mark.generation) {
            made.written_at.get_or_insert(at);
        }
        self.rebinds.written(mark, at);
    }

    /// Applications without a healthy instance raise one alarm each, once instances had the time
    /// to connect after a start.
    pub(super) fn instances_changed(&mut self, now: Instant) {
        for name in self.config.clone().applications.keys() {
            let served = self.serves(name);
            if served {
                self.alarms.clear(|kind| {
                    matches!(kind, AlarmKind::NoInstance { application, .. } if application == name)
                });
            } else if now >= self.started_at + INSTANCES_EXPECTED_WITHIN {
                let fallback = self.fallback_of(name);
                let kind = AlarmKind::NoInstance { application: name.clone(), fallback };
                self.alarms.raise(kind, now);
            }
        }
    }

    /// What a caller gets while nobody serves an application, in words.
    fn fallback_of(&self, application: &str) -> String {
        match self.config.applications.get(application).map(|rule| &rule.overflow) {
            Some(Overflow::Refer(target)) => format!("the hold prompt, then {target}"),
            Some(Overflow::Announce) => "the announcement".to_owned(),
            Some(Overflow::Release) | None => {
                "the next entry of the port's list, else the hold prompt and then the release"
                    .to_owned()
            }
        }
    }

    // ---- From the ARI link ---------------------------------------------------------------------

    /// What came over the link. The pool hears of instances only when they are accepted.
    pub(super) fn ivr_input(&mut self, now: Instant, input: ivr::Input) {
        if let ivr::Input::Closed { instance } = input {
            self.ivr.handle_input(now, ivr::Input::Closed { instance });
            self.pool.handle_input(now, pool::Input::InstanceDown { instance });
            self.route(now);
            self.instances_changed(now);
            return;
        }
        self.ivr.handle_input(now, input);
    }

    fn ivr_output(&mut self, now: Instant, output: ivr::Output, mark: Option<(InstanceId, Mark)>) {
        match output {
            ivr::Output::Respond { request, response } => {
                self.outputs.push_back(Output::Respond { request, response });
            }
            ivr::Output::Accept { request, instance, applications, user, protocol } => {
                info!(%instance, user, ?applications, "instance connected");
                self.outputs.push_back(Output::Accept { request, instance, protocol });
                let up = pool::Input::InstanceUp { instance, applications, user };
                self.pool.handle_input(now, up);
                self.instances_changed(now);
            }
            ivr::Output::Text { instance, text } => {
                let mark = mark.filter(|(to, _)| *to == instance).map(|(_, mark)| mark);
                self.outputs.push_back(Output::Text { instance, text, mark });
            }
            ivr::Output::Command { port, call, generation, command } => {
                self.command(now, port, call, generation, command);
            }
            ivr::Output::Originate { .. } => self.originate(now, output),
            ivr::Output::Stale { call } => {
                self.counters.stale_commands_total += 1;
                let call = call.map(|call| call.to_string());
                info!(call, "stale command refused");
            }
        }
    }

    // ---- From the clock ------------------------------------------------------------------------

    pub(super) fn call_timer(&mut self, now: Instant, call: CallId, timer: Timer) {
        match timer {
            Timer::NoAnswer => {
                let ringing = self.calls.get(&call).is_some_and(|entry| !entry.is_up());
                if ringing {
                    self.hang_up(now, call, Some(19));
                }
            }
            Timer::Digits => self.digits_due(now, call),
            Timer::InfoDigit => self.info_digit(now, call),
        }
    }
}

/// Q.850 cause of an ending, as ARI shows it.
fn q850(cause: EndCause) -> u8 {
    match cause {
        EndCause::RemoteHangup | EndCause::LocalHangup | EndCause::Cancelled => 16,
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
const fn end_name(cause: EndCause) -> &'static str {
    match cause {
        EndCause::RemoteHangup => "caller",
        EndCause::Cancelled => "cancelled",
        EndCause::LocalHangup => "released",
        EndCause::Refused { .. } => "refused",
        EndCause::Lost => "lost",
        EndCause::Media => "media",
    }
}
