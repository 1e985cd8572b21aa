//! One call of the PBX: how its requests look, and the end of offer and answer.

use std::net::SocketAddr;

use super::Line;
use crate::sdp::{self, Negotiated};
use crate::sip::message::Request;
use crate::sip::wire::{Method, Via};

impl Line {
    pub(super) fn request(
        &self,
        address: SocketAddr,
        method: Method,
        cseq: u32,
        branch: &str,
    ) -> Request {
        let mut request = Request::new(method.clone(), self.target.clone());
        let headers = &mut request.headers;
        headers.push("Via", Via::new("UDP", address.ip(), address.port(), branch));
        headers.push("Max-Forwards", 70);
        headers.push("From", &self.local);
        headers.push("To", &self.remote);
        headers.push("Call-ID", &self.call_id);
        headers.push("CSeq", format!("{cseq} {method}"));
        headers.push("Contact", format!("<sip:pbx@{address}>"));
        request
    }

    /// Completes offer and answer with the body of a 2xx; the answer for ACK if it was an offer.
    pub(super) fn agree(&mut self, body: &[u8]) -> Option<(Option<String>, Negotiated)> {
        let delayed = self.delayed_offer && self.negotiated.is_none();
        let (answer, negotiated) = if delayed {
            let (answer, negotiated) =
                sdp::answer(body, &self.media, &mut self.origin, self.direction).ok()?;
            (Some(answer), negotiated)
        } else {
            (None, sdp::accept(body, &self.media, &self.origin, self.direction).ok()?)
        };
        self.negotiated = Some(negotiated);
        Some((answer, negotiated))
    }
}
