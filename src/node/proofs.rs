//! Calls in which a node proves itself, and what came of them.

use std::collections::BTreeMap;

use crate::ha::proof::{Exchange, Key};
use crate::ha::self_call::SelfCalls;
use crate::ha::sentinel::{Seen, Sentinel};
use crate::ids::CallId;

/// All of them.
#[derive(Debug, Default)]
pub struct Proofs {
    /// `None`: there is no secret to prove anything by.
    pub key: Option<Key>,
    pub calls: BTreeMap<CallId, Exchange>,
    pub sentinel: Sentinel,
    /// What the cluster was told of the sentinel.
    pub told: Option<Seen>,
    /// Tests of the other nodes' control extensions.
    pub self_calls: SelfCalls,
}
