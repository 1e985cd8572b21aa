//! The node's inputs and outputs: told at once while it runs, later while it does not.

use super::super::checks::Seen;
use super::super::notes::Note;
use super::super::site;
use super::pbx_side::info_key;
use super::{Event, Waiting, World};
use crate::ids::{CallId, Generation, PortId};
use crate::node::{self, Output};
use crate::pool::PortState;
use crate::timers::Duration;
use crate::{ivr, media, sip};

/// A deadline that stays in the past after so many calls is one that is never met.
const TIMEOUTS_AT_ONCE_MAX: u32 = 3;

/// Inputs that a driver takes between two looks at the clock, at most.
const BATCH_MAX: u32 = 64;

impl World {
    /// Tells the node something, or puts it where a node that does not run finds it.
    pub(super) fn tell_node(&mut self, input: node::Input) {
        if self.stall.until.is_some() {
            self.stall.waiting.push_back(Waiting::Input(Box::new(input)));
            return;
        }
        self.checks.turn += 1;
        if let node::Input::Ivr(ivr::Input::Closed { instance }) = &input {
            self.checks.gone(*instance);
        }
        match info_key(&input) {
            Some((port, key)) => self.take_info(input, port, key),
            None => self.node.handle_input(self.now, input),
        }
        self.perform();
    }

    /// The node's deadline has come.
    pub(super) fn node_timeout(&mut self) {
        for _ in 0..TIMEOUTS_AT_ONCE_MAX {
            self.checks.turn += 1;
            self.node.handle_timeout(self.now);
            self.perform();
            if self.node_due.is_none_or(|at| at > self.now) {
                return;
            }
        }
        let due = self.node_due;
        self.violation(None, format!("the node's deadline {due:?} is in the past, again"));
    }

    /// The node stops running.
    pub(super) fn stall_node(&mut self, time: Duration) {
        let until = self.now + time;
        if self.stall.until.is_none_or(|at| at < until) {
            self.stall.until = Some(until);
            self.queue.push(until, Event::NodeWakes);
        }
    }

    /// The node runs again: the clock first, or a batch of what came meanwhile.
    pub(super) fn node_wakes(&mut self) {
        if self.stall.until.is_none_or(|at| at > self.now) {
            return;
        }
        self.stall.until = None;
        let mut batch = if self.dice.chance(500) { 0 } else { self.dice.below(BATCH_MAX) };
        while !self.checks.failed() {
            if batch == 0 {
                if self.node_due.is_some_and(|at| at <= self.now) {
                    self.node_timeout();
                }
                batch = 1 + self.dice.below(BATCH_MAX);
            }
            batch -= 1;
            let Some(waiting) = self.stall.waiting.pop_front() else { return };
            match waiting {
                Waiting::Input(input) => self.tell_node(*input),
                Waiting::Request(id, text) => self.request_arrives(id, text),
                Waiting::Pong(id) => self.pong_arrives(id),
                Waiting::Media(port, call, at, event) => self.media_event(port, call, at, event),
            }
        }
    }

    /// Carries out what the node wants.
    pub(super) fn perform(&mut self) {
        let mut over = Vec::new();
        while let Some(output) = self.node.poll_output() {
            match output {
                Output::Sip(output) => self.send_sip(output),
                Output::Media { port, command } => self.order_media(port, command, &mut over),
                Output::Text { instance, text, mark } => self.send_text(instance, text, mark),
                Output::Ping { instance } => self.send_ping(instance),
                Output::Accept { instance, .. } => self.accepted(instance),
                Output::Respond { response, .. } => self.responded(response.status),
                Output::Load { call, name } => self.load(call, name),
                // A node alone has nobody to tell.
                Output::Peer { .. }
                | Output::Beat(_)
                | Output::Epoch(_)
                | Output::Persist { .. }
                | Output::ReadFacts { .. }
                | Output::AgentChanged { .. }
                | Output::Alert(_)
                | Output::News(_)
                | Output::CheckPin { .. }
                | Output::StartProgram { .. }
                | Output::StopPrograms
                | Output::Answer { .. } => {}
                Output::Stopped => self.node_stopped(),
            }
        }
        self.node_due = self.node.poll_timeout();
        let releases = self.node.pool().counters().releases;
        if std::mem::replace(&mut self.releases, releases) != releases {
            self.pool_gave_up();
        }
        self.note_seen(&over);
        for call in over {
            self.checks.is_over(call);
        }
        self.judge();
        if self.trace.is_full() {
            self.note_changes();
        }
    }

