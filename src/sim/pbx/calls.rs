//! Calls to ports and what the far end does in them: keys by INFO, hold, CANCEL, BYE.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::{Event, GIVE_UP, Line, LineId, Pbx, RESEND_FIRST, State, Waiting, branch_of};
use crate::sdp::{self, Codec, Direction, LocalMedia, Origin};
use crate::sip::message::Request;
use crate::sip::wire::{Method, NameAddr, Uri};
use crate::timers::Instant;

impl Pbx {
    pub(super) fn call(
        &mut self,
        now: Instant,
        id: LineId,
        extension: &str,
        caller: &str,
        media: SocketAddr,
        delayed_offer: bool,
    ) {
        let bound = self.bindings.get(extension).filter(|b| b.expires_at > now).cloned();
        let Some(binding) = bound else {
            let refused = Some(480);
            return self.event(Event::Ended { line: id, refused, by_port: false });
        };
        let host = self.address.ip();
        let uri = |user: &str| Uri::sip(Some(user), host);
        let local = NameAddr::new(uri(caller)).with_tag(&format!("l{}", id.0));
        let remote = NameAddr::new(uri(extension));
        let media = LocalMedia {
            address: media.ip(),
            udp_port: media.port(),
            codecs: vec![Codec::Pcmu, Codec::Pcma],
            telephone_event: 101,
        };
        let mut line = Line {
            state: State::Calling,
            call_id: self.token(),
            local,
            remote,
            target: binding.contact,
            address: binding.address,
            cseq: 0,
            remote_cseq: 0,
            invite: Request::new(Method::Invite, uri(extension)),
            media,
            origin: Origin::new(u64::from(id.0)),
            direction: Direction::SendRecv,
            delayed_offer,
            negotiated: None,
            acks: BTreeMap::new(),
            holds_at: None,
        };
        let body = (!delayed_offer)
            .then(|| sdp::offer(&line.media, &mut line.origin, Direction::SendRecv));
        self.by_call_id.insert(line.call_id.clone(), id);
        self.lines.insert(id, line);
        self.invite(now, id, body);
    }

    /// INVITE or re-INVITE.
    pub(super) fn invite(&mut self, now: Instant, id: LineId, body: Option<String>) {
        let request = self.next_request(id, Method::Invite, |request| {
            request.headers.push("Allow", "INVITE, ACK, CANCEL, BYE, UPDATE, NOTIFY, REFER");
            if let Some(body) = body {
                request.set_body("application/sdp", body);
            }
        });
        if let (Some(request), Some(line)) = (&request, self.lines.get_mut(&id)) {
            line.invite = request.clone();
        }
        self.ask(now, id, request);
    }

    /// The next request of a line's dialog.
    pub(super) fn next_request(
        &mut self,
        id: LineId,
        method: Method,
        dress: impl FnOnce(&mut Request),
    ) -> Option<Request> {
        let branch = format!("z9hG4bK{}", self.token());
        let address = self.address;
        let line = self.lines.get_mut(&id)?;
        line.cseq += 1;
        let mut request = line.request(address, method, line.cseq, &branch);
        dress(&mut request);
        Some(request)
    }

    /// Sends a request and repeats it until it is answered.
    pub(super) fn ask(&mut self, now: Instant, id: LineId, request: Option<Request>) {
        let Some(request) = request else { return };
        let Some(to) = self.lines.get(&id).map(|line| line.address) else { return };
        let Ok(bytes) = request.to_bytes() else { return };
        let branch = branch_of(&request.headers.top_via().ok());
        let waiting = Waiting {
            line: id,
            method: request.method,
            to,
            bytes: bytes.clone(),
            pause: RESEND_FIRST,
            resend_at: Some(now + RESEND_FIRST),
            give_up_at: now + GIVE_UP,
        };
        self.waiting.insert(branch, waiting);
        self.send(to, bytes);
    }

    pub(super) fn hang_up(&mut self, now: Instant, id: LineId) {
        let Some(line) = self.lines.get_mut(&id) else { return };
        match line.state {
            State::Calling => {
                line.state = State::GivingUp;
                self.cancel(now, id);
            }
            State::Up => {
                line.state = State::Ending;
                let bye = self.next_request(id, Method::Bye, |_| {});
                self.ask(now, id, bye);
            }
            State::GivingUp | State::Ending => {}
        }
    }

    /// CANCEL carries the branch of its INVITE (RFC 3261 section 9.1).
    pub(super) fn cancel(&mut self, now: Instant, id: LineId) {
        let address = self.address;
        let Some(line) = self.lines.get(&id) else { return };
        let branch = branch_of(&line.invite.headers.top_via().ok());
        let cancel = line.request(address, Method::Cancel, line.cseq, &branch);
        let Ok(bytes) = cancel.to_bytes() else { return };
        let to = line.address;
        let waiting = Waiting {
            line: id,
            method: Method::Cancel,
            to,
            bytes: bytes.clone(),
            pause: RESEND_FIRST,
            resend_at: Some(now + RESEND_FIRST),
            give_up_at: now + GIVE_UP,
        };
        self.waiting.insert(format!("{branch}/CANCEL"), waiting);
        self.send(to, bytes);
    }

    pub(super) fn info(&mut self, now: Instant, id: LineId, key: char) {
        if self.lines.get(&id).is_some_and(|line| line.state == State::Up) {
            let request = self.next_request(id, Method::Info, |request| {
                let body = format!("Signal={key}\r\nDuration=160\r\n");
                request.set_body("application/dtmf-relay", body);
            });
            self.ask(now, id, request);
        }
    }

    pub(super) fn hold(&mut self, now: Instant, id: LineId, on: bool) {
        let Some(line) = self.lines.get_mut(&id) else { return };
        if line.state != State::Up {
            return;
        }
        line.direction = if on { Direction::SendOnly } else { Direction::SendRecv };
        self.offer(now, id);
    }

    /// What was refused with 491 is tried again.
    pub(super) fn hold_again(&mut self, now: Instant) {
        let due = |line: &mut Line| line.holds_at.take_if(|at| *at <= now).is_some();
        let again: Vec<LineId> =
            self.lines.iter_mut().filter_map(|(id, line)| due(line).then_some(*id)).collect();
        again.into_iter().for_each(|id| self.offer(now, id));
    }

    /// Re-INVITE with the direction of the line.
    fn offer(&mut self, now: Instant, id: LineId) {
        let Some(line) = self.lines.get_mut(&id).filter(|line| line.state == State::Up) else {
            return;
        };
        line.holds_at = None;
        let body = sdp::offer(&line.media, &mut line.origin, line.direction);
        self.invite(now, id, Some(body));
    }
}
