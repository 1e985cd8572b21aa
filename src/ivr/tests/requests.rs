//! What applications may do, and what the node gets to see of it.

use serde_json::json;

use super::*;

const HEAD: &str = "channels/000000aa-1.1";

#[test]
fn a_rebind_ends_the_old_channel_before_the_new_one_starts() {
    let mut bench = Bench::with_call();
    let outputs = bench.rebind();
    let seen: Vec<_> = texts(&outputs)
        .into_iter()
        .map(|(to, e)| (to, e["type"].clone(), e["channel"]["id"].clone()))
        .collect();
    let expected = [
        (FIRST, "StasisEnd".into(), "000000aa-1.1".into()),
        (SECOND, "StasisStart".into(), "000000aa-1.2".into()),
    ];
    assert_eq!(seen, expected);
}

#[test]
fn a_new_owner_is_told_why_and_where_the_old_one_was() {
    let mut bench = Bench::with_call();
    bench.ask("POST", &format!("{HEAD}/variable?variable=GW_CHECKPOINT&value=menu%3D2"));
    bench.ask("POST", &format!("{HEAD}/variable?variable=GW_ACK&value=3"));
    let start = &texts(&bench.rebind())[1].1;
    let expected = json!({
        "GW_CALL": "000000aa-1", "GW_GENERATION": "2", "GW_REASON": "hang",
        "GW_CHECKPOINT": "menu=2",
    });
    assert_eq!(start["channel"]["channelvars"], expected);
    assert_eq!((&start["args"], &start["channel"]["state"]), (&json!(["de", "vip"]), &"Up".into()));
    for (name, value) in expected.as_object().expect("an object") {
        let path = format!("channels/000000aa-1.2/variable?variable={name}");
        assert_eq!(bench.ask("GET", &path).1["value"], *value);
    }
    let ack = "channels/000000aa-1.2/variable?variable=GW_ACK";
    assert_eq!(bench.status("GET", ack), 404, "it counts from 1 on each channel id");
}

#[test]
fn identity_of_the_call_stays_over_a_rebind() {
    let mut bench = Bench::with_call();
    let before = bench.ask("GET", HEAD).1;
    bench.later(5000);
    bench.rebind();
    let after = bench.ask("GET", "channels/000000aa-1.2").1;
    assert_ne!(before["id"], after["id"]);
    for field in ["name", "protocol_id", "creationtime", "caller", "connected"] {
        assert_eq!(before[field], after[field], "{field}");
    }
}

#[test]
fn a_tombstone_is_counted_for_ten_minutes_and_404_for_ever() {
    let mut bench = Bench::with_call();
    bench.rebind();
    bench.input(Input::Ended { call: CALL, cause: 16, by_caller: true });
    bench.later(599_000);
    assert_eq!(bench.status("GET", HEAD), 404);
    assert_eq!(bench.ivr.counters().stale_commands_total, 1);
    assert_eq!(bench.ivr.poll_timeout(), Some(Instant::ZERO + Duration::from_secs(600)));
    bench.later(1000);
    bench.ivr.handle_timeout(bench.now);
    assert_eq!((bench.status("GET", HEAD), bench.ivr.poll_timeout()), (404, None));
    assert_eq!(bench.ivr.counters().stale_commands_total, 1);
}

#[test]
fn an_overtaken_id_of_a_live_call_is_counted_however_old() {
    let mut bench = Bench::with_call();
    bench.rebind();
    bench.later(700_000);
    assert_eq!(bench.status("DELETE", HEAD), 404);
    assert_eq!(bench.ivr.counters().stale_commands_total, 1);
}

#[test]
fn an_id_that_never_was_is_404_and_not_counted() {
    let mut bench = Bench::with_call();
    for id in ["x", "000000aa-1.9", "000000aa-2.1", "000000aa-1.", ".", "000000aa-1.1.1"] {
        assert_eq!(bench.status("GET", &format!("channels/{id}")), 404, "{id}");
    }
    assert_eq!(bench.ivr.counters().stale_commands_total, 0);
}

#[test]
fn an_inherited_playback_sends_no_event() {
    let mut bench = Bench::with_call();
    let id = bench.play("p1");
    bench.input(Input::PlaybackStarted { call: CALL, id });
    bench.rebind();
    let outputs = bench.input(Input::PlaybackFinished { call: CALL, id, failed: false });
    assert_eq!(types(&outputs), []);
}

