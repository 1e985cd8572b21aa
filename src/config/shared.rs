//! What the nodes of a cluster must have in common, in a form that two of them can compare.
//!
//! A [`Shared`] is a list of named parts, each with its meaning in short words and a hash of all of
//! it, so that a node which refuses another one can say what differs and not only that something
//! does. A part that a node does not have (a witness has no extensions, and nobody needs a
//! sentinel) is not compared.

use std::fmt::Write as _;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::section_pbx::host_of;
use super::values::show_duration;
use super::{Config, MemberRole, Promotion, SipPorts, Takeover};

/// Parts in a list that came from elsewhere at most: there are a dozen.
pub const PARTS_MAX: usize = 32;

/// Characters of a part that are shown at most.
const SHOWN_MAX: usize = 160;

/// Everything that must be equal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shared {
    /// The parts, in the order in which they are compared.
    pub parts: Vec<Part>,
    /// Of a node whose other one serves another PBX: the extensions, runs of numbers by their first
    /// and last. Two PBXs have none in common: which one a node serves was typed by a person.
    #[serde(default)]
    pub elsewhere: Vec<(String, String)>,
    /// Of the same node: where it registers. An address of one host alone is not among them.
    #[serde(default)]
    pub registrars: Vec<String>,
    /// Of a node that has devices of its own: the same. The other one has none of them.
    #[serde(default)]
    pub own: Vec<(String, String)>,
}

/// One thing that must be equal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Its name, as an operator knows it.
    pub name: String,
    /// What it says, shortened.
    pub shown: String,
    /// The first 16 hexadecimal digits of the SHA-256 of all that it says.
    pub hash: String,
}

impl Part {
    fn new(name: &str, whole: &str) -> Self {
        let mut shown: String = whole.chars().take(SHOWN_MAX).collect();
        if shown.len() < whole.len() {
            shown.push_str("...");
        }
        Self { name: name.to_owned(), shown, hash: hash_of(whole.as_bytes()) }
    }
}

impl Shared {
    /// What this node must have in common with the others.
    pub fn of(config: &Config) -> Self {
        let cluster = &config.cluster;
        let peer_elsewhere = cluster.data_peer().is_some_and(|peer| cluster.other_pbx(peer.id));
        let mut parts = vec![
            Part::new("cluster.id", &cluster.id),
            Part::new("cluster.profile", cluster.profile.name()),
            Part::new("cluster.nodes", &nodes(config)),
            Part::new("cluster.timers", cluster.timer_profile.name()),
            Part::new("cluster.promotion", &promotion(cluster.promotion)),
            Part::new("cluster.takeover", cluster.takeover.name()),
        ];
        if let Some(sentinel) = config.sentinel() {
            parts.push(Part::new("control.sentinel.extension", &sentinel.extension));
        }
        if !cluster.is_witness() {
            // Nodes at different PBXs, or with devices of their own, have other extensions.
            if cluster.takeover != Takeover::DualDevices && !peer_elsewhere {
                parts.push(Part::new("extensions", &extensions(config)));
            }
            if let Some(service) = config.service_address() {
                let at = format!("{}/{}", service.address, service.prefix);
                parts.push(Part::new("cluster.address.address", &at));
                parts.push(Part::new("pbx.sip_udp_port", &sip_ports(config)));
                let media = &config.media;
                let range = format!("{}-{}", media.udp_first, media.udp_last);
                parts.push(Part::new("media.udp_ports", &range));
            }
            let names: Vec<_> = config.applications.keys().map(String::as_str).collect();
            parts.push(Part::new("applications", &names.join(", ")));
        }
        let apart = peer_elsewhere && !cluster.is_witness();
        let own = cluster.takeover == Takeover::DualDevices;
        let runs_if = |wanted| if wanted { runs(config) } else { Vec::new() };
        let registrars = if apart { registrars(config) } else { Vec::new() };
        Self { parts, elsewhere: runs_if(apart), registrars, own: runs_if(own) }
    }

    /// What shows that this node and `other`, each at a PBX of its own as it says, are at one.
    pub fn at_both(&self, other: &Self) -> Option<String> {
        if let Some(extension) = in_both(&self.elsewhere, &other.elsewhere) {
            return Some(format!("extensions are equal, from {extension} on"));
        }
        let same = self.registrars.iter().find(|address| other.registrars.contains(address))?;
        Some(format!("it registers at {same}, as this node does"))
    }

