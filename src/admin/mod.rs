//! Requests of operators and their answers, as JSON, text and metrics. Pure.
//!
//! A request is looked at against one snapshot ([`answer`]): either the snapshot itself is the
//! answer, or an order for the node comes out, with a sentence that says what will happen.

mod agents;
mod cluster;
mod health;
mod json;
pub mod metrics;
mod request;
mod table;
mod text;

pub use agents::NO_AGENTS;
pub use cluster::role_reply;
pub use health::not_ready;
pub use json::distribution;
pub use request::{AgentWish, Answer, Format, NewAgent, Reply, Request, RoleWish, answer};

/// What a node of several says until its store is open.
pub const OPENING: &str = "the store is being opened: this node takes no part in its cluster yet";

#[cfg(test)]
mod fixture;
