//! What must hold at every real instant.

use super::world::{Node, World};
use crate::ha::Ha;
use crate::ids::{Epoch, NodeId};

impl World {
    fn fail(&mut self, text: String) {
        let now = self.now;
        self.fault.get_or_insert_with(|| format!("at {} us: {text}", now));
    }

    /// Whose lease has not passed by its own clock, whether or not its process runs just now.
    fn holders(&self) -> Vec<(NodeId, bool)> {
        let holds = |node: &Node| {
            let local = node.clock.local(self.now);
            node.ha.as_ref().is_some_and(|ha| ha.deadline().is_some_and(|end| local < end))
        };
        let excused = |node: &Node| node.clock.local(self.now) < node.excused_until;
        let holders = self.nodes.iter().filter(|(_, node)| holds(node));
        holders.map(|(&id, node)| (id, excused(node))).collect()
    }

    /// After everything that a node did.
    pub fn check(&mut self) {
        let holders = self.holders();
        let strict: Vec<_> = holders.iter().filter(|(_, excused)| !excused).collect();
        if !self.forced && strict.len() > 1 {
            self.fail(format!("two holders: {strict:?}"));
        }
        for &(id, _) in &holders {
            self.check_epoch(id);
        }
        if holders.len() > 1 && !self.forced {
            self.check_paused();
        }
    }

    /// A node that was paused together with its clock may think that it holds; whether it claims is
    /// another matter.
    fn check_paused(&mut self) {
        let timers = self.settings.site.timers;
        if !timers.may_pause {
            return;
        }
        // The highest epoch is the one that was granted last: its holder may claim.
        let latest = self.epochs.last_key_value().map(|(_, &by)| by);
        let claims = |node: &Node| {
            let local = node.clock.local(self.now);
            let paused_at = node.excused_until - timers.hold();
            let late = local > paused_at + timers.renew * 2;
            late && local < node.excused_until
                && node.ha.as_ref().is_some_and(|ha| ha.may_claim(local))
        };
        let found = self.nodes.iter().filter(|(id, node)| Some(**id) != latest && claims(node));
        let found: Vec<_> = found.map(|(&id, _)| id).collect();
        if !found.is_empty() {
            self.fail(format!("{found:?} claims long after a pause while another one holds"));
        }
    }

    fn check_epoch(&mut self, id: NodeId) {
        let now = self.now;
        let node = self.node(id);
        let held = node.ha.as_ref().and_then(|ha| ha.holder(node.clock.local(now)));
        let Some((_, epoch)) = held.filter(|&(by, _)| by == id) else { return };
        if node.acted.replace(epoch) == Some(epoch) {
            return;
        }
        // Paused with its clock while another one was granted the next epoch: it may think so, and
        // what it may do then is checked above.
        let excused = node.clock.local(now) < node.excused_until;
        let disk = node.disk;
        if disk.held < epoch || disk.promised < epoch {
            self.fail(format!("{id} acts under {epoch}, and its disk knows {disk:?}"));
        }
        let highest = self.epochs.last_key_value().map(|(&highest, &by)| (highest, by));
        if highest.is_some_and(|(highest, _)| epoch <= highest) && !self.forced && !excused {
            self.fail(format!("{id} acts under {epoch} after {highest:?}"));
        }
        self.epochs.insert(epoch, id);
    }

    /// Whoever takes over has every fact that was acknowledged.
    pub fn check_promotion(&mut self, id: NodeId, epoch: Epoch) {
        let here = self.node(id).facts.here.clone();
        let count = |of: &NodeId| here.get(of).copied().unwrap_or(0);
        let lost: Vec<_> =
            self.acked.iter().filter(|(node, acked)| count(node) < **acked).collect();
        if !lost.is_empty() && !self.forced {
            let text = format!("{id} serves under {epoch} without {lost:?}: it has {here:?}");
            self.fail(text);
        }
    }

    /// When faults have ended: one primary, and everybody else follows it.
    pub fn check_settled(&mut self) {
        let primaries = self.primaries();
        if primaries.len() != 1 {
            let now = self.now;
            let state = |(id, node): (&NodeId, &Node)| {
                let ha = node.ha.as_ref();
                let why = ha.map(|ha| ha.passive_because(node.clock.local(now)));
                format!("{id} {:?} {why:?}", ha.map(Ha::role))
            };
            let states: Vec<_> = self.nodes.iter().map(state).collect();
            self.fail(format!("primaries {primaries:?}: {states:#?}"));
            return;
        }
        self.check_promotion(primaries[0], Epoch(0));
    }
}
