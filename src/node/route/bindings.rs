//! Bindings of the ports that move with the role, as two nodes hold them one after the other.
//!
//! The primary tells the backup each binding that it is granted; promoted, the backup goes on with
//! it: at once, above its CSeq, and without believing a refusal while it may last. Two leases later
//! it renews every binding, for a REGISTER of the node before may have been under way; and once
//! more when nothing that was sent before can be (RFC 3261 section 17.1.1.1: T4). Ports that have
//! no binding yet go first: they get no call for certain, a late REGISTER is a possibility.
//!
//! Where the PBX lets no second device have an extension, a primary that hands its role over in
//! order takes its bindings away first, at the pace of the PBX and as its last act: the other node
//! would be refused until they run out. One that is fenced, or whose lease is over, never does.

use crate::config::{PortKind, SecondBinding, Takeover};
use crate::ha::member;
use crate::ids::PortId;
use crate::mutants::{Mutant, mutant};
use crate::node::Node;
use crate::node::replicas::CallChange;
use crate::node::stop::Phase;
use crate::sip::{self, RegistrationState};
use crate::timers::{Duration, Instant};

/// A datagram is under way for so long at most (RFC 3261 section 17.1.1.1: T4).
const UNDER_WAY_MAX: Duration = Duration::from_secs(5);
/// Ports without a binding hold the renewals up for so long at most.
const RENEWALS_WAIT_MAX: Duration = Duration::from_secs(60);
/// A PBX that answers takes the last binding away within this time beyond its pace.
const UNBIND_SLACK: Duration = Duration::from_secs(3);

impl Node {
    /// Registers the ports that move in the place of the other node.
    pub(super) fn take_ports_over(&mut self, now: Instant) {
        for port in self.moving_ports() {
            if mutant(Mutant::LeaveOnePort) && port == PortId(1) {
                continue;
            }
            let before = self.replicas.binding(port);
            self.sip_command(now, sip::Command::TakeOver { port, before });
        }
        self.verify_at = Some(now + 2 * self.config.cluster.timers.lease);
    }

    /// The role is about to be handed over: the bindings go first, where the PBX wants that. One
    /// that does not answer keeps nobody waiting.
    pub(in crate::node) fn unbind(&mut self, now: Instant) {
        let refused = self.config.pbx.second_binding == SecondBinding::Refused;
        let moves = refused && self.config.cluster.takeover == Takeover::Reinvite;
        if !moves || self.reaches_pbx() != Some(true) {
            return self.member_input(now, member::Input::Unbound);
        }
        let ports = self.moving_ports();
        let count = u32::try_from(ports.len()).unwrap_or(u32::MAX);
        let rate = self.config.pbx.register_rate;
        let pace = rate.map_or(Duration::ZERO, |rate| Duration::from_secs(1) * count / rate.max(1));
        let within = pace + UNBIND_SLACK;
        if let Phase::HandingOver { give_up_at } = &mut self.phase {
            *give_up_at += within;
        }
        self.unbinding = Some(now + within);
        for port in ports {
            self.sip_command(now, sip::Command::Unregister { port });
        }
        self.check_unbound(now);
    }

    /// Whether the last binding is gone, or has had its time.
    pub(in crate::node) fn check_unbound(&mut self, now: Instant) {
        let Some(give_up_at) = self.unbinding else { return };
        let off = |port: &PortId| self.registrations[usize::from(port.0)] == RegistrationState::Off;
        if now >= give_up_at || self.moving_ports().iter().all(off) {
            self.unbinding = None;
            self.member_input(now, member::Input::Unbound);
        }
    }

    /// The role stays here after all.
    pub(in crate::node) fn bind_again(&mut self, now: Instant) {
        self.unbinding = None;
        self.register(now, PortKind::moves);
    }

    /// What the node before sent late has arrived by now, most of it or all.
    pub(in crate::node) fn verify_due(&mut self, now: Instant) {
        if self.verify_at.take_if(|at| *at <= now).is_none()
            || !self.copies_calls()
            || mutant(Mutant::VerifyNever)
        {
            return;
        }
        let waits = self.acts_since.is_some_and(|since| now < since + RENEWALS_WAIT_MAX);
        if waits && self.sip.holds_unbound_back() {
            self.verify_at = Some(now + self.config.cluster.timers.lease);
            return;
        }
        self.sip_command(now, sip::Command::Verify);
        let last = self.acts_since.map(|since| since + UNDER_WAY_MAX);
        self.verify_at = last.filter(|at| *at > now);
    }

    /// A port was granted a binding.
    pub(super) fn granted(&mut self, now: Instant, port: PortId) {
        let moves = self.config.ports[usize::from(port.0)].kind.moves();
        if moves && self.copies_calls() {
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
        for port in self.moving_ports() {
            self.replicas.granted(now, port);
        }
    }
}
