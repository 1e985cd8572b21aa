//! SIP sockets on loopback: what is put in comes out, from and to the right one.

#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "the far end's sockets")]

use std::path::Path;

use super::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::config::{SipPorts, Source, parse};

const TEXT: &str = r#"
[pbx]
registrars = ["127.0.0.1"]
domain = "pbx.example"
local_address = "127.0.0.1"
[[ports]]
extensions = "6001-6003"
password = "kT7-pq2Zr9vXw4mN8sLd"
applications = ["main"]
[applications.main]
[ari.users.ivr]
password = "kT7-pq2Zr9vXw4mN8sLd"
"#;

fn config(transport: Transport, sip_ports: SipPorts) -> Config {
    let read_file = |_: &Path| Err(io::ErrorKind::NotFound.into());
    let fault_of = |_: &Path| None;
    let source = Source {
        text: TEXT,
        base: Path::new("/"),
        read_file: &read_file,
        fault_of: &fault_of,
        today: crate::config::Day::default(),
    };
    let parsed = parse(source);
    let mut config = parsed.config.unwrap_or_else(|| panic!("{:?}", parsed.faults));
    config.pbx.transport = transport;
    config.pbx.sip_ports = sip_ports;
    config
}

/// Sockets on ports that the kernel chose.
fn shared(transport: Transport) -> (SipNet, mpsc::Receiver<Received>) {
    SipNet::open(&config(transport, SipPorts::Shared { udp_port: 0 })).expect("sockets")
}

/// What comes next for the endpoint.
async fn next(net: &mut SipNet, receiver: &mut mpsc::Receiver<Received>) -> Input {
    loop {
        let wait = std::time::Duration::from_secs(10);
        let received = tokio::time::timeout(wait, receiver.recv()).await.expect("within 10 s");
        if let Some(input) = net.take(received.expect("the tasks run")) {
            return input;
        }
    }
}

#[tokio::test]
async fn the_first_datagram_leaves_at_once_and_its_answer_arrives() {
    let (mut net, mut receiver) = shared(Transport::Udp);
    let far = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
    let to = far.local_addr().expect("an address");
    let (socket, bytes) = (SocketId(0), Bytes::from_static(b"REGISTER"));
    net.perform(Output::Datagram { socket, to, bytes, claims: false });
    let mut buffer = [0; 100];
    let wait = std::time::Duration::from_secs(10);
    let read = tokio::time::timeout(wait, far.recv_from(&mut buffer)).await.expect("within 10 s");
    let (length, from) = read.expect("a datagram");
    assert_eq!((&buffer[..length], from), (&b"REGISTER"[..], net.addresses()[0]));

    let long = vec![b'x'; 9_000];
    far.send_to(&long, from).await.expect("sent");
    match next(&mut net, &mut receiver).await {
        Input::Datagram { socket: SocketId(0), from, bytes } => {
            assert_eq!((from, bytes.len()), (to, 9_000), "whole, however many fragments");
        }
        other => panic!("{other:?}"),
    }
}

/// Three sockets side by side, wherever there is room for them.
fn per_device() -> (SipNet, mpsc::Receiver<Received>) {
    let probe = std::net::UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let first = probe.local_addr().expect("an address").port().min(60_000);
    drop(probe);
    (first..first + 3_000)
        .step_by(3)
        .find_map(|first| SipNet::open(&config(Transport::Udp, SipPorts::PerDevice { first })).ok())
        .expect("room for three sockets")
}

