//! The ledger: how long calls could not be answered, from the last sign of a primary until a port
//! is bound again.
//!
//! The witness measures it, for it sees both nodes; without one, whoever was promoted does. The
//! time is taken from heartbeats, so it is right to within one of them.

use crate::ha::Role;
use crate::ha::peer::Beat;
use crate::ids::{Epoch, NodeId};
use crate::node::Node;
use crate::store::{Body, Outage};
use crate::timers::Instant;

/// An outage that has not ended.
#[derive(Clone, Copy, Debug)]
pub struct Open {
    /// Whose.
    node: NodeId,
    /// Under which epoch it acted.
    epoch: Epoch,
    /// Its last sign.
    began_at: Instant,
    planned: bool,
}

impl Node {
    /// A primary is gone.
    pub(super) fn outage_begins(&mut self, now: Instant, node: NodeId, planned: bool) {
        let Some(member) = &self.member else { return };
        let peer = member.peers().get(&node);
        let heard_at = peer.and_then(|peer| peer.heard_at).unwrap_or(now);
        let epoch = self.acted(node);
        // What was planned says so itself, long after its last beat as primary or before.
        let began_at = if planned { now } else { heard_at };
        self.outage.get_or_insert(Open { node, epoch, began_at, planned });
    }

    /// Under which epoch a node acted last, as it said; else the highest that is known.
    pub(in crate::node) fn acted(&self, node: NodeId) -> Epoch {
        let member = self.member();
        let beat = member.and_then(|member| member.peers().get(&node)?.beat);
        let known = || member.map(|member| member.ha().epoch()).unwrap_or_default();
        beat.and_then(|beat| epoch_of(beat.role)).unwrap_or_else(known)
    }

    /// A node said something of itself, or this one has something to say.
    pub(in crate::node) fn outage_may_end(&mut self, now: Instant) {
        let (Some(open), Some(member)) = (self.outage, &self.member) else { return };
        let me = (self.config.cluster.me, self.beat);
        let others = member.peers().iter().map(|(&node, peer)| (node, peer.beat));
        let serves = |(node, beat): (NodeId, Option<Beat>)| {
            let beat = beat.filter(|beat| beat.ports_proven > 0)?;
            epoch_of(beat.role).map(|epoch| (node, epoch))
        };
        let serving = others.chain([me]).filter_map(serves).max_by_key(|(_, epoch)| *epoch);
        match serving {
            Some((node, epoch)) if epoch > open.epoch => {
                self.outage = None;
                if self.keeps_ledger(node) {
                    self.note_outage(now, open);
                }
            }
            // The primary was never gone; only its beats were.
            Some((node, _)) if node == open.node && self.is_heard(node, open.began_at) => {
                self.outage = None;
            }
            _ => {}
        }
    }

    /// Whether this node writes the ledger of a promotion of `promoted`.
    fn keeps_ledger(&self, promoted: NodeId) -> bool {
        let cluster = &self.config.cluster;
        match cluster.witness() {
            Some(witness) => witness == cluster.me,
            None => promoted == cluster.me,
        }
    }

    fn is_heard(&self, node: NodeId, since: Instant) -> bool {
        let peer = self.member.as_ref().and_then(|member| member.peers().get(&node));
        peer.is_some_and(|peer| peer.up && peer.heard_at.is_some_and(|at| at > since))
    }

    fn note_outage(&mut self, now: Instant, open: Open) {
        let lasted = now.saturating_duration_since(open.began_at);
        let lasted_ms = u64::try_from(lasted.as_millis()).unwrap_or(u64::MAX);
        let began_unix_ms = self.unix_ms(now).saturating_sub(lasted_ms);
        let Open { epoch: ended, planned, .. } = open;
        self.append(now, Body::Outage(Outage { ended, began_unix_ms, lasted_ms, planned }));
    }
}

const fn epoch_of(role: Role) -> Option<Epoch> {
    match role {
        Role::Promoting(epoch) | Role::Primary(epoch) => Some(epoch),
        Role::Witness | Role::Backup | Role::Candidate | Role::Fenced => None,
    }
}
