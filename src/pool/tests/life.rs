//! A random life of a pool: callers, instances that answer, freeze, wake, crash and come back, a
//! node that sleeps through some of it. One seed, one life.

use std::collections::BTreeMap;
use std::sync::Arc;

use rand_core::{RngCore, SeedableRng};

use super::checker::Checker;
use super::world::{at, key};
use crate::config::Config;
use crate::ids::{CallId, Generation, InstanceId, PortId, Rng};
use crate::pool::{Input, Output, Pool};
use crate::timers::Instant;

pub(super) const PORTS: u16 = 8;

/// Faults and calls come for so long; then all is left to settle.
pub(super) const WILD_MS: u64 = 20_000;
pub(super) const CALM_MS: u64 = 12_000;

/// What happens at some time.
#[derive(Clone, Debug)]
enum Act {
    Arrive(PortId),
    Key(PortId),
    Hangup(PortId, CallId),
    Freeze(usize),
    Thaw(usize),
    Crash(usize),
    Connect(usize),
    Drain(usize, bool),
    Operator(PortId),
    Stall(u64),
    AnnounceDone(PortId, CallId),
    Prompt(PortId, CallId),
    /// What an instance does, if it can.
    Work(InstanceId, Work),
}

#[derive(Clone, Copy, Debug)]
enum Work {
    Pong,
    Claim(PortId, Generation),
    Handle(PortId, Generation),
    Move(PortId, Generation),
}

/// One instance: a seat that is taken by process after process.
struct Seat {
    applications: Vec<String>,
    pongs: bool,
    acknowledges: bool,
    instance: Option<InstanceId>,
    frozen: bool,
    backlog: Vec<Work>,
}

pub(super) struct Life {
    rng: Rng,
    pub now: u64,
    pub pool: Pool,
    pub checker: Checker,
    acts: BTreeMap<(u64, u64), Act>,
    pub count: u64,
    seats: Vec<Seat>,
    pub calls: BTreeMap<PortId, CallId>,
    handled: BTreeMap<(PortId, Generation), u32>,
    pub keys: u32,
}

impl Life {
    pub fn new(seed: u64, config: Arc<Config>) -> Self {
        let mut life = Self {
            rng: Rng::seed_from_u64(seed),
            now: 1_000,
            pool: Pool::new(config),
            checker: Checker::default(),
            acts: BTreeMap::new(),
            count: 0,
            seats: Vec::new(),
            calls: BTreeMap::new(),
            handled: BTreeMap::new(),
            keys: 0,
        };
        life.populate();
        life.plan();
        life
    }

    fn below(&mut self, n: u64) -> u64 {
        u64::from(self.rng.next_u32()) % n
    }

    fn populate(&mut self) {
        for n in 0..5 {
            let applications = if n == 4 { ["basic"] } else { ["main"] };
            let seat = Seat {
                applications: applications.map(str::to_owned).to_vec(),
                pongs: self.below(8) != 0,
                // All processes of one application are the same program.
                acknowledges: n < 4,
                instance: None,
                frozen: false,
                backlog: Vec::new(),
            };
            self.seats.push(seat);
            let delay = self.below(3_000);
            self.at(delay, Act::Connect(n));
        }
    }

    fn plan(&mut self) {
        for port in (0..PORTS).map(PortId) {
            let delay = self.below(4_000);
            self.at(delay, Act::Arrive(port));
        }
        for _ in 0..20 {
            let when = self.below(WILD_MS);
            let seat = usize::try_from(self.below(5)).expect("small");
            let port = PortId(u16::try_from(self.below(u64::from(PORTS))).expect("small"));
            let act = match self.below(8) {
                0..=2 => Act::Freeze(seat),
                3 | 4 => Act::Crash(seat),
                5 => Act::Drain(seat, true),
                6 => Act::Operator(port),
                _ => Act::Stall(self.below(800)),
            };
            self.at(when, act);
        }
        for _ in 0..150 {
            let when = self.below(WILD_MS);
            let port = PortId(u16::try_from(self.below(u64::from(PORTS))).expect("small"));
            self.at(when, Act::Key(port));
        }
    }

    fn at(&mut self, delay: u64, act: Act) {
        self.count += 1;
        self.acts.insert((self.now + delay, self.count), act);
    }

    fn instant(&self) -> Instant {
        at(self.now)
    }

    fn input(&mut self, input: Input) {
        let now = self.instant();
        self.checker.input(now, &input, &self.pool);
        self.pool.handle_input(now, input);
        self.outputs();
    }

