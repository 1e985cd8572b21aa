//! Whom to call when something happened: the on-call list, one person after the other.
//!
//! A person has 20 s to answer from when his call is placed, and 20 s to press a key. Whoever has
//! answered is left in his call while the next one is called, because he may be listening or keying
//! his PIN; whoever has not is given up. The list is gone through three times, a minute apart. One
//! acknowledgement ends it for all, and so does the end of what happened. Calls have a budget of
//! their own, so that a flapping cluster does not wake people all night; what has no budget left
//! goes by the other channels.

use std::collections::{BTreeSet, VecDeque};

use super::Alarm;
use crate::config::OnCall;
use crate::timers::{Duration, Instant};

/// For an answer, and for a key.
const ESCALATE_AFTER: Duration = Duration::from_secs(20);
/// Between two rounds of the list.
const ROUND_PAUSE: Duration = Duration::from_secs(60);
/// Rounds.
const ROUNDS: u32 = 3;
/// Alert calls within an hour.
const BUDGET: usize = 30;
const HOUR: Duration = Duration::from_secs(3_600);

/// What the machine is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AlertInput {
    /// Something happened.
    Raised(Alarm),
    /// It is over, or somebody acknowledged it elsewhere.
    Over(Alarm),
    /// The call of this person is on its way: the extension had a line for it.
    Placed {
        /// Index in the list.
        person: usize,
    },
    /// The call of this person is up.
    Answered {
        /// Index in the list.
        person: usize,
    },
    /// A key was pressed in it.
    Acknowledged {
        /// Index in the list.
        person: usize,
    },
    /// It ended, or could not be placed.
    Ended {
        /// Index in the list.
        person: usize,
    },
}

/// What the machine wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AlertOutput {
    /// Call this person, as [`super::Entry::Alert`].
    Call {
        /// Index in the list.
        person: usize,
        /// What to say.
        alarm: Alarm,
    },
    /// Give up a call that was not answered.
    Cancel {
        /// Index in the list.
        person: usize,
    },
    /// Nobody was reached, or no call may be placed for now: the other channels have to do.
    NobodyReached,
}

/// The calls of one node about its alarms.
#[derive(Debug)]
pub struct AlertCalls {
    people: Vec<OnCall>,
    /// What nobody has acknowledged, gravest first.
    open: BTreeSet<Alarm>,
    state: State,
    /// Who is in a call, or being called.
    busy: BTreeSet<usize>,
    /// When people were called within the last hour.
    called: VecDeque<Instant>,
    outputs: VecDeque<AlertOutput>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing to tell.
    Quiet,
    /// A call waits for a line of the extension.
    Queued { person: usize, round: u32 },
    /// It rings.
    Ringing { person: usize, round: u32, until: Instant },
    /// Somebody listens.
    Listening { person: usize, round: u32, until: Instant },
    /// The list is through; the next round begins then.
    Between { round: u32, until: Instant },
    /// Everybody was called in vain, or no call may be placed. A new alarm begins anew.
    GivenUp,
}

impl AlertCalls {
    /// Calls nobody yet. `people` is the on-call list, in order.
    pub fn new(people: Vec<OnCall>) -> Self {
        Self {
            people,
            open: BTreeSet::new(),
            state: State::Quiet,
            busy: BTreeSet::new(),
            called: VecDeque::new(),
            outputs: VecDeque::new(),
        }
    }

    /// Takes in what happened.
    pub fn handle_input(&mut self, now: Instant, input: AlertInput) {
        match input {
            AlertInput::Raised(alarm) => self.raised(now, alarm),
            AlertInput::Over(alarm) => {
                if self.open.remove(&alarm) && self.open.is_empty() {
                    self.quiet();
                }
            }
            AlertInput::Placed { person } => self.placed(now, person),
            AlertInput::Answered { person } => self.answered(now, person),
            AlertInput::Acknowledged { person } => self.acknowledged(person),
            AlertInput::Ended { person } => self.ended(now, person),
        }
    }

