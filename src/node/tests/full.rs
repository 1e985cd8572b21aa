//! Queues of the driver that are full.

use super::*;

#[test]
fn an_instance_that_takes_no_events_raises_an_alarm_for_ten_minutes_and_is_counted() {
    let mut bench = Bench::with_call();
    let stands = |bench: &Bench| {
        bench.node.alarms(bench.now).iter().any(|alarm| alarm.kind.name() == "events_full")
    };
    bench.input(Input::EventsFull { instance: FIRST, events: 260 });
    bench.crash(FIRST);
    let counters = bench.node.snapshot(bench.now).counters;
    assert_eq!((stands(&bench), counters.dropped_total["events"]), (true, 1));
    bench.connect(FIRST);
    for (seconds, expected) in [(599, true), (1, false)] {
        bench.now += Duration::from_secs(seconds);
        bench.input(Input::Wall { unix_ms: 0 });
        assert_eq!(stands(&bench), expected);
    }
}

#[test]
fn lost_sound_of_recordings_raises_an_alarm_for_ten_minutes_after_the_last_piece() {
    let mut bench = Bench::with_call();
    let stands = |bench: &Bench| {
        bench.node.alarms(bench.now).iter().any(|alarm| alarm.kind.name() == "recorder_full")
    };
    bench.input(Input::RecorderFull { pieces: 0 });
    assert!(!stands(&bench));
    for (pieces, seconds, expected) in [(7, 599, true), (9, 599, true), (9, 1, false)] {
        bench.input(Input::RecorderFull { pieces });
        let counters = bench.node.snapshot(bench.now).counters;
        assert_eq!(counters.dropped_total["recorder"], pieces);
        bench.now += Duration::from_secs(seconds);
        bench.input(Input::Wall { unix_ms: 0 });
        assert_eq!(stands(&bench), expected, "{pieces} pieces");
    }
}
