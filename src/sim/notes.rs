//! What is noted of a run: for people who read a trace, for scripts, and for the hash by which two
//! runs of one seed are compared.

use std::collections::VecDeque;
use std::fmt;
use std::hash::{Hash, Hasher};

use super::action::Action;
use super::site::extension;
use crate::ids::{Generation, InstanceId, PortId};
use crate::pool::Health;
use crate::sip::wire::Method;
use crate::timers::Instant;

/// Something worth a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// Something was done to the world.
    Done(Action),
    /// An instance's WebSocket was opened.
    Connected(InstanceId),
    /// It ended.
    Gone(InstanceId),
    /// The pool thinks so of an instance.
    Health(InstanceId, Health),
    /// The node took a call.
    Begins(PortId),
    /// StasisStart.
    Offered(PortId, InstanceId, Generation, String),
    /// First command.
    Claimed(PortId, InstanceId),
    /// StasisEnd while the call goes on.
    Taken(PortId, InstanceId),
    /// The PBX heard 200.
    Answered(PortId),
    /// The node heard a key.
    Key(PortId, char),
    /// It gave it to the owner.
    Delivered(PortId, InstanceId, char),
    /// The owner's checkpoint after an acknowledgement.
    Acknowledged(PortId, String),
    /// A command of somebody who is not the owner, and its status.
    Stale(PortId, InstanceId, u16),
    /// A request in the dialog came from the port.
    FromPort(PortId, Method),
    /// A transfer.
    Transferred(PortId, String),
    /// What the far end holds changed.
    Held(PortId, bool),
    /// The call is over at the PBX: refused, ended by the port, or by the caller.
    Ended(PortId, Option<u16>, bool),
    /// The caller hears a sound again after silence, or hears nothing any more.
    Sound(PortId, bool),
    /// An alarm was raised or is over.
    Alarm(bool, String),
    /// Something that must not be.
    Violation(String),
}

impl Note {
    /// Whose port it is about.
    pub const fn port(&self) -> Option<PortId> {
        match self {
            Self::Begins(port)
            | Self::Offered(port, ..)
            | Self::Claimed(port, _)
            | Self::Taken(port, _)
            | Self::Answered(port)
            | Self::Key(port, _)
            | Self::Delivered(port, ..)
            | Self::Acknowledged(port, _)
            | Self::Stale(port, ..)
            | Self::FromPort(port, _)
            | Self::Transferred(port, _)
            | Self::Held(port, _)
            | Self::Ended(port, ..)
            | Self::Sound(port, _) => Some(*port),
            Self::Done(
                Action::Call { port, .. }
                | Action::Press { port, .. }
                | Action::HangUp { port }
                | Action::Hold { port, .. }
                | Action::Rebind { port }
                | Action::Info { port, .. },
            ) => Some(*port),
            Self::Done(_)
            | Self::Connected(_)
            | Self::Gone(_)
            | Self::Health(..)
            | Self::Alarm(..)
            | Self::Violation(_) => None,
        }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(port) = self.port().filter(|_| !matches!(self, Self::Done(_))) {
            write!(f, "{} ", extension(port))?;
        }
        match self {
            Self::Done(action) => write!(f, "> {action}"),
            Self::Connected(instance) => write!(f, "{instance} connected"),
            Self::Gone(instance) => write!(f, "{instance} gone"),
            Self::Health(instance, health) => {
                write!(f, "{instance} is {}", health_name(*health))
            }
            Self::Begins(_) => f.write_str("rings"),
            Self::Offered(_, to, generation, reason) => {
                write!(f, "offered to {to} as generation {generation} ({reason})")
            }
            Self::Claimed(_, by) => write!(f, "claimed by {by}"),
            Self::Taken(_, from) => write!(f, "taken from {from}"),
            Self::Answered(_) => f.write_str("answered"),
            Self::Key(_, key) => write!(f, "key {key}"),
            Self::Delivered(_, to, key) => write!(f, "{to} gets {key}"),
            Self::Acknowledged(_, keys) => write!(f, "checkpoint {keys}"),
            Self::Stale(_, by, status) => write!(f, "late command of {by}: {status}"),
            Self::FromPort(_, method) => write!(f, "port sends {method}"),
            Self::Transferred(_, target) => write!(f, "transferred to {target}"),
            Self::Held(_, true) => f.write_str("held"),
            Self::Held(_, false) => f.write_str("taken back"),
            Self::Ended(_, Some(status), _) => write!(f, "refused with {status}"),
            Self::Ended(_, None, true) => f.write_str("ended by the port"),
            Self::Ended(_, None, false) => f.write_str("ended by the caller"),
            Self::Sound(_, true) => f.write_str("sound"),
            Self::Sound(_, false) => f.write_str("silence"),
            Self::Alarm(true, text) => write!(f, "alarm: {text}"),
            Self::Alarm(false, text) => write!(f, "over: {text}"),
            Self::Violation(text) => write!(f, "VIOLATION {text}"),
        }
    }
}

