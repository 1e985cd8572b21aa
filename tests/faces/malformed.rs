//! Malformed SIP, SDP, RTP and JSON against the running program: the right status where an answer
//! is possible, counted, no end of the process; and silence for strangers.

#![expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "plays on real sockets")]

use std::io::{Read, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use portkeeper::stage::pbx::{Command, LineState};

use super::stand::{
    ARI_PASSWORD, Stand, Wish, call, eventually, hears_sound, line, line_when, pbx, press, receive,
    udp_socket,
};

/// A node whose PBX is a bare socket, and the node's SIP address, learned from its REGISTER.
fn bare() -> (Stand, UdpSocket, SocketAddr, String) {
    let pbx = udp_socket("127.0.0.1:0");
    let address = pbx.local_addr().expect("bound");
    let application = "queue_ring = \"0ms\"";
    let stand = Wish { extensions: "\"6001\"", application, ..Wish::at(address) }.start();
    let mut buffer = [0; 65_535];
    let (register, sip) = eventually("a REGISTER", || {
        let read = receive(|| pbx.recv_from(&mut buffer));
        let (length, from) = read.expect("the node speaks");
        let message = String::from_utf8_lossy(&buffer[..length]).into_owned();
        message.starts_with("REGISTER ").then_some((message, from))
    });
    let contact = register.lines().find_map(|line| line.strip_prefix("Contact: <"));
    let contact = contact.and_then(|line| line.split('>').next()).expect("a Contact").to_owned();
    (stand, pbx, sip, contact)
}

/// Sends a datagram and waits for the status of the answer to its Call-ID.
fn status_of(socket: &UdpSocket, to: SocketAddr, message: &str) -> u16 {
    socket.send_to(message.as_bytes(), to).expect("sent");
    let call_id = message.lines().find(|line| line.starts_with("Call-ID:")).expect("a Call-ID");
    let mut buffer = [0; 65_535];
    eventually(&format!("an answer to {message}"), || {
        let (length, _) = receive(|| socket.recv_from(&mut buffer)).expect("the node speaks");
        let answer = String::from_utf8_lossy(&buffer[..length]).into_owned();
        let of_it = answer.lines().any(|line| line == call_id.trim());
        let status = answer.strip_prefix("SIP/2.0 ").filter(|_| of_it)?;
        (!status.starts_with('1')).then(|| status[..3].parse().expect("a status"))
    })
}

fn request(line: &str, from: SocketAddr, name: &str, more: &str, body: &str) -> String {
    let method = line.split(' ').next().expect("a method");
    format!(
        "{line} SIP/2.0\r\nVia: SIP/2.0/UDP {from};branch=z9hG4bK{name}\r\n\
         From: <sip:2001@{from}>;tag=1\r\nTo: <sip:6001@127.0.0.1>\r\n\
         Call-ID: {name}\r\nCSeq: 1 {method}\r\nMax-Forwards: 70\r\n\
         Contact: <sip:2001@{from}>\r\n{more}Content-Length: {length}\r\n\r\n{body}",
        length = body.len()
    )
}

#[test]
fn malformed_sip_gets_the_right_status_and_is_counted() {
    let (stand, pbx, sip, contact) = bare();
    let from = pbx.local_addr().expect("bound");
    let good = |name: &str| request(&format!("OPTIONS {contact}"), from, name, "", "");
    assert_eq!(status_of(&pbx, sip, &good("fine")), 200);
    let cases = [
        ("another method in CSeq", good("a").replace("1 OPTIONS", "1 INVITE"), 400),
        ("a length beyond the datagram", good("b").replace("Length: 0", "Length: 99"), 400),
        ("another version", good("c").replacen("SIP/2.0\r\n", "SIP/7.0\r\n", 1), 505),
        ("hops that are no number", good("d").replace("Forwards: 70", "Forwards: x"), 400),
        ("a broken name-addr", good("e").replace("From: <", "From: <<"), 400),
        ("a count beyond 31 bits", good("f").replace("CSeq: 1 ", "CSeq: 99999999999 "), 400),
        ("a scheme that is none", good("h").replacen("OPTIONS sip:", "OPTIONS nobody:", 1), 416),
        ("a method that nobody knows", good("g").replace("OPTIONS", "DANCE"), 501),
    ];
    for (what, message, status) in cases {
        assert_eq!(status_of(&pbx, sip, &message), status, "{what}");
    }
    // What cannot be answered, for want of a CSeq or of any sense, is dropped.
    let no_cseq = good("i").replace("CSeq: 1 OPTIONS\r\n", "");
    let (garbage, endless) = (b"\xff\x00\x01\x02", [b'a'; 20_000]);
    let others = [&garbage[..], b"INVITE", b"SIP/2.0 999\r\n\r\n", &endless, no_cseq.as_bytes()];
    for datagram in others {
        pbx.send_to(datagram, sip).expect("sent");
    }
    let refused =
        |kind: &str| stand.metric(&format!("portkeeper_refused_messages_total{{kind=\"{kind}\"}}"));
    eventually("all are counted", || (refused("sip_malformed") == 11.0).then_some(()));
    assert_eq!(refused("sip_method"), 1.0);
    assert_eq!(status_of(&pbx, sip, &good("still-fine")), 200, "and the node goes on");
}

#[test]
fn malformed_sdp_gets_400_488_or_415_and_leaves_the_port_free() {
    let (stand, pbx, sip, contact) = bare();
    let from = pbx.local_addr().expect("bound");
    let sdp = "Content-Type: application/sdp\r\n";
    let head = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n";
    let cases = [
        ("garbage", "\u{1}\u{2}not sdp".to_owned(), sdp, 400),
        ("half a description", "v=0\r\no=-".to_owned(), sdp, 400),
        ("no audio", format!("{head}m=video 4000 RTP/AVP 31\r\n"), sdp, 488),
        ("no codec of ours", format!("{head}m=audio 4000 RTP/AVP 18\r\n"), sdp, 488),
        ("another type", "<xml/>".to_owned(), "Content-Type: text/xml\r\n", 415),
    ];
    for (number, (what, body, kind, status)) in cases.into_iter().enumerate() {
        let name = format!("sdp{number}");
        let invite = request(&format!("INVITE {contact}"), from, &name, kind, &body);
        assert_eq!(status_of(&pbx, sip, &invite), status, "{what}");
    }
    assert_eq!(stand.metric("portkeeper_refused_messages_total{kind=\"sdp\"}"), 4.0);
    let status = stand.json("status");
    assert_eq!((&status["calls"], &status["ports"]["idle"]), (&0.into(), &1.into()));
}

#[test]
fn strangers_get_no_answer_and_are_counted() {
    let (stand, pbx, sip, contact) = bare();
    let stranger = udp_socket("127.0.0.2:0");
    stranger.set_read_timeout(Some(Duration::from_millis(500))).expect("a socket option");
    let from = stranger.local_addr().expect("bound");
    for (number, method) in ["OPTIONS", "INVITE", "REGISTER", "BYE"].into_iter().enumerate() {
        let message = request(&format!("{method} {contact}"), from, &format!("s{number}"), "", "");
        stranger.send_to(message.as_bytes(), sip).expect("sent");
    }
    stranger.send_to(b"garbage", sip).expect("sent");
    assert!(receive(|| stranger.recv(&mut [0; 2_048])).is_err(), "silence");
    assert_eq!(stand.metric("portkeeper_unknown_sources_total"), 5.0);
    let from = pbx.local_addr().expect("bound");
    let known = request(&format!("OPTIONS {contact}"), from, "known", "", "");
    assert_eq!(status_of(&pbx, sip, &known), 200, "the PBX is heard");
}

#[test]
fn foreign_and_malformed_rtp_is_refused_and_the_call_goes_on() {
    let pbx = pbx(&["6001"]);
    let stand = Wish { extensions: "\"6001\"", ..Wish::at(pbx.address) };
    let range = super::stand::own_udp_ports();
    let (first, _) = range.split_once('-').expect("a range");
    let first: u16 = first.parse().expect("a number");
    let udp_ports = Some(format!("{first}-{}", first + 1));
    let stand = Wish { udp_ports, ..stand }.start();
    stand.registered(1);
    let _instance = stand.instance();
    let served = call(&pbx, 1, "6001");
    line_when(&pbx, served, LineState::Up);
    hears_sound(&pbx, served);
    let before = line(&pbx, served).heard.packets;
    // A key press of a stranger, well formed, and garbage. The socket of a call is connected to
    // its peer, so the kernel already keeps most of it away.
    let key: Vec<u8> =
        [&[0x80, 0xe5, 0, 1, 0, 0, 0, 1, 0, 0, 0, 9][..], &[5, 0x8a, 3, 0x20]].concat();
    for source in ["127.0.0.1:0", "127.0.0.2:0"] {
        let stranger = udp_socket(source);
        for _ in 0..50 {
            // Refused by the kernel, which may tell: that is what is wanted.
            drop(stranger.send_to(&key, ("127.0.0.1", first)));
            drop(stranger.send_to(&[0xff; 2_000], ("127.0.0.1", first)));
        }
    }
    eventually("the sound goes on", || {
        (line(&pbx, served).heard.packets > before + 50).then_some(())
    });
    assert_eq!(stand.json("status")["counters"]["digits_received_total"], 0);
    assert_eq!(line(&pbx, served).state, LineState::Up);
}

#[test]
fn malformed_rtp_of_the_far_end_itself_is_counted_and_the_call_goes_on() {
    let pbx = pbx(&["6001"]);
    let stand = Wish { extensions: "\"6001\"", ..Wish::at(pbx.address) }.start();
    stand.registered(1);
    let _instance = stand.instance();
    let served = call(&pbx, 1, "6001");
    line_when(&pbx, served, LineState::Up);
    hears_sound(&pbx, served);
    let counted = || stand.metric("portkeeper_rtp_refused_packets_total");
    let keys = |count: u64| {
        stand.status_when("keys are heard", |s| s["counters"]["digits_received_total"] == count);
    };
    // The phone may speak before its port knows of the answer, and the count is 100 ms old.
    press(&pbx, served, "12");
    keys(2);
    let before = counted();
    let malformed: [&[u8]; 5] = [
        // Half a header; three CSRCs and an extension that are not there; 99 octets of padding
        // in one; another version.
        &[0x80, 0, 0, 1, 0, 0],
        &[0x83, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 9],
        &[0x90, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 9, 0, 0, 0, 9],
        &[0xa0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 9, 99],
        &[0x40, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 9],
    ];
    for datagram in malformed {
        pbx.command(Command::Send { line: served, datagram: datagram.to_vec() });
    }
    eventually("all are counted", || (counted() >= before + 5.0).then_some(()));
    press(&pbx, served, "78");
    keys(4);
    assert_eq!(counted(), before + 5.0, "and nothing else is refused");
    assert_eq!(line(&pbx, served).state, LineState::Up);
}

#[test]
fn malformed_json_gets_400_and_is_counted() {
    let pbx = pbx(&["6001"]);
    let stand = Wish { extensions: "\"6001\"", ..Wish::at(pbx.address) }.start();
    stand.registered(1);
    let _instance = stand.instance();
    let served = call(&pbx, 1, "6001");
    line_when(&pbx, served, LineState::Up);
    let (status, channels) = stand.ari("GET", "/channels", "");
    assert_eq!(status, 200);
    let channels: serde_json::Value = serde_json::from_str(&channels).expect("JSON");
    let play = format!("/channels/{}/play", channels[0]["id"].as_str().expect("an id"));
    let deep = "[".repeat(5_000);
    let cases = [
        ("half an object", "{\"media\":"),
        ("a number", "7"),
        ("a wrong type", "{\"media\":{\"a\":1}}"),
        ("nested without end", &deep),
        ("not UTF-8 in escapes", "{\"media\":\"\\ud800\"}"),
    ];
    for (what, body) in cases {
        let (status, answer) = stand.ari("POST", &play, body);
        assert_eq!(status, 400, "{what}: {answer}");
        let answer: serde_json::Value = serde_json::from_str(&answer).expect("ARI's error");
        assert!(answer["message"].is_string(), "{what}: {answer}");
    }
    assert_eq!(stand.metric("portkeeper_ari_requests_total{status=\"400\"}"), 5.0);
    let large = format!("{{\"media\":\"{}\"}}", "x".repeat(65_536));
    assert_eq!(stand.ari("POST", &play, &large).0, 413, "no buffer without a bound");
    assert_eq!(stand.ari("GET", "/channels", "").0, 200, "and the node goes on");
    assert_eq!(line(&pbx, served).state, LineState::Up);
}

#[test]
fn garbage_on_the_ari_listener_ends_only_its_connection() {
    let pbx = pbx(&["6001"]);
    let stand = Wish { extensions: "\"6001\"", ..Wish::at(pbx.address) }.start();
    let head = format!("GET /ari/channels?api_key=ivr:{ARI_PASSWORD} HTTP/1.1\r\n");
    let long = format!("{head}X: {}\r\n\r\n", "x".repeat(100_000));
    for garbage in [&b"\x16\x03\x01\x02\x00\x01"[..], b"GET\r\n\r\n", long.as_bytes()] {
        let mut stream = TcpStream::connect(stand.ari).expect("listening");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a socket option");
        // The node may close before it has read everything.
        drop(stream.write_all(garbage));
        let mut answer = Vec::new();
        drop(stream.read_to_end(&mut answer));
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
    assert_eq!(stand.ari("GET", "/channels", ""), (200, "[]".to_owned()));
}

#[test]
fn garbage_on_the_operators_socket_is_refused_with_a_sentence() {
    use std::os::unix::net::UnixStream;
    let pbx = pbx(&["6001"]);
    let stand = Wish { extensions: "\"6001\"", ..Wish::at(pbx.address) }.start();
    for line in
        ["{}\n", "{\"request\":\"reboot\"}\n", "\u{0}\n", &format!("{}\n", "x".repeat(9_000))]
    {
        let mut stream = UnixStream::connect(stand.socket()).expect("listening");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a socket option");
        stream.write_all(line.as_bytes()).expect("sent");
        stream.shutdown(std::net::Shutdown::Write).expect("open");
        let mut answer = String::new();
        // A line beyond the bound is answered and the connection ended with the rest unread.
        drop(stream.read_to_string(&mut answer));
        assert!(answer.starts_with("{\"error\":\""), "{line:.20}: {answer}");
    }
    assert!(stand.said(&["status"]).contains("faces"));
}