#[test]
fn a_second_socket_of_an_application_replaces_nobody() {
    let mut bench = Bench::new();
    bench.connect(FIRST, "events?app=main");
    let outputs = bench.connect(SECOND, "events?app=main");
    assert!(matches!(&outputs[..], [Output::Accept { instance: SECOND, .. }]), "{outputs:?}");
}

#[test]
fn a_socket_names_its_applications_and_its_user() {
    let mut bench = Bench::new();
    let outputs = bench.connect(FIRST, "events?app=main,side,main&subscribeAll=false");
    let [Output::Accept { applications, user, .. }] = &outputs[..] else { panic!("{outputs:?}") };
    assert_eq!((applications.join(" "), user.as_str()), ("main side".into(), "ivr"));
}

#[test]
fn a_socket_is_refused_in_words() {
    let mut bench = Bench::new();
    let refusals = [
        ("ivr:sesame", "events", 400),
        ("ivr:sesame", "events?app=nope", 400),
        ("ivr:wrong", "events?app=main", 401),
        ("other:sesame2", "events?app=main", 403),
        ("eye:look", "events?app=main", 403),
        ("ivr:sesame", "event?app=main", 404),
    ];
    for (key, path, status) in refusals {
        let http = with_key(request("GET", path), key);
        let upgrade = Input::Upgrade { request: RequestId(1), instance: FIRST, http };
        let outputs = bench.input(upgrade);
        let [Output::Respond { response, .. }] = &outputs[..] else { panic!("{outputs:?}") };
        assert_eq!(response.status, status, "{path}");
        assert!(parse(&response.body)["message"].is_string(), "{path}");
    }
    assert_eq!(bench.ask("GET", "events?app=main").0, 426);
}

#[test]
fn a_play_answers_first_and_only_once() {
    let mut bench = Bench::new();
    bench.connect(FIRST, "events?app=main");
    bench.input(Input::Offer(offer(1, FIRST)));
    let play = format!("{HEAD}/play?media=sound:menu&lang=de&offsetms=10&skipms=20");
    let (status, playback, commands) = bench.ask("POST", &play);
    assert_eq!((status, &playback["state"]), (201, &"queued".into()));
    assert_eq!(playback["target_uri"], "channel:000000aa-1.1");
    let expected = ChannelCommand::Play {
        id: MediaId(0x1_0001),
        media: vec![super::super::MediaUri::Sound("menu".into())],
        language: "de".into(),
        offset: Duration::from_millis(10),
        skip: Duration::from_millis(20),
    };
    assert_eq!(commands, [ChannelCommand::Answer, expected]);
    let (_, _, commands) = bench.ask("POST", &play);
    assert!(matches!(commands[..], [ChannelCommand::Play { .. }]), "{commands:?}");
    assert_eq!(bench.ask("POST", &format!("{HEAD}/answer")).2, [ChannelCommand::Read]);
}

#[test]
fn a_bad_play_does_not_answer() {
    let mut bench = Bench::new();
    bench.connect(FIRST, "events?app=main");
    bench.input(Input::Offer(offer(1, FIRST)));
    let (status, _, commands) = bench.ask("POST", &format!("{HEAD}/play?media=video:x"));
    assert_eq!((status, commands), (400, vec![ChannelCommand::Read]));
}

#[test]
fn every_request_on_a_live_id_is_a_sign_of_life() {
    let mut bench = Bench::with_call();
    for (method, path, status) in [
        ("GET", HEAD.to_owned(), 200),
        ("GET", format!("{HEAD}/variable?variable=NOPE"), 404),
        ("GET", format!("{HEAD}/variable"), 400),
        ("POST", format!("{HEAD}/dtmf?dtmf=x"), 400),
        ("POST", format!("{HEAD}/redirect?endpoint=SIP/999"), 403),
    ] {
        let (got, _, commands) = bench.ask(method, &path);
        assert_eq!((got, commands), (status, vec![ChannelCommand::Read]), "{method} {path}");
    }
}

#[test]
fn commands_carry_the_port_the_call_and_the_generation() {
    let mut bench = Bench::with_call();
    bench.rebind();
    let http = with_key(request("POST", "channels/000000aa-1.2/ring"), "ivr:sesame");
    let outputs = bench.input(Input::Request { request: RequestId(9), http });
    let command = &outputs[0];
    assert!(
        matches!(
            command,
            Output::Command {
                port: PortId(0),
                call: CALL,
                generation: Generation(2),
                command: ChannelCommand::Ring(true),
            }
        ),
        "{command:?}"
    );
}

