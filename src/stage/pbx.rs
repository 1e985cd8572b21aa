//! The simulator's PBX and phones on UDP sockets of the loopback interface, on a thread of their
//! own.
//!
//! Each call has a socket, and the kernel notes when a packet came; everything else happens in one
//! loop. What a phone heard is kept after its call, for the report.

#![expect(clippy::disallowed_methods, reason = "threads of the stage")]

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::mpsc as std_mpsc;

use bytes::Bytes;
use rand_core::{OsRng, SeedableRng, TryRngCore};
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::runtime::Builder;
use tokio::sync::{mpsc, oneshot};

use super::kernel_time::{self, Received};
use crate::codecs::Digit;
use crate::driver::clock;
use crate::ids::Rng;
use crate::redact::Redacted;
use crate::sdp::Codec;
use crate::sim::pbx::{self, LineId, Manner, Pbx};
use crate::sim::phone::{Heard, Phone};
use crate::timers::{Duration, Instant, earliest};

/// Packets that wait for the loop at most; what is beyond was lost on the way.
const PACKETS_MAX: usize = 8_192;
const COMMANDS_MAX: usize = 1_024;

/// Packets that are heard before anything else gets its turn.
const BATCH_MAX: usize = 256;

const RTP_HEADER_LEN: usize = 12;

/// Second octet of RTP. A phone sets it in the first packet of a key and in no other.
const MARKER: u8 = 0x80;

/// What the stage manager wants.
#[derive(Debug)]
pub enum Command {
    /// Call an extension.
    Call {
        /// Name of the line.
        line: LineId,
        /// Whom.
        extension: String,
        /// What of the sound is kept.
        keep: Keep,
        /// INVITE without SDP.
        delayed_offer: bool,
    },
    /// Press keys, one after the other.
    Press {
        /// On which line.
        line: LineId,
        /// Which keys.
        digits: Vec<Digit>,
    },
    /// Send a datagram, whatever it is, from where the line's sound comes from to where it goes.
    Send {
        /// On which line.
        line: LineId,
        /// What.
        datagram: Vec<u8>,
    },
    /// Hang up.
    HangUp {
        /// Which line.
        line: LineId,
    },
    /// Tell what there is to tell.
    Report(oneshot::Sender<Report>),
}

/// What of a call's sound is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Nothing but counts and times.
    Nothing,
    /// All of it.
    Sound,
    /// The pitch of each packet: where in [`super::sound::write_rising`] it is.
    Pitch,
}

/// How the calls are.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Extensions that are registered.
    pub registered: usize,
    /// Registered extensions by the address of their device.
    pub devices: BTreeMap<IpAddr, usize>,
    /// Every line that there was.
    pub lines: BTreeMap<LineId, LineReport>,
}

/// How one call is, or was.
#[derive(Clone, Debug, Default)]
pub struct LineReport {
    /// The extension that was called.
    pub extension: String,
    /// Number of the caller.
    pub caller: String,
    /// When the call was placed.
    pub placed_at: Instant,
    /// Where it stands.
    pub state: LineState,
    /// What the caller heard.
    pub heard: Heard,
    /// The keys that were pressed.
    pub pressed: String,
    /// The sound, if it was kept.
    pub sound: Option<(Codec, Vec<u8>)>,
    /// When each packet arrived.
    pub arrivals: Vec<Instant>,
    /// When the first packet of each key was sent.
    pub keys_at: Vec<Instant>,
    /// Where in the sound, if it was kept, each of these packets ends.
    pub ends: Vec<usize>,
    /// When each packet with a pitch came, and the pitch in Hz, if that was kept.
    pub pitches: Vec<(Instant, f64)>,
}

/// Where a line's call stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LineState {
    /// INVITE sent.
    #[default]
    Calling,
    /// Answered.
    Up,
    /// Over; the caller hung up.
    Done,
    /// Over; the port ended it, refused it, or it was lost.
    Lost,
}

/// Something that happened, and when.
#[derive(Clone, Debug)]
pub struct Noted {
    /// When.
    pub at: Instant,
    /// What.
    pub event: pbx::Event,
    /// The device that an extension was bound to by it.
    pub device: Option<SocketAddr>,
}

