//! The media of one voice port of one node, and the links to its worker.

use std::sync::Arc;

use super::site::PORTS;
use crate::media::{self, MediaPort};
use crate::sim::links::Ordered;
use crate::timers::{Duration, Instant};

/// Frames leave at multiples of this.
const FRAME: Duration = Duration::from_millis(20);

/// One port's media.
#[derive(Debug)]
pub struct Line {
    /// The machine.
    pub machine: MediaPort,
    /// Commands on their way to it,
    pub commands: Ordered,
    /// and its events on their way to the node.
    pub events: Ordered,
    /// When it wants to be called, by the clock of its machine.
    pub due: Option<Instant>,
    /// The port that is bound.
    pub udp_port: Option<u16>,
}

impl Line {
    /// One for each port, their frames spread over 20 ms.
    pub fn all() -> Vec<Self> {
        let config = Arc::new(media::Config::default());
        let link = || Ordered::new(Duration::from_micros(20), Duration::from_millis(2));
        let line = |n: u32| Self {
            machine: MediaPort::new(config.clone(), FRAME * n / u32::from(PORTS)),
            commands: link(),
            events: link(),
            due: None,
            udp_port: None,
        };
        (0..u32::from(PORTS)).map(line).collect()
    }
}
