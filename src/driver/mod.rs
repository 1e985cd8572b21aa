//! The real world: clocks, sockets, threads, files.

use tokio::sync::{mpsc, oneshot};

use crate::ids::{CallId, Generation, InstanceId};
use crate::ivr;
use crate::node::{Order, Snapshot};
use crate::timers::Instant;

/// What the faces tell the event loop. HTTP tasks, the admin socket and the metrics listener hold
/// senders of one bounded channel; answers to ARI requests go back through `http::Links`,
/// snapshots through the channel in the message.
#[derive(Debug)]
pub enum ToNode {
    /// A request, an upgrade, a text message or the end of a WebSocket.
    Ivr(ivr::Input),
    /// An instance answered a ping.
    Pong {
        /// Which.
        instance: InstanceId,
    },
    /// The oldest event that an instance's socket has not taken; `None`: all are out.
    Unsent {
        /// Which.
        instance: InstanceId,
        /// Since when it waits.
        since: Option<Instant>,
    },
    /// The StasisStart of an offer was taken by the socket.
    Written {
        /// The call.
        call: CallId,
        /// The offer.
        generation: Generation,
        /// When the write returned.
        at: Instant,
    },
    /// Somebody wants to see the node.
    Snapshot(oneshot::Sender<Box<Snapshot>>),
    /// An operator's order, checked against a snapshot.
    Order(Order),
}

/// Messages that wait for the event loop at most. The senders are HTTP connections, each with a
/// bound of its own on what it has in flight; a full channel makes them read no more.
pub const TO_NODE_MAX: usize = 4_096;

/// The channel of [`ToNode`].
pub fn to_node_channel() -> (mpsc::Sender<ToNode>, mpsc::Receiver<ToNode>) {
    mpsc::channel(TO_NODE_MAX)
}
