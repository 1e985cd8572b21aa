//! Challenges (RFC 7616 section 3.3): several to a field, several fields to a response.

use std::fmt;

use super::grammar::{Fields, scheme_and_fields, separators};
use super::{Algorithm, Qop};
use crate::config::DigestAlgorithm;
use crate::sip::wire::limits::LIST_MAX;
use crate::sip::wire::{Headers, Malformed};

/// One challenge that we could answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// From `Proxy-Authenticate` (407), to be answered in `Proxy-Authorization`.
    pub proxy: bool,
    /// Realm.
    pub realm: String,
    /// Nonce.
    pub nonce: String,
    /// To be returned as it is.
    pub opaque: Option<String>,
    /// `None`: not said, so MD5.
    pub algorithm: Option<Algorithm>,
    /// What is offered; empty: RFC 2069, without `qop`.
    pub qop: Vec<Qop>,
    /// The password was right and only the nonce too old.
    pub stale: bool,
}

impl Challenge {
    /// The algorithm in effect.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm.unwrap_or(Algorithm::Md5)
    }

    /// `auth` rather than `auth-int`: PBXs and gateways on the way rewrite bodies.
    pub(super) fn best_qop(&self) -> Option<Qop> {
        if self.qop.contains(&Qop::Auth) { Some(Qop::Auth) } else { self.qop.first().copied() }
    }

    /// `None` for a scheme, an algorithm or a `qop` that we do not speak.
    fn from_fields(scheme: &str, fields: &Fields<'_>, proxy: bool) -> Option<Self> {
        if !scheme.eq_ignore_ascii_case("Digest") {
            return None;
        }
        let algorithm = match fields.get("algorithm") {
            Some(name) => Some(Algorithm::from_name(name)?),
            None => None,
        };
        let offered = fields.get("qop").map(|list| list.split(',').map(str::trim));
        let qop: Vec<Qop> = offered.into_iter().flatten().filter_map(Qop::from_name).collect();
        if qop.is_empty() && fields.get("qop").is_some_and(|list| !list.trim().is_empty()) {
            return None;
        }
        Some(Self {
            proxy,
            realm: fields.get("realm")?.to_owned(),
            nonce: fields.get("nonce")?.to_owned(),
            opaque: fields.get("opaque").map(str::to_owned),
            algorithm,
            qop,
            stale: fields.get("stale").is_some_and(|s| s.eq_ignore_ascii_case("true")),
        })
    }
}

impl fmt::Display for Challenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest realm=\"{}\", nonce=\"{}\"", self.realm, self.nonce)?;
        if let Some(opaque) = &self.opaque {
            write!(f, ", opaque=\"{opaque}\"")?;
        }
        if let Some(algorithm) = self.algorithm {
            write!(f, ", algorithm={}", algorithm.name())?;
        }
        if !self.qop.is_empty() {
            let names: Vec<_> = self.qop.iter().map(|q| q.name()).collect();
            write!(f, ", qop=\"{}\"", names.join(","))?;
        }
        if self.stale { f.write_str(", stale=true") } else { Ok(()) }
    }
}

impl Headers {
    /// Every challenge that we could answer, in order, over all lines of both fields. A line that
    /// cannot be read is skipped: another one may be good.
    pub fn challenges(&self) -> Vec<Challenge> {
        let mut found = Vec::new();
        for (name, proxy) in [("WWW-Authenticate", false), ("Proxy-Authenticate", true)] {
            for line in self.lines(name) {
                found.extend(parse_challenges(line.as_str(), proxy).unwrap_or_default());
            }
        }
        found
    }
}

/// Reads one header value, which may hold several challenges.
pub fn parse_challenges(text: &str, proxy: bool) -> Result<Vec<Challenge>, Malformed> {
    let mut found = Vec::new();
    let mut rest = text;
    for _ in 0..LIST_MAX {
        rest = separators(rest);
        if rest.is_empty() {
            return Ok(found);
        }
        let (after, (scheme, fields)) =
            scheme_and_fields(rest).map_err(|_| Malformed("challenge"))?;
        found.extend(Challenge::from_fields(scheme, &fields, proxy));
        rest = after;
    }
    Err(Malformed("challenge: too many"))
}

/// The strongest challenge that is not weaker than `min`. Among equals the first counts.
pub fn choose(challenges: &[Challenge], min: DigestAlgorithm) -> Option<&Challenge> {
    let strength = |c: &Challenge| c.algorithm().hash();
    let mut best: Option<&Challenge> = None;
    for challenge in challenges.iter().filter(|c| strength(c) >= min) {
        if best.is_none_or(|b| strength(challenge) > strength(b)) {
            best = Some(challenge);
        }
    }
    best
}
