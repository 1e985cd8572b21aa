//! Calls to the outside and transfers: what is allowed, and how an outbound call begins.

use serde_json::json;

use super::*;

const HEAD: &str = "channels/000000aa-1.1";

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
