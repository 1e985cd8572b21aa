//! The prompts of a play, embedded in the program, and what the callers heard, as WAV files.

use std::f64::consts::TAU;
use std::io;
use std::path::Path;

use crate::codecs::g711::Law;
use crate::sdp::Codec;

/// Name below the directory of prompts, and the file.
macro_rules! embedded {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_bytes!(concat!("../../fixtures/prompts/en/", $name, ".wav")))),*]
    };
}

const PROMPTS: &[(&str, &[u8])] = embedded!(
    "menu", "digits/0", "digits/1", "digits/2", "digits/3", "digits/4", "digits/5", "digits/6",
    "digits/7", "digits/8", "digits/9",
);

const SAMPLE_RATE: u32 = 8_000;

/// Writes the prompts that the play's applications use.
#[expect(clippy::disallowed_methods, reason = "a face that writes files")]
pub fn write_prompts(directory: &Path) -> io::Result<()> {
    for (name, bytes) in PROMPTS {
        let path = directory.join(format!("{name}.wav"));
        std::fs::create_dir_all(path.parent().unwrap_or(directory))?;
        std::fs::write(path, bytes)?;
    }
    Ok(())
}

/// Writes what a caller heard.
pub fn write_wav(path: &Path, codec: Codec, sound: &[u8]) -> io::Result<()> {
    let law = law(codec);
    write_samples(path, sound.iter().map(|&octet| law.decode_sample(octet)))
}

/// Writes a tone.
pub fn write_tone(path: &Path, hz: u32, milliseconds: u32) -> io::Result<()> {
    let step = f64::from(hz) * TAU / f64::from(SAMPLE_RATE);
    let samples = 0..milliseconds * SAMPLE_RATE / 1_000;
    write_samples(path, samples.map(|n| ((f64::from(n) * step).sin() * 8_000.0) as i16))
}

/// Pitch of a rising tone at its beginning, and what it rises in a second.
const RISES_FROM: f64 = 400.0;
const RISES_BY: f64 = 50.0;
/// Length of a rising tone in seconds.
const RISES_FOR: u32 = 60;

/// Writes a tone that rises all the time, so that its pitch tells where one is in it.
pub fn write_rising(path: &Path) -> io::Result<()> {
    let samples = 0..RISES_FOR * SAMPLE_RATE;
    let turns = |seconds: f64| RISES_FROM * seconds + RISES_BY / 2.0 * seconds * seconds;
    let sample = |n: u32| (turns(f64::from(n) / f64::from(SAMPLE_RATE)) * TAU).sin() * 8_000.0;
    write_samples(path, samples.map(|n| sample(n) as i16))
}

/// Where in a rising tone a pitch is heard.
pub fn position(hz: f64) -> f64 {
    (hz - RISES_FROM) / RISES_BY
}

/// The pitch of a packet's sound in Hz, if it is a tone (Prony's method for one tone: of three
/// samples in a row the outer two sum up to the middle one times twice the cosine of the angle).
pub fn pitch(codec: Codec, packet: &[u8]) -> Option<f64> {
    let law = law(codec);
    let samples: Vec<f64> =
        packet.iter().map(|&octet| f64::from(law.decode_sample(octet))).collect();
    let (mut product, mut energy) = (0.0, 0.0);
    for three in samples.windows(3) {
        product += three[1] * (three[0] + three[2]);
        energy += three[1] * three[1];
    }
    let is_loud = energy > 1e6 * samples.len() as f64;
    let cosine = product / (2.0 * energy);
    (is_loud && cosine.abs() < 1.0).then(|| cosine.acos() / TAU * f64::from(SAMPLE_RATE))
}

/// Whether a packet's sound is a tone of this frequency (Goertzel's algorithm).
pub fn carries(codec: Codec, packet: &[u8], hz: u32) -> bool {
    let law = law(codec);
    let turn = 2.0 * (f64::from(hz) * TAU / f64::from(SAMPLE_RATE)).cos();
    let (mut a, mut b, mut energy) = (0.0, 0.0, 0.0);
    for &octet in packet {
        let sample = f64::from(law.decode_sample(octet));
        energy += sample * sample;
        (a, b) = (sample + turn * a - b, a);
    }
    let samples = packet.len() as f64;
    // A pure tone gives half of this; 100 squared is far below any prompt.
    energy > 1e4 * samples && a * a + b * b - turn * a * b > 0.45 * energy * samples
}

const fn law(codec: Codec) -> Law {
    match codec {
        Codec::Pcmu => Law::Mu,
        Codec::Pcma => Law::A,
    }
}

fn write_samples(path: &Path, samples: impl Iterator<Item = i16>) -> io::Result<()> {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: SAMPLE_RATE,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(path, spec).map_err(io::Error::other)?;
    for sample in samples {
        writer.write_sample(sample).map_err(io::Error::other)?;
    }
    writer.finalize().map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pitch_of_a_rising_tone_tells_where_one_is_in_it() {
        let directory = tempfile::tempdir().expect("a folder");
        let path = directory.path().join("rising.wav");
        write_rising(&path).expect("written");
        let mut reader = hound::WavReader::open(&path).expect("readable");
        let sound: Vec<u8> = reader
            .samples::<i16>()
            .map(|sample| Law::A.encode_sample(sample.expect("a sample")))
            .collect();
        for (n, packet) in sound.chunks(160).enumerate() {
            let at = n as f64 * 0.02 + 0.01;
            let heard = position(pitch(Codec::Pcma, packet).expect("a tone"));
            assert!((heard - at).abs() < 0.04, "{heard} at {at} s");
        }
        assert_eq!(pitch(Codec::Pcmu, &[0xff; 160]), None);
        assert_eq!(pitch(Codec::Pcmu, &[]), None);
    }

    #[test]
    fn a_tone_is_told_from_another_and_from_silence() {
        let directory = tempfile::tempdir().expect("a folder");
        let path = directory.path().join("tone.wav");
        write_tone(&path, 800, 40).expect("written");
        let mut reader = hound::WavReader::open(&path).expect("readable");
        let sound: Vec<u8> = reader
            .samples::<i16>()
            .map(|sample| Law::Mu.encode_sample(sample.expect("a sample")))
            .collect();
        assert_eq!(sound.len(), 320);
        assert!(sound.chunks(160).all(|packet| carries(Codec::Pcmu, packet, 800)));
        assert!(!sound.chunks(160).any(|packet| carries(Codec::Pcmu, packet, 500)));
        assert!(!carries(Codec::Pcmu, &[0xff; 160], 800));
        assert!(!carries(Codec::Pcmu, &[], 800));
    }
}
