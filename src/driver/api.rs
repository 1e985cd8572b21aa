//! Operators over HTTP: `POST /api` takes the line that the Unix socket takes, and gives its
//! answer.
//!
//! Whoever asks shows a token (`Authorization: Bearer`), 256 random bits of which the configuration
//! holds the SHA-256; its role says what it is good for. Nothing of a browser's is looked at, so no
//! page can make a browser ask. A token cannot be guessed and locks nobody out: whoever shows wrong
//! ones is turned away for a while without a look, others are served all the same.
//!
//! ```text
//! right token   200 {"ok":...} | 409 {"error":...} | 400 no request | 403 not with this token
//! wrong token   401, an alarm and an audit record | 429 after five in a minute
//! ```

#![expect(clippy::disallowed_types, reason = "a face: its connections share a count")]

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::{Body, to_bytes};
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};
use tokio::sync::mpsc;

use super::admin_socket::{ANSWER_MAX, LATE, LINE_MAX, carry_out, read};
use super::{ToNode, clock};
use crate::admin::{Reply, Request};
use crate::config::{Admin, Token, TokenRole};
use crate::store::Who;
use crate::timers::{Duration, Instant};

/// Wrong tokens within [`WRONG_WITHIN`] that are looked at and recorded.
const WRONG_MAX: u32 = 5;
const WRONG_WITHIN: Duration = Duration::from_secs(60);
/// A body that takes longer has no sender any more.
const BODY_TIME_MAX: Duration = Duration::from_secs(10);

/// The tokens, by their names.
#[derive(Clone, Debug)]
pub(super) struct Keys(Vec<(String, Token)>);

impl Keys {
    pub(super) fn of(admin: &Admin) -> Self {
        Self(admin.tokens.iter().map(|(name, token)| (name.clone(), token.clone())).collect())
    }

    /// Whose token that is. Takes as long for one as for another.
    fn find(&self, shown: &[u8]) -> Option<&(String, Token)> {
        let shown = Sha256::digest(shown);
        let mut found = None;
        for key in &self.0 {
            let same: Choice = shown.as_slice().ct_eq(&key.1.sha256);
            if same.into() {
                found = Some(key);
            }
        }
        found
    }
}

/// What every connection shares.
#[derive(Clone)]
pub(super) struct Api {
    keys: Arc<Keys>,
    to_node: mpsc::Sender<ToNode>,
    wrong: Arc<Mutex<Wrong>>,
}

/// Wrong tokens that were shown.
#[derive(Debug, Default)]
struct Wrong {
    since: Option<Instant>,
    count: u32,
}

impl Wrong {
    /// One more; whether it is one too many.
    fn add(&mut self, now: Instant) -> bool {
        match self.since {
            Some(since) if now.saturating_duration_since(since) < WRONG_WITHIN => {}
            Some(_) | None => *self = Self { since: Some(now), count: 0 },
        }
        self.count = self.count.saturating_add(1);
        self.count > WRONG_MAX
    }
}

impl Api {
    pub(super) fn new(keys: Keys, to_node: mpsc::Sender<ToNode>) -> Self {
        Self { keys: Arc::new(keys), to_node, wrong: Arc::default() }
    }

    /// What is served to a peer; nothing where there are no tokens.
    pub(super) fn router(&self, peer: Option<IpAddr>) -> Router {
        if self.keys.0.is_empty() {
            return Router::new();
        }
        Router::new().route("/api", post(ask)).layer(Extension(peer)).with_state(self.clone())
    }

    async fn turn_away(&self, from: Option<IpAddr>) -> Response {
        let many = self.wrong.lock().unwrap_or_else(PoisonError::into_inner).add(clock::now());
        if many {
            let after = [(header::RETRY_AFTER, WRONG_WITHIN.as_secs().to_string())];
            return (StatusCode::TOO_MANY_REQUESTS, after, said("too many wrong tokens"))
                .into_response();
        }
        tracing::warn!(?from, "a wrong token over HTTP");
        // A node that is stopping keeps no records.
        drop(self.to_node.send(ToNode::Stranger { from }).await);
        let scheme = [(header::WWW_AUTHENTICATE, "Bearer")];
        (StatusCode::UNAUTHORIZED, scheme, said("show a token of [admin.tokens]")).into_response()
    }
}

async fn ask(
    State(api): State<Api>,
    Extension(peer): Extension<Option<IpAddr>>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let shown = headers.get(header::AUTHORIZATION).map(|value| value.as_bytes());
    let shown = shown.and_then(|value| value.strip_prefix(b"Bearer ")).unwrap_or_default();
    let Some((name, token)) = api.keys.find(shown) else { return api.turn_away(peer).await };
    let limit = usize::try_from(LINE_MAX).unwrap_or(usize::MAX);
    let body = match tokio::time::timeout(BODY_TIME_MAX, to_bytes(body, limit)).await {
        Ok(Ok(body)) => body,
        Ok(Err(_)) | Err(_) => {
            let text = format!("a request has at most {LINE_MAX} bytes, and comes at once");
            return (StatusCode::BAD_REQUEST, said(&text)).into_response();
        }
    };
    let request = match read(&body) {
        Ok(request) => request,
        Err(text) => return (StatusCode::BAD_REQUEST, said(&text)).into_response(),
    };
    if !may(token.role, &request) {
        tracing::warn!(token = %name, ?peer, "a token is no good for what was asked");
        let text = format!("the token {name} may not: see its role, or use the command line");
        return (StatusCode::FORBIDDEN, said(&text)).into_response();
    }
    let from = peer.map_or_else(String::new, |peer| format!(" from {peer}"));
    let who = Who::Operator(format!("token {name}{from}"));
    let doing = carry_out(&request, who, &api.to_node, None);
    let reply = tokio::time::timeout(ANSWER_MAX, doing).await;
    let reply = reply.unwrap_or_else(|_| Reply::Error(LATE.to_owned()));
    let status = match reply {
        Reply::Ok(_) => StatusCode::OK,
        Reply::Error(_) => StatusCode::CONFLICT,
    };
    (status, Json(reply)).into_response()
}

/// What a role is good for.
const fn may(role: TokenRole, request: &Request) -> bool {
    match request {
        Request::Status { .. }
        | Request::Ports { .. }
        | Request::Calls { .. }
        | Request::Instances { .. }
        | Request::Rebinds { .. } => true,
        Request::Role { .. } => matches!(role, TokenRole::Promoter),
        Request::Drain { .. }
        | Request::Rebind { .. }
        | Request::DrainNode { .. }
        | Request::AgentList { .. }
        | Request::AgentAdd { .. }
        | Request::AgentDisable { .. }
        | Request::AgentUnlock { .. } => false,
    }
}

fn said(text: &str) -> Json<Reply> {
    Json(Reply::Error(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_tokens_are_looked_at_five_times_a_minute() {
        let mut wrong = Wrong::default();
        let at = |seconds: u64| Instant::from_nanos(seconds * 1_000_000_000);
        let many: Vec<bool> = (0..7).map(|n| wrong.add(at(10 + n))).collect();
        assert_eq!(many, [false, false, false, false, false, true, true]);
        assert!(wrong.add(at(69)) && !wrong.add(at(70)));
    }
}
