//! What a lease has to say, in order, with the numbers that it hands out.

use std::collections::VecDeque;

use super::{Message, Output};
use crate::ids::{Epoch, NodeId};
use crate::store::{Ticket, Vote};

/// Outputs that wait to be fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Outbox {
    queue: VecDeque<Output>,
    tickets: u64,
    counter: u64,
    followed: Option<(NodeId, Epoch)>,
}

impl Outbox {
    pub(super) const fn new(boot: u32) -> Self {
        // The start is part of every counter, so that none ever repeats.
        let counter = (boot as u64) << 32;
        Self { queue: VecDeque::new(), tickets: 0, counter, followed: None }
    }

    pub(super) fn push(&mut self, output: Output) {
        self.queue.push_back(output);
    }

    pub(super) fn send(&mut self, to: NodeId, message: Message) {
        self.push(Output::Send { to, message });
    }

    pub(super) fn persist(&mut self, vote: Vote) -> Ticket {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.push(Output::Persist { ticket, vote });
        ticket
    }

    /// Says once whom this node follows.
    pub(super) fn follow(&mut self, node: NodeId, epoch: Epoch) {
        if self.followed.replace((node, epoch)) != Some((node, epoch)) {
            self.push(Output::Follow { node, epoch });
        }
    }

    /// A number that this node never used before.
    pub(super) fn counter(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    pub(super) fn pop(&mut self) -> Option<Output> {
        self.queue.pop_front()
    }
}
