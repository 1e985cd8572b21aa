//! Who may command what: from an id in a request to the call behind it.
//!
//! Authority is the channel id. Whoever knows a live id and is a user of its application acts for
//! the instance that the call is bound to; an id of an older generation is dead, whoever sends it.
//! So nothing here asks which process a request came from, and a fenced instance keeps its socket.
//!
//! Every request on a live id reaches the node as a command, a refused one as `Read`, also one
//! above the rate: it shows that the application is alive.

use super::fault::Fault;
use super::machine::{Ask, Ivr};
use super::{ChannelCommand, Output};
use crate::ids::{CallId, MediaId};
use crate::mutants::{Mutant, mutant};

impl Ivr {
    /// The call of a channel id that this user may command.
    ///
    /// # Errors
    ///
    /// 404 for an unknown or dead id (the latter is counted), 409 for a channel of an application
    /// that the user does not serve, 429 above the rate of commands.
    pub(super) fn live(&mut self, ask: &Ask<'_>, id: &str) -> Result<CallId, Fault> {
        let call = self.find_channel(ask, id)?;
        self.admit(ask, call)?;
        Ok(call)
    }

    /// As [`Ivr::live`], without the rate: to hang up is always possible.
    pub(super) fn find_channel(&mut self, ask: &Ask<'_>, id: &str) -> Result<CallId, Fault> {
        let planted = || if mutant(Mutant::AcceptStale) { self.overtaken(id) } else { None };
        let Some(call) = self.ids.get(id).copied().or_else(planted) else {
            if let Some(call) = self.dead_channels.get(id).or_else(|| self.overtaken(id)) {
                self.out.stale(call);
            }
            return Err(Fault::no_channel());
        };
        self.authorise(ask, call)?;
        Ok(call)
    }

    fn authorise(&mut self, ask: &Ask<'_>, call: CallId) -> Result<(), Fault> {
        let application = self.channels.get(&call).map_or("", |c| c.application.as_str());
        if !ask.user.serves(application) {
            return Err(Fault::conflict("Channel not in an application of this user"));
        }
        self.touched = Some(call);
        Ok(())
    }

    fn admit(&mut self, ask: &Ask<'_>, call: CallId) -> Result<(), Fault> {
        if self.channels.get_mut(&call).is_some_and(|c| c.pace.admits(ask.now)) {
            return Ok(());
        }
        Err(Fault::new(429, "More than 20 commands a second on this call"))
    }

    /// The call whose live id has a later generation than this one.
    fn overtaken(&self, id: &str) -> Option<CallId> {
        let (name, generation) = id.rsplit_once('.')?;
        let (upper, lower) = name.split_once('-')?;
        let upper = u64::from(u32::from_str_radix(upper, 16).ok()?);
        let call = CallId(upper << 32 | u64::from(lower.parse::<u32>().ok()?));
        let generation: u32 = generation.parse().ok()?;
        self.channels.get(&call).filter(|c| c.generation.0 > generation).map(|c| c.call)
    }

    /// The channel and playback of a playback id that this user may command.
    pub(super) fn live_playback(
        &mut self,
        ask: &Ask<'_>,
        id: &str,
    ) -> Result<(CallId, MediaId), Fault> {
        let Some(&(call, media)) = self.playback_ids.get(id) else {
            if let Some(call) = self.dead_playbacks.get(id) {
                self.out.stale(call);
            }
            return Err(Fault::no_playback());
        };
        self.authorise(ask, call)?;
        self.admit(ask, call)?;
        Ok((call, media))
    }

    /// The channel and number of a running recording that this user may command.
    pub(super) fn live_recording(&mut self, ask: &Ask<'_>) -> Result<(CallId, MediaId), Fault> {
        let found = self.live_recordings.get(ask.arg(0)).copied();
        let (call, media) = found.ok_or_else(Fault::no_recording)?;
        let channel = self.channels.get(&call).ok_or_else(Fault::no_recording)?;
        if channel.recordings.iter().any(|r| r.media == media && r.inherited) {
            return Err(Fault::no_recording());
        }
        self.authorise(ask, call)?;
        self.admit(ask, call)?;
        Ok((call, media))
    }

    /// Hands a command to the node.
    pub(super) fn order(&mut self, call: CallId, command: ChannelCommand) {
        self.touched = None;
        if let Some(channel) = self.channels.get(&call) {
            let (port, generation) = (channel.port, channel.generation);
            self.out.push(Output::Command { port, call, generation, command });
        }
    }
}
