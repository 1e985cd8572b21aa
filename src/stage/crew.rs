//! The IVR instances of a play, and what they said.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::sync::mpsc;

use super::cast::until;
use super::instance::{Habits, Instance, Line, Play, Said};
use super::node::API_KEY;
use crate::sim::app::Event;

/// Instances by index, in the order in which they were started.
pub struct Crew {
    /// Those that live.
    pub instances: BTreeMap<usize, Instance>,
    said: mpsc::Receiver<Said>,
    tell: mpsc::Sender<Said>,
    lines: Vec<Said>,
    next: usize,
}

impl Default for Crew {
    fn default() -> Self {
        let (tell, said) = mpsc::channel();
        Self { instances: BTreeMap::new(), said, tell, lines: Vec::new(), next: 0 }
    }
}

/// An instance of application `main` at a node.
pub fn play_at(ari: SocketAddr) -> Play {
    Play {
        ari,
        application: "main".to_owned(),
        api_key: API_KEY.to_owned(),
        acknowledges: true,
        livelocked: false,
        habits: Habits::default(),
    }
}

impl Crew {
    /// Starts one more instance and waits until it is connected.
    pub fn add(&mut self, play: &Play) -> io::Result<usize> {
        let index = self.next;
        self.next += 1;
        let instance = Instance::start(index, play, self.tell.clone())?;
        self.instances.insert(index, instance);
        until("the instance is connected", || {
            self.listen();
            let said = self.lines.iter().filter(|said| said.instance == index);
            Ok(said.map(|said| &said.line).any(|line| *line == Line::Connected))
        })?;
        Ok(index)
    }

    /// How many calls an instance serves, by what it said itself and lost since.
    pub fn calls_of(&mut self, index: usize) -> usize {
        self.listen();
        let mut calls = BTreeSet::new();
        for said in self.lines.iter().filter(|said| said.instance == index) {
            match &said.line {
                Line::Said(Event::Started { call, .. }) => drop(calls.insert(call.clone())),
                Line::Said(Event::Ended { call } | Event::Refused { call }) => {
                    calls.remove(call);
                }
                Line::Connected
                | Line::Beat
                | Line::StandsBy
                | Line::Said(Event::Acknowledged { .. }) => {}
            }
        }
        calls.len()
    }

    /// The digits that the instances took and acknowledged, by `GW_CALL`.
    pub fn digits(&mut self) -> BTreeMap<String, String> {
        self.listen();
        let mut by_call = BTreeMap::<String, String>::new();
        for said in &self.lines {
            if let Line::Said(Event::Acknowledged { call, digits }) = &said.line {
                by_call.insert(call.clone(), digits.clone());
            }
        }
        by_call
    }

    /// Process ids of those that live.
    pub fn pids(&self) -> impl Iterator<Item = u32> {
        self.instances.values().map(Instance::pid)
    }

    fn listen(&mut self) {
        self.lines.extend(self.said.try_iter());
    }
}
