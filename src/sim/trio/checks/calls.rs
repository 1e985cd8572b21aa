//! Calls and their keys, over the life of several nodes.

use std::collections::BTreeMap;

use crate::ids::{CallId, PortId};
use crate::sim::pbx::LineId;
use crate::timers::Instant;

/// A key that a node took.
#[derive(Clone, Copy, Debug)]
struct Key {
    key: char,
    at: Instant,
    /// By which process.
    run: u64,
    fate: Fate,
}

/// What is known of a key beyond the process that took it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// Nobody else was told of it.
    Alone,
    /// The other node was told.
    Told,
    /// The other node carried the call on without it.
    Missed,
}

/// One call.
#[derive(Debug)]
pub struct Track {
    /// Its port.
    pub port: PortId,
    /// Its line at the PBX.
    pub line: LineId,
    /// When a node first heard of it.
    pub began_at: Instant,
    keys: Vec<Key>,
    checkpoint: String,
    acknowledged: String,
    /// Of the latest offer.
    generation: u32,
    /// The owner was refused its checkpoint or acknowledgement (429), and does not ask again.
    throttled: bool,
    /// The process that had a copy of it when it was promoted last.
    pub promised: Option<u64>,
    /// Where its application hears of it: node and connection, if it does.
    pub live: Option<(usize, u64)>,
}

impl Track {
    /// A node took a key. One that does not know yet that another node has carried the call on, as
    /// after a pause, takes it for nobody.
    pub fn key(&mut self, now: Instant, run: u64, key: char) {
        let superseded = self.promised.is_some_and(|promised| promised != run);
        let fate = if superseded { Fate::Missed } else { Fate::Alone };
        self.keys.push(Key { key, at: now, run, fate });
    }

    /// The process to which the last key came had the call no more.
    pub fn refused(&mut self, run: u64) {
        self.keys.pop_if(|key| key.run == run && key.fate != Fate::Told);
    }

    /// What the other node was told contains the keys that this process took before.
    pub fn told(&mut self, run: u64, by: Instant) {
        let mine = |key: &&mut Key| key.run == run && key.at < by && key.fate == Fate::Alone;
        self.keys.iter_mut().filter(mine).for_each(|key| key.fate = Fate::Told);
    }

    /// A node carries the call on with what it was told: a key that the teller did not know of is
    /// gone for good, even for the one that took it.
    pub fn carried_on(&mut self) {
        let unknown = |key: &&mut Key| key.fate == Fate::Alone;
        self.keys.iter_mut().filter(unknown).for_each(|key| key.fate = Fate::Missed);
    }

    /// An owner is given the call with this checkpoint: two nodes that went on with it apart from
    /// each other told their owners different ones.
    pub fn offered(&mut self, generation: u32, checkpoint: &str) -> Result<(), String> {
        if generation < self.generation {
            return Ok(()); // By a node that does not know yet that another one has the call.
        }
        self.generation = generation;
        self.checkpoint(checkpoint);
        self.acknowledged.clone_from(&self.checkpoint);
        self.explained(|_| true)
    }

    /// The owner's checkpoint was taken.
    pub fn checkpoint(&mut self, value: &str) {
        self.checkpoint = value.replace("%23", "#");
        self.throttled = false;
    }

    /// What the owner says of keys was refused: its next checkpoint says it.
    pub const fn was_throttled(&mut self) {
        self.throttled = true;
    }

    /// The owner's acknowledgement was taken. What it says must have been typed in this order.
    pub fn acknowledge(&mut self, count: &str) -> Result<(), String> {
        if count == "0" {
            return Ok(());
        }
        self.acknowledged.clone_from(&self.checkpoint);
        self.explained(|_| true)
    }

    /// Whether every key that cannot be lost has arrived at the owner; `run`: the process that has
    /// the call.
    pub fn has_settled(&self, run: u64) -> Result<(), String> {
        if self.throttled {
            return Ok(());
        }
        self.explained(|key| match key.fate {
            Fate::Alone => key.run != run,
            Fate::Told => false,
            Fate::Missed => true,
        })
    }

    /// Whether the acknowledged keys are those typed, without some that may be missing.
    fn explained(&self, may_miss: impl Fn(&Key) -> bool) -> Result<(), String> {
        let known: Vec<char> = self.acknowledged.chars().collect();
        // `ways[n]`: the keys so far may have led to the first n of the known ones.
        let mut ways = vec![false; known.len() + 1];
        ways[0] = true;
        for key in &self.keys {
            let mut next = vec![false; known.len() + 1];
            for (n, way) in ways.iter().enumerate() {
                if *way && n < known.len() && known[n] == key.key {
                    next[n + 1] = true;
                }
                next[n] |= *way && may_miss(key);
            }
            ways = next;
        }
        if ways.last() == Some(&true) {
            return Ok(());
        }
        let word =
            |key: &Key| if may_miss(key) { format!("({})", key.key) } else { key.key.into() };
        let typed: String = self.keys.iter().map(word).collect();
        Err(format!("{typed} was typed, and the application knows {}", self.acknowledged))
    }
}

