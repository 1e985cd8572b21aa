//! From the three digits to the spoken result.

use super::desk::{Desk, PIN, caller, evidence, who};
use crate::ids::NodeId;
use crate::menu::{Candidate, Config, Input, Obstacle, Order, Promotion};
use crate::store::Action;
use crate::timers::Duration;

fn missed(why: &str) -> (Action, Result<(), String>) {
    (Action::Promote { node: NodeId(1), forced: None }, Err(why.to_owned()))
}

fn ordered() -> Desk {
    let mut desk = Desk::let_in(Config::default());
    desk.keys("1");
    desk.confirm();
    desk
}

#[test]
fn one_and_the_three_spoken_digits_promote() {
    let mut desk = Desk::let_in(Config::default());
    desk.keys("1");
    desk.hears("To confirm the promotion, key these three digits.");
    assert_eq!(desk.orders, []);
    desk.confirm();
    desk.hears("The promotion begins.");
    let candidate = Candidate { node: NodeId(1), name: "west".to_owned() };
    assert_eq!(desk.orders, [Order::Promote { candidate, forced: None, who: who("4711") }]);
    assert_eq!(desk.audits.len(), 1, "whoever promotes writes it down before it takes effect");
}

#[test]
fn a_recording_of_an_earlier_call_does_not_promote() {
    let mut earlier = Desk::let_in(Config::default());
    earlier.keys("1");
    let recorded = earlier.spoken_digits();
    let mut desk = Desk::quiet(Config::default(), 8);
    desk.input(Input::Evidence(evidence()));
    desk.input(Input::Began { entry: crate::menu::Entry::Called, caller: caller() });
    desk.log_in("4711");
    desk.keys("1");
    assert_ne!(desk.spoken_digits(), recorded);
    desk.keys(&recorded);
    desk.hears("That was not correct. To confirm the promotion");
    assert_eq!(desk.orders, []);
    assert_eq!(desk.results()[1..], [missed("other digits were keyed")]);
}

#[test]
fn each_miss_has_other_digits_and_three_end_the_call() {
    let mut desk = Desk::let_in(Config::default());
    desk.keys("1");
    for _ in 0..2 {
        let asked = desk.spoken_digits();
        let wrong = if asked.starts_with('0') { "100" } else { "000" };
        desk.keys(wrong);
        assert_ne!(desk.spoken_digits(), asked);
    }
    desk.listen();
    desk.wait_ms(10_000);
    desk.hears("That was too late. vm-goodbye");
    let misses =
        ["other digits were keyed"; 2].into_iter().chain(["the digits were keyed too late"]);
    assert_eq!(desk.results()[1..], misses.map(missed).collect::<Vec<_>>());
    assert_eq!(desk.orders, []);
}

#[test]
fn the_ten_seconds_begin_after_the_last_spoken_digit() {
    let mut desk = Desk::let_in(Config::default());
    desk.keys("1");
    desk.wait_ms(20_000);
    desk.listen();
    desk.wait_ms(9_000);
    desk.confirm();
    assert_eq!(desk.promotions(), 1, "9.6 s after the last spoken digit");
    let mut desk = Desk::let_in(Config::default());
    desk.keys("1");
    desk.listen();
    let digits = desk.spoken_digits();
    desk.keys(&digits[..2]);
    desk.wait_ms(9_600);
    desk.hears("That was too late.");
}

#[test]
fn a_star_clears_the_digits_and_a_hash_after_them_is_forgiven() {
    let mut desk = Desk::let_in(Config::default());
    desk.keys("1");
    let digits = desk.spoken_digits();
    desk.keys("99*");
    desk.keys(&digits);
    desk.keys("#");
    assert_eq!(desk.promotions(), 1);
}

