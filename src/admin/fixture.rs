//! One snapshot with something of everything, for tests.

use crate::ha::peer::Unproven;
use crate::ids::{CallId, Generation, InstanceId, PortId};
use crate::node::Snapshot;
use crate::node::snapshot::cluster::{Cluster, ControlTest, Peer, Sentinel, Takeover, Trunk};
use crate::node::snapshot::{
    Alarm, AlarmKind, Call, Counters, Health, Instance, Media, NodeInfo, Pong, Port, PortState,
    Rebind, RebindTimes, Registration, RegistrationState,
};
use crate::pool::Reason;
use crate::timers::{Duration, Instant};

const CALL: CallId = CallId(0x2a_0000_0001);

/// Three ports: idle and unreachable, bound after a rebind, queued.
pub(super) fn snapshot() -> Snapshot {
    Snapshot {
        node: NodeInfo {
            name: "east".into(),
            version: "0.1.0",
            entity_id: "cluster".into(),
            uptime_ms: 93_784_000,
            draining: false,
            opening: false,
            pbx: "main".into(),
            profile: "cucm".into(),
        },
        ports: vec![idle_port(), bound_port(), queued_port()],
        calls: vec![bound_call()],
        instances: vec![healthy(), hung()],
        counters: counters(),
        rebinds: vec![rebind()],
        alarms: vec![alarm()],
        media: Media { workers: 1, scheduling: "fifo".into() },
        cluster: Some(cluster()),
        agents: None,
    }
}

fn idle_port() -> Port {
    Port {
        port: PortId(0),
        extension: "6001".into(),
        applications: vec!["main".into(), "builtin:announce".into()],
        registration: Registration {
            state: RegistrationState::Unreachable,
            detail: "no answer from 10.0.0.5:5060".into(),
            expires_s: None,
            registrar: None,
        },
        state: PortState::Idle,
        since_ms: 61_000,
        application: None,
        instance: None,
        call: None,
        generation: None,
    }
}

fn bound_port() -> Port {
    Port {
        port: PortId(1),
        extension: "6002".into(),
        registration: Registration {
            state: RegistrationState::Registered,
            detail: String::new(),
            expires_s: Some(120),
            registrar: Some("10.0.0.5:5060".into()),
        },
        state: PortState::Bound,
        application: Some("main".into()),
        instance: Some(InstanceId(1)),
        call: Some(CALL),
        generation: Some(Generation(2)),
        ..idle_port()
    }
}

fn queued_port() -> Port {
    Port {
        port: PortId(2),
        extension: "6003".into(),
        state: PortState::Queued,
        call: Some(CallId(CALL.0 + 1)),
        ..idle_port()
    }
}

fn bound_call() -> Call {
    Call {
        call: CALL,
        port: PortId(1),
        extension: "6002".into(),
        caller: "+4930123456".to_owned().into(),
        outbound: false,
        since_ms: 62_500,
        answered: true,
        state: PortState::Bound,
        application: Some("main".into()),
        instance: Some(InstanceId(1)),
        generation: Generation(2),
        playing: true,
        digits: 4,
        digits_discarded: 1,
    }
}

fn healthy() -> Instance {
    Instance {
        instance: InstanceId(1),
        user: "ivr1".into(),
        applications: vec!["main".into()],
        health: Health::Healthy,
        detail: String::new(),
        draining: false,
        calls: 1,
        since_ms: 3_661_000,
        pong: Some(Pong { p50_ms: 0.4, p99_ms: 2.5, longest_gap_ms: 31.0, hang_after_ms: 250.0 }),
        unsent_ms: None,
    }
}

fn hung() -> Instance {
    Instance {
        instance: InstanceId(2),
        user: "ivr2".into(),
        health: Health::Hung,
        detail: "no pong for 251 ms".into(),
        draining: true,
        calls: 0,
        pong: None,
        unsent_ms: Some(120),
        ..healthy()
    }
}

