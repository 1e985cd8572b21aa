//! What the endpoint holds of each port, and how a Request-URI names one.
//!
//! The Contact carries a secret of 96 bits that must come back in a new request, so that nobody who
//! merely knows an extension reaches a port. Where a PBX would not return it (`none`), the source
//! address is the only check.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

use super::binding::Before;
use crate::config::{Config, ContactSecret, SipPorts, Transport};
use crate::ids::{PortId, Rng, fork};
use crate::sip::SocketId;
use crate::sip::digest::Credentials;
use crate::sip::ident::token;
use crate::sip::message::{NameAddr, Uri};
use crate::sip::registration::Registration;
use crate::sip::session::{Local, Policy};
use crate::timers::Duration;

/// URI parameter that carries the secret.
const SECRET_PARAM: &str = "pk";

/// One port.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) local: Arc<Local>,
    pub(super) registration: Registration,
    /// Call-ID of its REGISTERs.
    pub(super) call_id: String,
    /// From tag of its REGISTERs.
    pub(super) tag: String,
    /// Realm of its first challenge; another one gets no answer (a stranger's challenge would
    /// collect an answer that can be cracked at leisure).
    pub(super) realm: Option<String>,
    /// The last challenge that was answered well.
    pub(super) credentials: Option<Credentials>,
    /// Calls that the node counts.
    pub(super) live: usize,
    /// The binding of the node before this one.
    pub(super) before: Before,
}

/// All ports of a configuration.
pub(super) fn all(
    config: &Config,
    sockets: &[SocketAddr],
    nodes: &BTreeSet<usize>,
    rng: &mut Rng,
) -> Vec<Account> {
    let pbx = &config.pbx;
    let policy = Policy { expires: seconds(pbx.session_expires), min_se: seconds(pbx.min_se) };
    let account = |(index, port): (usize, &crate::config::Port)| {
        let id = PortId(u16::try_from(index).unwrap_or(u16::MAX));
        let socket = sockets.get(usize::from(config.sip_socket(id))).or_else(|| sockets.first());
        let contact = contact(config, &port.extension, socket.copied(), rng);
        let trunk = config.trunk_at(id);
        let domain = trunk.map_or(&pbx.domain, |trunk| &trunk.domain);
        let aor = Uri::sip(Some(&port.extension), domain.as_str());
        Account {
            local: Arc::new(Local { port: id, aor, contact, timer: policy }),
            registration: Registration::new(fork(rng), nodes.clone(), pbx.expires),
            call_id: token(rng),
            tag: token(rng),
            realm: None,
            credentials: None,
            live: 0,
            before: Before::default(),
        }
    };
    config.ports.iter().enumerate().map(account).collect()
}

fn seconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_secs()).unwrap_or(u32::MAX)
}

fn contact(
    config: &Config,
    extension: &str,
    socket: Option<SocketAddr>,
    rng: &mut Rng,
) -> NameAddr {
    let pbx = &config.pbx;
    let secret = token(rng);
    let user = match pbx.contact_secret {
        ContactSecret::User => format!("{extension}-{secret}"),
        ContactSecret::UriParam | ContactSecret::None => extension.to_owned(),
    };
    let host = socket.map_or(pbx.local_address, |s| s.ip());
    let mut uri = Uri::sip(Some(&user), host).with_port(socket.map(|s| s.port()));
    if pbx.transport == Transport::Tcp {
        uri = uri.with_param("transport", "tcp");
    }
    if pbx.contact_secret == ContactSecret::UriParam {
        uri = uri.with_param(SECRET_PARAM, &secret);
    }
    NameAddr::new(uri)
}

/// Finds the port of a Request-URI.
#[derive(Debug)]
pub(super) struct Directory {
    by_user: BTreeMap<String, PortId>,
    secrets: Vec<String>,
    secret_in_param: bool,
    /// Every port has its own socket, and no secret says more.
    by_socket: bool,
}

impl Directory {
    pub(super) fn new(config: &Config, accounts: &[Account]) -> Self {
        let contacts = || accounts.iter().map(|a| (a.local.port, &a.local.contact.uri));
        let trunk = config.trunk().map(|trunk| trunk.port);
        let user = |(port, uri): (PortId, &Uri)| {
            let called = trunk != Some(port); // Nobody calls the trunk.
            Some((uri.user_text()?.into_owned(), port)).filter(|_| called)
        };
        let secret = |(_, uri): (_, &Uri)| uri.param(SECRET_PARAM).unwrap_or_default().into_owned();
        let per_device = matches!(config.pbx.sip_ports, SipPorts::PerDevice { .. });
        Self {
            by_user: contacts().filter_map(user).collect(),
            secrets: contacts().map(secret).collect(),
            secret_in_param: config.pbx.contact_secret == ContactSecret::UriParam,
            by_socket: per_device && config.pbx.contact_secret == ContactSecret::None,
        }
    }

    /// From here on a port has this Contact.
    pub(super) fn name(&mut self, port: PortId, contact: &Uri) {
        self.by_user.retain(|_, named| *named != port);
        if let Some(user) = contact.user_text() {
            self.by_user.insert(user.into_owned(), port);
        }
        if let Some(secret) = self.secrets.get_mut(usize::from(port.0)) {
            *secret = contact.param(SECRET_PARAM).unwrap_or_default().into_owned();
        }
    }

    /// The port that `uri` names, for a request that arrived at `socket`.
    pub(super) fn find(&self, uri: &Uri, socket: SocketId) -> Option<PortId> {
        let user = uri.user_text().unwrap_or_default();
        let port = self.by_user.get(&*user).copied();
        if self.secret_in_param {
            let secret = uri.param(SECRET_PARAM)?;
            let ours =
                |p: &PortId| self.secrets.get(usize::from(p.0)).is_some_and(|s| *s == secret);
            return port.filter(ours);
        }
        let own = PortId(socket.0);
        let exists = usize::from(own.0) < self.secrets.len();
        port.or_else(|| (self.by_socket && exists).then_some(own))
    }
}

/// Whether a Contact of a 200 to REGISTER is ours: user, host and port; PBXs add parameters.
pub(super) fn same_contact(ours: &Uri, listed: &Uri) -> bool {
    let port = |uri: &Uri| uri.port.unwrap_or(5060);
    ours.user_text() == listed.user_text()
        && ours.host.same(&listed.host)
        && port(ours) == port(listed)
}
