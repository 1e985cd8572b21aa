//! The call journal: what the caller typed, who was given it and what the owner said of it, the
//! call's variables and whether anything sounds. The next owner resumes from it.
//!
//! Digits stand in one row, oldest first. Three marks part the row, so that no digit carries a
//! state of its own and none can be in two:
//!
//! ```text
//! | acknowledged | delivered, not acknowledged | waiting |
//!                ^ acked                       ^ sent
//! ```
//!
//! A new owner gets nothing until the gate of its offer opens: applications lose a digit that
//! comes in the same moment as the call. When a call was lost by its owner, the replay policy is
//! applied as the gate opens, and not before: an application may say `GW_ACK = 0` in its first
//! commands to be known as one that acknowledges. What waited goes out at least 150 ms apart,
//! because some client libraries drop the first of two digits that arrive together.
//!
//! `GW_CHECKPOINT` and `GW_ACK` are two commands, and an owner may die between them. So the
//! checkpoint of an application that acknowledges takes effect with its next acknowledgement: the
//! next owner is never told of a digit that it is then given once more.

mod saved;

use std::collections::{BTreeMap, VecDeque};

use super::port::AppId;
use crate::codecs::Digit;
use crate::config::Replay;
use crate::ids::Generation;
use crate::mutants::{Mutant, mutant};
use crate::timers::{Duration, Instant};

pub use saved::Saved;

/// Between two digits that waited.
pub(super) const PACE: Duration = Duration::from_millis(150);

/// Digits kept per call. A caller who presses three keys a second for five minutes stays below;
/// beyond it the oldest that was delivered is forgotten, or the newest is refused and counted.
pub(super) const DIGITS_KEPT_MAX: usize = 1_024;

/// Variables kept per call; a further one is refused. An application that sets more is broken.
const VARIABLES_MAX: usize = 256;

/// Longest name of a variable, and longest value (`GW_CHECKPOINT` is the big one), in bytes.
const NAME_MAX: usize = 256;
const VALUE_MAX: usize = 4_096;

/// Where the dialog stands, in the words of the application.
const CHECKPOINT: &str = "GW_CHECKPOINT";

/// One key press.
#[derive(Clone, Copy, Debug)]
struct Entry {
    digit: Digit,
    duration_ms: u32,
    /// When it was typed: what is delivered later than that has waited and is paced.
    at: Instant,
    /// The latest generation that it was delivered to.
    delivered: Option<Generation>,
}

/// How far the loss of an owner is dealt with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Loss {
    /// There was none, or the policy was applied.
    Settled,
    /// Nobody has claimed the call since.
    Open,
    /// Claimed; digits from this place on were typed for the new owner and are not replayed but
    /// live.
    Claimed { live_from: u64 },
}

/// The journal of one call.
#[derive(Clone, Debug)]
pub(super) struct Journal {
    digits: VecDeque<Entry>,
    /// Place of the first of `digits` in the row. All marks below are places in the row.
    first: u64,
    /// `acked <= sent <= first + digits.len()`, and `first <= sent`. Below `first`, what is not
    /// acknowledged was forgotten.
    acked: u64,
    sent: u64,
    /// Where the digits of the owner's channel id begin: `GW_ACK` counts from here.
    base: u64,
    /// Up to where the owner has answered with commands.
    answered: u64,
    paced_until: Instant,
    loss: Loss,
    /// An owner was given a digit, and has not handed the call on of its own will since.
    ever_delivered: bool,
    /// Applications that have set `GW_ACK` in this call.
    acknowledging: Vec<AppId>,
    variables: BTreeMap<String, String>,
    /// Set while digits were not acknowledged: takes effect when its owner says so.
    checkpoint: Option<String>,
    /// Key presses of the call.
    pub typed: u64,
    /// Key presses given to nobody, by rule.
    pub discarded: u64,
    /// Something plays or records.
    pub sounding: bool,
}

