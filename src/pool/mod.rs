//! Voice ports and who serves them: the decision whom a call belongs to, and when that changes.
//!
//! The pool sees calls, digits and instances; it has never seen a SIP message, an RTP packet or
//! JSON.
//!
//! [`Pool`] is the machine (`machine.rs`). `port.rs` says what a port can be doing, `binding.rs`
//! who gets a call, `waiting.rs` what happens when nobody can, `calls.rs` what the caller and the
//! owner do, `verdict.rs` when a call is taken away again, `health.rs` and `pongs.rs` what an
//! instance is worth, `journal.rs` what the next owner is told, `saved.rs` how a
//! call goes on at another node, and `status.rs` what faces show.

mod binding;
mod calls;
mod health;
mod journal;
mod machine;
mod pongs;
mod port;
mod saved;
mod status;
mod verdict;
mod waiting;

#[cfg(test)]
mod tests;

pub use machine::Pool;
pub use saved::Saved;
pub use status::{Counters, InstanceStatus, PortState, PortStatus};

use crate::codecs::Digit;
use crate::ids::{CallId, Generation, InstanceId, PortId};
use crate::timers::{Duration, Instant};

/// What the node tells the pool.
#[derive(Clone, Debug)]
pub enum Input {
    /// An instance connected for these applications.
    InstanceUp {
        /// Its name.
        instance: InstanceId,
        /// Applications that it serves.
        applications: Vec<String>,
        /// The ARI user, for `status`.
        user: String,
    },
    /// Its connection ended: crashed, or gone on purpose.
    InstanceDown {
        /// Which.
        instance: InstanceId,
    },
    /// It answered a ping.
    Pong {
        /// Which.
        instance: InstanceId,
    },
    /// The oldest event to it that the socket has not taken yet; `None`: all are out.
    Unsent {
        /// Which.
        instance: InstanceId,
        /// Since when.
        since: Option<Instant>,
    },
    /// Whether the offer of a call would leave this node: not while it may claim nothing. Calls
    /// wait meanwhile, and no instance is blamed for what it never heard of.
    MayOffer(bool),
    /// No new calls for it, or again.
    Drain {
        /// Which.
        instance: InstanceId,
        /// On or off.
        on: bool,
    },
    /// The PBX calls a port.
    Arrived {
        /// Which port.
        port: PortId,
        /// The call.
        call: CallId,
    },
    /// A call that another node served goes on here.
    Recovered {
        /// Which port.
        port: PortId,
        /// The call.
        call: CallId,
        /// As [`Pool::save`] gave it.
        saved: Box<Saved>,
    },
    /// `POST /channels`: a call to the outside for one application.
    Originated {
        /// The port it leaves from.
        port: PortId,
        /// The call.
        call: CallId,
        /// Whom it belongs to when it is answered.
        application: String,
        /// Arguments of its StasisStart.
        args: Vec<String>,
        /// The instance that asked, preferred if it is healthy then.
        by: Option<InstanceId>,
    },
    /// The call is up (200 sent or received).
    Up {
        /// Which port.
        port: PortId,
    },
    /// The call is over.
    Ended {
        /// Which port.
        port: PortId,
    },
    /// The caller pressed a key.
    Digit {
        /// Which port.
        port: PortId,
        /// Which key.
        digit: Digit,
        /// How long, in milliseconds.
        duration_ms: u32,
    },
    /// The owner did something with the call, or asked about it: any command is a sign of life.
    Command {
        /// Which port.
        port: PortId,
        /// As the holder of which generation.
        generation: Generation,
    },
    /// Something began or ceased to sound (or record) on the port.
    Sounding {
        /// Which port.
        port: PortId,
        /// Whether anything plays or records.
        on: bool,
    },
    /// `GW_ACK`: so many digits of this generation are handled.
    Ack {
        /// Which port.
        port: PortId,
        /// As the holder of which generation.
        generation: Generation,
        /// Count from the first digit delivered under this generation.
        count: u32,
    },
    /// A variable was set; `GW_CHECKPOINT` is one.
    Variable {
        /// Which port.
        port: PortId,
        /// Its name.
        name: String,
        /// Its value.
        value: String,
    },
    /// ARI `move`: to another application, if somebody serves it.
    Move {
        /// Which port.
        port: PortId,
        /// To which.
        application: String,
        /// With these arguments.
        args: Vec<String>,
    },
    /// ARI `continue` with `on_continue = "next"`, or the announcement asks for the next entry.
    Next {
        /// Which port.
        port: PortId,
    },
    /// An operator wants the call under another instance.
    Rebind {
        /// Which port.
        port: PortId,
    },
    /// The announcement was played to its end.
    AnnounceDone {
        /// Which port.
        port: PortId,
    },
}