#[test]
fn simple_commands_reach_the_node_as_they_are() {
    use ChannelCommand::{Hold, Moh, Mute, Ring, Silence};
    let mut bench = Bench::with_call();
    let mute = |out, inbound| Mute { out, inbound };
    let cases = [
        ("POST", "ring", Ring(true)),
        ("DELETE", "ring", Ring(false)),
        ("POST", "moh", Moh(true)),
        ("DELETE", "moh", Moh(false)),
        ("POST", "silence", Silence(true)),
        ("DELETE", "silence", Silence(false)),
        ("POST", "hold", Hold(true)),
        ("DELETE", "hold", Hold(false)),
        ("POST", "mute", mute(Some(true), Some(true))),
        ("POST", "mute?direction=in", mute(None, Some(true))),
        ("DELETE", "mute?direction=out", mute(Some(false), None)),
        ("POST", "continue?extension=1", ChannelCommand::Continue { extension: Some("1".into()) }),
        (
            "POST",
            "redirect?endpoint=PJSIP/2001",
            ChannelCommand::Redirect { target: "2001".into() },
        ),
        (
            "POST",
            "move?app=side&appArgs=a,b",
            ChannelCommand::Move { application: "side".into(), args: vec!["a".into(), "b".into()] },
        ),
        (
            "POST",
            "variable?variable=GW_BARGE_IN&value=0-2%23",
            ChannelCommand::SetVariable { name: "GW_BARGE_IN".into(), value: "012#".into() },
        ),
    ];
    for (method, path, command) in cases {
        let (status, _, commands) = bench.ask(method, &format!("{HEAD}/{path}"));
        assert_eq!((status, commands), (204, vec![command]), "{method} {path}");
    }
}

#[test]
fn dtmf_has_lengths_and_pauses() {
    let mut bench = Bench::with_call();
    let path = format!("{HEAD}/dtmf?dtmf=1%23&before=5&between=200&duration=10&after=7");
    let (_, _, commands) = bench.ask("POST", &path);
    let [ChannelCommand::Dtmf { digits, before, between, duration, after }] = &commands[..] else {
        panic!("{commands:?}")
    };
    let keys: String = digits.iter().map(|d| d.as_char()).collect();
    let millis = [before, between, duration, after].map(|d| d.as_millis());
    assert_eq!((keys.as_str(), millis), ("1#", [5, 200, 40, 7]));
}

#[test]
fn a_hang_up_has_a_cause_by_number_or_by_name() {
    let mut bench = Bench::with_call();
    for (query, cause) in [("", 16), ("?reason=busy", 17), ("?reason_code=41", 41)] {
        let (status, _, commands) = bench.ask("DELETE", &format!("{HEAD}{query}"));
        assert_eq!((status, commands), (204, vec![ChannelCommand::Hangup { cause }]), "{query}");
    }
    for query in ["?reason=busy&reason_code=17", "?reason=nope", "?reason_code=128"] {
        assert_eq!(bench.status("DELETE", &format!("{HEAD}{query}")), 400, "{query}");
    }
}

#[test]
fn the_rate_of_commands_is_bounded_but_hanging_up_is_not() {
    let mut bench = Bench::with_call();
    let statuses: Vec<_> = (0..25).map(|_| bench.status("GET", HEAD)).collect();
    assert_eq!(statuses.iter().filter(|s| **s == 429).count(), 5);
    let (status, _, commands) = bench.ask("GET", HEAD);
    assert_eq!((status, commands.len()), (429, 0));
    assert_eq!(bench.status("DELETE", HEAD), 204);
    bench.later(1000);
    assert_eq!(bench.status("GET", HEAD), 200);
}

#[test]
fn a_user_of_another_application_is_told_409_and_sees_nothing() {
    let mut bench = Bench::with_call();
    bench.play("p1");
    let key = "other:sesame2";
    for (method, path) in [("GET", HEAD), ("DELETE", HEAD), ("GET", "playbacks/p1")] {
        let (status, _, commands) = bench.ask_as(key, method, path);
        assert_eq!((status, commands), (409, Vec::new()), "{method} {path}");
    }
    assert_eq!(bench.ask_as(key, "GET", "channels").1, json!([]));
    assert_eq!(bench.ask_as(key, "GET", "applications/main").0, 404);
    assert_eq!(bench.ask_as(key, "GET", "applications").1[0]["name"], "side");
}

#[test]
fn a_user_who_may_only_read_reads_only() {
    let mut bench = Bench::with_call();
    assert_eq!(bench.ask_as("eye:look", "GET", HEAD).0, 200);
    for (method, path) in [("DELETE", HEAD), ("POST", "channels?endpoint=SIP/2001&app=main")] {
        let (status, _, commands) = bench.ask_as("eye:look", method, path);
        assert_eq!((status, commands), (403, Vec::new()), "{method} {path}");
    }
}

