//! The media machine of one voice port.
//!
//! Commands of the node, datagrams and the clock go in; packets, recorded sound and events come
//! out. A call lives from `Open` to `Close`; between calls the machine holds next to nothing. From
//! the first `Session` on, one frame leaves at each step of an absolute schedule, silence when
//! nothing plays, so that the far end and every NAT on the way see one steady stream; while the
//! direction forbids sending, the schedule and the timestamp go on and the playback stands still.
//!
//! After each `handle_*`, poll all outputs. When [`MediaPort::poll_timeout`] still lies in the
//! past (the worker was late), call [`MediaPort::handle_timeout`] again: one frame a time.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

use super::call::{Call, Opening};
use super::events::Events;
use super::stream::Punctuality;
use super::{Command, Config, Event, IfExists, Playback, PlaybackEnd, RecordingEnd, Statistics};
use crate::ids::{CallId, MediaId};
use crate::timers::{Duration, Instant};

/// What happens to a port's media.
#[derive(Debug)]
pub enum Input<'a> {
    /// The node wants something.
    Command(Command),
    /// The sockets asked for by [`Output::Bind`] are there.
    Bound,
    /// They cannot be had.
    BindFailed,
    /// A datagram came on the RTP port.
    Rtp {
        /// Its source; the connected address where the kernel checks it.
        from: SocketAddr,
        /// Its bytes.
        datagram: &'a [u8],
    },
    /// A datagram came on the RTCP port.
    Rtcp {
        /// Its source.
        from: SocketAddr,
        /// Its bytes.
        datagram: &'a [u8],
    },
    /// The file of a recording cannot be written.
    RecordingFailed {
        /// Of which call.
        call: CallId,
        /// Which.
        id: MediaId,
    },
}

/// What a port's media wants done.
#[derive(Debug)]
pub enum Output<'a> {
    /// Bind the RTP socket to this port and the RTCP socket to the next; answer with
    /// [`Input::Bound`] or [`Input::BindFailed`].
    Bind {
        /// The even port.
        udp_port: u16,
    },
    /// Restrict the sockets to this RTP source and the RTCP source beside it, as `connect` does,
    /// in place of an earlier one; `None`: take packets from anywhere, the machine judges them.
    Restrict(Option<SocketAddr>),
    /// Send on the RTP socket.
    Rtp {
        /// Where to.
        to: SocketAddr,
        /// The packet.
        packet: &'a [u8],
    },
    /// Send on the RTCP socket.
    Rtcp {
        /// Where to.
        to: SocketAddr,
        /// The packet.
        packet: &'a [u8],
    },
    /// Make the file of a recording.
    RecordingStarted {
        /// Of which call.
        call: CallId,
        /// Its name in [`Output::Recorded`], within the call.
        id: MediaId,
        /// The name of its file, without `.wav`.
        name: Arc<str>,
        /// What becomes of a file of that name.
        if_exists: IfExists,
    },
    /// 20 ms of a recording: 160 samples, 8,000 a second.
    Recorded {
        /// Of which call.
        call: CallId,
        /// Which.
        id: MediaId,
        /// The sound.
        samples: &'a [i16],
    },
    /// Give the sockets back.
    Release,
    /// Tell the node, of which call.
    Event(CallId, Event),
}

/// An output that waits in line; its bytes wait in their machines.
#[derive(Debug)]
pub(super) enum Pending {
    Bind(u16),
    Restrict(Option<SocketAddr>),
    Rtp(SocketAddr),
    Rtcp(SocketAddr),
    RecordingStarted(MediaId, Arc<str>, IfExists),
    Recorded(MediaId),
    Release,
}

/// Outputs that one `handle_*` makes at most, roughly; room for them is taken once a call.
const OUTBOX_RESERVED: usize = 8;

/// The machine.
#[derive(Debug)]
pub struct MediaPort {
    config: Arc<Config>,
    phase: Duration,
    state: State,
    outbox: VecDeque<Pending>,
    events: Events,
    /// Of the calls that are over.
    past: Punctuality,
}

