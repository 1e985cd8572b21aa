//! The bench: an endpoint, a wire, a clock.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use rand_core::SeedableRng;

use super::Call;
use crate::config::{Config, Source, parse};
use crate::ids::{CallIds, PortId, Rng};
use crate::sdp::{Codec, LocalMedia};
use crate::sip::message::{Message, Method, Request, Response};
use crate::sip::{
    Command, Endpoint, Event, Incoming, Input, Output, RegistrationState, SocketId, StreamId,
};
use crate::timers::{Duration, Instant};

/// Address of the PBX in every script.
pub(super) const PBX: &str = "10.0.0.5:5060";
/// Somebody who is not the PBX.
pub(super) const RAND: &str = "203.0.113.9:5060";

/// One shared socket, SHA-256 or better, secret in the user part.
pub(super) const GENERIC: &str = r#"
[pbx]
profile = "generic"
registrars = ["10.0.0.5"]
domain = "pbx.example"
local_address = "10.0.0.9"
options_interval = "off"
register_rate = 0
[[ports]]
extensions = "6001-6003"
password = "kT7-pq2Zr9vXw4mN8sLd"
auth_user = "auth-6001"
applications = ["main"]
[applications.main]
[ari.users.ivr]
password = "kT7-pq2Zr9vXw4mN8sLd"
"#;

/// Reads a configuration; `changes` replace text of `base`.
pub(super) fn config(base: &str, changes: &[(&str, &str)]) -> Config {
    let mut text = base.to_owned();
    for (from, to) in changes {
        assert!(text.contains(from), "{from} is not in the configuration");
        text = text.replace(from, to);
    }
    let read_file = |_: &Path| Err(std::io::ErrorKind::NotFound.into());
    let source = Source {
        text: &text,
        base: Path::new("/"),
        read_file: &read_file,
        fault_of: &|_| None,
        today: crate::config::Day::default(),
    };
    let parsed = parse(source);
    let faults = format!("{:?}", parsed.faults);
    parsed.config.expect(&faults)
}

/// What the endpoint put on the wire.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) socket: SocketId,
    pub(super) to: SocketAddr,
    pub(super) stream: Option<StreamId>,
    pub(super) message: Message,
    /// Leaves under a lease alone.
    pub(super) claims: bool,
}

pub(super) struct Bench {
    pub(super) endpoint: Endpoint,
    pub(super) now: Instant,
    pub(super) start: Instant,
    pub(super) sent: VecDeque<Sent>,
    pub(super) events: VecDeque<Event>,
    /// `Connect` and `StreamClose`, in order.
    pub(super) streams: VecDeque<Output>,
    pub(super) last: Option<Sent>,
    /// The script sends damaged messages.
    pub(super) damage: bool,
}

impl Bench {
    pub(super) fn new(base: &str) -> Self {
        Self::with(base, &[])
    }

    pub(super) fn with(base: &str, changes: &[(&str, &str)]) -> Self {
        let config = config(base, changes);
        let address = config.pbx.local_address;
        let sockets = match config.pbx.sip_ports {
            crate::config::SipPorts::Shared { .. } => vec![SocketAddr::new(address, 5070)],
            crate::config::SipPorts::PerDevice { .. } => {
                let ports = u16::try_from(config.ports.len()).expect("few ports");
                (0..ports).map(|n| SocketAddr::new(address, 5070 + n)).collect()
            }
        };
        let mut rng = Rng::seed_from_u64(42);
        let ids = CallIds::new(&mut rng);
        let start = Instant::ZERO + Duration::from_secs(1000);
        Self {
            endpoint: Endpoint::new(Arc::new(config), sockets, rng, ids),
            now: start,
            start,
            sent: VecDeque::new(),
            events: VecDeque::new(),
            streams: VecDeque::new(),
            last: None,
            damage: false,
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.endpoint.poll_output() {
            match output {
                Output::Datagram { socket, to, bytes, claims, .. } => {
                    let parsed = Message::parse(bytes);
                    // A refusal echoes the damage that it refuses.
                    if parsed.is_err() && self.damage {
                        continue;
                    }
                    let message = parsed.expect("we send SIP");
                    self.sent.push_back(Sent { socket, to, stream: None, message, claims });
                }
                Output::StreamSend { stream, bytes, claims, .. } => {
                    let message = Message::parse_frame(bytes).expect("we send SIP");
                    let to = PBX.parse().expect("address");
                    let socket = SocketId(0);
                    self.sent.push_back(Sent { socket, to, stream: Some(stream), message, claims });
                }
                Output::Event(event) => self.events.push_back(event),
                other => self.streams.push_back(other),
            }
        }
    }

    pub(super) fn input(&mut self, input: Input) {
        self.endpoint.handle_input(self.now, input);
        self.drain();
    }

    pub(super) fn command(&mut self, command: Command) {
        self.input(Input::Command(command));
    }

    /// Lets time pass, every deadline at its time.
    pub(super) fn pass(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some(at) = self.endpoint.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.endpoint.handle_timeout(self.now);
            self.drain();
        }
        self.now = end;
    }

