//! What must hold in every world, looked at from outside the node, as things pass by.
//!
//! The node is judged by what it sends: texts to applications, packets, commands to media. Where
//! two views must agree (whom a call belongs to, how loaded an instance is), the pool's own view is
//! compared with what applications were told.

mod call;
mod stream;
mod text;

use std::collections::{BTreeMap, VecDeque};

pub use call::CallCheck;
pub use stream::Stream;
pub use text::{Wish, field, kind, status, token};

use super::process::Kind;
use crate::ids::{CallId, InstanceId, PortId};
use crate::timers::Instant;

/// What was wrong, and what led to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// When.
    pub at: Instant,
    /// What.
    pub text: String,
    /// The last notes of the call.
    pub last: Vec<String>,
}

/// What an event to an instance was, for the trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// StasisStart.
    Offered(PortId, u32, String),
    /// StasisEnd.
    Ended(PortId),
    /// ChannelDtmfReceived.
    Digit(PortId, char),
}

/// The checks of one world.
#[derive(Debug, Default)]
pub struct Checks {
    failure: Option<Failure>,
    /// Inputs that the node has taken.
    pub turn: call::Turn,
    findings: VecDeque<(Option<PortId>, String)>,
    calls: BTreeMap<CallId, CallCheck>,
    by_name: BTreeMap<String, CallId>,
    by_port: BTreeMap<PortId, CallId>,
    /// Calls that are over, for the summary of a script.
    pub over: Vec<CallCheck>,
}

impl Checks {
    /// Whether something was wrong.
    pub fn failed(&self) -> bool {
        self.failure.is_some()
    }

    /// What was wrong.
    pub fn failure(&self) -> Option<&Failure> {
        self.failure.as_ref()
    }

    /// Something is wrong: nothing further is looked at.
    pub fn fail(&mut self, at: Instant, text: String, last: Vec<String>) {
        self.failure.get_or_insert(Failure { at, text, last });
    }

    /// The next finding.
    pub fn take_finding(&mut self) -> Option<(Option<PortId>, String)> {
        self.findings.pop_front()
    }

    fn find(&mut self, port: Option<PortId>, found: Result<(), String>) {
        if let Err(text) = found {
            self.findings.push_back((port, text));
        }
    }

    /// A call begins at a port.
    pub fn begins(&mut self, port: PortId, call: CallId) {
        self.calls.insert(call, CallCheck::new(port));
        self.by_name.insert(call.to_string(), call);
        self.by_port.insert(port, call);
    }

    /// The call of a port is over.
    pub fn is_over(&mut self, call: CallId) {
        let Some(check) = self.calls.remove(&call) else { return };
        self.by_name.remove(&call.to_string());
        self.by_port.remove(&check.port);
        self.over.push(check);
    }

    /// Whether somebody asked the latest call of a port to end, or to be transferred.
    pub fn was_asked_to_end(&self, port: PortId) -> bool {
        let alive = self.at_port(port).and_then(|call| self.calls.get(&call));
        let over = || self.over.iter().rev().find(|call| call.port == port);
        alive.or_else(over).is_some_and(|call| call.may_end)
    }

    /// The call of a port.
    pub fn at_port(&self, port: PortId) -> Option<CallId> {
        self.by_port.get(&port).copied()
    }

    /// A call.
    pub fn call(&mut self, call: CallId) -> Option<&mut CallCheck> {
        self.calls.get_mut(&call)
    }

    /// The calls that `leaves` names may be ended by their ports.
    pub fn may_end(&mut self, leaves: impl Fn(PortId, CallId) -> bool) {
        for (call, check) in &mut self.calls {
            check.may_end |= leaves(check.port, *call);
        }
    }

    /// The connection of an instance has ended, which says all that StasisEnd says.
    pub fn gone(&mut self, instance: InstanceId) {
        let turn = self.turn;
        for check in self.calls.values_mut() {
            let channel = check.channel.as_mut();
            if let Some(channel) = channel.filter(|channel| channel.instance == instance) {
                channel.ended.get_or_insert((turn, false));
            }
        }
    }

    /// All calls.
    pub fn calls(&self) -> impl Iterator<Item = (&CallId, &CallCheck)> {
        self.calls.iter()
    }

    /// The call of a name.
    pub fn named(&self, name: &str) -> Option<CallId> {
        self.by_name.get(name).copied()
    }

    /// The node took a key of a call.
    pub fn key(&mut self, now: Instant, port: PortId, key: char) {
        let call = self.at_port(port);
        if let Some(call) = call.and_then(|call| self.calls.get_mut(&call)) {
            call.key(now, key);
        }
    }

    /// The node sends an event to an instance.
    pub fn event(
        &mut self,
        now: Instant,
        to: InstanceId,
        of: Kind,
        innocent: bool,
        event: &str,
    ) -> Option<Seen> {
        let name = kind(event);
        if !matches!(name, "StasisStart" | "StasisEnd" | "ChannelDtmfReceived") {
            return None;
        }
        let (call, generation) = text::channel(event).and_then(token)?;
        let check = self.named(call).and_then(|call| self.calls.get_mut(&call));
        let Some(check) = check else {
            self.find(None, Err(format!("{name} of {call}, which is no call")));
            return None;
        };
        let (port, turn) = (check.port, self.turn);
        let (found, seen) = match name {
            "StasisStart" => {
                let reason = field(event, r#""GW_REASON":""#).unwrap_or_default();
                let checkpoint = field(event, r#""GW_CHECKPOINT":""#).unwrap_or_default();
                let found = check.offered((now, turn), to, of, generation, reason, checkpoint);
                (found, Seen::Offered(port, generation, reason.to_owned()))
            }
            "StasisEnd" => (check.ended(turn, to, generation, innocent), Seen::Ended(port)),
            _ => {
                let digit = field(event, r#""digit":""#).and_then(|key| key.chars().next())?;
                (check.digit(now, to, generation, digit), Seen::Digit(port, digit))
            }
        };
        self.find(Some(port), found);
        Some(seen)
    }

    /// A command is about to be handled: whether its token is that of the owner, and whether it
    /// is the first one.
    pub fn commanded(
        &mut self,
        now: Instant,
        call: CallId,
        generation: u32,
        wish: &Wish<'_>,
    ) -> Option<bool> {
        let check = self.calls.get_mut(&call)?;
        let channel = check.channel.as_mut()?;
        if channel.generation != generation || channel.ended.is_some() {
            return None;
        }
        let first = channel.claimed_at.is_none();
        channel.claimed_at.get_or_insert(now);
        check.may_end |= wish.ends();
        Some(first)
    }

    /// The owner's command was accepted: what it says of digits is compared with what was typed.
    pub fn accepted(&mut self, call: CallId, wish: &Wish<'_>) -> Option<String> {
        let check = self.calls.get_mut(&call)?;
        if let Some(value) = wish.variable("GW_CHECKPOINT") {
            check.set_checkpoint(value);
        }
        let count = wish.variable("GW_ACK")?;
        let port = check.port;
        let found = check.acknowledge(count);
        let acknowledged = (count != "0").then(|| check.acknowledged.clone());
        self.find(Some(port), found);
        acknowledged
    }
}
