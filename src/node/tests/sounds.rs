//! What counts as sound, and what stops it.

use super::*;

/// Twice the silence that is allowed.
const LONG: Duration = Duration::from_secs(20);

/// Whether the call stays with its owner for so long in which the owner says nothing.
fn is_kept(bench: &mut Bench) -> bool {
    let made = bench.run(LONG);
    !made.types().contains(&(FIRST, "StasisEnd"))
}

#[test]
fn a_caller_who_hears_nothing_for_ten_seconds_is_taken_from_his_owner() {
    assert!(!is_kept(&mut Bench::with_call()));
}

#[test]
fn hold_music_that_an_application_asked_for_is_no_silence() {
    let mut bench = Bench::with_call();
    bench.post(FIRST, "channels/{id}/moh");
    assert!(is_kept(&mut bench));
    let made = bench.ask(FIRST, "DELETE", "channels/{id}/moh");
    let [media::Command::Control { id, .. }] = made.media[..] else { panic!("{made:?}") };
    bench.finished(id);
    assert!(!is_kept(&mut bench));
}

#[test]
fn a_caller_whom_his_owner_holds_is_not_left_alone() {
    let mut bench = Bench::with_call();
    bench.post(FIRST, "channels/{id}/hold");
    assert!(is_kept(&mut bench));
    bench.ask(FIRST, "DELETE", "channels/{id}/hold");
    assert!(!is_kept(&mut bench));
}

#[test]
fn a_caller_whose_hold_the_pbx_refused_is_not_left_to_silence() {
    let mut bench = Bench::with_call();
    let made = bench.post(FIRST, "channels/{id}/hold");
    let hold = made.to_pbx("INVITE ").to_owned();
    bench.reply(&hold, "488 Not Acceptable Here");
    assert!(!is_kept(&mut bench));
}

#[test]
fn a_caller_on_his_way_to_somebody_else_is_not_left_alone_until_the_transfer_fails() {
    let mut bench = Bench::with_call();
    let (now, call) = (bench.now, bench.call);
    let by = crate::node::call::Transfer::ByOwner;
    bench.node.transfer(now, call, "2001".to_owned(), by);
    assert!(is_kept(&mut bench));
    bench.node.referred(bench.now, call, 486);
    assert!(!is_kept(&mut bench));
}

#[test]
fn an_application_is_told_which_uri_of_its_list_sounds() {
    let mut bench = Bench::with_call();
    let made = bench.post(FIRST, "channels/{id}/play?media=digits:**,sound:menu,sound:later");
    let [playback] = made.played()[..] else { panic!("{made:?}") };
    assert_eq!((playback.pieces.len(), &playback.parts[..]), (4, &[2, 3][..]));
    let (id, part) = (playback.id, 2);
    let made = bench.media(media::Event::PlaybackContinuing { id, part });
    assert_eq!(made.event("PlaybackContinuing")["playback"]["media_uri"], "sound:later");
}
