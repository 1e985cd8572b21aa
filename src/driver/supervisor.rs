//! `portkeeper run` of a node in a cluster: a small process that starts the node and outlives it.
//!
//! A node that hangs or is cut off is told from a healthy one only by its lease. A *process* that
//! is gone is different: the kernel says so, and then nothing of it can act any more. The
//! supervisor waits for that word (a pidfd), and tells the other nodes over connections of its own,
//! which are up before they are needed, that the epoch of the process has ended. The backup need
//! not wait for the lease. End of a connection is no such word, and neither is silence: a frozen
//! node is left to the lease, and to systemd's watchdog.
//!
//! Which epoch that is the node says before it acts under it (`supervised.rs`). A word that is lost
//! costs time only: the epoch that is released then is an older one, which nobody holds.
//!
//! Where the nodes share an address, the supervisor has it for the node (`address.rs`).
//!
//! The node is started again, passive as at any start, and told of what its processes ended lately,
//! so that two ends of one cause stop automatic promotion here as they do at the others. The node
//! dies with its supervisor, since nobody else would tell of its end.

mod ends;
mod process;
pub mod word;

use std::io;
use std::path::Path;
use std::process::ExitStatus;
use std::time::Duration;

use rand_core::{OsRng, TryRngCore};
use rustix::process::Signal;
use tokio::runtime::Builder;
use tokio::signal::unix::{self, SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval, sleep};
use tracing::{error, info, warn};

use super::address::Keeper;
use super::clock;
use super::commands::Failure;
use super::notify;
use super::peer_net::SupervisorLinks;
use crate::config::Config;
use crate::ids::Epoch;
use ends::{Ends, cause};
use process::{NodeProcess, Told};
use word::{Reply, Word};

/// The other nodes answer a release within this time, or hear it again when they are reached.
const RELEASE_WAIT: Duration = Duration::from_secs(1);
/// While no node runs, or it has only begun, systemd's watchdog is fed by the supervisor.
const FEED_EVERY: Duration = Duration::from_secs(1);
/// Every socket is bound within this time; from there on the node itself says that it is alive,
/// also while its store is opened.
const START_WITHIN: Duration = Duration::from_secs(120);
/// How long systemd waits for more of a start after each sign of life.
const START_STEP: Duration = Duration::from_secs(30);

/// Runs the node of a configuration until it ends in order, or cannot start.
///
/// # Errors
/// As the node ended, or why it could not be started.
pub fn run(path: &Path, config: &Config) -> Result<String, Failure> {
    let failed = |error: io::Error| Failure::Node(error.to_string());
    let runtime = Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let run = OsRng.try_next_u64().map_err(|error| failed(io::Error::other(error)))?;
    let status = runtime.block_on(async {
        let address = config.service_address().map(Keeper::open).transpose()?;
        let links = SupervisorLinks::start(config, run)?;
        let program = std::env::current_exe()?;
        let signals = Signals::new()?;
        let supervisor =
            Supervisor { links, signals, address, ends: Ends::default(), was_ready: false };
        supervisor.run(&program, path).await
    });
    match status.map_err(failed)? {
        Some(status) if !status.success() => Err(Failure::Ended(status)),
        Some(_) | None => Ok(String::new()),
    }
}

/// The signals that end a node.
#[derive(Debug)]
struct Signals {
    terminate: unix::Signal,
    interrupt: unix::Signal,
    hang_up: unix::Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.terminate.recv() => Signal::TERM,
            _ = self.interrupt.recv() => Signal::INT,
            _ = self.hang_up.recv() => Signal::HUP,
        }
    }
}

/// What is known of the process that runs.
#[derive(Debug, Default)]
struct Known {
    /// It may act under this epoch.
    epoch: Option<Epoch>,
    panicked: Option<String>,
    ready: bool,
    /// It ends because it was told to.
    stopping: bool,
}

#[derive(Debug)]
struct Supervisor {
    links: SupervisorLinks,
    signals: Signals,
    /// What it keeps for the node, where the nodes share an address.
    address: Option<Keeper>,
    ends: Ends,
    /// A node of this supervisor has served.
    was_ready: bool,
}

