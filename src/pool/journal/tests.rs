//! The journal's rules as claims.

use super::*;

const MAIN: AppId = AppId(0);
const OPEN: Instant = Instant::ZERO;

fn at(ms: u64) -> Instant {
    Instant::from_nanos(ms * 1_000_000)
}

fn typed(journal: &mut Journal, ms: u64, keys: &str) {
    for key in keys.chars() {
        journal.push(at(ms), Digit::from_char(key).expect("a key"), 100);
    }
}

/// Everything that goes out from `ms` on, with all the time in the world.
fn delivered(journal: &mut Journal, ms: u64, to: u32) -> String {
    let mut out = String::new();
    let mut now = ms;
    while let Some((digit, _)) = journal.next(at(now), OPEN, Generation(to)) {
        out.push(digit.as_char());
        now += 150;
    }
    out
}

fn lost_and_claimed(journal: &mut Journal) {
    journal.lost();
    journal.claimed();
}

#[test]
fn live_digits_go_at_once_and_waiting_ones_150_ms_apart() {
    let mut journal = Journal::new();
    typed(&mut journal, 10, "12");
    assert!(journal.next(at(10), OPEN, Generation(1)).is_some());
    assert!(journal.next(at(10), OPEN, Generation(1)).is_some());
    typed(&mut journal, 20, "34");
    assert!(journal.next(at(30), OPEN, Generation(1)).is_some());
    assert!(journal.next(at(179), OPEN, Generation(1)).is_none());
    assert_eq!(journal.due(OPEN), Some(at(180)));
    assert!(journal.next(at(180), OPEN, Generation(1)).is_some());
    assert_eq!(journal.due(OPEN), None);
}

#[test]
fn an_acknowledging_application_gets_every_unacknowledged_digit_again() {
    let mut journal = Journal::new();
    typed(&mut journal, 0, "123");
    assert_eq!(delivered(&mut journal, 0, 1), "123");
    assert_eq!(journal.ack(MAIN, 1), 1);
    journal.lost();
    typed(&mut journal, 500, "4");
    journal.claimed();
    assert_eq!(journal.settle(Replay::Auto, MAIN), 0);
    assert_eq!(delivered(&mut journal, 1_000, 2), "234");
}

#[test]
fn gw_ack_counts_from_one_on_each_channel_id() {
    let mut journal = Journal::new();
    typed(&mut journal, 0, "123");
    delivered(&mut journal, 0, 1);
    assert_eq!(journal.ack(MAIN, 2), 2);
    assert_eq!(journal.ack(MAIN, 2), 0, "saying it twice acknowledges nothing more");
    lost_and_claimed(&mut journal);
    journal.settle(Replay::Auto, MAIN);
    assert_eq!(journal.ack(MAIN, 1), 0, "nothing was delivered on this id yet");
    assert_eq!(delivered(&mut journal, 1_000, 2), "3");
    assert_eq!(journal.ack(MAIN, 1), 1);
    lost_and_claimed(&mut journal);
    journal.settle(Replay::Auto, MAIN);
    assert_eq!(delivered(&mut journal, 2_000, 3), "");
}

#[test]
fn an_absurd_acknowledgement_acknowledges_what_was_delivered() {
    let mut journal = Journal::new();
    typed(&mut journal, 0, "12");
    journal.next(at(0), OPEN, Generation(1));
    assert_eq!(journal.ack(MAIN, u32::MAX), 1);
    assert_eq!(journal.waiting(), 1);
}

#[test]
fn without_acknowledgement_unanswered_and_rebind_time_digits_are_discarded_and_counted() {
    let mut journal = Journal::new();
    typed(&mut journal, 0, "12");
    delivered(&mut journal, 0, 1);
    journal.answered(MAIN);
    typed(&mut journal, 400, "3");
    delivered(&mut journal, 400, 1);
    journal.lost();
    typed(&mut journal, 500, "4");
    journal.claimed();
    typed(&mut journal, 600, "5");
    assert_eq!(journal.settle(Replay::Auto, MAIN), 2, "3 and 4");
    assert_eq!(delivered(&mut journal, 1_000, 2), "5");
    assert_eq!((journal.typed, journal.discarded), (5, 2));
}

