//! The rules of compatibility, each found by running an unmodified client library against a
//! server that broke it. Some are proven further beside their code: the reading of parameters, time
//! stamps, and what the pool does with digits, pongs and waiting calls.

use serde_json::json;

use super::super::docs::models::{EVENT_FIELDS, MODELS, Shape};
use super::*;

/// Every event that the link can send, in the course of two calls.
fn every_event() -> Vec<Value> {
    let mut bench = Bench::new();
    let mut outputs = bench.connect(FIRST, "events?app=main");
    outputs.extend(bench.input(Input::Offer(offer(1, FIRST))));
    outputs.extend(bench.input(Input::State { call: CALL, state: ChannelState::Up }));
    outputs.extend(bench.digit('5'));
    outputs.extend(bench.input(Input::Hold { call: CALL, on: true }));
    outputs.extend(bench.input(Input::Hold { call: CALL, on: false }));
    let (application, args) = ("side".to_owned(), Vec::new());
    outputs.extend(bench.input(Input::MoveFailed { call: CALL, application, args }));
    for path in [
        "channels/aa-1.1/variable?variable=A&value=b",
        "channels/aa-1.1/play/p1?media=sound:a",
        "channels/aa-1.1/record?name=r1&format=wav",
        "events/user/hello?application=main&source=channel:aa-1.1",
    ] {
        let text = json!({"type": "RESTRequest", "method": "POST", "uri": at(path)}).to_string();
        outputs.extend(bench.input(Input::Text { instance: FIRST, text }));
    }
    let id = MediaId(0x1_0001);
    outputs.extend(bench.input(Input::PlaybackStarted { call: CALL, id }));
    outputs.extend(bench.input(Input::PlaybackContinuing { call: CALL, id, part: 0 }));
    outputs.extend(bench.input(Input::PlaybackFinished { call: CALL, id, failed: false }));
    let (id, duration_ms) = (MediaId(0x1_0002), 4200);
    for failed in [false, true] {
        let finished = Input::RecordingFinished { call: CALL, id, duration_ms, failed };
        outputs.extend(bench.input(finished));
        bench.ask("POST", &at("channels/aa-1.1/record?name=r2&format=wav"));
    }
    let id = MediaId(0x1_0003);
    let failed = Input::RecordingFinished { call: CALL, id, duration_ms, failed: true };
    outputs.extend(bench.input(failed));
    outputs.extend(bench.input(Input::Ended { call: CALL, cause: 16, by_caller: true }));
    texts(&outputs).into_iter().map(|(_, event)| event).collect()
}

fn model(id: &str) -> Option<&'static super::super::docs::models::Model> {
    MODELS.iter().find(|m| m.id == id)
}

#[test]
fn ari_r1_every_event_type_is_in_the_served_models() {
    let mut seen: Vec<_> = every_event().iter().map(|e| e["type"].to_string()).collect();
    for kind in &seen {
        let known = model(kind.trim_matches('"'));
        assert!(known.is_some_and(|m| m.shape == Shape::Event), "{kind}");
    }
    seen.sort();
    seen.dedup();
    let described = MODELS.iter().filter(|m| m.shape == Shape::Event && m.id != "Event");
    assert_eq!(seen.len(), described.count(), "every described event is sent: {seen:?}");
}

/// Fields of `value` that `id` does not have, or that it must have and has not.
fn faults(id: &str, value: &Value, common: bool) -> Vec<String> {
    let Some(model) = model(id) else { return Vec::new() };
    let extra: &[_] = if common { EVENT_FIELDS } else { &[] };
    let fields: Vec<_> = extra.iter().chain(model.fields).collect();
    let object = value.as_object().expect("an object");
    let mut faults = Vec::new();
    for (name, inner) in object {
        match fields.iter().find(|f| f.name == name) {
            None => faults.push(format!("{id}.{name} is not in the model")),
            Some(field) => {
                if inner.is_null() {
                    faults.push(format!("{id}.{name} is null"));
                }
                if model_of(field.kind) {
                    faults.extend(self::faults(field.kind, inner, false));
                }
            }
        }
    }
    let missing = fields.iter().filter(|f| f.required && !object.contains_key(f.name));
    faults.extend(missing.map(|f| format!("{id}.{} is missing", f.name)));
    faults
}

fn model_of(kind: &str) -> bool {
    model(kind).is_some()
}

#[test]
fn ari_r2_no_event_has_a_field_that_its_model_has_not() {
    for event in every_event() {
        let kind = event["type"].as_str().expect("a type").to_owned();
        assert_eq!(faults(&kind, &event, true), Vec::<String>::new());
    }
}

#[test]
fn ari_r3_replace_channel_is_in_the_model_and_never_in_the_event() {
    let start = model("StasisStart").expect("a model");
    assert!(start.fields.iter().any(|f| f.name == "replace_channel" && !f.required));
    let mut bench = Bench::with_call();
    for (_, event) in texts(&bench.rebind()) {
        assert!(event.get("replace_channel").is_none(), "{event}");
    }
}

