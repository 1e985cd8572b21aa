//! What the sentinel proves of the other node of a pair, for a person who wants to promote this
//! one.

use super::{Reason, Roles};
use crate::ha::sentinel::{Seen, Silence};

impl Roles {
    /// The PBX has forgotten the primary: its registration ran out, and was not renewed.
    pub(super) fn is_dead_at_pbx(&self) -> bool {
        let dead = matches!(self.sentinel, Some(Seen::Silent { silence: Silence::Dead, .. }));
        dead && self.pbx == Some(true)
    }

    /// Why the sentinel does not prove that the other node is dead.
    pub(super) fn sentinel_against(&self) -> Option<Reason> {
        match self.sentinel? {
            Seen::Untried => Some(Reason::SentinelUntried),
            Seen::Answers => Some(Reason::SentinelAnswers),
            Seen::Silent { silence: Silence::Short, .. } => Some(Reason::SentinelShort),
            Seen::Silent { silence: Silence::Unproven, .. } => Some(Reason::SentinelUnproven),
            Seen::Silent { silence: Silence::Dead, .. } => None,
        }
    }
}
