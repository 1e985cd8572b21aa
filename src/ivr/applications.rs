//! `/applications`, and events that applications send to each other.
//!
//! Subscriptions do nothing: an instance hears of its own channels, whatever it subscribes to, or
//! every instance would hear everybody's calls.

use serde_json::{Map, Value};

use super::channel::{Channel, Owner};
use super::docs::routes::ApplicationOp;
use super::events::Body;
use super::fault::{Fault, Outcome, Reply};
use super::machine::{Ask, Ivr};
use super::model::{ApplicationView, json};
use super::sockets::Instance;
use super::sound::is_id;
use crate::ids::InstanceId;
use crate::timers::Instant;

/// Largest set of variables of a user event, in bytes of JSON.
const USER_EVENT_MAX: usize = 16 * 1024;

/// What an application may subscribe to, by the scheme of `eventSource`.
const SOURCES: [&str; 4] = ["channel", "bridge", "endpoint", "deviceState"];

impl Ivr {
    pub(super) fn application_request(&self, op: ApplicationOp, ask: &Ask<'_>) -> Outcome {
        match op {
            ApplicationOp::List => {
                let names = self.config.applications.keys();
                let mine = names.filter(|n| ask.user.serves(n));
                let views: Vec<_> = mine.map(|n| self.application(n)).collect();
                Ok(Reply::ok(json(&views)))
            }
            ApplicationOp::Get => Ok(Reply::ok(json(&self.find_application(ask)?))),
            ApplicationOp::Subscribe => {
                let application = self.find_application(ask)?;
                ask.params.required("eventSource")?;
                for source in ask.params.list("eventSource") {
                    check_source(source)?;
                }
                Ok(Reply::ok(json(&application)))
            }
        }
    }

    fn find_application<'a>(&'a self, ask: &'a Ask<'_>) -> Result<ApplicationView<'a>, Fault> {
        let name = ask.arg(0);
        let known = self.config.applications.contains_key(name) && ask.user.serves(name);
        known.then(|| self.application(name)).ok_or_else(Fault::no_application)
    }

    fn application<'a>(&'a self, name: &'a str) -> ApplicationView<'a> {
        let inside = |c: &&Channel| c.application == name && c.owner != Owner::Nobody;
        let channels = self.channels.values().filter(inside);
        ApplicationView {
            name,
            channel_ids: channels.map(|c| c.id.as_str()).collect(),
            bridge_ids: [],
            endpoint_ids: [],
            device_names: [],
            events_allowed: [],
            events_disallowed: [],
        }
    }

    /// Something of the cluster: every instance hears of it once, whatever it serves.
    pub(super) fn news(
        &mut self,
        now: Instant,
        eventname: &str,
        details: Vec<(&'static str, String)>,
    ) {
        let plain = |(name, value): (&'static str, String)| (name.to_owned(), Value::String(value));
        let userevent = &details.into_iter().map(plain).collect::<Map<_, _>>();
        let first = |(id, instance): (&InstanceId, &Instance)| {
            Some((*id, instance.applications.first()?.clone()))
        };
        let audience: Vec<_> = self.instances.iter().filter_map(first).collect();
        for (instance, application) in audience {
            let body = Body::ChannelUserevent { eventname, channel: None, userevent };
            self.out.event(now, &[instance], &application, &body);
        }
    }

    /// `POST /events/user/{name}`: with a channel as `source` to its owner, otherwise to every
    /// instance of the application.
    pub(super) fn user_event(&mut self, ask: &Ask<'_>) -> Outcome {
        let eventname = ask.arg(0);
        let application = ask.params.required("application")?;
        if !self.config.applications.contains_key(application) || !ask.user.serves(application) {
            return Err(Fault::no_application());
        }
        let userevent = ask.params.variables();
        if !is_id(eventname) || json(userevent).len() > USER_EVENT_MAX {
            return Err(Fault::bad("Event name must be plain, its variables at most 16 KiB"));
        }
        let Some(source) = ask.params.get("source") else {
            let audience = self.serving(application);
            let body = Body::ChannelUserevent { eventname, channel: None, userevent };
            self.out.event(ask.now, &audience, application, &body);
            return Ok(Reply::done());
        };
        let id = source.strip_prefix("channel:");
        let id = id.ok_or_else(|| Fault::new(422, "Only a channel can be the source"))?;
        let call = self.live(ask, id)?;
        let Some(channel) = self.channels.get(&call) else { return Err(Fault::no_channel()) };
        let body = Body::ChannelUserevent { eventname, channel: Some(channel.view()), userevent };
        let audience = self.audience(channel);
        self.out.event(ask.now, &audience, application, &body);
        Ok(Reply::done())
    }
}

fn check_source(source: &str) -> Result<(), Fault> {
    let (scheme, name) = source.split_once(':').unwrap_or((source, ""));
    if SOURCES.contains(&scheme) && !name.is_empty() {
        return Ok(());
    }
    Err(Fault::bad("Parameter eventSource must be channel:, bridge:, endpoint: or deviceState:"))
}