    /// An operator stops the node.
    pub fn stop(&mut self) {
        self.stop = Some(false);
        self.tell_node(node::Input::Stop);
    }

    fn node_stopped(&mut self) {
        match self.stop {
            Some(false) => self.stop = Some(true),
            Some(true) => self.violation(None, "the node stopped twice".into()),
            None => self.violation(None, "the node stopped unasked".into()),
        }
    }

    /// Calls that the pool gave up may be ended by their ports.
    fn pool_gave_up(&mut self) {
        let pool = self.node.pool();
        self.checks.may_end(|port, call| {
            pool.port(port).is_none_or(|status| {
                status.state == PortState::Leaving || status.call != Some(call)
            })
        });
    }

    fn note_seen(&mut self, over: &[CallId]) {
        for (to, seen) in std::mem::take(&mut self.seen) {
            let note = match seen {
                Seen::Offered(port, generation, reason) => {
                    Note::Offered(port, to, Generation(generation), reason)
                }
                Seen::Ended(port) => {
                    let call = self.checks.at_port(port);
                    if call.is_some_and(|call| over.contains(&call)) {
                        continue;
                    }
                    Note::Taken(port, to)
                }
                Seen::Digit(port, key) => Note::Delivered(port, to, key),
            };
            self.note(note);
        }
    }

    fn send_sip(&mut self, output: sip::Output) {
        let sip::Output::Datagram { to, bytes, .. } = output else {
            self.violation(None, "a connection is wanted, at a site with UDP only".into());
            return;
        };
        self.trace.step(self.now, 10, bytes.len() as u64);
        if to != site::pbx_address() {
            self.violation(None, format!("SIP sent to {to}"));
        }
        for at in self.sip_to_pbx.arrivals(self.now).into_iter().flatten() {
            self.queue.push(at, Event::SipToPbx(bytes.clone()));
        }
    }

    fn order_media(&mut self, port: PortId, command: media::Command, over: &mut Vec<CallId>) {
        match &command {
            media::Command::Open { .. } => self.media_opens(port),
            media::Command::Close => over.extend(self.checks.at_port(port)),
            _ => {}
        }
        let Some(line) = self.lines.get_mut(usize::from(port.0)) else { return };
        let at = line.commands.arrival(self.now, &mut self.dice);
        self.queue.push(at, Event::Command(port, command));
    }

    /// A UDP port is wanted: for a new call, or in place of one that could not be had.
    fn media_opens(&mut self, port: PortId) {
        let call = self.node.pool().port(port).and_then(|status| status.call);
        let known = self.checks.at_port(port);
        let failed = self.lines.get(usize::from(port.0)).is_some_and(|line| line.bind_failed);
        match (call, known) {
            (Some(call), None) => {
                self.checks.begins(port, call);
                self.note(Note::Begins(port));
            }
            (Some(call), Some(known)) if call == known && failed => {}
            (call, known) => {
                let text = format!("its media was opened for {call:?} in call {known:?}");
                self.violation(Some(port), text);
            }
        }
    }

    fn load(&mut self, call: CallId, name: String) {
        let loaded = node::Input::Loaded { call, name, prompt: None };
        let at = self.now + Duration::from_millis(1);
        self.queue.push(at, Event::ToNode(Box::new(loaded)));
    }

    fn responded(&mut self, status: u16) {
        self.trace.step(self.now, 11, status.into());
        // A call to the outside finds no free port, or the node drains.
        if !matches!(status, 200..=299 | 403 | 503) {
            self.violation(None, format!("a request over HTTP was answered with {status}"));
        }
    }

    /// What changed that only people want to know: found out by comparing, which takes time.
    fn note_changes(&mut self) {
        let instances = self.node.pool().instances();
        let health: Vec<_> = instances.map(|status| (status.instance, status.health)).collect();
        for (instance, health) in health {
            if self.known_health.insert(instance, health) != Some(health) {
                self.note(Note::Health(instance, health));
            }
        }
        let alarms = self.node.alarms(self.now);
        let alarms: Vec<_> = alarms.iter().map(|alarm| alarm.kind.to_string()).collect();
        let known = std::mem::replace(&mut self.known_alarms, alarms.clone());
        for raised in alarms.iter().filter(|alarm| !known.contains(alarm)) {
            self.note(Note::Alarm(true, raised.clone()));
        }
        for over in known.iter().filter(|alarm| !alarms.contains(alarm)) {
            self.note(Note::Alarm(false, over.clone()));
        }
    }
}
