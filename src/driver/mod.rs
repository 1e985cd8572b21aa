//! The real world: clocks, sockets, threads, files.

mod address;
pub mod admin_socket;
pub mod agent;
mod alerts;
mod api;
mod ari_socket;
mod autostart;
pub mod clock;
mod cluster;
pub mod commands;
mod disk;
pub mod enrol;
mod event_loop;
pub mod faces;
pub mod forced;
pub mod http;
pub mod ledger;
mod links;
pub mod log;
mod mailbox;
pub mod notify;
pub mod observe;
pub mod peer_net;
pub mod pins;
mod progress;
pub mod prompts;
mod recorder;
pub mod records;
pub mod relay;
mod room;
pub mod rtp_net;
pub mod run;
mod sip_net;
pub mod sqlite;
mod supervised;
mod supervisor;
pub mod watch;
mod zone;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};

use crate::ha::{member, role};
use crate::ids::{CallId, InstanceId};
use crate::node::replicas::CallChange;
use crate::node::{AgentChange, Denied, Incident, Mark, Order, Snapshot};
use crate::store::Who;
use crate::timers::Instant;
use crate::{ivr, media};

pub use links::{Links, Standing};
pub use progress::Progress;
pub use room::Permit;

/// What the faces tell the event loop. HTTP tasks, the admin socket and the metrics listener hold
/// senders of one bounded channel; answers to ARI requests go back through [`Links`], snapshots
/// through the channel in the message.
#[derive(Debug)]
pub enum ToNode {
    /// A request, an upgrade or the end of a WebSocket.
    Ivr(Box<ivr::Input>),
    /// A text message on a WebSocket, for `ivr::Input::Text`.
    Text {
        /// Which.
        instance: InstanceId,
        /// The message, hostile.
        text: String,
        /// Dropped when the message is handled: its socket may then read another one.
        permit: Permit,
    },
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
    /// The StasisStarts of some offers were taken by the socket.
    Written {
        /// The offers.
        marks: Vec<Mark>,
        /// When the write returned.
        at: Instant,
    },
    /// A stored recording was read, or could not be.
    Loaded {
        /// For which call.
        call: CallId,
        /// Its name.
        name: String,
        /// The sound.
        prompt: Option<Arc<media::Prompt>>,
    },
    /// Somebody wants to see the node.
    Snapshot(oneshot::Sender<Box<Snapshot>>),
    /// An operator's order, checked against a snapshot.
    Order(Order),
    /// Somebody was turned away over HTTP.
    Denied(Denied),
    /// Somebody wants to hear of every incident from here on. Who does not take them in time is
    /// dropped.
    Listen(mpsc::Sender<Incident>),
    /// An operator wants another role; answered when it is so, or will not be.
    Role {
        /// What.
        order: role::Order,
        /// Who.
        who: Who,
        /// Told what became of it.
        done: oneshot::Sender<role::Answer>,
    },
    /// Something of the cluster that was done off the control thread.
    Cluster(Box<member::Input<Vec<CallChange>>>),
    /// A program of `[[autostart_on_promotion]]` could not be started, or has ended.
    ProgramFailed {
        /// Its place in the list.
        index: usize,
        /// In words.
        why: String,
    },
    /// How much is free where facts are stored.
    Disk {
        /// Bytes.
        free: u64,
    },
    /// A PIN was compared.
    PinChecked {
        /// Of which call.
        call: CallId,
        /// Which.
        check: u32,
        /// It is the agent's; `None`: it could not be compared.
        matched: Option<bool>,
    },
    /// An operator's change of an agent.
    Agent {
        /// What.
        change: AgentChange,
        /// Who wanted it.
        who: Who,
        /// Told when it is acknowledged, or why it is not.
        done: oneshot::Sender<Result<(), String>>,
    },
}

impl ToNode {
    fn ivr(input: ivr::Input) -> Self {
        Self::Ivr(Box::new(input))
    }
}

/// Messages that wait for the event loop at most. The senders are HTTP connections, each with a
/// bound of its own on what it has in flight; a full channel makes them read no more.
pub const TO_NODE_MAX: usize = 4_096;

/// The channel of [`ToNode`].
pub fn to_node_channel() -> (mpsc::Sender<ToNode>, mpsc::Receiver<ToNode>) {
    mpsc::channel(TO_NODE_MAX)
}

/// For connections whose every message is waited for. Sent bytes that nobody acknowledges for so
/// long end it: its host is gone.
fn tune(stream: &TcpStream, user_timeout: Duration) -> io::Result<()> {
    stream.set_nodelay(true)?;
    SockRef::from(stream).set_tcp_user_timeout(Some(user_timeout))
}
