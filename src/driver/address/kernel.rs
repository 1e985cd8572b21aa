//! Addresses of the kernel's network cards, over rtnetlink.
//!
//! The kernel answers a request before it returns from taking it, so nothing here waits.

use std::io;
use std::net::{IpAddr, Ipv4Addr};

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkMessage,
    NetlinkPayload,
};
use netlink_packet_route::address::{AddressAttribute, AddressMessage, CacheInfo};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};
use rustix::io::Errno;

use crate::config::ServiceAddress;

/// A lifetime that does not end.
const FOR_GOOD: u32 = u32::MAX;

/// The way to the kernel.
#[derive(Debug)]
pub(super) struct Kernel {
    socket: Socket,
    requests: u32,
}

impl Kernel {
    pub(super) fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(Self { socket, requests: 0 })
    }

    /// Gives the card the address for so many seconds, or prolongs it.
    pub(super) fn set(
        &mut self,
        service: &ServiceAddress,
        index: u32,
        seconds: u32,
    ) -> io::Result<()> {
        let mut message = message(service, index);
        let mut lifetime = CacheInfo::default();
        (lifetime.ifa_valid, lifetime.ifa_preferred) = (seconds, seconds);
        message.attributes.push(AddressAttribute::CacheInfo(lifetime));
        let flags = NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE;
        self.ask(RouteNetlinkMessage::NewAddress(message), flags).map(drop)
    }

    /// Takes the address from the card, if it has it.
    pub(super) fn delete(&mut self, service: &ServiceAddress, index: u32) -> io::Result<()> {
        let message = RouteNetlinkMessage::DelAddress(message(service, index));
        match self.ask(message, NLM_F_ACK) {
            Err(error) if error.raw_os_error() == Some(Errno::ADDRNOTAVAIL.raw_os_error()) => {
                Ok(())
            }
            result => result.map(drop),
        }
    }

    /// Whether a card has the address without an end.
    pub(super) fn has_for_good(&mut self, address: Ipv4Addr) -> io::Result<bool> {
        let mut all = AddressMessage::default();
        all.header.family = AddressFamily::Inet;
        let found = self.ask(RouteNetlinkMessage::GetAddress(all), NLM_F_DUMP)?;
        let local = AddressAttribute::Local(IpAddr::V4(address));
        Ok(found.iter().any(|message| {
            message.attributes.contains(&local) && !message.attributes.iter().any(ends)
        }))
    }

    /// Sends a request and reads the answer to its end: the addresses in it.
    fn ask(&mut self, request: RouteNetlinkMessage, flags: u16) -> io::Result<Vec<AddressMessage>> {
        self.requests = self.requests.wrapping_add(1);
        let mut message = NetlinkMessage::from(request);
        message.header.flags = NLM_F_REQUEST | flags;
        message.header.sequence_number = self.requests;
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        self.socket.send(&bytes, 0)?;
        let mut found = Vec::new();
        loop {
            let (datagram, _) = self.socket.recv_from_full()?;
            let mut rest = &datagram[..];
            while !rest.is_empty() {
                let broken = |error| io::Error::new(io::ErrorKind::InvalidData, error);
                let answer = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest);
                let answer = answer.map_err(broken)?;
                let length = (answer.header.length as usize).next_multiple_of(4);
                rest = rest.get(length.max(4)..).unwrap_or_default();
                if answer.header.sequence_number != self.requests {
                    continue;
                }
                match answer.payload {
                    NetlinkPayload::Done(_) => return Ok(found),
                    NetlinkPayload::Error(error) if error.code.is_none() => return Ok(found),
                    NetlinkPayload::Error(error) => return Err(error.to_io()),
                    NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewAddress(address)) => {
                        found.push(address);
                    }
                    _ => {}
                }
            }
        }
    }
}

/// Whether it says that an address is there for a time only.
fn ends(attribute: &AddressAttribute) -> bool {
    let AddressAttribute::CacheInfo(life) = attribute else { return false };
    life.ifa_valid != FOR_GOOD
}

fn message(service: &ServiceAddress, index: u32) -> AddressMessage {
    let address = IpAddr::V4(service.address);
    let mut message = AddressMessage::default();
    message.header.family = AddressFamily::Inet;
    message.header.prefix_len = service.prefix;
    message.header.index = index;
    message.attributes = vec![AddressAttribute::Local(address), AddressAttribute::Address(address)];
    message
}
