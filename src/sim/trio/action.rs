//! What is done to the world of three nodes.

use std::fmt;

use super::site::NAMES;
use crate::ha::role::Order;
use crate::ids::{NodeId, PortId};
use crate::sim::links::Weather;
use crate::sim::site::extension;
use crate::timers::Duration;

/// What of a node does not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Its event loop; its media goes on.
    Loop,
    /// Its event loop, between an input and what comes of it.
    Midway,
    /// All of it.
    Process,
    /// All of it and its clock: a machine that is paused.
    Machine,
}

impl Part {
    /// Every part.
    pub const ALL: [Self; 4] = [Self::Loop, Self::Midway, Self::Process, Self::Machine];

    /// Its word in a script.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Loop => "loop",
            Self::Midway => "midway",
            Self::Process => "process",
            Self::Machine => "machine",
        }
    }
}

/// What happens to an application process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Harm {
    /// It ends; another one is started.
    Crash,
    /// Its handlers are stuck, its library answers pings.
    Hang,
    /// SIGSTOP.
    Freeze,
    /// It is well again.
    Heal,
}

impl Harm {
    /// Every harm, and its end.
    pub const ALL: [Self; 4] = [Self::Crash, Self::Hang, Self::Freeze, Self::Heal];

    /// Its word in a script.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Crash => "crash",
            Self::Hang => "hang",
            Self::Freeze => "freeze",
            Self::Heal => "heal",
        }
    }
}

/// One thing that is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Somebody calls an extension.
    Call { port: PortId, delayed_offer: bool },
    /// The caller presses keys.
    Press { port: PortId, keys: String },
    /// The caller hangs up.
    HangUp { port: PortId },
    /// The caller holds the port, or takes it back.
    Hold { port: PortId, on: bool },
    /// A process ends; its supervisor tells the others, or there is none.
    Crash { node: usize, supervised: bool, back: Duration },
    /// A host loses its power: nobody is told anything.
    PowerLoss { node: usize, back: Duration },
    /// Something of a node does not run for so long.
    Stop { node: usize, part: Part, time: Duration },
    /// Nothing passes from one node to another, or again.
    Cut { from: usize, to: usize, on: bool },
    /// Nothing passes between a node and the others.
    CutOff { node: usize, on: bool },
    /// A link is slow.
    SlowLink { pair: usize, by: Duration },
    /// A node does not reach the PBX, or again.
    CutPbx { node: usize, on: bool },
    /// How SIP fares between a node and the PBX.
    Sip { node: usize, weather: Weather },
    /// The PBX starts anew: registrations and nonces are lost.
    PbxForgets,
    /// The PBX refuses every REGISTER with this status; `None`: no longer.
    PbxRefuses(Option<u16>),
    /// Writes take so much longer.
    SlowDisk { node: usize, by: Duration },
    /// The disk takes nothing more.
    DiskFails { node: usize },
    /// An operator wants something.
    Order { node: usize, order: Order },
    /// An operator adds an agent.
    Agent { node: usize },
    /// Something happens to an application process.
    Client { client: usize, harm: Harm },
}

