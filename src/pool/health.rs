//! Health of one instance: is there a process behind the connection that does its work?
//!
//! Three kinds of signs, because each is blind where another sees. The end of the connection is
//! certain and comes to the pool as `InstanceDown`. Pings are fast: the silence of pongs decides,
//! once the first pong showed that this client answers at all. But a live socket library answers
//! pings for a hung handler, so the calls themselves are the third sign: a call that gets no
//! command is taken away alone, and two such verdicts in 30 s condemn the instance.
//!
//! Silence that is the node's own fault does not count: every wake that comes later than it was
//! announced extends the deadlines by its lateness, because the pongs of that time may still wait
//! in the socket.
//!
//! An instance that hung and comes back gets calls at once, but when it hung twice within 60 s it
//! must first be good for 5 s.

use std::collections::BTreeSet;

use super::Health;
use super::pongs::Pongs;
use super::port::AppId;
use crate::ids::{InstanceId, PortId};
use crate::timers::{Duration, Instant, earliest};

/// Between two pings.
const PING_EVERY: Duration = Duration::from_millis(20);

/// Between two pings to a hung instance: its pongs are only waited for, and a stopped process
/// takes nothing out of its socket.
const PING_HUNG_EVERY: Duration = Duration::from_millis(250);

/// Some clients never answer a ping and log each one: after a second they are left in peace.
const PING_UNANSWERED_EVERY: Duration = Duration::from_secs(5);
const UNANSWERED_PATIENCE: Duration = Duration::from_secs(1);

/// Silence of pongs that means suspect.
const SUSPECT_AFTER: Duration = Duration::from_millis(100);

/// `hang_after` of an instance none of whose applications is configured.
const HANG_AFTER: Duration = Duration::from_millis(250);

/// What the instance's own slowness may make of `hang_after` at most.
const HANG_AFTER_MAX: Duration = Duration::from_secs(3);

/// `hang_after` is at least so many times the 99th percentile of the pong times.
const PONG_FACTOR: u32 = 8;

/// Age of the oldest unsent event that means suspect.
const UNSENT_AFTER: Duration = Duration::from_secs(1);

/// Two verdicts about single calls within this: hung.
const VERDICTS_WITHIN: Duration = Duration::from_secs(30);

/// Hung twice within this: good health for `DAMPED` before new calls.
const FLAP_WITHIN: Duration = Duration::from_secs(60);
const DAMPED: Duration = Duration::from_secs(5);

/// What the signs say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// Gets calls.
    Good,
    /// Silent for a moment or slow to read.
    Suspect,
    /// Has lost its calls. `until`: it pongs, and was condemned for its calls; it is tried again
    /// then. `None`: until it pongs.
    Hung { until: Option<Instant> },
    /// Back from a second hang: gets calls when it was good since `since` for 5 s.
    Damped { since: Instant },
}

/// What became of an instance when the time was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// It has just hung; its last sign of life is so long ago.
    Hung { detect: Duration },
    /// It may be given calls again. `fresh`: it had hung, and what it failed at is forgotten.
    Available { fresh: bool },
}

/// One instance: the process behind one connection.
#[derive(Clone, Debug)]
pub(super) struct Instance {
    pub id: InstanceId,
    pub user: String,
    /// Names as the instance gave them.
    pub names: Vec<String>,
    /// Those that are configured.
    pub applications: Vec<AppId>,
    /// Ports that are offered to it or bound to it: its load, and what moves when it fails.
    pub ports: BTreeSet<PortId>,
    pub connected_at: Instant,
    pub draining: bool,
    /// What was reported last.
    pub reported: Health,
    standing: Standing,
    ping_at: Instant,
    /// The first ping that went out after the last pong.
    unanswered: Option<Instant>,
    /// `None`: it never answered a ping.
    pongs: Option<Pongs>,
    hang_after: Duration,
    last_command: Instant,
    unsent: Option<Instant>,
    /// A burst of rebinds is on its way to it: unsent events are no sign until then.
    exempt_until: Instant,
    last_verdict: Option<Instant>,
    last_hung: Option<Instant>,
    flapping: bool,
}

