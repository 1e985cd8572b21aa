//! Who is turned away over HTTP, by the face that he spoke with.

use std::net::IpAddr;

/// Somebody who is turned away over HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    /// From where.
    pub from: Option<IpAddr>,
    /// Why.
    pub why: Denial,
}

/// Why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denial {
    /// The token is none of ours.
    Unknown,
    /// It was, until its last day.
    Expired {
        /// Its name.
        token: String,
    },
    /// It is not for this.
    Role {
        /// Its name.
        token: String,
        /// What was asked.
        request: &'static str,
    },
}
