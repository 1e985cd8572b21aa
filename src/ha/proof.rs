//! Who answers a call of this node proves to be a node of its cluster, and no voice mail.
//!
//! The caller keys eight random digits, and the answer is eight digits that only a holder of the
//! cluster's secret can make of them. A guess is right once in 10^8; an answer that somebody
//! recorded belongs to a challenge that does not come again; and one that was made for another
//! extension or another purpose is another one. Keys heard as tones in the sound are not handed in:
//! whoever talks can make one.
//!
//! An [`Exchange`] is one call, seen from its asking or its answering end. Every step has an end,
//! so that a call leads to a result whatever the far end does.

use std::collections::VecDeque;

use hmac::{Hmac, KeyInit as _, Mac as _};
use rand_core::RngCore as _;
use sha2::Sha256;

use crate::codecs::Digit;
use crate::ids::Rng;
use crate::redact::Redacted;
use crate::timers::{Duration, Instant};

/// Digits of a challenge, and of an answer.
const DIGITS: usize = 8;
/// The way of the sound may open a moment after the answer of a call.
const SETTLE: Duration = Duration::from_millis(500);
/// Challenge and answer take four seconds, and nobody speaks meanwhile.
const EXCHANGE_MAX: Duration = Duration::from_secs(10);
/// Whoever asked hangs up when it has the answer; we do, when it does not.
const LAST_DIGIT_MAX: Duration = Duration::from_secs(4);

/// Bytes of the secret.
pub const KEY_BYTES: usize = 32;

/// What the nodes of a cluster share for proofs, and nobody else has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key(Redacted<[u8; KEY_BYTES]>);

/// What a proof is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// Whether the primary lives.
    Sentinel,
    /// Whether a control extension can be called.
    ControlExtension,
}

/// Event codes of two keys.
const STAR: u8 = 10;
const POUND: u8 = 11;

/// Digits by their event codes.
type Code = [u8; DIGITS];

/// What became of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The right answer came.
    Proven,
    /// Nobody answered, or not so.
    Failed,
    /// It was not put to anybody: the call could not be placed, or the far end is busy.
    NotMade,
}

/// What an exchange is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// The call is up.
    Up,
    /// A key was pressed at the far end: by telephone-event or INFO.
    Key(Digit),
    /// The call is over.
    Ended {
        /// It reached the far end, which was not busy with another one.
        asked: bool,
    },
}

/// What it wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Key these.
    Keys(Vec<Digit>),
    /// End the call.
    HangUp,
    /// Of the asking end: the result, once.
    Done(Outcome),
}

/// One call.
#[derive(Debug)]
pub struct Exchange {
    about: About,
    state: State,
    heard: Redacted<Vec<u8>>,
    out: VecDeque<Output>,
}

#[derive(Clone, Debug)]
enum State {
    /// We call, and nobody has answered.
    Ringing(Question),
    /// The far end has answered; the challenge is keyed then.
    Settling { question: Question, key_at: Instant },
    /// The challenge was keyed, and the answer is waited for.
    Asked { question: Question, until: Instant },
    /// We were called, and wait for a challenge.
    Called { answerer: Answerer, until: Option<Instant> },
    /// Our answer is keyed.
    Answering { until: Instant },
    /// The result is known.
    Over,
}

#[derive(Clone, Debug)]
struct Question {
    challenge: Redacted<Code>,
    /// The answer to it.
    wanted: Redacted<Code>,
}

/// What an answer is made of, but for the challenge.
#[derive(Clone, Debug)]
struct Answerer {
    key: Key,
    extension: String,
}

impl Key {
    /// Of these bytes.
    pub const fn new(bytes: Redacted<[u8; KEY_BYTES]>) -> Self {
        Self(bytes)
    }

    fn answer(&self, about: About, extension: &str, challenge: &[u8]) -> Code {
        let mut code = [0; DIGITS];
        // Keys of any length are taken.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(self.0.reveal()) else { return code };
        mac.update(about.name());
        mac.update(&[0]);
        mac.update(extension.as_bytes());
        mac.update(&[0]);
        mac.update(challenge);
        let hash: [u8; 32] = mac.finalize().into_bytes().into();
        for (digit, octets) in code.iter_mut().zip(hash.as_chunks::<4>().0) {
            *digit = decimal(u32::from_be_bytes(*octets));
        }
        code
    }
}

impl About {
    const fn name(self) -> &'static [u8] {
        match self {
            Self::Sentinel => b"sentinel",
            Self::ControlExtension => b"control extension",
        }
    }

    /// What is keyed before a challenge: where people call too, it tells a node from them. Star,
    /// pound, star mean nothing to the phone menu, and nobody begins a call with them.
    pub fn prefix(self) -> Vec<Digit> {
        let keys: &[u8] = match self {
            Self::Sentinel => &[],
            Self::ControlExtension => &[STAR, POUND, STAR],
        };
        digits(keys)
    }
}

