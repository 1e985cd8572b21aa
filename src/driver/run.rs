//! `portkeeper run`: starts every thread of one node and ends them in order.
//!
//! Three kinds of threads: the control thread with the event loop and the SIP sockets, the media
//! workers, and a small pool for HTTP and the faces, which only translate. One more opens the store
//! of a node in a cluster and ends: the event loop runs meanwhile, answers who asks, and takes no
//! part in the cluster until the store is there.

#![expect(clippy::disallowed_methods, reason = "threads live here")]

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use rand_core::{RngCore, SeedableRng, TryRngCore};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::{mpsc, oneshot};
use tracing::info;

use super::autostart::Programs;
use super::cluster::{ClusterNet, Joined};
use super::event_loop::{Channels, EventLoop};
use super::faces::{Faces, stop_signal};
use super::pins::Pins;
use super::rtp_net::{self, RtpNet};
use super::sip_net::SipNet;
use super::{
    Links, Progress, ToNode, clock, disk, http, notify, prompts, supervised, to_node_channel,
};
use crate::config::{ClusterProfile, Config};
use crate::ids::Rng;
use crate::media;
use crate::node::{Input, Node};

/// Media events that wait for the event loop at most: 64 digits of every port are bounded in the
/// port itself, so this is the room for one scheduling delay of all of them.
const MEDIA_EVENTS_MAX: usize = 8_192;

/// How often streams tell where they stand, for a node that carries them on. What leaves meanwhile
/// and until the other node has heard of it is far less than the leap of the sequence number.
const STANDING_EVERY: std::time::Duration = std::time::Duration::from_secs(4);

/// A node that runs.
pub struct Running {
    to_node: mpsc::Sender<ToNode>,
    /// Where HTTP and the other faces run.
    faces: Runtime,
    stop: oneshot::Sender<()>,
    control: std::thread::JoinHandle<()>,
    /// Why the store could not be opened; closed when it is open, or there is none.
    opened: oneshot::Receiver<io::Error>,
}

impl Running {
    /// Ends calls, un-registers every port, and waits until that is done.
    pub fn stop(self) {
        // The event loop may have stopped by itself.
        let _ = self.stop.send(());
        if self.control.join().is_err() {
            tracing::error!("the control thread panicked: report this with the log above");
        }
        self.faces.shutdown_background();
    }

    /// Waits for a signal to stop, and names it; an error when the node ended by itself, or its
    /// store cannot be opened.
    pub fn wait(&mut self) -> io::Result<&'static str> {
        self.faces.block_on(async {
            tokio::select! {
                signal = stop_signal() => signal,
                Ok(error) = &mut self.opened => Err(error),
                () = self.to_node.closed() => {
                    Err(io::Error::other("the event loop ended by itself: report it with the log"))
                }
            }
        })
    }
}

