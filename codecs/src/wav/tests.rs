//! Files of every kind, made in memory, and what becomes of them.

use std::io::Cursor;

use super::*;
use hound::{Sample, WavWriter};
use proptest::prelude::*;

fn spec(rate: u32, channels: u16, bits: u16) -> WavSpec {
    let sample_format = SampleFormat::Int;
    WavSpec { channels, sample_rate: rate, bits_per_sample: bits, sample_format }
}

fn float(rate: u32, channels: u16) -> WavSpec {
    WavSpec { sample_format: SampleFormat::Float, ..spec(rate, channels, 32) }
}

fn file<S: Sample>(spec: WavSpec, samples: impl IntoIterator<Item = S>) -> Vec<u8> {
    let mut octets = Cursor::new(Vec::new());
    let mut writer = WavWriter::new(&mut octets, spec).expect("a header");
    for sample in samples {
        writer.write_sample(sample).expect("fits");
    }
    writer.finalize().expect("in memory");
    octets.into_inner()
}

/// One second of a sine; peak 1.
fn sine(rate: u32, hz: f64) -> impl Iterator<Item = f64> {
    (0..rate).map(move |i| (std::f64::consts::TAU * hz * f64::from(i) / f64::from(rate)).sin())
}

fn message(octets: &[u8]) -> String {
    load(octets).expect_err("refused").to_string()
}

/// Root mean square away from the ends.
fn rms(samples: &[i16]) -> f64 {
    let middle = &samples[400..samples.len() - 400];
    (middle.iter().map(|&s| f64::from(s).powi(2)).sum::<f64>() / middle.len() as f64).sqrt()
}

#[test]
fn a_telephone_prompt_comes_out_as_it_went_in() {
    let samples: Vec<i16> = (-32_768..32_768).step_by(7).map(|s| s as i16).collect();
    assert_eq!(load(&file(spec(8_000, 1, 16), samples.clone())[..]).expect("loads"), samples);
}

#[test]
fn every_width_says_the_same() {
    let truth: Vec<i16> = sine(8_000, 440.0).map(|s| (s * 20_000.0) as i16).collect();
    let near = |octets: Vec<u8>, within: u16| {
        let loaded = load(&octets[..]).expect("loads");
        assert_eq!(loaded.len(), truth.len());
        assert!(loaded.iter().zip(&truth).all(|(a, b)| a.abs_diff(*b) <= within));
    };
    near(file(spec(8_000, 1, 8), truth.iter().map(|s| (s >> 8) as i8)), 256);
    near(file(spec(8_000, 1, 24), truth.iter().map(|&s| i32::from(s) << 8)), 0);
    near(file(spec(8_000, 1, 32), truth.iter().map(|&s| i32::from(s) << 16)), 0);
    near(file(float(8_000, 1), truth.iter().map(|&s| f32::from(s) / 32_768.0)), 0);
}

#[test]
fn stereo_is_the_mean_of_both_channels() {
    let samples = [1_000i16, 3_000, -500, 500, 32_767, 32_767];
    let loaded = load(&file(spec(8_000, 2, 16), samples)[..]).expect("loads");
    assert_eq!(loaded, [2_000, 0, 32_767]);
}

#[test]
fn every_common_rate_keeps_length_pitch_phase_and_loudness() {
    for rate in [4_000, 6_000, 11_025, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 96_000] {
        let samples = sine(rate, 1_000.0).map(|s| (s * 16_000.0) as i16);
        let loaded = load(&file(spec(rate, 1, 16), samples)[..]).expect("loads");
        assert_eq!(loaded.len(), 8_000, "{rate}");
        let difference: Vec<i16> = loaded
            .iter()
            .zip(sine(8_000, 1_000.0))
            .map(|(&s, truth)| s - (truth * 16_000.0) as i16)
            .collect();
        assert!(rms(&difference) < 0.005 * rms(&loaded), "{rate}: {}", rms(&difference));
    }
}

