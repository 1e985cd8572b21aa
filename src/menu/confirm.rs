//! Three random digits, spoken and keyed: a recording of an earlier call does not know them, and
//! nobody keys them by accident. What was confirmed is ordered; a drill stops right before.
//!
//! The ten seconds begin after the last spoken digit, or with the first key. Each miss is written
//! down and has other digits; three end the call.

use super::agent_rules::random_digits;
use super::evidence::Candidate;
use super::keypad::{Keypad, Step};
use super::login::Purpose;
use super::machine::{Menu, State};
use super::obstacle::Obstacle;
use super::voice::Speech;
use super::{Order, Output, words};
use crate::redact::Redacted;
use crate::store::Action;
use crate::timers::{Duration, Instant};

/// For three digits.
const CONFIRM_MAX: Duration = Duration::from_secs(10);
/// Digits.
const DIGITS: usize = 3;
/// Misses that end the call.
const MISSES: u8 = 3;
/// For a second agent.
const SECOND_MAX: Duration = Duration::from_secs(5 * 60);

/// Three digits that are asked for.
#[derive(Debug)]
pub(super) struct Confirming {
    pub(super) agent: String,
    what: What,
    digits: Redacted<String>,
    keypad: Keypad,
    misses: u8,
}

/// What is to be confirmed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// A promotion.
    Promote { candidate: Candidate },
    /// One that was refused.
    Force { candidate: Candidate },
    /// One that the agent `first` wants to force.
    Agree { candidate: Candidate, first: String },
    /// All but a promotion.
    Drill,
}

impl Confirming {
    pub(super) const fn time(&self) -> Duration {
        CONFIRM_MAX
    }
}

impl What {
    fn action(&self, agent: &str) -> Action {
        let promote =
            |candidate: &Candidate, forced| Action::Promote { node: candidate.node, forced };
        match self {
            Self::Promote { candidate } => promote(candidate, None),
            Self::Force { candidate } => promote(candidate, Some(attestation(agent, None))),
            Self::Agree { candidate, first } => {
                promote(candidate, Some(attestation(first, Some(agent))))
            }
            Self::Drill => Action::Drill,
        }
    }
}

/// What is written down of a forced promotion.
fn attestation(first: &str, second: Option<&str>) -> String {
    match second {
        None => format!("agent {first} declared by phone that the primary is halted"),
        Some(second) => {
            format!("agents {first} and {second} declared by phone that the primary is halted")
        }
    }
}

impl Menu {
    pub(super) fn confirm(&mut self, now: Instant, speech: Speech, agent: String, what: What) {
        self.ask_digits(
            now,
            speech,
            Confirming {
                agent,
                what,
                digits: String::new().into(),
                keypad: Keypad::default(),
                misses: 0,
            },
        );
    }

    /// Other digits than those before.
    fn ask_digits(&mut self, now: Instant, speech: Speech, before: Confirming) {
        let mut digits = random_digits(&mut self.rng, DIGITS);
        while digits == *before.digits.reveal() {
            digits = random_digits(&mut self.rng, DIGITS);
        }
        let question = match before.what {
            What::Promote { .. } => words::KEY_TO_PROMOTE,
            What::Force { .. } | What::Agree { .. } => words::KEY_TO_FORCE,
            What::Drill => words::KEY_TO_DRILL,
        };
        let speech = speech.say(question).digits(&digits);
        let keypad = Keypad::default();
        let confirming = Confirming { digits: digits.into(), keypad, ..before };
        self.ask(now, speech, State::Confirming(confirming));
    }

    pub(super) fn confirm_key(&mut self, now: Instant, key: char) {
        let State::Confirming(confirming) = &mut self.state else { return };
        let step = confirming.keypad.key(key);
        if step == Step::Over || confirming.keypad.len() < DIGITS && step == Step::More {
            return;
        }
        let State::Confirming(mut confirming) = std::mem::replace(&mut self.state, State::Idle)
        else {
            return;
        };
        if confirming.keypad.take() == *confirming.digits.reveal() {
            self.confirmed(now, confirming.agent, confirming.what);
        } else {
            self.missed(now, confirming, words::NOT_CORRECT, "other digits were keyed");
        }
    }

    pub(super) fn too_late(&mut self, now: Instant) {
        if let State::Confirming(confirming) = std::mem::replace(&mut self.state, State::Idle) {
            self.missed(now, confirming, words::TOO_LATE, "the digits were keyed too late");
        }
    }

    fn missed(&mut self, now: Instant, confirming: Confirming, word: words::Prompt, why: &str) {
        let action = confirming.what.action(&confirming.agent);
        self.audit(&confirming.agent, action, Err(why));
        let misses = confirming.misses + 1;
        if misses >= MISSES {
            self.goodbye(now, Speech::of(word));
        } else {
            self.ask_digits(now, Speech::of(word), Confirming { misses, ..confirming });
        }
    }

    fn confirmed(&mut self, now: Instant, agent: String, what: What) {
        match what {
            What::Promote { candidate } => self.order(now, agent, candidate, None),
            What::Force { candidate } if self.config.two_person => {
                self.propose(now, agent, candidate);
            }
            What::Force { candidate } => {
                let forced = Some(attestation(&agent, None));
                self.order(now, agent, candidate, forced);
            }
            What::Agree { candidate, first } => {
                let forced = Some(attestation(&first, Some(&agent)));
                self.order(now, agent, candidate, forced);
            }
            What::Drill => self.drilled(now, agent),
        }
    }

    /// Whoever would be promoted says whether it would be.
    fn drilled(&mut self, now: Instant, agent: String) {
        match self.evidence.candidate.clone() {
            Some(candidate) => self.drill(now, agent, candidate),
            None => {
                self.audit(&agent, Action::Drill, Ok(()));
                self.tell_drilled(now, &[Obstacle::NotReady], agent);
            }
        }
    }

    fn propose(&mut self, now: Instant, first: String, candidate: Candidate) {
        let who = self.who(&first);
        self.outputs.push_back(Output::Order(Order::Propose { who }));
        let until = now + SECOND_MAX;
        let purpose = Purpose::Second { first, candidate, until };
        self.ask_number(now, Speech::default(), purpose);
    }

    /// A second agent keyed number and PIN in this very call.
    pub(super) fn agreed(
        &mut self,
        now: Instant,
        first: String,
        candidate: Candidate,
        second: &str,
    ) {
        let forced = Some(attestation(&first, Some(second)));
        self.order(now, first, candidate, forced);
    }

    /// Nobody agreed in time.
    pub(super) fn no_second(&mut self, now: Instant, first: String, candidate: Candidate) {
        let action = What::Force { candidate }.action(&first);
        self.audit(&first, action, Err("no second agent agreed"));
        self.tell(now, Speech::of(words::FIVE_MINUTES_OVER), first);
    }
}
