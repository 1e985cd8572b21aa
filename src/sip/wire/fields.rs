//! Fields with a shape of their own: CSeq, RAck, Session-Expires, Replaces, Content-Type, and those
//! that are a token with parameters.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::grammar::{number, params, sws, token, token_and_params};
use super::{Malformed, Method, Params};

use nom::Parser;
use nom::bytes::complete::take_while1;

/// CSeq (RFC 3261 section 20.16).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CSeq {
    /// The number, below 2^31 by section 8.1.1.5; larger ones are read and fit 32 bits.
    pub seq: u32,
    /// The method.
    pub method: Method,
}

impl CSeq {
    /// Reads a whole text.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let (seq, method) = text.trim().split_once([' ', '\t']).ok_or(Malformed("CSeq"))?;
        Ok(Self {
            seq: number(seq).ok_or(Malformed("CSeq"))?,
            method: method_token(method).ok_or(Malformed("CSeq"))?,
        })
    }
}

impl fmt::Display for CSeq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.seq, self.method)
    }
}

fn method_token(text: &str) -> Option<Method> {
    match (sws, token, sws).parse(text) {
        Ok(("", (_, method, _))) => Some(Method::from_token(method)),
        _ => None,
    }
}

/// RAck (RFC 3262 section 7.2).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RAck {
    /// RSeq of the response that is acknowledged.
    pub rseq: u32,
    /// And its CSeq.
    pub cseq: CSeq,
}

impl RAck {
    /// Reads a whole text.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let (rseq, cseq) = text.trim().split_once([' ', '\t']).ok_or(Malformed("RAck"))?;
        let rseq = number(rseq).ok_or(Malformed("RAck"))?;
        Ok(Self { rseq, cseq: CSeq::parse(cseq).map_err(|_| Malformed("RAck"))? })
    }
}

impl fmt::Display for RAck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.rseq, self.cseq)
    }
}

/// Who refreshes a session (RFC 4028).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Refresher {
    /// The client of the transaction that carries the field.
    Uac,
    /// The server of it.
    Uas,
}

/// Session-Expires (RFC 4028 section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SessionExpires {
    /// Seconds.
    pub secs: u32,
    /// Who refreshes, if it is said.
    pub refresher: Option<Refresher>,
}

impl SessionExpires {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let Valued { value, params } = Valued::parse(text).ok()?;
        let refresher = match params.get("refresher").map(str::to_ascii_lowercase).as_deref() {
            Some("uac") => Some(Refresher::Uac),
            Some("uas") => Some(Refresher::Uas),
            _ => None,
        };
        Some(Self { secs: number(&value)?, refresher })
    }
}

impl fmt::Display for SessionExpires {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.secs.fmt(f)?;
        match self.refresher {
            Some(Refresher::Uac) => f.write_str(";refresher=uac"),
            Some(Refresher::Uas) => f.write_str(";refresher=uas"),
            None => Ok(()),
        }
    }
}

/// Replaces (RFC 3891). Tags are seen from the side that receives it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Replaces {
    /// Call-ID of the dialog to be replaced.
    pub call_id: String,
    /// Local tag of whoever receives this.
    pub to_tag: String,
    /// Remote tag of whoever receives this.
    pub from_tag: String,
    /// Only while the dialog is early.
    pub early_only: bool,
}

impl Replaces {
    /// Reads a whole text, unescaped if it came in a URI.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let word = take_while1(|c: char| !c.is_control() && !c.is_whitespace() && c != ';');
        let bad = Malformed("Replaces");
        let (rest, (_, call_id, params, _)) =
            (sws, word, params, sws).parse(text).map_err(|_| bad)?;
        let tag = |name| params.get(name).filter(|t| !t.is_empty()).map(str::to_owned).ok_or(bad);
        if !rest.is_empty() {
            return Err(bad);
        }
        Ok(Self {
            call_id: str::to_owned(call_id),
            to_tag: tag("to-tag")?,
            from_tag: tag("from-tag")?,
            early_only: params.has("early-only"),
        })
    }
}

impl fmt::Display for Replaces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{};to-tag={};from-tag={}", self.call_id, self.to_tag, self.from_tag)?;
        f.write_str(if self.early_only { ";early-only" } else { "" })
    }
}

/// A token with parameters: Event, Reason, Subscription-State, Content-Disposition, ...
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Valued {
    /// The token.
    pub value: String,
    /// Its parameters.
    pub params: Params,
}

impl Valued {
    /// Reads a whole text.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let (value, params) = token_and_params(text).ok_or(Malformed("token with parameters"))?;
        Ok(Self { value, params })
    }
}

impl fmt::Display for Valued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.value, self.params)
    }
}

/// Content-Type (RFC 3261 section 20.15).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct MediaType {
    /// Type and subtype in lower case: `application/sdp`.
    pub essence: String,
    /// Its parameters.
    pub params: Params,
}

impl MediaType {
    /// Reads a whole text.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let (rest, (_, kind, _, subtype, params, _)) =
            (sws, token, super::grammar::separator('/'), token, params, sws)
                .parse(text)
                .map_err(|_| Malformed("Content-Type"))?;
        if !rest.is_empty() {
            return Err(Malformed("Content-Type"));
        }
        Ok(Self { essence: format!("{kind}/{subtype}").to_ascii_lowercase(), params })
    }
}

impl fmt::Display for MediaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.essence, self.params)
    }
}
