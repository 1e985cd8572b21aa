//! One address of record kept bound at the PBX (RFC 3261 section 10).
//!
//! The machine decides when a REGISTER leaves, for which node of the registrar list, and what its
//! outcome means; it never sees a message. Credentials are settled before an answer gets here: a
//! 401 that arrives has refused the password.
//!
//! An outcome is one of four. *Granted*: refresh at half time. *Node failed* (silence, 5xx): the
//! next node of the list at once, and a growing pause when all have failed. *Account refused*
//! (403, 404 and their like): a person must act, tried again in ten minutes. *Password refused*
//! (401, 407): stop, for a PBX locks an account that keeps guessing.
//!
//! A port goes back to a better node only without a live call, because a PBX that moves a binding
//! may drop the dialogs of the old one.

use std::collections::VecDeque;

use rand_core::RngCore;
use serde::{Deserialize, Serialize};

use crate::ids::Rng;
use crate::sip::RegistrationState;
use crate::sip::pacing::{RETRY_AFTER_MAX, Urgency};
use crate::timers::{Duration, Instant};

/// Pause after the account was refused.
const REFUSED_PAUSE: Duration = Duration::from_secs(600);
/// Pauses after all nodes failed: doubled from the first to the last.
const BACKOFF_FIRST: Duration = Duration::from_secs(4);
const BACKOFF_LAST: Duration = Duration::from_secs(60);
/// A refresh never comes faster than this, whatever was granted.
const REFRESH_MIN: Duration = Duration::from_secs(1);
/// Largest Min-Expires that is obeyed: a day.
const MIN_EXPIRES_MAX: u32 = 86_400;

/// What happened.
#[derive(Clone, Debug)]
pub(crate) enum Input {
    /// Keep the port bound.
    Start { delay: Duration },
    /// Take the binding away.
    Stop,
    /// The pacing of the node lets the REGISTER out.
    Go,
    /// The final answer to the REGISTER.
    Answer(Answer),
    /// No answer, or no connection.
    TimedOut,
    /// A call of this port began, or its last one ended.
    Live(bool),
    /// The best node that is known to work.
    Prefer { node: usize },
    /// The connection that carried the binding is gone: renew it at the same node.
    Reconnect { node: usize },
    /// The node does not answer any more: go on to the next without waiting for half time.
    NodeDown { node: usize },
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
}

#[derive(Clone, Debug)]
enum State {
    /// Not wanted.
    Off,
    /// Wanted, held back for a moment so that a pool does not start as one.
    Delayed { ask_at: Instant },
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
    /// The REGISTER that takes the binding away is out.
    Leaving,
}

/// One walk through the registrar list.
#[derive(Clone, Copy, Debug)]
struct Round {
    node: usize,
    /// Nodes that failed in this walk.
    failed: usize,
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
    nodes: usize,
    /// Seconds to ask for.
    expires: u32,
    cseq: u32,
    state: State,
    bound: Option<Bound>,
    live: bool,
    preferred: usize,
    contacts: Contacts,
    reported: RegistrationState,
    outputs: VecDeque<Output>,
}

impl Registration {
    /// `nodes` registrars, `expires` seconds to ask for.
    pub(crate) fn new(mut rng: Rng, nodes: usize, expires: u32) -> Self {
        let cseq = rng.next_u32() >> 12;
        Self {
            rng,
            nodes: nodes.max(1),
            expires,
            cseq,
            state: State::Off,
            bound: None,
            live: false,
            preferred: 0,
            contacts: Contacts::Ours,
            reported: RegistrationState::Off,
            outputs: VecDeque::new(),
        }
    }

    pub(crate) fn handle_input(&mut self, now: Instant, input: Input) {
        match input {
            Input::Start { delay } => self.start(now, delay),
            Input::Stop => self.stop(),
            Input::Go => self.go(),
            Input::Answer(answer) => self.answer(now, &answer),
            Input::TimedOut => self.timed_out(now),
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
        }
    }

    fn start(&mut self, now: Instant, delay: Duration) {
        match self.state {
            State::Off | State::Refused { .. } | State::LeaveQueued | State::Leaving => {
                if matches!(self.state, State::LeaveQueued) {
                    self.withdraw();
                }
                if matches!(self.state, State::Leaving) {
                    self.bound = None;
                }
                self.state = State::Delayed { ask_at: now + delay };
                self.report(RegistrationState::Pending);
            }
            State::Pending { ref mut leave, .. } => *leave = false,
            State::Delayed { .. }
            | State::Queued { .. }
            | State::Registered { .. }
            | State::Backoff { .. } => {}
        }
    }

