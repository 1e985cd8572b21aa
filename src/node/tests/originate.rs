//! `POST /channels`: a call to the outside.

use super::*;

const CALL: &str = "channels?endpoint=SIP/2001&app=main&appArgs=a,b&timeout=20&callerId=300";

/// A call that was asked for over the first instance's WebSocket: what it made, and its INVITE.
fn dialled(bench: &mut Bench) -> (Made, String) {
    bench.connect(SECOND);
    bench.connect(FIRST);
    let mut made = bench.post(FIRST, CALL);
    bench.call = bench.node.call_of(PORT).expect("a call");
    made.add(bench.media(media::Event::Opened));
    let invite = made.to_pbx("INVITE ").to_owned();
    (made, invite)
}

#[test]
fn a_call_that_is_answered_starts_at_the_instance_that_placed_it() {
    let mut bench = Bench::new();
    let (made, invite) = dialled(&mut bench);
    assert_eq!(made.status(), 200);
    assert!(invite.starts_with("INVITE sip:2001@"), "{invite}");
    let made = bench.reply(&invite, "180 Ringing");
    assert_eq!(made.event("ChannelStateChange")["channel"]["state"], "Ringing");
    let made = bench.pick_up(&invite);
    made.to_pbx("ACK ");
    let start = made.event("StasisStart");
    assert_eq!((&start["args"], &start["channel"]["state"]), (&json!(["a", "b"]), &"Up".into()));
    let to: Vec<_> = made.types().into_iter().filter(|(_, t)| *t == "StasisStart").collect();
    assert_eq!(to, [(FIRST, "StasisStart")]);
}

#[test]
fn a_call_that_nobody_answers_is_given_up_after_its_timeout() {
    let mut bench = Bench::new();
    let (_, invite) = dialled(&mut bench);
    bench.reply(&invite, "180 Ringing");
    assert_eq!(bench.run(Duration::from_millis(19_999)).sip.len(), 0);
    bench.run(Duration::from_millis(1)).to_pbx("CANCEL ");
}

#[test]
fn a_refused_call_ends_with_the_cause_of_the_refusal() {
    let mut bench = Bench::new();
    let (_, invite) = dialled(&mut bench);
    let made = bench.reply(&invite, "486 Busy Here");
    assert_eq!(made.event("ChannelDestroyed")["cause"], 17);
    assert_eq!(made.types().iter().filter(|(_, kind)| *kind == "StasisEnd").count(), 0);
}

#[test]
fn what_may_not_be_called_is_refused_in_words_and_nothing_leaves() {
    let mut bench = Bench::new();
    bench.connect(FIRST);
    for (path, status) in [
        ("channels?endpoint=SIP/3001&app=main", 403),
        ("channels?endpoint=sip:2001@evil.example&app=main", 422),
        ("channels?endpoint=SIP/2001&app=nobody", 400),
    ] {
        let made = bench.post(FIRST, path);
        assert_eq!((made.status(), made.sip.len(), made.media.len()), (status, 0, 0), "{path}");
    }
}

#[test]
fn a_second_call_above_max_calls_is_refused() {
    let mut bench = Bench::new();
    dialled(&mut bench);
    let made = bench.post(FIRST, CALL);
    assert_eq!((made.status(), made.sip.len()), (403, 0));
}

#[test]
fn a_call_needs_a_free_port() {
    let mut bench = Bench::with_call();
    let made = bench.post(FIRST, CALL);
    assert_eq!((made.status(), made.sip.len()), (503, 0));
}

#[test]
fn a_call_that_is_hung_up_before_its_udp_port_is_open_is_never_placed() {
    let mut bench = Bench::new();
    bench.connect(FIRST);
    let channel = bench.post(FIRST, &format!("{CALL}&channelId=mine")).media.len();
    assert_eq!(channel, 1, "the UDP port is asked for");
    bench.call = bench.node.call_of(PORT).expect("a call");
    let made = bench.ask(FIRST, "DELETE", "channels/mine");
    assert_eq!(made.status(), 204);
    assert_eq!(made.event("ChannelDestroyed")["cause"], 16);
    assert!(matches!(made.media[..], [media::Command::Close]), "{made:?}");
    assert_eq!(bench.media(media::Event::Opened).lines(), [""; 0]);
    assert_eq!(bench.node.call_of(PORT), None);
}

#[test]
fn a_stop_ends_a_call_whose_udp_port_is_not_open_yet() {
    let mut bench = Bench::new();
    bench.connect(FIRST);
    bench.post(FIRST, CALL);
    bench.call = bench.node.call_of(PORT).expect("a call");
    bench.input(Input::Stop);
    assert_eq!(bench.node.call_of(PORT), None);
    assert!(!bench.media(media::Event::Opened).lines().join(" ").contains("INVITE"));
}

#[test]
fn a_call_that_we_end_tells_the_cause_that_it_was_ended_with() {
    let ended = |end: &dyn Fn(&mut Bench) -> Made| {
        let mut bench = Bench::new();
        let (_, invite) = dialled(&mut bench);
        bench.reply(&invite, "180 Ringing");
        end(&mut bench).event("ChannelDestroyed")["cause"].clone()
    };
    assert_eq!(ended(&|bench| bench.run(Duration::from_secs(20))), 19, "nobody answers");
    assert_eq!(ended(&|bench| bench.input(Input::MediaStuck { port: PORT })), 41);
    let mut bench = Bench::with_call();
    let made = bench.ask(FIRST, "DELETE", "channels/{id}?reason=busy");
    assert_eq!(made.event("ChannelDestroyed")["cause"], 17);
}

#[test]
fn keys_that_stop_a_prompt_may_be_named_where_the_call_is_placed() {
    let mut bench = Bench::new();
    bench.connect(FIRST);
    let body = json!({"variables": {"GW_BARGE_IN": "5"}}).to_string();
    let text = json!({"type": "RESTRequest", "method": "POST", "uri": CALL, "message_body": body});
    let text = text.to_string();
    bench.input(Input::Ivr(ivr::Input::Text { instance: FIRST, text }));
    bench.call = bench.node.call_of(PORT).expect("a call");
    let made = bench.media(media::Event::Opened);
    bench.pick_up(made.to_pbx("INVITE "));
    let made = bench.post(FIRST, "channels/{id}/play?media=sound:menu");
    let five = crate::codecs::Digit::from_char('5').expect("a key");
    assert_eq!(made.played()[0].barge_in, media::DigitSet::NONE.with(five));
}
