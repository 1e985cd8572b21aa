//! The far end asks within the dialog.

use bytes::Bytes;
use rand_core::RngCore;

use super::exchange::Change;
use super::incoming::asked;
use super::timer;
use super::transfer::Notice;
use super::{ALLOW, SDP, ServerId, Session, State, info};
use crate::sip::message::{CSeq, Method, Request, Response};
use crate::sip::{EndCause, Event};
use crate::timers::Instant;

impl Session {
    /// Any request of the dialog but ACK and CANCEL.
    pub(super) fn request(&mut self, now: Instant, tx: ServerId, request: &Request) {
        let Ok(CSeq { seq, .. }) = request.headers.cseq() else {
            return self.say(tx, request, 400);
        };
        let Some(dialog) = &mut self.dialog else { return self.say(tx, request, 481) };
        if dialog.accept_cseq(seq).is_err() {
            return self.say(tx, request, 500);
        }
        if matches!(self.state, State::Leaving | State::Over) && request.method != Method::Bye {
            return self.say(tx, request, 481);
        }
        match request.method {
            Method::Bye => self.bye_received(tx, request),
            Method::Invite => self.reinvited(now, tx, request),
            Method::Update => self.updated(now, tx, request),
            Method::Prack => self.prack(tx, request),
            Method::Info => self.informed(tx, request),
            Method::Notify => self.notified(now, tx, request),
            Method::Options => self.say_capabilities(tx, request),
            Method::Refer => self.say(tx, request, 603),
            Method::Subscribe => self.say(tx, request, 489),
            _ => self.say_not_allowed(tx, request),
        }
    }

    fn say(&mut self, tx: ServerId, request: &Request, status: u16) {
        let response = self.reply(request, status);
        self.respond(tx, response);
    }

    fn say_capabilities(&mut self, tx: ServerId, request: &Request) {
        let mut response = self.reply(request, 200);
        push_capabilities(&mut response);
        self.respond(tx, response);
    }

    fn say_not_allowed(&mut self, tx: ServerId, request: &Request) {
        let mut response = self.reply(request, unsupported_status(&request.method));
        response.headers.push("Allow", ALLOW);
        self.respond(tx, response);
    }

    /// Not at this moment (RFC 3261 section 14.2, RFC 3311 section 5.2).
    fn say_later(&mut self, tx: ServerId, request: &Request) {
        let mut response = self.reply(request, 500);
        response.headers.push("Retry-After", self.rng.next_u32() % 10 + 1);
        self.respond(tx, response);
    }

    fn bye_received(&mut self, tx: ServerId, request: &Request) {
        self.say(tx, request, 200);
        match self.state {
            State::Offered(_) => self.refuse_with(487, None, EndCause::RemoteHangup),
            State::Up | State::Closing { .. } => {
                self.end(EndCause::RemoteHangup);
                self.over();
            }
            // The final answer to our INVITE follows; to our own BYE as well.
            State::Calling(_) | State::Leaving | State::Over => {}
        }
    }

    fn reinvited(&mut self, now: Instant, tx: ServerId, request: &Request) {
        match self.state {
            State::Offered(_) => return self.say_later(tx, request),
            State::Up => {}
            State::Calling(_) | State::Closing { .. } | State::Leaving | State::Over => {
                return self.say(tx, request, 491);
            }
        }
        if self.busy_changing(true) {
            return self.say(tx, request, 491);
        }
        if self.refuse_interval(tx, request) || self.refuse_body(tx, request) {
            return;
        }
        let offer = request.sdp();
        let sdp = match &offer {
            Some(offer) => self.media.answer(offer),
            None => self.media.offer().ok_or(488),
        };
        let sdp = match sdp {
            Ok(sdp) => sdp,
            Err(status) => return self.say(tx, request, status),
        };
        self.refreshed(request);
        self.accept(now, tx, request, sdp, offer.is_none(), false);
        self.tell_media();
    }

    /// An offer of ours is open, so that another one would cross it. An open refresh by UPDATE
    /// carries none and is in nobody's way.
    fn busy_changing(&self, invite: bool) -> bool {
        let offered = self.confirm.as_ref().is_some_and(|c| c.offered || (invite && c.initial));
        let ours = match self.exchange.under_way() {
            Some(Change::Hold(_) | Change::TakeOver) => true,
            Some(Change::Refresh) => !self.peer_updates,
            None => false,
        };
        offered || ours
    }

