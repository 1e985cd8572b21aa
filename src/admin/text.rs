//! A snapshot as text for a terminal.

use std::fmt::Write;

use super::OPENING;
use super::health::{Counts, health_name, registration_name};
use super::json::millis;
use super::table::Table;
use crate::node::Snapshot;
use crate::node::snapshot::{Call, Instance, Port, Rebind, mask, reason_name};
use crate::timers::Duration;

/// `portkeeper status`
pub(super) fn status(snapshot: &Snapshot) -> String {
    let mut text = String::new();
    for (name, line) in [
        ("node", node_line(snapshot)),
        ("pbx", pbx_line(snapshot)),
        ("ports", ports_line(snapshot)),
        ("calls", calls_line(snapshot)),
        ("instances", instances_line(snapshot)),
        ("rebinds", rebinds_line(snapshot)),
        ("digits", digits_line(snapshot)),
        ("media", media_line(snapshot)),
    ] {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{name:<11}{line}");
    }
    if let Some(cluster) = &snapshot.cluster {
        text += &super::cluster::lines(cluster);
    }
    if snapshot.alarms.is_empty() {
        text.push_str("alarms     none\n");
    }
    for alarm in &snapshot.alarms {
        let since = age(alarm.since_ms);
        let _ = writeln!(text, "ALARM      {} (for {since})", alarm.kind);
    }
    text
}

fn node_line(snapshot: &Snapshot) -> String {
    let node = &snapshot.node;
    let drained = if node.draining { ", drained: takes no new calls" } else { "" };
    let opening = if node.opening { format!(", {OPENING}") } else { String::new() };
    format!("{} {}, up {}{drained}{opening}", node.name, node.version, age(node.uptime_ms))
}

fn pbx_line(snapshot: &Snapshot) -> String {
    let node = &snapshot.node;
    let counts = Counts::of(snapshot).registrations;
    let rest = some_of(counts.iter().filter(|(name, _)| **name != "registered"));
    let rest = if rest.is_empty() { rest } else { format!(" ({rest})") };
    format!(
        "{} ({}): {} of {} ports registered{rest}",
        node.pbx,
        node.profile,
        counts["registered"],
        snapshot.ports.len()
    )
}

fn ports_line(snapshot: &Snapshot) -> String {
    some_of(&Counts::of(snapshot).ports)
}

fn calls_line(snapshot: &Snapshot) -> String {
    format!("{} up, {} since the start", snapshot.calls.len(), snapshot.counters.calls_total)
}

fn instances_line(snapshot: &Snapshot) -> String {
    let instances = some_of(&Counts::of(snapshot).instances);
    let draining = snapshot.instances.iter().filter(|i| i.draining).count();
    match (instances.is_empty(), draining) {
        (true, _) => "none connected".to_owned(),
        (false, 0) => instances,
        (false, n) => format!("{instances}; {n} drained"),
    }
}

fn rebinds_line(snapshot: &Snapshot) -> String {
    let counters = &snapshot.counters;
    let count: u64 = counters.rebinds_total.values().sum();
    let stale = counters.stale_commands_total;
    let by_reason = some_of(&counters.rebinds_total);
    let by_reason = if by_reason.is_empty() { by_reason } else { format!(" ({by_reason})") };
    format!("{count}{by_reason}; {stale} stale commands refused")
}

fn digits_line(snapshot: &Snapshot) -> String {
    let counters = &snapshot.counters;
    format!(
        "{} received, {} delivered, {} discarded, {} refused, {} lost",
        counters.digits_received_total,
        counters.digits_delivered_total,
        counters.digits_discarded_total,
        counters.digits_refused_total,
        counters.digits_lost_total
    )
}

fn media_line(snapshot: &Snapshot) -> String {
    let (media, counters) = (&snapshot.media, &snapshot.counters);
    format!(
        "{} workers, scheduling {}; {} packets sent, {} late, {} received, {} refused",
        media.workers,
        media.scheduling,
        counters.rtp_sent_total,
        counters.rtp_late_total,
        counters.rtp_received_total,
        counters.rtp_refused_total
    )
}

/// `3 idle, 1 bound`: only what there is.
fn some_of<'a, N>(counts: impl IntoIterator<Item = (&'a &'static str, &'a N)>) -> String
where
    N: Copy + TryInto<u64> + 'a,
{
    let counts = counts.into_iter().map(|(name, n)| (name, (*n).try_into().unwrap_or(u64::MAX)));
    let shown = counts.filter(|(_, n)| *n > 0).map(|(name, n)| format!("{n} {name}"));
    shown.collect::<Vec<_>>().join(", ")
}

/// `portkeeper ports`
pub(super) fn ports(snapshot: &Snapshot) -> String {
    let mut table = Table::new(&[
        "#PORT",
        "EXTENSION",
        "REGISTRATION",
        "STATE",
        "#FOR",
        "APPLICATION",
        "INSTANCE",
        "CALL",
        "#GEN",
        "DETAIL",
    ]);
    for port in &snapshot.ports {
        table.row(port_row(port));
    }
    table.text()
}

