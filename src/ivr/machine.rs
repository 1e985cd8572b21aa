//! The link as a machine: connections, channels, and the ids that lead to them.
//!
//! An input goes to the file of its subject: news of a call to `channels`, `sound`, `recordings`
//! and `originate`, a WebSocket to `sockets`, a message on it to `rest_over_ws`. A request, over
//! whichever way it came, ends up in [`Ivr::perform`]; whom it may touch is decided in `authority`.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use indexmap::IndexMap;

use super::auth::User;
use super::channel::{Channel, Taken};
use super::docs::routes::{Op, find};
use super::fault::{Fault, Outcome, Reply};
use super::http::Target;
use super::keying::Keying;
use super::originate::Originating;
use super::out::{Counters, Out};
use super::params::Params;
use super::recordings::Stored;
use super::rest_over_ws::Echo;
use super::sockets::{Instance, authenticate};
use super::timestamp::{Timestamp, Wall};
use super::tombstones::Tombstones;
use super::{ChannelCommand, Input, Output, Request};
use crate::config::Config;
use crate::ids::{CallId, InstanceId, MediaId, RequestId};
use crate::timers::{Instant, earliest};

/// The ARI-compatible server.
pub struct Ivr {
    pub(super) config: Arc<Config>,
    pub(super) instances: BTreeMap<InstanceId, Instance>,
    pub(super) channels: BTreeMap<CallId, Channel>,
    /// Live channel ids.
    pub(super) ids: IndexMap<String, CallId>,
    /// Ids of the playbacks of live channel ids.
    pub(super) playback_ids: IndexMap<String, (CallId, MediaId)>,
    /// Names of recordings that run.
    pub(super) live_recordings: BTreeMap<String, (CallId, MediaId)>,
    pub(super) stored: Stored,
    /// Variables of `/asterisk/variable`.
    pub(super) globals: BTreeMap<String, String>,
    pub(super) keying: Keying,
    pub(super) originating: BTreeMap<RequestId, Originating>,
    /// What was taken from owners. It is buried when all offers of a port switch have left.
    pub(super) taken: Vec<Taken>,
    pub(super) dead_channels: Tombstones,
    pub(super) dead_playbacks: Tombstones,
    /// Counts requests that came over a WebSocket.
    pub(super) last_request: u64,
    pub(super) started: Timestamp,
    pub(super) out: Out,
    /// The live channel of the request at hand, until a command was made of it.
    pub(super) touched: Option<CallId>,
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
            ids: IndexMap::new(),
            playback_ids: IndexMap::new(),
            live_recordings: BTreeMap::new(),
            stored: Stored::default(),
            globals: BTreeMap::new(),
            keying: Keying::default(),
            originating: BTreeMap::new(),
            taken: Vec::new(),
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
        if !matches!(input, Input::Offer(_) | Input::Revoke { .. }) {
            self.bury_taken(now);
        }
        match input {
            Input::Request { request, http } => self.request(now, request, &http),
            Input::Upgrade { request, instance, http } => self.upgrade(request, instance, &http),
            Input::Text { instance, text } => self.socket_request(now, instance, &text),
            Input::News { name, details } => self.news(now, name, details),
            Input::Closed { instance } => drop(self.instances.remove(&instance)),
            Input::Offer(offer) => self.offered(now, offer),
            Input::Revoke { call, generation } => self.revoked(now, call, generation),
            Input::State { call, state } => self.state_changed(now, call, state),
            Input::Digit { call, digit, duration_ms } => {
                self.digit(now, call, digit, duration_ms);
            }
            Input::Hold { call, on } => self.held(now, call, on),
            Input::PlaybackStarted { call, id } => self.playback_started(now, call, id),
            Input::PlaybackContinuing { call, id, part } => {
                self.playback_continuing(now, call, id, part);
            }
            Input::PlaybackFinished { call, id, failed } => {
                self.playback_finished(now, call, id, failed);
            }
            Input::RecordingFinished { call, id, duration_ms, failed } => {
                self.recording_finished(now, call, id, Some(duration_ms), failed);
            }
            Input::Keyed { call, sent, lost } => self.keyed(call, sent, lost),
            Input::MoveFailed { call, application, args } => {
                self.move_failed(now, call, &application, &args);
            }
            Input::Originated { request, result } => self.originated(now, request, result),
            Input::Ended { call, cause, by_caller } => self.ended(now, call, cause, by_caller),
        }
    }

    /// Buries what was taken, and forgets what is old enough. Harmless when called early.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.bury_taken(now);
        self.dead_channels.expire(now);
        self.dead_playbacks.expire(now);
    }

    /// The next output. To be called until `None` after every input.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.out.pop()
    }

    /// When `handle_timeout` wants to be called; `None`: never.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let taken = self.taken.first().map(|_| Instant::ZERO);
        earliest([taken, self.dead_channels.next_expiry(), self.dead_playbacks.next_expiry()])
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
