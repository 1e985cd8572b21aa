//! Cost of the in-band key detector for a 20 ms frame of mu-law, decoding included.
//!
//! Silence is what most frames are, talk is what every block's filters run on, a key adds the fit.
//! The floor decodes the frame and adds up its energy.

#[path = "../../benches/surroundings/mod.rs"]
mod surroundings;

use std::hint::black_box;

use criterion::{Criterion, criterion_group};
use portkeeper_codecs::dtmf_detect::Detector;
use portkeeper_codecs::g711::Law;
use portkeeper_codecs::tone::Generator;
use portkeeper_codecs::{Digit, FRAME_SAMPLES};

/// Frames of each input: a second.
const FRAMES: usize = 50;

fn mu_law(samples: &[i16]) -> Vec<u8> {
    let mut octets = vec![0; samples.len()];
    Law::Mu.encode(samples, &mut octets);
    octets
}

/// A harmonic sound with noise: loud, and no key.
fn talk() -> Vec<u8> {
    let mut noise = 1u32;
    let samples: Vec<i16> = (0..FRAMES * FRAME_SAMPLES)
        .map(|i| {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let voice: f64 = (1..20).map(|k| (i as f64 * 0.11 * f64::from(k)).sin()).sum();
            (voice * 900.0) as i16 + ((noise >> 20) as i16 - 2_048) / 4
        })
        .collect();
    mu_law(&samples)
}

/// 40 ms of a key, 40 ms of nothing.
fn keys() -> Vec<u8> {
    let mut samples = vec![0; FRAMES * FRAME_SAMPLES];
    for (i, key) in samples.chunks_mut(4 * FRAME_SAMPLES).enumerate() {
        if let Some(digit) = Digit::from_event((i % 16) as u8) {
            Generator::dtmf(digit).fill(&mut key[..2 * FRAME_SAMPLES]);
        }
    }
    mu_law(&samples)
}

fn floor(c: &mut Criterion) {
    let octets = talk();
    let mut frames = octets.chunks_exact(FRAME_SAMPLES).cycle();
    c.bench_function("dtmf floor, 20 ms", |b| {
        b.iter(|| {
            let mut samples = [0_i16; FRAME_SAMPLES];
            Law::Mu.decode(black_box(frames.next().unwrap_or_default()), &mut samples);
            samples.iter().map(|&sample| i64::from(sample).pow(2)).sum::<i64>()
        });
    });
}

fn dtmf(c: &mut Criterion) {
    let silence = vec![Law::Mu.silence(); FRAMES * FRAME_SAMPLES];
    for (name, octets) in [("silence", silence), ("talk", talk()), ("keys", keys())] {
        let mut detector = Detector::new();
        let mut frames = octets.chunks_exact(FRAME_SAMPLES).cycle();
        c.bench_function(&format!("dtmf detect {name}, 20 ms"), |b| {
            b.iter(|| {
                let mut samples = [0; FRAME_SAMPLES];
                Law::Mu.decode(black_box(frames.next().unwrap_or_default()), &mut samples);
                detector.push(&samples)
            });
        });
    }
}

criterion_group!(benches, floor, dtmf);
fn main() {
    let floor = "dtmf floor, 20 ms";
    let over = ["silence", "talk", "keys"].map(|name| format!("dtmf detect {name}, 20 ms"));
    surroundings::told(&[benches], &over.each_ref().map(|name| (name.as_str(), floor)));
}
