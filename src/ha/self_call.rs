//! Whether the control extensions of the other nodes can be called, found out before a person has
//! to.
//!
//! Once a night, and soon after its start, a node calls the control extension of each other node
//! through the PBX and asks for a [proof](super::proof): that the extension is registered, that the
//! PBX connects it, and that keys arrive both ways. That is what the phone menu needs, and what
//! nobody notices missing until the primary is dead. A call that finds nobody is made again, since
//! a PBX may just be starting; three of them are a result. One that could not be made, because the
//! far end is busy with a person, says nothing.

use std::collections::VecDeque;

use super::proof::Outcome;
use crate::ids::NodeId;
use crate::timers::{Duration, Instant};

/// So long after the start every extension has registered.
const FIRST: Duration = Duration::from_secs(120);
/// Between two calls.
const PAUSE: Duration = Duration::from_secs(5);
/// Before the same one is called again.
const AGAIN: Duration = Duration::from_secs(60);
/// Calls of one extension.
const TRIES: u8 = 3;
/// A night begins once.
const NIGHT: Duration = Duration::from_secs(6 * 3_600);

/// Another node's control extension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Whose.
    pub node: NodeId,
    /// Its number.
    pub extension: String,
    /// What its last test showed; `None`: there was none.
    pub tested: Option<Tested>,
}

/// The end of a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tested {
    /// The right answer came.
    pub proven: bool,
    /// When.
    pub at: Instant,
}

/// What it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// It is the time of the night; may be said several times.
    Night,
    /// A person wants it now.
    Begin,
    /// What became of [`Output::Call`]; `None`: that node is not heard, which is told elsewhere.
    Called(Option<Outcome>),
}

/// What it wants done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Call this target.
    Call(usize),
    /// The result of this target is new.
    Tested(usize),
}

/// The machine.
#[derive(Debug, Default)]
pub struct SelfCalls {
    targets: Vec<Target>,
    state: State,
    begun_at: Option<Instant>,
    out: VecDeque<Output>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Nobody is to be called.
    #[default]
    Idle,
    /// This target is called then.
    Waiting { target: usize, tries: u8, at: Instant },
    /// It is being called.
    Calling { target: usize, tries: u8 },
}

impl SelfCalls {
    /// Of these extensions, from the start of this node on.
    pub fn new(now: Instant, targets: Vec<Target>) -> Self {
        let first = State::Waiting { target: 0, tries: 0, at: now + FIRST };
        let state = if targets.is_empty() { State::Idle } else { first };
        Self { targets, state, begun_at: None, out: VecDeque::new() }
    }

