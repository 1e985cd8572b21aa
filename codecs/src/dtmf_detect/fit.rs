//! The two sines that fit a block best, at frequencies that need not be those of the filters.
//!
//! A filter hears a little of the other tone, more so when that is the stronger one. The fit by
//! least squares takes both tones at once and has no such error: what it cannot explain is noise,
//! or not a key. Counted from the middle of the block, cosines are even and sines are odd, so that
//! the four unknowns part into two pairs, each with an answer in closed form.
//!
//! Two blocks are fitted with the same two sines, so that these and all that depends on them alone
//! are made once. The sines come from four angles by the addition theorems: calls to `sin_cos` cost
//! more than all the sums.

use super::spectrum::{BLOCK, Complex, HALF};

/// Samples of half a block, filled up with zeros to whole vectors.
const PADDED: usize = HALF.next_multiple_of(LANES);

/// Values that the compiler works on at once.
const LANES: usize = 4;

/// Half a block, counted from its middle outwards.
type Side = [f32; PADDED];

/// A block, explained by two sines.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fit {
    /// Amplitude and phase of each sine in the middle of the block.
    pub(super) tones: [Complex; 2],
    /// Energy that the two explain.
    pub(super) explained: f32,
}

/// Two sines to fit blocks with.
pub(super) struct Pair {
    waves: [Wave; 2],
    /// Products of the cosines with each other, summed over a block: a symmetric matrix.
    cosines: [f32; 3],
    /// The same of the sines.
    sines: [f32; 3],
}

impl Pair {
    /// Sines of `turns` radians a sample.
    pub(super) fn new(turns: [f32; 2]) -> Self {
        let waves = turns.map(Wave::new);
        let [low, high] = &waves;
        let (sum, difference) = (low.kernel(high, 1.0), low.kernel(high, -1.0));
        let (low_two, high_two) = (low.kernel(low, 1.0), high.kernel(high, 1.0));
        let length = BLOCK as f32;
        // Half the sum or difference of two kernels each.
        let cosines = [length + low_two, difference + sum, length + high_two].map(|g| g / 2.0);
        let sines = [length - low_two, difference - sum, length - high_two].map(|g| g / 2.0);
        Self { waves, cosines, sines }
    }

    /// Fits them.
    pub(super) fn fit(&self, block: &[f32; BLOCK]) -> Fit {
        let (even, odd) = fold(block);
        let even = [0, 1].map(|i| dot(&even, &self.waves[i].cos));
        let odd = [0, 1].map(|i| dot(&odd, &self.waves[i].sin));
        let (cosines, sines) = (solve(self.cosines, even), solve(self.sines, odd));
        let explained =
            cosines[0] * even[0] + cosines[1] * even[1] + sines[0] * odd[0] + sines[1] * odd[1];
        let tones = [0, 1].map(|i| Complex { re: cosines[i], im: -sines[i] });
        Fit { tones, explained }
    }

    /// How each phase turned from one block to the next beyond what its frequency turns, in
    /// radians between -pi and pi.
    pub(super) fn drift(&self, before: &Fit, after: &Fit) -> [f32; 2] {
        [0, 1].map(|i| {
            let half = self.waves[i].half_block;
            let turned = after.tones[i].turn_from(before.tones[i]);
            turned.turn_from(half).turn_from(half).angle()
        })
    }
}

/// A sine and what is wanted of it.
struct Wave {
    cos: Side,
    sin: Side,
    /// The turn of half a sample.
    half_sample: Complex,
    /// The turn of half a block.
    half_block: Complex,
}

impl Wave {
    fn new(turn: f32) -> Self {
        let half_sample = Complex::unit(turn / 2.0);
        let half_block = Complex::unit(turn * HALF as f32);
        let one = half_sample.turned_on(half_sample);
        let four = one.turned_on(one).turned_on(one.turned_on(one));
        let mut at = half_sample;
        let (mut now, mut before) = ([[0.0; LANES]; 2], [[0.0; LANES]; 2]);
        for lane in 0..LANES {
            let back = at.turn_from(four);
            (now[0][lane], now[1][lane]) = (at.re, at.im);
            (before[0][lane], before[1][lane]) = (back.re, back.im);
            at = at.turned_on(one);
        }
        let [cos, sin] = [0, 1].map(|i| oscillate(now[i], before[i], four.re));
        Self { cos, sin, half_sample, half_block }
    }

    /// Sum of the cosine of the sum, or difference, of the two turns over a block counted from its
    /// middle (Dirichlet's kernel). The turns differ, by 268 Hz or more, and are no half circles.
    fn kernel(&self, other: &Self, sign: f32) -> f32 {
        let sine = |a: Complex, b: Complex| a.im * b.re + sign * a.re * b.im;
        sine(self.half_block, other.half_block) / sine(self.half_sample, other.half_sample)
    }
}

/// A sine from its first vector, the one before that, and the cosine of the turn between them.
fn oscillate(mut now: [f32; LANES], mut before: [f32; LANES], cos: f32) -> Side {
    let mut wave = [0.0; PADDED];
    for vector in wave.as_chunks_mut::<LANES>().0 {
        *vector = now;
        let mut next = [0.0; LANES];
        for lane in 0..LANES {
            next[lane] = 2.0 * cos * now[lane] - before[lane];
        }
        (before, now) = (now, next);
    }
    wave
}

/// Sums and differences of the samples that are equally far from the middle of the block.
fn fold(block: &[f32; BLOCK]) -> (Side, Side) {
    let (early, late) = block.split_at(HALF);
    let (mut even, mut odd) = ([0.0; PADDED], [0.0; PADDED]);
    let sides = even.iter_mut().zip(&mut odd);
    for ((even, odd), (a, b)) in sides.zip(early.iter().rev().zip(late)) {
        (*even, *odd) = (b + a, b - a);
    }
    (even, odd)
}

fn dot(a: &Side, b: &Side) -> f32 {
    let mut sums = [0.0; LANES];
    for (a, b) in a.as_chunks::<LANES>().0.iter().zip(b.as_chunks::<LANES>().0) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    sums.iter().sum()
}

/// Solves `[a b; b c] x = p`. The determinant is far from zero as the tones are 268 Hz apart.
fn solve([a, b, c]: [f32; 3], p: [f32; 2]) -> [f32; 2] {
    let scale = 1.0 / (a * c - b * b);
    [(c * p[0] - b * p[1]) * scale, (a * p[1] - b * p[0]) * scale]
}

#[cfg(test)]
mod tests {
    use super::super::spectrum::energy;
    use super::*;

    #[test]
    fn two_sines_are_explained_whole_whatever_their_phases_and_powers() {
        for (low_hz, high_hz) in [(941.0, 1_209.0), (697.0, 1_633.0), (955.0, 1_190.0)] {
            let turns = [low_hz, high_hz].map(|hz| hz * std::f32::consts::TAU / 8_000.0);
            for phase in 0..20 {
                let wave = |i: usize| {
                    let low = (turns[0] * i as f32 + phase as f32).sin();
                    let high = (turns[1] * i as f32 + 2.7 * phase as f32).sin();
                    1_000.0 * low + 300.0 * high
                };
                let block = std::array::from_fn(wave);
                let fit = Pair::new(turns).fit(&block);
                let share = fit.explained / energy(&block);
                assert!((share - 1.0).abs() < 1e-3, "{share}");
                let [low, high] = fit.tones.map(|tone| tone.power().sqrt());
                assert!((low - 1_000.0).abs() < 5.0 && (high - 300.0).abs() < 5.0);
            }
        }
    }
}
