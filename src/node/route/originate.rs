//! Calls to the outside (`POST /channels`): whether one may be placed, and from which port.

use crate::ids::{CallId, PortId, RequestId};
use crate::ivr;
use crate::node::call::{Call, Leg};
use crate::node::{Duty, Node, Timer};
use crate::pool;
use crate::sip::{self, RegistrationState};
use crate::timers::{Duration, Instant};

/// Window of `outbound.max_per_hour`.
const HOUR: Duration = Duration::from_secs(3_600);

impl Node {
    /// `POST /channels`.
    pub(super) fn originate(&mut self, now: Instant, output: ivr::Output) {
        let ivr::Output::Originate {
            request,
            target,
            application,
            args,
            caller,
            timeout,
            variables,
            by,
        } = output
        else {
            return;
        };
        let result = self.place_call(now, request, target, &caller, timeout);
        let result = match result {
            Ok((call, port)) => {
                let call_made = pool::Input::Originated { port, call, application, args, by };
                self.pool.handle_input(now, call_made);
                for (name, value) in variables {
                    self.keep_variable(now, port, call, name, value);
                }
                Ok(ivr::NewCall { call, port, protocol_id: String::new() })
            }
            Err(refusal) => Err(refusal),
        };
        self.ivr.handle_input(now, ivr::Input::Originated { request, result });
    }

    fn place_call(
        &mut self,
        now: Instant,
        request: RequestId,
        target: String,
        (name, number): &(String, String),
        timeout: Duration,
    ) -> Result<(CallId, PortId), (u16, String)> {
        if self.duty != Duty::Acting {
            return Err((503, "This node is not primary".to_owned()));
        }
        self.outbound_allowed(now)?;
        let free = |port: &&crate::config::Port| {
            port.outbound
                && self.call_of(port.id).is_none()
                && matches!(
                    self.registrations[usize::from(port.id.0)],
                    RegistrationState::Registered { .. }
                )
        };
        // From the last port down: hunt groups fill from the first up.
        let Some(port) = self.config.ports.iter().rev().find(free).map(|port| port.id) else {
            return Err((503, "No port with outbound = true is registered and free".to_owned()));
        };
        let call = self.sip.next_call_id();
        let Some(udp_port) = self.open_udp_port(now, call, port) else {
            return Err((503, "media.udp_ports is used up: widen it".to_owned()));
        };
        let give_up_at = now + timeout;
        let leg = Leg::Outbound { request, target: target.clone(), give_up_at };
        let mut entry = Call::new(call, port, udp_port, leg, now);
        entry.caller = sip::Party { name: name.clone().into(), number: number.clone().into() };
        entry.called = sip::Party { name: String::new().into(), number: target.into() };
        self.admit(entry);
        self.outbound_at.push_back(now);
        self.timers.insert((give_up_at, call, Timer::NoAnswer));
        Ok((call, port))
    }

    fn outbound_allowed(&mut self, now: Instant) -> Result<(), (u16, String)> {
        if !self.phase.takes_calls() {
            return Err((503, "The node takes no new calls".to_owned()));
        }
        while self.outbound_at.front().is_some_and(|&at| at + HOUR <= now) {
            self.outbound_at.pop_front();
        }
        let live = self.calls.values().filter(|entry| entry.leg != Leg::Inbound).count();
        let limits = &self.config.outbound;
        if live >= limits.max_calls as usize {
            return Err((403, format!("outbound.max_calls = {} reached", limits.max_calls)));
        }
        if self.outbound_at.len() >= limits.max_per_hour as usize {
            let text = format!("outbound.max_per_hour = {} reached", limits.max_per_hour);
            return Err((403, text));
        }
        Ok(())
    }
}
