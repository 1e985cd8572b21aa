//! Why a peer is not heard, and who must act.

use std::fmt;

/// Why a connection between two nodes is closed. Its text names who must act.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A node of another cluster was dialled, or dials us.
    OtherCluster {
        /// Its `cluster.id`.
        theirs: String,
        /// Ours.
        ours: String,
    },
    /// Its program speaks another version of the link.
    OtherVersion {
        /// Of the link.
        protocol: u16,
        /// Of its program.
        build: String,
    },
    /// Its certificate names one node, its words another.
    OtherNode {
        /// Which it says it is.
        claims: String,
    },
    /// The two configurations differ in what must be equal.
    Disagrees {
        /// In what, with both values.
        what: String,
    },
    /// It says that it serves another PBX, and has an extension of ours there, or a registrar.
    SamePbx {
        /// The first of them, in words.
        what: String,
    },
    /// A frame that is older than one before it: it was delayed, or repeated by somebody.
    NotRisen,
    /// It spoke before its hello.
    NotGreeted,
    /// It said hello, and then something that it may not say.
    MayNotSay {
        /// What.
        what: &'static str,
    },
    /// A frame that is empty or too long.
    Length {
        /// As announced.
        length: usize,
        /// As allowed.
        max: usize,
    },
    /// Bytes that are no frame.
    Malformed {
        /// What is wrong.
        what: String,
    },
    /// It said nothing for too long.
    Silent,
    /// It closed, with these words.
    TheyRefused {
        /// Theirs.
        why: String,
    },
    /// It does not read what it is sent.
    Choked,
}

impl Refusal {
    /// Whether somebody must change something before another try can succeed.
    pub const fn is_lasting(&self) -> bool {
        match self {
            Self::OtherCluster { .. }
            | Self::OtherVersion { .. }
            | Self::OtherNode { .. }
            | Self::Disagrees { .. }
            | Self::SamePbx { .. }
            | Self::TheyRefused { .. } => true,
            Self::NotRisen
            | Self::NotGreeted
            | Self::MayNotSay { .. }
            | Self::Length { .. }
            | Self::Malformed { .. }
            | Self::Silent
            | Self::Choked => false,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherCluster { theirs, ours } => write!(
                f,
                "it belongs to cluster \"{theirs}\", this node to \"{ours}\": whoever wrote \
                 cluster.id or [[cluster.nodes]] must correct it"
            ),
            Self::OtherVersion { protocol, build } => write!(
                f,
                "it speaks version {protocol} of the link (portkeeper {build}), this node version \
                 {} (portkeeper {}): whoever upgrades must bring both to one version",
                super::PROTOCOL,
                env!("CARGO_PKG_VERSION")
            ),
            Self::OtherNode { claims } => write!(
                f,
                "its certificate is of another node than it says it is ({claims}): whoever set \
                 node.name or copied the credentials must correct it"
            ),
            Self::Disagrees { what } => {
                write!(f, "{what}: whoever keeps the configurations must make them equal")
            }
            Self::SamePbx { what } => write!(
                f,
                "it says that it serves another PBX, but {what}: whoever wrote `pbx` of \
                 [[cluster.nodes]], the extensions or the registrars must correct it; until then \
                 neither node takes over from the other one by itself"
            ),
            Self::NotRisen => f.write_str("a frame of it was late or came twice"),
            Self::NotGreeted => f.write_str("it spoke before it said who it is"),
            Self::MayNotSay { what } => write!(f, "it sent {what}, which it may not"),
            Self::Length { length, max } => {
                write!(f, "it announced a frame of {length} bytes; allowed are 1 to {max}")
            }
            Self::Malformed { what } => write!(f, "it sent what is no frame: {what}"),
            Self::Silent => f.write_str("it said nothing for too long"),
            Self::TheyRefused { why } => write!(f, "it refuses this node: {why}"),
            Self::Choked => f.write_str("it does not read what it is sent"),
        }
    }
}
