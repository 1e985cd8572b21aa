//! The INVITE usage of a dialog: one call, from its INVITE until nothing of it is under way.
//!
//! The session decides what is said in the dialog and hears what the far end says; transactions,
//! credentials and addresses are the endpoint's. Its parts have one subject each: [`incoming`] and
//! [`outgoing`] set the call up, [`change`] changes it from our side, [`request`] answers the far
//! end, [`media`] holds offer and answer, [`transfer`] follows a REFER, [`timer`] the session
//! timer; [`snapshot`] is a call as plain data, and [`recovery`] carries one on at another node.
//!
//! The node hears of the end of a call as soon as it is decided; the session itself stays until its
//! BYE is answered, its 2xx acknowledged, or both given up.

mod change;
mod ending;
mod exchange;
mod identity;
mod incoming;
mod info;
mod media;
mod outgoing;
mod recovery;
mod repeat;
mod request;
pub mod snapshot;
mod timer;
mod transfer;

use std::collections::VecDeque;
use std::sync::Arc;

use self::exchange::Exchange;
pub use self::media::MediaState;
use self::repeat::{Due, Repeat};
use self::timer::SessionTimer;
use self::transfer::Transfer;
use crate::ids::{CallId, PortId, Rng};
use crate::sip::dialog::Dialog;
use crate::sip::message::{NameAddr, Replaces, Request, Response, Uri};
use crate::sip::{Command, EndCause, Event, Party};
use crate::timers::{Instant, earliest};

pub(crate) use self::identity::{called, caller};
pub(crate) use self::incoming::refused_interval;
pub(crate) use self::outgoing::Target;
pub use self::recovery::{Recovery, Way};
pub(crate) use self::request::{push_capabilities, unsupported_status};
pub(crate) use self::timer::Policy;
pub use self::timer::{Refresher, Terms};

/// Methods that a port answers.
pub(crate) const ALLOW: &str = "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE, PRACK, NOTIFY";

pub(crate) const SDP: &str = "application/sdp";

/// A request that waits for our response, by the endpoint's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ServerId(pub(crate) u64);

/// What a request of ours is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The INVITE that places the call.
    Invite,
    /// A re-INVITE or UPDATE.
    Change,
    /// Acknowledges a reliable 1xx.
    Prack,
    /// Ends the call.
    Bye,
    /// Ends a call that another branch of a fork answered: nobody waits for its outcome.
    Stray,
    /// Transfers.
    Refer,
    /// Sends a digit.
    Info,
}

/// What the endpoint tells a session.
#[derive(Clone, Debug)]
pub(crate) enum Input {
    /// A request in the dialog, neither ACK nor CANCEL.
    Request { tx: ServerId, request: Request },
    /// An ACK in the dialog.
    Ack(Request),
    /// The far end gives up the INVITE that it waits for.
    Cancel,
    /// An answer to a request of ours that had this CSeq.
    Response { purpose: Purpose, cseq: u32, response: Response },
    /// No answer, or no way to the far end (`status` 408 or 503).
    Failed { purpose: Purpose, status: u16 },
    /// An order of the node.
    Command(Command),
    /// Attended transfer: REFER to `target` with this Replaces.
    Transfer { target: String, replaces: Replaces },
    /// Tell the far end that the call goes on here.
    TakeOver,
}

/// What a session wants done.
#[derive(Clone, Debug)]
pub(crate) enum Output {
    /// Answer a request.
    Respond { tx: ServerId, response: Response },
    /// Send a request; `hop` names the next hop where it is not the PBX itself.
    Send { purpose: Purpose, request: Request, hop: Option<Uri> },
    /// Send an ACK, which has no transaction.
    Ack { request: Request, hop: Uri },
    /// Send CANCEL for our INVITE.
    Cancel,
    /// Tell the node.
    Event(Event),
}

/// What a session must know of its port; the same for all calls of it.
#[derive(Clone, Debug)]
pub(crate) struct Local {
    pub(crate) port: PortId,
    /// `sip:1001@pbx`, whose host completes an extension.
    pub(crate) aor: Uri,
    pub(crate) contact: NameAddr,
    pub(crate) timer: Policy,
}

