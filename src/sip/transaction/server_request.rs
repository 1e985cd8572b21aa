//! Server transaction of any request but INVITE and ACK (RFC 3261 section 17.2.2, figure 8).
//!
//! It answers a repeated request with the last response, and forgets it after timer J.

use bytes::Bytes;

use super::T1_X64;
use crate::timers::Instant;

/// What happened.
#[derive(Clone, Debug)]
pub(crate) enum Input {
    /// The same request arrived again.
    Repeated,
    /// A response of ours.
    Respond { status: u16, bytes: Bytes },
}

/// Bytes to send; `repeated` when they were sent before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Send {
    pub(crate) bytes: Bytes,
    pub(crate) repeated: bool,
}

#[derive(Clone, Debug)]
enum State {
    /// Nothing was said yet: a repetition is ignored.
    Trying,
    /// A provisional response was sent.
    Proceeding { response: Bytes },
    /// The final response was sent.
    Completed { response: Bytes, gone_at: Instant },
    /// Over.
    Terminated,
}

/// One request that we answer.
#[derive(Clone, Debug)]
pub(crate) struct ServerRequest {
    reliable: bool,
    state: State,
    output: Option<Send>,
}

impl ServerRequest {
    /// A new request arrived; `reliable` is the transport's promise.
    pub(crate) const fn new(reliable: bool) -> Self {
        Self { reliable, state: State::Trying, output: None }
    }

    pub(crate) fn handle_input(&mut self, now: Instant, input: Input) {
        match (&self.state, input) {
            (State::Trying | State::Proceeding { .. }, Input::Respond { status, bytes }) => {
                self.output = Some(Send { bytes: bytes.clone(), repeated: false });
                self.state = self.after(now, status, bytes);
            }
            (
                State::Proceeding { response } | State::Completed { response, .. },
                Input::Repeated,
            ) => {
                self.output = Some(Send { bytes: response.clone(), repeated: true });
            }
            (State::Trying | State::Terminated, Input::Repeated) => {}
            // A second final response is our own mistake; the first one stands.
            (State::Completed { .. } | State::Terminated, Input::Respond { .. }) => {}
        }
    }

    fn after(&self, now: Instant, status: u16, response: Bytes) -> State {
        match status {
            100..=199 => State::Proceeding { response },
            _ if self.reliable => State::Terminated,
            _ => State::Completed { response, gone_at: now + T1_X64 },
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if self.poll_timeout().is_some_and(|at| now >= at) {
            self.state = State::Terminated;
        }
    }

    pub(crate) fn poll_output(&mut self) -> Option<Send> {
        self.output.take()
    }

    pub(crate) const fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Completed { gone_at, .. } => Some(gone_at),
            State::Trying | State::Proceeding { .. } | State::Terminated => None,
        }
    }

    pub(crate) const fn is_terminated(&self) -> bool {
        matches!(self.state, State::Terminated)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OK: Bytes = Bytes::from_static(b"200");

    #[test]
    fn a_repeated_request_gets_the_same_answer_until_timer_j() {
        let mut tx = ServerRequest::new(false);
        tx.handle_input(Instant::ZERO, Input::Repeated);
        assert_eq!(tx.poll_output(), None, "nothing to repeat yet");
        tx.handle_input(Instant::ZERO, Input::Respond { status: 200, bytes: OK });
        assert_eq!(tx.poll_output(), Some(Send { bytes: OK, repeated: false }));
        tx.handle_input(Instant::ZERO, Input::Repeated);
        assert_eq!(tx.poll_output(), Some(Send { bytes: OK, repeated: true }));
        tx.handle_timeout(Instant::ZERO + T1_X64);
        assert!(tx.is_terminated());
    }

    #[test]
    fn a_reliable_transport_needs_no_memory_of_the_answer() {
        let mut tx = ServerRequest::new(true);
        tx.handle_input(Instant::ZERO, Input::Respond { status: 200, bytes: OK });
        assert!(tx.is_terminated());
    }
}
