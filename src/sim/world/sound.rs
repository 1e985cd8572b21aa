//! Media ports and phones: commands, packets and keys.

use std::net::SocketAddr;

use super::super::checks::Stream;
use super::super::links::Ordered;
use super::super::notes::Note;
use super::super::pbx::LineId;
use super::super::site;
use super::{Event, Waiting, World, thread_link};
use crate::codecs::Digit;
use crate::ids::{CallId, PortId};
use crate::media::{self, MediaPort};
use crate::node;
use crate::timers::{Duration, Instant, earliest};

/// Frames leave at multiples of this.
const FRAME: Duration = Duration::from_millis(20);

/// A phone at which nobody does anything sends a packet this often: enough to be heard.
const KEEP_ALIVE: Duration = Duration::from_secs(1);

/// Payload type of telephone-events here.
const EVENT: u8 = 101;

/// The media of one voice port, and the links to its worker.
#[derive(Debug)]
pub struct Line {
    machine: MediaPort,
    /// Commands on their way to it, and its events on their way to the node.
    pub commands: Ordered,
    events: Ordered,
    due: Option<Instant>,
    /// The port that is bound.
    udp_port: Option<u16>,
    /// The last UDP port that was asked for could not be had.
    pub bind_failed: bool,
    /// What leaves it.
    pub stream: Stream,
    /// The name of the telephone-event that was heard last.
    heard: Option<u32>,
    /// The key that the machine must report next: a packet of a new event reached it.
    must_report: Option<Digit>,
}

impl Line {
    /// One for each port, their frames spread over 20 ms.
    pub fn all(ports: usize) -> Vec<Self> {
        let ports = u32::try_from(ports).unwrap_or(u32::MAX);
        let config = std::sync::Arc::new(media::Config::default());
        let line = |n: u32| Self {
            machine: MediaPort::new(config.clone(), FRAME * n / ports),
            commands: thread_link(),
            events: thread_link(),
            due: None,
            udp_port: None,
            bind_failed: false,
            stream: Stream::default(),
            heard: None,
            must_report: None,
        };
        (0..ports).map(line).collect()
    }

    /// Its links never vary.
    pub fn be_steady(&mut self) {
        self.commands.be_steady();
        self.events.be_steady();
    }

    /// Whether its UDP port is given back.
    pub fn is_closed(&self) -> bool {
        self.udp_port.is_none()
    }

    fn received(&self) -> u64 {
        self.machine.statistics().map_or(0, |statistics| statistics.received)
    }
}

impl World {
    /// A command arrives at a media port.
    pub(super) fn media_command(&mut self, port: PortId, command: media::Command) {
        let Some(line) = self.lines.get_mut(usize::from(port.0)) else { return };
        match &command {
            media::Command::Open { .. } => line.stream = Stream::default(),
            media::Command::Session(session) => {
                line.stream.allow(self.now, session.direction.sends());
            }
            _ => {}
        }
        line.machine.handle_input(self.now, media::Input::Command(command));
        self.play(port);
    }

    /// The deadline of a media port has come.
    pub(super) fn media_timeout(&mut self) {
        let is_due =
            |port: &&PortId| self.lines[usize::from(port.0)].due.is_some_and(|at| at <= self.now);
        let Some(port) = self.open.iter().find(is_due).copied() else { return };
        self.lines[usize::from(port.0)].machine.handle_timeout(self.now);
        self.play(port);
        if self.lines[usize::from(port.0)].due.is_some_and(|at| at <= self.now) {
            self.violation(Some(port), "the deadline of its media is in the past".into());
        }
    }

    /// Carries out what a media port wants.
    fn play(&mut self, port: PortId) {
        let Some(line) = self.lines.get_mut(usize::from(port.0)) else { return };
        let (mut bind, mut fault) = (None, None);
        while let Some(output) = line.machine.poll_output() {
            match output {
                media::Output::Rtp { packet, .. } => {
                    let (wrong, sound) = line.stream.packet(self.now, packet);
                    self.trace.step(self.now, 20, packet.get(3).copied().unwrap_or(0).into());
                    fault = fault.or(wrong);
                    if let Some(on) = sound {
                        self.trace.note(self.now, Note::Sound(port, on));
                    }
                }
                media::Output::Bind { udp_port } => bind = Some(udp_port),
                media::Output::Release => line.udp_port = None,
                media::Output::Event(call, event) => {
                    if let media::Event::Digit { digit, .. } = &event
                        && line.must_report.take() != Some(*digit)
                    {
                        fault = Some("its media reported a key that was not pressed then".into());
                    }
                    let at = line.events.arrival(self.now, &mut self.dice);
                    self.queue.push(at, Event::Media(port, call, self.now, event));
                }
                media::Output::Restrict(_)
                | media::Output::Rtcp { .. }
                | media::Output::RecordingStarted { .. }
                | media::Output::Recorded { .. } => {}
            }
        }
        line.due = line.machine.poll_timeout();
        self.note_due(port);
        if let Some(udp_port) = bind {
            self.bind(port, udp_port);
        }
        if let Some(fault) = fault {
            self.violation(Some(port), fault);
        }
    }

