//! Calls: how sessions are made, fed, and carried out.

use std::net::SocketAddr;

use super::client::Owner;
use super::{Endpoint, TimerKey};
use crate::config::PortKind;
use crate::ids::{CallId, PortId, fork};
use crate::redact::Redacted;
use crate::sdp::{self, LocalMedia};
use crate::sip::message::{Replaces, Request, Response, Uri};
use crate::sip::session::{
    Input, Output, Purpose, SDP, ServerId, Session, Target, called, caller, refused_interval,
};
use crate::sip::transport::Flow;
use crate::sip::{Command, EndCause, Event, Incoming, Party, ident};
use crate::timers::Instant;

use super::client::ClientKey;

/// A call and the way to its far end.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) session: Session,
    /// Where its INVITE came from, or went to.
    flow: Flow,
    /// Transaction of our INVITE.
    pub(super) invite: Option<ClientKey>,
    /// Counted as live.
    live: bool,
    key: Option<(String, String)>,
}

impl Call {
    /// Where its messages come from, or go to.
    pub(super) const fn peer(&self) -> SocketAddr {
        self.flow.peer
    }
}

impl Endpoint {
    /// INVITE outside a dialog.
    pub(super) fn invited(&mut self, now: Instant, id: ServerId, flow: Flow, invite: Request) {
        let Some(port) = self.directory.find(&invite.uri, flow.socket) else {
            return self.no_such_port(now, id, &invite);
        };
        if let Some(status) = self.unwelcome(port, &invite) {
            self.counters.refused_calls += 1;
            let mut response = self.tagged(&invite, status);
            if status == 415 {
                response.headers.push("Accept", SDP);
            }
            return self.respond(now, id, &response);
        }
        if self.refuse_interval(now, id, port, &invite) {
            return;
        }
        if let Some(error) = invite.sdp().and_then(|offer| sdp::check(&offer).err()) {
            self.counters.refused_offers += 1;
            return self.say(now, id, &invite, error.status());
        }
        self.open_call(now, id, flow, port, invite);
    }

    /// Why a call to a port that exists is not taken.
    fn unwelcome(&self, port: PortId, invite: &Request) -> Option<u16> {
        let refuse = self.config.pbx.refuse_status;
        let kind = self.config.ports.get(usize::from(port.0)).map(|port| port.kind);
        let of_pool = kind == Some(PortKind::Pool);
        match () {
            () if invite.headers.has("Replaces") || invite.headers.has("Join") => Some(481),
            // The control extension and the sentinel say themselves when they are busy, and take
            // calls whatever the pool does.
            () if self.draining && of_pool => Some(refuse),
            () if self.live >= self.config.lines() && of_pool => Some(refuse),
            // Calls that end are few; more of them than this is a far end that answers nothing.
            () if self.calls.len() >= 4 * self.accounts.len() + 64 => Some(503),
            () if invite.has_strange_body() => Some(415),
            () => None,
        }
    }

    fn refuse_interval(
        &mut self,
        now: Instant,
        id: ServerId,
        port: PortId,
        invite: &Request,
    ) -> bool {
        let Some(policy) = self.account(port).map(|a| a.local.timer) else { return false };
        let Some(min_se) = refused_interval(invite, policy) else { return false };
        let mut response = self.tagged(invite, 422);
        response.headers.push("Min-SE", min_se);
        self.respond(now, id, &response);
        true
    }

    fn open_call(&mut self, now: Instant, id: ServerId, flow: Flow, port: PortId, invite: Request) {
        let Some(local) = self.account(port).map(|a| a.local.clone()) else { return };
        let call = self.ids.next_id();
        let extension = local.aor.user_text().unwrap_or_default().into_owned();
        let incoming = Incoming {
            call,
            port,
            caller: caller(&invite.headers),
            called: called(&invite.headers, &extension),
            sip_call_id: Redacted::new(invite.headers.call_id().unwrap_or_default().to_owned()),
        };
        let (rng, party) = (fork(&mut self.rng), incoming.caller.clone());
        let Some(session) = Session::incoming(now, call, local, rng, id, invite.clone(), party)
        else {
            return self.say(now, id, &invite, 400);
        };
        if let Some(server) = self.servers.get_mut(&id) {
            server.call = Some(call);
        }
        self.insert_call(now, call, session, flow);
        self.event(Event::Incoming(incoming));
        self.pump_call(now, call);
    }

    pub(super) fn insert_call(&mut self, now: Instant, call: CallId, session: Session, flow: Flow) {
        let (port, key) = (session.port(), session.key());
        if let Some(key) = &key {
            self.dialogs.insert(key.clone(), call);
        }
        self.calls.insert(call, Call { session, flow, invite: None, live: true, key });
        self.live += 1;
        self.count_live(now, port, true);
    }

    /// [`Command::Invite`].
    pub(super) fn place_call(
        &mut self,
        now: Instant,
        call: CallId,
        port: PortId,
        target: &str,
        caller: &Party,
        media: LocalMedia,
    ) {
        let Some(local) = self.account(port).map(|a| a.local.clone()) else {
            return self.refused_to_place(call, 404);
        };
        let Some(uri) = ident::complete(target, &local.aor) else {
            return self.refused_to_place(call, 416);
        };
        let Some(address) = self.address_for(port) else {
            return self.refused_to_place(call, 503);
        };
        let rng = fork(&mut self.rng);
        let target = Target { uri, caller };
        let Some(session) = Session::outgoing(now, call, local, rng, target, media) else {
            return self.refused_to_place(call, 488);
        };
        let flow = self.transport.flow_to(now, self.socket_of(port), address);
        self.insert_call(now, call, session, flow);
        self.pump_call(now, call);
    }

