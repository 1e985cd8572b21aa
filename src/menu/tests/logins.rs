//! Number, PIN and who is let in.

use super::desk::{Desk, PIN, caller, who};
use crate::menu::{Caller, Config, Entry, Heard, Input, Verdict, Why};
use crate::store::{Action, Audit};
use crate::timers::Duration;

fn failed(why: &str) -> (Action, Result<(), String>) {
    (Action::Login, Err(why.to_owned()))
}

#[test]
fn a_right_pin_lets_in_and_is_written_down() {
    let mut desk = Desk::called(Config::default());
    assert!(desk.last().starts_with("This is the control menu of portkeeper. Please key your"));
    desk.log_in("4711");
    assert_eq!(desk.checks, [("4711".to_owned(), PIN.to_owned())]);
    let login = Audit { who: who("4711"), action: Action::Login, result: Ok(()) };
    assert_eq!(desk.audits, [login]);
    desk.hears("Primary server e a s t is silent since 14 oh 2");
}

#[test]
fn no_answer_comes_before_a_second_and_a_half_whatever_it_is() {
    for verdict in [Verdict::Right, Verdict::Refused(Why::UnknownAgent)] {
        let mut desk = Desk::called(Config::default());
        desk.keys("4711#");
        desk.keys(PIN);
        desk.key('#', Heard::Event);
        desk.verdict(verdict);
        let said = desk.said.len();
        desk.wait_ms(1_499);
        assert_eq!(desk.said.len(), said, "nothing is said yet");
        desk.wait_ms(1);
        assert_eq!(desk.said.len(), said + 1);
    }
}

#[test]
fn three_wrong_pins_end_the_call_and_each_is_written_down_once() {
    let mut desk = Desk::called(Config::default());
    for _ in 0..2 {
        desk.keys("4711#");
        desk.pin("555123");
        desk.hears("That was not correct. Please key your agent number");
    }
    desk.keys("4711#");
    desk.pin("555124");
    desk.hears("That was not correct. vm-goodbye");
    desk.listen();
    assert!(desk.hung_up);
    assert_eq!(desk.results(), vec![failed("wrong PIN"); 3]);
}

#[test]
fn p_08_a_pin_that_is_keyed_as_a_number_is_written_nowhere() {
    let mut desk = Desk::called(Config::default());
    desk.keys(&format!("{PIN}#"));
    desk.keys(PIN);
    desk.key('#', Heard::Event);
    desk.verdict(Verdict::Refused(Why::UnknownAgent));
    desk.wait_ms(1_500);
    assert_eq!(desk.results(), [failed("unknown agent")]);
    assert!(!format!("{:?}", desk.audits).contains(PIN));
}

#[test]
fn an_unknown_and_a_disabled_agent_hear_what_a_wrong_pin_hears() {
    for why in [Why::UnknownAgent, Why::Disabled, Why::WrongPin] {
        let mut desk = Desk::called(Config::default());
        desk.keys("999#");
        desk.keys(PIN);
        desk.keys("#");
        desk.verdict(Verdict::Refused(why));
        desk.wait_ms(1_500);
        desk.hears("That was not correct. Please key your agent number, then the pound key.");
        assert_eq!(desk.results(), [failed(why.text())]);
    }
}

#[test]
fn a_locked_agent_and_a_forged_caller_hear_why_and_count_towards_no_lock() {
    let spoken = [
        (Why::Locked, "This agent is locked."),
        (Why::Telephone, "That agent may not use this telephone."),
        (Why::NoCallBack, "A call from outside must be called back"),
    ];
    for (why, words) in spoken {
        let mut desk = Desk::called(Config::default());
        desk.keys("4711#");
        desk.keys(PIN);
        desk.keys("#");
        desk.verdict(Verdict::Refused(why));
        desk.wait_ms(1_500);
        desk.hears(words);
        assert_eq!(desk.results(), [(Action::Call, Err(why.text().to_owned()))]);
        assert!(desk.orders.is_empty());
    }
}

#[test]
fn a_check_that_nobody_answers_is_told_and_written_down() {
    let mut desk = Desk::called(Config::default());
    desk.keys("4711#");
    desk.keys(PIN);
    desk.keys("#");
    desk.wait(Duration::from_secs(10));
    desk.hears("Your pin cannot be checked at the moment.");
    assert_eq!(desk.audits.len(), 1);
    desk.verdict(Verdict::Right);
    desk.wait_ms(2_000);
    assert_eq!(desk.audits.len(), 1, "it is too late");
    desk.hears("Your pin cannot be checked at the moment.");
}

