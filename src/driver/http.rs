//! The ARI listener: everything under `/ari` becomes a question to the node, its answer a response.
//!
//! These tasks only translate. A request makes one hop to the event loop and one back; nothing is
//! looked at here beside the size of the body and whether it asks for a WebSocket. Paths and
//! queries are never logged: they carry `api_key`.
//!
//! Every answer says in a header whether this node acts, the one to `GET /role` says nothing else
//! and asks for no password: that is how a relay knows where requests go.

mod tls;

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{FromRequestParts, State, WebSocketUpgrade};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header};
use bytes::Bytes;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::links::{Accepted, Answer, Links};
use super::{ToNode, ari_socket, tune};
use crate::ivr;
use crate::redact::Redacted;

pub use tls::Door;

/// Body of a request, and message on a WebSocket.
pub(super) const BODY_MAX: usize = 64 * 1024;
/// Request line and headers together.
const HEAD_MAX: usize = 32 * 1024;
/// Header lines.
const HEADERS_MAX: usize = 64;
/// TCP connections at once. A client opens up to eight for its API descriptions and a few for its
/// calls; more of them wait in the backlog of the listener.
const CONNECTIONS_MAX: usize = 2_048;
/// A connection without a request is kept this long, for clients that reuse connections.
const IDLE_MAX: Duration = Duration::from_secs(120);
/// A body that takes longer has no sender any more.
const BODY_TIME_MAX: Duration = Duration::from_secs(10);
/// Sent bytes that are not acknowledged for so long end the connection: its host is gone.
pub(super) const USER_TIMEOUT: Duration = Duration::from_secs(3);

/// Says whether this node acts: a word of [`Standing`](super::Standing).
pub(super) const ROLE: HeaderName = HeaderName::from_static("portkeeper-role");
/// Where nothing but that is asked.
pub(super) const ROLE_PATH: &str = "/role";

/// Serves ARI on a listener until the task is dropped.
pub async fn serve(listener: TcpListener, links: Arc<Links>) -> Infallible {
    serve_router(listener, Router::new().fallback(handle).with_state(links)).await
}

/// The same over TLS.
pub async fn serve_tls(listener: TcpListener, links: Arc<Links>, door: Door) -> Infallible {
    let router = Router::new().fallback(handle).with_state(links);
    serve_router_tls(listener, door, |_| router.clone()).await
}

/// Serves on a listener over TLS, within the bounds above, until the task is dropped; `router_for`
/// is asked for each connection.
pub(super) async fn serve_router_tls(
    listener: TcpListener,
    mut door: Door,
    router_for: impl Fn(Option<IpAddr>) -> Router,
) -> Infallible {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let permit = Arc::clone(&room).acquire_owned().await;
        let stream = accept(&listener).await;
        let peer = stream.peer_addr().ok().map(|peer| peer.ip());
        let (handshake, router) = (door.next(), router_for(peer));
        tokio::spawn(async move {
            let _permit = permit;
            match handshake.shake(stream).await {
                Ok(stream) => serve_connection(stream, router).await,
                Err(error) => tracing::debug!(%error, "connection without TLS"),
            }
        });
    }
}

/// Serves on a listener, within the bounds above, until the task is dropped.
pub(super) async fn serve_router(listener: TcpListener, router: Router) -> Infallible {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        // Never closed, so the error cannot occur; without a permit the connection ends at once.
        let permit = Arc::clone(&room).acquire_owned().await;
        let stream = accept(&listener).await;
        let router = router.clone();
        tokio::spawn(async move {
            let _permit = permit;
            serve_connection(stream, router).await;
        });
    }
}

async fn serve_connection<S>(stream: S, router: Router)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE_MAX)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEAD_MAX)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
        .with_upgrades();
    if let Err(error) = connection.await {
        tracing::debug!(%error, "ARI connection ended");
    }
}

/// The next connection. Running out of file descriptors is waited out.
pub(super) async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                if let Err(error) = tune(&stream, USER_TIMEOUT) {
                    tracing::debug!(%error, "socket options of a connection");
                }
                return stream;
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn handle(State(links): State<Arc<Links>>, request: Request<Body>) -> Response<Body> {
    let mut response = answer(&links, request).await;
    let role = HeaderValue::from_static(links.standing().word());
    response.headers_mut().insert(ROLE, role);
    response
}

