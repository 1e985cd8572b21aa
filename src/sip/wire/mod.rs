//! Our grammar of the SIP wire: framing, header fields, URIs, name-addr, Via, and the writer.
//!
//! Reading goes in layers, and each refuses early: size limits first ([`limits`]), then lines
//! ([`head`]), then the fields that every message must have, and everything else only when somebody
//! asks for it ([`readers`]). A malformed field that nobody needs harms nobody.
//!
//! Values are kept as slices of the datagram, so that what must be echoed (Via, Record-Route, the
//! digest URI) is copied and never printed again. What we compose goes through [`writer`], the only
//! place that makes bytes: it refuses what could end a line early.

mod decode;
pub mod fields;
pub mod framing;
mod grammar;
mod head;
pub mod headers;
pub mod limits;
pub mod method;
mod multipart;
mod name_addr;
pub mod names;
mod params;
mod readers;
pub mod reason;
mod text;
mod uri;
mod via;
pub mod writer;

pub use decode::percent_decode;
pub use fields::{CSeq, MediaType, RAck, Refresher, Replaces, SessionExpires, Valued};
pub use grammar::split_list;
pub(crate) use grammar::{Parsed, content_length, fail, token};
pub(crate) use head::{Head, Start};
pub use headers::{Header, Headers};
pub use method::Method;
pub(crate) use multipart::part;
pub use name_addr::{Contacts, NameAddr};
pub use params::{Param, ParamValue, Params};
pub use text::Text;
pub use uri::{Host, Scheme, Uri};
pub use via::Via;
pub use writer::Unprintable;

use std::fmt;

/// A header field, or a part of one, that does not follow its grammar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "malformed {}", self.0)
    }
}

impl std::error::Error for Malformed {}
