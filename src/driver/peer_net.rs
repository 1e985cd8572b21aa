//! The links to the other nodes of the cluster: TLS 1.3, both sides with a certificate of the
//! cluster's own CA whose name must be the configured one.
//!
//! Of two nodes the one with the lower number dials, so that there is one connection between them
//! and no question which. A thread of its own carries all links; each peer has a task that holds
//! its [`Link`] machine, a listener takes connections in, and a dialler makes them. The node sees
//! typed messages and events. A frame never waits for the node: a peer that cannot be written to,
//! or whose queue the node filled, loses its connection and hears everything anew when it is back.
//!
//! A supervisor speaks for its node with the same certificate and may say one thing: that its
//! node's process is gone.

mod credentials;
mod dialler;
mod listener;
mod peer;
mod supervisor;
mod trouble;
mod visitor;
mod wire;

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::runtime::Builder;
use tokio::sync::{broadcast, mpsc, oneshot};

use super::pins::Pepper;
use crate::config::{Cluster, Config};
use crate::ha::peer::{Beat, Event, Identity, Speaker};
use crate::ids::{Epoch, NodeId};

pub use credentials::{
    Credentials, Files, Stamp, Validity, certificate, names_of, provider, read_secret, stamp_of,
    validity_of,
};
pub use supervisor::SupervisorLinks;

/// Orders that wait for one peer's task. It waits only while the node does not take its reports;
/// so many pile up when the node talks to a peer for seconds without listening to anybody.
const ORDERS_MAX: usize = 1_024;

/// Reports that wait for the node. When it takes none, links read none, and their peers notice.
const REPORTS_MAX: usize = 1_024;

/// What the node hears.
#[derive(Debug)]
pub enum Report<M> {
    /// On the link to a peer.
    Link {
        /// Which.
        peer: NodeId,
        /// What.
        event: Event<M>,
    },
    /// A node's supervisor says that its process is gone. Store it, then call
    /// [`PeerNet::released`].
    Release {
        /// Whose.
        node: NodeId,
        /// The epoch that ended.
        epoch: Epoch,
        /// Of which cause; empty if that is not known, or if it came from outside.
        cause: String,
    },
    /// Something about the links needs a person, or no longer does.
    Trouble {
        /// With whom; this node itself for its own certificate; `None`: a stranger.
        with: Option<NodeId>,
        /// What and who must act; `None`: it is over.
        text: Option<String>,
    },
}

/// What one peer's task is told.
#[derive(Debug)]
enum Order<M> {
    Send(M),
    Beat(Beat),
    Epoch(Epoch),
}

/// A release that the node has stored.
#[derive(Clone, Copy, Debug)]
struct Stored {
    node: NodeId,
    epoch: Epoch,
}

/// One peer, as the node reaches it.
#[derive(Debug)]
struct Lane<M> {
    peer: NodeId,
    orders: mpsc::Sender<Order<M>>,
    /// An order found no room: the link must begin anew.
    overflowed: Arc<AtomicBool>,
}

/// What every task knows.
#[derive(Debug)]
struct Context<M> {
    cluster: Cluster,
    identity: Identity,
    reports: mpsc::Sender<Report<M>>,
    stored: broadcast::Sender<Stored>,
}

/// The links of this node. They end when it is dropped.
#[derive(Debug)]
pub struct PeerNet<M> {
    lanes: Vec<Lane<M>>,
    stored: broadcast::Sender<Stored>,
    address: SocketAddr,
    _stop: oneshot::Sender<()>,
}

impl<M: Serialize + DeserializeOwned + Send + 'static> PeerNet<M> {
    /// Listens, and dials whom it must. `run` is drawn anew at each start of the process.
    ///
    /// # Errors
    /// The credentials or the address cannot be used: names the key or file, and who must act.
    #[expect(clippy::disallowed_methods, reason = "threads live here")]
    pub fn start(config: &Config, run: u64) -> io::Result<(Self, mpsc::Receiver<Report<M>>)> {
        let cluster = config.cluster.clone();
        let credentials = Credentials::load(&cluster.credentials, &cluster.name_of(cluster.me))?;
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let entered = runtime.enter();
        let bound = listener::bind(&cluster).and_then(|l| Ok((l.local_addr()?, l)));
        let (address, listener) = match bound {
            Ok(bound) => bound,
            Err(error) => {
                drop(entered);
                // The caller may be a task, in which a runtime must not be waited for.
                runtime.shutdown_background();
                return Err(error);
            }
        };
        let (reports, from_peers) = mpsc::channel(REPORTS_MAX);
        let (stored, _) = broadcast::channel(16);
        let mut identity = Identity::of(config, Speaker::Node, run);
        let pepper = Pepper::read(cluster.store.parent().unwrap_or(Path::new(".")))?;
        identity.pepper = pepper.map(|pepper| pepper.commitment(&cluster.id));
        let context = Arc::new(Context { cluster, identity, reports, stored: stored.clone() });
        let (stop, stopped) = oneshot::channel::<()>();
        let mut lanes = Vec::new();
        let mut doors = Vec::new();
        for member in context.cluster.peers() {
            let (lane, door) = peer::spawn(&context, member.clone());
            lanes.push(lane);
            doors.push(door);
        }
        tokio::spawn(listener::serve(listener, Arc::clone(&context), doors, credentials));
        drop(entered);
        std::thread::Builder::new().name("peers".to_owned()).spawn(move || {
            // Ends when the sender is dropped, and with the runtime all of its tasks.
            let _ = runtime.block_on(stopped);
        })?;
        Ok((Self { lanes, stored, address, _stop: stop }, from_peers))
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sends a message to a peer. One that is not up does not get it: it was reported down.
    pub fn send(&self, to: NodeId, message: M) {
        if let Some(lane) = self.lanes.iter().find(|lane| lane.peer == to) {
            lane.order(Order::Send(message));
        }
    }

    /// What this node says of itself from here on. Say it once in `timers.renew`: after a lease
    /// without it the node falls silent.
    pub fn beat(&self, beat: Beat) {
        for lane in &self.lanes {
            lane.order(Order::Beat(beat));
        }
    }

    /// The highest epoch that this node knows.
    pub fn epoch(&self, epoch: Epoch) {
        for lane in &self.lanes {
            lane.order(Order::Epoch(epoch));
        }
    }

    /// A release is durable here: its supervisor is told so.
    pub fn released(&self, node: NodeId, epoch: Epoch) {
        // Without a receiver the supervisor is gone; it has the answer of another node, or none.
        let _ = self.stored.send(Stored { node, epoch });
    }
}

impl<M> Lane<M> {
    fn order(&self, order: Order<M>) {
        if let Err(mpsc::error::TrySendError::Full(_)) = self.orders.try_send(order) {
            self.overflowed.store(true, Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests;
