//! Whatever a client sends, it is answered once, in JSON, and nothing panics or stays behind.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn text(instance: InstanceId, text: impl Into<String>) -> Input {
    Input::Text { instance, text: text.into() }
}

fn status_of(outputs: &[Output]) -> Value {
    texts(outputs)[0].1["status_code"].clone()
}

#[test]
fn a_message_that_is_no_request_is_answered_400_with_empty_ids() {
    let mut bench = Bench::with_call();
    let deep = format!("{{\"a\":{}", "[".repeat(60_000));
    for message in ["", "{", "[]", "1", "null", "\"x\"", "{\"uri\":1}", &deep] {
        let answer = texts(&bench.input(text(FIRST, message)));
        assert_eq!(answer[0].1["status_code"], 400, "{message:.20}");
        assert_eq!(
            (&answer[0].1["transaction_id"], &answer[0].1["request_id"]),
            (&"".into(), &"".into())
        );
    }
}

#[test]
fn a_message_of_another_type_is_400_with_its_ids() {
    let mut bench = Bench::with_call();
    let message = json!({"type": "Ping", "transaction_id": "t", "request_id": "r"});
    let answer = &texts(&bench.input(text(FIRST, message.to_string())))[0].1;
    assert_eq!((&answer["status_code"], &answer["request_id"]), (&400.into(), &"r".into()));
}

#[test]
fn a_giant_message_is_refused_unread() {
    let mut bench = Bench::with_call();
    assert_eq!(status_of(&bench.input(text(FIRST, " ".repeat(65_537)))), 413);
}

#[test]
fn a_message_on_a_closed_socket_is_dropped() {
    let mut bench = Bench::with_call();
    bench.input(Input::Closed { instance: FIRST });
    assert!(bench.input(text(FIRST, "{}")).is_empty());
}

#[test]
fn hostile_targets_and_bodies_get_4xx() {
    let mut bench = Bench::with_call();
    let path = at("channels/aa-1.1");
    let giant = format!("channels/{}", "a".repeat(9000));
    let cases = [
        ("GET", "channels/%zz", 400),
        ("GET", "channels/%ff", 400),
        ("GET", "channels/..%2f..%2fetc", 404),
        ("GET", "channels/%00", 404),
        ("GET", &giant, 414),
        ("GET", "channels/", 404),
        ("GET", "nowhere", 404),
        ("PATCH", "channels", 405),
        ("", "channels", 405),
        ("POST", &format!("{path}/play?media="), 400),
        ("POST", &format!("{path}/play?media=sound:../x"), 400),
        ("POST", &format!("{path}/play?media=sound:a&offsetms=99999999999999999999"), 400),
        ("POST", &format!("{path}/play/%20?media=sound:a"), 400),
        ("POST", &format!("{path}/record?name=..&format=wav"), 400),
        ("POST", &format!("{path}/dtmf?dtmf=x"), 400),
        ("DELETE", &format!("{path}?reason_code=300"), 400),
    ];
    for (method, path, status) in cases {
        let mut http = with_key(request(method, path), "ivr:sesame");
        http.uri = Redacted::new(format!("/ari/{path}&api_key=ivr:sesame"));
        if !path.contains('?') {
            http.uri = Redacted::new(format!("/ari/{path}?api_key=ivr:sesame"));
        }
        assert_eq!(bench.raw(http).0.status, status, "{method} {path:.60}");
    }
}

#[test]
fn a_hostile_host_header_does_not_reach_the_description() {
    let mut bench = Bench::new();
    for host in ["", "evil\"}", "a b", "a/b", &"x".repeat(300)] {
        let mut http = with_key(request("GET", "api-docs/resources.json"), "ivr:sesame");
        http.host = host.to_owned();
        let listing = parse(&bench.raw(http).0.body);
        assert_eq!(listing["basePath"], "http://127.0.0.1:8088/ari", "{host:.20}");
    }
}

#[test]
fn what_one_call_can_leave_behind_is_bounded() {
    let mut bench = Bench::with_call();
    let path = at("channels/aa-1.1");
    let mut refused = [0; 2];
    for n in 0..200 {
        bench.later(50);
        let play = bench.status("POST", &format!("{path}/play?media=sound:a"));
        refused[0] += u32::from(play == 409);
        bench.later(50);
        let variable = bench.status("POST", &format!("{path}/variable?variable=V{n}&value=1"));
        refused[1] += u32::from(variable == 400);
    }
    assert_eq!(refused, [200 - 64, 200 - 64]);
    bench.input(Input::Ended { call: CALL, cause: 16, by_caller: false });
    assert!(bench.ivr.channels.is_empty() && bench.ivr.ids.is_empty());
    assert!(bench.ivr.playback_ids.is_empty() && bench.ivr.live_recordings.is_empty());
}

fn any_uri() -> impl Strategy<Value = String> {
    let known = prop::sample::select(vec![
        "channels/000000aa-1.1",
        "channels/000000aa-1.1/play",
        "channels/000000aa-1.1/record",
        "channels/000000aa-1.1/variable",
        "channels/000000aa-1.1/dtmf",
        "channels/000000aa-1.1/continue",
        "playbacks/p",
        "recordings/live/r",
        "applications/main/subscription",
        "events/user/x",
        "asterisk/info",
        "asterisk/variable",
        "api-docs/events.json",
    ]);
    let query = prop::collection::vec(
        (
            prop::sample::select(vec![
                "media",
                "variable",
                "value",
                "name",
                "app",
                "endpoint",
                "dtmf",
                "lang",
                "offsetms",
                "playbackId",
                "eventSource",
                "application",
                "source",
                "only",
                "terminateOn",
                "maxDurationSeconds",
                "reason_code",
            ]),
            "[a-z0-9:%+/.#*-]{0,12}",
        ),
        0..4,
    );
    (known, query).prop_map(|(path, query)| {
        let query: Vec<_> = query.iter().map(|(n, v)| format!("{n}={v}")).collect();
        format!("{path}?{}", query.join("&"))
    })
}

proptest! {
    #[test]
    fn every_request_is_answered_once(
        method in prop::sample::select(vec!["GET", "POST", "DELETE", "PUT"]),
        uri in any_uri(),
        body in any::<Vec<u8>>(),
    ) {
        let mut bench = Bench::with_call();
        let message = json!({
            "type": "RESTRequest", "method": method, "uri": uri,
            "message_body": String::from_utf8_lossy(&body),
        });
        let mut http = with_key(request(method, &uri), "ivr:sesame");
        http.body = body.into();
        let (response, _) = bench.raw(http);
        prop_assert!((200..500).contains(&response.status));
        parse(&response.body);
        let outputs = bench.input(text(FIRST, message.to_string()));
        let answers = types(&outputs).iter().filter(|(_, kind)| kind == "RESTResponse").count();
        prop_assert_eq!(answers, 1);
    }

    #[test]
    fn no_message_panics(bytes in any::<Vec<u8>>(), message in any::<String>()) {
        super::super::fuzz::request(&bytes);
        super::super::fuzz::request(message.as_bytes());
        let mut bench = Bench::with_call();
        bench.input(text(FIRST, message));
    }
}
