//! The link as a machine: connections, channels, and the ids that lead to them.
//!
//! Authority is the channel id. Whoever knows a live id and is a user of its application acts for
//! the instance that the call is bound to; an id of an older generation is dead, whoever sends it.
//! So nothing here asks which process a request came from, and a fenced instance keeps its socket.
//!
//! Every request on a live id reaches the node as a command, a refused one as `Read`: it shows
//! that the application is alive.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::auth::{self, User};
use super::channel::{Channel, Owner};
use super::docs::routes::{Op, find};
use super::fault::{Fault, Outcome, Reply};
use super::http::{Target, not_found};
use super::originate::Originating;
use super::out::{Counters, Out};
use super::params::Params;
use super::recordings::Stored;
use super::rest_over_ws::Echo;
use super::timestamp::{Timestamp, Wall};
use super::tombstones::Tombstones;
use super::{ChannelCommand, Input, Output, Request};
use crate::config::Config;
use crate::ids::{CallId, InstanceId, MediaId, RequestId};
use crate::timers::{Instant, earliest};

/// WebSockets at once. Each is a process of an application; a site has a handful.
const INSTANCES_MAX: usize = 1024;

/// One WebSocket.
#[derive(Debug)]
pub(super) struct Instance {
    pub user: String,
    pub applications: Vec<String>,
}

/// The ARI-compatible server.
pub struct Ivr {
    pub(super) config: Arc<Config>,
    pub(super) instances: BTreeMap<InstanceId, Instance>,
    pub(super) channels: BTreeMap<CallId, Channel>,
    /// Live channel ids.
    pub(super) ids: BTreeMap<String, CallId>,
    /// Ids of the playbacks of live channel ids.
    pub(super) playback_ids: BTreeMap<String, (CallId, MediaId)>,
    /// Names of recordings that run.
    pub(super) live_recordings: BTreeMap<String, (CallId, MediaId)>,
    pub(super) stored: Stored,
    /// Variables of `/asterisk/variable`.
    pub(super) globals: BTreeMap<String, String>,
    pub(super) originating: BTreeMap<RequestId, Originating>,
    pub(super) dead_channels: Tombstones,
    pub(super) dead_playbacks: Tombstones,
    /// Counts requests that came over a WebSocket.
    pub(super) last_request: u64,
    pub(super) started: Timestamp,
    pub(super) out: Out,
    /// The live channel of the request at hand, until a command was made of it.
    touched: Option<CallId>,
}

/// Where the answer to a request goes.
#[derive(Clone, Debug)]
pub(super) enum Origin {
    Http(RequestId),
    Socket(InstanceId, Echo),
}

/// A request whose user and operation are known.
#[derive(Debug)]
pub(super) struct Ask<'a> {
    pub now: Instant,
    pub origin: &'a Origin,
    pub user: User<'a>,
    /// The path's parameters in order.
    pub args: Vec<&'a str>,
    pub params: Params,
    pub host: &'a str,
}

/// What is in a request besides its target.
#[derive(Clone, Copy, Debug)]
pub(super) struct Content<'a> {
    pub method: &'a str,
    pub host: &'a str,
    pub content_type: Option<&'a str>,
    pub body: &'a [u8],
}

impl<'a> Ask<'a> {
    pub(super) fn arg(&self, at: usize) -> &'a str {
        self.args.get(at).copied().unwrap_or("")
    }
}

impl Ivr {
    /// A link without connections or calls.
    pub fn new(config: Arc<Config>) -> Self {
        let out = Out::new(config.node.entity_id.clone());
        Self {
            config,
            instances: BTreeMap::new(),
            channels: BTreeMap::new(),
            ids: BTreeMap::new(),
            playback_ids: BTreeMap::new(),
            live_recordings: BTreeMap::new(),
            stored: Stored::default(),
            globals: BTreeMap::new(),
            originating: BTreeMap::new(),
            dead_channels: Tombstones::default(),
            dead_playbacks: Tombstones::default(),
            last_request: 0,
            started: Timestamp::default(),
            out,
            touched: None,
        }
    }

