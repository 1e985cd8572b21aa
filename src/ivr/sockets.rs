//! WebSockets: who may open one, for which applications, and who hears of a channel.
//!
//! Each is an instance. A further one of an application joins the others: nobody is replaced.

use super::auth::{self, User};
use super::channel::{Channel, Owner};
use super::fault::Fault;
use super::http::{Target, not_found};
use super::machine::Ivr;
use super::params::Params;
use super::{Output, Request};
use crate::config::Config;
use crate::ids::{InstanceId, RequestId};

/// WebSockets at once. Each is a process of an application; a site has a handful.
const INSTANCES_MAX: usize = 1024;

/// One WebSocket.
#[derive(Debug)]
pub(super) struct Instance {
    pub user: String,
    pub applications: Vec<String>,
}

impl Ivr {
    pub(super) fn upgrade(&mut self, request: RequestId, instance: InstanceId, http: &Request) {
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

/// The user of a request, by its header or its query.
pub(super) fn authenticate<'c>(
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
