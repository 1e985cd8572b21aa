//! Requests of ours: from the Via that we put on them to their final answer.
//!
//! A transaction is named by the random branch that we drew, so an answer finds it in one look-up
//! and nobody can answer what they did not see.

use std::net::SocketAddr;

use bytes::Bytes;

use super::companions::ack_of_refusal;
use super::unanswered::Unanswered;
use super::{Endpoint, TimerKey};
use crate::config;
use crate::ids::{CallId, PortId};
use crate::sip::ident::token;
use crate::sip::message::{CSeq, Method, Request, Response, Uri, Via};
use crate::sip::session::Purpose;
use crate::sip::transaction::client_invite::{self, ClientInvite};
use crate::sip::transaction::client_request::{self, ClientRequest};
use crate::sip::transport::Flow;
use crate::timers::Instant;

/// What every branch begins with (RFC 3261 section 8.1.1.7).
pub(super) const COOKIE: &str = "z9hG4bK";
/// Port of a SIP URI that names none.
pub(super) const DEFAULT_PORT: u16 = 5060;

/// Names a transaction of ours: CANCEL shares the branch of its INVITE.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ClientKey {
    branch: u128,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Invite,
    Cancel,
    Other,
}

impl Kind {
    const fn of(method: &Method) -> Self {
        match method {
            Method::Invite => Self::Invite,
            Method::Cancel => Self::Cancel,
            _ => Self::Other,
        }
    }
}

/// Who waits for the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// A call.
    Call(CallId, Purpose),
    /// The registration of a port, which asked for so many seconds.
    Registration(PortId, u32),
    /// A question about a port that changes nothing.
    Query(PortId),
    /// A text of a port, by its name.
    Text(PortId, u32),
    /// The watch over a node of the registrar list.
    Watch(usize),
    /// The watch over the trunk.
    Trunk,
    /// Nobody: a CANCEL, or a request that was sent again with credentials.
    Nobody,
}

#[derive(Debug)]
enum Transaction {
    Invite(ClientInvite),
    Request(ClientRequest),
}

/// A request under way.
#[derive(Debug)]
pub(super) struct Client {
    transaction: Transaction,
    pub(super) request: Request,
    pub(super) flow: Flow,
    pub(super) owner: Owner,
    /// How often it was sent with credentials.
    pub(super) tries: u8,
}

enum Step {
    Send { bytes: Bytes, repeated: bool },
    Deliver,
    TimedOut,
}

impl ClientKey {
    /// The CANCEL of this INVITE.
    pub(super) const fn of_cancel(self) -> Self {
        Self { kind: Kind::Cancel, ..self }
    }
}

impl Client {
    /// Its CANCEL is about to leave.
    pub(super) fn cancelled(&mut self, now: Instant) {
        if let Transaction::Invite(tx) = &mut self.transaction {
            tx.handle_input(now, client_invite::Input::Cancelled);
        }
    }

    fn poll(&mut self) -> Option<Step> {
        match &mut self.transaction {
            Transaction::Invite(tx) => tx.poll_output().map(|output| match output {
                client_invite::Output::Send { bytes, repeated } => Step::Send { bytes, repeated },
                client_invite::Output::Deliver => Step::Deliver,
                client_invite::Output::TimedOut => Step::TimedOut,
            }),
            Transaction::Request(tx) => tx.poll_output().map(|output| match output {
                client_request::Output::Send { bytes, repeated } => Step::Send { bytes, repeated },
                client_request::Output::Deliver => Step::Deliver,
                client_request::Output::TimedOut => Step::TimedOut,
            }),
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        match &mut self.transaction {
            Transaction::Invite(tx) => tx.handle_timeout(now),
            Transaction::Request(tx) => tx.handle_timeout(now),
        }
    }

    /// The next deadline, or that nothing is left to do.
    fn deadline(&self) -> Result<Option<Instant>, Gone> {
        let (over, at) = match &self.transaction {
            Transaction::Invite(tx) => (tx.is_terminated(), tx.poll_timeout()),
            Transaction::Request(tx) => (tx.is_terminated(), tx.poll_timeout()),
        };
        if over { Err(Gone) } else { Ok(at) }
    }
}

struct Gone;

impl Endpoint {
    /// Sends a request of ours (without Via) and waits for its answer.
    pub(super) fn send_request(
        &mut self,
        now: Instant,
        owner: Owner,
        flow: Flow,
        mut request: Request,
        tries: u8,
    ) {
        if tries == 0 && self.sources.knows(flow.peer.ip()) {
            self.authorize_early(owner, &mut request);
        }
        let branch = token(&mut self.rng);
        let kind = Kind::of(&request.method);
        if let Ok(branch) = u128::from_str_radix(&branch, 16) {
            self.send_as(now, ClientKey { branch, kind }, owner, flow, request, tries);
        }
    }

