//! Registrations: how their REGISTERs are made, paced, and understood.

use rand_core::RngCore;

use super::account::same_contact;
use super::client::Owner;
use super::unanswered::Unanswered;
use super::{Endpoint, TimerKey};
use crate::ids::PortId;
use crate::sip::message::{CSeq, Method, NameAddr, Request, Response, Uri};
use crate::sip::pacing::{Outcome, Pacing};
use crate::sip::registration::{Answer, Contacts, Input, Output};
use crate::sip::transport::Flow;
use crate::sip::{Event, RegistrationState};
use crate::timers::{Duration, Instant};

/// A pool that starts spreads its first REGISTERs over this, or over what its rate needs.
const START_SPREAD: Duration = Duration::from_secs(2);

impl Endpoint {
    /// [`super::Command::Register`].
    pub(super) fn register(&mut self, now: Instant, port: PortId) {
        let delay = self.start_delay();
        // A person may have moved the account to another realm.
        if let Some(account) =
            self.account_mut(port).filter(|a| a.registration.bound_node().is_none())
        {
            (account.realm, account.credentials) = (None, None);
        }
        self.registration_input(now, port, Input::Start { delay });
    }

    /// Chance within the time that the whole pool needs at its rate, two seconds at most: nodes
    /// that start together after a power cut must not knock together.
    pub(super) fn start_delay(&mut self) -> Duration {
        let Some(rate) = self.config.pbx.register_rate else { return Duration::ZERO };
        let ports = u32::try_from(self.accounts.len()).unwrap_or(u32::MAX);
        let spread = (Duration::from_secs(1) * ports / rate.max(1)).min(START_SPREAD);
        let nanos = u64::try_from(spread.as_nanos()).unwrap_or(u64::MAX).max(1);
        Duration::from_nanos(self.rng.next_u64() % nanos)
    }

    /// [`super::Command::Unregister`].
    pub(super) fn unregister(&mut self, now: Instant, port: PortId) {
        self.registration_input(now, port, Input::Stop);
    }

    /// [`super::Command::Abandon`].
    pub(super) fn abandon(&mut self, now: Instant, port: PortId) {
        self.registration_input(now, port, Input::Abandon);
        self.plan_watches(now);
    }

    pub(super) fn registration_live(&mut self, now: Instant, port: PortId, live: bool) {
        self.registration_input(now, port, Input::Live(live));
    }

    pub(super) fn registration_input(&mut self, now: Instant, port: PortId, input: Input) {
        if let Some(account) = self.account_mut(port) {
            account.registration.handle_input(now, input);
            self.pump_registration(now, port);
        }
    }

    pub(super) fn registration_timeout(&mut self, now: Instant, port: PortId) {
        if let Some(account) = self.account_mut(port) {
            account.registration.handle_timeout(now);
            self.pump_registration(now, port);
        }
    }

    fn pump_registration(&mut self, now: Instant, port: PortId) {
        while let Some(output) = self.account_mut(port).and_then(|a| a.registration.poll_output()) {
            match output {
                Output::Ask { node, urgency } => {
                    if let Some(pacing) = self.pacing.get_mut(node) {
                        pacing.ask(port, urgency);
                        self.deadlines.set(TimerKey::Pacing(node), Some(now));
                    }
                }
                Output::Withdraw { node } => {
                    if let Some(pacing) = self.pacing.get_mut(node) {
                        pacing.withdraw(port);
                    }
                }
                Output::Send { node, expires, cseq } => {
                    self.send_register(now, port, node, expires, cseq);
                }
                Output::State(state) => {
                    self.event(Event::Registration { port, state });
                    if let RegistrationState::Registered { node, .. } = state {
                        self.node_works(now, node);
                    }
                }
                Output::Alarm(text) => self.alarm(Some(port), text),
                Output::AlarmOver => self.event(Event::AlarmOver { port }),
            }
        }
        let at = self.account(port).and_then(|a| a.registration.poll_timeout());
        self.deadlines.set(TimerKey::Registration(port), at);
    }

    /// Lets out whom the pacing of a node lets out.
    pub(super) fn pump_pacing(&mut self, now: Instant, node: usize) {
        while let Some(port) = self.pacing.get_mut(node).and_then(|p| p.next(now)) {
            self.registration_input(now, port, Input::Go);
        }
        let at = self.pacing.get(node).and_then(|p| p.poll_timeout());
        self.deadlines.set(TimerKey::Pacing(node), at);
    }

    fn send_register(&mut self, now: Instant, port: PortId, node: usize, expires: u32, cseq: u32) {
        let Some(address) = self.registrars.address(node) else { return };
        let Some(request) = self.register_request(port, expires, cseq) else { return };
        let flow = self.transport.flow_to(now, self.socket_of(port), address);
        self.counters.registers_sent += 1;
        self.send_request(now, Owner::Registration(port, expires), flow, request, 0);
    }

    fn register_request(&self, port: PortId, expires: u32, seq: u32) -> Option<Request> {
        let account = self.account(port)?;
        let aor = NameAddr::new(account.local.aor.clone());
        let registrar = Uri::sip(None, account.local.aor.host.clone());
        let mut request = Request::new(Method::Register, registrar);
        let headers = &mut request.headers;
        headers.push("Max-Forwards", 70);
        headers.push("From", aor.clone().with_tag(&account.tag));
        headers.push("To", aor);
        headers.push("Call-ID", &account.call_id);
        headers.push("CSeq", CSeq { seq, method: Method::Register });
        for contact in self.register_contacts(port, expires) {
            headers.push("Contact", contact);
        }
        headers.push("Expires", expires);
        Some(request)
    }