impl Journal {
    pub fn new() -> Self {
        Self {
            digits: VecDeque::new(),
            first: 0,
            acked: 0,
            sent: 0,
            base: 0,
            answered: 0,
            paced_until: Instant::ZERO,
            loss: Loss::Settled,
            ever_delivered: false,
            acknowledging: Vec::new(),
            variables: BTreeMap::new(),
            checkpoint: None,
            typed: 0,
            discarded: 0,
            sounding: false,
        }
    }

    /// A key press. Returns how many were discarded for it: none or one.
    pub fn push(&mut self, now: Instant, digit: Digit, duration_ms: u32) -> u64 {
        self.typed += 1;
        if self.digits.len() >= DIGITS_KEPT_MAX {
            if self.sent == self.first {
                self.discarded += 1;
                return 1;
            }
            self.forget_oldest();
        }
        self.digits.push_back(Entry { digit, duration_ms, at: now, delivered: None });
        0
    }

    fn forget_oldest(&mut self) {
        self.digits.pop_front();
        self.first += 1;
    }

    /// A key press that can have no owner: counted, not kept.
    pub fn refuse(&mut self) {
        self.typed += 1;
        self.discarded += 1;
    }

    /// The owner is gone against its will.
    pub fn lost(&mut self) {
        self.loss = Loss::Open;
        if mutant(Mutant::ForgetUnacked) {
            self.acked = self.sent;
        }
        self.close_channel();
    }

    /// The owner passed the call on: what it was given is handled, and the next application has
    /// been given nothing yet. What an owner before it was given and lost is neither: the policy
    /// is applied to that under the next application.
    pub fn handed_on(&mut self) {
        if self.loss == Loss::Settled {
            self.ever_delivered = false;
            self.acked = self.sent;
        }
        self.checkpoint_holds();
        self.close_channel();
    }

    fn close_channel(&mut self) {
        self.base = self.sent;
        self.checkpoint = None;
        if mutant(Mutant::DropHeld) {
            self.digits.truncate(self.index(self.sent));
        }
    }

    /// A new owner's first command.
    pub fn claimed(&mut self) {
        if self.loss == Loss::Open {
            self.loss = Loss::Claimed { live_from: self.end() };
        }
    }

    /// Any command of an owner that does not acknowledge answers what it was given so far; not
    /// what an owner before it was given.
    pub fn answered(&mut self, application: AppId) {
        if self.loss == Loss::Settled && !self.acknowledging.contains(&application) {
            self.answered = self.sent;
        }
    }

    /// `GW_ACK`: the owner has handled `count` digits of its channel id. Returns how many are
    /// acknowledged for the first time.
    pub fn ack(&mut self, application: AppId, count: u32) -> u64 {
        if !self.acknowledging.contains(&application) {
            self.acknowledging.push(application);
        }
        self.checkpoint_holds();
        if self.loss != Loss::Settled {
            // This owner was not given anything yet; what it will get counts from there.
            return 0;
        }
        let upto = (self.base + u64::from(count)).min(self.sent);
        let newly = upto.saturating_sub(self.acked);
        self.acked += newly;
        newly
    }

    /// Applies the replay policy if an owner was lost; call it when the gate opens. Returns how
    /// many digits are discarded.
    pub fn settle(&mut self, policy: Replay, application: AppId) -> u64 {
        let live_from = match self.loss {
            Loss::Settled => return 0,
            Loss::Open => self.end(),
            Loss::Claimed { live_from } => live_from,
        };
        self.loss = Loss::Settled;
        let acknowledges = self.acknowledging.contains(&application);
        match policy {
            Replay::All => self.rewind(self.first),
            Replay::Unacked => self.rewind(self.acked),
            Replay::Auto if acknowledges || !self.ever_delivered => self.rewind(self.acked),
            Replay::Auto | Replay::None => self.discard(live_from),
        }
    }

