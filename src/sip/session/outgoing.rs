//! We call: from our INVITE to its final answer.
//!
//! The first 2xx is the call. A 2xx of another branch of a fork is acknowledged and ended at once
//! (RFC 3261 section 13.2.2.4). A call that is given up gets CANCEL once a provisional answer
//! came; a 2xx that crosses the CANCEL is acknowledged and ended.

use std::collections::BTreeMap;

use super::snapshot::Stage;
use super::timer::{Refresher, SessionTimer, Terms};
use super::{ALLOW, Local, Output, Purpose, SDP, Session, State};
use crate::ids::{CallId, Rng};
use crate::sdp::LocalMedia;
use crate::sip::dialog::Dialog;
use crate::sip::ident::token;
use crate::sip::message::{
    CSeq, Method, NameAddr, Refresher as Side, Request, Response, SessionExpires, Uri,
};
use crate::sip::{EndCause, Event, Party};
use crate::timers::{Duration, Instant};

/// How long the far end may ring.
const RING_MAX: Duration = Duration::from_secs(180);
/// Larger Min-SE than this is not obeyed: a day.
const MIN_SE_MAX: u32 = 86_400;
/// Early dialogs of one INVITE whose reliable answers are acknowledged; a hunt group has fewer.
const FORKS_MAX: usize = 64;

/// An INVITE of ours that waits for its final answer.
#[derive(Clone, Debug)]
pub(crate) struct Calling {
    invite: Request,
    cseq: u32,
    give_up_at: Instant,
    rang: bool,
    /// A 1xx came, so that CANCEL may leave.
    proceeding: bool,
    given_up: bool,
    /// RSeq of the last reliable 1xx of each early dialog, by the far end's tag: every phone of a
    /// fork counts by itself (RFC 3262 section 4).
    rseq: BTreeMap<String, u32>,
    /// An UPDATE changed what a reliable 1xx had agreed on, so the SDP of the 2xx says nothing new.
    updated: bool,
}

impl Calling {
    pub(super) const fn poll_timeout(&self) -> Instant {
        self.give_up_at
    }

    pub(super) const fn next_cseq(&mut self) -> u32 {
        self.cseq += 1;
        self.cseq
    }

    /// Whether our offer has its answer, in a reliable 1xx, so that the far end may make another
    /// (RFC 3311 section 5.1).
    pub(super) fn was_answered_early(&self) -> bool {
        !self.rseq.is_empty()
    }

    /// Whether this reliable 1xx is the first of its early dialog, or follows the last one.
    fn is_next(&mut self, tag: &str, rseq: u32) -> bool {
        let follows = match self.rseq.get(tag) {
            Some(last) => last.checked_add(1) == Some(rseq),
            None => self.rseq.len() < FORKS_MAX,
        };
        if follows {
            self.rseq.insert(tag.to_owned(), rseq);
        }
        follows
    }

    pub(super) const fn note_update(&mut self) {
        self.updated = true;
    }

    pub(super) fn stage(&self) -> Stage {
        Stage::Calling { rseq: self.rseq.values().max().copied() }
    }

    pub(super) fn key(&self) -> Option<(String, String)> {
        let headers = &self.invite.headers;
        let from = headers.from().ok()?;
        Some((headers.call_id().ok()?.to_owned(), from.tag()?.to_owned()))
    }
}

/// Whom to call, and as whom.
#[derive(Clone, Debug)]
pub(crate) struct Target<'a> {
    pub(crate) uri: Uri,
    pub(crate) caller: &'a Party,
}

impl Session {
    /// Places a call. `None`: no codec to offer.
    pub(crate) fn outgoing(
        now: Instant,
        call: CallId,
        local: std::sync::Arc<Local>,
        mut rng: Rng,
        target: Target<'_>,
        media: LocalMedia,
    ) -> Option<Self> {
        let mut invite = invite(&local, &target, &mut rng);
        let calling = Calling {
            invite: invite.clone(),
            cseq: 1,
            give_up_at: now + RING_MAX,
            rang: false,
            proceeding: false,
            given_up: false,
            rseq: BTreeMap::new(),
            updated: false,
        };
        let number = target.uri.user_text().unwrap_or_default().into_owned();
        let party = Party { number: number.into(), ..Party::default() };
        let mut session = Self::new(call, local, rng, State::Calling(Box::new(calling)), party);
        session.media.set_local(media);
        let sdp = session.media.offer()?;
        invite.set_body(SDP, sdp);
        if let State::Calling(calling) = &mut session.state {
            calling.invite = invite.clone();
        }
        session.send_invite(invite);
        Some(session)
    }

    fn send_invite(&mut self, request: Request) {
        self.outputs.push_back(Output::Send { purpose: Purpose::Invite, request, hop: None });
    }