fn port_row(port: &Port) -> Vec<String> {
    vec![
        port.port.to_string(),
        port.extension.clone(),
        registration_name(port.registration.state).to_owned(),
        port.state.name().to_owned(),
        age(port.since_ms),
        port.application.clone().unwrap_or_default(),
        shown(port.instance),
        shown(port.call),
        shown(port.generation),
        port.registration.detail.clone(),
    ]
}

/// `portkeeper calls`
pub(super) fn calls(snapshot: &Snapshot) -> String {
    let mut table = Table::new(&[
        "CALL",
        "#PORT",
        "EXTENSION",
        "CALLER",
        "STATE",
        "#FOR",
        "APPLICATION",
        "INSTANCE",
        "#GEN",
        "PLAYING",
        "#DIGITS",
        "#DISCARDED",
    ]);
    for call in &snapshot.calls {
        table.row(call_row(call));
    }
    table.text()
}

fn call_row(call: &Call) -> Vec<String> {
    vec![
        call.call.to_string(),
        call.port.to_string(),
        call.extension.clone(),
        mask(&call.caller),
        call.state.name().to_owned(),
        age(call.since_ms),
        call.application.clone().unwrap_or_default(),
        shown(call.instance),
        call.generation.to_string(),
        if call.playing { "yes" } else { "no" }.to_owned(),
        call.digits.to_string(),
        call.digits_discarded.to_string(),
    ]
}

/// `portkeeper instances`
pub(super) fn instances(snapshot: &Snapshot) -> String {
    let mut table = Table::new(&[
        "INSTANCE",
        "USER",
        "APPLICATIONS",
        "HEALTH",
        "#CALLS",
        "#FOR",
        "#PONG-P50",
        "#PONG-P99",
        "#GAP",
        "#HANG-AFTER",
        "DETAIL",
    ]);
    for instance in &snapshot.instances {
        table.row(instance_row(instance));
    }
    table.text()
}

fn instance_row(instance: &Instance) -> Vec<String> {
    let pong = |of: fn(&crate::node::snapshot::Pong) -> f64| {
        instance.pong.as_ref().map_or_else(String::new, |pong| format!("{:.1}ms", of(pong)))
    };
    let drained = if instance.draining { ", drained" } else { "" };
    vec![
        instance.instance.to_string(),
        instance.user.clone(),
        instance.applications.join(","),
        format!("{}{drained}", health_name(instance.health)),
        instance.calls.to_string(),
        age(instance.since_ms),
        pong(|p| p.p50_ms),
        pong(|p| p.p99_ms),
        pong(|p| p.longest_gap_ms),
        pong(|p| p.hang_after_ms),
        instance.detail.clone(),
    ]
}

/// `portkeeper rebinds`
pub(super) fn rebinds(snapshot: &Snapshot) -> String {
    let mut table = Table::new(&[
        "CALL", "#PORT", "REASON", "FROM", "TO", "#GEN", "#DETECT", "#DECIDE", "#CLAIM", "#TOTAL",
    ]);
    for rebind in &snapshot.rebinds {
        table.row(rebind_row(rebind));
    }
    table.text()
}

fn rebind_row(rebind: &Rebind) -> Vec<String> {
    let ms = |duration: Option<Duration>| {
        duration.map_or_else(String::new, |d| format!("{:.1}ms", millis(d)))
    };
    vec![
        rebind.call.to_string(),
        rebind.port.to_string(),
        reason_name(rebind.reason).to_owned(),
        shown(rebind.from),
        rebind.to.to_string(),
        rebind.generation.to_string(),
        ms(Some(rebind.detect)),
        ms(Some(rebind.decide())),
        ms(rebind.claim()),
        ms(rebind.total()),
    ]
}

fn shown(value: Option<impl ToString>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

/// A duration by its two largest units, as `3d4h`.
pub(super) fn age(ms: u64) -> String {
    let s = ms / 1_000;
    match s {
        0..60 => format!("{s}s"),
        60..3_600 => format!("{}m{}s", s / 60, s % 60),
        3_600..86_400 => format!("{}h{}m", s / 3_600, s / 60 % 60),
        _ => format!("{}d{}h", s / 86_400, s / 3_600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::fixture;

    #[test]
    fn every_table_looks_as_drawn() {
        let snapshot = fixture::snapshot();
        let mut shown = String::new();
        for text in [status, ports, calls, instances, rebinds] {
            shown += &text(&snapshot);
            shown.push('\n');
        }
        assert_eq!(shown, include_str!("../../fixtures/admin/tables.txt"), "\n{shown}");
    }

    #[test]
    fn an_empty_node_is_shown_without_complaint() {
        let text = status(&Snapshot::default());
        assert!(text.contains("none connected") && text.contains("alarms     none"), "{text}");
    }

    #[test]
    fn an_age_is_told_by_its_two_largest_units() {
        let ages = [59_999, 61_000, 3_660_000, 90_000_000].map(age);
        assert_eq!(ages, ["59s", "1m1s", "1h1m", "1d1h"]);
    }
}
