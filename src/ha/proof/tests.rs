//! Who proves what to whom, and who does not.

use rand_core::SeedableRng as _;

use super::*;

const START: Instant = Instant::ZERO;

fn key(byte: u8) -> Key {
    Key::new([byte; KEY_BYTES].into())
}

fn asks() -> Exchange {
    asks_by(1)
}

fn asks_by(seed: u64) -> Exchange {
    Exchange::ask(&mut Rng::seed_from_u64(seed), &key(7), About::Sentinel, "6099")
}

fn millis(ms: u64) -> Instant {
    START + Duration::from_millis(ms)
}

fn outputs(exchange: &mut Exchange) -> Vec<Output> {
    std::iter::from_fn(|| exchange.poll_output()).collect()
}

/// The far end has answered, and the challenge was keyed.
fn challenge(exchange: &mut Exchange) -> Vec<Digit> {
    exchange.handle_input(START, Input::Up);
    exchange.handle_timeout(millis(500));
    let keyed = outputs(exchange);
    let [Output::Keys(digits)] = &keyed[..] else { panic!("{keyed:?}") };
    digits.clone()
}

fn keys(exchange: &mut Exchange, digits: &[Digit]) -> Vec<Output> {
    digits.iter().for_each(|&digit| exchange.handle_input(millis(3_000), Input::Key(digit)));
    outputs(exchange)
}

fn answer_of(key: &Key, extension: &str, challenge: &[Digit]) -> Vec<Digit> {
    let mut called = Exchange::answer(key, About::Sentinel, extension);
    called.handle_input(START, Input::Up);
    let keyed = keys(&mut called, challenge);
    let [Output::Keys(digits)] = &keyed[..] else { panic!("{keyed:?}") };
    digits.clone()
}

const PROVEN: [Output; 2] = [Output::Done(Outcome::Proven), Output::HangUp];
const FAILED: [Output; 2] = [Output::Done(Outcome::Failed), Output::HangUp];

#[test]
fn who_has_the_secret_proves_it_and_who_has_another_does_not() {
    let mut exchange = asks();
    let asked = challenge(&mut exchange);
    assert_eq!(asked.len(), DIGITS);
    assert_eq!(keys(&mut exchange, &answer_of(&key(7), "6099", &asked)), PROVEN);
    for (wrong, extension) in [(8, "6099"), (7, "6098")] {
        let mut exchange = asks();
        let asked = challenge(&mut exchange);
        let answer = answer_of(&key(wrong), extension, &asked);
        assert_eq!(keys(&mut exchange, &answer), FAILED, "{wrong} {extension}");
    }
}

#[test]
fn the_answer_to_another_challenge_is_none() {
    let recorded = answer_of(&key(7), "6099", &challenge(&mut asks_by(1)));
    let mut exchange = asks_by(2);
    challenge(&mut exchange);
    assert_eq!(keys(&mut exchange, &recorded), FAILED);
}

#[test]
fn the_challenge_itself_is_no_answer() {
    let mut exchange = asks();
    let echo = challenge(&mut exchange);
    assert_eq!(keys(&mut exchange, &echo), FAILED);
}

#[test]
fn a_voice_mail_that_answers_and_keys_nothing_has_failed_after_ten_seconds() {
    let mut exchange = asks();
    challenge(&mut exchange);
    assert_eq!(exchange.poll_timeout(), Some(millis(10_500)));
    exchange.handle_timeout(millis(10_499));
    assert!(outputs(&mut exchange).is_empty());
    exchange.handle_timeout(millis(10_500));
    assert_eq!(outputs(&mut exchange), FAILED);
    assert_eq!(exchange.poll_timeout(), None);
}

#[test]
fn an_answer_that_comes_late_or_before_its_challenge_counts_for_nothing() {
    let mut exchange = asks();
    exchange.handle_input(START, Input::Up);
    assert!(keys(&mut exchange, &digits(&[0; DIGITS])).is_empty());
    exchange.handle_timeout(millis(500));
    let keyed = outputs(&mut exchange);
    let [Output::Keys(asked)] = &keyed[..] else { panic!("{keyed:?}") };
    exchange.handle_timeout(millis(10_500));
    assert_eq!(outputs(&mut exchange), FAILED);
    let late = answer_of(&key(7), "6099", asked);
    assert!(keys(&mut exchange, &late).is_empty());
}

#[test]
fn a_busy_far_end_was_not_asked_and_one_that_does_not_answer_has_failed() {
    let ended = |asked| {
        let mut exchange = asks();
        exchange.handle_input(START, Input::Ended { asked });
        outputs(&mut exchange)
    };
    assert_eq!(ended(false), [Output::Done(Outcome::NotMade)]);
    assert_eq!(ended(true), [Output::Done(Outcome::Failed)]);
}

#[test]
fn a_call_that_ends_before_the_answer_has_failed_and_one_that_is_over_says_no_more() {
    let mut exchange = asks();
    challenge(&mut exchange);
    exchange.handle_input(millis(900), Input::Ended { asked: true });
    assert_eq!(outputs(&mut exchange), [Output::Done(Outcome::Failed)]);
    exchange.handle_input(millis(901), Input::Ended { asked: true });
    assert!(outputs(&mut exchange).is_empty());
}

#[test]
fn who_is_called_hangs_up_on_whoever_keys_nothing_and_after_its_answer() {
    let mut called = Exchange::answer(&key(7), About::Sentinel, "6099");
    called.handle_input(START, Input::Up);
    called.handle_timeout(millis(10_000));
    assert_eq!(outputs(&mut called), [Output::HangUp]);
    let mut called = Exchange::answer(&key(7), About::Sentinel, "6099");
    called.handle_input(START, Input::Up);
    keys(&mut called, &digits(&[0; DIGITS]));
    called.handle_timeout(millis(7_000));
    assert_eq!(outputs(&mut called), [Output::HangUp]);
}

#[test]
fn an_answer_is_the_one_of_its_definition() {
    // By HMAC of another library: of each four octets the remainder of ten.
    let answer = key(7).answer(About::Sentinel, "6099", &[0, 1, 2, 3, 4, 5, 6, 7]);
    let text: String = digits(&answer).iter().map(|digit| digit.as_char()).collect();
    assert_eq!(text, "77817471");
    assert!(format!("{:?}", asks()).contains("challenge: ***, wanted: ***"));
}

#[test]
fn a_test_of_a_control_extension_says_so_first_and_its_answer_is_none_of_a_sentinel() {
    let about = About::ControlExtension;
    let mut exchange = Exchange::ask(&mut Rng::seed_from_u64(1), &key(7), about, "6099");
    let keyed = challenge(&mut exchange);
    let text: String = keyed.iter().map(|digit| digit.as_char()).collect();
    assert_eq!((text.starts_with("*#*"), keyed.len()), (true, 3 + DIGITS));
    let answer = answer_of(&key(7), "6099", &keyed[3..]);
    assert_eq!(keys(&mut exchange, &answer), FAILED, "that is the sentinel's");
}
