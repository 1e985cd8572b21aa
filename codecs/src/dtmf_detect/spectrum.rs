//! Eight Goertzel filters over one block: how much of each key frequency it holds, and in which
//! phase.
//!
//! A Goertzel filter is a chain in which each sample waits for the one before, so the block runs as
//! two halves side by side: twice the work in flight, half the wait. The inner loops are over the
//! eight frequencies, which the compiler makes into vector instructions. The halves are also wanted
//! for themselves: their phases tell frequencies apart that are equal over the whole block.

use std::f32::consts::TAU;

use crate::SAMPLE_RATE;

/// Samples of a block, 12.75 ms: a tone of 40 ms holds two whole blocks wherever they begin.
pub(super) const BLOCK: usize = 102;

/// Samples of half a block.
pub(super) const HALF: usize = BLOCK / 2;

/// One value for each frequency: four rows, then four columns.
pub(super) type Lanes = [f32; 8];

/// Cosine of one sample's turn of each frequency.
const COS: Lanes =
    [0.8538689, 0.82264054, 0.7843435, 0.7391023, 0.582052, 0.4981851, 0.3993092, 0.28426635];
/// Sine of the same.
const SIN: Lanes =
    [0.52048814, 0.56856185, 0.62032676, 0.6735932, 0.81315154, 0.8670707, 0.9168163, 0.95874536];
/// Cosine of half a block's turn.
const HALF_COS: Lanes =
    [-0.9373732, 0.84009355, -0.9087997, 0.999975, -0.26463053, -0.9943008, -0.8635276, -0.8455881];
/// Sine of the same.
const HALF_SIN: Lanes = [
    0.34832665,
    -0.54244155,
    0.41723272,
    -0.0070685246,
    -0.96434987,
    -0.106611155,
    0.50430155,
    0.5338359,
];

/// A complex number.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Complex {
    pub(super) re: f32,
    pub(super) im: f32,
}

impl Complex {
    /// The turn by `angle` radians.
    pub(super) fn unit(angle: f32) -> Self {
        let (im, re) = angle.sin_cos();
        Self { re, im }
    }

    /// `self` turned by the angle of `turn`.
    pub(super) fn turned_on(self, turn: Self) -> Self {
        Self {
            re: self.re * turn.re - self.im * turn.im,
            im: self.re * turn.im + self.im * turn.re,
        }
    }

    /// `self` times the conjugate of `other`: its angle is that from `other` to `self`.
    pub(super) fn turn_from(self, other: Self) -> Self {
        Self {
            re: self.re * other.re + self.im * other.im,
            im: self.im * other.re - self.re * other.im,
        }
    }

    /// Turned back by the angle whose cosine and sine are given.
    pub(super) fn turned_back(self, cos: f32, sin: f32) -> Self {
        self.turn_from(Self { re: cos, im: sin })
    }

    pub(super) fn plus(self, other: Self) -> Self {
        Self { re: self.re + other.re, im: self.im + other.im }
    }

    pub(super) fn power(self) -> f32 {
        self.re * self.re + self.im * self.im
    }

    pub(super) fn angle(self) -> f32 {
        self.im.atan2(self.re)
    }
}

/// What one frequency amounts to in a block.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    lane: usize,
    /// Amplitude and phase at the end of the block, in units of half a block's length.
    whole: Complex,
    /// How the phase turned from the first half to the second, beyond what the frequency turns;
    /// weighted with the power.
    drift: Complex,
}

impl Line {
    /// How far the frequency is off in hertz, by the turn of the phase from this block to the next.
    ///
    /// The halves turn half as far: coarse, but unambiguous up to 78 Hz.
    pub(super) fn deviation_hz(&self, next: &Self) -> f32 {
        let (cos, sin) = (HALF_COS[self.lane], HALF_SIN[self.lane]);
        let turned = next.whole.turn_from(self.whole);
        let turned = turned.turned_back(cos, sin).turned_back(cos, sin).angle();
        let expected = 2.0 * self.drift.plus(next.drift).angle();
        let circles = ((expected - turned) / TAU).round();
        (turned + circles * TAU) * (SAMPLE_RATE as f32 / BLOCK as f32 / TAU)
    }
}

/// The eight filters after a block.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spectrum {
    first: (Lanes, Lanes),
    second: (Lanes, Lanes),
    whole: (Lanes, Lanes),
    /// Power of each frequency, in the units of [`energy`] when it is all there is.
    pub(super) power: Lanes,
}

/// Sum of the squares.
pub(super) fn energy(block: &[f32; BLOCK]) -> f32 {
    // Six sums side by side (102 = 17 x 6): one would wait for itself at every sample.
    let mut sums = [0.0; 6];
    for six in block.as_chunks::<6>().0 {
        for (sum, sample) in sums.iter_mut().zip(six) {
            *sum += sample * sample;
        }
    }
    sums.iter().sum()
}

