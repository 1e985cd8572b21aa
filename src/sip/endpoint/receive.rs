//! From bytes to whoever they are for.
//!
//! What an unknown source sends is not even read, unless it answers a request of ours. What the PBX
//! sends and we cannot use gets an answer, a counter, and where a person should know, an alarm.

use std::net::SocketAddr;

use bytes::Bytes;

use super::account::Account;
use super::server::{ServerKey, note_source};
use super::unanswered::Unanswered;
use super::{ALARM_PAUSE, Endpoint};
use crate::ids::{CallId, PortId};
use crate::sip::message::{Message, Method, Refusal, Request, Response, Scheme, Via};
use crate::sip::session::{ALLOW, Input, ServerId, push_capabilities, unsupported_status};
use crate::sip::transport::{Broken, Flow};
use crate::sip::{RegistrationState, SocketId, StreamId, ident};
use crate::timers::Instant;

/// Options that a request may require.
const UNDERSTOOD: &[&str] = &["timer", "100rel", "replaces"];
/// Seconds that a refused flood is asked to wait.
const RETRY_AFTER: u32 = 2;

impl Endpoint {
    pub(super) fn datagram(
        &mut self,
        now: Instant,
        socket: SocketId,
        from: SocketAddr,
        bytes: Bytes,
    ) {
        let known = self.hears(from.ip());
        if !known && !bytes.starts_with(b"SIP/2.0 ") {
            self.counters.unknown_sources += 1;
            return;
        }
        // Keepalives of NATs are not messages.
        if bytes.iter().all(|b| matches!(b, b'\r' | b'\n' | b'\0')) {
            return;
        }
        let flow = Flow { socket, peer: from, stream: None };
        self.message(now, flow, from, Message::parse(bytes));
    }

    pub(super) fn stream_data(&mut self, now: Instant, stream: StreamId, bytes: &Bytes) {
        self.transport.stream_data(stream, bytes);
        loop {
            match self.transport.next_message(now, stream) {
                Ok(Some((flow, bytes))) => {
                    self.message(now, flow, flow.peer, Message::parse_frame(bytes));
                }
                Ok(None) => break,
                Err(Broken(flow)) => {
                    self.counters.malformed += 1;
                    return self.lost_stream(now, flow, Unanswered::ConnectionLost);
                }
            }
        }
    }

    fn message(
        &mut self,
        now: Instant,
        flow: Flow,
        from: SocketAddr,
        parsed: Result<Message, Refusal>,
    ) {
        match parsed {
            Ok(Message::Response(response)) => {
                self.counters.responses_received += 1;
                self.response(now, from, response);
            }
            Ok(Message::Request(request)) => {
                self.counters.requests_received += 1;
                self.incoming_request(now, flow, from, request);
            }
            Err(refusal) => self.malformed(now, flow, refusal),
        }
    }

    fn malformed(&mut self, now: Instant, flow: Flow, refusal: Refusal) {
        self.counters.malformed += 1;
        if let Some(mut answer) = refusal.answer
            && self.sources.admit(now)
        {
            answer.set_to_tag(&ident::token(&mut self.rng));
            self.respond_stateless(now, flow, &answer);
        }
    }

    fn incoming_request(
        &mut self,
        now: Instant,
        flow: Flow,
        from: SocketAddr,
        mut request: Request,
    ) {
        let Ok(via) = request.headers.top_via() else { return };
        let reply_to = note_source(&mut request, &via, flow, from);
        match request.method {
            Method::Ack => self.incoming_ack(now, &via, request),
            Method::Cancel => self.incoming_cancel(now, reply_to, &via, &request),
            _ => {
                let key = ServerKey::new(&request, &via, &request.method);
                match self.server_keys.get(&key) {
                    Some(&id) => self.request_repeated_to_us(now, id),
                    None => self.new_request(now, reply_to, key, request),
                }
            }
        }
    }

    fn incoming_ack(&mut self, now: Instant, via: &Via, request: Request) {
        let key = ServerKey::new(&request, via, &Method::Invite);
        if let Some(&id) = self.server_keys.get(&key) {
            self.refusal_acknowledged(now, id);
        }
        if let Some(call) = self.dialog_of(&request) {
            self.call_input(now, call, Input::Ack(request));
        }
    }

