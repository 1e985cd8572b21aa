//! Digits that an application sends to the far end.
//!
//! The requests of a call go out one after the other: the next one when every digit of the last has
//! left. So at most 64 digits are with the port or the session, whatever an application asks for,
//! and each of them is reported to the link, which makes room for another.

use std::collections::VecDeque;

use crate::ids::CallId;
use crate::ivr;
use crate::media;
use crate::node::call::{DigitsOut, InfoDigit, Keying};
use crate::node::{Node, Timer};
use crate::sip;
use crate::timers::Instant;

/// `dtmf` requests that wait, at most: the link lets a call have so many digits, and each request
/// has one at least.
const DIGITS_LATER_MAX: usize = ivr::DIGITS_MAX;

impl Node {
    /// Sends digits, after a pause if one is wanted.
    pub(super) fn send_digits(&mut self, now: Instant, call: CallId, mut out: DigitsOut) {
        let Some(entry) = self.calls.get_mut(&call) else { return };
        if entry.digits_later.len() >= DIGITS_LATER_MAX {
            let lost = count(out.digits.len());
            return self.tell_keyed(now, call, 0, lost);
        }
        let last = entry.digits_later.back().map_or(out.at, |earlier| earlier.at);
        out.at = out.at.max(last);
        // Two of one moment share a timer.
        if out.at > now {
            self.timers.insert((out.at, call, Timer::Digits));
        }
        entry.digits_later.push_back(out);
        self.digits_due(now, call);
    }

    /// What has waited long enough goes, in the order in which it was asked for.
    pub(super) fn digits_due(&mut self, now: Instant, call: CallId) {
        let Some(entry) = self.calls.get_mut(&call) else { return };
        let idle = matches!(entry.keying, Keying::Idle);
        let due = entry.digits_later.front().is_some_and(|out| out.at <= now);
        // Before the answer nobody knows which way they go.
        let Some(negotiated) = entry.negotiated.filter(|_| idle && due) else { return };
        let Some(out) = entry.digits_later.pop_front() else { return };
        if negotiated.event_send.is_some() {
            self.by_events(call, out);
        } else {
            self.by_info(now, call, out);
        }
    }

    fn by_events(&mut self, call: CallId, out: DigitsOut) {
        let Some(entry) = self.calls.get_mut(&call) else { return };
        let DigitsOut { digits, duration, between, after, .. } = out;
        entry.keying = Keying::Events { left: count(digits.len()) };
        let port = entry.port;
        self.media(port, media::Command::SendDigits { digits, duration, between, after });
    }

    fn by_info(&mut self, now: Instant, call: CallId, out: DigitsOut) {
        let Some(entry) = self.calls.get_mut(&call) else { return };
        let DigitsOut { digits, duration, between, after, .. } = out;
        let digit = |digit| InfoDigit { digit, duration, pause: between };
        let mut waiting: VecDeque<_> = digits.into_iter().map(digit).collect();
        if let Some(last) = waiting.back_mut() {
            last.pause = between.max(after);
        }
        entry.keying = Keying::Infos { waiting, answered: true, rest_until: now };
        self.info_digit(now, call);
    }

    /// The next digit by INFO goes, if it may.
    pub(super) fn info_digit(&mut self, now: Instant, call: CallId) {
        let Some(entry) = self.calls.get_mut(&call) else { return };
        let Keying::Infos { waiting, answered, rest_until } = &mut entry.keying else { return };
        if !*answered || now < *rest_until {
            return;
        }
        let Some(InfoDigit { digit, duration, pause }) = waiting.pop_front() else {
            entry.keying = Keying::Idle;
            return self.digits_due(now, call);
        };
        *answered = false;
        *rest_until = now + duration + pause;
        self.timers.insert((*rest_until, call, Timer::InfoDigit));
        self.sip_command(now, sip::Command::SendInfo { call, digit, duration });
    }

    /// The INFO of a digit was answered, or nobody answers it.
    pub(super) fn info_done(&mut self, now: Instant, call: CallId, sent: bool) {
        self.tell_keyed(now, call, u32::from(sent), u32::from(!sent));
        let Some(entry) = self.calls.get_mut(&call) else { return };
        if let Keying::Infos { answered, .. } = &mut entry.keying {
            *answered = true;
        }
        self.info_digit(now, call);
    }

    /// The port has begun to send digits, or never will.
    pub(super) fn keyed(&mut self, now: Instant, call: CallId, sent: u32, lost: u32) {
        self.tell_keyed(now, call, sent, lost);
        let Some(entry) = self.calls.get_mut(&call) else { return };
        let Keying::Events { left } = &mut entry.keying else { return };
        *left = left.saturating_sub(sent.saturating_add(lost));
        if *left == 0 {
            entry.keying = Keying::Idle;
            self.digits_due(now, call);
        }
    }

    /// An application hears of its digits.
    fn tell_keyed(&mut self, now: Instant, call: CallId, sent: u32, lost: u32) {
        if self.is_control_call(call) {
            return;
        }
        self.ivr.handle_input(now, ivr::Input::Keyed { call, sent, lost });
    }
}

/// At most 64.
fn count(digits: usize) -> u32 {
    u32::try_from(digits).unwrap_or(u32::MAX)
}
