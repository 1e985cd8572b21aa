//! A pool with a clock, and instances that answer pings unless they are told not to.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use crate::codecs::Digit;
use crate::config::{Config, Source, parse};
use crate::ids::{CallId, Generation, InstanceId, PortId};
use crate::pool::{Health, Input, Offer, Output, Pool, PortStatus, Reason, Rebound};
use crate::timers::{Duration, Instant};

pub(super) const PORT: PortId = PortId(0);
pub(super) const CALL: CallId = CallId(1);

pub(super) fn at(ms: u64) -> Instant {
    Instant::from_nanos(ms * 1_000_000)
}

pub(super) fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

pub(super) fn key(key: char) -> Digit {
    Digit::from_char(key).expect("a key")
}

/// A configuration of `ports` ports with this list of applications, and more text behind it.
pub(super) fn config(ports: u16, list: &str, more: &str) -> Arc<Config> {
    let sections: BTreeSet<&str> = ["main", "basic", "other"].into();
    let missing: String = sections
        .into_iter()
        .filter(|name| !more.contains(&format!("[applications.{name}]")))
        .map(|name| format!("[applications.{name}]\n"))
        .collect();
    let text = format!(
        "[pbx]\nprofile = \"generic\"\nregistrars = [\"10.0.0.5\"]\n\
         local_address = \"10.0.0.9\"\n\
         [[ports]]\nextensions = \"1000-{}\"\npassword = \"kT7-pq2Zr9vXw4mN8sLd\"\n\
         applications = {list}\n\
         [ari.users.ivr]\npassword = \"kT7-pq2Zr9vXw4mN8sLd\"\n\
         [announce]\nprompts = [\"sorry\"]\n{missing}{more}",
        999 + ports,
    );
    let base = Path::new("/");
    let read_file = |_: &Path| Err(std::io::Error::other("no files here"));
    let parsed = parse(Source {
        text: &text,
        base,
        read_file: &read_file,
        fault_of: &|_| None,
        today: crate::config::Day::default(),
    });
    assert!(parsed.config.is_some(), "{:?}", parsed.faults);
    Arc::new(parsed.config.expect("checked"))
}

/// What came out, without the pings, and when.
#[derive(Clone, Debug)]
pub(super) struct Event {
    pub ms: u64,
    pub output: Output,
}

pub(super) struct World {
    pub pool: Pool,
    pub now: u64,
    pub events: Vec<Event>,
    /// Instances that answer pings, at once.
    answering: BTreeSet<InstanceId>,
    /// Claims every offer so many milliseconds after it, per instance.
    pub claims_after: BTreeMap<InstanceId, u64>,
    claims_due: Vec<(u64, PortId, Generation)>,
}

impl World {
    pub fn new(config: Arc<Config>) -> Self {
        Self {
            pool: Pool::new(config),
            now: 0,
            events: Vec::new(),
            answering: BTreeSet::new(),
            claims_after: BTreeMap::new(),
            claims_due: Vec::new(),
        }
    }

    /// One port with one application, and nothing connected.
    pub fn one(list: &str, more: &str) -> Self {
        Self::new(config(1, list, more))
    }

    pub fn input(&mut self, input: Input) {
        self.pool.handle_input(at(self.now), input);
        self.drain_outputs();
    }

    fn drain_outputs(&mut self) {
        while let Some(output) = self.pool.poll_output() {
            match output {
                Output::Ping { instance } => {
                    if self.answering.contains(&instance) {
                        self.pool.handle_input(at(self.now), Input::Pong { instance });
                    }
                }
                output => {
                    self.note(&output);
                    self.events.push(Event { ms: self.now, output });
                }
            }
        }
    }

    fn note(&mut self, output: &Output) {
        if let Output::Offer(offer) = output
            && let Some(after) = self.claims_after.get(&offer.instance)
        {
            self.claims_due.push((self.now + after, offer.port, offer.generation));
        }
    }

    /// Lets time pass, waking exactly when the pool asks for it.
    pub fn run_until(&mut self, end: u64) {
        while let Some(next) = self.next_wake().filter(|&t| t <= end) {
            self.now = self.now.max(next);
            let now = self.now;
            let due: Vec<_> = self.claims_due.extract_if(.., |(t, _, _)| *t <= now).collect();
            for (_, port, generation) in due {
                self.command(port, generation.0);
            }
            self.pool.handle_timeout(at(self.now));
            self.drain_outputs();
        }
        self.now = end;
    }

