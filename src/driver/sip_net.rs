//! SIP sockets: UDP and TCP, one shared or one per device.
//!
//! Each socket has a task that reads into one bounded channel; a full channel drops the newest
//! datagram, counts it, and the far end sends it again (RFC 3261 section 17). Writing never waits:
//! a datagram that the kernel does not take is a lost datagram. Names of the PBX are resolved by
//! the system's resolver, which may block for long, on a thread of its own.

#![expect(clippy::disallowed_types, reason = "the driver owns the sockets")]

mod streams;

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, UdpSocket, lookup_host};
use tokio::sync::mpsc;
use tracing::{debug, warn};

use crate::config::{Config, Transport};
use crate::sip::{Input, Output, SocketId, StreamId};
use crate::timers::Instant;
use streams::{Claims, Send, accept_streams, connect_from, down, run_stream};

/// Datagrams and stream chunks that wait for the event loop at most.
const INPUTS_MAX: usize = 4_096;
/// Messages that wait for one connection at most; beyond that its peer is gone.
const STREAM_SENDS_MAX: usize = 256;
/// The largest datagram that can be a message: one that is longer is cut and refused.
const DATAGRAM_MAX: usize = 65_535;
/// How many ports the system may choose before none is free for UDP and TCP.
const CHOSEN_PORTS_MAX: u32 = 16;
/// Class selector 3 for signalling, as a TOS byte.
const TOS_CS3: u32 = 0x60;
/// The kernel's queue of one socket: a registration storm of a thousand ports fits.
const RECEIVE_BUFFER: usize = 4 << 20;
/// Names of accepted connections have this bit; the endpoint never gives it to its own.
const ACCEPTED: u64 = 1 << 63;

/// All SIP sockets of the node.
pub struct SipNet {
    /// For sending, past the runtime: its own handle takes nothing before it was polled once, and
    /// the first REGISTERs would be lost.
    senders: Vec<std::net::UdpSocket>,
    addresses: Vec<SocketAddr>,
    streams: BTreeMap<StreamId, mpsc::Sender<Send>>,
    claims: Arc<Claims>,
    inputs: mpsc::Sender<Received>,
    dropped: Arc<AtomicU64>,
    /// Entries of `pbx.registrars`.
    registrars: Vec<String>,
}

/// What the tasks of the sockets hand over.
#[derive(Debug)]
pub enum Received {
    /// For the endpoint.
    Input(Input),
    /// Somebody connected; its `StreamUp` follows.
    Accepted {
        /// The name of the connection.
        stream: StreamId,
        /// Its writer.
        writer: mpsc::Sender<Send>,
    },
}

impl SipNet {
    /// Binds what the configuration names and starts to read. Must be called within a tokio
    /// runtime.
    pub fn open(config: &Config) -> io::Result<(Self, mpsc::Receiver<Received>)> {
        let (inputs, receiver) = mpsc::channel(INPUTS_MAX);
        let mut net = Self {
            senders: Vec::new(),
            addresses: Vec::new(),
            streams: BTreeMap::new(),
            claims: Arc::default(),
            inputs,
            dropped: Arc::new(AtomicU64::new(0)),
            registrars: config.pbx.registrars.clone(),
        };
        for address in local_addresses(config)? {
            let awaited = config.is_service_address(address.ip());
            net.bind(config.pbx.transport, address, awaited).map_err(|error| {
                let key = match error.kind() {
                    io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied => "sip_udp_port",
                    _ => "local_address",
                };
                let text = format!("SIP socket {address} (pbx.{key}): {error}");
                io::Error::new(error.kind(), text)
            })?;
        }
        Ok((net, receiver))
    }

