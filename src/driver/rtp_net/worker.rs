//! The loop of one worker.

#![expect(clippy::disallowed_types, reason = "a lock between threads, which the worker only tries")]

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, TryLockError};
use std::thread::Thread;

use super::scheduling::Scheduling;
use super::slot::{DATAGRAM_MAX, Slot};
use super::{Config, EventSink, Service, Shared};
use crate::driver::clock;
use crate::driver::mailbox::{Mailbox, Message, Outbound};
use crate::driver::recorder::Item;
use crate::ids::PortId;
use crate::media::{Input, Statistics};
use crate::timers::{Duration, Instant};

/// Milliseconds of a frame.
const FRAME_MS: u64 = 20;

/// Above this many ports they are spread over 20 phases, a millisecond apart; below, four phases
/// do, and the worker wakes up a fifth as often.
const FINE_ABOVE: usize = 200;

/// Ticks between two looks at the thread's processor time: it takes a system call.
const CPU_TIME_EVERY: u32 = 16;

/// Nothing to do: look after this long all the same.
const IDLE: Duration = Duration::from_secs(1);

/// What a worker begins with.
pub(super) struct Setting {
    pub(super) number: u16,
    pub(super) count: u16,
    pub(super) config: Config,
    pub(super) events: Arc<dyn EventSink>,
    pub(super) statistics: Arc<[StatisticsCell]>,
    pub(super) outbound: Outbound<Item>,
    pub(super) recorder: Thread,
}

/// What the ports of a worker share.
pub(super) struct World {
    pub(super) address: IpAddr,
    pub(super) service: Option<Service>,
    pub(super) events: Arc<dyn EventSink>,
    pub(super) shared: Arc<Shared>,
    pub(super) statistics: Arc<[StatisticsCell]>,
    pub(super) outbound: Outbound<Item>,
    pub(super) recorder: Thread,
    /// Where datagrams are read into; taken out while one is looked at.
    pub(super) buffer: Vec<u8>,
}

impl World {
    /// Where a port speaks from, and whether that address comes and goes.
    pub(super) fn address_of(&self, port: PortId) -> (IpAddr, bool) {
        match self.service.filter(|service| port.0 < service.ports) {
            Some(service) => (service.address, true),
            None => (self.address, false),
        }
    }
}

/// The newest statistics of a port. The worker writes when nobody reads at that moment; ten times a
/// second it has another chance.
#[derive(Debug, Default)]
pub(super) struct StatisticsCell(Mutex<Option<Statistics>>);

impl StatisticsCell {
    pub(super) fn write(&self, statistics: Option<Statistics>) {
        match self.0.try_lock() {
            Ok(mut cell) => *cell = statistics,
            Err(TryLockError::Poisoned(poisoned)) => *poisoned.into_inner() = statistics,
            Err(TryLockError::WouldBlock) => {}
        }
    }

