//! `portkeeper cluster`: a small CA of the cluster's own, and how a node gets its certificate.
//!
//! The CA's key stays in the credentials of the node where `init` was run, and no running node
//! reads it: to let another node in, an operator runs `cluster token` there, which prints a token
//! and serves it until it is used or ten minutes are over. The token is a secret of 128 bits and
//! the fingerprint of the CA. The node that joins dials, and talks on only to whoever shows a
//! certificate of that CA for this very purpose; then it proves that it knows the secret, bound to
//! this connection and to the key that it made. The key never leaves it, the secret is never sent,
//! and whoever stands in between has neither.

pub(super) mod ca;
mod client;
mod files;
mod hypervisor;
mod server;
mod token;

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;
use std::{fmt, io};

use serde::{Deserialize, Serialize};

use super::commands::{Failure, load_config};
use super::peer_net::Credentials;
use super::pins::{Given, Pepper};
use crate::config::{Cluster, ClusterProfile, Config};
use crate::redact::Redacted;
use ca::Authority;
use token::Token;

pub use ca::{Times, YEAR};

/// Bytes of a request or an answer at most.
const MESSAGE_MAX: usize = 64 << 10;
/// One side waits this long for the other.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// What the certificate of whoever serves a token is for; no node can have a name with dots.
const JOIN_NAME: &str = "join.portkeeper.invalid";
/// Told apart from the links of nodes in the TLS handshake.
const JOIN_PROTOCOL: &[u8] = b"portkeeper-join";

/// What a node that joins asks for.
#[derive(Serialize, Deserialize)]
struct Request {
    node: String,
    /// A certificate request (PKCS #10, PEM): its key, signed with itself.
    request: String,
    /// HMAC of all that with the token's secret, see [`Token::proof`].
    proof: String,
}

/// What it is told.
#[derive(Serialize, Deserialize)]
enum Answer {
    /// `pepper` is absent from a server that has none to give.
    Granted {
        certificate: String,
        ca: String,
        #[serde(default)]
        pepper: Option<Redacted<String>>,
    },
    Refused {
        why: String,
    },
}

/// `portkeeper cluster init`: the CA, and this node's certificate.
///
/// # Errors
/// There is a CA already, or the files cannot be written.
pub fn init(path: &Path) -> Result<String, Failure> {
    let config = clustered(path)?;
    let cluster = &config.cluster;
    let times = Times::from_now();
    let authority = Authority::create(&cluster.credentials, &cluster.id, times).map_err(refused)?;
    let name = cluster.name_of(cluster.me);
    let issued = authority.issue_own(&name, times).map_err(refused)?;
    issued.store(&cluster.credentials).map_err(refused)?;
    Credentials::load(&cluster.credentials, &name).map_err(refused)?;
    Pepper::open(beside_store(cluster)).map_err(refused)?;
    let others: Vec<_> = cluster.peers().map(|peer| peer.name.clone()).collect();
    Ok(format!(
        "{}: ca.pem, ca.key, node.pem, node.key are there. ca.key can let nodes in: keep a copy in \
         a safe place, and one of the file pepper beside the store.\n{}Next: portkeeper cluster \
         token NODE, for {}, and what it prints there.",
        cluster.credentials.display(),
        timers_note(path, hypervisor::found(Path::new("/")))?,
        others.join(" and ")
    ))
}

/// Writes `timers = "vm"` where a hypervisor may pause this machine and nobody decided otherwise.
fn timers_note(path: &Path, hypervisor: Option<String>) -> Result<String, Failure> {
    let Some(hypervisor) = hypervisor else { return Ok(String::new()) };
    let changed = hypervisor::with_vm_timers(path).map_err(refused)?;
    Ok(if changed {
        format!(
            "This machine is virtual ({hypervisor}) and may be paused: timers = \"vm\" was written \
             into {}; write the same on the other nodes.\n",
            path.display()
        )
    } else {
        format!(
            "This machine is virtual ({hypervisor}): timers stay as {} has them.\n",
            path.display()
        )
    })
}

/// `portkeeper cluster token NODE`: prints a token and lets that node in, once.
///
/// # Errors
/// No CA here, no such node, nobody came, or somebody came with a wrong token.
pub fn token(
    path: &Path,
    node: &str,
    listen: Option<SocketAddr>,
    say: &mut dyn FnMut(&str),
) -> Result<String, Failure> {
    let config = clustered(path)?;
    let cluster = &config.cluster;
    if cluster.named(node).is_none_or(|member| member.id == cluster.me) {
        let others: Vec<_> = cluster.peers().map(|peer| peer.name.clone()).collect();
        let text =
            format!("{node} is no other node of the cluster: write one of {}", others.join(", "));
        return Err(Failure::Refused(text));
    }
    let authority = Authority::load(&cluster.credentials).map_err(refused)?;
    let listen = listen.or_else(|| beside_link(cluster));
    let listen =
        listen.ok_or_else(|| Failure::Refused("write --listen ADDRESS:PORT".to_owned()))?;
    let pepper = Pepper::open(beside_store(cluster)).map_err(refused)?;
    let (node_name, within) = (node.to_owned(), token::HOLDS);
    let serving = server::Serving { authority, pepper, node: node_name, within };
    runtime()?.block_on(serving.serve(listen, |token, address| {
        say(&format!(
            "Within {} minutes run on {node}:\n\n  portkeeper cluster join --config FILE --token \
             {} {address}\n",
            token::HOLDS.as_secs() / 60,
            *token.text()
        ));
    }))
}

