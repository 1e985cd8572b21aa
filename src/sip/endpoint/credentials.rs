//! Challenges to our requests (RFC 3261 section 22, RFC 7616).
//!
//! An answer to a challenge can be cracked at leisure by whoever collects it. So it is given only
//! to whom we asked, only when that is the PBX, or the trunk of the call, and only for the realm
//! that was named first; with at most two answers for a request, of which the second only to a
//! stale nonce.

use std::net::SocketAddr;

use super::Endpoint;
use super::client::{ClientKey, Owner};
use crate::config::Port;
use crate::ids::{PortId, Rng, fork};
use crate::sip::digest::{Challenge, Credentials, Signed, choose};
use crate::sip::message::{Request, Response};
use crate::sip::session::Purpose;
use crate::timers::Instant;

/// Answers that one request may carry.
const TRIES_MAX: u8 = 2;

/// Why a challenge was not answered; `None`: the answer that we gave was refused.
type Why = Option<&'static str>;

impl Endpoint {
    /// Sends the challenged request again with credentials, if it may have them.
    pub(super) fn answer_challenge(
        &mut self,
        now: Instant,
        key: ClientKey,
        from: SocketAddr,
        response: &Response,
    ) -> Result<(), Why> {
        let port = self.challenged_port(key).ok_or(None)?;
        let challenge = self.judge(key, port, from, response)?;
        let cseq = self.next_cseq(key).ok_or(None)?;
        let mut credentials = Credentials::new(&challenge);
        let mut rng = fork(&mut self.rng);
        let config = self.config.clone();
        let user = config.ports.get(usize::from(port.0)).ok_or(None)?;
        let sign = |request: &mut Request| authorize(request, &mut credentials, user, &mut rng);
        self.send_again(now, key, cseq, sign);
        if let Some(account) = self.account_mut(port) {
            account.realm.get_or_insert(challenge.realm);
            account.credentials = Some(credentials);
        }
        self.counters.challenges_answered += 1;
        Ok(())
    }

    /// Puts the credentials that the PBX took last on a new request, which saves a round trip where
    /// it lets a nonce be used again. Only with `qop`, whose count makes that safe.
    pub(super) fn authorize_early(&mut self, owner: Owner, request: &mut Request) {
        let Some(port) = self.port_of(owner) else { return };
        let Some(user) = self.config.ports.get(usize::from(port.0)) else { return };
        let Some(account) = self.accounts.get_mut(usize::from(port.0)) else { return };
        if let Some(credentials) = account.credentials.as_mut().filter(|c| c.qop.is_some()) {
            authorize(request, credentials, user, &mut self.rng);
        }
    }

    fn challenged_port(&self, key: ClientKey) -> Option<PortId> {
        self.port_of(self.clients.get(&key)?.owner)
    }

    fn port_of(&self, owner: Owner) -> Option<PortId> {
        match owner {
            Owner::Registration(port, _) | Owner::Query(port) | Owner::Text(port, _) => Some(port),
            Owner::Call(call, _) => self.calls.get(&call).map(|c| c.session.port()),
            Owner::Watch(_) | Owner::Trunk | Owner::Nobody => None,
        }
    }

    /// The challenge to answer.
    fn judge(
        &mut self,
        key: ClientKey,
        port: PortId,
        from: SocketAddr,
        response: &Response,
    ) -> Result<Challenge, Why> {
        let client = self.clients.get(&key).ok_or(None)?;
        let flow = client.flow;
        let asked = self.sources.knows(from.ip()) || self.is_trunk(port, from);
        if flow.peer != from || !asked {
            self.counters.challenges_refused += 1;
            return Err(Some("a challenge from elsewhere was not answered"));
        }
        let challenges = response.headers.challenges();
        let pinned = self.account(port).and_then(|a| a.realm.clone());
        let ours: Vec<_> = challenges
            .iter()
            .filter(|c| pinned.as_ref().is_none_or(|realm| *realm == c.realm))
            .cloned()
            .collect();
        if ours.is_empty() && !challenges.is_empty() {
            self.counters.challenges_refused += 1;
            self.other_realm(port);
            return Err(Some("the realm of the PBX changed"));
        }
        let chosen = choose(&ours, self.config.pbx.min_digest).cloned();
        let chosen = chosen.ok_or(Some("the PBX offers no digest that is strong enough"))?;
        let tries = self.clients.get(&key).map_or(TRIES_MAX, |c| c.tries);
        if tries >= TRIES_MAX || (tries > 0 && !chosen.stale) {
            return Err(None);
        }
        Ok(chosen)
    }

    /// Nothing says that this is over, and it has nothing to do with whose the binding is: so it
    /// is not the alarm of the port.
    fn other_realm(&mut self, port: PortId) {
        let extension = self.config.ports.get(usize::from(port.0)).map_or("", |p| &p.extension);
        let text =
            format!("extension {extension}: the PBX challenges with another realm than before");
        self.alarm(None, text);
    }

    fn is_trunk(&self, port: PortId, from: SocketAddr) -> bool {
        self.config.trunk_at(port).is_some_and(|trunk| trunk.address == from)
    }

    fn next_cseq(&mut self, key: ClientKey) -> Option<u32> {
        let client = self.clients.get(&key)?;
        match client.owner {
            Owner::Text(..) => client.request.headers.cseq().ok()?.seq.checked_add(1),
            Owner::Registration(port, _) | Owner::Query(port) => {
                self.account_mut(port).map(|a| a.registration.next_cseq())
            }
            // The dialog of a fork that was answered elsewhere is not kept.
            Owner::Call(_, Purpose::Stray) => None,
            Owner::Call(call, _) => self.calls.get_mut(&call).map(|c| c.session.next_cseq()),
            Owner::Watch(_) | Owner::Trunk | Owner::Nobody => None,
        }
    }
}

/// Puts credentials on a request, in the place of older ones.
fn authorize(request: &mut Request, credentials: &mut Credentials, port: &Port, rng: &mut Rng) {
    let target = request.target().into_owned();
    let signed = Signed {
        user: &port.auth_user,
        password: &port.password,
        method: &request.method,
        target: &target,
        body: &request.body,
    };
    let value = credentials.authorize(signed, rng);
    request.headers.set(credentials.header_name(), value);
}
