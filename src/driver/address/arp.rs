//! ARP on one network card: says who has the address, and hears who else says so (RFC 5227).

use std::io;
use std::net::Ipv4Addr;
use std::num::NonZeroU32;
use std::os::fd::AsRawFd;
use std::os::unix::net;

use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{LinkAddr, bind};
use rustix::net::{AddressFamily, Protocol, SocketFlags, SocketType, socket_with};
use tokio::net::UnixDatagram;

const ETHERTYPE: u16 = 0x0806;
/// Ethernet, IPv4, and the lengths of their addresses.
const KIND: [u8; 6] = [0, 1, 8, 0, 6, 4];
const REQUEST: [u8; 2] = [0, 1];
const BROADCAST: [u8; 6] = [0xff; 6];
const FRAME: usize = 42;

/// A network card.
#[derive(Clone, Debug)]
pub(super) struct Card {
    pub(super) index: u32,
    hardware: [u8; 6],
    link: LinkAddr,
}

impl Card {
    pub(super) fn find(name: &str) -> io::Result<Self> {
        let mut cards = getifaddrs()?.filter(|card| card.interface_name == name);
        let link = cards.find_map(|card| card.address?.as_link_addr().copied());
        let missing = || {
            let text = format!(
                "cluster.address.interface = \"{name}\": this host has no such network card; `ip \
                 link` lists them"
            );
            io::Error::new(io::ErrorKind::NotFound, text)
        };
        let link = link.ok_or_else(missing)?;
        let index = u32::try_from(link.ifindex()).map_err(io::Error::other)?;
        Ok(Self { index, hardware: link.addr().unwrap_or_default(), link })
    }
}

/// A socket for ARP. To the runtime it is any socket of whole datagrams, which are sent and
/// received without an address: that of the card is in their first octets.
#[derive(Debug)]
pub(super) struct Arp {
    socket: UnixDatagram,
}

impl Arp {
    pub(super) fn open(card: &Card) -> io::Result<Self> {
        let protocol = NonZeroU32::new(ETHERTYPE.to_be().into()).map(Protocol::from_raw);
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::PACKET, SocketType::RAW, flags, protocol)?;
        bind(socket.as_raw_fd(), &card.link)?;
        let socket = UnixDatagram::from_std(net::UnixDatagram::from(socket))?;
        Ok(Self { socket })
    }

    /// Tells everybody that the address is at this card.
    pub(super) fn announce(&self, address: Ipv4Addr, card: &Card) -> io::Result<()> {
        // Past the runtime, whose own handle takes nothing before it was polled once.
        rustix::io::write(&self.socket, &announcement(address, card.hardware))?;
        Ok(())
    }

    /// Waits for another card that says so. Returns which.
    pub(super) async fn foreign(&self, address: Ipv4Addr, card: &Card) -> [u8; 6] {
        let mut frame = [0; 128];
        loop {
            // A card that goes down is an error here, once.
            let Ok(length) = self.socket.recv(&mut frame).await else { continue };
            let theirs = claimant(&frame[..length], address);
            if let Some(theirs) = theirs.filter(|theirs| *theirs != card.hardware) {
                return theirs;
            }
        }
    }
}

fn announcement(address: Ipv4Addr, hardware: [u8; 6]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(FRAME);
    frame.extend(BROADCAST);
    frame.extend(hardware);
    frame.extend(ETHERTYPE.to_be_bytes());
    frame.extend(KIND);
    frame.extend(REQUEST);
    frame.extend(hardware);
    frame.extend(address.octets());
    frame.extend([0; 6]);
    frame.extend(address.octets());
    frame
}

/// The card that a frame says to have the address.
fn claimant(frame: &[u8], address: Ipv4Addr) -> Option<[u8; 6]> {
    let arp = frame.get(14..FRAME)?;
    let is_arp = frame[12..14] == ETHERTYPE.to_be_bytes() && arp[..6] == KIND;
    (is_arp && arp[14..18] == address.octets()).then(|| arp[8..14].try_into().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 5);
    const HARDWARE: [u8; 6] = [2, 0, 0, 0, 0, 7];

    #[test]
    fn an_announcement_is_a_request_for_the_senders_own_address() {
        let frame = announcement(ADDRESS, HARDWARE);
        assert_eq!(frame.len(), FRAME);
        assert_eq!(frame[..6], BROADCAST);
        assert_eq!(frame[12..22], [8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
        assert_eq!((&frame[28..32], &frame[38..42]), (&[10, 0, 0, 5][..], &[10, 0, 0, 5][..]));
        assert_eq!(claimant(&frame, ADDRESS), Some(HARDWARE));
    }

    #[test]
    fn only_whole_arp_of_this_address_is_a_claim() {
        let frame = announcement(ADDRESS, HARDWARE);
        assert_eq!(claimant(&frame, Ipv4Addr::new(10, 0, 0, 6)), None);
        assert_eq!(claimant(&frame[..41], ADDRESS), None);
        let mut other = frame;
        other[13] = 0;
        assert_eq!(claimant(&other, ADDRESS), None);
    }
}
