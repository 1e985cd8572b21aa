//! Offer and answer of one call (RFC 3264): what we said last, and what both sides agreed on.
//!
//! An agreement is replaced only by the next one, so a change that fails leaves the old one as it
//! was.

use bytes::Bytes;
use rand_core::RngCore;
use serde::{Deserialize, Serialize};

use crate::ids::Rng;
use crate::sdp::{self, Direction, LocalMedia, Negotiated, Origin};

/// What a node that takes a call over adds to the version of its description: with a version that
/// it has seen the far end would keep the old address.
const VERSION_LEAP: u64 = 1_000;

/// The media side of a session. Part of a dialog's snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MediaState {
    origin: Origin,
    local: Option<LocalMedia>,
    /// We hold the far end.
    held: bool,
    agreed: Option<Negotiated>,
    /// The agreement that the node knows.
    told: Option<Negotiated>,
    /// Direction of our last offer.
    offered: Direction,
    /// The last description of the far end that we took.
    remote: Option<String>,
}

impl MediaState {
    pub(super) fn new(rng: &mut Rng) -> Self {
        // Below 2^31: there are PBXs that read the session id as an `int`.
        let session = u64::from(rng.next_u32() >> 1);
        Self {
            origin: Origin::new(session),
            local: None,
            held: false,
            agreed: None,
            told: None,
            offered: Direction::SendRecv,
            remote: None,
        }
    }

    pub(super) fn set_local(&mut self, local: LocalMedia) {
        self.local = Some(local);
    }

    /// Another node carries the call on, with media of its own. What was agreed holds until the
    /// far end has the new address.
    pub(super) fn leap(&mut self, local: LocalMedia, leaps: u32) {
        self.origin.leap(VERSION_LEAP * u64::from(leaps));
        self.local = Some(local);
    }

    pub(super) const fn hold(&mut self, on: bool) {
        self.held = on;
    }

    /// What we would do if the far end agreed to everything. A held far end hears us, so that it
    /// may be given music.
    const fn wanted(&self) -> Direction {
        if self.held { Direction::SendOnly } else { Direction::SendRecv }
    }

    /// All that we can do, whatever was agreed before. `None` before the node gave a media port.
    pub(super) fn offer(&mut self) -> Option<Bytes> {
        self.offered = self.wanted();
        let local = self.local.as_ref()?;
        Some(sdp::offer(local, &mut self.origin, self.offered).into())
    }

    /// Answers an offer, or says with which status to refuse it.
    pub(super) fn answer(&mut self, offer: &[u8]) -> Result<Bytes, u16> {
        let wanted = self.wanted();
        let local = self.local.as_ref().ok_or(488u16)?;
        let (sdp, agreed) =
            sdp::answer(offer, local, &mut self.origin, wanted).map_err(|e| e.status())?;
        self.agreed = Some(agreed);
        self.note_remote(offer);
        Ok(sdp.into())
    }

    /// Takes the answer to our last offer. False: it is none.
    pub(super) fn accept(&mut self, answer: &[u8]) -> bool {
        let Some(local) = &self.local else { return false };
        match sdp::accept(answer, local, &self.origin, self.offered) {
            Ok(agreed) => {
                self.agreed = Some(agreed);
                self.note_remote(answer);
                true
            }
            Err(_) => false,
        }
    }

    fn note_remote(&mut self, sdp: &[u8]) {
        self.remote = Some(String::from_utf8_lossy(sdp).into_owned());
    }

    pub(super) const fn is_agreed(&self) -> bool {
        self.agreed.is_some()
    }

    /// The agreement, if the node does not know it.
    pub(super) fn take_change(&mut self) -> Option<Negotiated> {
        if self.told == self.agreed {
            return None;
        }
        self.told = self.agreed;
        self.agreed
    }
}
