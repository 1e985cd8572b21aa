//! The listener on a real socket, in front of a task that plays the node.

use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use socket2::SockRef;

use super::*;
use crate::driver::links::Full;
use crate::driver::{Standing, to_node_channel};
use crate::ids::{CallId, Generation, InstanceId, RequestId};
use crate::node::Mark;

/// The listener, and the node's side of its channel.
struct Bench {
    address: SocketAddr,
    links: Arc<Links>,
    inbox: mpsc::Receiver<ToNode>,
}

impl Bench {
    async fn new() -> Self {
        Self::with_ports(1).await
    }

    async fn with_ports(ports: usize) -> Self {
        let (to_node, inbox) = to_node_channel();
        let links = Links::new(to_node, ports);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        tokio::spawn(serve(listener, Arc::clone(&links)));
        Self { address, links, inbox }
    }

    async fn next(&mut self) -> ToNode {
        let next = tokio::time::timeout(Duration::from_secs(5), self.inbox.recv());
        next.await.expect("in time").expect("the listener lives")
    }

    async fn next_ivr(&mut self) -> ivr::Input {
        match self.next_but_reports().await {
            ToNode::Ivr(input) => *input,
            other => panic!("not for the machine: {other:?}"),
        }
    }

    async fn next_request(&mut self) -> (RequestId, ivr::Request) {
        match self.next_ivr().await {
            ivr::Input::Request { request, http } => (request, http),
            other => panic!("not a request: {other:?}"),
        }
    }

    async fn next_upgrade(&mut self) -> (RequestId, InstanceId, ivr::Request) {
        match self.next_ivr().await {
            ivr::Input::Upgrade { request, instance, http } => (request, instance, http),
            other => panic!("not an upgrade: {other:?}"),
        }
    }

    /// Waits for the end of a connection.
    async fn next_closed(&mut self) -> InstanceId {
        match self.next_ivr().await {
            ivr::Input::Closed { instance } => instance,
            other => panic!("not an end: {other:?}"),
        }
    }

    /// The next message that is not a mere report about writing.
    async fn next_but_reports(&mut self) -> ToNode {
        loop {
            match self.next().await {
                ToNode::Written { .. } | ToNode::Unsent { .. } => {}
                other => return other,
            }
        }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("listening")
    }

    /// A connected client, accepted by the node under the returned name.
    async fn instance(&mut self) -> (Client, InstanceId) {
        let uri = format!("ws://{}/ari/events?app=main&api_key=u:p", self.address);
        let mut request = uri.into_client_request().expect("valid");
        let protocol = HeaderValue::from_static("ari");
        request.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, protocol);
        let stream = self.connect().await;
        let shake = tokio::spawn(tokio_tungstenite::client_async(request, stream));
        let (request, instance, http) = self.next_upgrade().await;
        assert_eq!(http.uri.reveal(), "/ari/events?app=main&api_key=u:p");
        assert_eq!(http.protocols.as_deref(), Some("ari"));
        self.links.accept(request, instance, Some("ari"));
        let (client, response) = shake.await.expect("no panic").expect("accepted");
        assert_eq!(response.headers()[header::SEC_WEBSOCKET_PROTOCOL], "ari");
        assert!(!response.headers().contains_key(header::SEC_WEBSOCKET_EXTENSIONS));
        (client, instance)
    }
}

type Client = tokio_tungstenite::WebSocketStream<TcpStream>;

fn answer(status: u16, body: &str) -> ivr::Response {
    ivr::Response { status, headers: vec![("WWW-Authenticate", "Basic".into())], body: body.into() }
}

/// Reads until the text holds `end`.
async fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut read = Vec::new();
    while !String::from_utf8_lossy(&read).contains(end) {
        let mut some = [0; 1024];
        let n = stream.read(&mut some).await.expect("readable");
        assert_ne!(n, 0, "closed after {:?}", String::from_utf8_lossy(&read));
        read.extend_from_slice(&some[..n]);
    }
    String::from_utf8(read).expect("text")
}

