//! The prompts that come with the gateway: complete, loadable, and free of key tones.

#![expect(clippy::disallowed_methods, reason = "reads the fixtures")]

use std::path::Path;

use portkeeper_codecs::dtmf_detect::Detector;
use portkeeper_codecs::{FRAME_SAMPLES, wav};

fn load(name: &str) -> Vec<i16> {
    let prompts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/prompts/en");
    let octets = std::fs::read(prompts.join(format!("{name}.wav"))).expect(name);
    wav::load(&octets[..]).expect(name)
}

fn names() -> Vec<String> {
    let words = ["hundred", "thousand", "million", "star", "pound", "minus", "point"];
    let numbers = (0..=20).chain((30..=90).step_by(10)).map(|n| n.to_string());
    let spoken = numbers.chain(words.map(str::to_owned)).map(|word| format!("digits/{word}"));
    let sentences = "welcome hello-world demo-congrats menu enter-pin pin right wrong invalid \
                     resume transfer please-hold please-try-again-later vm-goodbye beep moh";
    spoken.chain(sentences.split_whitespace().map(str::to_owned)).collect()
}

#[test]
fn every_prompt_sounds_and_none_is_too_loud() {
    for name in names() {
        let samples = load(&name);
        let peak = samples.iter().map(|s| s.unsigned_abs()).max().unwrap_or(0);
        assert!((5_000..25_000).contains(&peak), "{name}: {peak}");
        assert!((1_500..70_000).contains(&samples.len()), "{name}: {} samples", samples.len());
    }
}

#[test]
fn no_prompt_holds_a_key_that_its_echo_would_press() {
    for name in names() {
        let mut detector = Detector::new();
        let heard = load(&name).chunks(FRAME_SAMPLES).filter_map(|f| detector.push(f)).count();
        assert_eq!(heard, 0, "{name}");
    }
}

#[test]
fn silence_is_as_long_as_its_name_says() {
    for seconds in 1..=3 {
        assert_eq!(load(&format!("silence/{seconds}")), vec![0; seconds * 8_000]);
    }
}

#[test]
fn hold_music_loops_without_a_seam() {
    let music = load("moh");
    let step = |a: i16, b: i16| a.abs_diff(b);
    let steepest = music.windows(2).map(|w| step(w[0], w[1])).max().unwrap_or(0);
    assert_eq!(music.len(), 64_000);
    assert!(step(music[music.len() - 1], music[0]) <= steepest / 2);
}
