//! What people are told of the cluster by webhook and hook, once for each incident.

use std::collections::VecDeque;

use crate::ha::role::Event;
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
    told: VecDeque<String>,
}

impl Incidents {
    fn is_new(&mut self, id: &str) -> bool {
        let new = !self.told.iter().any(|told| told == id);
        if new {
            self.told.truncate(TOLD_MAX - 1);
            self.told.push_front(id.to_owned());
        }
        new
    }
}

impl Node {
    /// Something of the cluster that people must hear of: the node that calls people tells it. What
    /// becomes of a promotion is known where it happens, and told there.
    pub(in crate::node) fn tell_incident(&mut self, now: Instant, event: &Event, text: &str) {
        let here = matches!(
            event,
            Event::PromotionStarted(_) | Event::PromotionDone(_) | Event::PromotionFailed { .. }
        );
        let of_epoch = match event {
            Event::PrimaryDown { .. }
            | Event::PromotionStarted(_)
            | Event::PromotionDone(_)
            | Event::PromotionFailed { .. } => true,
            Event::PrimaryUnheard(_)
            | Event::BackupLost(_)
            | Event::WitnessLost
            | Event::AutomaticStopped { .. } => false,
        };
        if here || self.calls_people(now) {
            self.incident(now, kind(event), of_epoch, text);
        }
    }

    /// Tells it from this node. `of_epoch`: it happens once in an epoch.
    pub(in crate::node) fn incident(
        &mut self,
        now: Instant,
        kind: &'static str,
        of_epoch: bool,
        text: &str,
    ) {
        let Some(member) = self.member.as_ref() else { return };
        let (epoch, unix_ms) = (member.ha().epoch().0, self.unix_ms(now));
        let cluster = self.config.cluster.id.clone();
        let mut id = format!("{cluster}-{epoch}-{kind}");
        if !of_epoch {
            id += &format!("-{}", unix_ms / SAME_WITHIN_MS);
        }
        if self.incidents.is_new(&id) {
            let told_by = self.config.cluster.name_of(self.config.cluster.me);
            let source = format!("portkeeper/{cluster}");
            self.text_incident(now, text);
            let text = text.to_owned();
            let incident = Incident { id, source, kind, text, told_by, epoch, unix_ms };
            self.outputs.push_back(Output::Alert(Box::new(incident)));
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
