//! Digits in INFO: `application/dtmf-relay` (Cisco's form) and `application/dtmf`.

use std::collections::VecDeque;

use super::{Purpose, Session, State};
use crate::codecs::Digit;
use crate::sip::Event;
use crate::sip::message::Method;
use crate::timers::Duration;

/// Length of a digit whose sender does not say it, in milliseconds.
const DEFAULT_MS: u32 = 250;
/// A digit longer than this is a fault of the sender.
const LONGEST_MS: u32 = 10_000;
/// Digits that may wait. The node sends the next one when it has heard of the last; what does not
/// fit is told as lost.
const WAITING_MAX: usize = 64;
/// A body longer than this holds no digit.
const BODY_MAX: usize = 256;

/// What an INFO carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body {
    Digit {
        digit: Digit,
        duration_ms: u32,
    },
    /// No body: a keepalive.
    Nothing,
    /// A type or a digit that we do not know.
    Unknown,
}

/// `content_type` in lower case, without parameters.
pub(super) fn digit(content_type: Option<&str>, body: &[u8]) -> Body {
    if body.is_empty() {
        return Body::Nothing;
    }
    let Some(text) = std::str::from_utf8(body).ok().filter(|t| t.len() <= BODY_MAX) else {
        return Body::Unknown;
    };
    let found = match content_type {
        Some("application/dtmf-relay") => relay(text),
        Some("application/dtmf") => plain(text),
        _ => None,
    };
    let Some((digit, duration_ms)) = found else { return Body::Unknown };
    Body::Digit { digit, duration_ms: duration_ms.min(LONGEST_MS) }
}

/// `Signal=5` and `Duration=160` on lines of their own.
fn relay(text: &str) -> Option<(Digit, u32)> {
    let (mut digit, mut duration) = (None, DEFAULT_MS);
    for line in text.lines() {
        let Some((name, value)) = line.split_once('=') else { continue };
        match name.trim().to_ascii_lowercase().as_str() {
            "signal" => digit = key(value),
            "duration" => duration = value.trim().parse().unwrap_or(DEFAULT_MS),
            _ => {}
        }
    }
    Some((digit?, duration))
}

/// The key alone; some senders write the two lines of the other form.
fn plain(text: &str) -> Option<(Digit, u32)> {
    if text.contains('=') { relay(text) } else { Some((key(text)?, DEFAULT_MS)) }
}

/// One key. `10` and `11` are the event numbers of `*` and `#`.
fn key(text: &str) -> Option<Digit> {
    match text.trim() {
        "10" => Digit::from_char('*'),
        "11" => Digit::from_char('#'),
        text => {
            let mut chars = text.chars();
            let digit = Digit::from_char(chars.next()?)?;
            chars.next().is_none().then_some(digit)
        }
    }
}

/// Digits that wait for the answer to the one before: two INFOs at once may change their order.
#[derive(Clone, Debug, Default)]
pub(super) struct Outbox {
    waiting: VecDeque<(Digit, Duration)>,
    /// One is out.
    out: bool,
}

impl Session {
    pub(super) fn send_info(&mut self, digit: Digit, duration: Duration) {
        if matches!(self.state, State::Up) && self.outbox.waiting.len() < WAITING_MAX {
            self.outbox.waiting.push_back((digit, duration));
            self.next_info();
        } else {
            self.event(Event::InfoDone { call: self.call, sent: false });
        }
    }

    /// The digit that was out is answered, well (`sent`) or badly.
    pub(super) fn info_done(&mut self, sent: bool) {
        self.outbox.out = false;
        self.event(Event::InfoDone { call: self.call, sent });
        if matches!(self.state, State::Up) {
            self.next_info();
        }
    }

    fn next_info(&mut self) {
        if self.outbox.out {
            return;
        }
        let Some(dialog) = &mut self.dialog else { return };
        let Some((digit, duration)) = self.outbox.waiting.pop_front() else { return };
        let mut request = dialog.request(Method::Info);
        let (key, ms) = (digit.as_char(), duration.as_millis());
        request.set_body("application/dtmf-relay", format!("Signal={key}\r\nDuration={ms}\r\n"));
        self.outbox.out = true;
        self.send_in_dialog(Purpose::Info, request);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(content_type: &str, body: &str) -> Option<(char, u32)> {
        match digit(Some(content_type), body.as_bytes()) {
            Body::Digit { digit, duration_ms } => Some((digit.as_char(), duration_ms)),
            Body::Nothing | Body::Unknown => None,
        }
    }

    #[test]
    fn sip_m4_both_forms_of_info_give_their_digit() {
        let relay = "application/dtmf-relay";
        assert_eq!(found(relay, "Signal= 5\r\nDuration= 160\r\n"), Some(('5', 160)));
        assert_eq!(found(relay, "signal=#\nduration=x"), Some(('#', 250)));
        assert_eq!(found(relay, "Signal=11"), Some(('#', 250)));
        assert_eq!(found("application/dtmf", "a"), Some(('A', 250)));
        assert_eq!(found("application/dtmf", "12"), None);
        assert_eq!(found("text/plain", "1"), None);
        assert_eq!(digit(None, b""), Body::Nothing);
    }
}