    pub(super) fn millis(&mut self, millis: u64) {
        self.pass(Duration::from_millis(millis));
    }

    pub(super) fn secs(&mut self, secs: u64) {
        self.pass(Duration::from_secs(secs));
    }

    /// Milliseconds since the start.
    pub(super) fn clock(&self) -> u64 {
        u64::try_from(self.now.saturating_duration_since(self.start).as_millis()).expect("short")
    }

    /// A datagram from `from`, to the letter.
    pub(super) fn datagram(&mut self, from: &str, bytes: Vec<u8>) {
        let from = from.parse().expect("address");
        self.input(Input::Datagram { socket: SocketId(0), from, bytes: bytes.into() });
    }

    /// A message from the PBX: lines end in LF here, and Content-Length is added.
    pub(super) fn receive(&mut self, text: &str) {
        self.datagram(PBX, wire(text));
    }

    pub(super) fn receive_request(&mut self, request: &Request) {
        let bytes = request.to_bytes().expect("printable").to_vec();
        self.datagram(PBX, bytes);
    }

    pub(super) fn receive_response(&mut self, response: &Response) {
        let bytes = response.to_bytes().expect("printable").to_vec();
        self.datagram(PBX, bytes);
    }

    pub(super) fn next(&mut self) -> Message {
        let sent = self.sent.pop_front().expect("nothing was sent");
        let message = sent.message.clone();
        self.last = Some(sent);
        message
    }

    /// Takes the next message, a request of this method.
    #[track_caller]
    pub(super) fn request(&mut self, method: Method) -> Request {
        match self.next() {
            Message::Request(request) if request.method == method => request,
            other => panic!("wanted {method}, came {other:#?}"),
        }
    }

    /// Takes the next message, a response of this status.
    #[track_caller]
    pub(super) fn response(&mut self, status: u16) -> Response {
        match self.next() {
            Message::Response(response) if response.status == status => response,
            other => panic!("wanted {status}, came {other:#?}"),
        }
    }

    /// Where the message that was taken last went.
    pub(super) fn last(&self) -> &Sent {
        self.last.as_ref().expect("something was taken")
    }

    /// Nothing waits on the wire.
    #[track_caller]
    pub(super) fn silence(&self) {
        assert!(self.sent.is_empty(), "{:#?}", self.sent);
    }

    /// Takes the next event.
    #[track_caller]
    pub(super) fn event(&mut self) -> Event {
        self.events.pop_front().expect("no event")
    }

    /// No event waits.
    #[track_caller]
    pub(super) fn no_event(&self) {
        assert!(self.events.is_empty(), "{:#?}", self.events);
    }

    /// Answers a request of ours.
    pub(super) fn reply(&mut self, request: &Request, status: u16, headers: &[(&str, &str)]) {
        let mut response = request.reply(status);
        if status > 100 {
            response.set_to_tag("pbx-tag");
        }
        headers.iter().for_each(|(name, value)| response.headers.push(name, value));
        self.receive_response(&response);
    }

    /// Answers a request of ours with SDP.
    pub(super) fn reply_sdp(
        &mut self,
        request: &Request,
        status: u16,
        headers: &[(&str, &str)],
        sdp: &str,
    ) {
        let mut response = request.reply(status);
        response.set_to_tag("pbx-tag");
        headers.iter().for_each(|(name, value)| response.headers.push(name, value));
        response.set_body("application/sdp", sdp.to_owned());
        self.receive_response(&response);
    }