const fn health_name(health: Health) -> &'static str {
    match health {
        Health::Healthy => "healthy",
        Health::Suspect => "suspect",
        Health::Hung => "hung",
        Health::Draining => "draining",
    }
}

/// Notes that are kept when nobody wants them all.
const KEPT: usize = 256;

/// FNV-1a, on words.
#[derive(Clone, Copy, Debug)]
struct Fnv(u64);

impl Fnv {
    const fn mix(&mut self, word: u64) {
        self.0 = (self.0 ^ word).wrapping_mul(0x0100_0000_01b3);
        self.0 ^= self.0 >> 29;
    }
}

impl Hasher for Fnv {
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.mix(byte.into());
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// The notes of a run.
#[derive(Debug)]
pub struct Trace {
    hash: Fnv,
    kept: VecDeque<(Instant, Note)>,
    all: bool,
}

impl Trace {
    /// `all`: keep every note, for people.
    pub const fn new(all: bool) -> Self {
        Self { hash: Fnv(0xcbf2_9ce4_8422_2325), kept: VecDeque::new(), all }
    }

    /// Whether every note is kept: what costs time to find out need not be found out otherwise.
    pub const fn is_full(&self) -> bool {
        self.all
    }

    /// Counts a step of the run: what, when, and something about it.
    pub fn step(&mut self, now: Instant, what: u64, detail: u64) {
        self.hash.mix(now.as_nanos());
        self.hash.mix(what << 56 ^ detail);
    }

    /// Keeps a note.
    pub fn note(&mut self, now: Instant, note: Note) {
        now.hash(&mut self.hash);
        std::mem::discriminant(&note).hash(&mut self.hash);
        note.port().hash(&mut self.hash);
        if !self.all && self.kept.len() >= KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back((now, note));
    }

    /// What two runs of one seed have in common.
    pub fn hash(&self) -> u64 {
        self.hash.finish()
    }

    /// All notes that were kept.
    pub fn notes(&self) -> impl Iterator<Item = &(Instant, Note)> {
        self.kept.iter()
    }

    /// The last of them that have to do with a port, or with no port.
    pub fn last_of(&self, port: Option<PortId>, count: usize) -> Vec<String> {
        let about = |note: &Note| port.is_none() || note.port().is_none_or(|p| Some(p) == port);
        let last = self.kept.iter().rev().filter(|(_, note)| about(note)).take(count);
        let mut lines: Vec<_> = last.map(|(at, note)| line(*at, note)).collect();
        lines.reverse();
        lines
    }
}

/// A note as one line: seconds and words.
pub fn line(at: Instant, note: &Note) -> String {
    let micros = at.as_nanos() / 1_000;
    format!("{:>3}.{:06} {note}", micros / 1_000_000, micros % 1_000_000)
}