#[derive(Clone, Debug)]
enum State {
    /// The PBX calls and waits for an answer.
    Offered(Box<incoming::Offered>),
    /// We call and wait for an answer.
    Calling(Box<outgoing::Calling>),
    /// Answered.
    Up,
    /// We hung up and owe a BYE, which must not leave before the ACK of our 2xx (RFC 3261 15).
    Closing { cause: Option<u8> },
    /// Our BYE is out.
    Leaving,
    /// Nothing is under way.
    Over,
}

/// A 2xx of ours that waits for its ACK.
#[derive(Clone, Debug)]
struct Confirm {
    tx: ServerId,
    response: Response,
    cseq: u32,
    repeat: Repeat,
    /// It carried an offer, so the ACK carries the answer.
    offered: bool,
    /// It answered the INVITE that set the call up.
    initial: bool,
}

/// One call.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    call: CallId,
    local: Arc<Local>,
    rng: Rng,
    state: State,
    /// From the first tag of the far end on.
    dialog: Option<Dialog>,
    /// We placed the call.
    outbound: bool,
    media: MediaState,
    confirm: Option<Confirm>,
    /// The INVITE that placed the call, for a 2xx of another branch.
    placed: Option<Request>,
    /// The ACK of the last 2xx that we received, for its repetitions.
    acked: Option<Request>,
    exchange: Exchange,
    timer: Option<SessionTimer>,
    /// Smallest interval that the far end accepts, once it refused one.
    min_se: u32,
    transfer: Option<Transfer>,
    outbox: info::Outbox,
    /// The far end takes UPDATE.
    peer_updates: bool,
    /// Carried on from another node, and the far end does not know yet; until when it is told.
    moving_until: Option<Instant>,
    party: Party,
    /// The node was told of the end.
    ended: bool,
    outputs: VecDeque<Output>,
}

impl Session {
    fn new(call: CallId, local: Arc<Local>, mut rng: Rng, state: State, party: Party) -> Self {
        Self {
            call,
            min_se: local.timer.min_se,
            local,
            media: MediaState::new(&mut rng),
            rng,
            outbound: matches!(state, State::Calling(_)),
            state,
            dialog: None,
            confirm: None,
            placed: None,
            acked: None,
            exchange: Exchange::new(),
            timer: None,
            transfer: None,
            outbox: info::Outbox::default(),
            peer_updates: false,
            moving_until: None,
            party,
            ended: false,
            outputs: VecDeque::new(),
        }
    }

    pub(crate) fn handle_input(&mut self, now: Instant, input: Input) {
        match input {
            Input::Request { tx, request } => self.request(now, tx, &request),
            Input::Ack(request) => self.ack(&request),
            Input::Cancel => self.cancelled(),
            Input::Response { purpose, cseq, response } => {
                self.response(now, purpose, cseq, &response);
            }
            Input::Failed { purpose, status } => self.failed(now, purpose, status),
            Input::Command(command) => self.command(now, command),
            Input::Transfer { target, replaces } => self.refer(now, &target, Some(&replaces)),
            Input::TakeOver => self.take_over(),
        }
        self.send_change(now);
    }

    fn command(&mut self, now: Instant, command: Command) {
        match command {
            Command::Ring { .. } => self.ring(now),
            Command::Answer { media, .. } => self.answer(now, media),
            Command::Refuse { status, .. } => self.refuse(status),
            Command::Hangup { cause, .. } => self.hang_up(cause, EndCause::LocalHangup { cause }),
            Command::Refer { target, .. } => self.refer(now, &target, None),
            Command::Hold { on, .. } => self.hold(on),
            Command::SendInfo { digit, duration, .. } => self.send_info(digit, duration),
            // The endpoint's own.
            Command::Register { .. }
            | Command::Unregister { .. }
            | Command::Abandon { .. }
            | Command::Epoch(_)
            | Command::TakeOver { .. }
            | Command::Verify
            | Command::Query { .. }
            | Command::Text { .. }
            | Command::Forget { .. }
            | Command::Drain(_)
            | Command::Recover(_)
            | Command::Invite { .. } => {}
        }
    }

    fn response(&mut self, now: Instant, purpose: Purpose, cseq: u32, response: &Response) {
        match purpose {
            Purpose::Invite => self.invite_response(now, cseq, response),
            Purpose::Change => self.change_response(now, cseq, response),
            Purpose::Refer => self.refer_response(now, response),
            Purpose::Bye if response.status >= 200 => self.over(),
            Purpose::Info | Purpose::Prack if response.status == 481 => self.lost(false),
            Purpose::Info if response.is_final() => self.info_done(response.status < 300),
            Purpose::Stray => self.acknowledge_stray(cseq, response),
            Purpose::Bye | Purpose::Info | Purpose::Prack => {}
        }
    }

