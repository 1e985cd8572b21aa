//! The answer to a challenge, written and checked (RFC 7616 section 3.4).

use std::fmt;

use super::grammar::{scheme_and_fields, separators};
use super::{Algorithm, Qop};
use crate::redact::Redacted;
use crate::sip::wire::{Malformed, Method};

/// The answer to a challenge, as the server side reads it. Texts stand as between their quotes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authorization {
    /// Account.
    pub user: String,
    /// Realm.
    pub realm: String,
    /// Nonce.
    pub nonce: String,
    /// `uri`, which must be the Request-URI.
    pub target: String,
    /// `response`
    pub response: String,
    /// `opaque`
    pub opaque: Option<String>,
    /// `algorithm`
    pub algorithm: Option<Algorithm>,
    /// `qop`
    pub qop: Option<Qop>,
    /// `nc`, eight hexadecimal digits.
    pub nc: Option<String>,
    /// `cnonce`
    pub cnonce: Option<String>,
}

impl Authorization {
    /// Reads the value of `Authorization` or `Proxy-Authorization`.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let bad = Malformed("Authorization");
        let (rest, (scheme, fields)) = scheme_and_fields(text.trim()).map_err(|_| bad)?;
        if !scheme.eq_ignore_ascii_case("Digest") || !separators(rest).is_empty() {
            return Err(bad);
        }
        let optional = |name| fields.get(name).map(str::to_owned);
        let needed = |name| optional(name).ok_or(bad);
        let algorithm = fields.get("algorithm").map(Algorithm::from_name);
        let qop = fields.get("qop").map(Qop::from_name);
        let nc = optional("nc");
        let is_count = |nc: &String| nc.len() == 8 && nc.bytes().all(|b| b.is_ascii_hexdigit());
        if !nc.as_ref().is_none_or(is_count) {
            return Err(bad);
        }
        Ok(Self {
            user: needed("username")?,
            realm: needed("realm")?,
            nonce: needed("nonce")?,
            target: needed("uri")?,
            response: needed("response")?,
            opaque: optional("opaque"),
            algorithm: algorithm.map(|known| known.ok_or(bad)).transpose()?,
            qop: qop.map(|known| known.ok_or(bad)).transpose()?,
            nc,
            cnonce: optional("cnonce"),
        })
    }

    /// The count of requests with this nonce.
    pub fn nonce_count(&self) -> Option<u32> {
        u32::from_str_radix(self.nc.as_deref()?, 16).ok()
    }

    /// Whether it was made with this password for a request of this method and body. The caller
    /// checks realm, nonce, count and that `target` is the Request-URI.
    pub fn verify(&self, password: &Redacted<String>, method: &Method, body: &[u8]) -> bool {
        let complete = self.qop.is_none() || (self.nc.is_some() && self.cnonce.is_some());
        complete && self.expected(password, method, body).eq_ignore_ascii_case(&self.response)
    }

    /// RFC 7616 section 3.4.1.
    pub(super) fn expected(
        &self,
        password: &Redacted<String>,
        method: &Method,
        body: &[u8],
    ) -> String {
        let algorithm = self.algorithm.unwrap_or(Algorithm::Md5);
        let digest = |parts: &[&str]| {
            algorithm.digest(&parts.iter().map(|p| p.as_bytes()).collect::<Vec<_>>())
        };
        let cnonce = self.cnonce.as_deref().unwrap_or_default();
        let mut a1 = digest(&[&self.user, &self.realm, password.reveal()]);
        if algorithm.is_session() {
            a1 = digest(&[&a1, &self.nonce, cnonce]);
        }
        let a2 = match self.qop {
            Some(Qop::AuthInt) => {
                digest(&[method.as_str(), &self.target, &algorithm.digest(&[body])])
            }
            Some(Qop::Auth) | None => digest(&[method.as_str(), &self.target]),
        };
        match self.qop {
            Some(qop) => {
                let nc = self.nc.as_deref().unwrap_or_default();
                digest(&[&a1, &self.nonce, nc, cnonce, qop.name(), &a2])
            }
            None => digest(&[&a1, &self.nonce, &a2]),
        }
    }
}

impl fmt::Display for Authorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { user, realm, nonce, target, response, .. } = self;
        write!(f, "Digest username=\"{user}\", realm=\"{realm}\", nonce=\"{nonce}\"")?;
        write!(f, ", uri=\"{target}\", response=\"{response}\"")?;
        if let Some(algorithm) = self.algorithm {
            write!(f, ", algorithm={}", algorithm.name())?;
        }
        if let Some(cnonce) = &self.cnonce {
            write!(f, ", cnonce=\"{cnonce}\"")?;
        }
        if let Some(opaque) = &self.opaque {
            write!(f, ", opaque=\"{opaque}\"")?;
        }
        if let Some(qop) = self.qop {
            write!(f, ", qop={}", qop.name())?;
        }
        self.nc.as_ref().map_or(Ok(()), |nc| write!(f, ", nc={nc}"))
    }
}
