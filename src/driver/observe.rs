//! The observation listener: `/metrics` for a scraper, `/livez` and `/readyz` for a supervisor or
//! a load balancer; and beside them whatever [`api`](super::api) serves.
//!
//! `/livez` is answered from progress counters and works while the event loop does not; the other
//! two ask the node for a snapshot.

use std::convert::Infallible;
use std::net::IpAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::progress::Progress;
use super::{ToNode, http};
use crate::admin;
use crate::node::Snapshot;

/// Connections at once: a scraper or two and a supervisor.
const CONNECTIONS_MAX: usize = 64;
/// A node that gives no snapshot within this time is not alive.
const SNAPSHOT_WITHIN: Duration = Duration::from_secs(2);

#[derive(Clone)]
struct Sources {
    to_node: mpsc::Sender<ToNode>,
    progress: Progress,
}

/// Serves the pages on a listener until the task is dropped.
pub async fn serve(
    listener: TcpListener,
    to_node: mpsc::Sender<ToNode>,
    progress: Progress,
    api_for: impl Fn(Option<IpAddr>) -> Router,
) -> Infallible {
    let router = Router::new()
        .route("/metrics", get(metrics))
        .route("/livez", get(live))
        .route("/readyz", get(ready))
        .with_state(Sources { to_node, progress });
    let room = std::sync::Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let permit = std::sync::Arc::clone(&room).acquire_owned().await;
        let stream = http::accept(&listener).await;
        let peer = stream.peer_addr().ok().map(|peer| peer.ip());
        let service = TowerToHyperService::new(router.clone().merge(api_for(peer)));
        tokio::spawn(async move {
            let _permit = permit;
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(Duration::from_secs(60))
                .serve_connection(TokioIo::new(stream), service);
            if let Err(error) = connection.await {
                tracing::debug!(%error, "observer's connection ended");
            }
        });
    }
}

/// A snapshot of the node, or `None` if it gives none in time.
pub async fn snapshot(to_node: &mpsc::Sender<ToNode>) -> Option<Box<Snapshot>> {
    let (sender, receiver) = oneshot::channel();
    let asked = async {
        to_node.send(ToNode::Snapshot(sender)).await.ok()?;
        receiver.await.ok()
    };
    tokio::time::timeout(SNAPSHOT_WITHIN, asked).await.ok().flatten()
}

async fn metrics(State(sources): State<Sources>) -> Response {
    let Some(snapshot) = snapshot(&sources.to_node).await else { return stuck() };
    match admin::metrics::render(*snapshot) {
        Ok(page) => ([(header::CONTENT_TYPE, admin::metrics::CONTENT_TYPE)], page).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn live(State(sources): State<Sources>) -> Response {
    match sources.progress.stuck() {
        None => "alive\n".into_response(),
        Some(part) => {
            let text = format!("{part} makes no progress\n");
            (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
        }
    }
}

async fn ready(State(sources): State<Sources>) -> Response {
    let Some(snapshot) = snapshot(&sources.to_node).await else { return stuck() };
    let reasons = admin::not_ready(&snapshot);
    if reasons.is_empty() {
        return "ready\n".into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, reasons.join("\n") + "\n").into_response()
}

fn stuck() -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, "the event loop does not answer\n").into_response()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;
    use crate::driver::to_node_channel;

    /// Asks for a page; a task plays the node, and answers with a default snapshot or not at all.
    async fn page(path: &str, node_answers: bool, progress: Progress) -> String {
        let (to_node, mut inbox) = to_node_channel();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        tokio::spawn(serve(listener, to_node, progress, |_| Router::new()));
        tokio::spawn(async move {
            while let Some(message) = inbox.recv().await {
                if let (ToNode::Snapshot(reply), true) = (message, node_answers) {
                    let _ = reply.send(Box::default());
                }
            }
        });
        let mut stream = TcpStream::connect(address).await.expect("listening");
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("text");
        answer
    }

    #[tokio::test]
    async fn metrics_are_openmetrics_text() {
        let answer = page("/metrics", true, Progress::default()).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(answer.contains("content-type: application/openmetrics-text"), "{answer}");
        assert!(answer.contains("portkeeper_calls_total 0\n") && answer.contains("# EOF"));
    }

    #[tokio::test]
    async fn a_node_without_ports_and_instances_is_not_ready_and_says_why() {
        let answer = page("/readyz", true, Progress::default()).await;
        assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
        assert!(answer.contains("no port is registered") && answer.contains("no instance"));
    }

    #[tokio::test]
    async fn a_silent_event_loop_is_not_ready_but_known_as_such() {
        let answer = page("/readyz", false, Progress::default()).await;
        assert!(answer.contains("the event loop does not answer"), "{answer}");
    }

    #[tokio::test]
    async fn a_part_without_progress_is_named() {
        let counter = Arc::new(AtomicU64::new(0));
        let mut progress = Progress::default();
        progress.watch("event loop", Arc::clone(&counter));
        counter.fetch_add(1, Ordering::Relaxed);
        progress.check();
        assert!(page("/livez", false, progress.clone()).await.ends_with("alive\n"));
        progress.check();
        let answer = page("/livez", false, progress).await;
        assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
        assert!(answer.ends_with("event loop makes no progress\n"), "{answer}");
    }
}