/// All calls.
#[derive(Debug, Default)]
pub struct Calls {
    tracks: BTreeMap<CallId, Track>,
    names: BTreeMap<String, CallId>,
    lines: BTreeMap<LineId, CallId>,
}

impl Calls {
    /// A call begins at a port.
    pub fn begins(&mut self, now: Instant, call: CallId, port: PortId, line: LineId) {
        let track = Track {
            port,
            line,
            began_at: now,
            keys: Vec::new(),
            checkpoint: String::new(),
            acknowledged: String::new(),
            generation: 0,
            throttled: false,
            promised: None,
            live: None,
        };
        self.tracks.entry(call).or_insert(track);
        self.names.insert(call.to_string(), call);
        self.lines.insert(line, call);
    }

    /// A call.
    pub fn get(&mut self, call: CallId) -> Option<&mut Track> {
        self.tracks.get_mut(&call)
    }

    /// The call of a name.
    pub fn named(&mut self, name: &str) -> Option<&mut Track> {
        self.tracks.get_mut(self.names.get(name)?)
    }

    /// The line of a call.
    pub fn line_of(&self, call: CallId) -> Option<LineId> {
        self.tracks.get(&call).map(|track| track.line)
    }

    /// The call of a line.
    pub fn of_line(&self, line: LineId) -> Option<CallId> {
        self.lines.get(&line).copied()
    }

    /// A connection has ended: its calls are gone for whoever had it.
    pub fn closed(&mut self, host: usize, id: u64) {
        let ended = |track: &&mut Track| track.live == Some((host, id));
        self.tracks.values_mut().filter(ended).for_each(|track| track.live = None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_nanos(ms * 1_000_000)
    }

    fn call() -> (Calls, CallId) {
        let mut calls = Calls::default();
        calls.begins(at(0), CallId(1), PortId(0), LineId(1));
        let track = calls.get(CallId(1)).expect("a call");
        track.key(at(1), 1, '1');
        track.key(at(2), 1, '2');
        track.told(1, at(2));
        track.key(at(9), 2, '3');
        (calls, CallId(1))
    }

    fn knows(keys: &str) -> bool {
        let (mut calls, id) = call();
        let track = calls.get(id).expect("a call");
        track.checkpoint(keys);
        track.acknowledge("1").and_then(|()| track.has_settled(2)).is_ok()
    }

    #[test]
    fn a_key_that_was_carried_on_without_is_gone_for_the_one_that_took_it_too() {
        let (mut calls, id) = call();
        let track = calls.get(id).expect("a call");
        track.key(at(10), 1, '4');
        track.carried_on();
        track.checkpoint("13");
        assert!(track.acknowledge("1").and_then(|()| track.has_settled(1)).is_ok());
    }

    #[test]
    fn a_key_at_a_node_that_does_not_know_of_its_successor_may_be_lost() {
        let (mut calls, id) = call();
        let track = calls.get(id).expect("a call");
        track.promised = Some(1);
        track.key(at(10), 2, '4');
        track.told(2, at(11));
        track.checkpoint("123");
        assert!(track.acknowledge("1").and_then(|()| track.has_settled(2)).is_ok());
        track.key(at(12), 1, '5');
        assert!(track.has_settled(1).is_err(), "who carries it on loses none");
    }

    #[test]
    fn what_is_refused_for_its_rate_is_not_known_before_the_next_checkpoint() {
        let (mut calls, id) = call();
        let track = calls.get(id).expect("a call");
        track.was_throttled();
        assert!(track.has_settled(2).is_ok());
        track.checkpoint("13");
        assert!(track.has_settled(2).is_err(), "nothing is acknowledged");
    }

    #[test]
    fn an_owner_knows_what_it_was_offered_the_call_with() {
        let (mut calls, id) = call();
        let track = calls.get(id).expect("a call");
        assert!(track.offered(1, "12").is_ok() && track.has_settled(2).is_err());
        assert!(track.offered(1001, "13").is_ok() && track.has_settled(2).is_ok());
        assert!(track.offered(2, "").is_ok() && track.has_settled(2).is_ok(), "a late offer");
        assert!(track.offered(2001, "4").is_err());
    }

    #[test]
    fn only_a_key_that_nobody_else_was_told_of_may_be_lost() {
        assert!(knows("123") && knows("13"));
        assert!(!knows("23") && !knows("12") && !knows("1123") && !knows("312"));
    }
}
