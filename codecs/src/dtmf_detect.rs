//! Hears keys in the sound itself, where the far end sends no telephone-events.
//!
//! The sound is cut into blocks of 102 samples. A block is a hit when it is loud enough and two key
//! frequencies, one row and one column, make up much of it. Two hits of one key in a row are a key
//! press, provided that they pass what speech does not:
//!
//! * **Frequency.** A block of 12.75 ms cannot tell 697 Hz from 721 Hz by power. The phase can:
//!   from block to block it turns by exactly what the frequency says, and a deviation of 3.5 %
//!   turns it by two radians at the lowest frequency. The high ones turn past a full circle; the
//!   half blocks, which turn half as far, say how often.
//! * **Purity.** Two sines of the frequencies that were found explain nearly all the energy of both
//!   blocks. A voice has more than two harmonics.
//! * **Steadiness.** Both blocks are equally loud. A voice swells and fades, and a tone too short
//!   to fill two blocks leaves one of them weaker.
//! * **Twist.** The two powers differ by no more than what lines do to them.
//!
//! The filters that every block goes through are cheap and coarse (`spectrum`); the exact fit is
//! for pairs of hits only (`fit`).
//!
//! A key is up after two blocks in a row without it, so that a gap of 10 ms does not make two
//! presses of one and a pause of 40 ms always does.
//!
//! A digit is reported 26 to 38 ms after its tone began. Silence costs one sum of squares.

mod fit;
mod spectrum;

use std::f32::consts::TAU;

use crate::Digit;
use crate::tone::{DTMF_HIGH_HZ, DTMF_LOW_HZ, digit_at};
use fit::{Fit, Pair};
use spectrum::{BLOCK, Line, Spectrum, energy};

/// Mean square below which a block is silence: -40 dBm0, under the quietest key that ITU-T Q.24
/// administrations accept.
const GATE: f32 = 26_000.0;

/// Share of a block's power in the two strongest lines that makes it worth a second look.
const HIT_SHARE: f32 = 0.4;

/// Share of the energy of two blocks that the two sines must explain. Noise at 15 dB leaves 97 %.
const PURITY: f32 = 0.93;

/// Deviation of a frequency up to which it counts: half way between 1.5 %, which must be accepted,
/// and 3.5 %, which must not.
const DEVIATION: f32 = 0.025;

/// Power of column over row: +4 dB and -8 dB must pass; 2 dB more for the noise in the weaker.
const TWIST: std::ops::RangeInclusive<f32> = 0.1..=4.0;

/// Power of the second block over the first: 1.5 dB either way.
const STEADY: std::ops::RangeInclusive<f32> = 0.7..=1.42;

/// Energy of the second block over the first without which the fit cannot find [`STEADY`] powers
/// that make up the [`PURITY`] share of it: spares the fit of a block that is filled in part.
const STEADY_ENOUGH: std::ops::RangeInclusive<f32> = 0.6..=1.65;

/// Power of a block, relative to the key that is down, below which the key is up: -10 dB.
const FADED: f32 = 0.1;

/// Blocks without the key that end it.
const ABSENT_BLOCKS: u8 = 2;

/// Hertz to radians a sample.
const TURN_PER_HZ: f32 = TAU / crate::SAMPLE_RATE as f32;

/// A block that sounds like a key.
#[derive(Clone, Copy, Debug)]
struct Hit {
    row: usize,
    column: usize,
    low: Line,
    high: Line,
    energy: f32,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Quiet,
    /// A key was reported and is still heard, but for the last `absent` blocks.
    Held {
        row: usize,
        column: usize,
        energy: f32,
        absent: u8,
    },
}

/// The detector of one stream.
#[derive(Debug)]
pub struct Detector {
    block: [f32; BLOCK],
    filled: usize,
    /// The block before, for the fit.
    before: [f32; BLOCK],
    last: Option<Hit>,
    state: State,
}

impl Default for Detector {
    fn default() -> Self {
        Self::new()
    }
}

impl Detector {
    /// A detector that has heard nothing.
    pub const fn new() -> Self {
        let silence = [0.0; BLOCK];
        Self { block: silence, filled: 0, before: silence, last: None, state: State::Quiet }
    }

