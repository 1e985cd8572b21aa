//! The lease as a model: the machines themselves, and every order of what may happen to them.
//!
//! One node holds the lease. From there each message may be delivered at any later time or never,
//! each write may reach the disk or be lost with the process, each node may be late with what is
//! due, and one node may crash and start anew, all within a lease and a half: everything that so
//! few steps can lead to, up to a number of states. Clocks are right here: wrong ones are for the
//! simulation, which goes far and not everywhere.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::{Hash, Hasher};

use portkeeper::ha::lease::{Input, Lease, Message, Output, Site, Timers};
use portkeeper::ids::{Epoch, NodeId, Rng};
use portkeeper::store::{Ticket, Vote};
use portkeeper::timers::{Duration, Instant};
use rand_core::SeedableRng;
use stateright::{Checker, Model, Property};

const NODES: [NodeId; 3] = [NodeId(0), NodeId(1), NodeId(2)];
const WITNESS: NodeId = NodeId(2);

/// Few renewals in a lease, so that few things happen in it.
const TIMERS: Timers =
    Timers { renew: Duration::from_secs(7), ttl: Duration::from_secs(10), may_pause: false };

/// Messages on their way at once; more are lost.
const MESSAGES_MAX: usize = 4;

#[derive(Clone, Debug)]
struct Member {
    lease: Lease,
    disk: Vote,
    boot: u32,
    writes: VecDeque<(Ticket, Vote)>,
}

#[derive(Clone, Debug)]
struct State {
    now: Instant,
    members: Vec<Member>,
    /// On their way, in no order.
    network: Vec<(NodeId, NodeId, Message)>,
    crashes_left: u8,
    acted: BTreeMap<Epoch, NodeId>,
    fault: Option<&'static str>,
}

impl PartialEq for State {
    fn eq(&self, other: &Self) -> bool {
        format!("{self:?}") == format!("{other:?}")
    }
}

