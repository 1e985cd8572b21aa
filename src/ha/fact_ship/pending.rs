//! Facts of this node that somebody waits for.

use std::collections::VecDeque;

use super::Token;
use crate::store::Stream;
use crate::timers::Instant;

/// A holder without the other node and without the witness is no holder for long: more calls do
/// not end in that time.
const PENDING_MAX: usize = 65_536;

/// One of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting {
    pub counter: u64,
    pub token: Token,
    pub since: Instant,
}

/// All of them, by stream, in the order of their counters.
#[derive(Debug, Default)]
pub(super) struct Pending {
    streams: [VecDeque<Waiting>; 2],
}

impl Pending {
    pub fn push(&mut self, stream: Stream, counter: u64, token: Token, since: Instant) {
        self.streams[stream as usize].push_back(Waiting { counter, token, since });
    }

    pub fn pop(&mut self, stream: Stream) {
        self.streams[stream as usize].pop_front();
    }

    pub fn first(&self, stream: Stream) -> Option<Waiting> {
        self.streams[stream as usize].front().copied()
    }

    /// The one that waits longest, among the first ones of which `which` holds.
    pub fn oldest(&self, which: impl Fn(Stream, u64) -> bool) -> Option<Waiting> {
        let first = |stream| self.first(stream).filter(|waiting| which(stream, waiting.counter));
        let all = [first(Stream::Calls), first(Stream::Control)];
        all.into_iter().flatten().min_by_key(|waiting| waiting.since)
    }

    /// How many have a higher counter than this one.
    pub fn beyond(&self, stream: Stream, mark: u64) -> usize {
        let newest = self.streams[stream as usize].iter().rev();
        newest.take_while(|waiting| waiting.counter > mark).count()
    }

    pub fn len(&self) -> usize {
        self.streams.iter().map(VecDeque::len).sum()
    }

    pub fn is_full(&self) -> bool {
        self.len() >= PENDING_MAX
    }
}
