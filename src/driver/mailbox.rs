//! Queues between a media worker and threads that may wait when it must not.
//!
//! A real-time worker that waits for a lock held by a thread of lower priority on the same core
//! waits for ever, and the lock-free queues of the ecosystem spin in that very place. So the worker
//! only ever tries a lock: a mailbox that is being filled is looked into at the next tick, and
//! sound that cannot be handed over at once waits in the worker.

#![expect(clippy::disallowed_types, reason = "locks between threads, which the worker only tries")]

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use crate::ids::{CallId, MediaId, PortId};
use crate::media::Command;

/// What a worker is told.
#[derive(Debug)]
pub(super) enum Message {
    /// A command of the node.
    Command(PortId, Command),
    /// The file of a recording of this call cannot be written.
    RecordingFailed(PortId, CallId, MediaId),
}

impl Message {
    pub(super) fn port(&self) -> PortId {
        match self {
            Self::Command(port, _) | Self::RecordingFailed(port, ..) => *port,
        }
    }
}

/// Messages to one worker.
#[derive(Debug)]
pub(super) struct Mailbox {
    messages: Mutex<VecDeque<Message>>,
    waiting: AtomicUsize,
    /// Messages that wait, per port.
    depth: Box<[AtomicU8]>,
    stopped: AtomicBool,
}

impl Mailbox {
    pub(super) fn new(ports: usize) -> Self {
        Self {
            messages: Mutex::default(),
            waiting: AtomicUsize::new(0),
            depth: (0..ports).map(|_| AtomicU8::new(0)).collect(),
            stopped: AtomicBool::new(false),
        }
    }

    /// Posts a message unless `max` wait for its port.
    pub(super) fn post(&self, message: Message, max: u8) -> Result<(), Message> {
        let Some(depth) = self.depth.get(usize::from(message.port().0)) else {
            return Err(message);
        };
        let mut messages = lock(&self.messages);
        if depth.load(Ordering::Relaxed) >= max {
            return Err(message);
        }
        // Written under the lock only, here and by the worker after it has taken messages.
        depth.fetch_add(1, Ordering::Relaxed);
        messages.push_back(message);
        self.waiting.store(messages.len(), Ordering::Release);
        Ok(())
    }

    /// Swaps what waits into `taken`, which is empty. Takes nothing when somebody posts right now.
    pub(super) fn take(&self, taken: &mut VecDeque<Message>) {
        if self.waiting.load(Ordering::Acquire) == 0 {
            return;
        }
        let mut messages = match self.messages.try_lock() {
            Ok(messages) => messages,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        std::mem::swap(&mut *messages, taken);
        self.waiting.store(0, Ordering::Release);
    }

    /// A message of the port was dealt with.
    pub(super) fn done(&self, port: PortId) {
        if let Some(depth) = self.depth.get(usize::from(port.0)) {
            depth.fetch_sub(1, Ordering::Relaxed);
        }
    }

    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }
}

/// Things that a worker hands over without ever waiting: the worker's end.
#[derive(Debug)]
pub(super) struct Outbound<T> {
    shared: Arc<Mutex<VecDeque<T>>>,
    backlog: VecDeque<T>,
    max: usize,
}

/// The other end of an [`Outbound`].
#[derive(Debug)]
pub(super) struct Inbound<T> {
    shared: Arc<Mutex<VecDeque<T>>>,
}

/// What waits in the worker while the other end takes, which lasts for a swap of two pointers.
const BACKLOG_MAX: usize = 128;

/// A queue of at most `max` things, with the room for them.
pub(super) fn outbound<T>(max: usize) -> (Outbound<T>, Inbound<T>) {
    let shared = Arc::new(Mutex::new(VecDeque::with_capacity(max + BACKLOG_MAX)));
    let backlog = VecDeque::with_capacity(BACKLOG_MAX);
    (Outbound { shared: Arc::clone(&shared), backlog, max }, Inbound { shared })
}

