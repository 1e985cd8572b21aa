//! Which nodes belong together, which of them this process is, and how they share the work.
//!
//! A node without a `[cluster]` is a cluster of one. The order of `[[cluster.nodes]]` numbers the
//! nodes, so it is the same on each of them.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use super::NightTime;
use crate::ids::{NodeId, PortId};
use crate::timers::Duration;

/// `[cluster]` and `[[cluster.nodes]]`
#[derive(Clone, Debug)]
pub struct Cluster {
    /// Names the cluster: a frame of another one is refused.
    pub id: String,
    /// How many nodes there are, and of which kind.
    pub profile: ClusterProfile,
    /// Which of `nodes` this process is.
    pub me: NodeId,
    /// Every node, indexed by [`NodeId`]; the only one in profile `single` is this one.
    pub nodes: Vec<Member>,
    /// Name of `timers`.
    pub timer_profile: TimerProfile,
    /// How often the lease is renewed, and how long it lasts.
    pub timers: Timers,
    /// When a backup promotes itself.
    pub promotion: Promotion,
    /// How live calls reach the backup.
    pub takeover: Takeover,
    /// What moves with the role where `takeover` is `shared_address`.
    pub address: Option<ServiceAddress>,
    /// Directory of `ca.pem`, `node.pem` and `node.key`.
    pub credentials: PathBuf,
    /// The file of facts and promises.
    pub store: PathBuf,
    /// Silence of the peer after which facts are acknowledged without it.
    pub solo_after: Duration,
    /// How a backup proves that its ports could register.
    pub rehearsal: Rehearsal,
}

impl Cluster {
    /// A cluster of one: no links, no lease.
    pub fn single(name: &str, pbx: &str) -> Self {
        let me = Member {
            id: NodeId(0),
            name: name.to_owned(),
            role: MemberRole::Data,
            link: None,
            pbx: pbx.to_owned(),
            control: None,
        };
        Self {
            id: String::new(),
            profile: ClusterProfile::Single,
            me: me.id,
            nodes: vec![me],
            timer_profile: TimerProfile::Lan,
            timers: TimerProfile::Lan.timers(),
            promotion: Promotion::Manual,
            takeover: Takeover::Reinvite,
            address: None,
            credentials: PathBuf::from("cluster"),
            store: PathBuf::from("state/portkeeper.db"),
            solo_after: Duration::from_secs(5),
            rehearsal: Rehearsal::Off,
        }
    }

    /// A node by number.
    pub fn member(&self, id: NodeId) -> Option<&Member> {
        self.nodes.get(usize::from(id.0))
    }

    /// A node by name.
    pub fn named(&self, name: &str) -> Option<&Member> {
        self.nodes.iter().find(|member| member.name == name)
    }

    /// What a node is called in messages: its name, or its number if the configuration has none.
    pub fn name_of(&self, id: NodeId) -> String {
        self.member(id).map_or_else(|| id.to_string(), |member| member.name.clone())
    }

    /// Every node but this one.
    pub fn peers(&self) -> impl Iterator<Item = &Member> {
        self.nodes.iter().filter(|member| member.id != self.me)
    }

    /// The other data node, as a data node or the witness sees it: the first one that is not this
    /// process. None where nobody takes over from anybody: the other node has its own devices.
    pub fn data_peer(&self) -> Option<&Member> {
        let data = |member: &&Member| member.role == MemberRole::Data;
        self.peers().find(data).filter(|_| self.takeover != Takeover::DualDevices)
    }

    /// The witness, if the profile has one.
    pub fn witness(&self) -> Option<NodeId> {
        let witness = self.nodes.iter().find(|member| member.role == MemberRole::Witness);
        witness.map(|member| member.id)
    }

    /// Whether this process is the witness.
    pub fn is_witness(&self) -> bool {
        self.witness() == Some(self.me)
    }

    /// Whether another node serves another physical PBX than this one.
    pub fn other_pbx(&self, id: NodeId) -> bool {
        let pbx = |id| self.member(id).map(|member| &member.pbx);
        pbx(id) != pbx(self.me)
    }
}

/// How many nodes there are, and of which kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClusterProfile {
    /// One node.
    Single,
    /// Two data nodes: a person promotes, or an orderly stop does.
    Pair,
    /// Two data nodes and a witness: a majority promotes.
    Trio,
}

impl ClusterProfile {
    /// Its name in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Single => "single",
            Self::Pair => "pair",
            Self::Trio => "trio",
        }
    }
}

/// One node of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its number: the index of its entry.
    pub id: NodeId,
    /// Its name; its certificate carries it.
    pub name: String,
    /// What it is there for.
    pub role: MemberRole,
    /// Where it listens for its peers; `None` in profile `single`, which has no link.
    pub link: Option<SocketAddr>,
    /// The physical PBX that it serves.
    pub pbx: String,
    /// Its control extension, for the calls by which the others test it.
    pub control: Option<String>,
}

