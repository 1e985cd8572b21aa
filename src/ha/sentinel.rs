//! Whether the primary answers through the PBX when it is not heard over the link.
//!
//! Only a primary registers the sentinel, an extension of its own. A node that does not hear the
//! primary calls it every quarter of a minute and asks for a [proof](super::proof). A right answer
//! is a living primary behind a cut link. Silence is a dead one only after the sentinel's
//! registration has run out: the PBX may take so long to forget a node that is gone, and one that
//! lives has registered anew by then.
//!
//! Silence proves something only where an answer could be heard. So every try since then must have
//! failed, while the PBX was reachable all the time: one that was away may have lost the primary's
//! registration with its own. And the sentinel must have answered this node before: a number that
//! is wrong, or that the PBX does not let this node dial, never answers anybody. Until it has, it
//! is called now and then while the primary is heard, and once a day after that: what is changed at
//! the PBX must not make a living primary look dead. A person hears of it when it says nothing.
//!
//! Two nodes that are configured for two PBXs do not call for proof of life. There a right answer
//! means that both names are of one PBX.

use std::collections::VecDeque;

use super::proof::Outcome;
use crate::timers::{Duration, Instant};

/// The first call after the primary fell silent: links come back.
const BEGIN: Duration = Duration::from_secs(2);
/// Between the end of one call and the next.
const EVERY: Duration = Duration::from_secs(15);
/// While the primary is heard: when it has had time to register.
const PROVE_AFTER: Duration = Duration::from_secs(30);
/// And again so often, until it has answered.
const PROVE_EVERY: Duration = Duration::from_secs(600);
/// An answer is good for so long: then it is called again.
const PROVE_ANEW: Duration = Duration::from_secs(86_400);

/// Why the sentinel is called, if it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watch {
    /// It is not: this node acts, or no primary is missed.
    No,
    /// The primary is heard.
    Heard,
    /// It is not.
    Unheard,
    /// The other node is heard, and serves another PBX as the configuration says.
    Apart,
}

/// What is known of a primary that is not heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Nothing: it was not called yet.
    Untried,
    /// It answered.
    Answers,
    /// It has not.
    Silent {
        /// Since the first of the calls that failed.
        since: Instant,
        /// What that means.
        silence: Silence,
    },
}

/// What a silence proves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Silence {
    /// Nothing yet.
    Short,
    /// Nothing at all: it never answered this node.
    Unproven,
    /// The primary is dead.
    Dead,
}

/// What it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// Why it is called from here on.
    Watch(Watch),
    /// How long its registration lasts at most.
    Lasts(Duration),
    /// Whether the PBX is reachable from here.
    Pbx(bool),
    /// What became of [`Output::Call`].
    Called(Outcome),
}

/// What it wants done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Call it, and ask.
    Call,
    /// The other node's PBX is this node's.
    SamePbx,
}

/// The machine.
#[derive(Debug)]
pub struct Sentinel {
    watch: Watch,
    lasts: Duration,
    reachable: bool,
    /// It has answered this node, the last time that the primary was heard meanwhile.
    proven: bool,
    seen: Seen,
    next: Next,
    out: VecDeque<Output>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Never,
    At(Instant),
    /// A call is under way.
    Calling,
}

impl Default for Sentinel {
    fn default() -> Self {
        Self {
            watch: Watch::No,
            lasts: Duration::MAX,
            reachable: false,
            proven: false,
            seen: Seen::Untried,
            next: Next::Never,
            out: VecDeque::new(),
        }
    }
}

