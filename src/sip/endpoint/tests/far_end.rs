//! The far end's view of a dialog.

use std::net::SocketAddr;

use super::PBX;
use crate::ids::CallId;
use crate::sip::message::{CSeq, Method, NameAddr, Request, Response, Uri, Via};

/// The far end's view of a dialog.
pub(super) struct Call {
    pub(super) call: CallId,
    pub(super) uri: Uri,
    pub(super) from: NameAddr,
    pub(super) to: NameAddr,
    pub(super) call_id: String,
    pub(super) cseq: u32,
    branch: u32,
}

impl Call {
    /// The far end called us.
    pub(super) fn of_invite(call: CallId, invite: &Request, response: &Response) -> Self {
        Self {
            call,
            uri: response.headers.contact_uri().expect("Contact"),
            from: response.headers.from().expect("From"),
            to: response.headers.to().expect("To"),
            call_id: response.headers.call_id().expect("Call-ID").to_owned(),
            cseq: invite.headers.cseq().expect("CSeq").seq,
            branch: 1,
        }
    }

    /// We called the far end, which answered with `pbx-tag`.
    pub(super) fn of_our_invite(call: CallId, invite: &Request) -> Self {
        Self {
            call,
            uri: invite.headers.contact_uri().expect("Contact"),
            from: invite.headers.to().expect("To").with_tag("pbx-tag"),
            to: invite.headers.from().expect("From"),
            call_id: invite.headers.call_id().expect("Call-ID").to_owned(),
            cseq: 100,
            branch: 1,
        }
    }

    /// A request of the far end; ACK has the CSeq of its INVITE.
    pub(super) fn request(&mut self, method: Method) -> Request {
        self.branch += 1;
        if method != Method::Ack {
            self.cseq += 1;
        }
        let mut request = Request::new(method.clone(), self.uri.clone());
        let branch = format!("z9hG4bK-{}-{}", self.call_id, self.branch);
        let pbx: SocketAddr = PBX.parse().expect("address");
        request.headers.push("Via", Via::new("UDP", pbx.ip(), pbx.port(), &branch));
        request.headers.push("From", &self.from);
        request.headers.push("To", &self.to);
        request.headers.push("Call-ID", &self.call_id);
        request.headers.push("CSeq", CSeq { seq: self.cseq, method });
        request
    }

    /// A re-INVITE or UPDATE with Contact and an offer.
    pub(super) fn offer(&mut self, method: Method, sdp: String) -> Request {
        let mut request = self.request(method);
        request.headers.push("Contact", "<sip:2000@10.0.0.5:5060>");
        if !sdp.is_empty() {
            request.set_body("application/sdp", sdp);
        }
        request
    }
}
