//! The media workers: plain threads that give each voice port its clock and its sockets.
//!
//! Port p belongs to worker p mod N for ever, so nothing about a port is shared. A worker runs on
//! an absolute schedule: the ports are spread over the phases of the 20 ms frame, and in each phase
//! the worker sends the frames that are due and empties the sockets of those ports, and once more
//! half a frame later. There is no epoll and no timer per port: at one packet a frame a socket is
//! as good as always ready, and sending dominates the cost.
//!
//! The loop takes no lock that it could wait for, writes no log and allocates nothing while calls
//! run. That matters most with real-time priority, where waiting for a thread of lower priority may
//! be for ever: commands come through a mailbox that the worker only tries to lock, recorded sound
//! leaves in the same manner, and an event that the node has no room for waits in its port.

#![expect(clippy::disallowed_methods, reason = "threads live here")]

mod scheduling;
mod slot;
mod sockets;
mod worker;

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::thread::JoinHandle;

use tokio::sync::mpsc;

use super::mailbox::{Mailbox, Message};
use super::recorder;
use crate::ids::{CallId, PortId};
use crate::media::{self, Command, Event, Statistics};
use crate::timers::Instant;

pub use self::scheduling::Scheduling;

/// Commands that wait for one port at most, which looks at them every 10 ms. The owners of a call
/// may send 20 requests at once, all of them together (20 a second), each a command, or three for
/// the one record that may run. What has piled up in the node goes in one command (plays behind a
/// file that was read) or one at a time (digits). That leaves ten for the node's own: to open,
/// negotiate, close, and its prompts. A full queue means that the worker hangs.
const COMMANDS_MAX: u8 = 32;

/// Ports that one worker serves by default: half of what a core can do.
const PORTS_PER_WORKER: u16 = 2_000;

/// What the workers need to know.
#[derive(Clone, Debug)]
pub struct Config {
    /// How many voice ports there are.
    pub ports: u16,
    /// Worker threads; `None`: one per 2,000 ports.
    pub workers: Option<u16>,
    /// Local address of the sockets.
    pub address: IpAddr,
    /// What the first ports speak from instead, if there is such an address.
    pub service: Option<Service>,
    /// Ask for a real-time class, then for a better nice value.
    pub raise_priority: bool,
    /// Directory of recordings.
    pub recordings: PathBuf,
    /// What all ports have in common.
    pub media: Arc<media::Config>,
}

/// An address that a node has only while it is primary; its sockets are bound before.
#[derive(Clone, Copy, Debug)]
pub struct Service {
    /// The address.
    pub address: IpAddr,
    /// Ports below this number have it.
    pub ports: u16,
}

/// Something that happened on a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Where.
    pub port: PortId,
    /// In which call: the port may have another one when the node hears of it.
    pub call: CallId,
    /// When the worker did it or saw it.
    pub at: Instant,
    /// What.
    pub event: Event,
}

/// Takes events to the node. Called from the workers, so it must not wait.
pub trait EventSink: Send + Sync {
    /// Takes a report, or gives it back when there is no room; the worker tries again 10 ms later
    /// and keeps the order.
    fn send(&self, report: Report) -> Result<(), Report>;
}

impl EventSink for mpsc::Sender<Report> {
    fn send(&self, report: Report) -> Result<(), Report> {
        match self.try_send(report) {
            // A node that is gone needs no events.
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => Ok(()),
            Err(mpsc::error::TrySendError::Full(report)) => Err(report),
        }
    }
}

/// 32 commands wait for the port: its worker hangs. The call is lost; say so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// What the workers count, all together since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// RTP packets handed to the kernel.
    pub sent: u64,
    /// Packets that the kernel refused: no route, or nobody listens.
    pub send_failed: u64,
    /// RTP packets that arrived, with those that were refused.
    pub received: u64,
    /// Those of a wrong source, SSRC or payload type, or malformed; up to 100 ms old.
    pub refused: u64,
    /// Frames that left more than 5 ms after their time.
    pub late: u64,
    /// Frames that left in a burst, to catch up.
    pub caught_up: u64,
    /// Frames left out because the worker was too late for them.
    pub left_out: u64,
    /// Frames of recordings lost to a full queue.
    pub recorder_full: u64,
    /// Ports with a call.
    pub live: u64,
    /// Processor time of the worker threads, in nanoseconds, at most a few ticks old.
    pub cpu_nanos: u64,
}

/// A worker's own counters: written by it alone, read by anybody.
#[derive(Debug, Default)]
struct Shared {
    sent: AtomicU64,
    send_failed: AtomicU64,
    received: AtomicU64,
    refused: AtomicU64,
    late: AtomicU64,
    caught_up: AtomicU64,
    left_out: AtomicU64,
    recorder_full: AtomicU64,
    live: AtomicU64,
    scheduling: AtomicU8,
    cpu_nanos: AtomicU64,
    /// Rounds of its loop, at least one a second.
    rounds: Arc<AtomicU64>,
}

