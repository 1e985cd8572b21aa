//! Bindings of the pool's ports as two nodes hold them one after the other.
//!
//! The primary tells the backup each binding that it is granted; promoted, the backup goes on with
//! it: at once, above its CSeq, and without believing a refusal while it may last. Two leases later
//! it renews every binding, for a REGISTER of the node before may have been under way; and once
//! more when nothing that was sent before can be (RFC 3261 section 17.1.1.1: T4).

use crate::config::PortKind;
use crate::ids::PortId;
use crate::mutants::{Mutant, mutant};
use crate::node::Node;
use crate::node::replicas::CallChange;
use crate::sip;
use crate::timers::{Duration, Instant};

/// A datagram is under way for so long at most (RFC 3261 section 17.1.1.1: T4).
const UNDER_WAY_MAX: Duration = Duration::from_secs(5);

impl Node {
    /// Registers the ports of the pool in the place of the other node.
    pub(super) fn take_ports_over(&mut self, now: Instant) {
        for port in self.ports_of(PortKind::Pool) {
            if mutant(Mutant::LeaveOnePort) && port == PortId(1) {
                continue;
            }
            let before = self.replicas.binding(port);
            self.sip_command(now, sip::Command::TakeOver { port, before });
        }
        self.verify_at = Some(now + 2 * self.config.cluster.timers.lease);
    }

    /// What the node before sent late has arrived by now, most of it or all.
    pub(in crate::node) fn verify_due(&mut self, now: Instant) {
        if self.verify_at.take_if(|at| *at <= now).is_none()
            || !self.copies_calls()
            || mutant(Mutant::VerifyNever)
        {
            return;
        }
        self.sip_command(now, sip::Command::Verify);
        let last = self.acts_since.map(|since| since + UNDER_WAY_MAX);
        self.verify_at = last.filter(|at| *at > now);
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
