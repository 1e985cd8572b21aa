//! A snapshot as OpenMetrics text. Every name begins with `portkeeper_` and ends with its unit;
//! docs/OPERATING.md explains each one.

use std::collections::BTreeMap;
use std::fmt::{self, Display};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::health::Counts;
use crate::ha::peer::Unproven;
use crate::node::Snapshot;
use crate::node::snapshot::cluster::{Cluster, SENTINEL_STATES, TRUNK_STATES};
use crate::node::snapshot::{AlarmKind, Counters, HISTOGRAM_MS, Histogram, Instance};

/// The `Content-Type` of the text.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Renders a snapshot.
///
/// # Errors
/// Never for a `String`; the encoder's signature has one.
pub fn render(snapshot: Snapshot) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("portkeeper");
    registry.register_collector(Box::new(Shown(snapshot)));
    let mut page = String::new();
    text::encode(&mut page, &registry)?;
    Ok(page)
}

#[derive(Debug)]
struct Shown(Snapshot);

impl Collector for Shown {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut page = Page(encoder);
        page.node(&self.0)?;
        page.instances(&self.0.instances)?;
        page.calls(&self.0.counters)?;
        page.rebinds(&self.0.counters)?;
        page.digits(&self.0.counters)?;
        page.messages(&self.0.counters)?;
        page.media(&self.0.counters)
    }
}

struct Page<'a>(DescriptorEncoder<'a>);

