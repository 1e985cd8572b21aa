//! Opening the file: who may, whether it is ours, of which version and sound, and which start of
//! the node this is.

#![expect(clippy::disallowed_methods, reason = "files live here")]

use std::ffi::OsString;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::wal::CheckpointMode;
use rusqlite::{Connection, OpenFlags};

use super::error::Error;
use crate::ids::NodeId;
use crate::store::Vote;

/// Marks a file as ours, in its header.
const APPLICATION: i64 = 0x706b_7374;

/// How a file of each version becomes one of the next.
const MIGRATIONS: &[&str] = &["
    CREATE TABLE node (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        node INTEGER NOT NULL,
        boot INTEGER NOT NULL,
        clean INTEGER NOT NULL,
        vote TEXT NOT NULL
    ) STRICT;
    CREATE TABLE lane (
        id INTEGER PRIMARY KEY,
        node INTEGER NOT NULL,
        boot INTEGER NOT NULL,
        stream INTEGER NOT NULL,
        mark INTEGER NOT NULL,
        chain BLOB NOT NULL,
        UNIQUE (node, boot, stream)
    ) STRICT;
    CREATE TABLE fact (
        lane INTEGER NOT NULL REFERENCES lane (id),
        counter INTEGER NOT NULL,
        kind INTEGER NOT NULL,
        subject TEXT,
        unix_ms INTEGER NOT NULL,
        late INTEGER NOT NULL,
        chain BLOB NOT NULL,
        fact TEXT NOT NULL,
        PRIMARY KEY (lane, counter)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX fact_by_time ON fact (kind, unix_ms);
    CREATE INDEX fact_by_subject ON fact (kind, subject, unix_ms) WHERE subject IS NOT NULL;
"];

/// The newest version of the file.
pub(super) const VERSION: i64 = MIGRATIONS.len() as i64;

/// 2020-01-01, in seconds since 1970.
const YEAR_2020: u64 = 1_577_836_800;

/// An open file.
pub(super) struct Opened {
    pub connection: Connection,
    /// Held as long as the connection.
    pub lock: File,
    pub boot: u32,
}

/// Opens the file, or makes it; the boot counter is durable when this returns.
pub(super) fn open(path: &Path, node: NodeId, unix_ms: u64) -> Result<Opened, Error> {
    let lock = lock(path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
    let (connection, boot) = connect(path, flags)
        .and_then(|mut connection| {
            own(path, &connection)?;
            settings(path, &connection)?;
            migrate(path, &mut connection)?;
            sound(path, &connection)?;
            let boot = begin(path, &connection, node, unix_ms)?;
            Ok((connection, boot))
        })
        .map_err(|error| explain(path, error))?;
    Ok(Opened { connection, lock, boot })
}

/// A second look at an error of which SQLite says only that a file cannot be opened.
fn explain(path: &Path, error: Error) -> Error {
    let Error::Disk { .. } = error else { return error };
    match OpenOptions::new().append(true).open(path) {
        Ok(_) => error,
        Err(io) => Error::io(path, &io),
    }
}

/// A connection that never copies the log into the database when it closes.
pub(super) fn connect(path: &Path, flags: OpenFlags) -> Result<Connection, Error> {
    let flags = flags | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connect = || {
        let connection = Connection::open_with_flags(path, flags)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        connection.busy_timeout(Duration::from_secs(5))?;
        Ok(connection)
    };
    connect().map_err(|error| Error::sqlite(path, &error))
}

/// The file beside the store that says which process has it.
fn lock_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(OsString::from(".lock"));
    name.into()
}

fn lock(path: &Path) -> Result<File, Error> {
    let beside = lock_path(path);
    let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&beside);
    let mut file = open.map_err(|error| Error::io(path, &error))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut process = String::new();
            // Whoever has it may be writing it right now.
            let _ = file.read_to_string(&mut process);
            let process = format!("process {}", process.trim());
            return Err(Error::Locked { path: path.to_owned(), process });
        }
        Err(TryLockError::Error(error)) => return Err(Error::io(path, &error)),
    }
    // For people; the lock holds without it, even on a full disk.
    let _ = file.set_len(0).and_then(|()| file.rewind());
    let _ = writeln!(file, "{}", std::process::id());
    Ok(file)
}

