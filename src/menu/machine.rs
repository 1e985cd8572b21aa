//! The machine of one call: who speaks, whose turn it is, and how long it waits.
//!
//! The steps stand in files of their own: [`super::login`] asks for number and PIN,
//! [`super::choice`] tells and takes a choice, [`super::confirm`] asks for three digits,
//! [`super::promotion`] follows what was ordered.

use std::collections::VecDeque;

use super::confirm::Confirming;
use super::keypad::Keypad;
use super::login::{Checking, Purpose, TRIES};
use super::promotion::Following;
use super::voice::Speech;
use super::{Caller, Config, Entry, Evidence, Heard, Input, Output, words};
use crate::codecs::Digit;
use crate::ids::Rng;
use crate::redact::Redacted;
use crate::store::{Action, Audit, Who};
use crate::timers::{Duration, Instant, earliest};

/// Between two keys, and before the first.
pub(super) const PAUSE_MAX: Duration = Duration::from_secs(6);
/// Pauses after which what was asked is asked again.
const REPEATS: u8 = 3;
/// No speech is longer. Whoever plays it may have lost it, and the call must go on.
const SPEECH_MAX: Duration = Duration::from_secs(90);
/// A call that leads to nothing ends here.
const CALL_MAX: Duration = Duration::from_secs(15 * 60);

/// One call of the menu.
#[derive(Debug)]
pub struct Menu {
    pub(super) config: Config,
    pub(super) rng: Rng,
    pub(super) evidence: Evidence,
    pub(super) caller: Caller,
    pub(super) state: State,
    pub(super) turn: Turn,
    /// The promotion that this call knows of. It goes on whatever the caller does.
    pub(super) promotion: Option<Following>,
    /// Wrong PINs of this call.
    pub(super) failures: u8,
    /// Names the last check.
    pub(super) checks: u32,
    /// Names the last speech.
    speeches: u32,
    /// Pauses without a key.
    pauses: u8,
    /// A key was pressed in this call.
    keyed: bool,
    ends_at: Instant,
    pub(super) outputs: VecDeque<Output>,
}

/// What the caller is asked.
#[derive(Debug)]
pub(super) enum State {
    /// The call has not begun.
    Idle,
    /// We called, and wait for any key.
    Alerted { person: String },
    /// For an agent number.
    Number { keypad: Keypad, purpose: Purpose },
    /// For the PIN of `number`.
    Pin { number: Redacted<String>, keypad: Keypad, purpose: Purpose },
    /// Nothing: number and PIN are compared.
    Checking(Checking),
    /// What to do. `asked_4`: 4 was pressed once.
    Choosing { agent: String, asked_4: bool },
    /// Whether to force what was refused.
    Forcing { agent: String },
    /// For three digits.
    Confirming(Confirming),
    /// Nothing: a promotion is under way.
    Following { agent: String },
    /// Nothing: the last words are spoken. Then this extension is called.
    Leaving { call_back: Option<(String, String)> },
    /// Nothing: the call is over.
    Over,
}

/// Whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Ours: this speech plays.
    Speaking { speech: u32, until: Instant },
    /// The caller's.
    Listening { until: Instant },
    /// Nobody's: something else has to happen.
    Waiting,
}

impl Menu {
    /// A menu for a call that has not begun.
    pub fn new(config: Config, rng: Rng) -> Self {
        Self {
            config,
            rng,
            evidence: Evidence::default(),
            caller: Caller::default(),
            state: State::Idle,
            turn: Turn::Waiting,
            promotion: None,
            failures: 0,
            checks: 0,
            speeches: 0,
            pauses: 0,
            keyed: false,
            ends_at: Instant::from_nanos(u64::MAX),
            outputs: VecDeque::new(),
        }
    }

    /// Takes in what happened.
    pub fn handle_input(&mut self, now: Instant, input: Input) {
        if matches!(self.state, State::Over) {
            return;
        }
        match input {
            Input::Began { entry, caller } => self.began(now, entry, caller),
            Input::Evidence(evidence) => self.evidence = evidence,
            Input::Digit { heard: Heard::Tone, .. } => {}
            Input::Digit { key, heard: Heard::Event | Heard::Info } => self.key(now, &key),
            Input::Said { speech } => self.said(now, speech),
            Input::Changed { caller } => self.changed(now, caller),
            Input::Checked { check, verdict } => self.checked(now, check, verdict),
            Input::Promotion(news) => self.news(now, news),
            Input::Ended => self.ended(),
        }
    }