/// Starts a node, whose earlier processes ended lately of `causes`. An error names the key of the
/// configuration that somebody must change.
pub fn start(config: Config, causes: Vec<String>) -> io::Result<Running> {
    let config = Arc::new(config);
    if config.service_address().is_some() && !supervised::is_supervised() {
        let text = "cluster.takeover = \"shared_address\": the node needs its supervisor, which \
                    alone may change the network card";
        return Err(io::Error::other(text));
    }
    let prompts = Arc::new(prompts::load(&config.media.prompts));
    std::fs::create_dir_all(&config.media.recordings).map_err(|error| {
        named("media.recordings", &config.media.recordings.display().to_string(), &error)
    })?;
    let faces = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let (to_node, from_faces) = to_node_channel();
    let (links, ari) = faces.block_on(listen_ari(&config, &to_node))?;
    let others = faces.block_on(Faces::bind(&config.admin, &config.cluster))?;
    let pins = open_pins(&config)?;
    let keeps_facts = config.cluster.profile != ClusterProfile::Single;
    let store = keeps_facts.then(|| config.cluster.store.clone());
    let rounds = Arc::new(AtomicU64::new(0));
    let (stop, stopped) = oneshot::channel();
    let (ready, is_ready) = std::sync::mpsc::sync_channel(1);
    let (opener, opening) = if keeps_facts {
        let (opener, opening) = oneshot::channel();
        (Some(opener), Some(opening))
    } else {
        (None, None)
    };
    let for_opener = Arc::clone(&config);
    let seeds = Seeds {
        config,
        prompts,
        links,
        pins: pins.clone(),
        to_node: to_node.clone(),
        causes,
        opening,
    };
    let mut progress = Progress::default();
    progress.watch("event loop", Arc::clone(&rounds));
    let control = std::thread::Builder::new().name("control".to_owned()).spawn(move || {
        control(seeds, rounds, from_faces, stopped, &ready);
    })?;
    match is_ready.recv() {
        Ok(Ok(workers)) => {
            for (number, rounds) in workers.into_iter().enumerate() {
                progress.watch(format!("media worker {number}"), rounds);
            }
        }
        Ok(Err(error)) => return Err(error),
        Err(_) => return Err(io::Error::other("the control thread did not start")),
    }
    let _runtime = faces.enter();
    others.serve(&to_node, &progress, pins);
    if let Some(store) = store {
        faces.spawn(disk::watch(store, to_node.clone()));
    }
    let opened = match opener {
        Some(opener) => open_store(for_opener, faces.handle().clone(), opener, ari)?,
        None => {
            ready_at(ari);
            oneshot::channel().1
        }
    };
    Ok(Running { to_node, faces, stop, control, opened })
}

/// Opens the store on a thread of its own and hands it to the event loop; then the node is ready.
/// Tells an error to whoever waits for the end of the node.
fn open_store(
    config: Arc<Config>,
    faces: Handle,
    opener: oneshot::Sender<Joined>,
    ari: SocketAddr,
) -> io::Result<oneshot::Receiver<io::Error>> {
    let run = seed()?.next_u64();
    let (failed, opened) = oneshot::channel();
    std::thread::Builder::new().name("open store".to_owned()).spawn(move || {
        let _runtime = faces.enter();
        match ClusterNet::join(&config, run) {
            Ok(joined) => {
                // An event loop that stops meanwhile needs none.
                if opener.send(joined).is_ok() {
                    ready_at(ari);
                }
            }
            Err(error) => drop(failed.send(error)),
        }
    })?;
    Ok(opened)
}

fn ready_at(ari: SocketAddr) {
    notify::ready();
    info!(%ari, "ready");
}

/// PINs are stored and compared by a node of a cluster; a node alone keeps no agents.
fn open_pins(config: &Config) -> io::Result<Option<Pins>> {
    let store = &config.cluster.store;
    let keeps_agents = config.cluster.profile != ClusterProfile::Single;
    let Some(directory) = store.parent().filter(|_| keeps_agents) else {
        return Ok(None);
    };
    std::fs::create_dir_all(directory)
        .and_then(|()| Pins::open(directory))
        .map(Some)
        .map_err(|error| named("cluster.store", &store.display().to_string(), &error))
}

/// What the control thread is built from.
struct Seeds {
    config: Arc<Config>,
    prompts: Arc<crate::node::Prompts>,
    links: Arc<Links>,
    pins: Option<Pins>,
    to_node: mpsc::Sender<ToNode>,
    causes: Vec<String>,
    opening: Option<oneshot::Receiver<Joined>>,
}