impl Supervisor {
    /// Until the node has ended for good: how; `None`: told to stop while no node ran.
    async fn run(mut self, program: &Path, config: &Path) -> io::Result<Option<ExitStatus>> {
        loop {
            let causes = self.ends.causes(clock::now());
            let mut node = NodeProcess::start(program, config, &causes)?;
            info!(node = node.id(), "the node is started");
            let started_at = clock::now();
            let mut known = Known::default();
            let status = self.watch(&mut node, &mut known).await;
            // Before anybody hears that it is free.
            self.let_address_go();
            let status = status?;
            let cause = cause(status, known.panicked.as_deref());
            if let Some(epoch) = known.epoch {
                self.release(epoch, cause.clone()).await;
            }
            if known.stopping || status.success() || !self.was_ready {
                return Ok(Some(status));
            }
            let now = clock::now();
            let lived = now.saturating_duration_since(started_at);
            let pause = self.ends.ended(now, lived, cause.clone());
            error!(%status, cause, ?pause, "the node ended: it is started again");
            let text = format!("the node ended ({status}) and is started again");
            notify::systemd(&Word::Status(text));
            if self.told_to_stop_within(pause).await {
                return Ok(None);
            }
        }
    }

    /// Until the kernel says that the process is gone.
    async fn watch(&mut self, node: &mut NodeProcess, known: &mut Known) -> io::Result<ExitStatus> {
        let mut feed = interval(FEED_EVERY);
        feed.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let late_at = clock::now() + START_WITHIN;
        loop {
            tokio::select! {
                biased;
                told = node.next() => match told? {
                    Told::Word(Word::Address(until)) => self.address(node, until),
                    Told::Word(word) => self.told(word, known),
                    Told::Exited(status) => return Ok(status),
                },
                signal = self.signals.next() => {
                    known.stopping = true;
                    node.signal(signal);
                }
                () = next(&mut self.address) => {}
                _ = feed.tick(), if !known.ready && clock::now() < late_at => {
                    self.alive();
                }
            }
        }
    }

    fn told(&mut self, word: Word, known: &mut Known) {
        match word {
            Word::Epoch(epoch) => known.epoch = epoch,
            Word::Panicked(text) => known.panicked = Some(text),
            Word::Ready => {
                known.ready = true;
                // systemd is told once: from its side this is the service that it started.
                if !std::mem::replace(&mut self.was_ready, true) {
                    notify::systemd(&Word::Ready);
                }
            }
            Word::Stopping => {
                known.stopping = true;
                notify::systemd(&Word::Stopping);
            }
            Word::Alive => self.alive(),
            Word::Status(_) => notify::systemd(&word),
            Word::Address(_) => {}
        }
    }

    fn address(&mut self, node: &NodeProcess, until: Option<crate::timers::Instant>) {
        let (Some(keeper), Some(until)) = (&mut self.address, until) else {
            return self.let_address_go();
        };
        node.answer(&match keeper.hold(clock::now(), until) {
            Ok(()) => Reply::Held,
            Err(error) => Reply::Failed(error.to_string()),
        });
    }

    fn let_address_go(&mut self) {
        if let Some(keeper) = &mut self.address {
            keeper.let_go();
        }
    }

    fn alive(&self) {
        notify::systemd(&Word::Alive);
        if !self.was_ready {
            notify::starting(START_STEP);
        }
    }

    async fn release(&mut self, epoch: Epoch, cause: String) {
        let stored = self.links.release(epoch, cause, RELEASE_WAIT).await;
        if stored.is_empty() {
            warn!(%epoch, "no other node has heard of the end: the lease will tell them");
        } else {
            info!(%epoch, nodes = stored.len(), "the epoch of the node is released");
        }
    }

    async fn told_to_stop_within(&mut self, pause: Duration) -> bool {
        let end = tokio::time::Instant::now() + pause;
        loop {
            notify::systemd(&Word::Alive);
            let left = end.saturating_duration_since(tokio::time::Instant::now());
            tokio::select! {
                biased;
                _ = self.signals.next() => return true,
                () = sleep(left.min(FEED_EVERY)) => {}
            }
            if left <= FEED_EVERY {
                return false;
            }
        }
    }
}

/// What is due with the address, if there is one.
async fn next(address: &mut Option<Keeper>) {
    match address {
        Some(keeper) => keeper.next().await,
        None => std::future::pending().await,
    }
}
