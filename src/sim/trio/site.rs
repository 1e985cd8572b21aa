//! The site that is simulated: two nodes with four ports each, and a witness.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, LazyLock};

use crate::config::{self, Config};

/// Voice ports of each data node.
pub const PORTS: u16 = 4;

/// The nodes: two with ports, and the witness.
pub const A: usize = 0;
/// The second data node.
pub const B: usize = 1;
/// The witness.
pub const W: usize = 2;

/// Their names.
pub const NAMES: [&str; 3] = ["a", "b", "w"];

const CLUSTER: &str = r#"
[cluster]
id = "sim"
credentials = "c"
PROFILE
timers = "TIMERS"
rehearsal = "off"
solo_after = "1s"
[[cluster.nodes]]
name = "a"
link = "10.0.0.2:7400"
[[cluster.nodes]]
name = "b"
link = "10.0.0.3:7400"
WITNESS
[pbx]
profile = "asterisk"
registrars = ["10.0.0.1"]
local_address = "ADDRESS"
sip_udp_port = 5062
min_digest = "md5"
register_rate = 0
options_interval = "5s"
[ari.users.ivr]
password = "kT7-pq2Zr9vXw4mN8sLd"
[applications.main]
queue_ring = "1s"
queue_max = "15s"
hold_prompt = "hold"
gateway_prompt = "gateway"
caller_silence = "8s"
on_continue = "next"
[media]
udp_ports = "20000-20063"
"#;

const TRIO: &str = "profile = \"trio\"\npromotion = \"auto\"";
const PAIR: &str = "profile = \"pair\"";
const WITNESS: &str =
    "[[cluster.nodes]]\nname = \"w\"\nlink = \"10.0.0.4:7400\"\nrole = \"witness\"";

const LINES: &str = r#"
[[ports]]
extensions = "6000-6003"
password = "kT7-pq2Zr9vXw4mN8sLd"
applications = ["main"]
"#;

/// Which nodes a site has, and how it counts time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Site {
    /// Two nodes and a witness, on one switch.
    Trio,
    /// The same on machines that may be paused: longer leases.
    Vm,
    /// Two nodes and no witness.
    Pair,
    /// Two nodes, a witness, and a PBX that lets no second device have an extension.
    Refusing,
}

/// Knows that the PBX lets no second device have an extension.
const REFUSING: &str = "register_rate = 0\nsecond_binding = \"refused\"";

fn parsed(index: usize, site: Site) -> Arc<Config> {
    let address = sip_address(index).ip().to_string();
    let timers = if site == Site::Vm { "vm" } else { "lan" };
    let shared = CLUSTER.replace("ADDRESS", &address).replace("TIMERS", timers);
    let shared = match site {
        Site::Trio | Site::Vm => shared.replace("PROFILE", TRIO).replace("WITNESS", WITNESS),
        Site::Refusing => shared
            .replace("PROFILE", TRIO)
            .replace("WITNESS", WITNESS)
            .replace("register_rate = 0", REFUSING),
        Site::Pair => shared.replace("PROFILE", PAIR).replace("WITNESS", ""),
    };
    let ports = if index == W { "" } else { LINES };
    let text = format!("[node]\nname = \"{}\"\n{shared}{ports}", NAMES[index]);
    let nothing = |_: &Path| Err(std::io::Error::from(std::io::ErrorKind::NotFound));
    let source = config::Source {
        text: &text,
        base: Path::new("/"),
        read_file: &nothing,
        fault_of: &|_| None,
        today: config::Day::default(),
    };
    // The text is a constant; its test is below.
    Arc::new(config::parse(source).config.expect("the site's configuration has no error"))
}

type Configs = LazyLock<[Arc<Config>; 3]>;

static LAN: Configs = LazyLock::new(|| [A, B, W].map(|at| parsed(at, Site::Trio)));
static VM: Configs = LazyLock::new(|| [A, B, W].map(|at| parsed(at, Site::Vm)));
static FIRST: Configs = LazyLock::new(|| [A, B, W].map(|at| parsed(at, Site::Refusing)));
static TWO: LazyLock<[Arc<Config>; 2]> = LazyLock::new(|| [A, B].map(|at| parsed(at, Site::Pair)));

/// The configuration of a node of a site.
pub fn config(index: usize, site: Site) -> Arc<Config> {
    match site {
        Site::Trio => LAN[index].clone(),
        Site::Vm => VM[index].clone(),
        Site::Refusing => FIRST[index].clone(),
        Site::Pair => TWO[index].clone(),
    }
}

/// Where a node has its SIP socket.
pub fn sip_address(index: usize) -> SocketAddr {
    let last = u8::try_from(index).unwrap_or(u8::MAX).saturating_add(2);
    SocketAddr::from(([10, 0, 0, last], 5062))
}

/// The node at an address.
pub fn node_at(address: IpAddr) -> Option<usize> {
    [A, B].into_iter().find(|&at| sip_address(at).ip() == address)
}

/// Where the phone of the n-th line hears.
pub fn phone_address(line: u32) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 9], 10_000 + (line as u16).wrapping_mul(2)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_node_has_a_sound_configuration() {
        for site in [Site::Trio, Site::Vm, Site::Refusing] {
            let ports = [A, B, W].map(|at| config(at, site).ports.len());
            assert_eq!(ports, [4, 4, 0]);
            assert_eq!(config(W, site).cluster.witness(), Some(config(W, site).cluster.me));
        }
        assert_eq!([A, B].map(|at| config(at, Site::Pair).ports.len()), [4, 4]);
        assert_eq!(config(A, Site::Pair).cluster.witness(), None);
    }
}