impl Action {
    /// Whether it is a fault, as opposed to a day's work.
    pub fn is_fault(&self) -> bool {
        match self {
            Self::Call { .. }
            | Self::Press { .. }
            | Self::HangUp { .. }
            | Self::Hold { .. }
            | Self::Agent { .. }
            | Self::Cut { on: false, .. }
            | Self::CutOff { on: false, .. }
            | Self::CutPbx { on: false, .. }
            | Self::PbxRefuses(None)
            | Self::Order { order: Order::Resume | Order::Rejoin, .. }
            | Self::Client { harm: Harm::Heal, .. } => false,
            Self::Sip { weather, .. } => *weather != Weather::FAIR,
            Self::SlowLink { by, .. } | Self::SlowDisk { by, .. } => !by.is_zero(),
            Self::Crash { .. }
            | Self::PowerLoss { .. }
            | Self::Stop { .. }
            | Self::Cut { .. }
            | Self::CutOff { .. }
            | Self::CutPbx { .. }
            | Self::PbxForgets
            | Self::PbxRefuses(Some(_))
            | Self::DiskFails { .. }
            | Self::Order { .. }
            | Self::Client { .. } => true,
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let off = |on: &bool| if *on { "" } else { " off" };
        match self {
            Self::Call { port, delayed_offer: false } => write!(f, "call {}", extension(*port)),
            Self::Call { port, delayed_offer: true } => {
                write!(f, "call {} without an offer", extension(*port))
            }
            Self::Press { port, keys } => write!(f, "press {keys} at {}", extension(*port)),
            Self::HangUp { port } => write!(f, "hang up {}", extension(*port)),
            Self::Hold { port, on } => write!(f, "hold {}{}", extension(*port), off(on)),
            Self::Crash { node, supervised, back } => {
                let how = if *supervised { ", and its supervisor tells" } else { "" };
                write!(f, "{} crashes for {} ms{how}", NAMES[*node], back.as_millis())
            }
            Self::PowerLoss { node, back } => {
                write!(f, "{} has no power for {} ms", NAMES[*node], back.as_millis())
            }
            Self::Stop { node, part, time } => {
                let (part, name, ms) = (part.name(), NAMES[*node], time.as_millis());
                write!(f, "{part} of {name} stops for {ms} ms")
            }
            Self::Cut { from, to, on } => {
                write!(f, "cut {} to {}{}", NAMES[*from], NAMES[*to], off(on))
            }
            Self::CutOff { node, on } => write!(f, "cut {} off{}", NAMES[*node], off(on)),
            Self::SlowLink { pair, by } => write!(f, "link {pair} slow {} ms", by.as_millis()),
            Self::CutPbx { node, on } => write!(f, "cut {} from the PBX{}", NAMES[*node], off(on)),
            Self::Sip { node, weather } if *weather == Weather::FAIR => {
                write!(f, "SIP of {} fair", NAMES[*node])
            }
            Self::Sip { node, weather: Weather { loss, double, jitter, .. } } => {
                let (name, ms) = (NAMES[*node], jitter.as_millis());
                write!(f, "SIP of {name} loss {loss} double {double} jitter {ms}")
            }
            Self::PbxForgets => f.write_str("PBX forgets"),
            Self::PbxRefuses(Some(status)) => write!(f, "PBX refuses with {status}"),
            Self::PbxRefuses(None) => f.write_str("PBX refuses nothing"),
            Self::SlowDisk { node, by } => {
                write!(f, "disk of {} slow {} ms", NAMES[*node], by.as_millis())
            }
            Self::DiskFails { node } => write!(f, "disk of {} fails", NAMES[*node]),
            Self::Order { node, order } => write!(f, "order at {}: {}", NAMES[*node], said(order)),
            Self::Agent { node } => write!(f, "agent added at {}", NAMES[*node]),
            Self::Client { client, harm } => write!(f, "application {client}: {}", harm.name()),
        }
    }
}

/// An order in the words of an operator.
fn said(order: &Order) -> String {
    let by_force = |forced: bool| if forced { " by force" } else { "" };
    let name = |node: NodeId| NAMES.get(usize::from(node.0)).copied().unwrap_or("?");
    match order {
        Order::Promote { node, forced } => {
            format!("promote {}{}", name(*node), by_force(forced.is_some()))
        }
        Order::Switchover { to, forced } => {
            format!("switch to {}{}", name(*to), by_force(*forced))
        }
        Order::Drill { node } => format!("drill {}", name(*node)),
        Order::Pause => "pause".to_owned(),
        Order::Resume => "resume".to_owned(),
        Order::Rejoin => "rejoin".to_owned(),
        Order::Release => "release".to_owned(),
    }
}
