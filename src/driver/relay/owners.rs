//! Which node has which channel.
//!
//! The node that speaks of a channel has it: its events name the id. An id that is over is kept,
//! since that node has to say 404 to it; the oldest ids make room.

use std::collections::{BTreeMap, VecDeque};

/// Ids that are remembered: all calls of an hour at 1,000 ports and four calls a second.
const IDS_MAX: usize = 16_384;
/// Longest id that is remembered. Ours have under 40 characters, those that clients may choose 128.
const ID_LENGTH_MAX: usize = 128;

/// The table.
#[derive(Debug, Default)]
pub(super) struct Owners {
    by_id: BTreeMap<String, usize>,
    /// The same ids, oldest first.
    order: VecDeque<String>,
}

impl Owners {
    /// A node has spoken of a channel.
    pub(super) fn learn(&mut self, id: &str, node: usize) {
        if id.len() > ID_LENGTH_MAX {
            return;
        }
        if let Some(known) = self.by_id.get_mut(id) {
            *known = node;
            return;
        }
        if self.order.len() >= IDS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.by_id.remove(&oldest);
        }
        self.by_id.insert(id.to_owned(), node);
        self.order.push_back(id.to_owned());
    }

    /// Who has it.
    pub(super) fn of(&self, id: &str) -> Option<usize> {
        self.by_id.get(id).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_node_that_spoke_of_a_channel_has_it() {
        let mut owners = Owners::default();
        owners.learn("5f-1.1", 0);
        owners.learn("5f-1.2", 1);
        owners.learn("5f-1.1", 1);
        assert_eq!((owners.of("5f-1.1"), owners.of("5f-1.2")), (Some(1), Some(1)));
        assert_eq!(owners.of("5f-1.3"), None);
    }

    #[test]
    fn the_oldest_id_makes_room_and_a_long_one_is_not_kept() {
        let mut owners = Owners::default();
        for n in 0..=IDS_MAX {
            owners.learn(&n.to_string(), 0);
        }
        assert_eq!((owners.of("0"), owners.of("1")), (None, Some(0)));
        assert_eq!(owners.by_id.len(), IDS_MAX);
        let long = "x".repeat(ID_LENGTH_MAX + 1);
        owners.learn(&long, 0);
        assert_eq!(owners.of(&long), None);
    }
}