#[test]
fn progress_and_the_result_are_spoken_on_the_open_call() {
    let mut desk = ordered();
    desk.promotion(Promotion::Progress { ports: 3, of: 96 });
    desk.hears("The promotion begins.");
    desk.promotion(Promotion::Progress { ports: 48, of: 96 });
    desk.listen();
    assert_eq!(desk.last(), "40 8 of 90 6 ports in service.");
    desk.listen();
    desk.promotion(Promotion::Progress { ports: 60, of: 96 });
    assert_eq!(desk.last(), "40 8 of 90 6 ports in service.", "not more often than every 2 s");
    desk.wait_ms(2_000);
    assert_eq!(desk.last(), "60 of 90 6 ports in service.");
    desk.promotion(Promotion::Done { ports: 96, of: 96 });
    assert_eq!(desk.last(), "Promoted. 90 6 of 90 6 ports in service.");
    desk.keys("2");
    desk.hears("Primary server");
}

#[test]
fn the_same_progress_is_not_told_twice() {
    let mut desk = ordered();
    desk.listen();
    for _ in 0..20 {
        desk.promotion(Promotion::Progress { ports: 48, of: 96 });
        desk.wait_ms(1_000);
        desk.listen();
    }
    assert_eq!(desk.said.iter().filter(|said| said.starts_with("40 8")).count(), 1);
}

#[test]
fn a_failure_is_spoken_with_its_reason() {
    let mut desk = ordered();
    desk.promotion(Promotion::Failed { obstacles: vec![Obstacle::LeaseLost] });
    assert_eq!(desk.last(), "The promotion failed. The lease was lost.");
}

#[test]
fn a_promotion_without_an_answer_is_unknown_and_never_called_a_failure() {
    let mut desk = ordered();
    desk.listen();
    desk.wait(Duration::from_secs(29));
    desk.promotion(Promotion::Progress { ports: 1, of: 96 });
    desk.listen();
    desk.wait(Duration::from_secs(29));
    assert!(!desk.last().contains("not known"));
    desk.wait(Duration::from_secs(1));
    desk.hears("It is not known whether the promotion takes place. It may still do so.");
    desk.promotion(Promotion::Done { ports: 96, of: 96 });
    desk.hears("Promoted.");
    assert!(desk.said.iter().all(|said| !said.contains("failed")));
    let mut desk = ordered();
    desk.promotion(Promotion::Unknown);
    desk.hears("It is not known");
}

#[test]
fn a_refusal_is_spoken_with_its_reasons() {
    let mut desk = ordered();
    let obstacles = [Obstacle::NoMajority, Obstacle::PbxUnreachable, Obstacle::NoMajority].to_vec();
    desk.promotion(Promotion::Refused { obstacles, may_force: false });
    assert_eq!(
        desk.last(),
        "The promotion is refused. There is no majority of servers. \
         That server does not reach the P B X."
    );
    desk.keys("2");
    desk.hears("Primary server");
}

#[test]
fn the_result_waits_for_the_pin_when_the_call_changed_meanwhile() {
    let mut desk = ordered();
    desk.input(Input::Changed { caller: caller() });
    desk.promotion(Promotion::Done { ports: 96, of: 96 });
    desk.hears("The call has changed. Please key your pin");
    desk.pin(PIN);
    assert!(desk.last().starts_with("Promoted. 90 6 of 90 6 ports in service. Primary server"));
    assert_eq!(desk.promotions(), 1);
}

#[test]
fn keys_during_a_promotion_do_nothing() {
    let mut desk = ordered();
    desk.keys("1119#*4");
    assert_eq!(desk.orders.len(), 1);
    desk.hears("The promotion begins.");
}

#[test]
fn what_somebody_else_promotes_is_told_to_an_agent_who_listens() {
    let mut desk = Desk::let_in(Config::default());
    desk.listen();
    desk.promotion(Promotion::Progress { ports: 5, of: 96 });
    assert_eq!(desk.last(), "5 of 90 6 ports in service.");
    desk.promotion(Promotion::Done { ports: 96, of: 96 });
    desk.hears("Promoted.");
    let mut stranger = Desk::called(Config::default());
    stranger.promotion(Promotion::Done { ports: 96, of: 96 });
    assert!(!stranger.last().contains("Promoted"), "not before the PIN");
}
