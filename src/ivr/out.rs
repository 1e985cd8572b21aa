//! What leaves the link: outputs in order, events as text, and how many there were.

use std::collections::{BTreeMap, VecDeque};

use super::events::{Body, text};
use super::fault::Reply;
use super::timestamp::{Timestamp, Wall};
use super::{Output, Response};
use crate::ids::{CallId, InstanceId, RequestId};
use crate::timers::Instant;

/// Counted since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Commands with the id of a channel or playback that was taken from its owner.
    pub stale_commands_total: u64,
    /// Requests, over HTTP and WebSocket, by status of their answer; 101 is an accepted WebSocket.
    pub requests: BTreeMap<u16, u64>,
    /// Events handed to the driver.
    pub events_sent: u64,
    /// Events whose instance had closed its WebSocket.
    pub events_unsent: u64,
    /// Digits that an application sent and that never left: the call ended before, or the far end
    /// refused them.
    pub digits_unsent_total: u64,
}

pub(super) struct Out {
    /// Drained by the holder after every input, so it holds what one input brings: at most one
    /// text for each instance and each playback of one call.
    queue: VecDeque<Output>,
    wall: Wall,
    asterisk_id: String,
    pub counters: Counters,
}

impl Out {
    pub(super) fn new(asterisk_id: String) -> Self {
        let (queue, wall, counters) = Default::default();
        Self { queue, wall, asterisk_id, counters }
    }

    pub(super) const fn set_wall(&mut self, wall: Wall) {
        self.wall = wall;
    }

    pub(super) fn timestamp(&self, now: Instant) -> Timestamp {
        self.wall.at(now)
    }

    pub(super) fn push(&mut self, output: Output) {
        self.queue.push_back(output);
    }

    pub(super) fn pop(&mut self) -> Option<Output> {
        self.queue.pop_front()
    }

    /// Sends an event to each of `audience`.
    pub(super) fn event(
        &mut self,
        now: Instant,
        audience: &[InstanceId],
        application: &str,
        body: &Body<'_>,
    ) {
        if audience.is_empty() {
            self.counters.events_unsent += 1;
            return;
        }
        let text = self.text(now, application, body);
        for &instance in audience {
            self.counters.events_sent += 1;
            self.push(Output::Text { instance, text: text.clone() });
        }
    }

    pub(super) fn text(&self, now: Instant, application: &str, body: &Body<'_>) -> String {
        text(body, application, self.timestamp(now), &self.asterisk_id)
    }

    pub(super) fn respond(&mut self, request: RequestId, reply: Reply) {
        self.count(reply.status);
        let Reply { status, headers, body } = reply;
        self.push(Output::Respond { request, response: Response { status, headers, body } });
    }

    pub(super) fn stale(&mut self, call: CallId) {
        self.counters.stale_commands_total += 1;
        self.push(Output::Stale { call: Some(call) });
    }

    pub(super) fn count(&mut self, status: u16) {
        *self.counters.requests.entry(status).or_default() += 1;
    }
}