fn pragma(connection: &Connection, name: &str) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, name, |row| row.get(0))
}

/// Whether the file is ours and not of the future. Looks only: a file of somebody else stays as it
/// is.
pub(super) fn own(path: &Path, connection: &Connection) -> Result<(), Error> {
    let look = || {
        let count = "SELECT count(*) FROM sqlite_schema";
        let tables: i64 = connection.query_row(count, [], |row| row.get(0))?;
        let (application, version) =
            (pragma(connection, "application_id")?, pragma(connection, "user_version")?);
        Ok((tables, application, version))
    };
    let path = path.to_owned();
    match look().map_err(|error| Error::sqlite(&path, &error))? {
        (0, 0, 0) => Ok(()),
        (_, APPLICATION, found) if found > VERSION => {
            Err(Error::Newer { path, found, known: VERSION })
        }
        (_, APPLICATION, 0..) => Ok(()),
        _ => Err(Error::Foreign { path }),
    }
}

fn settings(path: &Path, connection: &Connection) -> Result<(), Error> {
    let set = || {
        let mode: String =
            connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
        connection.execute_batch(
            "PRAGMA synchronous = FULL;
             PRAGMA foreign_keys = ON;",
        )?;
        // These answer with what they were set to.
        for setting in ["PRAGMA wal_autocheckpoint = 0", "PRAGMA journal_size_limit = 67108864"] {
            connection.query_row(setting, [], |_| Ok(()))?;
        }
        Ok(mode)
    };
    let mode = set().map_err(|error| Error::sqlite(path, &error))?;
    if mode == "wal" {
        return Ok(());
    }
    let what = "its file system has no shared memory for a write-ahead log; use a local disk";
    Err(Error::Disk { path: path.to_owned(), what: what.to_owned() })
}

/// Brings the file to the newest version, in one step.
fn migrate(path: &Path, connection: &mut Connection) -> Result<(), Error> {
    let mut migrate = || {
        let version = pragma(connection, "user_version")?;
        let missing = MIGRATIONS.get(usize::try_from(version).unwrap_or(0)..).unwrap_or(&[]);
        if missing.is_empty() {
            return Ok(());
        }
        let transaction = connection.transaction()?;
        for step in missing {
            transaction.execute_batch(step)?;
        }
        transaction.pragma_update(None, "application_id", APPLICATION)?;
        transaction.pragma_update(None, "user_version", VERSION)?;
        transaction.commit()
    };
    migrate().map_err(|error| Error::sqlite(path, &error))
}

/// After a stop that was none, every page is looked at.
fn sound(path: &Path, connection: &Connection) -> Result<(), Error> {
    let check = || {
        let clean = "SELECT clean FROM node UNION ALL SELECT 1 LIMIT 1";
        if connection.query_row(clean, [], |row| row.get(0))? {
            return Ok("ok".to_owned());
        }
        connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))
    };
    let what: String = check().map_err(|error| Error::sqlite(path, &error))?;
    if what == "ok" { Ok(()) } else { Err(Error::Damaged { path: path.to_owned(), what }) }
}

/// Makes this start durable, in the database itself: a log that is torn later does not bring the
/// number back.
fn begin(path: &Path, connection: &Connection, node: NodeId, unix_ms: u64) -> Result<u32, Error> {
    let seconds = (unix_ms / 1_000).saturating_sub(YEAR_2020);
    let least = u32::try_from(seconds).unwrap_or(1).max(1);
    let begin = || {
        let vote = serde_json::to_string(&Vote::default()).unwrap_or_default();
        connection.execute(
            "INSERT INTO node VALUES (1, ?1, ?2, 0, ?3)
             ON CONFLICT DO UPDATE SET boot = max(boot + 1, ?2), clean = 0 WHERE node = ?1",
            (node.0, least, vote),
        )?;
        let row = connection.query_row("SELECT node, boot FROM node", [], |row| {
            Ok((NodeId(row.get(0)?), row.get(1)?))
        })?;
        connection.wal_checkpoint_v2(None::<&str>, CheckpointMode::TRUNCATE)?;
        Ok(row)
    };
    let (found, boot) = begin().map_err(|error| Error::sqlite(path, &error))?;
    if found != node {
        return Err(Error::OtherNode { path: path.to_owned(), found, wanted: node });
    }
    Ok(boot)
}
