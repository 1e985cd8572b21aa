//! One machine: its clock, its disk, and the process on it, if there is one.

use super::action::Part;
use super::clock::Clock;
use super::disk::Disk;
use super::ledger::Ledger;
use super::lines::Line;
use crate::ha::Role;
use crate::ha::peer::Beat;
use crate::ids::Epoch;
use crate::node::Node;
use crate::sim::links::{Dice, Lossy};
use crate::timers::{Duration, Instant};

/// A process.
pub struct Process {
    /// The node.
    pub node: Box<Node>,
    /// Names this process: what was meant for an earlier one is lost.
    pub run: u64,
    /// When the node wants to be called.
    pub due: Option<Instant>,
    /// What its beats say.
    pub beat: Option<Beat>,
    /// What it last acted under.
    pub acted: Epoch,
    /// Its media ports.
    pub lines: Vec<Line>,
    /// The earliest deadline of them, by the clock of the machine.
    pub media_due: Option<Instant>,
    /// Its role as it was last seen.
    pub role: Role,
}

/// Something of it does not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped {
    /// What.
    pub part: Part,
    /// Until when.
    pub until: Instant,
}

/// A machine.
pub struct Host {
    /// Its clock.
    pub clock: Clock,
    /// Its disk.
    pub disk: Disk,
    /// What runs on it.
    pub process: Option<Process>,
    /// What does not run just now.
    pub stopped: Option<Stopped>,
    /// It is to stop so long behind its next input.
    pub midway: Option<Duration>,
    /// By its own clock: a lease that it had when it was paused is over then.
    pub excused_until: Instant,
    /// It runs and nothing is wrong with it, since then.
    pub well_since: Instant,
    /// Its way to the PBX and back is fair, since then.
    pub pbx_well_since: Option<Instant>,
    /// From the PBX.
    pub sip_in: Lossy,
    /// To the PBX.
    pub sip_out: Lossy,
    /// Nothing passes either way.
    pub pbx_cut: bool,
    /// The lease as whoever reads its letters sees it.
    pub ledger: Ledger,
    /// When the last process started.
    pub started_at: Instant,
    /// When it was promoted last.
    pub promoted_at: Instant,
}

impl Host {
    /// A machine that stands still.
    pub fn new(clock: Clock, mut dice: impl FnMut() -> Dice) -> Self {
        Self {
            clock,
            disk: Disk::default(),
            process: None,
            stopped: None,
            midway: None,
            excused_until: Instant::ZERO,
            well_since: Instant::ZERO,
            pbx_well_since: Some(Instant::ZERO),
            sip_in: Lossy::new(dice()),
            sip_out: Lossy::new(dice()),
            pbx_cut: false,
            ledger: Ledger::default(),
            started_at: Instant::ZERO,
            promoted_at: Instant::ZERO,
        }
    }

    /// Until when its event loop does not run.
    pub fn loop_stopped(&self) -> Option<Instant> {
        self.stopped.map(|stopped| stopped.until)
    }

    /// Until when its media does not run either.
    pub fn all_stopped(&self) -> Option<Instant> {
        let all = |stopped: &Stopped| matches!(stopped.part, Part::Process | Part::Machine);
        self.stopped.filter(all).map(|stopped| stopped.until)
    }

    /// Whether its process may claim at this moment.
    pub fn may_claim(&self, now: Instant) -> bool {
        let local = self.clock.local(now);
        self.process.as_ref().is_some_and(|process| process.node.may_claim(local))
    }

    /// It was paused with its clock, and may believe in a lease that is over.
    pub fn is_excused(&self, now: Instant) -> bool {
        self.clock.is_paused() || self.clock.local(now) < self.excused_until
    }

    /// Its process serves, and runs.
    pub fn serves(&self, now: Instant) -> bool {
        let primary = |process: &Process| matches!(process.role, Role::Primary(_));
        self.process.as_ref().is_some_and(primary) && self.stopped.is_none() && self.may_claim(now)
    }

    /// When media wants to be called, in real time.
    pub fn media_due(&self) -> Option<Instant> {
        if self.all_stopped().is_some() {
            return None;
        }
        self.clock.real(self.process.as_ref()?.media_due?)
    }

    /// When the node wants to be called, in real time.
    pub fn node_due(&self) -> Option<Instant> {
        if self.stopped.is_some() {
            return None;
        }
        self.process.as_ref()?.due
    }
}