impl Shared {
    /// Adds to a counter that only this thread writes: no need for an atomic addition.
    fn add(counter: &AtomicU64, count: u64) {
        counter.store(counter.load(Ordering::Relaxed) + count, Ordering::Relaxed);
    }
}

#[derive(Debug)]
struct Worker {
    mailbox: Arc<Mailbox>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// The running workers. Dropping it ends them and every call.
#[derive(Debug)]
pub struct RtpNet {
    workers: Vec<Worker>,
    statistics: Arc<[worker::StatisticsCell]>,
    recorder: Option<recorder::Recorder>,
    ports: u16,
}

impl RtpNet {
    /// Starts the workers. An error means that the system gives no more threads.
    pub fn start(config: &Config, events: Arc<dyn EventSink>) -> std::io::Result<Self> {
        let ports = usize::from(config.ports);
        let count = config.workers.unwrap_or(config.ports.div_ceil(PORTS_PER_WORKER)).max(1);
        let statistics: Arc<[_]> = (0..ports).map(|_| worker::StatisticsCell::default()).collect();
        let mailboxes: Vec<_> = (0..count).map(|_| Arc::new(Mailbox::new(ports))).collect();
        let (writer, outbounds) =
            recorder::Recorder::start(&config.recordings, &mailboxes, Arc::clone(&events))?;
        let recorder = writer.thread();
        let (workers, ports) = (Vec::new(), config.ports);
        let mut net = Self { workers, statistics, recorder: Some(writer), ports };
        for (number, (mailbox, outbound)) in (0..count).zip(mailboxes.into_iter().zip(outbounds)) {
            let setting = worker::Setting {
                number,
                count,
                config: config.clone(),
                events: Arc::clone(&events),
                statistics: Arc::clone(&net.statistics),
                outbound,
                recorder: recorder.clone(),
            };
            net.workers.push(Worker::start(setting, mailbox)?);
        }
        Ok(net)
    }

    /// Hands a command to a port's worker.
    pub fn send(&self, port: PortId, command: Command) -> Result<(), Full> {
        debug_assert!(port.0 < self.ports, "a port of the configuration");
        let worker = &self.workers[usize::from(port.0) % self.workers.len()];
        let posted = worker.mailbox.post(Message::Command(port, command), COMMANDS_MAX);
        if let Some(thread) = &worker.thread {
            thread.thread().unpark();
        }
        posted.map_err(|_| Full)
    }

    /// The newest counters of a port's call, at most 100 ms old; `None` without a call.
    pub fn statistics(&self, port: PortId) -> Option<Statistics> {
        self.statistics.get(usize::from(port.0))?.read()
    }

    /// What all workers counted.
    pub fn counters(&self) -> Counters {
        let sum = |field: fn(&Shared) -> &AtomicU64| {
            self.workers.iter().map(|w| field(&w.shared).load(Ordering::Relaxed)).sum()
        };
        Counters {
            sent: sum(|shared| &shared.sent),
            send_failed: sum(|shared| &shared.send_failed),
            received: sum(|shared| &shared.received),
            refused: sum(|shared| &shared.refused),
            late: sum(|shared| &shared.late),
            caught_up: sum(|shared| &shared.caught_up),
            left_out: sum(|shared| &shared.left_out),
            recorder_full: sum(|shared| &shared.recorder_full),
            live: sum(|shared| &shared.live),
            cpu_nanos: sum(|shared| &shared.cpu_nanos),
        }
    }

    /// The scheduling class that every worker got: the worst of them.
    pub fn scheduling(&self) -> Scheduling {
        let classes = self.workers.iter().map(|w| w.shared.scheduling.load(Ordering::Relaxed));
        Scheduling::from_code(classes.max().unwrap_or(0))
    }

    /// A counter for each worker that advances at least once a second, calls or not.
    pub fn rounds(&self) -> Vec<Arc<AtomicU64>> {
        self.workers.iter().map(|worker| Arc::clone(&worker.shared.rounds)).collect()
    }

    /// How many workers there are.
    pub fn workers(&self) -> usize {
        self.workers.len()
    }
}

impl Drop for RtpNet {
    fn drop(&mut self) {
        for worker in &mut self.workers {
            worker.mailbox.stop();
            if let Some(thread) = worker.thread.take() {
                thread.thread().unpark();
                // It does not panic: a panic ends the process.
                let _ = thread.join();
            }
        }
        // After the workers: it finishes what they gave it.
        self.recorder = None;
    }
}

impl Worker {
    fn start(setting: worker::Setting, mailbox: Arc<Mailbox>) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let (inbox, counters) = (Arc::clone(&mailbox), Arc::clone(&shared));
        let thread = std::thread::Builder::new()
            .name(format!("media-{}", setting.number))
            .spawn(move || worker::Worker::new(setting, inbox, counters).run())?;
        Ok(Self { mailbox, shared, thread: Some(thread) })
    }
}

#[cfg(test)]
mod tests;
