//! `GET /api/events`: what happens to the cluster, as server-sent events, for whoever shows a
//! token. Each event has the object that a webhook gets as its data, and the same id at every node,
//! so a client that listens at several drops what it has.
//!
//! Nothing is kept for who is not connected: `status` says how things stand. A client that reads
//! too slowly loses its connection, and none holds the node up.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Extension, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use tokio::sync::mpsc;

use super::{Api, admit, said};
use crate::driver::ToNode;
use crate::driver::alerts::cloud_event;
use crate::node::Incident;

/// Clients at once.
pub(super) const CLIENTS_MAX: usize = 16;
/// Events that wait for one of them.
const WAITING_MAX: usize = 64;
/// A line that says nothing, so that both sides know that the other one is there.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

pub(super) async fn events(
    State(api): State<Api>,
    Extension(peer): Extension<Option<std::net::IpAddr>>,
    headers: HeaderMap,
) -> Response {
    if let Err(refusal) = admit(&api, peer, &headers).await {
        return refusal;
    }
    let Ok(room) = Arc::clone(&api.listeners).try_acquire_owned() else {
        let text = format!("{CLIENTS_MAX} clients listen already");
        return (StatusCode::SERVICE_UNAVAILABLE, said(&text)).into_response();
    };
    let (sender, news) = mpsc::channel(WAITING_MAX);
    if api.to_node.send(ToNode::Listen(sender)).await.is_err() {
        return (StatusCode::SERVICE_UNAVAILABLE, said("the node is stopping")).into_response();
    }
    let told = stream::unfold((news, room), |(mut news, room)| async move {
        let incident = news.recv().await?;
        Some((Ok::<_, Infallible>(event(&incident)), (news, room)))
    });
    Sse::new(told).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response()
}

fn event(incident: &Incident) -> Event {
    // Neither has a line break, which an event's fields cannot hold.
    Event::default().id(&incident.id).event(incident.kind).data(cloud_event(incident))
}