#[test]
fn nothing_delivered_yet_means_everything_is_replayed() {
    let mut journal = Journal::new();
    typed(&mut journal, 0, "12");
    lost_and_claimed(&mut journal);
    assert_eq!(journal.settle(Replay::Auto, MAIN), 0);
    assert_eq!(delivered(&mut journal, 1_000, 2), "12");
}

#[test]
fn an_application_that_says_gw_ack_0_in_time_is_one_that_acknowledges() {
    let mut journal = Journal::new();
    typed(&mut journal, 0, "1");
    delivered(&mut journal, 0, 1);
    lost_and_claimed(&mut journal);
    assert_eq!(journal.ack(MAIN, 0), 0);
    assert_eq!(journal.settle(Replay::Auto, MAIN), 0);
    assert_eq!(delivered(&mut journal, 1_000, 2), "1");
}

#[test]
fn another_application_of_the_list_is_not_taken_for_one_that_acknowledges() {
    let mut journal = Journal::new();
    typed(&mut journal, 0, "1");
    delivered(&mut journal, 0, 1);
    journal.ack(MAIN, 0);
    journal.answered(MAIN);
    lost_and_claimed(&mut journal);
    assert_eq!(journal.settle(Replay::Auto, AppId(1)), 1, "no command stands for an ack");
}

#[test]
fn the_fixed_policies_do_what_they_say() {
    for (policy, again, discarded) in
        [(Replay::Unacked, "23", 0), (Replay::All, "123", 0), (Replay::None, "", 2)]
    {
        let mut journal = Journal::new();
        typed(&mut journal, 0, "123");
        delivered(&mut journal, 0, 1);
        journal.ack(MAIN, 1);
        lost_and_claimed(&mut journal);
        assert_eq!(journal.settle(policy, MAIN), discarded, "{policy:?}");
        assert_eq!(delivered(&mut journal, 1_000, 2), again, "{policy:?}");
    }
}

#[test]
fn a_call_passed_on_takes_along_only_what_was_not_delivered() {
    let mut journal = Journal::new();
    typed(&mut journal, 0, "12");
    journal.next(at(0), OPEN, Generation(1));
    journal.handed_on();
    journal.claimed();
    assert_eq!(journal.settle(Replay::Auto, MAIN), 0);
    assert_eq!(delivered(&mut journal, 500, 2), "2");
}

/// `123` given to an owner that acknowledges the first, answers nothing else, and is lost; `4`
/// typed before the next one claims the call, `5` afterwards.
fn lost_with_two_open() -> Journal {
    let mut journal = Journal::new();
    typed(&mut journal, 0, "123");
    delivered(&mut journal, 0, 1);
    journal.ack(MAIN, 1);
    journal.lost();
    typed(&mut journal, 500, "4");
    journal.claimed();
    typed(&mut journal, 600, "5");
    journal
}

#[test]
fn a_new_owner_that_passes_the_call_on_at_once_has_not_handled_what_the_lost_one_was_given() {
    for (application, again, discarded) in [(MAIN, "2345", 0), (AppId(1), "5", 3)] {
        let mut journal = lost_with_two_open();
        journal.handed_on();
        journal.claimed();
        assert_eq!(journal.settle(Replay::Auto, application), discarded);
        assert_eq!(delivered(&mut journal, 1_000, 3), again);
        assert_eq!((journal.typed, journal.discarded), (5, discarded));
    }
}

