//! Requests and responses, read by our own grammar and printed by our own writer.
//!
//! [`Message::parse`] checks what every message needs (RFC 3261 section 8.1.1) and says, where it
//! refuses, whether the sender can be told: a [`Refusal`] carries the finished answer. Everything
//! else is read when asked for, through [`Headers`].
//!
//! This is the only module that names `rsip`. Its types are a vocabulary that values are handed
//! over in, field by field; it neither reads nor prints anything that touches the wire.

mod check;

use std::borrow::Cow;

use bytes::Bytes;

use super::wire::limits::{DATAGRAM_MAX, STREAM_MESSAGE_MAX};
use super::wire::{part, writer};

pub use super::wire::{
    CSeq, Contacts, Header, Headers, Host, Malformed, MediaType, Method, NameAddr, Param,
    ParamValue, Params, RAck, Refresher, Replaces, Scheme, SessionExpires, Text, Unprintable, Uri,
    Valued, Via,
};

/// A SIP message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// A request.
    Request(Request),
    /// A response.
    Response(Response),
}

/// A request, received or ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Its method.
    pub method: Method,
    /// Request-URI.
    pub uri: Uri,
    /// Header fields.
    pub headers: Headers,
    /// Body, without whatever followed it in the datagram.
    pub body: Bytes,
    /// Request-URI as it came; `None` for a request of ours.
    target: Option<String>,
}

/// A response, received or ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// Status, 100-699.
    pub status: u16,
    /// Reason phrase, as received, or the canonical one.
    pub reason: String,
    /// Header fields.
    pub headers: Headers,
    /// Body, without whatever followed it in the datagram.
    pub body: Bytes,
}

/// A message that was not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What is wrong with it.
    pub what: Malformed,
    /// The answer, complete but for a tag in To; `None` where nobody can be answered (a response,
    /// an ACK, a request without a readable Via, a message beyond our limits).
    pub answer: Option<Box<Response>>,
}

impl Refusal {
    const fn silent(what: Malformed) -> Self {
        Self { what, answer: None }
    }

    /// Status of the answer, if there is one.
    pub fn status(&self) -> Option<u16> {
        self.answer.as_ref().map(|a| a.status)
    }
}

impl Message {
    /// Reads a datagram.
    pub fn parse(raw: Bytes) -> Result<Self, Refusal> {
        if raw.len() > DATAGRAM_MAX {
            return Err(Refusal::silent(Malformed("datagram: too long")));
        }
        check::message(raw, false)
    }

    /// Reads one message of a stream, as [`super::wire::framing::Framer`] cut it out.
    pub fn parse_frame(raw: Bytes) -> Result<Self, Refusal> {
        if raw.len() > STREAM_MESSAGE_MAX {
            return Err(Refusal::silent(Malformed("message: too long")));
        }
        check::message(raw, true)
    }

    /// The header fields.
    pub const fn headers(&self) -> &Headers {
        match self {
            Self::Request(r) => &r.headers,
            Self::Response(r) => &r.headers,
        }
    }

    /// The body.
    pub const fn body(&self) -> &Bytes {
        match self {
            Self::Request(r) => &r.body,
            Self::Response(r) => &r.body,
        }
    }

    /// The SDP of the message, also out of a multipart body; `None` when it has none.
    pub fn sdp(&self) -> Option<Bytes> {
        sdp(self.headers(), self.body())
    }

    /// As bytes for the wire.
    pub fn to_bytes(&self) -> Result<Bytes, Unprintable> {
        match self {
            Self::Request(r) => r.to_bytes(),
            Self::Response(r) => r.to_bytes(),
        }
    }
}

/// A body without Content-Type is taken for what it nearly always is.
fn sdp(headers: &Headers, body: &Bytes) -> Option<Bytes> {
    if body.is_empty() {
        return None;
    }
    match headers.content_type() {
        None if !headers.has("Content-Type") => Some(body.clone()),
        Some(kind) if kind.essence == "application/sdp" => Some(body.clone()),
        Some(kind) if kind.essence.starts_with("multipart/") => {
            part(body, kind.params.get("boundary")?, "application/sdp")
        }
        _ => None,
    }
}

