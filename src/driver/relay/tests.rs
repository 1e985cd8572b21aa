//! The relay on real sockets, between clients and listeners behind which the test plays the node.

use axum::http::HeaderValue;
use futures_util::{FutureExt, SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::*;
use crate::driver::{Links, Standing, ToNode, http, to_node_channel};
use crate::ids::{InstanceId, RequestId};
use crate::ivr;

const PATIENCE: Duration = Duration::from_secs(10);
/// What has not come by then does not come.
const A_WHILE: Duration = Duration::from_millis(150);

/// A node as the network sees it: a real listener on a runtime that can be killed.
struct Node {
    runtime: Option<Runtime>,
    address: SocketAddr,
    links: Arc<Links>,
    inbox: mpsc::Receiver<ToNode>,
}

impl Node {
    async fn start(role: Standing) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let (to_node, inbox) = to_node_channel();
        let (tell, told) = oneshot::channel();
        runtime.spawn(async move {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
            let links = Links::new(to_node, 1);
            links.set_standing(role);
            let address = listener.local_addr().expect("bound");
            assert!(tell.send((address, Arc::clone(&links))).is_ok());
            http::serve(listener, links).await
        });
        let (address, links) = told.await.expect("it listens");
        Self { runtime: Some(runtime), address, links, inbox }
    }

    /// Every connection ends at once, and nothing listens any more.
    fn kill(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }

    async fn next(&mut self) -> ToNode {
        loop {
            let next = timeout(PATIENCE, self.inbox.recv()).await;
            match next.expect("in time").expect("the listener lives") {
                ToNode::Written { .. } | ToNode::Unsent { .. } => {}
                other => return other,
            }
        }
    }

    async fn next_request(&mut self) -> (RequestId, ivr::Request) {
        match self.next().await {
            ToNode::Ivr(input) => match *input {
                ivr::Input::Request { request, http } => (request, http),
                other => panic!("not a request: {other:?}"),
            },
            other => panic!("not a request: {other:?}"),
        }
    }

    async fn next_text(&mut self) -> Value {
        match self.next().await {
            ToNode::Text { text, .. } => serde_json::from_str(&text).expect("JSON"),
            other => panic!("not a text: {other:?}"),
        }
    }

    async fn next_upgrade(&mut self) -> (RequestId, InstanceId, ivr::Request) {
        match self.next().await {
            ToNode::Ivr(input) => match *input {
                ivr::Input::Upgrade { request, instance, http } => (request, instance, http),
                other => panic!("not a handshake: {other:?}"),
            },
            other => panic!("not a handshake: {other:?}"),
        }
    }

    /// Accepts the next WebSocket.
    async fn accept(&mut self) -> InstanceId {
        let (request, instance, http) = self.next_upgrade().await;
        let protocol = http.protocols.is_some().then_some("ari");
        self.links.accept(request, instance, protocol);
        instance
    }

    fn respond(&self, request: RequestId, status: u16, body: &str) {
        let response = ivr::Response { status, headers: Vec::new(), body: body.to_owned() };
        self.links.respond(request, response);
    }

    fn tell(&self, instance: InstanceId, event: &Value) {
        self.links.text(instance, event.to_string(), None).expect("room");
    }

    /// Nothing reaches the node.
    async fn hears_nothing(&mut self) {
        let heard = timeout(A_WHILE, self.next()).await;
        assert!(heard.is_err(), "{heard:?}");
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Two nodes, the first of which acts, and a relay in front of them.
struct Stage {
    a: Node,
    b: Node,
    relay: Arc<Relay>,
    address: SocketAddr,
    _tasks: JoinSet<()>,
}

type Client = tokio_tungstenite::WebSocketStream<TcpStream>;

impl Stage {
    async fn new() -> Self {
        Self::with_roles(Standing::Primary, Standing::Backup).await
    }

    async fn with_roles(a: Standing, b: Standing) -> Self {
        let (a, b) = (Node::start(a).await, Node::start(b).await);
        let options = options(&[a.address, b.address]);
        let listener = TcpListener::bind(options.listen).await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let relay = Relay::start(hub(&options).expect("two nodes"));
        let mut tasks = JoinSet::new();
        relay.spawn(&mut tasks, listener);
        let stage = Self { a, b, relay, address, _tasks: tasks };
        stage.knows(|states| !states.contains(&hub::State::Lost)).await;
        stage
    }

    /// Waits until the relay knows something of the nodes.
    async fn knows(&self, is_so: impl Fn(&Vec<hub::State>) -> bool) {
        let mut states = self.relay.hub.states();
        let known = timeout(PATIENCE, states.wait_for(is_so)).await;
        known.expect("in time").expect("the hub lives");
    }

    async fn promote_b(&self) {
        self.b.links.set_standing(Standing::Primary);
        self.knows(|states| states[1] == hub::State::Acts).await;
    }

    /// Connects a client, which both nodes accept.
    async fn client(&mut self) -> (Client, InstanceId, InstanceId) {
        let stream = TcpStream::connect(self.address).await.expect("listening");
        let url = format!("ws://{}/ari/events?app=main&api_key=u:p", self.address);
        let mut shake = url.into_client_request().expect("valid");
        let protocol = HeaderValue::from_static("ari");
        shake.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, protocol);
        let shake = tokio::spawn(tokio_tungstenite::client_async(shake, stream));
        let at_a = self.a.accept().await;
        let at_b = self.b.accept().await;
        let (client, answer) = shake.await.expect("no panic").expect("accepted");
        assert_eq!(answer.headers()[header::SEC_WEBSOCKET_PROTOCOL], "ari");
        (client, at_a, at_b)
    }

    async fn http(&self, head: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.expect("listening");
        let text = format!("{head} HTTP/1.1\r\nHost: ivr-host:8088\r\nContent-Length: 0\r\n\r\n");
        stream.write_all(text.as_bytes()).await.expect("sent");
        stream
    }

    async fn status(&self, head: &str) -> String {
        read_until(&mut self.http(head).await, "\r\n\r\n").await
    }
}

fn options(nodes: &[SocketAddr]) -> Options {
    let nodes = nodes.iter().map(|node| node.to_string().parse().expect("an address")).collect();
    Options {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        listen_anywhere: false,
        nodes,
        ca: None,
        log: config::Log::default(),
    }
}

/// Reads until the text holds `end`.
async fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut read = String::new();
    while !read.contains(end) {
        let mut some = [0; 1024];
        let n = timeout(PATIENCE, stream.read(&mut some)).await;
        let n = n.expect("in time").expect("readable");
        assert_ne!(n, 0, "closed after {read:?}");
        read += &String::from_utf8_lossy(&some[..n]);
    }
    read
}

