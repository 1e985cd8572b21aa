//! Operators over HTTP with tokens, at every node of a cluster of real processes.

#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "plays on real sockets, files and processes"
)]

use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::stand::{eventually, free_tcp_port, portkeeper, text};
use super::supervisor::Trio;

const NAMES: [&str; 3] = ["a", "b", "w"];
const PROMOTER: &str = "c0ffee0123456789abcdef0123456789abcdef0123456789abcdef0123456789";
const OLD: &str = "facade0123456789abcdef0123456789abcdef0123456789abcdef0123456789";
const VIEWER: &str = "decade0123456789abcdef0123456789abcdef0123456789abcdef0123456789";

/// A cluster whose nodes take tokens: `a` is primary. Returns where `b` listens with TLS, too.
fn cluster() -> (Trio, SocketAddr) {
    let mut trio = Trio::new("vm");
    let secure = free_tcp_port();
    for name in NAMES {
        let path = trio.at(name).join("pk.toml");
        let mut text = fs::read_to_string(&path).expect("there");
        if name == "b" {
            text.push_str(&format!("tls_listen = \"{secure}\"\n"));
        }
        for (token, role, of, expires) in [
            (PROMOTER, "promoter", "desk", "2199-12-31"),
            (VIEWER, "viewer", "wall", "2199-12-31"),
            (OLD, "promoter", "lobby", "2026-01-31"),
        ] {
            let hash: String = Sha256::digest(token).iter().map(|b| format!("{b:02x}")).collect();
            text.push_str(&format!(
                "[admin.tokens.{of}]\nrole = \"{role}\"\nsha256 = \"{hash}\"\n\
                 expires = \"{expires}\"\n"
            ));
        }
        fs::write(&path, text).expect("written");
    }
    NAMES.into_iter().for_each(|name| trio.start(name, &[]));
    trio.wait_for_roles();
    (trio, secure)
}

/// `admin.listen`, the last `listen` of the file.
fn listen(trio: &Trio, name: &str) -> SocketAddr {
    let text = fs::read_to_string(trio.at(name).join("pk.toml")).expect("there");
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("listen = \""));
    lines.next_back().expect("listens").trim_end_matches('"').parse().expect("an address")
}

fn ask_over(stream: impl Read + Write, token: &str, request: &Value) -> (u16, Value) {
    ask_with(stream, token, "", request)
}

