//! The port state machine: what a port does with its call, and until when.
//!
//! ```text
//! Idle -> Queued -> Offered -> Bound -> Idle
//!            ^        ^ |        |
//!            |        | v        v
//!            |     Rebinding <---+      (owner hung, crashed, silent; or moved on purpose)
//!            v        v
//!            Announce, Leaving          (no healthy instance: prompts, then refer or release)
//! Outbound -> Offered when the far end answers
//! ```
//!
//! An idle port has no call and no state of its own. Any other state belongs to a call, and
//! carries its instance and deadlines as fields: none of them can outlive it. The generation
//! belongs to the call, since it outlives every owner: it is the token of the offer that stands,
//! or of the next one when none does.

use super::Reason;
use super::journal::Journal;
use crate::ids::{CallId, Generation, InstanceId};
use crate::timers::{Duration, Instant, earliest};

/// An application: its place in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct AppId(pub u16);

/// One entry of a call's way through the port's list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// The instances of an application.
    App(AppId),
    /// `builtin:announce`
    Announce,
}

/// A call and everything about it that no change of owner changes.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub id: CallId,
    /// Who may serve it, in order.
    pub route: Vec<Stop>,
    /// Whose turn it is: a place in `route`, or its length once the route is used up.
    pub at: usize,
    /// Arguments given with the call for the application at `at`; `None`: those configured.
    pub args: Option<Vec<String>>,
    /// Token of the offer that stands, or of the next one.
    pub generation: Generation,
    /// Answered.
    pub up: bool,
    /// It has had an owner.
    pub was_owned: bool,
    /// Since when nobody who answers has it: its arrival, or the loss of its last owner.
    pub unserved_since: Instant,
    /// Instances that failed it since; a handful.
    pub avoid: Vec<InstanceId>,
    /// Offers without any command, at this entry, since.
    pub tries: u8,
    pub journal: Journal,
}

impl Call {
    pub fn new(now: Instant, id: CallId, route: Vec<Stop>) -> Self {
        Self {
            id,
            route,
            at: 0,
            args: None,
            generation: Generation(1),
            up: false,
            was_owned: false,
            unserved_since: now,
            avoid: Vec::new(),
            tries: 0,
            journal: Journal::new(),
        }
    }

    /// The application whose turn it is, or else the first one after: whose waiting rules hold.
    pub fn application(&self) -> Option<AppId> {
        let later = self.route.iter().skip(self.at);
        later.chain(&self.route).find_map(|stop| match stop {
            Stop::App(app) => Some(*app),
            Stop::Announce => None,
        })
    }

    /// Where the announcement stands in the route, if it does.
    pub fn announce_at(&self) -> Option<usize> {
        let later = (self.at..self.route.len()).chain(0..self.at.min(self.route.len()));
        later.into_iter().find(|&i| self.route[i] == Stop::Announce)
    }

    /// Goes on to another entry; arguments given for the last one are not for this one.
    pub fn go_to(&mut self, at: usize) {
        if at != self.at {
            self.at = at;
            self.args = None;
            self.tries = 0;
        }
    }
}

/// Why and when a call was taken from its last owner; goes with it to the next.
#[derive(Clone, Copy, Debug)]
pub(super) struct Handover {
    pub reason: Reason,
    pub detect: Duration,
    pub verdict_at: Instant,
    /// When the gateway prompt plays, if it is still quiet then.
    pub quiet_at: Option<Instant>,
}

/// What a port with a call does.
#[derive(Clone, Debug)]
pub(super) enum Stage {
    /// Nobody has had the call yet and nobody can take it.
    Queued {
        /// It rings until then; `None`: it is answered and hears the hold prompt.
        ring_until: Option<Instant>,
        give_up_at: Instant,
        /// When those that failed the call may have it again.
        again_at: Option<Instant>,
    },
    /// An instance was told and has not done anything yet.
    Offered {
        instance: InstanceId,
        offered_at: Instant,
        /// Its first command must come before.
        start_by: Instant,
        /// It gets no digit before.
        digits_from: Instant,
        handover: Handover,
    },
    /// An instance has claimed the call.
    Bound {
        instance: InstanceId,
        digits_from: Instant,
        /// How long it may be idle; `None`: for ever.
        silence: Option<Duration>,
        /// Since when nothing sounds and no command came.
        idle_since: Instant,
        /// Digits delivered since its last command.
        unanswered: u8,
        /// When the one too many was delivered.
        ignored_since: Option<Instant>,
    },
    /// It was taken from its owner and nobody can take it.
    Rebinding { handover: Handover, give_up_at: Instant, again_at: Option<Instant> },
    /// The announcement plays.
    Announce,
    /// It rings at the far end.
    Outbound { by: Option<InstanceId> },
    /// Released or transferred; its end is on the way.
    Leaving,
}

