//! What needs a person, as one sentence each.

use std::fmt;

use crate::ha::fact_ship;
use crate::media::Refusal;

/// Something that needs a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alarm {
    /// What.
    pub kind: AlarmKind,
    /// Milliseconds since it was raised.
    pub since_ms: u64,
}

/// What is wrong. `Display` gives one clear sentence that names who must act and what a caller
/// hears meanwhile.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AlarmKind {
    /// The PBX refused an account: 401 again, 403, 404.
    PbxRefused {
        /// The port's extension.
        extension: String,
        /// Which registrar.
        registrar: String,
        /// With what status.
        status: u16,
        /// What it comes from, where that is neither password nor account.
        why: Option<&'static str>,
    },
    /// No registrar grants a binding: it does not answer, or with 5xx.
    PbxUnreachable {
        /// The registrars that were tried.
        registrars: String,
        /// How many ports are without a binding.
        ports: u32,
    },
    /// A name of `pbx.registrars` does not resolve.
    PbxNameUnknown {
        /// The entry.
        registrar: String,
        /// What the resolver says.
        why: String,
    },
    /// A UDP port of the configured range belongs to another program.
    UdpPortInUse {
        /// Its number.
        udp_port: u16,
    },
    /// No healthy instance serves an application that ports list.
    NoInstance {
        /// The application.
        application: String,
        /// What a caller hears meanwhile: the name of the next entry, or the overflow action.
        fallback: String,
    },
    /// A prompt is not in the directory of prompts.
    PromptMissing {
        /// Its name.
        prompt: String,
        /// The file that would be it.
        path: String,
    },
    /// Key presses were lost: the node was stopped for too long, or they came too fast.
    DigitsRefused {
        /// The port's extension.
        extension: String,
        /// Which of the two.
        why: Refusal,
    },
    /// An instance took no events until its queue was full.
    EventsFull {
        /// The ARI user that it is.
        user: String,
        /// How many waited.
        events: usize,
    },
    /// Recordings lack sound, because the disk did not take it in time.
    RecorderFull,
    /// Records of what happened are not taken, and are lost.
    FactsRefused {
        /// Why.
        why: fact_ship::Refusal,
    },
    /// A caller pressed keys at this node after another one had taken the call over, or might have.
    DigitsLost,
    /// No node of the cluster that is heard reaches the PBX.
    PbxLost,
    /// A backup has served in the place of the first node for long.
    OnBackup {
        /// Which.
        node: String,
        /// How long.
        days: u32,
    },
    /// The supervisor cannot put the service address on the network card.
    NoAddress {
        /// Why.
        why: String,
    },
    /// Anything else, as one clear sentence.
    Other {
        /// The port's extension, if it is about one.
        extension: Option<String>,
        /// The sentence.
        text: String,
    },
}

impl AlarmKind {
    /// Every name that [`Self::name`] gives.
    pub const NAMES: [&str; 14] = [
        "pbx_refused",
        "pbx_unreachable",
        "pbx_name_unknown",
        "udp_port_in_use",
        "no_instance",
        "prompt_missing",
        "digits_refused",
        "events_full",
        "recorder_full",
        "facts_refused",
        "digits_lost",
        "on_backup",
        "no_address",
        "other",
    ];

    /// A stable short name for JSON and metrics.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::PbxRefused { .. } => "pbx_refused",
            Self::PbxUnreachable { .. } => "pbx_unreachable",
            Self::PbxNameUnknown { .. } => "pbx_name_unknown",
            Self::UdpPortInUse { .. } => "udp_port_in_use",
            Self::NoInstance { .. } => "no_instance",
            Self::PromptMissing { .. } => "prompt_missing",
            Self::DigitsRefused { .. } => "digits_refused",
            Self::EventsFull { .. } => "events_full",
            Self::RecorderFull => "recorder_full",
            Self::FactsRefused { .. } => "facts_refused",
            Self::DigitsLost => "digits_lost",
            Self::PbxLost => "pbx_lost",
            Self::OnBackup { .. } => "on_backup",
            Self::NoAddress { .. } => "no_address",
            Self::Other { .. } => "other",
        }
    }
}

