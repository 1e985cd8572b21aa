//! Client INVITE transaction (RFC 3261 section 17.1.1, figure 5; Accepted state from RFC 6026).
//!
//! Timer A sends again until any answer comes, B gives up, D absorbs late refusals and acknowledges
//! each of them, M hands every further 2xx up: it may come from another branch of a fork, and each
//! wants an ACK of its own. After a CANCEL the other side has 64*T1 for its final answer
//! (section 9.1).

use bytes::Bytes;

use super::{T1, T1_X64};
use crate::timers::{Duration, Instant, earliest};

/// Timer D: as long as the peer's timer H may repeat its refusal.
const REFUSALS_ABSORBED: Duration = T1_X64;

/// What happened to the INVITE.
#[derive(Clone, Debug)]
pub(crate) enum Input {
    /// 1xx.
    Provisional,
    /// 2xx.
    Accepted,
    /// 3xx-6xx, and the ACK that it gets.
    Refused { ack: Bytes },
    /// We sent CANCEL.
    Cancelled,
}

/// What follows from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Output {
    /// Send these bytes (INVITE or ACK), again when `repeated`.
    Send { bytes: Bytes, repeated: bool },
    /// The answer at hand is new: hand it up.
    Deliver,
    /// Nobody answered.
    TimedOut,
}

#[derive(Clone, Debug)]
enum State {
    /// Sent, not answered.
    Calling { resend: Option<Resend>, give_up_at: Instant },
    /// A provisional answer came: from here on the caller of the transaction decides how long.
    Proceeding { give_up_at: Option<Instant> },
    /// Refused.
    Completed { ack: Bytes, gone_at: Instant },
    /// Accepted.
    Accepted { gone_at: Instant },
    /// Over.
    Terminated,
}

/// Timer A. A reliable transport has none.
#[derive(Clone, Copy, Debug)]
struct Resend {
    at: Instant,
    pause: Duration,
}

/// One INVITE under way.
#[derive(Clone, Debug)]
pub(crate) struct ClientInvite {
    request: Bytes,
    reliable: bool,
    state: State,
    /// At most an ACK and a delivery at once.
    outputs: [Option<Output>; 2],
}

impl ClientInvite {
    /// Sends `request`; `reliable` is the transport's promise.
    pub(crate) fn new(now: Instant, request: Bytes, reliable: bool) -> Self {
        let resend = (!reliable).then_some(Resend { at: now + T1, pause: T1 });
        let outputs = [Some(Output::Send { bytes: request.clone(), repeated: false }), None];
        let state = State::Calling { resend, give_up_at: now + T1_X64 };
        Self { request, reliable, state, outputs }
    }

    pub(crate) fn handle_input(&mut self, now: Instant, input: Input) {
        match (&self.state, input) {
            (State::Calling { .. }, Input::Provisional) => {
                self.state = State::Proceeding { give_up_at: None };
                self.emit([Some(Output::Deliver), None]);
            }
            (State::Proceeding { .. }, Input::Provisional) => {
                self.emit([Some(Output::Deliver), None]);
            }
            (State::Calling { .. } | State::Proceeding { .. }, Input::Accepted) => {
                self.state = State::Accepted { gone_at: now + T1_X64 };
                self.emit([Some(Output::Deliver), None]);
            }
            (State::Calling { .. } | State::Proceeding { .. }, Input::Refused { ack }) => {
                self.refuse(now, ack);
            }
            (State::Completed { ack, .. }, Input::Refused { .. }) => {
                let again = Output::Send { bytes: ack.clone(), repeated: true };
                self.emit([Some(again), None]);
            }
            (State::Accepted { .. }, Input::Accepted) => {
                self.emit([Some(Output::Deliver), None]);
            }
            (State::Calling { .. } | State::Proceeding { .. }, Input::Cancelled) => {
                self.state = State::Proceeding { give_up_at: Some(now + T1_X64) };
            }
            // A late provisional answer, or a refusal after a 2xx: RFC 6026 section 7.2 drops it.
            (State::Completed { .. } | State::Accepted { .. } | State::Terminated, _) => {}
        }
    }

    fn refuse(&mut self, now: Instant, ack: Bytes) {
        let send = Output::Send { bytes: ack.clone(), repeated: false };
        self.state = if self.reliable {
            State::Terminated
        } else {
            State::Completed { ack, gone_at: now + REFUSALS_ABSORBED }
        };
        self.emit([Some(send), Some(Output::Deliver)]);
    }