    pub(super) fn send_as(
        &mut self,
        now: Instant,
        key: ClientKey,
        owner: Owner,
        flow: Flow,
        mut request: Request,
        tries: u8,
    ) {
        request.headers.push_front("Via", self.via(flow, key.branch));
        let Ok(bytes) = request.to_bytes() else {
            self.counters.unprintable += 1;
            return self.owner_failed(now, owner, Unanswered::Unprintable);
        };
        if self.clients.len() >= self.transactions_max() {
            self.counters.requests_dropped += 1;
            return self.owner_failed(now, owner, Unanswered::Full);
        }
        self.counters.requests_sent += 1;
        if let Owner::Call(call, Purpose::Invite) = owner
            && let Some(call) = self.calls.get_mut(&call)
        {
            call.invite = Some(key);
        }
        let reliable = flow.reliable();
        let transaction = match key.kind {
            Kind::Invite => Transaction::Invite(ClientInvite::new(now, bytes, reliable)),
            Kind::Cancel | Kind::Other => {
                Transaction::Request(ClientRequest::new(now, bytes, reliable))
            }
        };
        self.clients.insert(key, Client { transaction, request, flow, owner, tries });
        self.pump_client(now, key, None);
    }

    pub(super) fn via(&self, flow: Flow, branch: u128) -> Via {
        let local = self.local_address(flow.socket).unwrap_or(flow.peer);
        let transport = match self.config.pbx.transport {
            _ if flow.reliable() => "TCP",
            config::Transport::Udp | config::Transport::Tcp => "UDP",
        };
        Via::new(transport, local.ip(), local.port(), &format!("{COOKIE}{branch:024x}"))
    }

    /// A response arrived from `from`.
    pub(super) fn response(&mut self, now: Instant, from: SocketAddr, response: Response) {
        let Some(key) = key_of(&response) else {
            self.counters.stray_responses += 1;
            return;
        };
        let Some(client) = self.clients.get_mut(&key) else {
            self.counters.stray_responses += 1;
            return;
        };
        // Only a PBX, or whoever was asked, may answer.
        if client.flow.peer.ip() != from.ip() && !self.sources.knows(from.ip()) {
            self.counters.unknown_sources += 1;
            return;
        }
        match &mut client.transaction {
            Transaction::Invite(tx) => {
                let input = match response.status {
                    100..=199 => client_invite::Input::Provisional,
                    200..=299 => client_invite::Input::Accepted,
                    _ => match ack_of_refusal(&client.request, &response) {
                        Some(ack) => client_invite::Input::Refused { ack },
                        None => return,
                    },
                };
                tx.handle_input(now, input);
            }
            Transaction::Request(tx) => {
                let status = response.status;
                tx.handle_input(now, client_request::Input::Response { status });
            }
        }
        self.pump_client(now, key, Some((from, response)));
    }

