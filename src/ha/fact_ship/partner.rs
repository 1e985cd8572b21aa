//! One peer: what it has, what was sent to it, what it has told.

use std::collections::BTreeMap;

use super::PeerStatus;
use super::lanes::Lanes;
use crate::config::MemberRole;
use crate::ids::{Epoch, NodeId};
use crate::store::{Lane, Stream};
use crate::timers::{Duration, Instant, earliest};

/// Facts of other nodes are sent after this time: their writer has sent them, most of the time.
const RELAY_AFTER: Duration = Duration::from_millis(300);
/// What was sent and not told as durable within this time is sent again.
const RESEND_AFTER: Duration = Duration::from_millis(500);
/// A question that was not answered within this time is asked again.
const ASK_AGAIN: Duration = Duration::from_millis(500);
/// Facts of a lane that are sent and not told as durable at most.
const WINDOW: u64 = 256;

/// Whether it is heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Not since then; `None`: not yet.
    Down { since: Option<Instant> },
    /// Yes; what it has is not known.
    Up,
    /// It has told all of its marks.
    Known,
}

/// What a peer had when it knew of an epoch.
#[derive(Debug)]
struct Goal {
    epoch: Epoch,
    lanes: Vec<(Lane, u64)>,
}

#[derive(Debug)]
pub(super) struct Partner {
    pub node: NodeId,
    pub role: MemberRole,
    /// Everything that it had when it knew of this epoch is here.
    pub caught_up: Option<Epoch>,
    state: State,
    /// What is durable there, as it last told.
    marks: BTreeMap<Lane, u64>,
    /// It has told since this node started.
    told: bool,
    /// What was sent on this connection.
    sent: BTreeMap<Lane, u64>,
    /// Lanes that are longer here, and from when on they are sent.
    behind: BTreeMap<Lane, Instant>,
    behind_since: Option<Instant>,
    /// When `behind` was last gone through: what was due then waits for something else than time.
    looked_at: Instant,
    ask_at: Option<Instant>,
    resend_at: Option<Instant>,
    goal: Option<Goal>,
    /// Newest that was heard on this connection.
    heard: (Epoch, u64),
    /// Newest that was sent.
    said: (Epoch, u64),
}

impl Partner {
    pub fn new(node: NodeId, role: MemberRole) -> Self {
        Self {
            node,
            role,
            caught_up: None,
            state: State::Down { since: None },
            marks: BTreeMap::new(),
            told: false,
            sent: BTreeMap::new(),
            behind: BTreeMap::new(),
            behind_since: None,
            looked_at: Instant::ZERO,
            ask_at: None,
            resend_at: None,
            goal: None,
            heard: (Epoch(0), 0),
            said: (Epoch(0), 0),
        }
    }

    pub fn up(&mut self) {
        self.state = State::Up;
        self.caught_up = None;
        self.goal = None;
        self.heard = (Epoch(0), 0);
        self.sent.clear();
        self.resend_at = None;
    }

    pub fn down(&mut self, now: Instant) {
        self.state = State::Down { since: Some(now) };
        (self.ask_at, self.resend_at) = (None, None);
    }

    /// Whether it has business with a stream.
    pub fn wants(&self, stream: Stream) -> bool {
        match stream {
            Stream::Calls => self.role == MemberRole::Data,
            Stream::Control => true,
        }
    }

    /// The number of the next message.
    pub fn count(&mut self, epoch: Epoch) -> u64 {
        let last = if self.said.0 == epoch { self.said.1 } else { 0 };
        self.said = (epoch, last + 1);
        last + 1
    }

    /// Whether a message is newer than all that were heard.
    pub fn hears(&mut self, epoch: Epoch, counter: u64) -> bool {
        let newer = self.is_up() && (epoch, counter) > self.heard;
        if newer {
            self.heard = (epoch, counter);
        }
        newer
    }

    pub fn asked(&mut self, now: Instant) {
        self.ask_at = Some(now + ASK_AGAIN);
    }

    pub fn ask_due(&self, now: Instant) -> bool {
        self.ask_at.is_some_and(|at| now >= at)
    }

    /// All of its marks. They hold as an answer if it knew of our epoch when it told them.
    pub fn tells_all(&mut self, now: Instant, at: Epoch, known: Epoch, lanes: Vec<(Lane, u64)>) {
        if at >= known {
            self.ask_at = None;
        }
        self.resend_at = self.resend_at.map(|_| now + RESEND_AFTER);
        self.state = State::Known;
        self.told = true;
        self.marks = lanes.iter().copied().collect();
        self.goal = Some(Goal { epoch: at, lanes });
    }

    /// It asks what is here: it may be about to serve, so nothing waits for its writer any more.
    pub fn hurry(&mut self, now: Instant) {
        for due in self.behind.values_mut() {
            *due = now.min(*due);
        }
    }

