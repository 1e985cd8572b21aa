//! Loads prompts: WAV of any common kind to 8,000 mono samples a second, once, before any call
//! hears them.
//!
//! Stereo becomes the mean of both channels. Another rate goes through an FFT resampler, which cuts
//! what lies above half the lower rate, so that nothing folds back into the voice. A file that is
//! louder than 16 bits can say is made quieter as a whole, never clipped. A mono file of 16 bits at
//! 8,000 Hz comes out as it went in.
//!
//! The file is read piece by piece and may be refused before it is read: a length in a header costs
//! nothing to write.

mod resample;

use std::fmt;
use std::io::Read;

use hound::{SampleFormat, WavReader, WavSpec};

use crate::SAMPLE_RATE;
use resample::Resampler;

/// Longest prompt. Music on hold loops; nobody listens to an hour.
pub const SECONDS_MAX: u32 = 3_600;

/// Lowest and highest rate.
const RATES: std::ops::RangeInclusive<u32> = 4_000..=192_000;

/// What one step of 16 bits is worth, for formats of more bits and for floats.
const FULL_SCALE: f32 = 32_768.0;

/// Why a prompt was refused. Each says what is allowed; the caller knows the file's name.
#[derive(Debug)]
pub enum Error {
    /// The file cannot be read, or ends before its header says so.
    Read(std::io::Error),
    /// It is no WAV file, or a broken one.
    NotWav(&'static str),
    /// It holds something else than plain samples: mu-law, A-law, ADPCM, MP3.
    Encoding,
    /// Sample width.
    Bits {
        /// Bits a sample.
        bits: u16,
        /// Whether the samples are floating-point numbers.
        float: bool,
    },
    /// Number of channels.
    Channels(u16),
    /// Samples a second.
    Rate(u32),
    /// Longer than [`SECONDS_MAX`]; its length in seconds.
    TooLong(u32),
    /// It has no samples.
    Empty,
    /// A floating-point sample is infinite or not a number.
    NotFinite,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                write!(f, "the file ends before the length that its header gives")
            }
            Self::Read(error) => write!(f, "cannot be read: {error}"),
            Self::NotWav(what) => write!(f, "is not a WAV file, or a broken one: {what}"),
            Self::Encoding => write!(
                f,
                "is compressed (mu-law, A-law, ADPCM, MP3 or alike); {ALLOWED}; \
                 `sox FILE -e signed -b 16 OUT.wav` converts it"
            ),
            Self::Bits { bits, float: true } => write!(f, "has {bits}-bit floats; {ALLOWED}"),
            Self::Bits { bits, float: false } => write!(f, "has {bits}-bit samples; {ALLOWED}"),
            Self::Channels(count) => write!(f, "has {count} channels; 1 or 2 are allowed"),
            Self::Rate(rate) => write!(
                f,
                "has {rate} samples a second; {} to {} are allowed",
                RATES.start(),
                RATES.end()
            ),
            Self::TooLong(seconds) => {
                write!(f, "lasts {seconds} seconds; at most {SECONDS_MAX} are allowed")
            }
            Self::Empty => write!(f, "has no samples"),
            Self::NotFinite => write!(f, "has samples that are infinite or not a number"),
        }
    }
}

const ALLOWED: &str = "PCM of 8, 16, 24 or 32 bits and 32-bit float are allowed";

impl std::error::Error for Error {}

impl From<hound::Error> for Error {
    fn from(error: hound::Error) -> Self {
        match error {
            // How hound reports that `read` came back with fewer octets than it wanted.
            hound::Error::IoError(error) if error.kind() == std::io::ErrorKind::Other => {
                Self::Read(std::io::ErrorKind::UnexpectedEof.into())
            }
            hound::Error::IoError(error) => Self::Read(error),
            hound::Error::FormatError(what) => Self::NotWav(what),
            hound::Error::Unsupported => Self::Encoding,
            hound::Error::TooWide
            | hound::Error::UnfinishedSample
            | hound::Error::InvalidSampleFormat => Self::NotWav("samples do not fit the header"),
        }
    }
}

/// Loads a prompt: linear samples at 8,000 a second.
pub fn load(reader: impl Read) -> Result<Vec<i16>, Error> {
    let mut wav = WavReader::new(reader)?;
    let spec = wav.spec();
    check(spec, wav.duration())?;
    let mut sink = Sink::new(spec, wav.duration());
    match spec.sample_format {
        SampleFormat::Float => wav.samples::<f32>().try_for_each(|s| sink.take(s? * FULL_SCALE))?,
        SampleFormat::Int => {
            let scale = FULL_SCALE / (1u64 << (spec.bits_per_sample - 1)) as f32;
            wav.samples::<i32>().try_for_each(|s| sink.take(s? as f32 * scale))?;
        }
    }
    Ok(quiet_enough(sink.finish()))
}

fn check(spec: WavSpec, duration: u32) -> Result<(), Error> {
    let (bits, float) = (spec.bits_per_sample, spec.sample_format == SampleFormat::Float);
    if !RATES.contains(&spec.sample_rate) {
        return Err(Error::Rate(spec.sample_rate));
    }
    if !matches!(spec.channels, 1 | 2) {
        return Err(Error::Channels(spec.channels));
    }
    if !matches!((bits, float), (8 | 16 | 24 | 32, false) | (32, true)) {
        return Err(Error::Bits { bits, float });
    }
    let seconds = duration.div_ceil(spec.sample_rate);
    if seconds > SECONDS_MAX {
        return Err(Error::TooLong(seconds));
    }
    if duration == 0 {
        return Err(Error::Empty);
    }
    Ok(())
}

/// Takes interleaved samples in units of 16 bits, mixes them down and resamples them.
struct Sink {
    left: Option<f32>,
    stereo: bool,
    resampler: Option<Resampler>,
    samples: Vec<f32>,
}

impl Sink {
    fn new(spec: WavSpec, duration: u32) -> Self {
        let other_rate = spec.sample_rate != SAMPLE_RATE;
        Self {
            left: None,
            stereo: spec.channels == 2,
            resampler: other_rate.then(|| Resampler::new(spec.sample_rate, duration)),
            samples: Vec::new(),
        }
    }

    fn take(&mut self, sample: f32) -> Result<(), Error> {
        if !sample.is_finite() {
            return Err(Error::NotFinite);
        }
        if !self.stereo {
            self.mono(sample);
        } else if let Some(left) = self.left.take() {
            self.mono(f32::midpoint(left, sample));
        } else {
            self.left = Some(sample);
        }
        Ok(())
    }

    fn mono(&mut self, sample: f32) {
        match &mut self.resampler {
            Some(resampler) => resampler.take(sample, &mut self.samples),
            None => self.samples.push(sample),
        }
    }

    fn finish(mut self) -> Vec<f32> {
        if let Some(resampler) = self.resampler {
            resampler.finish(&mut self.samples);
        }
        self.samples
    }
}

/// To 16 bits; the whole made quieter when its peak would not fit.
fn quiet_enough(samples: Vec<f32>) -> Vec<i16> {
    let ceiling = f32::from(i16::MAX);
    let peak = samples.iter().fold(0.0, |peak: f32, &s| peak.max(s.max(-s - 1.0)));
    let gain = if peak.round() > ceiling { ceiling / peak } else { 1.0 };
    samples.into_iter().map(|s| (s * gain).round() as i16).collect()
}

#[cfg(test)]
mod tests;