#[tokio::test]
async fn a_request_reaches_the_node_as_it_came_and_is_answered() {
    let mut bench = Bench::new().await;
    let mut stream = bench.connect().await;
    let request = "POST /ari/channels/7.1/play?media=sound%3Ahi HTTP/1.1\r\nHost: gw:8088\r\n\
                   Authorization: Basic dTpw\r\nContent-Type: application/json\r\n\
                   Content-Length: 2\r\n\r\n[]";
    stream.write_all(request.as_bytes()).await.expect("sent");
    let (request, http) = bench.next_request().await;
    assert_eq!(http.method, "POST");
    assert_eq!(http.uri.reveal(), "/ari/channels/7.1/play?media=sound%3Ahi");
    assert_eq!(http.host, "gw:8088");
    assert_eq!(http.authorization.expect("given").reveal(), "Basic dTpw");
    assert_eq!(http.content_type.as_deref(), Some("application/json"));
    assert_eq!(&http.body[..], b"[]");
    bench.links.respond(request, answer(401, "{\"message\":\"no\"}"));
    let read = read_until(&mut stream, "}").await;
    assert!(read.starts_with("HTTP/1.1 401 Unauthorized\r\n"), "{read}");
    assert!(read.contains("content-type: application/json\r\n"), "{read}");
    assert!(read.contains("www-authenticate: Basic\r\n"), "{read}");
}

#[tokio::test]
async fn pipelined_requests_reach_the_node_one_by_one() {
    let mut bench = Bench::new().await;
    let mut stream = bench.connect().await;
    let get = |n: u8| format!("GET /ari/channels/{n} HTTP/1.1\r\nHost: x\r\n\r\n");
    stream.write_all((get(1) + &get(2)).as_bytes()).await.expect("sent");
    for n in [1, 2] {
        let (request, http) = bench.next_request().await;
        assert_eq!(*http.uri.reveal(), format!("/ari/channels/{n}"));
        assert!(bench.inbox.try_recv().is_err(), "read ahead of the answer");
        bench.links.respond(request, ivr::Response { body: String::new(), ..answer(204, "") });
        read_until(&mut stream, "204 No Content").await;
    }
}

#[tokio::test]
async fn other_paths_are_answered_here_as_ari_would() {
    let mut bench = Bench::new().await;
    let mut stream = bench.connect().await;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("sent");
    let read = read_until(&mut stream, "}").await;
    assert!(read.starts_with("HTTP/1.1 404") && read.contains("{\"message\":"), "{read}");
    assert!(bench.inbox.try_recv().is_err());
}

#[tokio::test]
async fn every_answer_says_whether_this_node_acts() {
    let bench = Bench::new().await;
    let mut stream = bench.connect().await;
    let roles = [Standing::Alone, Standing::Backup, Standing::Primary];
    for role in roles {
        if role != Standing::Alone {
            bench.links.set_standing(role);
        }
        for path in ["/role", "/elsewhere"] {
            let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
            stream.write_all(request.as_bytes()).await.expect("sent");
            let head = read_until(&mut stream, "\r\n\r\n").await;
            let header = format!("portkeeper-role: {}\r\n", role.word());
            assert!(head.contains(&header), "{path}: {head}");
        }
        assert_eq!(Standing::of_word(role.word()), Some(role));
    }
}

#[tokio::test]
async fn a_body_over_64_kib_is_refused_unread() {
    let mut bench = Bench::new().await;
    let mut stream = bench.connect().await;
    let head = "POST /ari/channels HTTP/1.1\r\nHost: x\r\nContent-Length: 70000\r\n\r\n";
    stream.write_all(head.as_bytes()).await.expect("sent");
    let _ = stream.write_all(&[b'x'; 70_000]).await;
    assert!(read_until(&mut stream, "}").await.starts_with("HTTP/1.1 413"));
    assert!(bench.inbox.try_recv().is_err());
}

