//! A call of another node, carried on by this one.
//!
//! The dialog leaps: our next CSeq stands above whatever the other node may have sent and the
//! version of our description above what it may have said, so that a replica which is a little old
//! does as well as a fresh one, and a request of the other node that is still on its way is refused
//! by the far end as an old one (RFC 3261 section 12.2.2). Then a re-INVITE says where the call's
//! audio is now. A PBX that has not yet seen this node's REGISTER may refuse that, so a refusal is
//! tried again for a while; a dialog that the far end does not know any more is over at once.

use std::sync::Arc;

use super::exchange::Change;
use super::incoming::Offered;
use super::snapshot::{Snapshot, Stage};
use super::timer::SessionTimer;
use super::{Local, ServerId, Session, State};
use crate::ids::{Epoch, Rng};
use crate::sdp::LocalMedia;
use crate::sip::message::Request;
use crate::sip::{EndCause, Event};
use crate::timers::{Duration, Instant};

/// Between two tries to tell the far end.
const RETRY: Duration = Duration::from_secs(1);
/// So long it is tried: ports register meanwhile.
const PATIENCE: Duration = Duration::from_secs(32);

/// How the far end finds the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// A re-INVITE tells it this node's address.
    Reinvite,
    /// This node has taken the other one's address.
    SameAddress,
}

/// A call to carry on.
#[derive(Clone, Debug)]
pub struct Recovery {
    /// The call as the other node knew it.
    pub snapshot: Snapshot,
    /// Where its audio is here.
    pub media: LocalMedia,
    /// How the far end finds it.
    pub way: Way,
}

impl Session {
    /// The call of `recovery`, which goes on from here under this epoch. `ringing`: its INVITE, if
    /// it waits for an answer. `None`: there is nothing to carry on.
    pub(crate) fn recovered(
        now: Instant,
        local: Arc<Local>,
        rng: Rng,
        (recovery, epoch): (Recovery, Epoch),
        ringing: Option<(ServerId, Request)>,
    ) -> Option<Self> {
        let Recovery { snapshot, media, way } = recovery;
        let leaps = epoch.leaps(snapshot.epoch);
        let up = matches!(snapshot.stage, Stage::Up { .. } | Stage::Ending);
        let state = match (&snapshot.stage, ringing) {
            (Stage::Offered { rings_for, .. }, Some((tx, invite))) => {
                State::Offered(Box::new(Offered::resume(now, tx, invite, *rings_for)))
            }
            (Stage::Up { .. } | Stage::Ending, _) => State::Up,
            // The answer to an INVITE of the other node goes to that node.
            (Stage::Offered { .. }, None) | (Stage::Calling { .. }, _) => return None,
        };
        let mut dialog = snapshot.dialog?;
        dialog.leap(&local.contact, leaps);
        let mut session = Self::new(snapshot.call, local, rng, state, snapshot.party);
        session.dialog = Some(dialog);
        session.outbound = snapshot.outbound;
        session.media = snapshot.media;
        session.media.leap(media, leaps);
        session.min_se = snapshot.min_se;
        session.peer_updates = snapshot.peer_updates;
        let resume = |(terms, remaining)| SessionTimer::resume(now, terms, remaining);
        session.timer = snapshot.timer.map(resume).filter(|_| up);
        match (snapshot.stage, way) {
            (Stage::Ending, _) => session.bye(None, EndCause::LocalHangup { cause: None }),
            (Stage::Up { .. }, Way::Reinvite) => session.moving_until = Some(now + PATIENCE),
            _ => {
                session.refresh_again(now);
                session.taken_over();
            }
        }
        Some(session)
    }

    /// It is this call's turn to tell its far end.
    pub(super) fn take_over(&mut self) {
        if self.moving_until.is_some() {
            self.exchange.want(Change::TakeOver);
        }
    }

    pub(super) fn taken_over(&mut self) {
        self.moving_until = None;
        self.event(Event::Recovered { call: self.call });
    }

    pub(super) fn take_over_refused(&mut self, now: Instant) {
        if self.moving_until.is_some_and(|until| now + RETRY < until) {
            self.exchange.retry(now + RETRY);
        } else {
            self.bye(None, EndCause::Lost);
        }
    }
}
