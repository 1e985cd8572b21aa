//! Room on the disk that is kept for the day on which it is full.
//!
//! A full disk ends the store, and the node with it. When that happens the room is given back, so
//! that the next start, as a backup, can number itself and fetch what it lacks while somebody makes
//! more.

#![expect(clippy::disallowed_methods, reason = "files live here")]

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, fallocate, fstatvfs};

/// How much is kept.
const KEPT: u64 = 64 << 20;
/// With less than this left, nothing is taken from it.
const LEFT_MIN: u64 = 1 << 30;

fn beside(store: &Path) -> PathBuf {
    let mut name = store.as_os_str().to_owned();
    name.push(OsString::from(".reserve"));
    name.into()
}

/// Keeps room beside a store, if there is plenty. Returns whether it is kept.
///
/// # Errors
/// The file system has no way to keep room, or refuses.
pub fn reserve(store: &Path) -> io::Result<bool> {
    let path = beside(store);
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(&path)?;
    if file.metadata()?.len() >= KEPT {
        return Ok(true);
    }
    let disk = fstatvfs(&file)?;
    if disk.f_bavail.saturating_mul(disk.f_frsize) < LEFT_MIN + KEPT {
        fs::remove_file(&path)?;
        return Ok(false);
    }
    fallocate(&file, FallocateFlags::empty(), 0, KEPT)?;
    Ok(true)
}

/// Gives the room back.
pub(super) fn free(store: &Path) {
    // There is none where there never was plenty.
    let _ = fs::remove_file(beside(store));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_kept_once_and_given_back() {
        let directory = tempfile::tempdir().expect("a directory");
        let store = directory.path().join("node.db");
        let kept = reserve(&store).expect("a file system that keeps room");
        let length = |path| fs::metadata(path).map(|metadata| metadata.len()).unwrap_or(0);
        assert_eq!(length(beside(&store)), if kept { KEPT } else { 0 });
        assert_eq!(reserve(&store).expect("again"), kept);
        free(&store);
        assert!(!beside(&store).exists());
    }
}