/// The next event or answer that a client gets; pings are answered on the way.
async fn next_text(client: &mut Client) -> Value {
    loop {
        let next = timeout(PATIENCE, client.next()).await.expect("in time");
        match next.expect("the relay holds the connection").expect("valid") {
            Message::Text(text) => return serde_json::from_str(&text).expect("JSON"),
            Message::Ping(_) => client.flush().await.expect("the pong leaves"),
            other => panic!("{other:?}"),
        }
    }
}

fn start(id: &str) -> Value {
    json!({"type": "StasisStart", "asterisk_id": "pk", "channel": {"id": id}})
}

fn request(id: &str, method: &str, uri: &str) -> Message {
    let kind = "RESTRequest";
    let request = json!({"type": kind, "request_id": id, "method": method, "uri": uri});
    Message::text(request.to_string())
}

#[tokio::test]
async fn a_client_keeps_its_connection_when_a_node_dies_and_is_served_by_the_other() {
    let mut stage = Stage::new().await;
    let (mut client, at_a, at_b) = stage.client().await;
    stage.a.tell(at_a, &start("5f-1.1"));
    assert_eq!(next_text(&mut client).await["channel"]["id"], "5f-1.1");
    stage.a.kill();
    stage.promote_b().await;
    stage.b.tell(at_b, &start("5f-1.2"));
    assert_eq!(next_text(&mut client).await["channel"]["id"], "5f-1.2");
    for (id, uri) in [("1", "channels/5f-1.2/answer"), ("2", "channels/5f-1.1/answer")] {
        client.send(request(id, "POST", uri)).await.expect("sent");
        assert_eq!(stage.b.next_text().await["uri"], uri, "a stale id is the node's to refuse");
    }
    let mut stream = stage.http("POST /ari/channels/5f-1.2/play?media=sound:x").await;
    let (asked, http) = stage.b.next_request().await;
    assert_eq!(http.uri.reveal(), "/ari/channels/5f-1.2/play?media=sound:x");
    assert_eq!(http.host, "ivr-host:8088", "descriptions name the relay");
    stage.b.respond(asked, 404, "{\"message\":\"Channel not found\"}");
    assert!(read_until(&mut stream, "}").await.starts_with("HTTP/1.1 404"));
}

#[tokio::test]
async fn a_frozen_client_answers_no_ping_and_a_live_one_answers_the_node_that_asked() {
    let mut stage = Stage::new().await;
    let (mut client, at_a, _) = stage.client().await;
    stage.a.links.ping(at_a);
    stage.a.hears_nothing().await;
    stage.a.tell(at_a, &start("5f-1.1"));
    next_text(&mut client).await;
    let pong = stage.a.next().await;
    assert!(matches!(pong, ToNode::Pong { instance } if instance == at_a), "{pong:?}");
    stage.b.hears_nothing().await;
    client.send(Message::Ping("mine".into())).await.expect("sent");
    let answer = timeout(PATIENCE, client.next()).await.expect("in time");
    assert!(matches!(answer, Some(Ok(Message::Pong(payload))) if &payload[..] == b"mine"));
    stage.a.hears_nothing().await;
}

