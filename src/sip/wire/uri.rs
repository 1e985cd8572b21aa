//! URIs (RFC 3261 section 19.1, RFC 3966): read leniently, compared to the letter of 19.1.4.
//!
//! User, parameters and headers are kept in their escaped form, so that a URI prints as it came;
//! [`Uri::user_text`] and [`Uri::header`] undo the escapes.

mod read;

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::decode::{comparable, is_unreserved, percent_decode, percent_encode};
use super::{Malformed, Param, ParamValue, Params};

pub(super) use read::{host, port};

/// The scheme of a URI.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Scheme {
    /// `sip:`
    Sip,
    /// `sips:`
    Sips,
    /// `tel:`
    Tel,
    /// Any other, in lower case.
    Other(String),
}

impl Scheme {
    /// As on the wire.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Sip => "sip",
            Self::Sips => "sips",
            Self::Tel => "tel",
            Self::Other(name) => name,
        }
    }

    fn from_name(name: &str) -> Self {
        match name.to_ascii_lowercase().as_str() {
            "sip" => Self::Sip,
            "sips" => Self::Sips,
            "tel" => Self::Tel,
            other => Self::Other(other.to_owned()),
        }
    }
}

/// The host of a URI or of a Via.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Host {
    /// `tel:` and opaque URIs have none.
    Absent,
    /// A domain name, as written.
    Name(String),
    /// An address; IPv6 without its brackets.
    Ip(IpAddr),
}

impl Host {
    /// The address, where the host is one.
    pub const fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Ip(ip) => Some(*ip),
            Self::Absent | Self::Name(_) => None,
        }
    }

    /// The same host: names without regard to case, addresses by value.
    pub fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Name(a), Self::Name(b)) => a.eq_ignore_ascii_case(b),
            (a, b) => a == b,
        }
    }
}

impl From<IpAddr> for Host {
    fn from(ip: IpAddr) -> Self {
        Self::Ip(ip)
    }
}

impl From<&str> for Host {
    /// An address with or without brackets, else a name.
    fn from(text: &str) -> Self {
        let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
        bare.parse().map_or_else(|_| Self::Name(text.to_owned()), Self::Ip)
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => Ok(()),
            Self::Name(name) => f.write_str(name),
            Self::Ip(IpAddr::V4(ip)) => ip.fmt(f),
            Self::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]"),
        }
    }
}

/// A URI of any scheme.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Uri {
    /// Its scheme.
    pub scheme: Scheme,
    /// User part, escaped; the number of a `tel:` URI; all behind the colon of an opaque one.
    pub user: Option<String>,
    /// Password, escaped.
    pub password: Option<String>,
    /// Host.
    pub host: Host,
    /// Port, if written.
    pub port: Option<u16>,
    /// Parameters, escaped.
    pub params: Params,
    /// Headers behind `?`, escaped.
    pub headers: Vec<(String, String)>,
}

impl Uri {
    /// `sip:user@host`; the user is escaped as needed.
    pub fn sip(user: Option<&str>, host: impl Into<Host>) -> Self {
        Self {
            scheme: Scheme::Sip,
            user: user.map(|u| percent_encode(u, is_user_char)),
            password: None,
            host: host.into(),
            port: None,
            params: Params::default(),
            headers: Vec::new(),
        }
    }

    /// The same with a port.
    #[must_use]
    pub const fn with_port(mut self, port: Option<u16>) -> Self {
        self.port = port;
        self
    }

    /// The same with a parameter.
    #[must_use]
    pub fn with_param(mut self, name: &str, value: &str) -> Self {
        let value = ParamValue::Bare(percent_encode(value, is_uri_param_char));
        self.params.push(Param { name: name.to_owned(), value: Some(value) });
        self
    }