    fn stop(&mut self) {
        match self.state {
            State::Off | State::LeaveQueued | State::Leaving => {}
            State::Pending { ref mut leave, .. } => *leave = true,
            State::Queued { round } => {
                self.outputs.push_back(Output::Withdraw { node: round.node });
                self.leave();
            }
            State::Delayed { .. }
            | State::Registered { .. }
            | State::Refused { .. }
            | State::Backoff { .. } => self.leave(),
        }
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

    fn off(&mut self) {
        self.bound = None;
        self.state = State::Off;
        self.report(RegistrationState::Off);
    }

    fn go(&mut self) {
        match self.state {
            State::Queued { round } => self.send(round),
            State::LeaveQueued => {
                let node = self.bound.map_or(0, |b| b.node);
                self.state = State::Leaving;
                let cseq = self.next_cseq();
                self.outputs.push_back(Output::Send { node, expires: 0, cseq });
            }
            State::Off
            | State::Delayed { .. }
            | State::Pending { .. }
            | State::Registered { .. }
            | State::Refused { .. }
            | State::Backoff { .. }
            | State::Leaving => {}
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

    fn answer(&mut self, now: Instant, answer: &Answer) {
        match self.state {
            State::Leaving => self.off(),
            State::Pending { round, leave } => {
                if (200..300).contains(&answer.status) && answer.granted > 0 {
                    self.bound = Some(Bound { node: round.node });
                }
                if leave { self.leave() } else { self.judge(now, round, answer) }
            }
            // An answer that was overtaken by a start after a stop.
            State::Off
            | State::Delayed { .. }
            | State::Queued { .. }
            | State::Registered { .. }
            | State::Refused { .. }
            | State::Backoff { .. }
            | State::LeaveQueued => {}
        }
    }

    fn judge(&mut self, now: Instant, round: Round, answer: &Answer) {
        match answer.status {
            // CUCM's standby node accepts and grants nothing: not a binding.
            200..=299 if answer.granted == 0 => self.node_failed(now, round, Some(200), None),
            200..=299 => self.granted(now, round, answer),
            401 | 407 => self.password_refused(answer),
            423 => self.too_brief(now, round, answer),
            408 | 480 | 500.. => {
                self.node_failed(now, round, Some(answer.status), answer.retry_after);
            }
            _ => self.account_refused(now, answer.status),
        }
    }

    fn granted(&mut self, now: Instant, round: Round, answer: &Answer) {
        let half = Duration::from_secs(u64::from(answer.granted)) / 2;
        // 45-55 % of the granted time: half, because PBXs with a wrong clock drop bindings early;
        // spread, because a pool that registered together would refresh together for ever.
        let refresh = half * 9 / 10 + self.draw(half / 5);
        self.state = State::Registered { refresh_at: now + refresh.max(REFRESH_MIN) };
        self.check_contacts(answer.contacts);
        self.report(RegistrationState::Registered { expires: answer.granted, node: round.node });
        // A better node that just failed is asked again when its watch says so, not before.
        if round.failed > 0 {
            self.preferred = self.preferred.max(round.node);
        }
    }

    fn check_contacts(&mut self, contacts: Contacts) {
        if self.contacts == contacts {
            return;
        }
        self.contacts = contacts;
        match contacts {
            Contacts::Ours => {}
            Contacts::Shared => self.alarm("another device is bound to this extension as well"),
            Contacts::Foreign => self.alarm("the PBX lists another device, and not this port"),
        }
    }

    fn password_refused(&mut self, answer: &Answer) {
        let why = answer.withheld.unwrap_or("the PBX refused the password");
        self.refuse(answer.status, None, why);
    }

    fn account_refused(&mut self, now: Instant, status: u16) {
        self.refuse(status, Some(now + REFUSED_PAUSE), "the PBX refused the account");
    }

    fn refuse(&mut self, status: u16, retry_at: Option<Instant>, why: &str) {
        self.bound = None;
        self.state = State::Refused { retry_at };
        if self.reported != (RegistrationState::Refused { status }) {
            self.alarm(&format!("{why} ({status})"));
        }
        self.report(RegistrationState::Refused { status });
    }

    fn too_brief(&mut self, now: Instant, round: Round, answer: &Answer) {
        let allowed = round.expires.saturating_add(1)..=MIN_EXPIRES_MAX;
        match answer.min_expires {
            Some(min) if !round.raised && allowed.contains(&min) => {
                self.send(Round { expires: min, raised: true, ..round });
            }
            _ => self.refuse(423, Some(now + REFUSED_PAUSE), "the PBX allows no interval"),
        }
    }

    fn timed_out(&mut self, now: Instant) {
        match self.state {
            State::Leaving => self.off(),
            State::Pending { leave: true, .. } => self.leave(),
            State::Pending { round, leave: false } => self.node_failed(now, round, None, None),
            State::Off
            | State::Delayed { .. }
            | State::Queued { .. }
            | State::Registered { .. }
            | State::Refused { .. }
            | State::Backoff { .. }
            | State::LeaveQueued => {}
        }
    }

    fn node_failed(
        &mut self,
        now: Instant,
        round: Round,
        status: Option<u16>,
        retry_after: Option<Duration>,
    ) {
        let failed = round.failed + 1;
        if failed < self.nodes {
            let node = (round.node + 1) % self.nodes;
            self.ask(self.walk(node, failed, round.attempt));
            return;
        }
        let attempt = round.attempt + 1;
        let pause = self.backoff(attempt).max(retry_after.unwrap_or_default().min(RETRY_AFTER_MAX));
        self.bound = None;
        self.state = State::Backoff { attempt, retry_at: now + pause };
        self.report(RegistrationState::Unreachable { status });
    }

    /// Doubling, each half of it by chance, so that a pool does not come back as one.
    fn backoff(&mut self, attempt: u32) -> Duration {
        let full = BACKOFF_FIRST.saturating_mul(1 << attempt.min(8)).min(BACKOFF_LAST * 2) / 2;
        full / 2 + self.draw(full)
    }

    fn draw(&mut self, below: Duration) -> Duration {
        let nanos = u64::try_from(below.as_nanos()).unwrap_or(u64::MAX).max(1);
        Duration::from_nanos(self.rng.next_u64() % nanos)
    }

    fn return_to_better(&mut self, now: Instant) {
        let Some(Bound { node }) = self.bound else { return };
        if let State::Registered { ref mut refresh_at } = self.state
            && !self.live
            && self.preferred < node
        {
            *refresh_at = now;
        }
    }

    fn refresh_at(&mut self, now: Instant, node: usize) {
        if let State::Registered { ref mut refresh_at } = self.state
            && self.bound == Some(Bound { node })
        {
            *refresh_at = now;
        }
    }

    fn node_down(&mut self, now: Instant, node: usize) {
        if self.nodes < 2 {
            return;
        }
        match self.state {
            State::Queued { round } if round.node == node => {
                self.outputs.push_back(Output::Withdraw { node });
                self.node_failed(now, round, None, None);
            }
            State::Registered { .. } if self.bound == Some(Bound { node }) => {
                let next = (node + 1) % self.nodes;
                self.ask(self.walk(next, 1, 0));
            }
            State::Off
            | State::Delayed { .. }
            | State::Queued { .. }
            | State::Pending { .. }
            | State::Registered { .. }
            | State::Refused { .. }
            | State::Backoff { .. }
            | State::LeaveQueued
            | State::Leaving => {}
        }
    }

    const fn walk(&self, node: usize, failed: usize, attempt: u32) -> Round {
        Round { node, failed, attempt, expires: self.expires, raised: false }
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if self.poll_timeout().is_none_or(|at| now < at) {
            return;
        }
        let attempt = if let State::Backoff { attempt, .. } = self.state { attempt } else { 0 };
        let node = self.first_node();
        self.ask(self.walk(node, 0, attempt));
    }

    /// Where the next walk begins.
    fn first_node(&self) -> usize {
        match self.bound {
            Some(Bound { node }) if self.live => node,
            Some(Bound { node }) => node.min(self.preferred),
            None => self.preferred.min(self.nodes - 1),
        }
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
            | State::Queued { .. }
            | State::Pending { .. }
            | State::LeaveQueued
            | State::Leaving => None,
        }
    }

    /// What the node was told last.
    pub(crate) const fn reported(&self) -> RegistrationState {
        self.reported
    }

    /// The node that holds the binding.
    pub(crate) fn bound_node(&self) -> Option<usize> {
        self.bound.map(|b| b.node)
    }
}

#[cfg(test)]
mod tests {
    use rand_core::SeedableRng;

    use super::*;

    fn secs(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    fn new(nodes: usize) -> Registration {
        let mut registration = Registration::new(Rng::seed_from_u64(1), nodes, 300);
        registration.handle_input(Instant::ZERO, Input::Start { delay: Duration::ZERO });
        registration.handle_timeout(Instant::ZERO);
        registration
    }

    /// Lets every REGISTER out; returns `(node, expires)` of each, and everything else.
    fn drain(registration: &mut Registration, now: Instant) -> (Vec<(usize, u32)>, Vec<Output>) {
        let (mut sent, mut rest) = (vec![], vec![]);
        while let Some(output) = registration.poll_output() {
            match output {
                Output::Ask { .. } => registration.handle_input(now, Input::Go),
                Output::Send { node, expires, .. } => sent.push((node, expires)),
                other => rest.push(other),
            }
        }
        (sent, rest)
    }

    fn answer(registration: &mut Registration, now: Instant, status: u16) {
        let granted = if status == 200 { 120 } else { 0 };
        let answer = Answer { status, granted, ..Answer::default() };
        registration.handle_input(now, Input::Answer(answer));
    }

    #[test]
    fn a_granted_binding_is_refreshed_near_half_time() {
        let mut registration = new(1);
        assert_eq!(drain(&mut registration, Instant::ZERO).0, [(0, 300)]);
        answer(&mut registration, Instant::ZERO, 200);
        let refresh = registration.poll_timeout().expect("refresh");
        assert!((secs(54)..=secs(66)).contains(&refresh), "{refresh:?}");
        let state = RegistrationState::Registered { expires: 120, node: 0 };
        assert_eq!(drain(&mut registration, Instant::ZERO).1, [Output::State(state)]);
        registration.handle_timeout(refresh);
        assert_eq!(drain(&mut registration, refresh), (vec![(0, 300)], vec![]));
    }

    #[test]
    fn dead_nodes_are_walked_through_and_then_retried_with_growing_pauses() {
        let mut registration = new(3);
        let (mut now, mut walks) = (Instant::ZERO, vec![]);
        for _ in 0..4 {
            for node in 0..3 {
                assert_eq!(drain(&mut registration, now).0, [(node, 300)]);
                registration.handle_input(now, Input::TimedOut);
            }
            let retry = registration.poll_timeout().expect("retry");
            walks.push(retry.saturating_duration_since(now).as_secs());
            now = retry;
            registration.handle_timeout(now);
        }
        assert!(walks.is_sorted(), "{walks:?}");
        assert!(walks[0] >= 2 && walks[3] <= 90, "{walks:?}");
    }

    #[test]
    fn a_standby_node_that_grants_nothing_is_not_a_binding() {
        let mut registration = new(2);
        drain(&mut registration, Instant::ZERO);
        let standby = Answer { status: 200, granted: 0, ..Answer::default() };
        registration.handle_input(Instant::ZERO, Input::Answer(standby));
        assert_eq!(drain(&mut registration, Instant::ZERO).0, [(1, 300)]);
        assert_eq!(registration.bound_node(), None);
    }

    #[test]
    fn a_stop_that_overtakes_the_answer_still_takes_the_binding_away() {
        let mut registration = new(1);
        drain(&mut registration, Instant::ZERO);
        registration.handle_input(Instant::ZERO, Input::Stop);
        answer(&mut registration, Instant::ZERO, 200);
        assert_eq!(drain(&mut registration, Instant::ZERO).0, [(0, 0)]);
        answer(&mut registration, Instant::ZERO, 200);
        assert_eq!(registration.reported(), RegistrationState::Off);
    }

    #[test]
    fn a_port_returns_to_a_better_node_only_without_a_live_call() {
        let mut registration = new(2);
        drain(&mut registration, Instant::ZERO);
        registration.handle_input(Instant::ZERO, Input::TimedOut);
        drain(&mut registration, Instant::ZERO);
        registration.handle_input(Instant::ZERO, Input::Prefer { node: 1 });
        answer(&mut registration, Instant::ZERO, 200);
        registration.handle_input(secs(1), Input::Live(true));
        registration.handle_input(secs(1), Input::Prefer { node: 0 });
        assert!(registration.poll_timeout() > Some(secs(50)));
        registration.handle_input(secs(2), Input::Live(false));
        assert_eq!(registration.poll_timeout(), Some(secs(2)));
        registration.handle_timeout(secs(2));
        assert_eq!(drain(&mut registration, secs(2)).0, [(0, 300)]);
    }
}