#[test]
fn targets_outside_the_patterns_are_refused() {
    let mut bench = Bench::with_call();
    let redirect = |endpoint: &str| format!("{HEAD}/redirect?endpoint={endpoint}");
    for (endpoint, status) in [
        ("SIP/2001", 204),
        ("sip:2001@pbx.example", 204),
        ("SIP/3001", 403),
        ("SIP/00491234", 403),
        ("sip:2001@evil.example", 422),
        ("IAX2/2001", 422),
        ("", 400),
    ] {
        assert_eq!(bench.status("POST", &redirect(endpoint)), status, "{endpoint}");
        let originate = format!("channels?app=main&endpoint={endpoint}");
        if status != 204 {
            assert_eq!(bench.status("POST", &originate), status, "{endpoint}");
        }
    }
}

#[test]
fn continue_into_a_transfer_needs_an_allowed_extension() {
    let mut bench = Bench::with_call();
    bench.input(Input::Offer(Offer {
        application: "side".into(),
        state: ChannelState::Up,
        ..offer(2, FIRST)
    }));
    let head = "channels/000000aa-1.2/continue";
    assert_eq!(bench.status("POST", head), 400);
    assert_eq!(bench.status("POST", &format!("{head}?extension=3001")), 403);
    let (status, _, commands) = bench.ask("POST", &format!("{head}?extension=2001"));
    let expected = ChannelCommand::Continue { extension: Some("2001".into()) };
    assert_eq!((status, commands), (204, vec![expected]));
}

#[test]
fn playbacks_are_controlled_while_they_sound() {
    let mut bench = Bench::with_call();
    let id = bench.play("p1");
    let control = |name: &str| format!("playbacks/p1/control?operation={name}");
    assert_eq!(bench.status("POST", &control("pause")), 409);
    let started = bench.input(Input::PlaybackStarted { call: CALL, id });
    assert_eq!(texts(&started)[0].1["playback"]["state"], "playing");
    for name in ["restart", "pause", "unpause", "reverse", "forward"] {
        let (status, _, commands) = bench.ask("POST", &control(name));
        assert!(status == 204 && matches!(commands[..], [ChannelCommand::Playback { .. }]));
    }
    assert_eq!(bench.status("POST", &control("explode")), 400);
    assert_eq!(bench.ask("GET", "playbacks/p1").1["state"], "playing");
    assert_eq!(bench.status("DELETE", "playbacks/p1"), 204);
    let finished = bench.input(Input::PlaybackFinished { call: CALL, id, failed: false });
    assert_eq!(texts(&finished)[0].1["playback"]["state"], "done");
    assert_eq!(
        (bench.status("GET", "playbacks/p1"), bench.status("DELETE", "playbacks/p1")),
        (404, 404)
    );
}

#[test]
fn a_playback_without_media_fails_by_event() {
    let mut bench = Bench::with_call();
    let id = bench.play("p1");
    let outputs = bench.input(Input::PlaybackFinished { call: CALL, id, failed: true });
    let (_, event) = &texts(&outputs)[0];
    assert_eq!(
        (&event["type"], &event["playback"]["state"]),
        (&"PlaybackFinished".into(), &"failed".into())
    );
}

#[test]
fn the_end_of_a_call_ends_everything_in_order() {
    let mut bench = Bench::with_call();
    bench.play("p1");
    bench.ask("POST", &format!("{HEAD}/record?name=msg&format=wav"));
    let outputs = bench.input(Input::Ended { call: CALL, cause: 16, by_caller: true });
    let kinds: Vec<_> = types(&outputs).into_iter().map(|(_, kind)| kind).collect();
    let expected = [
        "PlaybackFinished",
        "RecordingFinished",
        "ChannelHangupRequest",
        "StasisEnd",
        "ChannelDestroyed",
    ];
    assert_eq!(kinds, expected);
    assert_eq!(
        (bench.status("GET", HEAD), bench.status("GET", "recordings/stored/msg")),
        (404, 200)
    );
}

#[test]
fn a_call_that_we_end_has_no_hangup_request() {
    let mut bench = Bench::with_call();
    let outputs = bench.input(Input::Ended { call: CALL, cause: 17, by_caller: false });
    let events = texts(&outputs);
    assert_eq!(events[0].1["type"], "StasisEnd");
    assert_eq!(
        (&events[1].1["cause"], &events[1].1["cause_txt"]),
        (&17.into(), &"User busy".into())
    );
}

