//! The least that ships facts by the rules: cumulative marks, one for each writer.

use std::collections::BTreeMap;

use crate::ids::{Epoch, NodeId};

/// How many facts of each writer.
pub type Marks = BTreeMap<NodeId, u64>;

pub fn merge(into: &mut Marks, from: &Marks) {
    for (&node, &count) in from {
        let here = into.entry(node).or_default();
        *here = count.max(*here);
    }
}

/// Facts of one node.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// On its disk.
    pub here: Marks,
    /// What the other node said it has on its own.
    pub there: Marks,
    /// Acknowledges alone, in this epoch.
    pub alone: Option<Epoch>,
    /// What it last asked the witness for, and in which epoch.
    pub asked: Option<(bool, Epoch)>,
    /// Since when the other node lacks something, in real microseconds.
    pub lacking_since: Option<u64>,
    /// Highest epoch of whoever asked what is here: nothing is acknowledged under a lower one.
    pub barred: Epoch,
    /// Number of the question whose answer it waits for.
    pub pull: Option<u64>,
}

impl Facts {
    /// After a crash: what is on the disk.
    pub fn restarted(&self) -> Self {
        Self { here: self.here.clone(), ..Self::default() }
    }

    pub fn own(&self, me: NodeId) -> (u64, u64) {
        let count = |marks: &Marks| marks.get(&me).copied().unwrap_or(0);
        (count(&self.here), count(&self.there))
    }
}
