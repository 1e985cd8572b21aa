//! The applications: each process is connected to both nodes.

use bytes::Bytes;

use super::checks::Kind;
use super::client::{Client, Connection, Frame, Life};
use super::site::{A, B, NAMES};
use super::world::{Event, World};
use crate::ids::{InstanceId, RequestId};
use crate::ivr;
use crate::node::{self, Mark};
use crate::redact::Redacted;
use crate::sim::app;
use crate::sim::checks::{Wish, field, kind, status, token};
use crate::timers::Duration;

/// A node that has run for so long has said what it had to say.
const SAID: Duration = Duration::from_millis(20);

impl World {
    /// Applications ask for their WebSockets.
    pub(super) fn connect_clients(&mut self) {
        for client in 0..self.clients.len() {
            for host in [A, B] {
                let free = self.clients[client].connections[host].is_none();
                let runs = self.clients[client].life == Life::Running;
                let alive = self.hosts[host].stopped.is_none();
                let run = self.hosts[host].process.as_ref().map(|process| process.run);
                if let Some(run) = run.filter(|_| free && runs && alive) {
                    self.connect_client(client, host, run);
                }
            }
        }
    }

    fn connect_client(&mut self, client: usize, host: usize, run: u64) {
        let id = InstanceId(self.number());
        let request = RequestId(id.0);
        self.clients[client].connections[host] = Some(Connection::new(id, run));
        let uri = format!("/ari/events?app=main&api_key={}", crate::sim::site::api_key());
        let http = ivr::Request {
            method: "GET".into(),
            uri: Redacted::new(uri),
            host: "10.0.0.2".into(),
            authorization: None,
            content_type: None,
            protocols: None,
            body: Bytes::new(),
        };
        let upgrade = node::Input::Ivr(ivr::Input::Upgrade { request, instance: id, http });
        let event = Event::ToNode { host, run, input: Box::new(upgrade) };
        self.queue.push(self.now + Duration::from_millis(1), event);
    }

    fn client_of(&self, host: usize, id: InstanceId) -> Option<usize> {
        let of = |client: &Client| {
            client.connections[host].as_ref().is_some_and(|connection| connection.id == id)
        };
        self.clients.iter().position(of)
    }

    /// A node accepts a WebSocket.
    pub(super) fn accepted(&mut self, host: usize, id: InstanceId) {
        let Some(client) = self.client_of(host, id) else { return };
        if let Some(connection) = self.clients[client].connection(host, id) {
            connection.open = true;
        }
    }

    /// A node sends an event or an answer. The offer of a call leaves under the lease only.
    pub(super) fn send_text(
        &mut self,
        host: usize,
        to: InstanceId,
        text: String,
        mark: Option<Mark>,
    ) {
        if mark.is_some() && !self.hosts[host].may_claim(self.now) {
            return;
        }
        if kind(&text) == "RESTResponse" {
            self.answered(host, to, &text);
        }
        self.write(host, to, Frame::Text(text));
        if let Some(mark) = mark {
            let at = self.hosts[host].clock.local(self.now);
            let written = Box::new(node::Input::Written { mark, at });
            let run = self.hosts[host].process.as_ref().map_or(0, |process| process.run);
            let when = self.now + Duration::from_micros(30);
            self.queue.push(when, Event::ToNode { host, run, input: written });
        }
    }

    /// A node pings.
    pub(super) fn send_ping(&mut self, host: usize, to: InstanceId) {
        self.write(host, to, Frame::Ping);
    }

    fn write(&mut self, host: usize, to: InstanceId, frame: Frame) {
        let Some(client) = self.client_of(host, to) else { return };
        let (now, dice) = (self.now, &mut self.dice);
        let Some(connection) = self.clients[client].connection(host, to) else { return };
        let arrival = connection.down(now, dice);
        self.queue.push(arrival, Event::ToClient { client, host, id: to, frame });
    }

