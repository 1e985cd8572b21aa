//! Which addresses and UDP ports a node speaks from.
//!
//! A node has one local address. With `takeover = "shared_address"` the ports of the pool speak,
//! SIP and audio, from the service address instead, which only the primary has; what a backup sends
//! too, OPTIONS, rehearsals and the calls of its control extension, leaves from the local address
//! through a socket of its own, the last one.

use std::net::{IpAddr, SocketAddr};

use super::{Config, PortKind, ServiceAddress, SipPorts, Takeover};
use crate::ids::PortId;

impl Config {
    /// The address that moves with the role, at a node that may hold it.
    pub fn service_address(&self) -> Option<&ServiceAddress> {
        let shares = self.cluster.takeover == Takeover::SharedAddress;
        self.cluster.address.as_ref().filter(|_| shares && !self.cluster.is_witness())
    }

    /// Whether `address` is the one that moves with the role.
    pub fn is_service_address(&self, address: IpAddr) -> bool {
        self.service_address().is_some_and(|service| IpAddr::V4(service.address) == address)
    }

    /// Local SIP addresses, by number of the socket. `None`: the ports run past 65535.
    pub fn sip_addresses(&self) -> Option<Vec<SocketAddr>> {
        let own = self.pbx.local_address;
        let first = match self.pbx.sip_ports {
            SipPorts::Shared { udp_port } => udp_port,
            SipPorts::PerDevice { first } => first,
        };
        let mut addresses = Vec::new();
        match self.pbx.sip_ports {
            SipPorts::Shared { udp_port } => {
                addresses.push(SocketAddr::new(self.address_of(PortId(0)), udp_port));
            }
            SipPorts::PerDevice { first } => {
                for port in &self.ports {
                    let udp_port = first.checked_add(port.id.0)?;
                    addresses.push(SocketAddr::new(self.address_of(port.id), udp_port));
                }
            }
        }
        if self.service_address().is_some() {
            addresses.push(SocketAddr::new(own, first));
        }
        Some(addresses)
    }

    /// The number of the socket that a port registers from and has its calls on.
    pub fn sip_socket(&self, port: PortId) -> u16 {
        match self.pbx.sip_ports {
            SipPorts::PerDevice { .. } => port.0,
            SipPorts::Shared { .. } => {
                u16::from(self.service_address().is_some() && self.stays(port))
            }
        }
    }

    /// The number of the socket for what is asked on behalf of a port, and claims nothing.
    pub fn asking_socket(&self, port: PortId) -> u16 {
        match (self.service_address(), self.pbx.sip_ports) {
            (None, _) => self.sip_socket(port),
            (Some(_), SipPorts::Shared { .. }) => 1,
            (Some(_), SipPorts::PerDevice { .. }) => {
                u16::try_from(self.ports.len()).unwrap_or(u16::MAX)
            }
        }
    }

    /// Where the audio of a line is: that of the sentinel does not move, for no call of it does.
    pub fn media_address(&self, line: PortId) -> IpAddr {
        match self.service_address() {
            Some(service) if self.is_of_pool(line) => service.address.into(),
            Some(_) | None => self.media.address,
        }
    }

    /// Whether a port is this node's whatever its role.
    fn stays(&self, port: PortId) -> bool {
        self.ports.get(usize::from(port.0)).is_some_and(|port| !port.kind.moves())
    }

    fn is_of_pool(&self, line: PortId) -> bool {
        self.ports.get(usize::from(line.0)).is_some_and(|port| port.kind == PortKind::Pool)
    }

    fn address_of(&self, port: PortId) -> IpAddr {
        match self.service_address() {
            Some(service) if !self.stays(port) => service.address.into(),
            Some(_) | None => self.pbx.local_address,
        }
    }
}
