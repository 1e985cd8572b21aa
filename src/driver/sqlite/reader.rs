//! Reading beside the writer: facts to ship, lists for people, the proof of the chain, a copy.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::backup::Backup;
use rusqlite::{Connection, OpenFlags};

use super::error::Error;
use super::row::{self, AUDIT, CDR, OUTAGE};
use super::schema;
use crate::store::{CHAIN_START, Fact, Lane, Link, final_cdrs};

/// Pages that a copy takes at once.
const BACKUP_PAGES: i32 = 256;

/// A fact as people see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The fact.
    pub fact: Fact,
    /// It came after its epoch had ended.
    pub late: bool,
}

/// Where a chain does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Where.
    pub lane: Lane,
    /// From this fact on.
    pub counter: u64,
    /// What is wrong with it.
    pub what: &'static str,
}

/// What a look at every fact found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// Facts whose chain holds.
    pub facts: u64,
    /// The first that does not, of each lane that has one.
    pub broken: Vec<Broken>,
}

/// A connection of its own, for one thread at a time.
#[derive(Debug)]
pub struct Reader {
    connection: Connection,
    path: PathBuf,
}

impl Reader {
    /// Opens a store for reading, whether its node runs or not.
    ///
    /// # Errors
    /// There is none, or it cannot be read.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let connection = schema::connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        schema::own(path, &connection)?;
        Ok(Self { connection, path: path.to_owned() })
    }

    /// The facts of a lane behind `after`, in order, at most `max` of them.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn facts(&self, lane: Lane, after: u64, max: u32) -> Result<Vec<Fact>, Error> {
        let sql = "SELECT fact FROM fact JOIN lane ON lane.id = fact.lane
             WHERE node = ?1 AND boot = ?2 AND stream = ?3 AND counter > ?4
             ORDER BY counter LIMIT ?5";
        self.sql(|connection| {
            let lane = (lane.node.0, lane.boot, row::stream(lane.stream));
            let values = (lane.0, lane.1, lane.2, row::integer(after), max);
            let mut statement = connection.prepare_cached(sql)?;
            let rows = statement.query_map(values, |row| row::fact(row, 0))?;
            rows.collect()
        })
    }

    /// Audit records since a moment, newest first, at most `max` of them.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn audit(&self, since_unix_ms: u64, max: u32) -> Result<Vec<Entry>, Error> {
        self.sql(|connection| newest(connection, AUDIT, since_unix_ms, max, |_| Ok(true)))
    }

    /// Outages since a moment, oldest first, at most `max` of them.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn outages(&self, since_unix_ms: u64, max: u32) -> Result<Vec<Entry>, Error> {
        self.sql(|connection| entries(connection, OUTAGE, since_unix_ms, max))
    }

    /// CDRs since a moment, newest first, one for each call, at most `max` of them.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn cdrs(&self, since_unix_ms: u64, max: u32) -> Result<Vec<Entry>, Error> {
        self.sql(|connection| {
            newest(connection, CDR, since_unix_ms, max, |fact| is_final(connection, fact))
        })
    }

    /// Looks at every fact: the chain of each lane, and that none is missing.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn verify(&self) -> Result<Verified, Error> {
        self.sql(|connection| {
            let mut lanes =
                connection.prepare("SELECT node, boot, stream, id, mark, chain FROM lane")?;
            let rows = lanes.query_map([], |row| {
                let end = (row::counter(row, 4)?, Link(row.get(5)?));
                Ok((row::lane(row, 0)?, row.get(3)?, end))
            })?;
            let mut verified = Verified::default();
            for row in rows {
                let (lane, id, end) = row?;
                verify_lane(connection, lane, id, end, &mut verified)?;
            }
            Ok(verified)
        })
    }

    /// Copies the store to a new file while the node writes on. The copy starts like after a power
    /// cut: with a look at every page.
    ///
    /// # Errors
    /// The file cannot be read, or the copy cannot be written.
    pub fn backup(&self, to: &Path) -> Result<(), Error> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
        let mut copy = schema::connect(to, flags)?;
        let copied = Backup::new(&self.connection, &mut copy).and_then(|backup| {
            backup.run_to_completion(BACKUP_PAGES, Duration::from_millis(1), None)
        });
        copied.map_err(|error| Error::sqlite(to, &error))
    }

    fn sql<T>(&self, act: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, Error> {
        act(&self.connection).map_err(|error| Error::sqlite(&self.path, &error))
    }
}

fn entries(
    connection: &Connection,
    kind: i64,
    since_unix_ms: u64,
    max: u32,
) -> rusqlite::Result<Vec<Entry>> {
    let mut statement = connection.prepare_cached(
        "SELECT fact, late FROM fact WHERE kind = ?1 AND unix_ms >= ?2 ORDER BY unix_ms LIMIT ?3",
    )?;
    let rows = statement.query_map((kind, row::integer(since_unix_ms), max), |row| {
        Ok(Entry { fact: row::fact(row, 0)?, late: row.get(1)? })
    })?;
    rows.collect()
}

/// The newest facts of a kind that `which` holds for; no more are read than that takes.
fn newest(
    connection: &Connection,
    kind: i64,
    since_unix_ms: u64,
    max: u32,
    which: impl Fn(&Fact) -> rusqlite::Result<bool>,
) -> rusqlite::Result<Vec<Entry>> {
    let mut statement = connection.prepare_cached(
        "SELECT fact, late FROM fact WHERE kind = ?1 AND unix_ms >= ?2
         ORDER BY unix_ms DESC, lane DESC, counter DESC",
    )?;
    let mut rows = statement.query((kind, row::integer(since_unix_ms)))?;
    let max = usize::try_from(max).unwrap_or(usize::MAX);
    let mut found = Vec::new();
    while found.len() < max
        && let Some(row) = rows.next()?
    {
        let fact = row::fact(row, 0)?;
        if which(&fact)? {
            found.push(Entry { fact, late: row.get(1)? });
        }
    }
    Ok(found)
}

/// Whether a fact is the CDR of its call, among all that were written about it.
fn is_final(connection: &Connection, fact: &Fact) -> rusqlite::Result<bool> {
    let mut statement =
        connection.prepare_cached("SELECT fact FROM fact WHERE kind = ?1 AND subject = ?2")?;
    let rows = statement.query_map((CDR, row::subject(&fact.body)), |row| row::fact(row, 0))?;
    let of_call = rows.collect::<rusqlite::Result<Vec<_>>>()?;
    Ok(final_cdrs(&of_call).into_values().any(|best| best.id == fact.id))
}

fn verify_lane(
    connection: &Connection,
    lane: Lane,
    id: i64,
    (mark, end): (u64, Link),
    verified: &mut Verified,
) -> rusqlite::Result<()> {
    let mut statement = connection
        .prepare_cached("SELECT counter, chain, fact FROM fact WHERE lane = ?1 ORDER BY counter")?;
    let mut rows = statement.query([id])?;
    let (mut chain, mut counter) = (CHAIN_START, 0);
    let mut broken = |counter, what| verified.broken.push(Broken { lane, counter, what });
    while let Some(row) = rows.next()? {
        counter += 1;
        if row::counter(row, 0)? != counter {
            broken(counter, "is missing");
            return Ok(());
        }
        chain = chain.next(row.get_ref(2)?.as_str()?.as_bytes());
        if chain != Link(row.get(1)?) {
            broken(counter, "was changed");
            return Ok(());
        }
        verified.facts += 1;
    }
    if (counter, chain) != (mark, end) {
        verified.broken.push(Broken { lane, counter: counter + 1, what: "is missing at the end" });
    }
    Ok(())
}
