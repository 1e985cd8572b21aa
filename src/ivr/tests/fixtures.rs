//! Every message as it stands on the wire, compared to the byte with `fixtures/ari/`. What a
//! client library is tested with is what the link sends.

use serde_json::json;

use super::*;

macro_rules! fixtures {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../../fixtures/ari/", $name, ".json")))),*]
    };
}

const EVENTS: &[(&str, &str)] = fixtures![
    "StasisStart",
    "StasisStart-rebound",
    "StasisEnd",
    "ChannelStateChange",
    "ChannelDtmfReceived",
    "ChannelVarset",
    "ChannelHold",
    "ChannelUnhold",
    "ChannelHangupRequest",
    "ChannelDestroyed",
    "ApplicationMoveFailed",
    "ChannelUserevent",
    "PlaybackStarted",
    "PlaybackContinuing",
    "PlaybackFinished",
    "RecordingStarted",
    "RecordingFinished",
    "RecordingFailed",
    "RESTResponse",
];

const RESPONSES: &[(&str, &str)] = fixtures![
    "channel",
    "channels",
    "originated",
    "playback",
    "live-recording",
    "stored-recordings",
    "application",
    "applications",
    "variable",
    "info",
    "ping",
    "error",
    "resources",
    "api-asterisk",
    "api-endpoints",
    "api-channels",
    "api-bridges",
    "api-recordings",
    "api-playbacks",
    "api-events",
    "api-applications",
];

/// The file ends with a newline, the message does not.
fn compare(name: &str, fixture: &str, sent: &str) {
    let fixture = fixture.strip_suffix('\n').unwrap_or(fixture);
    let same = fixture.bytes().zip(sent.bytes()).take_while(|(a, b)| a == b).count();
    let part = |text: &str| text.chars().skip(same.saturating_sub(40)).take(80).collect::<String>();
    assert!(fixture == sent, "{name}.json: {:?} is sent as {:?}", part(fixture), part(sent));
}

fn over_socket(method: &str, uri: &str, body: &Value) -> Input {
    let request = json!({
        "type": "RESTRequest", "transaction_id": "t1", "request_id": "r1",
        "method": method, "uri": at(uri), "message_body": body,
    });
    Input::Text { instance: FIRST, text: request.to_string() }
}

/// Two calls with a rebind between them, as texts under the names of their fixtures.
fn events() -> Vec<(String, String)> {
    let mut bench = Bench::new();
    bench.connect(FIRST, "events?app=main");
    let digit = Digit::from_char('5').expect("a key");
    let variables = json!({"variables": {"note": "hello", "number": 7}});
    let (play, record) = (MediaId(0x1_0001), MediaId(0x1_0002));
    let duration_ms = 4200;
    let script = [
        Input::Offer(offer(1, FIRST)),
        over_socket("POST", "channels/aa-1.1/answer", &Value::Null),
        Input::State { call: CALL, state: ChannelState::Up },
        Input::Digit { call: CALL, digit, duration_ms: 80 },
        Input::Hold { call: CALL, on: true },
        Input::Hold { call: CALL, on: false },
        over_socket("POST", "channels/aa-1.1/variable?variable=GW_ACK&value=1", &Value::Null),
        over_socket("POST", "events/user/hi?application=main&source=channel:aa-1.1", &variables),
        Input::MoveFailed { call: CALL, application: "side".into(), args: vec!["x".into()] },
        over_socket(
            "POST",
            "channels/aa-1.1/play/p1?media=sound:menu,digits:12&lang=de",
            &Value::Null,
        ),
        Input::PlaybackStarted { call: CALL, id: play },
        Input::PlaybackContinuing { call: CALL, id: play, part: 1 },
        Input::PlaybackFinished { call: CALL, id: play, failed: false },
        over_socket("POST", "channels/aa-1.1/record?name=msg&format=wav", &Value::Null),
        Input::RecordingFinished { call: CALL, id: record, duration_ms, failed: false },
        over_socket("POST", "channels/aa-1.1/record?name=msg2&format=wav", &Value::Null),
        Input::RecordingFinished { call: CALL, id: MediaId(0x1_0003), duration_ms, failed: true },
        Input::Revoke { call: CALL, generation: Generation(1) },
        Input::Offer(Offer {
            state: ChannelState::Up,
            variables: vec![("GW_CHECKPOINT".into(), "menu=2".into())],
            ..offer(2, FIRST)
        }),
        Input::Ended { call: CALL, cause: 16, by_caller: true },
    ];
    let outputs = script.into_iter().flat_map(|input| bench.input(input)).collect::<Vec<_>>();
    outputs.into_iter().filter_map(named).collect()
}

