//! The applications' side: connections, events down, requests up, pings and pongs.

use bytes::Bytes;

use super::super::checks::{Wish, kind, status, token};
use super::super::notes::Note;
use super::super::process::{Frame, Kind, Output, Pongs, Process};
use super::super::site;
use super::{Event, Waiting, World};
use crate::ids::{InstanceId, RequestId};
use crate::node::{self, Mark};
use crate::redact::Redacted;
use crate::timers::Duration;
use crate::{ivr, pool};

/// A write that takes longer is reported.
const UNSENT_REPORTED_AFTER: Duration = Duration::from_millis(50);

impl World {
    /// A process begins, and asks for its WebSocket.
    pub(super) fn start(&mut self, kind: Kind, pongs: Pongs) {
        let id = InstanceId(self.processes.len() as u64 + 1);
        let mut process = Process::new(id, kind, pongs, self.now);
        if self.steady {
            process.down.be_steady();
            process.up.be_steady();
        }
        self.processes.push(process);
        self.next_request += 1;
        let uri = format!("/ari/events?app={}&api_key={}", kind.name(), site::api_key());
        let http = ivr::Request {
            method: "GET".into(),
            uri: Redacted::new(uri),
            host: "10.0.0.2".into(),
            authorization: None,
            content_type: None,
            protocols: None,
            body: Bytes::new(),
        };
        let request = RequestId(self.next_request);
        let upgrade = node::Input::Ivr(ivr::Input::Upgrade { request, instance: id, http });
        let at = self.now + Duration::from_millis(1);
        self.queue.push(at, Event::ToNode(Box::new(upgrade)));
    }

    /// The node accepts a WebSocket.
    pub(super) fn accepted(&mut self, id: InstanceId) {
        if let Some(process) = self.process(id) {
            process.connected();
            self.note(Note::Connected(id));
        }
    }

    /// The node sends an event or an answer.
    pub(super) fn send_text(&mut self, to: InstanceId, text: String, mark: Option<Mark>) {
        self.trace.step(self.now, 12, text.len() as u64);
        let now = self.now;
        if kind(&text) == "RESTResponse" {
            self.answer = status(&text);
        }
        let Some(process) = self.process(to) else { return };
        let (of, innocent) = (process.kind, process.is_beyond_reproach(now));
        if let Some(seen) = self.checks.event(now, to, of, innocent, &text) {
            self.seen.push((to, seen));
        }
        self.write(to, Frame::Text(text), mark);
    }

    /// The node pings: several pings that wait are one.
    pub(super) fn send_ping(&mut self, to: InstanceId) {
        let now = self.now;
        let Some(process) = self.process(to) else { return };
        let waits = process.down.stands_still(now).is_some();
        if !(waits && std::mem::replace(&mut process.ping_waits, waits)) {
            self.write(to, Frame::Ping, None);
        }
    }

    /// Hands a frame to the socket, which tells when it took it, and whether that takes long.
    fn write(&mut self, to: InstanceId, frame: Frame, mark: Option<Mark>) {
        let now = self.now;
        let Some(index) = usize::try_from(to.0).ok().and_then(|id| id.checked_sub(1)) else {
            return;
        };
        let Some(process) = self.processes.get_mut(index) else { return };
        let still = process.down.stands_still(now);
        let arrives_at = process.down.arrival(now, &mut self.dice);
        let unsent = still.filter(|until| now + UNSENT_REPORTED_AFTER < *until);
        if let Some(until) = unsent.filter(|_| !process.unsent_told) {
            process.unsent_told = true;
            let tell = |since| Box::new(node::Input::Unsent { instance: to, since });
            let at = now + UNSENT_REPORTED_AFTER;
            self.queue.push(at, Event::ToNode(tell(Some(now))));
            self.queue.push(until, Event::ToNode(tell(None)));
        }
        self.queue.push(arrives_at, Event::ToProcess(to, frame));
        if let Some(mark) = mark {
            let at = still.unwrap_or(now) + Duration::from_micros(30);
            self.queue.push(at, Event::ToNode(Box::new(node::Input::Written { mark, at })));
        }
    }

