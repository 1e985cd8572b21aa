//! Client transaction of any request but INVITE and ACK (RFC 3261 section 17.1.2, figure 6).
//!
//! Timer E sends again, F gives up, K absorbs repeated answers. A provisional answer slows E down
//! to T2 and stops nothing else: a registrar that says 100 and then dies is noticed by F.

use bytes::Bytes;

use super::{T1, T1_X64, T2, T4, doubled};
use crate::timers::{Instant, earliest};

/// What happened to the request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Input {
    /// An answer with this status arrived.
    Response {
        /// Its status.
        status: u16,
    },
}

/// What follows from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Output {
    /// Send the request, again when `repeated`.
    Send { bytes: Bytes, repeated: bool },
    /// The answer at hand is new: hand it up.
    Deliver,
    /// Nobody answered.
    TimedOut,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Sent, not answered.
    Trying { resend: Option<Resend>, give_up_at: Instant },
    /// A provisional answer came.
    Proceeding { resend: Option<Resend>, give_up_at: Instant },
    /// A final answer came; its repetitions are absorbed.
    Completed { gone_at: Instant },
    /// Over.
    Terminated,
}

/// Timer E. A reliable transport has none.
#[derive(Clone, Copy, Debug)]
struct Resend {
    at: Instant,
    pause: crate::timers::Duration,
}

/// One request under way.
#[derive(Clone, Debug)]
pub(crate) struct ClientRequest {
    request: Bytes,
    reliable: bool,
    state: State,
    output: Option<Output>,
}

impl ClientRequest {
    /// Sends `request`; `reliable` is the transport's promise.
    pub(crate) fn new(now: Instant, request: Bytes, reliable: bool) -> Self {
        let resend = (!reliable).then_some(Resend { at: now + T1, pause: T1 });
        let output = Some(Output::Send { bytes: request.clone(), repeated: false });
        let state = State::Trying { resend, give_up_at: now + T1_X64 };
        Self { request, reliable, state, output }
    }

    pub(crate) fn handle_input(&mut self, now: Instant, input: Input) {
        let Input::Response { status } = input;
        match self.state {
            State::Trying { resend, give_up_at } | State::Proceeding { resend, give_up_at } => {
                self.output = Some(Output::Deliver);
                self.state = if status >= 200 {
                    self.completed(now)
                } else {
                    State::Proceeding { resend, give_up_at }
                };
            }
            State::Completed { .. } | State::Terminated => {}
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        match self.state {
            State::Trying { give_up_at, .. } | State::Proceeding { give_up_at, .. }
                if now >= give_up_at =>
            {
                self.state = State::Terminated;
                self.output = Some(Output::TimedOut);
            }
            State::Trying { resend: Some(resend), give_up_at } if now >= resend.at => {
                let pause = doubled(resend.pause);
                let resend = Some(Resend { at: now + pause, pause });
                self.state = State::Trying { resend, give_up_at };
                self.send_again();
            }
            State::Proceeding { resend: Some(resend), give_up_at } if now >= resend.at => {
                let resend = Some(Resend { at: now + T2, pause: T2 });
                self.state = State::Proceeding { resend, give_up_at };
                self.send_again();
            }
            State::Completed { gone_at } if now >= gone_at => self.state = State::Terminated,
            State::Trying { .. }
            | State::Proceeding { .. }
            | State::Completed { .. }
            | State::Terminated => {}
        }
    }

    fn send_again(&mut self) {
        self.output = Some(Output::Send { bytes: self.request.clone(), repeated: true });
    }

    fn completed(&self, now: Instant) -> State {
        if self.reliable { State::Terminated } else { State::Completed { gone_at: now + T4 } }
    }

    pub(crate) fn poll_output(&mut self) -> Option<Output> {
        self.output.take()
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Trying { resend, give_up_at } | State::Proceeding { resend, give_up_at } => {
                earliest([resend.map(|r| r.at), Some(give_up_at)])
            }
            State::Completed { gone_at } => Some(gone_at),
            State::Terminated => None,
        }
    }

    pub(crate) const fn is_terminated(&self) -> bool {
        matches!(self.state, State::Terminated)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(at: Instant) -> u64 {
        at.as_nanos() / 1_000_000
    }

    /// Lets time run until the transaction wants nothing; returns when it sent.
    fn run(tx: &mut ClientRequest) -> (Vec<u64>, bool) {
        let (mut sent, mut timed_out) = (vec![], false);
        let mut now = Instant::ZERO;
        loop {
            while let Some(output) = tx.poll_output() {
                match output {
                    Output::Send { .. } => sent.push(millis(now)),
                    Output::TimedOut => timed_out = true,
                    Output::Deliver => {}
                }
            }
            let Some(at) = tx.poll_timeout() else { return (sent, timed_out) };
            now = at;
            tx.handle_timeout(now);
        }
    }

    #[test]
    fn silence_is_met_with_the_series_of_the_rfc_and_then_given_up() {
        let mut tx = ClientRequest::new(Instant::ZERO, Bytes::from_static(b"x"), false);
        let (sent, timed_out) = run(&mut tx);
        let rfc = [0, 500, 1500, 3500, 7500, 11500, 15500, 19500, 23500, 27500, 31500];
        assert_eq!((sent.as_slice(), timed_out), (rfc.as_slice(), true));
        assert!(tx.is_terminated());
    }

    #[test]
    fn a_reliable_transport_sends_once() {
        let mut tx = ClientRequest::new(Instant::ZERO, Bytes::from_static(b"x"), true);
        assert_eq!(run(&mut tx), (vec![0], true));
    }

    #[test]
    fn a_provisional_answer_slows_repetition_down_to_t2() {
        let mut tx = ClientRequest::new(Instant::ZERO, Bytes::from_static(b"x"), false);
        tx.poll_output();
        tx.handle_input(Instant::ZERO, Input::Response { status: 100 });
        let (sent, timed_out) = run(&mut tx);
        assert_eq!(sent, [500, 4500, 8500, 12500, 16500, 20500, 24500, 28500]);
        assert!(timed_out);
    }

    #[test]
    fn a_repeated_final_answer_is_absorbed() {
        let mut tx = ClientRequest::new(Instant::ZERO, Bytes::from_static(b"x"), false);
        tx.poll_output();
        tx.handle_input(Instant::ZERO, Input::Response { status: 200 });
        assert_eq!(tx.poll_output(), Some(Output::Deliver));
        tx.handle_input(Instant::ZERO, Input::Response { status: 200 });
        assert_eq!(tx.poll_output(), None);
        assert_eq!(run(&mut tx), (vec![], false));
    }
}
