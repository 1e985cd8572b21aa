//! `portkeeper relay`: a process beside the applications that gives them one URL for all nodes.
//!
//! An application that was written for one Asterisk knows one address and takes the end of its
//! WebSocket for the end of everything: some clients reconnect, some die silently. The relay holds
//! that WebSocket open over the loss of a node. Behind each client's WebSocket it keeps one to
//! *every* node: a node that does not act accepts it and stays silent, so that after a promotion
//! nothing has to be opened. Events of any node are passed on as they are; none is invented, since
//! the node that takes a call over offers it anew and replays its digits.
//!
//! Whether an application lives is for the node to judge, by its own pings every 20 ms and the
//! pongs to them. So the relay answers no ping for an application: each ping of a node goes to the
//! client, and the client's own pong goes back. A frozen application looks to the node as if there
//! were no relay. Pings of the client, which ask whether *we* live, are answered here.
//!
//! A request goes to the node that has spoken of its channel, else to the node that acts, which
//! each node is asked for (`hub`). It is sent to a second node only when the first one cannot have
//! carried it out or when it only reads; otherwise the client is told that nobody knows.
//!
//! Passwords are the nodes' business: they are passed on, never looked at and never logged.

mod address;
mod dial;
mod frame;
mod hub;
mod owners;
mod pings;
mod requests;
mod rest;
mod session;
mod upstream;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{FromRequestParts, State, WebSocketUpgrade};
use axum::http::{Request, Response, StatusCode, header};
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::commands::Failure;
use super::faces::stop_signal;
use super::http::{message, read_body, serve_router};
use super::{log, notify};
use crate::config;
use dial::Dialler;
use hub::Hub;

pub use address::NodeAddress;

/// WebSockets of clients at once. Each is a process of an application on this host or beside it.
const CLIENTS_MAX: usize = 256;
/// Nodes of a cluster that may act, with room for a move to other hosts.
const NODES_MAX: usize = 4;
/// Path and query of a request, as at a node.
const URI_MAX: usize = 8 * 1024;
/// How long clients have to take their last message when the relay stops.
const STOP_MAX: Duration = Duration::from_secs(2);

/// What the command line says.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where clients connect.
    pub listen: SocketAddr,
    /// `listen` may be an address that other hosts reach.
    pub listen_anywhere: bool,
    /// The nodes, the one that usually acts first.
    pub nodes: Vec<NodeAddress>,
    /// The CA whose certificates the nodes have. Without it they are spoken to in clear.
    pub ca: Option<PathBuf>,
    /// Logging.
    pub log: config::Log,
}

/// What every task knows.
struct Relay {
    hub: Arc<Hub>,
    clients: Arc<Semaphore>,
    stop: watch::Sender<bool>,
}

/// `portkeeper relay`: until a signal ends it.
///
/// # Errors
/// [`Failure::Configuration`] when the command line cannot be meant so, [`Failure::Node`] when it
/// cannot start.
pub fn run(options: &Options) -> Result<String, Failure> {
    check(options).map_err(Failure::Configuration)?;
    let hub = hub(options).map_err(Failure::Configuration)?;
    let _log = log::start(&options.log).map_err(Failure::Node)?;
    let failed = |error: io::Error| Failure::Node(error.to_string());
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let signal = runtime.map_err(failed)?.block_on(serve(options.listen, hub)).map_err(failed)?;
    Ok(format!("stopped by {signal}"))
}

/// What cannot be meant.
fn check(options: &Options) -> Result<(), String> {
    let Options { listen, listen_anywhere, nodes, .. } = options;
    if !listen.ip().is_loopback() && !listen_anywhere {
        return Err(format!(
            "--listen {listen}: is not loopback: passwords and callers' numbers would cross the \
             network in clear; run a relay on each host of applications, or say --listen-anywhere"
        ));
    }
    if nodes.is_empty() || nodes.len() > NODES_MAX {
        return Err(format!("--node: name 1 to {NODES_MAX} nodes, the usual primary first"));
    }
    let twice = nodes.iter().enumerate().find(|(n, node)| {
        nodes.iter().take(*n).any(|other| (&other.host, other.port) == (&node.host, node.port))
    });
    match twice {
        Some((_, node)) => Err(format!("--node {node}: is named twice")),
        None => Ok(()),
    }
}

