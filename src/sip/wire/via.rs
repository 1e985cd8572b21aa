//! Via (RFC 3261 section 20.42, RFC 3581).

use std::fmt;

use nom::Parser;
use nom::combinator::opt;
use nom::sequence::preceded;
use serde::{Deserialize, Serialize};

use super::grammar::{Parsed, lws, params, separator, sws, token};
use super::uri::{host, port};
use super::{Host, Malformed, Params};

/// One hop of a message.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Via {
    /// Transport in upper case: `UDP`, `TCP`, `TLS`, or any other token.
    pub transport: String,
    /// Host of sent-by.
    pub host: Host,
    /// Port of sent-by, if written.
    pub port: Option<u16>,
    /// `branch`, `received`, `rport` and the rest.
    pub params: Params,
}

impl Via {
    /// A hop of ours, with `rport` asked for (RFC 3581).
    pub fn new(transport: &str, host: impl Into<Host>, port: u16, branch: &str) -> Self {
        let mut params = Params::default();
        params.set_flag("rport");
        params.set("branch", branch);
        let transport = transport.to_ascii_uppercase();
        Self { transport, host: host.into(), port: Some(port), params }
    }

    /// Reads a whole text: one hop, not a list.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        match via(text) {
            Ok(("", via)) => Ok(via),
            _ => Err(Malformed("Via")),
        }
    }

    /// The branch, if there is one and it is not empty.
    pub fn branch(&self) -> Option<&str> {
        self.params.get("branch").filter(|b| !b.is_empty())
    }

    /// The address that the message came from, as the next hop noted it.
    pub fn received(&self) -> Option<Host> {
        self.params.get("received").map(Host::from)
    }

    /// `rport`: `Some(None)` asks for it, `Some(Some(port))` tells it.
    pub fn rport(&self) -> Option<Option<u16>> {
        self.params.get("rport").map(|port| port.parse().ok())
    }
}

impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SIP/2.0/{} {}", self.transport, self.host)?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        self.params.fmt(f)
    }
}

fn via(input: &str) -> Parsed<'_, Via> {
    // The version is not looked at: a request of another version is answered with 505 along it.
    let (rest, (_, protocol, _, _version, _, transport, _)) =
        (sws, token, separator('/'), token, separator('/'), token, lws).parse(input)?;
    if !protocol.eq_ignore_ascii_case("SIP") {
        return super::grammar::fail(input);
    }
    let (rest, (host, port, params, _)) =
        (host, opt(preceded(separator(':'), port)), params, sws).parse(rest)?;
    Ok((rest, Via { transport: transport.to_ascii_uppercase(), host, port, params }))
}
