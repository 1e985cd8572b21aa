//! `record` from request to stored file.

use super::*;
use crate::media::RecordingEnd;

#[test]
fn a_recording_is_made_told_and_played_again() {
    let mut bench = Bench::with_call();
    let path = "channels/{id}/record?name=pin&format=wav&maxDurationSeconds=9&terminateOn=%23";
    let made = bench.post(FIRST, path);
    assert_eq!(made.event("RecordingStarted")["recording"]["name"], "pin");
    let [media::Command::Record(recording)] = &made.media[..] else { panic!("{made:?}") };
    assert_eq!(recording.max_duration, Some(Duration::from_secs(9)));
    let id = recording.id;
    let end = RecordingEnd::Digit;
    let made = bench.media(media::Event::RecordingFinished { id, end, duration_ms: 4_200 });
    let finished = &made.event("RecordingFinished")["recording"];
    assert_eq!((&finished["state"], &finished["duration"]), (&"done".into(), &4.into()));
    assert_eq!(bench.ask(FIRST, "GET", "recordings/stored/pin").status(), 200);
    let made = bench.post(FIRST, "channels/{id}/play?media=recording:pin");
    assert_eq!((made.loads, made.played().len()), (1, 0));
    assert_eq!(bench.loaded("pin").played().len(), 1);
}

#[test]
fn a_recording_that_cannot_be_written_fails_in_words() {
    let mut bench = Bench::with_call();
    let made = bench.post(FIRST, "channels/{id}/record?name=a&format=wav");
    let [media::Command::Record(recording)] = &made.media[..] else { panic!("{made:?}") };
    let (id, end) = (recording.id, RecordingEnd::Failed);
    let made = bench.media(media::Event::RecordingFinished { id, end, duration_ms: 0 });
    assert_eq!(made.event("RecordingFailed")["recording"]["state"], "failed");
    assert_eq!(bench.ask(FIRST, "GET", "recordings/stored/a").status(), 404);
}