    pub(super) fn read(&self) -> Option<Statistics> {
        *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// A worker.
pub(super) struct Worker {
    number: u16,
    count: u16,
    raise_priority: bool,
    mailbox: Arc<Mailbox>,
    taken: VecDeque<Message>,
    world: World,
    slots: Vec<Slot>,
    /// Live ports by phase.
    phases: Vec<Vec<usize>>,
    live: usize,
    /// Between two phases.
    step: Duration,
    ticks: u32,
}

impl Worker {
    pub(super) fn new(setting: Setting, mailbox: Arc<Mailbox>, shared: Arc<Shared>) -> Self {
        let Setting { number, count, config, events, statistics, outbound, recorder } = setting;
        let ids: Vec<_> = (number..config.ports).step_by(usize::from(count)).map(PortId).collect();
        let step_ms = if ids.len() > FINE_ABOVE { 1 } else { 5 };
        let step = Duration::from_millis(step_ms);
        let phases = (FRAME_MS / step_ms) as usize;
        let in_phase = ids.len().div_ceil(phases);
        let slots = ids.iter().enumerate().map(|(index, id)| {
            Slot::new(*id, Arc::clone(&config.media), step * (index % phases) as u32)
        });
        Self {
            number,
            count,
            raise_priority: config.raise_priority,
            mailbox,
            taken: VecDeque::new(),
            slots: slots.collect(),
            phases: (0..phases).map(|_| Vec::with_capacity(in_phase)).collect(),
            live: 0,
            step,
            ticks: 0,
            world: World {
                address: config.address,
                service: config.service,
                events,
                shared,
                statistics,
                outbound,
                recorder,
                buffer: vec![0; DATAGRAM_MAX],
            },
        }
    }

    pub(super) fn run(mut self) {
        self.introduce();
        let mut tick_at = clock::now();
        let rounds = Arc::clone(&self.world.shared.rounds);
        while !self.mailbox.is_stopped() {
            Shared::add(&rounds, 1);
            self.take_messages();
            if self.live == 0 {
                std::thread::park_timeout(IDLE);
                continue;
            }
            let now = clock::now();
            tick_at = self.next_tick(tick_at, now);
            if tick_at > now {
                clock::sleep_until(tick_at);
            }
            self.tick(tick_at);
        }
    }

    fn introduce(&self) {
        let scheduling =
            if self.raise_priority { Scheduling::raise() } else { Scheduling::Default };
        self.world.shared.scheduling.store(scheduling.code(), Ordering::Relaxed);
    }

    /// The first tick after the last one in which a port is to be visited. A worker that is more
    /// than a frame behind goes on from the present: every port is visited once in each frame.
    fn next_tick(&self, last: Instant, now: Instant) -> Instant {
        let frame = Duration::from_millis(FRAME_MS);
        let from = if last + frame < now { now - frame } else { last };
        let step = self.step.as_nanos() as u64;
        let mut at = Instant::from_nanos(from.as_nanos() / step * step) + self.step;
        for _ in 0..self.phases.len() {
            if self.phases_at(at).into_iter().any(|phase| !self.phases[phase].is_empty()) {
                break;
            }
            at += self.step;
        }
        at
    }

    /// The phase whose frames are due, and the one half a frame away.
    fn phases_at(&self, at: Instant) -> [usize; 2] {
        let count = self.phases.len();
        let step = self.step.as_nanos() as u64;
        let phase = (at.as_nanos() / step) as usize % count;
        [phase, (phase + count / 2) % count]
    }

    fn tick(&mut self, at: Instant) {
        for phase in self.phases_at(at) {
            let mut index = 0;
            while let Some(&slot) = self.phases[phase].get(index) {
                self.slots[slot].visit(&mut self.world);
                if self.slots[slot].is_busy() {
                    index += 1;
                } else {
                    self.slots[slot].live = false;
                    self.phases[phase].swap_remove(index);
                    self.set_live(self.live - 1);
                }
            }
        }
        self.world.outbound.flush();
        self.ticks = self.ticks.wrapping_add(1);
        if self.ticks.is_multiple_of(CPU_TIME_EVERY) {
            self.world.shared.cpu_nanos.store(clock::thread_cpu_nanos(), Ordering::Relaxed);
        }
    }

    fn take_messages(&mut self) {
        self.mailbox.take(&mut self.taken);
        while let Some(message) = self.taken.pop_front() {
            let port = message.port();
            self.handle(message);
            self.mailbox.done(port);
        }
    }

    fn handle(&mut self, message: Message) {
        // Ports below `ports` are all that a mailbox takes, and the sender chose the worker.
        let index = usize::from((message.port().0 - self.number) / self.count);
        let slot = &mut self.slots[index];
        let now = clock::now();
        match message {
            Message::Command(_, command) => {
                slot.handle(now, Input::Command(command), &mut self.world);
            }
            Message::RecordingFailed(_, call, id) => {
                slot.handle(now, Input::RecordingFailed { call, id }, &mut self.world);
            }
        }
        if slot.is_busy() && !slot.live {
            slot.live = true;
            let phase = index % self.phases.len();
            self.phases[phase].push(index);
            self.set_live(self.live + 1);
        }
    }

    fn set_live(&mut self, live: usize) {
        self.live = live;
        self.world.shared.live.store(live as u64, Ordering::Relaxed);
    }
}
