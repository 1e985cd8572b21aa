//! The two sockets of a call.
//!
//! Where the far end's address is known, both are connected to it: the kernel then drops what
//! comes from anywhere else, which is the first half of SECURITY R-01 and costs nothing, and
//! sending is cheaper too. What was queued before the connection may still be foreign, so sources
//! are looked at until the queue has been empty once.

#![expect(clippy::disallowed_types, reason = "the driver's sockets")]

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};

use rustix::net::connect_unspec;
use socket2::{Domain, Protocol, Socket, Type};

/// Expedited forwarding (RFC 3246), as the TOS octet.
const DSCP_EF: u32 = 46 << 2;

/// Holds a second of packets; what a flood puts into it beyond that is worth nothing.
const RECEIVE_BUFFER: usize = 32 * 1024;

/// RTP and RTCP of one call.
#[derive(Debug)]
pub(super) struct Sockets {
    rtp: Leg,
    rtcp: Leg,
}

/// One socket.
#[derive(Debug)]
struct Leg {
    socket: UdpSocket,
    peer: Peer,
}

/// What the kernel checks for us.
#[derive(Clone, Copy, Debug)]
enum Peer {
    /// Nothing.
    Any,
    /// Everything that comes from here on; what is queued may be older.
    Connected(SocketAddr),
    /// Everything.
    Only(SocketAddr),
}

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Channel {
    Rtp,
    Rtcp,
}

impl Sockets {
    /// Takes a port pair. An error means that another program holds one of them, or that the
    /// address is not ours.
    /// `awaited`: the address may come later, and go.
    pub(super) fn bind(address: IpAddr, udp_port: u16, awaited: bool) -> io::Result<Self> {
        let rtcp_port = udp_port.checked_add(1).ok_or(io::ErrorKind::InvalidInput)?;
        let bind = |udp_port| Leg::bind(address, udp_port, awaited);
        Ok(Self { rtp: bind(udp_port)?, rtcp: bind(rtcp_port)? })
    }

    /// Restricts both to one source, or to none.
    pub(super) fn restrict(&mut self, source: Option<SocketAddr>) {
        let beside =
            source.and_then(|rtp| Some(SocketAddr::new(rtp.ip(), rtp.port().checked_add(1)?)));
        self.rtp.restrict(source);
        self.rtcp.restrict(beside);
    }

    pub(super) fn send(&self, channel: Channel, to: SocketAddr, packet: &[u8]) -> io::Result<()> {
        let leg = self.leg(channel);
        // A connected socket reports the ICMP error of an earlier packet here, in place of sending.
        leg.send(to, packet).or_else(|_| leg.send(to, packet))
    }

    /// The next datagram and its source; `None` when there is none.
    pub(super) fn receive(
        &mut self,
        channel: Channel,
        buffer: &mut [u8],
    ) -> Option<(usize, SocketAddr)> {
        match channel {
            Channel::Rtp => self.rtp.receive(buffer),
            Channel::Rtcp => self.rtcp.receive(buffer),
        }
    }

    fn leg(&self, channel: Channel) -> &Leg {
        match channel {
            Channel::Rtp => &self.rtp,
            Channel::Rtcp => &self.rtcp,
        }
    }
}

impl Leg {
    fn bind(address: IpAddr, udp_port: u16, awaited: bool) -> io::Result<Self> {
        let socket = Socket::new(
            Domain::for_address((address, 0).into()),
            Type::DGRAM,
            Some(Protocol::UDP),
        )?;
        socket.set_nonblocking(true)?;
        mark(&socket, address);
        // A hint: the kernel's default works too.
        let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
        if awaited {
            socket.set_freebind_v4(true)?;
        }
        socket.bind(&SocketAddr::new(address, udp_port).into())?;
        Ok(Self { socket: socket.into(), peer: Peer::Any })
    }

    fn restrict(&mut self, source: Option<SocketAddr>) {
        self.peer = match source {
            Some(source) if self.socket.connect(source).is_ok() => Peer::Connected(source),
            // No route right now: the machine judges sources, and sending will say why.
            Some(_) => Peer::Any,
            None => {
                if !matches!(self.peer, Peer::Any) {
                    let _ = connect_unspec(&self.socket);
                }
                Peer::Any
            }
        };
    }

    fn send(&self, to: SocketAddr, packet: &[u8]) -> io::Result<()> {
        match self.peer {
            Peer::Any => self.socket.send_to(packet, to),
            Peer::Connected(_) | Peer::Only(_) => self.socket.send(packet),
        }
        .map(|_| ())
    }

    fn receive(&mut self, buffer: &mut [u8]) -> Option<(usize, SocketAddr)> {
        if let Peer::Only(source) = self.peer {
            return self.socket.recv(buffer).ok().map(|length| (length, source));
        }
        let received = self.socket.recv_from(buffer);
        if let (Err(error), Peer::Connected(source)) = (&received, self.peer)
            && error.kind() == io::ErrorKind::WouldBlock
        {
            self.peer = Peer::Only(source);
        }
        received.ok()
    }
}

/// Marks packets for the voice queue. A hint to the network: a system that refuses it still works.
fn mark(socket: &Socket, address: IpAddr) {
    let _ = match address {
        IpAddr::V4(_) => socket.set_tos_v4(DSCP_EF),
        IpAddr::V6(_) => socket.set_tclass_v6(DSCP_EF),
    };
}