#[derive(Debug)]
enum State {
    /// No call.
    Closed,
    /// The sockets are asked for. Commands are taken already.
    Opening(Box<Call>),
    /// A call.
    Open(Box<Call>),
    /// The call is over, its goodbye has not left yet.
    Closing(Box<Call>),
}

impl MediaPort {
    /// A port without a call. Its frames leave at multiples of 20 ms plus `phase`, which spreads
    /// the ports of a worker over the frame.
    pub fn new(config: Arc<Config>, phase: Duration) -> Self {
        Self {
            config,
            phase,
            state: State::Closed,
            outbox: VecDeque::new(),
            events: Events::default(),
            past: Punctuality::default(),
        }
    }

    /// Takes an input.
    pub fn handle_input(&mut self, now: Instant, input: Input<'_>) {
        match input {
            Input::Command(command) => self.handle_command(now, command),
            Input::Bound => self.bound(),
            Input::BindFailed => self.bind_failed(),
            Input::Rtp { from, datagram } => {
                if let Some((call, mut out)) = self.open_call() {
                    call.receive_rtp(now, from, datagram, &mut out);
                }
            }
            Input::Rtcp { from, datagram } => {
                if let Some((call, _)) = self.open_call() {
                    call.receive_rtcp(now, from, datagram);
                }
            }
            Input::RecordingFailed { call, id } => {
                // Ids repeat from call to call: the file may be one of an earlier call.
                if self.events.call() == Some(call)
                    && let Some((call, mut out)) = self.any_call()
                {
                    call.end_recording(id, RecordingEnd::Failed, &mut out);
                }
            }
        }
    }

    /// Does what is due. Harmless when called early.
    pub fn handle_timeout(&mut self, now: Instant) {
        if let Some((call, mut out)) = self.open_call() {
            call.handle_timeout(now, &mut out);
        }
    }

