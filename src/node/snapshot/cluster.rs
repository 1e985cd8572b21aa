//! The cluster as this node sees it.

use serde::Serialize;

use crate::config::{Cluster as Config, ClusterProfile, MemberRole, Promotion, Takeover as Takes};
use crate::ha::Role;
use crate::ha::peer::Unproven;
use crate::timers::Instant;

/// This node's part, and the other nodes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cluster {
    /// `cluster.id`
    pub id: String,
    /// `single`, `pair` or `trio`.
    pub profile: &'static str,
    /// What this node is: `primary`, `backup`, `witness`, `candidate`, `promoting`, `fenced`.
    pub role: &'static str,
    /// Highest epoch that is known.
    pub epoch: u64,
    /// Name of the primary, as far as this node knows.
    pub primary: Option<String>,
    /// Name of the primary of a pair, where it is not heard: it may serve behind a cut link.
    pub unheard_primary: Option<String>,
    /// Nobody is promoted without a person.
    pub paused: bool,
    /// Why this node does not become primary by itself; each says who must do what.
    pub passive_because: Vec<String>,
    /// What protects against what, in sentences.
    pub protections: Vec<String>,
    /// Names of all nodes, by number.
    pub nodes: Vec<String>,
    /// The other nodes.
    pub peers: Vec<Peer>,
    /// Facts of this node that are not acknowledged.
    pub facts_pending: usize,
    /// Facts are acknowledged that only this node has.
    pub alone: bool,
    /// Calls of the other data node that would be carried on.
    pub copied_calls: usize,
    /// Ports whose registration would work here, or does.
    pub ports_proven: u32,
    /// Ports of the pool.
    pub ports: u32,
    /// How many of the others lack what; zeros on a primary.
    pub unproven_ports: Unproven,
    /// The same in sentences; empty on a primary.
    pub unproven: Vec<String>,
    /// Age of this node's copy of calls and facts; 0 on the primary, `None`: nothing was copied.
    pub data_age_ms: Option<u64>,
    /// Milliseconds that this node has served in the place of the first one.
    pub on_backup_since_ms: Option<u64>,
    /// The extension that only a primary registers.
    pub sentinel: Option<Sentinel>,
    /// The way out for alert calls that is not the PBX.
    pub trunk: Option<Trunk>,
    /// Tests of the other nodes' control extensions by this one.
    pub control_tests: Vec<ControlTest>,
    /// The latest promotion of this node.
    pub takeover: Option<Takeover>,
}

/// Another node.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Peer {
    /// Its name.
    pub name: String,
    /// `data` or `witness`.
    pub kind: &'static str,
    /// It is heard.
    pub up: bool,
    /// Milliseconds since it was last heard.
    pub heard_ms: Option<u64>,
    /// What it says that it is.
    pub role: Option<&'static str>,
    /// Whether it says that it reaches its PBX.
    pub pbx_reachable: Option<bool>,
    /// Version of its program.
    pub build: String,
    /// Facts that it lacks; `None`: not known.
    pub unshipped: Option<u64>,
    /// Milliseconds that it has lacked any.
    pub unshipped_since_ms: Option<u64>,
}

/// The sentinel, as this node knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Sentinel {
    /// Its number.
    pub extension: String,
    /// One of [`SENTINEL_STATES`].
    pub state: &'static str,
    /// Milliseconds since the first of the calls that failed.
    pub silent_ms: Option<u64>,
    /// It has answered this node since the start: only then its silence proves something.
    pub proven: bool,
}

/// Of a primary: whether it has the sentinel. Of another node: `unasked`, for the primary is heard;
/// else what the calls to it say.
pub const SENTINEL_STATES: [&str; 7] =
    ["registered", "unregistered", "unasked", "untried", "answers", "silent", "dead"];

/// The trunk, as this node knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Trunk {
    /// Its address and port.
    pub address: String,
    /// One of [`TRUNK_STATES`].
    pub state: &'static str,
}

/// What its answers to OPTIONS say: none was due yet; it answers; it has answered before; it never
/// has, which some do not.
pub const TRUNK_STATES: [&str; 4] = ["untried", "answers", "silent", "unheard"];

/// What this node knows of another one's control extension.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ControlTest {
    /// Name of the other node.
    pub node: String,
    /// Its control extension.
    pub extension: String,
    /// Whether it answered the last test call rightly; `None`: there was none since the start.
    pub proven: Option<bool>,
    /// Milliseconds since then.
    pub tested_ms: Option<u64>,
}

/// What became of the calls of a promotion.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Takeover {
    /// When this node began to act, on the boot-time clock.
    pub acted_at_ns: Instant,
    /// Calls that were to be carried on.
    pub calls: u32,
    /// Calls whose far end speaks with this node.
    pub kept: u32,
    /// Calls that ended instead.
    pub lost: u32,
}

/// The name of a role.
pub const fn role_name(role: Role) -> &'static str {
    match role {
        Role::Witness => "witness",
        Role::Backup => "backup",
        Role::Candidate => "candidate",
        Role::Promoting(_) => "promoting",
        Role::Primary(_) => "primary",
        Role::Fenced => "fenced",
    }
}

/// The name of what a node is there for.
pub const fn kind_name(role: MemberRole) -> &'static str {
    match role {
        MemberRole::Data => "data",
        MemberRole::Witness => "witness",
    }
}

/// Resilience (a part fails, the same server goes on), redundancy (the other server goes on) and
/// disaster recovery (the other site goes on with another PBX): which of them are armed.
/// `other_pbx`: the other node serves one, and has shown nothing to the contrary.
pub fn protections(config: &Config, other_pbx: bool) -> Vec<String> {
    let resilience = "resilience: an application instance that hangs or dies loses its calls to \
                      another one";
    let automatic = match config.promotion {
        Promotion::Manual => "a person promotes it".to_owned(),
        Promotion::Auto => "it promotes itself".to_owned(),
        Promotion::AutoAfter(after) => {
            format!("it promotes itself after {} s", after.as_secs())
        }
    };
    let redundancy = match config.profile {
        ClusterProfile::Single => "redundancy: none, this node is alone".to_owned(),
        _ if config.takeover == Takes::DualDevices => "redundancy: the other node has extensions \
             of its own, where new calls hunt on at the PBX; live calls end with their node"
            .to_owned(),
        ClusterProfile::Pair => format!(
            "redundancy: a backup; it promotes itself only after an orderly stop{}",
            if other_pbx { "" } else { ", else a person attests that the primary is halted" }
        ),
        ClusterProfile::Trio => format!("redundancy: a backup and a witness; {automatic}"),
    };
    let disaster = if other_pbx {
        "disaster recovery: the other node serves another PBX"
    } else {
        "disaster recovery: none, both nodes serve the same PBX"
    };
    vec![resilience.to_owned(), redundancy, disaster.to_owned()]
}