    fn next_wake(&self) -> Option<u64> {
        let pool = self.pool.poll_timeout().map(|t| t.as_nanos().div_ceil(1_000_000));
        let claims = self.claims_due.iter().map(|&(t, _, _)| t).min();
        [pool, claims].into_iter().flatten().min()
    }

    pub fn run(&mut self, ms: u64) {
        self.run_until(self.now + ms);
    }

    /// The node sleeps through this time; pongs and commands of it are read only afterwards.
    pub fn stall(&mut self, ms: u64) {
        self.now += ms;
        self.pool.handle_timeout(at(self.now));
        self.drain_outputs();
    }

    /// An instance that answers pings and claims nothing by itself.
    pub fn connect(&mut self, id: u64, applications: &[&str]) -> InstanceId {
        let instance = self.connect_mute(id, applications);
        self.answering.insert(instance);
        self.run(1);
        instance
    }

    /// An instance whose library never answers pings.
    pub fn connect_mute(&mut self, id: u64, applications: &[&str]) -> InstanceId {
        let applications = applications.iter().map(|&name| name.to_owned()).collect();
        let instance = InstanceId(id);
        self.input(Input::InstanceUp { instance, applications, user: "ivr".into() });
        instance
    }

    /// An instance that claims each offer after 5 ms.
    pub fn connect_working(&mut self, id: u64, applications: &[&str]) -> InstanceId {
        self.claims_after.insert(InstanceId(id), 5);
        self.connect(id, applications)
    }

    /// SIGSTOP.
    pub fn freeze(&mut self, instance: InstanceId) {
        self.answering.remove(&instance);
        self.claims_after.remove(&instance);
    }

    /// SIGCONT.
    pub fn thaw(&mut self, instance: InstanceId) {
        self.answering.insert(instance);
        self.input(Input::Pong { instance });
    }

    pub fn crash(&mut self, instance: InstanceId) {
        self.freeze(instance);
        self.input(Input::InstanceDown { instance });
    }

    pub fn arrive(&mut self, port: u16) {
        let call = CallId(u64::from(port) + 1);
        self.input(Input::Arrived { port: PortId(port), call });
    }

    pub fn command(&mut self, port: PortId, generation: u32) {
        let generation = Generation(generation);
        self.input(Input::Command { port, generation });
    }

    pub fn ack(&mut self, generation: u32, count: u32) {
        self.input(Input::Ack { port: PORT, generation: Generation(generation), count });
    }

    pub fn sounding(&mut self, on: bool) {
        self.input(Input::Sounding { port: PORT, on });
    }

    pub fn up(&mut self) {
        self.input(Input::Up { port: PORT });
    }

    pub fn type_keys(&mut self, keys: &str) {
        for digit in keys.chars().map(key) {
            self.input(Input::Digit { port: PORT, digit, duration_ms: 100 });
        }
    }

    pub fn port(&self) -> PortStatus {
        self.pool.port(PORT).expect("port 0")
    }

    pub fn health(&self, instance: InstanceId) -> Health {
        self.pool.instances().find(|i| i.instance == instance).expect("connected").health
    }

    pub fn offers(&self) -> Vec<(u64, Offer)> {
        let offer = |e: &Event| match &e.output {
            Output::Offer(offer) => Some((e.ms, offer.clone())),
            _ => None,
        };
        self.events.iter().filter_map(offer).collect()
    }

    /// The latest offer: to whom, with which token, why.
    pub fn offered(&self) -> (u64, u32, Reason) {
        let (_, offer) = self.offers().pop().expect("an offer");
        (offer.instance.0, offer.generation.0, offer.reason)
    }

    pub fn claims(&self) -> Vec<Rebound> {
        let claim = |e: &Event| match &e.output {
            Output::Claimed(rebound) => Some(*rebound),
            _ => None,
        };
        self.events.iter().filter_map(claim).collect()
    }

    /// Digits that went out under a token, with their times.
    pub fn digits(&self, generation: u32) -> Vec<(u64, char)> {
        let digit = |e: &Event| match &e.output {
            Output::Digit { generation: g, digit, .. } if g.0 == generation => {
                Some((e.ms, digit.as_char()))
            }
            _ => None,
        };
        self.events.iter().filter_map(digit).collect()
    }

    pub fn keys(&self, generation: u32) -> String {
        self.digits(generation).into_iter().map(|(_, key)| key).collect()
    }

    /// When the first output of this kind came.
    pub fn first(&self, is: impl Fn(&Output) -> bool) -> Option<u64> {
        self.events.iter().find(|e| is(&e.output)).map(|e| e.ms)
    }
}
