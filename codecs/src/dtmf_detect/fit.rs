//! The two sines that fit a block best, at frequencies that need not be those of the filters.
//!
//! A filter hears a little of the other tone, more so when that is the stronger one. The fit by
//! least squares takes both tones at once and has no such error: what it cannot explain is noise,
//! or not a key. Counted from the middle of the block, cosines are even and sines are odd, so that
//! the four unknowns part into two pairs, each with an answer in closed form.

use super::spectrum::{BLOCK, Complex};

/// A block, explained by two sines.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fit {
    /// Amplitude and phase of each sine in the middle of the block.
    pub(super) tones: [Complex; 2],
    /// Energy that the two explain.
    pub(super) explained: f32,
}

impl Fit {
    /// Fits sines of `turns` radians a sample.
    pub(super) fn of(block: &[f32; BLOCK], turns: [f32; 2]) -> Self {
        let [low, high] = correlate(block, turns);
        let (sum, difference) = (kernel(turns[0] + turns[1]), kernel(turns[0] - turns[1]));
        let (low_two, high_two) = (kernel(2.0 * turns[0]), kernel(2.0 * turns[1]));
        let length = BLOCK as f32;
        // Products of the base with itself: half the sum or difference of two kernels.
        let cosines = solve(
            [length + low_two, difference + sum, length + high_two].map(|g| g / 2.0),
            [low.re, high.re],
        );
        let sines = solve(
            [length - low_two, difference - sum, length - high_two].map(|g| g / 2.0),
            [low.im, high.im],
        );
        let explained =
            cosines[0] * low.re + cosines[1] * high.re + sines[0] * low.im + sines[1] * high.im;
        let tones = [0, 1].map(|i| Complex { re: cosines[i], im: -sines[i] });
        Self { tones, explained }
    }
}

/// Sums of the block times cosine and times sine of each tone, counted from the middle: a Goertzel
/// filter, turned back by half the block. Both tones run side by side.
fn correlate(block: &[f32; BLOCK], turns: [f32; 2]) -> [Complex; 2] {
    let base = turns.map(f32::sin_cos);
    let (mut s1, mut s2) = ([0.0; 2], [0.0; 2]);
    for sample in block {
        let s0 = [0, 1].map(|i| (sample - s2[i]) + 2.0 * base[i].1 * s1[i]);
        (s2, s1) = (s1, s0);
    }
    [0, 1].map(|i| {
        let (sin, cos) = base[i];
        let end = Complex { re: s1[i] - cos * s2[i], im: sin * s2[i] };
        let (sin, cos) = (turns[i] * (BLOCK - 1) as f32 / 2.0).sin_cos();
        let middle = end.turned_back(cos, sin);
        Complex { re: middle.re, im: -middle.im }
    })
}

/// Sum of `cos(x n)` over a block counted from its middle (Dirichlet's kernel).
fn kernel(x: f32) -> f32 {
    let half = (x / 2.0).sin();
    if half.abs() < 1e-6 { BLOCK as f32 } else { (x / 2.0 * BLOCK as f32).sin() / half }
}

/// Solves `[a b; b c] x = p`. The determinant is far from zero as the tones are 268 Hz apart.
fn solve([a, b, c]: [f32; 3], p: [f32; 2]) -> [f32; 2] {
    let determinant = a * c - b * b;
    [(c * p[0] - b * p[1]) / determinant, (a * p[1] - b * p[0]) / determinant]
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
                let fit = Fit::of(&block, turns);
                let share = fit.explained / energy(&block);
                assert!((share - 1.0).abs() < 1e-3, "{share}");
                let [low, high] = fit.tones.map(|tone| tone.power().sqrt());
                assert!((low - 1_000.0).abs() < 5.0 && (high - 300.0).abs() < 5.0);
            }
        }
    }
}
