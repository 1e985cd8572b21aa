//! `builtin:announce`: prompts, so often, then the release or a transfer, without any instance.

use super::*;

fn port(then: &str) -> Bench {
    let announce = format!(
        "[announce]\nprompts = [\"sorry\", \"later\"]\nrepeats = 2\nthen = \"{then}\"\n\
         [applications.main]\n"
    );
    Bench::with(&config("[\"builtin:announce\"]", &announce))
}

/// The announcement of a call that has just come.
fn announced(bench: &mut Bench) -> MediaId {
    let made = bench.arrive();
    let [play] = made.played()[..] else { panic!("{made:?}") };
    assert_eq!((play.pieces.len(), play.repeat), (4, false), "two prompts, twice");
    let id = play.id;
    made.to_pbx("SIP/2.0 200");
    id
}

#[test]
fn an_announce_port_answers_plays_its_prompts_so_often_and_hangs_up() {
    let mut bench = port("release");
    let id = announced(&mut bench);
    assert_eq!(bench.run(Duration::from_secs(30)).lines(), [""; 0], "as long as it plays");
    assert!(bench.finished(id).to_pbx("BYE ").contains("cause=41"));
}

#[test]
fn an_announce_port_can_pass_its_caller_on_and_releases_him_when_that_fails() {
    let mut bench = port("refer:2001");
    let id = announced(&mut bench);
    let made = bench.finished(id);
    let refer = made.to_pbx("REFER ").to_owned();
    assert!(pbx::header(&refer, "Refer-To")[0].contains("2001"), "{refer}");
    bench.reply(&refer, "603 Decline").to_pbx("BYE ");
}

#[test]
fn an_announcement_without_its_prompts_does_at_once_what_comes_after_it() {
    let missing = "[announce]\nprompts = [\"missing\"]\n[applications.main]\n";
    let mut bench = Bench::with(&config("[\"builtin:announce\"]", missing));
    let made = bench.arrive();
    assert_eq!(made.played().len(), 0);
    assert!(!bench.node.alarms(bench.now).is_empty(), "an operator is told");
    made.to_pbx("SIP/2.0 503");
}

#[test]
fn an_announcement_without_its_prompts_still_passes_its_caller_on() {
    let missing =
        "[announce]\nprompts = [\"missing\"]\nthen = \"refer:2001\"\n[applications.main]\n";
    let mut bench = Bench::with(&config("[\"builtin:announce\"]", missing));
    let made = bench.arrive();
    made.to_pbx("SIP/2.0 200");
    assert!(pbx::header(made.to_pbx("REFER "), "Refer-To")[0].contains("2001"));
}

#[test]
fn the_announcement_takes_a_live_call_over_when_its_last_instance_dies() {
    let rest = "[announce]\nprompts = [\"sorry\"]\n[applications.main]\n";
    let mut bench = Bench::with(&config("[\"main\", \"builtin:announce\"]", rest)).in_call();
    bench.crash(SECOND);
    let made = bench.crash(FIRST);
    assert_eq!((made.played().len(), made.lines().len()), (1, 0));
    assert!(made.played()[0].replace);
}

#[test]
fn the_last_words_of_one_call_are_not_taken_for_those_of_the_next() {
    let mut bench = port("release");
    let id = announced(&mut bench);
    let first = bench.call;
    bench.caller_hangs_up();
    assert_eq!(announced(&mut bench), id, "names of media repeat from call to call");
    let stopped = media::Event::PlaybackFinished { id, end: PlaybackEnd::Stopped, position_ms: 80 };
    for event in [media::Event::OpenFailed, stopped] {
        let made = bench.media_of(first, event);
        assert_eq!((made.media.len(), made.sip.len()), (0, 0), "{made:?}");
    }
    bench.finished(id).to_pbx("BYE ");
}
