//! Evidence, choices, pauses and the end of a call.

use super::desk::{Desk, PIN, caller, evidence, since, who};
use crate::menu::{
    Alarm, Config, DataAge, Entry, Evidence, Input, Obstacle, Order, Primary, Promotion, Unproven,
};
use crate::store::Action;
use crate::timers::Duration;

#[test]
fn a_call_without_any_key_is_asked_four_times_and_ends_by_itself() {
    let mut desk = Desk::called(Config::default());
    for _ in 0..4 {
        assert!(!desk.last().contains("goodbye"));
        desk.listen();
        desk.wait(Duration::from_secs(6));
    }
    desk.hears("vm-goodbye");
    assert_eq!(desk.said.len(), 5);
    desk.listen();
    assert!(desk.hung_up);
    assert_eq!(desk.results(), [(Action::Call, Err("no key was pressed".to_owned()))]);
    assert_eq!(desk.menu.poll_timeout(), None);
}

#[test]
fn who_hangs_up_without_a_key_is_written_down_once_too() {
    let mut desk = Desk::called(Config::default());
    desk.input(Input::Ended);
    desk.input(Input::Ended);
    assert_eq!(desk.audits.len(), 1);
    let mut desk = Desk::called(Config::default());
    desk.keys("4");
    desk.input(Input::Ended);
    assert_eq!(desk.audits.len(), 0, "a number without a PIN is no try");
}

#[test]
fn a_call_ends_although_nobody_tells_that_a_speech_ended() {
    let mut desk = Desk::called(Config::default());
    desk.wait(Duration::from_secs(15 * 60));
    assert!(desk.hung_up);
}

#[test]
fn a_call_that_leads_to_nothing_ends_after_a_quarter_of_an_hour() {
    let mut desk = Desk::let_in(Config::default());
    for _ in 0..15 * 12 {
        desk.keys("2");
        desk.wait_ms(4_800);
    }
    desk.hears("vm-goodbye");
}

#[test]
fn the_evidence_is_told_whole() {
    let mut desk = Desk::called(Config::default());
    let alarm = Some(Alarm::PrimaryDown);
    let unshipped = Some((12, since()));
    desk.input(Input::Evidence(Evidence { alarm, unshipped, ..evidence() }));
    desk.log_in("4711");
    assert_eq!(
        desk.last(),
        "Primary server e a s t is silent since 14 oh 2 That is 5 minutes ago. \
         There is an alarm. The primary server is down. 30 1 calls in progress. \
         90 4 of 90 6 ports are proven. 2 ports refused by the P B X: check the password. \
         The data here has an age of 3 seconds \
         12 records exist on one server only, since 14 oh 2 That is 5 minutes ago. \
         To promote server w e s t press 1. To hear this again, press 2. \
         To acknowledge the alarm, press 3. \
         To send the restart message to the telephones, press 4. For a drill, press 9."
    );
}

#[test]
fn a_primary_that_answers_and_a_candidate_that_is_not_there_are_told_as_such() {
    let mut desk = Desk::called(Config::default());
    let primary = Primary::Answering { name: "east".to_owned() };
    let unproven = vec![(1, Unproven::Untried)];
    let (candidate, data) = (None, DataAge::Current);
    let evidence =
        Evidence { primary, unproven, candidate, data, live_calls: 1, ..Evidence::default() };
    desk.input(Input::Evidence(evidence));
    desk.log_in("4711");
    desk.hears("Primary server e a s t is answering. 1 call in progress.");
    desk.hears("1 port not tried yet. The data here is current. To hear this again");
    desk.keys("1");
    desk.hears("invalid");
    assert!(desk.orders.is_empty());
}

#[test]
fn two_tells_the_newest_evidence_again() {
    let mut desk = Desk::let_in(Config::default());
    desk.input(Input::Evidence(Evidence { live_calls: 7, ..evidence() }));
    desk.keys("2");
    desk.hears("7 calls in progress.");
}

#[test]
fn three_acknowledges_an_alarm_once() {
    let mut desk = Desk::called(Config::default());
    desk.input(Input::Evidence(Evidence { alarm: Some(Alarm::WitnessLost), ..evidence() }));
    desk.log_in("4711");
    desk.keys("3");
    desk.hears("The alarm is acknowledged.");
    desk.keys("3");
    desk.hears("There is no alarm.");
    assert_eq!(desk.orders, [Order::Acknowledge]);
    assert_eq!(desk.results()[1..], [(Action::Acknowledge, Ok(()))]);
}

