//! Asks a registrar for a port's bindings: a REGISTER without Contact (RFC 3261 section 10.2.3).
//!
//! It changes nothing, and its answer proves the password: a backup that never registers learns in
//! time that it could. It claims nothing either, so a node that is not primary may send it.

use super::Endpoint;
use super::client::Owner;
use super::unanswered::Unanswered;
use crate::ids::PortId;
use crate::sip::ident::token;
use crate::sip::message::{CSeq, Method, NameAddr, Request, Response, Uri};
use crate::sip::{Event, Queried};
use crate::timers::Instant;

impl Endpoint {
    /// [`super::Command::Query`].
    pub(super) fn query(&mut self, now: Instant, port: PortId) {
        let Some(address) = self.registrars.address(self.best_node) else {
            return self.event(Event::Queried { port, queried: Queried::Silent });
        };
        let Some(request) = self.question(port) else { return };
        let flow = self.transport.flow_to(now, self.asking_socket(port), address);
        self.send_request(now, Owner::Query(port), flow, request, 0);
    }

    fn question(&mut self, port: PortId) -> Option<Request> {
        let call_id = token(&mut self.rng);
        let account = self.account_mut(port)?;
        let aor = NameAddr::new(account.local.aor.clone());
        let registrar = Uri::sip(None, account.local.aor.host.clone());
        let seq = account.registration.next_cseq();
        let mut request = Request::new(Method::Register, registrar);
        let headers = &mut request.headers;
        headers.push("Max-Forwards", 70);
        headers.push("From", aor.clone().with_tag(&account.tag));
        headers.push("To", aor);
        headers.push("Call-ID", call_id);
        headers.push("CSeq", CSeq { seq, method: Method::Register });
        Some(request)
    }

    pub(super) fn query_response(&mut self, port: PortId, response: &Response) {
        if response.is_final() {
            let queried = match response.status {
                200..=299 => Queried::Proven,
                status => Queried::Refused { status },
            };
            self.event(Event::Queried { port, queried });
        }
    }

    pub(super) fn query_failed(&mut self, port: PortId, why: Unanswered) {
        let queried = match why.is_silence() {
            true => Queried::Silent,
            false => Queried::Refused { status: why.status() },
        };
        self.event(Event::Queried { port, queried });
    }
}
