//! How fast REGISTERs leave for one registrar.
//!
//! A registrar's answers arrive as fast as it can take requests, so a window of outstanding ones
//! keeps its socket buffer from overflowing, and a token bucket keeps it free for calls. Both are
//! needed: the window alone lets a fast registrar be asked without end, the bucket alone piles
//! requests on a slow one. The rate halves when the registrar shows distress (503, 500, 408, a
//! repetition) and grows by a tenth after ten clean answers, up to what the profile allows.
//!
//! The bucket is kept as a virtual schedule: `full_at` is when it will be full again, so one
//! instant says how many tokens are left.

use std::collections::{BTreeMap, BTreeSet};

use crate::ids::PortId;
use crate::timers::{Duration, Instant};

/// REGISTERs that may leave at once after a rest.
const BURST: u32 = 32;
/// Slowest rate that distress leads to: five a second.
const SLOWEST: Duration = Duration::from_millis(200);
/// Clean answers that earn a tenth more.
const CLEAN_FOR_MORE: u32 = 10;
/// One burst of trouble halves the rate once: its repetitions all fall into this time.
const HALVE_PAUSE: Duration = Duration::from_secs(1);
/// Longest Retry-After that is honoured, so that a typing error cannot silence a pool for a day.
pub(crate) const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);

/// Who goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Urgency {
    /// A binding is being renewed or taken away.
    Bound,
    /// A port without a binding.
    Unbound,
}

/// How a REGISTER ended, seen by the registrar's load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Any answer that shows no distress.
    Clean,
    /// 503, 500, 408 or silence.
    Distress { retry_after: Option<Duration> },
    /// It did not leave, which says nothing of the registrar.
    NotSent,
}

/// Queue, window and bucket of one registrar.
#[derive(Clone, Debug)]
pub(crate) struct Pacing {
    /// Fastest pace allowed; `None`: window only.
    fastest: Option<Duration>,
    /// Time between two tokens.
    pace: Duration,
    burst: u32,
    window: usize,
    full_at: Instant,
    hold_until: Instant,
    halved_at: Option<Instant>,
    clean: u32,
    outstanding: BTreeSet<PortId>,
    queue: BTreeSet<(Urgency, u64, PortId)>,
    places: BTreeMap<PortId, (Urgency, u64)>,
    asked: u64,
}

impl Pacing {
    /// `rate` in REGISTERs a second, `None` for no limit but the window.
    pub(crate) fn new(rate: Option<u32>, window: u32) -> Self {
        let fastest = rate.map(|r| Duration::from_secs(1) / r.max(1));
        Self {
            fastest,
            pace: fastest.unwrap_or_default(),
            burst: rate.unwrap_or(BURST).clamp(1, BURST),
            window: window.max(1) as usize,
            full_at: Instant::ZERO,
            hold_until: Instant::ZERO,
            halved_at: None,
            clean: 0,
            outstanding: BTreeSet::new(),
            queue: BTreeSet::new(),
            places: BTreeMap::new(),
            asked: 0,
        }
    }

    /// Puts a port into the queue; asking twice keeps the first place.
    pub(crate) fn ask(&mut self, port: PortId, urgency: Urgency) {
        if self.places.contains_key(&port) {
            return;
        }
        self.asked += 1;
        self.places.insert(port, (urgency, self.asked));
        self.queue.insert((urgency, self.asked, port));
    }

    /// Whether a port without a binding waits for its turn.
    pub(crate) fn holds_unbound_back(&self) -> bool {
        self.queue.last().is_some_and(|(urgency, ..)| *urgency == Urgency::Unbound)
    }

    /// Takes a port out again.
    pub(crate) fn withdraw(&mut self, port: PortId) {
        if let Some((urgency, place)) = self.places.remove(&port) {
            self.queue.remove(&(urgency, place, port));
        }
    }

    /// The next port that may send, if one may.
    pub(crate) fn next(&mut self, now: Instant) -> Option<PortId> {
        if self.open_at()? > now {
            return None;
        }
        let (_, _, port) = self.queue.pop_first()?;
        self.places.remove(&port);
        self.outstanding.insert(port);
        self.full_at = self.full_at.max(now) + self.pace;
        Some(port)
    }

    /// The REGISTER of `port` got its final answer, or none. False: none was out.
    pub(crate) fn done(&mut self, now: Instant, port: PortId, outcome: Outcome) -> bool {
        if !self.outstanding.remove(&port) {
            return false;
        }
        match outcome {
            Outcome::Clean => self.count_clean(),
            Outcome::Distress { retry_after } => {
                self.distress(now);
                let pause = retry_after.unwrap_or_default().min(RETRY_AFTER_MAX);
                self.hold_until = self.hold_until.max(now + pause);
            }
            Outcome::NotSent => {}
        }
        true
    }

