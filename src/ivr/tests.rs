//! A link with two applications, three users and one call, and short ways to speak with it.

mod calls;
mod described;
mod fixtures;
mod hostile;
mod outbound;
mod requests;
mod rules;
mod sound;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;

use super::{ChannelCommand, ChannelState, Input, Ivr, NewCall, Offer, Output, Request, Response};
use crate::codecs::Digit;
use crate::config::{
    Admin, Announce, Application, Ari, AriUser, Cluster, Config, ContactSecret, Continue,
    DigestAlgorithm, Log, Media, Node, Outbound, Overflow, Pbx, Port, PortKind, Replay, SipPorts,
    Transport,
};
use crate::ids::{CallId, Generation, InstanceId, MediaId, PortId, RequestId};
use crate::redact::Redacted;
use crate::timers::{Duration, Instant};

const CALL: CallId = CallId(0x0000_00aa_0000_0001);
const FIRST: InstanceId = InstanceId(1);
const SECOND: InstanceId = InstanceId(2);

/// The wall clock at the start: 2026-01-02T03:04:05.678Z.
const WALL: u64 = 1_767_323_045_678;

fn application(name: &str, on_continue: Continue) -> (String, Application) {
    let application = Application {
        name: name.into(),
        args: Vec::new(),
        queue_ring: Duration::from_secs(2),
        queue_max: Duration::from_secs(60),
        hold_prompt: None,
        gateway_prompt: None,
        overflow: Overflow::Release,
        hang_after: Duration::from_millis(250),
        start_deadline: Duration::from_secs(2),
        caller_silence: None,
        replay: Replay::Auto,
        barge_in: Vec::new(),
        on_continue,
    };
    (name.into(), application)
}

fn user(password: &str, read_only: bool, applications: &[&str]) -> AriUser {
    AriUser {
        password: Redacted::new(password.into()),
        read_only,
        applications: applications.iter().map(|&a| a.into()).collect(),
    }
}

fn pbx() -> Pbx {
    Pbx {
        id: "pbx".into(),
        profile: "asterisk".into(),
        registrars: vec!["127.0.0.1:5060".into()],
        domain: "pbx.example".into(),
        sources: Vec::new(),
        local_address: [127, 0, 0, 1].into(),
        sip_ports: SipPorts::Shared { udp_port: 0 },
        transport: Transport::Udp,
        contact_secret: ContactSecret::User,
        second_binding: crate::config::SecondBinding::Taken,
        expires: 60,
        register_rate: None,
        register_window: 1,
        min_digest: DigestAlgorithm::Md5,
        refuse_status: 486,
        options_interval: None,
        session_expires: Duration::from_secs(1800),
        min_se: Duration::from_secs(90),
        symmetric_rtp: false,
        inband_dtmf: false,
        telephone_event: 101,
        codecs: Vec::new(),
    }
}

fn config() -> Config {
    let users = BTreeMap::from([
        ("ivr".into(), user("sesame", false, &[])),
        ("other".into(), user("sesame2", false, &["side"])),
        ("eye".into(), user("look", true, &[])),
    ]);
    Config {
        node: Node { name: "a".into(), entity_id: "pk-cluster".into() },
        pbx: pbx(),
        cluster: Cluster::single("a", "pbx"),
        control: None,
        autostart: Vec::new(),
        alerts: crate::config::Alerts::default(),
        ports: vec![Port {
            id: PortId(0),
            kind: PortKind::Pool,
            extension: "201".into(),
            auth_user: "201".into(),
            password: Redacted::default(),
            applications: Vec::new(),
            outbound: true,
        }],
        applications: BTreeMap::from([
            application("main", Continue::Release),
            application("side", Continue::Refer),
        ]),
        announce: Announce { prompts: Vec::new(), repeats: 1, then: Overflow::Release },
        media: Media {
            address: [127, 0, 0, 1].into(),
            udp_first: 10_000,
            udp_last: 10_100,
            workers: None,
            prompts: PathBuf::new(),
            recordings: PathBuf::new(),
            rtp_timeout: Duration::from_secs(10),
        },
        ari: Ari { listen: ([127, 0, 0, 1], 8088).into(), tls_listen: None, users },
        outbound: Outbound { allow: vec!["20XX".into()], max_calls: 10, max_per_hour: 60 },
        admin: Admin {
            socket: PathBuf::new(),
            listen: ([127, 0, 0, 1], 0).into(),
            tls_listen: None,
            tokens: BTreeMap::new(),
        },
        log: Log { json: false, filter: String::new() },
    }
}

/// A link, a clock, and what left the link since it was last asked.
struct Bench {
    ivr: Ivr,
    now: Instant,
    requests: u64,
}

fn request(method: &str, path: &str) -> Request {
    Request {
        method: method.into(),
        uri: Redacted::new(format!("/ari/{path}")),
        host: "gw.example:8088".into(),
        authorization: None,
        content_type: None,
        protocols: None,
        body: bytes::Bytes::new(),
    }
}

fn with_key(mut http: Request, key: &str) -> Request {
    let uri = http.uri.reveal().clone();
    let mark = if uri.contains('?') { '&' } else { '?' };
    http.uri = Redacted::new(format!("{uri}{mark}api_key={key}"));
    http
}

