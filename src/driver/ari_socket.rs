//! One WebSocket of an instance: events out in a task of the control thread, texts and pongs in
//! where the HTTP tasks run.
//!
//! The thread that decides writes, because to wake another one costs more than the write. What
//! comes in is hostile, and is taken apart elsewhere. Events are written in batches: whatever waits
//! goes out with one flush, so that a rebind of a hundred calls costs a few writes. A write that
//! does not come back is reported by the age of its oldest event, never by a count: a burst is no
//! fault, a stuck reader is.

use std::sync::Arc;

use axum::extract::ws::{Message, WebSocket};
use futures_util::{Sink, SinkExt, Stream, StreamExt};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::links::{Accepted, Event, Links, Open, Wishes};
use super::room::Room;
use super::{ToNode, clock};
use crate::ids::InstanceId;
use crate::timers::{Duration, Instant};

/// Events written with one flush at most, so that a ping is not kept waiting behind more.
const BATCH_MAX: usize = 128;

/// A write that takes longer is reported. Half of what makes an instance suspect.
const UNSENT_REPORTED_AFTER: Duration = Duration::from_millis(50);

/// Serves an accepted WebSocket until either side ends it.
pub(super) async fn serve(socket: WebSocket, accepted: Accepted) {
    let Accepted { events, wishes, room, open, control, lives, .. } = accepted;
    let (sink, stream) = socket.split();
    let (links, wished) = (Arc::clone(open.links()), Arc::clone(&wishes));
    let instance = open.instance();
    let writer = Writer { links, instance, sink, events, wishes: wished, _lives: lives };
    let mut writing = Task(control.spawn(writer.run()));
    tokio::select! {
        _ = &mut writing.0 => {}
        () = read(stream, &room, &open) => {}
        () = wishes.end.notified() => {}
    }
}

/// Ends with whoever waits for it.
struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Messages of the instance, each handed to the event loop in the order of arrival.
async fn read<S, E>(mut stream: S, room: &Room, open: &Open)
where
    S: Stream<Item = Result<Message, E>> + Unpin,
{
    let (instance, links) = (open.instance(), open.links());
    while let Some(Ok(message)) = stream.next().await {
        let told = match message {
            Message::Text(text) => {
                let permit = room.acquire().await;
                links.tell(ToNode::Text { instance, text: text.to_string(), permit }).await
            }
            Message::Pong(_) => links.tell(ToNode::Pong { instance }).await,
            Message::Close(_) => return,
            // The library answers pings by itself; ARI has no binary messages.
            Message::Ping(_) | Message::Binary(_) => Ok(()),
        };
        if told.is_err() {
            return;
        }
    }
}

struct Writer<S> {
    links: Arc<Links>,
    instance: InstanceId,
    sink: S,
    events: mpsc::Receiver<Event>,
    wishes: Arc<Wishes>,
    /// Gone when everything is written.
    _lives: watch::Receiver<()>,
}

impl<S> Writer<S>
where
    S: Sink<Message> + Unpin,
{
    async fn run(mut self) {
        let mut batch = Vec::new();
        loop {
            tokio::select! {
                biased;
                () = self.wishes.ping.notified() => {
                    let sent = self.sink.send(Message::Ping(bytes::Bytes::new()));
                    if watched(&self.links, self.instance, clock::now(), sent).await.is_err() {
                        return;
                    }
                }
                count = self.events.recv_many(&mut batch, BATCH_MAX) => {
                    if count == 0 || self.write(&mut batch).await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    /// Writes a batch and reports when its offers left.
    async fn write(&mut self, batch: &mut Vec<Event>) -> Result<(), S::Error> {
        let oldest = batch.first().map_or(Instant::ZERO, |event| event.at);
        let marks: Vec<_> = batch.iter().filter_map(|event| event.offer).collect();
        let sink = &mut self.sink;
        let written = async {
            for event in batch.drain(..) {
                sink.feed(Message::Text(event.text.into())).await?;
            }
            sink.flush().await
        };
        watched(&self.links, self.instance, oldest, written).await?;
        let at = clock::now();
        if !marks.is_empty() {
            let _ = self.links.tell(ToNode::Written { marks, at }).await;
        }
        Ok(())
    }
}

/// Waits for a write, and tells the node while it takes too long.
async fn watched<T, E>(
    links: &Links,
    instance: InstanceId,
    since: Instant,
    write: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    tokio::pin!(write);
    if let Ok(result) = tokio::time::timeout(UNSENT_REPORTED_AFTER, &mut write).await {
        return result;
    }
    let _ = links.tell(ToNode::Unsent { instance, since: Some(since) }).await;
    let result = write.await;
    let _ = links.tell(ToNode::Unsent { instance, since: None }).await;
    result
}
