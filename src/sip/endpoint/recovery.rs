//! Calls of another node that this one carries on: how they are put back, and in which order their
//! far ends hear of it.

use std::collections::{BTreeSet, VecDeque};

use bytes::Bytes;

use super::client::{Client, Owner};
use super::server::ServerKey;
use super::{Endpoint, TimerKey};
use crate::ids::{CallId, PortId, fork};
use crate::sip::message::{Message, Method, Request};
use crate::sip::session::snapshot::{Snapshot, Stage};
use crate::sip::session::{Input, Purpose, ServerId, Session};
use crate::sip::transport::Flow;
use crate::sip::{EndCause, Event, Recovery};
use crate::timers::Instant;

/// Re-INVITEs of recovered calls that are out at most: a PBX that has just lost a node has enough
/// to do.
const WINDOW: usize = 32;

/// Whose turn it is.
#[derive(Debug, Default)]
pub(super) struct Moves {
    waiting: VecDeque<CallId>,
    out: BTreeSet<CallId>,
}

impl Endpoint {
    /// [`super::Command::Recover`].
    pub(super) fn recover(&mut self, now: Instant, recovery: Recovery) {
        let (call, port) = (recovery.snapshot.call, recovery.snapshot.port);
        if self.calls.contains_key(&call) {
            return;
        }
        let Some(local) = self.account(port).map(|a| a.local.clone()) else {
            return self.not_recovered(call);
        };
        let flow = self.transport.flow_to(now, self.socket_of(port), recovery.snapshot.peer);
        self.adopt_credentials(port, &recovery.snapshot);
        let ringing = self.resume_invite(now, flow, &recovery.snapshot);
        let server = ringing.as_ref().map(|(id, _)| *id);
        let rng = fork(&mut self.rng);
        let recovery = (recovery, self.epoch.unwrap_or_default());
        let Some(session) = Session::recovered(now, local, rng, recovery, ringing) else {
            return self.not_recovered(call);
        };
        if let Some(server) = server.and_then(|id| self.servers.get_mut(&id)) {
            server.call = Some(call);
        }
        if session.is_moving() {
            self.moves.waiting.push_back(call);
        }
        self.insert_call(now, call, session, flow);
        self.pump_call(now, call);
    }

    /// [`super::Command::Forget`].
    pub(super) fn forget(&mut self, now: Instant, call: CallId) {
        let Some(entry) = self.calls.get_mut(&call) else { return };
        // Nobody repeats its 2xx: a re-INVITE that comes again is to be refused, for while it waits
        // the far end lets no node move the call.
        if let Some(tx) = entry.session.unconfirmed_change() {
            self.deadlines.set(TimerKey::Server(tx), None);
            self.forget_server(tx);
        }
        let Some(entry) = self.calls.get_mut(&call) else { return };
        entry.session.abandon();
        self.pump_call(now, call);
        // The call may come back under the same name: what is still to be answered was not its. It
        // is repeated under the lease alone, as before.
        let mine = |client: &&mut Client| matches!(client.owner, Owner::Call(of, _) if of == call);
        let stray = Owner::Call(call, Purpose::Stray);
        self.clients.values_mut().filter(mine).for_each(|client| client.owner = stray);
    }

    fn not_recovered(&mut self, call: CallId) {
        self.event(Event::Ended { call, cause: EndCause::Lost });
    }

    /// The realm and nonce that the PBX knows the port by.
    fn adopt_credentials(&mut self, port: PortId, snapshot: &Snapshot) {
        let Some(credentials) = snapshot.credentials.clone() else { return };
        let Some(account) = self.account_mut(port).filter(|a| a.credentials.is_none()) else {
            return;
        };
        account.realm.get_or_insert_with(|| credentials.realm.clone());
        account.credentials = Some(credentials);
    }

    /// The transaction of an INVITE that the other node had not answered: its branch is all that
    /// the PBX needs to know our answer by.
    fn resume_invite(
        &mut self,
        now: Instant,
        flow: Flow,
        snapshot: &Snapshot,
    ) -> Option<(ServerId, Request)> {
        let Stage::Offered { invite, .. } = &snapshot.stage else { return None };
        let raw = Bytes::from(invite.clone());
        let Ok(Message::Request(invite)) = Message::parse_frame(raw) else { return None };
        let via = invite.headers.top_via().ok()?;
        let key = ServerKey::new(&invite, &via, &Method::Invite);
        let id = self.open_server(now, flow, key, &invite);
        Some((id, invite))
    }

    /// Lets out the re-INVITEs that the window has room for.
    pub(super) fn pump_moves(&mut self, now: Instant) {
        let calls = &self.calls;
        self.moves.out.retain(|id| calls.get(id).is_some_and(|c| c.session.is_moving()));
        while self.moves.out.len() < WINDOW {
            let Some(call) = self.moves.waiting.pop_front() else { break };
            if self.calls.get(&call).is_some_and(|c| c.session.is_moving()) {
                self.moves.out.insert(call);
                self.call_input(now, call, Input::TakeOver);
            }
        }
    }
}
