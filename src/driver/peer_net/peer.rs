//! The task of one peer: its link machine, and the connection that it has at the time.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio_rustls::TlsStream;
use tracing::{info, warn};

use super::trouble::explain;
use super::wire::Wire;
use super::{Context, Lane, ORDERS_MAX, Order, Report, dialler};
use crate::config::Member;
use crate::driver::clock;
use crate::ha::peer::{Event, Input, Link, Output, Refusal};
use crate::ids::NodeId;
use crate::timers::Instant;

/// Connections that wait for their peer's task.
const ARRIVALS_MAX: usize = 2;

/// The same words about a peer are said again after this.
const SAID_AGAIN: Duration = Duration::from_secs(600);

/// Where a connection to a peer is handed in.
#[derive(Debug)]
pub(super) struct Door {
    pub(super) peer: NodeId,
    pub(super) arrivals: mpsc::Sender<TlsStream<TcpStream>>,
}

/// What the dialler does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// There is a connection.
    Nothing,
    /// Dial at once: there was a good one.
    Connection,
    /// Dial, with a longer pause than before: the one there was came to nothing.
    Again,
    /// Dial, but somebody must change something first.
    Later,
}

struct Peer<M> {
    context: Arc<Context<M>>,
    member: Member,
    link: Link<M>,
    wire: Option<Wire>,
    /// The peer was heard on this connection.
    good: bool,
    wanted: watch::Sender<Wanted>,
    /// What was complained of last, and when.
    said: Option<(String, Instant)>,
}

/// Starts the task of a peer, and its dialler if it is ours to dial.
pub(super) fn spawn<M>(context: &Arc<Context<M>>, member: Member) -> (Lane<M>, Door)
where
    M: Serialize + DeserializeOwned + Send + 'static,
{
    let (orders, from_node) = mpsc::channel(ORDERS_MAX);
    let (arrivals, arriving) = mpsc::channel(ARRIVALS_MAX);
    let (complaints, complained) = mpsc::channel(ARRIVALS_MAX);
    let (wanted, wants) = watch::channel(Wanted::Connection);
    let overflowed = Arc::new(AtomicBool::new(false));
    let id = member.id;
    let door = Door { peer: id, arrivals: arrivals.clone() };
    if context.cluster.me < id {
        let cluster = context.cluster.clone();
        let out = dialler::Out { arrivals, complaints };
        tokio::spawn(dialler::dial(cluster, member.clone(), wants, out));
    }
    let link = Link::new(context.identity.clone(), id, member.name.clone());
    let context = Arc::clone(context);
    let peer = Peer { context, member, link, wire: None, good: false, wanted, said: None };
    let full = Arc::clone(&overflowed);
    tokio::spawn(peer.run(from_node, arriving, complained, full));
    (Lane { peer: id, orders, overflowed }, door)
}

impl<M: Serialize + DeserializeOwned> Peer<M> {
    async fn run(
        mut self,
        mut orders: mpsc::Receiver<Order<M>>,
        mut arrivals: mpsc::Receiver<TlsStream<TcpStream>>,
        mut complaints: mpsc::Receiver<String>,
        overflowed: Arc<AtomicBool>,
    ) {
        loop {
            let wake = sleep_until(self.link.poll_timeout());
            tokio::select! {
                order = orders.recv() => match order {
                    Some(order) => self.order(order),
                    None => return,
                },
                Some(stream) = arrivals.recv() => self.connected(stream),
                Some(text) = complaints.recv() => self.complain(text).await,
                chunk = read(&mut self.wire) => self.chunk(chunk).await,
                () = wake => self.link.handle_timeout(clock::now()),
            }
            if overflowed.swap(false, Ordering::AcqRel) {
                warn!(peer = self.member.name, "more to say than the link takes: begins anew");
                self.hang_up();
            }
            if !self.carry_out().await {
                return;
            }
        }
    }

    fn order(&mut self, order: Order<M>) {
        let input = match order {
            Order::Send(message) => Input::Send(message),
            Order::Beat(beat) => Input::Beat(beat),
            Order::Epoch(epoch) => Input::Epoch(epoch),
        };
        self.link.handle_input(clock::now(), input);
    }

