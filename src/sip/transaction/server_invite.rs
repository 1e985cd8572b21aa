//! Server INVITE transaction (RFC 3261 section 17.2.1, figure 7; Accepted state from RFC 6026).
//!
//! It says 100 when nobody above answers within 200 ms, repeats a refusal (timer G) until its ACK
//! or timer H, and stays a while after a 2xx (timer L) so that a repeated INVITE is not taken for
//! a new call. The 2xx itself is repeated by the session, which alone sees the ACK.

use bytes::Bytes;

use super::{T1, T1_X64, T4, doubled};
use crate::timers::{Duration, Instant, earliest};

/// A caller that hears nothing for T1 repeats itself, so 100 leaves well before (17.2.1).
const TRYING_AFTER: Duration = Duration::from_millis(200);

/// What happened.
#[derive(Clone, Debug)]
pub(crate) enum Input {
    /// The same INVITE arrived again.
    Repeated,
    /// A response of ours.
    Respond { status: u16, bytes: Bytes },
    /// The ACK of a refusal arrived.
    Ack,
}

/// What follows from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Output {
    /// Bytes to send; `repeated` when they were sent before.
    Send { bytes: Bytes, repeated: bool },
    /// The refusal was never acknowledged.
    TimedOut,
}

#[derive(Clone, Debug)]
enum State {
    /// Nothing was said yet.
    Fresh { trying: Bytes, trying_at: Instant },
    /// A provisional response was sent.
    Proceeding { response: Bytes },
    /// Refused, not acknowledged.
    Completed { response: Bytes, resend: Option<Resend>, give_up_at: Instant },
    /// Refused and acknowledged; late repetitions of the ACK are absorbed.
    Confirmed { gone_at: Instant },
    /// Accepted.
    Accepted { gone_at: Instant },
    /// Over.
    Terminated,
}

/// Timer G. A reliable transport has none.
#[derive(Clone, Copy, Debug)]
struct Resend {
    at: Instant,
    pause: Duration,
}

/// One INVITE that we answer.
#[derive(Clone, Debug)]
pub(crate) struct ServerInvite {
    reliable: bool,
    state: State,
    output: Option<Output>,
}

impl ServerInvite {
    /// A new INVITE arrived. `trying` is its 100; `reliable` the transport's promise.
    pub(crate) fn new(now: Instant, trying: Bytes, reliable: bool) -> Self {
        let state = State::Fresh { trying, trying_at: now + TRYING_AFTER };
        Self { reliable, state, output: None }
    }

    pub(crate) fn handle_input(&mut self, now: Instant, input: Input) {
        match (&self.state, input) {
            (State::Fresh { .. } | State::Proceeding { .. }, Input::Respond { status, bytes }) => {
                self.send(bytes.clone(), false);
                self.state = self.after(now, status, bytes);
            }
            (State::Fresh { trying, .. }, Input::Repeated) => self.say_trying(trying.clone()),
            (
                State::Proceeding { response } | State::Completed { response, .. },
                Input::Repeated,
            ) => self.send(response.clone(), true),
            (State::Completed { .. }, Input::Ack) => {
                self.state = if self.reliable {
                    State::Terminated
                } else {
                    State::Confirmed { gone_at: now + T4 }
                };
            }
            // Repetitions of the 2xx are the session's (RFC 6026 section 7.1).
            (State::Accepted { .. }, Input::Respond { bytes, .. }) => self.send(bytes, true),
            (State::Accepted { .. }, Input::Repeated | Input::Ack) => {}
            (State::Fresh { .. } | State::Proceeding { .. }, Input::Ack) => {}
            (State::Completed { .. }, Input::Respond { .. }) => {}
            (State::Confirmed { .. } | State::Terminated, _) => {}
        }
    }

    fn after(&self, now: Instant, status: u16, response: Bytes) -> State {
        let resend = (!self.reliable).then_some(Resend { at: now + T1, pause: T1 });
        match status {
            100..=199 => State::Proceeding { response },
            200..=299 => State::Accepted { gone_at: now + T1_X64 },
            _ => State::Completed { response, resend, give_up_at: now + T1_X64 },
        }
    }

    fn say_trying(&mut self, trying: Bytes) {
        self.send(trying.clone(), false);
        self.state = State::Proceeding { response: trying };
    }