/// Where the pepper lies.
fn beside_store(cluster: &Cluster) -> &Path {
    cluster.store.parent().unwrap_or(Path::new("."))
}

/// One above the port of the link, which a running node uses.
fn beside_link(cluster: &Cluster) -> Option<SocketAddr> {
    let mut address = cluster.member(cluster.me)?.link?;
    address.set_port(address.port().checked_add(1)?);
    Some(address)
}

/// `portkeeper cluster join`: gets this node's certificate, or a new one.
///
/// # Errors
/// The token is wrong, used or over, or somebody else answers.
pub fn join(path: &Path, token: &str, address: &str) -> Result<String, Failure> {
    let config = clustered(path)?;
    let cluster = &config.cluster;
    let token = Token::parse(token).ok_or_else(|| {
        Failure::Refused("--token is not what `cluster token` printed: copy all of it".to_owned())
    })?;
    let name = cluster.name_of(cluster.me);
    let joined = client::join(&token, address, &name, &cluster.credentials);
    let pepper = runtime()?.block_on(joined).map_err(refused)?;
    Credentials::load(&cluster.credentials, &name).map_err(refused)?;
    Ok(format!(
        "{}: ca.pem, node.pem, node.key are there; {name} belongs to the cluster. A node that runs \
         takes them into use within a minute.{}",
        cluster.credentials.display(),
        pepper_note(beside_store(cluster), pepper.as_ref())?
    ))
}

/// Stores the pepper that came with the certificate.
fn pepper_note(directory: &Path, pepper: Option<&Pepper>) -> Result<String, Failure> {
    let Some(pepper) = pepper else {
        let text = "\nNo pepper came with it: copy the file pepper beside the store from the node \
                    with the CA, or no PIN is right here.";
        return Ok(text.to_owned());
    };
    Ok(match pepper.give(directory).map_err(refused)? {
        Given::Taken => String::new(),
        Given::Replaced => format!(
            "\n{}: another pepper was here and is kept as pepper.old: start this node anew if it \
             runs.",
            directory.display()
        ),
    })
}

/// `portkeeper cluster renew`: a new certificate for the node that has the CA.
///
/// # Errors
/// The CA is not here: says where to go.
pub fn renew(path: &Path) -> Result<String, Failure> {
    let config = clustered(path)?;
    let cluster = &config.cluster;
    let name = cluster.name_of(cluster.me);
    let authority = Authority::load(&cluster.credentials).map_err(|error| {
        Failure::Refused(format!(
            "{error}\nOn a node without the CA: `portkeeper cluster token {name}` where it is, and \
             `portkeeper cluster join` here."
        ))
    })?;
    let issued = authority.issue_own(&name, Times::from_now()).map_err(refused)?;
    issued.store(&cluster.credentials).map_err(refused)?;
    Credentials::load(&cluster.credentials, &name).map_err(refused)?;
    Ok(format!(
        "{name} has a new certificate for 365 days; a node that runs takes it within a minute"
    ))
}

/// Credentials and pepper for a cluster whose nodes all live on this machine: of each its name, the
/// directory for credentials and that of its store. The CA stays with the first one.
///
/// # Errors
/// A CA is there already, or the files cannot be written.
pub fn all_here(cluster: &str, nodes: &[(&str, &Path, &Path)]) -> io::Result<()> {
    let times = Times::from_now();
    let Some((_, first, store)) = nodes.first() else { return Ok(()) };
    let authority = Authority::create(first, cluster, times)?;
    std::fs::create_dir_all(store)?;
    let pepper = Pepper::open(store)?;
    nodes.iter().try_for_each(|(name, directory, store)| {
        authority.issue_own(name, times)?.store(directory)?;
        std::fs::create_dir_all(store)?;
        pepper.give(store)?;
        Credentials::load(directory, name).map(drop)
    })
}

fn clustered(path: &Path) -> Result<Config, Failure> {
    let config = load_config(path)?.config;
    if config.cluster.profile == ClusterProfile::Single {
        let text = format!(
            "{}: cluster.profile is \"single\": write [cluster] and [[cluster.nodes]] first",
            path.display()
        );
        return Err(Failure::Configuration(text));
    }
    Ok(config)
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let built = tokio::runtime::Builder::new_current_thread().enable_all().build();
    built.map_err(|error| Failure::Node(error.to_string()))
}

fn refused(error: impl fmt::Display) -> Failure {
    Failure::Refused(error.to_string())
}

/// A message as it goes over the connection: a length, and JSON.
fn frame(message: &impl Serialize) -> io::Result<Vec<u8>> {
    let json = serde_json::to_vec(message)?;
    let length = u32::try_from(json.len()).map_err(io::Error::other)?;
    let mut bytes = length.to_be_bytes().to_vec();
    bytes.extend_from_slice(&json);
    Ok(bytes)
}

/// Reads one message.
async fn read_message<T, S>(stream: &mut S) -> io::Result<T>
where
    T: serde::de::DeserializeOwned,
    S: tokio::io::AsyncRead + Unpin,
{
    use tokio::io::AsyncReadExt;
    let length = usize::try_from(stream.read_u32().await?).unwrap_or(usize::MAX);
    if length > MESSAGE_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a message that is too long"));
    }
    let mut json = vec![0; length];
    stream.read_exact(&mut json).await?;
    Ok(serde_json::from_slice(&json)?)
}

#[cfg(test)]
mod tests;