/// Of 2^32 numbers one digit is met by one more than another: no guess is the better for it.
fn decimal(number: u32) -> u8 {
    u8::try_from(number % 10).unwrap_or_default()
}

fn digits(code: &[u8]) -> Vec<Digit> {
    code.iter().filter_map(|&event| Digit::from_event(event)).collect()
}

impl Exchange {
    /// We call `extension`, and ask who answers.
    pub fn ask(rng: &mut Rng, key: &Key, about: About, extension: &str) -> Self {
        let challenge: Code = std::array::from_fn(|_| decimal(rng.next_u32()));
        let wanted = Redacted::new(key.answer(about, extension, &challenge));
        Self::of(about, State::Ringing(Question { challenge: challenge.into(), wanted }))
    }

    /// Somebody calls our `extension`, and may ask.
    pub fn answer(key: &Key, about: About, extension: &str) -> Self {
        let (key, extension) = (key.clone(), extension.to_owned());
        Self::of(about, State::Called { answerer: Answerer { key, extension }, until: None })
    }

    fn of(about: About, state: State) -> Self {
        Self { about, state, heard: Redacted::default(), out: VecDeque::new() }
    }

    /// What it is for.
    pub const fn about(&self) -> About {
        self.about
    }

    /// Takes something in.
    pub fn handle_input(&mut self, now: Instant, input: Input) {
        match input {
            Input::Up => self.up(now),
            Input::Key(digit) => self.key(now, digit),
            Input::Ended { asked } => self.ended(asked),
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        match &self.state {
            State::Settling { question, key_at } if now >= *key_at => {
                let question = question.clone();
                let challenge = digits(question.challenge.reveal());
                let keys = self.about.prefix().into_iter().chain(challenge);
                self.out.push_back(Output::Keys(keys.collect()));
                self.state = State::Asked { question, until: now + EXCHANGE_MAX };
            }
            State::Asked { until, .. } if now >= *until => self.done(Outcome::Failed),
            State::Called { until: Some(until), .. } | State::Answering { until }
                if now >= *until =>
            {
                self.hang_up();
            }
            State::Ringing(_)
            | State::Settling { .. }
            | State::Asked { .. }
            | State::Called { .. }
            | State::Answering { .. }
            | State::Over => {}
        }
    }

    /// The next thing to do, until `None`.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// When to call `handle_timeout`. Who rings for how long is for whoever places the call.
    pub const fn poll_timeout(&self) -> Option<Instant> {
        match &self.state {
            State::Settling { key_at: at, .. }
            | State::Asked { until: at, .. }
            | State::Answering { until: at } => Some(*at),
            State::Called { until, .. } => *until,
            State::Ringing(_) | State::Over => None,
        }
    }

    fn up(&mut self, now: Instant) {
        match &mut self.state {
            State::Ringing(question) => {
                let question = question.clone();
                self.state = State::Settling { question, key_at: now + SETTLE };
            }
            State::Called { until, .. } => *until = Some(now + EXCHANGE_MAX),
            State::Settling { .. }
            | State::Asked { .. }
            | State::Answering { .. }
            | State::Over => {}
        }
    }

    fn key(&mut self, now: Instant, digit: Digit) {
        if !matches!(self.state, State::Asked { .. } | State::Called { .. }) {
            return; // What comes before the challenge was keyed answers something else.
        }
        let mut heard = self.heard.reveal().clone();
        heard.push(digit.event());
        if heard.len() < DIGITS {
            self.heard = heard.into();
            return;
        }
        match &self.state {
            State::Asked { question, .. } => {
                let right = heard == *question.wanted.reveal();
                self.done(if right { Outcome::Proven } else { Outcome::Failed });
            }
            State::Called { answerer: Answerer { key, extension }, .. } => {
                let answer = key.answer(self.about, extension, &heard);
                self.out.push_back(Output::Keys(digits(&answer)));
                self.state = State::Answering { until: now + LAST_DIGIT_MAX };
            }
            State::Ringing(_) | State::Settling { .. } | State::Answering { .. } | State::Over => {}
        }
    }

    fn ended(&mut self, asked: bool) {
        match self.state {
            State::Ringing(_) if !asked => self.out.push_back(Output::Done(Outcome::NotMade)),
            State::Ringing(_) | State::Settling { .. } | State::Asked { .. } => {
                self.out.push_back(Output::Done(Outcome::Failed));
            }
            State::Called { .. } | State::Answering { .. } | State::Over => {}
        }
        self.state = State::Over;
    }

    fn done(&mut self, outcome: Outcome) {
        self.out.push_back(Output::Done(outcome));
        self.hang_up();
    }

    fn hang_up(&mut self) {
        self.out.push_back(Output::HangUp);
        self.state = State::Over;
    }
}

#[cfg(test)]
mod tests;
