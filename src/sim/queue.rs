//! What is going to happen, in order: by time, and among equals by who was there first. Nothing
//! else decides, so one seed is one run.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::timers::Instant;

/// A queue of things that happen at an instant.
#[derive(Debug)]
pub struct Queue<T> {
    /// Time, number, place in `things`: the heap moves small keys, the things stay where they are.
    heap: BinaryHeap<Reverse<(Instant, u64, u32)>>,
    things: Vec<Option<T>>,
    free: Vec<u32>,
    numbered: u64,
}

impl<T> Queue<T> {
    /// An empty queue.
    pub const fn new() -> Self {
        Self { heap: BinaryHeap::new(), things: Vec::new(), free: Vec::new(), numbered: 0 }
    }

    /// `thing` happens at `at`.
    pub fn push(&mut self, at: Instant, thing: T) {
        let place = match self.free.pop() {
            Some(place) => {
                self.things[place as usize] = Some(thing);
                place
            }
            None => {
                self.things.push(Some(thing));
                // Four thousand million things at once would not fit into memory.
                (self.things.len() - 1) as u32
            }
        };
        self.numbered += 1;
        self.heap.push(Reverse((at, self.numbered, place)));
    }

    /// When the next thing happens.
    pub fn next_at(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse((at, ..))| *at)
    }

    /// The next thing.
    pub fn pop(&mut self) -> Option<T> {
        let Reverse((_, _, place)) = self.heap.pop()?;
        self.free.push(place);
        self.things[place as usize].take()
    }
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn things_of_one_instant_happen_in_the_order_in_which_they_were_put_in() {
        let at = Instant::from_nanos;
        let mut queue = Queue::new();
        for (when, thing) in [(2, 'c'), (1, 'a'), (2, 'd'), (1, 'b')] {
            queue.push(at(when), thing);
        }
        assert_eq!(queue.next_at(), Some(at(1)));
        assert_eq!(queue.pop(), Some('a'));
        queue.push(at(2), 'e');
        let rest: String = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(rest, "bcde");
    }
}
