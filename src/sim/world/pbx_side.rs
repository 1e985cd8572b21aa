//! The PBX and the people behind it: SIP both ways, callers and their phones.

use bytes::Bytes;

use super::super::notes::Note;
use super::super::pbx::{self, LineId};
use super::super::phone::Phone;
use super::super::site;
use super::{Event, World};
use crate::ids::PortId;
use crate::sdp::Direction;
use crate::sip::wire::Method;
use crate::sip::{self, SocketId};
use crate::timers::Instant;
use crate::{codecs, node};

/// Somebody in a call with a port.
#[derive(Debug)]
pub struct Caller {
    /// Whom he called.
    pub port: PortId,
    /// His phone, once the call is answered.
    pub phone: Option<Phone>,
    /// When it sends next.
    pub phone_due: Option<Instant>,
}

impl World {
    /// A datagram arrives at the node.
    pub(super) fn sip_arrives(&mut self, bytes: Bytes) {
        self.trace.step(self.now, 30, bytes.len() as u64);
        let input = sip::Input::Datagram { socket: SocketId(0), from: site::pbx_address(), bytes };
        self.tell_node(node::Input::Sip(input));
    }

    /// The node takes an INFO with a key, which is known before what the node says of it is
    /// looked at. A repeated INFO brings no key.
    pub(super) fn take_info(&mut self, input: node::Input, port: PortId, key: char) {
        let before = self.node.pool().counters().digits_received;
        self.node.handle_input(self.now, input);
        for _ in before..self.node.pool().counters().digits_received {
            self.checks.key(self.now, port, key);
            self.note(Note::Key(port, key));
        }
    }

    /// A datagram arrives at the PBX.
    pub(super) fn pbx_hears(&mut self, bytes: Bytes) {
        let input = pbx::Input::Datagram { from: site::node_address(), bytes };
        self.tell_pbx(input);
    }

    /// The PBX repeats what was not answered.
    pub(super) fn pbx_timeout(&mut self) {
        self.pbx.handle_timeout(self.now);
        self.perform_pbx();
        if self.pbx_due.is_some_and(|at| at <= self.now) {
            self.violation(None, "the deadline of the PBX is in the past".into());
        }
    }

    /// Tells the PBX something.
    pub(super) fn tell_pbx(&mut self, input: pbx::Input) {
        self.pbx.handle_input(self.now, input);
        self.perform_pbx();
    }

    fn perform_pbx(&mut self) {
        while let Some(output) = self.pbx.poll_output() {
            match output {
                pbx::Output::Datagram { to, bytes } => {
                    if to != site::node_address() {
                        self.violation(None, format!("a port gave {to} as its address"));
                    }
                    for at in self.sip_to_node.arrivals(self.now).into_iter().flatten() {
                        self.queue.push(at, Event::SipToNode(bytes.clone()));
                    }
                }
                pbx::Output::Event(event) => self.pbx_event(event),
            }
        }
        self.pbx_due = self.pbx.poll_timeout();
    }

    fn pbx_event(&mut self, event: pbx::Event) {
        match event {
            pbx::Event::Registered { .. }
            | pbx::Event::Unregistered { .. }
            | pbx::Event::Dialled { .. } => {}
            pbx::Event::Answered { line, media } => {
                let ssrc = self.dice.below(u32::MAX);
                let now = self.now;
                let Some(caller) = self.callers.get_mut(&line) else { return };
                caller.phone = Some(Phone::new(media, ssrc, false, now));
                caller.phone_due = Some(now);
                let port = caller.port;
                self.note(Note::Answered(port));
                self.note_phones();
            }
            pbx::Event::Changed { line, media } => {
                let Some(caller) = self.callers.get_mut(&line) else { return };
                if let Some(phone) = &mut caller.phone {
                    phone.change(media);
                }
                let (port, held) = (caller.port, media.direction == Direction::SendOnly);
                self.note(Note::Held(port, held));
            }
            pbx::Event::Ended { line, refused, by_port } => self.line_ends(line, refused, by_port),
            pbx::Event::Transferred { line, target } => {
                if let Some(port) = self.callers.get(&line).map(|caller| caller.port) {
                    self.note(Note::Transferred(port, target));
                }
            }
            pbx::Event::FromPort { line, method } => self.port_asks(line, method),
        }
    }

    fn line_ends(&mut self, line: LineId, refused: Option<u16>, by_port: bool) {
        let Some(caller) = self.callers.remove(&line) else { return };
        self.note(Note::Ended(caller.port, refused, by_port));
        self.note_phones();
    }

    /// A port sends a request in its dialog: only because somebody asked for it. A rebind is
    /// nobody's wish, and makes none.
    fn port_asks(&mut self, line: LineId, method: Method) {
        let Some(port) = self.callers.get(&line).map(|caller| caller.port) else { return };
        self.note(Note::FromPort(port, method.clone()));
        let asked = self.checks.was_asked_to_end(port);
        if !(asked && matches!(method, Method::Bye | Method::Refer)) {
            self.violation(Some(port), format!("{method} left the port, and nobody asked for it"));
        }
    }

    /// The line of a port's caller.
    pub(super) fn line_at(&self, port: PortId) -> Option<LineId> {
        self.callers.iter().find(|(_, caller)| caller.port == port).map(|(line, _)| *line)
    }

    /// Somebody calls a port, if it is free and the PBX knows it.
    pub(super) fn call(&mut self, port: PortId, delayed_offer: bool) {
        let extension = site::extension(port);
        if self.line_at(port).is_some() || !self.pbx.is_registered(&extension, self.now) {
            return;
        }
        self.next_line += 1;
        let line = LineId(self.next_line);
        self.callers.insert(line, Caller { port, phone: None, phone_due: None });
        let media = site::phone_address(line.0);
        let caller = format!("2{:03}", line.0 % 1_000);
        self.tell_pbx(pbx::Input::Call { line, extension, caller, media, delayed_offer });
    }

    /// The caller presses keys.
    pub(super) fn press(&mut self, port: PortId, keys: &str) {
        let now = self.now;
        let caller = self.callers.values_mut().find(|caller| caller.port == port);
        let Some(caller) = caller else { return };
        let Some(phone) = &mut caller.phone else { return };
        for digit in keys.chars().filter_map(codecs::Digit::from_char) {
            phone.press(digit, 100, 100);
        }
        caller.phone_due = Some(now.max(phone.poll_timeout().min(now)));
        self.note_phones();
    }
}

/// The port and the key of an INFO.
pub(super) fn info_key(input: &node::Input) -> Option<(PortId, char)> {
    let node::Input::Sip(sip::Input::Datagram { bytes, .. }) = input else { return None };
    let text = str::from_utf8(bytes).ok().filter(|text| text.starts_with("INFO "))?;
    let to = text.split("\r\nTo: <sip:").nth(1)?;
    let port = site::port_of(to.split('@').next()?)?;
    let signal = text.split("Signal=").nth(1)?;
    Some((port, signal.chars().next()?))
}
