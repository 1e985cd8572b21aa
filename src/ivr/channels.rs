//! `/channels`: what happens to a channel, and what applications do to it.
//!
//! The visible order of a rebind is that of ARI's `move`: StasisEnd with the old id to whoever
//! had it, then StasisStart with the new id to whoever gets it. Digits that come in between are
//! held by the pool, not here.

use std::mem::take;

use super::channel::{Channel, Owner, Taken};
use super::docs::routes::ChannelOp;
use super::events::{Body, cause_text};
use super::fault::{Fault, Outcome, Reply};
use super::machine::{Ask, Ivr};
use super::model::{VariableView, json};
use super::outbound;
use super::variables::{self, VARIABLES_MAX};
use super::{ChannelCommand, ChannelState, Offer};
use crate::codecs::Digit;
use crate::config::Continue;
use crate::ids::{CallId, Generation};
use crate::timers::Instant;

/// What happened to a call, told by the node.
impl Ivr {
    pub(super) fn offered(&mut self, now: Instant, offer: Offer) {
        let call = offer.call;
        let owner = Owner::Bound { instance: offer.instance };
        if let Some(channel) = self.channels.get(&call)
            && channel.generation != offer.generation
        {
            let generation = channel.generation;
            self.revoked(now, call, generation);
        }
        let created = self.out.timestamp(now);
        match self.channels.get_mut(&call) {
            Some(channel) => channel.take_over(offer, owner),
            None => drop(self.channels.insert(call, Channel::new(offer, owner, created))),
        }
        if let Some(channel) = self.channels.get(&call) {
            self.ids.insert(channel.id.clone(), call);
        }
        self.tell(now, call, |c| Body::StasisStart { args: &c.args, channel: c.full_view() });
    }

    pub(super) fn revoked(&mut self, now: Instant, call: CallId, generation: Generation) {
        let live = |c: &Channel| c.generation == generation && c.owner != Owner::Nobody;
        if !self.channels.get(&call).is_some_and(live) {
            return; // Taken away before.
        }
        self.say_goodbye(now, call);
        let Some(channel) = self.channels.get_mut(&call) else { return };
        channel.owner = Owner::Nobody;
        channel.answering = false;
        for recording in &mut channel.recordings {
            recording.inherited = true;
        }
        let (id, playbacks) = (take(&mut channel.id), take(&mut channel.playbacks));
        self.taken.push(Taken { call, id, playbacks });
    }

    /// To be done before anybody's word is heard: until then the ids lead somewhere.
    pub(super) fn bury_taken(&mut self, now: Instant) {
        for Taken { call, id, playbacks } in take(&mut self.taken) {
            for playback in playbacks {
                self.playback_ids.swap_remove(&playback.id);
                if !playback.is_finished() {
                    self.dead_playbacks.bury(now, playback.id, call);
                }
            }
            self.ids.swap_remove(&id);
            self.dead_channels.bury(now, id, call);
        }
    }

    pub(super) fn state_changed(&mut self, now: Instant, call: CallId, state: ChannelState) {
        let Some(channel) = self.channels.get_mut(&call) else { return };
        if channel.state == state {
            return;
        }
        channel.state = state;
        channel.answering = false;
        self.tell(now, call, |c| Body::ChannelStateChange { channel: c.view() });
    }

    pub(super) fn digit(&mut self, now: Instant, call: CallId, digit: Digit, duration_ms: u32) {
        let digit = digit.as_char();
        self.tell(now, call, |c| Body::ChannelDtmfReceived {
            digit,
            duration_ms,
            channel: c.view(),
        });
    }

    pub(super) fn held(&mut self, now: Instant, call: CallId, on: bool) {
        self.tell(now, call, |c| match on {
            true => Body::ChannelHold { channel: c.view() },
            false => Body::ChannelUnhold { channel: c.view() },
        });
    }

    pub(super) fn move_failed(
        &mut self,
        now: Instant,
        call: CallId,
        destination: &str,
        args: &[String],
    ) {
        let Some(channel) = self.channels.get(&call) else { return };
        let body = Body::ApplicationMoveFailed { destination, args, channel: channel.view() };
        let audience = self.audience(channel);
        self.out.event(now, &audience, &channel.application, &body);
    }

    pub(super) fn ended(&mut self, now: Instant, call: CallId, cause: u8, by_caller: bool) {
        self.end_media(now, call);
        self.forget_digits(call);
        if by_caller {
            self.tell(now, call, |c| Body::ChannelHangupRequest {
                cause,
                soft: false,
                channel: c.view(),
            });
        }
        self.say_goodbye(now, call);
        self.tell(now, call, |c| Body::ChannelDestroyed {
            cause,
            cause_txt: cause_text(cause),
            channel: c.view(),
        });
        let Some(channel) = self.channels.remove(&call) else { return };
        self.ids.swap_remove(&channel.id);
        for playback in &channel.playbacks {
            self.playback_ids.swap_remove(&playback.id);
        }
    }