    pub(super) fn invite_response(&mut self, now: Instant, cseq: u32, response: &Response) {
        match (&self.state, response.status) {
            (_, 100) => self.proceeding(),
            (State::Calling(_), 101..=199) => self.progress(cseq, response),
            (State::Calling(_), 200..=299) => self.accepted(now, cseq, response),
            (_, 200..=299) => self.accepted_again(cseq, response),
            (State::Calling(calling), 422) if !calling.given_up => self.raise_interval(response),
            (State::Calling(_), 300..) => {
                self.end(EndCause::Refused { status: response.status });
                self.over();
            }
            _ => {}
        }
    }

    fn proceeding(&mut self) {
        let State::Calling(calling) = &mut self.state else { return };
        let first = !std::mem::replace(&mut calling.proceeding, true);
        if first && calling.given_up {
            self.outputs.push_back(Output::Cancel);
        }
    }

    fn progress(&mut self, cseq: u32, response: &Response) {
        self.proceeding();
        let State::Calling(calling) = &mut self.state else { return };
        if calling.given_up {
            return;
        }
        let rings = response.status >= 180 && !std::mem::replace(&mut calling.rang, true);
        self.meet(cseq, response);
        if rings {
            self.event(Event::Ringing { call: self.call });
        }
        if !self.acknowledge_provisional(cseq, response) {
            return;
        }
        if response.sdp().is_some_and(|answer| self.media.accept(&answer)) {
            self.tell_media();
        }
    }

    /// Takes up the (early) dialog of a response; CSeqs that we used go on.
    fn meet(&mut self, cseq: u32, response: &Response) {
        let State::Calling(calling) = &self.state else { return };
        let Some(mut dialog) = Dialog::of_client(&calling.invite, response) else { return };
        let used = self.dialog.as_ref().map_or(cseq, |d| d.local_cseq);
        dialog.local_cseq = used.max(cseq);
        if let Some(old) = &self.dialog
            && old.remote_tag() == dialog.remote_tag()
        {
            dialog.remote_cseq = old.remote_cseq;
        }
        self.dialog = Some(dialog);
    }

    /// PRACK for a reliable 1xx (RFC 3262 section 4). False: a repetition, or out of order.
    fn acknowledge_provisional(&mut self, cseq: u32, response: &Response) -> bool {
        let State::Calling(calling) = &mut self.state else { return false };
        let reliable = response.headers.lists("Require", "100rel");
        let Some(rseq) = response.headers.rseq().filter(|_| reliable) else { return true };
        let Some(dialog) = &mut self.dialog else { return false };
        if !calling.is_next(dialog.remote_tag(), rseq) {
            return false;
        }
        let mut request = dialog.request(Method::Prack);
        request.headers.push("RAck", format!("{rseq} {cseq} INVITE"));
        let hop = Some(dialog.next_hop());
        self.outputs.push_back(Output::Send { purpose: Purpose::Prack, request, hop });
        true
    }

    fn accepted(&mut self, now: Instant, cseq: u32, response: &Response) {
        let State::Calling(calling) = &self.state else { return };
        let (given_up, invite) = (calling.given_up, calling.invite.clone());
        let branch = self.dialog.as_ref().map(|d| d.remote_tag().to_owned());
        let updated = calling.updated;
        self.meet(cseq, response);
        if self.dialog.is_none() {
            // A 2xx without Contact or tag: there is nobody whom an ACK could reach.
            self.end(EndCause::Lost);
            self.over();
            return;
        }
        self.peer_updates = response.headers.lists("Allow", "UPDATE");
        self.acknowledge(cseq);
        self.placed = Some(invite);
        self.state = State::Up;
        if given_up {
            self.bye(None, EndCause::LocalHangup { cause: None });
            return;
        }
        let updated = updated && branch.as_deref() == self.dialog.as_ref().map(Dialog::remote_tag);
        if let Some(answer) = response.sdp().filter(|_| !updated) {
            self.media.accept(&answer);
        }
        if !self.media.is_agreed() {
            self.bye(None, EndCause::Media);
            return;
        }
        self.start_timer(now, response);
        self.tell_media();
        self.event(Event::Established { call: self.call });
    }

    /// ACK for the 2xx to the INVITE with this CSeq.
    pub(super) fn acknowledge(&mut self, cseq: u32) {
        let Some(dialog) = &self.dialog else { return };
        let (request, hop) = (dialog.ack(cseq), dialog.next_hop());
        self.acked = Some(request.clone());
        self.outputs.push_back(Output::Ack { request, hop });
    }

    /// A 2xx after the first: repeated, or of another branch of a fork.
    fn accepted_again(&mut self, cseq: u32, response: &Response) {
        let to = response.headers.to().ok();
        let tag = to.as_ref().and_then(NameAddr::tag).unwrap_or_default();
        let same = self.dialog.as_ref().is_some_and(|d| d.remote_tag() == tag);
        if same {
            self.acknowledge_again(cseq);
        } else {
            self.end_branch(cseq, response);
        }
    }

