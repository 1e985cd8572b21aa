//! The other nodes and the disk, for the event loop: what the node wants of them goes out at once,
//! and what they tell comes back as inputs.
//!
//! Heartbeats are sent by the event loop itself, so that a node whose loop hangs falls silent.

use std::io;

use tokio::sync::{mpsc, oneshot};
use tracing::{error, warn};

use super::ToNode;
use super::alerts::Alerts;
use super::peer_net::{PeerNet, Report};
use super::sqlite::{Event, Reader, Store};
use crate::config::Config;
use crate::ha::member;
use crate::ha::peer::Beat;
use crate::ids::{Epoch, NodeId};
use crate::node::{Incident, Input, replicas::CallChange};
use crate::store::{Lane, Loaded, Record, Ticket};

/// What the store tells at most before the event loop takes it; its thread waits then.
const STORE_EVENTS_MAX: usize = 1_024;

/// What is said to the other nodes.
type Message = member::Message<Vec<CallChange>>;

/// This node's disk and links.
#[derive(Debug)]
pub struct ClusterNet {
    store: Store,
    peers: PeerNet<Message>,
    beat: Option<Beat>,
    alerts: Alerts,
}

/// What they tell.
#[derive(Debug)]
pub struct Heard {
    store: mpsc::Receiver<Event>,
    peers: mpsc::Receiver<Report<Message>>,
}

/// A cluster of several, running.
#[derive(Debug)]
pub struct Joined {
    /// For the event loop.
    pub net: ClusterNet,
    /// For the event loop, too.
    pub heard: Heard,
    /// What was found on the disk.
    pub loaded: Loaded,
}

impl Joined {
    /// When they are there: once, and never where nobody opens them.
    pub async fn next(opening: &mut Option<oneshot::Receiver<Self>>) -> Self {
        let joined = match opening {
            Some(joined) => joined.await.ok(),
            None => None,
        };
        *opening = None;
        match joined {
            Some(joined) => joined,
            // Whoever opened them has failed, and the process ends of it.
            None => std::future::pending().await,
        }
    }
}

impl ClusterNet {
    /// Opens the store and the links of a node that is not alone, within a runtime. Every page of
    /// a store may be looked at, on a disk that may be slow: this takes as long as it takes, and
    /// belongs to a thread that nobody waits for. `run` is drawn at each start.
    ///
    /// # Errors
    /// Each names the key or the file, and who must act.
    pub fn join(config: &Config, run: u64) -> io::Result<Joined> {
        let cluster = &config.cluster;
        let (events, store_events) = mpsc::channel(STORE_EVENTS_MAX);
        let (store, loaded) =
            Store::open(&cluster.store, cluster.me, events).map_err(io::Error::other)?;
        let (peers, reports) = PeerNet::start(config, run)?;
        let alerts = Alerts::start(&config.alerts)?;
        let net = Self { store, peers, beat: None, alerts };
        Ok(Joined { net, heard: Heard { store: store_events, peers: reports }, loaded })
    }

    /// Orders a write. `false`: the disk takes none.
    pub fn persist(&self, ticket: Ticket, record: Record) -> bool {
        self.store.write(ticket, record).is_ok()
    }

    /// Tells people of an incident.
    pub fn tell(&self, incident: &Incident) {
        self.alerts.tell(incident);
    }

    /// Sends a message to another node.
    pub fn send(&self, to: NodeId, message: Message) {
        self.peers.send(to, message);
    }

    /// The highest epoch that is known.
    pub fn epoch(&self, epoch: Epoch) {
        self.peers.epoch(epoch);
    }

    /// What heartbeats say from here on.
    pub fn beat(&mut self, beat: Beat) {
        self.beat = Some(beat);
        self.beat_again();
    }

    /// Says the same again: once in `timers.renew`.
    pub fn beat_again(&self) {
        if let Some(beat) = self.beat {
            self.peers.beat(beat);
        }
    }

    /// Reads facts off the control thread; they come back over `to_node`.
    pub fn read(&self, lane: Lane, after: u64, max: usize, to_node: mpsc::Sender<ToNode>) {
        let path = self.store.path().to_owned();
        let max = u32::try_from(max).unwrap_or(u32::MAX);
        tokio::spawn(async move {
            let read = move || Reader::open(&path)?.facts(lane, after, max);
            let facts = match tokio::task::spawn_blocking(read).await {
                Ok(Ok(facts)) => facts,
                Ok(Err(error)) => {
                    warn!(%error, "facts cannot be read");
                    Vec::new()
                }
                Err(_) => Vec::new(),
            };
            let input = member::Input::Read { lane, after, facts };
            // Fails only when the event loop has stopped.
            drop(to_node.send(ToNode::Cluster(Box::new(input))).await);
        });
    }

    /// A release that was stored is confirmed to the supervisor that told it.
    fn heard(&self, report: Report<Message>) -> Option<Input> {
        match report {
            Report::Link { peer, event } => {
                Some(Input::Cluster(member::Input::Link { peer, event }))
            }
            Report::Release { node, epoch, cause } => {
                self.peers.released(node, epoch);
                Some(Input::Cluster(member::Input::Exited { node, epoch, cause }))
            }
            Report::Trouble { text: Some(text), .. } => Some(Input::Trouble { text }),
            Report::Trouble { text: None, .. } => None,
        }
    }
}

impl Heard {
    /// The next thing that the disk or another node tells.
    pub async fn next(heard: &mut Option<Self>) -> Told {
        let Some(heard) = heard else { return std::future::pending().await };
        tokio::select! {
            Some(event) = heard.store.recv() => Told::Store(event),
            Some(report) = heard.peers.recv() => Told::Peer(report),
            else => std::future::pending().await,
        }
    }
}

/// What was told.
#[derive(Debug)]
pub enum Told {
    /// By the disk.
    Store(Event),
    /// By a link.
    Peer(Report<Message>),
}

impl Told {
    /// As the node understands it.
    pub fn into_input(self, net: &ClusterNet) -> Option<Input> {
        match self {
            Self::Store(Event::Persisted(ticket)) => {
                Some(Input::Cluster(member::Input::Persisted(ticket)))
            }
            Self::Store(Event::Failed(fault)) => {
                error!(%fault, "the store takes no more: another node must go on");
                Some(Input::Cluster(member::Input::StoreFailed))
            }
            Self::Peer(report) => net.heard(report),
        }
    }
}