    fn refused_to_place(&mut self, call: CallId, status: u16) {
        self.event(Event::Ended { call, cause: EndCause::Refused { status } });
    }

    /// Where a port's calls go: to the trunk, or to the node of the PBX that it speaks with.
    fn address_for(&self, port: PortId) -> Option<SocketAddr> {
        let trunk = self.config.trunk_at(port);
        trunk.map(|trunk| trunk.address).or_else(|| self.pbx_address(port))
    }

    /// The node of the PBX that a port speaks with.
    pub(super) fn pbx_address(&self, port: PortId) -> Option<SocketAddr> {
        let bound = self.account(port).and_then(|a| a.registration.bound_node());
        let bound = bound.filter(|node| self.registrars.lists(*node));
        let address = bound.and_then(|node| self.registrars.address(node));
        address.or_else(|| self.registrars.addresses().next())
    }

    pub(super) fn call_command(&mut self, now: Instant, call: CallId, command: Command) {
        self.call_input(now, call, Input::Command(command));
    }

    /// The far end of `call` shall take the place of the far end of `other` (RFC 3891): it is told
    /// the dialog as `other`'s far end knows it.
    pub(super) fn transfer_attended(
        &mut self,
        now: Instant,
        call: CallId,
        target: String,
        other: CallId,
    ) {
        if self.calls.get(&call).is_none_or(|c| !c.session.is_live()) {
            return;
        }
        let Some(dialog) = self.calls.get(&other).and_then(|c| c.session.dialog()) else {
            return self.event(Event::Referred { call, status: 481 });
        };
        let replaces = Replaces {
            call_id: dialog.call_id.clone(),
            to_tag: dialog.remote_tag().to_owned(),
            from_tag: dialog.local_tag().to_owned(),
            early_only: false,
        };
        self.call_input(now, call, Input::Transfer { target, replaces });
    }

    pub(super) fn call_response(
        &mut self,
        now: Instant,
        call: CallId,
        purpose: Purpose,
        cseq: u32,
        response: Response,
    ) {
        self.call_input(now, call, Input::Response { purpose, cseq, response });
    }

    pub(super) fn call_failed(
        &mut self,
        now: Instant,
        call: CallId,
        purpose: Purpose,
        status: u16,
    ) {
        self.call_input(now, call, Input::Failed { purpose, status });
    }

    pub(super) fn call_input(&mut self, now: Instant, call: CallId, input: Input) {
        if let Some(entry) = self.calls.get_mut(&call) {
            entry.session.handle_input(now, input);
            self.pump_call(now, call);
        }
    }

    pub(super) fn call_timeout(&mut self, now: Instant, call: CallId) {
        if let Some(entry) = self.calls.get_mut(&call) {
            entry.session.handle_timeout(now);
            self.pump_call(now, call);
        }
    }

    /// Carries out what a session wants.
    pub(super) fn pump_call(&mut self, now: Instant, call: CallId) {
        while let Some(output) = self.calls.get_mut(&call).and_then(|c| c.session.poll_output()) {
            match output {
                Output::Respond { tx, response } => self.respond(now, tx, &response),
                Output::Send { purpose, request, hop } => {
                    let Some(flow) = self.flow_of(now, call, hop.as_ref()) else { continue };
                    self.send_request(now, Owner::Call(call, purpose), flow, request, 0);
                }
                Output::Ack { request, hop } => {
                    let Some(flow) = self.flow_of(now, call, Some(&hop)) else { continue };
                    self.send_ack(now, call, flow, request);
                }
                Output::Cancel => self.send_cancel(now, call),
                Output::Event(event) => self.event(event),
            }
        }
        self.note_call(now, call);
    }

    /// The way to the next hop; over the connection of the call while it stands.
    fn flow_of(&mut self, now: Instant, call: CallId, hop: Option<&Uri>) -> Option<Flow> {
        let known = self.calls.get(&call)?.flow;
        let peer = hop.map_or(known.peer, |hop| Self::address_of(hop, known.peer));
        let stands = known.stream.is_some_and(|s| self.transport.is_known(s));
        if stands && peer.ip() == known.peer.ip() {
            return Some(known);
        }
        Some(self.transport.flow_to(now, known.socket, peer))
    }

    /// Notes what changed about a call: its deadline, whether it counts, whether it is over.
    fn note_call(&mut self, now: Instant, call: CallId) {
        let Some(entry) = self.calls.get_mut(&call) else { return };
        let (at, port) = (entry.session.poll_timeout(), entry.session.port());
        let (over, live) = (entry.session.is_over(), entry.session.is_live());
        self.deadlines.set(TimerKey::Call(call), at.filter(|_| !over));
        if std::mem::replace(&mut entry.live, live) && !live {
            self.live = self.live.saturating_sub(1);
            self.count_live(now, port, false);
        }
        if over {
            self.forget_call(call);
        }
    }

    fn forget_call(&mut self, call: CallId) {
        if let Some(key) = self.calls.remove(&call).and_then(|c| c.key) {
            self.dialogs.remove(&key);
        }
    }

    /// A port does not change its registrar while it has a call.
    fn count_live(&mut self, now: Instant, port: PortId, begun: bool) {
        let Some(account) = self.account_mut(port) else { return };
        account.live = if begun { account.live + 1 } else { account.live.saturating_sub(1) };
        let live = account.live > 0;
        self.registration_live(now, port, live);
    }
}
