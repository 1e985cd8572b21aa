//! Requests of others: from the transaction that absorbs their repetitions to our final response.

use std::net::SocketAddr;

use super::client::{COOKIE, DEFAULT_PORT};
use super::{Endpoint, TimerKey};
use crate::ids::CallId;
use crate::sip::message::{Method, Request, Response, Via};
use crate::sip::session::ServerId;
use crate::sip::transaction::server_invite::{self, ServerInvite};
use crate::sip::transaction::server_request::{self, ServerRequest};
use crate::sip::transport::Flow;
use crate::timers::Instant;

/// Transactions beyond four for each port: requests outside calls.
const TRANSACTIONS_SPARE: usize = 1024;

/// Names a transaction of the other side (RFC 3261 section 17.2.3).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ServerKey(String);

impl ServerKey {
    /// `method` of the request that made the transaction: INVITE for its ACK and CANCEL.
    pub(super) fn new(request: &Request, via: &Via, method: &Method) -> Self {
        let Via { host, port, .. } = via;
        let port = port.unwrap_or(DEFAULT_PORT);
        match via.branch().filter(|b| b.starts_with(COOKIE)) {
            Some(branch) => Self(format!("{branch} {host}:{port} {method}")),
            None => Self(Self::old(request, via, method)),
        }
    }

    /// A client of RFC 2543 is known by everything that its repetitions share.
    fn old(request: &Request, via: &Via, method: &Method) -> String {
        let headers = &request.headers;
        let from = headers.from().ok();
        let tag = from.as_ref().and_then(|f| f.tag()).unwrap_or_default().to_owned();
        let call_id = headers.call_id().unwrap_or_default();
        let seq = headers.cseq().map_or(0, |c| c.seq);
        format!("{via} {} {tag} {call_id} {seq} {method}", request.target())
    }
}

/// What a request that took several paths has in common with itself (section 8.2.2.2).
pub(super) type Origin = (String, String, u32, Method);

#[derive(Debug)]
enum Transaction {
    Invite(ServerInvite),
    Request(ServerRequest),
}

/// A request that we answer.
#[derive(Debug)]
pub(super) struct Server {
    transaction: Transaction,
    key: ServerKey,
    origin: Option<Origin>,
    flow: Flow,
    /// The call that answers an INVITE.
    pub(super) call: Option<CallId>,
}

impl Server {
    /// An INVITE without final answer.
    pub(super) const fn is_open_invite(&self) -> bool {
        match &self.transaction {
            Transaction::Invite(tx) => tx.is_open(),
            Transaction::Request(_) => false,
        }
    }
}

impl Endpoint {
    /// Transactions at most, of each kind: the bound of their memory.
    pub(super) fn transactions_max(&self) -> usize {
        4 * self.accounts.len() + TRANSACTIONS_SPARE
    }

    /// A new request. `flow` is where its answers go.
    pub(super) fn open_server(
        &mut self,
        now: Instant,
        flow: Flow,
        key: ServerKey,
        request: &Request,
    ) -> ServerId {
        self.last_server += 1;
        let id = ServerId(self.last_server);
        let reliable = flow.reliable();
        let transaction = match request.method {
            Method::Invite => {
                let trying = request.reply(100).to_bytes().unwrap_or_default();
                Transaction::Invite(ServerInvite::new(now, trying, reliable))
            }
            _ => Transaction::Request(ServerRequest::new(reliable)),
        };
        let origin = origin(request);
        if let Some(origin) = &origin {
            self.origins.insert(origin.clone(), id);
        }
        self.server_keys.insert(key.clone(), id);
        self.servers.insert(id, Server { transaction, key, origin, flow, call: None });
        self.pump_server(now, id);
        id
    }

    /// Whether this request outside dialogs came before, by another way.
    pub(super) fn is_merged(&self, request: &Request) -> bool {
        origin(request).is_some_and(|origin| self.origins.contains_key(&origin))
    }

    /// Sends a response of ours through its transaction.
    pub(super) fn respond(&mut self, now: Instant, id: ServerId, response: &Response) {
        let Ok(bytes) = response.to_bytes() else {
            self.counters.unprintable += 1;
            return;
        };
        let status = response.status;
        match self.servers.get_mut(&id).map(|s| &mut s.transaction) {
            Some(Transaction::Invite(tx)) => {
                tx.handle_input(now, server_invite::Input::Respond { status, bytes });
            }
            Some(Transaction::Request(tx)) => {
                tx.handle_input(now, server_request::Input::Respond { status, bytes });
            }
            None => return,
        }
        self.pump_server(now, id);
    }

