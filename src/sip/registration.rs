//! One address of record kept bound at the PBX (RFC 3261 section 10).
//!
//! The machine decides when a REGISTER leaves, for which node of the registrar list, and what its
//! outcome means; it never sees a message. Credentials are settled before an answer gets here: a
//! 401 that arrives has refused the password.
//!
//! An outcome is one of four. *Granted*: refresh at half time. *Node failed* (silence, 5xx, nonces
//! that are over before our answers arrive): the next node of the list at once, and a growing pause
//! when all have failed. *Account refused* (403, 404 and their like): a person must act, tried
//! again in ten minutes. *Password refused* (401, 407): stop, for a PBX locks an account that keeps
//! guessing.
//!
//! While no node of the list has an address there is nobody to ask: the port waits until one has.
//!
//! A port goes back to a better node only without a live call, because a PBX that moves a binding
//! may drop the dialogs of the old one.

mod nodes;
mod outcome;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, VecDeque};

use rand_core::RngCore;
use serde::{Deserialize, Serialize};

use crate::ids::Rng;
use crate::sip::RegistrationState;
use crate::sip::pacing::Urgency;
use crate::timers::{Duration, Instant};

/// What happened.
#[derive(Clone, Debug)]
pub(crate) enum Input {
    /// Keep the port bound.
    Start { delay: Duration },
    /// The same for a port that another node had: no refusal is believed `within` this time, and
    /// CSeq goes on above `cseq`.
    TakeOver { within: Duration, cseq: u32 },
    /// Renew the binding, if there is one.
    Renew,
    /// Take the binding away.
    Stop,
    /// Think no more of it: it is another node's.
    Abandon,
    /// The pacing of the node lets the REGISTER out.
    Go,
    /// The final answer to the REGISTER.
    Answer(Answer),
    /// There will be no answer. `None`: no node may be there.
    Failed { status: Option<u16> },
    /// A call of this port began, or its last one ended.
    Live(bool),
    /// The best node that is known to work.
    Prefer { node: usize },
    /// The connection that carried the binding is gone: renew it at the same node.
    Reconnect { node: usize },
    /// The node does not answer any more: go on to the next without waiting for half time.
    NodeDown { node: usize },
    /// Which nodes have an address from here on. Those that `changed` have another one than before,
    /// or none any more; whoever waits to ask one of them asks after `delay`.
    Nodes { nodes: BTreeSet<usize>, changed: BTreeSet<usize>, delay: Duration },
    /// No node has an address, and the names of the list do not resolve.
    Nameless,
}

/// What a final answer says.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) min_expires: Option<u32>,
    /// Seconds: `expires` of our Contact, else the Expires header, else what we asked for.
    pub(crate) granted: u32,
    /// Whether the Contacts of a 200 name ours; a 200 without any says nothing.
    pub(crate) contacts: Contacts,
    /// Why credentials were not sent, when that is the reason for the 401.
    pub(crate) withheld: Option<&'static str>,
    /// A 401 that refuses the nonce, and not the password (RFC 7616 section 3.3).
    pub(crate) stale: bool,
    /// Another node of the cluster has the binding, or has one beside ours: register again.
    pub(crate) repair: Option<Repair>,
}

/// How often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repair {
    /// Until it works: that node is known to be the older one.
    Always,
    /// A few times: whose binding it is cannot be read.
    Bounded,
}

/// What the Contact list of a 200 shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Contacts {
    /// Ours alone, or no list.
    #[default]
    Ours,
    /// Ours, and somebody else's.
    Shared,
    /// Others' only.
    Foreign,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Output {
    /// Queue up at the pacing of `node`.
    Ask { node: usize, urgency: Urgency },
    /// Leave the queue of `node`.
    Withdraw { node: usize },
    /// Send REGISTER; `expires` 0 takes the binding away.
    Send { node: usize, expires: u32, cseq: u32 },
    /// Tell the node of the new state.
    State(RegistrationState),
    /// Tell a person.
    Alarm(String),
    /// What was told last is over.
    AlarmOver,
}

#[derive(Clone, Debug)]
enum State {
    /// Not wanted.
    Off,
    /// Wanted, held back for a moment so that a pool does not start as one.
    Delayed { ask_at: Instant },
    /// Wanted, but no node has an address.
    Nowhere,
    /// Waits for the pacing.
    Queued { round: Round },
    /// A REGISTER is out. `leave`: it was overtaken by a wish to take the binding away.
    Pending { round: Round, leave: bool },
    /// Bound.
    Registered { refresh_at: Instant },
    /// Account refused; `None`: never again by itself.
    Refused { retry_at: Option<Instant> },
    /// All nodes failed.
    Backoff { attempt: u32, retry_at: Instant },
    /// Waits for the pacing to take the binding away.
    LeaveQueued,
    /// The REGISTER that takes the binding away is out. `again`: the port was wanted back in the
    /// meantime; never are two of its REGISTERs out at once.
    Leaving { again: bool },
}

