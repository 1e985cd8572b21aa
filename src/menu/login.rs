//! Number and PIN, and the verdict about them.
//!
//! The answer comes 1.5 s after the last key at the earliest, whatever it is, and every try is
//! written down once: also one whose caller hung up, whose call changed, or that nobody could
//! check. Three wrong tries end the call.

use super::evidence::Candidate;
use super::keypad::{Keypad, Step};
use super::machine::{Menu, PAUSE_MAX, State, Turn};
use super::voice::Speech;
use super::{Order, Output, Verdict, Why, words};
use crate::redact::Redacted;
use crate::store::Action;
use crate::timers::{Duration, Instant};

/// No answer is earlier, so that its time tells nothing of the work behind it.
const ANSWER_AFTER: Duration = Duration::from_millis(1_500);
/// A check that takes longer is lost: two at a time take 50 ms each.
const CHECK_MAX: Duration = Duration::from_secs(10);
/// An agent number that does not exist, in records.
const NOBODY: &str = "unknown";

/// Wrong tries of one call.
pub(super) const TRIES: u8 = 3;

/// What number and PIN are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To be let in.
    Enter,
    /// To agree to what the agent `first` wants to force, until then.
    Second { first: String, candidate: Candidate, until: Instant },
}

/// A number and a PIN that are being compared.
#[derive(Debug)]
pub(super) struct Checking {
    /// Somebody may have keyed his PIN in its place.
    number: Redacted<String>,
    purpose: Purpose,
    check: u32,
    verdict: Option<Verdict>,
    answer_at: Instant,
    give_up_at: Instant,
}

impl Checking {
    pub(super) fn deadline(&self) -> Instant {
        if self.verdict.is_some() { self.answer_at } else { self.give_up_at }
    }
}

impl Menu {
    pub(super) fn ask_number(&mut self, now: Instant, speech: Speech, purpose: Purpose) {
        let question = match purpose {
            Purpose::Enter => words::AGENT_NUMBER,
            Purpose::Second { .. } => words::SECOND_AGENT,
        };
        let keypad = Keypad::default();
        self.ask(now, speech.say(question), State::Number { keypad, purpose });
    }

    pub(super) fn ask_pin(
        &mut self,
        now: Instant,
        speech: Speech,
        number: Redacted<String>,
        purpose: Purpose,
    ) {
        let keypad = Keypad::default();
        self.ask(now, speech.say(words::PIN), State::Pin { number, keypad, purpose });
    }

    pub(super) fn number_key(&mut self, now: Instant, key: char) {
        let State::Number { keypad, purpose } = &mut self.state else { return };
        self.turn = Turn::Listening { until: now + PAUSE_MAX };
        match keypad.key(key) {
            Step::More => {}
            Step::Whole if !keypad.is_empty() => {
                let (number, purpose) = (keypad.take().into(), purpose.clone());
                self.ask_pin(now, Speech::default(), number, purpose);
            }
            Step::Whole | Step::Over => {
                let purpose = purpose.clone();
                self.ask_number(now, Speech::default(), purpose);
            }
        }
    }

    pub(super) fn pin_key(&mut self, now: Instant, key: char) {
        let State::Pin { keypad, number, purpose } = &mut self.state else { return };
        self.turn = Turn::Listening { until: now + PAUSE_MAX };
        match keypad.key(key) {
            Step::More => {}
            Step::Whole if !keypad.is_empty() => {
                let (pin, number) = (keypad.take(), std::mem::take(number));
                let purpose = purpose.clone();
                self.check(now, number, pin, purpose);
            }
            Step::Whole => {
                let (number, purpose) = (std::mem::take(number), purpose.clone());
                self.ask_pin(now, Speech::default(), number, purpose);
            }
            Step::Over => {
                let purpose = purpose.clone();
                self.ask_number(now, Speech::default(), purpose);
            }
        }
    }

    fn check(&mut self, now: Instant, number: Redacted<String>, pin: String, purpose: Purpose) {
        self.checks += 1;
        let check = self.checks;
        let (of, pin) = (number.clone(), pin.into());
        self.outputs.push_back(Output::CheckPin { check, number: of, pin });
        let (answer_at, give_up_at) = (now + ANSWER_AFTER, now + CHECK_MAX);
        let verdict = None;
        let checking = Checking { number, purpose, check, verdict, answer_at, give_up_at };
        (self.state, self.turn) = (State::Checking(checking), Turn::Waiting);
    }

