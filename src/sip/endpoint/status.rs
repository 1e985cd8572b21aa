//! What a person may see of the endpoint.

use super::Endpoint;
use crate::ids::{CallId, PortId};
use crate::sip::RegistrationState;
use crate::sip::snapshot::Snapshot;
use crate::timers::Instant;

/// Events since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Requests that we sent, with repetitions by credentials, without those by timers.
    pub requests_sent: u64,
    /// REGISTERs among them, without those by credentials.
    pub registers_sent: u64,
    /// Requests that arrived from known sources.
    pub requests_received: u64,
    /// Responses that arrived.
    pub responses_received: u64,
    /// Requests that we sent again by timer.
    pub repeated_requests: u64,
    /// Responses that we sent again.
    pub repeated_responses: u64,
    /// Requests that arrived again.
    pub repeated_to_us: u64,
    /// Requests that were not sent, because too many were under way.
    pub requests_dropped: u64,
    /// Requests of ours that nobody answered.
    pub timeouts: u64,
    /// Refusals of ours that nobody acknowledged.
    pub unacknowledged: u64,
    /// Datagrams of sources that are not the PBX: not read, not answered.
    pub unknown_sources: u64,
    /// Connections that were not accepted.
    pub refused_connections: u64,
    /// Connections that were closed because a message did not become whole.
    pub slow_connections: u64,
    /// Messages of known sources that were not SIP.
    pub malformed: u64,
    /// Responses that fit no request of ours.
    pub stray_responses: u64,
    /// Challenges that we answered.
    pub challenges_answered: u64,
    /// Challenges that we did not: another source or another realm.
    pub challenges_refused: u64,
    /// Requests beyond the token bucket or the pool: 503.
    pub refused_flood: u64,
    /// Requests that arrived by two ways: 482.
    pub refused_merged: u64,
    /// Requests that required what we do not know: 420.
    pub refused_extension: u64,
    /// Requests of a dialog that we do not know: 481.
    pub refused_no_dialog: u64,
    /// Methods that we do not serve: 405, 501.
    pub refused_method: u64,
    /// Request-URIs that are no Contact of ours: 404.
    pub refused_no_port: u64,
    /// Calls that we did not take: drain, pool full, Replaces.
    pub refused_calls: u64,
    /// Offers that nobody here can answer: 400, 413, 488.
    pub refused_offers: u64,
    /// Messages of ours that could not be written.
    pub unprintable: u64,
}

/// A picture of the endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// By port.
    pub registrations: Vec<RegistrationState>,
    /// Calls that the node counts.
    pub calls: usize,
    /// Requests of ours under way.
    pub client_transactions: usize,
    /// Requests of others under way.
    pub server_transactions: usize,
    /// REGISTERs a second at present, by registrar; `None`: no limit.
    pub register_rate: Vec<Option<u32>>,
    /// Registrars that answer, by registrar; `None`: not known.
    pub nodes_up: Vec<Option<bool>>,
    /// No new calls.
    pub draining: bool,
    /// Events since the start.
    pub counters: Counters,
}

impl Endpoint {
    /// A picture of the endpoint.
    pub fn status(&self) -> Status {
        let ports = (0..self.accounts.len()).map(|i| PortId(u16::try_from(i).unwrap_or(u16::MAX)));
        Status {
            registrations: ports.map(|port| self.registration_state(port)).collect(),
            calls: self.live,
            client_transactions: self.clients.len(),
            server_transactions: self.servers.len(),
            register_rate: self.pacing.iter().map(|p| p.rate()).collect(),
            nodes_up: self.watches.iter().map(|w| w.is_up()).collect(),
            draining: self.draining,
            counters: self.counters,
        }
    }

    /// State of one port's binding.
    pub fn registration(&self, port: PortId) -> RegistrationState {
        self.registration_state(port)
    }

    /// What the configuration calls a node of the registrar list.
    pub fn registrar(&self, node: usize) -> Option<&str> {
        self.registrars.written(node)
    }

    /// A call as plain data: all that another node needs to carry it on.
    pub fn call_snapshot(&self, now: Instant, call: CallId) -> Option<Snapshot> {
        let entry = self.calls.get(&call)?;
        let session = &entry.session;
        let credentials = self.account(session.port()).and_then(|a| a.credentials.clone());
        let epoch = self.epoch.unwrap_or_default();
        Some(session.snapshot(now, entry.peer(), (epoch, credentials)))
    }
}
