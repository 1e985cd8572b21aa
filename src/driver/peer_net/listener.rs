//! Takes connections of peers and supervisors in, and sends everybody else away.
//!
//! New credentials are used from the next connection on.
//!
//! A stranger costs little: a handshake has a few seconds, there are few at once and fewer from one
//! address, and what is wrong with them is said once in a while with their number. They keep no
//! peer out: whoever dials from a node's own address does not count among them.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use serde::Serialize;
use serde::de::DeserializeOwned;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tracing::{info, warn};

use super::credentials::{self, Credentials, NODE_PROTOCOL, SUPERVISOR_PROTOCOL, Stamp, Validity};
use super::peer::Door;
use super::trouble::explain;
use super::{Context, Report, visitor, wire};
use crate::config::Cluster;
use crate::driver::clock;
use crate::ids::NodeId;

/// Handshakes at once from addresses that are no node's.
const STRANGERS_MAX: u32 = 8;
/// Guests that wait to be let in: all that can be at their handshake.
const GUESTS_MAX: usize = 32;
/// Handshakes at once from one address.
const HANDSHAKES_PER_ADDRESS: u32 = 4;
/// A handshake takes a few round trips.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(3);
/// Strangers are spoken of once in this time.
const STRANGERS_EVERY: Duration = Duration::from_secs(60);
/// Whether the certificate ends soon is looked at again after this.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// Supervisors of one node at once: the one that lives, and one that it replaced.
const VISITORS_PER_NODE: usize = 2;

/// Listens at this node's link.
pub(super) fn bind(cluster: &Cluster) -> io::Result<TcpListener> {
    let me = cluster.member(cluster.me);
    let Some(link) = me.and_then(|me| me.link) else {
        return Err(io::Error::other("a single node has no link"));
    };
    listen(link).map_err(|error| {
        let text = format!("cluster.nodes[{}].link = \"{link}\": {error}", cluster.me.0);
        io::Error::new(error.kind(), text)
    })
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(64)?;
    TcpListener::from_std(socket.into())
}

/// What a handshake ended with.
struct Guest {
    from: SocketAddr,
    outcome: io::Result<TlsStream<TcpStream>>,
}

struct Hall<M> {
    context: Arc<Context<M>>,
    doors: Vec<Door>,
    tls: Arc<ServerConfig>,
    /// The certificate in use, and when it holds.
    stamp: Option<Stamp>,
    validity: Validity,
    /// What was said of it last.
    said: Option<String>,
    handshakes: BTreeMap<IpAddr, u32>,
    visitors: BTreeMap<NodeId, Arc<Semaphore>>,
    strangers: Strangers,
}

/// Accepts until its runtime ends.
pub(super) async fn serve<M>(
    listener: TcpListener,
    context: Arc<Context<M>>,
    doors: Vec<Door>,
    credentials: Credentials,
) where
    M: Serialize + DeserializeOwned + Send + 'static,
{
    let tls = match credentials.server() {
        Ok(tls) => tls,
        Err(error) => return warn!(%error, "no peer can connect"),
    };
    let nodes = context.cluster.nodes.iter().map(|member| member.id);
    let visitors = nodes.map(|id| (id, Arc::new(Semaphore::new(VISITORS_PER_NODE)))).collect();
    let (guest, mut guests) = mpsc::channel(GUESTS_MAX);
    let mut look = tokio::time::interval(LOOK_EVERY);
    let mut hall = Hall {
        doors,
        tls,
        stamp: credentials::stamp_of(&context.cluster.credentials),
        validity: credentials.validity(),
        said: None,
        handshakes: BTreeMap::new(),
        visitors,
        strangers: Strangers::default(),
        context,
    };
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, from)) => hall.greet(stream, from, guest.clone()),
                Err(error) => {
                    warn!(%error, "cannot accept a peer");
                    sleep(Duration::from_millis(100)).await;
                }
            },
            Some(guest) = guests.recv() => hall.admit(guest).await,
            _ = look.tick() => hall.look().await,
        }
    }
}