    /// The next thing to do, in order; events come last, so that an event about a packet follows
    /// the packet.
    pub fn poll_output(&mut self) -> Option<Output<'_>> {
        let Some(pending) = self.outbox.pop_front() else {
            return self.events.pop().map(|(call, event)| Output::Event(call, event));
        };
        let call = self.events.call()?;
        Some(match pending {
            Pending::Bind(udp_port) => Output::Bind { udp_port },
            Pending::Restrict(source) => Output::Restrict(source),
            Pending::RecordingStarted(id, name, if_exists) => {
                Output::RecordingStarted { call, id, name, if_exists }
            }
            Pending::Rtp(to) => Output::Rtp { to, packet: self.state.call()?.packet() },
            Pending::Rtcp(to) => Output::Rtcp { to, packet: self.state.call()?.rtcp_packet() },
            Pending::Recorded(id) => {
                Output::Recorded { call, id, samples: self.state.call()?.recorded() }
            }
            Pending::Release => {
                self.past = self.punctuality();
                self.state = State::Closed;
                self.outbox = VecDeque::new();
                self.events.release();
                Output::Release
            }
        })
    }

    /// When to call [`Self::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        match &self.state {
            State::Open(call) => call.poll_timeout(),
            State::Closed | State::Opening(_) | State::Closing(_) => None,
        }
    }

    /// Puts an event back that the node's queue had no room for; it comes out again, first.
    pub fn put_back(&mut self, call: CallId, event: Event) {
        self.events.put_back(call, event);
    }

    /// Counters of the call; `None` between calls.
    pub fn statistics(&self) -> Option<Statistics> {
        self.state.call().map(Call::statistics)
    }

    /// How punctual the frames of all its calls were.
    pub fn punctuality(&self) -> Punctuality {
        self.state.call().map_or(self.past, |call| self.past + call.punctuality())
    }

    fn handle_command(&mut self, now: Instant, command: Command) {
        if let Command::Open { call, udp_port, start, policy, detect_tones } = command {
            self.close(now, true);
            self.past = self.punctuality();
            self.outbox.clear();
            self.outbox.reserve(OUTBOX_RESERVED);
            self.events.open(call);
            self.outbox.push_back(Pending::Bind(udp_port));
            let opening = Opening { start, policy, detect_tones };
            let call = Call::new(Arc::clone(&self.config), self.phase, opening);
            self.state = State::Opening(Box::new(call));
        } else if matches!(command, Command::Close | Command::Leave) {
            let tells = matches!(command, Command::Close);
            self.close(now, tells);
        } else if let Some((call, mut out)) = self.any_call() {
            call.handle_command(now, command, &mut out);
        } else {
            self.refuse(command);
        }
    }

    /// A playback or recording asked for between calls ends at once: whoever asked waits for it.
    fn refuse(&mut self, command: Command) {
        match command {
            Command::Play(playback) => self.refuse_playback(&playback),
            Command::PlayAll(playbacks) => {
                playbacks.iter().for_each(|playback| self.refuse_playback(playback));
            }
            Command::Record(recording) => self.events.push(Event::RecordingFinished {
                id: recording.id,
                end: RecordingEnd::Failed,
                duration_ms: 0,
            }),
            Command::Open { .. }
            | Command::GoOnAfter(_)
            | Command::Session(_)
            | Command::Control { .. }
            | Command::StopAll
            | Command::SendDigits { .. }
            | Command::StopRecord { .. }
            | Command::Mute { .. }
            | Command::Close
            | Command::Leave => {}
        }
    }

    fn refuse_playback(&mut self, playback: &Playback) {
        let (id, end) = (playback.id, PlaybackEnd::Stopped);
        self.events.push(Event::PlaybackFinished { id, end, position_ms: 0 });
    }

    fn bound(&mut self) {
        self.state = match std::mem::replace(&mut self.state, State::Closed) {
            State::Opening(call) => {
                self.events.push(Event::Opened);
                self.outbox.push_back(Pending::Restrict(call.restriction()));
                State::Open(call)
            }
            other @ (State::Closed | State::Open(_) | State::Closing(_)) => other,
        };
    }

    fn bind_failed(&mut self) {
        if matches!(self.state, State::Opening(_)) {
            self.state = State::Closed;
            self.events.push(Event::OpenFailed);
        }
    }

    /// `tells`: the far end hears of it.
    fn close(&mut self, now: Instant, tells: bool) {
        self.state = match std::mem::replace(&mut self.state, State::Closed) {
            State::Closed => return,
            State::Open(mut call) => {
                let out = &mut Out { outbox: &mut self.outbox, events: &mut self.events };
                call.end(out);
                if tells {
                    call.say_goodbye(now, out);
                }
                State::Closing(call)
            }
            State::Opening(call) | State::Closing(call) => State::Closing(call),
        };
        self.outbox.push_back(Pending::Release);
    }

    fn open_call(&mut self) -> Option<(&mut Call, Out<'_>)> {
        let out = Out { outbox: &mut self.outbox, events: &mut self.events };
        match &mut self.state {
            State::Open(call) => Some((call, out)),
            State::Closed | State::Opening(_) | State::Closing(_) => None,
        }
    }

    fn any_call(&mut self) -> Option<(&mut Call, Out<'_>)> {
        let out = Out { outbox: &mut self.outbox, events: &mut self.events };
        match &mut self.state {
            State::Open(call) | State::Opening(call) => Some((call, out)),
            State::Closed | State::Closing(_) => None,
        }
    }
}

impl State {
    fn call(&self) -> Option<&Call> {
        match self {
            Self::Opening(call) | Self::Open(call) | Self::Closing(call) => Some(call),
            Self::Closed => None,
        }
    }
}

/// Where a call puts what it wants done.
#[derive(Debug)]
pub(super) struct Out<'a> {
    pub(super) outbox: &'a mut VecDeque<Pending>,
    pub(super) events: &'a mut Events,
}

#[cfg(test)]
mod tests;
