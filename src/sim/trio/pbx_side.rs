//! The PBX and the people behind it.

use bytes::Bytes;

use super::checks::{Kind, Theft};
use super::node_side::partner;
use super::site::{self, NAMES};
use super::world::{Event, World};
use crate::codecs::Digit;
use crate::ids::{CallId, PortId};
use crate::node;
use crate::sim::pbx::{self, LineId};
use crate::sim::phone::Phone;
use crate::sim::site::{extension, pbx_address};
use crate::sip::{self, SocketId};
use crate::timers::{Duration, Instant};

/// A caller who hears nothing for so long hangs up.
const PATIENCE: Duration = Duration::from_secs(4);

/// A call that was answered is at the other node after this.
const COPIED_WITHIN: Duration = Duration::from_millis(55);

/// Somebody in a call with a port.
#[derive(Debug)]
pub struct Caller {
    /// Whom he called.
    pub port: PortId,
    /// His phone, once the call is answered.
    pub phone: Option<Phone>,
    /// When it sends next.
    pub phone_due: Option<Instant>,
    /// When he last heard something, or called.
    pub heard_at: Instant,
    /// He holds the port: it is silent by his wish.
    pub holds: bool,
}

impl World {
    /// A datagram arrives at a node.
    pub(super) fn sip_arrives(&mut self, at: usize, bytes: Bytes) {
        self.invited = self.pbx.invited(&bytes);
        let input = sip::Input::Datagram { socket: SocketId(0), from: pbx_address(), bytes };
        self.tell(at, node::Input::Sip(input));
        self.invited = None;
    }

    /// A datagram of a node arrives at the PBX.
    pub(super) fn pbx_hears(&mut self, at: usize, bytes: Bytes) {
        self.tell_pbx(pbx::Input::Datagram { from: site::sip_address(at), bytes });
    }

