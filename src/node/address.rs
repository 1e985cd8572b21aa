//! The service address, which moves with the role (`takeover = "shared_address"`).
//!
//! A promoted node does nothing for ports and calls before its supervisor has put the address on
//! the network card: what it sent would not leave, or would come from elsewhere. Nor does it ask
//! for the address while the node before it may have it. That one loses it in one of two ways. It
//! gives it up, which it has done when its role was released. Or its kernel takes it away at the
//! end of a lifetime in whole seconds, that the supervisor last set while the lease lasted: a
//! moment more than a second after the lease.

use crate::node::Node;
use crate::node::snapshot::AlarmKind;
use crate::timers::{Duration, Instant};

/// What a kernel may keep an address beyond the lease: lifetimes are rounded up to a second, and
/// looked at with a slack of a quarter.
const LINGER: Duration = Duration::from_millis(1_250);

/// Where the address is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Address {
    /// At another node, or there is none.
    Elsewhere,
    /// Ours as soon as the node before cannot have it any more.
    Awaited { from: Instant },
    /// Asked for.
    Wanted,
    /// Here.
    Held,
}

impl Node {
    /// This node is promoted: it acts when it has the address.
    pub(super) fn await_address(&mut self, now: Instant) {
        let vacated = self.member.as_ref().is_some_and(|member| member.ha().was_vacated());
        let from = if vacated { now } else { now + LINGER };
        self.address = Address::Awaited { from };
        self.address_due(now);
    }

    /// The node before cannot have the address any more.
    pub(super) fn address_due(&mut self, now: Instant) {
        if matches!(self.address, Address::Awaited { from } if from <= now) {
            self.address = Address::Wanted;
        }
    }

    pub(super) fn address_timeout(&self) -> Option<Instant> {
        match self.address {
            Address::Awaited { from } => Some(from),
            Address::Elsewhere | Address::Wanted | Address::Held => None,
        }
    }

    /// The supervisor has put the address on the network card, or why it cannot.
    pub(super) fn address_answer(&mut self, now: Instant, result: Result<(), String>) {
        let is = |kind: &AlarmKind| matches!(kind, AlarmKind::NoAddress { .. });
        if matches!(self.address, Address::Elsewhere | Address::Awaited { .. }) {
            return;
        }
        match result {
            Ok(()) => {
                self.alarms.clear(is);
                if std::mem::replace(&mut self.address, Address::Held) == Address::Wanted {
                    self.acts(now);
                }
            }
            Err(why) => {
                self.alarms.clear(is);
                self.alarms.raise(AlarmKind::NoAddress { why }, now);
            }
        }
    }

    /// The address is another node's, or nobody's.
    pub(super) fn leave_address(&mut self) {
        self.address = Address::Elsewhere;
        self.alarms.clear(|kind| matches!(kind, AlarmKind::NoAddress { .. }));
    }

    /// Until when this node has the address, if nothing more is heard; `None`: it has it not.
    pub fn address_until(&self, now: Instant) -> Option<Instant> {
        let wants = matches!(self.address, Address::Wanted | Address::Held);
        let until = self.member.as_ref().filter(|_| wants)?.ha().deadline()?;
        // A pair has no lease that ends: what it does not renew goes as soon as one would.
        let until = until.min(now + self.config.cluster.timers.lease);
        Some(until).filter(|until| now < *until)
    }
}