impl<T> Outbound<T> {
    /// Hands a thing over, or gives it back when the queue is full.
    pub(super) fn push(&mut self, thing: T) -> Result<(), T> {
        match self.shared.try_lock() {
            Ok(mut queue) if queue.len() < self.max => {
                queue.extend(self.backlog.drain(..));
                queue.push_back(thing);
                Ok(())
            }
            Err(_) if self.backlog.len() < BACKLOG_MAX => {
                self.backlog.push_back(thing);
                Ok(())
            }
            Ok(_) | Err(_) => Err(thing),
        }
    }

    /// Hands over what waits in the worker.
    pub(super) fn flush(&mut self) {
        if !self.backlog.is_empty()
            && let Ok(mut queue) = self.shared.try_lock()
        {
            queue.extend(self.backlog.drain(..));
        }
    }
}

impl<T> Drop for Outbound<T> {
    fn drop(&mut self) {
        // The worker is at its end and may wait.
        lock(&self.shared).extend(self.backlog.drain(..));
    }
}

impl<T> Inbound<T> {
    /// A buffer for [`Self::take`] with as much room as the queue has, so that the worker's side
    /// never allocates.
    pub(super) fn buffer(&self) -> VecDeque<T> {
        VecDeque::with_capacity(lock(&self.shared).capacity())
    }

    /// Swaps what waits into `taken`, an empty [`Self::buffer`].
    pub(super) fn take(&self, taken: &mut VecDeque<T>) {
        std::mem::swap(&mut *lock(&self.shared), taken);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while it holds one of these, and a queue is whole at every moment.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PORT: PortId = PortId(1);

    fn message() -> Message {
        Message::Command(PORT, Command::StopAll)
    }

    #[test]
    fn the_33rd_command_of_a_port_is_refused_until_one_is_done() {
        let mailbox = Mailbox::new(2);
        for _ in 0..32 {
            assert!(mailbox.post(message(), 32).is_ok());
        }
        assert!(mailbox.post(message(), 32).is_err());
        assert!(mailbox.post(Message::Command(PortId(0), Command::StopAll), 32).is_ok());
        let mut taken = VecDeque::new();
        mailbox.take(&mut taken);
        assert_eq!(taken.len(), 33);
        assert!(mailbox.post(message(), 32).is_err(), "taken is not done");
        mailbox.done(PORT);
        assert!(mailbox.post(message(), 32).is_ok());
    }

    #[test]
    fn a_message_to_no_port_is_refused() {
        assert!(Mailbox::new(1).post(message(), 32).is_err());
    }

    #[test]
    fn a_mailbox_that_is_being_filled_is_left_alone() {
        let mailbox = Mailbox::new(2);
        assert!(mailbox.post(message(), 32).is_ok());
        let filling = lock(&mailbox.messages);
        let mut taken = VecDeque::new();
        mailbox.take(&mut taken);
        assert!(taken.is_empty());
        drop(filling);
        mailbox.take(&mut taken);
        assert_eq!(taken.len(), 1);
    }

    #[test]
    fn what_cannot_be_handed_over_at_once_keeps_its_order() {
        let (mut outbound, inbound) = outbound(100);
        let taking = lock(&inbound.shared);
        assert_eq!(outbound.push(1), Ok(()));
        drop(taking);
        assert_eq!(outbound.push(2), Ok(()));
        let mut taken = inbound.buffer();
        inbound.take(&mut taken);
        assert_eq!(taken, [1, 2]);
    }

    #[test]
    fn a_full_queue_gives_the_thing_back() {
        let (mut outbound, inbound) = outbound(3);
        assert_eq!((0..5).map(|n| outbound.push(n).is_ok()).filter(|ok| *ok).count(), 3);
        let mut taken = inbound.buffer();
        inbound.take(&mut taken);
        assert_eq!(taken, [0, 1, 2]);
        assert_eq!(outbound.push(7), Ok(()));
    }
}
