//! What has been counted since the start of a node.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::timers::Duration;

/// Cumulative counts since the start of the node. Each becomes a metric of the same name.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Counters {
    /// Calls that began, both ways.
    pub calls_total: u64,
    /// Packets that claim a port or a call and were not sent, because the lease was over.
    pub claims_withheld_total: u64,
    /// Calls that ended, by how.
    pub calls_ended_total: BTreeMap<&'static str, u64>,
    /// Rebinds claimed by a new owner, by [`super::reason_name`].
    pub rebinds_total: BTreeMap<&'static str, u64>,
    /// How long rebinds took.
    #[serde(skip)]
    pub rebind_times: RebindTimes,
    /// ARI requests, over HTTP and WebSocket, by status of their answer.
    pub ari_requests_total: BTreeMap<u16, u64>,
    /// ARI events handed to sockets.
    pub ari_events_total: u64,
    /// Commands refused with 404 because their channel id is of an older generation.
    pub stale_commands_total: u64,
    /// Key presses that arrived.
    pub digits_received_total: u64,
    /// Key presses sent to an owner (a replayed one counts again).
    pub digits_delivered_total: u64,
    /// Key presses that an owner acknowledged.
    pub digits_acked_total: u64,
    /// Key presses given to no owner after a rebind, by the replay rule.
    pub digits_discarded_total: u64,
    /// Key presses that arrived and were lost: a full queue, or more than 12 in a second.
    pub digits_refused_total: u64,
    /// Key presses that an application sent and that never left: its call ended before, or the far
    /// end refused them.
    pub digits_unsent_total: u64,
    /// Key presses that arrived after this node had given the call up: no application got them.
    pub digits_lost_total: u64,
    /// Facts (CDRs, audit records, agents) that were not taken by the store and are lost.
    pub facts_refused_total: u64,
    /// Messages refused, by kind: `sip_malformed`, `sdp`, `ari_json`, ...
    pub refused_messages_total: BTreeMap<&'static str, u64>,
    /// Lookups of a name of `pbx.registrars` that found no address.
    pub name_lookups_failed_total: u64,
    /// Datagrams from sources that are not ours to answer.
    pub unknown_sources_total: u64,
    /// Requests from the PBX whose Request-URI is none of our Contacts.
    pub unmatched_contacts_total: u64,
    /// RTP packets sent.
    pub rtp_sent_total: u64,
    /// RTP packets that arrived, with those that were refused.
    pub rtp_received_total: u64,
    /// RTP packets from a wrong source, SSRC or payload type, or malformed.
    pub rtp_refused_total: u64,
    /// RTP packets that left more than 5 ms after their time.
    pub rtp_late_total: u64,
    /// Times that a worker's clock was moved on because it was stopped for too long.
    pub rtp_rebases_total: u64,
    /// REGISTER requests sent.
    pub registers_total: u64,
    /// What a full queue dropped, by queue.
    pub dropped_total: BTreeMap<&'static str, u64>,
}

/// The durations of all rebinds so far, each step for itself.
#[derive(Clone, Debug, Default)]
pub struct RebindTimes {
    /// Last sign of life -> verdict.
    pub detect: Histogram,
    /// Verdict -> StasisStart written.
    pub decide: Histogram,
    /// StasisStart written -> first command.
    pub claim: Histogram,
    /// Last sign of life -> sound of the new owner.
    pub total: Histogram,
}

/// How many durations were how long.
#[derive(Clone, Debug, Default)]
pub struct Histogram {
    /// Durations of at most [`HISTOGRAM_MS`] each (and more than the one before), then the rest.
    pub counts: [u64; HISTOGRAM_MS.len() + 1],
    /// All durations together.
    pub sum: Duration,
}

/// Upper edges of a [`Histogram`] in milliseconds.
pub const HISTOGRAM_MS: [u32; 12] = [1, 2, 5, 10, 20, 50, 100, 250, 500, 1_000, 2_500, 10_000];

impl Histogram {
    /// Counts one duration.
    pub fn observe(&mut self, duration: Duration) {
        let within = |edge: &u32| duration <= Duration::from_millis(u64::from(*edge));
        let at = HISTOGRAM_MS.iter().position(within).unwrap_or(HISTOGRAM_MS.len());
        self.counts[at] += 1;
        self.sum = self.sum.saturating_add(duration);
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_counts_a_duration_under_its_edge() {
        let mut histogram = Histogram::default();
        for millis in [0, 1, 3, 11_000] {
            histogram.observe(Duration::from_millis(millis));
        }
        assert_eq!(histogram.counts, [2, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        assert_eq!((histogram.count(), histogram.sum), (4, Duration::from_millis(11_004)));
    }
}
