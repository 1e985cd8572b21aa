//! What a new owner finds and may do.

use super::*;

fn stops_all(made: &Made) -> bool {
    made.media.iter().any(|command| matches!(command, media::Command::StopAll))
}

#[test]
fn the_first_record_of_a_new_owner_ends_what_the_old_one_left_sounding() {
    let mut bench = Bench::with_call();
    bench.post(FIRST, "channels/{id}/play?media=sound:menu");
    bench.crash(FIRST);
    let made = bench.post(SECOND, "channels/{id}/record?name=a&format=wav");
    assert!(stops_all(&made), "{made:?}");
    let made = bench.post(SECOND, "channels/{id}/play?media=sound:menu");
    assert!(!made.played()[0].replace, "its own sounds wait in line");
}

#[test]
fn an_owner_whose_move_finds_nobody_keeps_the_call_under_its_channel_id() {
    let text = config("[\"main\"]", "[applications.main]\n[applications.side]\n");
    let mut bench = Bench::with(&text).in_call();
    let id = bench.channel();
    let made = bench.post(FIRST, "channels/{id}/move?app=side&appArgs=a,b");
    assert_eq!(made.status(), 204);
    let failed = made.event("ApplicationMoveFailed");
    assert_eq!((&failed["destination"], &failed["args"]), (&"side".into(), &json!(["a", "b"])));
    assert_eq!(failed["channel"]["id"], id.as_str());
    assert_eq!(bench.ask(FIRST, "GET", &format!("channels/{id}")).status(), 200);
}

#[test]
fn a_record_of_the_same_owner_leaves_its_prompt_alone() {
    let mut bench = Bench::with_call();
    bench.post(FIRST, "channels/{id}/play?media=sound:menu");
    assert!(!stops_all(&bench.post(FIRST, "channels/{id}/record?name=a&format=wav")));
}

#[test]
fn the_first_record_of_a_new_owner_ends_the_recording_of_the_old_one() {
    let mut bench = Bench::with_call();
    bench.post(FIRST, "channels/{id}/record?name=a&format=wav");
    bench.crash(FIRST);
    let made = bench.post(SECOND, "channels/{id}/record?name=b&format=wav");
    let order: Vec<_> = made
        .media
        .iter()
        .filter_map(|command| match command {
            media::Command::StopRecord { discard, .. } => {
                Some(if *discard { "discard" } else { "keep" })
            }
            media::Command::Record(_) => Some("record"),
            _ => None,
        })
        .collect();
    assert_eq!(order, ["keep", "record"]);
}

#[test]
fn a_play_that_waits_for_its_file_is_not_begun_for_an_owner_that_lost_the_call() {
    let mut bench = Bench::with_call();
    let made = bench.post(FIRST, "channels/{id}/play?media=recording:old");
    assert_eq!((made.loads, made.played().len()), (1, 0));
    bench.crash(FIRST);
    assert_eq!(bench.loaded("old").played().len(), 0);
    let made = bench.post(SECOND, "channels/{id}/play?media=sound:menu");
    assert_eq!(made.played().len(), 1, "nothing stands in its way");
}

#[test]
fn a_play_that_waits_for_its_file_can_be_stopped_and_the_next_one_goes_on() {
    let mut bench = Bench::with_call();
    bench.post(FIRST, "channels/{id}/play/p1?media=recording:old");
    bench.post(FIRST, "channels/{id}/play/p2?media=sound:menu");
    let made = bench.ask(FIRST, "DELETE", "playbacks/p1");
    assert_eq!(made.played().len(), 1, "{made:?}");
    assert!(made.types().contains(&(FIRST, "PlaybackFinished")));
    assert_eq!(bench.loaded("old").played().len(), 0);
}

#[test]
fn what_waited_behind_a_file_reaches_the_port_in_one_command_and_in_order() {
    let mut bench = Bench::with_call();
    bench.post(FIRST, "channels/{id}/play?media=recording:a");
    for n in 1..64 {
        let made = bench.post(FIRST, "channels/{id}/play?media=sound:menu");
        assert_eq!((made.status(), made.media.len()), (201, 0), "play {n}");
        bench.run(Duration::from_millis(50));
    }
    let made = bench.loaded("a");
    assert_eq!(made.media.len(), 1, "a full queue would end the call");
    let played: Vec<u32> = made.played().iter().map(|play| play.id.0 & 0xffff).collect();
    assert_eq!(played, (1..=64).collect::<Vec<_>>());
    assert!(made.played()[1..].iter().all(|play| !play.replace));
    assert_eq!(bench.post(FIRST, "channels/{id}/play?media=sound:menu").status(), 409);
}