#[tokio::test]
async fn too_many_headers_are_refused() {
    let bench = Bench::new().await;
    let mut stream = bench.connect().await;
    let head = "GET /ari/x HTTP/1.1\r\nHost: x\r\n".to_owned() + &"A: b\r\n".repeat(100) + "\r\n";
    stream.write_all(head.as_bytes()).await.expect("sent");
    assert!(read_until(&mut stream, "\r\n\r\n").await.starts_with("HTTP/1.1 431"));
}

#[tokio::test]
async fn a_refused_upgrade_is_an_ordinary_response() {
    let mut bench = Bench::new().await;
    let mut stream = bench.connect().await;
    let head = "GET /ari/events?app=x HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n\
                Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    stream.write_all(head.as_bytes()).await.expect("sent");
    let (request, _, _) = bench.next_upgrade().await;
    bench.links.respond(request, answer(401, "{}"));
    assert!(read_until(&mut stream, "{}").await.starts_with("HTTP/1.1 401"));
}

#[tokio::test]
async fn texts_events_and_pings_cross_the_socket_in_order() {
    let mut bench = Bench::new().await;
    let (mut client, instance) = bench.instance().await;
    for text in ["one", "two"] {
        bench.links.text(instance, text.into(), None).expect("room");
    }
    let mut texts = Vec::new();
    while texts.len() < 2 {
        if let Message::Text(text) = client.next().await.expect("open").expect("valid") {
            texts.push(text.to_string());
        }
    }
    assert_eq!(texts, ["one", "two"]);
    client.send(Message::text("hello")).await.expect("sent");
    let ToNode::Text { instance: from, text, .. } = bench.next_but_reports().await else {
        panic!("not a text");
    };
    assert_eq!((from, text.as_str()), (instance, "hello"));
    bench.links.ping(instance);
    assert!(matches!(client.next().await, Some(Ok(Message::Ping(_)))));
    client.flush().await.expect("the pong leaves");
    let pong = bench.next_but_reports().await;
    assert!(matches!(pong, ToNode::Pong { instance: from } if from == instance), "{pong:?}");
}

#[tokio::test]
async fn an_event_made_before_the_handshake_ended_is_delivered() {
    let mut bench = Bench::new().await;
    let uri = format!("ws://{}/ari/events?app=main", bench.address);
    let stream = bench.connect().await;
    let shake = tokio::spawn(tokio_tungstenite::client_async(uri, stream));
    let (request, instance, _) = bench.next_upgrade().await;
    bench.links.accept(request, instance, None);
    let mark = Mark { call: CallId(1), generation: Generation(1) };
    bench.links.text(instance, "StasisStart".into(), Some(mark)).expect("room");
    let (mut client, _) = shake.await.expect("no panic").expect("accepted");
    assert_eq!(client.next().await.expect("open").expect("valid"), Message::text("StasisStart"));
    match bench.next().await {
        ToNode::Written { marks, .. } => assert_eq!(marks, [mark]),
        other => panic!("not the report: {other:?}"),
    }
}

#[tokio::test]
async fn events_are_written_by_the_thread_that_makes_them_and_the_last_ones_before_it_ends() {
    let mut bench = Bench::new().await;
    let uri = format!("ws://{}/ari/events?app=main", bench.address);
    let stream = bench.connect().await;
    let shake = tokio::spawn(tokio_tungstenite::client_async(uri, stream));
    let (request, instance, _) = bench.next_upgrade().await;
    let control = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let control = control.expect("a runtime");
    {
        let _control = control.enter();
        bench.links.accept(request, instance, None);
    }
    let (mut client, _) = shake.await.expect("no panic").expect("accepted");
    bench.links.text(instance, "last words".into(), None).expect("room");
    let early = tokio::time::timeout(Duration::from_millis(50), client.next()).await;
    assert!(early.is_err(), "the control thread does not run: {early:?}");
    let links = Arc::clone(&bench.links);
    tokio::task::spawn_blocking(move || {
        control.block_on(links.finish());
        control.shutdown_background();
    });
    assert_eq!(client.next().await.expect("open").expect("valid"), Message::text("last words"));
    assert_eq!(bench.next_closed().await, instance);
}

