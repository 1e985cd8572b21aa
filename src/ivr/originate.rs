//! `POST /channels`: a call to the outside, if the allow-list has its target.
//!
//! The answer waits for the node, which says whether the call could be placed. The channel then
//! exists before the far end answers; StasisStart follows with the pool's first offer. A client
//! may choose the first id of the channel, because one library registers its listeners under it
//! before it asks; a rebind gives an id of the usual form.

use super::channel::{Channel, Owner};
use super::fault::{Fault, Reply};
use super::machine::{Ask, Ivr, Origin};
use super::sound::is_id;
use super::variables::{self, VARIABLES_MAX};
use super::{ChannelState, NewCall, Offer, Output, outbound};
use crate::ids::{Generation, InstanceId, RequestId};
use crate::timers::{Duration, Instant};

/// Requests that wait for the node at once.
const WAITING_MAX: usize = 256;

/// Seconds that an outbound call rings, if the request does not say.
const TIMEOUT_DEFAULT: u32 = 30;

/// Longest ringing, in seconds; also what `-1`, ARI's "no limit", means.
const TIMEOUT_MAX: u32 = 300;

/// The generation of the first offer of a call.
const FIRST: Generation = Generation(1);

/// Numbers of requests that came over a WebSocket, apart from those that the driver gives.
const SOCKET_REQUESTS: u64 = 1 << 63;

/// A `POST /channels` that the node has not answered.
pub(super) struct Originating {
    origin: Origin,
    channel_id: Option<String>,
    target: String,
    application: String,
    args: Vec<String>,
    caller: (String, String),
    variables: Vec<(String, String)>,
}

impl Ivr {
    /// Asks the node to place a call.
    pub(super) fn originate(&mut self, ask: &Ask<'_>) -> Result<(), Fault> {
        if self.originating.len() >= WAITING_MAX {
            return Err(Fault::new(503, "Too many calls are being placed"));
        }
        let wanted = self.read_originate(ask)?;
        let timeout = timeout(ask)?;
        let request = match ask.origin {
            Origin::Http(request) => *request,
            Origin::Socket(..) => {
                self.last_request += 1;
                RequestId(SOCKET_REQUESTS | self.last_request)
            }
        };
        self.out.push(Output::Originate {
            request,
            target: wanted.target.clone(),
            application: wanted.application.clone(),
            args: wanted.args.clone(),
            caller: wanted.caller.clone(),
            timeout,
            variables: wanted.variables.clone(),
            by: asker(&wanted.origin),
        });
        self.originating.insert(request, wanted);
        Ok(())
    }

    fn read_originate(&self, ask: &Ask<'_>) -> Result<Originating, Fault> {
        let endpoint = ask.params.required("endpoint")?;
        let application = ask.params.required("app")?;
        if !self.config.applications.contains_key(application) {
            return Err(Fault::bad("Application is not configured"));
        }
        if !ask.user.serves(application) {
            return Err(Fault::new(403, "This user may not serve the application"));
        }
        let target = outbound::target(&self.config, endpoint)?;
        let channel_id = ask.args.first().copied().or_else(|| ask.params.get("channelId"));
        if let Some(id) = channel_id {
            self.check_channel_id(id)?;
        }
        let variables = ask.params.channel_variables()?;
        if variables.len() > VARIABLES_MAX {
            return Err(Fault::bad("More than 64 variables"));
        }
        for (name, value) in &variables {
            variables::check(name, value)?;
        }
        Ok(Originating {
            origin: ask.origin.clone(),
            channel_id: channel_id.map(str::to_owned),
            target,
            application: application.to_owned(),
            args: ask.params.list("appArgs").into_iter().map(str::to_owned).collect(),
            caller: caller_id(ask.params.get("callerId").unwrap_or(""))?,
            variables,
        })
    }

    /// An id that a client chose must not be one of a channel, past, present or future.
    fn check_channel_id(&self, id: &str) -> Result<(), Fault> {
        if !is_id(id) || id.contains('.') {
            return Err(Fault::bad("Channel id must be 1 to 128 of A-Z, a-z, 0-9, - _ : @"));
        }
        let waiting = self.originating.values().any(|o| o.channel_id.as_deref() == Some(id));
        if waiting || self.ids.contains_key(id) || self.dead_channels.get(id).is_some() {
            return Err(Fault::conflict("Channel id is in use"));
        }
        Ok(())
    }

