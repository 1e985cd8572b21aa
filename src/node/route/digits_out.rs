//! Digits that an application sends to the far end.

use crate::ids::CallId;
use crate::media;
use crate::node::call::DigitsOut;
use crate::node::{Node, Timer};
use crate::sip;
use crate::timers::Instant;

/// `dtmf` commands that wait for their `before`, at most.
const DIGITS_LATER_MAX: usize = 16;

impl Node {
    /// Sends digits, after a pause if one is wanted.
    pub(super) fn send_digits(&mut self, call: CallId, mut out: DigitsOut) {
        let Some(entry) = self.calls.get_mut(&call) else { return };
        if entry.digits_later.len() >= DIGITS_LATER_MAX {
            return;
        }
        let last = entry.digits_later.back().map_or(out.at, |earlier| earlier.at);
        out.at = out.at.max(last);
        // Two of one moment share a timer.
        self.timers.insert((out.at, call, Timer::Digits));
        entry.digits_later.push_back(out);
    }

    /// What has waited long enough goes, in the order in which it was asked for.
    pub(super) fn digits_due(&mut self, now: Instant, call: CallId) {
        while let Some(entry) = self.calls.get_mut(&call) {
            if entry.digits_later.front().is_none_or(|out| out.at > now) {
                return;
            }
            let Some(out) = entry.digits_later.pop_front() else { return };
            self.digits_out(now, call, out);
        }
    }

    /// As telephone-events where the far end takes them, else one INFO after the other.
    fn digits_out(&mut self, now: Instant, call: CallId, out: DigitsOut) {
        let DigitsOut { digits, duration, between, after, .. } = out;
        let Some(entry) = self.calls.get_mut(&call) else { return };
        let port = entry.port;
        if entry.negotiated.is_some_and(|negotiated| negotiated.event_send.is_some()) {
            let command = media::Command::SendDigits { digits, duration, between, after };
            return self.media(port, command);
        }
        let idle = entry.info_digits.is_empty();
        entry.info_digits.extend(digits.into_iter().map(|digit| (digit, duration, between)));
        if idle {
            self.info_digit(now, call);
        }
    }

    /// The next digit by INFO is due.
    pub(super) fn info_digit(&mut self, now: Instant, call: CallId) {
        let Some(entry) = self.calls.get_mut(&call) else { return };
        let Some((digit, duration, between)) = entry.info_digits.pop_front() else { return };
        if !entry.info_digits.is_empty() {
            self.timers.insert((now + duration + between, call, Timer::InfoDigit));
        }
        self.sip_command(now, sip::Command::SendInfo { call, digit, duration });
    }
}