    fn connected(&mut self, stream: TlsStream<TcpStream>) {
        self.wire = Some(Wire::new(stream));
        self.good = false;
        self.wanted.send_replace(Wanted::Nothing);
        self.link.handle_input(clock::now(), Input::Connected);
    }

    async fn chunk(&mut self, chunk: Option<io::Result<Vec<u8>>>) {
        match chunk {
            Some(Ok(bytes)) => self.link.handle_input(clock::now(), Input::Received(bytes)),
            Some(Err(error)) => {
                let text = explain(&error, &self.member.name);
                self.complain(text).await;
                self.hang_up();
            }
            None => self.hang_up(),
        }
    }

    fn hang_up(&mut self) {
        self.wire = None;
        let wanted = if self.good { Wanted::Connection } else { Wanted::Again };
        self.wanted.send_replace(wanted);
        self.link.handle_input(clock::now(), Input::Closed);
    }

    /// Does what the link asks for. False: nobody listens any more.
    async fn carry_out(&mut self) -> bool {
        while let Some(output) = self.link.poll_output() {
            let told = match output {
                Output::Write { bytes, droppable } => self.write(bytes, droppable),
                Output::Close => {
                    self.wire = None;
                    true
                }
                Output::Event(event) => self.tell(event).await,
            };
            if !told {
                return false;
            }
        }
        true
    }

    fn write(&mut self, bytes: Vec<u8>, droppable: bool) -> bool {
        let choked = self.wire.as_ref().is_some_and(|wire| wire.write(bytes, droppable).is_err());
        if choked {
            warn!(peer = self.member.name, "{}", Refusal::Choked);
            self.hang_up();
        }
        true
    }

    async fn tell(&mut self, event: Event<M>) -> bool {
        match &event {
            Event::Up { build, anew } => {
                info!(peer = self.member.name, build, anew, "link up");
                self.good = true;
                match self.link.other_pepper() {
                    true => self.complain(other_pepper(&self.member.name)).await,
                    false => self.praise().await,
                }
            }
            Event::Down { why: None } => info!(peer = self.member.name, "link down"),
            Event::Down { why: Some(refusal) } => {
                let lasting = refusal.is_lasting();
                self.wanted.send_replace(if lasting { Wanted::Later } else { Wanted::Again });
                self.complain(format!("{}: {refusal}", self.member.name)).await;
            }
            Event::Silent { .. } => warn!(peer = self.member.name, "silent for a lease"),
            Event::Heard => info!(peer = self.member.name, "heard again"),
            Event::Beat { .. } | Event::Message { .. } => {}
        }
        let report = Report::Link { peer: self.member.id, event };
        self.context.reports.send(report).await.is_ok()
    }

    /// Says what is wrong with this peer; the same words not again for ten minutes.
    async fn complain(&mut self, text: String) {
        let now = clock::now();
        let again = self.said.as_ref().is_some_and(|(said, at)| {
            *said == text && now.saturating_duration_since(*at) < SAID_AGAIN
        });
        if again {
            return;
        }
        warn!(peer = self.member.name, "link: {text}");
        self.said = Some((text.clone(), now));
        let report = Report::Trouble { with: Some(self.member.id), text: Some(text) };
        let _ = self.context.reports.send(report).await;
    }

    /// Nothing is wrong with it any more.
    async fn praise(&mut self) {
        if self.said.take().is_some() {
            let report = Report::Trouble { with: Some(self.member.id), text: None };
            let _ = self.context.reports.send(report).await;
        }
    }
}

fn other_pepper(peer: &str) -> String {
    format!(
        "{peer} has another pepper: a PIN that is set on one node is wrong on the other. Run \
         `portkeeper cluster token` where the CA is and `portkeeper cluster join` on the other, or \
         copy the file pepper beside the store, start the node anew, and set PINs again"
    )
}

async fn read(wire: &mut Option<Wire>) -> Option<io::Result<Vec<u8>>> {
    match wire {
        Some(wire) => wire.read().await,
        None => std::future::pending().await,
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep(at.saturating_duration_since(clock::now())).await,
        None => std::future::pending().await,
    }
}