#[test]
fn a_recording_is_stopped_or_thrown_away() {
    let mut bench = Bench::with_call();
    for (n, name, ending, state) in [(1, "kept", "stop", "done"), (2, "lost", "cancel", "canceled")]
    {
        let record = format!("{HEAD}/record?name={name}&format=wav&maxDurationSeconds=9");
        let (status, recording, _) = bench.ask("POST", &format!("{record}&terminateOn=%23"));
        assert_eq!((status, &recording["state"]), (201, &"queued".into()));
        let live = format!("recordings/live/{name}");
        assert_eq!(bench.ask("GET", &live).1["state"], "recording");
        assert_eq!(bench.status("POST", &format!("{HEAD}/record?name=x&format=wav")), 409);
        let id = MediaId(0x1_0000 + n);
        let discard = ending == "cancel";
        let (status, _, commands) = match discard {
            true => bench.ask("DELETE", &live),
            false => bench.ask("POST", &format!("{live}/stop")),
        };
        assert_eq!((status, commands), (204, vec![ChannelCommand::StopRecord { id, discard }]));
        let (duration_ms, failed) = (2999, false);
        let outputs = bench.input(Input::RecordingFinished { call: CALL, id, duration_ms, failed });
        let (_, event) = &texts(&outputs)[0];
        assert_eq!(
            (&event["recording"]["state"], &event["recording"]["duration"]),
            (&state.into(), &2.into())
        );
        assert_eq!(bench.status("GET", &live), 404);
    }
    assert_eq!(bench.ask("GET", "recordings/stored").1, json!([{"name": "kept", "format": "wav"}]));
    assert_eq!(bench.ask_as("other:sesame2", "GET", "recordings/stored").1, json!([]));
}

#[test]
fn a_name_is_recorded_once_unless_the_request_says_overwrite() {
    let mut bench = Bench::with_call();
    let record = format!("{HEAD}/record?name=msg&format=wav");
    bench.ask("POST", &record);
    let id = MediaId(0x1_0001);
    bench.input(Input::RecordingFinished { call: CALL, id, duration_ms: 1, failed: false });
    assert_eq!(bench.status("POST", &record), 409);
    assert_eq!(bench.status("POST", &format!("{record}&ifExists=append")), 400);
    assert_eq!(bench.status("POST", &format!("{record}&ifExists=overwrite")), 201);
    assert_eq!(bench.status("POST", &format!("{HEAD}/record?name=a&format=gsm")), 422);
}

#[test]
fn an_inherited_recording_is_kept_but_nobody_can_name_it() {
    let mut bench = Bench::with_call();
    bench.ask("POST", &format!("{HEAD}/record?name=msg&format=wav"));
    bench.rebind();
    assert_eq!(bench.status("DELETE", "recordings/live/msg"), 404);
    let id = MediaId(0x1_0001);
    let outputs =
        bench.input(Input::RecordingFinished { call: CALL, id, duration_ms: 1, failed: false });
    assert_eq!((types(&outputs), bench.status("GET", "recordings/stored/msg")), (vec![], 200));
}

fn originate(bench: &mut Bench, query: &str) -> Vec<Output> {
    let path = format!("channels?endpoint=SIP/2001&app=main&{query}");
    let http = with_key(request("POST", &path), "ivr:sesame");
    bench.input(Input::Request { request: RequestId(77), http })
}

fn placed(bench: &mut Bench) -> Vec<Output> {
    let new = NewCall { call: CALL, port: PortId(0), protocol_id: String::new() };
    bench.input(Input::Originated { request: RequestId(77), result: Ok(new) })
}

