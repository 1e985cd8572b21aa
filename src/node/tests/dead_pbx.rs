//! A PBX that dies with calls up: it cannot say that they are over.

use super::*;

const MINUTE: Duration = Duration::from_secs(60);

/// A call with music, so that its owner has no reason to end it.
fn bench() -> Bench {
    let mut bench = Bench::with_call();
    bench.post(FIRST, "channels/{id}/moh");
    bench.run(MINUTE);
    bench
}

/// The PBX answers nothing, not even a REGISTER, until a person is told.
fn pbx_dies(bench: &mut Bench) -> Made {
    bench.pbx_dead = true;
    let mut made = Made::default();
    for _ in 0..60 {
        made.add(bench.run(Duration::from_secs(5)));
        if bench.node.alarms(bench.now).iter().any(|a| a.kind.name() == "pbx_unreachable") {
            return made;
        }
    }
    panic!("nobody was told in five minutes: {made:?}");
}

#[test]
fn a_call_that_fell_silent_before_its_pbx_was_found_dead_is_over_then() {
    let mut bench = bench();
    let made = bench.media(media::Event::InboundSilent);
    assert_eq!(made.lines().len(), 0, "the PBX answers and would say so: {made:?}");
    let made = pbx_dies(&mut bench);
    assert!(made.lines().iter().any(|line| line.starts_with("BYE ")), "{:?}", made.lines());
    assert!(made.types().contains(&(FIRST, "ChannelDestroyed")), "{:?}", made.types());
    assert_eq!(bench.node.call_of(PORT), None, "its port is free");
}

#[test]
fn a_call_that_falls_silent_while_its_pbx_is_dead_is_over_at_once() {
    let mut bench = bench();
    pbx_dies(&mut bench);
    assert_eq!(bench.node.call_of(PORT), Some(bench.call), "its caller may still speak");
    let made = bench.media(media::Event::InboundSilent);
    assert!(made.types().contains(&(FIRST, "ChannelDestroyed")), "{:?}", made.types());
}

#[test]
fn a_caller_who_is_heard_again_keeps_his_call_though_the_pbx_dies() {
    let mut bench = bench();
    bench.media(media::Event::InboundSilent);
    bench.media(media::Event::InboundBack);
    pbx_dies(&mut bench);
    assert_eq!(bench.node.call_of(PORT), Some(bench.call));
}
