//! The thread that writes.

#![expect(clippy::disallowed_methods, reason = "threads live here")]

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::Receiver;
use std::thread::JoinHandle;

use rusqlite::Connection;
use rusqlite::wal::CheckpointMode;

use super::error::Error;
use super::{Event, Sink, reserve, row};
use crate::store::{CHAIN_START, Fact, Lane, Link, Record, Ticket, Vote};

/// Records of one commit at most: it stays well below 5 ms but for the disk.
const BATCH_MAX: usize = 256;
/// Records after which the log is copied into the database. It has about 1 MiB then.
const CHECKPOINT_AFTER: usize = 1_000;

/// Where a lane ends in the file.
#[derive(Clone, Copy)]
struct End {
    row: i64,
    mark: u64,
    chain: Link,
}

/// The writer: everything that the thread owns.
pub(super) struct Writer<S> {
    path: PathBuf,
    connection: Connection,
    /// Other processes stay out as long as it is open.
    lock: File,
    events: S,
    lanes: BTreeMap<Lane, End>,
    /// Records since the log was copied into the database.
    logged: usize,
}

impl<S: Sink> Writer<S> {
    pub fn new(path: &Path, connection: Connection, lock: File, events: S) -> Result<Self, Error> {
        let lanes = lanes(&connection).map_err(|error| Error::sqlite(path, &error))?;
        Ok(Self { path: path.to_owned(), connection, lock, events, lanes, logged: 0 })
    }

    pub fn start(mut self, orders: Receiver<(Ticket, Record)>) -> io::Result<JoinHandle<()>> {
        let run = move || {
            let end = self.run(&orders).and_then(|()| self.close());
            // From here on a write is refused; what was ordered before is never acknowledged.
            drop(orders);
            if let Err(error) = end {
                if matches!(error, Error::Full { .. }) {
                    reserve::free(&self.path);
                }
                self.events.send(Event::Failed(error));
            }
            drop(self.lock);
        };
        std::thread::Builder::new().name("store".to_owned()).spawn(run)
    }

    /// Writes until nobody can order any more, or until the disk fails.
    fn run(&mut self, orders: &Receiver<(Ticket, Record)>) -> Result<(), Error> {
        let mut batch = Vec::with_capacity(BATCH_MAX);
        while let Ok(first) = orders.recv() {
            batch.push(first);
            batch.extend(orders.try_iter().take(BATCH_MAX - 1));
            self.commit(&batch)?;
            for (ticket, _) in batch.drain(..) {
                self.events.send(Event::Persisted(ticket));
            }
            if self.logged >= CHECKPOINT_AFTER {
                self.checkpoint(CheckpointMode::PASSIVE)?;
            }
        }
        Ok(())
    }

    fn commit(&mut self, batch: &[(Ticket, Record)]) -> Result<(), Error> {
        self.sql(|connection| connection.execute_batch("BEGIN IMMEDIATE"))?;
        for (_, record) in batch {
            match record {
                Record::Fact(fact) => self.fact(fact, false)?,
                Record::Late(fact) => self.fact(fact, true)?,
                Record::Vote(vote) => self.vote(vote)?,
            }
        }
        self.sql(|connection| connection.execute_batch("COMMIT"))?;
        self.logged += batch.len();
        Ok(())
    }

    fn fact(&mut self, fact: &Fact, late: bool) -> Result<(), Error> {
        let lane = fact.id.lane;
        let end = match self.lanes.get(&lane) {
            Some(&end) => end,
            None => self.sql(|connection| begin(connection, lane))?,
        };
        if fact.id.counter <= end.mark {
            return Ok(());
        }
        if fact.id.counter != end.mark + 1 {
            return Err(Error::Order { fact: fact.id });
        }
        // A fact has no maps with keys that are no text, the one thing that JSON refuses.
        let text = serde_json::to_string(fact).unwrap_or_default();
        let chain = end.chain.next(text.as_bytes());
        let end = End { mark: fact.id.counter, chain, ..end };
        self.sql(|connection| append(connection, end, fact, &text, late))?;
        self.lanes.insert(lane, end);
        Ok(())
    }

    fn vote(&self, vote: &Vote) -> Result<(), Error> {
        let text = serde_json::to_string(vote).unwrap_or_default();
        self.sql(|connection| connection.execute("UPDATE node SET vote = ?1", [text]).map(|_| ()))
    }

    /// Copies the log into the database. Readers may keep a part of it back for the next time.
    fn checkpoint(&mut self, mode: CheckpointMode) -> Result<(), Error> {
        self.logged = 0;
        self.sql(|connection| connection.wal_checkpoint_v2(None::<&str>, mode).map(|_| ()))
    }

    /// The end of an orderly stop: the next start need not look at every page.
    fn close(&mut self) -> Result<(), Error> {
        self.sql(|connection| connection.execute_batch("UPDATE node SET clean = 1"))?;
        self.checkpoint(CheckpointMode::PASSIVE)
    }

    fn sql<T>(&self, act: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, Error> {
        act(&self.connection).map_err(|error| Error::sqlite(&self.path, &error))
    }
}

fn lanes(connection: &Connection) -> rusqlite::Result<BTreeMap<Lane, End>> {
    let mut statement =
        connection.prepare("SELECT node, boot, stream, id, mark, chain FROM lane")?;
    let rows = statement.query_map([], |row| {
        let (mark, chain) = (row::counter(row, 4)?, Link(row.get(5)?));
        Ok((row::lane(row, 0)?, End { row: row.get(3)?, mark, chain }))
    })?;
    rows.collect()
}

fn begin(connection: &Connection, lane: Lane) -> rusqlite::Result<End> {
    let chain = CHAIN_START;
    connection.execute(
        "INSERT INTO lane (node, boot, stream, mark, chain) VALUES (?1, ?2, ?3, 0, ?4)",
        (lane.node.0, lane.boot, row::stream(lane.stream), chain.0),
    )?;
    Ok(End { row: connection.last_insert_rowid(), mark: 0, chain })
}

fn append(
    connection: &Connection,
    end: End,
    fact: &Fact,
    text: &str,
    late: bool,
) -> rusqlite::Result<()> {
    let counter = row::integer(end.mark);
    let mut insert =
        connection.prepare_cached("INSERT INTO fact VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")?;
    let (kind, subject) = (row::kind(&fact.body), row::subject(&fact.body));
    let unix_ms = row::integer(fact.unix_ms);
    insert.execute((end.row, counter, kind, subject, unix_ms, late, end.chain.0, text))?;
    let mut update =
        connection.prepare_cached("UPDATE lane SET mark = ?2, chain = ?3 WHERE id = ?1")?;
    update.execute((end.row, counter, end.chain.0))?;
    Ok(())
}