#[tokio::test]
async fn the_refusal_of_every_node_is_passed_on() {
    let mut stage = Stage::new().await;
    let stream = TcpStream::connect(stage.address).await.expect("listening");
    let url = format!("ws://{}/ari/events?app=main", stage.address);
    let shake = tokio::spawn(tokio_tungstenite::client_async(url, stream));
    for node in [&mut stage.a, &mut stage.b] {
        let (asked, _, _) = node.next_upgrade().await;
        node.respond(asked, 401, "{\"message\":\"who\"}");
    }
    let Err(Error::Http(answer)) = shake.await.expect("no panic") else {
        panic!("not refused");
    };
    assert_eq!(answer.status(), 401);
    assert_eq!(answer.body().as_deref(), Some(&b"{\"message\":\"who\"}"[..]));
}

#[tokio::test]
async fn a_node_that_is_away_at_first_is_connected_to_when_it_is_there() {
    let mut stage = Stage::new().await;
    let stream = TcpStream::connect(stage.address).await.expect("listening");
    let url = format!("ws://{}/ari/events?app=main", stage.address);
    let shake = tokio::spawn(tokio_tungstenite::client_async(url, stream));
    let (asked, _, _) = stage.b.next_upgrade().await;
    stage.b.respond(asked, 503, "{}");
    stage.a.accept().await;
    let (mut client, _) = shake.await.expect("no panic").expect("one node is enough");
    let at_b = stage.b.accept().await;
    stage.b.tell(at_b, &start("5f-2.1"));
    assert_eq!(next_text(&mut client).await["channel"]["id"], "5f-2.1");
}

