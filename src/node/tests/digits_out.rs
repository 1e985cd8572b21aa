//! Digits that an application sends, on their way to the far end.

use super::*;
use crate::node::call::Keying;
use crate::sdp::Negotiated;

/// A call whose far end takes telephone-events, or none.
fn call(events: bool) -> Bench {
    let mut bench = Bench::with_call();
    let entry = bench.node.calls.get_mut(&bench.call).expect("the call");
    let negotiated = entry.negotiated.expect("it was answered");
    let event_send = events.then_some(101);
    entry.negotiated = Some(Negotiated { event_send, ..negotiated });
    bench
}

/// How many keys each command to the port holds.
fn sent(made: &Made) -> Vec<usize> {
    let keys = |command: &media::Command| match command {
        media::Command::SendDigits { digits, .. } => Some(digits.len()),
        _ => None,
    };
    made.media.iter().filter_map(keys).collect()
}

fn unsent(bench: &Bench) -> u64 {
    bench.node.snapshot(bench.now).counters.digits_unsent_total
}

#[test]
fn digits_asked_for_in_one_moment_go_one_request_after_the_other_in_order() {
    let mut bench = call(true);
    for path in ["dtmf?dtmf=12&before=300", "dtmf?dtmf=3&before=300", "dtmf?dtmf=4444"] {
        assert_eq!(bench.post(FIRST, &format!("channels/{{id}}/{path}")).status(), 204);
    }
    assert_eq!(sent(&bench.run(Duration::from_millis(300))), [2]);
    let keyed = media::Event::Keyed { sent: 1, lost: 0 };
    assert_eq!(sent(&bench.media(keyed.clone())), [0; 0], "one of two has not begun");
    assert_eq!(sent(&bench.media(keyed.clone())), [1]);
    assert_eq!(sent(&bench.media(keyed)), [4]);
}

#[test]
fn what_leaves_makes_room_and_what_is_lost_is_counted() {
    let mut bench = call(true);
    let path = format!("channels/{{id}}/dtmf?dtmf={}", "7".repeat(64));
    assert_eq!(bench.post(FIRST, &path).status(), 204);
    assert_eq!(bench.post(FIRST, "channels/{id}/dtmf?dtmf=12").status(), 409);
    bench.media(media::Event::Keyed { sent: 1, lost: 1 });
    assert_eq!(bench.post(FIRST, "channels/{id}/dtmf?dtmf=12").status(), 204);
    assert_eq!(unsent(&bench), 1);
    bench.caller_hangs_up();
    assert_eq!(unsent(&bench), 1 + 64);
}

#[test]
fn digits_for_a_call_that_rings_wait_for_its_answer() {
    let mut bench = Bench::new();
    bench.connect(FIRST);
    bench.arrive();
    let made = bench.post(FIRST, "channels/{id}/dtmf?dtmf=12");
    assert_eq!((made.status(), made.sip.len(), made.media.len()), (204, 0, 0));
    assert_eq!(sent(&bench.post(FIRST, "channels/{id}/answer")), [2]);
}

#[test]
fn the_next_digit_by_info_waits_for_the_answer_and_for_the_pause() {
    let mut bench = call(false);
    let info = |made: &Made| made.to_pbx("INFO ").to_owned();
    let made = bench.post(FIRST, "channels/{id}/dtmf?dtmf=12&duration=100&between=100");
    let first = info(&made);
    assert!(first.contains("Signal=1\r\n"), "{first}");
    let made = bench.run(Duration::from_millis(300));
    let news = made.lines().iter().filter(|line| line.starts_with("INFO")).count();
    assert_eq!(news, 0, "not before the answer, and a repetition later");
    let second = info(&bench.reply(&first, "200 OK"));
    assert!(second.contains("Signal=2\r\n"), "{second}");
    bench.reply(&second, "415 Unsupported Media Type");
    assert_eq!(unsent(&bench), 1, "what the far end refused");
    bench.run(Duration::from_millis(200));
    let keying = &bench.node.calls[&bench.call].keying;
    assert!(matches!(keying, Keying::Idle), "{keying:?}");
    info(&bench.post(FIRST, "channels/{id}/dtmf?dtmf=3"));
}
