//! The store on a disk: one SQLite file, one thread that writes it.
//!
//! What is handed to [`Store::write`] is durable when its ticket comes back, and not before: the
//! write-ahead log is synchronised with every commit. Commits are shared: whatever waits when the
//! disk is free goes into the next one, so a burst costs two of them and a single record none but
//! its own. Tickets come back in the order in which they were handed in.
//!
//! An error of the disk is final. After a failed fsync nobody knows what the disk has, and one that
//! is tried again may succeed without having written anything; so the store reports [`Failed`],
//! writes no more, and the node hands over. For the same reason the log is copied into the
//! database by this thread alone, where an error is seen, and never when a connection closes.
//!
//! Which start of the node it is gets durable, in the database itself, before anything else is
//! written: names of facts rest on it. A start is also never lower than the seconds since 2020, so
//! that a file that was lost or brought back from a backup does not give names a second time.
//!
//! [`Failed`]: Event::Failed

mod error;
mod load;
mod reader;
mod reserve;
mod row;
mod schema;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, SyncSender, TrySendError};
use std::thread::JoinHandle;

pub use self::error::Error;
pub use self::reader::{Broken, Entry, Reader, Verified};
pub use self::reserve::reserve;
use self::schema::Opened;
use self::writer::Writer;
use super::clock;
use crate::ids::NodeId;
use crate::store::{Loaded, Record, Ticket};

/// Records that wait for the disk at most. The machines that write keep count of what they have
/// handed in and stay far below; a full queue means a disk that hangs.
const QUEUED_MAX: usize = 1_024;

/// What the store tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// This record is durable, and every one before it.
    Persisted(Ticket),
    /// Nothing more will be: hand over, and tell an operator.
    Failed(Error),
}

/// Takes events to the node. Called from the store's thread, which may wait.
pub trait Sink: Send + 'static {
    /// Takes an event; whoever is gone needs none.
    fn send(&self, event: Event);
}

impl Sink for tokio::sync::mpsc::Sender<Event> {
    fn send(&self, event: Event) {
        drop(self.blocking_send(event));
    }
}

impl Sink for mpsc::Sender<Event> {
    fn send(&self, event: Event) {
        drop(Self::send(self, event));
    }
}

/// Why a record was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// 1,024 wait: the disk hangs.
    Full,
    /// The store has failed, and said so.
    Failed,
}

/// The running store. Dropping it writes what waits, then closes the file in order.
#[derive(Debug)]
pub struct Store {
    queue: Option<SyncSender<(Ticket, Record)>>,
    thread: Option<JoinHandle<()>>,
    path: PathBuf,
}

impl Store {
    /// Opens the store of a node, or makes it; `node` must be the one that made it.
    ///
    /// # Errors
    /// Each names who must act, and what to do.
    pub fn open(path: &Path, node: NodeId, events: impl Sink) -> Result<(Self, Loaded), Error> {
        let Opened { connection, lock, boot } = schema::open(path, node, clock::unix_ms())?;
        let loaded = load::load(&connection, boot, clock::unix_ms());
        let loaded = loaded.map_err(|error| Error::sqlite(path, &error))?;
        let writer = Writer::new(path, connection, lock, events)?;
        let (queue, orders) = mpsc::sync_channel(QUEUED_MAX);
        let thread = writer.start(orders).map_err(|error| Error::io(path, &error))?;
        let path = path.to_owned();
        Ok((Self { queue: Some(queue), thread: Some(thread), path }, loaded))
    }

    /// Orders a write. Never waits.
    pub fn write(&self, ticket: Ticket, record: Record) -> Result<(), Refused> {
        // There until it is dropped.
        let queue = self.queue.as_ref().ok_or(Refused::Failed)?;
        queue.try_send((ticket, record)).map_err(|error| match error {
            TrySendError::Full(_) => Refused::Full,
            TrySendError::Disconnected(_) => Refused::Failed,
        })
    }

    /// The file, for whoever reads it beside the writer.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A connection for reading, which waits for nobody and which nobody waits for.
    ///
    /// # Errors
    /// The file cannot be opened a second time.
    pub fn reader(&self) -> Result<Reader, Error> {
        Reader::open(&self.path)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            // It does not panic: a panic ends the process.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests;
