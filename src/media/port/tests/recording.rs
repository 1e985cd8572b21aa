//! Recordings.

use super::harness::{CALL, Rig, digit};
use crate::codecs::g711::Law;
use crate::ids::MediaId;
use crate::media::{Command, DigitSet, Event, IfExists, Input, Recording, RecordingEnd};
use crate::timers::Duration;

fn recording(id: u32) -> Recording {
    Recording {
        id: MediaId(id),
        name: "hello".into(),
        if_exists: IfExists::Fail,
        max_duration: None,
        max_silence: None,
        terminate_on: DigitSet::NONE,
        beep: false,
    }
}

fn loud() -> u8 {
    Law::Mu.encode_sample(8_000)
}

/// The far end speaks for so long, 20 ms a packet.
fn speak(rig: &mut Rig, ms: u64) {
    for _ in 0..ms / 20 {
        rig.far_sound(&[loud(); 160]);
        rig.run(20);
    }
}

fn ends(rig: &Rig) -> Vec<(u64, RecordingEnd, u64)> {
    rig.events
        .iter()
        .filter_map(|(at, event)| match event {
            Event::RecordingFinished { end, duration_ms, .. } => Some((*at, *end, *duration_ms)),
            _ => None,
        })
        .collect()
}

#[test]
fn what_the_caller_says_is_recorded_as_long_as_it_took() {
    let mut rig = Rig::answered();
    rig.command(Command::Record(recording(1)));
    speak(&mut rig, 1_000);
    rig.command(Command::StopRecord { id: MediaId(1), discard: false });
    assert_eq!(ends(&rig), [(2_000, RecordingEnd::Stopped, 1_000)]);
    assert_eq!(rig.recorded.len(), 8_000);
    let sample = Law::Mu.decode_sample(loud());
    let heard = rig.recorded.iter().filter(|s| **s == sample).count();
    assert!(heard >= 8_000 - 640, "all but the first 80 ms at most: {heard}");
}

#[test]
fn a_recording_that_is_discarded_says_so() {
    let mut rig = Rig::answered();
    rig.command(Command::Record(recording(1)));
    speak(&mut rig, 1_000);
    rig.command(Command::StopRecord { id: MediaId(1), discard: true });
    assert_eq!(ends(&rig), [(2_000, RecordingEnd::Discarded, 1_000)]);
}

#[test]
fn a_recording_ends_at_its_length() {
    let mut rig = Rig::answered();
    let max_duration = Some(Duration::from_millis(500));
    rig.command(Command::Record(Recording { max_duration, ..recording(1) }));
    speak(&mut rig, 1_000);
    assert_eq!(ends(&rig), [(1_500, RecordingEnd::Duration, 500)]);
    assert_eq!(rig.recorded.len(), 4_000);
}

#[test]
fn a_recording_ends_after_silence_but_not_before_speech_is_over() {
    let mut rig = Rig::answered();
    let max_silence = Some(Duration::from_secs(2));
    rig.command(Command::Record(Recording { max_silence, ..recording(1) }));
    speak(&mut rig, 3_000);
    rig.run(3_000);
    let ends = ends(&rig);
    assert_eq!(ends[0].1, RecordingEnd::Silence);
    assert!((5_000..5_200).contains(&ends[0].2), "{ends:?}");
}

#[test]
fn a_key_ends_a_recording() {
    let mut rig = Rig::answered();
    let terminate_on = DigitSet::NONE.with(digit('#'));
    rig.command(Command::Record(Recording { terminate_on, ..recording(1) }));
    speak(&mut rig, 400);
    rig.far_event(rig.far.timestamp, '5', 160, false);
    rig.run(20);
    rig.far_event(rig.far.timestamp + 4_000, '#', 160, false);
    assert_eq!(ends(&rig), [(1_420, RecordingEnd::Digit, 420)]);
}

#[test]
fn a_beep_sounds_first_and_is_not_part_of_the_recording() {
    let mut rig = Rig::answered();
    rig.command(Command::Record(Recording { beep: true, ..recording(1) }));
    rig.run(250);
    assert!(rig.sent.iter().all(|sent| sent.payload != [0xff; 160]), "250 ms of tone");
    assert_eq!(rig.recorded.len(), 0);
    rig.run(203);
    assert_eq!(rig.sent.last().map(|sent| sent.payload.clone()), Some(vec![0xff; 160]));
    assert!(rig.recorded.len() >= 1_440);
}

#[test]
fn a_muted_caller_is_recorded_as_silence() {
    let mut rig = Rig::answered();
    rig.command(Command::Mute { out: false, inbound: true });
    rig.command(Command::Record(recording(1)));
    speak(&mut rig, 500);
    assert_eq!(rig.recorded, vec![0; 4_000]);
}

#[test]
fn the_end_of_the_call_ends_the_recording() {
    let mut rig = Rig::answered();
    rig.command(Command::Record(recording(1)));
    speak(&mut rig, 100);
    rig.command(Command::Close);
    assert_eq!(ends(&rig), [(1_100, RecordingEnd::Stopped, 100)]);
}

#[test]
fn a_second_recording_fails_and_the_first_goes_on() {
    let mut rig = Rig::answered();
    rig.command(Command::Record(recording(1)));
    rig.command(Command::Record(recording(2)));
    assert_eq!(ends(&rig), [(1_000, RecordingEnd::Failed, 0)]);
    speak(&mut rig, 100);
    assert_eq!(rig.recorded.len(), 800);
}

#[test]
fn a_file_that_cannot_be_written_ends_the_recording() {
    let mut rig = Rig::answered();
    rig.command(Command::Record(recording(1)));
    rig.run(40);
    rig.input(Input::RecordingFailed { call: CALL, id: MediaId(1) });
    assert_eq!(ends(&rig), [(1_040, RecordingEnd::Failed, 40)]);
}

#[test]
fn a_recording_that_was_kept_waiting_goes_on_from_the_present() {
    let mut rig = Rig::answered();
    rig.command(Command::Record(recording(1)));
    rig.stall(3_600_000);
    assert_eq!(rig.recorded.len(), 160);
}

#[test]
fn a_lost_packet_is_concealed_and_a_longer_gap_is_silence() {
    let mut rig = Rig::answered();
    rig.command(Command::Record(recording(1)));
    speak(&mut rig, 400);
    rig.far.sequence += 1;
    rig.far.timestamp += 160;
    rig.run(20);
    speak(&mut rig, 400);
    rig.run(1_000);
    let sample = i32::from(Law::Mu.decode_sample(loud()));
    let around_gap = &rig.recorded[8 * 440..8 * 520];
    assert!(around_gap.iter().all(|s| (i32::from(*s) - sample).abs() < sample / 4));
    assert_eq!(rig.recorded[rig.recorded.len() - 8 * 500..], vec![0; 8 * 500]);
}