    /// Hears the next samples; returns the key that they confirm.
    ///
    /// Give it a frame at a time, at most 80 ms: more may hold two keys, of which only the first
    /// would be returned.
    pub fn push(&mut self, samples: &[i16]) -> Option<Digit> {
        let mut found = None;
        let mut rest = samples;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(BLOCK - self.filled));
            for (slot, &sample) in self.block[self.filled..].iter_mut().zip(now) {
                *slot = f32::from(sample);
            }
            self.filled += now.len();
            rest = later;
            if self.filled == BLOCK {
                self.filled = 0;
                found = found.or(self.hear_block());
                self.before = self.block;
            }
        }
        found
    }

    /// The key that is down.
    pub fn held(&self) -> Option<Digit> {
        match self.state {
            State::Quiet => None,
            State::Held { row, column, .. } => digit_at(row, column),
        }
    }

    /// Forgets everything, as after a gap in the stream.
    pub fn reset(&mut self) {
        *self = Self::new();
    }

    fn hear_block(&mut self) -> Option<Digit> {
        let hit = Hit::in_block(&self.block);
        let last = std::mem::replace(&mut self.last, hit);
        if let (State::Held { row, column, energy, absent }, Some(hit)) = (&mut self.state, &hit)
            && (*row, *column) == (hit.row, hit.column)
            && hit.energy > *energy * FADED
        {
            *absent = 0;
            return None;
        }
        match (last, hit) {
            (Some(last), Some(hit)) if self.is_key(&last, &hit) => {
                let (row, column) = (hit.row, hit.column);
                self.state = State::Held { row, column, energy: hit.energy, absent: 0 };
                digit_at(row, column)
            }
            _ => {
                self.miss();
                None
            }
        }
    }

    /// Whether two hits in a row are the same two tones, near enough to a key's.
    fn is_key(&self, last: &Hit, hit: &Hit) -> bool {
        if (hit.row, hit.column) != (last.row, last.column) {
            return false;
        }
        if !STEADY_ENOUGH.contains(&(hit.energy / last.energy)) {
            return false;
        }
        let nominal = hit.nominal_hz();
        let coarse = [last.low.deviation_hz(&hit.low), last.high.deviation_hz(&hit.high)];
        let (before, after, exact) = self.fit([0, 1].map(|i| nominal[i] + coarse[i]));
        let near = |i: usize| (exact[i] - nominal[i]).abs() <= nominal[i] * DEVIATION;
        let explained = before.explained + after.explained;
        let power = |i: usize| before.tones[i].power() + after.tones[i].power();
        near(0)
            && near(1)
            && explained >= PURITY * (last.energy + hit.energy)
            && STEADY.contains(&(after.explained / before.explained))
            && TWIST.contains(&(power(1) / power(0)))
    }

    /// Fits both blocks with tones of about `hz`, and tells by their phases what they are exactly.
    fn fit(&self, hz: [f32; 2]) -> (Fit, Fit, [f32; 2]) {
        let pair = Pair::new(hz.map(|hz| hz * TURN_PER_HZ));
        let (before, after) = (pair.fit(&self.before), pair.fit(&self.block));
        let drift = pair.drift(&before, &after);
        (before, after, [0, 1].map(|i| hz[i] + drift[i] / BLOCK as f32 / TURN_PER_HZ))
    }

    fn miss(&mut self) {
        if let State::Held { absent, .. } = &mut self.state {
            *absent += 1;
            if *absent == ABSENT_BLOCKS {
                self.state = State::Quiet;
            }
        }
    }
}

impl Hit {
    fn in_block(block: &[f32; BLOCK]) -> Option<Self> {
        let energy = energy(block);
        if energy < GATE * BLOCK as f32 {
            return None;
        }
        let spectrum = Spectrum::of(block);
        let (lows, highs) = spectrum.power.split_at(4);
        let (row, column) = (strongest(lows), strongest(highs));
        if lows[row] + highs[column] < energy * HIT_SHARE {
            return None;
        }
        let (low, high) = (spectrum.line(row), spectrum.line(4 + column));
        Some(Self { row, column, low, high, energy })
    }

    fn nominal_hz(&self) -> [f32; 2] {
        [f32::from(DTMF_LOW_HZ[self.row]), f32::from(DTMF_HIGH_HZ[self.column])]
    }
}

fn strongest(powers: &[f32]) -> usize {
    let mut best = 0;
    for (i, power) in powers.iter().enumerate() {
        if *power > powers[best] {
            best = i;
        }
    }
    best
}

#[cfg(test)]
mod speech;
#[cfg(test)]
mod tests;