    /// What the owner said of keys was taken, or not.
    fn answered(&mut self, host: usize, to: InstanceId, text: &str) {
        let name = field(text, r#""request_id":""#).unwrap_or_default().to_owned();
        let Some(asked) = self.wishes.remove(&(to, name)) else { return };
        let Some(wish) = Wish::read(&asked) else { return };
        let Some((call, _)) = token(wish.channel) else { return };
        let Some(track) = self.checks.calls.named(call) else { return };
        // A node that does not know yet that another one has the call answers, too.
        if track.live.is_some_and(|live| live != (host, to.0)) {
            return;
        }
        match status(text) {
            Some(200..=299) => {}
            Some(429) => return track.was_throttled(),
            _ => return,
        }
        if let Some(value) = wish.variable("GW_CHECKPOINT") {
            track.checkpoint(value);
        }
        let Some(count) = wish.variable("GW_ACK") else { return };
        if let Err(text) = track.acknowledge(count) {
            self.fail(Kind::Other, format!("{}: {text}", NAMES[host]));
        }
    }

    /// A frame arrives at an application.
    pub(super) fn client_hears(
        &mut self,
        client: usize,
        host: usize,
        id: InstanceId,
        frame: Frame,
    ) {
        match &frame {
            Frame::Ping => {}
            Frame::Closed => self.checks.calls.closed(host, id.0),
            Frame::Text(text) => self.one_channel(host, id, text),
        }
        let life = self.clients[client].life;
        if life == Life::Frozen || life == Life::Hung && !matches!(frame, Frame::Ping) {
            return self.clients[client].inbox.push_back((host, id, frame));
        }
        self.client_handles(client, host, id, frame);
    }

    fn client_handles(&mut self, client: usize, host: usize, id: InstanceId, frame: Frame) {
        match frame {
            Frame::Ping => self.client_says(client, host, id, None),
            Frame::Closed => {
                let connection = &mut self.clients[client].connections[host];
                drop(connection.take_if(|connection| connection.id == id));
            }
            Frame::Text(text) => self.client_works(client, host, id, &text),
        }
    }

    fn client_works(&mut self, client: usize, host: usize, id: InstanceId, text: &str) {
        let Some(connection) = self.clients[client].connection(host, id) else { return };
        connection.app.handle_text(text);
        while let Some(connection) = self.clients[client].connection(host, id) {
            let Some(output) = connection.app.poll_output() else { return };
            if let app::Output::Text(text) = output {
                self.client_says(client, host, id, Some(text));
            }
        }
    }

    /// An application never sees two live channels of one call, unless the node that had it could
    /// not tell.
    fn one_channel(&mut self, host: usize, id: InstanceId, text: &str) {
        let starts = match kind(text) {
            "StasisStart" => true,
            "StasisEnd" => false,
            _ => return,
        };
        let Some(channel) = field(text, r#""channel":{"id":""#).and_then(token) else { return };
        let Some(track) = self.checks.calls.named(channel.0) else { return };
        if !starts {
            track.live = track.live.filter(|live| *live != (host, id.0));
            return;
        }
        let before = track.live.replace((host, id.0));
        let known = field(text, r#""GW_CHECKPOINT":""#).unwrap_or_default();
        let told = track.offered(channel.1, known);
        let port = crate::sim::site::extension(track.port);
        self.note_of(host, &format!("offers {port} as {}", channel.1));
        if let Err(text) = told {
            self.fail(Kind::Other, format!("{port}: {text}"));
        }
        if let Some((other, before)) = before.filter(|(other, _)| *other != host)
            && !self.hosts[host].is_excused(self.now)
            && self.could_tell(other, InstanceId(before))
        {
            let text = format!("{port} has a live channel at both nodes");
            self.fail(Kind::Dual, text);
        }
    }

    /// Whether a node that lost a call had the time to say so on this connection.
    fn could_tell(&self, at: usize, id: InstanceId) -> bool {
        let host = &self.hosts[at];
        let connection = |client: &Client| {
            let connection = client.connections[at].as_ref().filter(|c| c.id == id)?;
            Some(connection.run)
        };
        let run = self.clients.iter().find_map(connection);
        let runs = host.stopped.is_none() && host.well_since + SAID <= self.now;
        let same = run.is_some() && host.process.as_ref().map(|process| process.run) == run;
        runs && same && !host.is_excused(self.now)
    }

    /// An application sends a request, or a pong.
    fn client_says(&mut self, client: usize, host: usize, id: InstanceId, text: Option<String>) {
        let (now, dice) = (self.now, &mut self.dice);
        let Some(connection) = self.clients[client].connection(host, id) else { return };
        let (run, arrival) = (connection.run, connection.up(now, dice));
        self.queue.push(arrival, Event::FromClient { host, run, id, text });
    }

    /// It arrives at the node.
    pub(super) fn client_asks(
        &mut self,
        host: usize,
        run: u64,
        instance: InstanceId,
        text: Option<String>,
    ) {
        if self.process(host, run).is_none() || self.client_of(host, instance).is_none() {
            return;
        }
        let Some(text) = text else {
            return self.tell(host, node::Input::Pong { instance });
        };
        if text.contains("GW_CHECKPOINT") || text.contains("GW_ACK") {
            let name = field(&text, r#""request_id":""#).unwrap_or_default().to_owned();
            self.wishes.insert((instance, name), text.clone());
        }
        self.tell(host, node::Input::Ivr(ivr::Input::Text { instance, text }));
    }

    /// The connections of a process of a node end; `said`: its kernel says so at once.
    pub(super) fn connections_end(&mut self, host: usize, run: u64, said: bool) {
        for client in 0..self.clients.len() {
            let connection = self.clients[client].connections.get_mut(host);
            let connection = connection.and_then(|connection| connection.as_mut());
            let Some(connection) = connection.filter(|connection| connection.run == run) else {
                continue;
            };
            let (id, frame) = (connection.id, Frame::Closed);
            let arrival = connection.down(self.now, &mut self.dice);
            let arrival = if said { arrival } else { arrival + Duration::from_millis(1_500) };
            self.queue.push(arrival, Event::ToClient { client, host, id, frame });
        }
    }

    /// An application process ends, and another one begins.
    pub(super) fn client_crashes(&mut self, client: usize) {
        let old = std::mem::replace(&mut self.clients[client], Client::new());
        for (host, connection) in old.connections.into_iter().enumerate() {
            let Some(mut connection) = connection else { continue };
            self.checks.calls.closed(host, connection.id.0);
            let arrival = connection.up(self.now, &mut self.dice);
            let closed = node::Input::Ivr(ivr::Input::Closed { instance: connection.id });
            let event = Event::ToNode { host, run: connection.run, input: Box::new(closed) };
            self.queue.push(arrival, event);
        }
    }

    /// An application runs on: it handles what has come meanwhile.
    pub(super) fn client_heals(&mut self, client: usize) {
        if self.clients[client].life == Life::Running {
            return;
        }
        self.clients[client].life = Life::Running;
        while let Some((host, id, frame)) = self.clients[client].inbox.pop_front() {
            self.client_handles(client, host, id, frame);
        }
    }
}
