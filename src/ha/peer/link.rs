//! One peer: greeted when a connection comes up, heard while it beats, refused when it does not
//! belong here.
//!
//! A beat leaves every `renew`, as long as whoever holds the link says within a lease what it
//! says: a node whose event loop stands still must not look alive because its sockets do.
//!
//! Silence of one lease is told, as it is what makes a person worry; it decides nothing, for the
//! lease does. Silence of three leases closes the connection: a cable that was pulled leaves one
//! that never ends by itself.

use std::collections::VecDeque;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Beat, Body, Framer, Hello, Identity, Refusal, Speaker, clean, decode, encode};
use crate::ids::{Epoch, NodeId};
use crate::timers::{Duration, Instant, earliest};

/// A peer that was connected has this long to say hello: a lease of profile `wan`.
const GREETING_MAX: Duration = Duration::from_secs(5);

/// What a link is told.
#[derive(Debug)]
pub enum Input<M> {
    /// A connection whose far end proved to be this peer. It replaces one that is there.
    Connected,
    /// Bytes of that connection.
    Received(Vec<u8>),
    /// It ended, or the driver closed it for a reason of its own.
    Closed,
    /// Send a message. Without an accepted peer it goes nowhere: whoever sends has been told that
    /// the peer is down, and begins anew when it is up.
    Send(M),
    /// What the beats of the next lease say.
    Beat(Beat),
    /// The highest epoch that this node knows; a lower one than before is ignored.
    Epoch(Epoch),
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output<M> {
    /// Write a frame. `droppable`: a later one says it all again.
    Write {
        /// The frame, with its length.
        bytes: Vec<u8>,
        /// A beat.
        droppable: bool,
    },
    /// Close the connection, after what was written.
    Close,
    /// Something happened.
    Event(Event<M>),
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event<M> {
    /// The peer belongs to us and is heard.
    Up {
        /// Version of its program.
        build: String,
        /// It has started anew since it was last up, or this is the first time.
        anew: bool,
    },
    /// It is heard no more: nothing that was sent and not answered can be counted on.
    Down {
        /// `None`: the connection ended without a word.
        why: Option<Refusal>,
    },
    /// It lives.
    Beat {
        /// Its highest epoch.
        epoch: Epoch,
        /// What it says of itself.
        beat: Beat,
    },
    /// A message of it.
    Message {
        /// Its highest epoch.
        epoch: Epoch,
        /// What.
        message: M,
    },
    /// Nothing was heard for one lease.
    Silent {
        /// Last sign of life.
        since: Instant,
    },
    /// It is heard again.
    Heard,
}

#[derive(Debug)]
enum State {
    /// No connection.
    Down,
    /// We have said hello and wait for theirs.
    Greeting { framer: Framer, give_up_at: Instant },
    /// It belongs to us.
    Up { framer: Framer, heard_at: Instant, beat_at: Instant, silent: bool },
}

/// Newest frame of the peer, in one run of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Newest {
    run: u64,
    epoch: Epoch,
    counter: u64,
}

/// The link to one peer. Outlives connections: what was heard on one is old on the next.
#[derive(Debug)]
pub struct Link<M> {
    identity: Identity,
    peer: NodeId,
    name: String,
    state: State,
    newest: Option<Newest>,
    /// PINs that are set there are wrong here.
    other_pepper: bool,
    epoch: Epoch,
    /// Frames of `epoch` that were sent.
    counter: u64,
    /// What beats say, and until when.
    beat: Option<(Beat, Instant)>,
    outputs: VecDeque<Output<M>>,
}

impl<M: Serialize + DeserializeOwned> Link<M> {
    /// The link to node `peer`, called `name`; nothing is connected.
    pub fn new(identity: Identity, peer: NodeId, name: String) -> Self {
        Self {
            identity,
            peer,
            name,
            state: State::Down,
            newest: None,
            other_pepper: false,
            epoch: Epoch::default(),
            counter: 0,
            beat: None,
            outputs: VecDeque::new(),
        }
    }

