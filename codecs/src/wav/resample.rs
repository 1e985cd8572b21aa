//! From the rate of a file to that of the telephone, piece by piece.

use rubato::audioadapter_buffers::owned::InterleavedOwned;
use rubato::{Fft, FixedSync, Resampler as _};

use crate::SAMPLE_RATE;

/// Fewest samples of the file that are resampled together. One transform takes them all, as its
/// length makes the filter steep.
const CHUNK_MIN: usize = 2_048;

/// Resamples one channel.
pub(super) struct Resampler {
    fft: Fft<f32>,
    chunk: Vec<f32>,
    chunk_len: usize,
    /// Samples at the beginning that are the filter's delay.
    delay: usize,
    /// Samples that the whole file amounts to.
    wanted: usize,
}

impl Resampler {
    /// For a file of `duration` samples at `rate`, which [`super::check`] has accepted.
    pub(super) fn new(rate: u32, duration: u32) -> Self {
        let window = rubato::WindowFunction::BlackmanHarris2;
        let (from, to) = (rate as usize, SAMPLE_RATE as usize);
        let fft = Fft::new_custom(from, to, chunk_for(from), 1, 1, window, FixedSync::Both)
            .expect("fails only for a rate or a chunk of zero");
        let wanted = (u64::from(duration) * u64::from(SAMPLE_RATE)).div_ceil(u64::from(rate));
        let chunk_len = fft.input_frames_next();
        Self {
            chunk: Vec::with_capacity(chunk_len),
            chunk_len,
            delay: fft.output_delay(),
            // At most an hour at 8,000 Hz.
            wanted: wanted as usize,
            fft,
        }
    }

    /// Takes a sample of the file; now and then, adds a piece to `out`.
    pub(super) fn take(&mut self, sample: f32, out: &mut Vec<f32>) {
        self.chunk.push(sample);
        if self.chunk.len() == self.chunk_len {
            self.turn(out);
        }
    }

    /// Adds what is still inside to `out`, and takes the delay away from its beginning.
    pub(super) fn finish(mut self, out: &mut Vec<f32>) {
        while out.len() < self.delay + self.wanted {
            self.chunk.resize(self.chunk_len, 0.0);
            self.turn(out);
        }
        out.drain(..self.delay);
        out.truncate(self.wanted);
    }

    fn turn(&mut self, out: &mut Vec<f32>) {
        let chunk = std::mem::take(&mut self.chunk);
        let length = chunk.len();
        let input = InterleavedOwned::new_from(chunk, 1, length).expect("one channel, its length");
        let output = self.fft.process(&input, None).expect("as many samples as it asks for");
        out.extend(output.take_data());
        self.chunk = input.take_data();
        self.chunk.clear();
    }
}

/// An even number of the smallest blocks that are whole at both rates: half a chunk is the filter's
/// delay, which must be whole too, or all samples would lie half a step beside their place.
fn chunk_for(rate: usize) -> usize {
    let pair = 2 * rate / greatest_common_divisor(rate, SAMPLE_RATE as usize);
    CHUNK_MIN.div_ceil(pair) * pair
}

fn greatest_common_divisor(a: usize, b: usize) -> usize {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}