#[test]
fn what_the_telephone_cannot_carry_is_cut_and_does_not_fold_back() {
    for hz in [4_400.0, 5_000.0, 7_000.0, 12_000.0, 20_000.0] {
        let samples = sine(44_100, hz).map(|s| (s * 30_000.0) as i16);
        let loaded = load(&file(spec(44_100, 1, 16), samples)[..]).expect("loads");
        assert!(rms(&loaded) < 21.0, "{hz}: {} is over -60 dB", rms(&loaded));
    }
    let samples = sine(44_100, 3_400.0).map(|s| (s * 30_000.0) as i16);
    let loaded = load(&file(spec(44_100, 1, 16), samples)[..]).expect("loads");
    assert!(rms(&loaded) > 0.97 * 30_000.0 / 2f64.sqrt(), "3,400 Hz passes");
}

#[test]
fn too_loud_is_made_quieter_and_not_clipped() {
    let loud = sine(8_000, 500.0).map(|s| (s * 4.0) as f32);
    let loaded = load(&file(float(8_000, 1), loud)[..]).expect("loads");
    assert_eq!(loaded.iter().max(), Some(&32_767));
    assert!((rms(&loaded) - 32_767.0 / 2f64.sqrt()).abs() < 50.0, "still a sine");
    // A square wave overshoots when its upper harmonics are cut.
    let square = sine(48_000, 500.0).map(|s| if s < 0.0 { -32_768 } else { 32_767i16 });
    let loaded = load(&file(spec(48_000, 1, 16), square)[..]).expect("loads");
    let full = loaded.iter().filter(|s| s.unsigned_abs() > 32_760).count();
    assert!(full < 100, "{full} samples at the limit");
}

#[test]
fn one_sample_at_any_rate_is_one_sample_or_a_few() {
    for rate in [4_000, 8_000, 44_101, 192_000] {
        let loaded = load(&file(spec(rate, 1, 16), [9_000i16])[..]).expect("loads");
        assert!((1..=2).contains(&loaded.len()), "{rate}");
    }
}

#[test]
fn a_refusal_says_what_is_wrong_and_what_is_allowed() {
    let empty: [i16; 0] = [];
    assert_eq!(message(&file(spec(8_000, 1, 16), empty)), "has no samples");
    let six = file(spec(8_000, 6, 16), [0i16; 6]);
    assert_eq!(message(&six), "has 6 channels; 1 or 2 are allowed");
    let fast = file(spec(384_000, 1, 16), [0i16]);
    assert_eq!(message(&fast), "has 384000 samples a second; 4000 to 192000 are allowed");
    let nan = file(float(8_000, 1), [f32::NAN]);
    assert_eq!(message(&nan), "has samples that are infinite or not a number");
    assert!(message(b"ID3 an MP3").starts_with("is not a WAV file"), "{}", message(b"ID3 an MP3"));
    assert_eq!(message(b""), "the file ends before the length that its header gives");
}

#[test]
fn mu_law_inside_a_wav_is_refused_with_the_way_to_convert_it() {
    let mut octets = file(spec(8_000, 1, 8), [0i8; 80]);
    octets[20] = 7; // WAVE_FORMAT_MULAW
    assert!(message(&octets).contains("sox FILE -e signed -b 16"), "{}", message(&octets));
}

#[test]
fn a_file_cut_short_is_refused() {
    let octets = file(spec(8_000, 1, 16), [5i16; 800]);
    let told = "the file ends before the length that its header gives";
    assert_eq!(message(&octets[..octets.len() - 1]), told);
    assert_eq!(message(&octets[..100]), told);
    assert_eq!(message(&octets[..20]), told);
}

#[test]
fn an_hour_and_a_second_is_refused_by_its_header_alone() {
    let mut octets = file(spec(8_000, 1, 16), [0i16; 4]);
    let data = octets.len() - 8 - 8;
    assert_eq!(&octets[data..data + 4], b"data");
    octets[data + 4..data + 8].copy_from_slice(&(3_601u32 * 16_000).to_le_bytes());
    assert_eq!(message(&octets), "lasts 3601 seconds; at most 3600 are allowed");
}

proptest! {
    #[test]
    fn a_damaged_file_loads_or_is_refused(
        damage in prop::collection::vec((0..60usize, any::<u8>()), 0..6),
        cut in 0..200usize,
    ) {
        let mut octets = file(spec(16_000, 2, 24), (0..40).map(|i| i * 1_000));
        for (at, octet) in damage {
            octets[at] = octet;
        }
        octets.truncate(cut);
        if let Err(error) = load(&octets[..]) {
            prop_assert!(!error.to_string().is_empty());
        }
    }
}
