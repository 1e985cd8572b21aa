//! Applications and the node itself come and go: what goes on where it was.

use std::net::SocketAddr;

use futures_util::StreamExt;
use portkeeper::sim::app::Event;
use portkeeper::stage::pbx::LineState;
use serde_json::Value;
use tokio_tungstenite::tungstenite::Message;

use super::stand::{ARI_PASSWORD, Wish, call, line, line_when, pbx, press};

/// Connects to `main` from an address of this machine and waits for its first StasisStart.
async fn first_call(from: &str, ari: SocketAddr) -> Value {
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.bind(from.parse().expect("an address")).expect("ours");
    let stream = socket.connect(ari).await.expect("listening");
    let url = format!("ws://{ari}/ari/events?app=main&api_key=ivr:{ARI_PASSWORD}");
    let opened = tokio_tungstenite::client_async(url, stream).await;
    let (mut events, _) = opened.expect("accepted");
    loop {
        let message = events.next().await.expect("open").expect("a message");
        let Message::Text(text) = message else { continue };
        let event: Value = serde_json::from_str(&text).expect("JSON");
        if event["type"] == "StasisStart" {
            return event["channel"]["channelvars"].clone();
        }
    }
}

#[test]
fn an_application_that_comes_back_from_another_address_finds_its_call_as_it_was() {
    let pbx = pbx(&["6001", "6002"]);
    let stand = Wish::at(pbx.address).start();
    stand.registered(2);
    let instance = stand.instance();
    let served = call(&pbx, 1, "6001");
    line_when(&pbx, served, LineState::Up);
    press(&pbx, served, "42");
    instance.wait_for(|said| matches!(said, Event::Acknowledged { digits, .. } if digits == "42"));
    drop(instance);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let found = runtime.expect("a runtime").block_on(first_call("127.0.0.2:0", stand.ari));
    assert_eq!((&found["GW_CHECKPOINT"], &found["GW_REASON"]), (&"42".into(), &"crash".into()));
    assert_eq!(line(&pbx, served).state, LineState::Up);
}

#[test]
fn a_node_that_was_killed_has_a_hundred_ports_registered_again_at_its_next_start() {
    let extensions: Vec<String> = (6_001..=6_100).map(|number| number.to_string()).collect();
    let extensions: Vec<&str> = extensions.iter().map(String::as_str).collect();
    let pbx = pbx(&extensions);
    let wish = || Wish {
        extensions: "\"6001-6100\"",
        udp_ports: Some("11200-11999".to_owned()),
        ..Wish::at(pbx.address)
    };
    let stand = wish().start();
    stand.registered(100);
    // SIGKILL: nothing is un-registered, the PBX keeps the old Contacts.
    drop(stand);
    assert_eq!(pbx.report().registered, 100);
    let stand = wish().start();
    stand.registered(100);
    assert_eq!(stand.json("status")["alarms"], Value::Array(Vec::new()));
}
