//! Gaps and places in a prompt, from packets.

use super::*;

fn at(ms: u64) -> Instant {
    Instant::from_nanos(ms * 1_000_000)
}

/// The pitch at a place in the prompt.
fn hz(seconds: f64) -> f64 {
    400.0 + 50.0 * seconds
}

/// Half a second of sound, 600 ms of silence, half a second of sound from `resumes_at` on.
fn line(resumes_at: f64) -> LineReport {
    let before = (0..25).map(|n| (at(1_000 + n * 20), hz(2.0 + n as f64 * 0.02)));
    let after = (0..25).map(|n| (at(2_080 + n * 20), hz(resumes_at + n as f64 * 0.02)));
    let pitches: Vec<_> = before.chain(after).collect();
    let arrivals = pitches.iter().map(|(at, _)| *at).collect();
    LineReport { arrivals, pitches, ..LineReport::default() }
}

#[test]
fn the_longest_silence_since_the_loss_is_the_gap() {
    assert_eq!(longest_gap(&line(2.5), at(1_490)), Some(Duration::from_millis(600)));
    assert_eq!(longest_gap(&line(2.5), at(2_100)), Some(Duration::from_millis(20)));
    assert_eq!(longest_gap(&LineReport::default(), at(0)), None);
}

#[test]
fn a_prompt_that_ran_on_unheard_has_no_error() {
    let error = |resumes_at| {
        let error = offset_error(&line(resumes_at), at(1_490)).expect("a prompt");
        (error.as_secs_f64() * 1_000.0).round()
    };
    assert_eq!((error(3.08), error(3.18), error(2.5)), (0.0, 100.0, 580.0));
    assert_eq!(offset_error(&LineReport::default(), at(0)), None);
}
