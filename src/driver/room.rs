//! Places in the channel to the event loop that one sender has, so that nobody fills it alone.
//!
//! Who has no place reads no more from his socket, which TCP tells the other end. How many places
//! there are may change while some are taken.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The places of one sender.
#[derive(Debug)]
pub(super) struct Room {
    places: Arc<Semaphore>,
    /// How many there are, taken ones among them. Changed by the event loop alone.
    count: AtomicUsize,
}

/// One of the places; dropping it gives it back.
#[derive(Debug)]
pub struct Permit {
    _held: Option<OwnedSemaphorePermit>,
}

impl Room {
    pub(super) fn new(count: usize) -> Self {
        Self { places: Arc::new(Semaphore::new(count)), count: AtomicUsize::new(count) }
    }

    /// Waits for a place. The semaphore is never closed.
    pub(super) async fn acquire(&self) -> Permit {
        Permit { _held: Arc::clone(&self.places).acquire_owned().await.ok() }
    }

    /// Makes it so many places. Those that are taken stay until they are given back and this is
    /// called again.
    pub(super) fn resize(&self, wanted: usize) {
        let count = self.count.load(Ordering::Relaxed);
        let count = if wanted >= count {
            self.places.add_permits(wanted - count);
            wanted
        } else {
            count - self.places.forget_permits(count - wanted)
        };
        self.count.store(count, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_that_are_taken_are_given_up_when_they_are_free() {
        let room = Room::new(3);
        let held: Vec<_> =
            (0..3).filter_map(|_| Arc::clone(&room.places).try_acquire_owned().ok()).collect();
        room.resize(1);
        drop(held);
        assert_eq!(room.places.available_permits(), 3, "none could be given up");
        room.resize(1);
        assert_eq!(room.places.available_permits(), 1);
        room.resize(5);
        assert_eq!(room.places.available_permits(), 5);
    }
}