fn offer(generation: u32, instance: InstanceId) -> Offer {
    Offer {
        call: CALL,
        port: PortId(0),
        extension: "201".into(),
        generation: Generation(generation),
        instance,
        application: "main".into(),
        args: vec!["de".into(), "vip".into()],
        reason: if generation == 1 { "new" } else { "hang" },
        state: ChannelState::Ring,
        caller: ("Ann".into(), "4930123".into()),
        connected: (String::new(), "201".into()),
        protocol_id: String::new(),
        variables: Vec::new(),
    }
}

impl Bench {
    fn new() -> Self {
        let mut ivr = Ivr::new(Arc::new(config()));
        ivr.handle_wall(WALL, Instant::ZERO);
        Self { ivr, now: Instant::ZERO, requests: 0 }
    }

    /// Two instances of `main`; the first has the call, which is up.
    fn with_call() -> Self {
        let mut bench = Self::new();
        bench.connect(FIRST, "events?app=main");
        bench.connect(SECOND, "events?app=main");
        bench.input(Input::Offer(offer(1, FIRST)));
        bench.input(Input::State { call: CALL, state: ChannelState::Up });
        bench
    }

    fn input(&mut self, input: Input) -> Vec<Output> {
        self.ivr.handle_input(self.now, input);
        std::iter::from_fn(|| self.ivr.poll_output()).collect()
    }

    fn later(&mut self, millis: u64) {
        self.now += Duration::from_millis(millis);
    }

    fn connect(&mut self, instance: InstanceId, path: &str) -> Vec<Output> {
        let http = with_key(request("GET", path), "ivr:sesame");
        self.requests += 1;
        self.input(Input::Upgrade { request: RequestId(self.requests), instance, http })
    }

    /// A request as it is; the answer, and the commands that came with it.
    fn raw(&mut self, http: Request) -> (Response, Vec<ChannelCommand>) {
        self.requests += 1;
        let request = RequestId(self.requests);
        let mut outputs = self.input(Input::Request { request, http });
        let answer = outputs.iter().position(|o| matches!(o, Output::Respond { .. }));
        let answer = outputs.remove(answer.expect("an answer"));
        let Output::Respond { request: to, response } = answer else { unreachable!() };
        assert_eq!(to, request);
        (response, commands(outputs))
    }

    /// A request of the usual user.
    fn ask(&mut self, method: &str, path: &str) -> (u16, Value, Vec<ChannelCommand>) {
        self.ask_as("ivr:sesame", method, path)
    }

    fn ask_as(&mut self, key: &str, method: &str, path: &str) -> (u16, Value, Vec<ChannelCommand>) {
        let (response, commands) = self.raw(with_key(request(method, path), key));
        (response.status, parse(&response.body), commands)
    }

    fn status(&mut self, method: &str, path: &str) -> u16 {
        self.ask(method, path).0
    }

    fn digit(&mut self, key: char) -> Vec<Output> {
        let digit = Digit::from_char(key).expect("a key");
        self.input(Input::Digit { call: CALL, digit, duration_ms: 80 })
    }

    /// Plays on the call's first channel and returns the number of the playback.
    fn play(&mut self, id: &str) -> MediaId {
        let path = format!("channels/aa-1.1/play/{id}?media=sound:menu");
        let (status, _, commands) = self.ask("POST", &at(&path));
        assert_eq!(status, 201);
        match commands.last() {
            Some(ChannelCommand::Play { id, .. }) => *id,
            other => panic!("no play: {other:?}"),
        }
    }

    fn rebind(&mut self) -> Vec<Output> {
        self.rebind_with(&[])
    }

    /// With the variables that the pool hands over.
    fn rebind_with(&mut self, variables: &[(&str, &str)]) -> Vec<Output> {
        let mut outputs = self.input(Input::Revoke { call: CALL, generation: Generation(1) });
        let variables = variables.iter().map(|&(n, v)| (n.to_owned(), v.to_owned())).collect();
        let again = Offer { state: ChannelState::Up, variables, ..offer(2, SECOND) };
        outputs.extend(self.input(Input::Offer(again)));
        outputs
    }
}

/// `aa-1.1` stands for the id of the call's first channel.
fn at(path: &str) -> String {
    path.replace("aa-1.", "000000aa-1.")
}

fn parse(body: &str) -> Value {
    if body.is_empty() { Value::Null } else { serde_json::from_str(body).expect("JSON") }
}

fn commands(outputs: Vec<Output>) -> Vec<ChannelCommand> {
    let command = |output| match output {
        Output::Command { command, .. } => Some(command),
        _ => None,
    };
    outputs.into_iter().filter_map(command).collect()
}

/// Texts that left, with the instance that each went to.
fn texts(outputs: &[Output]) -> Vec<(InstanceId, Value)> {
    let text = |output: &Output| match output {
        Output::Text { instance, text } => Some((*instance, parse(text))),
        _ => None,
    };
    outputs.iter().filter_map(text).collect()
}

/// Types of events that left, with the instance that each went to.
fn types(outputs: &[Output]) -> Vec<(InstanceId, String)> {
    let kind =
        |(to, event): (InstanceId, Value)| (to, event["type"].as_str().expect("a type").to_owned());
    texts(outputs).into_iter().map(kind).collect()
}
