//! How the stream of a call begins.

use super::*;
use crate::media::StreamStart;

/// What 64 calls begin with.
fn starts() -> Vec<StreamStart> {
    let mut bench = Bench::new();
    let start = |command| match command {
        media::Command::Open { start, .. } => Some(start),
        _ => None,
    };
    let call = |_| {
        let made = bench.arrive();
        bench.now += Duration::from_millis(10);
        bench.node.hang_up(bench.now, bench.call, None);
        bench.input(Input::Wall { unix_ms: 0 });
        made.media.into_iter().find_map(start).expect("a port is opened")
    };
    (0..64).map(call).collect()
}

#[test]
fn r_02_every_bit_of_ssrc_sequence_and_timestamp_is_drawn_anew_for_each_call() {
    let bits = |start: &StreamStart| {
        u128::from(start.ssrc) << 48
            | u128::from(start.sequence) << 32
            | u128::from(start.timestamp)
    };
    let starts: Vec<u128> = starts().iter().map(bits).collect();
    let ever = starts.iter().fold(0, |bits, start| bits | start);
    let always = starts.iter().fold(u128::MAX, |bits, start| bits & start);
    assert_eq!((ever, always), ((1 << 80) - 1, 0), "a bit is the same in 64 calls");
}
