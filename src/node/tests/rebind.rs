//! A rebind as the old owner, the new one, the PBX and the caller see it.

use super::*;

const PLAY: &str = "channels/{id}/play?media=sound:menu";

/// A call with a prompt of its first owner playing.
fn playing() -> Bench {
    let mut bench = Bench::with_call();
    bench.run(Duration::from_secs(1));
    let id = bench.post(FIRST, PLAY).played()[0].id;
    bench.media(media::Event::PlaybackStarted { id });
    bench
}

/// Its first owner hangs, and the second one is told.
fn rebound(bench: &mut Bench) -> Made {
    bench.frozen.insert(FIRST);
    let made = bench.run(Duration::from_millis(300));
    let moved = [(FIRST, "StasisEnd"), (SECOND, "StasisStart")];
    assert_eq!(made.types(), moved);
    made
}

#[test]
fn a_hang_sends_nothing_to_the_pbx_and_leaves_the_prompt_alone() {
    let mut bench = playing();
    let old = bench.channel();
    let made = rebound(&mut bench);
    assert_eq!((made.sip.len(), made.media.len()), (0, 0), "{made:?}");
    let (end, start) = (made.event("StasisEnd"), made.event("StasisStart"));
    assert_eq!(end["channel"]["id"], old.as_str());
    let (was, is) = (&end["channel"], &start["channel"]);
    assert_ne!(was["id"], is["id"]);
    assert_eq!(was["protocol_id"], is["protocol_id"]);
    assert_eq!(is["state"], "Up");
    let variables = &is["channelvars"];
    assert_eq!(
        (&variables["GW_GENERATION"], &variables["GW_REASON"]),
        (&"2".into(), &"hang".into())
    );
}

#[test]
fn the_first_sound_of_the_new_owner_replaces_the_old_prompt_and_only_the_first() {
    for path in [PLAY, "channels/{id}/moh"] {
        let mut bench = playing();
        rebound(&mut bench);
        assert!(bench.post(SECOND, path).played()[0].replace, "{path}");
        let next = bench.post(SECOND, PLAY);
        assert_eq!(next.played()[0].replace, path != PLAY, "what we play ourselves gives way");
    }
    for path in ["channels/{id}/silence", "channels/{id}/record?name=a&format=wav"] {
        let mut bench = playing();
        rebound(&mut bench);
        let made = bench.post(SECOND, path);
        assert!(matches!(made.media[0], media::Command::StopAll), "{path} {made:?}");
    }
}

#[test]
fn any_other_command_of_the_new_owner_claims_the_call_and_leaves_the_prompt_playing() {
    for (method, path) in [
        ("GET", "channels/{id}"),
        ("POST", "channels/{id}/answer"),
        ("POST", "channels/{id}/variable?variable=A&value=b"),
        ("DELETE", "channels/{id}/moh"),
    ] {
        let mut bench = playing();
        rebound(&mut bench);
        let made = bench.ask(SECOND, method, path);
        assert_eq!(made.media.len(), 0, "{path}");
        let rebinds = bench.node.snapshot(bench.now).rebinds;
        assert!(rebinds.iter().all(|rebind| rebind.claimed_at == Some(bench.now)), "{path}");
        assert_eq!(rebinds.len(), 1, "{path}");
    }
}

#[test]
fn the_end_of_an_inherited_prompt_is_told_to_nobody() {
    let mut bench = Bench::with_call();
    let id = bench.post(FIRST, PLAY).played()[0].id;
    bench.crash(FIRST);
    let made = bench.finished(id);
    assert_eq!(made.types(), []);
}

#[test]
fn the_old_owner_wakes_up_and_every_command_of_it_is_404_and_counted() {
    let mut bench = playing();
    let old = bench.channel();
    rebound(&mut bench);
    bench.frozen.clear();
    for path in ["play?media=sound:menu", "answer", "variable?variable=GW_ACK&value=1"] {
        let made = bench.post(FIRST, &format!("channels/{old}/{path}"));
        assert_eq!((made.status(), made.media.len()), (404, 0), "{path}");
    }
    assert_eq!(bench.node.snapshot(bench.now).counters.stale_commands_total, 3);
    assert_eq!(bench.ask(SECOND, "GET", "channels/{id}").status(), 200);
}

#[test]
fn an_instance_that_pongs_but_does_no_work_has_2_s_to_begin_with_a_call() {
    let mut bench = Bench::new();
    bench.connect(FIRST);
    bench.arrive();
    bench.connect(SECOND);
    assert_eq!(bench.run(Duration::from_millis(1_999)).types(), []);
    let made = bench.run(Duration::from_millis(1));
    assert_eq!(made.types(), [(FIRST, "StasisEnd"), (SECOND, "StasisStart")]);
    assert_eq!(bench.post(SECOND, "channels/{id}/answer").status(), 204);
}

#[test]
fn an_operators_rebind_moves_the_call_as_a_hang_does() {
    let mut bench = playing();
    let made = bench.input(Input::Order(super::super::Order::Rebind { port: PORT }));
    assert_eq!(made.types(), [(FIRST, "StasisEnd"), (SECOND, "StasisStart")]);
    assert_eq!((made.sip.len(), made.media.len()), (0, 0), "{made:?}");
}

#[test]
fn after_a_burst_and_two_crashes_a_command_above_the_rate_claims_the_call() {
    let mut bench = Bench::with_call();
    let burst = |bench: &mut Bench, by| {
        (0..30).filter(|_| bench.ask(by, "GET", "channels/{id}").status() == 200).count()
    };
    burst(&mut bench, FIRST);
    bench.crash(FIRST);
    assert_eq!(burst(&mut bench, SECOND), 5, "what a new owner has of its own");
    bench.connect(FIRST);
    assert!(bench.crash(SECOND).types().contains(&(FIRST, "StasisStart")));
    bench.connect(SECOND);
    assert_eq!(bench.ask(FIRST, "GET", "channels/{id}").status(), 429);
    let made = bench.run(Duration::from_secs(3));
    assert!(!made.types().contains(&(FIRST, "StasisEnd")), "it was heard: {made:?}");
}