    /// Acts on deadlines that have come.
    pub fn handle_timeout(&mut self, now: Instant) {
        match self.state {
            State::Ringing { person, round, until } if now >= until => {
                self.outputs.push_back(AlertOutput::Cancel { person });
                self.next(now, person + 1, round);
            }
            State::Listening { person, round, until } if now >= until => {
                self.next(now, person + 1, round);
            }
            State::Between { round, until } if now >= until => self.next(now, 0, round),
            State::Ringing { .. }
            | State::Listening { .. }
            | State::Between { .. }
            | State::Queued { .. }
            | State::Quiet
            | State::GivenUp => {}
        }
    }

    /// What to do, until `None`.
    pub fn poll_output(&mut self) -> Option<AlertOutput> {
        self.outputs.pop_front()
    }

    /// When to call `handle_timeout`.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Ringing { until, .. }
            | State::Listening { until, .. }
            | State::Between { until, .. } => Some(until),
            State::Queued { .. } | State::Quiet | State::GivenUp => None,
        }
    }

    /// Somebody of the list.
    pub fn person(&self, person: usize) -> Option<&OnCall> {
        self.people.get(person)
    }

    fn raised(&mut self, now: Instant, alarm: Alarm) {
        let is_new = self.open.insert(alarm);
        if is_new && matches!(self.state, State::Quiet | State::GivenUp) {
            self.next(now, 0, 1);
        }
    }

    /// Calls the first who is free, from `person` on.
    fn next(&mut self, now: Instant, person: usize, round: u32) {
        let people = self.people.len();
        match (person..people).find(|person| !self.busy.contains(person)) {
            Some(person) => self.call(now, person, round),
            None if round < ROUNDS && people > 0 => {
                self.state = State::Between { round: round + 1, until: now + ROUND_PAUSE };
            }
            None => self.give_up(),
        }
    }

    fn call(&mut self, now: Instant, person: usize, round: u32) {
        while self.called.front().is_some_and(|&at| now.saturating_duration_since(at) >= HOUR) {
            self.called.pop_front();
        }
        let (Some(&alarm), true) = (self.open.first(), self.called.len() < BUDGET) else {
            return self.give_up();
        };
        self.called.push_back(now);
        self.busy.insert(person);
        self.state = State::Queued { person, round };
        self.outputs.push_back(AlertOutput::Call { person, alarm });
    }

    fn placed(&mut self, now: Instant, person: usize) {
        if let State::Queued { person: queued, round } = self.state
            && queued == person
        {
            self.state = State::Ringing { person, round, until: now + ESCALATE_AFTER };
        }
    }

    fn give_up(&mut self) {
        self.state = State::GivenUp;
        self.outputs.push_back(AlertOutput::NobodyReached);
    }

    fn answered(&mut self, now: Instant, person: usize) {
        if let State::Ringing { person: ringing, round, .. } = self.state
            && ringing == person
        {
            let until = now + ESCALATE_AFTER;
            self.state = State::Listening { person, round, until };
        }
    }

    /// Whoever has answered earlier may be the one who acknowledges.
    fn acknowledged(&mut self, person: usize) {
        if self.busy.contains(&person) {
            self.open.clear();
            self.quiet();
        }
    }

    fn ended(&mut self, now: Instant, person: usize) {
        self.busy.remove(&person);
        match self.state {
            State::Queued { person: current, round }
            | State::Ringing { person: current, round, .. }
            | State::Listening { person: current, round, .. }
                if current == person =>
            {
                self.next(now, person + 1, round);
            }
            State::Queued { .. }
            | State::Ringing { .. }
            | State::Listening { .. }
            | State::Between { .. }
            | State::Quiet
            | State::GivenUp => {}
        }
    }

    /// Nothing is left to tell. What waits or rings is given up; who listens may go on.
    fn quiet(&mut self) {
        if let State::Queued { person, .. } | State::Ringing { person, .. } = self.state {
            self.outputs.push_back(AlertOutput::Cancel { person });
        }
        self.state = State::Quiet;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn at(seconds: u64) -> Instant {
        Instant::from_nanos(seconds * SECOND)
    }

    fn calls(people: usize) -> AlertCalls {
        let person =
            |n| OnCall { extension: format!("20{n}"), outside: None, agent: String::new() };
        AlertCalls::new((0..people).map(person).collect())
    }

    /// What is to be done at this second. The extension has a line for every call.
    fn outputs(calls: &mut AlertCalls, second: u64) -> Vec<AlertOutput> {
        std::iter::from_fn(|| {
            let output = calls.poll_output()?;
            placed(calls, second, &output);
            Some(output)
        })
        .collect()
    }

    fn placed(calls: &mut AlertCalls, second: u64, output: &AlertOutput) {
        if let AlertOutput::Call { person, .. } = *output {
            calls.handle_input(at(second), AlertInput::Placed { person });
        }
    }

    fn call(person: usize) -> AlertOutput {
        AlertOutput::Call { person, alarm: Alarm::PrimaryDown }
    }

    /// Runs until there is no deadline, or `end`; what was done at which second. Whoever is given
    /// up has his call ended.
    fn run(calls: &mut AlertCalls, end: u64) -> Vec<(u64, AlertOutput)> {
        let (mut done, mut now) = (Vec::new(), at(0));
        loop {
            while let Some(output) = calls.poll_output() {
                placed(calls, now.as_nanos() / SECOND, &output);
                if let AlertOutput::Cancel { person } = output {
                    calls.handle_input(now, AlertInput::Ended { person });
                }
                done.push((now.as_nanos() / SECOND, output));
            }
            match calls.poll_timeout().filter(|&next| next <= at(end)) {
                Some(next) => now = next,
                None => return done,
            }
            calls.handle_timeout(now);
        }
    }

    #[test]
    fn who_does_not_answer_in_20_s_is_given_up_for_the_next() {
        let mut calls = calls(2);
        calls.handle_input(at(0), AlertInput::Raised(Alarm::PrimaryDown));
        let cancel = |person| AlertOutput::Cancel { person };
        let done = run(&mut calls, 100);
        let wanted =
            [(0, call(0)), (20, cancel(0)), (20, call(1)), (40, cancel(1)), (100, call(0))];
        assert_eq!(done, wanted);
    }

    #[test]
    fn who_waits_for_a_line_has_his_20_s_from_when_he_is_called() {
        let mut calls = calls(2);
        calls.handle_input(at(0), AlertInput::Raised(Alarm::PrimaryDown));
        assert_eq!(calls.poll_output(), Some(call(0)));
        assert_eq!(calls.poll_timeout(), None, "no line is free");
        calls.handle_input(at(300), AlertInput::Placed { person: 0 });
        assert_eq!(calls.poll_timeout(), Some(at(320)));
    }

    #[test]
    fn who_waits_for_a_line_when_all_is_over_is_not_called() {
        let mut calls = calls(1);
        calls.handle_input(at(0), AlertInput::Raised(Alarm::PrimaryDown));
        assert_eq!(calls.poll_output(), Some(call(0)));
        calls.handle_input(at(5), AlertInput::Over(Alarm::PrimaryDown));
        assert_eq!(calls.poll_output(), Some(AlertOutput::Cancel { person: 0 }));
    }

    #[test]
    fn after_three_rounds_the_other_channels_have_to_do() {
        let mut calls = calls(2);
        calls.handle_input(at(0), AlertInput::Raised(Alarm::PrimaryDown));
        let done = run(&mut calls, 10_000);
        let placed = done.iter().filter(|(_, output)| matches!(output, AlertOutput::Call { .. }));
        assert_eq!(placed.count(), 6);
        assert_eq!(done.last(), Some(&(240, AlertOutput::NobodyReached)));
        calls.handle_input(at(300), AlertInput::Raised(Alarm::PrimaryDown));
        assert_eq!(outputs(&mut calls, 300), [], "it is the same alarm");
        calls.handle_input(at(300), AlertInput::Raised(Alarm::WitnessLost));
        assert_eq!(outputs(&mut calls, 300), [call(0)], "the gravest is told");
    }

    #[test]
    fn who_answers_and_presses_no_key_is_left_to_listen_while_the_next_is_called() {
        let mut calls = calls(2);
        calls.handle_input(at(0), AlertInput::Raised(Alarm::PrimaryDown));
        assert_eq!(outputs(&mut calls, 0), [call(0)]);
        calls.handle_input(at(5), AlertInput::Answered { person: 0 });
        calls.handle_timeout(at(25));
        assert_eq!(outputs(&mut calls, 25), [call(1)]);
        calls.handle_input(at(26), AlertInput::Acknowledged { person: 0 });
        assert_eq!(outputs(&mut calls, 26), [AlertOutput::Cancel { person: 1 }]);
        assert_eq!(calls.poll_timeout(), None);
    }

    #[test]
    fn a_voice_mail_that_answers_and_hangs_up_is_no_acknowledgement() {
        let mut calls = calls(2);
        calls.handle_input(at(0), AlertInput::Raised(Alarm::PrimaryDown));
        calls.handle_input(at(2), AlertInput::Answered { person: 0 });
        calls.handle_input(at(9), AlertInput::Ended { person: 0 });
        assert_eq!(outputs(&mut calls, 9), [call(0), call(1)]);
    }

    #[test]
    fn what_is_over_is_told_to_nobody() {
        let mut calls = calls(1);
        calls.handle_input(at(0), AlertInput::Raised(Alarm::PrimaryDown));
        calls.handle_input(at(1), AlertInput::Raised(Alarm::BackupLost));
        calls.handle_input(at(2), AlertInput::Over(Alarm::PrimaryDown));
        assert_eq!(outputs(&mut calls, 2), [call(0)], "one is left");
        calls.handle_input(at(3), AlertInput::Over(Alarm::BackupLost));
        assert_eq!(outputs(&mut calls, 3), [AlertOutput::Cancel { person: 0 }]);
        assert_eq!(calls.poll_timeout(), None);
    }

    #[test]
    fn a_flapping_cluster_places_30_calls_an_hour() {
        let mut calls = calls(1);
        let mut placed = 0;
        for second in 0..3_599 {
            calls.handle_input(at(second), AlertInput::Raised(Alarm::PrimaryDown));
            calls.handle_input(at(second), AlertInput::Over(Alarm::PrimaryDown));
            calls.handle_input(at(second), AlertInput::Ended { person: 0 });
            let outputs = outputs(&mut calls, second);
            placed += outputs.iter().filter(|o| matches!(o, AlertOutput::Call { .. })).count();
        }
        assert_eq!(placed, BUDGET);
        calls.handle_input(at(3_700), AlertInput::Raised(Alarm::PrimaryDown));
        assert_eq!(outputs(&mut calls, 3_700), [call(0)], "an hour later");
    }

    #[test]
    fn an_empty_list_reaches_nobody_and_says_so() {
        let mut calls = calls(0);
        calls.handle_input(at(0), AlertInput::Raised(Alarm::PrimaryDown));
        assert_eq!(outputs(&mut calls, 0), [AlertOutput::NobodyReached]);
    }

    #[test]
    fn an_acknowledgement_of_somebody_who_was_not_called_counts_for_nothing() {
        let mut calls = calls(2);
        calls.handle_input(at(0), AlertInput::Raised(Alarm::PrimaryDown));
        assert_eq!(outputs(&mut calls, 0), [call(0)]);
        calls.handle_input(at(1), AlertInput::Acknowledged { person: 1 });
        calls.handle_input(at(1), AlertInput::Acknowledged { person: 9 });
        assert!(calls.poll_timeout().is_some(), "still ringing");
    }
}