    /// The node has placed the call, or could not.
    pub(super) fn originated(
        &mut self,
        now: Instant,
        request: RequestId,
        result: Result<NewCall, (u16, String)>,
    ) {
        let Some(wanted) = self.originating.remove(&request) else { return };
        let origin = wanted.origin.clone();
        let reply = match result {
            Ok(new) => Reply::ok(self.add_dialing(now, new, wanted)),
            Err((status, sentence)) => Fault::new(status, sentence).into(),
        };
        match origin {
            Origin::Http(request) => self.out.respond(request, reply),
            Origin::Socket(instance, echo) => self.socket_respond(now, instance, &echo, reply),
        }
    }

    fn add_dialing(&mut self, now: Instant, new: NewCall, wanted: Originating) -> String {
        let port = self.config.ports.iter().find(|p| p.id == new.port);
        let by = asker(&wanted.origin);
        let offer = Offer {
            call: new.call,
            port: new.port,
            extension: port.map_or_else(String::new, |p| p.extension.clone()),
            generation: FIRST,
            instance: by.unwrap_or(InstanceId(0)),
            application: wanted.application,
            args: wanted.args,
            reason: "new",
            state: ChannelState::Down,
            caller: wanted.caller,
            connected: (String::new(), wanted.target),
            protocol_id: new.protocol_id,
            variables: wanted.variables,
        };
        let created = self.out.timestamp(now);
        let mut channel = Channel::new(offer, Owner::Dialing { by }, created);
        if let Some(id) = wanted.channel_id {
            channel.id = id;
        }
        self.ids.insert(channel.id.clone(), new.call);
        let body = channel.body();
        self.channels.insert(new.call, channel);
        body
    }
}

fn asker(origin: &Origin) -> Option<InstanceId> {
    match origin {
        Origin::Http(_) => None,
        Origin::Socket(instance, _) => Some(*instance),
    }
}

fn timeout(ask: &Ask<'_>) -> Result<Duration, Fault> {
    let seconds = match ask.params.get("timeout") {
        Some("-1") => TIMEOUT_MAX,
        _ => ask.params.number("timeout")?.unwrap_or(TIMEOUT_DEFAULT),
    };
    if !(1..=TIMEOUT_MAX).contains(&seconds) {
        return Err(Fault::bad("Parameter timeout must be 1 to 300 seconds, or -1"));
    }
    Ok(Duration::from_secs(u64::from(seconds)))
}

/// Reads `Name <number>`, or a number alone. Both go into a header of SIP.
fn caller_id(text: &str) -> Result<(String, String), Fault> {
    let (name, number) = match text.trim().strip_suffix('>').and_then(|t| t.rsplit_once('<')) {
        Some((name, number)) => (name.trim().trim_matches('"'), number.trim()),
        None => ("", text.trim()),
    };
    let in_name = |c: char| !c.is_control() && !"\"\\<>".contains(c);
    let in_number = |c: char| c.is_ascii_alphanumeric() || "+*#-_.".contains(c);
    if name.len() > 64 || number.len() > 64 {
        return Err(Fault::bad("Parameter callerId is too long"));
    }
    if !name.chars().all(in_name) || !number.chars().all(in_number) {
        return Err(Fault::bad("Parameter callerId must be: Name <number>"));
    }
    Ok((name.to_owned(), number.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_id_is_a_name_and_a_number() {
        let pair = |name: &str, number: &str| Ok((name.to_owned(), number.to_owned()));
        assert_eq!(caller_id("\"Front desk\" <100>"), pair("Front desk", "100"));
        assert_eq!(caller_id("<100>"), pair("", "100"));
        assert_eq!(caller_id("100"), pair("", "100"));
        assert_eq!(caller_id(""), pair("", ""));
    }

    #[test]
    fn a_caller_id_cannot_carry_a_header() {
        for text in ["a\r\nX: y <1>", "1;x=y", "a\"b <1>", "x <1@evil>", &"1".repeat(65)] {
            assert!(caller_id(text).is_err(), "{text:?}");
        }
    }
}