fn named(output: Output) -> Option<(String, String)> {
    let Output::Text { text, .. } = output else { return None };
    let event = parse(&text);
    let rebound = event["channel"]["channelvars"]["GW_GENERATION"] == "2";
    let kind = event["type"].as_str()?.to_owned();
    let name = if kind == "StasisStart" && rebound { "StasisStart-rebound".into() } else { kind };
    Some((name, text))
}

#[test]
fn every_event_is_as_in_its_fixture() {
    let events = events();
    for (name, fixture) in EVENTS {
        let sent = events.iter().find(|(n, _)| n == name).expect("sent");
        compare(name, fixture, &sent.1);
    }
    let unknown: Vec<_> =
        events.iter().filter(|(n, _)| EVENTS.iter().all(|(known, _)| known != n)).collect();
    assert!(unknown.is_empty(), "without a fixture: {unknown:?}");
}

fn response(bench: &mut Bench, name: &str) -> Response {
    let (method, path) = match name {
        "channel" => ("GET", "channels/aa-1.1"),
        "channels" => ("GET", "channels"),
        "originated" => return originated(bench),
        "playback" => ("POST", "channels/aa-1.1/play?media=sound:menu,digits:12"),
        "live-recording" => ("POST", "channels/aa-1.1/record?name=msg&format=wav"),
        "stored-recordings" => ("GET", "recordings/stored"),
        "application" => ("GET", "applications/main"),
        "applications" => ("GET", "applications"),
        "variable" => ("GET", "channels/aa-1.1/variable?variable=GW_CALL"),
        "info" => ("GET", "asterisk/info"),
        "ping" => ("GET", "asterisk/ping"),
        "error" => ("GET", "channels/aa-1.0"),
        "resources" => ("GET", "api-docs/resources.json"),
        description => {
            let name = description.strip_prefix("api-").expect("a description");
            let path = format!("api-docs/{name}.json");
            return bench.raw(with_key(request("GET", &path), "ivr:sesame")).0;
        }
    };
    bench.raw(with_key(request(method, &at(path)), "ivr:sesame")).0
}

fn originated(bench: &mut Bench) -> Response {
    let http = request("POST", "channels?endpoint=SIP/2001&app=main&callerId=Desk%20%3C100%3E");
    let request = RequestId(500);
    bench.input(Input::Request { request, http: with_key(http, "ivr:sesame") });
    let new = NewCall { call: CallId(5), port: PortId(0), protocol_id: String::new() };
    let mut outputs = bench.input(Input::Originated { request, result: Ok(new) });
    match outputs.remove(0) {
        Output::Respond { response, .. } => response,
        other => panic!("{other:?}"),
    }
}

/// The facts that differ from machine to machine and from release to release.
fn steady(body: &str) -> String {
    let system = format!("\"os\":\"{}\"", std::env::consts::OS);
    let machine = format!("\"machine\":\"{}\"", std::env::consts::ARCH);
    let version = concat!("portkeeper ", env!("CARGO_PKG_VERSION"));
    body.replace(&system, "\"os\":\"linux\"")
        .replace(&machine, "\"machine\":\"x86_64\"")
        .replace(version, "portkeeper 0.0.0")
}

#[test]
fn every_response_is_as_in_its_fixture() {
    for (name, fixture) in RESPONSES {
        let mut bench = Bench::with_call();
        if *name == "stored-recordings" {
            bench.ask("POST", &at("channels/aa-1.1/record?name=msg&format=wav"));
            let id = MediaId(0x1_0001);
            let (duration_ms, failed) = (1000, false);
            bench.input(Input::RecordingFinished { call: CALL, id, duration_ms, failed });
        }
        compare(name, fixture, &steady(&response(&mut bench, name).body));
    }
}
