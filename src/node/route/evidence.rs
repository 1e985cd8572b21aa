//! What the menu tells of the cluster: who is primary, what a promotion would meet, what a backup
//! lacks.

use crate::config::{Member, MemberRole};
use crate::ha::Role;
use crate::ha::fact_ship;
use crate::menu::{Candidate, DataAge, Evidence, Primary, Since};
use crate::node::Node;
use crate::node::route::ready::spoken;
use crate::timers::{Duration, Instant};

/// Over a link that works no record is on its way for so long.
const SHIPPED_WITHIN: Duration = Duration::from_secs(2);

impl Node {
    pub(in crate::node) fn evidence(&self, now: Instant) -> Evidence {
        let Some(member) = &self.member else { return Evidence::default() };
        let (cluster, ha) = (&self.config.cluster, member.ha());
        let holder = ha.primary(now).map(|(node, _)| node);
        let primary = match (holder, self.last_primary) {
            (Some(node), _) => Primary::Answering { name: cluster.name_of(node) },
            (None, Some((node, seen))) => {
                Primary::Silent { name: cluster.name_of(node), since: self.since(now, seen) }
            }
            (None, None) => Primary::Nobody,
        };
        let could_serve = |node: &&Member| {
            let up = member.peers().get(&node.id).is_none_or(|peer| peer.up);
            node.role == MemberRole::Data && Some(node.id) != holder && up
        };
        // Whoever was sent away, or gave the role up, comes after whoever follows.
        let fenced = |node: &&Member| match member.peers().get(&node.id) {
            Some(peer) => peer.beat.is_some_and(|beat| beat.role == Role::Fenced),
            None => ha.role() == Role::Fenced,
        };
        let candidate = cluster.nodes.iter().filter(could_serve).min_by_key(fenced);
        let serving = candidate.map_or(cluster.me, |node| node.id);
        let beat = match member.peers().get(&serving) {
            Some(peer) => peer.beat,
            None => self.beat,
        };
        let calls = member.peers().values().filter_map(|peer| peer.beat).map(|beat| beat.calls);
        let facts = member.facts_status();
        Evidence {
            primary,
            sentinel: self.sentinel_spoken(now),
            tests: self.tests_spoken(now),
            candidate: candidate.map(|node| Candidate { node: node.id, name: node.name.clone() }),
            live_calls: calls.chain(self.beat.map(|beat| beat.calls)).max().unwrap_or_default(),
            ports_proven: beat.map_or(0, |beat| beat.ports_proven),
            ports: beat.map_or(0, |beat| beat.ports),
            unproven: beat.map(|beat| spoken(beat.unproven)).unwrap_or_default(),
            data: match beat.and_then(|beat| beat.data_age_ms) {
                None => DataAge::Nothing,
                Some(0) => DataAge::Current,
                Some(ms) => DataAge::Old(Duration::from_millis(ms)),
            },
            unshipped: self.unshipped(now, &facts),
            alarm: self.standing.first().copied(),
            proposal: self
                .controls
                .proposal
                .as_ref()
                .filter(|(_, until)| now < *until)
                .map(|(proposal, _)| proposal.clone()),
        }
    }

    /// Records that this data node has and the other one lacks, or that nobody has acknowledged.
    fn unshipped(&self, now: Instant, facts: &fact_ship::Status) -> Option<(u32, Since)> {
        let other = self.config.cluster.data_peer().filter(|_| !self.config.cluster.is_witness());
        let other = other.map(|node| node.id);
        let peers = facts.peers.iter().filter(|peer| Some(peer.node) == other);
        let lacked = peers.filter_map(|peer| Some((peer.unshipped?, peer.since?)));
        let count = u64::try_from(facts.pending).unwrap_or(u64::MAX);
        let pending = facts.pending_since.map(|at| (count, at));
        let late = |(_, at): &(u64, Instant)| now.saturating_duration_since(*at) >= SHIPPED_WITHIN;
        let (count, at) = lacked.chain(pending).filter(late).max_by_key(|(count, _)| *count)?;
        (count > 0).then(|| (u32::try_from(count).unwrap_or(u32::MAX), self.since(now, at)))
    }

    /// A moment as a person says it.
    pub(super) fn since(&self, now: Instant, at: Instant) -> Since {
        let ago = now.saturating_duration_since(at);
        let ago_ms = u64::try_from(ago.as_millis()).unwrap_or(u64::MAX);
        let clock = self.zone.clock(self.unix_ms(now).saturating_sub(ago_ms));
        Since { clock, ago }
    }

    /// Who was primary when one was last known, and when that was.
    pub(in crate::node) fn note_primary(&mut self, now: Instant) {
        let Some(member) = &self.member else { return };
        if let Some((node, _)) = member.ha().primary(now) {
            self.last_primary = Some((node, now));
        }
    }
}