fn counters() -> Counters {
    let mut rebind_times = RebindTimes::default();
    rebind_times.detect.observe(Duration::from_millis(251));
    rebind_times.decide.observe(Duration::from_micros(300));
    rebind_times.claim.observe(Duration::from_millis(3));
    rebind_times.total.observe(Duration::from_millis(275));
    Counters {
        calls_total: 17,
        claims_withheld_total: 0,
        calls_ended_total: [("far_end", 15)].into(),
        rebinds_total: [("hang", 1)].into(),
        rebind_times,
        ari_requests_total: [(200, 40), (404, 1)].into(),
        ari_events_total: 60,
        stale_commands_total: 1,
        digits_received_total: 9,
        digits_delivered_total: 8,
        digits_acked_total: 7,
        digits_discarded_total: 1,
        digits_refused_total: 0,
        digits_unsent_total: 2,
        digits_lost_total: 4,
        facts_refused_total: 5,
        refused_messages_total: [("sip_malformed", 2)].into(),
        name_lookups_failed_total: 1,
        unknown_sources_total: 3,
        unmatched_contacts_total: 0,
        rtp_sent_total: 5_000,
        rtp_received_total: 4_990,
        rtp_refused_total: 2,
        rtp_late_total: 1,
        rtp_rebases_total: 0,
        registers_total: 12,
        dropped_total: [("sip_input", 0)].into(),
    }
}

fn rebind() -> Rebind {
    let verdict_at = Instant::from_nanos(90_000_000_000);
    let after = |micros| verdict_at + Duration::from_micros(micros);
    Rebind {
        call: CALL,
        port: PortId(1),
        reason: Reason::Hang,
        from: Some(InstanceId(2)),
        to: InstanceId(1),
        generation: Generation(2),
        detect: Duration::from_millis(251),
        verdict_at,
        offered_at: after(100),
        written_at: Some(after(300)),
        claimed_at: Some(after(3_300)),
        first_media_at: Some(after(24_000)),
    }
}

fn alarm() -> Alarm {
    let registrars = "10.0.0.5:5060".to_owned();
    Alarm { kind: AlarmKind::PbxUnreachable { registrars, ports: 2 }, since_ms: 5_000 }
}

/// A backup whose witness is not heard.
pub(super) fn cluster() -> Cluster {
    let peer = |name: &str, kind, role| Peer {
        name: name.to_owned(),
        kind,
        up: true,
        heard_ms: Some(12),
        role: Some(role),
        pbx_reachable: Some(true),
        build: "0.1.0".to_owned(),
        unshipped: Some(0),
        unshipped_since_ms: None,
    };
    let lacks =
        |records, ms, peer| Peer { unshipped: Some(records), unshipped_since_ms: Some(ms), ..peer };
    let lost = Peer { up: false, heard_ms: Some(4_200), ..peer("w", "witness", "witness") };
    Cluster {
        id: "north".to_owned(),
        profile: "trio",
        role: "backup",
        epoch: 7,
        primary: Some("a".to_owned()),
        unheard_primary: None,
        paused: true,
        passive_because: vec!["a is primary".to_owned()],
        protections: vec!["redundancy: a backup and a witness".to_owned()],
        nodes: ["a", "b", "w"].map(str::to_owned).to_vec(),
        peers: vec![lacks(3, 12_000, peer("a", "data", "primary")), lacks(7, 4_100, lost)],
        facts_pending: 1,
        alone: true,
        copied_calls: 2,
        ports_proven: 28,
        ports: 30,
        unproven_ports: Unproven { untried: 2, ..Unproven::default() },
        unproven: vec!["2 ports: not asked yet".to_owned()],
        data_age_ms: Some(4_200),
        on_backup_since_ms: Some(90_000_000),
        sentinel: Some(Sentinel {
            extension: "6099".into(),
            state: "unasked",
            silent_ms: None,
            proven: true,
        }),
        trunk: Some(Trunk { address: "198.51.100.7:5060".into(), state: "answers" }),
        control_tests: vec![test("a", "6091", Some(true)), test("w", "6093", None)],
        takeover: Some(Takeover {
            acted_at_ns: Instant::from_nanos(1_000),
            calls: 3,
            kept: 2,
            lost: 1,
        }),
    }
}

fn test(node: &str, extension: &str, proven: Option<bool>) -> ControlTest {
    let tested_ms = proven.map(|_| 7_200_000);
    ControlTest { node: node.into(), extension: extension.into(), proven, tested_ms }
}