/// The body of the control thread.
fn control(
    seeds: Seeds,
    progress: Arc<AtomicU64>,
    faces: mpsc::Receiver<ToNode>,
    stop: oneshot::Receiver<()>,
    ready: &std::sync::mpsc::SyncSender<io::Result<Vec<Arc<AtomicU64>>>>,
) {
    let runtime = match Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return drop(ready.send(Err(error))),
    };
    runtime.block_on(async move {
        match build(seeds, progress, faces, stop) {
            Ok((event_loop, channels)) => {
                drop(ready.send(Ok(event_loop.rtp.rounds())));
                let links = Arc::clone(&event_loop.links);
                event_loop.run(channels).await;
                links.finish().await;
            }
            Err(error) => drop(ready.send(Err(error))),
        }
    });
    // A lookup of a name that still waits for its server keeps nothing.
    runtime.shutdown_background();
}

fn build(
    seeds: Seeds,
    progress: Arc<AtomicU64>,
    faces: mpsc::Receiver<ToNode>,
    stop: oneshot::Receiver<()>,
) -> io::Result<(EventLoop, Channels)> {
    let Seeds { config, prompts, links, pins, to_node, causes, opening } = seeds;
    let (sip, from_sip) = SipNet::open(&config)?;
    let (events, media) = mpsc::channel(MEDIA_EVENTS_MAX);
    let workers = rtp_net::Config {
        ports: u16::try_from(config.lines()).unwrap_or(u16::MAX),
        workers: config.media.workers,
        address: config.media.address,
        service: config.service_address().map(|service| rtp_net::Service {
            address: service.address.into(),
            ports: u16::try_from(config.pool_ports().len()).unwrap_or(u16::MAX),
        }),
        raise_priority: true,
        recordings: config.media.recordings.clone(),
        media: Arc::new(media::Config {
            silent_after: config.media.rtp_timeout,
            standing_every: config.service_address().map(|_| STANDING_EVERY),
            ..media::Config::default()
        }),
    };
    let rtp = RtpNet::start(&workers, Arc::new(events))?;
    let addresses = sip.addresses();
    let mut node = Node::new(config.clone(), prompts, addresses, seed()?, clock::now());
    if let Some(pins) = &pins {
        let key = pins.proof_key(&config.cluster.id);
        node.handle_input(clock::now(), Input::ProofKey(key));
    }
    let event_loop = EventLoop {
        node,
        sip,
        rtp,
        links,
        config,
        to_node,
        progress,
        stopped: false,
        cluster: None,
        causes,
        pins,
        programs: Programs::default(),
        waiting: BTreeMap::new(),
        changing: BTreeMap::new(),
        listeners: Vec::new(),
        requests: 0,
        withheld: 0,
        noted: None,
        asked: false,
        answered: None,
        texts_waiting: 0,
    };
    let answers = supervised::Answers::listen()?;
    let (sip, cluster, joined) = (from_sip, None, opening);
    Ok((event_loop, Channels { sip, media, faces, cluster, joined, answers, stop }))
}

async fn listen_ari(
    config: &Config,
    to_node: &mpsc::Sender<ToNode>,
) -> io::Result<(Arc<Links>, SocketAddr)> {
    let listener = TcpListener::bind(config.ari.listen)
        .await
        .map_err(|error| named("ari.listen", &config.ari.listen.to_string(), &error))?;
    let address = listener.local_addr()?;
    let links = Links::new(to_node.clone(), config.ports.len());
    tokio::spawn(http::serve(listener, Arc::clone(&links)));
    if let Some(listen) = config.ari.tls_listen {
        let fault = |error| named("ari.tls_listen", &listen.to_string(), &error);
        let listener = TcpListener::bind(listen).await.map_err(fault)?;
        let door = http::Door::open(&config.cluster)?;
        tokio::spawn(http::serve_tls(listener, Arc::clone(&links), door));
    }
    Ok((links, address))
}

/// An unguessable generator: tags, Call-IDs and Contact secrets come from it.
fn seed() -> io::Result<Rng> {
    let mut seed = [0; 32];
    rand_core::OsRng.try_fill_bytes(&mut seed).map_err(io::Error::other)?;
    Ok(Rng::from_seed(seed))
}

fn named(key: &str, value: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{key} = {value:?}: {error}"))
}