    fn outputs(&mut self) {
        let now = self.instant();
        while let Some(output) = self.pool.poll_output() {
            if let Output::Offer(offer) = &output {
                self.checker.passed_on(offer.port, offer.reason);
            }
            self.checker.output(now, &output);
            self.react(output);
        }
        self.checker.consistent(now, &self.pool);
    }

    /// The world's answer to an output.
    fn react(&mut self, output: Output) {
        match output {
            Output::Ping { instance } => {
                let delay = self.below(30);
                self.at(delay, Act::Work(instance, Work::Pong));
            }
            Output::Offer(offer) => {
                let delay = 5 + self.below(300);
                let work = Work::Claim(offer.port, offer.generation);
                self.at(delay, Act::Work(offer.instance, work));
            }
            Output::Digit { port, generation, instance, .. } => {
                let delay = 1 + self.below(60);
                self.at(delay, Act::Work(instance, Work::Handle(port, generation)));
            }
            Output::HoldPrompt { port, .. } | Output::GatewayPrompt { port, .. } => {
                if let Some(&call) = self.calls.get(&port) {
                    self.at(10, Act::Prompt(port, call));
                }
            }
            Output::Announce { port, call } => self.at(2_000, Act::AnnounceDone(port, call)),
            Output::Release { port, call } | Output::Refer { port, call, .. } => {
                self.at(20, Act::Hangup(port, call));
            }
            Output::Revoke { .. }
            | Output::Claimed(_)
            | Output::MoveFailed { .. }
            | Output::Health { .. } => {}
        }
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Arrive(port) => self.arrive(port),
            Act::Key(port) => {
                self.keys += 1;
                let duration_ms = self.keys;
                self.input(Input::Digit { port, digit: key('5'), duration_ms });
            }
            Act::Hangup(port, call) => self.hangup(port, call),
            Act::Freeze(seat) => self.freeze(seat),
            Act::Thaw(seat) => self.thaw(seat),
            Act::Crash(seat) => self.crash(seat),
            Act::Connect(seat) => self.connect(seat),
            Act::Drain(seat, on) => self.drain(seat, on),
            Act::Operator(port) => self.input(Input::Rebind { port }),
            Act::Stall(ms) => self.stall(ms),
            Act::AnnounceDone(port, call) => {
                if self.calls.get(&port) == Some(&call) {
                    self.input(Input::AnnounceDone { port });
                }
            }
            Act::Prompt(port, call) => {
                if self.calls.get(&port) == Some(&call) {
                    self.input(Input::Up { port });
                    self.input(Input::Sounding { port, on: true });
                }
            }
            Act::Work(instance, work) => self.work(instance, work),
        }
    }

    fn arrive(&mut self, port: PortId) {
        if self.calls.contains_key(&port) {
            return;
        }
        self.count += 1;
        let call = CallId(self.count);
        self.calls.insert(port, call);
        self.input(Input::Arrived { port, call });
        let length = 3_000 + self.below(20_000);
        self.at(length, Act::Hangup(port, call));
    }

    pub fn hangup(&mut self, port: PortId, call: CallId) {
        if self.calls.get(&port) != Some(&call) {
            return;
        }
        self.calls.remove(&port);
        let discarded = self.pool.port(port).map_or(0, |p| p.digits_discarded);
        let now = self.instant();
        let input = Input::Ended { port };
        self.checker.input(now, &input, &self.pool);
        self.pool.handle_input(now, input);
        let counters = self.pool.counters().clone();
        self.checker.ended(now, port, discarded, &counters);
        self.outputs();
        if self.now < WILD_MS {
            let pause = self.below(2_000);
            self.at(pause, Act::Arrive(port));
        }
    }

    fn connect(&mut self, seat: usize) {
        self.count += 1;
        let instance = InstanceId(self.count);
        let place = &mut self.seats[seat];
        place.instance = Some(instance);
        (place.frozen, place.backlog) = (false, Vec::new());
        let applications = place.applications.clone();
        self.checker.running_since.insert(instance, at(self.now));
        self.input(Input::InstanceUp { instance, applications, user: "ivr".into() });
    }

    fn freeze(&mut self, seat: usize) {
        let Some(instance) = self.seats[seat].instance else { return };
        self.seats[seat].frozen = true;
        self.checker.running_since.remove(&instance);
        let pause = 50 + self.below(4_000);
        self.at(pause, Act::Thaw(seat));
    }

    /// It wakes and does all that it believes it still has to do.
    fn thaw(&mut self, seat: usize) {
        let place = &mut self.seats[seat];
        let (true, Some(instance)) = (place.frozen, place.instance) else { return };
        place.frozen = false;
        let backlog = std::mem::take(&mut place.backlog);
        self.checker.running_since.insert(instance, at(self.now));
        for work in backlog {
            self.at(1, Act::Work(instance, work));
        }
    }

    fn crash(&mut self, seat: usize) {
        let Some(instance) = self.seats[seat].instance.take() else { return };
        self.checker.running_since.remove(&instance);
        self.input(Input::InstanceDown { instance });
        let delay = 100 + self.below(3_000);
        self.at(delay, Act::Connect(seat));
    }

    fn drain(&mut self, seat: usize, on: bool) {
        let Some(instance) = self.seats[seat].instance else { return };
        self.input(Input::Drain { instance, on });
        if on {
            let pause = self.below(4_000);
            self.at(pause, Act::Drain(seat, false));
        }
    }

    /// The node sleeps; when it wakes, its timers run before it has read anything.
    fn stall(&mut self, ms: u64) {
        self.now += ms;
        self.wake();
    }

    fn work(&mut self, instance: InstanceId, work: Work) {
        let Some(seat) = self.seats.iter_mut().find(|s| s.instance == Some(instance)) else {
            return;
        };
        if seat.frozen {
            seat.backlog.push(work);
            return;
        }
        let (pongs, acknowledges) = (seat.pongs, seat.acknowledges);
        match work {
            Work::Pong if pongs => self.input(Input::Pong { instance }),
            Work::Pong => {}
            Work::Claim(port, generation) => self.claim(port, generation, acknowledges),
            Work::Handle(port, generation) => self.handle(port, generation, acknowledges),
            Work::Move(port, generation) => self.pass_on(port, generation),
        }
    }

    fn command(&mut self, port: PortId, generation: Generation) -> bool {
        self.input(Input::Command { port, generation });
        self.pool.port(port).is_some_and(|p| p.generation == Some(generation))
    }

    fn claim(&mut self, port: PortId, generation: Generation, acknowledges: bool) {
        if !self.command(port, generation) {
            return;
        }
        if acknowledges {
            self.input(Input::Ack { port, generation, count: 0 });
        }
        self.input(Input::Up { port });
        self.input(Input::Sounding { port, on: true });
        if self.below(12) == 0 {
            let (delay, owner) = (self.below(3_000), self.pool.port(port).and_then(|p| p.instance));
            if let Some(owner) = owner {
                self.at(delay, Act::Work(owner, Work::Move(port, generation)));
            }
        }
    }

    fn handle(&mut self, port: PortId, generation: Generation, acknowledges: bool) {
        self.command(port, generation);
        let handled = self.handled.entry((port, generation)).or_default();
        *handled += 1;
        let count = *handled;
        // Some acknowledgements are lost with the process, or come for several at once.
        if acknowledges && self.below(3) != 0 {
            self.input(Input::Ack { port, generation, count });
        }
    }

    /// The link lets only the owner through, as the node does.
    fn pass_on(&mut self, port: PortId, generation: Generation) {
        if self.command(port, generation) {
            let application = "basic".to_owned();
            self.input(Input::Move { port, application, args: Vec::new() });
        }
    }

    fn wake(&mut self) {
        let now = self.instant();
        self.pool.handle_timeout(now);
        self.outputs();
        let next = self.pool.poll_timeout();
        if next.is_some_and(|t| t < now) && self.checker.fault.is_none() {
            self.checker.fault = Some(format!("at {}: a deadline in the past", self.now));
        }
    }

    pub fn run_until(&mut self, end: u64) {
        while self.checker.fault.is_none() {
            let act = self.acts.first_key_value().map(|(&key, _)| key);
            let timer = self.pool.poll_timeout().map(|t| t.as_nanos().div_ceil(1_000_000));
            let (act_at, timer_at) =
                (act.map_or(u64::MAX, |k| k.0), timer.unwrap_or(u64::MAX).max(self.now));
            if act_at.min(timer_at) > end {
                break;
            }
            if timer_at < act_at {
                self.now = self.now.max(timer_at);
                self.wake();
            } else if let Some(act) = act.and_then(|key| self.acts.remove(&key)) {
                self.now = self.now.max(act_at);
                self.act(act);
            }
        }
        self.now = self.now.max(end);
    }

    /// No more faults: everything wakes, is there and works, and nobody hangs up.
    pub fn calm(&mut self) {
        let quiet = |act: &Act| matches!(act, Act::Work(..) | Act::Prompt(..));
        self.acts.retain(|_, act| quiet(act));
        for seat in 0..self.seats.len() {
            self.thaw(seat);
            self.drain(seat, false);
            if self.seats[seat].instance.is_none() {
                self.connect(seat);
            }
        }
    }
}
