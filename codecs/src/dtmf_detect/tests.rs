//! The matrix of what must be heard and what must not.

use super::speech::{Chance, Speaker};
use super::*;
use crate::FRAME_SAMPLES;
use crate::g711::Law;
use crate::tone::{Generator, position_of};

/// Power of a sine at 0 dBm0 in mu-law (ITU-T G.711 table 5: the law ends at +3.17 dBm0).
const DBM0: f64 = 32_124.0 * 32_124.0 / 2.0 / 2.075;

/// How keys are sent.
#[derive(Clone, Copy)]
struct Line {
    on_ms: usize,
    off_ms: usize,
    /// Of both tones together, dBm0.
    level: f64,
    /// Column over row, dB.
    twist: f64,
    /// Tones over noise, dB; the noise goes on in the pauses.
    snr: f64,
    /// Deviation of row and column, as a ratio.
    off: (f64, f64),
}

const GOOD: Line =
    Line { on_ms: 40, off_ms: 40, level: -10.0, twist: 2.0, snr: 60.0, off: (0.0, 0.0) };

fn peak(dbm0: f64) -> f64 {
    (2.0 * DBM0 * 10f64.powf(dbm0 / 10.0)).sqrt()
}

impl Line {
    /// Peaks of row and column that give the level and the twist.
    fn peaks(&self) -> (f64, f64) {
        let ratio = 10f64.powf(self.twist / 10.0);
        let low = self.level - 10.0 * (1.0 + ratio).log10();
        (peak(low), peak(low + self.twist))
    }

    /// The keys, each begun at another point of block and phase, through mu-law.
    fn send(&self, keys: &str, chance: &mut Chance) -> Vec<i16> {
        let noise = (DBM0 * 10f64.powf((self.level - self.snr) / 10.0)).sqrt() as f32;
        let mut samples = vec![0; 400 + chance.below(BLOCK)];
        for key in keys.chars() {
            let from = samples.len() + self.off_ms * 8;
            samples.resize(from + self.on_ms * 8, 0);
            self.generator(key).fill(&mut samples[from..]);
        }
        samples.resize(samples.len() + 400, 0);
        for sample in &mut samples {
            let noisy = f32::from(*sample) + chance.normal() * noise;
            *sample = Law::Mu.decode_sample(Law::Mu.encode_sample(noisy as i16));
        }
        samples
    }

    fn generator(&self, key: char) -> Generator {
        let (row, column) = position_of(Digit::from_char(key).expect("a key"));
        let (low, high) = self.peaks();
        Generator::new(
            (f64::from(DTMF_LOW_HZ[row]) * (1.0 + self.off.0), low),
            (f64::from(DTMF_HIGH_HZ[column]) * (1.0 + self.off.1), high),
        )
    }

    /// What is heard of all keys, sent `rounds` times.
    fn heard(&self, rounds: u64) -> Vec<String> {
        (0..rounds).map(|seed| hear(&self.send(ALL, &mut Chance::new(seed)))).collect()
    }

    fn misses(&self, rounds: u64) -> usize {
        self.heard(rounds).iter().filter(|keys| *keys != ALL).count()
    }
}

const ALL: &str = "1234567890*#ABCD";

fn hear(samples: &[i16]) -> String {
    let mut detector = Detector::new();
    samples.chunks(FRAME_SAMPLES).filter_map(|f| detector.push(f)).map(Digit::as_char).collect()
}

#[test]
fn keys_of_40_ms_and_pauses_of_40_ms_are_all_heard() {
    assert_eq!(GOOD.misses(100), 0);
}

#[test]
fn a_signal_to_noise_ratio_of_15_db_loses_no_key() {
    assert_eq!(Line { snr: 15.0, ..GOOD }.misses(100), 0);
}

#[test]
fn twist_from_minus_8_to_plus_4_db_loses_no_key() {
    for twist in [-8.0, -4.0, 0.0, 4.0] {
        assert_eq!(Line { twist, snr: 15.0, ..GOOD }.misses(50), 0, "{twist}");
    }
}

#[test]
fn frequencies_off_by_1_5_percent_are_accepted() {
    for off in [(0.015, 0.015), (-0.015, -0.015), (0.015, -0.015), (-0.015, 0.015)] {
        assert_eq!(Line { off, snr: 15.0, ..GOOD }.misses(50), 0, "{off:?}");
    }
}

