//! REST requests as text messages on the WebSocket of events, and their answers.
//!
//! Commands that come this way cannot overtake each other, which two HTTP connections can.

use serde::Deserialize;
use serde_json::Value;

use super::Output;
use super::auth::User;
use super::events::Body;
use super::fault::{Fault, Reply, reason_phrase};
use super::http::Target;
use super::machine::{Content, Ivr, Origin};
use crate::ids::InstanceId;
use crate::timers::Instant;

/// Longest message, in bytes.
const MESSAGE_MAX: usize = 64 * 1024;

/// What an answer repeats of its request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Echo {
    pub transaction_id: String,
    pub request_id: String,
    pub uri: String,
}

/// A request, all of whose fields a client may leave out or get wrong.
#[derive(Debug, Deserialize)]
pub(super) struct RestRequest {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    transaction_id: Option<String>,
    #[serde(default)]
    request_id: Option<String>,
    #[serde(default)]
    method: String,
    #[serde(default)]
    uri: String,
    #[serde(default)]
    query_strings: Vec<QueryString>,
    #[serde(default)]
    content_type: Option<String>,
    /// ARI says a string; an object is taken as the JSON that it is.
    #[serde(default)]
    message_body: Option<Value>,
}

#[derive(Debug, Deserialize)]
struct QueryString {
    name: String,
    value: String,
}

impl RestRequest {
    /// Reads a message.
    ///
    /// # Errors
    ///
    /// 400 if it is no JSON object with the fields of a request, 413 if it is too long.
    pub(super) fn parse(text: &str) -> Result<Self, Fault> {
        if text.len() > MESSAGE_MAX {
            return Err(Fault::new(413, "Message is longer than 64 KiB"));
        }
        serde_json::from_str(text).map_err(|e| Fault::bad(format!("Message is no request: {e}")))
    }

    fn echo(&self) -> Echo {
        Echo {
            transaction_id: self.transaction_id.clone().unwrap_or_default(),
            request_id: self.request_id.clone().unwrap_or_default(),
            uri: self.uri.clone(),
        }
    }

    pub(super) fn target(&self) -> Result<Target, Fault> {
        if self.kind != "RESTRequest" {
            return Err(Fault::bad("Message type must be RESTRequest"));
        }
        let mut target = Target::parse_relative(&self.uri)?;
        let further = self.query_strings.iter().map(|q| (q.name.clone(), q.value.clone()));
        target.query.extend(further);
        Ok(target)
    }

    fn body(&self) -> String {
        match &self.message_body {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        }
    }
}

impl Ivr {
    pub(super) fn socket_request(&mut self, now: Instant, instance: InstanceId, text: &str) {
        let Some(name) = self.instances.get(&instance).map(|i| i.user.clone()) else { return };
        let request = match RestRequest::parse(text) {
            Ok(request) => request,
            Err(fault) => {
                return self.socket_respond(now, instance, &Echo::default(), fault.into());
            }
        };
        let echo = request.echo();
        match self.socket_outcome(now, instance, &name, &request) {
            Ok(Some(reply)) => self.socket_respond(now, instance, &echo, reply),
            Ok(None) => {} // The node answers it with `Originated`.
            Err(fault) => self.socket_respond(now, instance, &echo, fault.into()),
        }
    }

    fn socket_outcome(
        &mut self,
        now: Instant,
        instance: InstanceId,
        name: &str,
        request: &RestRequest,
    ) -> Result<Option<Reply>, Fault> {
        let config = std::sync::Arc::clone(&self.config);
        let rights = config.ari.users.get(name).ok_or_else(|| Fault::new(401, "Unknown user"))?;
        let target = request.target()?;
        let body = request.body();
        let content = Content {
            method: &request.method,
            host: "",
            content_type: request.content_type.as_deref(),
            body: body.as_bytes(),
        };
        let origin = Origin::Socket(instance, request.echo());
        self.perform(now, &origin, User { name, rights }, target, content)
    }

    /// Answers on the WebSocket, if it is still open.
    pub(super) fn socket_respond(
        &mut self,
        now: Instant,
        instance: InstanceId,
        echo: &Echo,
        reply: Reply,
    ) {
        self.out.count(reply.status);
        let Some(known) = self.instances.get(&instance) else { return };
        let has_body = !reply.body.is_empty();
        let body = Body::RestResponse {
            transaction_id: &echo.transaction_id,
            request_id: &echo.request_id,
            status_code: reply.status,
            reason_phrase: reason_phrase(reply.status),
            uri: &echo.uri,
            content_type: has_body.then_some("application/json"),
            message_body: has_body.then_some(&reply.body),
        };
        let application = known.applications.first().map_or("", String::as_str);
        let text = self.out.text(now, application, &body);
        self.out.push(Output::Text { instance, text });
    }
}
