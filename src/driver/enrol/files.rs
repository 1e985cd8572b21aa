//! Files that only we may read, whole or not there.

#![expect(clippy::disallowed_methods, reason = "the driver writes files")]

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// Makes a directory that only we may enter, if it is not there.
pub(super) fn make_directory(path: &Path) -> io::Result<()> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|error| named(path, &error))
}

/// Replaces a file as a whole; only we may read it.
pub(super) fn write_secret(path: &Path, text: &str) -> io::Result<()> {
    write_whole(path, text, Permissions::from_mode(0o600))
}

/// Replaces a file as a whole, with the permissions that it has.
pub(super) fn rewrite(path: &Path, text: &str) -> io::Result<()> {
    let permissions = fs::metadata(path)?.permissions();
    write_whole(path, text, permissions)
}

fn write_whole(path: &Path, text: &str, permissions: Permissions) -> io::Result<()> {
    let beside = path.with_extension("new");
    let written = write_new(&beside, text, permissions).and_then(|()| fs::rename(&beside, path));
    written.map_err(|error| named(path, &error))?;
    // The new name is durable with its directory.
    let directory = path.parent().filter(|d| !d.as_os_str().is_empty());
    File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
}

fn write_new(path: &Path, text: &str, permissions: Permissions) -> io::Result<()> {
    if path.exists() {
        fs::remove_file(path)?;
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.set_permissions(permissions)?;
    file.sync_all()
}

/// Reads a text.
pub(super) fn read(path: &Path) -> io::Result<String> {
    fs::read_to_string(path).map_err(|error| named(path, &error))
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}
