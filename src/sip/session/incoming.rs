//! The PBX calls: from its INVITE to the ACK of our 2xx, or to a refusal.
//!
//! 180 leaves on command, reliably (RFC 3262) only where the INVITE requires it. A reliable 1xx to
//! an INVITE without an offer would have to carry ours, which is not known before the answer; such
//! a call gets no 180, which RFC 3262 allows.

use bytes::Bytes;
use rand_core::RngCore;

use super::ending::reason;
use super::repeat::{Due, Repeat};
use super::snapshot::Stage;
use super::timer::{self, Asked, Refresher, SessionTimer, Terms};
use super::{ALLOW, Confirm, Local, SDP, ServerId, Session, State};
use crate::ids::{CallId, Rng};
use crate::sdp::LocalMedia;
use crate::sip::dialog::Dialog;
use crate::sip::ident::token;
use crate::sip::message::{Refresher as Side, Request, Response, SessionExpires};
use crate::sip::{EndCause, Event, Party};
use crate::timers::{Duration, Instant, earliest};

/// How long a port rings at most: what the PBX says in Expires, and never longer than this.
const RING_MAX: Duration = Duration::from_secs(180);

/// An INVITE that waits for our final answer.
#[derive(Clone, Debug)]
pub(crate) struct Offered {
    tx: ServerId,
    invite: Request,
    give_up_at: Instant,
    reliable: Option<Reliable>,
}

/// A reliable 1xx that waits for its PRACK.
#[derive(Clone, Debug)]
struct Reliable {
    rseq: u32,
    response: Response,
    repeat: Repeat,
}

impl Offered {
    pub(super) fn poll_timeout(&self) -> Instant {
        let repeat = self.reliable.as_ref().map(|r| r.repeat.poll_timeout());
        earliest([Some(self.give_up_at), repeat]).unwrap_or(self.give_up_at)
    }

    pub(super) fn stage(&self, now: Instant) -> Stage {
        let invite = self.invite.to_bytes().unwrap_or_default();
        Stage::Offered {
            invite: String::from_utf8_lossy(&invite).into_owned(),
            rings_for: self.give_up_at.saturating_duration_since(now),
            rseq: self.reliable.as_ref().map(|r| r.rseq),
        }
    }
}

impl Offered {
    /// The INVITE of a call that rang at another node.
    pub(super) fn resume(now: Instant, tx: ServerId, invite: Request, rings_for: Duration) -> Self {
        Self { tx, invite, give_up_at: now + rings_for, reliable: None }
    }
}

impl Session {
    /// A call from the PBX. `None`: its INVITE makes no dialog (no Contact, no From tag).
    pub(crate) fn incoming(
        now: Instant,
        call: CallId,
        local: std::sync::Arc<Local>,
        mut rng: Rng,
        tx: ServerId,
        invite: Request,
        party: Party,
    ) -> Option<Self> {
        let dialog = Dialog::of_server(&invite, &token(&mut rng), &local.contact)?;
        let ring = invite.headers.expires().map_or(RING_MAX, |s| Duration::from_secs(s.into()));
        let give_up_at = now + ring.min(RING_MAX);
        let peer_updates = invite.headers.lists("Allow", "UPDATE");
        let offered = Offered { tx, invite, give_up_at, reliable: None };
        let state = State::Offered(Box::new(offered));
        let mut session = Self::new(call, local, rng, state, party);
        session.dialog = Some(dialog);
        session.peer_updates = peer_updates;
        Some(session)
    }

    pub(super) fn ring(&mut self, now: Instant) {
        let State::Offered(offered) = &self.state else { return };
        if offered.reliable.is_some() {
            return;
        }
        let required = offered.invite.headers.lists("Require", "100rel");
        if required && offered.invite.sdp().is_none() {
            return;
        }
        let tx = offered.tx;
        let mut response = self.reply(&offered.invite, 180);
        response.headers.push("Contact", &self.local.contact);
        response.headers.push("Allow", ALLOW);
        if required {
            self.ring_reliably(now, &mut response);
        }
        self.respond(tx, response);
    }

    fn ring_reliably(&mut self, now: Instant, response: &mut Response) {
        let rseq = (self.rng.next_u32() >> 8) + 1;
        response.headers.push("Require", "100rel");
        response.headers.push("RSeq", rseq);
        if let State::Offered(offered) = &mut self.state {
            let repeat = Repeat::provisional(now);
            offered.reliable = Some(Reliable { rseq, response: response.clone(), repeat });
        }
    }

    /// PRACK: 200 when it names the 1xx that waits, else 481 (RFC 3262 section 3). It may not
    /// change the media: the offer of the INVITE is still open.
    pub(super) fn prack(&mut self, tx: ServerId, request: &Request) {
        let rack = request.headers.rack().ok();
        let status = match &mut self.state {
            State::Offered(offered) => {
                let cseq = offered.invite.headers.cseq().ok();
                let waiting = offered.reliable.as_ref().map(|r| r.rseq).zip(cseq);
                if rack.is_none() || rack.as_ref().map(|r| (r.rseq, r.cseq.clone())) != waiting {
                    481
                } else if request.sdp().is_none() {
                    offered.reliable = None;
                    200
                } else {
                    488
                }
            }
            // The 2xx overtook it.
            State::Up | State::Closing { .. } if rack.is_some() => 200,
            State::Calling(_)
            | State::Up
            | State::Closing { .. }
            | State::Leaving
            | State::Over => 481,
        };
        let response = self.reply(request, status);
        self.respond(tx, response);
    }