#[test]
fn what_a_lost_owner_left_open_is_counted_when_nobody_will_own_the_call() {
    let mut journal = lost_with_two_open();
    assert_eq!(journal.discard_waiting(), 4, "2 to 5");
    assert_eq!(journal.discard_waiting(), 0, "once");
    assert_eq!(journal.settle(Replay::Auto, MAIN), 0);
    assert_eq!(delivered(&mut journal, 1_000, 3), "", "what is counted does not come after all");
    let mut answered = Journal::new();
    typed(&mut answered, 0, "12");
    delivered(&mut answered, 0, 1);
    answered.answered(MAIN);
    typed(&mut answered, 0, "3");
    delivered(&mut answered, 0, 1);
    answered.lost();
    assert_eq!(answered.discard_waiting(), 1, "a command stood for 1 and 2");
}

#[test]
fn an_owner_that_is_not_lost_keeps_what_it_was_given() {
    let mut journal = Journal::new();
    typed(&mut journal, 0, "12");
    journal.next(at(0), OPEN, Generation(1));
    assert_eq!(journal.discard_waiting(), 1, "2");
}

#[test]
fn an_unacknowledged_digit_that_had_to_be_forgotten_is_counted_once_its_owner_is_lost() {
    for policy in [Replay::Auto, Replay::Unacked, Replay::All, Replay::None] {
        let mut journal = Journal::new();
        journal.ack(MAIN, 0);
        let kept = u64::try_from(DIGITS_KEPT_MAX).expect("small");
        typed(&mut journal, 0, &"1".repeat(DIGITS_KEPT_MAX));
        delivered(&mut journal, 0, 1);
        typed(&mut journal, 0, "22");
        lost_and_claimed(&mut journal);
        let counted = journal.settle(policy, MAIN);
        let again = delivered(&mut journal, 200_000, 2).len() as u64;
        assert_eq!(counted + again, kept + 2, "{policy:?}");
    }
}

#[test]
fn the_policy_waits_for_the_gate_and_so_do_the_digits() {
    let mut journal = Journal::new();
    typed(&mut journal, 0, "1");
    lost_and_claimed(&mut journal);
    assert_eq!(journal.due(at(250)), Some(at(250)));
    assert!(journal.next(at(250), at(250), Generation(2)).is_none(), "not settled");
    journal.settle(Replay::Auto, MAIN);
    assert!(journal.next(at(249), at(250), Generation(2)).is_none(), "gate is shut");
    assert!(journal.next(at(250), at(250), Generation(2)).is_some());
}

#[test]
fn a_full_journal_forgets_delivered_digits_and_refuses_undelivered_ones() {
    let mut journal = Journal::new();
    for _ in 0..DIGITS_KEPT_MAX {
        assert_eq!(journal.push(at(0), Digit::from_event(1).expect("1"), 100), 0);
    }
    assert_eq!(journal.push(at(0), Digit::from_event(2).expect("2"), 100), 1);
    journal.next(at(0), OPEN, Generation(1));
    assert_eq!(journal.push(at(0), Digit::from_event(2).expect("2"), 100), 0);
    assert_eq!(journal.digits.len(), DIGITS_KEPT_MAX);
    lost_and_claimed(&mut journal);
    let forgotten = 1;
    assert_eq!(journal.settle(Replay::None, MAIN), DIGITS_KEPT_MAX as u64 + forgotten);
    assert_eq!(journal.waiting(), 0);
}

#[test]
fn variables_are_bounded_in_number_and_size() {
    let mut journal = Journal::new();
    for n in 0..VARIABLES_MAX {
        assert!(journal.set_variable(MAIN, format!("V{n}"), String::new()));
    }
    assert!(!journal.set_variable(MAIN, "ONE_MORE".into(), String::new()));
    assert!(journal.set_variable(MAIN, "V0".into(), "new".into()));
    assert!(!journal.set_variable(MAIN, "V0".into(), "x".repeat(VALUE_MAX + 1)));
    assert_eq!(journal.variables()[0], ("V0".into(), "new".into()));
}