impl Page<'_> {
    fn node(&mut self, snapshot: &Snapshot) -> fmt::Result {
        let node = &snapshot.node;
        let mut info = self.descriptor("build", "Version of the program", MetricType::Info)?;
        info.encode_info(&[("version", node.version)])?;
        self.gauge("uptime_seconds", "Since the start", seconds(node.uptime_ms))?;
        let draining = u32::from(node.draining);
        self.gauge("draining", "1: the node takes no new calls", draining.into())?;
        if let Some(cluster) = &snapshot.cluster {
            let (proven, of) = (cluster.ports_proven, cluster.ports);
            self.gauge("ports_proven", "Ports that this node has, or could have", proven.into())?;
            self.gauge("ports_of_pool", "Ports of the configuration", of.into())?;
            self.readiness(cluster)?;
        }
        let counts = Counts::of(snapshot);
        self.gauges(
            "registrations",
            "Ports by state of their registration",
            "state",
            &counts.registrations,
        )?;
        self.gauges("ports", "Ports by what they do", "state", &counts.ports)?;
        self.gauges("instances", "Connected instances by health", "health", &counts.instances)?;
        self.gauge("calls_active", "Calls that are up or arriving", float(snapshot.calls.len()))?;
        // Every kind has a series before it is raised.
        let mut alarms: BTreeMap<&str, usize> = AlarmKind::NAMES.map(|name| (name, 0)).into();
        for alarm in &snapshot.alarms {
            *alarms.entry(alarm.kind.name()).or_default() += 1;
        }
        self.gauges("alarms", "Alarms that stand, by kind", "kind", &alarms)?;
        self.gauge("media_workers", "Threads of the data plane", snapshot.media.workers.into())?;
        let scheduling = snapshot.media.scheduling.as_str();
        let class: BTreeMap<&str, usize> = [(scheduling, 1)].into();
        self.gauges("media_scheduling", "1 for the scheduling class of media", "class", &class)
    }

    fn instances(&mut self, instances: &[Instance]) -> fmt::Result {
        let calls = |i: &Instance| Some(f64::from(i.calls));
        self.per_instance("instance_calls", "Calls of an instance", instances, calls)?;
        let p99 = |i: &Instance| i.pong.map(|pong| pong.p99_ms / 1_000.0);
        let help = "Time from ping to pong, 99th percentile";
        self.per_instance("instance_pong_p99_seconds", help, instances, p99)?;
        let hang = |i: &Instance| i.pong.map(|pong| pong.hang_after_ms / 1_000.0);
        let help = "Silence that means hung";
        self.per_instance("instance_hang_after_seconds", help, instances, hang)?;
        let unsent = |i: &Instance| Some(i.unsent_ms.map_or(0.0, seconds));
        let help = "Age of the oldest event that the socket has not taken";
        self.per_instance("instance_unsent_seconds", help, instances, unsent)
    }

    fn calls(&mut self, counters: &Counters) -> fmt::Result {
        self.counter("calls", "Calls that began", counters.calls_total)?;
        self.counters(
            "calls_ended",
            "Calls that ended, by how",
            "cause",
            &counters.calls_ended_total,
        )
    }

    fn rebinds(&mut self, counters: &Counters) -> fmt::Result {
        self.counters("rebinds", "Calls that changed hands", "reason", &counters.rebinds_total)?;
        let help = "Commands refused with 404: their channel is of an older generation";
        self.counter("stale_commands", help, counters.stale_commands_total)?;
        let times = &counters.rebind_times;
        for (name, help, histogram) in [
            ("rebind_detect_seconds", "Last sign of life to verdict", &times.detect),
            ("rebind_decide_seconds", "Verdict to StasisStart written", &times.decide),
            ("rebind_claim_seconds", "StasisStart written to first command", &times.claim),
            ("rebind_total_seconds", "Last sign of life to the new owner's sound", &times.total),
        ] {
            self.histogram(name, help, histogram)?;
        }
        Ok(())
    }

    fn digits(&mut self, counters: &Counters) -> fmt::Result {
        for (name, help, count) in [
            ("digits_received", "Key presses that arrived", counters.digits_received_total),
            ("digits_delivered", "Key presses sent to an owner", counters.digits_delivered_total),
            ("digits_acked", "Key presses that an owner acknowledged", counters.digits_acked_total),
            (
                "digits_discarded",
                "Key presses given to no owner after a rebind",
                counters.digits_discarded_total,
            ),
            (
                "digits_refused",
                "Key presses lost: a full queue, or more than 12 a second",
                counters.digits_refused_total,
            ),
            (
                "digits_unsent",
                "Key presses sent by an application that never left",
                counters.digits_unsent_total,
            ),
            (
                "digits_lost",
                "Key presses at a node that had given the call up",
                counters.digits_lost_total,
            ),
        ] {
            self.counter(name, help, count)?;
        }
        Ok(())
    }

    fn messages(&mut self, counters: &Counters) -> fmt::Result {
        self.counters(
            "ari_requests",
            "ARI requests by status",
            "status",
            &counters.ari_requests_total,
        )?;
        self.counter("ari_events", "ARI events handed to sockets", counters.ari_events_total)?;
        self.counters(
            "refused_messages",
            "Messages refused, by kind",
            "kind",
            &counters.refused_messages_total,
        )?;
        self.counters("dropped", "What a full queue dropped", "queue", &counters.dropped_total)?;
        for (name, help, count) in [
            (
                "name_lookups_failed",
                "Lookups of a name of pbx.registrars that found no address",
                counters.name_lookups_failed_total,
            ),
            (
                "unknown_sources",
                "Datagrams of strangers, not answered",
                counters.unknown_sources_total,
            ),
            (
                "unmatched_contacts",
                "Requests of the PBX to none of our Contacts",
                counters.unmatched_contacts_total,
            ),
            ("registers", "REGISTER requests sent", counters.registers_total),
            (
                "claims_withheld",
                "Packets not sent because the lease was over",
                counters.claims_withheld_total,
            ),
            ("facts_refused", "CDRs and audit records that are lost", counters.facts_refused_total),
        ] {
            self.counter(name, help, count)?;
        }
        Ok(())
    }

    fn media(&mut self, counters: &Counters) -> fmt::Result {
        for (name, help, count) in [
            ("rtp_sent_packets", "RTP packets sent", counters.rtp_sent_total),
            ("rtp_received_packets", "RTP packets that arrived", counters.rtp_received_total),
            (
                "rtp_refused_packets",
                "RTP packets of a wrong source or form",
                counters.rtp_refused_total,
            ),
            ("rtp_late_packets", "RTP packets that left over 5 ms late", counters.rtp_late_total),
            (
                "rtp_rebases",
                "Times that a stopped worker moved its clock on",
                counters.rtp_rebases_total,
            ),
        ] {
            self.counter(name, help, count)?;
        }
        Ok(())
    }

    fn descriptor<'s>(
        &'s mut self,
        name: &'s str,
        help: &str,
        kind: MetricType,
    ) -> Result<MetricEncoder<'s>, fmt::Error> {
        self.0.encode_descriptor(name, help, None, kind)
    }

    fn gauge(&mut self, name: &str, help: &str, value: f64) -> fmt::Result {
        self.descriptor(name, help, MetricType::Gauge)?.encode_gauge(&value)
    }

    fn readiness(&mut self, cluster: &Cluster) -> fmt::Result {
        let Unproven { refused, unreachable, prompts, codecs, udp_ports, disk, untried } =
            cluster.unproven_ports;
        let by_reason = [
            ("refused", refused),
            ("unreachable", unreachable),
            ("prompts", prompts),
            ("codecs", codecs),
            ("udp_ports", udp_ports),
            ("disk", disk),
            ("untried", untried),
        ];
        let ports = |count| usize::try_from(count).unwrap_or(usize::MAX);
        let by_reason = by_reason.map(|(reason, count)| (reason, ports(count))).into();
        self.gauges("ports_unproven", "Ports that a backup lacks", "reason", &by_reason)?;
        if let Some(sentinel) = &cluster.sentinel {
            let states = SENTINEL_STATES.map(|state| (state, usize::from(state == sentinel.state)));
            self.gauges("sentinel", "1 for how the sentinel stands", "state", &states.into())?;
        }
        if let Some(trunk) = &cluster.trunk {
            let states = TRUNK_STATES.map(|state| (state, usize::from(state == trunk.state)));
            self.gauges("trunk", "1 for how the trunk stands", "state", &states.into())?;
        }
        let tests = cluster.control_tests.iter();
        let tests: BTreeMap<_, _> = tests
            .filter_map(|test| Some((test.node.as_str(), usize::from(test.proven?))))
            .collect();
        if !tests.is_empty() {
            let help = "1: that node's control extension answered the last test call";
            self.gauges("control_extension_proven", help, "node", &tests)?;
        }
        let Some(age) = cluster.data_age_ms else { return Ok(()) };
        self.gauge("data_age_seconds", "Age of the copy of calls and facts", seconds(age))
    }

    fn gauges(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        values: &BTreeMap<&str, usize>,
    ) -> fmt::Result {
        let mut metric = self.descriptor(name, help, MetricType::Gauge)?;
        for (value, count) in values {
            metric.encode_family(&[(label, *value)])?.encode_gauge(&float(*count))?;
        }
        Ok(())
    }

    fn per_instance(
        &mut self,
        name: &str,
        help: &str,
        instances: &[Instance],
        value: impl Fn(&Instance) -> Option<f64>,
    ) -> fmt::Result {
        let mut metric = self.descriptor(name, help, MetricType::Gauge)?;
        for instance in instances {
            let Some(value) = value(instance) else { continue };
            let id = instance.instance.to_string();
            let labels = [("instance", id.as_str()), ("user", instance.user.as_str())];
            metric.encode_family(&labels)?.encode_gauge(&value)?;
        }
        Ok(())
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let mut metric = self.descriptor(name, help, MetricType::Counter)?;
        metric.encode_counter::<NoLabelSet, _, u64>(&value, None)
    }

    fn counters<K: Display>(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        values: &BTreeMap<K, u64>,
    ) -> fmt::Result {
        let mut metric = self.descriptor(name, help, MetricType::Counter)?;
        for (value, count) in values {
            let labels = [(label, value.to_string())];
            let mut one = metric.encode_family(&labels)?;
            one.encode_counter::<NoLabelSet, _, u64>(count, None)?;
        }
        Ok(())
    }

    fn histogram(&mut self, name: &str, help: &str, histogram: &Histogram) -> fmt::Result {
        let edges = HISTOGRAM_MS.iter().map(|ms| f64::from(*ms) / 1_000.0);
        let edges = edges.chain(std::iter::once(f64::INFINITY));
        let buckets: Vec<_> = edges.zip(histogram.counts).collect();
        let sum = histogram.sum.as_secs_f64();
        let mut metric = self.descriptor(name, help, MetricType::Histogram)?;
        metric.encode_histogram::<NoLabelSet>(sum, histogram.count(), &buckets, None)
    }
}

fn seconds(ms: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "exact for 285,000 years")]
    let ms = ms as f64;
    ms / 1_000.0
}

fn float(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::MAX, f64::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::fixture;

    #[test]
    fn the_page_looks_as_drawn() {
        let page = render(fixture::snapshot()).expect("text");
        assert_eq!(page, include_str!("../../fixtures/admin/metrics.txt"), "\n{page}");
    }

    #[test]
    fn every_metric_is_explained_in_the_operating_manual() {
        let manual = include_str!("../../docs/OPERATING.md");
        let page = render(fixture::snapshot()).expect("text");
        for kind in AlarmKind::NAMES {
            assert!(manual.contains(&format!("`{kind}`")), "docs/OPERATING.md lacks {kind}");
        }
        let names = page.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        for name in names.filter_map(|line| line.split(' ').next()) {
            assert!(manual.contains(&format!("`{name}")), "docs/OPERATING.md lacks {name}");
        }
    }
}