/// Why a call is offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// A new call.
    New,
    /// The owner was silent.
    Hang,
    /// The owner's connection ended.
    Crash,
    /// No command in time.
    NoStart,
    /// The caller heard nothing for too long, or digits went unanswered.
    CallerSilence,
    /// The owner is drained, or an operator asked.
    Operator,
    /// ARI `move` or `continue`.
    Moved,
    /// The node that served it is gone, and this one was promoted.
    Promotion,
}

/// Everything the new owner of a call is told.
#[derive(Clone, Debug)]
pub struct Offer {
    /// The port.
    pub port: PortId,
    /// The call.
    pub call: CallId,
    /// The token of this offer.
    pub generation: Generation,
    /// Who gets it.
    pub instance: InstanceId,
    /// As which application.
    pub application: String,
    /// Arguments for StasisStart.
    pub args: Vec<String>,
    /// Why.
    pub reason: Reason,
    /// Variables of the call, `GW_CHECKPOINT` among them.
    pub variables: Vec<(String, String)>,
}

/// What the pool wants done.
#[derive(Clone, Debug)]
pub enum Output {
    /// Ping an instance.
    Ping {
        /// Which.
        instance: InstanceId,
    },
    /// Offer a call.
    Offer(Offer),
    /// Take a call from its owner: its token is stale from here on.
    Revoke {
        /// The port.
        port: PortId,
        /// The call.
        call: CallId,
        /// The stale token.
        generation: Generation,
        /// Who had it.
        instance: InstanceId,
    },
    /// Deliver a digit to the owner.
    Digit {
        /// The port.
        port: PortId,
        /// The call.
        call: CallId,
        /// The owner's token.
        generation: Generation,
        /// The owner.
        instance: InstanceId,
        /// The key.
        digit: Digit,
        /// How long it was pressed, in milliseconds.
        duration_ms: u32,
    },
    /// An offer was claimed by its first command.
    Claimed(Rebound),
    /// Answer if need be and play the hold prompt of this application.
    HoldPrompt {
        /// The port.
        port: PortId,
        /// Whose prompt.
        application: String,
    },
    /// Play the gateway prompt of this application: the caller hears nothing after a rebind.
    GatewayPrompt {
        /// The port.
        port: PortId,
        /// Whose prompt.
        application: String,
    },
    /// Answer if need be and play `[announce]`; answered by `AnnounceDone`.
    Announce {
        /// The port.
        port: PortId,
        /// The call.
        call: CallId,
    },
    /// End the call.
    Release {
        /// The port.
        port: PortId,
        /// The call.
        call: CallId,
    },
    /// Transfer the call; release it when that fails.
    Refer {
        /// The port.
        port: PortId,
        /// The call.
        call: CallId,
        /// To whom.
        target: String,
    },
    /// Nobody can serve the application that the owner wants to move the call to: it stays.
    MoveFailed {
        /// The port.
        port: PortId,
        /// The call.
        call: CallId,
        /// To which application.
        application: String,
        /// With which arguments.
        args: Vec<String>,
    },
    /// A verdict about an instance, for the log, metrics and events.
    Health {
        /// Which.
        instance: InstanceId,
        /// What.
        health: Health,
    },
}

impl Output {
    /// The call that it changes.
    pub const fn call(&self) -> Option<CallId> {
        match self {
            Self::Offer(Offer { call, .. })
            | Self::Revoke { call, .. }
            | Self::Digit { call, .. }
            | Self::Claimed(Rebound { call, .. })
            | Self::Announce { call, .. }
            | Self::Release { call, .. }
            | Self::Refer { call, .. }
            | Self::MoveFailed { call, .. } => Some(*call),
            Self::Ping { .. }
            | Self::HoldPrompt { .. }
            | Self::GatewayPrompt { .. }
            | Self::Health { .. } => None,
        }
    }
}

/// What the pool thinks of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// Gets calls.
    Healthy,
    /// Gets no new calls; keeps its own.
    Suspect,
    /// Was silent: has lost its calls.
    Hung,
    /// Operator's wish: gets no new calls.
    Draining,
}

/// The three durations of a rebind, always reported apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rebound {
    /// The port.
    pub port: PortId,
    /// The call.
    pub call: CallId,
    /// Why.
    pub reason: Reason,
    /// New token.
    pub generation: Generation,
    /// New owner.
    pub instance: InstanceId,
    /// Last sign of life of the old owner -> verdict.
    pub detect: Duration,
    /// When the verdict fell.
    pub verdict_at: Instant,
    /// When the offer was made.
    pub offered_at: Instant,
    /// When the first command came.
    pub claimed_at: Instant,
}