async fn answer(links: &Arc<Links>, request: Request<Body>) -> Response<Body> {
    let (mut parts, body) = request.into_parts();
    let path = parts.uri.path();
    if path == ROLE_PATH {
        return Response::new(Body::from(links.standing().word()));
    }
    if path != "/ari" && !path.starts_with("/ari/") {
        return message(StatusCode::NOT_FOUND, "Resource not found");
    }
    if path == "/ari/events" && parts.headers.contains_key(header::UPGRADE) {
        if let Ok(upgrade) = WebSocketUpgrade::from_request_parts(&mut parts, &()).await {
            return handle_upgrade(links, &parts, upgrade).await;
        }
        return message(StatusCode::BAD_REQUEST, "Not a WebSocket handshake");
    }
    let body = match read_body(body).await {
        Ok(body) => body,
        Err(refusal) => return refusal,
    };
    let (request, answer) = links.ask();
    let http = question(&parts, body);
    let told = links.tell(ToNode::ivr(ivr::Input::Request { request, http })).await;
    match (told, answer.await) {
        (Ok(()), Ok(Answer::Respond(answer))) => response(answer),
        _ => stopping(),
    }
}

/// The body of a request, or what to answer when it is too long or does not come.
pub(super) async fn read_body(body: Body) -> Result<Bytes, Response<Body>> {
    match tokio::time::timeout(BODY_TIME_MAX, to_bytes(body, BODY_MAX)).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(_)) => Err(message(StatusCode::PAYLOAD_TOO_LARGE, "Body over 64 KiB")),
        Err(_) => Err(message(StatusCode::REQUEST_TIMEOUT, "Body did not arrive")),
    }
}

async fn handle_upgrade(
    links: &Arc<Links>,
    parts: &Parts,
    upgrade: WebSocketUpgrade,
) -> Response<Body> {
    let (request, answer) = links.ask();
    let instance = links.next_instance();
    let http = question(parts, Bytes::new());
    let told = links.tell(ToNode::ivr(ivr::Input::Upgrade { request, instance, http })).await;
    match (told, answer.await) {
        (Ok(()), Ok(Answer::Respond(answer))) => response(answer),
        (Ok(()), Ok(Answer::Accept(accepted))) => open(upgrade, accepted),
        _ => stopping(),
    }
}

/// Answers 101. If the handshake fails, dropping `accepted` tells the node.
fn open(mut upgrade: WebSocketUpgrade, accepted: Accepted) -> Response<Body> {
    if let Some(protocol) = accepted.protocol {
        upgrade.set_selected_protocol(HeaderValue::from_static(protocol));
    }
    upgrade
        .max_message_size(BODY_MAX)
        .max_frame_size(BODY_MAX)
        .on_upgrade(|socket| ari_socket::serve(socket, accepted))
}

fn question(parts: &Parts, body: Bytes) -> ivr::Request {
    let uri = parts.uri.path_and_query().map_or("/", |uri| uri.as_str());
    let host = text(&parts.headers, &header::HOST);
    ivr::Request {
        method: parts.method.as_str().to_owned(),
        uri: Redacted::new(uri.to_owned()),
        host: host.or_else(|| parts.uri.authority().map(ToString::to_string)).unwrap_or_default(),
        authorization: text(&parts.headers, &header::AUTHORIZATION).map(Redacted::new),
        content_type: text(&parts.headers, &header::CONTENT_TYPE),
        protocols: text(&parts.headers, &header::SEC_WEBSOCKET_PROTOCOL),
        body,
    }
}

fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

fn response(answer: ivr::Response) -> Response<Body> {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    if !answer.body.is_empty() {
        let json = HeaderValue::from_static("application/json");
        response.headers_mut().insert(header::CONTENT_TYPE, json);
        *response.body_mut() = Body::from(answer.body);
    }
    for (name, value) in answer.headers {
        let name = HeaderName::from_bytes(name.as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(&value)) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

/// ARI's form of an error.
pub(super) fn message(status: StatusCode, text: &'static str) -> Response<Body> {
    let body = serde_json::json!({ "message": text }).to_string();
    response(ivr::Response { status: status.as_u16(), headers: Vec::new(), body })
}

fn stopping() -> Response<Body> {
    message(StatusCode::SERVICE_UNAVAILABLE, "The node is stopping")
}

#[cfg(test)]
mod tests;
