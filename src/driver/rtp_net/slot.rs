//! One voice port on its worker: the machine, its sockets, and the way between them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::sockets::{Channel, Sockets};
use super::worker::World;
use super::{Report, Shared};
use crate::driver::clock;
use crate::driver::recorder::Item;
use crate::ids::PortId;
use crate::media::{self, Event, Input, MediaPort, Output, Punctuality};
use crate::timers::Instant;

/// Datagrams read at one visit, every 10 ms: eight times what an ordinary stream brings, so that a
/// burst after a stall is read soon, and a flood stays in its socket.
const READ_MAX: usize = 8;

/// RTCP is read, and statistics are published, at every tenth visit: every 100 ms.
const RARELY: u8 = 10;

/// The longest datagram that is read; RTP of 40 ms has 332 bytes.
pub(super) const DATAGRAM_MAX: usize = 1_500;

/// The port.
#[derive(Debug)]
pub(super) struct Slot {
    id: PortId,
    machine: MediaPort,
    sockets: Option<Sockets>,
    visits: u8,
    /// What the worker's counters hold of this port already.
    counted: Punctuality,
    /// And of the refused packets of its call.
    refused: u64,
    /// An event waits for room in the node's queue.
    has_unsent: bool,
    /// Whether the worker visits it.
    pub(super) live: bool,
}

impl Slot {
    pub(super) fn new(id: PortId, config: Arc<media::Config>, phase: Duration) -> Self {
        Self {
            id,
            machine: MediaPort::new(config, phase),
            sockets: None,
            visits: 0,
            counted: Punctuality::default(),
            refused: 0,
            has_unsent: false,
            live: false,
        }
    }

    /// Whether it has to be visited.
    pub(super) fn is_busy(&self) -> bool {
        self.sockets.is_some() || self.has_unsent
    }

    pub(super) fn handle(&mut self, now: Instant, input: Input<'_>, world: &mut World) {
        self.machine.handle_input(now, input);
        self.drain(now, world);
    }

    /// Sends what is due, reads what came.
    pub(super) fn visit(&mut self, world: &mut World) {
        let now = clock::now();
        while self.machine.poll_timeout().is_some_and(|at| at <= now) {
            self.machine.handle_timeout(now);
            self.drain(now, world);
        }
        self.read(now, Channel::Rtp, world);
        self.visits += 1;
        if self.visits >= RARELY {
            self.visits = 0;
            self.read(now, Channel::Rtcp, world);
            self.publish(world);
        }
        if self.has_unsent {
            self.drain(now, world);
        }
    }

    fn read(&mut self, now: Instant, channel: Channel, world: &mut World) {
        let mut buffer = std::mem::take(&mut world.buffer);
        for _ in 0..READ_MAX {
            let Some(sockets) = &mut self.sockets else { break };
            let Some((length, from)) = sockets.receive(channel, &mut buffer) else { break };
            let datagram = &buffer[..length];
            let input = match channel {
                Channel::Rtp => {
                    Shared::add(&world.shared.received, 1);
                    Input::Rtp { from, datagram }
                }
                Channel::Rtcp => Input::Rtcp { from, datagram },
            };
            self.handle(now, input, world);
        }
        world.buffer = buffer;
    }

    fn drain(&mut self, now: Instant, world: &mut World) {
        self.has_unsent = false;
        loop {
            let Some(output) = self.machine.poll_output() else { return };
            match output {
                Output::Rtp { to, packet } => {
                    send(self.sockets.as_ref(), Channel::Rtp, to, packet, world);
                }
                Output::Rtcp { to, packet } => {
                    send(self.sockets.as_ref(), Channel::Rtcp, to, packet, world);
                }
                Output::Event(call, event) => {
                    let report = Report { port: self.id, call, at: now, event };
                    if let Err(event) = tell(report, world) {
                        self.has_unsent = true;
                        self.machine.put_back(call, event);
                        return;
                    }
                }
                Output::Recorded { call, id, samples } => {
                    if let Some(item) = Item::sound(self.id, (call, id), samples)
                        && world.outbound.push(item).is_err()
                    {
                        Shared::add(&world.shared.recorder_full, 1);
                    }
                }
                Output::RecordingStarted { call, id, name, if_exists } => {
                    // When there is no room, its end reports that it failed.
                    let (port, id) = (self.id, (call, id));
                    let _ = world.outbound.push(Item::Begin { port, id, name, if_exists });
                    world.recorder.unpark();
                }
                Output::Restrict(source) => {
                    if let Some(sockets) = &mut self.sockets {
                        sockets.restrict(source);
                    }
                }
                Output::Bind { udp_port } => {
                    let (address, awaited) = world.address_of(self.id);
                    let bound = Sockets::bind(address, udp_port, awaited);
                    let input = if bound.is_ok() { Input::Bound } else { Input::BindFailed };
                    self.sockets = bound.ok();
                    self.machine.handle_input(now, input);
                }
                Output::Release => {
                    self.sockets = None;
                    self.publish(world);
                }
            }
        }
    }

    /// Makes the counters visible.
    fn publish(&mut self, world: &World) {
        let statistics = self.machine.statistics();
        world.statistics[usize::from(self.id.0)].write(statistics);
        // A new call counts from 0 again.
        let refused = statistics.map_or(0, |statistics| statistics.refused);
        Shared::add(&world.shared.refused, refused.saturating_sub(self.refused));
        self.refused = refused;
        let now = self.machine.punctuality();
        let before = std::mem::replace(&mut self.counted, now);
        Shared::add(&world.shared.late, now.late - before.late);
        Shared::add(&world.shared.caught_up, now.caught_up - before.caught_up);
        Shared::add(&world.shared.left_out, now.left_out - before.left_out);
    }
}

fn send(sockets: Option<&Sockets>, channel: Channel, to: SocketAddr, packet: &[u8], world: &World) {
    let sent = sockets.is_some_and(|sockets| sockets.send(channel, to, packet).is_ok());
    if !sent {
        Shared::add(&world.shared.send_failed, 1);
    } else if channel == Channel::Rtp {
        Shared::add(&world.shared.sent, 1);
    }
}

/// Takes an event to the node; the end of a recording by way of the thread that closes its file.
fn tell(report: Report, world: &mut World) -> Result<(), Event> {
    if matches!(report.event, Event::RecordingFinished { .. }) {
        let ended = world.outbound.push(Item::End(report));
        world.recorder.unpark();
        return ended.map_err(Item::into_event);
    }
    world.events.send(report).map_err(|report| report.event)
}