#[test]
fn the_answer_to_an_earlier_pin_is_no_answer_to_this_one() {
    let mut desk = Desk::called(Config::default());
    desk.keys("4711#");
    desk.pin("555123");
    let first = desk.check;
    desk.keys("4711#");
    desk.keys("555124#");
    desk.input(Input::Checked { check: first, verdict: Verdict::Right });
    desk.verdict(Verdict::Refused(Why::WrongPin));
    desk.input(Input::Checked { check: desk.check, verdict: Verdict::Right });
    desk.wait_ms(1_500);
    assert_eq!(desk.results(), vec![failed("wrong PIN"); 2]);
}

#[test]
fn a_caller_who_hangs_up_while_the_pin_is_compared_has_tried() {
    let mut desk = Desk::called(Config::default());
    desk.keys("4711#");
    desk.keys(PIN);
    desk.keys("#");
    desk.input(Input::Ended);
    desk.verdict(Verdict::Right);
    desk.wait(Duration::from_secs(60));
    assert_eq!(desk.results(), [failed("hung up")]);
}

#[test]
fn keys_heard_as_tones_count_for_nothing() {
    let mut desk = Desk::called(Config::default());
    for key in format!("4711#{PIN}#").chars() {
        desk.key(key, Heard::Tone);
    }
    assert_eq!(desk.checks, []);
    desk.keys("4711#");
    for key in PIN.chars() {
        desk.key('9', Heard::Tone);
        desk.key(key, Heard::Info);
    }
    desk.key('#', Heard::Info);
    assert_eq!(desk.checks, [("4711".to_owned(), PIN.to_owned())]);
}

#[test]
fn a_star_starts_over_and_a_pause_ends_a_number() {
    let mut desk = Desk::called(Config::default());
    desk.keys("99*4711#99*");
    desk.hears("Please key your agent number");
    desk.keys("4711");
    desk.wait(Duration::from_secs(6));
    desk.hears("Please key your pin");
    desk.keys(PIN);
    desk.wait(Duration::from_secs(6));
    assert_eq!(desk.checks, [("4711".to_owned(), PIN.to_owned())]);
}

#[test]
fn a_call_back_is_announced_and_placed_after_the_call() {
    let mut desk = Desk::called(Config::default());
    desk.keys("4711#");
    desk.keys(PIN);
    desk.keys("#");
    desk.verdict(Verdict::CallBack { extension: "201".to_owned() });
    desk.wait_ms(1_500);
    desk.hears("You will be called back at once.");
    assert!(!desk.hung_up);
    desk.listen();
    assert!(desk.hung_up);
    assert_eq!(desk.call_back, Some(("201".to_owned(), "4711".to_owned())));

    let mut back = Desk::quiet(Config::default(), 7);
    let placed = Caller { extension: "201".to_owned().into(), trunk: false, placed: true };
    let entry = Entry::CalledBack { number: "4711".to_owned() };
    back.input(Input::Began { entry, caller: placed });
    back.hears("Please key your pin");
    back.pin(PIN);
    back.hears("To hear this again, press 2.");
}

#[test]
fn a_call_that_changes_goes_back_to_the_pin_wherever_it_is() {
    type Go = fn(&mut Desk);
    let places: [(&str, Go); 4] = [
        ("choice", |_| {}),
        ("digits", |desk| desk.keys("1")),
        ("drill", |desk| desk.keys("9")),
        ("promotion", |desk| {
            desk.keys("1");
            desk.confirm();
        }),
    ];
    for (name, go) in places {
        let mut desk = Desk::let_in(Config::default());
        go(&mut desk);
        let orders = desk.orders.len();
        desk.input(Input::Changed { caller: caller() });
        desk.hears("The call has changed. Please key your pin");
        desk.keys("1#");
        assert_eq!(desk.checks.len(), 2, "{name}: keys are a PIN");
        desk.verdict(Verdict::Refused(Why::WrongPin));
        desk.wait_ms(1_500);
        assert_eq!(desk.orders.len(), orders, "{name}: nothing is ordered without one");
    }
}

#[test]
fn a_call_that_changes_while_the_pin_is_compared_asks_for_it_again() {
    let mut desk = Desk::called(Config::default());
    for _ in 0..3 {
        desk.keys(if desk.checks.is_empty() { "4711#" } else { "" });
        desk.keys(PIN);
        desk.keys("#");
        desk.input(Input::Changed { caller: caller() });
        desk.verdict(Verdict::Right);
        desk.wait_ms(1_500);
    }
    assert_eq!(desk.results(), vec![failed("the call changed"); 3]);
    desk.hears("vm-goodbye");
}

#[test]
fn who_takes_over_a_call_that_we_placed_is_no_longer_whom_we_called() {
    let mut desk = Desk::quiet(Config::default(), 7);
    let entry = Entry::CalledBack { number: "4711".to_owned() };
    desk.input(Input::Began { entry, caller: Caller { placed: true, ..caller() } });
    desk.input(Input::Changed { caller: Caller { placed: true, ..caller() } });
    assert!(!desk.menu.caller.placed);
}