    /// Local addresses by [`SocketId`].
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.addresses.clone()
    }

    /// Datagrams dropped because the event loop was behind.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Messages that claimed and waited for a connection until they might not leave any more.
    pub fn withheld(&self) -> u64 {
        self.claims.withheld()
    }

    /// Until when messages may leave that claim a port or a call.
    pub fn claims_until(&self, until: Instant) {
        self.claims.until(until);
    }

    /// Keeps the table of writers, and passes on what is for the endpoint.
    pub fn take(&mut self, received: Received) -> Option<Input> {
        match received {
            Received::Accepted { stream, writer } => {
                self.streams.insert(stream, writer);
                None
            }
            Received::Input(input) => {
                if let Input::StreamDown { stream } = input {
                    self.streams.remove(&stream);
                }
                Some(input)
            }
        }
    }

    /// Does what the endpoint wants. `Event` is not for sockets.
    pub fn perform(&mut self, output: Output) {
        match output {
            Output::Datagram { socket, to, bytes, .. } => {
                let Some(sender) = self.senders.get(usize::from(socket.0)) else { return };
                if let Err(error) = sender.send_to(&bytes, to) {
                    debug!(%to, %error, "datagram not sent");
                }
            }
            Output::Connect { stream, socket, to } => self.connect(stream, socket, to),
            Output::StreamSend { stream, bytes, claims } => {
                let send = Send { bytes, claims };
                let full = self.streams.get(&stream).is_some_and(|s| s.try_send(send).is_err());
                if full {
                    self.streams.remove(&stream);
                }
            }
            Output::StreamClose { stream } => {
                self.streams.remove(&stream);
            }
            Output::Resolve { entry } => self.resolve(entry),
            Output::Event(_) => {}
        }
    }

    fn resolve(&self, entry: usize) {
        let Some(name) = self.registrars.get(entry).cloned() else { return };
        let inputs = self.inputs.clone();
        tokio::spawn(async move {
            let found = lookup_host(name).await.map(Iterator::collect);
            let found = found.map_err(|error| error.to_string());
            // Fails only when the event loop has stopped.
            drop(inputs.send(Received::Input(Input::Resolved { entry, found })).await);
        });
    }

    fn bind(&mut self, transport: Transport, address: SocketAddr, awaited: bool) -> io::Result<()> {
        let id = SocketId(u16::try_from(self.senders.len()).unwrap_or(u16::MAX));
        let (socket, listener) = until_free(address.port(), || {
            let socket = udp_socket(address, awaited)?;
            let listener = match transport {
                Transport::Udp => None,
                Transport::Tcp => Some(tcp_listener(socket.local_addr()?)?),
            };
            Ok((socket, listener))
        })?;
        self.addresses.push(socket.local_addr()?);
        self.senders.push(socket.try_clone()?);
        let socket = UdpSocket::from_std(socket)?;
        tokio::spawn(read_datagrams(id, socket, self.inputs.clone(), Arc::clone(&self.dropped)));
        if let Some(listener) = listener {
            let listener = TcpListener::from_std(listener)?;
            let claims = Arc::clone(&self.claims);
            tokio::spawn(accept_streams(id, listener, self.inputs.clone(), claims));
        }
        Ok(())
    }

    fn connect(&mut self, stream: StreamId, socket: SocketId, to: SocketAddr) {
        let Some(local) = self.addresses.get(usize::from(socket.0)) else { return };
        let (writer, sends) = mpsc::channel(STREAM_SENDS_MAX);
        self.streams.insert(stream, writer);
        let (local, inputs) = (local.ip(), self.inputs.clone());
        let claims = Arc::clone(&self.claims);
        tokio::spawn(async move {
            match connect_from(local, to).await {
                Ok(connection) => run_stream(stream, connection, sends, inputs, claims).await,
                Err(error) => {
                    debug!(%to, %error, "connection not made");
                    down(stream, &inputs).await;
                }
            }
        });
    }
}

/// The local addresses that the configuration asks for.
fn local_addresses(config: &Config) -> io::Result<Vec<SocketAddr>> {
    config.sip_addresses().ok_or_else(|| {
        let text = "pbx.sip_port: the range runs past 65535; begin lower";
        io::Error::new(io::ErrorKind::InvalidInput, text)
    })
}

/// Binds, and again while a port that the system chose (0) turns out to be taken for the other
/// transport: it knows only that the port was free for the first.
fn until_free<T>(port: u16, mut bind: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    for _ in 1..CHOSEN_PORTS_MAX {
        match bind() {
            Err(error) if port == 0 && error.kind() == io::ErrorKind::AddrInUse => {}
            bound => return bound,
        }
    }
    bind()
}

/// `awaited`: the address may come later, and go.
fn udp_socket(address: SocketAddr, awaited: bool) -> io::Result<std::net::UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    set_tos(&socket, address.ip());
    if let Err(error) = socket.set_recv_buffer_size(RECEIVE_BUFFER) {
        warn!(%error, "receive buffer of the SIP socket");
    }
    if awaited {
        socket.set_freebind_v4(true)?;
    }
    socket.bind(&address.into())?;
    Ok(socket.into())
}

fn tcp_listener(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(true)?;
    set_tos(&socket, address.ip());
    socket.bind(&address.into())?;
    socket.listen(64)?;
    Ok(socket.into())
}

/// A network that ignores the mark is no reason not to start.
fn set_tos(socket: &Socket, address: IpAddr) {
    let marked = match address {
        IpAddr::V4(_) => socket.set_tos_v4(TOS_CS3),
        IpAddr::V6(_) => socket.set_tclass_v6(TOS_CS3),
    };
    if let Err(error) = marked {
        debug!(%error, "DSCP of a SIP socket");
    }
}

async fn read_datagrams(
    id: SocketId,
    socket: UdpSocket,
    inputs: mpsc::Sender<Received>,
    dropped: Arc<AtomicU64>,
) {
    let mut buffer = vec![0; DATAGRAM_MAX];
    loop {
        let (length, from) = match socket.recv_from(&mut buffer).await {
            Ok(read) => read,
            // ICMP unreachable of an earlier datagram surfaces here: the peer is not there.
            Err(error) => {
                debug!(%error, "SIP socket");
                continue;
            }
        };
        let bytes = Bytes::copy_from_slice(&buffer[..length]);
        match inputs.try_send(Received::Input(Input::Datagram { socket: id, from, bytes })) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(_)) => {
                dropped.fetch_add(1, Ordering::Relaxed);
            }
            Err(mpsc::error::TrySendError::Closed(_)) => return,
        }
    }
}

#[cfg(test)]
mod tests;