    fn failed(&mut self, now: Instant, purpose: Purpose, status: u16) {
        match purpose {
            Purpose::Invite => self.invite_failed(status),
            Purpose::Change => self.change_failed(now, status),
            Purpose::Refer => self.refer_failed(status),
            Purpose::Bye => self.over(),
            Purpose::Info => self.info_done(false),
            Purpose::Prack | Purpose::Stray => {}
        }
    }

    fn event(&mut self, event: Event) {
        if !self.ended {
            self.outputs.push_back(Output::Event(event));
        }
    }

    /// A response to a request of the dialog; the first one adds our tag.
    fn reply(&self, request: &Request, status: u16) -> Response {
        let mut response = request.reply(status);
        if let Some(dialog) = &self.dialog {
            response.set_to_tag(dialog.local_tag());
        }
        response
    }

    fn respond(&mut self, tx: ServerId, response: Response) {
        self.outputs.push_back(Output::Respond { tx, response });
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.confirm_timeout(now);
        self.offered_timeout(now);
        self.calling_timeout(now);
        self.timer_timeout(now);
        self.transfer_timeout(now);
        self.send_change(now);
    }

    fn confirm_timeout(&mut self, now: Instant) {
        let Some(confirm) = &mut self.confirm else { return };
        match confirm.repeat.handle_timeout(now) {
            Due::Early => {}
            Due::Again => {
                let Confirm { tx, response, .. } = confirm;
                let (tx, response) = (*tx, response.clone());
                self.respond(tx, response);
            }
            Due::GaveUp => self.no_ack(),
        }
    }

    fn timer_timeout(&mut self, now: Instant) {
        let Some(timer) = &mut self.timer else { return };
        match timer.handle_timeout(now) {
            timer::Due::Early => {}
            timer::Due::Refresh => self.exchange.want(exchange::Change::Refresh),
            timer::Due::Expired => self.hang_up(None, EndCause::Lost),
        }
    }

    pub(crate) fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let state = match &self.state {
            State::Offered(offered) => Some(offered.poll_timeout()),
            State::Calling(calling) => Some(calling.poll_timeout()),
            State::Up | State::Closing { .. } | State::Leaving | State::Over => None,
        };
        earliest([
            state,
            self.confirm.as_ref().map(|c| c.repeat.poll_timeout()),
            self.timer.as_ref().map(SessionTimer::poll_timeout),
            self.exchange.poll_timeout().filter(|_| self.may_change()),
            self.transfer.as_ref().map(Transfer::poll_timeout),
        ])
    }

    /// The next CSeq for a request that is sent again with credentials.
    pub(crate) fn next_cseq(&mut self) -> u32 {
        match (&mut self.dialog, &mut self.state) {
            (None, State::Calling(calling)) => calling.next_cseq(),
            (Some(dialog), _) => dialog.next_cseq(),
            (None, _) => 1,
        }
    }

    /// Nothing is under way: it may be dropped.
    pub(crate) const fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }

    /// A re-INVITE of the far end that was accepted, and not acknowledged.
    pub(crate) fn unconfirmed_change(&self) -> Option<ServerId> {
        self.confirm.as_ref().filter(|confirm| !confirm.initial).map(|confirm| confirm.tx)
    }

    /// Carried on from another node, and the far end does not know yet.
    pub(crate) const fn is_moving(&self) -> bool {
        self.moving_until.is_some() && !self.ended
    }

    /// The node still counts it as a call.
    pub(crate) const fn is_live(&self) -> bool {
        !self.ended
    }

    pub(crate) fn port(&self) -> PortId {
        self.local.port
    }

    pub(crate) const fn dialog(&self) -> Option<&Dialog> {
        self.dialog.as_ref()
    }

    /// Call-ID and tag of this side, known from the INVITE on: how in-dialog requests find it.
    pub(crate) fn key(&self) -> Option<(String, String)> {
        match (&self.dialog, &self.state) {
            (Some(dialog), _) => Some((dialog.call_id.clone(), dialog.local_tag().to_owned())),
            (None, State::Calling(calling)) => calling.key(),
            (None, _) => None,
        }
    }
}
