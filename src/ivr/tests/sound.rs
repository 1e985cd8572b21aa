//! Playbacks and recordings.

use serde_json::json;

use super::super::IfExists;
use super::*;

const HEAD: &str = "channels/000000aa-1.1";

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
fn each_uri_of_a_playback_is_told_with_the_one_after_it() {
    let mut bench = Bench::with_call();
    let uris = "media=sound:menu,digits:12,sound:bye";
    let (_, queued, commands) = bench.ask("POST", &format!("{HEAD}/play/p1?{uris}"));
    let Some(&ChannelCommand::Play { id, .. }) = commands.first() else {
        panic!("{commands:?}");
    };
    let mut told = vec![queued];
    let inputs = [
        Input::PlaybackStarted { call: CALL, id },
        Input::PlaybackContinuing { call: CALL, id, part: 1 },
        Input::PlaybackContinuing { call: CALL, id, part: 2 },
        Input::PlaybackFinished { call: CALL, id, failed: false },
    ];
    for input in inputs {
        told.push(texts(&bench.input(input))[0].1["playback"].clone());
    }
    let told = told.iter().map(|p| (&p["state"], &p["media_uri"], &p["next_media_uri"]));
    let expected = [
        ("queued", "sound:menu", Some("digits:12")),
        ("playing", "sound:menu", Some("digits:12")),
        ("continuing", "digits:12", Some("sound:bye")),
        ("continuing", "sound:bye", None),
        ("done", "sound:bye", None),
    ];
    let expected = expected.map(|(state, uri, next)| (json!(state), json!(uri), json!(next)));
    assert!(told.eq(expected.iter().map(|(state, uri, next)| (state, uri, next))));
    let late = bench.input(Input::PlaybackContinuing { call: CALL, id, part: 1 });
    assert!(texts(&late).is_empty(), "it is over");
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
fn a_name_is_recorded_once_unless_the_request_says_what_becomes_of_the_first() {
    let mut bench = Bench::with_call();
    let record = format!("{HEAD}/record?name=msg&format=wav");
    bench.ask("POST", &record);
    let id = MediaId(0x1_0001);
    bench.input(Input::RecordingFinished { call: CALL, id, duration_ms: 1, failed: false });
    assert_eq!(bench.status("POST", &record), 409);
    assert_eq!(bench.status("POST", &format!("{record}&ifExists=keep")), 400);
    assert_eq!(bench.status("POST", &format!("{HEAD}/record?name=a&format=gsm")), 422);
    for (n, word, expected) in
        [(2, "overwrite", IfExists::Overwrite), (3, "append", IfExists::Append)]
    {
        let (status, _, commands) = bench.ask("POST", &format!("{record}&ifExists={word}"));
        let [ChannelCommand::Record { if_exists, .. }] = commands[..] else {
            panic!("{status}: {commands:?}");
        };
        assert_eq!((status, if_exists), (201, expected));
        let id = MediaId(0x1_0000 + n);
        bench.input(Input::RecordingFinished { call: CALL, id, duration_ms: 1, failed: false });
    }
}

/// `main` has made the recording `msg`; the call 00000000-9 is offered to `side`.
fn with_a_recording_of_another() -> Bench {
    let mut bench = Bench::with_call();
    bench.ask("POST", &format!("{HEAD}/record?name=msg&format=wav"));
    let id = MediaId(0x1_0001);
    bench.input(Input::RecordingFinished { call: CALL, id, duration_ms: 1, failed: false });
    let call = CallId(9);
    bench.input(Input::Offer(Offer { call, application: "side".into(), ..offer(1, SECOND) }));
    bench
}

#[test]
fn a_recording_of_an_application_that_one_may_not_serve_is_neither_replaced_nor_added_to() {
    let mut bench = with_a_recording_of_another();
    for (name, word, status) in
        [("msg", "overwrite", 409), ("msg", "append", 409), ("own", "append", 201)]
    {
        let path = format!("channels/00000000-9.1/record?name={name}&format=wav&ifExists={word}");
        assert_eq!(bench.ask_as("other:sesame2", "POST", &path).0, status, "{name} {word}");
    }
}

#[test]
fn a_recording_of_an_application_that_one_may_not_serve_is_not_played() {
    let mut bench = with_a_recording_of_another();
    for (media, status) in
        [("recording:msg", 409), ("sound:menu,recording:msg", 409), ("recording:of-nobody", 201)]
    {
        let path = format!("channels/00000000-9.1/play?media={media}");
        assert_eq!(bench.ask_as("other:sesame2", "POST", &path).0, status, "{media}");
    }
    assert_eq!(bench.status("POST", &format!("{HEAD}/play?media=recording:msg")), 201);
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

#[test]
fn the_65th_digit_that_waits_is_refused_until_one_has_left() {
    let mut bench = Bench::with_call();
    let dtmf = |keys: usize| format!("{HEAD}/dtmf?dtmf={}", "1".repeat(keys));
    assert_eq!(bench.status("POST", &dtmf(60)), 204);
    let (status, _, commands) = bench.ask("POST", &dtmf(5));
    assert_eq!((status, commands), (409, vec![ChannelCommand::Read]), "nothing of it is sent");
    assert_eq!(bench.status("POST", &dtmf(4)), 204);
    assert_eq!(bench.status("POST", &dtmf(1)), 409);
    bench.input(Input::Keyed { call: CALL, sent: 2, lost: 1 });
    assert_eq!(bench.status("POST", &dtmf(4)), 409);
    assert_eq!(bench.status("POST", &dtmf(3)), 204);
    bench.input(Input::Ended { call: CALL, cause: 16, by_caller: true });
    assert_eq!(bench.ivr.counters().digits_unsent_total, 1 + 64, "the call ended before they left");
}
