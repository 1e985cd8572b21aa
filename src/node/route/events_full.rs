//! An instance whose socket takes no events.
//!
//! By the time its queue is full (256 and four for each port) its age has made it suspect long ago.
//! What it was to hear is lost, and an application that has missed an event cannot go on: the
//! driver ends the connection, its calls are moved, and somebody is told.

use crate::ids::InstanceId;
use crate::node::Node;
use crate::node::snapshot::AlarmKind;
use crate::timers::Instant;

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
        self.alarms.raise_passing(AlarmKind::EventsFull { user: status.user, events }, now);
    }
}
