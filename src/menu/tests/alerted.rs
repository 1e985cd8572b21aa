//! A call that we place because of an alarm.

use super::desk::{Desk, caller, evidence};
use crate::menu::{Alarm, Caller, Config, Entry, Heard, Input, Order};
use crate::store::{Action, Who};
use crate::timers::Duration;

fn alerted() -> Desk {
    let mut desk = Desk::quiet(Config::default(), 7);
    desk.input(Input::Evidence(evidence()));
    let entry = Entry::Alert { alarm: Alarm::PrimaryDown, person: "4711".to_owned() };
    desk.input(Input::Began { entry, caller: Caller { placed: true, ..caller() } });
    desk
}

#[test]
fn any_key_acknowledges_and_promotion_is_offered_behind_the_pin() {
    let mut desk = alerted();
    desk.hears("This is portkeeper with an alarm. There is an alarm. The primary server is down.");
    desk.keys("7");
    desk.hears("The alarm is acknowledged. To act, key your agent number");
    assert_eq!(desk.orders, [Order::Acknowledge]);
    assert_eq!(desk.results(), [(Action::Acknowledge, Ok(()))]);
    let Who::Agent { number, .. } = &desk.audits[0].who else { panic!("an agent") };
    assert_eq!(number, "4711");
    desk.log_in("4711");
    desk.keys("1");
    desk.confirm();
    assert_eq!(desk.promotions(), 1);
}

#[test]
fn silence_and_speech_acknowledge_nothing() {
    let mut desk = alerted();
    desk.key('5', Heard::Tone);
    for _ in 0..4 {
        desk.listen();
        desk.wait(Duration::from_secs(6));
    }
    desk.hears("vm-goodbye");
    desk.listen();
    assert!(desk.hung_up);
    assert_eq!((desk.orders.len(), desk.audits.len()), (0, 0), "it was our call, nobody tried");
}

#[test]
fn a_name_that_comes_with_the_answer_does_not_make_the_call_anothers() {
    let mut desk = alerted();
    desk.input(Input::Changed { caller: Caller { placed: true, ..caller() } });
    assert!(desk.menu.caller.placed);
    desk.keys("7");
    desk.input(Input::Changed { caller: Caller { placed: true, ..caller() } });
    assert!(!desk.menu.caller.placed, "it was passed on");
}
