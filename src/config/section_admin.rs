//! `[admin]`: the faces for people and machines, and who may give orders over HTTP.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use toml::de::DeValue;

use super::day::Day;
use super::parse::{Source, path_value};
use super::reader::{Meaning, Reader, Section};
use super::values::{is_url_safe, listener, one_of};
use super::{ClusterProfile, Config};

/// Longest path of a Unix socket, without the zero at its end.
const SOCKET_PATH_MAX: usize = 107;

/// Time to hand a new token out.
const ENDS_SOON_DAYS: u32 = 14;
/// A token that is good for longer is one that nobody looks at any more.
const TOKEN_DAYS_MAX: u32 = 366;

/// Faces for people and machines.
#[derive(Clone, Debug)]
pub struct Admin {
    /// Unix socket of the command line.
    pub socket: PathBuf,
    /// Address of `/metrics`, `/livez`, `/readyz`, and of `/api` if there are tokens.
    pub listen: SocketAddr,
    /// Address of `/api` over TLS.
    pub tls_listen: Option<SocketAddr>,
    /// `[admin.tokens.NAME]`
    pub tokens: BTreeMap<String, Token>,
}

/// Whoever shows it may ask over HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// SHA-256 of the token, which is written nowhere.
    pub sha256: [u8; 32],
    /// What for.
    pub role: TokenRole,
    /// The last day on which it is good; `None`: it has no end.
    pub expires: Option<Day>,
}

impl Token {
    /// Whether its day is past.
    pub fn is_over(&self, today: Day) -> bool {
        self.expires.is_some_and(|last| last < today)
    }

    /// Its last day, if that is near or past.
    pub fn ends_soon(&self, today: Day) -> Option<Day> {
        self.expires.filter(|last| last.days_after(today) <= ENDS_SOON_DAYS)
    }
}

/// What a token is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenRole {
    /// To look.
    Viewer,
    /// To look, and to say which node is primary.
    Promoter,
}

const ROLES: &[(&str, TokenRole)] =
    &[("viewer", TokenRole::Viewer), ("promoter", TokenRole::Promoter)];

/// Reads `[admin]` and `[admin.tokens.NAME]`.
pub(super) fn read_admin<'t>(
    reader: &mut Reader<'t>,
    root: &mut Section<'t>,
    source: Source<'_>,
) -> Admin {
    let mut section = root.section(reader, "admin");
    let socket = path_value(&mut section, reader, "socket", source.base, "run/admin.sock");
    let default_listen = SocketAddr::from(([127, 0, 0, 1], 9_108));
    let listen = section.value(reader, "listen", default_listen, listener);
    let tls_listen = section.optional(reader, "tls_listen", listener);
    let mut tokens = BTreeMap::new();
    for (name, mut token) in section.section(reader, "tokens").named(reader) {
        if !is_url_safe(&name) {
            let text = "a name of a token has letters, digits, `-`, `.`, `_` and `~` only";
            reader.error(token.path(), text);
        }
        let why = "it says what the token is without telling it";
        let sha256 = token.required(reader, "sha256", why, sha256);
        let role = token.value(reader, "role", TokenRole::Viewer, one_of(ROLES));
        let expires = token.optional(reader, "expires", day);
        check_expires(reader, &token.at("expires"), expires, source.today);
        token.finish(reader);
        tokens.extend(sha256.map(|sha256| (name, Token { sha256, role, expires })));
    }
    section.finish(reader);
    Admin { socket, listen, tls_listen, tokens }
}

/// A token has an end that is neither near nor far.
fn check_expires(reader: &mut Reader<'_>, path: &str, expires: Option<Day>, today: Day) {
    let Some(last) = expires else {
        if !reader.is_faulty(path) {
            let text = "is not written: whoever finds this token may use it for ever; write the \
                        last day of its use, within a year";
            reader.warning(path, text);
        }
        return;
    };
    if last < today {
        reader.warning(path, "is past: nobody may ask with this token; write a new one");
    } else if last.days_after(today) <= ENDS_SOON_DAYS {
        reader.warning(path, "comes soon: make a new token, and give it to whoever shows this one");
    } else if last.days_after(today) > TOKEN_DAYS_MAX {
        reader.warning(path, "is more than a year away: a token that leaks is good until then");
    }
}

/// A day, in quotes or as TOML's own date.
fn day(value: &DeValue<'_>) -> Meaning<Day> {
    let date = value.as_datetime().map(ToString::to_string);
    let text = value.as_str().map(str::to_owned).or(date);
    text.and_then(|text| Day::parse(&text))
        .ok_or_else(|| "write a day of the calendar, as \"2027-03-01\"".to_owned())
}

/// 64 hexadecimal digits.
fn sha256(value: &DeValue<'_>) -> Meaning<[u8; 32]> {
    let text = value.as_str().filter(|text| text.bytes().all(|b| b.is_ascii_hexdigit()));
    let bytes = text.and_then(|text| {
        let pairs = text.as_bytes().as_chunks::<2>();
        let byte = |pair: &[u8; 2]| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok();
        let bytes: Option<Vec<u8>> = pairs.0.iter().map(byte).collect();
        bytes.filter(|_| pairs.1.is_empty())?.try_into().ok()
    });
    bytes.ok_or_else(|| {
        "write the 64 digits that `printf %s \"$TOKEN\" | sha256sum` prints, in quotes".to_owned()
    })
}

/// What does not fit together.
pub(super) fn check_admin(reader: &mut Reader<'_>, config: &Config) {
    let Config { admin, ari, .. } = config;
    let socket = admin.socket.as_os_str().len();
    if socket > SOCKET_PATH_MAX {
        let text = format!(
            "has {socket} bytes with the directory of this file, and a Unix socket's path at most \
             {SOCKET_PATH_MAX}: write a shorter one, as \"/run/portkeeper/admin.sock\""
        );
        reader.error("admin.socket", text);
    }
    if !admin.listen.ip().is_loopback() {
        if admin.tokens.is_empty() {
            let text = "is not loopback: anybody who reaches it can read the state of the node";
            reader.warning("admin.listen", text);
        } else {
            let text = "is not loopback, and tokens would cross the network in clear: write an \
                        address of 127.0.0.0/8 here, and admin.tls_listen for other hosts";
            reader.error("admin.listen", text);
        }
    }
    let taken = |address: SocketAddr| address.port() != 0;
    if ari.listen == admin.listen && taken(admin.listen) {
        reader.error("admin.listen", "is the address of ari.listen too: write another port");
    }
    let Some(tls_listen) = admin.tls_listen else { return };
    if config.cluster.profile == ClusterProfile::Single {
        let text = "needs the certificate of a cluster's node: write [cluster], or put a TLS proxy \
                    before admin.listen";
        reader.error("admin.tls_listen", text);
    }
    if admin.tokens.is_empty() {
        let text = "serves nobody: write an [admin.tokens.NAME], or leave it out";
        reader.error("admin.tls_listen", text);
    }
    let others = [Some(admin.listen), Some(ari.listen), ari.tls_listen];
    if others.contains(&Some(tls_listen)) && taken(tls_listen) {
        reader.error("admin.tls_listen", "is the address of another listener: write another port");
    }
}
