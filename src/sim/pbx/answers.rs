//! What the ports answer, and the end of a call.

use std::net::SocketAddr;

use super::{Event, GLARE, LineId, Pbx, State, branch_of};
use crate::sip::message::Response;
use crate::sip::wire::{Host, Method, Uri};
use crate::timers::Instant;

impl Pbx {
    pub(super) fn response(&mut self, now: Instant, response: &Response) {
        let branch = branch_of(&response.headers.top_via().ok());
        let Ok(cseq) = response.headers.cseq() else { return };
        let key = if cseq.method == Method::Cancel { format!("{branch}/CANCEL") } else { branch };
        if cseq.method == Method::Invite && response.status >= 200 {
            return self.invite_answered(now, &key, cseq.seq, response);
        }
        if let Some(waiting) = self.waiting.get_mut(&key) {
            if response.status < 200 {
                waiting.resend_at = None;
                return;
            }
            let (line, method) = (waiting.line, waiting.method.clone());
            self.waiting.remove(&key);
            self.answered(now, line, &method, response.status);
        }
    }

    pub(super) fn answered(&mut self, now: Instant, line: LineId, method: &Method, status: u16) {
        match method {
            Method::Bye => self.forget(line, None, false),
            Method::Notify if status < 300 => self.hang_up(now, line),
            _ => {}
        }
    }

    pub(super) fn invite_answered(
        &mut self,
        now: Instant,
        key: &str,
        cseq: u32,
        response: &Response,
    ) {
        let call_id = response.headers.call_id().unwrap_or_default();
        let Some(&id) = self.by_call_id.get(call_id) else { return };
        let Some(line) = self.lines.get_mut(&id) else { return };
        if let Some(ack) = line.acks.get(&cseq) {
            let (to, bytes) = (line.address, ack.clone());
            return self.send(to, bytes);
        }
        if self.waiting.remove(key).is_none() {
            return;
        }
        if response.status >= 300 {
            self.refused(now, id, cseq, response);
        } else {
            self.accepted(now, id, cseq, response);
        }
    }

    /// ACK of a refusal goes to the transaction: same branch (RFC 3261 section 17.1.1.3).
    fn refused(&mut self, now: Instant, id: LineId, cseq: u32, response: &Response) {
        let address = self.address;
        let Some(line) = self.lines.get_mut(&id) else { return };
        let branch = branch_of(&line.invite.headers.top_via().ok());
        let mut ack = line.request(address, Method::Ack, cseq, &branch);
        if let Some(to) = response.headers.get("To") {
            ack.headers.set("To", to.to_owned());
        }
        let Ok(bytes) = ack.to_bytes() else { return };
        let (to, first) = (line.address, line.negotiated.is_none());
        line.acks.insert(cseq, bytes.clone());
        if response.status == 491 {
            line.holds_at = Some(now + GLARE);
        }
        self.send(to, bytes);
        if first {
            self.forget(id, Some(response.status), false);
        }
    }

    pub(super) fn accepted(&mut self, now: Instant, id: LineId, cseq: u32, response: &Response) {
        let address = self.address;
        let ack_branch = format!("z9hG4bK{}", self.token());
        let Some(line) = self.lines.get_mut(&id) else { return };
        if let Ok(remote) = response.headers.to() {
            line.remote = remote;
        }
        if let Ok(contact) = response.headers.contact_uri() {
            line.address = address_of(&contact).unwrap_or(line.address);
            line.target = contact;
        }
        let was_up = line.negotiated.is_some();
        let agreed = line.agree(&response.body);
        let mut ack = line.request(address, Method::Ack, cseq, &ack_branch);
        if let Some((Some(body), _)) = &agreed {
            ack.set_body("application/sdp", body.clone());
        }
        let Ok(bytes) = ack.to_bytes() else { return };
        line.acks.insert(cseq, bytes.clone());
        let (to, giving_up) = (line.address, line.state == State::GivingUp);
        if line.state == State::Calling || giving_up {
            line.state = State::Up;
        }
        self.send(to, bytes);
        match agreed {
            Some((_, media)) if was_up => self.event(Event::Changed { line: id, media }),
            Some((_, media)) => self.event(Event::Answered { line: id, media }),
            None => {}
        }
        if giving_up || agreed.is_none() {
            self.hang_up(now, id);
        }
    }

    pub(super) fn forget(&mut self, id: LineId, refused: Option<u16>, by_port: bool) {
        let Some(line) = self.lines.remove(&id) else { return };
        self.by_call_id.remove(&line.call_id);
        self.waiting.retain(|_, waiting| waiting.line != id);
        let refused = refused.filter(|_| line.negotiated.is_none());
        self.event(Event::Ended { line: id, refused, by_port });
    }
}

/// Where requests to a Contact go, if it names an address.
pub(super) fn address_of(contact: &Uri) -> Option<SocketAddr> {
    let Host::Ip(ip) = contact.host else { return None };
    Some(SocketAddr::new(ip, contact.port.unwrap_or(5060)))
}
