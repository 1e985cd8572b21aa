//! The chain over a lane: each fact is hashed together with the hash before it, so that a fact that
//! is changed, taken out or put in later is found. Whoever can write the file can write a whole new
//! chain; the other nodes have their own.

use sha2::{Digest, Sha256};

/// Before the first fact of a lane.
pub const CHAIN_START: Link = Link([0; 32]);

/// One hash of the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link(pub [u8; 32]);

impl Link {
    /// The hash behind this one, over a fact as it is written.
    #[must_use]
    pub fn next(self, fact: &[u8]) -> Self {
        let digest = Sha256::new().chain_update(self.0).chain_update(fact).finalize();
        Self(digest.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fact_and_its_place_make_the_hash() {
        let chain = |facts: &[&str]| {
            facts.iter().fold(CHAIN_START, |link, fact| link.next(fact.as_bytes()))
        };
        assert_eq!(chain(&["a", "b"]), chain(&["a", "b"]));
        assert_ne!(chain(&["a", "b"]), chain(&["b", "a"]));
        assert_ne!(chain(&["a", "b"]), chain(&["a", "c"]));
        assert_ne!(chain(&["a", "b"]), chain(&["a"]));
    }
}