#[tokio::test]
async fn sip_r13_each_device_sends_and_receives_on_a_socket_of_its_own() {
    let (mut net, mut receiver) = per_device();
    let addresses = net.addresses();
    let first = addresses[0].port();
    let ports: Vec<_> = addresses.iter().map(SocketAddr::port).collect();
    assert_eq!(ports, [first, first + 1, first + 2]);
    let far = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
    let to = far.local_addr().expect("an address");
    for (index, address) in addresses.iter().enumerate() {
        let socket = SocketId(u16::try_from(index).expect("few"));
        net.perform(Output::Datagram {
            socket,
            to,
            bytes: Bytes::from_static(b"x"),
            claims: false,
        });
        let mut buffer = [0; 10];
        let wait = std::time::Duration::from_secs(10);
        let read = tokio::time::timeout(wait, far.recv_from(&mut buffer)).await;
        assert_eq!(read.expect("within 10 s").expect("a datagram").1, *address);
        far.send_to(b"y", address).await.expect("sent");
        match next(&mut net, &mut receiver).await {
            Input::Datagram { socket: at, .. } => assert_eq!(at, socket),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_range_that_runs_past_the_last_port_is_refused_with_what_to_change() {
    let ports = SipPorts::PerDevice { first: 65_534 };
    let error = SipNet::open(&config(Transport::Udp, ports)).err().expect("no such port");
    assert!(error.to_string().contains("pbx.sip_port"), "{error}");
}

#[test]
fn a_port_that_the_system_chose_is_chosen_again_when_it_is_taken_for_the_other_transport() {
    let in_use = || io::Error::from(io::ErrorKind::AddrInUse);
    let mut taken = 3;
    let mut chosen = || {
        taken -= 1;
        if taken > 0 { Err(in_use()) } else { Ok("bound") }
    };
    assert_eq!(until_free(0, &mut chosen).expect("the third is free"), "bound");
    let mut tries = 0;
    let mut never = || -> io::Result<()> {
        tries += 1;
        Err(in_use())
    };
    assert!(until_free(5060, &mut never).is_err());
    assert!(until_free(0, &mut never).is_err());
    assert_eq!(
        tries,
        1 + CHOSEN_PORTS_MAX,
        "a port by name is tried once, and no search is endless"
    );
}

#[tokio::test]
async fn a_socket_that_is_taken_is_named() {
    let (net, _receiver) = shared(Transport::Udp);
    let udp_port = net.addresses()[0].port();
    let again = SipNet::open(&config(Transport::Udp, SipPorts::Shared { udp_port }));
    let error = again.err().expect("taken");
    assert!(error.to_string().contains("pbx.sip_udp_port"), "{error}");
}

#[tokio::test]
async fn sip_r12_a_connection_of_ours_carries_both_ways_and_its_end_is_told() {
    let (mut net, mut receiver) = shared(Transport::Tcp);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    let to = listener.local_addr().expect("an address");
    let stream = StreamId(7);
    net.perform(Output::Connect { stream, socket: SocketId(0), to });
    let (mut far, _) = listener.accept().await.expect("a connection");
    match next(&mut net, &mut receiver).await {
        Input::StreamUp { stream: StreamId(7), peer, .. } => assert_eq!(peer, to),
        other => panic!("{other:?}"),
    }
    net.perform(Output::StreamSend { stream, bytes: Bytes::from_static(b"ping"), claims: false });
    let mut buffer = [0; 4];
    far.read_exact(&mut buffer).await.expect("four bytes");
    assert_eq!(&buffer, b"ping");
    far.write_all(b"pong").await.expect("sent");
    match next(&mut net, &mut receiver).await {
        Input::StreamData { stream: StreamId(7), bytes } => assert_eq!(&bytes[..], b"pong"),
        other => panic!("{other:?}"),
    }
    drop(far);
    let down = next(&mut net, &mut receiver).await;
    assert!(matches!(down, Input::StreamDown { stream: StreamId(7) }), "{down:?}");
}

#[tokio::test]
async fn sip_r12_a_connection_that_is_refused_is_told() {
    let (mut net, mut receiver) = shared(Transport::Tcp);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    let to = listener.local_addr().expect("an address");
    drop(listener);
    net.perform(Output::Connect { stream: StreamId(1), socket: SocketId(0), to });
    let down = next(&mut net, &mut receiver).await;
    assert!(matches!(down, Input::StreamDown { stream: StreamId(1) }), "{down:?}");
}

#[tokio::test]
async fn a_pbx_that_connects_is_answered_on_its_connection_until_it_is_closed() {
    let (mut net, mut receiver) = shared(Transport::Tcp);
    let mut far = TcpStream::connect(net.addresses()[0]).await.expect("a connection");
    let Input::StreamUp { stream, .. } = next(&mut net, &mut receiver).await else {
        panic!("up");
    };
    assert!(stream.0 & ACCEPTED != 0, "never a name of the endpoint's own");
    net.perform(Output::StreamSend { stream, bytes: Bytes::from_static(b"200"), claims: false });
    net.perform(Output::StreamClose { stream });
    let mut all = Vec::new();
    far.read_to_end(&mut all).await.expect("the end");
    assert_eq!(all, b"200", "what was sent before leaves first");
}

/// A connection to a far end that reads nothing yet, full: what is sent from here on waits.
async fn clogged(
    net: &mut SipNet,
    receiver: &mut mpsc::Receiver<Received>,
) -> (StreamId, TcpStream) {
    let mut far = TcpStream::connect(net.addresses()[0]).await.expect("a connection");
    let Input::StreamUp { stream, .. } = next(net, receiver).await else { panic!("up") };
    // More than the kernel keeps for both ends.
    let bytes = Bytes::from(vec![b'x'; 32 << 20]);
    net.perform(Output::StreamSend { stream, bytes, claims: false });
    // It is being written: the far end has some of it.
    far.read_exact(&mut [0; 1]).await.expect("it comes");
    (stream, far)
}

#[tokio::test]
async fn what_claims_and_waits_for_a_slow_peer_leaves_only_while_the_lease_lasts() {
    for lasts in [true, false] {
        let (mut net, mut receiver) = shared(Transport::Tcp);
        net.claims_until(Instant::from_nanos(u64::MAX));
        let (stream, mut far) = clogged(&mut net, &mut receiver).await;
        for (text, claims) in [("REGISTER", true), ("BYE", false)] {
            let bytes = Bytes::from_static(text.as_bytes());
            net.perform(Output::StreamSend { stream, bytes, claims });
        }
        if !lasts {
            net.claims_until(Instant::ZERO);
        }
        net.perform(Output::StreamClose { stream });
        let mut all = Vec::new();
        far.read_to_end(&mut all).await.expect("the end");
        let rest = String::from_utf8_lossy(&all[(32 << 20) - 1..]).into_owned();
        assert_eq!(rest, if lasts { "REGISTERBYE" } else { "BYE" });
        assert_eq!(net.withheld(), u64::from(!lasts));
    }
}

#[tokio::test]
async fn a_claim_of_which_a_part_has_left_when_the_lease_ends_takes_its_connection_along() {
    let (mut net, mut receiver) = shared(Transport::Tcp);
    net.claims_until(Instant::from_nanos(u64::MAX));
    let mut far = TcpStream::connect(net.addresses()[0]).await.expect("a connection");
    let Input::StreamUp { stream, .. } = next(&mut net, &mut receiver).await else { panic!("up") };
    let bytes = Bytes::from(vec![b'x'; 32 << 20]);
    net.perform(Output::StreamSend { stream, bytes, claims: true });
    far.read_exact(&mut [0; 1]).await.expect("a part of it comes");
    net.claims_until(Instant::ZERO);
    let down = next(&mut net, &mut receiver).await;
    assert!(matches!(down, Input::StreamDown { .. }), "{down:?}");
    let mut all = Vec::new();
    // An end or a reset: never the whole message.
    let _ = far.read_to_end(&mut all).await;
    assert!(all.len() < (32 << 20) - 1, "{}", all.len());
    assert_eq!(net.withheld(), 1);
}
