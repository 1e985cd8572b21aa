//! The prompts of a play, embedded in the program, and what the callers heard, as WAV files.

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
    let law = match codec {
        Codec::Pcmu => Law::Mu,
        Codec::Pcma => Law::A,
    };
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: SAMPLE_RATE,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(path, spec).map_err(io::Error::other)?;
    for &octet in sound {
        writer.write_sample(law.decode_sample(octet)).map_err(io::Error::other)?;
    }
    writer.finalize().map_err(io::Error::other)
}
