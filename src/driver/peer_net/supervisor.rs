//! The supervisor's own connections to the other nodes, up before they are needed: when the kernel
//! says that the node's process is gone, every peer hears it within milliseconds.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsStream;
use tracing::{debug, info, warn};

use super::credentials::{Credentials, SUPERVISOR_PROTOCOL};
use super::dialler::connect;
use super::wire::Wire;
use crate::config::{Config, Member};
use crate::ha::peer::{Body, Frame, Framer, Identity, Refusal, Speaker, decode, encode};
use crate::ids::{Epoch, NodeId};

/// Pauses between two tries.
const PAUSE: Duration = Duration::from_secs(1);
/// A peer answers a hello at once or is dialled anew.
const HELLO_WITHIN: Duration = Duration::from_secs(5);

/// Whoever is reached within this time hears of the cause, too: what ends processes twice within it
/// stops promotion. That the process is gone stays true.
const CAUSE_FOR: Duration = Duration::from_secs(60);

/// No message of nodes is ever among a supervisor's frames.
#[derive(Debug, Serialize, Deserialize)]
enum Nothing {}

/// A process that is gone.
#[derive(Clone, Debug)]
struct Ended {
    epoch: Epoch,
    cause: String,
    /// Whoever is reached by then hears of the cause.
    until: Instant,
}

/// The supervisor's connections. They end when it is dropped.
#[derive(Debug)]
pub struct SupervisorLinks {
    release: watch::Sender<Option<Ended>>,
    stored: mpsc::Receiver<NodeId>,
    peers: usize,
}

impl SupervisorLinks {
    /// Keeps a connection to each peer, in tasks of the current runtime. `run` is drawn anew.
    ///
    /// # Errors
    /// The credentials cannot be used: names the file, and who must act.
    pub fn start(config: &Config, run: u64) -> io::Result<Self> {
        let cluster = &config.cluster;
        Credentials::load(&cluster.credentials, &cluster.name_of(cluster.me))?;
        let identity = Identity::of(config, Speaker::Supervisor, run);
        let (release, releases) = watch::channel(None);
        let peers: Vec<Member> = cluster.peers().cloned().collect();
        let (told, stored) = mpsc::channel(64);
        let count = peers.len();
        let config = Arc::new(config.clone());
        for peer in peers {
            let keeper = Keeper {
                config: Arc::clone(&config),
                identity: identity.clone(),
                peer,
                releases: releases.clone(),
                stored: told.clone(),
            };
            tokio::spawn(keeper.keep());
        }
        Ok(Self { release, stored, peers: count })
    }

    /// Tells every peer that the node's process is gone and with it its claim to `epoch`; also
    /// those that are reached only later. Returns who has stored it within `wait`.
    pub async fn release(&mut self, epoch: Epoch, cause: String, wait: Duration) -> Vec<NodeId> {
        while self.stored.try_recv().is_ok() {}
        let until = Instant::now() + CAUSE_FOR;
        self.release.send_replace(Some(Ended { epoch, cause, until }));
        let mut stored = Vec::new();
        let waiting = async {
            while stored.len() < self.peers {
                match self.stored.recv().await {
                    Some(node) if !stored.contains(&node) => stored.push(node),
                    Some(_) => {}
                    None => return,
                }
            }
        };
        let _ = timeout(wait, waiting).await;
        stored
    }
}

struct Keeper {
    config: Arc<Config>,
    identity: Identity,
    peer: Member,
    releases: watch::Receiver<Option<Ended>>,
    stored: mpsc::Sender<NodeId>,
}

impl Keeper {
    async fn keep(mut self) {
        let mut said = String::new();
        loop {
            let ended = match connect(&self.config.cluster, &self.peer, SUPERVISOR_PROTOCOL).await {
                Ok(stream) => self.speak(stream).await,
                Err(error) => Err(super::trouble::explain(&error, &self.peer.name)),
            };
            match ended {
                Ok(()) if self.releases.has_changed().is_err() => return,
                Ok(()) => debug!(peer = self.peer.name, "supervisor's link ended"),
                // The node complains of the same, with the same words, where people look.
                Err(text) if text != said => {
                    warn!(peer = self.peer.name, "supervisor's link: {text}");
                    said = text;
                }
                Err(_) => {}
            }
            tokio::select! {
                () = sleep(PAUSE) => {}
                changed = self.releases.changed() => if changed.is_err() { return },
            }
        }
    }

    /// One connection: hello, then releases as they come.
    async fn speak(&mut self, stream: TlsStream<TcpStream>) -> Result<(), String> {
        let mut voice = Voice { wire: Wire::new(stream), framer: Framer::default(), counter: 0 };
        voice.say(&self.identity, Body::Hello(Box::new(self.identity.hello())))?;
        let hello = timeout(HELLO_WITHIN, voice.next()).await;
        let Some(frame) = hello.map_err(|_| Refusal::Silent.to_string())?? else {
            return Err("closed the connection at our hello".to_owned());
        };
        let accepted = self.identity.accept(self.peer.id, &self.peer.name, frame);
        accepted.map_err(|refusal| refusal.to_string())?;
        info!(peer = self.peer.name, "supervisor's link up");
        loop {
            let ended = self.releases.borrow_and_update().clone();
            let release = ended.as_ref().map(|ended| ended.epoch);
            if let Some(Ended { epoch, cause, until }) = ended {
                let cause = if Instant::now() < until { cause } else { String::new() };
                voice.say(&self.identity, Body::Release { epoch, cause })?;
            }
            loop {
                tokio::select! {
                    changed = self.releases.changed() => match changed {
                        Ok(()) => break,
                        Err(_) => return Ok(()),
                    },
                    frame = voice.next() => match frame? {
                        Some(frame) => self.hear(&frame, release).await?,
                        None => return Ok(()),
                    },
                }
            }
        }
    }

    async fn hear(&self, frame: &Frame<Nothing>, released: Option<Epoch>) -> Result<(), String> {
        let from = self.identity.check_sender(self.peer.id, frame);
        from.map_err(|refusal| refusal.to_string())?;
        match &frame.body {
            Body::Released { epoch } if Some(*epoch) == released => {
                info!(peer = self.peer.name, %epoch, "has stored the release");
                let _ = self.stored.send(self.peer.id).await;
            }
            Body::Released { .. } => {}
            Body::Goodbye { why } => return Err(why.chars().take(300).collect()),
            Body::Hello(_) | Body::Beat(_) | Body::Message(_) | Body::Release { .. } => {
                return Err("says what is nothing to a supervisor".to_owned());
            }
        }
        Ok(())
    }
}

struct Voice {
    wire: Wire,
    framer: Framer,
    counter: u64,
}

impl Voice {
    fn say(&mut self, identity: &Identity, body: Body<Nothing>) -> Result<(), String> {
        self.counter += 1;
        let frame = identity.frame(Epoch::default(), self.counter, body);
        let bytes = encode(&frame).map_err(|length| format!("a frame of {length} bytes"))?;
        self.wire.write(bytes, false).map_err(|_| Refusal::Choked.to_string())
    }

    async fn next(&mut self) -> Result<Option<Frame<Nothing>>, String> {
        loop {
            let json = self.framer.next_frame().map_err(|refusal| refusal.to_string())?;
            if let Some(json) = json {
                return decode(&json).map(Some).map_err(|refusal| refusal.to_string());
            }
            match self.wire.read().await {
                Some(Ok(bytes)) => self.framer.push(&bytes),
                Some(Err(error)) => return Err(super::trouble::explain(&error, "it")),
                None => return Ok(None),
            }
        }
    }
}