    /// Carries out what a transaction wants; `response` is the one that it may deliver.
    fn pump_client(
        &mut self,
        now: Instant,
        key: ClientKey,
        mut response: Option<(SocketAddr, Response)>,
    ) {
        while let Some(client) = self.clients.get_mut(&key) {
            let (owner, flow) = (client.owner, client.flow);
            let method = client.request.method.clone();
            match client.poll() {
                Some(Step::Send { bytes, repeated }) => {
                    if repeated {
                        self.counters.repeated_requests += 1;
                        self.request_repeated(now, owner);
                    }
                    let claims = self.request_claims(owner, &method);
                    self.transport.send(now, flow, bytes, claims);
                }
                Some(Step::Deliver) => {
                    if let Some((from, response)) = response.take() {
                        self.deliver(now, key, from, response);
                    }
                }
                Some(Step::TimedOut) => {
                    self.counters.timeouts += 1;
                    self.owner_failed(now, owner, Unanswered::TimedOut);
                }
                None => break,
            }
        }
        self.note_client(key);
    }

    pub(super) fn note_client(&mut self, key: ClientKey) {
        match self.clients.get(&key).map(Client::deadline) {
            Some(Ok(at)) => self.deadlines.set(TimerKey::Client(key), at),
            Some(Err(Gone)) => {
                self.clients.remove(&key);
                self.deadlines.set(TimerKey::Client(key), None);
            }
            None => {}
        }
    }

    pub(super) fn client_timeout(&mut self, now: Instant, key: ClientKey) {
        if let Some(client) = self.clients.get_mut(&key) {
            client.handle_timeout(now);
            self.pump_client(now, key, None);
        }
    }

    fn deliver(&mut self, now: Instant, key: ClientKey, from: SocketAddr, response: Response) {
        let mut withheld = None;
        if matches!(response.status, 401 | 407) {
            match self.answer_challenge(now, key, from, &response) {
                Ok(()) => return,
                Err(why) => withheld = why,
            }
        }
        let Some(client) = self.clients.get(&key) else { return };
        let owner = client.owner;
        let cseq = client.request.headers.cseq().map_or(0, |c| c.seq);
        match owner {
            Owner::Call(call, purpose) => self.call_response(now, call, purpose, cseq, response),
            Owner::Registration(port, asked) => {
                self.register_response(now, port, asked, &response, withheld);
            }
            Owner::Query(port) => self.query_response(port, &response),
            Owner::Text(_, id) => self.text_response(id, &response),
            Owner::Watch(node) if response.is_final() => self.watch_response(now, node),
            Owner::Trunk if response.is_final() => self.trunk_answered(),
            Owner::Watch(_) | Owner::Trunk | Owner::Nobody => {}
        }
    }

    /// Sends a request again, changed by `change`, in a new transaction of the same owner.
    pub(super) fn send_again(
        &mut self,
        now: Instant,
        key: ClientKey,
        cseq: u32,
        change: impl FnOnce(&mut Request),
    ) {
        let Some(client) = self.clients.get_mut(&key) else { return };
        let owner = std::mem::replace(&mut client.owner, Owner::Nobody);
        let (flow, tries) = (client.flow, client.tries.saturating_add(1));
        let mut request = client.request.clone();
        request.headers.remove("Via");
        request.headers.set("CSeq", CSeq { seq: cseq, method: request.method.clone() });
        change(&mut request);
        self.send_request(now, owner, flow, request, tries);
    }

    /// Where a request with this next hop goes: an address literal is taken by its word, a name is
    /// the PBX that we spoke with.
    pub(super) fn address_of(hop: &Uri, known: SocketAddr) -> SocketAddr {
        match hop.host.ip() {
            Some(ip) => SocketAddr::new(ip, hop.port.unwrap_or(DEFAULT_PORT)),
            None => known,
        }
    }
}

/// The transaction that a response names.
fn key_of(response: &Response) -> Option<ClientKey> {
    let via = response.headers.top_via().ok()?;
    let branch = u128::from_str_radix(via.branch()?.strip_prefix(COOKIE)?, 16).ok()?;
    let cseq = response.headers.cseq().ok()?;
    Some(ClientKey { branch, kind: Kind::of(&cseq.method) })
}
