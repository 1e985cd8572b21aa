//! Calls that the control extension places: when their turn comes, and by which way they leave.
//!
//! People are called through the PBX. A node that does not reach it takes the trunk, to whatever is
//! dialled there for whoever is on the list; the others of the list are passed over. Whether the
//! trunk is there is asked all the time, for it carries nothing until it is needed.

use tracing::warn;

use crate::ids::{CallId, PortId, RequestId};
use crate::menu::AlertInput;
use crate::node::call::{Call, Leg};
use crate::node::control::{Control, Purpose, Trunk};
use crate::node::snapshot::{AlarmKind, cluster as view};
use crate::node::{Node, Timer};
use crate::sip::{self, EndCause};
use crate::timers::{Duration, Instant};

/// Whom we call has this long to answer.
const RING: Duration = Duration::from_secs(30);

impl Node {
    /// Calls somebody from the control extension, when its turn comes; before any restart message.
    /// One such call at a time: the other lines are there for who calls. But an alert call in which
    /// nobody presses a key holds nobody up, as far as there are lines, and then it ends.
    pub(super) fn place_control(
        &mut self,
        now: Instant,
        to: String,
        purpose: Purpose,
        person: Option<usize>,
    ) {
        let waiting = &mut self.controls.to_place;
        let is_message = |(_, purpose, _): &(_, Purpose, _)| *purpose == Purpose::RestartMessage;
        let at = waiting.iter().position(is_message).unwrap_or(waiting.len());
        waiting.insert(at, (to, purpose, person));
        self.place_waiting(now);
    }

    pub(super) fn place_waiting(&mut self, now: Instant) {
        let Some((_, next, _)) = self.controls.to_place.front() else { return };
        let message = *next == Purpose::RestartMessage;
        if self.placed_calls().any(|(_, control)| message || !control.only_listens()) {
            return;
        }
        let Some(line) = self.free_way_out() else { return self.give_a_listener_up(now) };
        let Some((number, purpose, person)) = self.controls.to_place.pop_front() else { return };
        let target = if self.is_trunk(line) { self.outside(person) } else { Some(number) };
        let Some(target) = target else { return self.not_by_trunk(now, person) };
        let call = self.sip.next_call_id();
        let Some(udp_port) = self.open_udp_port(now, call, line) else {
            warn!("no UDP port is free for a call of the control extension");
            if let Some(person) = person {
                self.alert(now, AlertInput::Ended { person });
            }
            return;
        };
        let give_up_at = now + RING;
        // No application waits for an answer.
        let request = RequestId(0);
        let leg = Leg::Outbound { request, target: target.clone(), give_up_at };
        let mut placed = Call::new(call, line, udp_port, leg, now);
        let port = self.config.port_of(line);
        let number = self.config.ports[usize::from(port.0)].extension.clone();
        placed.caller = sip::Party { name: String::new().into(), number: number.into() };
        placed.called = sip::Party { name: String::new().into(), number: target.into() };
        self.admit(placed);
        self.timers.insert((give_up_at, call, Timer::NoAnswer));
        self.admit_menu(call, purpose, person);
        if let Some(person) = person {
            self.alert(now, AlertInput::Placed { person });
        }
    }

    /// The line for the next call: the trunk's, where this node does not reach the PBX.
    fn free_way_out(&self) -> Option<PortId> {
        match self.config.trunk().filter(|_| self.reaches_pbx() == Some(false)) {
            Some(trunk) => Some(trunk.port).filter(|&line| self.call_of(line).is_none()),
            None => self.free_line(),
        }
    }

    pub(super) fn is_trunk(&self, line: PortId) -> bool {
        self.config.trunk_at(line).is_some()
    }

    /// What the trunk refuses is a matter of its configuration here, or of whoever runs it.
    pub(super) fn trunk_ended(&mut self, now: Instant, line: PortId, cause: EndCause) {
        let EndCause::Refused { status } = cause else { return };
        let of_person = matches!(status, 480 | 486 | 487 | 600 | 603);
        let Some(trunk) = self.config.trunk_at(line).filter(|_| !of_person) else {
            return;
        };
        let address = trunk.address;
        let text = format!(
            "the trunk {address} refused an alert call with {status}: see to [control.trunk], and \
             to what it expects of this host"
        );
        self.alarms.raise_passing(AlarmKind::Other { extension: None, text }, now);
    }

    /// What OPTIONS tell of the trunk.
    pub(super) fn trunk_heard(&mut self, now: Instant, answers: bool) {
        self.controls.trunk = self.controls.trunk.after(answers);
        let Some(trunk) = self.config.trunk() else { return };
        let text = format!(
            "the trunk {} answers OPTIONS no more, alert calls of this node may not leave by it: \
             see to the gateway, and to the way there",
            trunk.address
        );
        let kind = AlarmKind::Other { extension: None, text };
        if self.controls.trunk == Trunk::Silent {
            self.alarms.raise(kind, now);
        } else {
            self.alarms.clear(|standing| *standing == kind);
        }
    }

    /// What `status` says of it; `None`: there is none.
    pub(super) fn trunk_view(&self) -> Option<view::Trunk> {
        let address = self.config.trunk()?.address.to_string();
        Some(view::Trunk { address, state: self.controls.trunk.name() })
    }

    /// What is dialled where somebody of the list is called by the trunk.
    fn outside(&self, person: Option<usize>) -> Option<String> {
        self.config.control.as_ref()?.on_call.get(person?)?.outside.clone()
    }

    /// Whom the trunk does not reach is not called: the next one is.
    fn not_by_trunk(&mut self, now: Instant, person: Option<usize>) {
        match person {
            Some(person) => self.alert(now, AlertInput::Ended { person }),
            None => warn!("a call of the control extension is not made: the PBX is not reached"),
        }
        self.place_waiting(now);
    }

    pub(super) fn placed_calls(&self) -> impl Iterator<Item = (CallId, &Control)> {
        let places = |call: &CallId| self.calls.get(call).is_some_and(|entry| entry.outbound);
        let placed = self.controls.calls.iter().filter(move |(call, _)| places(call));
        placed.map(|(&call, control)| (call, control))
    }

    /// Whoever has listened for longest makes room for the next one who is to be called.
    fn give_a_listener_up(&mut self, now: Instant) {
        let longest = self.placed_calls().find(|(_, control)| control.only_listens());
        if let Some((call, _)) = longest {
            self.hang_up(now, call, Some(16));
        }
    }
}
