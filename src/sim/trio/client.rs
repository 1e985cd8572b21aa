//! An application process that is connected to both nodes at once.

use std::collections::VecDeque;

use crate::ids::InstanceId;
use crate::sim::app::App;
use crate::sim::links::{Dice, Ordered};
use crate::timers::{Duration, Instant};

/// How it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// As it should be.
    Running,
    /// Its library answers pings, its handlers are stuck.
    Hung,
    /// Stopped.
    Frozen,
}

/// What comes over a connection.
#[derive(Clone, Debug)]
pub enum Frame {
    /// A ping.
    Ping,
    /// An event or an answer.
    Text(String),
    /// The other side has closed it.
    Closed,
}

/// A connection to a node.
#[derive(Debug)]
pub struct Connection {
    /// Its name at the node.
    pub id: InstanceId,
    /// Of which process of the node.
    pub run: u64,
    /// The node has accepted it.
    pub open: bool,
    /// What the application knows of this node's calls.
    pub app: App,
    down: Ordered,
    up: Ordered,
}

impl Connection {
    /// One that was asked for.
    pub fn new(id: InstanceId, run: u64) -> Self {
        let (delay, jitter) = (Duration::from_micros(50), Duration::from_micros(250));
        Self {
            id,
            run,
            open: false,
            app: App::new(true),
            down: Ordered::new(delay, jitter),
            up: Ordered::new(delay, jitter),
        }
    }

    /// When what the node sends arrives.
    pub fn down(&mut self, now: Instant, dice: &mut Dice) -> Instant {
        self.down.arrival(now, dice)
    }

    /// When what the application sends arrives.
    pub fn up(&mut self, now: Instant, dice: &mut Dice) -> Instant {
        self.up.arrival(now, dice)
    }
}

/// A process.
#[derive(Debug)]
pub struct Client {
    /// How it is.
    pub life: Life,
    /// To each node with ports.
    pub connections: [Option<Connection>; 2],
    /// What it has not looked at yet.
    pub inbox: VecDeque<(usize, InstanceId, Frame)>,
}

impl Client {
    /// A process that has just started.
    pub const fn new() -> Self {
        Self { life: Life::Running, connections: [None, None], inbox: VecDeque::new() }
    }

    /// The connection of this name to a node.
    pub fn connection(&mut self, host: usize, id: InstanceId) -> Option<&mut Connection> {
        self.connections.get_mut(host)?.as_mut().filter(|connection| connection.id == id)
    }
}