    /// A socket is asked for; another program may have it.
    fn bind(&mut self, port: PortId, udp_port: u16) {
        let taken = self.dice.chance(self.binds_fail);
        if self.lines.iter().any(|line| line.udp_port == Some(udp_port)) {
            self.violation(Some(port), format!("UDP port {udp_port} given to two calls"));
        }
        let Some(line) = self.lines.get_mut(usize::from(port.0)) else { return };
        line.bind_failed = taken;
        (line.heard, line.must_report) = (None, None);
        if taken {
            line.machine.handle_input(self.now, media::Input::BindFailed);
        } else {
            line.udp_port = Some(udp_port);
            line.machine.handle_input(self.now, media::Input::Bound);
        }
        self.play(port);
    }

    fn note_due(&mut self, port: PortId) {
        let open = self.open.binary_search(&port);
        let due = self.lines[usize::from(port.0)].due;
        match (open, due) {
            (Err(at), Some(_)) => self.open.insert(at, port),
            (Ok(at), None) => drop(self.open.remove(at)),
            _ => {}
        }
        self.media_due = earliest(self.open.iter().map(|p| self.lines[usize::from(p.0)].due));
    }

    /// An event of a media port arrives at the node.
    pub(super) fn media_event(
        &mut self,
        port: PortId,
        call: CallId,
        at: Instant,
        event: media::Event,
    ) {
        if self.stall.until.is_some() {
            self.stall.waiting.push_back(Waiting::Media(port, call, at, event));
            return;
        }
        let key = match &event {
            media::Event::Digit { digit, .. } => Some(digit.as_char()),
            _ => None,
        };
        let before = self.node.pool().counters().digits_received;
        let key = key.filter(|_| self.checks.at_port(port) == Some(call));
        if let Some(key) = key {
            // Before the node acts on it: what it sends at once is compared with it.
            self.checks.key(self.now, port, key);
            self.note(Note::Key(port, key));
        }
        self.tell_node(node::Input::Media { port, call, at, event });
        let counted = self.node.pool().counters().digits_received - before;
        if counted != u64::from(key.is_some()) {
            self.violation(Some(port), format!("one key was counted {counted} times"));
        }
    }

    /// A packet of a phone arrives.
    pub(super) fn rtp_arrives(&mut self, udp_port: u16, from: SocketAddr, packet: &[u8]) {
        let Some(index) = self.lines.iter().position(|line| line.udp_port == Some(udp_port)) else {
            return;
        };
        let port = PortId(u16::try_from(index).unwrap_or(u16::MAX));
        let line = &mut self.lines[index];
        let before = line.received();
        line.machine.handle_input(self.now, media::Input::Rtp { from, datagram: packet });
        let (name, digit) = name_of(packet);
        let newer = line.heard.is_none_or(|heard| name.wrapping_sub(heard).cast_signed() > 0);
        if let (true, true, Some(digit)) = (line.received() > before, newer, digit) {
            line.heard = Some(name);
            line.must_report = Some(digit);
        }
        self.play(port);
        if self.lines[index].must_report.take().is_some() {
            self.violation(Some(port), "its media did not report a key that it heard".into());
        }
    }

    /// A phone has something to send.
    pub(super) fn phones_timeout(&mut self) {
        let now = self.now;
        let due =
            self.callers.iter().find(|(_, caller)| caller.phone_due.is_some_and(|t| t <= now));
        if let Some(line) = due.map(|(line, _)| *line) {
            self.phone_sends(line);
        }
        self.note_phones();
    }

    fn phone_sends(&mut self, line: LineId) {
        let Some(caller) = self.callers.get_mut(&line) else { return };
        let Some(phone) = &mut caller.phone else { return };
        phone.rest_until(self.now);
        let (to, packet) = phone.next_frame();
        let packet = packet.to_vec();
        let rest = if phone.is_quiet() { KEEP_ALIVE } else { Duration::ZERO };
        caller.phone_due = Some(phone.poll_timeout() + rest);
        let from = site::phone_address(line.0);
        self.trace.step(self.now, 21, packet.get(3).copied().unwrap_or(0).into());
        for at in self.rtp.arrivals(self.now).into_iter().flatten() {
            let packet = packet.clone();
            self.queue.push(at, Event::Rtp { udp_port: to.port(), from, packet });
        }
    }

    /// When the next phone has something to send.
    pub(super) fn note_phones(&mut self) {
        self.phones_due = earliest(self.callers.values().map(|caller| caller.phone_due));
    }
}

/// The name of a telephone-event, and its key.
fn name_of(packet: &[u8]) -> (u32, Option<Digit>) {
    let Some((header, payload)) = packet.split_first_chunk::<12>() else { return (0, None) };
    let timestamp = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
    let event = (header[1] & 0x7f == EVENT).then(|| payload.first().copied()).flatten();
    (timestamp, event.and_then(Digit::from_event))
}