    /// The short SHA-256 of all parts, for `status`.
    pub fn digest(&self) -> String {
        let mut all = String::new();
        for part in &self.parts {
            let _ = writeln!(all, "{} {}", part.name, part.hash);
        }
        hash_of(all.as_bytes())
    }

    /// The first part in which `other`, as node `name` has it, differs from this, in words.
    pub fn disagreement(&self, other: &Self, name: &str) -> Option<String> {
        let pairs = self.parts.iter().filter_map(|mine| {
            let theirs = other.parts.iter().find(|part| part.name == mine.name)?;
            Some((mine, theirs))
        });
        let differs = |(mine, theirs): &(&Part, &Part)| mine.hash != theirs.hash;
        let Some((mine, theirs)) = pairs.into_iter().find(differs) else {
            return in_both(&self.own, &other.own).map(|extension| {
                format!(
                    "extension {extension} is here and at {name}: with cluster.takeover = \
                     \"dual_devices\" each node has its own"
                )
            });
        };
        let shown: String = theirs.shown.chars().take(SHOWN_MAX + 3).collect();
        let what = &mine.name;
        if mine.shown == shown {
            return Some(format!("{what} differ after what both begin with: {shown}"));
        }
        Some(format!("{what} differ: {} here, {shown} at {name}", mine.shown))
    }
}

/// The first extension that runs of both sides hold.
fn in_both<'a>(ours: &'a [(String, String)], theirs: &'a [(String, String)]) -> Option<&'a str> {
    // In runs all numbers are equally long, so that they compare as texts.
    let meet = |(first, last): &'a (String, String), their: &'a (String, String)| {
        let met = first.len() == their.0.len() && *first <= their.1 && their.0 <= *last;
        met.then_some(first.max(&their.0).as_str())
    };
    ours.iter().find_map(|run| theirs.iter().find_map(|their| meet(run, their)))
}

/// Sixty-four bits suffice against accidents, and a peer that wants to lie may as well send ours.
fn hash_of(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().take(8).fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

fn nodes(config: &Config) -> String {
    let one = |member: &super::Member| {
        let role = match member.role {
            MemberRole::Data => "",
            MemberRole::Witness => " (witness)",
        };
        let link = member.link.map_or_else(String::new, |link| format!(" {link}"));
        let control = member.control.as_ref();
        let control = control.map_or_else(String::new, |number| format!(", control {number}"));
        format!("{}{role}{link} at PBX {}{control}", member.name, member.pbx)
    };
    config.cluster.nodes.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn promotion(promotion: Promotion) -> String {
    match promotion {
        Promotion::Manual => "manual".to_owned(),
        Promotion::Auto => "auto".to_owned(),
        Promotion::AutoAfter(wait) => show_duration(wait),
    }
}

fn sip_ports(config: &Config) -> String {
    match config.pbx.sip_ports {
        SipPorts::Shared { udp_port } => udp_port.to_string(),
        SipPorts::PerDevice { first } => format!("{first}, one per device"),
    }
}

/// The extensions in their order, runs of numbers as a range.
fn extensions(config: &Config) -> String {
    let run = |(first, last): &(String, String)| {
        if first == last { first.clone() } else { format!("{first}-{last}") }
    };
    runs(config).iter().map(run).collect::<Vec<_>>().join(", ")
}

/// What `127.0.0.1` is on one host says nothing of another one.
fn registrars(config: &Config) -> Vec<String> {
    let is_shared = |address: &&String| {
        let host = host_of(address);
        let own = host.parse::<IpAddr>().map_or(host == "localhost", |at| at.is_loopback());
        !own
    };
    config.pbx.registrars.iter().filter(is_shared).cloned().collect()
}

fn runs(config: &Config) -> Vec<(String, String)> {
    let mut runs: Vec<(String, String)> = Vec::new();
    for port in config.pool_ports() {
        match runs.last_mut() {
            Some((_, last)) if follows(last, &port.extension) => last.clone_from(&port.extension),
            _ => runs.push((port.extension.clone(), port.extension.clone())),
        }
    }
    runs
}

fn follows(last: &str, next: &str) -> bool {
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let number = |text: &str| text.parse::<u64>().ok();
    last.len() == next.len()
        && digits(last)
        && digits(next)
        && number(last).and_then(|n| n.checked_add(1)) == number(next)
        && number(next).is_some()
}
