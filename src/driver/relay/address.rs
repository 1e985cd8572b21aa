//! How a node is named on the command line: `[NAME@]HOST:PORT`.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

/// Where a node's ARI listener is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeAddress {
    /// What its certificate must be made out to. Without it: the host.
    pub name: Option<String>,
    /// Name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

impl NodeAddress {
    /// The name that its certificate must have.
    pub fn certified_name(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.host)
    }
}

impl FromStr for NodeAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fault = || format!("{text:?}: write HOST:PORT or NAME@HOST:PORT, as a@192.0.2.10:8088");
        let (name, place) = match text.split_once('@') {
            Some((name, place)) => (Some(name.to_owned()), place),
            None => (None, text),
        };
        let (host, port) = place.rsplit_once(':').ok_or_else(fault)?;
        let port = port.parse().ok().filter(|port| *port != 0).ok_or_else(fault)?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let is_name = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        let is_host = match bare {
            Some(bare) => bare.parse::<Ipv6Addr>().is_ok(),
            None => !host.is_empty() && host.chars().all(is_name),
        };
        let is_named = name.as_deref().is_none_or(|n| !n.is_empty() && n.chars().all(is_name));
        if is_host && is_named {
            Ok(Self { name, host: bare.unwrap_or(host).to_owned(), port })
        } else {
            Err(fault())
        }
    }
}

impl fmt::Display for NodeAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(name) = &self.name {
            write!(f, "{name}@")?;
        }
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_as_it_is_written() {
        for text in ["10.0.0.1:8088", "a@10.0.0.1:8088", "gw-a.example:80", "a@[fd00::1]:8088"] {
            let address: NodeAddress = text.parse().expect("an address");
            assert_eq!(address.to_string(), text);
        }
        let address: NodeAddress = "a@[fd00::1]:8088".parse().expect("an address");
        assert_eq!((address.certified_name(), address.host.as_str()), ("a", "fd00::1"));
    }

    #[test]
    fn what_is_no_address_is_told_with_what_to_write() {
        let wrong = [
            "",
            "host",
            "host:",
            "host:0",
            "host:70000",
            ":80",
            "@h:80",
            "a b:80",
            "[x]:80",
            "fd00::1:80",
        ];
        for text in wrong {
            let fault = text.parse::<NodeAddress>().expect_err(text);
            assert!(fault.contains("NAME@HOST:PORT"), "{fault}");
        }
    }
}
