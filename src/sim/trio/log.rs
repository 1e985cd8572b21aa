//! What is noted of a run, for people and for the comparison of two runs of one seed.

use std::collections::VecDeque;

use crate::timers::Instant;

/// Notes that are kept when nobody wants them all.
const KEPT: usize = 200;

/// The notes of a run.
#[derive(Debug)]
pub struct Log {
    hash: u64,
    all: bool,
    kept: VecDeque<(Instant, String)>,
}

impl Log {
    /// `all`: keep every note.
    pub const fn new(all: bool) -> Self {
        Self { hash: 0xcbf2_9ce4_8422_2325, all, kept: VecDeque::new() }
    }

    /// Counts a step.
    pub const fn step(&mut self, now: Instant, what: u64) {
        let mixed = (self.hash ^ now.as_nanos() ^ (what << 48)).wrapping_mul(0x0100_0000_01b3);
        self.hash = mixed ^ (mixed >> 29);
    }

    /// Keeps a note.
    pub fn note(&mut self, now: Instant, text: String) {
        self.step(now, text.len() as u64);
        if !self.all && self.kept.len() >= KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back((now, text));
    }

    /// What two runs of one seed have in common.
    pub const fn hash(&self) -> u64 {
        self.hash
    }

    /// The notes.
    pub fn notes(&self) -> impl Iterator<Item = (Instant, &str)> {
        self.kept.iter().map(|(at, text)| (*at, text.as_str()))
    }

    /// The notes, one a line.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        self.notes().map(|(at, text)| {
            let micros = at.as_nanos() / 1_000;
            format!("{:>3}.{:06} {text}", micros / 1_000_000, micros % 1_000_000)
        })
    }
}
