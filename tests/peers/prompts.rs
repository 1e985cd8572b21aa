//! Prompts that a test can tell apart: each is a tone of its own frequency.

use std::fs;
use std::path::Path;

use portkeeper::codecs::g711::Law;
use portkeeper::sdp::Codec;
use portkeeper::stage::sound;

/// Name, frequency in Hz, length in milliseconds.
pub const PROMPTS: &[(&str, u32, u32)] = &[
    ("menu", 500, 2_000),
    ("resume", 800, 2_000),
    ("pin", 1_000, 1_500),
    ("wrong", 1_200, 500),
    ("right", 2_200, 500),
    ("hold", 1_400, 2_000),
    ("gateway", 1_600, 2_000),
    ("closed", 1_800, 1_000),
    ("bye", 2_000, 500),
];

/// Frequencies of Asterisk's own tones, extension 5011 and 2001, and of a phone's voice.
pub const OTHERS: &[(&str, u32)] = &[("tone", 440), ("transferred", 660), ("voice", VOICE)];

/// What a phone says, in Hz.
pub const VOICE: u32 = 900;

/// Writes every prompt as 8 kHz, 16 bit, mono.
pub fn write(dir: &Path) {
    fs::create_dir_all(dir).expect("a writable test folder");
    for (name, hz, ms) in PROMPTS {
        write_tone(&dir.join(format!("{name}.wav")), *hz, *ms);
    }
}

/// Writes one tone in the same form.
pub fn write_tone(path: &Path, hz: u32, ms: u32) {
    fs::write(path, wav(&tone(hz, ms * 8))).expect("a writable test folder");
}

fn tone(hz: u32, samples: u32) -> Vec<i16> {
    let step = f64::from(hz) * std::f64::consts::TAU / 8_000.0;
    (0..samples).map(|n| ((f64::from(n) * step).sin() * 8_000.0) as i16).collect()
}

fn wav(samples: &[i16]) -> Vec<u8> {
    let bytes = u32::try_from(samples.len() * 2).expect("short prompts");
    let mut out = Vec::new();
    out.extend(b"RIFF");
    out.extend((36 + bytes).to_le_bytes());
    out.extend(b"WAVEfmt ");
    out.extend(16u32.to_le_bytes());
    out.extend(1u16.to_le_bytes()); // PCM
    out.extend(1u16.to_le_bytes()); // mono
    out.extend(8_000u32.to_le_bytes());
    out.extend(16_000u32.to_le_bytes());
    out.extend(2u16.to_le_bytes());
    out.extend(16u16.to_le_bytes());
    out.extend(b"data");
    out.extend(bytes.to_le_bytes());
    samples.iter().for_each(|s| out.extend(s.to_le_bytes()));
    out
}

/// RTP payload type of mu-law.
pub const PCMU: u8 = 0;
/// RTP payload type of A-law.
pub const PCMA: u8 = 8;

/// The prompt that a frame of G.711 belongs to; `None` for silence and anything else.
pub fn name_of(payload_type: u8, frame: &[u8]) -> Option<&'static str> {
    let linear = if payload_type == PCMA { a_law } else { mu_law };
    name_of_samples(&frame.iter().map(|&b| f64::from(linear(b))).collect::<Vec<_>>())
}

/// The pitch of a frame of G.711 in Hz, if it is a tone.
pub fn pitch(payload_type: u8, frame: &[u8]) -> Option<f64> {
    sound::pitch(if payload_type == PCMA { Codec::Pcma } else { Codec::Pcmu }, frame)
}

/// The pitch of each 20 ms of a WAV file of the same form.
pub fn pitches_in_wav(path: &Path) -> Vec<Option<f64>> {
    let law = |sample: &f64| Law::Mu.encode_sample(*sample as i16);
    let frames = samples_of(path);
    let frames = frames.chunks_exact(160).map(|frame| frame.iter().map(law).collect::<Vec<_>>());
    frames.map(|frame| pitch(PCMU, &frame)).collect()
}

/// The prompts of a WAV file with one channel of 16 bit at 8 kHz, in order, each once per run of
/// frames. The lengths in its header do not count, so it may still be growing.
pub fn in_wav(path: &Path) -> Vec<&'static str> {
    let mut names: Vec<_> =
        samples_of(path).chunks_exact(160).filter_map(name_of_samples).collect();
    names.dedup();
    names
}

fn samples_of(path: &Path) -> Vec<f64> {
    let bytes = fs::read(path).unwrap_or_default();
    let samples = bytes[bytes.len().min(44)..].as_chunks().0.iter();
    samples.map(|&sample| f64::from(i16::from_le_bytes(sample))).collect()
}

fn name_of_samples(samples: &[f64]) -> Option<&'static str> {
    let energy: f64 = samples.iter().map(|s| s * s).sum();
    if energy < 1e4 * samples.len() as f64 {
        return None;
    }
    let known = PROMPTS.iter().map(|(name, hz, _)| (*name, *hz)).chain(OTHERS.iter().copied());
    // A pure tone has nearly all of the energy in its own bin.
    known
        .map(|(name, hz)| (name, power(samples, hz) / (energy * samples.len() as f64 / 2.0)))
        .filter(|(_, share)| *share > 0.7)
        .max_by(|a, b| a.1.total_cmp(&b.1))
        .map(|(name, _)| name)
}

/// Goertzel.
fn power(samples: &[f64], hz: u32) -> f64 {
    let k = 2.0 * (f64::from(hz) * std::f64::consts::TAU / 8_000.0).cos();
    let (mut a, mut b) = (0.0, 0.0);
    for s in samples {
        (a, b) = (s + k * a - b, a);
    }
    a * a + b * b - k * a * b
}

/// G.711 mu-law to linear, by its definition.
fn mu_law(byte: u8) -> i32 {
    let byte = !byte;
    let magnitude = ((i32::from(byte & 0x0F) << 3) + 0x84) << ((byte & 0x70) >> 4);
    if byte & 0x80 == 0 { magnitude - 0x84 } else { 0x84 - magnitude }
}

/// G.711 A-law to linear, by its definition.
fn a_law(byte: u8) -> i32 {
    let byte = byte ^ 0x55;
    let (exponent, mantissa) = (i32::from((byte & 0x70) >> 4), i32::from(byte & 0x0F));
    let magnitude = match exponent {
        0 => (mantissa << 4) + 8,
        _ => ((mantissa << 4) + 0x108) << (exponent - 1),
    };
    if byte & 0x80 == 0 { -magnitude } else { magnitude }
}