    /// Tells the wall time: `unix_ms` milliseconds since 1970 at `now`. Before the first call
    /// timestamps begin in 1970; afterwards they run with `now` until the next call.
    pub fn handle_wall(&mut self, unix_ms: u64, now: Instant) {
        if self.started == Timestamp::default() {
            self.started = Timestamp(unix_ms);
        }
        self.out.set_wall(Wall::new(unix_ms, now));
    }

    /// Takes an input.
    pub fn handle_input(&mut self, now: Instant, input: Input) {
        self.dead_channels.expire(now);
        self.dead_playbacks.expire(now);
        match input {
            Input::Request { request, http } => self.request(now, request, &http),
            Input::Upgrade { request, instance, http } => self.upgrade(request, instance, &http),
            Input::Text { instance, text } => self.socket_request(now, instance, &text),
            Input::Closed { instance } => drop(self.instances.remove(&instance)),
            Input::Offer(offer) => self.offered(now, offer),
            Input::Revoke { call, generation } => self.revoked(now, call, generation),
            Input::State { call, state } => self.state_changed(now, call, state),
            Input::Digit { call, digit, duration_ms } => {
                self.digit(now, call, digit, duration_ms);
            }
            Input::Hold { call, on } => self.held(now, call, on),
            Input::PlaybackStarted { call, id } => self.playback_started(now, call, id),
            Input::PlaybackFinished { call, id, failed } => {
                self.playback_finished(now, call, id, failed);
            }
            Input::RecordingFinished { call, id, duration_ms, failed } => {
                self.recording_finished(now, call, id, Some(duration_ms), failed);
            }
            Input::Originated { request, result } => self.originated(now, request, result),
            Input::Ended { call, cause, by_caller } => self.ended(now, call, cause, by_caller),
        }
    }