impl Spectrum {
    /// Runs the filters.
    pub(super) fn of(block: &[f32; BLOCK]) -> Self {
        let (first, second) = filter_halves(block);
        let mut whole = ([0.0; 8], [0.0; 8]);
        let mut power = [0.0; 8];
        for lane in 0..8 {
            // The first half, moved on to the end of the block, plus the second.
            let (re, im) = (first.0[lane], first.1[lane]);
            whole.0[lane] = re * HALF_COS[lane] - im * HALF_SIN[lane] + second.0[lane];
            whole.1[lane] = re * HALF_SIN[lane] + im * HALF_COS[lane] + second.1[lane];
            let square = whole.0[lane] * whole.0[lane] + whole.1[lane] * whole.1[lane];
            power[lane] = square * (2.0 / BLOCK as f32);
        }
        Self { first, second, whole, power }
    }

    /// The details of one frequency.
    pub(super) fn line(&self, lane: usize) -> Line {
        let at = |parts: &(Lanes, Lanes)| Complex { re: parts.0[lane], im: parts.1[lane] };
        let turned = at(&self.second).turn_from(at(&self.first));
        Line {
            lane,
            whole: at(&self.whole),
            drift: turned.turned_back(HALF_COS[lane], HALF_SIN[lane]),
        }
    }
}

type Half = (Lanes, Lanes);

fn filter_halves(block: &[f32; BLOCK]) -> (Half, Half) {
    let (early, late) = block.split_at(HALF);
    let (mut a1, mut a2, mut b1, mut b2) = ([0.0; 8], [0.0; 8], [0.0; 8], [0.0; 8]);
    for (&a, &b) in early.iter().zip(late) {
        let (mut a0, mut b0): (Lanes, Lanes) = ([0.0; 8], [0.0; 8]);
        for lane in 0..8 {
            a0[lane] = (a - a2[lane]) + 2.0 * COS[lane] * a1[lane];
            b0[lane] = (b - b2[lane]) + 2.0 * COS[lane] * b1[lane];
        }
        (a2, a1) = (a1, a0);
        (b2, b1) = (b1, b0);
    }
    (finish(a1, a2), finish(b1, b2))
}

/// From the state of a filter to amplitude and phase at its last sample.
fn finish(s1: Lanes, s2: Lanes) -> Half {
    let mut half = ([0.0; 8], [0.0; 8]);
    for lane in 0..8 {
        half.0[lane] = s1[lane] - COS[lane] * s2[lane];
        half.1[lane] = SIN[lane] * s2[lane];
    }
    half
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tone::{DTMF_HIGH_HZ, DTMF_LOW_HZ};
    use std::f64::consts::TAU;

    fn hz(lane: usize) -> f64 {
        f64::from(if lane < 4 { DTMF_LOW_HZ[lane] } else { DTMF_HIGH_HZ[lane - 4] })
    }

    fn sine(hz: f64, from: usize) -> [f32; BLOCK] {
        std::array::from_fn(|i| ((from + i) as f64 * TAU * hz / 8_000.0).cos() as f32)
    }

    #[test]
    fn the_constants_are_those_of_the_frequencies() {
        for lane in 0..8 {
            let turn = TAU * hz(lane) / 8_000.0;
            let near = |a: f32, b: f64| (f64::from(a) - b).abs() < 1e-6;
            assert!(near(COS[lane], turn.cos()) && near(SIN[lane], turn.sin()));
            let half = turn * HALF as f64;
            assert!(near(HALF_COS[lane], half.cos()) && near(HALF_SIN[lane], half.sin()));
        }
    }

    #[test]
    fn a_sine_puts_all_its_energy_into_its_own_line() {
        for lane in 0..8 {
            let block = sine(hz(lane), 0);
            let share = Spectrum::of(&block).power[lane] / energy(&block);
            assert!((0.97..1.03).contains(&share), "{lane}: {share}");
        }
    }

    #[test]
    fn the_phase_tells_how_far_the_frequency_is_off() {
        for lane in 0..8 {
            for off in [-60.0, -30.0, -3.0, 0.0, 3.0, 30.0, 60.0] {
                let lines = [0, BLOCK].map(|from| {
                    let block = sine(hz(lane) + off, from);
                    Spectrum::of(&block).line(lane)
                });
                let heard = f64::from(lines[0].deviation_hz(&lines[1]));
                assert!((heard - off).abs() < 2.0, "lane {lane}: {off} heard as {heard}");
            }
        }
    }
}
