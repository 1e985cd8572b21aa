//! What is done to the world: by people who call, by operators, by fate. A plan drawn from a seed
//! and a scenario script are both rows of these.

use std::fmt;

use super::links::Weather;
use super::process::{Kind, Pongs};
use super::site::extension;
use crate::ids::{InstanceId, PortId};
use crate::timers::Duration;

/// One thing that is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Somebody calls an extension.
    Call {
        /// Which.
        port: PortId,
        /// By an INVITE without SDP.
        delayed_offer: bool,
    },
    /// The caller presses keys, 100 ms each.
    Press {
        /// In the call of this port.
        port: PortId,
        /// Which.
        keys: String,
    },
    /// The caller hangs up.
    HangUp {
        /// The call of this port.
        port: PortId,
    },
    /// The caller holds the port, or takes it back.
    Hold {
        /// The call of this port.
        port: PortId,
        /// On or off.
        on: bool,
    },
    /// A process is started, and gets the next number.
    Start {
        /// What it serves.
        kind: Kind,
        /// How it treats pings.
        pongs: Pongs,
    },
    /// SIGSTOP, or SIGCONT.
    Freeze {
        /// Which process.
        instance: InstanceId,
        /// On or off.
        on: bool,
    },
    /// SIGKILL.
    Kill {
        /// Which process.
        instance: InstanceId,
    },
    /// Its host vanishes: nothing passes any more, and TCP notices after 3 s.
    Cut {
        /// Which process.
        instance: InstanceId,
    },
    /// Its handlers are stuck, or work again.
    Livelock {
        /// Which process.
        instance: InstanceId,
        /// On or off.
        on: bool,
    },
    /// Each event takes it so long; `None`: as usual.
    Slow {
        /// Which process.
        instance: InstanceId,
        /// How long.
        think: Option<Duration>,
    },
    /// What is sent to it stands still for so long.
    Stall {
        /// Which process.
        instance: InstanceId,
        /// How long.
        time: Duration,
    },
    /// The node does not run for so long.
    StallNode {
        /// How long.
        time: Duration,
    },
    /// How SIP fares between PBX and node, both ways.
    Sip(Weather),
    /// How RTP fares from the phones to the node.
    Rtp(Weather),
    /// The PBX starts anew: registrations and nonces are lost.
    PbxForgets,
    /// UDP ports are taken by others so many times in a thousand.
    BindsFail(u32),
    /// An operator wants no new calls on an instance, or again.
    DrainInstance {
        /// Which.
        instance: InstanceId,
        /// On or off.
        on: bool,
    },
    /// An operator wants no new calls at all, or again.
    DrainNode {
        /// On or off.
        on: bool,
    },
    /// An operator moves a call.
    Rebind {
        /// The call of this port.
        port: PortId,
    },
    /// The PBX refuses every REGISTER with this status; `None`: no longer.
    PbxRefuses(Option<u16>),
    /// The caller's key comes as INFO.
    Info {
        /// In the call of this port.
        port: PortId,
        /// Which.
        key: char,
    },
}

impl Action {
    /// Whether it is a fault, as opposed to a day's work.
    pub const fn is_fault(&self) -> bool {
        match self {
            Self::Call { .. }
            | Self::Press { .. }
            | Self::HangUp { .. }
            | Self::Hold { .. }
            | Self::Start { .. }
            | Self::Info { .. }
            | Self::Freeze { on: false, .. }
            | Self::Livelock { on: false, .. }
            | Self::Slow { think: None, .. } => false,
            Self::Freeze { .. }
            | Self::Kill { .. }
            | Self::Cut { .. }
            | Self::Livelock { .. }
            | Self::Slow { .. }
            | Self::Stall { .. }
            | Self::StallNode { .. }
            | Self::PbxForgets
            | Self::DrainInstance { .. }
            | Self::DrainNode { .. }
            | Self::Rebind { .. } => true,
            Self::PbxRefuses(status) => status.is_some(),
            Self::BindsFail(permille) => *permille > 0,
            Self::Sip(weather) | Self::Rtp(weather) => weather.loss > 0 || weather.double > 0,
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let on_off = |on: &bool| if *on { "" } else { " off" };
        match self {
            Self::Call { port, delayed_offer } => {
                let how = if *delayed_offer { " without an offer" } else { "" };
                write!(f, "call {}{how}", extension(*port))
            }
            Self::Press { port, keys } => write!(f, "press {keys} at {}", extension(*port)),
            Self::HangUp { port } => write!(f, "hang up {}", extension(*port)),
            Self::Hold { port, on } => write!(f, "hold {}{}", extension(*port), on_off(on)),
            Self::Start { kind, pongs } => {
                let how = match pongs {
                    Pongs::AtOnce => "",
                    Pongs::InTurn => " in turn",
                    Pongs::Never => " without pongs",
                };
                write!(f, "start {}{how}", kind.name())
            }
            Self::Freeze { instance, on: true } => write!(f, "freeze {instance}"),
            Self::Freeze { instance, on: false } => write!(f, "wake {instance}"),
            Self::Kill { instance } => write!(f, "kill {instance}"),
            Self::Cut { instance } => write!(f, "cut {instance}"),
            Self::Livelock { instance, on } => write!(f, "livelock {instance}{}", on_off(on)),
            Self::Slow { instance, think: Some(time) } => {
                write!(f, "slow {instance} {} ms", time.as_millis())
            }
            Self::Slow { instance, think: None } => write!(f, "slow {instance} off"),
            Self::Stall { instance, time } => {
                write!(f, "stall {instance} {} ms", time.as_millis())
            }
            Self::StallNode { time } => write!(f, "stall node {} ms", time.as_millis()),
            Self::Sip(weather) => write!(f, "sip {}", Sky(weather)),
            Self::Rtp(weather) => write!(f, "rtp {}", Sky(weather)),
            Self::PbxForgets => f.write_str("pbx forgets"),
            Self::BindsFail(permille) => write!(f, "binds fail {permille}"),
            Self::DrainInstance { instance, on } => write!(f, "drain {instance}{}", on_off(on)),
            Self::DrainNode { on } => write!(f, "drain node{}", on_off(on)),
            Self::Rebind { port } => write!(f, "rebind {}", extension(*port)),
            Self::PbxRefuses(Some(status)) => write!(f, "pbx refuses with {status}"),
            Self::PbxRefuses(None) => f.write_str("pbx refuses nothing"),
            Self::Info { port, key } => write!(f, "info {key} at {}", extension(*port)),
        }
    }
}

/// The weather in the words of a script.
struct Sky<'a>(&'a Weather);

impl fmt::Display for Sky<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Weather { loss, double, jitter, .. } = *self.0;
        if *self.0 == Weather::FAIR {
            return f.write_str("fair");
        }
        write!(f, "loss {loss} double {double} jitter {}", jitter.as_millis())
    }
}