    /// CANCEL is answered by itself, and ends the INVITE whose branch it has (section 9.2).
    fn incoming_cancel(&mut self, now: Instant, flow: Flow, via: &Via, request: &Request) {
        let own = ServerKey::new(request, via, &Method::Cancel);
        if let Some(&id) = self.server_keys.get(&own) {
            return self.request_repeated_to_us(now, id);
        }
        let key = ServerKey::new(request, via, &Method::Invite);
        let invite = self.server_keys.get(&key).copied();
        let known = invite.and_then(|id| self.servers.get(&id));
        let (open, call) = known.map_or((false, None), |s| (s.is_open_invite(), s.call));
        if self.servers.len() >= self.transactions_max() {
            return self.flooded(now, flow, request);
        }
        let status = if invite.is_some() { 200 } else { 481 };
        let id = self.open_server(now, flow, own, request);
        self.say(now, id, request, status);
        if let (true, Some(call)) = (open, call) {
            self.call_input(now, call, Input::Cancel);
        }
    }

    fn new_request(&mut self, now: Instant, flow: Flow, key: ServerKey, request: Request) {
        // To refuse a BYE keeps the port of a call that is over, and to refuse the refresh of a
        // session ends the call. What our calls may ask is bounded by the pool alone.
        let in_call = self.dialog_of(&request).is_some();
        // A gateway may ask whether we live, and no more.
        let asks = request.method == Method::Options;
        if !in_call && !asks && self.hears_calls_alone(flow.peer.ip()) {
            self.counters.unknown_sources += 1;
            return;
        }
        let admitted = in_call || self.sources.admit(now);
        if self.servers.len() >= self.transactions_max() || !admitted {
            return self.flooded(now, flow, &request);
        }
        let merged = self.is_merged(&request);
        let id = self.open_server(now, flow, key, &request);
        if merged {
            self.counters.refused_merged += 1;
            return self.say(now, id, &request, 482);
        }
        if self.refuse_extensions(now, id, &request) {
            return;
        }
        match request.headers.to().ok().and_then(|to| to.tag().map(str::to_owned)) {
            Some(_) => self.in_dialog(now, id, request),
            None => self.out_of_dialog(now, id, flow, request),
        }
    }

    /// More than we take: 503, without any memory of it (SECURITY: a flood must not cost memory).
    fn flooded(&mut self, now: Instant, flow: Flow, request: &Request) {
        self.counters.refused_flood += 1;
        let mut response = request.reply(503);
        response.set_to_tag(&ident::token(&mut self.rng));
        response.headers.push("Retry-After", RETRY_AFTER);
        self.respond_stateless(now, flow, &response);
    }

    /// 420 for what we are required to understand and do not (section 8.2.2.3).
    fn refuse_extensions(&mut self, now: Instant, id: ServerId, request: &Request) -> bool {
        let understood = |tag: &&str| UNDERSTOOD.iter().any(|u| u.eq_ignore_ascii_case(tag));
        let required = request.headers.require();
        let unknown: Vec<_> = required.iter().filter(|tag| !understood(tag)).copied().collect();
        if unknown.is_empty() {
            return false;
        }
        self.counters.refused_extension += 1;
        let mut response = self.tagged(request, 420);
        response.headers.push("Unsupported", unknown.join(", "));
        self.respond(now, id, &response);
        true
    }

    fn in_dialog(&mut self, now: Instant, id: ServerId, request: Request) {
        let known = self.dialog_of(&request);
        if self.is_elsewhere(known, &request.method) {
            self.counters.refused_calls += 1;
            let mut response = self.tagged(&request, self.config.pbx.refuse_status);
            response.headers.push("Retry-After", RETRY_AFTER);
            return self.respond(now, id, &response);
        }
        match known {
            Some(call) => self.call_input(now, call, Input::Request { tx: id, request }),
            // An unsolicited NOTIFY may come in a dialog that only the PBX knows.
            None if request.method == Method::Notify => self.say(now, id, &request, 200),
            None => {
                self.counters.refused_no_dialog += 1;
                self.say(now, id, &request, 481);
            }
        }
    }

    /// Whether another node has this call, or is about to: one that serves no port changes none. A
    /// refusal leaves the call as it is, where 481, or silence, would end it (RFC 3261 section
    /// 12.2.1.2), and an INVITE that nobody answers keeps the other node from moving the call.
    fn is_elsewhere(&self, known: Option<CallId>, method: &Method) -> bool {
        let off = |account: &Account| account.registration.reported() == RegistrationState::Off;
        let mut pool = (0..self.accounts.len())
            .filter(|&index| self.port_claims(PortId(u16::try_from(index).unwrap_or(u16::MAX))));
        let of_pool = known
            .and_then(|call| self.calls.get(&call))
            .is_none_or(|entry| self.port_claims(entry.session.port()));
        matches!(method, Method::Invite | Method::Update)
            && self.draining
            && of_pool
            && pool.all(|index| off(&self.accounts[index]))
    }

