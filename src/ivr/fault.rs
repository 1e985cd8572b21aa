//! Why a request is refused, and the short way to say so.

use std::borrow::Cow;

use super::model::{ErrorBody, json};

/// A refusal: a status and a sentence for the developer of the application.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub status: u16,
    pub message: Cow<'static, str>,
    pub header: Option<(&'static str, String)>,
}

/// What a request brings, or why it is refused.
pub(super) type Outcome = Result<Reply, Fault>;

/// A response on its way to HTTP or to a WebSocket.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reply {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: String,
}

impl Fault {
    pub(super) fn new(status: u16, message: impl Into<Cow<'static, str>>) -> Self {
        Self { status, message: message.into(), header: None }
    }

    pub(super) fn with(mut self, header: &'static str, value: impl Into<String>) -> Self {
        self.header = Some((header, value.into()));
        self
    }

    pub(super) fn bad(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(400, message)
    }

    pub(super) fn missing(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(404, message)
    }

    pub(super) fn conflict(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(409, message)
    }

    /// Also what a tombstoned id gets: to an application it reads as "the caller hung up", which
    /// is the one refusal that every client library and every application handles.
    pub(super) fn no_channel() -> Self {
        Self::missing("Channel not found")
    }

    pub(super) fn no_playback() -> Self {
        Self::missing("Playback not found")
    }

    pub(super) fn no_recording() -> Self {
        Self::missing("Recording not found")
    }

    pub(super) fn no_application() -> Self {
        Self::missing("Application not found")
    }
}

impl From<Fault> for Reply {
    fn from(fault: Fault) -> Self {
        Self {
            status: fault.status,
            headers: fault.header.into_iter().collect(),
            body: json(&ErrorBody { message: &fault.message }),
        }
    }
}

impl Reply {
    /// 204: done, nothing to say.
    pub(super) const fn done() -> Self {
        Self { status: 204, headers: Vec::new(), body: String::new() }
    }

    /// 200 with a body.
    pub(super) const fn ok(body: String) -> Self {
        Self { status: 200, headers: Vec::new(), body }
    }

    /// 201 with a body.
    pub(super) const fn created(body: String) -> Self {
        Self { status: 201, headers: Vec::new(), body }
    }
}

/// Reason phrase of a status (RFC 9110 section 15, RFC 6585 section 4).
pub(super) const fn reason_phrase(status: u16) -> &'static str {
    match status {
        101 => "Switching Protocols",
        200 => "OK",
        201 => "Created",
        204 => "No Content",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        409 => "Conflict",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        422 => "Unprocessable Content",
        426 => "Upgrade Required",
        429 => "Too Many Requests",
        503 => "Service Unavailable",
        _ => "Error",
    }
}