#[test]
fn worst_twist_deviation_and_noise_together_lose_no_key() {
    for twist in [-8.0, 4.0] {
        for off in [(0.015, 0.015), (-0.015, -0.015), (0.015, -0.015), (-0.015, 0.015)] {
            let misses = Line { off, twist, snr: 15.0, ..GOOD }.misses(20);
            assert_eq!(misses, 0, "{twist} {off:?}");
        }
    }
}

#[test]
fn frequencies_off_by_3_5_percent_are_rejected() {
    let sides = [-0.035, 0.0, 0.035];
    for off in sides.iter().flat_map(|&low| sides.map(|high| (low, high))) {
        for twist in [-8.0, 0.0, 4.0] {
            for on_ms in [40, 500] {
                let heard = Line { off, twist, on_ms, ..GOOD }.heard(10).concat();
                if off != (0.0, 0.0) {
                    assert_eq!(heard, "", "{off:?} {twist} {on_ms}");
                }
            }
        }
    }
}

#[test]
fn fifty_presses_of_one_key_are_fifty_digits() {
    for key in ALL.chars() {
        let keys = key.to_string().repeat(50);
        let samples = Line { snr: 15.0, ..GOOD }.send(&keys, &mut Chance::new(7));
        assert_eq!(hear(&samples), keys);
    }
}

#[test]
fn levels_from_minus_33_to_plus_3_dbm0_are_heard() {
    for level in [-33.0, -25.0, -3.0, 0.0, 3.0] {
        assert_eq!(Line { level, snr: 20.0, ..GOOD }.misses(20), 0, "{level}");
    }
}

#[test]
fn keys_below_the_gate_and_silence_are_not_heard() {
    let heard = Line { level: -45.0, ..GOOD }.heard(5).concat();
    assert_eq!(heard, "");
    assert_eq!(hear(&[0; 8_000]), "");
}

#[test]
fn tones_of_18_ms_are_too_short() {
    assert_eq!(Line { on_ms: 18, ..GOOD }.heard(100).concat(), "");
}

#[test]
fn a_gap_of_10_ms_in_a_long_press_does_not_make_two() {
    for key in ALL.chars() {
        for offset in 0..BLOCK {
            let mut samples = vec![0; offset];
            samples.resize(offset + 3_200, 0);
            GOOD.generator(key).fill(&mut samples[offset..]);
            samples[1_600..1_680].fill(0);
            assert_eq!(hear(&samples), key.to_string(), "{offset}");
        }
    }
}

#[test]
fn a_long_press_in_noise_is_one_digit() {
    for seed in 0..10 {
        let line = Line { on_ms: 5_000, snr: 15.0, ..GOOD };
        assert_eq!(hear(&line.send(ALL, &mut Chance::new(seed))), ALL);
    }
}

#[test]
fn a_key_is_reported_within_38_ms_of_its_beginning() {
    for offset in 0..BLOCK {
        let mut samples = vec![0; offset + 400];
        GOOD.generator('5').fill(&mut samples[offset..]);
        let mut detector = Detector::new();
        let reported = samples.iter().position(|&s| detector.push(&[s]).is_some());
        assert!(reported.expect("heard") - offset < 38 * 8 + 8, "{offset}: {reported:?}");
        assert_eq!(detector.held(), Digit::from_char('5'));
    }
}

#[test]
fn steady_dual_tones_that_are_no_key_are_not_heard() {
    // Dial, ring, busy and special information tones, and neighbours of keys.
    for (low, high) in [
        (350.0, 440.0),
        (440.0, 480.0),
        (480.0, 620.0),
        (950.0, 1_400.0),
        (697.0, 852.0),
        (1_209.0, 1_477.0),
        (733.0, 1_336.0),
        (941.0, 1_270.0),
        (1_100.0, 0.0),
        (2_100.0, 0.0),
        (941.0, 0.0),
    ] {
        let mut samples = [0; 16_000];
        Generator::new((low, 6_000.0), (high, 6_000.0)).fill(&mut samples);
        assert_eq!(hear(&samples), "", "{low} {high}");
    }
}

#[test]
fn an_hour_of_talk_holds_no_key() {
    let mut heard = Vec::new();
    let mut samples = [0; FRAME_SAMPLES];
    for seed in 0..60 {
        let (mut speaker, mut detector) = (Speaker::new(seed), Detector::new());
        for _ in 0..60 * 50 {
            speaker.say(&mut samples);
            heard.extend(detector.push(&samples).map(|digit| (seed, digit.as_char())));
        }
    }
    assert_eq!(heard, []);
}