/// A PBX that runs.
pub struct PbxNet {
    /// Its SIP address.
    pub address: SocketAddr,
    /// What happened, in order.
    pub events: std_mpsc::Receiver<Noted>,
    commands: mpsc::Sender<Command>,
}

impl PbxNet {
    /// Starts a PBX on a free port of the loopback interface.
    pub fn start(accounts: BTreeMap<String, Redacted<String>>, manner: Manner) -> io::Result<Self> {
        Self::start_at(Ipv4Addr::LOCALHOST, accounts, manner)
    }

    /// The same at another address, in the network of the calling thread.
    pub fn start_at(
        at: Ipv4Addr,
        accounts: BTreeMap<String, Redacted<String>>,
        manner: Manner,
    ) -> io::Result<Self> {
        let (commands, receiver) = mpsc::channel(COMMANDS_MAX);
        let (notes, events) = std_mpsc::sync_channel(65_536);
        let (ready, is_ready) = std_mpsc::sync_channel(1);
        std::thread::Builder::new().name("pbx".to_owned()).spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build();
            let run = |runtime: tokio::runtime::Runtime| {
                runtime.block_on(run(at, accounts, manner, receiver, notes, ready));
            };
            // Without a runtime `ready` is dropped, which `start` reports.
            runtime.map(run)
        })?;
        let address =
            is_ready.recv().map_err(|_| io::Error::other("the PBX emulator did not start"))??;
        Ok(Self { address, events, commands })
    }

    /// Gives an order. The thread lives as long as this handle.
    pub fn command(&self, command: Command) {
        if self.commands.blocking_send(command).is_err() {
            tracing::error!("the PBX emulator has ended");
        }
    }

    /// How the calls are.
    pub fn report(&self) -> Report {
        let (sender, receiver) = oneshot::channel();
        self.command(Command::Report(sender));
        receiver.blocking_recv().unwrap_or_default()
    }
}

/// A packet that a phone's socket received.
struct Packet {
    line: LineId,
    from: SocketAddr,
    at: Instant,
    bytes: Bytes,
}

struct Desk {
    phone: Option<Phone>,
    socket: Arc<UdpSocket>,
    reader: tokio::task::JoinHandle<()>,
    keep: Keep,
    keys_at: Vec<Instant>,
    pitches: Vec<(Instant, f64)>,
}

struct Stage {
    at: Ipv4Addr,
    pbx: Pbx,
    sip: UdpSocket,
    desks: BTreeMap<LineId, Desk>,
    report: Report,
    notes: std_mpsc::SyncSender<Noted>,
    packets: mpsc::Sender<Packet>,
}

async fn run(
    at: Ipv4Addr,
    accounts: BTreeMap<String, Redacted<String>>,
    manner: Manner,
    mut commands: mpsc::Receiver<Command>,
    notes: std_mpsc::SyncSender<Noted>,
    ready: std_mpsc::SyncSender<io::Result<SocketAddr>>,
) {
    let (packets, mut received) = mpsc::channel(PACKETS_MAX);
    let built = build(at, accounts, manner, notes, packets).await;
    let mut stage = match built {
        Ok((stage, address)) => {
            drop(ready.send(Ok(address)));
            stage
        }
        Err(error) => return drop(ready.send(Err(error))),
    };
    let mut buffer = vec![0; 65_535];
    let mut batch = Vec::with_capacity(BATCH_MAX);
    loop {
        let deadline = stage.deadline();
        tokio::select! {
            biased;
            count = received.recv_many(&mut batch, BATCH_MAX) => {
                batch.drain(..count).for_each(|packet| stage.hear(&packet));
            }
            () = tokio::time::sleep_until(deadline) => stage.timeout(),
            read = stage.sip.recv_from(&mut buffer) => if let Ok((length, from)) = read {
                let bytes = Bytes::copy_from_slice(&buffer[..length]);
                stage.input(pbx::Input::Datagram { from, bytes });
            },
            command = commands.recv() => match command {
                Some(command) => stage.command(command).await,
                None => return,
            },
        }
    }
}

