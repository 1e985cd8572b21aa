//! A dialog: what two user agents must remember to speak within one call (RFC 3261 section 12).
//!
//! It is plain data, so that a snapshot of it read by another node makes the same requests.
//! In-dialog requests are found by Call-ID and tags alone; the secret in our Contact plays no part
//! once a dialog stands.

use serde::{Deserialize, Serialize};

use crate::sip::message::{CSeq, Headers, Method, NameAddr, Request, Response, Uri};

/// Highest CSeq of a request (RFC 3261 section 8.1.1.5).
const CSEQ_MAX: u32 = 0x7fff_ffff;
/// What a node that takes a dialog over adds to its CSeq for each epoch, so that no request of an
/// earlier holder can be above its own.
pub const CSEQ_LEAP: u32 = 100_000;

/// A dialog, early or confirmed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dialog {
    /// Call-ID.
    pub call_id: String,
    /// From of our requests, with our tag.
    pub local: NameAddr,
    /// To of our requests, with the far end's tag (a peer of RFC 2543 has none).
    pub remote: NameAddr,
    /// CSeq of our last request.
    pub local_cseq: u32,
    /// CSeq of the far end's last request.
    pub remote_cseq: Option<u32>,
    /// Route set, in order of use.
    pub routes: Vec<NameAddr>,
    /// URI of the far end's Contact.
    pub remote_target: Uri,
    /// Our Contact.
    pub contact: NameAddr,
}

/// The far end's CSeq did not go up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OldCseq;

impl Dialog {
    /// The dialog that our 1xx or 2xx to `invite` makes (section 12.1.1). `None`: it names no
    /// Contact.
    pub(crate) fn of_server(invite: &Request, local_tag: &str, contact: &NameAddr) -> Option<Self> {
        let headers = &invite.headers;
        Some(Self {
            call_id: headers.call_id().ok()?.to_owned(),
            local: headers.to().ok()?.with_tag(local_tag),
            remote: headers.from().ok()?,
            local_cseq: 0,
            remote_cseq: Some(headers.cseq().ok()?.seq),
            routes: headers.record_routes().ok()?,
            remote_target: headers.contact_uri().ok()?,
            contact: contact.clone(),
        })
    }

    /// The dialog that a 1xx or 2xx to our `invite` makes (section 12.1.2). `None`: it has no tag
    /// or no Contact.
    pub(crate) fn of_client(invite: &Request, response: &Response) -> Option<Self> {
        let remote = response.headers.to().ok()?;
        remote.tag()?;
        let mut routes = response.headers.record_routes().ok()?;
        routes.reverse();
        Some(Self {
            call_id: invite.headers.call_id().ok()?.to_owned(),
            local: invite.headers.from().ok()?,
            remote,
            local_cseq: response.headers.cseq().ok()?.seq,
            remote_cseq: None,
            routes,
            remote_target: response.headers.contact_uri().ok()?,
            contact: invite.headers.contacts().ok()?.first()?.clone(),
        })
    }

    /// A new request of ours in this dialog, without Via. ACK takes the CSeq of its INVITE:
    /// [`Dialog::ack`].
    pub(crate) fn request(&mut self, method: Method) -> Request {
        let cseq = self.next_cseq();
        self.build(method, cseq)
    }

    /// Another node carries this dialog on, with its own Contact: its requests stand above all that
    /// the node before it may have sent.
    pub(crate) fn leap(&mut self, contact: &NameAddr, leaps: u32) {
        self.contact = contact.clone();
        let higher = self.local_cseq.saturating_add(CSEQ_LEAP.saturating_mul(leaps));
        self.local_cseq = higher.min(CSEQ_MAX - CSEQ_LEAP);
    }

    /// The ACK to a 2xx of the INVITE with this CSeq.
    pub(crate) fn ack(&self, cseq: u32) -> Request {
        self.build(Method::Ack, cseq)
    }

    /// The next CSeq; also for a request that is sent again with credentials.
    pub(crate) const fn next_cseq(&mut self) -> u32 {
        self.local_cseq = if self.local_cseq < CSEQ_MAX { self.local_cseq + 1 } else { 1 };
        self.local_cseq
    }

    /// Section 12.2.1.1. A first hop that routes strictly (no `lr`) becomes the Request-URI, and
    /// the target goes to the end of the route set.
    fn build(&self, method: Method, seq: u32) -> Request {
        let mut routes = self.routes.clone();
        let mut target = self.remote_target.clone();
        if self.is_strict() {
            let first = routes.remove(0);
            routes.push(NameAddr::new(std::mem::replace(&mut target, first.uri)));
        }
        // What a Request-URI may not carry (section 19.1.1).
        target.headers.clear();
        let cseq = CSeq { seq, method: method.clone() };
        let mut request = Request::new(method, target);
        for route in routes {
            request.headers.push("Route", route);
        }
        request.headers.push("Max-Forwards", 70);
        request.headers.push("From", &self.local);
        request.headers.push("To", &self.remote);
        request.headers.push("Call-ID", &self.call_id);
        request.headers.push("CSeq", cseq);
        request
    }

    fn is_strict(&self) -> bool {
        self.routes.first().is_some_and(|first| !first.uri.is_loose_router())
    }

    /// The URI whose host and port say where a request goes next.
    pub(crate) fn next_hop(&self) -> Uri {
        self.routes.first().map_or(&self.remote_target, |first| &first.uri).clone()
    }

    /// Takes the CSeq of a request of the far end (section 12.2.2): gaps are fine, back is not.
    pub(crate) fn accept_cseq(&mut self, cseq: u32) -> Result<(), OldCseq> {
        if self.remote_cseq.is_some_and(|last| cseq <= last) {
            return Err(OldCseq);
        }
        self.remote_cseq = Some(cseq);
        Ok(())
    }

    /// A target refresh (re-INVITE, UPDATE and their 2xx) may move the far end's Contact.
    pub(crate) fn refresh_target(&mut self, headers: &Headers) {
        if let Ok(uri) = headers.contact_uri() {
            self.remote_target = uri;
        }
    }

    pub(crate) fn local_tag(&self) -> &str {
        self.local.tag().unwrap_or_default()
    }

    pub(crate) fn remote_tag(&self) -> &str {
        self.remote.tag().unwrap_or_default()
    }
}
