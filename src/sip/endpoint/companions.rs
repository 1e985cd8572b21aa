//! ACK and CANCEL: requests that belong to an INVITE (RFC 3261 sections 9.1, 13.2.2.4, 17.1.1.3).

use bytes::Bytes;

use super::Endpoint;
use super::client::Owner;
use crate::ids::CallId;
use crate::sip::ident::token;
use crate::sip::message::{CSeq, Message, Method, Request, Response};
use crate::sip::transport::Flow;
use crate::timers::Instant;

impl Endpoint {
    /// Sends an ACK to a 2xx, which has no transaction and a branch of its own.
    pub(super) fn send_ack(
        &mut self,
        now: Instant,
        call: CallId,
        flow: Flow,
        mut request: Request,
    ) {
        let claims = self.call_claims(call);
        let branch = u128::from_str_radix(&token(&mut self.rng), 16).unwrap_or_default();
        request.headers.push_front("Via", self.via(flow, branch));
        match request.to_bytes() {
            Ok(bytes) => self.transport.send(now, flow, bytes, claims),
            Err(_) => self.counters.unprintable += 1,
        }
    }

    /// Sends CANCEL for the INVITE of a call (RFC 3261 section 9.1).
    pub(super) fn send_cancel(&mut self, now: Instant, call: CallId) {
        let Some(key) = self.calls.get(&call).and_then(|c| c.invite) else { return };
        let Some(client) = self.clients.get_mut(&key) else { return };
        client.cancelled(now);
        let (flow, cancel) = (client.flow, like(&client.request, Method::Cancel, None));
        self.note_client(key);
        if let Some(mut cancel) = cancel {
            cancel.headers.remove("Via");
            self.send_as(now, key.of_cancel(), Owner::Nobody, flow, cancel, 0);
        }
    }
}

/// The ACK of a refusal: same branch, To of the response (RFC 3261 section 17.1.1.3).
pub(super) fn ack_of_refusal(invite: &Request, response: &Response) -> Option<Bytes> {
    let to = response.headers.get("To")?;
    like(invite, Method::Ack, Some(to)).map(Message::Request)?.to_bytes().ok()
}

/// ACK or CANCEL of an INVITE: its Via, Route, From, Call-ID and CSeq number.
fn like(invite: &Request, method: Method, to: Option<&str>) -> Option<Request> {
    let seq = invite.headers.cseq().ok()?.seq;
    let mut request = Request::new(method.clone(), invite.uri.clone());
    for header in invite.headers.iter() {
        match (&*header.name, to) {
            ("To", Some(to)) => request.headers.push("To", to),
            ("Via" | "Route" | "Max-Forwards" | "From" | "To" | "Call-ID", _) => {
                request.headers.push_text(&header.name, header.value.clone());
            }
            ("CSeq", _) => request.headers.push("CSeq", CSeq { seq, method: method.clone() }),
            _ => {}
        }
    }
    Some(request)
}
