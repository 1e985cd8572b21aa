//! Claims about playbacks.

use std::sync::Arc;

use bytes::Bytes;

use super::*;
use crate::media::{DigitSet, Prompt};

/// A prompt whose mu-law bytes count up from `first`; A-law is the same plus 100.
fn prompt(first: u8, samples: u8) -> Arc<Prompt> {
    let pcmu: Vec<u8> = (0..samples).map(|n| first + n).collect();
    let pcma: Vec<u8> = pcmu.iter().map(|b| b + 100).collect();
    Arc::new(Prompt { pcmu: Bytes::from(pcmu), pcma: Bytes::from(pcma) })
}

fn playback(id: u32, pieces: &[Arc<Prompt>]) -> Playback {
    Playback {
        id: MediaId(id),
        pieces: pieces.to_vec(),
        parts: Vec::new(),
        offset: Duration::ZERO,
        skip: Duration::from_millis(1),
        repeat: false,
        barge_in: DigitSet::NONE,
        replace: false,
    }
}

/// Takes frames of 8 samples (1 ms) in mu-law until silence, with the events.
fn play_out(player: &mut Player, frames: usize) -> (Vec<u8>, Vec<Event>) {
    let mut events = of_a_call();
    let mut heard = Vec::new();
    for _ in 0..frames {
        let mut frame = [0; 8];
        player.fill(Codec::Pcmu, &mut frame);
        heard.extend_from_slice(&frame);
        player.sent(&mut events);
    }
    (heard, drain(&mut events))
}

fn of_a_call() -> Events {
    let mut events = Events::default();
    events.open(crate::ids::CallId(1));
    events
}

fn drain(events: &mut Events) -> Vec<Event> {
    std::iter::from_fn(|| events.pop()).map(|(_, event)| event).collect()
}

fn started(id: u32) -> Event {
    Event::PlaybackStarted { id: MediaId(id) }
}

fn ended(id: u32, end: PlaybackEnd, position_ms: u64) -> Event {
    Event::PlaybackFinished { id: MediaId(id), end, position_ms }
}

fn start(playback: Playback) -> Player {
    let mut player = Player::default();
    player.play(playback, &mut of_a_call());
    player
}

#[test]
fn pieces_follow_each_other_without_a_gap() {
    let mut player = start(playback(1, &[prompt(1, 5), prompt(11, 0), prompt(21, 6)]));
    let (heard, events) = play_out(&mut player, 2);
    assert_eq!(heard[..11], [1, 2, 3, 4, 5, 21, 22, 23, 24, 25, 26]);
    assert_eq!(heard[11..], [0xff; 5], "silence fills the last frame");
    assert_eq!(events, [started(1), ended(1, PlaybackEnd::Completed, 1)]);
}

#[test]
fn each_part_is_told_when_its_first_sound_has_left() {
    let pieces = [prompt(1, 5), prompt(11, 3), prompt(21, 8), prompt(31, 9), prompt(41, 7)];
    let parts = vec![2, 4];
    let mut player = start(Playback { parts, ..playback(1, &pieces) });
    let continues = |part| Event::PlaybackContinuing { id: MediaId(1), part };
    assert_eq!(play_out(&mut player, 1).1, [started(1)], "the first part has two pieces");
    assert_eq!(play_out(&mut player, 1).1, [continues(1)]);
    assert_eq!(play_out(&mut player, 1).1, []);
    let mut events = of_a_call();
    player.control(MediaId(1), PlaybackControl::Restart, &mut events);
    assert_eq!(play_out(&mut player, 1).1, [continues(0)], "it was jumped to");
    let last = [continues(1), continues(2), ended(1, PlaybackEnd::Completed, 4)];
    assert_eq!(play_out(&mut player, 4).1, last);

    let offset = Duration::from_millis(2);
    let mut player = start(Playback { parts: vec![2, 4], offset, ..playback(1, &pieces) });
    assert_eq!(play_out(&mut player, 1).1, [started(1), continues(1)]);
}

#[test]
fn what_starts_over_for_ever_tells_each_part_once() {
    let parts = vec![1];
    let mut player =
        start(Playback { parts, repeat: true, ..playback(1, &[prompt(1, 8), prompt(11, 8)]) });
    let told = play_out(&mut player, 1_000).1;
    assert_eq!(told, [started(1), Event::PlaybackContinuing { id: MediaId(1), part: 1 }]);
}

#[test]
fn the_next_playback_begins_at_the_next_frame() {
    let mut player = start(playback(1, &[prompt(1, 8)]));
    player.play(playback(2, &[prompt(50, 4)]), &mut of_a_call());
    let (heard, events) = play_out(&mut player, 3);
    assert_eq!(heard[..12], [1, 2, 3, 4, 5, 6, 7, 8, 50, 51, 52, 53]);
    assert_eq!(
        events,
        [
            started(1),
            ended(1, PlaybackEnd::Completed, 1),
            started(2),
            ended(2, PlaybackEnd::Completed, 0)
        ]
    );
}

