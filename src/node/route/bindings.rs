//! Bindings of the pool's ports as two nodes hold them one after the other.
//!
//! The primary tells the backup each binding that it is granted; promoted, the backup goes on with
//! it: at once, above its CSeq, and without believing a refusal while it may last. Two leases later
//! it renews every binding, for a REGISTER of the node before may have been under way.

use crate::config::PortKind;
use crate::ids::PortId;
use crate::node::Node;
use crate::node::replicas::CallChange;
use crate::sip;
use crate::timers::Instant;

impl Node {
    /// Registers the ports of the pool in the place of the other node.
    pub(super) fn take_ports_over(&mut self, now: Instant) {
        for port in self.ports_of(PortKind::Pool) {
            let before = self.replicas.binding(port);
            self.sip_command(now, sip::Command::TakeOver { port, before });
        }
        self.verify_at = Some(now + 2 * self.config.cluster.timers.lease);
    }

    /// What the node before sent late has arrived by now.
    pub(in crate::node) fn verify_due(&mut self, now: Instant) {
        if self.verify_at.take_if(|at| *at <= now).is_some() && self.copies_calls() {
            self.sip_command(now, sip::Command::Verify);
        }
    }

    /// A port was granted a binding.
    pub(super) fn granted(&mut self, now: Instant, port: PortId) {
        let of_pool = self.config.ports[usize::from(port.0)].kind == PortKind::Pool;
        if of_pool && self.copies_calls() {
            self.replicas.granted(now, port);
        }
    }

    pub(super) fn tell_bindings(&mut self, now: Instant) {
        let due = self.replicas.granted_due(now);
        let bound = |port| self.sip.binding(port).map(|b| CallChange::Bound(Box::new(b)));
        let changes = due.into_iter().filter_map(bound).collect();
        self.tell_calls(now, changes);
    }

    /// All of them, for a node that has just come.
    pub(super) fn tell_all_bindings(&mut self, now: Instant) {
        for port in self.ports_of(PortKind::Pool) {
            self.replicas.granted(now, port);
        }
    }
}