    /// Takes an input.
    pub fn handle_input(&mut self, now: Instant, input: Input<M>) {
        match input {
            Input::Connected => self.connected(now),
            Input::Received(bytes) => self.received(now, &bytes),
            Input::Closed => self.down(None),
            Input::Send(message) => self.send(message),
            Input::Beat(beat) => self.beat = Some((beat, now + self.identity.timers.lease)),
            Input::Epoch(epoch) if epoch > self.epoch => {
                self.epoch = epoch;
                self.counter = 0;
            }
            Input::Epoch(_) => {}
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        let lease = self.identity.timers.lease;
        match &mut self.state {
            State::Down => {}
            State::Greeting { give_up_at, .. } if now >= *give_up_at => {
                self.refuse(Refusal::Silent);
            }
            State::Greeting { .. } => {}
            State::Up { heard_at, .. } if now >= *heard_at + 3 * lease => {
                self.refuse(Refusal::Silent);
            }
            State::Up { heard_at, beat_at, silent, .. } => {
                if !*silent && now >= *heard_at + lease {
                    *silent = true;
                    let event = Event::Silent { since: *heard_at };
                    self.outputs.push_back(Output::Event(event));
                }
                if now >= *beat_at {
                    *beat_at = now + self.identity.timers.renew;
                    if let Some((beat, _)) = self.beat.filter(|(_, until)| now < *until) {
                        self.write(Body::Beat(beat));
                    }
                }
            }
        }
    }

    /// The next thing to do, until `None`.
    pub fn poll_output(&mut self) -> Option<Output<M>> {
        self.outputs.pop_front()
    }

    /// When to call `handle_timeout`.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let lease = self.identity.timers.lease;
        match self.state {
            State::Down => None,
            State::Greeting { give_up_at, .. } => Some(give_up_at),
            State::Up { heard_at, beat_at, silent: false, .. } => {
                earliest([Some(beat_at), Some(heard_at + lease)])
            }
            State::Up { heard_at, beat_at, silent: true, .. } => {
                earliest([Some(beat_at), Some(heard_at + 3 * lease)])
            }
        }
    }

    /// Whether the peer, when it was last greeted, had another pepper than this node.
    pub const fn other_pepper(&self) -> bool {
        self.other_pepper
    }

    /// Whether the peer is heard: connected, accepted, not silent.
    pub fn is_up(&self) -> bool {
        matches!(self.state, State::Up { silent: false, .. })
    }

    fn connected(&mut self, now: Instant) {
        self.down(None);
        let give_up_at = now + GREETING_MAX;
        self.state = State::Greeting { framer: Framer::default(), give_up_at };
        self.write(Body::Hello(Box::new(self.identity.hello())));
    }

    fn received(&mut self, now: Instant, bytes: &[u8]) {
        match &mut self.state {
            State::Down => return,
            State::Greeting { framer, .. } | State::Up { framer, .. } => framer.push(bytes),
        }
        loop {
            let next = match &mut self.state {
                State::Down => return,
                State::Greeting { framer, .. } | State::Up { framer, .. } => framer.next_frame(),
            };
            match next.and_then(|json| json.map_or(Ok(false), |json| self.heard(now, &json))) {
                Ok(true) => {}
                Ok(false) => return,
                Err(refusal) => return self.refuse(refusal),
            }
        }
    }

