//! What the node shows of itself, gathered from its machines in one go.

use super::Node;
use super::snapshot::{
    Alarm, Call, Counters, Health, Instance, NodeInfo, Pong, Port, Registration, RegistrationState,
    Snapshot, reason_name,
};
use crate::config::Entry;
use crate::ids::PortId;
use crate::pool::Pool;
use crate::timers::{Duration, Instant};
use crate::{pool, sip};

impl Node {
    /// Everything that the faces show.
    pub fn snapshot(&self, now: Instant) -> Snapshot {
        Snapshot {
            node: NodeInfo {
                name: self.config.node.name.clone(),
                version: env!("CARGO_PKG_VERSION"),
                entity_id: self.config.node.entity_id.clone(),
                uptime_ms: ms(now.saturating_duration_since(self.started_at)),
                draining: !self.phase.takes_calls(),
                opening: self.is_opening(),
                pbx: self.config.pbx.id.clone(),
                profile: self.config.pbx.profile.clone(),
            },
            ports: self.pool.ports().map(|status| self.port_view(now, status)).collect(),
            calls: self.pool.ports().filter_map(|status| self.call_view(now, status)).collect(),
            instances: self.pool.instances().map(|status| instance_view(now, status)).collect(),
            counters: self.counters_view(),
            rebinds: self.rebinds.list(),
            alarms: self.alarms.list(now),
            media: super::snapshot::Media::default(),
            cluster: self.cluster_view(now),
            agents: self.agents_view(now),
        }
    }

    /// Who serves which port, for whoever checks it against what was sent.
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// What needs a person.
    pub fn alarms(&self, now: Instant) -> Vec<Alarm> {
        self.alarms.list(now)
    }

    /// Whether a healthy instance serves an application.
    pub(super) fn serves(&self, application: &str) -> bool {
        self.pool.instances().any(|status| {
            status.health == pool::Health::Healthy
                && status.applications.iter().any(|name| name == application)
        })
    }

    /// Whether an application has an instance that gets calls, or may again in a moment: one that
    /// is only late is no reason to call anybody.
    pub(super) fn may_serve(&self, application: &str) -> bool {
        self.pool.instances().any(|status| {
            matches!(status.health, pool::Health::Healthy | pool::Health::Suspect)
                && status.applications.iter().any(|name| name == application)
        })
    }

    fn port_view(&self, now: Instant, status: pool::PortStatus) -> Port {
        let port = &self.config.ports[usize::from(status.port.0)];
        Port {
            port: status.port,
            extension: port.extension.clone(),
            applications: port.applications.iter().map(entry_name).collect(),
            registration: self.registration_view(status.port),
            state: status.state,
            since_ms: ms(now.saturating_duration_since(status.since.max(self.started_at))),
            application: status.application,
            instance: status.instance,
            call: status.call,
            generation: status.generation,
        }
    }

    fn registration_view(&self, port: PortId) -> Registration {
        let registrar = |node: usize| self.sip.registrar(node).map(str::to_owned);
        let of = |state, detail: String| Registration { state, detail, ..Default::default() };
        match self.registrations[usize::from(port.0)] {
            sip::RegistrationState::Off => of(RegistrationState::Off, String::new()),
            sip::RegistrationState::Pending => of(RegistrationState::Pending, String::new()),
            sip::RegistrationState::Registered { expires, node } => Registration {
                state: RegistrationState::Registered,
                detail: String::new(),
                expires_s: Some(expires),
                registrar: registrar(node),
            },
            sip::RegistrationState::Refused { status, why } => {
                let why = why.map(|why| format!(": {why}")).unwrap_or_default();
                of(RegistrationState::Refused, format!("refused with {status}{why}"))
            }
            sip::RegistrationState::Unreachable { status } => {
                let detail = status.map_or_else(
                    || "no answer from any registrar".to_owned(),
                    |status| format!("no registrar grants it, the last try ended with {status}"),
                );
                of(RegistrationState::Unreachable, detail)
            }
            sip::RegistrationState::Unresolved => {
                of(RegistrationState::Unresolved, "PBX name does not resolve".to_owned())
            }
        }
    }