#[test]
fn an_outbound_call_has_a_channel_before_it_is_answered() {
    let mut bench = Bench::new();
    bench.connect(FIRST, "events?app=main");
    let outputs = originate(&mut bench, "appArgs=a,b&timeout=5&callerId=100");
    let [Output::Originate { target, args, caller, timeout, by, .. }] = &outputs[..] else {
        panic!("{outputs:?}")
    };
    assert_eq!((target.as_str(), args.len(), timeout.as_secs(), by), ("2001", 2, 5, &None));
    assert_eq!(caller.1, "100");
    let outputs = placed(&mut bench);
    let [Output::Respond { response, .. }] = &outputs[..] else { panic!("{outputs:?}") };
    assert_eq!((response.status, &parse(&response.body)["id"]), (200, &"000000aa-1.1".into()));
    assert_eq!(bench.status("POST", &format!("{HEAD}/play?media=sound:a")), 412);
    let outputs = bench.input(Input::State { call: CALL, state: ChannelState::Ringing });
    assert_eq!(types(&outputs), [(FIRST, "ChannelStateChange".into())]);
    bench.input(Input::State { call: CALL, state: ChannelState::Up });
    assert_eq!(bench.status("POST", &format!("{HEAD}/play?media=sound:a")), 409);
    let up = Offer { state: ChannelState::Up, ..offer(1, FIRST) };
    assert_eq!(types(&bench.input(Input::Offer(up))), [(FIRST, "StasisStart".into())]);
    assert_eq!(bench.status("POST", &format!("{HEAD}/play?media=sound:a")), 201);
}

#[test]
fn an_outbound_call_that_fails_ends_without_stasis_end() {
    let mut bench = Bench::new();
    bench.connect(FIRST, "events?app=main");
    originate(&mut bench, "");
    placed(&mut bench);
    assert_eq!(bench.ask("DELETE", HEAD).2, [ChannelCommand::Hangup { cause: 16 }]);
    let outputs = bench.input(Input::Ended { call: CALL, cause: 17, by_caller: false });
    assert_eq!(types(&outputs), [(FIRST, "ChannelDestroyed".into())]);
}