    /// RFC 3311. Without SDP it refreshes target, identity and timer only.
    fn updated(&mut self, now: Instant, tx: ServerId, request: &Request) {
        if self.refuse_interval(tx, request) || self.refuse_body(tx, request) {
            return;
        }
        let Some(offer) = request.sdp() else {
            self.refreshed(request);
            return self.say_updated(now, tx, request, None);
        };
        match &self.state {
            State::Offered(_) => return self.say_later(tx, request),
            State::Calling(calling) if !calling.was_answered_early() || !self.media.is_agreed() => {
                return self.say(tx, request, 491);
            }
            State::Calling(_)
            | State::Up
            | State::Closing { .. }
            | State::Leaving
            | State::Over => {}
        }
        if self.busy_changing(false) {
            return self.say(tx, request, 491);
        }
        let sdp = match self.media.answer(&offer) {
            Ok(sdp) => sdp,
            Err(status) => return self.say(tx, request, status),
        };
        if let State::Calling(calling) = &mut self.state {
            calling.note_update();
        }
        self.refreshed(request);
        self.say_updated(now, tx, request, Some(sdp));
        self.tell_media();
    }

    fn say_updated(&mut self, now: Instant, tx: ServerId, request: &Request, sdp: Option<Bytes>) {
        let mut response = self.reply(request, 200);
        self.describe(now, request, &mut response);
        if let Some(sdp) = sdp {
            response.set_body(SDP, sdp);
        }
        self.respond(tx, response);
    }

    /// 422 when the interval is below ours (RFC 4028 section 9).
    fn refuse_interval(&mut self, tx: ServerId, request: &Request) -> bool {
        let timer::Answer::TooSmall { min_se } = timer::answer(asked(request), self.local.timer)
        else {
            return false;
        };
        let mut response = self.reply(request, 422);
        response.headers.push("Min-SE", min_se);
        self.respond(tx, response);
        true
    }

    /// Contact and identity of an accepted re-INVITE or UPDATE.
    fn refreshed(&mut self, request: &Request) {
        if let Some(dialog) = &mut self.dialog {
            dialog.refresh_target(&request.headers);
        }
        if let Some(party) = super::identity::asserted(&request.headers)
            && party != self.party
        {
            self.party = party.clone();
            self.event(Event::Identity { call: self.call, caller: party });
        }
    }

    fn informed(&mut self, tx: ServerId, request: &Request) {
        let content = request.headers.content_type();
        match info::digit(content.as_ref().map(|c| c.essence.as_str()), &request.body) {
            info::Body::Digit { digit, duration_ms } => {
                self.say(tx, request, 200);
                self.event(Event::Digit { call: self.call, digit, duration_ms });
            }
            info::Body::Nothing => self.say(tx, request, 200),
            info::Body::Unknown => self.say_unsupported_media(tx, request, INFO_BODIES),
        }
    }

    /// 415 to a body that is neither SDP nor optional.
    fn refuse_body(&mut self, tx: ServerId, request: &Request) -> bool {
        let strange = request.has_strange_body();
        if strange {
            self.say_unsupported_media(tx, request, SDP);
        }
        strange
    }

    fn say_unsupported_media(&mut self, tx: ServerId, request: &Request, accept: &str) {
        let mut response: Response = self.reply(request, 415);
        response.headers.push("Accept", accept);
        self.respond(tx, response);
    }

    /// News of a transfer, or of something that we never asked for: 200 either way.
    fn notified(&mut self, now: Instant, tx: ServerId, request: &Request) {
        self.say(tx, request, 200);
        let headers = &request.headers;
        if headers.event().is_some_and(|e| e.value.eq_ignore_ascii_case("refer")) {
            let state = headers.subscription_state();
            let ended = state.is_some_and(|s| s.value.eq_ignore_ascii_case("terminated"));
            let status = sipfrag_status(&request.body);
            self.transfer_notice(now, Notice { status, ended });
        }
    }
}

/// What INFO may carry.
const INFO_BODIES: &str = "application/dtmf-relay, application/dtmf";

/// What an answer to OPTIONS says of a port.
pub(crate) fn push_capabilities(response: &mut Response) {
    response.headers.push("Allow", ALLOW);
    response.headers.push("Accept", SDP);
    response.headers.push("Supported", "timer");
}

/// 405 for a method that we know and do not serve, 501 for any other.
pub(crate) const fn unsupported_status(method: &Method) -> u16 {
    if matches!(method, Method::Extension(_)) { 501 } else { 405 }
}

/// Status of `SIP/2.0 200 OK` at the start of a `message/sipfrag`.
fn sipfrag_status(body: &[u8]) -> Option<u16> {
    let line = body.split(|b| matches!(b, b'\r' | b'\n')).find(|line| !line.is_empty())?;
    let mut words = std::str::from_utf8(line).ok()?.split_whitespace();
    words.next().filter(|version| version.eq_ignore_ascii_case("SIP/2.0"))?;
    words.next()?.parse().ok().filter(|status| (100..=699).contains(status))
}
