//! The configuration of one node of a cluster on stage.

use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::path::Path;

use super::{Cast, FIRST_CONTROL, NAMES, ON_CALL, WITNESS, address};
use crate::stage::cast::FIRST_EXTENSION;
use crate::stage::node::{API_KEY, PASSWORD, SOCKET, free_tcp_port};

/// What the configuration of a node is written from.
pub(super) struct Plan<'a> {
    pub at: usize,
    pub cast: &'a Cast,
    pub pbx: SocketAddr,
    pub links: &'a [SocketAddr],
    pub ari: SocketAddr,
    pub prompts: &'a Path,
}

impl Plan<'_> {
    pub(super) fn configuration(&self, directory: &Path) -> io::Result<String> {
        let Self { at, pbx, ari, .. } = self;
        let (user, password) = API_KEY.split_once(':').unwrap_or_default();
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            r#"
[node]
name = "{name}"
[cluster]
id = "play"
profile = "trio"
timers = "lan"
promotion = "{promotion}"
credentials = "{credentials}"
store = "{store}"
{nodes}
[pbx]
id = "play"
profile = "asterisk"
registrars = ["{pbx}"]
local_address = "{address}"
sip_udp_port = 0
min_digest = "md5"
register_rate = {rate}
{ports}
[control]
extension = "{control}"
password = "{PASSWORD}"
[[control.on_call]]
extension = "{ON_CALL}"
[media]
udp_ports = "20000-31999"
prompts = "{prompts}"
recordings = "{recordings}"
[ari]
listen = "{ari}"
[ari.users.{user}]
password = "{password}"
[admin]
socket = "{socket}"
listen = "{observe}"
"#,
            name = NAMES[*at],
            promotion = self.cast.promotion,
            credentials = directory.join("credentials").display(),
            store = directory.join("state.db").display(),
            nodes = self.nodes(),
            address = address(*at),
            rate = self.cast.register_rate,
            ports = self.port_list(),
            control = FIRST_CONTROL + *at as u32,
            prompts = self.prompts.display(),
            recordings = directory.join("recordings").display(),
            socket = directory.join(SOCKET).display(),
            observe = free_tcp_port()?,
        );
        Ok(text)
    }

    fn nodes(&self) -> String {
        let entry = |(at, link): (usize, &SocketAddr)| {
            let role = if at == WITNESS { "witness" } else { "data" };
            format!(
                "[[cluster.nodes]]\nname = \"{}\"\nrole = \"{role}\"\nlink = \"{link}\"\n",
                NAMES[at]
            )
        };
        self.links.iter().enumerate().map(entry).collect()
    }

    /// A witness has none.
    fn port_list(&self) -> String {
        if self.at == WITNESS {
            return String::new();
        }
        format!(
            "[[ports]]\nextensions = \"{FIRST_EXTENSION}-{}\"\npassword = \"{PASSWORD}\"\n\
             applications = [\"main\"]\n[applications.main]\n",
            FIRST_EXTENSION + self.cast.ports - 1
        )
    }
}