    /// Registers port 0 without any challenge.
    pub(super) fn registered(base: &str) -> Self {
        let mut bench = Self::new(base);
        bench.command(Command::Register { port: PortId(0) });
        bench.millis(0);
        let register = bench.request(Method::Register);
        // A refresh would disturb the scripts of long calls.
        bench.reply(&register, 200, &[("Expires", "1000000")]);
        let state = RegistrationState::Registered { expires: 1_000_000, node: 0 };
        assert!(bench.events.iter().any(
            |e| matches!(e, Event::Registration { port: PortId(0), state: s } if *s == state)
        ));
        bench.events.clear();
        bench
    }

    /// The URI that the PBX knows for a port.
    pub(super) fn contact(&self, port: u16) -> String {
        self.endpoint.contact(PortId(port)).expect("port").uri.to_string()
    }

    /// An INVITE to port 0; the script may change it before it is sent.
    pub(super) fn invite(&self, call_id: &str) -> Request {
        let uri = self.contact(0);
        let text = format!(
            "INVITE {uri} SIP/2.0\n\
             Via: SIP/2.0/UDP {PBX};rport;branch=z9hG4bK-{call_id}-1\n\
             Max-Forwards: 70\n\
             From: \"Anna\" <sip:2000@pbx.example>;tag=far\n\
             To: <sip:6001@pbx.example>\n\
             Call-ID: {call_id}\n\
             CSeq: 1 INVITE\n\
             Contact: <sip:2000@10.0.0.5:5060>\n\
             Allow: INVITE, ACK, CANCEL, BYE, UPDATE, OPTIONS\n"
        );
        match Message::parse(wire(&text).into()) {
            Ok(Message::Request(request)) => request,
            other => panic!("{other:?}"),
        }
    }

    /// Takes the event of a new call; news of bindings before it are dropped.
    #[track_caller]
    pub(super) fn incoming(&mut self) -> Incoming {
        self.events.retain(|e| !matches!(e, Event::Registration { .. }));
        match self.event() {
            Event::Incoming(incoming) => incoming,
            other => panic!("wanted a call, came {other:?}"),
        }
    }

    /// A call from the PBX with an offer, answered and acknowledged.
    pub(super) fn call(&mut self) -> Call {
        let mut invite = self.invite("call-a");
        invite.set_body("application/sdp", sdp("sendrecv"));
        self.call_by(invite)
    }

    /// The same with an INVITE of the script.
    pub(super) fn call_by(&mut self, invite: Request) -> Call {
        self.receive_request(&invite);
        let call = self.incoming().call;
        self.command(Command::Answer { call, media: local_media() });
        let ok = self.response(200);
        let mut far = Call::of_invite(call, &invite, &ok);
        let mut ack = far.request(Method::Ack);
        if invite.body.is_empty() {
            ack.set_body("application/sdp", sdp("sendrecv"));
        }
        self.receive_request(&ack);
        self.events.clear();
        far
    }
}

/// A message as it goes over the wire.
pub(super) fn wire(text: &str) -> Vec<u8> {
    let (head, body) = text.split_once("\n\n").unwrap_or((text.trim_end_matches('\n'), ""));
    let head = head.replace('\n', "\r\n");
    format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// An offer or answer of the far end.
pub(super) fn sdp(direction: &str) -> String {
    sdp_at("10.0.0.5", 40_000, direction)
}

pub(super) fn sdp_at(address: &str, udp_port: u16, direction: &str) -> String {
    format!(
        "v=0\r\no=pbx 1 1 IN IP4 {address}\r\ns=-\r\nc=IN IP4 {address}\r\nt=0 0\r\n\
         m=audio {udp_port} RTP/AVP 0 101\r\na=rtpmap:0 PCMU/8000\r\n\
         a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na={direction}\r\n"
    )
}

/// The media port that the node gives.
pub(super) fn local_media() -> LocalMedia {
    LocalMedia {
        address: "10.0.0.9".parse().expect("address"),
        udp_port: 16_384,
        codecs: vec![Codec::Pcma, Codec::Pcmu],
        telephone_event: 101,
    }
}
