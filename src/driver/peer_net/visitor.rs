//! A supervisor that is connected to this node: it says hello, and at most that its node's process
//! is gone.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::TcpStream;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;
use tracing::{info, warn};

use super::wire::Wire;
use super::{Context, Report};
use crate::ha::peer::{Body, Frame, Framer, Refusal, Speaker, clean, decode, encode};
use crate::ids::{Epoch, NodeId};

/// It says hello at once or is sent away.
const HELLO_WITHIN: Duration = Duration::from_secs(5);

struct Visitor<M> {
    context: Arc<Context<M>>,
    node: NodeId,
    name: String,
    wire: Wire,
    framer: Framer,
    /// Frames sent.
    counter: u64,
    /// Its newest frame.
    newest: Option<(Epoch, u64)>,
}

/// Hears the supervisor of `node` until it leaves.
pub(super) async fn hear<M>(
    context: Arc<Context<M>>,
    node: NodeId,
    name: String,
    stream: TlsStream<TcpStream>,
) where
    M: Serialize + DeserializeOwned,
{
    let (wire, framer) = (Wire::new(stream), Framer::default());
    let mut visitor = Visitor { context, node, name, wire, framer, counter: 0, newest: None };
    if let Err(refusal) = visitor.serve().await {
        warn!(node = visitor.name, "supervisor refused: {refusal}");
        visitor.say(Body::Goodbye { why: refusal.to_string() });
    }
}

impl<M: Serialize + DeserializeOwned> Visitor<M> {
    async fn serve(&mut self) -> Result<(), Refusal> {
        let hello = timeout(HELLO_WITHIN, self.next()).await.map_err(|_| Refusal::Silent)?;
        let Some(frame) = hello? else { return Ok(()) };
        let identity = &self.context.identity;
        let hello = identity.accept(self.node, &self.name, frame)?;
        if hello.speaker != Speaker::Supervisor {
            return Err(Refusal::MayNotSay { what: "a node's hello as a supervisor" });
        }
        let hello = identity.hello();
        self.say(Body::Hello(Box::new(hello)));
        let mut stored = self.context.stored.subscribe();
        loop {
            tokio::select! {
                frame = self.next() => match frame? {
                    Some(frame) => self.frame(frame).await?,
                    None => return Ok(()),
                },
                stored = stored.recv() => match stored {
                    Ok(stored) if stored.node == self.node => {
                        self.say(Body::Released { epoch: stored.epoch });
                    }
                    Ok(_) | Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return Ok(()),
                },
            }
        }
    }

    async fn frame(&mut self, frame: Frame<M>) -> Result<(), Refusal> {
        self.context.identity.check_sender(self.node, &frame)?;
        match frame.body {
            Body::Release { epoch, cause } => {
                let (node, cause) = (self.node, clean(&cause));
                info!(node = self.name, %epoch, cause, "its process is gone, says its supervisor");
                let report = Report::Release { node, epoch, cause };
                let _ = self.context.reports.send(report).await;
                Ok(())
            }
            Body::Hello(_)
            | Body::Beat(_)
            | Body::Message(_)
            | Body::Released { .. }
            | Body::Goodbye { .. } => {
                Err(Refusal::MayNotSay { what: "what only a node says, as a supervisor" })
            }
        }
    }

    /// The next frame, which must be newer than the one before; `None`: it left.
    async fn next(&mut self) -> Result<Option<Frame<M>>, Refusal> {
        loop {
            if let Some(json) = self.framer.next_frame()? {
                let frame = decode::<M>(&json)?;
                let at = (frame.epoch, frame.counter);
                if self.newest.is_some_and(|newest| at <= newest) {
                    return Err(Refusal::NotRisen);
                }
                self.newest = Some(at);
                return Ok(Some(frame));
            }
            match self.wire.read().await {
                Some(Ok(bytes)) => self.framer.push(&bytes),
                Some(Err(_)) | None => return Ok(None),
            }
        }
    }

    fn say(&mut self, body: Body<M>) {
        self.counter += 1;
        let frame = self.context.identity.frame(Epoch::default(), self.counter, body);
        if let Ok(bytes) = encode(&frame) {
            // A supervisor that reads nothing is told nothing.
            let _ = self.wire.write(bytes, false);
        }
    }
}