#[tokio::test]
async fn what_a_node_had_when_it_died_goes_to_another_one_only_if_it_reads() {
    let mut stage = Stage::new().await;
    let mut command = stage.http("POST /ari/channels?endpoint=SIP/2001&app=main").await;
    stage.a.next_request().await;
    let mut look = stage.http("GET /ari/channels").await;
    stage.a.next_request().await;
    stage.a.kill();
    let answer = read_until(&mut command, "}").await;
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains(rest::LOST), "{answer}");
    stage.b.hears_nothing().await;
    stage.promote_b().await;
    let (asked, http) = stage.b.next_request().await;
    assert_eq!((http.method.as_str(), http.uri.reveal().as_str()), ("GET", "/ari/channels"));
    stage.b.respond(asked, 200, "[{}]");
    assert!(read_until(&mut look, "[{}]").await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn the_same_holds_for_requests_over_the_websocket() {
    let mut stage = Stage::new().await;
    let (mut client, _, _) = stage.client().await;
    for (id, method, uri) in [("1", "POST", "channels"), ("2", "GET", "channels")] {
        client.send(request(id, method, uri)).await.expect("sent");
        assert_eq!(stage.a.next_text().await["request_id"], id);
    }
    stage.a.kill();
    let refused = next_text(&mut client).await;
    assert_eq!((&refused["request_id"], &refused["status_code"]), (&"1".into(), &503.into()));
    assert_eq!(refused["application"], "main");
    stage.promote_b().await;
    assert_eq!(stage.b.next_text().await["request_id"], "2");
    stage.b.hears_nothing().await;
}

#[tokio::test]
async fn a_request_waits_for_the_promotion_that_is_under_way() {
    let mut stage = Stage::with_roles(Standing::Backup, Standing::Backup).await;
    assert!(stage.status("GET /readyz").await.starts_with("HTTP/1.1 503"));
    let mut stream = stage.http("POST /ari/channels?endpoint=SIP/2001&app=main").await;
    stage.a.hears_nothing().await;
    stage.promote_b().await;
    let (asked, _) = stage.b.next_request().await;
    stage.b.respond(asked, 200, "{}");
    assert!(read_until(&mut stream, "{}").await.starts_with("HTTP/1.1 200"));
    assert!(stage.status("GET /readyz").await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_node_that_says_that_it_does_not_act_has_done_nothing() {
    let mut stage = Stage::new().await;
    let mut stream = stage.http("POST /ari/channels?endpoint=SIP/2001&app=main").await;
    let (asked, _) = stage.a.next_request().await;
    stage.a.links.set_standing(Standing::Backup);
    stage.b.links.set_standing(Standing::Primary);
    stage.a.respond(asked, 503, "{\"message\":\"This node is not primary\"}");
    let (asked, _) = stage.b.next_request().await;
    stage.b.respond(asked, 200, "{}");
    assert!(read_until(&mut stream, "{}").await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn descriptions_come_from_a_node_that_does_not_act_if_no_other_is_there() {
    let mut stage = Stage::new().await;
    stage.a.kill();
    stage.knows(|states| states[0] == hub::State::Lost).await;
    let mut stream = stage.http("GET /ari/api-docs/resources.json").await;
    let (asked, _) = stage.b.next_request().await;
    stage.b.respond(asked, 200, "{}");
    assert!(read_until(&mut stream, "{}").await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_client_that_sends_too_much_loses_its_connection_and_nobody_else_does() {
    let mut stage = Stage::new().await;
    let (mut loud, at_a, _) = stage.client().await;
    let (mut quiet, quiet_at_a, _) = stage.client().await;
    let _ = loud.send(Message::text("x".repeat(70_000))).await;
    match stage.a.next().await {
        ToNode::Ivr(input) => {
            assert!(matches!(*input, ivr::Input::Closed { instance } if instance == at_a));
        }
        other => panic!("not an end: {other:?}"),
    }
    stage.a.tell(quiet_at_a, &start("5f-1.1"));
    next_text(&mut quiet).await;
}

#[tokio::test]
async fn a_request_that_is_too_large_or_for_nobody_reaches_no_node() {
    let mut stage = Stage::new().await;
    let mut stream = TcpStream::connect(stage.address).await.expect("listening");
    let head = "POST /ari/channels HTTP/1.1\r\nHost: x\r\nContent-Length: 70000\r\n\r\n";
    stream.write_all(head.as_bytes()).await.expect("sent");
    let _ = stream.write_all(&[b'x'; 70_000]).await;
    assert!(read_until(&mut stream, "}").await.starts_with("HTTP/1.1 413"));
    assert!(stage.status("GET /metrics").await.starts_with("HTTP/1.1 404"));
    let long = format!("GET /ari/{}", "x".repeat(40_000));
    let mut stream = TcpStream::connect(stage.address).await.expect("listening");
    let _ = stream.write_all(format!("{long} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).await;
    let refused = read_until(&mut stream, "\r\n\r\n").await;
    assert!(refused.starts_with("HTTP/1.1 414"), "{refused}");
    stage.a.hears_nothing().await;
}

#[tokio::test]
async fn a_relay_with_all_the_clients_it_can_have_refuses_the_next() {
    let stage = Stage::new().await;
    let all = u32::try_from(CLIENTS_MAX).expect("small");
    let _held = stage.relay.clients.acquire_many(all).await.expect("open");
    let head = "GET /ari/events?app=main HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n\
                Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let mut stream = TcpStream::connect(stage.address).await.expect("listening");
    stream.write_all(head.as_bytes()).await.expect("sent");
    let refused = read_until(&mut stream, "}").await;
    assert!(refused.starts_with("HTTP/1.1 503") && refused.contains("Too many"), "{refused}");
}

#[tokio::test]
async fn a_relay_that_stops_tells_its_clients() {
    let mut stage = Stage::new().await;
    let (mut client, _, _) = stage.client().await;
    let reading = async {
        loop {
            match client.next().await {
                Some(Ok(Message::Close(frame))) => return frame.expect("a reason").code.into(),
                Some(Ok(_)) => {}
                other => panic!("{other:?}"),
            }
        }
    };
    let (code, ()): (u16, ()) = tokio::join!(reading, stage.relay.stop());
    assert_eq!(code, 1001);
    assert!(stage.relay.clients.acquire().now_or_never().expect("at once").is_err());
}

#[test]
fn what_the_command_line_cannot_mean_is_refused_with_what_to_write() {
    let nodes =
        [SocketAddr::from(([192, 0, 2, 1], 8088)), SocketAddr::from(([192, 0, 2, 2], 8088))];
    assert_eq!(check(&options(&nodes)), Ok(()));
    let listen = SocketAddr::from(([0, 0, 0, 0], 8088));
    let open = Options { listen, ..options(&nodes) };
    assert!(check(&open).expect_err("in clear").contains("--listen-anywhere"));
    assert_eq!(check(&Options { listen_anywhere: true, ..open }), Ok(()));
    assert!(check(&options(&[])).expect_err("no node").contains("--node"));
    let twice = check(&options(&[nodes[0], nodes[0]])).expect_err("twice");
    assert!(twice.contains("192.0.2.1:8088: is named twice"), "{twice}");
    let ca = Some(PathBuf::from("/nowhere/ca.pem"));
    let fault = hub(&Options { ca, ..options(&nodes) }).err().expect("no CA");
    assert!(fault.starts_with("--ca: /nowhere/ca.pem: "), "{fault}");
}