#[test]
fn ari_r4_every_time_in_an_event_ends_in_0000() {
    for event in every_event() {
        assert_eq!(event["timestamp"], "2026-01-02T03:04:05.678+0000");
        if let Some(channel) = event.get("channel") {
            assert_eq!(channel["creationtime"], "2026-01-02T03:04:05.678+0000");
        }
    }
}

#[test]
fn ari_r5_events_and_info_name_the_same_cluster() {
    let mut bench = Bench::new();
    let (_, info, _) = bench.ask("GET", "asterisk/info");
    let (_, pong, _) = bench.ask("GET", "asterisk/ping");
    assert_eq!(
        (&info["system"]["entity_id"], &pong["asterisk_id"]),
        (&"pk-cluster".into(), &"pk-cluster".into())
    );
    assert!(every_event().iter().all(|e| e["asterisk_id"] == "pk-cluster"));
}

#[test]
fn ari_r6_a_play_is_the_same_from_query_json_and_form() {
    let mut bench = Bench::with_call();
    let path = at("channels/aa-1.1/play");
    let bodies = [
        (None, "?media=sound:a,sound:b&skipms=500", ""),
        (Some("application/json"), "", r#"{"media":["sound:a","sound:b"],"skipms":500}"#),
        (Some("application/x-www-form-urlencoded"), "", "media=sound:a,sound:b&skipms=500"),
        (Some("application/json"), "?media=sound:a,sound:b&skipms=500", "[]"),
    ];
    for (content_type, query, body) in bodies {
        let mut http = with_key(request("POST", &format!("{path}{query}")), "ivr:sesame");
        http.content_type = content_type.map(str::to_owned);
        http.body = body.to_owned().into();
        let (response, commands) = bench.raw(http);
        assert_eq!(response.status, 201, "{}", response.body);
        let Some(ChannelCommand::Play { media, skip, .. }) = commands.last() else { panic!() };
        assert_eq!((media.len(), skip.as_millis()), (2, 500));
    }
}

#[test]
fn ari_r7_no_field_is_null_and_no_string_of_a_channel_is_missing() {
    let mut bench = Bench::with_call();
    let (_, channel, _) = bench.ask("GET", &at("channels/aa-1.1"));
    assert_eq!(faults("Channel", &channel, false), Vec::<String>::new());
    for field in ["accountcode", "language", "creationtime", "dialplan", "caller", "connected"] {
        assert!(channel.get(field).is_some_and(|f| !f.is_null()), "{field}");
    }
    let hangup = every_event().into_iter().find(|e| e["type"] == "ChannelHangupRequest");
    assert_eq!(hangup.expect("sent")["cause"], 16);
}

#[test]
fn ari_r8_subscribe_all_shows_an_instance_its_own_calls_only() {
    let mut bench = Bench::new();
    bench.connect(FIRST, "events?app=main&subscribeAll=true");
    bench.connect(SECOND, "events?app=main&subscribeAll=true");
    let outputs = bench.input(Input::Offer(offer(1, FIRST)));
    assert_eq!(types(&outputs), [(FIRST, "StasisStart".into())]);
    assert_eq!(types(&bench.digit('1')), [(FIRST, "ChannelDtmfReceived".into())]);
}

#[test]
fn ari_r9_a_request_without_credentials_gets_401_and_a_challenge() {
    let mut bench = Bench::new();
    for key in ["", "ivr", "ivr:wrong", "nobody:sesame", ":"] {
        let http = with_key(request("GET", "api-docs/resources.json"), key);
        let (response, _) = bench.raw(http);
        assert_eq!((response.status, response.headers[0].0), (401, "WWW-Authenticate"), "{key}");
    }
    let (response, _) = bench.raw(request("GET", "api-docs/resources.json"));
    assert_eq!(response.status, 401);
    let mut http = request("GET", "api-docs/resources.json");
    http.authorization = Some(Redacted::new("Basic aXZyOnNlc2FtZQ==".into()));
    assert_eq!(bench.raw(http).0.status, 200);
}

#[test]
fn ari_r10_a_fenced_instance_keeps_its_socket_and_gets_calls_again() {
    let mut bench = Bench::with_call();
    let outputs = bench.rebind();
    assert!(outputs.iter().all(|o| matches!(o, Output::Text { .. })), "{outputs:?}");
    let next = Offer { call: CallId(7), ..offer(1, FIRST) };
    let outputs = bench.input(Input::Offer(next));
    assert_eq!(types(&outputs), [(FIRST, "StasisStart".into())]);
}

#[test]
fn ari_r11_every_verb_on_a_fenced_channel_is_404_and_counted() {
    let mut bench = Bench::with_call();
    bench.play("p1");
    bench.rebind();
    let requests = [
        ("GET", "channels/aa-1.1"),
        ("DELETE", "channels/aa-1.1"),
        ("POST", "channels/aa-1.1/answer"),
        ("POST", "channels/aa-1.1/play?media=sound:a"),
        ("POST", "channels/aa-1.1/variable?variable=GW_ACK&value=1"),
        ("GET", "channels/aa-1.1/variable?variable=GW_CALL"),
        ("POST", "channels/aa-1.1/redirect?endpoint=SIP/2001"),
        ("GET", "playbacks/p1"),
        ("DELETE", "playbacks/p1"),
    ];
    for (n, (method, path)) in (1..).zip(requests) {
        let (status, _, commands) = bench.ask(method, &at(path));
        assert_eq!((status, commands), (404, Vec::new()), "{method} {path}");
        assert_eq!(bench.ivr.counters().stale_commands_total, n, "{method} {path}");
    }
}

#[test]
fn ari_r12_commands_leave_in_the_order_in_which_they_came() {
    let mut bench = Bench::with_call();
    let ids: Vec<_> = ["one", "two", "three"].map(|id| bench.play(id)).into();
    assert!(ids.is_sorted() && ids[0] != ids[1], "{ids:?}");
}

#[test]
fn ari_r13_a_repeated_play_with_an_id_is_the_first_one() {
    let mut bench = Bench::with_call();
    let id = bench.play("again");
    let path = at("channels/aa-1.1/play/again?media=sound:menu");
    for state in ["queued", "playing", "done"] {
        let (status, playback, commands) = bench.ask("POST", &path);
        assert_eq!((status, &playback["state"]), (201, &state.into()));
        assert_eq!(commands, [ChannelCommand::Read], "a sign of life, not a second play");
        bench.input(match state {
            "queued" => Input::PlaybackStarted { call: CALL, id },
            _ => Input::PlaybackFinished { call: CALL, id, failed: false },
        });
    }
    bench.input(Input::Offer(Offer { call: CallId(9), ..offer(1, FIRST) }));
    assert_eq!(bench.status("POST", "channels/00000000-9.1/play/again?media=sound:x"), 409);
}

#[test]
fn ari_r14_each_digit_is_a_message_of_its_own_and_leaves_at_once() {
    let mut bench = Bench::with_call();
    for key in ['1', '1', '#'] {
        let sent = texts(&bench.digit(key));
        assert_eq!(sent.len(), 1);
        assert_eq!(
            (&sent[0].1["digit"], &sent[0].1["duration_ms"]),
            (&key.to_string().into(), &80.into())
        );
    }
    assert_eq!(bench.ivr.poll_output().map(|_| ()), None);
}

#[test]
fn ari_r15_no_digit_leaves_before_the_call_was_offered() {
    let mut bench = Bench::with_call();
    bench.input(Input::Revoke { call: CALL, generation: Generation(1) });
    assert_eq!(types(&bench.digit('1')), []);
    bench.input(Input::Offer(offer(2, SECOND)));
    assert_eq!(types(&bench.digit('2')), [(SECOND, "ChannelDtmfReceived".into())]);
}

#[test]
fn ari_r16_a_connection_gets_no_text_that_is_not_an_event() {
    // A ping is a frame of the WebSocket, sent by the driver: a text of type Ping is an error in
    // the log of the one library that never answers pings.
    let mut bench = Bench::new();
    let outputs = bench.connect(FIRST, "events?app=main");
    assert!(matches!(outputs[..], [Output::Accept { .. }]));
    assert_eq!(bench.ivr.poll_timeout(), None);
}

#[test]
fn ari_r17_the_sub_protocol_is_echoed_if_it_is_offered() {
    let mut bench = Bench::new();
    let offers = [(None, None), (Some("foo, ARI"), Some("ari")), (Some("foo"), None)];
    for (n, (offered, echoed)) in (1..).zip(offers) {
        let mut http = with_key(request("GET", "events?app=main"), "ivr:sesame");
        http.protocols = offered.map(str::to_owned);
        let upgrade = Input::Upgrade { request: RequestId(n), instance: InstanceId(n), http };
        let outputs = bench.input(upgrade);
        let [Output::Accept { protocol, .. }] = outputs[..] else { panic!("{outputs:?}") };
        assert_eq!(protocol, echoed);
    }
}

#[test]
fn ari_r18_neither_requests_nor_the_link_show_a_password() {
    let mut http = with_key(request("GET", "events?app=main"), "ivr:sesame");
    http.authorization = Some(Redacted::new("Basic aXZyOnNlc2FtZQ==".into()));
    let input = Input::Upgrade { request: RequestId(1), instance: FIRST, http };
    let mut bench = Bench::new();
    let shown = format!("{input:?} {:?} {:?}", bench.input(input.clone()), bench.ivr);
    assert!(!shown.contains("sesame") && !shown.contains("aXZy"), "{shown}");
}

#[test]
fn ari_r19_a_call_whose_instance_is_gone_waits_for_the_next_offer() {
    let mut bench = Bench::new();
    bench.connect(FIRST, "events?app=main");
    bench.input(Input::Closed { instance: FIRST });
    assert_eq!(types(&bench.input(Input::Offer(offer(1, FIRST)))), []);
    bench.connect(SECOND, "events?app=main");
    assert_eq!(types(&bench.rebind()), [(SECOND, "StasisStart".into())]);
    assert_eq!(bench.status("GET", &at("channels/aa-1.2")), 200);
}
