//! What applications may do, and what the node gets to see of it.

use serde_json::json;

use super::*;

const HEAD: &str = "channels/000000aa-1.1";

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
    assert_eq!((status, commands), (429, vec![ChannelCommand::Read]), "a sign of life");
    assert_eq!(bench.status("DELETE", HEAD), 204);
    bench.later(1000);
    assert_eq!(bench.status("GET", HEAD), 200);
}

#[test]
fn a_takeover_brings_five_commands_and_no_new_burst() {
    let mut bench = Bench::with_call();
    let admitted = |bench: &mut Bench, head: &str| {
        let path = format!("{head}/play?media=sound:menu");
        (0..30).filter(|_| bench.status("POST", &path) == 201).count()
    };
    let first = admitted(&mut bench, HEAD);
    bench.input(Input::Revoke { call: CALL, generation: Generation(1) });
    bench.input(Input::Offer(Offer { state: ChannelState::Up, ..offer(2, SECOND) }));
    let next = "channels/000000aa-1.2";
    let second = admitted(&mut bench, next);
    assert_eq!((first, second), (20, 5), "a port has room for so many at once");
    bench.later(1250);
    assert_eq!(admitted(&mut bench, next), 20);
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
    bench.rebind_with(&[("MOOD", "good")]);
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
