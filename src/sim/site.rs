//! The site that is simulated: 96 ports at one PBX, two applications, an announcement.
//!
//! | extensions | who serves them |
//! |---|---|
//! | 6000-6047 | `main` |
//! | 6048-6063 | `main`, then `basic`, then the announcement |
//! | 6064-6079 | `basic` |
//! | 6080-6087 | the announcement |
//! | 6088-6095 | `main`; calls to the outside leave here |
//!
//! `main` acknowledges digits and checkpoints, `basic` does neither. Times are shorter than an
//! operator would choose, so that 20 s hold what happens in a long day.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use bytes::Bytes;

use crate::config::{self, Config};
use crate::ids::PortId;
use crate::media::Prompt;
use crate::node::Prompts;

/// Voice ports.
pub const PORTS: u16 = 96;

/// Extension of the first port.
const FIRST_EXTENSION: u16 = 6_000;

/// What nobody else may guess: a fixture of a simulation.
const SECRET: &str = "kT7-pq2Zr9vXw4mN8sLd";

const TEXT: &str = r#"
[node]
name = "sim"
[pbx]
profile = "asterisk"
registrars = ["10.0.0.1"]
local_address = "10.0.0.2"
sip_udp_port = 5062
min_digest = "md5"
register_rate = 0
options_interval = "5s"
[[ports]]
extensions = "6000-6047"
password = "kT7-pq2Zr9vXw4mN8sLd"
applications = ["main"]
[[ports]]
extensions = "6048-6063"
password = "kT7-pq2Zr9vXw4mN8sLd"
applications = ["main", "basic", "builtin:announce"]
[[ports]]
extensions = "6064-6079"
password = "kT7-pq2Zr9vXw4mN8sLd"
applications = ["basic"]
[[ports]]
extensions = "6080-6087"
password = "kT7-pq2Zr9vXw4mN8sLd"
applications = ["builtin:announce"]
[[ports]]
extensions = "6088-6095"
password = "kT7-pq2Zr9vXw4mN8sLd"
applications = ["main"]
outbound = true
[applications.main]
queue_ring = "1s"
queue_max = "8s"
hold_prompt = "hold"
gateway_prompt = "gateway"
caller_silence = "3s"
on_continue = "next"
[applications.basic]
queue_ring = "1s"
queue_max = "8s"
hold_prompt = "hold"
gateway_prompt = "gateway"
caller_silence = "3s"
overflow = "refer:7000"
[announce]
prompts = ["closed"]
repeats = 2
[media]
udp_ports = "20000-20383"
[ari.users.ivr]
password = "kT7-pq2Zr9vXw4mN8sLd"
[outbound]
allow = ["7XXX"]
"#;

static CONFIG: LazyLock<Config> = LazyLock::new(|| {
    let nothing = |_: &Path| Err(std::io::Error::from(std::io::ErrorKind::NotFound));
    let source = config::Source {
        text: TEXT,
        base: Path::new("/"),
        read_file: &nothing,
        fault_of: &|_| None,
        today: config::Day::default(),
    };
    // The text is a constant; its test is below.
    config::parse(source).config.expect("the site's configuration has no error")
});

static PROMPTS: LazyLock<Arc<Prompts>> = LazyLock::new(|| {
    let mut prompts = Prompts::default();
    let named = [("menu", 4_000), ("hold", 2_000), ("gateway", 1_000), ("closed", 1_500)];
    for (name, ms) in named {
        prompts.sounds.insert(name.to_owned(), sound(ms));
    }
    let keys = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "star", "pound"];
    for key in keys {
        prompts.sounds.insert(format!("digits/{key}"), sound(300));
    }
    Arc::new(prompts)
});

/// A prompt in which no sample is silent.
fn sound(ms: usize) -> Arc<Prompt> {
    let bytes = Bytes::from(vec![0x11; ms * 8]);
    Arc::new(Prompt { pcmu: bytes.clone(), pcma: bytes })
}

/// The configuration, to be changed as a run wants it.
pub fn config() -> Config {
    CONFIG.clone()
}

/// Its prompts.
pub fn prompts() -> Arc<Prompts> {
    PROMPTS.clone()
}

/// Where the PBX listens.
pub fn pbx_address() -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], 5060))
}

/// Where the node listens.
pub fn node_address() -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 2], 5062))
}

/// Where the phone of the n-th line hears.
pub fn phone_address(line: u32) -> SocketAddr {
    // 20,000 lines in one run would take a year.
    SocketAddr::from(([10, 0, 0, 3], 10_000 + (line as u16).wrapping_mul(2)))
}

/// The extension of a port.
pub fn extension(port: PortId) -> String {
    (FIRST_EXTENSION + port.0).to_string()
}

/// The port of an extension.
pub fn port_of(extension: &str) -> Option<PortId> {
    let number = extension.parse::<u16>().ok()?.checked_sub(FIRST_EXTENSION)?;
    (number < PORTS).then_some(PortId(number))
}

/// What an account logs in with.
pub fn accounts() -> impl Iterator<Item = (String, String)> {
    (0..PORTS).map(|port| (extension(PortId(port)), SECRET.to_owned()))
}

/// Key of the ARI user.
pub fn api_key() -> String {
    format!("ivr:{SECRET}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_site_is_a_sound_configuration() {
        let config = config();
        assert_eq!(config.ports.len(), usize::from(PORTS));
        assert_eq!(config.ports[5].extension, extension(PortId(5)));
        assert_eq!(port_of("6095"), Some(PortId(95)));
        assert_eq!(port_of("6096"), None);
    }
}
