//! A call that nobody takes yet.

use super::*;

const HOLD: &str = "[applications.main]\nhold_prompt = \"hold\"\ngateway_prompt = \"bridge\"\n";

fn bench() -> Bench {
    Bench::with(&config("[\"main\"]", HOLD))
}

#[test]
fn a_call_rings_at_once_and_is_answered_by_its_instance() {
    let mut bench = bench();
    bench.connect(FIRST);
    let made = bench.arrive();
    made.to_pbx("SIP/2.0 180");
    assert_eq!(made.event("StasisStart")["channel"]["state"], "Ring");
    bench.post(FIRST, "channels/{id}/answer").to_pbx("SIP/2.0 200");
}

#[test]
fn a_play_on_a_ringing_call_answers_it_first() {
    let mut bench = bench();
    bench.connect(FIRST);
    bench.arrive();
    let made = bench.post(FIRST, "channels/{id}/play?media=sound:menu");
    made.to_pbx("SIP/2.0 200");
    assert_eq!(made.played().len(), 1);
}

#[test]
fn without_an_instance_it_hears_the_hold_prompt_and_starts_up_when_one_comes() {
    let mut bench = bench();
    bench.arrive();
    let made = bench.run(Duration::from_millis(1_999));
    assert_eq!((made.lines().len(), made.played().len()), (0, 0), "it rings");
    let made = bench.run(Duration::from_millis(1));
    made.to_pbx("SIP/2.0 200");
    let [hold] = made.played()[..] else { panic!("{made:?}") };
    assert!(hold.repeat);
    let made = bench.connect(FIRST);
    assert_eq!(made.event("StasisStart")["channel"]["state"], "Up");
    assert_eq!(made.media.len(), 0, "the hold prompt goes on");
    let made = bench.post(FIRST, "channels/{id}/play?media=sound:menu");
    assert!(made.played()[0].replace, "until the first sound of its owner");
}

#[test]
fn a_caller_who_hears_nothing_after_a_rebind_hears_the_gateway_prompt() {
    let mut bench = bench().in_call();
    bench.crash(FIRST);
    assert_eq!(bench.run(Duration::from_millis(1_499)).played().len(), 0);
    let made = bench.run(Duration::from_millis(1));
    assert_eq!(made.played().len(), 1);
    let made = bench.post(SECOND, "channels/{id}/play?media=sound:menu");
    assert!(made.played()[0].replace);
}

#[test]
fn a_call_that_is_never_taken_is_released_and_one_alarm_says_why() {
    let mut bench = bench();
    bench.arrive();
    let made = bench.run(Duration::from_secs(3));
    made.to_pbx("SIP/2.0 200");
    bench.node.handle_input(bench.now, Input::Wall { unix_ms: 0 });
    let alarms = bench.node.alarms(bench.now);
    assert_eq!(alarms.len(), 1, "{alarms:?}");
    let made = bench.run(Duration::from_secs(58));
    assert!(made.lines()[0].starts_with("BYE "), "{made:?}");
}

#[test]
fn a_redirect_in_the_same_breath_as_the_answer_waits_for_the_dialog() {
    let mut bench = bench();
    bench.connect(FIRST);
    bench.arrive();
    let made = bench.post(FIRST, "channels/{id}/redirect?endpoint=SIP/2001");
    assert_eq!(made.status(), 204);
    made.to_pbx("SIP/2.0 200");
    let refer = made.to_pbx("REFER ").to_owned();
    assert!(pbx::header(&refer, "Refer-To")[0].contains("2001"), "{refer}");
    bench.reply(&refer, "603 Decline");
    assert_eq!(bench.ask(FIRST, "GET", "channels/{id}").status(), 200, "its owner keeps the call");
}
