//! Requests of a port inside a call: BYE, re-INVITE and UPDATE, REFER, and the rest.

use std::net::SocketAddr;

use super::{Event, LineId, Pbx, State};
use crate::sdp;
use crate::sip::message::Request;
use crate::sip::wire::Method;
use crate::timers::Instant;

impl Pbx {
    pub(super) fn in_dialog(&mut self, now: Instant, from: SocketAddr, request: &Request) {
        let call_id = request.headers.call_id().unwrap_or_default().to_owned();
        let Some(&id) = self.by_call_id.get(&call_id) else {
            return self.reply(from, request, 481, |_| {});
        };
        let cseq = request.headers.cseq().map_or(0, |cseq| cseq.seq);
        let Some(line) = self.lines.get_mut(&id) else { return };
        if cseq < line.remote_cseq {
            return self.reply(from, request, 500, |_| {});
        }
        // Whoever has sent BYE thinks the session over (RFC 3261 section 15.1.1).
        if line.state == State::Ending && request.method != Method::Bye {
            return self.reply(from, request, 481, |_| {});
        }
        // Its 2xx never came: there is no session to change (RFC 3261 section 12.2.2).
        if line.negotiated.is_none() && request.method == Method::Invite {
            return self.reply(from, request, 481, |_| {});
        }
        let repeated = cseq == line.remote_cseq;
        line.remote_cseq = cseq;
        // It has asked something itself, and waits (RFC 3261 section 14.2).
        if request.method == Method::Invite && self.asks(id) {
            return self.reply(from, request, 491, |_| {});
        }
        if !repeated {
            self.event(Event::FromPort { line: id, method: request.method.clone() });
        }
        match request.method {
            Method::Bye => {
                self.reply(from, request, 200, |_| {});
                self.forget(id, None, true);
            }
            Method::Invite | Method::Update => self.reoffered(from, request, id),
            Method::Refer => self.referred(now, from, request, id, repeated),
            _ => self.reply(from, request, 200, |_| {}),
        }
    }

    /// A refresh, or the port changes its media: answered as offered.
    fn reoffered(&mut self, from: SocketAddr, request: &Request, id: LineId) {
        let Some(line) = self.lines.get_mut(&id) else { return };
        let contact = format!("<sip:pbx@{}>", self.address);
        let mut body = None;
        if !request.body.is_empty() {
            let answered =
                sdp::answer(&request.body, &line.media, &mut line.origin, line.direction);
            let Ok((text, negotiated)) = answered else {
                return self.reply(from, request, 488, |_| {});
            };
            line.negotiated = Some(negotiated);
            // A target refresh (RFC 3261 section 12.2.2): the port may have moved.
            if let Ok(target) = request.headers.contact_uri() {
                (line.target, line.address) = (target, from);
            }
            body = Some(text);
            self.event(Event::Changed { line: id, media: negotiated });
        }
        let timer = request.headers.get("Session-Expires").map(str::to_owned);
        self.reply(from, request, 200, |response| {
            response.headers.push("Contact", contact);
            if let Some(timer) = timer {
                response.headers.push("Require", "timer");
                response.headers.push("Session-Expires", timer);
            }
            if let Some(body) = body {
                response.set_body("application/sdp", body);
            }
        });
    }

    /// The transfer succeeds at once: the line is somebody else's, and the PBX ends the dialog.
    fn referred(
        &mut self,
        now: Instant,
        from: SocketAddr,
        request: &Request,
        id: LineId,
        repeated: bool,
    ) {
        self.reply(from, request, 202, |_| {});
        if repeated {
            return;
        }
        let target = request.headers.get("Refer-To").unwrap_or_default().to_owned();
        self.event(Event::Transferred { line: id, target });
        let notify = self.next_request(id, Method::Notify, |request| {
            request.headers.push("Event", "refer");
            request.headers.push("Subscription-State", "terminated;reason=noresource");
            request.set_body("message/sipfrag", "SIP/2.0 200 OK");
        });
        self.ask(now, id, notify);
    }
}