impl Sentinel {
    /// Takes something in.
    pub fn handle_input(&mut self, now: Instant, input: Input) {
        match input {
            Input::Watch(watch) if watch != self.watch => self.turn(now, watch),
            Input::Watch(_) => {}
            Input::Lasts(lasts) => self.lasts = lasts,
            Input::Pbx(reachable) => {
                self.reachable = reachable;
                if !reachable {
                    self.seen = Seen::Untried;
                }
            }
            Input::Called(outcome) => self.called(now, outcome),
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        let Next::At(at) = self.next else { return };
        if now < at {
            return;
        }
        if self.reachable {
            self.next = Next::Calling;
            self.out.push_back(Output::Call);
        } else {
            self.next = Next::At(now + EVERY);
        }
    }

    /// The next thing to do, until `None`.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// When to call `handle_timeout`.
    pub const fn poll_timeout(&self) -> Option<Instant> {
        match self.next {
            Next::At(at) => Some(at),
            Next::Never | Next::Calling => None,
        }
    }

    fn turn(&mut self, now: Instant, watch: Watch) {
        (self.watch, self.seen) = (watch, Seen::Untried);
        let first = match watch {
            Watch::No => None,
            Watch::Heard if self.proven => Some(PROVE_ANEW),
            Watch::Heard => Some(PROVE_AFTER),
            Watch::Unheard => Some(BEGIN),
            Watch::Apart => Some(PROVE_AFTER),
        };
        // What is under way goes on, and says when the next one is.
        if self.next != Next::Calling {
            self.next = first.map_or(Next::Never, |first| Next::At(now + first));
        }
    }

    fn called(&mut self, now: Instant, outcome: Outcome) {
        self.proven = match (self.watch, outcome) {
            (Watch::No | Watch::Heard | Watch::Unheard, Outcome::Proven) => true,
            (Watch::Heard, Outcome::Failed) => false,
            _ => self.proven,
        };
        let again = match self.watch {
            Watch::No => None,
            Watch::Heard if self.proven => Some(PROVE_ANEW),
            Watch::Heard => Some(PROVE_EVERY),
            Watch::Unheard => Some(EVERY),
            Watch::Apart => (outcome == Outcome::NotMade).then_some(EVERY),
        };
        self.next = again.map_or(Next::Never, |again| Next::At(now + again));
        match (self.watch, outcome) {
            (Watch::Unheard, Outcome::Proven) => self.seen = Seen::Answers,
            (Watch::Unheard, Outcome::Failed) if self.reachable => self.silent(now),
            (Watch::Heard, Outcome::Failed) => self.silent(now),
            (Watch::Heard, Outcome::Proven) => self.seen = Seen::Untried,
            (Watch::Apart, Outcome::Proven) => self.out.push_back(Output::SamePbx),
            (Watch::No | Watch::Heard | Watch::Unheard | Watch::Apart, _) => {}
        }
    }

    fn silent(&mut self, now: Instant) {
        let since = match self.seen {
            Seen::Silent { since, .. } => since,
            Seen::Untried | Seen::Answers => now,
        };
        let silence = match now.saturating_duration_since(since) > self.lasts {
            _ if !self.proven => Silence::Unproven,
            true => Silence::Dead,
            false => Silence::Short,
        };
        self.seen = Seen::Silent { since, silence };
    }

    /// What is known of a primary that is not heard; `None`: none is missed.
    pub fn seen(&self) -> Option<Seen> {
        (self.watch == Watch::Unheard).then_some(self.seen)
    }

    /// Whether it has answered this node, so that its silence proves something.
    pub const fn is_proven(&self) -> bool {
        self.proven
    }

    /// Whether it says nothing though the primary is heard: something is wrong at the PBX, or in
    /// the configuration.
    pub const fn is_misplaced(&self) -> bool {
        matches!((self.watch, self.seen), (Watch::Heard, Seen::Silent { .. }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    /// A sentinel that lasts 120 s at a PBX that is reachable.
    fn sentinel() -> Sentinel {
        let mut sentinel = Sentinel::default();
        sentinel.handle_input(secs(0), Input::Lasts(Duration::from_secs(120)));
        sentinel.handle_input(secs(0), Input::Pbx(true));
        sentinel
    }

    /// One that has answered while the primary was heard, which falls silent at 100 s.
    fn unheard() -> Sentinel {
        let mut sentinel = sentinel();
        sentinel.handle_input(secs(0), Input::Watch(Watch::Heard));
        run(&mut sentinel, 0, 60, |_| Outcome::Proven);
        sentinel.handle_input(secs(100), Input::Watch(Watch::Unheard));
        sentinel
    }

    /// Lets time pass from `from` to `to`; each call is over at once, as `outcome` says. When it
    /// was called.
    fn run(
        sentinel: &mut Sentinel,
        from: u64,
        to: u64,
        outcome: impl Fn(u64) -> Outcome,
    ) -> Vec<u64> {
        let mut called = Vec::new();
        for at in from..=to {
            sentinel.handle_timeout(secs(at));
            while let Some(output) = sentinel.poll_output() {
                if output == Output::Call {
                    called.push(at);
                    sentinel.handle_input(secs(at), Input::Called(outcome(at)));
                }
            }
        }
        called
    }

    const fn fails(_: u64) -> Outcome {
        Outcome::Failed
    }

    fn silence(sentinel: &Sentinel) -> Option<Silence> {
        match sentinel.seen()? {
            Seen::Silent { silence, .. } => Some(silence),
            Seen::Untried | Seen::Answers => None,
        }
    }

    #[test]
    fn it_is_called_while_the_primary_is_not_heard_and_not_otherwise() {
        let mut sentinel = unheard();
        assert_eq!(run(&mut sentinel, 100, 140, fails), [102, 117, 132]);
        sentinel.handle_input(secs(141), Input::Watch(Watch::Heard));
        assert_eq!(run(&mut sentinel, 141, 5_000, fails), [0; 0]);
        sentinel.handle_input(secs(5_000), Input::Watch(Watch::No));
        assert_eq!(run(&mut sentinel, 5_000, 9_000, fails), [0; 0]);
        assert_eq!(sentinel.seen(), None);
    }

    #[test]
    fn it_is_dead_only_when_its_registration_has_run_out_since_the_first_failure() {
        let mut sentinel = unheard();
        assert_eq!(sentinel.seen(), Some(Seen::Untried));
        run(&mut sentinel, 100, 222, fails);
        assert_eq!(silence(&sentinel), Some(Silence::Short), "102 + 120");
        run(&mut sentinel, 223, 237, fails);
        assert_eq!(silence(&sentinel), Some(Silence::Dead));
        let since = secs(102);
        assert_eq!(sentinel.seen(), Some(Seen::Silent { since, silence: Silence::Dead }));
    }

    #[test]
    fn what_the_registrar_granted_counts_and_not_what_was_asked_for() {
        let mut sentinel = unheard();
        sentinel.handle_input(secs(100), Input::Lasts(Duration::from_secs(600)));
        run(&mut sentinel, 100, 700, fails);
        assert_eq!(silence(&sentinel), Some(Silence::Short));
        run(&mut sentinel, 701, 720, fails);
        assert_eq!(silence(&sentinel), Some(Silence::Dead));
    }

    #[test]
    fn a_right_answer_makes_it_alive_at_once_and_begins_the_time_anew() {
        let mut sentinel = unheard();
        run(&mut sentinel, 100, 400, fails);
        assert_eq!(silence(&sentinel), Some(Silence::Dead));
        run(&mut sentinel, 401, 410, |_| Outcome::Proven);
        assert_eq!(sentinel.seen(), Some(Seen::Answers));
        run(&mut sentinel, 411, 520, fails);
        assert_eq!(silence(&sentinel), Some(Silence::Short));
    }

    #[test]
    fn a_call_that_could_not_be_made_proves_nothing() {
        let mut sentinel = unheard();
        run(&mut sentinel, 100, 900, |_| Outcome::NotMade);
        assert_eq!(sentinel.seen(), Some(Seen::Untried));
        run(&mut sentinel, 901, 920, fails);
        run(&mut sentinel, 921, 1_800, |_| Outcome::NotMade);
        assert_eq!(silence(&sentinel), Some(Silence::Short), "one failure is no silence");
    }

    #[test]
    fn a_pbx_that_was_away_begins_the_time_anew() {
        let mut sentinel = unheard();
        run(&mut sentinel, 100, 215, fails);
        sentinel.handle_input(secs(215), Input::Pbx(false));
        assert_eq!(sentinel.seen(), Some(Seen::Untried));
        assert_eq!(run(&mut sentinel, 216, 400, fails), [0; 0]);
        sentinel.handle_input(secs(400), Input::Pbx(true));
        run(&mut sentinel, 401, 500, fails);
        assert_eq!(silence(&sentinel), Some(Silence::Short));
    }

    #[test]
    fn one_that_never_answered_this_node_is_not_dead_however_long_it_is_silent() {
        let mut sentinel = sentinel();
        sentinel.handle_input(secs(0), Input::Watch(Watch::Unheard));
        run(&mut sentinel, 0, 10_000, fails);
        assert_eq!(silence(&sentinel), Some(Silence::Unproven));
    }

    #[test]
    fn while_the_primary_is_heard_it_is_called_until_it_has_answered_once() {
        let mut sentinel = sentinel();
        sentinel.handle_input(secs(0), Input::Watch(Watch::Heard));
        assert_eq!(run(&mut sentinel, 0, 700, fails), [30, 630]);
        assert!(sentinel.is_misplaced() && !sentinel.is_proven());
        assert_eq!(run(&mut sentinel, 701, 9_000, |_| Outcome::Proven), [1_230]);
        assert!(sentinel.is_proven() && !sentinel.is_misplaced());
        assert_eq!(sentinel.seen(), None, "the link says all there is to say");
    }

    #[test]
    fn an_answer_is_good_for_a_day_and_one_that_stays_away_then_is_told() {
        let mut sentinel = sentinel();
        sentinel.handle_input(secs(0), Input::Watch(Watch::Heard));
        assert_eq!(run(&mut sentinel, 0, 100_000, |_| Outcome::Proven), [30, 86_430]);
        assert_eq!(run(&mut sentinel, 100_001, 173_000, fails), [172_830]);
        assert!(sentinel.is_misplaced() && !sentinel.is_proven());
        assert_eq!(run(&mut sentinel, 173_001, 174_000, |_| Outcome::Proven), [173_430]);
        assert!(sentinel.is_proven() && !sentinel.is_misplaced());
    }

    #[test]
    fn what_another_pbx_answers_once_for_each_link_shows_that_it_is_the_same() {
        let mut sentinel = sentinel();
        sentinel.handle_input(secs(0), Input::Watch(Watch::Apart));
        assert_eq!(run(&mut sentinel, 0, 9_000, fails), [30]);
        assert!(!sentinel.is_proven());
        sentinel.handle_input(secs(9_000), Input::Watch(Watch::No));
        sentinel.handle_input(secs(9_001), Input::Watch(Watch::Apart));
        sentinel.handle_timeout(secs(9_031));
        assert_eq!(sentinel.poll_output(), Some(Output::Call));
        sentinel.handle_input(secs(9_035), Input::Called(Outcome::Proven));
        assert_eq!(sentinel.poll_output(), Some(Output::SamePbx));
        assert!(!sentinel.is_proven(), "it says nothing of a primary at this node's PBX");
    }
}
