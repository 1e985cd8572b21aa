//! Pings of the nodes on their way to the application, and its pongs on their way back.
//!
//! A ping that goes to the client carries a number of ours. A client may answer only the latest of
//! several (RFC 6455 section 5.5.3), so a pong answers that ping and all before it, of whichever
//! node; each node gets one pong, for its own latest of them. No pong is ever made up here.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

/// Pings that may be unanswered: some seconds of two nodes. Of a client that is silent for longer
/// the newest are kept: its first pong then answers them.
const ASKED_MAX: usize = 256;

/// The pings of one client.
#[derive(Debug, Default)]
pub(super) struct Pings {
    last: u64,
    asked: VecDeque<(u64, usize, Bytes)>,
}

impl Pings {
    /// A node asks; what to ask the client with.
    pub(super) fn ask(&mut self, node: usize, payload: Bytes) -> Bytes {
        self.last = self.last.wrapping_add(1);
        if self.asked.len() >= ASKED_MAX {
            self.asked.pop_front();
        }
        self.asked.push_back((self.last, node, payload));
        Bytes::copy_from_slice(&self.last.to_be_bytes())
    }

    /// The client answers; what to answer which node with. A pong to no ping says nothing.
    pub(super) fn answer(&mut self, payload: &[u8]) -> BTreeMap<usize, Bytes> {
        let mut answers = BTreeMap::new();
        let Ok(number) = payload.try_into().map(u64::from_be_bytes) else { return answers };
        if number > self.last {
            return answers;
        }
        let answered = self.asked.partition_point(|(asked, ..)| *asked <= number);
        for (_, node, payload) in self.asked.drain(..answered) {
            answers.insert(node, payload);
        }
        answers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pong_answers_the_pings_before_it_once_for_each_node() {
        let mut pings = Pings::default();
        let first = pings.ask(0, Bytes::from_static(b"a1"));
        pings.ask(1, Bytes::from_static(b"b1"));
        let third = pings.ask(0, Bytes::from_static(b"a2"));
        let fourth = pings.ask(0, Bytes::from_static(b"a3"));
        let answers = pings.answer(&third);
        let expected = [(0, Bytes::from_static(b"a2")), (1, Bytes::from_static(b"b1"))];
        assert_eq!(answers, BTreeMap::from(expected));
        assert!(pings.answer(&first).is_empty(), "answered already");
        assert_eq!(pings.answer(&fourth).len(), 1);
    }

    #[test]
    fn a_pong_that_answers_nothing_says_nothing() {
        let mut pings = Pings::default();
        pings.ask(0, Bytes::new());
        for pong in [&b""[..], b"x", &9_u64.to_be_bytes(), &u64::MAX.to_be_bytes()] {
            assert!(pings.answer(pong).is_empty(), "{pong:?}");
        }
        assert_eq!(pings.answer(&1_u64.to_be_bytes()).len(), 1);
    }

    #[test]
    fn a_silent_client_takes_no_more_room() {
        let mut pings = Pings::default();
        for _ in 0..10 * ASKED_MAX {
            pings.ask(0, Bytes::new());
        }
        assert_eq!(pings.asked.len(), ASKED_MAX);
    }
}
