//! Text to a telephone: MESSAGE outside a dialog (RFC 3428), from an extension of ours.
//!
//! It claims nothing. A PBX that knows no MESSAGE says so once, and whoever asked goes another way.

use super::Endpoint;
use super::client::Owner;
use super::unanswered::Unanswered;
use crate::ids::PortId;
use crate::sip::message::{CSeq, Method, NameAddr, Request, Response};
use crate::sip::{Event, ident};
use crate::timers::Instant;

/// Octets of a text: over UDP a whole MESSAGE must stay below 1,300 (RFC 3428 section 8).
const TEXT_MAX: usize = 600;

impl Endpoint {
    /// [`super::Command::Text`].
    pub(super) fn send_text(
        &mut self,
        now: Instant,
        port: PortId,
        id: u32,
        target: &str,
        text: &str,
    ) {
        let request = self.text_request(port, target, text);
        let (Some(request), Some(address)) = (request, self.pbx_address(port)) else {
            return self.event(Event::Texted { id, status: None });
        };
        let flow = self.transport.flow_to(now, self.socket_of(port), address);
        self.send_request(now, Owner::Text(port, id), flow, request, 0);
    }

    fn text_request(&mut self, port: PortId, target: &str, text: &str) -> Option<Request> {
        let (call_id, tag) = (ident::token(&mut self.rng), ident::token(&mut self.rng));
        let aor = self.account(port)?.local.aor.clone();
        let uri = ident::complete(target, &aor)?;
        let mut request = Request::new(Method::Message, uri.clone());
        let headers = &mut request.headers;
        headers.push("Max-Forwards", 70);
        headers.push("From", NameAddr::new(aor).with_tag(&tag));
        headers.push("To", NameAddr::new(uri));
        headers.push("Call-ID", call_id);
        headers.push("CSeq", CSeq { seq: 1, method: Method::Message });
        request.set_body("text/plain;charset=UTF-8", cut(text).to_owned());
        Some(request)
    }

    pub(super) fn text_response(&mut self, id: u32, response: &Response) {
        if response.is_final() {
            self.event(Event::Texted { id, status: Some(response.status) });
        }
    }

    pub(super) fn text_failed(&mut self, id: u32, why: Unanswered) {
        let status = Some(why.status()).filter(|_| !why.is_silence());
        self.event(Event::Texted { id, status });
    }
}

/// As much of a text as is sent.
fn cut(text: &str) -> &str {
    let mut ends = (0..=TEXT_MAX.min(text.len())).rev();
    ends.find_map(|end| text.get(..end)).unwrap_or_default()
}