    /// The final answer to a REGISTER; `withheld`: why a challenge got no credentials.
    pub(super) fn register_response(
        &mut self,
        now: Instant,
        port: PortId,
        asked: u32,
        response: &Response,
        withheld: Option<&'static str>,
    ) {
        // 100 to REGISTER (CUCM) stops the client's repetitions, and says no more.
        if !response.is_final() {
            return;
        }
        let Some(account) = self.account(port) else { return };
        let mut answer = read_answer(&account.local.contact.uri, asked, response);
        answer.withheld = withheld;
        answer.stale = withheld.is_none() && response.headers.challenges().iter().any(|c| c.stale);
        self.compare_epochs(port, response, &mut answer);
        let distress = matches!(answer.status, 408 | 500 | 503);
        let outcome = match answer.retry_after {
            retry_after if distress => Outcome::Distress { retry_after },
            _ => Outcome::Clean,
        };
        let node = self.pacing_done(now, port, outcome);
        let failed = answer.status == 408 || answer.status >= 500;
        // A refusal may be that of another PBX, which has the address by now.
        let refused = answer.status >= 400 && !matches!(answer.status, 401 | 407 | 423);
        let granted = answer.status < 300 && answer.granted > 0;
        self.registration_input(now, port, Input::Answer(answer));
        if let Some(node) = node.filter(|_| granted) {
            self.node_renewed(now, node);
        }
        if let Some(node) = node.filter(|_| failed) {
            self.node_fails(now, node, false);
        }
        if let Some(node) = node.filter(|_| refused) {
            self.doubt(now, node);
        }
    }

    pub(super) fn register_failed(&mut self, now: Instant, port: PortId, why: Unanswered) {
        let outcome = match why.was_sent() {
            true => Outcome::Distress { retry_after: None },
            false => Outcome::NotSent,
        };
        let node = self.pacing_done(now, port, outcome);
        let status = Some(why.status()).filter(|_| !why.is_silence());
        self.registration_input(now, port, Input::Failed { status });
        if let Some(node) = node.filter(|_| why.was_sent()) {
            self.node_fails(now, node, why.is_silence());
            self.doubt(now, node);
        }
    }

    /// Returns the node whose REGISTER it was.
    fn pacing_done(&mut self, now: Instant, port: PortId, outcome: Outcome) -> Option<usize> {
        let node = self.pacing.iter_mut().position(|p| p.done(now, port, outcome))?;
        let at = self.pacing.get(node).and_then(Pacing::poll_timeout);
        self.deadlines.set(TimerKey::Pacing(node), at);
        Some(node)
    }

    /// A request was sent again: a registrar that does not keep up is asked more slowly.
    pub(super) fn request_repeated(&mut self, now: Instant, owner: Owner) {
        let Owner::Registration(port, _) = owner else { return };
        for pacing in self.pacing.iter_mut().filter(|p| p.is_outstanding(port)) {
            pacing.repeated(now);
        }
    }

    /// A connection that carried bindings is gone.
    pub(super) fn reregister_over(&mut self, now: Instant, lost: Flow) {
        let Some(node) = self.registrars.at(lost.peer) else { return };
        for index in 0..self.accounts.len() {
            let port = PortId(u16::try_from(index).unwrap_or(u16::MAX));
            if self.socket_of(port) == lost.socket {
                self.registration_input(now, port, Input::Reconnect { node });
            }
        }
    }

    /// What the node was told of a port's binding.
    pub(super) fn registration_state(&self, port: PortId) -> RegistrationState {
        self.account(port).map_or(RegistrationState::Off, |a| a.registration.reported())
    }

    /// To every port: the node of the list that works best.
    pub(super) fn prefer_node(&mut self, now: Instant, node: usize) {
        for index in 0..self.accounts.len() {
            self.prefer_for(now, PortId(u16::try_from(index).unwrap_or(u16::MAX)), node);
        }
    }

    pub(super) fn prefer_for(&mut self, now: Instant, port: PortId, node: usize) {
        self.registration_input(now, port, Input::Prefer { node });
    }

    /// To one port: its binding is to be renewed, which tells soon, and not at half time only,
    /// whether the only node of the list answers.
    pub(super) fn renew_one(&mut self, now: Instant, node: usize) {
        let bound = |state| matches!(state, RegistrationState::Registered { .. });
        let first = self.accounts.iter().find(|a| bound(a.registration.reported()));
        if let Some(port) = first.map(|a| a.local.port) {
            self.registration_input(now, port, Input::Reconnect { node });
        }
    }

    /// To every port: a node that worked does not answer any more.
    pub(super) fn node_down(&mut self, now: Instant, node: usize) {
        for index in 0..self.accounts.len() {
            let port = PortId(u16::try_from(index).unwrap_or(u16::MAX));
            self.registration_input(now, port, Input::NodeDown { node });
        }
    }
}

fn read_answer(ours: &Uri, asked: u32, response: &Response) -> Answer {
    let headers = &response.headers;
    let list = headers.contacts().map(|c| c.list().to_vec()).unwrap_or_default();
    let own = list.iter().find(|c| same_contact(ours, &c.uri));
    let foreign = list.iter().any(|c| !same_contact(ours, &c.uri));
    let contacts = match (own.is_some(), foreign) {
        (_, false) => Contacts::Ours,
        (true, true) => Contacts::Shared,
        (false, true) => Contacts::Foreign,
    };
    // CUCM says it in the header field, most others in the Contact.
    let granted = own.and_then(NameAddr::expires).or_else(|| headers.expires()).unwrap_or(asked);
    let retry_after = headers.retry_after().map(|s| Duration::from_secs(s.into()));
    Answer {
        status: response.status,
        retry_after,
        min_expires: headers.min_expires(),
        granted,
        contacts,
        withheld: None,
        stale: false,
        repair: None,
    }
}
