//! How a call ends, from whichever side and in whatever state.

use super::exchange::Exchange;
use super::{Output, Purpose, Session, State};
use crate::sip::message::Method;
use crate::sip::{EndCause, Event};

impl Session {
    /// Ends the call in whatever state it is; the node hears `end`.
    pub(super) fn hang_up(&mut self, cause: Option<u8>, end: EndCause) {
        match &self.state {
            State::Offered(_) => self.refuse_with(status_for(cause), cause, end),
            State::Calling(_) => self.cancel(end),
            State::Up if self.confirm.as_ref().is_some_and(|c| c.initial) => {
                self.state = State::Closing { cause };
                self.end(end);
            }
            State::Up => self.bye(cause, end),
            State::Closing { .. } | State::Leaving | State::Over => {}
        }
    }

    /// Sends BYE (RFC 3261 section 15.1.1).
    pub(super) fn bye(&mut self, cause: Option<u8>, end: EndCause) {
        self.end(end);
        let Some(dialog) = &mut self.dialog else { return self.over() };
        let mut request = dialog.request(Method::Bye);
        if let Some(cause) = cause {
            request.headers.push("Reason", reason(cause));
        }
        let hop = Some(dialog.next_hop());
        self.state = State::Leaving;
        self.stop();
        self.outputs.push_back(Output::Send { purpose: Purpose::Bye, request, hop });
    }

    /// The far end does not know the dialog any more, or does not answer; `say` BYE in case it
    /// does (RFC 3261 section 12.2.1.2).
    pub(super) fn lost(&mut self, say: bool) {
        match self.state {
            State::Up if say => self.bye(None, EndCause::Lost),
            State::Offered(_) | State::Calling(_) | State::Up | State::Closing { .. } => {
                self.end(EndCause::Lost);
                self.over();
            }
            State::Leaving | State::Over => {}
        }
    }

    /// Tells the node of the end, once. Nothing is told after it.
    pub(super) fn end(&mut self, cause: EndCause) {
        if let Some(transfer) = self.transfer.take() {
            self.transfer_cut(&transfer, cause);
        }
        self.event(Event::Ended { call: self.call, cause });
        self.ended = true;
    }

    /// The call is another node's, or nobody's: nothing is said to anybody.
    pub(crate) fn abandon(&mut self) {
        self.ended = true;
        self.over();
    }

    pub(super) fn over(&mut self) {
        self.state = State::Over;
        self.stop();
    }

    /// Nothing of an ended call may act by itself.
    pub(super) fn stop(&mut self) {
        self.confirm = None;
        self.timer = None;
        self.transfer = None;
        self.exchange = Exchange::new();
    }

    /// Section 13.3.1.4: without ACK, the call that we answered ends with BYE.
    pub(super) fn no_ack(&mut self) {
        self.confirm = None;
        let cause = if let State::Closing { cause } = self.state { cause } else { None };
        self.bye(cause, EndCause::Lost);
    }
}

/// Reason header with a Q.850 cause (RFC 3326).
pub(super) fn reason(cause: u8) -> String {
    format!("Q.850;cause={cause}")
}

/// The refusal that says what a Q.850 cause says (RFC 3398 section 8.2.6.1).
const fn status_for(cause: Option<u8>) -> u16 {
    match cause {
        Some(1 | 3) => 404,
        Some(17) => 486,
        Some(21) => 603,
        Some(28) => 484,
        Some(34 | 38 | 41 | 42 | 47) => 503,
        Some(_) | None => 480,
    }
}