/// What a node is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberRole {
    /// Has voice ports; may become primary.
    Data,
    /// Votes, watches, and can be called when the primary is dead.
    Witness,
}

impl MemberRole {
    /// Its name in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Witness => "witness",
        }
    }
}

/// How fast a cluster notices, against how much delay it forgives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimerProfile {
    /// Hosts on one switch.
    Lan,
    /// Virtual machines, which may be paused or moved.
    Vm,
    /// Sites with a VPN between them.
    Wan,
}

impl TimerProfile {
    /// Its name in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lan => "lan",
            Self::Vm => "vm",
            Self::Wan => "wan",
        }
    }

    /// Its durations. The shortest lease is three times what a loaded machine once delayed a
    /// healthy process (195 ms).
    pub const fn timers(self) -> Timers {
        let (renew, lease) = match self {
            Self::Lan => (100, 600),
            Self::Vm => (500, 2_000),
            Self::Wan => (1_000, 5_000),
        };
        Timers { renew: Duration::from_millis(renew), lease: Duration::from_millis(lease) }
    }
}

/// Durations of the lease and of the link below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timers {
    /// Between two renewals, and between two heartbeats.
    pub renew: Duration,
    /// How long a grant lasts.
    pub lease: Duration,
}

/// When a backup promotes itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promotion {
    /// Never: a person does.
    Manual,
    /// As soon as it is safe.
    Auto,
    /// When it is safe and the primary has been gone this long.
    AutoAfter(Duration),
}

/// `[cluster.address]`: where the PBX finds the ports, whichever node serves them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceAddress {
    /// The address; the primary alone has it.
    pub address: Ipv4Addr,
    /// Bits of its network.
    pub prefix: u8,
    /// The network card of this host that gets it.
    pub interface: String,
}

/// How live calls reach the backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takeover {
    /// It sends a re-INVITE for each call from its own address.
    Reinvite,
    /// The service address moves to it.
    SharedAddress,
    /// They do not: each node has extensions of its own, and new calls hunt on.
    DualDevices,
}

impl Takeover {
    /// Its name in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reinvite => "reinvite",
            Self::SharedAddress => "shared_address",
            Self::DualDevices => "dual_devices",
        }
    }
}

/// How a backup proves that its ports could register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rehearsal {
    /// A REGISTER without Contact for each port, which asks and changes nothing.
    Query,
    /// Not at all: passwords are not proven.
    Off,
}

/// `[control]`: the extension that people call to hear the state and to promote.
#[derive(Clone, Debug)]
pub struct Control {
    /// Its entry in the list of ports, the last one.
    pub port: PortId,
    /// Directory of the spoken prompts.
    pub language: String,
    /// Who may call it: extensions, or patterns of them. Empty: everybody whom the PBX lets.
    pub callers: Vec<String>,
    /// A forced promotion by phone needs a second agent.
    pub two_person: bool,
    /// Who is called when something happened, in order.
    pub on_call: Vec<OnCall>,
    /// Telephones that want to hear that the system restarts.
    pub telephones: Vec<String>,
    /// Telephones that get each incident as text, and the restart message too (SIP MESSAGE).
    pub text_to: Vec<String>,
    /// They hear it by themselves after a promotion, not only when an agent says so.
    pub notify_on_promotion: bool,
    /// `[control.sentinel]`
    pub sentinel: Option<Sentinel>,
    /// `[control.trunk]`
    pub trunk: Option<Trunk>,
    /// When the control extensions of the other nodes are tested each night; `None`: never.
    pub self_call: Option<NightTime>,
}

/// `[control.sentinel]`: the extension that only a primary registers, so that a node which does not
/// hear it over the link can ask for it through the PBX.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sentinel {
    /// What is dialled.
    pub extension: String,
    /// Its entry in the list of ports; `None`: a witness, which never registers it.
    pub port: Option<PortId>,
}

/// `[control.trunk]`: a gateway or a provider that is not the PBX. A node that does not reach the
/// PBX calls people by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trunk {
    /// Its entry in the list of ports, which registers nowhere.
    pub port: PortId,
    /// Where INVITEs go, over the transport of `[pbx]`.
    pub address: SocketAddr,
    /// Domain of the addresses of record there.
    pub domain: String,
}

/// `[[control.on_call]]`: somebody who is called when something happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnCall {
    /// What is dialled: the list is an allow-list of exact numbers.
    pub extension: String,
    /// What is dialled where the call leaves by the trunk; `None`: that does not reach them.
    pub outside: Option<String>,
    /// Agent number, for the audit log; empty for somebody who is no agent.
    pub agent: String,
}