impl<M: Serialize + DeserializeOwned + Send + 'static> Hall<M> {
    /// Begins a handshake, if there is room for one more from there.
    fn greet(&mut self, stream: TcpStream, from: SocketAddr, guests: mpsc::Sender<Guest>) {
        let others = self.handshakes.iter().filter(|(ip, _)| !self.is_node(**ip));
        let strangers: u32 = others.map(|(_, count)| count).sum();
        if strangers >= STRANGERS_MAX && !self.is_node(from.ip()) {
            return;
        }
        let here = self.handshakes.entry(from.ip()).or_default();
        if *here >= HANDSHAKES_PER_ADDRESS {
            return;
        }
        *here += 1;
        self.take_new();
        let acceptor = TlsAcceptor::from(Arc::clone(&self.tls));
        tokio::spawn(async move {
            let handshake = async {
                wire::prepare(&stream)?;
                acceptor.accept(stream).await
            };
            let late = || io::Error::new(io::ErrorKind::TimedOut, "no handshake within 3 s");
            let outcome = timeout(HANDSHAKE_WITHIN, handshake).await.map_err(|_| late());
            let outcome = outcome.and_then(|outcome| outcome);
            let _ = guests.send(Guest { from, outcome }).await;
        });
    }

    /// Whether a node of the cluster listens at an address, and so dials from it.
    fn is_node(&self, ip: IpAddr) -> bool {
        let mut links = self.context.cluster.nodes.iter().filter_map(|member| member.link);
        links.any(|link| link.ip() == ip)
    }

    /// A handshake has ended.
    async fn admit(&mut self, guest: Guest) {
        let from = guest.from;
        if let Some(here) = self.handshakes.get_mut(&from.ip()) {
            *here = here.saturating_sub(1);
            if *here == 0 {
                self.handshakes.remove(&from.ip());
            }
        }
        let stranger = match guest.outcome {
            Ok(stream) => self.place(stream),
            Err(error) => Err(explain(&error, &from.to_string())),
        };
        if let Err(text) = stranger {
            self.strange(from, text).await;
        }
    }

    /// Hands a proven node's connection to its peer's task, or a supervisor's to a task of its own.
    fn place(&mut self, stream: TlsStream<TcpStream>) -> Result<(), String> {
        let (_, tls) = stream.get_ref();
        let names = tls.peer_certificates().and_then(|chain| chain.first());
        let names = names.map(credentials::names_of).unwrap_or_default();
        let cluster = &self.context.cluster;
        let member = match names.as_slice() {
            [name] => cluster.named(name),
            _ => None,
        };
        let Some(member) = member else {
            return Err(format!(
                "a node called {} has a certificate of this cluster and is none of \
                 [[cluster.nodes]]: write it there, or take its certificate away",
                names.join(", ")
            ));
        };
        let (id, name) = (member.id, member.name.clone());
        match tls.alpn_protocol() {
            Some(NODE_PROTOCOL) => self.place_node(id, &name, stream),
            Some(SUPERVISOR_PROTOCOL) => self.place_visitor(id, name, stream),
            _ => Err(format!("{name} does not say what it wants: upgrade it")),
        }
    }

    fn place_node(
        &self,
        id: NodeId,
        name: &str,
        stream: TlsStream<TcpStream>,
    ) -> Result<(), String> {
        let door = self.doors.iter().find(|door| door.peer == id);
        let Some(door) = door.filter(|_| id < self.context.cluster.me) else {
            return Err(format!(
                "{name} dials, and this node would dial it: the order of [[cluster.nodes]] \
                 differs, or two nodes run with the credentials of {name}"
            ));
        };
        // With two that wait, the peer dials faster than its task reads: these are stale.
        let _ = door.arrivals.try_send(stream.into());
        Ok(())
    }

    fn place_visitor(
        &self,
        id: NodeId,
        name: String,
        stream: TlsStream<TcpStream>,
    ) -> Result<(), String> {
        let room = self.visitors.get(&id).cloned();
        let permit = room.and_then(|room| room.try_acquire_owned().ok());
        let Some(permit) = permit else {
            return Err(format!("{name} has more than {VISITORS_PER_NODE} supervisors"));
        };
        let context = Arc::clone(&self.context);
        tokio::spawn(async move {
            let _permit = permit;
            visitor::hear(context, id, name, stream).await;
        });
        Ok(())
    }

    async fn strange(&mut self, from: SocketAddr, text: String) {
        let Some(others) = self.strangers.may_speak() else { return };
        warn!(%from, others, "a connection to the link was refused: {text}");
        let text = format!("{from} was refused at the link: {text}");
        let report = Report::Trouble { with: None, text: Some(text) };
        let _ = self.context.reports.send(report).await;
    }

    /// Takes new credentials into use. What cannot be used is said, and the old ones stay.
    fn take_new(&mut self) {
        let cluster = &self.context.cluster;
        let stamp = credentials::stamp_of(&cluster.credentials);
        if stamp == self.stamp {
            return;
        }
        self.stamp = stamp;
        let loaded = Credentials::load(&cluster.credentials, &cluster.name_of(cluster.me));
        match loaded.and_then(|new| Ok((new.server()?, new.validity()))) {
            Ok((tls, validity)) => {
                info!("the certificate of this node was renewed");
                (self.tls, self.validity) = (tls, validity);
            }
            Err(error) => warn!("new credentials are not used: {error}"),
        }
    }

    /// Says in time when the certificate ends.
    async fn look(&mut self) {
        self.take_new();
        let me = self.context.cluster.me;
        let text = ending(self.validity, &self.context.cluster.name_of(me));
        if text != self.said {
            if let Some(text) = &text {
                warn!("{text}");
            }
            self.said.clone_from(&text);
            let report = Report::Trouble { with: Some(me), text };
            let _ = self.context.reports.send(report).await;
        }
    }
}

/// What to say of a certificate that ends soon.
fn ending(validity: Validity, name: &str) -> Option<String> {
    let now = i64::try_from(clock::unix_ms() / 1_000).unwrap_or(i64::MAX);
    if !validity.is_due(now) {
        return None;
    }
    let days = validity.until.saturating_sub(now).div_euclid(86_400);
    let when = if days < 0 { "has ended".to_owned() } else { format!("ends in {days} days") };
    Some(format!(
        "the certificate of {name} {when}: run `portkeeper cluster renew` where the CA is, \
         `portkeeper cluster token {name}` there and `portkeeper cluster join` here otherwise"
    ))
}

/// Counts strangers, and says when one may be spoken of.
#[derive(Debug, Default)]
struct Strangers {
    spoke_at: Option<crate::timers::Instant>,
    unsaid: u64,
}

impl Strangers {
    /// How many were not spoken of since the last time; `None`: not yet again.
    fn may_speak(&mut self) -> Option<u64> {
        let now = clock::now();
        let recently = |at| now.saturating_duration_since(at) < STRANGERS_EVERY;
        if self.spoke_at.is_some_and(recently) {
            self.unsaid += 1;
            return None;
        }
        self.spoke_at = Some(now);
        Some(std::mem::take(&mut self.unsaid))
    }
}
