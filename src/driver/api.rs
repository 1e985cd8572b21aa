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
//! old token     401, an alarm and an audit record; what a token is not for (403), too
//! by force      428 and six digits, with which it is said again
//! ```
//!
//! `GET /api/events` tells whoever shows a token what happens ([`events`]).

#![expect(clippy::disallowed_types, reason = "a face: its connections share a count")]

mod events;
mod forced;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::{Body, to_bytes};
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use rand_core::TryRngCore;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};
use tokio::sync::{Semaphore, mpsc};

use self::events::{CLIENTS_MAX, events};
use self::forced::Forced;
use super::admin_socket::{ANSWER_MAX, LATE, LINE_MAX, carry_out, read};
use super::{ToNode, clock};
use crate::admin::{Reply, Request, RoleWish};
use crate::config::{Admin, Day, Token, TokenRole};
use crate::node::{Denial, Denied};
use crate::store::Who;
use crate::timers::{Duration, Instant};

/// Wrong tokens within [`WRONG_WITHIN`] that are looked at and recorded.
const WRONG_MAX: u32 = 5;
const WRONG_WITHIN: Duration = Duration::from_secs(60);
/// With the digits of what is forced.
const CONFIRM: HeaderName = HeaderName::from_static("confirm");
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
    forced: Arc<Mutex<Forced>>,
    /// Room for those that listen.
    listeners: Arc<Semaphore>,
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
        Self {
            keys: Arc::new(keys),
            to_node,
            wrong: Arc::default(),
            forced: Arc::default(),
            listeners: Arc::new(Semaphore::new(CLIENTS_MAX)),
        }
    }

    /// What is served to a peer; nothing where there are no tokens.
    pub(super) fn router(&self, peer: Option<IpAddr>) -> Router {
        if self.keys.0.is_empty() {
            return Router::new();
        }
        let router = Router::new().route("/api", post(ask)).route("/api/events", get(events));
        router.layer(Extension(peer)).with_state(self.clone())
    }

    /// What is answered to who forces something and has not said so twice.
    fn say_again(&self, token: &str, wish: &RoleWish, headers: &HeaderMap) -> Option<Response> {
        let shown = headers.get(CONFIRM).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let mut forced = self.forced.lock().unwrap_or_else(PoisonError::into_inner);
        if forced.is_said_again(clock::now(), token, wish, shown) {
            return None;
        }
        let Some(digits) = six_digits() else {
            return Some((StatusCode::CONFLICT, said("no random bytes")).into_response());
        };
        let text = format!(
            "this gives up what makes it safe: to force it, ask for the same again within a minute \
             with the header `Confirm: {digits}`"
        );
        let confirm = [(CONFIRM, digits.clone())];
        forced.said(clock::now(), token, wish.clone(), digits);
        Some((StatusCode::PRECONDITION_REQUIRED, confirm, said(&text)).into_response())
    }

    async fn turn_away(&self, from: Option<IpAddr>) -> Response {
        let many = self.wrong.lock().unwrap_or_else(PoisonError::into_inner).add(clock::now());
        if many {
            let after = [(header::RETRY_AFTER, WRONG_WITHIN.as_secs().to_string())];
            return (StatusCode::TOO_MANY_REQUESTS, after, said("too many wrong tokens"))
                .into_response();
        }
        self.deny(from, Denial::Unknown).await;
        unauthorized("show a token of [admin.tokens]")
    }

    async fn deny(&self, from: Option<IpAddr>, why: Denial) {
        tracing::warn!(?from, ?why, "turned away over HTTP");
        // A node that is stopping keeps no records.
        drop(self.to_node.send(ToNode::Denied(Denied { from, why })).await);
    }
}

/// Who shows a token that is good; or what is answered to anybody else.
async fn admit<'a>(
    api: &'a Api,
    peer: Option<IpAddr>,
    headers: &HeaderMap,
) -> Result<&'a (String, Token), Response> {
    let shown = headers.get(header::AUTHORIZATION).map(|value| value.as_bytes());
    let shown = shown.and_then(|value| value.strip_prefix(b"Bearer ")).unwrap_or_default();
    let Some(key) = api.keys.find(shown) else { return Err(api.turn_away(peer).await) };
    if key.1.is_over(Day::of(clock::unix_ms())) {
        api.deny(peer, Denial::Expired { token: key.0.clone() }).await;
        return Err(unauthorized("this token has expired: ask for a new one"));
    }
    Ok(key)
}

async fn ask(
    State(api): State<Api>,
    Extension(peer): Extension<Option<IpAddr>>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let (name, token) = match admit(&api, peer, &headers).await {
        Ok(key) => key,
        Err(refusal) => return refusal,
    };
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
        let (token, request) = (name.clone(), request.name());
        api.deny(peer, Denial::Role { token, request }).await;
        let text = format!("the token {name} may not: see its role, or use the command line");
        return (StatusCode::FORBIDDEN, said(&text)).into_response();
    }
    if let Request::Role { wish, .. } = &request
        && Forced::needs(wish)
        && let Some(answer) = api.say_again(name, wish, &headers)
    {
        return answer;
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

/// Drawn anew each time.
fn six_digits() -> Option<String> {
    let mut octets = [0; 4];
    rand_core::OsRng.try_fill_bytes(&mut octets).ok()?;
    Some(format!("{:06}", u32::from_ne_bytes(octets) % 1_000_000))
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
        | Request::SelfCall { .. }
        | Request::AgentList { .. }
        | Request::AgentAdd { .. }
        | Request::AgentDisable { .. }
        | Request::AgentUnlock { .. } => false,
    }
}

fn unauthorized(text: &str) -> Response {
    let scheme = [(header::WWW_AUTHENTICATE, "Bearer")];
    (StatusCode::UNAUTHORIZED, scheme, said(text)).into_response()
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