fn hub(options: &Options) -> Result<Hub, String> {
    let trust = options.ca.as_deref().map(dial::trust).transpose();
    let trust = trust.map_err(|error| format!("--ca: {error}"))?;
    let mut nodes = Vec::new();
    for node in &options.nodes {
        nodes.push((node.to_string(), Dialler::new(node.clone(), trust.as_ref())?));
    }
    Ok(Hub::new(nodes))
}

/// Serves until a signal comes, and names it.
async fn serve(listen: SocketAddr, hub: Hub) -> io::Result<&'static str> {
    let listener = TcpListener::bind(listen)
        .await
        .map_err(|error| io::Error::new(error.kind(), format!("--listen {listen}: {error}")))?;
    let address = listener.local_addr()?;
    let relay = Relay::start(hub);
    let mut tasks = JoinSet::new();
    relay.spawn(&mut tasks, listener);
    let hub = Arc::clone(&relay.hub);
    tasks.spawn(async move { match notify::watch_with(|| hub.summary()).await {} });
    notify::ready();
    tracing::info!(%address, "ready");
    let signal = stop_signal().await?;
    notify::stopping();
    tracing::info!(signal, "stopping: clients are told");
    relay.stop().await;
    tracing::info!("stopped");
    Ok(signal)
}

impl Relay {
    fn start(hub: Hub) -> Arc<Self> {
        let clients = Arc::new(Semaphore::new(CLIENTS_MAX));
        Arc::new(Self { hub: Arc::new(hub), clients, stop: watch::Sender::new(false) })
    }

    /// Serves clients and asks the nodes, until the tasks are dropped.
    fn spawn(self: &Arc<Self>, tasks: &mut JoinSet<()>, listener: TcpListener) {
        for node in 0..self.hub.len() {
            let hub = Arc::clone(&self.hub);
            tasks.spawn(async move { match hub.watch(node).await {} });
        }
        let router = Router::new().fallback(handle).with_state(Arc::clone(self));
        tasks.spawn(async move { match serve_router(listener, router).await {} });
    }

    /// Ends the WebSocket of every client, and takes no more.
    async fn stop(&self) {
        self.stop.send_replace(true);
        // A session gives its permit back when its client has been told.
        let all = u32::try_from(CLIENTS_MAX).unwrap_or(u32::MAX);
        let _ = timeout(STOP_MAX, self.clients.acquire_many(all)).await;
        self.clients.close();
    }
}

async fn handle(State(relay): State<Arc<Relay>>, request: Request<Body>) -> Response<Body> {
    let (mut parts, body) = request.into_parts();
    if parts.uri.path_and_query().is_some_and(|uri| uri.as_str().len() > URI_MAX) {
        return message(StatusCode::URI_TOO_LONG, "Path and query over 8 KiB");
    }
    let path = parts.uri.path();
    if path == "/readyz" {
        return ready(&relay.hub);
    }
    if path != "/ari" && !path.starts_with("/ari/") {
        return message(StatusCode::NOT_FOUND, "Resource not found");
    }
    if path == "/ari/events" && parts.headers.contains_key(header::UPGRADE) {
        return match WebSocketUpgrade::from_request_parts(&mut parts, &()).await {
            Ok(upgrade) => session::open(&relay, parts, upgrade).await,
            Err(_) => message(StatusCode::BAD_REQUEST, "Not a WebSocket handshake"),
        };
    }
    match read_body(body).await {
        Ok(body) => rest::forward(&relay.hub, &parts, &body).await,
        Err(refusal) => refusal,
    }
}

/// Whether a request would find a node, and what is known of all of them.
fn ready(hub: &Hub) -> Response<Body> {
    let mut response = Response::new(Body::from(hub.summary()));
    if hub.pick(hub::Wish::Acting).is_none() {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    response
}

#[cfg(test)]
mod tests;