    /// Forgets what is old enough. Harmless when called early.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.dead_channels.expire(now);
        self.dead_playbacks.expire(now);
    }

    /// The next output. To be called until `None` after every input.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.out.pop()
    }

    /// When `handle_timeout` wants to be called; `None`: never.
    pub fn poll_timeout(&self) -> Option<Instant> {
        earliest([self.dead_channels.next_expiry(), self.dead_playbacks.next_expiry()])
    }

    /// What was counted since the start.
    pub const fn counters(&self) -> &Counters {
        &self.out.counters
    }

    fn request(&mut self, now: Instant, request: RequestId, http: &Request) {
        match self.http_outcome(now, request, http) {
            Ok(Some(reply)) => self.out.respond(request, reply),
            Ok(None) => {} // The node answers it with `Originated`.
            Err(fault) => self.out.respond(request, fault.into()),
        }
    }

    fn http_outcome(
        &mut self,
        now: Instant,
        request: RequestId,
        http: &Request,
    ) -> Result<Option<Reply>, Fault> {
        let config = Arc::clone(&self.config);
        let target = Target::parse(http.uri.reveal())?;
        let user = authenticate(&config, http, &target)?;
        let content = Content {
            method: &http.method,
            host: &http.host,
            content_type: http.content_type.as_deref(),
            body: &http.body,
        };
        self.perform(now, &Origin::Http(request), user, target, content)
    }

    /// Carries a request out, over whichever way it came. `None`: the answer comes later.
    pub(super) fn perform(
        &mut self,
        now: Instant,
        origin: &Origin,
        user: User<'_>,
        target: Target,
        content: Content<'_>,
    ) -> Result<Option<Reply>, Fault> {
        let Target { segments, query } = target;
        let (route, args) = find(content.method, &segments)?;
        if user.rights.read_only && route.method != "GET" {
            return Err(Fault::new(403, "This user may only read"));
        }
        let params = Params::new(query, content.content_type, content.body);
        let ask = Ask { now, origin, user, args, params: params?, host: content.host };
        let outcome = self.carry_out(route.op, &ask);
        if let Some(call) = self.touched.take() {
            self.order(call, ChannelCommand::Read);
        }
        outcome
    }

    fn carry_out(&mut self, op: Op, ask: &Ask<'_>) -> Result<Option<Reply>, Fault> {
        let outcome: Outcome = match op {
            Op::Originate => return self.originate(ask).map(|()| None),
            Op::Listing => Ok(self.listing(ask)),
            Op::Description => self.description(ask),
            Op::Socket => {
                Err(Fault::new(426, "Open a WebSocket here").with("Upgrade", "websocket"))
            }
            Op::Channel(op) => self.channel_request(op, ask),
            Op::Playback(op) => self.playback_request(op, ask),
            Op::Recording(op) => self.recording_request(op, ask),
            Op::Application(op) => self.application_request(op, ask),
            Op::Asterisk(op) => self.asterisk_request(op, ask),
            Op::UserEvent => self.user_event(ask),
            Op::Nothing => Ok(Reply::ok("[]".to_owned())),
            Op::NoBridge => Err(Fault::missing("Bridge not found")),
            Op::NoEndpoint => Err(Fault::missing("Endpoint not found")),
        };
        outcome.map(Some)
    }

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
        let Some(&call) = self.ids.get(id) else {
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
        self.touched = None;
        Err(Fault::new(429, "More than 20 commands a second on this channel"))
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

    fn upgrade(&mut self, request: RequestId, instance: InstanceId, http: &Request) {
        match self.welcome(http) {
            Ok(Instance { user, applications }) => {
                let known = Instance { user: user.clone(), applications: applications.clone() };
                self.instances.insert(instance, known);
                self.out.count(101);
                let protocol = sub_protocol(http);
                let accept = Output::Accept { request, instance, applications, user, protocol };
                self.out.push(accept);
            }
            Err(fault) => self.out.respond(request, fault.into()),
        }
    }

    /// Whether a WebSocket may be opened, and for whom. A further one of an application joins the
    /// others: nobody is replaced.
    fn welcome(&self, http: &Request) -> Result<Instance, Fault> {
        let target = Target::parse(http.uri.reveal())?;
        let user = authenticate(&self.config, http, &target)?;
        if target.segments != ["events"] {
            return Err(not_found());
        }
        if user.rights.read_only {
            return Err(Fault::new(403, "This user may only read: it could not serve a call"));
        }
        if self.instances.len() >= INSTANCES_MAX {
            return Err(Fault::new(503, "Too many WebSockets"));
        }
        let params = Params::new(target.query, None, b"")?;
        let mut applications: Vec<String> = Vec::new();
        for name in params.list("app") {
            if !self.config.applications.contains_key(name) {
                let name = name.escape_debug();
                return Err(Fault::bad(format!("Application {name} is not configured")));
            }
            if !user.serves(name) {
                return Err(Fault::new(403, format!("This user may not serve {name}")));
            }
            if !applications.iter().any(|a| a == name) {
                applications.push(name.to_owned());
            }
        }
        if applications.is_empty() {
            return Err(Fault::bad("Missing parameter app"));
        }
        Ok(Instance { user: user.name.to_owned(), applications })
    }

    /// Those who hear of a channel and have a WebSocket open.
    pub(super) fn audience(&self, channel: &Channel) -> Vec<InstanceId> {
        let open = |i: &InstanceId| self.instances.contains_key(i);
        match channel.owner {
            Owner::Nobody => Vec::new(),
            Owner::Bound { instance } | Owner::Dialing { by: Some(instance) } => {
                Some(instance).filter(open).into_iter().collect()
            }
            Owner::Dialing { by: None } => self.serving(&channel.application),
        }
    }

    /// Every instance of an application.
    pub(super) fn serving(&self, application: &str) -> Vec<InstanceId> {
        let serves = |i: &Instance| i.applications.iter().any(|a| a == application);
        self.instances.iter().filter(|(_, i)| serves(i)).map(|(id, _)| *id).collect()
    }
}

/// Counts only: the rest is caller numbers, variables and texts with digits.
impl fmt::Debug for Ivr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ivr")
            .field("instances", &self.instances)
            .field("channels", &self.channels.len())
            .field("counters", self.counters())
            .finish_non_exhaustive()
    }
}

fn authenticate<'c>(
    config: &'c Config,
    http: &Request,
    target: &Target,
) -> Result<User<'c>, Fault> {
    let header = http.authorization.as_ref().map(|a| a.reveal().as_str());
    auth::user(&config.ari, header, target.first("api_key"))
}

/// `ari`, if the client offers it; none of the known ones does.
fn sub_protocol(http: &Request) -> Option<&'static str> {
    let offered = http.protocols.as_deref()?.split(',');
    offered.map(str::trim).any(|p| p.eq_ignore_ascii_case("ari")).then_some("ari")
}
