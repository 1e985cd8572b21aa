//! Whether facts are acknowledged that only this node has.

use crate::config::ClusterProfile;
use crate::mutants::{Mutant, mutant};
use crate::store::Stream;
use crate::timers::Duration;

/// A fact waits so long for the other node before the witness is asked: with its answer it makes
/// less than a second.
pub(super) const SOLO_AFTER: Duration = Duration::from_millis(700);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The other node counts. A note of an earlier epoch may stand.
    Together { noted: bool },
    /// The witness was asked for its note; the other node counts.
    Asking,
    /// It has noted that this node goes on alone. In a pair, this node has.
    Alone,
    /// It was asked to clear the note; the other node counts.
    Leaving,
}

#[derive(Debug)]
pub(super) struct Alone {
    state: State,
    /// A witness takes the note.
    witness: bool,
    /// The last facts of this start that were acknowledged alone: calls, control.
    marks: [u64; 2],
}

impl Alone {
    pub fn new(profile: ClusterProfile) -> Self {
        let witness = profile == ClusterProfile::Trio;
        Self { state: State::Together { noted: witness }, witness, marks: [0; 2] }
    }

    /// Another epoch, or the lease is lost: the right to go on alone ends.
    pub fn new_epoch(&mut self) {
        if !mutant(Mutant::InheritSolo) {
            self.state = State::Together { noted: self.witness };
        }
    }

    /// The witness has done what it was last asked for.
    pub fn noted(&mut self, on: bool) {
        match (self.state, on) {
            (State::Asking, true) => self.state = State::Alone,
            (State::Leaving, false) => self.state = State::Together { noted: false },
            (State::Asking | State::Leaving | State::Together { .. } | State::Alone, _) => {}
        }
    }

    /// Whether to ask for the note (`Some(true)`), or to have it cleared, given that a fact waits
    /// for too long, or that everything is on both nodes.
    pub fn reconsider(&mut self, stalled: bool, together: bool) -> Option<bool> {
        let (state, wish) = match self.state {
            State::Together { .. } | State::Leaving if stalled && self.witness => {
                (State::Asking, true)
            }
            State::Together { .. } if stalled => (State::Alone, true),
            State::Asking | State::Alone | State::Together { noted: true } if together => {
                let left = State::Together { noted: false };
                (if self.witness { State::Leaving } else { left }, false)
            }
            State::Together { .. } | State::Leaving | State::Asking | State::Alone => return None,
        };
        self.state = state;
        Some(wish)
    }

    pub fn is_alone(&self) -> bool {
        match self.state {
            State::Alone => true,
            State::Leaving => mutant(Mutant::AckWhileLeaving),
            State::Together { .. } | State::Asking => false,
        }
    }

    /// Whether a fact that waits for too long would change something.
    pub fn counts_on_others(&self) -> bool {
        matches!(self.state, State::Together { .. } | State::Leaving)
    }

    pub fn acknowledged(&mut self, stream: Stream, counter: u64) {
        let mark = &mut self.marks[stream as usize];
        *mark = counter.max(*mark);
    }

    /// The last fact of a stream that was acknowledged alone in this start.
    pub fn mark(&self, stream: Stream) -> u64 {
        self.marks[stream as usize]
    }
}