impl fmt::Display for AlarmKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PbxRefused { extension, registrar, status, why: Some(why) } => write!(
                f,
                "extension {extension} is not registered at PBX {registrar} ({status}): {why}; \
                 correct [pbx] or the PBX; it gets no calls meanwhile"
            ),
            Self::PbxRefused { extension, registrar, status, why: None } => write!(
                f,
                "PBX {registrar} refuses extension {extension} with {status}: correct its \
                 auth_user and password in [[ports]], or its account at the PBX; \
                 it gets no calls meanwhile"
            ),
            Self::PbxUnreachable { registrars, ports } => write!(
                f,
                "the PBX at {registrars} does not answer, or not with a binding: {ports} ports are \
                 not registered and get no calls; check the network, the PBX and pbx.registrars"
            ),
            Self::PbxNameUnknown { registrar, why } => write!(
                f,
                "PBX name does not resolve: {registrar} ({why}); it is asked again until it does, \
                 and ports without another registrar get no calls meanwhile; correct \
                 pbx.registrars, or this machine's name service"
            ),
            Self::UdpPortInUse { udp_port } => write!(
                f,
                "another program holds UDP port {udp_port} of media.udp_ports: \
                 another port is used for the call; move the range or stop that program"
            ),
            Self::NoInstance { application, fallback } => write!(
                f,
                "no healthy instance of application {application} is connected: \
                 callers get {fallback}; start the application or look at its log"
            ),
            Self::PromptMissing { prompt, path } => write!(
                f,
                "prompt {prompt} cannot be played, callers hear silence in its place: \
                 put a WAV file at {path}"
            ),
            Self::DigitsRefused { extension, why: Refusal::TooFast } => write!(
                f,
                "extension {extension} lost key presses that came faster than 12 a second: \
                 look at the telephone-events that the PBX or gateway sends"
            ),
            Self::DigitsRefused { extension, why: Refusal::NodeStuck } => write!(
                f,
                "extension {extension} lost key presses because the node was stopped: \
                 look for a starved or suspended machine"
            ),
            Self::EventsFull { user, events } => write!(
                f,
                "an instance of ARI user {user} took no events until {events} waited for it: \
                 its connection was ended and its calls were moved; look at its process and network"
            ),
            Self::RecorderFull => f.write_str(
                "recordings lack sound that the disk did not take in time: look at the disk of \
                 media.recordings; calls go on",
            ),
            Self::FactsRefused { why: fact_ship::Refusal::StoreFailed } => f.write_str(
                "the store takes no more: CDRs of this node are lost from here on, and its audit \
                 records where no other node is heard; make room on the disk of cluster.store, or \
                 have it checked, then start the node again",
            ),
            Self::FactsRefused { why: fact_ship::Refusal::Elsewhere } => {
                f.write_str("the store takes no more: audit records are kept by the other nodes")
            }
            Self::FactsRefused { why: fact_ship::Refusal::Full } => f.write_str(
                "CDRs and audit records are lost, because too many wait for the disk and for other \
                 nodes: look why those do not take them",
            ),
            Self::FactsRefused { why: fact_ship::Refusal::TooLong } => {
                f.write_str("a CDR or audit record of more than 8 KiB was not kept: report it")
            }
            Self::DigitsLost => f.write_str(
                "callers pressed keys at this node while it had given its calls up and no other \
                 node had them yet: those keys are lost, and callers have to press them again",
            ),
            Self::PbxLost => f.write_str(
                "no node reaches the PBX: a promotion would not help; see to the PBX and to the \
                 network between it and the nodes",
            ),
            Self::OnBackup { node, days } => write!(
                f,
                "the backup {node} has been primary for {days} days and goes on: bring the other \
                 server back, with `portkeeper switchover` when it follows"
            ),
            Self::NoAddress { why } => write!(
                f,
                "this node is primary and cannot take the address of [cluster.address]: {why}; \
                 no port is registered and no call is carried on meanwhile"
            ),
            Self::Other { extension: Some(extension), text } => {
                write!(f, "extension {extension}: {text}")
            }
            Self::Other { extension: None, text } => f.write_str(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alarm_says_who_must_act() {
        let refused = AlarmKind::PbxRefused {
            extension: "6001".into(),
            registrar: "10.0.0.5:5060".into(),
            status: 403,
            why: None,
        };
        assert_eq!(refused.name(), "pbx_refused");
        assert!(AlarmKind::NAMES.contains(&refused.name()));
        assert!(refused.to_string().contains("correct its auth_user and password"));
    }
}
