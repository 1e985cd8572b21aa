//! Which calls a node has at once, and on which of its ports.
//!
//! A *line* carries the media of one call. Each port has one, with its number; the control
//! extension has more, because several people call it, and one for the calls in which this node
//! asks another one to prove itself.

use std::ops::Range;

use super::{Config, Port, PortKind, Sentinel, Trunk};
use crate::ids::PortId;

/// Calls that the control extension takes at once: an agent must not find it busy because another
/// one speaks with it, or is called.
pub const CONTROL_CALLS: u16 = 2;

impl Config {
    /// The ports that serve callers: all but the control port, which nothing but the menu uses, the
    /// sentinel's and the trunk's.
    pub fn pool_ports(&self) -> &[Port] {
        let pool = self.ports.iter().take_while(|port| port.kind == PortKind::Pool).count();
        &self.ports[..pool]
    }

    /// Lines, on which the media of calls runs: one for each port, with its number, more of the
    /// control extension, which takes several calls, and the proof line.
    pub fn lines(&self) -> usize {
        self.more_of_control().end + usize::from(self.asks_nodes())
    }

    /// The lines of the control extension that people have.
    pub fn control_lines(&self) -> impl Iterator<Item = PortId> {
        let first = self.control.as_ref().map(|control| control.port);
        let more = self.more_of_control().filter_map(|line| u16::try_from(line).ok());
        first.into_iter().chain(more.map(PortId))
    }

    fn more_of_control(&self) -> Range<usize> {
        let more = if self.control.is_some() { CONTROL_CALLS - 1 } else { 0 };
        self.ports.len()..self.ports.len() + usize::from(more)
    }

    /// The line of the control extension on which a node asks another one to prove itself: no
    /// person finds the extension busy because of that.
    pub fn proof_line(&self) -> Option<PortId> {
        let line = u16::try_from(self.more_of_control().end).ok();
        line.filter(|_| self.asks_nodes()).map(PortId)
    }

    fn asks_nodes(&self) -> bool {
        self.sentinel().is_some() || self.self_calls().next().is_some()
    }

    /// The extension by which a primary is known at the PBX.
    pub fn sentinel(&self) -> Option<&Sentinel> {
        self.control.as_ref()?.sentinel.as_ref()
    }

    /// The way out of a node that does not reach the PBX.
    pub fn trunk(&self) -> Option<&Trunk> {
        self.control.as_ref()?.trunk.as_ref()
    }

    /// The same, where `port` is its port.
    pub fn trunk_at(&self, port: PortId) -> Option<&Trunk> {
        self.trunk().filter(|trunk| trunk.port == port)
    }

    /// The port that a line belongs to.
    pub fn port_of(&self, line: PortId) -> PortId {
        let control = self.control.as_ref().map(|control| control.port);
        let own = usize::from(line.0) < self.ports.len();
        if own { line } else { control.unwrap_or(line) }
    }

    /// Whether a port is the control port.
    pub fn is_control(&self, port: PortId) -> bool {
        self.control.as_ref().is_some_and(|control| control.port == port)
    }
}