/// One walk through the registrar list.
#[derive(Clone, Copy, Debug)]
struct Round {
    node: usize,
    /// Nodes that failed in this walk.
    failed: usize,
    /// The last status that one of them answered with.
    status: Option<u16>,
    /// Walks before this one that failed as a whole.
    attempt: u32,
    /// Seconds asked for.
    expires: u32,
    /// The one retry after 423 was used.
    raised: bool,
}

/// The binding that the PBX holds, as far as we know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Bound {
    node: usize,
}

/// The registration of one port.
#[derive(Clone, Debug)]
pub(crate) struct Registration {
    rng: Rng,
    /// Those that have an address.
    nodes: BTreeSet<usize>,
    /// None ever had: the names of the list do not resolve.
    nameless: bool,
    /// Seconds to ask for.
    expires: u32,
    cseq: u32,
    state: State,
    bound: Option<Bound>,
    live: bool,
    preferred: usize,
    contacts: Contacts,
    /// Refusals count from here on: another node had the port until a moment ago.
    believe_at: Option<Instant>,
    /// Repairs of the last minute.
    repairs: VecDeque<Instant>,
    reported: RegistrationState,
    outputs: VecDeque<Output>,
}

impl Registration {
    /// `nodes` registrars that have an address, `expires` seconds to ask for.
    pub(crate) fn new(mut rng: Rng, nodes: BTreeSet<usize>, expires: u32) -> Self {
        let cseq = rng.next_u32() >> 12;
        Self {
            rng,
            nodes,
            nameless: false,
            expires,
            cseq,
            state: State::Off,
            bound: None,
            live: false,
            preferred: 0,
            contacts: Contacts::Ours,
            believe_at: None,
            repairs: VecDeque::new(),
            reported: RegistrationState::Off,
            outputs: VecDeque::new(),
        }
    }

    pub(crate) fn handle_input(&mut self, now: Instant, input: Input) {
        match input {
            Input::Start { delay } => self.start(now, delay),
            Input::TakeOver { within, cseq } => {
                self.believe_at = (within > Duration::ZERO).then_some(now + within);
                self.cseq = self.cseq.max(cseq & 0x7fff_ffff);
                self.start(now, Duration::ZERO);
            }
            Input::Renew => {
                if let Some(Bound { node }) = self.bound {
                    self.refresh_at(now, node);
                }
            }
            Input::Stop => self.stop(),
            Input::Abandon => self.abandon(),
            Input::Go => self.go(),
            Input::Answer(answer) => self.answer(now, &answer),
            Input::Failed { status } => self.failed(now, status),
            Input::Live(live) => {
                self.live = live;
                self.return_to_better(now);
            }
            Input::Prefer { node } => {
                self.preferred = node;
                self.return_to_better(now);
            }
            Input::Reconnect { node } => self.refresh_at(now, node),
            Input::NodeDown { node } => self.node_down(now, node),
            Input::Nodes { nodes, changed, delay } => {
                (self.nodes, self.nameless) = (nodes, false);
                self.nodes_changed(&changed, now + delay);
            }
            Input::Nameless => {
                self.nameless = true;
                if matches!(self.state, State::Nowhere) {
                    self.report(RegistrationState::Unresolved);
                }
            }
        }
    }

    fn start(&mut self, now: Instant, delay: Duration) {
        match self.state {
            State::Leaving { ref mut again } => *again = true,
            State::Off | State::Refused { .. } | State::LeaveQueued => {
                if matches!(self.state, State::LeaveQueued) {
                    self.withdraw();
                }
                self.state = State::Delayed { ask_at: now + delay };
                self.report(RegistrationState::Pending);
            }
            State::Pending { ref mut leave, .. } => *leave = false,
            State::Delayed { .. }
            | State::Nowhere
            | State::Queued { .. }
            | State::Registered { .. }
            | State::Backoff { .. } => {}
        }
    }

    fn stop(&mut self) {
        match self.state {
            State::Off | State::LeaveQueued => {}
            State::Leaving { ref mut again } => *again = false,
            State::Pending { ref mut leave, .. } => *leave = true,
            State::Queued { round } => {
                self.outputs.push_back(Output::Withdraw { node: round.node });
                self.leave();
            }
            State::Delayed { .. }
            | State::Nowhere
            | State::Registered { .. }
            | State::Refused { .. }
            | State::Backoff { .. } => self.leave(),
        }
    }