#[tokio::test]
async fn the_end_of_a_connection_is_told_once() {
    let mut bench = Bench::new().await;
    let (client, instance) = bench.instance().await;
    assert_eq!(bench.links.connected(), 1);
    drop(client);
    assert_eq!(bench.next_closed().await, instance);
    assert_eq!(bench.links.connected(), 0);
    let more = tokio::time::timeout(Duration::from_millis(50), bench.inbox.recv()).await;
    assert!(more.is_err(), "{more:?}");
}

#[tokio::test]
async fn a_client_that_left_during_the_handshake_is_told_as_closed() {
    let mut bench = Bench::new().await;
    let uri = format!("ws://{}/ari/events?app=main", bench.address);
    let stream = bench.connect().await;
    let shake = tokio::spawn(tokio_tungstenite::client_async(uri, stream));
    let (request, instance, _) = bench.next_upgrade().await;
    shake.abort();
    drop(shake.await);
    bench.links.accept(request, instance, None);
    assert_eq!(bench.next_closed().await, instance);
}

#[tokio::test]
async fn a_socket_that_takes_nothing_is_reported_by_age_and_ended_when_its_queue_is_full() {
    let mut bench = Bench::with_ports(0).await;
    let (_client, instance) = bench.instance().await;
    // More than the kernel holds for a reader that does not read.
    let events = 200;
    for _ in 0..events {
        bench.links.text(instance, "x".repeat(60_000), None).expect("room");
    }
    let since = loop {
        if let ToNode::Unsent { instance: who, since } = bench.next().await {
            assert_eq!(who, instance);
            break since.expect("stuck");
        }
    };
    assert!(since > crate::timers::Instant::ZERO);
    let sent: Result<Vec<()>, _> =
        (0..=EVENTS_QUEUED).map(|_| bench.links.text(instance, "x".into(), None)).collect();
    assert_eq!(sent, Err(Full { events: EVENTS_QUEUED }), "the event loop is told");
    assert_eq!(bench.next_closed().await, instance);
}

/// The bound of a socket's queue on a node without ports.
const EVENTS_QUEUED: usize = 256;

#[tokio::test]
async fn a_message_over_64_kib_ends_the_connection() {
    let mut bench = Bench::new().await;
    let (mut client, instance) = bench.instance().await;
    let _ = client.send(Message::text("x".repeat(70_000))).await;
    assert_eq!(bench.next_closed().await, instance);
}

impl Bench {
    /// What the node gets while it handles nothing.
    async fn hold(&mut self) -> Vec<ToNode> {
        let mut held = Vec::new();
        while let Ok(Some(message)) =
            tokio::time::timeout(Duration::from_millis(100), self.inbox.recv()).await
        {
            held.push(message);
        }
        held
    }
}

#[tokio::test]
async fn a_client_that_floods_is_read_no_faster_than_the_node_works() {
    let mut bench = Bench::new().await;
    let (mut client, instance) = bench.instance().await;
    for n in 0..100 {
        client.send(Message::text(n.to_string())).await.expect("sent");
    }
    let mut held = bench.hold().await;
    assert_eq!(held.len(), 64, "requests in flight");
    bench.links.calls(instance, 3);
    held.extend(bench.hold().await);
    assert_eq!(held.len(), 64 + 2 * 3, "two more for each call");
    bench.links.calls(instance, 0);
    held.clear();
    assert!(matches!(bench.next().await, ToNode::Text { text, .. } if text == "70"));
}

#[tokio::test]
async fn a_host_that_acknowledges_nothing_for_three_seconds_is_gone() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let (_client, stream) = tokio::join!(TcpStream::connect(address), accept(&listener));
    let timeout = SockRef::from(&stream).tcp_user_timeout().expect("an option of the socket");
    assert_eq!(timeout, Some(Duration::from_secs(3)));
    assert!(stream.nodelay().expect("an option of the socket"));
}
