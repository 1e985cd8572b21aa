//! What the menu says of the cluster, so that a person can decide: who is primary, seen or silent
//! since when, live calls, ports proven and why not the rest, age of the data, what alarms.

use super::voice::{Since, Speech};
use super::words::{self, Prompt};
use crate::ids::NodeId;
use crate::timers::Duration;

/// The cluster as this node sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// Who is primary.
    pub primary: Primary,
    /// What a primary that is not heard says through the PBX; `None`: nobody asks.
    pub sentinel: Option<Sentinel>,
    /// Whether the control extensions of the other servers answered the last test calls; `None`:
    /// they were not made.
    pub tests: Option<Tests>,
    /// Who would be promoted; `None`: nobody can be, as far as the configuration goes.
    pub candidate: Option<Candidate>,
    /// Calls that are up, as far as is known here.
    pub live_calls: u32,
    /// Ports that the candidate has proven.
    pub ports_proven: u32,
    /// All ports.
    pub ports: u32,
    /// Why the other ports are not proven, with how many of each; no zeros.
    pub unproven: Vec<(u32, Unproven)>,
    /// Age of the candidate's copy of the data.
    pub data: DataAge,
    /// Facts that one node alone has, as far as is known here, and since when.
    pub unshipped: Option<(u32, Since)>,
    /// The gravest alarm that nobody has acknowledged.
    pub alarm: Option<Alarm>,
    /// An agent wants to force a promotion and another one has to agree.
    pub proposal: Option<Proposal>,
}

/// Who is primary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Primary {
    /// Nobody, or nobody knows.
    Nobody,
    /// A node that answers.
    Answering {
        /// Its name.
        name: String,
    },
    /// A node that was primary when it was last heard of.
    Silent {
        /// Its name.
        name: String,
        /// When that was.
        since: Since,
    },
}

/// Whether a primary that is not heard answers through the PBX.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sentinel {
    /// It was not called yet.
    Untried,
    /// It does.
    Answers,
    /// It has not answered.
    Silent {
        /// Since when.
        since: Since,
        /// For so long that it counts as dead.
        dead: bool,
    },
}

/// What came of the test calls between control extensions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tests {
    /// All were answered.
    Proven {
        /// The oldest of them.
        at: Since,
    },
    /// One was not.
    Failed {
        /// Name of the server.
        name: String,
    },
}

/// Who would be promoted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Which.
    pub node: NodeId,
    /// Its name.
    pub name: String,
}

/// How old a copy of the data is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataAge {
    /// Nothing was ever copied.
    Nothing,
    /// Younger than anybody would notice.
    Current,
    /// So old.
    Old(Duration),
}

/// Why a port is not proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unproven {
    /// The PBX refuses its password or account.
    Refused,
    /// The PBX does not answer for it.
    Unreachable,
    /// Its prompts are missing or differ from the primary's.
    Prompts,
    /// No codec in common.
    Codec,
    /// No UDP port is free.
    UdpPorts,
    /// The disk is full.
    Disk,
    /// Its turn has not come yet, or may not be tried.
    Untried,
}

/// What happened that somebody has to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Alarm {
    /// The primary died.
    PrimaryDown,
    /// No node reaches the PBX.
    PbxUnreachable,
    /// A promotion failed.
    PromotionFailed,
    /// A promotion took place.
    Promoted,
    /// The primary was stopped in order, and nobody took over.
    PrimaryStopped,
    /// The backup is lost.
    BackupLost,
    /// The witness is lost.
    WitnessLost,
    /// Running on the backup for many days.
    OnBackup,
}

/// A forced promotion that waits for a second agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// Number of the first agent.
    pub by: String,
}

impl Default for Evidence {
    /// Nothing is known yet.
    fn default() -> Self {
        Self {
            primary: Primary::Nobody,
            sentinel: None,
            tests: None,
            candidate: None,
            live_calls: 0,
            ports_proven: 0,
            ports: 0,
            unproven: Vec::new(),
            data: DataAge::Nothing,
            unshipped: None,
            alarm: None,
            proposal: None,
        }
    }
}

