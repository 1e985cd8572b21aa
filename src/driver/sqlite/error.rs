//! What can be wrong with a store, and who must do what about it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

use crate::ids::NodeId;
use crate::store::FactId;

/// The store cannot be used, or not any longer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// Another process has it.
    Locked {
        /// The file.
        path: PathBuf,
        /// The process, as it wrote itself down.
        process: String,
    },
    /// The file is not one of ours.
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The file was written by a newer version of this program.
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The newest that this program knows.
        known: i64,
    },
    /// The file belongs to another node of the cluster.
    OtherNode {
        /// The file.
        path: PathBuf,
        /// Whose it is.
        found: NodeId,
        /// Who we are.
        wanted: NodeId,
    },
    /// The file is damaged.
    Damaged {
        /// The file.
        path: PathBuf,
        /// In which way.
        what: String,
    },
    /// The file or its directory cannot be written.
    ReadOnly {
        /// The file.
        path: PathBuf,
    },
    /// The disk is full.
    Full {
        /// The file.
        path: PathBuf,
    },
    /// The disk, or the file system, failed in another way.
    Disk {
        /// The file.
        path: PathBuf,
        /// What it said.
        what: String,
    },
    /// A fact came before the one that precedes it: a bug of this program.
    Order {
        /// The fact.
        fact: FactId,
    },
}

impl Error {
    pub(super) fn io(path: &Path, error: &io::Error) -> Self {
        let path = path.to_owned();
        match error.kind() {
            io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
                Self::ReadOnly { path }
            }
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { path },
            _ => Self::Disk { path, what: error.to_string() },
        }
    }

    pub(super) fn sqlite(path: &Path, error: &rusqlite::Error) -> Self {
        let (path, what) = (path.to_owned(), error.to_string());
        match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => Self::Foreign { path },
            Some(ErrorCode::DatabaseCorrupt) => Self::Damaged { path, what },
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => Self::ReadOnly { path },
            Some(ErrorCode::DiskFull) => Self::Full { path },
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                Self::Locked { path, process: "a tool that is not portkeeper".to_owned() }
            }
            Some(_) => Self::Disk { path, what },
            // Not of SQLite: what was read does not have the shape that was written.
            None => Self::Damaged { path, what },
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Locked { path, process } => write!(
                f,
                "{}: in use by {process}. One node, one process: stop the other one, or give this \
                 node a file of its own",
                path.display()
            ),
            Self::Foreign { path } => write!(
                f,
                "{}: not a store of portkeeper. Name another file, or move this one away",
                path.display()
            ),
            Self::Newer { path, found, known } => write!(
                f,
                "{}: written by a newer portkeeper (format {found}, this one knows {known}). \
                 Start the newer program, or move the file away: the other node has its facts",
                path.display()
            ),
            Self::OtherNode { path, found, wanted } => write!(
                f,
                "{}: the store of node {found}, and this is node {wanted}. Correct the node's name \
                 in the configuration, or name another file",
                path.display()
            ),
            Self::Damaged { path, what } => write!(
                f,
                "{}: damaged ({what}). Have the disk checked, and move the file and those beside \
                 it away: the node fetches its facts from the other one",
                path.display()
            ),
            Self::ReadOnly { path } => write!(
                f,
                "{}: cannot be written. Give the node's user the right to write the file and its \
                 directory, or look why the system made the disk read-only",
                path.display()
            ),
            Self::Full { path } => {
                write!(f, "{}: the disk is full. Make room and start again", path.display())
            }
            Self::Disk { path, what } => write!(
                f,
                "{}: the disk failed ({what}). Have it checked before this node serves again",
                path.display()
            ),
            Self::Order { fact } => write!(
                f,
                "fact {} of {:?} came before the one that precedes it. This is a bug: report it",
                fact.counter, fact.lane
            ),
        }
    }
}

impl std::error::Error for Error {}
