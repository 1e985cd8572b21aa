//! Digest authentication (RFC 7616, RFC 8760; RFC 2069 where a challenge has no `qop`).
//!
//! The client side reads challenges, picks the strongest that the profile allows and answers it;
//! [`Credentials`] keeps what the next request needs, so that a known nonce is used again with the
//! next count. The server side checks an answer; a stub registrar and a simulated PBX need it.
//!
//! Quoted values are hashed and echoed as they stand between their quotes, escapes included: that
//! is what `unq()` of RFC 7616 section 3.4.1 means, and undoing escapes would change the hash.

use std::fmt;

use nom::branch::alt;
use nom::bytes::complete::{take_while, take_while1};
use nom::character::complete::char;
use nom::combinator::{map, opt, verify};
use nom::sequence::preceded;
use nom::{IResult, Parser};
use rand_core::RngCore;
use serde::{Deserialize, Serialize};
use sha2::Digest;

use super::wire::limits::{LIST_MAX, PARAMS_MAX};
use super::wire::{Headers, Malformed, Method};
use crate::config::DigestAlgorithm;
use crate::ids::Rng;
use crate::redact::Redacted;

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
    fn best_qop(&self) -> Option<Qop> {
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
    fn expected(&self, password: &Redacted<String>, method: &Method, body: &[u8]) -> String {
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

/// Fields of one challenge or answer; names without regard to case, the first of a name counts.
struct Fields<'a>(Vec<(&'a str, &'a str)>);

impl Fields<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| *v)
    }
}

type Parsed<'a, T> = IResult<&'a str, T>;

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t')
}

/// Text without the commas and blanks at its start.
fn separators(text: &str) -> &str {
    text.trim_start_matches(|c| is_blank(c) || c == ',')
}

fn token(input: &str) -> Parsed<'_, &str> {
    take_while1(|c: char| c.is_ascii_alphanumeric() || "-.!%*_+`'~".contains(c)).parse(input)
}

/// What stands between quotes, escapes untouched.
fn quoted(input: &str) -> Parsed<'_, &str> {
    let (inside, _) = char('"').parse(input)?;
    let mut escaped = false;
    let end = inside.bytes().position(|b| {
        let ends = b == b'"' && !escaped;
        escaped = b == b'\\' && !escaped;
        ends
    });
    let split = end.and_then(|at| Some((inside.get(at + 1..)?, inside.get(..at)?)));
    split.ok_or_else(|| nom::Err::Error(nom::error::Error::new(input, nom::error::ErrorKind::Char)))
}

fn field(input: &str) -> Parsed<'_, (&str, &str)> {
    let bare =
        take_while(|c: char| !is_blank(c) && !c.is_control() && !matches!(c, ',' | '"' | '\\'));
    let equals = (take_while(is_blank), char('='), take_while(is_blank));
    map((token, equals, alt((quoted, bare))), |(name, _, value)| (name, value)).parse(input)
}

/// `Digest a=b, c="d"`: the fields end where the next challenge begins.
fn scheme_and_fields(input: &str) -> Parsed<'_, (&str, Fields<'_>)> {
    let comma = (take_while(is_blank), char(','), take_while(|c| is_blank(c) || c == ','));
    let (mut rest, (scheme, _)) = (token, take_while1(is_blank)).parse(input)?;
    let mut fields = Vec::new();
    let (after, first) = opt(field).parse(rest)?;
    fields.extend(first);
    rest = after;
    let mut next = verify(opt(preceded(comma, field)), Option::is_some);
    while let Ok((after, Some(one))) = next.parse(rest) {
        if fields.len() == PARAMS_MAX {
            break;
        }
        fields.push(one);
        rest = after;
    }
    let (rest, _) = take_while(is_blank).parse(rest)?;
    // What follows must be the end or another challenge, not a broken field.
    if rest.is_empty() || rest.starts_with(',') {
        return Ok((rest, (scheme, Fields(fields))));
    }
    Err(nom::Err::Error(nom::error::Error::new(rest, nom::error::ErrorKind::Verify)))
}

#[cfg(test)]
mod tests;