    /// StasisEnd, for a channel that had its StasisStart.
    fn say_goodbye(&mut self, now: Instant, call: CallId) {
        let started = |c: &Channel| matches!(c.owner, Owner::Bound { .. });
        if self.channels.get(&call).is_some_and(started) {
            self.tell(now, call, |c| Body::StasisEnd { channel: c.view() });
        }
    }

    /// Sends an event to whoever owns the channel. A call without an owner has no listener.
    pub(super) fn tell<F>(&mut self, now: Instant, call: CallId, body: F)
    where
        F: for<'c> FnOnce(&'c Channel) -> Body<'c>,
    {
        let Some(channel) = self.channels.get(&call) else { return };
        if channel.owner == Owner::Nobody {
            return;
        }
        let audience = self.audience(channel);
        self.out.event(now, &audience, &channel.application, &body(channel));
    }
}

/// What applications want.
impl Ivr {
    pub(super) fn channel_request(&mut self, op: ChannelOp, ask: &Ask<'_>) -> Outcome {
        match op {
            ChannelOp::List => return Ok(self.list_channels(ask)),
            ChannelOp::Hangup => return self.hang_up(ask),
            _ => {}
        }
        let call = self.live(ask, ask.arg(0))?;
        match op {
            ChannelOp::List | ChannelOp::Hangup | ChannelOp::Get => {
                let channel = self.channels.get(&call).ok_or_else(Fault::no_channel)?;
                Ok(Reply::ok(channel.body()))
            }
            ChannelOp::Answer => self.answer(call),
            ChannelOp::Ring(on) => Ok(self.done(call, ChannelCommand::Ring(on))),
            ChannelOp::Moh(on) => self.act(call, ChannelCommand::Moh(on)),
            ChannelOp::Silence(on) => self.act(call, ChannelCommand::Silence(on)),
            ChannelOp::Hold(on) => self.act(call, ChannelCommand::Hold(on)),
            ChannelOp::Mute(on) => self.mute(call, on, ask),
            ChannelOp::Play => self.play(call, ask),
            ChannelOp::Record => self.record(call, ask),
            ChannelOp::GetVariable => self.get_variable(call, ask),
            ChannelOp::SetVariable => self.set_variable(call, ask),
            ChannelOp::Dtmf => self.send_digits(call, ask),
            ChannelOp::Continue => self.leave(call, ask),
            ChannelOp::Redirect => self.redirect(call, ask),
            ChannelOp::Move => self.move_on(call, ask),
        }
    }

    fn list_channels(&self, ask: &Ask<'_>) -> Reply {
        let mine = |c: &&Channel| c.owner != Owner::Nobody && ask.user.serves(&c.application);
        let views: Vec<_> = self.channels.values().filter(mine).map(Channel::full_view).collect();
        Reply::ok(json(&views))
    }

    pub(super) fn done(&mut self, call: CallId, command: ChannelCommand) -> Reply {
        self.order(call, command);
        Reply::done()
    }

    /// For what makes sense on an answered channel only.
    pub(super) fn act(&mut self, call: CallId, command: ChannelCommand) -> Outcome {
        self.in_application(call)?;
        Ok(self.done(call, command))
    }

    /// Answers unless somebody did: an application may begin with a prompt or a recording.
    pub(super) fn answer(&mut self, call: CallId) -> Outcome {
        let state = self.in_application(call)?;
        let channel = self.channels.get_mut(&call).ok_or_else(Fault::no_channel)?;
        if state == ChannelState::Ring && !channel.answering {
            channel.answering = true;
            self.order(call, ChannelCommand::Answer);
        }
        Ok(Reply::done())
    }

    /// The state of a channel that can be worked with.
    ///
    /// # Errors
    ///
    /// 412 while the far end of an outbound call is being called; 409 when it has answered but
    /// the call has not entered its application.
    pub(super) fn in_application(&self, call: CallId) -> Result<ChannelState, Fault> {
        let channel = self.channels.get(&call).ok_or_else(Fault::no_channel)?;
        match (channel.state, channel.owner) {
            (ChannelState::Down | ChannelState::Ringing, _) => {
                Err(Fault::new(412, format!("Channel is {}", channel.state.name())))
            }
            (_, Owner::Dialing { .. } | Owner::Nobody) => {
                Err(Fault::conflict("Channel has not entered its application"))
            }
            (state, Owner::Bound { .. }) => Ok(state),
        }
    }