impl Instance {
    /// `hang_after`: the largest of its applications.
    pub fn new(
        now: Instant,
        id: InstanceId,
        user: String,
        names: Vec<String>,
        applications: Vec<AppId>,
        hang_after: Option<Duration>,
    ) -> Self {
        Self {
            id,
            user,
            names,
            applications,
            ports: BTreeSet::new(),
            connected_at: now,
            draining: false,
            reported: Health::Healthy,
            standing: Standing::Good,
            ping_at: now,
            unanswered: None,
            pongs: None,
            hang_after: hang_after.unwrap_or(HANG_AFTER),
            last_command: now,
            unsent: None,
            exempt_until: now,
            last_verdict: None,
            last_hung: None,
            flapping: false,
        }
    }

    /// A pong. Look with [`Self::turn`] what it changed.
    pub fn pong(&mut self, now: Instant) {
        let first = self.pongs.is_none();
        let hang_back = matches!(self.standing, Standing::Hung { until: None });
        let pongs = self.pongs.get_or_insert_with(|| Pongs::new(now));
        let pinged = self.unanswered.take();
        // A hang is no example of how this instance answers when it is well.
        if let Some(pinged) = pinged.filter(|_| !hang_back) {
            pongs.record(now.saturating_duration_since(pinged));
        }
        let gap = pongs.silence(now);
        pongs.longest_gap = pongs.longest_gap.max(gap);
        (pongs.last, pongs.grace) = (now, Duration::ZERO);
        if gap >= SUSPECT_AFTER && matches!(self.standing, Standing::Damped { .. }) {
            self.standing = Standing::Damped { since: now };
        }
        if first || hang_back {
            self.ping_at = now;
        }
    }

    /// A command of its own on a call of its own.
    pub fn command(&mut self, now: Instant) {
        self.last_command = now;
    }

    /// The oldest event that its socket has not taken.
    pub fn set_unsent(&mut self, since: Option<Instant>) {
        self.unsent = since;
    }

    /// It was offered a rebound call: the burst is forgiven for as long as a claim may take.
    pub fn exempt(&mut self, until: Instant) {
        self.exempt_until = self.exempt_until.max(until);
    }

    /// The node woke late; `due` was the time that it had announced.
    pub fn node_was_late(&mut self, now: Instant, due: Instant) {
        if let Some(pongs) = &mut self.pongs {
            pongs.grace += now.saturating_duration_since(due.max(pongs.last));
        }
    }

    /// One of its calls was taken from it. A second one within 30 s: it hangs.
    pub fn call_verdict(&mut self, now: Instant) -> Option<Turn> {
        let recent = self
            .last_verdict
            .is_some_and(|at| now.saturating_duration_since(at) <= VERDICTS_WITHIN);
        self.last_verdict = Some(now);
        if !recent || matches!(self.standing, Standing::Hung { .. }) {
            return None;
        }
        let detect = now.saturating_duration_since(self.last_command);
        self.hang(now, Some(now + VERDICTS_WITHIN));
        Some(Turn::Hung { detect })
    }

    fn hang(&mut self, now: Instant, until: Option<Instant>) {
        self.flapping =
            self.last_hung.is_some_and(|at| now.saturating_duration_since(at) <= FLAP_WITHIN);
        self.last_hung = Some(now);
        self.standing = Standing::Hung { until };
    }

    /// Whether a ping is due; then it counts as sent.
    pub fn take_ping(&mut self, now: Instant) -> bool {
        let due = self.ping_at <= now;
        if due {
            self.unanswered.get_or_insert(now);
            self.ping_at = now + self.ping_interval(now);
        }
        due
    }

    fn ping_interval(&self, now: Instant) -> Duration {
        let patience = now.saturating_duration_since(self.connected_at) < UNANSWERED_PATIENCE;
        if self.pongs.is_none() && !patience {
            return PING_UNANSWERED_EVERY;
        }
        match self.standing {
            Standing::Hung { .. } => PING_HUNG_EVERY,
            Standing::Good | Standing::Suspect | Standing::Damped { .. } => PING_EVERY,
        }
    }

    /// Follows the clock and the signs.
    pub fn turn(&mut self, now: Instant) -> Option<Turn> {
        match self.standing {
            Standing::Good | Standing::Suspect => self.turn_serving(now),
            Standing::Hung { until } => self.turn_hung(now, until),
            Standing::Damped { since } => self.turn_damped(now, since),
        }
    }

