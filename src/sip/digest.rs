//! Digest authentication (RFC 7616, RFC 8760; RFC 2069 where a challenge has no `qop`).
//!
//! The client side reads challenges, picks the strongest that the profile allows and answers it;
//! [`Credentials`] keeps what the next request needs, so that a known nonce is used again with the
//! next count. The server side checks an answer; a stub registrar and a simulated PBX need it.
//!
//! Quoted values are hashed and echoed as they stand between their quotes, escapes included: that
//! is what `unq()` of RFC 7616 section 3.4.1 means, and undoing escapes would change the hash.

mod authorization;
mod challenge;
mod grammar;

use std::fmt;

use rand_core::RngCore;
use serde::{Deserialize, Serialize};
use sha2::Digest;

use super::wire::Method;
use crate::config::DigestAlgorithm;
use crate::ids::Rng;
use crate::redact::Redacted;

pub use authorization::Authorization;
pub use challenge::{Challenge, choose, parse_challenges};

/// A hash and whether the session variant of it is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Algorithm {
    /// `MD5`
    Md5,
    /// `MD5-sess`
    Md5Sess,
    /// `SHA-256`
    Sha256,
    /// `SHA-256-sess`
    Sha256Sess,
    /// `SHA-512-256`
    Sha512_256,
    /// `SHA-512-256-sess`
    Sha512_256Sess,
}

impl Algorithm {
    const ALL: [Self; 6] = [
        Self::Md5,
        Self::Md5Sess,
        Self::Sha256,
        Self::Sha256Sess,
        Self::Sha512_256,
        Self::Sha512_256Sess,
    ];

    /// As on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Md5Sess => "MD5-sess",
            Self::Sha256 => "SHA-256",
            Self::Sha256Sess => "SHA-256-sess",
            Self::Sha512_256 => "SHA-512-256",
            Self::Sha512_256Sess => "SHA-512-256-sess",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|a| a.name().eq_ignore_ascii_case(name))
    }

    /// The hash, by which strength is judged.
    pub const fn hash(self) -> DigestAlgorithm {
        match self {
            Self::Md5 | Self::Md5Sess => DigestAlgorithm::Md5,
            Self::Sha256 | Self::Sha256Sess => DigestAlgorithm::Sha256,
            Self::Sha512_256 | Self::Sha512_256Sess => DigestAlgorithm::Sha512_256,
        }
    }

    const fn is_session(self) -> bool {
        matches!(self, Self::Md5Sess | Self::Sha256Sess | Self::Sha512_256Sess)
    }

    /// Hash of the parts with a colon between each two, in hexadecimal.
    fn digest(self, parts: &[&[u8]]) -> String {
        let input = parts.join(&b':');
        match self.hash() {
            DigestAlgorithm::Md5 => hex(&md5::Md5::digest(&input)),
            DigestAlgorithm::Sha256 => hex(&sha2::Sha256::digest(&input)),
            DigestAlgorithm::Sha512_256 => hex(&sha2::Sha512_256::digest(&input)),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Quality of protection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Qop {
    /// The request line is protected.
    Auth,
    /// The body too.
    AuthInt,
}

impl Qop {
    const fn name(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::AuthInt => "auth-int",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        [Self::Auth, Self::AuthInt].into_iter().find(|q| q.name().eq_ignore_ascii_case(name))
    }
}

/// What is known of a realm after its challenge: enough to authorize the next requests unasked.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credentials {
    /// Answer in `Proxy-Authorization`.
    pub proxy: bool,
    /// Realm.
    pub realm: String,
    /// Nonce.
    pub nonce: String,
    /// Returned as it is.
    pub opaque: Option<String>,
    /// As the challenge said it.
    pub algorithm: Option<Algorithm>,
    /// The one that is used.
    pub qop: Option<Qop>,
    /// Requests authorized with this nonce so far.
    pub nc: u32,
    /// The client nonce of a `-sess` algorithm, which binds the session to its first request.
    session_cnonce: Option<String>,
}

impl fmt::Debug for Credentials {
    /// Whoever holds nonce and response can try passwords: neither goes to a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("realm", &self.realm)
            .field("algorithm", &self.algorithm)
            .field("nc", &self.nc)
            .finish_non_exhaustive()
    }
}

/// What is signed: the account and the request.
#[derive(Clone, Copy, Debug)]
pub struct Signed<'a> {
    /// Name of the account.
    pub user: &'a str,
    /// Its password.
    pub password: &'a Redacted<String>,
    /// Method of the request.
    pub method: &'a Method,
    /// Its Request-URI, to the letter ([`super::message::Request::target`]).
    pub target: &'a str,
    /// Its body.
    pub body: &'a [u8],
}

impl Credentials {
    /// Answers to `challenge` from here on.
    pub fn new(challenge: &Challenge) -> Self {
        Self {
            proxy: challenge.proxy,
            realm: challenge.realm.clone(),
            nonce: challenge.nonce.clone(),
            opaque: challenge.opaque.clone(),
            algorithm: challenge.algorithm,
            qop: challenge.best_qop(),
            nc: 0,
            session_cnonce: None,
        }
    }

    /// Name of the field that carries the answer.
    pub const fn header_name(&self) -> &'static str {
        if self.proxy { "Proxy-Authorization" } else { "Authorization" }
    }

    /// Value of that field for one request; counts it.
    pub fn authorize(&mut self, signed: Signed<'_>, rng: &mut Rng) -> String {
        let cnonce = self.next_cnonce(rng);
        self.authorize_with(signed, &cnonce)
    }

    /// A fresh client nonce of 128 bits; the first one for as long as the session lasts.
    fn next_cnonce(&mut self, rng: &mut Rng) -> String {
        if let Some(cnonce) = &self.session_cnonce {
            return cnonce.clone();
        }
        let mut bytes = [0; 16];
        rng.fill_bytes(&mut bytes);
        let cnonce = hex(&bytes);
        if self.algorithm.is_some_and(Algorithm::is_session) {
            self.session_cnonce = Some(cnonce.clone());
        }
        cnonce
    }

    fn authorize_with(&mut self, signed: Signed<'_>, cnonce: &str) -> String {
        self.nc = self.nc.saturating_add(1);
        let user = escaped(signed.user);
        let mut answer = Authorization {
            user,
            realm: self.realm.clone(),
            nonce: self.nonce.clone(),
            target: signed.target.to_owned(),
            response: String::new(),
            opaque: self.opaque.clone(),
            algorithm: self.algorithm,
            qop: self.qop,
            nc: self.qop.map(|_| format!("{:08x}", self.nc)),
            cnonce: None,
        };
        if self.qop.is_some() || self.session_cnonce.is_some() {
            answer.cnonce = Some(cnonce.to_owned());
        }
        answer.response = answer.expected(signed.password, signed.method, signed.body);
        answer.to_string()
    }
}

/// A text that goes between quotes.
fn escaped(text: &str) -> String {
    let kept = text.chars().filter(|c| !c.is_control());
    kept.flat_map(|c| matches!(c, '"' | '\\').then_some('\\').into_iter().chain([c])).collect()
}

#[cfg(test)]
mod tests;