async fn build(
    at: Ipv4Addr,
    accounts: BTreeMap<String, Redacted<String>>,
    manner: Manner,
    notes: std_mpsc::SyncSender<Noted>,
    packets: mpsc::Sender<Packet>,
) -> io::Result<(Stage, SocketAddr)> {
    let sip = UdpSocket::bind((at, 0)).await?;
    let address = sip.local_addr()?;
    let mut seed = [0; 32];
    OsRng.try_fill_bytes(&mut seed).map_err(io::Error::other)?;
    let pbx = Pbx::new(address, accounts, manner, Rng::from_seed(seed));
    let report = Report::default();
    Ok((Stage { at, pbx, sip, desks: BTreeMap::new(), report, notes, packets }, address))
}

impl Stage {
    fn deadline(&self) -> tokio::time::Instant {
        let now = clock::now();
        let frames = self.desks.values().filter_map(|desk| desk.phone.as_ref());
        let next = earliest(frames.map(|phone| Some(phone.poll_timeout())));
        let at = earliest([next, self.pbx.poll_timeout()]);
        let wait = at.map_or(Duration::from_secs(1), |at| at.saturating_duration_since(now));
        tokio::time::Instant::now() + wait
    }

    fn timeout(&mut self) {
        let now = clock::now();
        self.pbx.handle_timeout(now);
        for desk in self.desks.values_mut() {
            let Some(phone) = &mut desk.phone else { continue };
            while phone.poll_timeout() <= now {
                let (to, packet) = phone.next_frame();
                if packet.get(1).is_some_and(|octet| octet & MARKER != 0) {
                    desk.keys_at.push(clock::now());
                }
                // A packet that the kernel does not take is a lost packet.
                drop(desk.socket.try_send_to(packet, to));
            }
        }
        self.perform();
    }

    fn hear(&mut self, packet: &Packet) {
        let Some(desk) = self.desks.get_mut(&packet.line) else { return };
        let Some(phone) = &mut desk.phone else { return };
        // The kernel gives the number of a socket away again, while a node that lost its role may
        // still play to it: a caller hears whom the call is with, and nobody else.
        if packet.from != phone.target() {
            return;
        }
        phone.hear(packet.at, &packet.bytes);
        if desk.keep == Keep::Pitch
            && let Some(sound) = packet.bytes.get(RTP_HEADER_LEN..)
            && let Some(hz) = super::sound::pitch(phone.codec(), sound)
        {
            desk.pitches.push((packet.at, hz));
        }
    }

    fn input(&mut self, input: pbx::Input) {
        self.pbx.handle_input(clock::now(), input);
        self.perform();
    }

    async fn command(&mut self, command: Command) {
        match command {
            Command::Call { line, extension, keep, delayed_offer } => {
                self.call(line, extension, keep, delayed_offer).await;
            }
            Command::Press { line, digits } => self.press(line, &digits),
            Command::Send { line, datagram } => self.send(line, &datagram),
            Command::HangUp { line } => self.input(pbx::Input::HangUp { line }),
            Command::Report(reply) => self.tell(reply),
        }
    }

    async fn call(&mut self, line: LineId, extension: String, keep: Keep, delayed_offer: bool) {
        let state = LineState::Calling;
        let caller = format!("20{:03}", line.0 % 1_000);
        let (to, from) = (extension.clone(), caller.clone());
        let placed_at = clock::now();
        let entry =
            LineReport { extension: to, caller: from, placed_at, state, ..Default::default() };
        self.report.lines.insert(line, entry);
        let Ok(socket) = UdpSocket::bind((self.at, 0)).await else { return };
        let Ok(media) = socket.local_addr() else { return };
        if kernel_time::enable(&socket).is_err() {
            return;
        }
        let socket = Arc::new(socket);
        let reader = tokio::spawn(read(line, Arc::clone(&socket), self.packets.clone()));
        let (keys_at, pitches) = (Vec::new(), Vec::new());
        self.desks.insert(line, Desk { phone: None, socket, reader, keep, keys_at, pitches });
        self.input(pbx::Input::Call { line, extension, caller, media, delayed_offer });
    }

    fn send(&self, line: LineId, datagram: &[u8]) {
        let Some(desk) = self.desks.get(&line) else { return };
        if let Some(phone) = &desk.phone {
            // A packet that the kernel does not take is a lost packet.
            drop(desk.socket.try_send_to(datagram, phone.target()));
        }
    }