    /// Looks for what it lacks; everything is due at once.
    pub fn compare(&mut self, now: Instant, lanes: &Lanes) {
        self.behind = lanes
            .all()
            .filter(|lane| self.wants(lane.stream) && self.mark(*lane) < lanes.top(*lane))
            .map(|lane| (lane, now))
            .collect();
        self.note_behind(now);
    }

    /// Marks that have grown.
    pub fn tells(&mut self, now: Instant, grown: &[(Lane, u64)], lanes: &Lanes) {
        for &(lane, mark) in grown {
            let known = self.marks.entry(lane).or_default();
            if mark > *known {
                *known = mark;
                self.resend_at = self.resend_at.map(|_| now + RESEND_AFTER);
            }
            if mark >= lanes.top(lane) {
                self.behind.remove(&lane);
            }
        }
        if self.behind.is_empty() {
            self.resend_at = None;
        }
        self.note_behind(now);
    }

    /// A lane has grown here.
    pub fn lacks(&mut self, now: Instant, lane: Lane, own: bool) {
        if self.wants(lane.stream) {
            let due = if own { now } else { now + RELAY_AFTER };
            self.behind.entry(lane).or_insert(due);
            self.note_behind(now);
        }
    }

    fn note_behind(&mut self, now: Instant) {
        if self.behind.is_empty() {
            self.behind_since = None;
        } else {
            self.behind_since.get_or_insert(now);
        }
    }

    /// The lane that is due to be sent next, and the fact before what it lacks. Lanes of this start
    /// come first: somebody waits for them.
    pub fn next(&mut self, now: Instant, lanes: &Lanes) -> Option<(Lane, u64)> {
        self.looked_at = now;
        let own = lanes.of_this_start().into_iter().find_map(|lane| self.due(now, lane, lanes));
        own.or_else(|| self.behind.keys().find_map(|&lane| self.due(now, lane, lanes)))
    }

    /// The fact before what a lane lacks, if it may be sent.
    fn due(&self, now: Instant, lane: Lane, lanes: &Lanes) -> Option<(Lane, u64)> {
        let due = self.state == State::Known && self.behind.get(&lane).is_some_and(|at| *at <= now);
        let after = self.after(lane);
        let window = self.mark(lane).saturating_add(WINDOW);
        (due && after < lanes.top(lane).min(window)).then_some((lane, after))
    }

    /// What it has or was sent.
    fn after(&self, lane: Lane) -> u64 {
        self.mark(lane).max(self.sent.get(&lane).copied().unwrap_or(0))
    }

    /// Facts behind this one must be kept for it; `None`: it needs none.
    pub fn needs_behind(&self, lane: Lane) -> Option<u64> {
        (self.state == State::Known && self.wants(lane.stream)).then(|| self.after(lane))
    }

    pub fn sent(&mut self, now: Instant, lane: Lane, counter: u64) {
        self.sent.insert(lane, counter);
        self.resend_at.get_or_insert(now + RESEND_AFTER);
    }

    /// A lane cannot be read: later, perhaps.
    pub fn pause(&mut self, now: Instant, lane: Lane) {
        self.behind.insert(lane, now + RESEND_AFTER);
    }

    pub fn resend_if_due(&mut self, now: Instant) {
        if self.resend_at.is_some_and(|at| now >= at) {
            self.resend_at = None;
            self.sent.clear();
        }
    }

    /// When everything is here that it had when it knew of an epoch: that epoch, once.
    pub fn reaches_goal(&mut self, lanes: &Lanes) -> Option<Epoch> {
        let reached = |goal: &mut Goal| {
            goal.lanes.retain(|&(lane, mark)| lanes.mark(lane) < mark);
            goal.lanes.is_empty()
        };
        let epoch = self.goal.take_if(reached)?.epoch;
        self.caught_up = self.caught_up.max(Some(epoch));
        Some(epoch)
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.state != State::Known {
            return self.ask_at;
        }
        let later = self.behind.values().copied().filter(|&at| at > self.looked_at).min();
        earliest([self.ask_at, self.resend_at, later])
    }

    pub fn is_up(&self) -> bool {
        !matches!(self.state, State::Down { .. })
    }

    /// Whether it has told what it has, on this connection.
    pub fn is_known(&self) -> bool {
        self.state == State::Known
    }

    pub fn down_since(&self) -> Option<Instant> {
        match self.state {
            State::Down { since } => since,
            State::Up | State::Known => None,
        }
    }

    /// Facts of the lane that are durable there.
    pub fn mark(&self, lane: Lane) -> u64 {
        self.marks.get(&lane).copied().unwrap_or(0)
    }

    pub fn status(&self, lanes: &Lanes) -> PeerStatus {
        let lacks = |lane: &Lane| lanes.mark(*lane).saturating_sub(self.mark(*lane));
        PeerStatus {
            node: self.node,
            up: self.is_up(),
            unshipped: self.told.then(|| self.behind.keys().map(lacks).sum()),
            since: self.behind_since,
            caught_up: self.caught_up,
        }
    }
}
