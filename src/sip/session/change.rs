//! Our side changes the session: hold, resume, refresh.
//!
//! A refresh is an UPDATE without SDP where the far end takes UPDATE, else a re-INVITE that repeats
//! the last SDP; a hold is always a re-INVITE, because its offer may need a person's answer. A
//! change that the far end refuses leaves the session as it was. An answer that says the dialog is
//! unknown, or silence, ends the call (RFC 3261 section 12.2.1.2).

use super::exchange::Change;
use super::{ALLOW, Output, Purpose, Refresher, SDP, Session, State};
use crate::sip::message::{Method, Refresher as Side, Request, Response, SessionExpires};
use crate::sip::{EndCause, Event};
use crate::timers::{Duration, Instant};

/// Longest Retry-After that a change waits for.
const RETRY_AFTER_MAX: u32 = 60;
/// Larger Min-SE than this is not obeyed: a day.
const MIN_SE_MAX: u32 = 86_400;

impl Session {
    pub(super) fn hold(&mut self, on: bool) {
        if !matches!(self.state, State::Up) {
            return;
        }
        if self.moving_until.is_some() && self.exchange.under_way().is_none() {
            // The offer of the take-over says it.
            return self.media.hold(on);
        }
        self.exchange.want(Change::Hold(on));
    }

    /// The call is up, and no INVITE of the far end is open.
    pub(super) const fn may_change(&self) -> bool {
        matches!(self.state, State::Up) && self.confirm.is_none()
    }

    /// Sends the change that may leave.
    pub(super) fn send_change(&mut self, now: Instant) {
        if !self.may_change() {
            return;
        }
        let Some(change) = self.exchange.take(now) else { return };
        match change {
            Change::Hold(on) => {
                self.media.hold(on);
                self.reinvite();
            }
            Change::Refresh if self.peer_updates => self.update(),
            Change::Refresh | Change::TakeOver => self.reinvite(),
        }
    }

    fn reinvite(&mut self) {
        let Some(sdp) = self.media.offer() else { return };
        let Some(mut request) = self.refreshing(Method::Invite) else { return };
        request.set_body(SDP, sdp);
        self.send_in_dialog(Purpose::Change, request);
    }

    fn update(&mut self) {
        if let Some(request) = self.refreshing(Method::Update) {
            self.send_in_dialog(Purpose::Change, request);
        }
    }

    /// A request that refreshes target and session.
    fn refreshing(&mut self, method: Method) -> Option<Request> {
        let mut request = self.dialog.as_mut()?.request(method);
        request.headers.push("Contact", &self.local.contact);
        request.headers.push("Allow", ALLOW);
        request.headers.push("Supported", "timer");
        if let Some(timer) = &self.timer {
            let terms = timer.terms();
            let interval = terms.interval.max(self.min_se);
            // The role stays: of this request we are the client.
            let refresher = Some(match terms.refresher {
                Refresher::Local => Side::Uac,
                Refresher::Remote => Side::Uas,
            });
            request.headers.push("Session-Expires", SessionExpires { secs: interval, refresher });
            request.headers.push("Min-SE", self.min_se);
        }
        Some(request)
    }

    pub(super) fn send_in_dialog(&mut self, purpose: Purpose, request: Request) {
        let hop = self.dialog.as_ref().map(|d| d.next_hop());
        self.outputs.push_back(Output::Send { purpose, request, hop });
    }

    pub(super) fn change_response(&mut self, now: Instant, cseq: u32, response: &Response) {
        let invite = response.headers.cseq().is_ok_and(|c| c.method == Method::Invite);
        match response.status {
            0..=199 => {}
            200..=299 if self.exchange.under_way().is_some() => {
                self.change_accepted(now, cseq, response, invite);
            }
            200..=299 if invite => self.acknowledge_again(cseq),
            200..=299 => {}
            408 | 481 => self.lost(true),
            491 => self.exchange.glare(now, self.outbound, &mut self.rng),
            422 => self.refresh_raised(now, response),
            status => self.change_refused(now, status, response),
        }
    }

    fn change_accepted(&mut self, now: Instant, cseq: u32, response: &Response, invite: bool) {
        if let Some(dialog) = &mut self.dialog {
            dialog.refresh_target(&response.headers);
        }
        if invite {
            self.acknowledge(cseq);
        }
        let change = self.exchange.done();
        if !matches!(self.state, State::Up) {
            return;
        }
        if change == Some(Change::TakeOver) {
            self.taken_over();
        }
        if let Some(answer) = response.sdp().filter(|_| invite) {
            self.media.accept(&answer);
        }
        self.start_timer(now, response);
        self.tell_media();
    }

    fn change_refused(&mut self, now: Instant, status: u16, response: &Response) {
        if let (500 | 503, Some(after)) = (status, response.headers.retry_after()) {
            let pause = Duration::from_secs(u64::from(after.min(RETRY_AFTER_MAX)));
            self.exchange.retry(now + pause);
            return;
        }
        // A far end that announced UPDATE and does not take it gets re-INVITEs from here on.
        if matches!(status, 405 | 501) && self.peer_updates {
            self.peer_updates = false;
            self.exchange.retry(now);
            return;
        }
        match self.exchange.under_way() {
            Some(Change::TakeOver) => return self.take_over_refused(now),
            Some(Change::Hold(on)) => self.hold_refused(on),
            Some(Change::Refresh) | None => {}
        }
        self.change_given_up(now);
    }

    fn hold_refused(&mut self, on: bool) {
        self.media.hold(!on);
        self.event(Event::HoldRefused { call: self.call, on });
    }

    /// Nothing was changed, and the session was not refreshed.
    fn change_given_up(&mut self, now: Instant) {
        self.exchange.done();
        self.refresh_again(now);
    }

    pub(super) fn refresh_again(&mut self, now: Instant) {
        if let Some(timer) = &mut self.timer {
            timer.refresh_again(now);
        }
    }

    /// 422 to a refresh: again with the minimum that it names, if that is more than ours.
    fn refresh_raised(&mut self, now: Instant, response: &Response) {
        let min = response.headers.min_se().unwrap_or_default();
        if min > self.min_se && min <= MIN_SE_MAX {
            self.min_se = min;
            self.exchange.retry(now);
        } else {
            self.change_refused(now, response.status, response);
        }
    }

    pub(super) fn change_failed(&mut self, now: Instant, status: u16) {
        match status {
            503 => self.exchange.retry(now + Duration::from_secs(2)),
            _ => {
                self.exchange.done();
                if matches!(self.state, State::Up) {
                    self.bye(None, EndCause::Lost);
                }
            }
        }
    }
}
