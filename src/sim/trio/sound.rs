//! Media ports and phones: commands, packets and keys.

use std::net::SocketAddr;

use super::checks::Kind;
use super::site::{self, NAMES};
use super::world::{Event, World};
use crate::ids::{CallId, PortId};
use crate::media;
use crate::node;
use crate::sim::site::extension;
use crate::timers::{Duration, Instant, earliest};

/// A phone at which nobody does anything sends a packet this often.
const KEEP_ALIVE: Duration = Duration::from_secs(1);

impl World {
    /// The node orders something of a port's media.
    pub(super) fn order_media(&mut self, at: usize, port: PortId, command: media::Command) {
        if let media::Command::Open { call, .. } = &command {
            self.begins(*call, port);
        }
        let Some(process) = &mut self.hosts[at].process else { return };
        let run = process.run;
        let Some(line) = process.lines.get_mut(usize::from(port.0)) else { return };
        let arrival = line.commands.arrival(self.now, &mut self.dice);
        self.queue.push(arrival, Event::Command { host: at, run, port, command });
    }

    fn begins(&mut self, call: CallId, port: PortId) {
        if self.checks.calls.get(call).is_none()
            && let Some(line) = self.invited
        {
            self.checks.calls.begins(self.now, call, port, line);
            self.note(format!("{} rings as {call}", extension(port)));
        }
    }

    /// It arrives.
    pub(super) fn media_command(
        &mut self,
        at: usize,
        run: u64,
        port: PortId,
        command: media::Command,
    ) {
        let local = self.hosts[at].clock.local(self.now);
        let Some(process) = self.process(at, run) else { return };
        let Some(line) = process.lines.get_mut(usize::from(port.0)) else { return };
        line.machine.handle_input(local, media::Input::Command(command));
        self.play(at, port);
    }

    /// The deadline of a media port has come.
    pub(super) fn media_timeout(&mut self, at: usize) {
        let local = self.hosts[at].clock.local(self.now);
        let Some(process) = &mut self.hosts[at].process else { return };
        let is_due = |line: &super::lines::Line| line.due.is_some_and(|due| due <= local);
        let Some(index) = process.lines.iter().position(is_due) else { return };
        process.lines[index].machine.handle_timeout(local);
        let port = PortId(u16::try_from(index).unwrap_or(u16::MAX));
        self.play(at, port);
    }

    /// Carries out what a media port wants.
    fn play(&mut self, at: usize, port: PortId) {
        let (now, host) = (self.now, &mut self.hosts[at]);
        let local = host.clock.local(now);
        let Some(process) = &mut host.process else { return };
        let run = process.run;
        let Some(line) = process.lines.get_mut(usize::from(port.0)) else { return };
        let mut bind = None;
        while let Some(output) = line.machine.poll_output() {
            match output {
                media::Output::Rtp { to, packet } if !host.pbx_cut => {
                    let heard = |line: u32| site::phone_address(line) == to;
                    let caller = self.callers.iter_mut().find(|(line, _)| heard(line.0));
                    // The PBX passes on what comes from where it sends to.
                    if let Some((_, caller)) = caller
                        && let Some(phone) = &mut caller.phone
                        && site::node_at(phone.target().ip()) == Some(at)
                    {
                        phone.hear(now, packet);
                        caller.heard_at = now;
                    }
                }
                media::Output::Bind { udp_port } => bind = Some(udp_port),
                media::Output::Release => line.udp_port = None,
                media::Output::Event(call, event) => {
                    let arrival = line.events.arrival(now, &mut self.dice);
                    let event = Event::Media { host: at, run, port, call, at: local, event };
                    self.queue.push(arrival, event);
                }
                media::Output::Rtp { .. }
                | media::Output::Restrict(_)
                | media::Output::Rtcp { .. }
                | media::Output::RecordingStarted { .. }
                | media::Output::Recorded { .. } => {}
            }
        }
        line.due = line.machine.poll_timeout();
        process.media_due = earliest(process.lines.iter().map(|line| line.due));
        if let Some(udp_port) = bind {
            self.bind(at, port, udp_port);
        }
    }

