//! Random keys, pauses, changes and answers: no promotion without a PIN and three spoken digits.

use proptest::prelude::*;

use super::desk::{Desk, caller, evidence};
use crate::menu::{
    Alarm, Config, Entry, Evidence, Heard, Input, Obstacle, Order, Promotion, Proposal, Verdict,
    Why,
};
use crate::store::{Action, Who};

#[derive(Clone, Debug)]
enum Step {
    Key(char),
    Tone(char),
    Listen,
    Wait(u64),
    Answer(Verdict),
    Changed,
    News(Promotion),
    Evidence(Option<Alarm>, bool),
}

fn key() -> impl Strategy<Value = char> {
    proptest::sample::select("0123456789#*1249##".chars().collect::<Vec<_>>())
}

fn step(verdicts: bool) -> impl Strategy<Value = Step> {
    let refused = Verdict::Refused(Why::WrongPin);
    let verdicts = if verdicts { vec![Verdict::Right, refused] } else { vec![refused] };
    let obstacles = vec![Obstacle::NoMajority];
    let news = vec![
        Promotion::Progress { ports: 1, of: 2 },
        Promotion::Done { ports: 2, of: 2 },
        Promotion::Unknown,
        Promotion::Refused { obstacles, may_force: true },
        Promotion::Drilled { obstacles: Vec::new() },
    ];
    prop_oneof![
        20 => key().prop_map(Step::Key),
        2 => key().prop_map(Step::Tone),
        3 => Just(Step::Listen),
        3 => (0_u64..12_000).prop_map(Step::Wait),
        6 => proptest::sample::select(verdicts).prop_map(Step::Answer),
        1 => Just(Step::Changed),
        1 => proptest::sample::select(news).prop_map(Step::News),
        1 => any::<(bool, bool)>().prop_map(|(alarm, proposal)| {
            Step::Evidence(alarm.then_some(Alarm::PrimaryDown), proposal)
        }),
    ]
}

fn take(desk: &mut Desk, step: Step) {
    match step {
        Step::Key(key) => desk.key(key, Heard::Event),
        Step::Tone(key) => desk.key(key, Heard::Tone),
        Step::Listen => desk.listen(),
        Step::Wait(ms) => desk.wait_ms(ms),
        Step::Answer(verdict) => desk.verdict(verdict),
        Step::Changed => desk.input(Input::Changed { caller: caller() }),
        Step::News(news) => desk.promotion(news),
        Step::Evidence(alarm, proposal) => {
            let proposal = proposal.then(|| Proposal { by: "1".to_owned() });
            desk.input(Input::Evidence(Evidence { alarm, proposal, ..evidence() }));
        }
    }
}

/// Whether the order is one that only somebody with a PIN may give.
fn is_grave(order: &Order) -> bool {
    match order {
        Order::Promote { .. }
        | Order::Propose { .. }
        | Order::RestartMessage
        | Order::Drill { .. } => true,
        Order::Acknowledge => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn random_keys_without_a_right_pin_order_nothing(
        steps in proptest::collection::vec(step(false), 1..200),
        alert in any::<bool>(),
        two_person in any::<bool>(),
    ) {
        let mut desk = Desk::quiet(Config { two_person }, 1);
        let entry = if alert {
            Entry::Alert { alarm: Alarm::PrimaryDown, person: String::new() }
        } else {
            Entry::Called
        };
        desk.input(Input::Evidence(evidence()));
        desk.input(Input::Began { entry, caller: caller() });
        for step in steps {
            take(&mut desk, step);
        }
        prop_assert!(!desk.orders.iter().any(is_grave), "{:?}", desk.orders);
        prop_assert_eq!(desk.audits.iter().filter(|audit| audit.result.is_ok()).count(),
            desk.orders.len(), "only acknowledgements");
    }

    #[test]
    fn every_promotion_follows_three_digits_that_were_just_spoken_and_every_try_is_written_once(
        steps in proptest::collection::vec(step(true), 1..300),
        seed in any::<u64>(),
        two_person in any::<bool>(),
    ) {
        let mut desk = Desk::quiet(Config { two_person }, seed);
        desk.input(Input::Evidence(evidence()));
        desk.input(Input::Began { entry: Entry::Called, caller: caller() });
        let mut keyed = String::new();
        for step in steps {
            let asked = desk.last().to_owned();
            let promotions = desk.promotions();
            if let Step::Key(key) = &step {
                keyed.push(*key);
            }
            take(&mut desk, step);
            if desk.promotions() > promotions && !asked.contains("second agent") {
                let confirmed = asked.contains("key these three digits");
                prop_assert!(confirmed, "{asked}");
                let digits: String = asked.split(' ').rev().take(3).collect::<Vec<_>>()
                    .into_iter().rev().collect();
                prop_assert!(keyed.ends_with(&digits), "{asked}: {keyed}");
            }
        }
        desk.input(Input::Ended);
        let tries = desk.audits.iter().filter(|audit| {
            let keyed = !matches!(&audit.who, Who::Agent { number, .. } if number.is_empty());
            keyed && matches!(audit.action, Action::Login | Action::Call)
        });
        prop_assert_eq!(tries.count(), desk.checks.len());
    }
}