    fn call_view(&self, now: Instant, status: pool::PortStatus) -> Option<Call> {
        let entry = self.calls.get(&status.call?)?;
        Some(Call {
            call: entry.id,
            port: entry.port,
            extension: self.config.ports[usize::from(entry.port.0)].extension.clone(),
            caller: entry.caller.number.clone(),
            outbound: entry.leg != super::call::Leg::Inbound,
            since_ms: ms(now.saturating_duration_since(entry.began_at)),
            answered: entry.is_up(),
            state: status.state,
            application: status.application,
            instance: status.instance,
            generation: status.generation.unwrap_or_default(),
            playing: status.sounding,
            digits: status.digits,
            digits_discarded: status.digits_discarded,
        })
    }

    fn counters_view(&self) -> Counters {
        let pool = self.pool.counters();
        let mut counters = self.counters.clone();
        counters.rebinds_total =
            pool.rebinds.iter().map(|(reason, n)| (reason_name(*reason), *n)).collect();
        counters.rebind_times = self.rebinds.times();
        counters.digits_delivered_total = pool.digits_delivered;
        counters.digits_acked_total = pool.digits_acked;
        counters.digits_discarded_total = pool.digits_discarded;
        let ivr = self.ivr.counters();
        counters.ari_requests_total = ivr.requests.clone();
        counters.ari_events_total = ivr.events_sent;
        counters.digits_unsent_total = ivr.digits_unsent_total;
        add_sip(&mut counters, &self.sip.status().counters);
        counters
    }
}

/// An entry of a port's list, as in the configuration.
pub(in crate::node) fn entry_name(entry: &Entry) -> String {
    match entry {
        Entry::Application(name) => name.clone(),
        Entry::Announce => "builtin:announce".to_owned(),
    }
}

fn add_sip(counters: &mut Counters, sip: &sip::Counters) {
    counters.registers_total = sip.registers_sent;
    counters.unknown_sources_total = sip.unknown_sources;
    counters.unmatched_contacts_total = sip.refused_no_port;
    counters.refused_messages_total.extend([
        ("sip_malformed", sip.malformed),
        ("sip_challenge", sip.challenges_refused),
        ("sip_connection", sip.refused_connections),
        ("sip_dialog", sip.refused_no_dialog),
        ("sip_extension", sip.refused_extension),
        ("sip_flood", sip.refused_flood),
        ("sip_merged", sip.refused_merged),
        ("sip_method", sip.refused_method),
        ("sip_response", sip.stray_responses),
    ]);
    *counters.refused_messages_total.entry("sdp").or_default() += sip.refused_offers;
    counters.dropped_total.insert("sip_output", sip.requests_dropped);
}

fn instance_view(now: Instant, status: pool::InstanceStatus) -> Instance {
    let since = |at: Instant| ms(now.saturating_duration_since(at));
    let health = match status.health {
        pool::Health::Healthy | pool::Health::Draining => Health::Healthy,
        pool::Health::Suspect => Health::Suspect,
        pool::Health::Hung => Health::Hung,
    };
    let detail = match health {
        Health::Healthy => String::new(),
        Health::Suspect => "silent, slow to read, or just back from a hang".to_owned(),
        Health::Hung => "silent for longer than its hang_after".to_owned(),
    };
    Instance {
        instance: status.instance,
        user: status.user,
        applications: status.applications,
        health,
        detail,
        draining: status.draining,
        calls: u32::try_from(status.calls).unwrap_or(u32::MAX),
        since_ms: since(status.connected_at),
        pong: status.pong.map(|(p50, p99, longest)| Pong {
            p50_ms: p50.as_secs_f64() * 1e3,
            p99_ms: p99.as_secs_f64() * 1e3,
            longest_gap_ms: longest.as_secs_f64() * 1e3,
            hang_after_ms: status.hang_after.as_secs_f64() * 1e3,
        }),
        unsent_ms: status.unsent.map(since),
    }
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
