//! `dtmf` on a channel: digits for the far end.
//!
//! A digit takes its time, 200 ms unless the request says otherwise, and while the far end holds
//! the call none leaves. So digits wait, and what waits has a bound; whoever asks for more is told
//! so before he is answered 204. The node reports each digit that left, or never will, and that
//! makes room for another. A change of owner changes nothing: digits are those of the call.

use std::collections::BTreeMap;

use super::ChannelCommand;
use super::fault::{Fault, Outcome};
use super::machine::{Ask, Ivr};
use crate::codecs::Digit;
use crate::ids::CallId;
use crate::timers::Duration;

/// Digits of one call that wait: more than any number, PIN or account has. A request has at least
/// one, so that this also bounds the requests that wait.
pub const DIGITS_MAX: usize = 64;

/// Longest pause or digit, in milliseconds.
const PAUSE_MAX: u64 = 60_000;

/// How many digits of each call wait.
#[derive(Debug, Default)]
pub(super) struct Keying(BTreeMap<CallId, usize>);

impl Keying {
    fn admit(&mut self, call: CallId, count: usize) -> Result<(), Fault> {
        let waiting = self.0.get(&call).copied().unwrap_or(0) + count;
        if waiting > DIGITS_MAX {
            return Err(Fault::conflict("64 digits wait on this channel already"));
        }
        self.0.insert(call, waiting);
        Ok(())
    }

    fn release(&mut self, call: CallId, count: u32) {
        let Some(waiting) = self.0.get_mut(&call) else { return };
        *waiting = waiting.saturating_sub(usize::try_from(count).unwrap_or(usize::MAX));
        if *waiting == 0 {
            self.0.remove(&call);
        }
    }
}

impl Ivr {
    pub(super) fn send_digits(&mut self, call: CallId, ask: &Ask<'_>) -> Outcome {
        let keys = ask.params.required("dtmf")?;
        let digits: Option<Vec<_>> = keys.chars().map(Digit::from_char).collect();
        let digits = digits.filter(|d| d.len() <= DIGITS_MAX);
        let digits =
            digits.ok_or_else(|| Fault::bad("Parameter dtmf must be at most 64 of 0-9*#A-D"))?;
        let count = digits.len();
        let pause = |name, default| ask.params.millis(name, default, PAUSE_MAX);
        let command = ChannelCommand::Dtmf {
            digits,
            before: pause("before", 0)?,
            between: pause("between", 100)?,
            duration: pause("duration", 100)?.max(Duration::from_millis(40)),
            after: pause("after", 0)?,
        };
        self.in_application(call)?;
        self.keying.admit(call, count)?;
        Ok(self.done(call, command))
    }

    /// Digits left, or never will.
    pub(super) fn keyed(&mut self, call: CallId, sent: u32, lost: u32) {
        self.keying.release(call, sent.saturating_add(lost));
        self.out.counters.digits_unsent_total += u64::from(lost);
    }

    /// The call is over: what waits will not leave.
    pub(super) fn forget_digits(&mut self, call: CallId) {
        let waiting = self.keying.0.remove(&call).unwrap_or(0);
        self.out.counters.digits_unsent_total += waiting as u64;
    }
}