    /// Answers a repeated 2xx with the ACK that it got.
    pub(super) fn acknowledge_again(&mut self, cseq: u32) {
        let (Some(request), Some(dialog)) = (&self.acked, &self.dialog) else { return };
        if request.headers.cseq().is_ok_and(|c| c.seq == cseq) {
            let (request, hop) = (request.clone(), dialog.next_hop());
            self.outputs.push_back(Output::Ack { request, hop });
        }
    }

    /// A 2xx to an INVITE from before this call came back: its sender repeats it until the ACK, and
    /// ends the call without one (RFC 3261 section 13.3.1.4).
    pub(super) fn acknowledge_stray(&mut self, cseq: u32, response: &Response) {
        let invite = response.headers.cseq().is_ok_and(|c| c.method == Method::Invite);
        if let Some(dialog) = self.dialog.as_ref().filter(|_| invite && response.status / 100 == 2)
        {
            let (request, hop) = (dialog.ack(cseq), dialog.next_hop());
            self.outputs.push_back(Output::Ack { request, hop });
        }
    }

    fn end_branch(&mut self, cseq: u32, response: &Response) {
        let Some(invite) = &self.placed else { return };
        let Some(mut branch) = Dialog::of_client(invite, response) else { return };
        let hop = branch.next_hop();
        self.outputs.push_back(Output::Ack { request: branch.ack(cseq), hop: hop.clone() });
        let request = branch.request(Method::Bye);
        self.outputs.push_back(Output::Send { purpose: Purpose::Stray, request, hop: Some(hop) });
    }

    /// 422: once more with the far end's minimum (RFC 4028 section 7.4).
    fn raise_interval(&mut self, response: &Response) {
        let min = response.headers.min_se().unwrap_or_default();
        let State::Calling(calling) = &mut self.state else { return };
        if min <= self.min_se || min > MIN_SE_MAX {
            self.end(EndCause::Refused { status: 422 });
            self.over();
            return;
        }
        self.min_se = min;
        let mut invite = calling.invite.clone();
        let interval = min.max(self.local.timer.expires);
        invite.headers.set("Session-Expires", interval);
        invite.headers.set("Min-SE", min);
        invite.headers.set("CSeq", CSeq { seq: calling.next_cseq(), method: Method::Invite });
        calling.invite = invite.clone();
        self.send_invite(invite);
    }

    /// The session timer that a 2xx to our INVITE or UPDATE agreed to.
    pub(super) fn start_timer(&mut self, now: Instant, response: &Response) {
        let agreed = response.headers.session_expires();
        self.timer = agreed.map(|SessionExpires { secs, refresher }| {
            let refresher = match refresher {
                Some(Side::Uas) => Refresher::Remote,
                Some(Side::Uac) | None => Refresher::Local,
            };
            let interval = secs.max(super::timer::SHORTEST);
            SessionTimer::start(now, Terms { interval, refresher })
        });
    }

    pub(super) fn invite_failed(&mut self, status: u16) {
        if matches!(self.state, State::Calling(_)) {
            self.end(EndCause::Refused { status });
            self.over();
        }
    }

    /// Gives the call up.
    pub(super) fn cancel(&mut self, end: EndCause) {
        let State::Calling(calling) = &mut self.state else { return };
        if !std::mem::replace(&mut calling.given_up, true) && calling.proceeding {
            self.outputs.push_back(Output::Cancel);
        }
        self.end(end);
    }

    pub(super) fn calling_timeout(&mut self, now: Instant) {
        let State::Calling(calling) = &mut self.state else { return };
        if now >= calling.give_up_at {
            calling.give_up_at = Instant::from_nanos(u64::MAX);
            self.cancel(EndCause::Refused { status: 408 });
        }
    }
}

fn invite(local: &Local, target: &Target<'_>, rng: &mut Rng) -> Request {
    let caller = target.caller;
    let name = caller.name.reveal();
    let from = NameAddr::new(local.aor.clone()).with_display(name).with_tag(&token(rng));
    let mut request = Request::new(Method::Invite, target.uri.clone());
    let headers = &mut request.headers;
    headers.push("Max-Forwards", 70);
    headers.push("From", from);
    headers.push("To", NameAddr::new(target.uri.clone()));
    headers.push("Call-ID", token(rng));
    headers.push("CSeq", CSeq { seq: 1, method: Method::Invite });
    headers.push("Contact", &local.contact);
    headers.push("Allow", ALLOW);
    headers.push("Supported", "timer, 100rel");
    headers.push("Session-Expires", local.timer.expires);
    headers.push("Min-SE", local.timer.min_se);
    headers.push("Expires", RING_MAX.as_secs());
    let number = caller.number.reveal();
    if !number.is_empty() {
        let uri = Uri::sip(Some(number), local.aor.host.clone());
        headers.push("P-Asserted-Identity", NameAddr::new(uri).with_display(name));
    }
    request
}