    fn turn_serving(&mut self, now: Instant) -> Option<Turn> {
        if let Some(detect) = self.silent_for(now, self.hang_after()) {
            self.hang(now, None);
            return Some(Turn::Hung { detect });
        }
        let was = self.standing;
        self.standing = if self.is_doubtful(now) { Standing::Suspect } else { Standing::Good };
        let back = was == Standing::Suspect && self.standing == Standing::Good;
        back.then_some(Turn::Available { fresh: false })
    }

    fn turn_hung(&mut self, now: Instant, until: Option<Instant>) -> Option<Turn> {
        let over = match until {
            Some(until) => until <= now,
            None => self.silent_for(now, SUSPECT_AFTER).is_none(),
        };
        if !over {
            return None;
        }
        if self.flapping {
            self.standing = Standing::Damped { since: now };
            return None;
        }
        if until.is_some() {
            // One more call that gets no answer condemns it again.
            self.last_verdict = Some(now);
        }
        self.standing = if self.is_doubtful(now) { Standing::Suspect } else { Standing::Good };
        (self.standing == Standing::Good).then_some(Turn::Available { fresh: true })
    }

    fn turn_damped(&mut self, now: Instant, since: Instant) -> Option<Turn> {
        if let Some(detect) = self.silent_for(now, self.hang_after()) {
            self.hang(now, None);
            return Some(Turn::Hung { detect });
        }
        if now < since + DAMPED {
            return None;
        }
        if self.is_doubtful(now) {
            self.standing = Standing::Damped { since: now };
            return None;
        }
        self.standing = Standing::Good;
        Some(Turn::Available { fresh: true })
    }

    /// Its silence, if it answers pings and has been silent for that long.
    fn silent_for(&self, now: Instant, limit: Duration) -> Option<Duration> {
        let pongs = self.pongs.as_ref()?;
        (pongs.silence(now) >= limit).then(|| now.saturating_duration_since(pongs.last))
    }

    fn is_doubtful(&self, now: Instant) -> bool {
        self.silent_for(now, SUSPECT_AFTER).is_some() || self.unsent_at().is_some_and(|t| t <= now)
    }

    fn unsent_at(&self) -> Option<Instant> {
        self.unsent.map(|since| (since + UNSENT_AFTER).max(self.exempt_until))
    }

    /// Silence that means hung: as configured, or more for an instance that is slow by nature.
    pub fn hang_after(&self) -> Duration {
        let own = self.pongs.as_ref().map_or(Duration::ZERO, |p| p.p99 * PONG_FACTOR);
        self.hang_after.max(own.min(HANG_AFTER_MAX))
    }

    /// When to look again.
    pub fn deadline(&self) -> Option<Instant> {
        earliest([Some(self.ping_at), self.standing_deadline()])
    }

    fn standing_deadline(&self) -> Option<Instant> {
        let silent = |limit| self.pongs.as_ref().map(|p| p.last + limit + p.grace);
        match self.standing {
            Standing::Good => earliest([silent(SUSPECT_AFTER), self.unsent_at()]),
            Standing::Suspect => silent(self.hang_after()),
            Standing::Hung { until } => until,
            Standing::Damped { since } => {
                earliest([Some(since + DAMPED), silent(self.hang_after())])
            }
        }
    }

    /// Whether new and rebound calls may go to it.
    pub fn takes_calls(&self) -> bool {
        self.standing == Standing::Good && !self.draining
    }

    /// For the report: the most serious first.
    pub fn health(&self) -> Health {
        match self.standing {
            Standing::Hung { .. } => Health::Hung,
            Standing::Good | Standing::Suspect | Standing::Damped { .. } if self.draining => {
                Health::Draining
            }
            Standing::Suspect | Standing::Damped { .. } => Health::Suspect,
            Standing::Good => Health::Healthy,
        }
    }

    /// Its last pong, or its last command if it never answers pings.
    pub fn last_sign(&self) -> Instant {
        self.pongs.as_ref().map_or(self.last_command, |p| p.last.max(self.last_command))
    }

    /// Median and 99th percentile of the pong times, longest silence: if it answers pings.
    pub fn pong_times(&self) -> Option<(Duration, Duration, Duration)> {
        self.pongs.as_ref().map(|p| (p.p50, p.p99, p.longest_gap))
    }

    /// Since when its oldest event waits.
    pub fn unsent(&self) -> Option<Instant> {
        self.unsent
    }
}

#[cfg(test)]
mod tests;