#[test]
fn the_restart_message_leaves_when_four_is_pressed_twice_in_a_row() {
    let mut desk = Desk::let_in(Config::default());
    desk.keys("4");
    desk.hears("press 4 again.");
    desk.keys("24");
    assert_eq!(desk.orders, []);
    desk.keys("4");
    desk.hears("The message is on its way.");
    assert_eq!(desk.orders, [Order::RestartMessage]);
    assert_eq!(desk.results()[1..], [(Action::RestartMessage, Ok(()))]);
}

#[test]
fn a_drill_is_the_whole_way_without_effect_and_says_so() {
    let mut desk = Desk::let_in(Config::default());
    desk.keys("9");
    desk.hears("This is a drill. To go on, key these three digits.");
    desk.confirm();
    let candidate = evidence().candidate.expect("one");
    assert_eq!(desk.orders, [Order::Drill { candidate, who: who("4711") }]);
    desk.promotion(Promotion::Drilled { obstacles: Vec::new() });
    assert_eq!(
        desk.last(),
        "The drill is over. Nothing was changed. A promotion would be possible."
    );
    desk.keys("9");
    desk.confirm();
    let obstacles = vec![Obstacle::Behind, Obstacle::DiskFull];
    desk.promotion(Promotion::Drilled { obstacles });
    desk.hears("A promotion would be refused. That server lacks acknowledged records.");
    desk.keys("9");
    desk.confirm();
    desk.wait_ms(31_000);
    desk.hears("A promotion would be refused.");
}

#[test]
fn a_drill_with_nobody_to_promote_says_so_at_once() {
    let mut desk = Desk::let_in(Config::default());
    desk.input(Input::Evidence(Evidence { candidate: None, ..evidence() }));
    desk.keys("9");
    desk.confirm();
    desk.hears("A promotion would be refused.");
    assert_eq!(desk.orders, []);
    assert_eq!(desk.results()[1..], [(Action::Drill, Ok(()))]);
}

#[test]
fn nobody_has_to_listen_to_the_end() {
    let mut desk = Desk::called(Config::default());
    let welcome = desk.speech;
    desk.keys("4711#");
    desk.keys(PIN);
    desk.input(Input::Said { speech: welcome });
    desk.keys("#");
    assert_eq!(desk.checks.len(), 1);
}

#[test]
fn nothing_happens_before_a_call_begins_or_after_it_ended() {
    let mut desk = Desk::quiet(Config::default(), 7);
    desk.keys("4711#");
    desk.wait(Duration::from_secs(3_600));
    desk.input(Input::Began { entry: Entry::Called, caller: caller() });
    desk.input(Input::Began { entry: Entry::Called, caller: caller() });
    assert_eq!(desk.said.len(), 1);
    desk.input(Input::Ended);
    let audits = desk.audits.len();
    desk.keys("4711#");
    desk.wait(Duration::from_secs(3_600));
    assert_eq!((desk.said.len(), desk.audits.len(), desk.hung_up), (1, audits, false));
}

#[test]
fn no_digit_is_in_what_a_log_may_show() {
    let mut desk = Desk::called(Config::default());
    desk.keys("87654321#");
    desk.keys("190472");
    let menu = format!("{:?}", desk.menu);
    assert!(!menu.contains("190472") && !menu.contains("87654321"), "{menu}");
    let key = crate::codecs::Digit::from_char('7').expect("a key");
    let input = Input::Digit { key: key.into(), heard: crate::menu::Heard::Event };
    assert_eq!(format!("{input:?}"), "Digit { key: ***, heard: Event }");
    desk.menu.handle_input(desk.now, input);
    desk.menu.handle_input(
        desk.now,
        Input::Digit {
            key: crate::codecs::Digit::from_char('#').expect("a key").into(),
            heard: crate::menu::Heard::Event,
        },
    );
    let check = desk.menu.poll_output().expect("a check");
    assert_eq!(format!("{check:?}"), "CheckPin { check: 1, number: ***, pin: *** }");
}