    /// The same request arrived again.
    pub(super) fn request_repeated_to_us(&mut self, now: Instant, id: ServerId) {
        self.counters.repeated_to_us += 1;
        match self.servers.get_mut(&id).map(|s| &mut s.transaction) {
            Some(Transaction::Invite(tx)) => tx.handle_input(now, server_invite::Input::Repeated),
            Some(Transaction::Request(tx)) => tx.handle_input(now, server_request::Input::Repeated),
            None => {}
        }
        self.pump_server(now, id);
    }

    /// The ACK of a refusal.
    pub(super) fn refusal_acknowledged(&mut self, now: Instant, id: ServerId) {
        if let Some(Transaction::Invite(tx)) = self.servers.get_mut(&id).map(|s| &mut s.transaction)
        {
            tx.handle_input(now, server_invite::Input::Ack);
        }
        self.pump_server(now, id);
    }

    fn pump_server(&mut self, now: Instant, id: ServerId) {
        while let Some(server) = self.servers.get_mut(&id) {
            let (flow, call) = (server.flow, server.call);
            let invite = matches!(server.transaction, Transaction::Invite(_));
            let (bytes, repeated) = match &mut server.transaction {
                Transaction::Invite(tx) => match tx.poll_output() {
                    Some(server_invite::Output::Send { bytes, repeated }) => (bytes, repeated),
                    Some(server_invite::Output::TimedOut) => {
                        self.counters.unacknowledged += 1;
                        continue;
                    }
                    None => break,
                },
                Transaction::Request(tx) => match tx.poll_output() {
                    Some(server_request::Send { bytes, repeated }) => (bytes, repeated),
                    None => break,
                },
            };
            self.counters.repeated_responses += u64::from(repeated);
            let claims = invite && self.answer_claims(call, &bytes);
            self.transport.send(now, flow, bytes, claims);
        }
        self.note_server(id);
    }

    fn note_server(&mut self, id: ServerId) {
        let Some(server) = self.servers.get(&id) else { return };
        let (over, at) = match &server.transaction {
            Transaction::Invite(tx) => (tx.is_terminated(), tx.poll_timeout()),
            Transaction::Request(tx) => (tx.is_terminated(), tx.poll_timeout()),
        };
        self.deadlines.set(TimerKey::Server(id), at);
        if over {
            self.forget_server(id);
        }
    }

    pub(super) fn forget_server(&mut self, id: ServerId) {
        let Some(server) = self.servers.remove(&id) else { return };
        self.server_keys.remove(&server.key);
        if let Some(origin) = server.origin {
            self.origins.remove(&origin);
        }
    }

    pub(super) fn server_timeout(&mut self, now: Instant, id: ServerId) {
        match self.servers.get_mut(&id).map(|s| &mut s.transaction) {
            Some(Transaction::Invite(tx)) => tx.handle_timeout(now),
            Some(Transaction::Request(tx)) => tx.handle_timeout(now),
            None => {}
        }
        self.pump_server(now, id);
    }

    /// Answers without any memory of it.
    pub(super) fn respond_stateless(&mut self, now: Instant, flow: Flow, response: &Response) {
        match response.to_bytes() {
            Ok(bytes) => self.transport.send(now, flow, bytes, false),
            Err(_) => self.counters.unprintable += 1,
        }
    }
}

fn origin(request: &Request) -> Option<Origin> {
    let headers = &request.headers;
    if headers.to().ok()?.tag().is_some() || request.method == Method::Cancel {
        return None;
    }
    let from = headers.from().ok()?;
    let cseq = headers.cseq().ok()?;
    Some((from.tag()?.to_owned(), headers.call_id().ok()?.to_owned(), cseq.seq, cseq.method))
}

/// Notes where a request came from in its topmost Via (RFC 3261 section 18.2.1, RFC 3581), and says
/// where its answers go.
pub(super) fn note_source(
    request: &mut Request,
    via: &Via,
    mut flow: Flow,
    from: SocketAddr,
) -> Flow {
    let mut noted = via.clone();
    if via.host.ip() != Some(from.ip()) || via.rport().is_some() {
        noted.params.set("received", from.ip());
    }
    if via.rport().is_some() {
        noted.params.set("rport", from.port());
    }
    if noted != *via {
        let rest: Vec<_> =
            request.headers.all("Via").into_iter().skip(1).map(str::to_owned).collect();
        request.headers.set("Via", noted);
        rest.iter().for_each(|hop| request.headers.push("Via", hop));
    }
    // The port that a connection came from accepts none.
    let by_source = via.rport().is_some() && flow.stream.is_none();
    let port = if by_source { from.port() } else { via.port.unwrap_or(DEFAULT_PORT) };
    flow.peer = SocketAddr::new(from.ip(), port);
    flow
}