    /// The PBX repeats what was not answered.
    pub(super) fn pbx_timeout(&mut self) {
        self.pbx.handle_timeout(self.now);
        self.perform_pbx();
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
                    let Some(at) = site::node_at(to.ip()) else {
                        let text = format!("a port gave {to} as its address");
                        self.fail(Kind::Other, text);
                        continue;
                    };
                    let (now, host) = (self.now, &mut self.hosts[at]);
                    let cut = host.pbx_cut;
                    let arrivals = if cut { [None, None] } else { host.sip_in.arrivals(now) };
                    for arrival in arrivals.into_iter().flatten() {
                        self.queue.push(arrival, Event::SipToNode(at, bytes.clone()));
                    }
                }
                pbx::Output::Event(event) => self.pbx_event(event),
            }
        }
        self.pbx_due = self.pbx.poll_timeout();
    }

    fn pbx_event(&mut self, event: pbx::Event) {
        match event {
            pbx::Event::Registered { extension } => self.bound(extension),
            pbx::Event::Unregistered { .. }
            | pbx::Event::FromPort { .. }
            | pbx::Event::Dialled { .. } => {}
            pbx::Event::Answered { line, media } => {
                self.checks.homes.insert(line, media.remote.ip());
                let (ssrc, now) = (self.dice.below(u32::MAX), self.now);
                let Some(caller) = self.callers.get_mut(&line) else { return };
                caller.phone = Some(Phone::new(media, ssrc, false, now));
                (caller.phone_due, caller.heard_at) = (Some(now), now);
                let port = caller.port;
                self.note(format!("{} answered", extension(port)));
                self.note_phones();
                self.expect_copy(line);
            }
            pbx::Event::Changed { line, media } => {
                self.checks.homes.insert(line, media.remote.ip());
                let Some(caller) = self.callers.get_mut(&line) else { return };
                if let Some(phone) = &mut caller.phone {
                    phone.change(media);
                }
            }
            pbx::Event::Ended { line, refused, by_port } => {
                self.checks.refused.extend(refused.map(|_| line));
                let Some(caller) = self.callers.remove(&line) else { return };
                let port = extension(caller.port);
                self.note(format!("{port} ended, refused {refused:?}, by port {by_port}"));
                self.note_phones();
            }
            pbx::Event::Transferred { line, .. } => {
                self.fail(Kind::Other, format!("line {} was transferred", line.0));
            }
        }
    }

    /// The other node must know of a call that was answered.
    fn expect_copy(&mut self, line: LineId) {
        let Some(host) = self.pbx.far_end(line).and_then(|at| site::node_at(at.ip())) else {
            return;
        };
        let Some(call) = self.checks.calls.of_line(line) else { return };
        let Some(run) = self.hosts[host].process.as_ref().map(|process| process.run) else {
            return;
        };
        // Whoever else answers it is not heard.
        if let Some(track) = self.checks.calls.get(call) {
            track.promised = track.promised.filter(|promised| *promised == run);
        }
        let due = Event::CopyDue { call, host, run, since: self.now };
        self.queue.push(self.now + COPIED_WITHIN, due);
    }

    /// If nothing was wrong meanwhile with either node or what lies between.
    pub(super) fn must_be_copied(&mut self, call: CallId, host: usize, run: u64, since: Instant) {
        let other = partner(host);
        let well = |at: usize| {
            let host = &self.hosts[at];
            host.process.is_some() && host.stopped.is_none() && host.well_since <= since
        };
        let fair = self.hosts[host].pbx_well_since.is_some_and(|at| at <= since);
        let pair = &self.pairs[0];
        let linked = pair.is_well() && pair.well_since <= since;
        let serves = self.hosts[host].serves(self.now) && !self.hosts[host].is_excused(self.now);
        // One that acts itself takes nothing from before, and one that did took what it had.
        let takes = self.hosts[other].process.as_ref().is_some_and(|at| !at.role.acts())
            && [host, other].iter().all(|at| self.hosts[*at].promoted_at <= since);
        if !(well(host) && well(other) && fair && linked && serves && takes) {
            return;
        }
        let lives = self.process(host, run).is_some_and(|process| {
            let mut ports = process.node.pool().ports();
            ports.any(|status| status.call == Some(call))
        });
        if lives && !self.checks.copies[other].contains_key(&call) {
            let text = format!("{} has no copy of a call after 55 ms", NAMES[other]);
            self.fail(Kind::Call, text);
        }
    }

    /// Whose binding it was, and whether whoever took it may.
    fn bound(&mut self, extension: String) {
        let Some(address) = self.pbx.bound_to(&extension, self.now) else { return };
        let Some(by) = site::node_at(address.ip()) else { return };
        let serves = |at: usize| self.hosts[at].serves(self.now);
        let theft = self.checks.thefts.remove(&extension);
        match theft {
            Some(theft) if theft.owner == by => self.checks.repaired(theft, self.now),
            _ if serves(partner(by)) && !serves(by) => {
                self.note_of(by, &format!("took the binding of {extension}"));
                let theft = theft.unwrap_or(Theft { owner: partner(by), since: self.now });
                self.checks.thefts.insert(extension, theft);
            }
            _ => {}
        }
    }

    /// The line of a port's caller.
    pub(super) fn line_at(&self, port: PortId) -> Option<LineId> {
        self.callers.iter().find(|(_, caller)| caller.port == port).map(|(line, _)| *line)
    }

    /// Somebody calls a port, if it is free and the PBX knows it.
    pub(super) fn call(&mut self, port: PortId, delayed_offer: bool) {
        let extension = extension(port);
        if self.line_at(port).is_some() || !self.pbx.is_registered(&extension, self.now) {
            return;
        }
        self.next_line += 1;
        let line = LineId(self.next_line);
        let caller =
            Caller { port, phone: None, phone_due: None, heard_at: self.now, holds: false };
        self.callers.insert(line, caller);
        let media = site::phone_address(line.0);
        let caller = format!("2{:03}", line.0 % 1_000);
        self.tell_pbx(pbx::Input::Call { line, extension, caller, media, delayed_offer });
    }

    /// A caller presses keys.
    pub(super) fn press(&mut self, port: PortId, keys: &str) {
        let now = self.now;
        let caller = self.callers.values_mut().find(|caller| caller.port == port);
        let Some(caller) = caller else { return };
        let Some(phone) = &mut caller.phone else { return };
        for digit in keys.chars().filter_map(Digit::from_char) {
            phone.press(digit, 100, 100);
        }
        caller.phone_due = Some(now.max(phone.poll_timeout().min(now)));
        self.note_phones();
    }

    /// Whoever has heard nothing for long gives up.
    pub(super) fn callers_give_up(&mut self) {
        let now = self.now;
        let lost = |caller: &Caller| !caller.holds && now > caller.heard_at + PATIENCE;
        let lost: Vec<LineId> =
            self.callers.iter().filter(|(_, c)| lost(c)).map(|(line, _)| *line).collect();
        for line in lost {
            if let Some(text) = self.silence_at_fault(line) {
                return self.fail(Kind::Call, text);
            }
            self.hang_up(line);
        }
    }

    /// Why a silence is no caller's lot: the node that serves has his call, and nothing has been
    /// wrong with it for so long as he was patient.
    fn silence_at_fault(&self, line: LineId) -> Option<String> {
        let caller = self.callers.get(&line)?;
        caller.phone.as_ref()?;
        let at = self.pbx.far_end(line).and_then(|at| site::node_at(at.ip()))?;
        let (host, lately) = (&self.hosts[at], self.now - PATIENCE);
        let status = host.process.as_ref()?.node.pool().port(caller.port)?;
        status.call.filter(|call| self.checks.calls.line_of(*call) == Some(line))?;
        let well = host.well_since <= lately && host.promoted_at <= lately;
        let fair = host.pbx_well_since.is_some_and(|since| since <= lately);
        let serves = host.serves(self.now);
        (well && fair && serves)
            .then(|| format!("the caller of {} heard nothing for 4 s", extension(caller.port)))
    }

    /// A caller hangs up, and thinks no more of it.
    pub(super) fn hang_up(&mut self, line: LineId) {
        if let Some(caller) = self.callers.remove(&line) {
            self.note(format!("caller of {} hangs up", extension(caller.port)));
        }
        self.note_phones();
        self.tell_pbx(pbx::Input::HangUp { line });
    }
}