    fn hang_up(&mut self, ask: &Ask<'_>) -> Outcome {
        let call = self.find_channel(ask, ask.arg(0))?;
        let code = ask.params.number::<u8>("reason_code")?;
        let cause = match (code, ask.params.get("reason")) {
            (Some(_), Some(_)) => {
                return Err(Fault::bad("Give reason or reason_code, not both"));
            }
            (Some(code @ 0..=127), None) => code,
            (Some(_), None) => return Err(Fault::bad("Parameter reason_code is above 127")),
            (None, Some(reason)) => cause_of(reason)?,
            (None, None) => 16,
        };
        Ok(self.done(call, ChannelCommand::Hangup { cause }))
    }

    fn mute(&mut self, call: CallId, on: bool, ask: &Ask<'_>) -> Outcome {
        let both = ChannelCommand::Mute { out: Some(on), inbound: Some(on) };
        let command = match ask.params.get("direction").unwrap_or("both") {
            "both" => both,
            "out" => ChannelCommand::Mute { out: Some(on), inbound: None },
            "in" => ChannelCommand::Mute { out: None, inbound: Some(on) },
            _ => return Err(Fault::bad("Parameter direction must be both, in or out")),
        };
        self.act(call, command)
    }

    fn get_variable(&self, call: CallId, ask: &Ask<'_>) -> Outcome {
        let name = ask.params.required("variable")?;
        let channel = self.channels.get(&call).ok_or_else(Fault::no_channel)?;
        let value = variables::read(channel, name);
        let value = value.ok_or_else(|| Fault::missing("Variable not found"))?;
        Ok(Reply::ok(json(&VariableView { value: &value })))
    }

    fn set_variable(&mut self, call: CallId, ask: &Ask<'_>) -> Outcome {
        let name = ask.params.required("variable")?;
        let value = ask.params.raw("value").unwrap_or("");
        variables::check(name, value)?;
        let channel = self.channels.get_mut(&call).ok_or_else(Fault::no_channel)?;
        if channel.variables.len() >= VARIABLES_MAX && !channel.variables.contains_key(name) {
            return Err(Fault::bad("More than 64 variables on this channel"));
        }
        channel.variables.insert(name.to_owned(), value.to_owned());
        self.tell_variable(ask, call, name, value);
        let value = variables::plain(name, value).into_owned();
        Ok(self.done(call, ChannelCommand::SetVariable { name: name.to_owned(), value }))
    }

    fn tell_variable(&mut self, ask: &Ask<'_>, call: CallId, variable: &str, value: &str) {
        let Some(channel) = self.channels.get(&call) else { return };
        let body = Body::ChannelVarset { variable, value, channel: channel.view() };
        let audience = self.audience(channel);
        self.out.event(ask.now, &audience, &channel.application, &body);
    }

    fn leave(&mut self, call: CallId, ask: &Ask<'_>) -> Outcome {
        self.in_application(call)?;
        let channel = self.channels.get(&call).ok_or_else(Fault::no_channel)?;
        let application = self.config.applications.get(&channel.application);
        let extension = ask.params.get("extension");
        let extension = match application.map(|a| &a.on_continue) {
            Some(Continue::Refer) => {
                let extension = extension.ok_or_else(|| Fault::bad("Missing parameter extension"));
                Some(outbound::target(&self.config, extension?)?)
            }
            Some(Continue::Release | Continue::Next) | None => extension.map(str::to_owned),
        };
        Ok(self.done(call, ChannelCommand::Continue { extension }))
    }

    fn redirect(&mut self, call: CallId, ask: &Ask<'_>) -> Outcome {
        self.in_application(call)?;
        let target = outbound::target(&self.config, ask.params.required("endpoint")?)?;
        Ok(self.done(call, ChannelCommand::Redirect { target }))
    }

    fn move_on(&mut self, call: CallId, ask: &Ask<'_>) -> Outcome {
        self.in_application(call)?;
        let application = ask.params.required("app")?.to_owned();
        if !self.config.applications.contains_key(&application) {
            return Err(Fault::new(422, "Application is not configured"));
        }
        let args = ask.params.list("appArgs").into_iter().map(str::to_owned).collect();
        Ok(self.done(call, ChannelCommand::Move { application, args }))
    }
}

/// Q.850 cause of ARI's `reason`.
fn cause_of(reason: &str) -> Result<u8, Fault> {
    Ok(match reason {
        "normal" => 16,
        "busy" => 17,
        "timeout" | "no_user_response" => 18,
        "no_answer" => 19,
        "rejected" => 21,
        "answered_elsewhere" => 26,
        "number_incomplete" => 28,
        "normal_unspecified" => 31,
        "congestion" => 34,
        "failure" => 38,
        "codec_mismatch" => 58,
        "interworking" => 127,
        "unallocated" => 1,
        _ => return Err(Fault::bad(format!("Unknown reason {}", reason.escape_debug()))),
    })
}