    pub(super) fn checked(&mut self, now: Instant, check: u32, verdict: Verdict) {
        if let State::Checking(checking) = &mut self.state
            && checking.check == check
            && checking.verdict.is_none()
        {
            checking.verdict = Some(verdict);
            self.check_timeout(now);
        }
    }

    pub(super) fn check_timeout(&mut self, now: Instant) {
        if !matches!(&self.state, State::Checking(checking) if now >= checking.deadline()) {
            return;
        }
        let State::Checking(checking) = std::mem::replace(&mut self.state, State::Idle) else {
            return;
        };
        let Checking { number, purpose, verdict, .. } = checking;
        let number = number.reveal().clone();
        match verdict.unwrap_or(Verdict::Refused(Why::Unchecked)) {
            Verdict::Right => {
                self.audit(&number, Action::Login, Ok(()));
                self.admitted(now, number, purpose);
            }
            Verdict::CallBack { extension } => self.call_back(now, number, extension, purpose),
            Verdict::Refused(why) => self.refused(now, &number, why, purpose),
        }
    }

    fn admitted(&mut self, now: Instant, number: String, purpose: Purpose) {
        match purpose {
            Purpose::Enter => self.enter(now, number),
            Purpose::Second { first, candidate, until } if number == first => {
                let purpose = Purpose::Second { first, candidate, until };
                self.ask_number(now, Speech::of(words::ANOTHER_AGENT), purpose);
            }
            Purpose::Second { first, candidate, until } if now < until => {
                self.agreed(now, first, candidate, &number);
            }
            Purpose::Second { first, candidate, .. } => self.no_second(now, first, candidate),
        }
    }

    /// The PIN was right, and the telephone is not yet proven.
    fn call_back(&mut self, now: Instant, number: String, extension: String, purpose: Purpose) {
        if purpose != Purpose::Enter {
            return self.refused(now, &number, Why::Telephone, purpose);
        }
        self.audit(&number, Action::Login, Ok(()));
        let call_back = Some((extension, number));
        self.ask(now, Speech::of(words::CALL_BACK), State::Leaving { call_back });
    }

    fn refused(&mut self, now: Instant, number: &str, why: Why, purpose: Purpose) {
        // What is nobody's number may be a PIN that was keyed too early: it is written nowhere.
        let number = if why == Why::UnknownAgent { NOBODY } else { number };
        self.audit(number, why.action(), Err(why.text()));
        self.failures += 1;
        let speech = Speech::of(match why {
            // Which of the three it was helps only those who guess.
            Why::UnknownAgent | Why::Disabled | Why::WrongPin => words::NOT_CORRECT,
            Why::Locked => words::LOCKED,
            Why::Telephone => words::WRONG_TELEPHONE,
            Why::NoCallBack => words::NO_CALL_BACK,
            Why::Unchecked => words::CANNOT_CHECK,
        });
        if self.failures >= TRIES {
            self.goodbye(now, speech);
        } else {
            self.ask_number(now, speech, purpose);
        }
    }

    /// A check whose answer will find nobody: it is a try all the same.
    pub(super) fn abandon(&mut self, checking: Checking, why: &str) -> (Redacted<String>, Purpose) {
        self.failures = self.failures.saturating_add(1);
        self.audit(checking.number.reveal(), Action::Login, Err(why));
        (checking.number, checking.purpose)
    }

    /// Any key of somebody whom we called.
    pub(super) fn alert_key(&mut self, now: Instant) {
        let State::Alerted { person } = std::mem::replace(&mut self.state, State::Idle) else {
            return;
        };
        self.outputs.push_back(Output::Order(Order::Acknowledge));
        self.audit(&person, Action::Acknowledge, Ok(()));
        self.evidence.alarm = None;
        let keypad = Keypad::default();
        let state = State::Number { keypad, purpose: Purpose::Enter };
        self.ask(now, Speech::of(words::ACKNOWLEDGED).say(words::MAY_ACT), state);
    }
}
