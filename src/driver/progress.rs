//! Whether the threads of the node get anything done: each advances a counter, [`Progress::check`]
//! compares it with what it was.
//!
//! A timer that fires proves only that timers fire; a counter that the work itself advances proves
//! that the work goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counters of the parts that must advance. Clones share what they know.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    parts: Vec<Arc<Part>>,
}

#[derive(Debug)]
struct Part {
    name: String,
    counter: Arc<AtomicU64>,
    seen: AtomicU64,
    /// Checks in a row without an advance.
    idle: AtomicU64,
}

impl Progress {
    /// Watches one more part. It must advance its counter between any two checks, idle or not.
    pub fn watch(&mut self, name: impl Into<String>, counter: Arc<AtomicU64>) {
        self.parts.push(Arc::new(Part {
            name: name.into(),
            seen: AtomicU64::new(counter.load(Ordering::Relaxed)),
            counter,
            idle: AtomicU64::new(0),
        }));
    }

    /// Compares every counter with the last check; one caller only, at a steady pace.
    pub fn check(&self) {
        for part in &self.parts {
            let count = part.counter.load(Ordering::Relaxed);
            if part.seen.swap(count, Ordering::Relaxed) == count {
                part.idle.fetch_add(1, Ordering::Relaxed);
            } else {
                part.idle.store(0, Ordering::Relaxed);
            }
        }
    }

    /// The first part that did not advance up to the latest check.
    pub fn stuck(&self) -> Option<&str> {
        let stuck = |part: &&Arc<Part>| part.idle.load(Ordering::Relaxed) > 0;
        self.parts.iter().find(stuck).map(|part| part.name.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_stuck_until_its_counter_advances() {
        let (a, b) = (Arc::new(AtomicU64::new(5)), Arc::new(AtomicU64::new(5)));
        let mut progress = Progress::default();
        progress.watch("a", Arc::clone(&a));
        progress.watch("b", Arc::clone(&b));
        assert_eq!(progress.stuck(), None);
        a.fetch_add(1, Ordering::Relaxed);
        progress.check();
        assert_eq!(progress.stuck(), Some("b"));
        b.fetch_add(1, Ordering::Relaxed);
        a.fetch_add(1, Ordering::Relaxed);
        progress.check();
        assert_eq!(progress.stuck(), None);
    }
}