    /// Reads a whole text.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        match read::uri(text) {
            Ok(("", uri)) => Ok(uri),
            _ => Err(Malformed("URI")),
        }
    }

    /// The user part without escapes.
    pub fn user_text(&self) -> Option<Cow<'_, str>> {
        self.user.as_deref().map(percent_decode)
    }

    /// The value of a parameter, without escapes; empty for one without value.
    pub fn param(&self, name: &str) -> Option<Cow<'_, str>> {
        self.params.get(name).map(percent_decode)
    }

    /// The value of a header behind `?`, without escapes.
    pub fn header(&self, name: &str) -> Option<Cow<'_, str>> {
        self.headers
            .iter()
            .find(|(n, _)| percent_decode(n).eq_ignore_ascii_case(name))
            .map(|(_, v)| percent_decode(v))
    }

    /// Adds a header behind `?`, escaped as needed.
    pub fn push_header(&mut self, name: &str, value: &str) {
        let plain = |b: u8| is_unreserved(b) || b"[]/?:+$".contains(&b);
        self.headers.push((percent_encode(name, plain), percent_encode(value, plain)));
    }

    /// Whether `lr` is there: the far end routes loosely (RFC 3261 section 16.12).
    pub fn is_loose_router(&self) -> bool {
        self.params.has("lr")
    }

    /// Equality of RFC 3261 section 19.1.4.
    pub fn equivalent(&self, other: &Self) -> bool {
        let same = |a: &Option<String>, b: &Option<String>| {
            a.as_deref().map(comparable) == b.as_deref().map(comparable)
        };
        let user = match self.scheme {
            Scheme::Tel => same_number(self.user.as_deref(), other.user.as_deref()),
            _ => same(&self.user, &other.user),
        };
        self.scheme == other.scheme
            && user
            && same(&self.password, &other.password)
            && self.host.same(&other.host)
            && self.port == other.port
            && same_params(&self.params, &other.params)
            && same_headers(&self.headers, &other.headers)
    }
}

/// Telephone numbers without their visual separators (RFC 3966 section 4).
fn same_number(a: Option<&str>, b: Option<&str>) -> bool {
    let bare = |n: Option<&str>| {
        n.unwrap_or_default().replace(['-', '.', '(', ')'], "").to_ascii_lowercase()
    };
    bare(a) == bare(b)
}

/// A parameter in both must agree; these in one alone make a difference, any other does not.
fn same_params(a: &Params, b: &Params) -> bool {
    let decides = ["user", "ttl", "method", "maddr", "transport", "phone-context"];
    let agree = |p: &Param| match (a.get(&p.name), b.get(&p.name)) {
        (Some(x), Some(y)) => comparable(x).eq_ignore_ascii_case(&comparable(y)),
        _ => !decides.iter().any(|d| d.eq_ignore_ascii_case(&p.name)),
    };
    a.iter().all(agree) && b.iter().all(agree)
}

/// Headers are never ignored; their order is.
fn same_headers(a: &[(String, String)], b: &[(String, String)]) -> bool {
    let normal = |list: &[(String, String)]| {
        let mut list: Vec<_> = list
            .iter()
            .map(|(n, v)| (comparable(n).to_ascii_lowercase(), comparable(v).into_owned()))
            .collect();
        list.sort();
        list
    };
    a.len() == b.len() && normal(a) == normal(b)
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.scheme.as_str())?;
        let user = self.user.as_deref().unwrap_or_default();
        match (&self.host, &self.password) {
            (Host::Absent, _) => f.write_str(user)?,
            (host, Some(password)) => write!(f, "{user}:{password}@{host}")?,
            (host, None) if self.user.is_some() => write!(f, "{user}@{host}")?,
            (host, None) => host.fmt(f)?,
        }
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        self.params.fmt(f)?;
        for (at, (name, value)) in self.headers.iter().enumerate() {
            write!(f, "{}{name}={value}", if at == 0 { '?' } else { '&' })?;
        }
        Ok(())
    }
}

/// Characters of a user part that need no escape.
fn is_user_char(byte: u8) -> bool {
    is_unreserved(byte) || b"&=+$,;?/".contains(&byte)
}

/// Characters of a parameter that need no escape.
fn is_uri_param_char(byte: u8) -> bool {
    is_unreserved(byte) || b"[]/:&+$".contains(&byte)
}
