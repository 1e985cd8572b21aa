//! Requests of ours that get no answer, and whether that says anything of who was asked.
//!
//! To a call they are all failures, each with the status that RFC 3261 section 8.1.3.1 puts in the
//! place of an answer. To a binding the difference matters: of a PBX that is silent nothing more
//! is expected, not even that it ends a call, while one that closes a connection is there, and a
//! request that was not sent says nothing at all.

use super::client::Owner;
use super::{Endpoint, TimerKey};
use crate::sip::transport::Flow;
use crate::timers::Instant;

/// Why there will be no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unanswered {
    /// It was waited for long enough.
    TimedOut,
    /// No connection could be opened.
    NotConnected,
    /// The connection is gone that it was to come over.
    ConnectionLost,
    /// The request cannot be written.
    Unprintable,
    /// Too many requests are under way.
    Full,
}

impl Unanswered {
    /// What stands for the answer.
    pub(super) const fn status(self) -> u16 {
        match self {
            Self::TimedOut => 408,
            Self::Unprintable => 400,
            Self::NotConnected | Self::ConnectionLost | Self::Full => 503,
        }
    }

    /// Whether nobody may be there.
    pub(super) const fn is_silence(self) -> bool {
        matches!(self, Self::TimedOut | Self::NotConnected)
    }

    /// Whether the request left, so that its failure may be the doing of who was asked.
    pub(super) const fn was_sent(self) -> bool {
        !matches!(self, Self::Unprintable | Self::Full)
    }
}

impl Endpoint {
    pub(super) fn owner_failed(&mut self, now: Instant, owner: Owner, why: Unanswered) {
        match owner {
            Owner::Call(call, purpose) => self.call_failed(now, call, purpose, why.status()),
            Owner::Registration(port, _) => self.register_failed(now, port, why),
            Owner::Query(port) => self.query_failed(port, why),
            Owner::Text(_, id) => self.text_failed(id, why),
            Owner::Watch(node) if why.is_silence() => self.watch_failed(now, node),
            Owner::Watch(node) => self.watch_unheard(now, node),
            Owner::Trunk if why.was_sent() => self.trunk_failed(),
            Owner::Trunk | Owner::Nobody => {}
        }
    }

    /// A connection is gone, and with it the answers that were to come over it.
    pub(super) fn fail_clients(&mut self, now: Instant, lost: Flow, why: Unanswered) {
        let hit = self.clients.iter().filter(|(_, client)| client.flow.stream == lost.stream);
        for key in hit.map(|(key, _)| *key).collect::<Vec<_>>() {
            self.deadlines.set(TimerKey::Client(key), None);
            if let Some(client) = self.clients.remove(&key) {
                self.owner_failed(now, client.owner, why);
            }
        }
    }
}