    fn send(&mut self, bytes: Bytes, repeated: bool) {
        self.output = Some(Output::Send { bytes, repeated });
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        match &self.state {
            State::Fresh { trying, trying_at } if now >= *trying_at => {
                self.say_trying(trying.clone());
            }
            State::Completed { give_up_at, .. } if now >= *give_up_at => {
                self.state = State::Terminated;
                self.output = Some(Output::TimedOut);
            }
            State::Completed { response, resend: Some(resend), give_up_at } if now >= resend.at => {
                let (response, give_up_at) = (response.clone(), *give_up_at);
                let pause = doubled(resend.pause);
                self.send(response.clone(), true);
                let resend = Some(Resend { at: now + pause, pause });
                self.state = State::Completed { response, resend, give_up_at };
            }
            State::Confirmed { gone_at } | State::Accepted { gone_at } if now >= *gone_at => {
                self.state = State::Terminated;
            }
            State::Fresh { .. }
            | State::Proceeding { .. }
            | State::Completed { .. }
            | State::Confirmed { .. }
            | State::Accepted { .. }
            | State::Terminated => {}
        }
    }

    pub(crate) fn poll_output(&mut self) -> Option<Output> {
        self.output.take()
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        match &self.state {
            State::Fresh { trying_at, .. } => Some(*trying_at),
            State::Completed { resend, give_up_at, .. } => {
                earliest([resend.map(|r| r.at), Some(*give_up_at)])
            }
            State::Confirmed { gone_at } | State::Accepted { gone_at } => Some(*gone_at),
            State::Proceeding { .. } | State::Terminated => None,
        }
    }

    pub(crate) const fn is_terminated(&self) -> bool {
        matches!(self.state, State::Terminated)
    }

    /// No final response was sent: a CANCEL still has something to cancel.
    pub(crate) const fn is_open(&self) -> bool {
        matches!(self.state, State::Fresh { .. } | State::Proceeding { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRYING: Bytes = Bytes::from_static(b"100");
    const OK: Bytes = Bytes::from_static(b"200");
    const BUSY: Bytes = Bytes::from_static(b"486");

    fn new() -> ServerInvite {
        ServerInvite::new(Instant::ZERO, TRYING, false)
    }

    fn send(bytes: Bytes, repeated: bool) -> Option<Output> {
        Some(Output::Send { bytes, repeated })
    }

    #[test]
    fn trying_is_said_only_when_nobody_answers_for_200_ms() {
        let mut tx = new();
        tx.handle_timeout(Instant::ZERO + Duration::from_millis(199));
        assert_eq!(tx.poll_output(), None);
        tx.handle_timeout(Instant::ZERO + Duration::from_millis(200));
        assert_eq!(tx.poll_output(), send(TRYING, false));
        assert_eq!(tx.poll_timeout(), None);
    }

    #[test]
    fn a_refusal_is_repeated_until_its_ack() {
        let mut tx = new();
        tx.handle_input(Instant::ZERO, Input::Respond { status: 486, bytes: BUSY });
        assert_eq!(tx.poll_output(), send(BUSY.clone(), false));
        tx.handle_timeout(Instant::ZERO + T1);
        assert_eq!(tx.poll_output(), send(BUSY, true));
        tx.handle_input(Instant::ZERO + T1, Input::Ack);
        assert_eq!(tx.poll_timeout(), Some(Instant::ZERO + T1 + T4));
    }

    #[test]
    fn a_refusal_without_ack_ends_after_timer_h() {
        let mut tx = new();
        tx.handle_input(Instant::ZERO, Input::Respond { status: 486, bytes: BUSY });
        tx.poll_output();
        tx.handle_timeout(Instant::ZERO + T1_X64);
        assert_eq!(tx.poll_output(), Some(Output::TimedOut));
    }

    #[test]
    fn after_a_2xx_a_repeated_invite_is_absorbed_and_the_session_may_repeat_the_2xx() {
        let mut tx = new();
        tx.handle_input(Instant::ZERO, Input::Respond { status: 200, bytes: OK });
        assert_eq!(tx.poll_output(), send(OK.clone(), false));
        tx.handle_input(Instant::ZERO, Input::Repeated);
        assert_eq!(tx.poll_output(), None);
        tx.handle_input(Instant::ZERO, Input::Respond { status: 200, bytes: OK });
        assert_eq!(tx.poll_output(), send(OK, true));
        tx.handle_timeout(Instant::ZERO + T1_X64);
        assert!(tx.is_terminated());
    }
}