impl Hash for State {
    /// By what is printed, which is all of it but the generators: they draw pauses only.
    fn hash<H: Hasher>(&self, state: &mut H) {
        format!("{self:?}").hash(state);
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Action {
    Deliver(usize),
    Persist(usize),
    Due(usize),
    Crash(usize),
    /// Time passes until something becomes due.
    Pass,
}

impl State {
    fn begin(&mut self, at: usize, boot: u32) {
        let node = NODES[at];
        let site = Site {
            me: node,
            nodes: NODES[..2].to_vec(),
            witness: Some(WITNESS),
            other_pbx: false,
            timers: TIMERS,
        };
        let disk = self.members.get(at).map_or_else(Vote::default, |member| member.disk);
        let lease = Lease::new(self.now, site, disk, boot, Rng::seed_from_u64(7));
        let member = Member { lease, disk, boot, writes: VecDeque::new() };
        if at < self.members.len() {
            self.members[at] = member;
        } else {
            self.members.push(member);
        }
    }

    fn input(&mut self, at: usize, input: Input) {
        let now = self.now;
        self.members[at].lease.handle_input(now, input);
        self.collect(at);
    }

    fn due(&mut self, at: usize) {
        let now = self.now;
        self.members[at].lease.handle_timeout(now);
        self.collect(at);
    }

    fn persist(&mut self, at: usize) {
        if let Some((ticket, vote)) = self.members[at].writes.pop_front() {
            self.members[at].disk = vote;
            self.input(at, Input::Persisted(ticket));
        }
    }

    fn collect(&mut self, at: usize) {
        while let Some(output) = self.members[at].lease.poll_output() {
            match output {
                Output::Send { to, message } => self.send(NODES[at], to, message),
                Output::Persist { ticket, vote } => {
                    self.members[at].writes.push_back((ticket, vote));
                }
                Output::Held { epoch, .. } => self.held(at, epoch),
                // Whoever hears that the role is vacant wants it.
                Output::Vacant(_) if NODES[at] != WITNESS => {
                    let now = self.now;
                    self.members[at].lease.handle_input(now, Input::Acquire);
                }
                Output::Vacant(_)
                | Output::FactsClear
                | Output::Lost { .. }
                | Output::Beaten { .. }
                | Output::Unanswered
                | Output::Released { .. }
                | Output::Follow { .. }
                | Output::ReleaseStored { .. }
                | Output::Solo { .. } => {}
            }
        }
        if self.holders() > 1 {
            self.fault = Some("two holders");
        }
    }

    fn send(&mut self, from: NodeId, to: NodeId, message: Message) {
        if self.network.len() < MESSAGES_MAX {
            self.network.push((from, to, message));
            self.network.sort_by_key(|sent| format!("{sent:?}"));
        }
    }

    fn held(&mut self, at: usize, epoch: Epoch) {
        if self.members[at].disk.held < epoch {
            self.fault = Some("it acts before its promise is durable");
        }
        if self.acted.last_key_value().is_some_and(|(&last, _)| last >= epoch) {
            self.fault = Some("an epoch that is not higher");
        }
        self.acted.insert(epoch, NODES[at]);
    }

    fn holders(&self) -> usize {
        self.members.iter().filter(|member| member.lease.holds(self.now)).count()
    }

    fn next_deadline(&self) -> Option<Instant> {
        let deadlines = self.members.iter().filter_map(|member| member.lease.poll_timeout());
        deadlines.filter(|&at| at > self.now).min()
    }

    /// Everything arrives, and nobody is late, until nothing is left to do at this moment.
    fn settle(&mut self) {
        while !self.network.is_empty() || self.members.iter().any(|m| !m.writes.is_empty()) {
            (0..NODES.len()).for_each(|at| self.persist(at));
            if let Some((from, to, message)) = self.network.pop() {
                self.input(usize::from(to.0), Input::Received { from, message });
            }
        }
    }
}

/// The model: until when it goes on.
struct Leases {
    end: Instant,
    crashes: u8,
}

impl Model for Leases {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let mut state = State {
            now: Instant::ZERO,
            members: Vec::new(),
            network: Vec::new(),
            crashes_left: self.crashes,
            acted: BTreeMap::new(),
            fault: None,
        };
        (0..NODES.len()).for_each(|at| state.begin(at, 1));
        state.now += TIMERS.silence();
        state.input(0, Input::Acquire);
        state.settle();
        assert_eq!(state.holders(), 1, "one node holds");
        vec![state]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        actions.extend((0..state.network.len()).map(Action::Deliver));
        for (at, member) in state.members.iter().enumerate() {
            if !member.writes.is_empty() {
                actions.push(Action::Persist(at));
            }
            if member.lease.poll_timeout().is_some_and(|due| due <= state.now) {
                actions.push(Action::Due(at));
            }
            if state.crashes_left > 0 {
                actions.push(Action::Crash(at));
            }
        }
        actions.push(Action::Pass);
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::Deliver(index) => {
                let (from, to, message) = state.network.remove(index);
                state.input(usize::from(to.0), Input::Received { from, message });
            }
            Action::Persist(at) => state.persist(at),
            Action::Due(at) => state.due(at),
            Action::Crash(at) => {
                state.crashes_left -= 1;
                let boot = state.members[at].boot + 1;
                state.begin(at, boot);
            }
            Action::Pass => state.now = state.next_deadline()?,
        }
        Some(state)
    }

    fn within_boundary(&self, state: &State) -> bool {
        state.now <= self.end
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("one holder, durable and in order", |_, state: &State| {
                state.fault.is_none()
            }),
            Property::sometimes("another node holds the next epoch", |_, state: &State| {
                state.acted.values().collect::<BTreeSet<_>>().len() > 1
            }),
            Property::sometimes("the holder is fenced", |_, state: &State| state.holders() == 0),
        ]
    }
}

fn check(crashes: u8, states: usize) {
    let end = Instant::ZERO + TIMERS.silence() + TIMERS.ttl * 3 / 2;
    let model = Leases { end, crashes };
    // One thread: which states so many are is the same in every run.
    let checker = model.checker().threads(1).target_state_count(states).spawn_bfs().join();
    assert!(checker.max_depth() >= 10, "{} states", checker.unique_state_count());
    checker.assert_properties();
}

#[test]
fn in_no_order_of_events_are_there_two_holders() {
    check(0, 500_000);
}

#[test]
fn in_no_order_of_events_and_one_crash_are_there_two_holders() {
    check(1, 450_000);
}