    /// A frame arrives at a process.
    pub(super) fn frame_arrives(&mut self, id: InstanceId, frame: Frame) {
        let now = self.now;
        let Some(process) = self.process(id) else { return };
        if process.down.stands_still(now).is_none() {
            (process.ping_waits, process.unsent_told) = (false, false);
        }
        process.arrive(now, frame);
        self.perform_process(id);
    }

    /// A process has handled an event.
    pub(super) fn process_works(&mut self, id: InstanceId, turn: u32) {
        let now = self.now;
        let Some(process) = self.process(id) else { return };
        process.work(now, turn);
        self.perform_process(id);
    }

    /// Carries out what a process wants.
    pub(super) fn perform_process(&mut self, id: InstanceId) {
        let Some(index) = usize::try_from(id.0).ok().and_then(|id| id.checked_sub(1)) else {
            return;
        };
        let Some(process) = self.processes.get_mut(index) else { return };
        while let Some(output) = process.poll_output() {
            let (at, event) = match output {
                Output::WorkAt(at, turn) => (at, Event::Work(id, turn)),
                Output::Pong => (process.up.arrival(self.now, &mut self.dice), Event::Pong(id)),
                Output::Text(text) => {
                    let at = process.up.arrival(self.now, &mut self.dice);
                    (at, Event::FromProcess(id, text))
                }
            };
            self.queue.push(at, event);
        }
    }

    /// A pong arrives.
    pub(super) fn pong_arrives(&mut self, id: InstanceId) {
        if self.stall.until.is_some() {
            self.stall.waiting.push_back(Waiting::Pong(id));
            return;
        }
        self.tell_node(node::Input::Pong { instance: id });
    }

    /// A request of a process arrives: it counts if its token is that of the owner, and else it
    /// is refused.
    pub(super) fn request_arrives(&mut self, id: InstanceId, text: String) {
        if self.stall.until.is_some() {
            self.stall.waiting.push_back(Waiting::Request(id, text));
            return;
        }
        let (now, process) = (self.now, self.process(id));
        if process.and_then(|process| process.silent_from).is_some_and(|at| at < now) {
            return;
        }
        self.trace.step(self.now, 13, text.len() as u64);
        let wish = Wish::read(&text);
        let named = wish.as_ref().and_then(|wish| token(wish.channel));
        let call = named.and_then(|(call, _)| self.checks.named(call));
        let first = match (call, named, &wish) {
            (Some(call), Some((_, token)), Some(wish)) => {
                self.checks.commanded(self.now, call, token, wish)
            }
            _ => None,
        };
        let port = call.and_then(|call| self.checks.call(call)).map(|check| check.port);
        self.answer = None;
        self.tell_node(node::Input::Ivr(ivr::Input::Text { instance: id, text: text.clone() }));
        let answer = self.answer.take();
        match (first, answer) {
            (Some(first), Some(200..=299)) => {
                if let (true, Some(port)) = (first, port) {
                    self.note(Note::Claimed(port, id));
                }
                let acknowledged = call.zip(wish).and_then(|(c, w)| self.checks.accepted(c, &w));
                if let (Some(keys), Some(port)) = (acknowledged, port) {
                    self.note(Note::Acknowledged(port, keys));
                }
                self.judge();
            }
            (None, Some(404)) => {
                if let Some(port) = port {
                    self.note(Note::Stale(port, id, 404));
                }
            }
            (Some(first), Some(429)) => {
                if let (true, Some(port)) = (first, port) {
                    self.note(Note::Claimed(port, id));
                }
                if let Some(check) = call.and_then(|call| self.checks.call(call)) {
                    check.was_throttled();
                }
            }
            (owner, answer) => {
                let whose = if owner.is_some() { "the owner" } else { "no owner" };
                let answer = answer.map_or_else(|| "nothing".to_owned(), |s| s.to_string());
                self.violation(port, format!("{id}, {whose}, was answered {answer} to {text}"));
            }
        }
    }

    /// The connection of a process ends.
    pub(super) fn connection_ends(&mut self, id: InstanceId) {
        self.note(Note::Gone(id));
        self.tell_node(node::Input::Ivr(ivr::Input::Closed { instance: id }));
    }

    /// Whether an instance that works may be given calls, as the pool sees it.
    pub(super) fn is_healthy(&self, id: InstanceId) -> bool {
        let mut all = self.node.pool().instances();
        all.any(|status| status.instance == id && status.health == pool::Health::Healthy)
    }
}
