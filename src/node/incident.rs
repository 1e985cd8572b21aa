//! What people are told of the cluster by webhook and hook, once for each incident; and whoever
//! listens at any node.

use std::collections::VecDeque;

use crate::ha::Role;
use crate::ha::role::Event;
use crate::ids::{Epoch, NodeId};
use crate::node::{Node, Output};
use crate::timers::Instant;

/// Incidents that are remembered as told.
const TOLD_MAX: usize = 32;
/// What has no epoch of its own happens again after this: milliseconds.
const SAME_WITHIN_MS: u64 = 60_000;

/// One incident.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incident {
    /// The same from whichever node tells it.
    pub id: String,
    /// The cluster.
    pub source: String,
    /// What: `primary.down`, `promotion.done` and their like.
    pub kind: &'static str,
    /// In a sentence.
    pub text: String,
    /// The node that tells it.
    pub told_by: String,
    /// Highest epoch that it knows.
    pub epoch: u64,
    /// Milliseconds since 1970, UTC.
    pub unix_ms: u64,
}

/// Those that were told.
#[derive(Debug, Default)]
pub struct Incidents {
    /// To people.
    told: VecDeque<String>,
    /// To whoever listens here.
    heard: VecDeque<String>,
}

fn is_new(known: &mut VecDeque<String>, id: &str) -> bool {
    let new = !known.iter().any(|known| known == id);
    if new {
        known.truncate(TOLD_MAX - 1);
        known.push_front(id.to_owned());
    }
    new
}

impl Node {
    /// Something of the cluster that people must hear of: the node that calls people tells it. What
    /// becomes of a promotion is known where it happens, and told there.
    pub(in crate::node) fn tell_incident(&mut self, now: Instant, event: &Event, text: &str) {
        let here = matches!(
            event,
            Event::PromotionStarted(_) | Event::PromotionDone(_) | Event::PromotionFailed { .. }
        );
        let once = match event {
            Event::PrimaryDown { node, .. } => Some(self.acted(*node)),
            Event::PromotionStarted(epoch)
            | Event::PromotionDone(epoch)
            | Event::PromotionFailed { epoch, .. } => Some(*epoch),
            Event::PrimaryUnheard(_)
            | Event::BackupLost(_)
            | Event::WitnessLost
            | Event::AutomaticStopped { .. } => None,
        };
        let tells = here || self.calls_people(now);
        self.incident(now, kind(event), once, tells, text);
    }

    /// Another node said what it is: whoever listens here hears of its promotion, too.
    pub(in crate::node) fn hear_promotion(&mut self, now: Instant, node: NodeId, before: Role) {
        let peer = self.member().and_then(|member| member.peers().get(&node));
        let Some(beat) = peer.and_then(|peer| peer.beat) else { return };
        let name = self.config.cluster.name_of(node);
        let started = ("promotion.started", format!("{name} takes ports and calls over"));
        let done = ("promotion.done", format!("{name} is primary"));
        let (epoch, told) = match (before, beat.role) {
            (Role::Promoting(_), Role::Primary(epoch)) => (epoch, vec![done]),
            (before, Role::Primary(epoch)) if !before.acts() => (epoch, vec![started, done]),
            (before, Role::Promoting(epoch)) if !before.acts() => (epoch, vec![started]),
            (Role::Promoting(epoch), now) if !now.acts() => {
                (epoch, vec![("promotion.failed", format!("{name} does not take over"))])
            }
            _ => return,
        };
        for (kind, text) in told {
            self.incident(now, kind, Some(epoch), false, &text);
        }
    }

    /// `once`: it happens once in this epoch. `tells`: this node is the one that tells people.
    pub(in crate::node) fn incident(
        &mut self,
        now: Instant,
        kind: &'static str,
        once: Option<Epoch>,
        tells: bool,
        text: &str,
    ) {
        let Some(member) = self.member.as_ref() else { return };
        let (epoch, unix_ms) = (once.unwrap_or(member.ha().epoch()).0, self.unix_ms(now));
        let cluster = self.config.cluster.id.clone();
        let mut id = format!("{cluster}-{epoch}-{kind}");
        if once.is_none() {
            id += &format!("-{}", unix_ms / SAME_WITHIN_MS);
        }
        let told_by = self.config.cluster.name_of(self.config.cluster.me);
        let source = format!("portkeeper/{cluster}");
        let (is_news, text) = (is_new(&mut self.incidents.heard, &id), text.to_owned());
        let incident = Box::new(Incident { id, source, kind, text, told_by, epoch, unix_ms });
        if is_news {
            self.outputs.push_back(Output::News(incident.clone()));
        }
        if tells && is_new(&mut self.incidents.told, &incident.id) {
            self.text_incident(now, &incident.text);
            self.outputs.push_back(Output::Alert(incident));
        }
    }
}

const fn kind(event: &Event) -> &'static str {
    match event {
        Event::PrimaryDown { .. } | Event::PrimaryUnheard(_) => "primary.down",
        Event::PromotionStarted(_) => "promotion.started",
        Event::PromotionDone(_) => "promotion.done",
        Event::PromotionFailed { .. } => "promotion.failed",
        Event::BackupLost(_) => "backup.lost",
        Event::WitnessLost => "witness.lost",
        Event::AutomaticStopped { .. } => "promotion.stopped",
    }
}