    /// Acts on deadlines that have come.
    pub fn handle_timeout(&mut self, now: Instant) {
        match self.turn {
            Turn::Speaking { until, .. } if now >= until => self.listen(now),
            Turn::Listening { until } if now >= until => self.paused(now),
            Turn::Speaking { .. } | Turn::Listening { .. } | Turn::Waiting => {}
        }
        self.check_timeout(now);
        self.promotion_timeout(now);
        if now >= self.ends_at && !self.is_busy() {
            self.goodbye(now, Speech::default());
        }
    }

    /// What to do, until `None`.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call `handle_timeout`.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let turn = match self.turn {
            Turn::Speaking { until, .. } | Turn::Listening { until } => Some(until),
            Turn::Waiting => None,
        };
        let check = match &self.state {
            State::Checking(checking) => Some(checking.deadline()),
            _ => None,
        };
        let end = (!self.is_busy()).then_some(self.ends_at);
        earliest([turn, check, self.promotion_deadline(), end])
    }

    fn began(&mut self, now: Instant, entry: Entry, caller: Caller) {
        if !matches!(self.state, State::Idle) {
            return;
        }
        (self.caller, self.ends_at) = (caller, now + CALL_MAX);
        match entry {
            Entry::Called => self.ask_number(now, Speech::of(words::WELCOME), Purpose::Enter),
            Entry::CalledBack { number } => {
                self.ask_pin(now, Speech::of(words::WELCOME), number.into(), Purpose::Enter);
            }
            Entry::Alert { alarm, person } => {
                let speech = Speech::of(words::ALERT).then(alarm.speech()).say(words::ANY_KEY);
                self.ask(now, speech, State::Alerted { person });
                self.evidence.alarm = self.evidence.alarm.or(Some(alarm));
            }
        }
    }

    fn key(&mut self, now: Instant, key: &Redacted<Digit>) {
        if self.is_deaf() {
            return;
        }
        let key = key.reveal().as_char();
        (self.keyed, self.pauses) = (true, 0);
        if matches!(self.turn, Turn::Speaking { .. }) {
            self.listen(now);
        }
        match &self.state {
            State::Alerted { .. } => self.alert_key(now),
            State::Number { .. } => self.number_key(now, key),
            State::Pin { .. } => self.pin_key(now, key),
            State::Choosing { .. } => self.choice_key(now, key),
            State::Forcing { .. } => self.force_key(now, key),
            State::Confirming(_) => self.confirm_key(now, key),
            State::Idle
            | State::Checking(_)
            | State::Following { .. }
            | State::Leaving { .. }
            | State::Over => {}
        }
    }

    /// Keys mean nothing: what was keyed ahead of a question is no answer to it.
    fn is_deaf(&self) -> bool {
        match self.state {
            State::Idle
            | State::Checking(_)
            | State::Following { .. }
            | State::Leaving { .. }
            | State::Over => true,
            State::Alerted { .. }
            | State::Number { .. }
            | State::Pin { .. }
            | State::Choosing { .. }
            | State::Forcing { .. }
            | State::Confirming(_) => false,
        }
    }

    fn said(&mut self, now: Instant, speech: u32) {
        if matches!(self.turn, Turn::Speaking { speech: playing, .. } if playing == speech) {
            self.listen(now);
        }
    }

    /// Our turn is over.
    pub(super) fn listen(&mut self, now: Instant) {
        self.turn = match &self.state {
            State::Confirming(confirming) => Turn::Listening { until: now + confirming.time() },
            State::Number { keypad, purpose: Purpose::Second { until, .. } }
                if keypad.is_empty() =>
            {
                Turn::Listening { until: *until }
            }
            State::Alerted { .. }
            | State::Number { .. }
            | State::Pin { .. }
            | State::Choosing { .. }
            | State::Forcing { .. } => Turn::Listening { until: now + PAUSE_MAX },
            State::Idle | State::Checking(_) | State::Following { .. } | State::Over => {
                Turn::Waiting
            }
            State::Leaving { .. } => return self.leave(),
        };
        self.follow(now);
    }

    /// The caller let the time pass.
    fn paused(&mut self, now: Instant) {
        match &self.state {
            State::Number { keypad, .. } if !keypad.is_empty() => self.number_key(now, '#'),
            State::Pin { keypad, .. } if !keypad.is_empty() => self.pin_key(now, '#'),
            State::Number { purpose: Purpose::Second { first, candidate, .. }, .. } => {
                let (first, candidate) = (first.clone(), candidate.clone());
                self.no_second(now, first, candidate);
            }
            State::Confirming(_) => self.too_late(now),
            _ if self.pauses >= REPEATS => self.goodbye(now, Speech::default()),
            _ => {
                self.pauses += 1;
                self.repeat(now);
            }
        }
    }

    fn repeat(&mut self, now: Instant) {
        match std::mem::replace(&mut self.state, State::Idle) {
            State::Alerted { person } => {
                let alarm = self.evidence.alarm.map(super::Alarm::speech).unwrap_or_default();
                let speech = Speech::of(words::ALERT).then(alarm).say(words::ANY_KEY);
                self.ask(now, speech, State::Alerted { person });
            }
            State::Number { purpose, .. } => self.ask_number(now, Speech::default(), purpose),
            State::Pin { number, purpose, .. } => {
                self.ask_pin(now, Speech::default(), number, purpose);
            }
            State::Choosing { agent, .. } => self.tell(now, Speech::default(), agent),
            State::Forcing { agent } => self.offer_force(now, Speech::default(), agent),
            other => self.state = other,
        }
    }

    /// Somebody else may be on the line.
    fn changed(&mut self, now: Instant, caller: Caller) {
        // We placed the call, but where it goes after its answer nobody knows.
        let answered_just_now = matches!(self.state, State::Alerted { .. });
        let placed = self.caller.placed && answered_just_now;
        self.caller = Caller { placed, ..caller };
        let speech = Speech::of(words::CALL_CHANGED);
        match std::mem::replace(&mut self.state, State::Idle) {
            State::Pin { number, purpose, .. } => self.ask_pin(now, speech, number, purpose),
            State::Checking(checking) => {
                let (number, purpose) = self.abandon(checking, "the call changed");
                if self.failures < TRIES {
                    self.ask_pin(now, speech, number, purpose);
                } else {
                    self.goodbye(now, speech);
                }
            }
            State::Choosing { agent, .. }
            | State::Forcing { agent }
            | State::Following { agent } => self.ask_pin(now, speech, agent.into(), Purpose::Enter),
            State::Confirming(confirming) => {
                self.ask_pin(now, speech, confirming.agent.into(), Purpose::Enter);
            }
            State::Number { purpose: Purpose::Second { first, .. }, .. } => {
                self.ask_pin(now, speech, first.into(), Purpose::Enter);
            }
            State::Number { purpose, .. } => self.ask_number(now, speech, purpose),
            state @ (State::Idle | State::Alerted { .. } | State::Leaving { .. } | State::Over) => {
                self.state = state;
            }
        }
    }

    fn ended(&mut self) {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Checking(checking) => drop(self.abandon(checking, "hung up")),
            State::Idle | State::Over => {}
            _ => self.note_silence(),
        }
        (self.turn, self.promotion) = (Turn::Waiting, None);
    }

    /// Asks something: says it, and then it is the caller's turn.
    pub(super) fn ask(&mut self, now: Instant, speech: Speech, state: State) {
        self.state = state;
        self.speak(now, speech);
    }

    /// Says something in place of what is being said.
    pub(super) fn speak(&mut self, now: Instant, speech: Speech) {
        self.speeches += 1;
        self.turn = Turn::Speaking { speech: self.speeches, until: now + SPEECH_MAX };
        self.outputs.push_back(Output::Say { speech: self.speeches, prompts: speech });
    }

    /// The last words.
    pub(super) fn goodbye(&mut self, now: Instant, speech: Speech) {
        self.note_silence();
        self.ask(now, speech.say(words::GOODBYE), State::Leaving { call_back: None });
    }

    fn leave(&mut self) {
        self.outputs.push_back(Output::HangUp);
        if let State::Leaving { call_back: Some((extension, number)) } =
            std::mem::replace(&mut self.state, State::Over)
        {
            self.outputs.push_back(Output::CallBack { extension, number });
        }
        self.turn = Turn::Waiting;
    }

    /// A call without a single key is written down, once.
    fn note_silence(&mut self) {
        if !std::mem::replace(&mut self.keyed, true) && !self.caller.placed {
            self.audit("", Action::Call, Err("no key was pressed"));
        }
    }

    /// The call has a reason to go on that is not the caller's.
    fn is_busy(&self) -> bool {
        match self.state {
            State::Following { .. } | State::Checking(_) | State::Leaving { .. } => true,
            State::Idle | State::Over => true,
            State::Alerted { .. }
            | State::Number { .. }
            | State::Pin { .. }
            | State::Choosing { .. }
            | State::Forcing { .. }
            | State::Confirming(_) => false,
        }
    }

    pub(super) fn audit(&mut self, number: &str, action: Action, result: Result<(), &str>) {
        let who = self.who(number);
        let result = result.map_err(str::to_owned);
        self.outputs.push_back(Output::Audit(Audit { who, action, result }));
    }

    pub(super) fn who(&self, number: &str) -> Who {
        Who::Agent { number: number.to_owned(), extension: self.caller.extension.clone() }
    }
}
