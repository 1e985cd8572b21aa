//! An agent of the phone menu, without anything secret.

use serde::Serialize;

/// A person who may promote by phone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Agent {
    /// What is keyed.
    pub number: String,
    /// Name.
    pub name: String,
    /// May act.
    pub enabled: bool,
    /// Extensions that the agent calls from; empty: any internal one.
    pub extensions: Vec<String>,
    /// Is called back at the first of them.
    pub callback: bool,
    /// Wrong PINs since the last right one.
    pub wrong_pins: usize,
    /// Why no PIN is taken.
    pub lock: Option<Lock>,
}

/// A lock by wrong PINs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Lock {
    /// It passes.
    For {
        /// Milliseconds.
        ms: u64,
    },
    /// `portkeeper agent unlock` ends it.
    UntilUnlocked,
}