    fn press(&mut self, line: LineId, digits: &[Digit]) {
        let Some(phone) = self.desks.get_mut(&line).and_then(|desk| desk.phone.as_mut()) else {
            return;
        };
        for &digit in digits {
            if phone.press(digit, 100, 80)
                && let Some(entry) = self.report.lines.get_mut(&line)
            {
                entry.pressed.push(digit.as_char());
            }
        }
    }

    fn tell(&mut self, reply: oneshot::Sender<Report>) {
        for (line, desk) in &self.desks {
            if let (Some(phone), Some(entry)) = (&desk.phone, self.report.lines.get_mut(line)) {
                entry.keep(phone, desk);
            }
        }
        self.report.registered = self.pbx.registered(clock::now());
        self.report.devices.clear();
        for device in self.pbx.devices(clock::now()) {
            *self.report.devices.entry(device.ip()).or_default() += 1;
        }
        drop(reply.send(self.report.clone()));
    }

    fn perform(&mut self) {
        while let Some(output) = self.pbx.poll_output() {
            match output {
                pbx::Output::Datagram { to, bytes } => {
                    drop(self.sip.try_send_to(&bytes, to));
                }
                pbx::Output::Event(event) => self.note(event),
            }
        }
    }

    fn note(&mut self, event: pbx::Event) {
        let at = clock::now();
        match &event {
            pbx::Event::Answered { line, media } => {
                if let Some(desk) = self.desks.get_mut(line) {
                    let ssrc = 0x5000_0000 | line.0;
                    let mut phone = Phone::new(*media, ssrc, desk.keep == Keep::Sound, at);
                    phone.keep_arrivals();
                    desk.phone = Some(phone);
                }
                self.set_state(*line, LineState::Up);
            }
            pbx::Event::Changed { line, media } => {
                let desk = self.desks.get_mut(line);
                if let Some(phone) = desk.and_then(|desk| desk.phone.as_mut()) {
                    phone.change(*media);
                }
            }
            pbx::Event::Ended { line, refused, by_port } => {
                let lost = *by_port || refused.is_some();
                self.ended(*line, if lost { LineState::Lost } else { LineState::Done });
            }
            pbx::Event::Registered { .. }
            | pbx::Event::Unregistered { .. }
            | pbx::Event::Transferred { .. }
            | pbx::Event::Dialled { .. }
            | pbx::Event::FromPort { .. } => {}
        }
        let device = match &event {
            pbx::Event::Registered { extension } => self.pbx.bound_to(extension, at),
            _ => None,
        };
        // Nobody reads: the notes are for whoever is interested.
        drop(self.notes.try_send(Noted { at, event, device }));
    }

    fn set_state(&mut self, line: LineId, state: LineState) {
        if let Some(entry) = self.report.lines.get_mut(&line) {
            entry.state = state;
        }
    }

    fn ended(&mut self, line: LineId, state: LineState) {
        self.set_state(line, state);
        let Some(desk) = self.desks.remove(&line) else { return };
        desk.reader.abort();
        if let (Some(phone), Some(entry)) = (&desk.phone, self.report.lines.get_mut(&line)) {
            entry.keep(phone, &desk);
        }
    }
}

impl LineReport {
    fn keep(&mut self, phone: &Phone, desk: &Desk) {
        self.keys_at.clone_from(&desk.keys_at);
        self.pitches.clone_from(&desk.pitches);
        self.heard = phone.heard().clone();
        self.arrivals = phone.arrivals().unwrap_or_default().to_vec();
        self.ends = phone.ends().to_vec();
        self.sound = phone.recording().map(|(codec, sound)| (codec, sound.to_vec()));
    }
}

/// Reads one phone's socket.
async fn read(line: LineId, socket: Arc<UdpSocket>, packets: mpsc::Sender<Packet>) {
    let (mut buffer, mut control) = ([0; 2_048], kernel_time::control());
    loop {
        let take = || kernel_time::receive(&*socket, &mut buffer, &mut control);
        let Ok(taken) = socket.async_io(Interest::READABLE, take).await else { continue };
        let Received { length, from, wall } = taken;
        let at = u64::try_from(wall + kernel_time::boot_minus_wall()).unwrap_or_default();
        let at = Instant::from_nanos(at);
        let bytes = Bytes::copy_from_slice(&buffer[..length]);
        if packets.try_send(Packet { line, from, at, bytes }).is_err() && packets.is_closed() {
            return;
        }
    }
}