#[test]
fn replace_stops_what_runs_and_what_waits_at_the_frame_boundary() {
    let mut events = of_a_call();
    let mut player = start(playback(1, &[prompt(1, 80)]));
    player.play(playback(2, &[prompt(1, 8)]), &mut events);
    play_out(&mut player, 3);
    player.play(Playback { replace: true, ..playback(3, &[prompt(90, 8)]) }, &mut events);
    assert_eq!(
        drain(&mut events),
        [ended(1, PlaybackEnd::Stopped, 3), ended(2, PlaybackEnd::Stopped, 0)]
    );
    assert_eq!(play_out(&mut player, 1).0[0], 90);
}

#[test]
fn a_codec_change_goes_on_at_the_same_sample() {
    let mut player = start(playback(1, &[prompt(1, 80)]));
    let mut frame = [0; 8];
    player.fill(Codec::Pcmu, &mut frame);
    player.fill(Codec::Pcma, &mut frame);
    assert_eq!(frame, [109, 110, 111, 112, 113, 114, 115, 116]);
}

#[test]
fn offset_and_skips_move_within_the_playback() {
    let mut events = of_a_call();
    let mut player =
        start(Playback { offset: Duration::from_millis(4), ..playback(1, &[prompt(0, 80)]) });
    assert_eq!(play_out(&mut player, 1).0[0], 32);
    player.control(MediaId(1), PlaybackControl::Forward, &mut events);
    assert_eq!(play_out(&mut player, 1).0[0], 48);
    player.control(MediaId(1), PlaybackControl::Reverse, &mut events);
    player.control(MediaId(1), PlaybackControl::Reverse, &mut events);
    assert_eq!(play_out(&mut player, 1).0[0], 40);
    player.control(MediaId(1), PlaybackControl::Restart, &mut events);
    assert_eq!(play_out(&mut player, 1).0[0], 0);
    for _ in 0..20 {
        player.control(MediaId(1), PlaybackControl::Forward, &mut events);
    }
    let (_, ends) = play_out(&mut player, 1);
    assert_eq!(ends, [ended(1, PlaybackEnd::Completed, 10)]);
}

#[test]
fn a_pause_sends_silence_and_goes_on_where_it_was() {
    let mut events = of_a_call();
    let mut player = start(playback(1, &[prompt(1, 80)]));
    play_out(&mut player, 1);
    player.control(MediaId(1), PlaybackControl::Pause, &mut events);
    assert_eq!(play_out(&mut player, 5).0, [0xff; 40]);
    player.control(MediaId(1), PlaybackControl::Unpause, &mut events);
    assert_eq!(play_out(&mut player, 1).0[0], 9);
}

#[test]
fn repeat_wraps_within_a_frame_and_never_completes() {
    let mut player = start(Playback { repeat: true, ..playback(1, &[prompt(1, 3)]) });
    let (heard, events) = play_out(&mut player, 2);
    assert_eq!(heard, [1, 2, 3, 1, 2, 3, 1, 2, 3, 1, 2, 3, 1, 2, 3, 1]);
    assert_eq!(events, [started(1)]);
}

#[test]
fn nothing_to_repeat_ends_at_once() {
    let mut player = start(Playback { repeat: true, ..playback(1, &[]) });
    assert_eq!(play_out(&mut player, 1).1, [started(1), ended(1, PlaybackEnd::Completed, 0)]);
}

#[test]
fn an_offset_past_the_end_completes_at_once() {
    let offset = Duration::from_secs(u64::MAX);
    let mut player = start(Playback { offset, ..playback(1, &[prompt(1, 16)]) });
    assert_eq!(play_out(&mut player, 1).1, [started(1), ended(1, PlaybackEnd::Completed, 2)]);
}

#[test]
fn a_key_stops_the_running_playback_and_those_behind_it_that_listen_for_it() {
    let five = Digit::from_event(5).expect("a digit");
    let listening =
        |id| Playback { barge_in: DigitSet::NONE.with(five), ..playback(id, &[prompt(1, 80)]) };
    let mut events = of_a_call();
    let mut player = start(listening(1));
    player.play(listening(2), &mut events);
    player.play(playback(3, &[prompt(70, 8)]), &mut events);
    play_out(&mut player, 2);
    player.barge_in(Digit::from_event(6).expect("a digit"), &mut events);
    assert_eq!(drain(&mut events), []);
    player.barge_in(five, &mut events);
    assert_eq!(
        drain(&mut events),
        [ended(1, PlaybackEnd::BargedIn, 2), ended(2, PlaybackEnd::BargedIn, 0)]
    );
    assert_eq!(play_out(&mut player, 1).0[0], 70);
}

#[test]
fn a_waiting_playback_can_be_stopped() {
    let mut events = of_a_call();
    let mut player = start(playback(1, &[prompt(1, 80)]));
    player.play(playback(2, &[prompt(1, 8)]), &mut events);
    player.control(MediaId(2), PlaybackControl::Stop, &mut events);
    player.control(MediaId(9), PlaybackControl::Stop, &mut events);
    assert_eq!(drain(&mut events), [ended(2, PlaybackEnd::Stopped, 0)]);
}

#[test]
fn the_line_is_bounded_and_the_refused_playback_is_reported() {
    let mut events = of_a_call();
    let mut player = Player::default();
    for id in 0..70 {
        player.play(playback(id, &[prompt(1, 8)]), &mut events);
    }
    let refused = drain(&mut events);
    assert_eq!(refused.len(), 70 - PLAYBACKS_MAX);
    assert_eq!(refused[0], ended(PLAYBACKS_MAX as u32, PlaybackEnd::Stopped, 0));
}
