//! What the PBX says of our ports: registered, refused, unreachable, and the alarms of it.

use tracing::debug;

use crate::ids::PortId;
use crate::node::snapshot::AlarmKind;
use crate::node::{Duty, Node};
use crate::sip::RegistrationState;
use crate::timers::Instant;

impl Node {
    pub(in crate::node) fn registration(
        &mut self,
        now: Instant,
        port: PortId,
        state: RegistrationState,
    ) {
        let index = usize::from(port.0);
        let Some(slot) = self.registrations.get_mut(index) else { return };
        *slot = state;
        let extension = self.config.ports[index].extension.clone();
        let registrar = self.config.pbx.registrars.first().cloned().unwrap_or_default();
        match state {
            RegistrationState::Registered { expires, node } => {
                debug!(%port, extension, expires, node, "registered");
                self.clear_refused(port, None);
                self.granted(now, port);
            }
            RegistrationState::Refused { status, why } => {
                let kind = AlarmKind::PbxRefused { extension, registrar, status, why };
                self.clear_refused(port, Some(&kind));
                self.alarms.raise(kind, now);
            }
            RegistrationState::Off
            | RegistrationState::Pending
            | RegistrationState::Unreachable { .. }
            | RegistrationState::Unresolved => {}
        }
        self.pbx_reachable(now);
        self.end_silent_calls(now);
        self.tell_pbx(now);
        self.tell_beat(now);
        self.outage_may_end(now);
        self.check_unbound(now);
    }

    /// A name of the registrar list does not resolve, or does again.
    pub(super) fn pbx_named(&mut self, now: Instant, entry: usize, why: Option<String>) {
        let Some(registrar) = self.config.pbx.registrars.get(entry).cloned() else { return };
        self.alarms.clear(|kind| {
            matches!(kind, AlarmKind::PbxNameUnknown { registrar: r, why: w }
                if *r == registrar && Some(w) != why.as_ref())
        });
        if let Some(why) = why {
            self.counters.name_lookups_failed_total += 1;
            self.alarms.raise(AlarmKind::PbxNameUnknown { registrar, why }, now);
        }
    }

    /// What OPTIONS tell of the PBX counts where no registration does: at a backup without a
    /// control extension.
    pub(super) fn pbx_answers(&mut self, now: Instant, any: bool) {
        self.pbx_answers = Some(any);
        self.tell_unreached(now);
        self.tell_pbx(now);
        self.tell_beat(now);
    }

    /// A backup that does not reach the PBX is told of; a node that acts has its registrations.
    pub(super) fn tell_unreached(&mut self, now: Instant) {
        let registrars = self.config.pbx.registrars.join(", ");
        let text = format!(
            "the PBX at {registrars} does not answer this node, which could not take over: check \
             the network, the PBX and pbx.registrars"
        );
        let kind = AlarmKind::Other { extension: None, text };
        if self.duty == Duty::Following && self.reaches_pbx() == Some(false) {
            self.alarms.raise(kind, now);
        } else {
            self.alarms.clear(|standing| *standing == kind);
        }
    }

    /// A port has one refusal at a time.
    fn clear_refused(&mut self, port: PortId, but: Option<&AlarmKind>) {
        let extension = &self.config.ports[usize::from(port.0)].extension;
        self.alarms.clear(|kind| {
            let same = matches!(kind, AlarmKind::PbxRefused { extension: e, .. } if e == extension);
            same && Some(kind) != but
        });
    }

    /// One alarm for an unreachable PBX, however many ports miss it.
    fn pbx_reachable(&mut self, now: Instant) {
        let is_alarm = |kind: &AlarmKind| matches!(kind, AlarmKind::PbxUnreachable { .. });
        let count = |is: fn(&RegistrationState) -> bool| {
            self.registrations.iter().filter(|state| is(state)).count()
        };
        if count(|state| matches!(state, RegistrationState::Unreachable { .. })) == 0 {
            return self.alarms.clear(is_alarm);
        }
        let waiting = count(|state| {
            matches!(state, RegistrationState::Unreachable { .. } | RegistrationState::Pending)
        });
        let ports = u32::try_from(waiting).unwrap_or(u32::MAX);
        let registrars = self.config.pbx.registrars.join(", ");
        let kind = AlarmKind::PbxUnreachable { registrars, ports };
        if self.pbx_unreachable() {
            self.alarms.revise(is_alarm, kind);
        } else {
            self.alarms.raise(kind, now);
        }
    }

    /// Whether a port got no answer from any node. One that answers 5xx is alive, and still says
    /// when a call is over.
    pub(in crate::node) fn pbx_is_silent(&self) -> bool {
        self.registrations.contains(&RegistrationState::Unreachable { status: None })
    }

    fn pbx_unreachable(&self) -> bool {
        self.alarms.stands(|kind| matches!(kind, AlarmKind::PbxUnreachable { .. }))
    }

    /// What is said of a port's binding stands until the endpoint says that it is over.
    pub(super) fn sip_alarm(&mut self, now: Instant, port: Option<PortId>, text: String) {
        let Some(port) = port else {
            return self.alarms.raise_passing(AlarmKind::Other { extension: None, text }, now);
        };
        self.sip_alarm_over(port);
        let extension = self.config.ports.get(usize::from(port.0)).map(|p| p.extension.clone());
        self.alarms.raise(AlarmKind::Other { extension, text }, now);
    }

    pub(super) fn sip_alarm_over(&mut self, port: PortId) {
        let Some(port) = self.config.ports.get(usize::from(port.0)) else { return };
        self.alarms.clear(|kind| {
            matches!(kind, AlarmKind::Other { extension: Some(e), .. } if *e == port.extension)
        });
    }
}
