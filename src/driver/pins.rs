//! PINs at rest, and the comparison of one that was keyed.
//!
//! A PIN of six digits is one of a million, so whoever has its hash finds it in hours however slow
//! the hash is. What is stored is therefore argon2id, which makes a guess cost 19 MiB and tens of
//! milliseconds, and then HMAC-SHA-256 under a *pepper* that is not in the store: a copy of the
//! database alone gives up nothing. The pepper is a file beside it, the same on every node of a
//! cluster, because every node compares.
//!
//! Comparing costs the same for a number that names nobody. Two are compared at once at most, off
//! the control thread: 38 MiB, and two cores for a moment, is all that a flood of calls can take.

mod pepper;

use std::io;
use std::path::Path;
use std::sync::Arc;

use argon2::{Algorithm, Argon2, Params, Version};
use hmac::{Hmac, KeyInit as _, Mac as _};
use rand_core::TryRngCore as _;
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use tokio::sync::Semaphore;

use crate::ha::proof;
use crate::redact::Redacted;
use crate::store::Pin;

/// Memory of argon2id in KiB, its passes and lanes.
const MEMORY_KIB: u32 = 19_456;
const PASSES: u32 = 2;
const LANES: u32 = 1;
/// Bytes of a salt.
const SALT: usize = 16;
/// Bytes of a hash.
const HASH: usize = 32;
/// Hashes at once.
const AT_ONCE: usize = 2;

pub use pepper::{Given, Pepper};

/// Makes and compares PINs at rest.
#[derive(Clone, Debug)]
pub struct Pins {
    pepper: Pepper,
    room: Arc<Semaphore>,
}

impl Pins {
    /// With the pepper in this directory; made there if there is none.
    ///
    /// # Errors
    /// The file cannot be read or made, others may read it, or it is no pepper. A wrong pepper
    /// would make every PIN a wrong one, so none is made in its place.
    pub fn open(directory: &Path) -> io::Result<Self> {
        let pepper = Pepper::open(directory)?;
        Ok(Self { pepper, room: Arc::new(Semaphore::new(AT_ONCE)) })
    }

    /// The secret by which nodes of this cluster prove themselves over the telephone.
    pub fn proof_key(&self, cluster: &str) -> proof::Key {
        proof::Key::new(self.pepper.proof_key(cluster).into())
    }

    /// A PIN as it is stored, under a salt of its own.
    ///
    /// # Errors
    /// The system has no random bytes, or no memory for the hash.
    pub async fn store(&self, pin: Redacted<String>) -> io::Result<Pin> {
        let mut salt = [0; SALT];
        rand_core::OsRng.try_fill_bytes(&mut salt).map_err(io::Error::other)?;
        let hash = self.hash(pin, salt.to_vec()).await?;
        Ok(Pin { salt: salt.to_vec().into(), hash: hash.to_vec().into() })
    }

    /// Whether `pin` is the stored one. `None`, for a number that names nobody, costs as much and
    /// is never equal.
    ///
    /// # Errors
    /// The system has no memory for the hash: nothing is known of the PIN.
    pub async fn is_right(&self, pin: Redacted<String>, stored: Option<Pin>) -> io::Result<bool> {
        let salt = stored.as_ref().map_or(vec![0; SALT], |stored| stored.salt.reveal().clone());
        let hash = self.hash(pin, salt).await?;
        let wanted = stored.map_or(Vec::new(), |stored| stored.hash.reveal().clone());
        Ok(bool::from(hash.as_slice().ct_eq(wanted.as_slice())))
    }

    async fn hash(&self, pin: Redacted<String>, salt: Vec<u8>) -> io::Result<[u8; HASH]> {
        let _place = self.room.acquire().await.map_err(io::Error::other)?;
        let pepper = self.pepper.clone();
        let hashing = tokio::task::spawn_blocking(move || {
            hash(pin.reveal().as_bytes(), &salt, pepper.bytes())
        });
        hashing.await.map_err(io::Error::other)?
    }
}

