//! A person talks for 24 minutes: the detector of in-band keys hears none.
//!
//! The speech is the prompts that come with Asterisk, all of them, through either law of G.711.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use portkeeper::codecs::dtmf_detect::Detector;
use portkeeper::codecs::g711::Law;
use portkeeper::codecs::tone::Generator;
use portkeeper::codecs::{Digit, FRAME_SAMPLES, SAMPLE_RATE, wav};

use crate::runner::{Test, top};

/// What this file proves.
pub const TESTS: &[Test] = &[("speech::the_prompts_of_asterisk_hold_no_key", no_key_in_speech)];

const SOUNDS: &str = ".peers/forky/root/usr/share/asterisk/sounds/en_US_f_Allison";

/// Where nobody says anything.
const SILENCE: &str = "silence";

fn no_key_in_speech() {
    for law in [Law::Mu, Law::A] {
        let mut tone = [0; 800];
        Generator::dtmf(Digit::from_char('5').expect("a key")).fill(&mut tone);
        assert_eq!(keys(law, &tone), ['5'], "it is no deaf detector");
    }
    let mut files = Vec::new();
    wav_files(&top().join(SOUNDS), &mut files);
    let mut heard = Vec::new();
    let mut samples = 0;
    for file in &files {
        let speech = File::open(file).map(wav::load).expect("a file that was listed");
        let speech = speech.unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        samples += speech.len();
        for law in [Law::Mu, Law::A] {
            heard.extend(keys(law, &speech).into_iter().map(|key| (file, law, key)));
        }
    }
    let minutes = samples as f64 / f64::from(SAMPLE_RATE) / 60.0;
    println!("    {} files, {minutes:.1} minutes", files.len());
    assert_eq!(heard, [], "keys in speech");
    assert!(minutes > 24.0, "the prompts of Asterisk are not all there: {minutes} minutes");
}

/// The keys that are heard in a call with this sound.
fn keys(law: Law, speech: &[i16]) -> Vec<char> {
    let mut detector = Detector::new();
    let mut frame = [0; FRAME_SAMPLES];
    let mut keys = Vec::new();
    for octets in law.encode_all(speech).chunks(FRAME_SAMPLES) {
        let count = law.decode(octets, &mut frame);
        keys.extend(detector.push(&frame[..count]).map(|digit| digit.as_char()));
    }
    keys
}

fn wav_files(folder: &Path, files: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    for entry in entries {
        let path = entry.expect("a folder that was opened").path();
        if path.is_dir() && !path.ends_with(SILENCE) {
            wav_files(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "wav") {
            files.push(path);
        }
    }
}
