//! A call as plain data: all that another node needs to carry its dialog on.
//!
//! Deadlines travel as the time that remains, for two machines share no clock. Whoever takes a
//! dialog over leaps its CSeq ([`super::super::dialog::CSEQ_LEAP`]) and the version of its SDP, so
//! that an upper bound of both is enough.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::timer::{SessionTimer, Terms};
use super::{MediaState, Session, State};
use crate::ids::{CallId, Epoch, PortId};
use crate::sip::Party;
use crate::sip::dialog::Dialog;
use crate::sip::digest::Credentials;
use crate::timers::{Duration, Instant};

/// How far a call is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stage {
    /// The PBX calls; its INVITE waits for our final answer.
    Offered {
        /// The INVITE, as on the wire.
        invite: String,
        /// Time until it is refused.
        rings_for: Duration,
        /// RSeq of a reliable 1xx that is not confirmed.
        rseq: Option<u32>,
    },
    /// We call; our INVITE waits for its final answer.
    Calling {
        /// RSeq of the last reliable 1xx.
        rseq: Option<u32>,
    },
    /// Answered. `confirmed`: our 2xx, if we sent one, was acknowledged.
    Up {
        /// See above.
        confirmed: bool,
    },
    /// Hung up; only its last messages are under way.
    Ending,
}

/// One call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Its name.
    pub call: CallId,
    /// What its node acts under.
    #[serde(default)]
    pub epoch: Epoch,
    /// Its port.
    pub port: PortId,
    /// Where its messages came from, or went to.
    pub peer: SocketAddr,
    /// How far it is.
    pub stage: Stage,
    /// The dialog, once the far end has a tag.
    pub dialog: Option<Dialog>,
    /// We placed the call.
    pub outbound: bool,
    /// Last SDP both ways, and what was agreed.
    pub media: MediaState,
    /// Session timer and the time until the session is dead.
    pub timer: Option<(Terms, Duration)>,
    /// Smallest session interval, in seconds, that the far end accepts.
    pub min_se: u32,
    /// The far end takes UPDATE.
    pub peer_updates: bool,
    /// The far end's identity.
    pub party: Party,
    /// Realm, nonce, opaque, algorithm and count of the port's last credentials: PBXs challenge
    /// requests within calls, too.
    pub credentials: Option<Credentials>,
}

impl Session {
    /// The call as plain data.
    pub(crate) fn snapshot(
        &self,
        now: Instant,
        peer: SocketAddr,
        (epoch, credentials): (Epoch, Option<Credentials>),
    ) -> Snapshot {
        let remaining = |timer: &SessionTimer| (timer.terms(), timer.remaining(now));
        Snapshot {
            call: self.call,
            epoch,
            port: self.port(),
            peer,
            stage: self.stage(now),
            dialog: self.dialog.clone(),
            outbound: self.outbound,
            media: self.media.clone(),
            timer: self.timer.as_ref().map(remaining),
            min_se: self.min_se,
            peer_updates: self.peer_updates,
            party: self.party.clone(),
            credentials,
        }
    }

    fn stage(&self, now: Instant) -> Stage {
        match &self.state {
            State::Offered(offered) => offered.stage(now),
            State::Calling(calling) => calling.stage(),
            State::Up => Stage::Up { confirmed: self.confirm.is_none() },
            State::Closing { .. } | State::Leaving | State::Over => Stage::Ending,
        }
    }
}