/// Digits without a command that mean that nobody listens.
const IGNORED_DIGITS: u8 = 3;

impl Stage {
    pub fn owner(&self) -> Option<InstanceId> {
        match self {
            Self::Offered { instance, .. } | Self::Bound { instance, .. } => Some(*instance),
            Self::Queued { .. }
            | Self::Rebinding { .. }
            | Self::Announce
            | Self::Outbound { .. }
            | Self::Leaving => None,
        }
    }

    pub fn is_waiting(&self) -> bool {
        matches!(self, Self::Queued { .. } | Self::Rebinding { .. })
    }

    /// From when on the owner gets digits, if there is one.
    pub fn digits_from(&self) -> Option<Instant> {
        let (Self::Offered { digits_from, .. } | Self::Bound { digits_from, .. }) = self else {
            return None;
        };
        Some(*digits_from)
    }

    pub fn handover_mut(&mut self) -> Option<&mut Handover> {
        let (Self::Offered { handover, .. } | Self::Rebinding { handover, .. }) = self else {
            return None;
        };
        Some(handover)
    }

    /// While it waits: when those that failed it may have it again.
    pub fn again_mut(&mut self) -> Option<&mut Option<Instant>> {
        let (Self::Queued { again_at, .. } | Self::Rebinding { again_at, .. }) = self else {
            return None;
        };
        Some(again_at)
    }

    /// A digit went to the owner.
    pub fn digit_delivered(&mut self, now: Instant) {
        if let Self::Bound { unanswered, ignored_since, .. } = self {
            *unanswered = unanswered.saturating_add(1);
            if *unanswered >= IGNORED_DIGITS {
                ignored_since.get_or_insert(now);
            }
        }
    }

    /// The owner did something.
    pub fn commanded(&mut self, now: Instant) {
        if let Self::Bound { idle_since, unanswered, ignored_since, .. } = self {
            *idle_since = now;
            (*unanswered, *ignored_since) = (0, None);
        }
    }

    /// The caller heard something until now, or came into the call now.
    pub fn heard(&mut self, now: Instant) {
        if let Self::Bound { idle_since, .. } = self {
            *idle_since = now;
        }
    }

    /// The node was late: commands of that time may still wait to be read.
    pub fn forgive(&mut self, late: Duration) {
        match self {
            Self::Offered { start_by, .. } => *start_by += late,
            Self::Bound { idle_since, ignored_since, .. } => {
                *idle_since += late;
                *ignored_since = ignored_since.map(|t| t + late);
            }
            Self::Queued { .. }
            | Self::Rebinding { .. }
            | Self::Announce
            | Self::Outbound { .. }
            | Self::Leaving => {}
        }
    }
}

/// A call with what is done about it.
#[derive(Clone, Debug)]
pub(super) struct Busy {
    pub call: Call,
    pub stage: Stage,
    /// Since when it is in this stage.
    pub since: Instant,
}

impl Busy {
    /// When the caller has been left alone for too long by the owner.
    pub fn silence_at(&self) -> Option<Instant> {
        let Stage::Bound { silence: Some(limit), idle_since, ignored_since, .. } = self.stage
        else {
            return None;
        };
        let idle = self.call.up && !self.call.journal.sounding;
        earliest([idle.then(|| idle_since + limit), ignored_since.map(|t| t + limit)])
    }

    /// When to look again.
    pub fn deadline(&self) -> Option<Instant> {
        let digits = self.stage.digits_from().and_then(|gate| self.call.journal.due(gate));
        match &self.stage {
            Stage::Queued { ring_until, give_up_at, again_at } => {
                earliest([*ring_until, Some(*give_up_at), *again_at])
            }
            Stage::Offered { start_by, handover, .. } => {
                earliest([Some(*start_by), handover.quiet_at, digits])
            }
            Stage::Bound { .. } => earliest([self.silence_at(), digits]),
            Stage::Rebinding { handover, give_up_at, again_at } => {
                earliest([Some(*give_up_at), handover.quiet_at, *again_at])
            }
            Stage::Announce | Stage::Outbound { .. } | Stage::Leaving => None,
        }
    }
}

/// One voice port.
#[derive(Clone, Debug)]
pub(super) struct Port {
    /// Its list of applications.
    pub route: Vec<Stop>,
    /// `None`: idle.
    pub busy: Option<Box<Busy>>,
    /// Since when it is idle, if it is.
    pub idle_since: Instant,
    /// The deadline under which it stands in the pool's order of deadlines.
    pub armed: Option<Instant>,
}
