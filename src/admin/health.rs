//! How many of what, and whether the node can serve a caller.

use std::collections::BTreeMap;

use super::OPENING;
use crate::node::Snapshot;
use crate::node::snapshot::{Health, PortState, RegistrationState};

/// How many things are in each state; a state without any counts 0.
pub(super) struct Counts {
    pub(super) registrations: BTreeMap<&'static str, usize>,
    pub(super) ports: BTreeMap<&'static str, usize>,
    pub(super) instances: BTreeMap<&'static str, usize>,
}

impl Counts {
    pub(super) fn of(snapshot: &Snapshot) -> Self {
        let registrations = REGISTRATIONS.map(|(state, name)| {
            (name, snapshot.ports.iter().filter(|p| p.registration.state == state).count())
        });
        let ports = PortState::ALL.map(|state| {
            (state.name(), snapshot.ports.iter().filter(|p| p.state == state).count())
        });
        let instances = HEALTHS.map(|(health, name)| {
            (name, snapshot.instances.iter().filter(|i| i.health == health).count())
        });
        Self {
            registrations: registrations.into(),
            ports: ports.into(),
            instances: instances.into(),
        }
    }
}

const REGISTRATIONS: [(RegistrationState, &str); 6] = [
    (RegistrationState::Off, "off"),
    (RegistrationState::Pending, "pending"),
    (RegistrationState::Registered, "registered"),
    (RegistrationState::Refused, "refused"),
    (RegistrationState::Unreachable, "unreachable"),
    (RegistrationState::Unresolved, "unresolved"),
];

const HEALTHS: [(Health, &str); 3] =
    [(Health::Healthy, "healthy"), (Health::Suspect, "suspect"), (Health::Hung, "hung")];

/// The name of a registration's state, as in JSON.
pub(super) fn registration_name(state: RegistrationState) -> &'static str {
    name_in(&REGISTRATIONS, state)
}

/// The name of an instance's health, as in JSON.
pub(super) fn health_name(health: Health) -> &'static str {
    name_in(&HEALTHS, health)
}

fn name_in<T: PartialEq>(table: &[(T, &'static str)], value: T) -> &'static str {
    table.iter().find(|(v, _)| *v == value).map_or("", |(_, name)| name)
}

/// Why the node cannot serve a caller; empty when it can.
pub fn not_ready(snapshot: &Snapshot) -> Vec<String> {
    let mut reasons = Vec::new();
    if snapshot.node.draining {
        reasons.push("the node is drained: it takes no new calls".to_owned());
    }
    if snapshot.node.opening {
        reasons.push(OPENING.to_owned());
    }
    let counts = Counts::of(snapshot);
    if counts.registrations["registered"] == 0 {
        let unresolved = match counts.registrations["unresolved"] {
            0 => "",
            _ => ": PBX name does not resolve",
        };
        reasons.push(format!(
            "no port is registered at the PBX{unresolved} ({} refused, {} unreachable, {} pending, \
             {} off)",
            counts.registrations["refused"],
            counts.registrations["unreachable"],
            counts.registrations["pending"],
            counts.registrations["off"],
        ));
    }
    // Ports that only announce need no instance.
    let builtin = |entry: &String| entry.starts_with("builtin:");
    let announces = snapshot.ports.iter().any(|p| p.applications.iter().all(builtin));
    if counts.instances["healthy"] == 0 && !announces {
        reasons.push(match snapshot.instances.len() {
            0 => "no instance is connected".to_owned(),
            n => format!("none of {n} instances is healthy"),
        });
    }
    reasons
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::fixture;

    #[test]
    fn a_node_with_a_port_and_a_healthy_instance_is_ready() {
        assert!(not_ready(&fixture::snapshot()).is_empty());
    }

    #[test]
    fn each_thing_that_is_missing_is_a_reason() {
        let mut snapshot = fixture::snapshot();
        snapshot.ports[1].registration.state = RegistrationState::Refused;
        snapshot.instances[0].health = Health::Suspect;
        snapshot.node.draining = true;
        let reasons = not_ready(&snapshot);
        assert_eq!(reasons.len(), 3, "{reasons:?}");
        assert!(reasons[1].contains("2 unreachable") && reasons[1].contains("1 refused"));
        assert_eq!(reasons[2], "none of 2 instances is healthy");
    }

    #[test]
    fn a_node_that_only_announces_needs_no_instance() {
        let mut snapshot = fixture::snapshot();
        snapshot.instances.clear();
        assert_eq!(not_ready(&snapshot), ["no instance is connected"]);
        for port in &mut snapshot.ports {
            port.applications = vec!["builtin:announce".to_owned()];
        }
        assert!(not_ready(&snapshot).is_empty());
    }

    #[test]
    fn names_of_states_are_those_of_serde() {
        let json = |value: serde_json::Value| value.as_str().expect("a word").to_owned();
        for (state, name) in REGISTRATIONS {
            assert_eq!(json(serde_json::json!(state)), name);
        }
        for state in PortState::ALL {
            assert_eq!(json(serde_json::json!(state)), state.name());
        }
        for (health, name) in HEALTHS {
            assert_eq!(json(serde_json::json!(health)), name);
        }
    }
}
