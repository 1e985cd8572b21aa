//! Digits on their way to applications, over a rebind, and what stops a prompt.

use super::*;
use crate::codecs::Digit;
use crate::media::DigitSet;

impl Bench {
    fn press(&mut self, keys: &str) -> Made {
        self.press_in(self.call, keys)
    }

    fn press_in(&mut self, call: CallId, keys: &str) -> Made {
        let mut made = Made::default();
        for digit in keys.chars().filter_map(Digit::from_char) {
            let (duration_ms, rtp_timestamp, in_band) = (80, 0, false);
            let event = media::Event::Digit { digit, duration_ms, rtp_timestamp, in_band };
            made.add(self.media_of(call, event));
        }
        made
    }

    fn set(&mut self, instance: InstanceId, name: &str, value: &str) -> Made {
        self.post(instance, &format!("channels/{{id}}/variable?variable={name}&value={value}"))
    }
}

fn keys(made: &Made) -> Vec<(InstanceId, String)> {
    let is = |event: &Value| event["type"] == "ChannelDtmfReceived";
    let key = |event: &Value| event["digit"].as_str().unwrap_or("").to_owned();
    made.events.iter().filter(|(_, e)| is(e)).map(|(to, e)| (*to, key(e))).collect()
}

/// A call whose owner is settled.
fn settled() -> Bench {
    let mut bench = Bench::with_call();
    bench.run(Duration::from_secs(1));
    bench
}

#[test]
fn unacknowledged_digits_and_the_checkpoint_reach_the_next_owner_in_order_and_paced() {
    let mut bench = settled();
    assert_eq!(keys(&bench.press("123")).len(), 3);
    bench.set(FIRST, "GW_CHECKPOINT", "pin");
    bench.set(FIRST, "GW_ACK", "1");
    let made = bench.crash(FIRST);
    assert_eq!(made.event("StasisStart")["channel"]["channelvars"]["GW_CHECKPOINT"], "pin");
    bench.press("4");
    assert_eq!(keys(&bench.run(Duration::from_millis(500))), [], "not before its first command");
    bench.ask(SECOND, "GET", "channels/{id}");
    assert_eq!(keys(&bench.run(Duration::from_millis(249))), []);
    let second = |key: &str| (SECOND, key.to_owned());
    assert_eq!(keys(&bench.run(Duration::from_millis(1))), [second("2")]);
    assert_eq!(keys(&bench.run(Duration::from_millis(149))), []);
    assert_eq!(keys(&bench.run(Duration::from_millis(151))), [second("3"), second("4")]);
}

#[test]
fn a_checkpoint_whose_digit_is_not_acknowledged_is_not_told_to_the_owner_that_gets_the_digit() {
    let mut bench = settled();
    bench.set(FIRST, "GW_ACK", "0");
    bench.press("1");
    bench.set(FIRST, "GW_CHECKPOINT", "1");
    let made = bench.crash(FIRST);
    let told = &made.event("StasisStart")["channel"]["channelvars"];
    assert!(told.get("GW_CHECKPOINT").is_none(), "{told}");
    let made = bench.ask(SECOND, "GET", "channels/{id}/variable?variable=GW_CHECKPOINT");
    assert_eq!(made.status(), 404);
    assert_eq!(keys(&bench.run(Duration::from_millis(250))), [(SECOND, "1".to_owned())]);
}

#[test]
fn digits_of_an_application_that_never_acknowledges_are_discarded_and_counted() {
    let mut bench = settled();
    bench.press("12");
    bench.crash(FIRST);
    bench.press("3");
    bench.ask(SECOND, "GET", "channels/{id}");
    let made = bench.run(Duration::from_secs(3));
    assert_eq!(keys(&made), []);
    assert_eq!(bench.node.snapshot(bench.now).counters.digits_discarded_total, 3);
}

#[test]
fn no_key_stops_a_prompt_unless_application_or_configuration_says_so() {
    let barge_in = |bench: &mut Bench| {
        let made = bench.post(FIRST, "channels/{id}/play?media=sound:menu");
        made.played()[0].barge_in
    };
    let mut bench = settled();
    assert_eq!(barge_in(&mut bench), DigitSet::NONE);
    bench.set(FIRST, "GW_BARGE_IN", "5");
    assert_eq!(barge_in(&mut bench), DigitSet::NONE.with(Digit::from_char('5').expect("a key")));
    let configured = config("[\"main\"]", "[applications.main]\nbarge_in = \"0-9*#\"\n");
    let mut bench = Bench::with(&configured).in_call();
    assert_ne!(barge_in(&mut bench), DigitSet::NONE);
    bench.set(FIRST, "GW_BARGE_IN", "");
    assert_eq!(barge_in(&mut bench), DigitSet::NONE);
}

#[test]
fn a_key_of_a_call_that_is_over_does_not_reach_the_next_call_of_the_port() {
    let mut bench = settled();
    let first = bench.call;
    bench.caller_hangs_up();
    bench.arrive();
    bench.post(FIRST, "channels/{id}/answer");
    bench.run(Duration::from_secs(1));
    assert_eq!(keys(&bench.press_in(first, "9")), []);
    assert_eq!(keys(&bench.press("1")).len(), 1);
}

#[test]
fn keys_that_were_lost_are_counted_even_when_their_call_is_over() {
    let mut bench = settled();
    let first = bench.call;
    bench.caller_hangs_up();
    let why = media::Refusal::TooFast;
    bench.media_of(first, media::Event::DigitsRefused { count: 3, why });
    assert_eq!(bench.node.snapshot(bench.now).counters.digits_refused_total, 3);
    let alarms = bench.node.alarms(bench.now);
    assert!(alarms.iter().any(|alarm| alarm.kind.name() == "digits_refused"), "{alarms:?}");
}

#[test]
fn a_key_that_ends_a_prompt_ends_what_waits_for_a_file_behind_it_and_nothing_asked_for_later() {
    let mut bench = settled();
    bench.set(FIRST, "GW_BARGE_IN", "5");
    let menu =
        |bench: &mut Bench| bench.post(FIRST, "channels/{id}/play?media=sound:menu").played()[0].id;
    let (first, second) = (menu(&mut bench), menu(&mut bench));
    let barged = |bench: &mut Bench, id| {
        let end = PlaybackEnd::BargedIn;
        let made = bench.media(media::Event::PlaybackFinished { id, end, position_ms: 0 });
        made.types().iter().filter(|(_, kind)| *kind == "PlaybackFinished").count()
    };
    bench.post(FIRST, "channels/{id}/play?media=recording:pin");
    bench.press("7");
    assert_eq!(barged(&mut bench, first), 1, "it does not listen for that key");
    bench.press("5");
    let made = bench.post(FIRST, "channels/{id}/play?media=recording:late");
    assert_eq!(made.loads, 0, "its turn comes later");
    assert_eq!(barged(&mut bench, second), 2, "with the one that waited when the key came");
    assert_eq!(bench.loaded("pin").played().len(), 0, "it is over");
    assert_eq!(bench.loaded("late").played().len(), 1);
}
