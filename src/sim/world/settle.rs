//! What must hold at any time, looked at four times a second, and what must hold in the end.

use std::collections::BTreeMap;

use super::super::site;
use super::World;
use crate::ids::{CallId, InstanceId, PortId};
use crate::pool::{Health, PortState, PortStatus};
use crate::timers::Duration;

/// An offer may stand so long without a claim when all is well.
const CLAIM_MAX: Duration = Duration::from_millis(2_100);

impl World {
    /// Looks at everything.
    pub(super) fn sweep(&mut self) {
        for index in 0..self.open.len() {
            let port = self.open[index];
            if let Some(fault) = self.lines[usize::from(port.0)].stream.look(self.now) {
                return self.violation(Some(port), fault);
            }
        }
        if self.stall.until.is_none() {
            self.compare_owners();
            self.compare_loads();
        }
    }

    /// The pool and the applications agree on who has which call, under which token.
    fn compare_owners(&mut self) {
        let mut faults = Vec::new();
        for status in self.node.pool().ports() {
            let fault = match self.checks.at_port(status.port) {
                Some(call) => self.disagrees(&status, call),
                None => status.call.map(|call| format!("{call} has a port and no media")),
            };
            faults.extend(fault.map(|fault| (status.port, fault)));
        }
        for (port, fault) in faults {
            self.violation(Some(port), fault);
        }
    }

    fn disagrees(&self, status: &PortStatus, call: CallId) -> Option<String> {
        if status.call != Some(call) {
            return Some(format!("its media belongs to {call}, the port to {:?}", status.call));
        }
        let (_, check) = self.checks.calls().find(|(id, _)| **id == call)?;
        let told = check.owner().map(|channel| (channel.instance, channel.generation));
        let thinks = match status.state {
            PortState::Offered | PortState::Bound => {
                status.instance.zip(status.generation.map(|generation| generation.0))
            }
            // The call is on its way out: its last owner is told when it is over.
            PortState::Leaving => return None,
            PortState::Idle
            | PortState::Queued
            | PortState::Rebinding
            | PortState::Announce
            | PortState::Outbound => None,
        };
        (told != thinks).then(|| format!("the pool thinks {thinks:?}, applications know {told:?}"))
    }

    /// The load by which instances are chosen is the number of their calls.
    fn compare_loads(&mut self) {
        let mut calls: BTreeMap<InstanceId, usize> = BTreeMap::new();
        for status in self.node.pool().ports() {
            if let (PortState::Offered | PortState::Bound, Some(id)) =
                (status.state, status.instance)
            {
                *calls.entry(id).or_default() += 1;
            }
        }
        let mut faults = Vec::new();
        for status in self.node.pool().instances() {
            let real = calls.get(&status.instance).copied().unwrap_or_default();
            if status.health == Health::Hung && real > 0 {
                faults.push(format!("{} hangs and keeps {real} calls", status.instance));
            }
            if status.calls != real {
                let id = status.instance;
                faults.push(format!("{id} has {real} calls and counts for {}", status.calls));
            }
        }
        for fault in faults {
            self.violation(None, fault);
        }
    }

    /// Before the first fault: the PBX knows every port.
    pub fn must_be_registered(&mut self) {
        for port in (0..site::PORTS).map(PortId) {
            let extension = site::extension(port);
            if !self.pbx.is_registered(&extension, self.now) {
                self.violation(Some(port), format!("{extension} is not registered"));
            }
        }
    }

    /// Some time after every fault has ended: every call is served by an instance that works, and
    /// every key is where it belongs.
    pub fn must_be_settled(&mut self) {
        let statuses: Vec<_> = self.node.pool().ports().collect();
        for status in statuses {
            if let Some(fault) = self.unsettled(&status) {
                self.violation(Some(status.port), fault);
            }
        }
    }

    fn unsettled(&self, status: &PortStatus) -> Option<String> {
        let since = self.now.saturating_duration_since(status.since);
        match status.state {
            PortState::Idle | PortState::Announce | PortState::Leaving => None,
            PortState::Offered if since < CLAIM_MAX => None,
            PortState::Bound => self.unsettled_keys(status),
            PortState::Queued | PortState::Offered | PortState::Rebinding | PortState::Outbound => {
                let state = status.state.name();
                Some(format!("{state} for {since:?}, though applications are there"))
            }
        }
    }

    fn unsettled_keys(&self, status: &PortStatus) -> Option<String> {
        let call = self.checks.at_port(status.port)?;
        let (_, check) = self.checks.calls().find(|(id, _)| **id == call)?;
        let owner = status.instance?;
        if !self.processes.iter().any(|p| p.id == owner && p.is_alive()) {
            return Some(format!("{owner} has the call and is dead"));
        }
        if check.has_settled() {
            return None;
        }
        let (typed, known) = (check.typed(), &check.acknowledged);
        Some(format!("{typed} was typed, and {owner} knows {known}"))
    }

    /// Whether every kind of application is there and healthy, as the pool sees it.
    pub fn must_be_served(&mut self) {
        for kind in [super::super::process::Kind::Main, super::super::process::Kind::Basic] {
            let of_kind = self.processes.iter().filter(|p| p.kind == kind && p.is_alive());
            let ids: Vec<InstanceId> = of_kind.map(|process| process.id).collect();
            if !ids.iter().any(|id| self.is_healthy(*id)) {
                let name = kind.name();
                self.violation(None, format!("no instance of {name} is healthy at the end"));
            }
        }
    }

    /// After everybody hung up: nothing is left of any call.
    pub fn must_be_empty(&mut self) {
        let busy: Vec<PortStatus> =
            self.node.pool().ports().filter(|p| p.state != PortState::Idle).collect();
        for status in busy {
            let state = status.state.name();
            self.violation(Some(status.port), format!("still {state} after everybody hung up"));
        }
        let open = self.lines.iter().position(|line| !line.is_closed());
        if let Some(index) = open {
            let port = PortId(u16::try_from(index).unwrap_or(u16::MAX));
            self.violation(Some(port), "its UDP port is not given back".into());
        }
        let left: Vec<PortId> = self.callers.values().map(|caller| caller.port).collect();
        for port in left {
            let extension = site::extension(port);
            self.violation(Some(port), format!("{extension} still has a line at the PBX"));
        }
    }

    /// After an orderly stop: it has ended, and the PBX sends no call to any port.
    pub fn must_have_stopped(&mut self) {
        if self.stop != Some(true) {
            self.violation(None, "the node was asked to stop and has not".into());
        }
        for port in (0..site::PORTS).map(PortId) {
            let extension = site::extension(port);
            if self.pbx.is_registered(&extension, self.now) {
                let text = format!("{extension} is registered after the node has stopped");
                self.violation(Some(port), text);
            }
        }
    }
}