mod marks {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Op {
        Push(u16),
        Lost,
        HandedOn,
        Claimed,
        Settle(Replay),
        Next(u16),
        Ack(u32),
        Answered,
        DiscardWaiting,
    }

    fn op() -> impl Strategy<Value = Op> {
        let policies = vec![Replay::Auto, Replay::Unacked, Replay::All, Replay::None];
        prop_oneof![
            (0..700_u16).prop_map(Op::Push),
            Just(Op::Lost),
            Just(Op::HandedOn),
            Just(Op::Claimed),
            prop::sample::select(policies).prop_map(Op::Settle),
            (0..700_u16).prop_map(Op::Next),
            prop_oneof![0..700_u32, any::<u32>()].prop_map(Op::Ack),
            Just(Op::Answered),
            Just(Op::DiscardWaiting),
        ]
    }

    fn apply(journal: &mut Journal, now: Instant, op: Op) {
        match op {
            Op::Push(count) => {
                typed(journal, now.as_nanos() / 1_000_000, &"1".repeat(count.into()))
            }
            Op::Lost => journal.lost(),
            Op::HandedOn => journal.handed_on(),
            Op::Claimed => journal.claimed(),
            Op::Settle(policy) => {
                journal.settle(policy, MAIN);
            }
            Op::Next(count) => {
                for _ in 0..count {
                    journal.next(now, OPEN, Generation(1));
                }
            }
            Op::Ack(count) => {
                journal.ack(MAIN, count);
            }
            Op::Answered => journal.answered(MAIN),
            Op::DiscardWaiting => {
                journal.discard_waiting();
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            failure_persistence: None, ..ProptestConfig::default()
        })]

        #[test]
        fn the_marks_stay_in_order_whatever_happens(ops in prop::collection::vec(op(), 0..60)) {
            let mut journal = Journal::new();
            for (n, op) in ops.into_iter().enumerate() {
                apply(&mut journal, at(n as u64 * 1_000), op);
                prop_assert!(journal.acked <= journal.sent, "{journal:?}");
                prop_assert!(journal.sent <= journal.end(), "{journal:?}");
                prop_assert!(journal.digits.len() <= DIGITS_KEPT_MAX);
                prop_assert!(journal.discarded <= journal.typed, "{journal:?}");
            }
        }
    }
}

fn checkpoint(journal: &Journal) -> Option<String> {
    journal.variables().into_iter().find(|(name, _)| name == CHECKPOINT).map(|(_, value)| value)
}

#[test]
fn a_checkpoint_takes_effect_with_the_acknowledgement_behind_it() {
    let mut journal = Journal::new();
    journal.ack(MAIN, 0);
    typed(&mut journal, 0, "12");
    assert_eq!(delivered(&mut journal, 0, 1), "12");
    assert!(journal.set_variable(MAIN, CHECKPOINT.into(), "1".into()));
    assert_eq!(journal.ack(MAIN, 1), 1);
    assert!(journal.set_variable(MAIN, CHECKPOINT.into(), "12".into()));
    lost_and_claimed(&mut journal);
    journal.settle(Replay::Auto, MAIN);
    assert_eq!(checkpoint(&journal).as_deref(), Some("1"), "2 was not acknowledged,");
    assert_eq!(delivered(&mut journal, 500, 2), "2", "and comes again");
}

#[test]
fn a_checkpoint_holds_at_once_for_who_acknowledges_nothing_or_has_nothing_to_acknowledge() {
    let mut journal = Journal::new();
    typed(&mut journal, 0, "1");
    assert_eq!(delivered(&mut journal, 0, 1), "1");
    assert!(journal.set_variable(MAIN, CHECKPOINT.into(), "a".into()));
    assert_eq!(checkpoint(&journal).as_deref(), Some("a"));
    journal.ack(MAIN, 1);
    assert!(journal.set_variable(MAIN, CHECKPOINT.into(), "b".into()));
    assert_eq!(checkpoint(&journal).as_deref(), Some("b"));
}
