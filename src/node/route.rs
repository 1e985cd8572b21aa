//! Every arrow between two machines. "What happens when ...?" is answered here.
//!
//! This file says who hears of what: each function takes one output of one machine and names its
//! receiver. What then happens stands in the file of its subject: `registration` (the PBX and our
//! ports), `dialog` (a call at the PBX), `owner` (whom a call belongs to), `command` (what an
//! application wants; `play` and `digits_out` for sound and digits), `media_events` (what a port's
//! media tells), `originate` (calls to the outside), `own_sound` (what the node itself plays) and
//! `full` (an instance that takes no events, a recorder that takes no sound). Of a cluster:
//! `cluster` (what its members want of this node), `facts` (what is recorded), `roles` (ports and
//! calls when the role changes), `recovery` and `bindings` (what another node left), `ready` and
//! `outage` (what a backup proves, and how long nobody served), `autostart`; `control`, `evidence`
//! and `alerts` are the phone menu, which is a machine for each call and is carried on where it is
//! spoken to; `proofs`, `sentinel` and `self_calls`, calls in which one node asks another to prove
//! itself.
//!
//! The order of the lines matters where two of them reach the same application: what it sees first
//! stands first.

mod alerts;
mod autostart;
mod bindings;
mod cluster;
mod command;
mod control;
mod denied;
mod dialog;
mod digits_out;
mod evidence;
mod facts;
mod full;
mod media_events;
mod originate;
pub(super) mod outage;
mod own_sound;
mod owner;
mod placed;
mod play;
mod proofs;
mod ready;
mod recovery;
mod refusal;
mod registration;
mod roles;
mod self_calls;
mod sentinel;
mod texts;

pub(super) use autostart::Starting;
pub(super) use ready::Serving;
pub(super) use self_calls::self_calls;
use tracing::{info, warn};

use super::call::Transfer;
use super::snapshot::AlarmKind;
use super::{Mark, Node, Output, Timer};
use crate::ha::member;
use crate::ids::{CallId, InstanceId};
use crate::menu::Heard;
use crate::timers::Instant;
use crate::{ivr, pool, sip};

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
            } else if !self.member_output(now) && !self.go_on_stopping(now) {
                break;
            }
        }
    }

    // ---- From the SIP endpoint -----------------------------------------------------------------

    fn sip_output(&mut self, now: Instant, output: sip::Output) {
        match output {
            sip::Output::Event(event) => self.sip_event(now, event),
            wire => self.outputs.push_back(Output::Sip(wire)),
        }
    }

    fn sip_event(&mut self, now: Instant, event: sip::Event) {
        if let Some(call) = event.call() {
            self.touch(now, call);
        }
        match event {
            sip::Event::Registration { port, state } => self.registration(now, port, state),
            sip::Event::Incoming(incoming) => self.incoming(now, incoming),
            sip::Event::Ringing { call } => self.ringing(now, call),
            sip::Event::Established { call } => self.established(now, call),
            sip::Event::Media { call, media } => self.negotiated(now, call, media),
            sip::Event::Identity { call, caller } => {
                if let Some(entry) = self.calls.get_mut(&call) {
                    entry.caller = caller;
                }
                self.control_changed(now, call);
            }
            sip::Event::Digit { call, digit, .. } if self.is_control_call(call) => {
                self.control_digit(now, call, digit, Heard::Info);
            }
            sip::Event::Digit { call, digit, duration_ms } => {
                self.digit(now, call, digit, duration_ms);
            }
            sip::Event::InfoDone { call, sent } => self.info_done(now, call, sent),
            sip::Event::HoldRefused { call, on } => self.holds(now, call, !on),
            sip::Event::Referred { call, status } => self.referred(now, call, status),
            sip::Event::Recovered { call } => self.recovered(call),
            sip::Event::Ended { call, cause } => self.ended(now, call, cause),
            sip::Event::Alarm { port, text } => self.sip_alarm(now, port, text),
            sip::Event::AlarmOver { port } => self.sip_alarm_over(port),
            sip::Event::Queried { port, queried } => {
                self.readiness.answered(port, queried);
                self.tell_readiness(now);
            }
            sip::Event::Texted { id, status } => self.texted(now, id, status),
            sip::Event::Answers { any } => self.pbx_answers(now, any),
            sip::Event::Trunk { answers } => self.trunk_heard(now, answers),
            sip::Event::Named { entry, why } => self.pbx_named(now, entry, why),
            sip::Event::Outranked { epoch } => {
                self.member_input(now, member::Input::Outranked(epoch));
            }
        }
    }

    // ---- From the pool -------------------------------------------------------------------------

    fn pool_output(&mut self, now: Instant, output: pool::Output) {
        if let Some(call) = output.call() {
            self.touch(now, call);
        }
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
            pool::Output::MoveFailed { call, application, args, .. } => {
                self.ivr.handle_input(now, ivr::Input::MoveFailed { call, application, args });
            }
            pool::Output::Health { instance, health } => {
                match health {
                    pool::Health::Hung => warn!(%instance, ?health, "instance health"),
                    pool::Health::Healthy | pool::Health::Suspect | pool::Health::Draining => {
                        info!(%instance, ?health, "instance health");
                    }
                }
                self.instances_changed(now);
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

    // ---- From the cluster ----------------------------------------------------------------------

    /// Whether there was one.
    fn member_output(&mut self, now: Instant) -> bool {
        let Some(output) = self.member.as_mut().and_then(|m| m.poll_output()) else { return false };
        match output {
            member::Output::Send { to, message } => {
                self.outputs.push_back(Output::Peer { to, message: Box::new(message) });
            }
            member::Output::Epoch(epoch) => self.outputs.push_back(Output::Epoch(epoch)),
            member::Output::Persist { ticket, record } => {
                self.outputs.push_back(Output::Persist { ticket, record });
            }
            member::Output::Read { lane, after, max } => {
                self.outputs.push_back(Output::ReadFacts { lane, after, max });
            }
            member::Output::Role(role) => self.role(now, role),
            member::Output::Event(event) => self.cluster_event(now, &event),
            member::Output::Answer { id, answer } => self.role_answer(now, id, answer),
            member::Output::Appended { token, result } => {
                self.appended(now, token, result);
            }
            member::Output::Fact(fact) => self.fact_stored(&fact),
            member::Output::Unbind(true) => self.unbind(now),
            member::Output::Unbind(false) => self.bind_again(now),
            member::Output::Settle(true) => self.tell_changed(now),
            member::Output::Settle(false) => {}
            member::Output::Calls(changes) => {
                changes.into_iter().for_each(|change| self.replicas.told(now, change));
            }
            member::Output::CallsWanted => {
                self.replicas.begin();
                self.tell_all(now);
            }
            member::Output::Alarm(text) => {
                self.alarms.raise_passing(AlarmKind::Other { extension: None, text }, now);
            }
        }
        true
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