impl Request {
    /// A request of ours, still without header fields.
    pub fn new(method: Method, uri: Uri) -> Self {
        Self { method, uri, headers: Headers::default(), body: Bytes::new(), target: None }
    }

    /// Request-URI to the letter: as it came, or as it will be printed. Digest is computed on it.
    pub fn target(&self) -> Cow<'_, str> {
        match &self.target {
            Some(text) => Cow::Borrowed(text),
            None => Cow::Owned(self.uri.to_string()),
        }
    }

    /// The answer to this request: Via, From, To, Call-ID, CSeq copied to the letter, Timestamp
    /// into a 100, Record-Route where a dialog is made. Tag of To and Contact are the caller's.
    pub fn reply(&self, status: u16) -> Response {
        check::answer(status, &self.headers, self.method.opens_dialog())
    }

    /// The SDP of the message, also out of a multipart body; `None` when it has none.
    pub fn sdp(&self) -> Option<Bytes> {
        sdp(&self.headers, &self.body)
    }

    /// Whether its body must be understood (RFC 3261 section 8.2.3) and is not: 415.
    pub fn has_strange_body(&self) -> bool {
        let optional = |field: &str| {
            let field = field.to_ascii_lowercase();
            field.split(';').skip(1).any(|p| {
                let (name, value) = p.split_once('=').unwrap_or_default();
                (name.trim(), value.trim()) == ("handling", "optional")
            })
        };
        !self.body.is_empty()
            && self.sdp().is_none()
            && !self.headers.get("Content-Disposition").is_some_and(optional)
    }

    /// Sets body and Content-Type.
    pub fn set_body(&mut self, content_type: &str, body: impl Into<Bytes>) {
        self.headers.set("Content-Type", content_type);
        self.body = body.into();
    }

    /// As bytes for the wire.
    pub fn to_bytes(&self) -> Result<Bytes, Unprintable> {
        let target = self.target();
        if target.contains([' ', '\t']) {
            return Err(Unprintable::Control("Request-URI".to_owned()));
        }
        let start = format!("{} {target} SIP/2.0", self.method);
        writer::write(start.as_bytes(), &self.headers, &self.body)
    }
}

impl Response {
    /// Sets the tag of To, unless it has one.
    pub fn set_to_tag(&mut self, tag: &str) {
        let Some(to) = self.headers.get("To") else { return };
        if NameAddr::parse(to).is_ok_and(|to| to.tag().is_none()) {
            let tagged = format!("{to};tag={tag}");
            self.headers.set("To", tagged);
        }
    }

    /// The SDP of the message, also out of a multipart body; `None` when it has none.
    pub fn sdp(&self) -> Option<Bytes> {
        sdp(&self.headers, &self.body)
    }

    /// Sets body and Content-Type.
    pub fn set_body(&mut self, content_type: &str, body: impl Into<Bytes>) {
        self.headers.set("Content-Type", content_type);
        self.body = body.into();
    }

    /// Whether it is the last answer to its request.
    pub const fn is_final(&self) -> bool {
        self.status >= 200
    }

    /// As bytes for the wire.
    pub fn to_bytes(&self) -> Result<Bytes, Unprintable> {
        let start = format!("SIP/2.0 {} {}", self.status, self.reason);
        writer::write(start.as_bytes(), &self.headers, &self.body)
    }
}

/// The vocabulary of `rsip`, filled field by field. A one-way street for code that speaks those
/// types: what they cannot hold (headers of a URI, ISO 8859-1) is left out or replaced, so nothing
/// that came this way may go to the wire.
mod vocabulary {
    use rsip::headers as h;

    use super::{Header, Headers, Host, Method, Request, Response, Scheme, Uri};

    impl Method {
        /// The method in `rsip`'s words; `None` for an extension.
        pub fn to_rsip(&self) -> Option<rsip::Method> {
            Some(match self {
                Self::Invite => rsip::Method::Invite,
                Self::Ack => rsip::Method::Ack,
                Self::Bye => rsip::Method::Bye,
                Self::Cancel => rsip::Method::Cancel,
                Self::Options => rsip::Method::Options,
                Self::Register => rsip::Method::Register,
                Self::Info => rsip::Method::Info,
                Self::Update => rsip::Method::Update,
                Self::Prack => rsip::Method::PRack,
                Self::Refer => rsip::Method::Refer,
                Self::Notify => rsip::Method::Notify,
                Self::Subscribe => rsip::Method::Subscribe,
                Self::Message => rsip::Method::Message,
                Self::Publish => rsip::Method::Publish,
                Self::Extension(_) => return None,
            })
        }
    }