    /// Puts digits up for delivery again. Returns how many that were lost are forgotten already.
    fn rewind(&mut self, to: u64) -> u64 {
        let forgotten = self.first.saturating_sub(self.answered.max(self.acked));
        let to = if mutant(Mutant::ReplayAcked) { self.first } else { to.max(self.first) };
        self.acked = to;
        self.sent = to;
        self.base = to;
        self.answered = self.answered.min(to);
        self.discarded += forgotten;
        forgotten
    }

    /// Takes what is not acknowledged out of the row, up to `live_from`. Counted are those that
    /// nobody was given, and those that the lost owner did not answer: what an application without
    /// `GW_ACK` was given and answered with a command was handled.
    fn discard(&mut self, live_from: u64) -> u64 {
        let counted = live_from.saturating_sub(self.answered.max(self.acked));
        let range = self.index(self.acked)..self.index(live_from);
        self.digits.drain(range);
        self.acked = self.acked.max(self.first);
        self.sent = self.acked;
        self.base = self.acked;
        self.answered = self.acked;
        self.discarded += counted;
        counted
    }

    /// The next digit for the owner, if one may go: the gate is open, the policy is applied and
    /// the last one that waited is 150 ms ago.
    pub fn next(&mut self, now: Instant, gate: Instant, to: Generation) -> Option<(Digit, u32)> {
        let paced = self.paced_until <= now || mutant(Mutant::SkipPacing);
        if self.loss != Loss::Settled || now < gate || !paced {
            return None;
        }
        let at = self.index(self.sent);
        if mutant(Mutant::Reorder) && self.digits.len() > at + 1 {
            self.digits.swap(at, at + 1);
        }
        let entry = self.digits.get_mut(at)?;
        let again = mutant(Mutant::DoubleDigit) && entry.delivered.is_none() && entry.at < now;
        entry.delivered = Some(to);
        if entry.at < now {
            self.paced_until = now + PACE;
        }
        self.sent += u64::from(!again);
        self.ever_delivered = true;
        Some((entry.digit, entry.duration_ms))
    }

    /// When [`Self::next`] may have something, given the gate of the offer.
    pub fn due(&self, gate: Instant) -> Option<Instant> {
        if self.loss != Loss::Settled {
            return Some(gate);
        }
        (self.sent < self.end()).then(|| gate.max(self.paced_until))
    }

    /// Digits that nobody was given yet.
    pub fn waiting(&self) -> u64 {
        self.end() - self.sent
    }

    /// Throws away what waits, and what a lost owner left open: nobody will own this call. Returns
    /// how many.
    pub fn discard_waiting(&mut self) -> u64 {
        if self.loss == Loss::Settled {
            let count = self.waiting();
            self.digits.truncate(self.index(self.sent));
            self.discarded += count;
            return count;
        }
        let count = self.discard(self.end());
        if let Loss::Claimed { live_from } = &mut self.loss {
            *live_from = self.sent;
        }
        count
    }

    fn checkpoint_holds(&mut self) {
        if let Some(value) = self.checkpoint.take() {
            self.variables.insert(CHECKPOINT.to_owned(), value);
        }
    }

    /// Keeps a variable of an owner; `false` if it is one too many, or too long.
    pub fn set_variable(&mut self, application: AppId, name: String, value: String) -> bool {
        let room = self.variables.len() < VARIABLES_MAX || self.variables.contains_key(&name);
        let fits = room && name.len() <= NAME_MAX && value.len() <= VALUE_MAX;
        let open = self.acked < self.sent && self.acknowledging.contains(&application);
        if fits && name == CHECKPOINT && open {
            self.checkpoint = Some(value);
        } else if fits {
            self.variables.insert(name, value);
        }
        fits
    }

    /// All variables, by name.
    pub fn variables(&self) -> Vec<(String, String)> {
        self.variables.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    fn end(&self) -> u64 {
        self.first + self.digits.len() as u64
    }

    fn index(&self, place: u64) -> usize {
        usize::try_from(place.saturating_sub(self.first)).unwrap_or(usize::MAX)
    }
}

#[cfg(test)]
mod tests;