    fn emit(&mut self, outputs: [Option<Output>; 2]) {
        self.outputs = outputs;
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        match self.state {
            State::Calling { give_up_at, .. }
            | State::Proceeding { give_up_at: Some(give_up_at) }
                if now >= give_up_at =>
            {
                self.state = State::Terminated;
                self.emit([Some(Output::TimedOut), None]);
            }
            State::Calling { resend: Some(resend), give_up_at } if now >= resend.at => {
                let pause = resend.pause.saturating_mul(2);
                let resend = Some(Resend { at: now + pause, pause });
                self.state = State::Calling { resend, give_up_at };
                let again = Output::Send { bytes: self.request.clone(), repeated: true };
                self.emit([Some(again), None]);
            }
            State::Completed { gone_at, .. } | State::Accepted { gone_at } if now >= gone_at => {
                self.state = State::Terminated;
            }
            State::Calling { .. }
            | State::Proceeding { .. }
            | State::Completed { .. }
            | State::Accepted { .. }
            | State::Terminated => {}
        }
    }

    pub(crate) fn poll_output(&mut self) -> Option<Output> {
        self.outputs[0].take().or_else(|| self.outputs[1].take())
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        match &self.state {
            State::Calling { resend, give_up_at } => {
                earliest([resend.map(|r| r.at), Some(*give_up_at)])
            }
            State::Proceeding { give_up_at } => *give_up_at,
            State::Completed { gone_at, .. } | State::Accepted { gone_at } => Some(*gone_at),
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

    const INVITE: Bytes = Bytes::from_static(b"INVITE");
    const ACK: Bytes = Bytes::from_static(b"ACK");

    fn drain(tx: &mut ClientInvite) -> Vec<Output> {
        std::iter::from_fn(|| tx.poll_output()).collect()
    }

    fn sent() -> ClientInvite {
        let mut tx = ClientInvite::new(Instant::ZERO, INVITE, false);
        drain(&mut tx);
        tx
    }

    #[test]
    fn an_unanswered_invite_doubles_its_pause_and_ends_after_32_seconds() {
        let mut tx = ClientInvite::new(Instant::ZERO, INVITE, false);
        let mut log = vec![];
        let mut now = Instant::ZERO;
        loop {
            log.extend(drain(&mut tx).into_iter().map(|o| (now.as_nanos() / 1_000_000, o)));
            let Some(at) = tx.poll_timeout() else { break };
            now = at;
            tx.handle_timeout(now);
        }
        let times: Vec<_> = log.iter().map(|(at, _)| *at).collect();
        assert_eq!(times, [0, 500, 1500, 3500, 7500, 15500, 31500, 32000]);
        assert_eq!(log.last().map(|(_, o)| o.clone()), Some(Output::TimedOut));
    }

    #[test]
    fn every_refusal_is_acknowledged_and_only_the_first_is_delivered() {
        let mut tx = sent();
        tx.handle_input(Instant::ZERO, Input::Refused { ack: ACK });
        let ack = |repeated| Output::Send { bytes: ACK, repeated };
        assert_eq!(drain(&mut tx), [ack(false), Output::Deliver]);
        tx.handle_input(Instant::ZERO, Input::Refused { ack: ACK });
        assert_eq!(drain(&mut tx), [ack(true)]);
    }

    #[test]
    fn every_2xx_is_handed_up_for_64_t1() {
        let mut tx = sent();
        for _ in 0..3 {
            tx.handle_input(Instant::ZERO, Input::Accepted);
            assert_eq!(drain(&mut tx), [Output::Deliver]);
        }
        tx.handle_timeout(Instant::ZERO + T1_X64);
        assert!(tx.is_terminated());
    }

    #[test]
    fn a_refusal_after_a_2xx_is_ignored() {
        let mut tx = sent();
        tx.handle_input(Instant::ZERO, Input::Accepted);
        drain(&mut tx);
        tx.handle_input(Instant::ZERO, Input::Refused { ack: ACK });
        assert_eq!(drain(&mut tx), []);
    }

    #[test]
    fn a_ringing_invite_never_ends_by_itself_but_a_cancelled_one_does() {
        let mut tx = sent();
        tx.handle_input(Instant::ZERO, Input::Provisional);
        assert_eq!(tx.poll_timeout(), None);
        tx.handle_input(Instant::ZERO, Input::Cancelled);
        drain(&mut tx);
        tx.handle_timeout(Instant::ZERO + T1_X64);
        assert_eq!(drain(&mut tx), [Output::TimedOut]);
    }
}