    impl Uri {
        /// The URI in `rsip`'s words.
        pub fn to_rsip(&self) -> rsip::Uri {
            let scheme = match &self.scheme {
                Scheme::Sip => rsip::Scheme::Sip,
                Scheme::Sips => rsip::Scheme::Sips,
                other => rsip::Scheme::Other(other.as_str().to_owned()),
            };
            let auth =
                |user: &String| rsip::Auth { user: user.clone(), password: self.password.clone() };
            let host = match &self.host {
                Host::Ip(ip) if ip.is_ipv4() => rsip::Host::IpAddr(*ip),
                other => rsip::Host::Domain(other.to_string().into()),
            };
            let port = self.port.map(rsip::Port::from);
            let host_with_port = rsip::HostWithPort { host, port };
            let params = self.params.iter().map(|p| {
                let value = self.params.get(&p.name).filter(|_| p.value.is_some());
                rsip::Param::Other(p.name.clone().into(), value.map(|v| v.to_owned().into()))
            });
            rsip::Uri {
                scheme: Some(scheme),
                auth: self.user.as_ref().map(auth),
                host_with_port,
                params: params.collect(),
                headers: Vec::new(),
            }
        }
    }

    impl Header {
        /// The field in `rsip`'s words.
        pub fn to_rsip(&self) -> rsip::Header {
            let value = self.value.as_str().to_owned();
            match &*self.name {
                "Via" => h::Via::from(value).into(),
                "From" => h::From::from(value).into(),
                "To" => h::To::from(value).into(),
                "Call-ID" => h::CallId::from(value).into(),
                "CSeq" => h::CSeq::from(value).into(),
                "Contact" => h::Contact::from(value).into(),
                "Route" => h::Route::from(value).into(),
                "Record-Route" => h::RecordRoute::from(value).into(),
                "Max-Forwards" => h::MaxForwards::from(value).into(),
                "Expires" => h::Expires::from(value).into(),
                "Min-Expires" => h::MinExpires::from(value).into(),
                "Allow" => h::Allow::from(value).into(),
                "Supported" => h::Supported::from(value).into(),
                "Require" => h::Require::from(value).into(),
                "Unsupported" => h::Unsupported::from(value).into(),
                "Event" => h::Event::from(value).into(),
                "Subscription-State" => h::SubscriptionState::from(value).into(),
                "Authorization" => h::Authorization::from(value).into(),
                "Proxy-Authorization" => h::ProxyAuthorization::from(value).into(),
                "WWW-Authenticate" => h::WwwAuthenticate::from(value).into(),
                "Proxy-Authenticate" => h::ProxyAuthenticate::from(value).into(),
                "Content-Type" => h::ContentType::from(value).into(),
                "Content-Length" => h::ContentLength::from(value).into(),
                "Retry-After" => h::RetryAfter::from(value).into(),
                "User-Agent" => h::UserAgent::from(value).into(),
                "Server" => h::Server::from(value).into(),
                name => rsip::Header::Other(name.to_owned(), value),
            }
        }
    }

    impl Headers {
        fn to_rsip(&self) -> rsip::Headers {
            self.iter().map(Header::to_rsip).collect::<Vec<_>>().into()
        }
    }

    impl Request {
        /// The request in `rsip`'s words; `None` for an extension method.
        pub fn to_rsip(&self) -> Option<rsip::Request> {
            Some(rsip::Request {
                method: self.method.to_rsip()?,
                uri: self.uri.to_rsip(),
                version: rsip::Version::V2,
                headers: self.headers.to_rsip(),
                body: self.body.to_vec(),
            })
        }
    }

    impl Response {
        /// The response in `rsip`'s words.
        pub fn to_rsip(&self) -> rsip::Response {
            rsip::Response {
                status_code: self.status.into(),
                version: rsip::Version::V2,
                headers: self.headers.to_rsip(),
                body: self.body.to_vec(),
            }
        }
    }
}

#[cfg(test)]
mod tests;