/// argon2id, then HMAC-SHA-256 under the pepper.
fn hash(pin: &[u8], salt: &[u8], pepper: &[u8; pepper::LENGTH]) -> io::Result<[u8; HASH]> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, Some(HASH)).map_err(io::Error::other)?;
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let mut slow = [0; HASH];
    argon2.hash_password_into(pin, salt, &mut slow).map_err(io::Error::other)?;
    let mut mac = Hmac::<Sha256>::new_from_slice(pepper).map_err(io::Error::other)?;
    mac.update(&slow);
    Ok(mac.finalize().into_bytes().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pin(digits: &str) -> Redacted<String> {
        digits.to_owned().into()
    }

    fn opened() -> (tempfile::TempDir, Pins) {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let pins = Pins::open(directory.path()).expect("a pepper");
        (directory, pins)
    }

    #[tokio::test]
    async fn the_right_pin_is_right_and_another_is_not() {
        let (directory, pins) = opened();
        let stored = pins.store(pin("190472")).await.expect("stored");
        assert_eq!((stored.salt.reveal().len(), stored.hash.reveal().len()), (SALT, HASH));
        let right = async |pins: &Pins, digits: &str| {
            pins.is_right(pin(digits), Some(stored.clone())).await.expect("compared")
        };
        assert!(right(&pins, "190472").await);
        assert!(!right(&pins, "190473").await);
        assert!(!right(&pins, "").await);
        let again = Pins::open(directory.path()).expect("the same pepper");
        assert!(right(&again, "190472").await);
        let (_other, elsewhere) = opened();
        assert!(!right(&elsewhere, "190472").await, "another pepper");
    }

    #[tokio::test]
    async fn the_same_pin_of_two_agents_is_stored_differently() {
        let (_directory, pins) = opened();
        let (a, b) = (pins.store(pin("190472")).await, pins.store(pin("190472")).await);
        assert_ne!(a.expect("stored").hash, b.expect("stored").hash);
    }

    /// Whether a comparison is over at once.
    async fn is_over(comparison: impl Future<Output = io::Result<bool>>) -> bool {
        tokio::select! {
            biased;
            _ = comparison => true,
            () = std::future::ready(()) => false,
        }
    }

    #[tokio::test]
    async fn a_number_that_names_nobody_waits_for_a_hash_as_any_other_and_is_never_right() {
        let (_directory, pins) = opened();
        let stored = pins.store(pin("190472")).await.expect("stored");
        let both = pins.room.acquire_many(2).await.expect("two at once");
        assert!(!is_over(pins.is_right(pin("190472"), Some(stored))).await);
        assert!(!is_over(pins.is_right(pin("190472"), None)).await);
        drop(both);
        assert!(!pins.is_right(pin("190472"), None).await.expect("compared"));
        assert_eq!(pins.room.available_permits(), AT_ONCE);
    }

    #[tokio::test]
    async fn a_damaged_hash_is_never_right() {
        let (_directory, pins) = opened();
        for hash in [Vec::new(), vec![0; HASH], vec![0; 7]] {
            let stored = Pin { salt: vec![0; SALT].into(), hash: hash.into() };
            assert!(!pins.is_right(pin("190472"), Some(stored)).await.expect("compared"));
        }
        let stored = Pin { salt: vec![0; 2].into(), hash: vec![0; HASH].into() };
        assert!(pins.is_right(pin("190472"), Some(stored)).await.is_err(), "no salt");
    }

    #[test]
    fn the_hash_is_the_one_of_its_definition() {
        // By the reference implementation of argon2, and HMAC of another library.
        let made = hash(b"190472", b"0123456789abcdef", &[7; HASH]).expect("hashed");
        let hex: String = made.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "96ca40e5da0ae83c1c3138f33835383b6b8a72a3b032e17553f3bdc38679124e");
    }

    #[test]
    fn neither_pin_nor_pepper_is_in_a_log() {
        let (_directory, pins) = opened();
        assert!(format!("{pins:?}").contains("pepper: Pepper(***)"));
    }
}