/// With more fields of the head.
fn ask_with(
    mut stream: impl Read + Write,
    token: &str,
    more: &str,
    request: &Value,
) -> (u16, Value) {
    let body = request.to_string();
    let head = format!(
        "POST /api HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\
         {more}Content-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).expect("sent");
    stream.write_all(body.as_bytes()).expect("sent");
    let mut answer = String::new();
    match stream.read_to_string(&mut answer) {
        Ok(_) => {}
        // The other side closes without a word of TLS.
        Err(error) => assert_eq!(error.kind(), ErrorKind::UnexpectedEof),
    }
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
    (status, serde_json::from_str(body).expect("JSON"))
}

fn ask(trio: &Trio, name: &str, token: &str, request: &Value) -> (u16, Value) {
    let stream = TcpStream::connect(listen(trio, name)).expect("it listens");
    ask_over(stream, token, request)
}

fn audit_of(directory: &Path) -> String {
    text(&portkeeper(&["audit", "--config", "pk.toml"], directory).stdout)
}

fn promote(node: &str) -> Value {
    json!({"request": "role", "wish": {"switchover": {"to": node, "force": false}}})
}

#[test]
fn who_shows_a_wrong_token_gets_401_and_a_record_and_changes_nothing() {
    let (trio, _) = cluster();
    for _ in 0..2 {
        let (status, answer) = ask(&trio, "a", "guess", &promote("b"));
        assert_eq!((status, answer["error"].is_string()), (401, true), "{answer}");
    }
    eventually("it is in the records", || audit_of(&trio.at("a")).contains("Login").then_some(()));
    let audit = audit_of(&trio.at("a"));
    assert_eq!(audit.matches("Login").count(), 1, "strangers do not fill it: {audit}");
    assert!(audit.contains("somebody at 127.") && audit.contains("a wrong token"), "{audit}");
    assert!(!audit.contains("guess"), "{audit}");
    for _ in 2..5 {
        assert_eq!(ask(&trio, "a", "", &promote("b")).0, 401);
    }
    assert_eq!(ask(&trio, "a", "guess", &promote("b")).0, 429, "the sixth is not looked at");
    assert_eq!(ask(&trio, "a", VIEWER, &json!({"request": "status"})).0, 200, "others are served");
    trio.role_when("a", |role| role == "primary");
    let alarms = trio.status("a").expect("it answers")["alarms"].to_string();
    assert!(alarms.contains("none of [admin.tokens]"), "{alarms}");
}

#[test]
fn a_promoter_promotes_at_any_node_and_changes_nothing_else() {
    let (trio, secure) = cluster();
    for name in NAMES {
        eventually("who is primary is told", || {
            let (status, answer) = ask(&trio, name, VIEWER, &json!({"request": "status"}));
            assert_eq!(status, 200, "{answer}");
            (answer["ok"]["cluster"]["primary"] == "a").then_some(())
        });
        assert_eq!(ask(&trio, name, VIEWER, &promote("b")).0, 403);
    }
    for request in [
        json!({"request": "drain_node", "on": true}),
        json!({"request": "agent_list"}),
        json!({"request": "agent_add", "number": "4711", "name": "Eve", "pin": "190472"}),
    ] {
        assert_eq!(ask(&trio, "a", PROMOTER, &request).0, 403, "{request}");
    }
    assert_eq!(ask(&trio, "a", PROMOTER, &json!({"request": "reboot"})).0, 400);
    let (status, answer) = ask(&trio, "a", PROMOTER, &promote("nobody"));
    assert_eq!((status, answer["error"].is_string()), (409, true), "{answer}");
    trio.role_when("a", |role| role == "primary");

    eventually("b takes over by the word of a token at the witness", || {
        (ask(&trio, "w", PROMOTER, &promote("b")).0 == 200).then_some(())
    });
    trio.role_when("b", |role| role == "primary");
    eventually("who did it is in the records", || {
        audit_of(&trio.at("w")).contains("token desk from 127.").then_some(())
    });

    trio.follows("a", "b");
    let stream = over_tls(&trio, secure);
    assert_eq!(ask_over(stream, PROMOTER, &json!({"request": "role", "wish": "pause"})).0, 200);
    assert_eq!(trio.cluster("b").expect("it answers")["paused"], true);
}

#[test]
fn an_old_token_and_one_that_is_not_for_it_are_turned_away_and_in_the_records() {
    let (trio, _) = cluster();
    let (status, answer) = ask(&trio, "a", OLD, &promote("b"));
    assert_eq!(
        (status, answer["error"].as_str().is_some_and(|e| e.contains("expired"))),
        (401, true)
    );
    assert_eq!(ask(&trio, "a", VIEWER, &promote("b")).0, 403);
    let told = |audit: &String| audit.contains("expired") && audit.contains("not with this token");
    let audit =
        eventually("both are in the records", || Some(audit_of(&trio.at("a"))).filter(told));
    assert!(audit.contains("token lobby from 127.") && audit.contains("token wall from 127."));
    assert!(!audit.contains(OLD), "{audit}");
    trio.role_when("a", |role| role == "primary");
}

#[test]
fn what_is_forced_over_http_has_to_be_said_twice() {
    let (trio, _) = cluster();
    let force = json!({"request": "role", "wish": {"switchover": {"to": "b", "force": true}}});
    let (status, answer) = ask(&trio, "a", PROMOTER, &force);
    let error = answer["error"].as_str().expect("why").to_owned();
    assert_eq!(status, 428, "{error}");
    trio.role_when("a", |role| role == "primary");
    let (_, digits) = error.split_once("Confirm: ").expect("digits");
    let confirm = format!("Confirm: {}\r\n", digits.trim_end_matches('`'));
    let stream = || TcpStream::connect(listen(&trio, "a")).expect("it listens");
    let other = json!({"request": "role", "wish": {"promote": {"node": "b", "force": "off"}}});
    assert_eq!(ask_with(stream(), PROMOTER, &confirm, &other).0, 428, "another order");
    let (_, answer) = ask(&trio, "a", PROMOTER, &force);
    let error = answer["error"].as_str().expect("why").to_owned();
    let (_, digits) = error.split_once("Confirm: ").expect("digits");
    let confirm = format!("Confirm: {}\r\n", digits.trim_end_matches('`'));
    assert_eq!(ask_with(stream(), PROMOTER, &confirm, &force).0, 200);
    trio.role_when("b", |role| role == "primary");
}

/// The head of the answer to whoever wants to hear of events, and what follows.
fn listener(trio: &Trio, name: &str, token: &str) -> (String, BufReader<TcpStream>) {
    let mut stream = TcpStream::connect(listen(trio, name)).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
    let head =
        format!("GET /api/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n");
    stream.write_all(head.as_bytes()).expect("sent");
    let mut reader = BufReader::new(stream);
    let mut status = String::new();
    reader.read_line(&mut status).expect("a head");
    (status, reader)
}

#[test]
fn whoever_listens_at_any_node_hears_once_of_each_step_of_a_switch() {
    let (trio, _) = cluster();
    assert!(listener(&trio, "a", "guess").0.contains("401"));
    let listeners = NAMES.map(|name| {
        let (status, reader) = listener(&trio, name, VIEWER);
        assert!(status.contains("200"), "{status}");
        reader
    });
    eventually("w has heard of both, and b takes over", || {
        (ask(&trio, "w", PROMOTER, &promote("b")).0 == 200).then_some(())
    });
    for (name, mut reader) in NAMES.into_iter().zip(listeners) {
        let mut steps = Vec::new();
        while steps.last().is_none_or(|last| last != "promotion.done") {
            let mut line = String::new();
            assert!(reader.read_line(&mut line).expect("in time") > 0, "{name}: {steps:?}");
            let kind = line.trim_end().strip_prefix("event: ");
            steps.extend(kind.filter(|kind| kind.starts_with("promotion.")).map(str::to_owned));
        }
        assert_eq!(steps, ["promotion.started", "promotion.done"], "{name}");
    }
}

/// A connection to `b`, whose certificate is of the cluster's CA.
fn over_tls(trio: &Trio, to: SocketAddr) -> StreamOwned<ClientConnection, TcpStream> {
    let mut roots = RootCertStore::empty();
    let ca = CertificateDer::from_pem_file(trio.at("a").join("cluster/ca.pem")).expect("a CA");
    roots.add(ca).expect("a CA");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("TLS 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("b").expect("a name");
    let client = ClientConnection::new(Arc::new(config), name).expect("a client");
    StreamOwned::new(client, TcpStream::connect(to).expect("it listens"))
}
