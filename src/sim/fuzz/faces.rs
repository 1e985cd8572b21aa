//! Fuzz functions of what people and programs write: ARI requests and the configuration.

use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::config::{self, Config, Parsed, PortKind, Report, Severity, Source};
use crate::ids::{CallId, Generation, InstanceId, PortId, RequestId};
use crate::ivr::{self, ChannelState, Input, Ivr, Offer, Output, Request};
use crate::redact::Redacted;
use crate::timers::Instant;

const CALL: CallId = CallId(0xaa_0000_0001);
const INSTANCE: InstanceId = InstanceId(1);

/// A password that no answer and no report may hold.
const SECRET: &str = "kT7-pq2Zr9vXw4mN8sLd";

const CONFIGURATION: &str = r#"
[pbx]
registrars = ["10.0.0.5"]
local_address = "10.0.0.9"
[[ports]]
extensions = "6001"
password = "kT7-pq2Zr9vXw4mN8sLd"
applications = ["main"]
outbound = true
[applications.main]
[ari.users.ivr]
password = "kT7-pq2Zr9vXw4mN8sLd"
[outbound]
allow = ["20XX"]
"#;

/// The bytes as a message on a WebSocket, and as the body of requests over HTTP, by an instance
/// that owns a call.
pub fn fuzz_ari_json(data: &[u8]) {
    ivr::fuzz::request(data);
    let Some(config) = parsed(CONFIGURATION).config else { return };
    let mut link = Link { ivr: Ivr::new(Arc::new(config)), requests: 0 };
    link.connect();
    let text = String::from_utf8_lossy(data).into_owned();
    let outputs = link.input(Input::Text { instance: INSTANCE, text });
    check_texts(&outputs);
    for (path, kind) in [
        ("play", "application/json"),
        ("record", "application/json"),
        ("variable", "application/x-www-form-urlencoded"),
        ("dtmf", "application/json"),
        ("redirect", "application/json"),
    ] {
        link.post(&format!("channels/{CALL}.1/{path}"), kind, data);
    }
    link.post("channels", "application/json", data);
    link.post("events/user/x?application=main", "application/json", data);
}

struct Link {
    ivr: Ivr,
    requests: u64,
}

impl Link {
    /// One instance, which has a call.
    fn connect(&mut self) {
        let http = request("GET", "events?app=main", None, &[]);
        let request = RequestId(0);
        self.input(Input::Upgrade { request, instance: INSTANCE, http });
        self.input(Input::Offer(Offer {
            call: CALL,
            port: PortId(0),
            extension: "6001".into(),
            generation: Generation(1),
            instance: INSTANCE,
            application: "main".into(),
            args: Vec::new(),
            reason: "new",
            state: ChannelState::Up,
            caller: ("Ann".into(), "4930123".into()),
            connected: (String::new(), "6001".into()),
            protocol_id: String::new(),
            variables: Vec::new(),
        }));
    }

    fn input(&mut self, input: Input) -> Vec<Output> {
        self.ivr.handle_input(Instant::ZERO, input);
        std::iter::from_fn(|| self.ivr.poll_output()).collect()
    }

    /// Every request is answered once, or handed on to whoever answers it.
    fn post(&mut self, path: &str, kind: &str, body: &[u8]) {
        self.requests += 1;
        let http = request("POST", path, Some(kind), body);
        let outputs = self.input(Input::Request { request: RequestId(self.requests), http });
        let mut answers = 0;
        for output in &outputs {
            match output {
                Output::Respond { response, .. } => {
                    answers += 1;
                    assert!((200..=501).contains(&response.status), "{}", response.status);
                    assert!(!response.body.contains(SECRET));
                }
                Output::Originate { .. } => answers += 1,
                _ => {}
            }
        }
        assert_eq!(answers, 1, "{path}");
        check_texts(&outputs);
    }
}

fn request(method: &str, path: &str, kind: Option<&str>, body: &[u8]) -> Request {
    let mark = if path.contains('?') { '&' } else { '?' };
    Request {
        method: method.into(),
        uri: Redacted::new(format!("/ari/{path}{mark}api_key=ivr:{SECRET}")),
        host: "gw.example:8088".into(),
        authorization: None,
        content_type: kind.map(str::to_owned),
        protocols: None,
        body: bytes::Bytes::copy_from_slice(body),
    }
}

/// What goes to an application is JSON, whatever came in.
fn check_texts(outputs: &[Output]) {
    for output in outputs {
        if let Output::Text { text, .. } = output {
            let value: Result<serde_json::Value, _> = serde_json::from_str(text);
            assert!(value.is_ok_and(|v| v["type"].is_string()), "not an event: {text}");
        }
    }
}

fn parsed(text: &str) -> Parsed {
    let read_file = |_: &Path| Err(io::Error::from(io::ErrorKind::NotFound));
    let source = Source {
        text,
        base: Path::new("/etc/portkeeper"),
        read_file: &read_file,
        fault_of: &|_| None,
        today: config::Day::default(),
    };
    config::parse(source)
}

/// A configuration file: any text is either usable or has an error, and every fault names a line
/// of the file.
pub fn fuzz_configuration(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let Parsed { config, faults, .. } = parsed(&text);
    let errors = faults.iter().any(|fault| fault.severity == Severity::Error);
    assert_eq!(config.is_none(), errors, "usable, or told why not");
    let lines = text.matches('\n').count() + 1;
    for fault in &faults {
        assert!(fault.line.is_none_or(|line| (1..=lines).contains(&line)), "{fault:?}");
        assert!(!fault.text.is_empty(), "{fault:?}");
    }
    let report = Report { file: "x.toml", faults: &faults }.to_string();
    assert_eq!(report.lines().count(), faults.len(), "one line a fault:\n{report}");
    if let Some(config) = config {
        check_usable(&config);
    }
}

fn check_usable(config: &Config) {
    assert!(!config.pool_ports().is_empty() || config.cluster.is_witness());
    assert!(!config.pbx.registrars.is_empty());
    assert!(config.cluster.member(config.cluster.me).is_some());
    assert!(config.media.udp_first < config.media.udp_last);
    for (index, port) in config.ports.iter().enumerate() {
        assert_eq!(usize::from(port.id.0), index);
        assert!(!port.extension.is_empty());
        assert_eq!(port.applications.is_empty(), port.kind != PortKind::Pool);
    }
}