impl Evidence {
    /// All of it, in the order in which a person decides.
    pub(super) fn speech(&self) -> Speech {
        let sentinel = self.sentinel.map(Sentinel::speech).unwrap_or_default();
        let speech = self.primary.speech().then(sentinel);
        let speech = match self.alarm {
            Some(alarm) => speech.then(alarm.speech()),
            None => speech,
        };
        let speech = speech.number(self.live_calls.into());
        let calls = if self.live_calls == 1 { words::CALL } else { words::CALLS };
        let speech = speech.say(calls).then(self.readiness()).then(self.data.speech());
        let speech = match self.unshipped {
            Some((facts, since)) => {
                speech.number(facts.into()).say(words::RECORDS_UNSHIPPED).since(since)
            }
            None => speech,
        };
        speech.then(self.tests.as_ref().map(Tests::speech).unwrap_or_default())
    }

    fn readiness(&self) -> Speech {
        let proven = Speech::default().of_all(self.ports_proven, self.ports);
        let rest = self.unproven.iter().map(|(count, why)| {
            let ports = if *count == 1 { words::PORT } else { words::PORTS };
            Speech::default().number((*count).into()).say(ports).say(why.word())
        });
        rest.fold(proven.say(words::PORTS_PROVEN), Speech::then)
    }
}

impl Primary {
    fn speech(&self) -> Speech {
        let named = |name: &str| Speech::of(words::PRIMARY_SERVER).spelled(name);
        match self {
            Self::Nobody => Speech::of(words::NO_PRIMARY),
            Self::Answering { name } => named(name).say(words::IS_ANSWERING),
            Self::Silent { name, since } => named(name).say(words::IS_SILENT_SINCE).since(*since),
        }
    }
}

impl Sentinel {
    fn speech(self) -> Speech {
        match self {
            Self::Untried => Speech::of(words::SENTINEL_UNTRIED),
            Self::Answers => Speech::of(words::SENTINEL_ANSWERS),
            Self::Silent { since, dead } => {
                let silent = Speech::of(words::SENTINEL_SILENT).since(since);
                if dead { silent.say(words::SENTINEL_DEAD) } else { silent }
            }
        }
    }
}

impl Tests {
    fn speech(&self) -> Speech {
        match self {
            Self::Proven { at } => Speech::of(words::TESTS_PROVEN).since(*at),
            Self::Failed { name } => Speech::of(words::TEST_FAILED).spelled(name),
        }
    }
}

impl DataAge {
    fn speech(self) -> Speech {
        match self {
            Self::Nothing => Speech::of(words::DATA_NONE),
            Self::Current => Speech::of(words::DATA_CURRENT),
            Self::Old(age) => Speech::of(words::DATA_IS).lasting(age),
        }
    }
}

impl Unproven {
    const fn word(self) -> Prompt {
        match self {
            Self::Refused => words::REASON_REFUSED,
            Self::Unreachable => words::REASON_UNREACHABLE,
            Self::Prompts => words::REASON_PROMPTS,
            Self::Codec => words::REASON_CODECS,
            Self::UdpPorts => words::REASON_UDP_PORTS,
            Self::Disk => words::REASON_DISK,
            Self::Untried => words::REASON_UNTRIED,
        }
    }
}

impl Alarm {
    pub(super) fn speech(self) -> Speech {
        let word = match self {
            Self::PrimaryDown => words::ALARM_PRIMARY_DOWN,
            Self::PbxUnreachable => words::ALARM_PBX_UNREACHABLE,
            Self::PromotionFailed => words::ALARM_PROMOTION_FAILED,
            Self::Promoted => words::ALARM_PROMOTED,
            Self::PrimaryStopped => words::ALARM_PRIMARY_STOPPED,
            Self::BackupLost => words::ALARM_BACKUP_LOST,
            Self::WitnessLost => words::ALARM_WITNESS_LOST,
            Self::OnBackup => words::ALARM_ON_BACKUP,
        };
        Speech::of(words::AN_ALARM).say(word)
    }
}
