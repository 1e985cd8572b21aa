//! What only a primary may send: whatever takes a port, a call or its audio for this node.
//!
//! A node that is no longer primary, or not yet, may refuse a call, answer a BYE and say BYE. The
//! check itself is made by whoever hands the bytes to a socket, at that moment: a process that was
//! stopped between two instructions must not send what it was about to. Control extensions are no
//! part of it; every node has its own.

use super::Endpoint;
use super::client::Owner;
use crate::config::PortKind;
use crate::ids::{CallId, PortId};
use crate::sip::message::Method;

impl Endpoint {
    /// Whether a request of ours claims.
    pub(super) fn request_claims(&self, owner: Owner, method: &Method) -> bool {
        match owner {
            // A watch and a query ask for nothing, a text takes nothing, and what nobody waits for
            // is a CANCEL.
            Owner::Query(_) | Owner::Text(..) | Owner::Watch(_) | Owner::Trunk | Owner::Nobody => {
                false
            }
            Owner::Registration(port, _) => self.port_claims(port),
            Owner::Call(call, _) => *method != Method::Bye && self.call_claims(call),
        }
    }

    /// Whether a response of ours to an INVITE claims; `call`: the call that it answers.
    pub(super) fn answer_claims(&self, call: Option<CallId>, bytes: &[u8]) -> bool {
        let status = bytes.strip_prefix(b"SIP/2.0 ").and_then(|rest| rest.first());
        let takes = matches!(status, Some(b'1' | b'2'));
        takes && call.is_none_or(|call| self.call_claims(call))
    }

    pub(super) fn call_claims(&self, call: CallId) -> bool {
        self.calls.get(&call).is_none_or(|entry| self.port_claims(entry.session.port()))
    }

    pub(super) fn port_claims(&self, port: PortId) -> bool {
        let kind = self.config.ports.get(usize::from(port.0)).map(|port| port.kind);
        kind.is_none_or(PortKind::moves)
    }
}