    fn abandon(&mut self) {
        match self.state {
            State::Queued { round } => {
                self.outputs.push_back(Output::Withdraw { node: round.node });
            }
            State::LeaveQueued => self.withdraw(),
            State::Off
            | State::Delayed { .. }
            | State::Nowhere
            | State::Pending { .. }
            | State::Registered { .. }
            | State::Refused { .. }
            | State::Backoff { .. }
            | State::Leaving { .. } => {}
        }
        self.off();
    }

    /// Takes the binding away where there is one.
    fn leave(&mut self) {
        match self.bound {
            Some(Bound { node }) => {
                self.state = State::LeaveQueued;
                self.outputs.push_back(Output::Ask { node, urgency: Urgency::Bound });
            }
            None => self.off(),
        }
    }

    fn withdraw(&mut self) {
        if let Some(Bound { node }) = self.bound {
            self.outputs.push_back(Output::Withdraw { node });
        }
    }

    /// The binding is gone, or given up for gone.
    fn left(&mut self, now: Instant, again: bool) {
        self.off();
        if again {
            self.start(now, Duration::ZERO);
        }
    }

    fn off(&mut self) {
        (self.bound, self.believe_at) = (None, None);
        self.state = State::Off;
        self.report(RegistrationState::Off);
    }

    fn go(&mut self) {
        match self.state {
            State::Queued { round } => self.send(round),
            State::LeaveQueued => {
                let node = self.bound.map_or(0, |b| b.node);
                self.state = State::Leaving { again: false };
                let cseq = self.next_cseq();
                self.outputs.push_back(Output::Send { node, expires: 0, cseq });
            }
            State::Off
            | State::Delayed { .. }
            | State::Nowhere
            | State::Pending { .. }
            | State::Registered { .. }
            | State::Refused { .. }
            | State::Backoff { .. }
            | State::Leaving { .. } => {}
        }
    }

    fn send(&mut self, round: Round) {
        let cseq = self.next_cseq();
        self.state = State::Pending { round, leave: false };
        self.outputs.push_back(Output::Send { node: round.node, expires: round.expires, cseq });
    }

    /// The next CSeq; also for a REGISTER that is sent again with credentials.
    pub(crate) const fn next_cseq(&mut self) -> u32 {
        self.cseq = self.cseq.wrapping_add(1) & 0x7fff_ffff;
        self.cseq
    }

    fn refresh_at(&mut self, now: Instant, node: usize) {
        if let State::Registered { ref mut refresh_at } = self.state
            && self.bound == Some(Bound { node })
        {
            *refresh_at = now;
        }
    }

    const fn walk(&self, node: usize, failed: usize, attempt: u32) -> Round {
        Round { node, failed, status: None, attempt, expires: self.expires, raised: false }
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if self.poll_timeout().is_none_or(|at| now < at) {
            return;
        }
        let attempt = if let State::Backoff { attempt, .. } = self.state { attempt } else { 0 };
        self.begin_walk(attempt);
    }

    fn ask(&mut self, round: Round) {
        let urgency = if self.bound.is_some() { Urgency::Bound } else { Urgency::Unbound };
        self.state = State::Queued { round };
        self.outputs.push_back(Output::Ask { node: round.node, urgency });
    }

    fn report(&mut self, state: RegistrationState) {
        if self.reported != state {
            self.reported = state;
            self.outputs.push_back(Output::State(state));
        }
    }

    fn alarm(&mut self, text: &str) {
        self.outputs.push_back(Output::Alarm(text.to_owned()));
    }

    fn alarm_over(&mut self) {
        self.outputs.push_back(Output::AlarmOver);
    }

    pub(crate) fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    pub(crate) const fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Delayed { ask_at } => Some(ask_at),
            State::Registered { refresh_at } => Some(refresh_at),
            State::Refused { retry_at } => retry_at,
            State::Backoff { retry_at, .. } => Some(retry_at),
            State::Off
            | State::Nowhere
            | State::Queued { .. }
            | State::Pending { .. }
            | State::LeaveQueued
            | State::Leaving { .. } => None,
        }
    }

    /// What the node was told last.
    pub(crate) const fn reported(&self) -> RegistrationState {
        self.reported
    }

    /// CSeq of the last REGISTER.
    pub(crate) const fn cseq(&self) -> u32 {
        self.cseq
    }

    /// The node that holds the binding.
    pub(crate) fn bound_node(&self) -> Option<usize> {
        self.bound.map(|b| b.node)
    }
}