    /// The call whose dialog this is: Call-ID, our tag, and the far end's once it is known.
    fn dialog_of(&self, request: &Request) -> Option<CallId> {
        let headers = &request.headers;
        let (to, from) = (headers.to().ok()?, headers.from().ok()?);
        let key = (headers.call_id().ok()?.to_owned(), to.tag()?.to_owned());
        let call = *self.dialogs.get(&key)?;
        let dialog = self.calls.get(&call)?.session.dialog();
        let same = dialog.is_none_or(|d| d.remote_tag() == from.tag().unwrap_or_default());
        same.then_some(call)
    }

    fn out_of_dialog(&mut self, now: Instant, id: ServerId, flow: Flow, request: Request) {
        if !Self::speaks(&request.uri.scheme) {
            return self.say(now, id, &request, 416);
        }
        match request.method {
            Method::Invite => self.invited(now, id, flow, request),
            Method::Options => self.say_capabilities(now, id, flow, &request),
            // MWI lamps and the like, without any subscription of ours.
            Method::Notify => self.say(now, id, &request, 200),
            Method::Subscribe => self.say(now, id, &request, 489),
            Method::Refer => self.say(now, id, &request, 603),
            Method::Bye | Method::Update | Method::Prack | Method::Info => {
                self.counters.refused_no_dialog += 1;
                self.say(now, id, &request, 481);
            }
            _ => {
                self.counters.refused_method += 1;
                let mut response = self.tagged(&request, unsupported_status(&request.method));
                response.headers.push("Allow", ALLOW);
                self.respond(now, id, &response);
            }
        }
    }

    /// A node that drains says so, so that a PBX that watches it sends no calls (RFC 3261 11.2).
    /// The trunk sends none in any case, and shall go on to take ours.
    fn say_capabilities(&mut self, now: Instant, id: ServerId, flow: Flow, request: &Request) {
        let drains = self.draining && !self.hears_calls_alone(flow.peer.ip());
        let status = if drains { 503 } else { 200 };
        let mut response = self.tagged(request, status);
        push_capabilities(&mut response);
        self.respond(now, id, &response);
    }

    /// A response of ours outside a dialog needs a tag as well (section 8.2.6.2).
    pub(super) fn tagged(&mut self, request: &Request, status: u16) -> Response {
        let mut response = request.reply(status);
        response.set_to_tag(&ident::token(&mut self.rng));
        response
    }

    pub(super) fn say(&mut self, now: Instant, id: ServerId, request: &Request, status: u16) {
        let response = self.tagged(request, status);
        self.respond(now, id, &response);
    }

    /// A request of the PBX that names no port of ours.
    pub(super) fn no_such_port(&mut self, now: Instant, id: ServerId, request: &Request) {
        self.counters.refused_no_port += 1;
        if self.alarmed_at.is_none_or(|at| now >= at + ALARM_PAUSE) {
            self.alarmed_at = Some(now);
            let text = "the PBX calls a Request-URI that is no Contact of ours (404)";
            self.alarm(None, text.to_owned());
        }
        self.say(now, id, request, 404);
    }

    /// Whether we speak the scheme of a Request-URI.
    const fn speaks(scheme: &Scheme) -> bool {
        matches!(scheme, Scheme::Sip | Scheme::Sips | Scheme::Tel)
    }

    /// A connection ended.
    pub(super) fn stream_down(&mut self, now: Instant, stream: StreamId) {
        let stood = self.transport.is_up(stream);
        let why = if stood { Unanswered::ConnectionLost } else { Unanswered::NotConnected };
        if let Some(flow) = self.transport.stream_down(stream) {
            self.lost_stream(now, flow, why);
        }
    }

    /// Requests that waited on it are given up, and the ports that it served register anew: the
    /// PBX may know them by the connection alone.
    fn lost_stream(&mut self, now: Instant, lost: Flow, why: Unanswered) {
        self.fail_clients(now, lost, why);
        self.reregister_over(now, lost);
    }
}