    /// A REGISTER had to be repeated.
    pub(crate) fn repeated(&mut self, now: Instant) {
        self.distress(now);
    }

    fn count_clean(&mut self) {
        self.clean += 1;
        if self.clean >= CLEAN_FOR_MORE {
            self.clean = 0;
            self.pace = (self.pace * 10 / 11).max(self.fastest.unwrap_or_default());
        }
    }

    fn distress(&mut self, now: Instant) {
        self.clean = 0;
        if self.fastest.is_none() || self.halved_at.is_some_and(|at| now < at + HALVE_PAUSE) {
            return;
        }
        self.halved_at = Some(now);
        // A profile may ask for less than the slowest pace; distress never makes it faster.
        self.pace = (self.pace * 2).min(SLOWEST.max(self.fastest.unwrap_or_default()));
    }

    /// When the next one may leave; `None` while nobody waits or the window is full.
    fn open_at(&self) -> Option<Instant> {
        if self.queue.is_empty() || self.outstanding.len() >= self.window {
            return None;
        }
        let token_at = self.full_at - self.pace * (self.burst - 1);
        Some(token_at.max(self.hold_until))
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.open_at()
    }

    pub(crate) fn is_outstanding(&self, port: PortId) -> bool {
        self.outstanding.contains(&port)
    }

    /// REGISTERs a second at present; `None`: no limit.
    pub(crate) fn rate(&self) -> Option<u32> {
        self.fastest.map(|_| {
            let per_second = 1_000_000_000 / self.pace.as_nanos().max(1);
            u32::try_from(per_second).unwrap_or(u32::MAX)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_nanos(10_000_000_000 + millis * 1_000_000)
    }

    fn drain(pacing: &mut Pacing, now: Instant) -> usize {
        std::iter::from_fn(|| pacing.next(now)).count()
    }

    fn with_ports(rate: Option<u32>, window: u32, ports: u16) -> Pacing {
        let mut pacing = Pacing::new(rate, window);
        (0..ports).for_each(|p| pacing.ask(PortId(p), Urgency::Unbound));
        pacing
    }

    #[test]
    fn a_burst_leaves_at_once_and_the_rest_at_the_rate() {
        let mut pacing = with_ports(Some(100), 1000, 132);
        assert_eq!(drain(&mut pacing, at(0)), 32);
        let mut now = at(0);
        let mut sent = 0;
        while let Some(next) = pacing.poll_timeout() {
            now = next;
            sent += drain(&mut pacing, now);
        }
        assert_eq!((sent, now), (100, at(1000)));
    }

    #[test]
    fn no_more_than_the_window_is_outstanding() {
        let mut pacing = with_ports(None, 3, 10);
        assert_eq!(drain(&mut pacing, at(0)), 3);
        assert_eq!(pacing.poll_timeout(), None);
        pacing.done(at(1), PortId(0), Outcome::Clean);
        assert_eq!(pacing.next(at(1)), Some(PortId(3)));
    }

    #[test]
    fn bound_ports_go_before_unbound_ones_each_in_order() {
        let mut pacing = with_ports(None, 32, 2);
        pacing.ask(PortId(9), Urgency::Bound);
        pacing.ask(PortId(9), Urgency::Unbound);
        pacing.withdraw(PortId(0));
        let order: Vec<_> = std::iter::from_fn(|| pacing.next(at(0))).collect();
        assert_eq!(order, [PortId(9), PortId(1)]);
    }

    #[test]
    fn distress_halves_once_a_second_and_ten_clean_answers_earn_a_tenth() {
        let mut pacing = with_ports(Some(100), 32, 32);
        drain(&mut pacing, at(0));
        pacing.repeated(at(0));
        pacing.repeated(at(10));
        assert_eq!(pacing.rate(), Some(50));
        assert!((0..10).all(|p| pacing.done(at(20), PortId(p), Outcome::Clean)));
        assert_eq!(pacing.rate(), Some(55));
        (0..20).for_each(|s| pacing.repeated(at(2000 * s)));
        assert_eq!(pacing.rate(), Some(5), "the floor");
    }

    #[test]
    fn retry_after_holds_everybody() {
        let mut pacing = with_ports(Some(100), 1, 2);
        let port = pacing.next(at(0)).expect("first");
        let retry_after = Some(Duration::from_secs(30));
        pacing.done(at(0), port, Outcome::Distress { retry_after });
        assert_eq!(pacing.next(at(29_999)), None);
        assert_eq!(pacing.next(at(30_000)), Some(PortId(1)));
    }
}
