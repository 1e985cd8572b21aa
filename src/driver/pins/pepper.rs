//! The pepper: 32 bytes beside the store, the same on every node of a cluster.
//!
//! The node where the cluster was made draws it, and whoever joins is given it with the
//! certificate. Nodes compare a commitment of it when they greet each other, never the pepper.

#![expect(clippy::disallowed_methods, reason = "the driver reads files")]

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use hmac::{Hmac, KeyInit as _, Mac as _};
use rand_core::TryRngCore as _;
use sha2::Sha256;

use crate::redact::Redacted;

/// Bytes of it.
pub(super) const LENGTH: usize = 32;
/// Name of its file beside the store.
pub(super) const FILE: &str = "pepper";
/// Where one is kept that another took the place of.
const KEPT: &str = "pepper.old";

/// The secret under which every hash of a PIN is taken once more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pepper(Redacted<[u8; LENGTH]>);

/// What became of a pepper that another node gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Given {
    /// There was none, or this one.
    Taken,
    /// Another one was here; it is kept beside.
    Replaced,
}

impl Pepper {
    /// The one in this directory, made there if there is none.
    ///
    /// # Errors
    /// The file cannot be read or made, others may read it, or it is no pepper. A wrong pepper
    /// would make every PIN a wrong one, so none is made in its place.
    pub fn open(directory: &Path) -> io::Result<Self> {
        match Self::read(directory)? {
            Some(pepper) => Ok(pepper),
            None => Self::make(directory),
        }
    }

    /// The one in this directory.
    ///
    /// # Errors
    /// The file cannot be read, others may read it, or it is no pepper.
    pub fn read(directory: &Path) -> io::Result<Option<Self>> {
        let path = directory.join(FILE);
        match read_bytes(&path) {
            Ok(bytes) => Ok(Some(Self(bytes.into()))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(named(&path, &error)),
        }
    }

    fn make(directory: &Path) -> io::Result<Self> {
        let mut bytes = [0; LENGTH];
        rand_core::OsRng.try_fill_bytes(&mut bytes).map_err(io::Error::other)?;
        let pepper = Self(bytes.into());
        pepper.write(directory)?;
        Ok(pepper)
    }

    /// Puts the one that another node gave into this directory. What is there and differs is kept
    /// beside it: PINs that were set under it could not be compared without it.
    ///
    /// # Errors
    /// The files cannot be read or written.
    pub fn give(&self, directory: &Path) -> io::Result<Given> {
        let given = match Self::read(directory)? {
            Some(here) if here == *self => return Ok(Given::Taken),
            Some(_) => {
                fs::rename(directory.join(FILE), directory.join(KEPT))?;
                Given::Replaced
            }
            None => Given::Taken,
        };
        self.write(directory)?;
        Ok(given)
    }

    fn write(&self, directory: &Path) -> io::Result<()> {
        fs::create_dir_all(directory).map_err(|error| named(directory, &error))?;
        let path = directory.join(FILE);
        let opened = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        let mut file = opened.map_err(|error| named(&path, &error))?;
        file.write_all(self.0.reveal())?;
        file.sync_all()?;
        // The name in the directory has to last as well: PINs are stored under it next.
        fs::File::open(directory)?.sync_all()
    }

    /// As it travels, inside a connection that proved who is at its ends.
    pub fn to_hex(&self) -> String {
        hex(self.0.reveal())
    }

    /// From [`Pepper::to_hex`].
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut bytes = [0; LENGTH];
        if text.len() != 2 * LENGTH || !text.is_ascii() {
            return None;
        }
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(text.get(2 * index..2 * index + 2)?, 16).ok()?;
        }
        Some(Self(bytes.into()))
    }

    /// Equal on two nodes of a cluster if their peppers are, and of no use for anything else.
    pub fn commitment(&self, cluster: &str) -> String {
        hex(&self.derived(b"portkeeper pepper of ", cluster)[..16])
    }

    /// The secret by which nodes of a cluster prove themselves over the telephone. Who has it has
    /// nothing of the pepper.
    pub(super) fn proof_key(&self, cluster: &str) -> [u8; LENGTH] {
        self.derived(b"portkeeper proofs of ", cluster)
    }

    fn derived(&self, what: &[u8], cluster: &str) -> [u8; LENGTH] {
        // Keys of any length are taken.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(self.0.reveal()) else {
            return [0; LENGTH];
        };
        mac.update(what);
        mac.update(cluster.as_bytes());
        mac.finalize().into_bytes().into()
    }

    pub(super) fn bytes(&self) -> &[u8; LENGTH] {
        self.0.reveal()
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing into a text cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn read_bytes(path: &Path) -> io::Result<[u8; LENGTH]> {
    let mode = fs::metadata(path)?.permissions().mode();
    if mode & 0o077 != 0 {
        let text = "others than its owner may read it: chmod 600, and have every PIN set anew";
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
    }
    fs::read(path)?.try_into().map_err(|_: Vec<u8>| {
        let text = "is no pepper of 32 bytes: bring it back from another node or from a backup";
        io::Error::new(io::ErrorKind::InvalidData, text)
    })
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened() -> (tempfile::TempDir, Pepper) {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let pepper = Pepper::open(directory.path()).expect("a pepper");
        (directory, pepper)
    }

    #[test]
    fn a_pepper_that_others_may_read_is_refused_and_never_replaced() {
        let (directory, _) = opened();
        let path = directory.path().join(FILE);
        let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("changed");
        let error = Pepper::open(directory.path()).expect_err("readable").to_string();
        assert!(error.contains("pepper") && error.contains("chmod 600"), "{error}");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("changed");
        fs::write(&path, "short").expect("written");
        assert!(Pepper::open(directory.path()).is_err());
        assert_eq!(fs::read(&path).expect("there"), b"short");
    }

    #[test]
    fn a_commitment_tells_peppers_apart_and_holds_nothing_of_them() {
        let ((_a, one), (_b, other)) = (opened(), opened());
        assert_eq!(one.commitment("north"), one.clone().commitment("north"));
        assert_ne!(one.commitment("north"), other.commitment("north"));
        assert_ne!(one.commitment("north"), one.commitment("south"));
        assert!(!one.to_hex().contains(&one.commitment("north")));
    }

    #[test]
    fn what_proofs_are_made_by_differs_from_the_pepper_its_commitment_and_other_clusters() {
        let (_directory, pepper) = opened();
        let key = pepper.proof_key("north");
        assert_eq!(key, pepper.clone().proof_key("north"));
        assert!(key != pepper.proof_key("south") && key != *pepper.bytes());
        assert!(!hex(&key).starts_with(&pepper.commitment("north")));
    }

    #[test]
    fn what_travels_is_the_pepper_or_nothing() {
        let (_directory, pepper) = opened();
        assert_eq!(Pepper::from_hex(&pepper.to_hex()), Some(pepper.clone()));
        for text in ["", "00", &"g".repeat(64), &"ä".repeat(32)] {
            assert_eq!(Pepper::from_hex(text), None);
        }
        assert!(!format!("{pepper:?}").contains(&pepper.to_hex()[..8]));
    }

    #[test]
    fn one_that_differs_is_kept_beside_the_one_that_was_given() {
        let ((directory, own), (_other, given)) = (opened(), opened());
        assert_eq!(given.give(directory.path()).expect("given"), Given::Replaced);
        assert_eq!(Pepper::read(directory.path()).expect("read"), Some(given.clone()));
        let kept = fs::read(directory.path().join(KEPT)).expect("kept");
        assert_eq!(kept, own.bytes());
        assert_eq!(given.give(directory.path()).expect("given"), Given::Taken);
    }
}