    /// Takes something in.
    pub fn handle_input(&mut self, now: Instant, input: Input) {
        match input {
            Input::Night => {
                let again = |begun_at| now.saturating_duration_since(begun_at) >= NIGHT;
                if self.begun_at.is_none_or(again) {
                    self.begin(now);
                }
            }
            Input::Begin => self.begin(now),
            Input::Called(outcome) => self.called(now, outcome),
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        if let State::Waiting { target, tries, at } = self.state
            && now >= at
        {
            if (target, tries) == (0, 0) {
                self.begun_at = Some(now);
            }
            self.state = State::Calling { target, tries: tries + 1 };
            self.out.push_back(Output::Call(target));
        }
    }

    /// The next thing to do, until `None`.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// When to call `handle_timeout`.
    pub const fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Waiting { at, .. } => Some(at),
            State::Idle | State::Calling { .. } => None,
        }
    }

    /// The extensions, with what is known of each.
    pub fn targets(&self) -> &[Target] {
        &self.targets
    }

    /// All of them from the first on; a call that is under way ends first.
    fn begin(&mut self, now: Instant) {
        let waits = matches!(self.state, State::Waiting { target: 0, tries: 0, .. });
        if self.targets.is_empty() || !(waits || self.state == State::Idle) {
            return;
        }
        self.state = State::Waiting { target: 0, tries: 0, at: now };
    }

    fn called(&mut self, now: Instant, outcome: Option<Outcome>) {
        let State::Calling { target, tries } = self.state else { return };
        let more = tries < TRIES;
        match outcome {
            Some(Outcome::Proven) => self.tested(now, target, true),
            Some(Outcome::Failed | Outcome::NotMade) if more => {
                self.state = State::Waiting { target, tries, at: now + AGAIN };
                return;
            }
            Some(Outcome::Failed) => self.tested(now, target, false),
            Some(Outcome::NotMade) | None => {}
        }
        let (target, at) = (target + 1, now + PAUSE);
        let over = target >= self.targets.len();
        self.state = if over { State::Idle } else { State::Waiting { target, tries: 0, at } };
    }

    fn tested(&mut self, now: Instant, target: usize, proven: bool) {
        if let Some(of) = self.targets.get_mut(target) {
            of.tested = Some(Tested { proven, at: now });
            self.out.push_back(Output::Tested(target));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    fn of_two() -> SelfCalls {
        let target = |node, extension: &str| Target {
            node: NodeId(node),
            extension: extension.to_owned(),
            tested: None,
        };
        SelfCalls::new(secs(0), vec![target(0, "6091"), target(2, "6093")])
    }

    /// Lets time pass; each call is over at once, as `outcome` says. Which was called when.
    fn run(
        calls: &mut SelfCalls,
        from: u64,
        to: u64,
        outcome: impl Fn(usize) -> Option<Outcome>,
    ) -> Vec<(u64, usize)> {
        let mut called = Vec::new();
        for at in from..=to {
            calls.handle_timeout(secs(at));
            while let Some(output) = calls.poll_output() {
                if let Output::Call(target) = output {
                    called.push((at, target));
                    calls.handle_input(secs(at), Input::Called(outcome(target)));
                }
            }
        }
        called
    }

    fn proven(calls: &SelfCalls) -> Vec<Option<bool>> {
        calls.targets().iter().map(|target| target.tested.map(|tested| tested.proven)).collect()
    }

    const fn right(_: usize) -> Option<Outcome> {
        Some(Outcome::Proven)
    }

    #[test]
    fn each_extension_is_called_after_the_start_and_once_a_night() {
        let mut calls = of_two();
        assert_eq!(run(&mut calls, 0, 20_000, right), [(120, 0), (125, 1)]);
        assert_eq!(proven(&calls), [Some(true), Some(true)]);
        assert_eq!(calls.targets()[1].tested.map(|tested| tested.at), Some(secs(125)));
        for minute in 0..60 {
            let at = 30_000 + 60 * minute;
            calls.handle_input(secs(at), Input::Night);
            let called = run(&mut calls, at, at + 59, right);
            let wanted: &[_] = if minute == 0 { &[(30_000, 0), (30_005, 1)] } else { &[] };
            assert_eq!(called, wanted, "{minute}");
        }
    }

    #[test]
    fn three_calls_that_find_nobody_are_a_result_and_the_next_right_answer_another() {
        let mut calls = of_two();
        let first_dead = |target| Some([Outcome::Failed, Outcome::Proven][target]);
        let called = run(&mut calls, 0, 1_000, first_dead);
        assert_eq!(called, [(120, 0), (180, 0), (240, 0), (245, 1)]);
        assert_eq!(proven(&calls), [Some(false), Some(true)]);
        calls.handle_input(secs(1_000), Input::Begin);
        assert_eq!(run(&mut calls, 1_000, 1_100, right), [(1_000, 0), (1_005, 1)]);
        assert_eq!(proven(&calls), [Some(true), Some(true)]);
    }

    #[test]
    fn one_that_is_busy_or_not_heard_keeps_what_is_known_of_it() {
        let mut calls = of_two();
        let busy = |target| if target == 0 { Some(Outcome::NotMade) } else { None };
        let called = run(&mut calls, 0, 1_000, busy);
        assert_eq!(called, [(120, 0), (180, 0), (240, 0), (245, 1)]);
        assert_eq!(proven(&calls), [None, None]);
    }

    #[test]
    fn who_orders_it_twice_gets_it_once() {
        let mut calls = of_two();
        calls.handle_input(secs(10), Input::Begin);
        calls.handle_timeout(secs(10));
        assert_eq!(calls.poll_output(), Some(Output::Call(0)));
        calls.handle_input(secs(11), Input::Begin);
        calls.handle_timeout(secs(11));
        assert_eq!(calls.poll_output(), None);
        let mut nobody = SelfCalls::new(secs(0), Vec::new());
        nobody.handle_input(secs(1), Input::Begin);
        assert_eq!(nobody.poll_timeout(), None);
    }
}