    pub(super) fn answer(&mut self, now: Instant, media: LocalMedia) {
        let State::Offered(offered) = &self.state else { return };
        let (tx, invite) = (offered.tx, offered.invite.clone());
        self.media.set_local(media);
        let offer = invite.sdp();
        let sdp = match &offer {
            Some(offer) => self.media.answer(offer),
            None => self.media.offer().ok_or(488),
        };
        let sdp = match sdp {
            Ok(sdp) => sdp,
            Err(status) => return self.refuse_with(status, None, EndCause::Media),
        };
        self.state = State::Up;
        self.accept(now, tx, &invite, sdp, offer.is_none(), true);
        self.tell_media();
    }

    /// Sends the 2xx to an INVITE, with `sdp`, and repeats it until its ACK.
    pub(super) fn accept(
        &mut self,
        now: Instant,
        tx: ServerId,
        invite: &Request,
        sdp: Bytes,
        offered: bool,
        initial: bool,
    ) {
        let mut response = self.reply(invite, 200);
        self.describe(now, invite, &mut response);
        response.set_body(SDP, sdp);
        self.respond(tx, response.clone());
        let cseq = invite.headers.cseq().map_or(0, |c| c.seq);
        let repeat = Repeat::success(now);
        self.confirm = Some(Confirm { tx, response, cseq, repeat, offered, initial });
    }

    /// What every 2xx to INVITE and UPDATE says of this side, and the session timer it agrees to.
    pub(super) fn describe(&mut self, now: Instant, request: &Request, response: &mut Response) {
        response.headers.push("Contact", &self.local.contact);
        response.headers.push("Allow", ALLOW);
        response.headers.push("Supported", "timer");
        // An early dialog has no session to keep alive.
        if !matches!(self.state, State::Up) {
            return;
        }
        match timer::answer(asked(request), self.local.timer) {
            timer::Answer::Terms(terms) => {
                push_terms(response, terms);
                self.timer = Some(SessionTimer::start(now, terms));
            }
            // Refused before a 2xx is thought of.
            timer::Answer::TooSmall { .. } => {}
            timer::Answer::None => self.timer = None,
        }
    }

    pub(super) fn refuse(&mut self, status: u16) {
        let status = if (400..=699).contains(&status) { status } else { 480 };
        self.refuse_with(status, None, EndCause::Refused { status });
    }

    pub(super) fn refuse_with(&mut self, status: u16, cause: Option<u8>, end: EndCause) {
        let State::Offered(offered) = &self.state else { return };
        let tx = offered.tx;
        let mut response = self.reply(&offered.invite, status);
        if let Some(cause) = cause {
            response.headers.push("Reason", reason(cause));
        }
        self.respond(tx, response);
        self.end(end);
        self.over();
    }

    /// The far end sent CANCEL. After our final answer it has no effect.
    pub(super) fn cancelled(&mut self) {
        self.refuse_with(487, None, EndCause::Cancelled);
    }

    /// The ACK of a 2xx of ours (a repeated one finds nothing to confirm).
    pub(super) fn ack(&mut self, request: &Request) {
        let cseq = request.headers.cseq().ok().map(|c| c.seq);
        let Some(confirm) = self.confirm.take_if(|c| Some(c.cseq) == cseq) else { return };
        if let State::Closing { cause } = self.state {
            self.bye(cause, EndCause::LocalHangup { cause });
            return;
        }
        let agreed =
            !confirm.offered || request.sdp().is_some_and(|answer| self.media.accept(&answer));
        match (confirm.initial, agreed) {
            // A changed session keeps what it had (RFC 3261 section 14.2).
            (false, _) => self.tell_media(),
            (true, true) => {
                self.tell_media();
                self.event(Event::Established { call: self.call });
            }
            (true, false) => self.bye(None, EndCause::Media),
        }
    }

    pub(super) fn offered_timeout(&mut self, now: Instant) {
        let State::Offered(offered) = &mut self.state else { return };
        if now >= offered.give_up_at {
            return self.refuse_with(487, None, EndCause::Cancelled);
        }
        let Some(reliable) = &mut offered.reliable else { return };
        match reliable.repeat.handle_timeout(now) {
            Due::Early => {}
            Due::Again => {
                let (tx, response) = (offered.tx, reliable.response.clone());
                self.respond(tx, response);
            }
            Due::GaveUp => self.refuse_with(504, None, EndCause::Lost),
        }
    }

    /// Tells the node of a changed agreement.
    pub(super) fn tell_media(&mut self) {
        if let Some(media) = self.media.take_change() {
            self.event(Event::Media { call: self.call, media });
        }
    }
}

/// The Min-SE of a 422 to a new INVITE, when its interval is below ours.
pub(crate) fn refused_interval(invite: &Request, policy: timer::Policy) -> Option<u32> {
    match timer::answer(asked(invite), policy) {
        timer::Answer::TooSmall { min_se } => Some(min_se),
        timer::Answer::None | timer::Answer::Terms(_) => None,
    }
}

/// What a request asks of the session timer.
pub(super) fn asked(request: &Request) -> Asked {
    let headers = &request.headers;
    let expires = headers.session_expires().map(|SessionExpires { secs, refresher }| {
        let side = refresher.map(|r| match r {
            Side::Uac => Refresher::Remote,
            Side::Uas => Refresher::Local,
        });
        (secs, side)
    });
    let min_se = headers.min_se().unwrap_or_default();
    Asked { expires, min_se, supported: headers.lists("Supported", "timer") }
}

fn push_terms(response: &mut Response, terms: Terms) {
    let refresher = match terms.refresher {
        Refresher::Local => Side::Uas,
        Refresher::Remote => Side::Uac,
    };
    let expires = SessionExpires { secs: terms.interval, refresher: Some(refresher) };
    response.headers.push("Session-Expires", expires);
    // Section 9: required exactly when the far end shall do it.
    if terms.refresher == Refresher::Remote {
        response.headers.push("Require", "timer");
    }
}
