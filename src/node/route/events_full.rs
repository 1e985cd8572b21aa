//! An instance whose socket takes no events.
//!
//! By the time its queue is full (256 and four for each port) its age has made it suspect long ago.
//! What it was to hear is lost, and an application that has missed an event cannot go on: the
//! driver ends the connection, its calls are moved, and somebody is told.

use crate::ids::InstanceId;
use crate::node::Node;
use crate::node::snapshot::AlarmKind;
use crate::timers::{Duration, Instant};

/// The alarm is over when it did not happen again for so long: it is a process that somebody must
/// look at, even if it connects again at once.
const TOLD_FOR: Duration = Duration::from_secs(600);

impl Node {
    pub(in crate::node) fn events_full(
        &mut self,
        now: Instant,
        instance: InstanceId,
        events: usize,
    ) {
        *self.counters.dropped_total.entry("events").or_default() += 1;
        let Some(status) = self.pool.instances().find(|status| status.instance == instance) else {
            return;
        };
        self.events_full_at.insert(status.user.clone(), now);
        self.alarms.raise(AlarmKind::EventsFull { user: status.user, events }, now);
    }

    pub(in crate::node) fn forget_events_full(&mut self, now: Instant) {
        self.events_full_at.retain(|_, at| now < *at + TOLD_FOR);
        let last = &self.events_full_at;
        self.alarms.clear(|kind| match kind {
            AlarmKind::EventsFull { user, .. } => !last.contains_key(user),
            _ => false,
        });
    }
}