#[test]
fn a_call_that_cannot_be_placed_is_refused_with_the_nodes_sentence() {
    let mut bench = Bench::new();
    originate(&mut bench, "");
    let result = Err((503, "No port is free".to_owned()));
    let outputs = bench.input(Input::Originated { request: RequestId(77), result });
    let [Output::Respond { response, .. }] = &outputs[..] else { panic!("{outputs:?}") };
    assert_eq!(
        (response.status, response.body.as_str()),
        (503, r#"{"message":"No port is free"}"#)
    );
    assert!(placed(&mut bench).is_empty(), "answered once");
}

#[test]
fn a_client_may_choose_the_first_id_of_an_outbound_channel() {
    let mut bench = Bench::new();
    bench.connect(FIRST, "events?app=main");
    originate(&mut bench, "channelId=mine-1");
    assert_eq!(bench.status("POST", "channels/mine-1?endpoint=SIP/2001&app=main"), 409);
    assert_eq!(bench.status("POST", "channels/aa-1.1?endpoint=SIP/2001&app=main"), 400);
    placed(&mut bench);
    let up = Offer { state: ChannelState::Up, ..offer(1, FIRST) };
    assert_eq!(texts(&bench.input(Input::Offer(up)))[0].1["channel"]["id"], "mine-1");
    assert_eq!(bench.status("GET", "channels/mine-1"), 200);
    bench.rebind();
    assert_eq!(bench.status("GET", "channels/mine-1"), 404);
    assert_eq!(
        (bench.ivr.counters().stale_commands_total, bench.status("GET", "channels/000000aa-1.2")),
        (1, 200)
    );
}

#[test]
fn an_originate_over_the_socket_is_answered_there_and_names_its_instance() {
    let mut bench = Bench::new();
    bench.connect(FIRST, "events?app=main");
    bench.connect(SECOND, "events?app=main");
    let text = json!({
        "type": "RESTRequest", "request_id": "r9", "method": "POST", "uri": "channels",
        "query_strings": [{"name": "endpoint", "value": "SIP/2001"}],
        "content_type": "application/json",
        "message_body": "{\"app\":\"main\",\"variables\":{\"A\":\"b\"}}",
    });
    let outputs = bench.input(Input::Text { instance: SECOND, text: text.to_string() });
    let [Output::Originate { request, by: Some(SECOND), variables, .. }] = &outputs[..] else {
        panic!("{outputs:?}")
    };
    assert_eq!(variables, &[("A".to_owned(), "b".to_owned())]);
    let new = NewCall { call: CALL, port: PortId(0), protocol_id: String::new() };
    let outputs = bench.input(Input::Originated { request: *request, result: Ok(new) });
    let [(SECOND, answer)] = &texts(&outputs)[..] else { panic!("{outputs:?}") };
    assert_eq!((&answer["request_id"], &answer["status_code"]), (&"r9".into(), &200.into()));
    let outputs = bench.input(Input::State { call: CALL, state: ChannelState::Ringing });
    assert_eq!(types(&outputs), [(SECOND, "ChannelStateChange".into())]);
}

#[test]
fn a_user_event_goes_to_the_owner_or_to_the_whole_pool() {
    let mut bench = Bench::with_call();
    let send = |bench: &mut Bench, query: &str| {
        let path = format!("events/user/hello?application=main{query}");
        let http = with_key(request("POST", &path), "ivr:sesame");
        let outputs = bench.input(Input::Request { request: RequestId(5), http });
        types(&outputs).into_iter().map(|(to, _)| to).collect::<Vec<_>>()
    };
    assert_eq!(send(&mut bench, ""), [FIRST, SECOND]);
    assert_eq!(send(&mut bench, "&source=channel:000000aa-1.1"), [FIRST]);
    assert_eq!(bench.status("POST", "events/user/hello?application=nope"), 404);
    assert_eq!(bench.status("POST", "events/user/hello?application=main&source=bridge:1"), 422);
}

#[test]
fn variables_are_kept_told_and_passed_on() {
    let mut bench = Bench::with_call();
    let http = with_key(
        request("POST", &format!("{HEAD}/variable?variable=MOOD&value=good")),
        "ivr:sesame",
    );
    let outputs = bench.input(Input::Request { request: RequestId(5), http });
    let (to, event) = &texts(&outputs)[0];
    assert_eq!((*to, &event["variable"], &event["value"]), (FIRST, &"MOOD".into(), &"good".into()));
    let expected = ChannelCommand::SetVariable { name: "MOOD".into(), value: "good".into() };
    assert_eq!(commands(outputs), [expected]);
    bench.rebind();
    let (_, body, _) = bench.ask("GET", "channels/000000aa-1.2/variable?variable=MOOD");
    assert_eq!(body["value"], "good");
}

#[test]
fn variables_of_the_gateway_are_checked() {
    let mut bench = Bench::with_call();
    for (name, value) in [("GW_CALL", "1"), ("GW_ACK", "x"), ("GW_ACK", "-1"), ("GW_BARGE_IN", "z")]
    {
        let path = format!("{HEAD}/variable?variable={name}&value={value}");
        let (status, _, commands) = bench.ask("POST", &path);
        assert_eq!((status, commands), (400, vec![ChannelCommand::Read]), "{name}={value}");
    }
}

#[test]
fn well_known_variables_are_answered_from_the_channel() {
    let mut bench = Bench::with_call();
    for (name, value) in [
        ("CALLERID(num)", "4930123"),
        ("CALLERID(name)", "Ann"),
        ("EXTEN", "201"),
        ("CHANNEL(state)", "Up"),
        ("UNIQUEID", "000000aa-1.1"),
    ] {
        let (_, body, _) = bench.ask("GET", &format!("{HEAD}/variable?variable={name}"));
        assert_eq!(body["value"], value, "{name}");
    }
}

#[test]
fn global_variables_are_the_nodes() {
    let mut bench = Bench::new();
    assert_eq!(bench.ask("GET", "asterisk/variable?variable=G").1["value"], "");
    assert_eq!(bench.status("POST", "asterisk/variable?variable=G&value=1"), 204);
    assert_eq!(bench.ask("GET", "asterisk/variable?variable=G").1["value"], "1");
    assert_eq!(bench.status("GET", "asterisk/variable"), 400);
}

#[test]
fn info_is_cut_to_what_was_asked() {
    let mut bench = Bench::new();
    let (_, info, _) = bench.ask("GET", "asterisk/info?only=system,status");
    let keys: Vec<_> = info.as_object().expect("an object").keys().collect();
    assert_eq!(keys, ["status", "system"]);
    assert_eq!(bench.status("GET", "asterisk/info?only=secrets"), 400);
}

#[test]
fn subscriptions_do_nothing_and_say_so_with_200() {
    let mut bench = Bench::with_call();
    let path = "applications/main/subscription";
    for method in ["POST", "DELETE"] {
        let (status, body, _) = bench.ask(method, &format!("{path}?eventSource=channel:x"));
        assert_eq!((status, &body["channel_ids"][0]), (200, &"000000aa-1.1".into()));
    }
    assert_eq!(
        (bench.status("POST", path), bench.status("POST", &format!("{path}?eventSource=x"))),
        (400, 400)
    );
    assert_eq!(bench.status("POST", "applications/nope/subscription?eventSource=channel:x"), 404);
}

#[test]
fn what_this_gateway_has_not_is_empty_or_404() {
    let mut bench = Bench::new();
    for path in ["bridges", "endpoints", "endpoints/SIP"] {
        let (status, body, _) = bench.ask("GET", path);
        assert_eq!((status, body), (200, json!([])), "{path}");
    }
    for path in ["bridges/x", "endpoints/SIP/1", "mailboxes", "deviceStates", "sounds"] {
        assert_eq!(bench.status("GET", path), 404, "{path}");
    }
}

#[test]
fn descriptions_name_the_host_as_the_client_did() {
    let mut bench = Bench::new();
    let (_, listing, _) = bench.ask("GET", "api-docs/resources.json");
    assert_eq!(
        (&listing["basePath"], &listing["apiVersion"]),
        (&"http://gw.example:8088/ari".into(), &"8.0.0".into())
    );
    for api in listing["apis"].as_array().expect("a list") {
        let path = api["path"].as_str().expect("a path").replace("{format}", "json");
        let (status, description, _) = bench.ask("GET", &path[1..]);
        assert_eq!((status, &description["resourcePath"]), (200, &api["path"]));
        assert!(!description["apis"].as_array().expect("a list").is_empty(), "{path}");
    }
    assert_eq!(bench.status("GET", "api-docs/mailboxes.json"), 404);
}

#[test]
fn every_model_that_a_description_refers_to_is_described() {
    use super::super::docs::{models::MODELS, routes::ROUTES};
    let named = ROUTES.iter().map(|r| r.returns);
    let inside = MODELS.iter().flat_map(|m| m.fields).map(|f| f.kind);
    let simple = ["void", "string", "int", "long", "boolean", "Date", "object"];
    for kind in named.chain(inside) {
        let kind = kind.strip_prefix("List[").map_or(kind, |k| k.trim_end_matches(']'));
        assert!(simple.contains(&kind) || MODELS.iter().any(|m| m.id == kind), "{kind}");
    }
}

#[test]
fn the_guide_for_authors_names_every_route_event_and_variable() {
    use super::super::docs::models::{MODELS, Shape};
    use super::super::docs::routes::ROUTES;
    let guide = include_str!("../../../docs/ARI.md");
    let rows: Vec<_> = guide.lines().filter(|line| line.starts_with('|')).collect();
    for route in ROUTES {
        let path = format!("`{}`", route.path);
        let described = |row: &&&str| {
            row.contains(&path) && row.split('`').next().unwrap_or("").contains(route.method)
        };
        let row = rows.iter().find(described);
        let row = row.unwrap_or_else(|| panic!("{} {path}", route.method));
        for param in route.params.iter().filter(|p| p.required) {
            assert!(
                row.contains(&format!("**{}**", param.name)) || row.contains("as POST"),
                "{path}"
            );
        }
    }
    let events = MODELS.iter().filter(|m| m.shape == Shape::Event && m.id != "Event");
    let gateway =
        ["GW_CALL", "GW_GENERATION", "GW_REASON", "GW_CHECKPOINT", "GW_ACK", "GW_BARGE_IN"];
    for name in events.map(|m| m.id).chain(gateway) {
        assert!(rows.iter().any(|row| row.contains(&format!("`{name}`"))), "{name}");
    }
}

#[test]
fn requests_are_counted_by_status_and_events_by_number() {
    let mut bench = Bench::with_call();
    bench.status("GET", HEAD);
    bench.status("GET", "nowhere");
    let counters = bench.ivr.counters();
    assert_eq!(counters.requests, BTreeMap::from([(101, 2), (200, 1), (404, 1)]));
    assert_eq!((counters.events_sent, counters.events_unsent), (2, 0));
}

#[test]
fn a_late_revoke_of_an_older_generation_changes_nothing() {
    let mut bench = Bench::with_call();
    bench.rebind();
    let outputs = bench.input(Input::Revoke { call: CALL, generation: Generation(1) });
    assert!(outputs.is_empty());
    assert_eq!(bench.status("GET", "channels/000000aa-1.2"), 200);
}

#[test]
fn news_of_unknown_calls_is_ignored() {
    let mut bench = Bench::new();
    let (call, id) = (CallId(404), MediaId(1));
    let mut outputs = Vec::new();
    for input in [
        Input::State { call, state: ChannelState::Up },
        Input::Hold { call, on: true },
        Input::PlaybackStarted { call, id },
        Input::PlaybackFinished { call, id, failed: false },
        Input::RecordingFinished { call, id, duration_ms: 1, failed: false },
        Input::Revoke { call, generation: Generation(1) },
        Input::Ended { call, cause: 16, by_caller: true },
        Input::Closed { instance: InstanceId(99) },
    ] {
        outputs.extend(bench.input(input));
    }
    assert!(outputs.is_empty(), "{outputs:?}");
}
