//! Queues of the driver that are full, and lose something: it is counted, and somebody is told.
//!
//! *An instance whose socket takes no events.* By the time its queue is full (256 and four for each
//! port) its age has made it suspect long ago. What it was to hear is lost, and an application that
//! has missed an event cannot go on: the driver ends the connection, and its calls are moved.
//!
//! *A recorder that a slow disk holds up.* Its recordings lack pieces of 20 ms; calls go on.

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

    pub(in crate::node) fn recorder_full(&mut self, now: Instant, pieces: u64) {
        let before = self.counters.dropped_total.insert("recorder", pieces).unwrap_or_default();
        if pieces > before {
            self.alarms.raise_passing(AlarmKind::RecorderFull, now);
        }
    }
}
