//! Calls that come, change their owner and end, and the instances that hear of it.

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
    bench.ask("POST", &format!("{HEAD}/variable?variable=GW_ACK&value=3"));
    let handed_over = [("GW_CHECKPOINT", "menu=2"), ("GW_ACK", "3")];
    let start = &texts(&bench.rebind_with(&handed_over))[1].1;
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
fn a_new_owner_reads_the_variables_that_the_pool_hands_over_and_no_others() {
    let mut bench = Bench::with_call();
    for pair in ["GW_CHECKPOINT&value=1", "LANG&value=de"] {
        bench.ask("POST", &format!("{HEAD}/variable?variable={pair}"));
    }
    let start = &texts(&bench.rebind_with(&[("LANG", "fr")]))[1].1;
    assert!(start["channel"]["channelvars"].get("GW_CHECKPOINT").is_none(), "{start}");
    let read = |name: &str| format!("channels/000000aa-1.2/variable?variable={name}");
    assert_eq!(bench.status("GET", &read("GW_CHECKPOINT")), 404, "not acknowledged, not told");
    assert_eq!(bench.ask("GET", &read("LANG")).1["value"], "fr");
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
fn what_had_sounded_to_its_end_before_the_rebind_shows_no_woken_instance() {
    let mut bench = Bench::with_call();
    let id = bench.play("p1");
    bench.input(Input::PlaybackFinished { call: CALL, id, failed: false });
    bench.play("p2");
    bench.rebind();
    assert_eq!(bench.status("DELETE", "playbacks/p1"), 404);
    assert_eq!(bench.ivr.counters().stale_commands_total, 0);
    assert_eq!(bench.status("DELETE", "playbacks/p2"), 404);
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