    fn bind(&mut self, at: usize, port: PortId, udp_port: u16) {
        let local = self.hosts[at].clock.local(self.now);
        let Some(process) = &mut self.hosts[at].process else { return };
        if process.lines.iter().any(|line| line.udp_port == Some(udp_port)) {
            let text = format!("UDP port {udp_port} of {} given to two calls", NAMES[at]);
            return self.fail(Kind::Other, text);
        }
        let Some(line) = process.lines.get_mut(usize::from(port.0)) else { return };
        line.udp_port = Some(udp_port);
        line.machine.handle_input(local, media::Input::Bound);
        self.play(at, port);
    }

    /// An event of a media port arrives at its node.
    pub(super) fn media_event(
        &mut self,
        at: usize,
        run: u64,
        (port, call, when): (PortId, CallId, Instant),
        event: media::Event,
    ) {
        let key = match &event {
            media::Event::Digit { digit, .. } => Some(digit.as_char()),
            _ => None,
        };
        let Some(process) = self.process(at, run) else { return };
        let before = process.node.pool().counters().digits_received;
        let owner = process.node.pool().port(port).and_then(|status| status.call);
        let taken = key.filter(|_| owner == Some(call));
        if let Some(key) = taken {
            // Before the node acts on it: what it tells at once is compared with it.
            self.took(at, run, call, key);
        }
        self.tell(at, node::Input::Media { port, call, at: when, event });
        let Some(process) = self.process(at, run) else { return };
        let owner = process.node.pool().port(port).and_then(|status| status.call);
        let counted = process.node.pool().counters().digits_received - before;
        // A lease that had run out came before the key: that is told as lost.
        if taken.is_some()
            && owner != Some(call)
            && let Some(track) = self.checks.calls.get(call)
        {
            track.refused(run);
        }
        if counted > u64::from(key.is_some()) {
            self.fail(Kind::Other, format!("one key was counted {counted} times"));
        }
    }

    fn took(&mut self, at: usize, run: u64, call: CallId, key: char) {
        let now = self.now;
        if let Some(track) = self.checks.calls.get(call) {
            track.key(now, run, key);
            let port = extension(track.port);
            self.note_of(at, &format!("{port} key {key}"));
        }
    }

    /// A packet of a phone arrives.
    pub(super) fn rtp_arrives(
        &mut self,
        at: usize,
        udp_port: u16,
        from: SocketAddr,
        packet: &[u8],
    ) {
        let local = self.hosts[at].clock.local(self.now);
        let Some(process) = &mut self.hosts[at].process else { return };
        let Some(index) = process.lines.iter().position(|line| line.udp_port == Some(udp_port))
        else {
            return;
        };
        let input = media::Input::Rtp { from, datagram: packet };
        process.lines[index].machine.handle_input(local, input);
        self.play(at, PortId(u16::try_from(index).unwrap_or(u16::MAX)));
    }

    /// A phone has something to send.
    pub(super) fn phones_timeout(&mut self) {
        let now = self.now;
        let due = |caller: &super::pbx_side::Caller| caller.phone_due.is_some_and(|at| at <= now);
        if let Some((line, caller)) = self.callers.iter_mut().find(|(_, caller)| due(caller))
            && let Some(phone) = &mut caller.phone
        {
            phone.rest_until(now);
            let from = site::phone_address(line.0);
            let (to, packet) = phone.next_frame();
            let packet = packet.to_vec();
            let rest = if phone.is_quiet() { KEEP_ALIVE } else { Duration::ZERO };
            caller.phone_due = Some(phone.poll_timeout() + rest);
            if let Some(host) = site::node_at(to.ip()).filter(|at| !self.hosts[*at].pbx_cut) {
                let arrival = now + Duration::from_micros(300);
                let event = Event::Rtp { host, udp_port: to.port(), from, packet };
                self.queue.push(arrival, event);
            }
        }
        self.note_phones();
    }

    /// When the next phone has something to send.
    pub(super) fn note_phones(&mut self) {
        self.phones_due = earliest(self.callers.values().map(|caller| caller.phone_due));
    }
}
