//! A snapshot as JSON. The keys are a contract: docs/OPERATING.md lists them, a test holds them.

use serde_json::{Value, json};

use super::health::Counts;
use crate::node::snapshot::{Alarm, Rebind, reason_name};
use crate::node::{Order, Snapshot};
use crate::timers::Duration;

/// Rebinds in `status`; `rebinds` has all that are kept.
const REBINDS_SHOWN: usize = 10;

/// `portkeeper status --json`
pub(super) fn status(snapshot: &Snapshot) -> Value {
    let counts = Counts::of(snapshot);
    let latest = snapshot.rebinds.iter().rev().take(REBINDS_SHOWN).rev();
    json!({
        "node": snapshot.node,
        "registrations": counts.registrations,
        "ports": counts.ports,
        "calls": snapshot.calls.len(),
        "instances": counts.instances,
        "counters": snapshot.counters,
        "rebinds": latest.map(rebind).collect::<Vec<_>>(),
        "alarms": snapshot.alarms.iter().map(alarm).collect::<Vec<_>>(),
        "media": snapshot.media,
        "cluster": snapshot.cluster,
    })
}

/// `portkeeper ports --json`
pub(super) fn ports(snapshot: &Snapshot) -> Value {
    json!(snapshot.ports)
}

/// `portkeeper calls --json`
pub(super) fn calls(snapshot: &Snapshot) -> Value {
    json!(snapshot.calls)
}

/// `portkeeper instances --json`
pub(super) fn instances(snapshot: &Snapshot) -> Value {
    json!(snapshot.instances)
}

/// `portkeeper rebinds --json`
pub(super) fn rebinds(snapshot: &Snapshot) -> Value {
    snapshot.rebinds.iter().map(rebind).collect()
}

fn alarm(alarm: &Alarm) -> Value {
    json!({
        "kind": alarm.kind.name(),
        "text": alarm.kind.to_string(),
        "since_ms": alarm.since_ms,
    })
}

fn rebind(rebind: &Rebind) -> Value {
    json!({
        "call": rebind.call.to_string(),
        "port": rebind.port,
        "reason": reason_name(rebind.reason),
        "from": rebind.from.map(|i| i.to_string()),
        "to": rebind.to.to_string(),
        "generation": rebind.generation,
        "detect_ms": millis(rebind.detect),
        "decide_ms": millis(rebind.decide()),
        "claim_ms": rebind.claim().map(millis),
        "total_ms": rebind.total().map(millis),
        "verdict_at_ns": rebind.verdict_at,
        "offered_at_ns": rebind.offered_at,
        "written_at_ns": rebind.written_at,
        "claimed_at_ns": rebind.claimed_at,
        "first_media_at_ns": rebind.first_media_at,
    })
}

/// Milliseconds with three places.
pub(super) fn millis(duration: Duration) -> f64 {
    let micros = u32::try_from(duration.as_micros()).unwrap_or(u32::MAX);
    f64::from(micros) / 1_000.0
}

/// `{"p50","p99","max","n"}` of some durations, in milliseconds; `null` where there are none.
pub fn distribution(durations: &[Duration]) -> Value {
    let mut sorted = durations.to_vec();
    sorted.sort_unstable();
    let at = |share: usize| sorted.get((sorted.len() * share).div_ceil(100).saturating_sub(1));
    json!({
        "p50": at(50).copied().map(millis),
        "p99": at(99).copied().map(millis),
        "max": sorted.last().copied().map(millis),
        "n": sorted.len(),
    })
}

/// What an operator ordered, and what it means in words.
pub(super) fn order(order: Order, text: &str) -> Value {
    match order {
        Order::DrainInstance { instance, on } => {
            json!({"instance": instance.to_string(), "draining": on, "text": text})
        }
        Order::Rebind { port } => json!({"port": port.0, "text": text}),
        Order::SelfCall => json!({"text": text}),
        Order::DrainNode { on } => json!({"draining": on, "text": text}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::fixture;

    fn pretty(value: &Value) -> String {
        serde_json::to_string_pretty(value).expect("plain") + "\n"
    }

    #[test]
    fn the_keys_of_every_answer_are_those_of_the_contract() {
        let snapshot = fixture::snapshot();
        let answers = json!({
            "status": status(&snapshot),
            "ports": ports(&snapshot),
            "calls": calls(&snapshot),
            "instances": instances(&snapshot),
            "rebinds": rebinds(&snapshot),
        });
        let shown = pretty(&answers);
        assert_eq!(shown, include_str!("../../fixtures/admin/answers.json"), "\n{shown}");
    }

    #[test]
    fn every_key_is_explained_in_the_operating_manual() {
        fn keys(value: &Value, found: &mut Vec<String>) {
            match value {
                Value::Object(map) => map.iter().for_each(|(key, value)| {
                    found.push(key.clone());
                    keys(value, found);
                }),
                Value::Array(list) => list.iter().for_each(|value| keys(value, found)),
                _ => {}
            }
        }
        let manual = include_str!("../../docs/OPERATING.md");
        let snapshot = fixture::snapshot();
        let mut found = Vec::new();
        for answer in [status, ports, calls, instances, rebinds] {
            keys(&answer(&snapshot), &mut found);
        }
        let labels = ["200", "404", "hang", "far_end", "sip_malformed", "sip_input"];
        for key in found.iter().filter(|key| !labels.contains(&key.as_str())) {
            assert!(manual.contains(&format!("`{key}`")), "docs/OPERATING.md lacks `{key}`");
        }
    }

    #[test]
    fn a_distribution_takes_the_nearest_rank() {
        let durations: Vec<_> = (1..=200).map(Duration::from_millis).collect();
        let expected = json!({"p50": 100.0, "p99": 198.0, "max": 200.0, "n": 200});
        assert_eq!(distribution(&durations), expected);
        let one = json!({"p50": 7.0, "p99": 7.0, "max": 7.0, "n": 1});
        assert_eq!(distribution(&[Duration::from_millis(7)]), one);
        assert_eq!(distribution(&[])["p50"], Value::Null);
    }
}