    /// One frame. True, so that the caller asks for the next one.
    fn heard(&mut self, now: Instant, json: &[u8]) -> Result<bool, Refusal> {
        let frame = decode::<M>(json)?;
        let (epoch, counter) = (frame.epoch, frame.counter);
        if let Body::Goodbye { why } = &frame.body {
            self.identity.check_sender(self.peer, &frame)?;
            return Err(Refusal::TheyRefused { why: clean(why) });
        }
        if matches!(self.state, State::Greeting { .. }) {
            let hello = self.identity.accept(self.peer, &self.name, frame)?;
            return self.greeted(now, hello, epoch, counter);
        }
        self.identity.check_sender(self.peer, &frame)?;
        let run = self.newest.map_or(0, |newest| newest.run);
        self.rise(run, epoch, counter)?;
        self.hear(now);
        match frame.body {
            Body::Beat(beat) => self.event(Event::Beat { epoch, beat }),
            Body::Message(message) => self.event(Event::Message { epoch, message }),
            Body::Hello(_) => return Err(Refusal::MayNotSay { what: "a second hello" }),
            Body::Release { .. } => {
                return Err(Refusal::MayNotSay { what: "a release, as a supervisor does" });
            }
            Body::Released { .. } | Body::Goodbye { .. } => {
                return Err(Refusal::MayNotSay { what: "an answer to nothing" });
            }
        }
        Ok(true)
    }

    fn greeted(
        &mut self,
        now: Instant,
        hello: Hello,
        epoch: Epoch,
        counter: u64,
    ) -> Result<bool, Refusal> {
        if hello.speaker != Speaker::Node {
            return Err(Refusal::MayNotSay { what: "a supervisor's hello on the link of a node" });
        }
        let peppers = self.identity.pepper.as_ref().zip(hello.pepper.as_ref());
        self.other_pepper = peppers.is_some_and(|(ours, theirs)| ours != theirs);
        let anew = self.newest.is_none_or(|newest| newest.run != hello.run);
        self.rise(hello.run, epoch, counter)?;
        if let State::Greeting { framer, .. } = &mut self.state {
            let mut framer = std::mem::take(framer);
            framer.trust();
            self.state = State::Up { framer, heard_at: now, beat_at: now, silent: false };
        }
        self.event(Event::Up { build: clean(&hello.build), anew });
        Ok(true)
    }

    /// A frame must be newer than the newest of its sender's run, on whichever connection.
    fn rise(&mut self, run: u64, epoch: Epoch, counter: u64) -> Result<(), Refusal> {
        let old = self.newest.filter(|newest| newest.run == run);
        if old.is_some_and(|newest| (epoch, counter) <= (newest.epoch, newest.counter)) {
            return Err(Refusal::NotRisen);
        }
        self.newest = Some(Newest { run, epoch, counter });
        Ok(())
    }

    fn hear(&mut self, now: Instant) {
        let State::Up { heard_at, silent, .. } = &mut self.state else { return };
        *heard_at = now;
        if std::mem::take(silent) {
            self.event(Event::Heard);
        }
    }

    fn send(&mut self, message: M) {
        if matches!(self.state, State::Up { .. }) {
            self.write(Body::Message(message));
        }
    }

    fn write(&mut self, body: Body<M>) {
        self.counter = self.counter.saturating_add(1);
        let droppable = matches!(body, Body::Beat(_));
        let frame = self.identity.frame(self.epoch, self.counter, body);
        match encode(&frame) {
            Ok(bytes) => self.outputs.push_back(Output::Write { bytes, droppable }),
            // Cannot be sent, and what follows makes no sense without it.
            Err(length) => self.refuse(Refusal::Length { length, max: super::FRAME_MAX }),
        }
    }

    fn refuse(&mut self, refusal: Refusal) {
        if !matches!(refusal, Refusal::TheyRefused { .. }) {
            let why = refusal.to_string();
            self.write(Body::Goodbye { why });
        }
        self.outputs.push_back(Output::Close);
        self.down(Some(refusal));
    }

    fn down(&mut self, why: Option<Refusal>) {
        match std::mem::replace(&mut self.state, State::Down) {
            State::Down => {}
            // Nobody was told that it was up; a refusal is news all the same.
            State::Greeting { .. } if why.is_none() => {}
            State::Greeting { .. } | State::Up { .. } => self.event(Event::Down { why }),
        }
    }

    fn event(&mut self, event: Event<M>) {
        self.outputs.push_back(Output::Event(event));
    }
}
