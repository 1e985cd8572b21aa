//! From the loss of a primary until the other node has every port and answers a new call.
//!
//! The caller dials from the first moment on, and again after 50 ms without an answer. A port that
//! refuses is passed over at once for the next free one, as a hunt group does; a call counts as
//! refused when all of them did.

use std::io;
use std::net::IpAddr;

use crate::driver::clock;
use crate::sim::pbx::{Event, LineId};
use crate::stage::cast::PATIENCE;
use crate::stage::node::pause;
use crate::stage::pbx::Noted;
use crate::stage::trio::{Registrations, Trio};
use crate::timers::{Duration, Instant};

/// A new caller waits so long for an answer, and dials again.
const ATTEMPT: Duration = Duration::from_millis(50);

/// How often the notes of the PBX are read.
const LOOK: Duration = Duration::from_millis(2);

/// What the PBX saw of a promotion.
pub(super) struct Seen {
    pub registered_at: Instant,
    pub answered_at: Instant,
    /// New calls that every free port refused.
    pub refused: usize,
}

/// Watches until every port is bound to the new primary and a new call was answered there.
pub(super) fn until_served(
    trio: &mut Trio,
    next: usize,
    calls: usize,
    lost_at: Instant,
) -> io::Result<Seen> {
    let mut eyes = Eyes::new(trio, next, calls);
    while clock::now().saturating_duration_since(lost_at) < PATIENCE {
        eyes.dial_again(trio);
        pause(LOOK);
        for noted in trio.pbx.events.try_iter() {
            eyes.see(trio, &noted);
        }
        if let (Some(registered_at), Some(answered_at)) =
            (eyes.registrations.complete_at, eyes.answered_at)
        {
            eyes.hang_up(trio);
            return Ok(Seen { registered_at, answered_at, refused: eyes.refused });
        }
    }
    let (bound, ports) = eyes.registrations.progress();
    let answered = eyes.answered_at.is_some();
    let what = format!(
        "waited in vain: {bound} of {ports} ports are registered, new calls answered: {answered}"
    );
    Err(io::Error::new(io::ErrorKind::TimedOut, what))
}

struct Eyes {
    address: IpAddr,
    registrations: Registrations,
    answered_at: Option<Instant>,
    attempt: Option<Attempt>,
    /// Ports without a call.
    free: u32,
    refused: usize,
}

/// A new caller.
struct Attempt {
    line: LineId,
    since: Instant,
    /// Free ports that were dialled for it.
    dialled: u32,
    is_refused: bool,
}

impl Eyes {
    fn new(trio: &Trio, next: usize, calls: usize) -> Self {
        Self {
            address: trio.sites[next].address,
            registrations: Registrations::at(trio, next),
            answered_at: None,
            attempt: None,
            free: trio.ports.saturating_sub(u32::try_from(calls).unwrap_or(u32::MAX)),
            refused: 0,
        }
    }

    fn dial_again(&mut self, trio: &mut Trio) {
        if self.answered_at.is_some() {
            return;
        }
        let now = clock::now();
        match &self.attempt {
            Some(attempt) if now >= attempt.since + ATTEMPT => self.hang_up(trio),
            Some(Attempt { is_refused: true, since, dialled, .. }) if *dialled < self.free => {
                self.attempt = Some(Attempt::dial(trio, *since, *dialled));
            }
            Some(Attempt { is_refused: true, .. }) => {
                self.refused += 1;
                self.attempt = None;
            }
            Some(_) => {}
            None => self.attempt = Some(Attempt::dial(trio, now, 0)),
        }
    }

    fn hang_up(&mut self, trio: &Trio) {
        if let Some(attempt) = self.attempt.take() {
            trio.give_up(attempt.line);
        }
    }

    fn see(&mut self, trio: &Trio, noted: &Noted) {
        self.registrations.see(trio, noted);
        match &noted.event {
            Event::Answered { line, media }
                if self.is_attempt(*line) && media.remote.ip() == self.address =>
            {
                self.answered_at = self.answered_at.or(Some(noted.at));
            }
            Event::Ended { line, refused: Some(_), .. } if self.is_attempt(*line) => {
                if let Some(attempt) = &mut self.attempt {
                    attempt.is_refused = true;
                }
            }
            _ => {}
        }
    }

    fn is_attempt(&self, line: LineId) -> bool {
        self.attempt.as_ref().is_some_and(|attempt| attempt.line == line)
    }
}

impl Attempt {
    /// Dials the next free port; the last ports have no calls.
    fn dial(trio: &mut Trio, since: Instant, dialled: u32) -> Self {
        let line = trio.dial(trio.ports - 1 - dialled);
        Self { line, since, dialled: dialled + 1, is_refused: false }
    }
}
