//! Fills the gaps that lost packets leave (after the principle of ITU-T G.711 Appendix I).
//!
//! A voice repeats itself from pitch period to pitch period. When a frame is missing, the last
//! period that was heard is repeated, at first one, from 10 ms on two and from 20 ms on three, as a
//! single one buzzes. Where the end of the repeated piece meets its beginning the two are blended
//! over a quarter of a period. From 10 ms on the sound fades, a fifth for each 10 ms, and after
//! 60 ms it is silent: a longer gap is no longer concealed but a pause.
//!
//! Nothing is delayed: what was played is left as it is, and the difference between it and the
//! repetition is faded out instead. When frames come again, the repetition is blended into the
//! first of them, the longer the gap the more gently.

/// Longest period, 15 ms: a voice of 66 Hz.
const PITCH_MAX: usize = 120;

/// Shortest period, 5 ms: 200 Hz. Of higher voices two periods are repeated together.
const PITCH_MIN: usize = 40;

/// Samples that are compared when the period is sought.
const COMPARED: usize = 160;

/// Three of the longest periods, and a quarter to blend.
const HISTORY: usize = 3 * PITCH_MAX + PITCH_MAX / 4;

/// After this much the repeated piece grows, and the sound begins to fade.
const TEN_MS: usize = 80;

/// After this much there is silence.
const SILENT_AFTER: usize = 6 * TEN_MS;

/// Blend into the first frame that comes again: a quarter period, and 4 ms for each 10 ms of gap.
const BLEND_PER_TEN_MS: usize = 32;

/// Longest blend, half a frame.
const BLEND_MAX: usize = 80;

/// The repetition of what was last heard.
#[derive(Debug)]
struct Repetition {
    heard: [i16; HISTORY],
    period: usize,
    /// Periods in the piece that is being repeated, and in the one after it.
    periods: usize,
    periods_next: usize,
    /// Samples into the piece.
    at: usize,
    /// Samples since the loss.
    made: usize,
    /// Between the last sample that was heard and the one a period before it.
    jump: f32,
}

/// The concealer of one stream.
#[derive(Debug)]
pub struct Concealer {
    /// The last samples that went out, heard or made.
    history: [i16; HISTORY],
    /// While frames are missing.
    gap: Option<Repetition>,
}

impl Default for Concealer {
    fn default() -> Self {
        Self::new()
    }
}

impl Concealer {
    /// A concealer that has heard silence.
    pub const fn new() -> Self {
        Self { history: [0; HISTORY], gap: None }
    }

    /// A frame arrived. It stays as it is, unless it follows a gap: then its beginning is blended
    /// with the end of the concealment.
    pub fn received(&mut self, frame: &mut [i16]) {
        if let Some(mut gap) = self.gap.take() {
            let length = gap.blend_length().min(frame.len());
            for (i, sample) in frame[..length].iter_mut().enumerate() {
                let share = (i + 1) as f32 / (length + 1) as f32;
                let made = f32::from(gap.next());
                *sample = (f32::from(*sample) * share + made * (1.0 - share)) as i16;
            }
        }
        self.remember(frame);
    }

    /// A frame is missing: fills it with what may have been in it.
    pub fn lost(&mut self, frame: &mut [i16]) {
        let mut gap = self.gap.take().unwrap_or_else(|| Repetition::of(&self.history));
        for sample in frame.iter_mut() {
            *sample = gap.next();
        }
        self.gap = Some(gap);
        self.remember(frame);
    }

    fn remember(&mut self, frame: &[i16]) {
        let newest = &frame[frame.len().saturating_sub(HISTORY)..];
        self.history.copy_within(newest.len().., 0);
        self.history[HISTORY - newest.len()..].copy_from_slice(newest);
    }
}

impl Repetition {
    fn of(heard: &[i16; HISTORY]) -> Self {
        let period = period_of(heard);
        let jump = f32::from(heard[HISTORY - 1]) - f32::from(heard[HISTORY - 1 - period]);
        Self { heard: *heard, period, periods: 1, periods_next: 1, at: 0, made: 0, jump }
    }

    fn next(&mut self) -> i16 {
        let loudness = loudness(self.made);
        if loudness == 0.0 {
            return 0;
        }
        let joined = self.repeated() + self.jump * self.jump_left();
        self.made += 1;
        self.at += 1;
        if self.at == self.periods * self.period {
            self.at = 0;
            self.periods = self.periods_next;
        }
        (joined * loudness) as i16
    }

    /// The next sample of the piece; near its end, blended with what precedes the next piece.
    fn repeated(&mut self) -> f32 {
        let left = self.periods * self.period - self.at;
        let here = f32::from(self.heard[HISTORY - left]);
        let quarter = self.quarter();
        if left > quarter {
            self.periods_next = 1 + (self.made / TEN_MS).min(2);
            return here;
        }
        let before_next = f32::from(self.heard[HISTORY - self.periods_next * self.period - left]);
        let share = (quarter - left + 1) as f32 / (quarter + 1) as f32;
        here * (1.0 - share) + before_next * share
    }

    /// How much of the jump from what was heard to the repetition is still to be made good.
    fn jump_left(&self) -> f32 {
        1.0 - (self.made as f32 / self.quarter() as f32).min(1.0)
    }

    fn quarter(&self) -> usize {
        self.period / 4
    }

    fn blend_length(&self) -> usize {
        (self.quarter() + self.made / TEN_MS * BLEND_PER_TEN_MS).min(BLEND_MAX)
    }
}

/// 1 for 10 ms, then down by a fifth each 10 ms, to nothing.
fn loudness(made: usize) -> f32 {
    let fading = made.saturating_sub(TEN_MS);
    let whole = SILENT_AFTER - TEN_MS;
    1.0 - fading.min(whole) as f32 / whole as f32
}

/// The lag at which the newest samples resemble older ones most: every second lag and sample first,
/// then the neighbours of the best.
fn period_of(heard: &[i16; HISTORY]) -> usize {
    let best = |lags: &mut dyn Iterator<Item = usize>, step| {
        let mut best = (PITCH_MIN, f32::NEG_INFINITY);
        for lag in lags {
            let likeness = likeness(heard, lag, step);
            if likeness > best.1 {
                best = (lag, likeness);
            }
        }
        best.0
    };
    let coarse = best(&mut (PITCH_MIN..=PITCH_MAX).step_by(2), 2);
    best(&mut ((coarse - 1).max(PITCH_MIN)..=(coarse + 1).min(PITCH_MAX)), 1)
}

/// Correlation with the samples a lag before, over the power of those.
fn likeness(heard: &[i16; HISTORY], lag: usize, step: usize) -> f32 {
    let newest = &heard[HISTORY - COMPARED..];
    let older = &heard[HISTORY - COMPARED - lag..HISTORY - lag];
    // 1: silence resembles nothing.
    let (mut product, mut power) = (0.0, 1.0);
    for (new, old) in newest.iter().zip(older).step_by(step) {
        product += f32::from(*new) * f32::from(*old);
        power += f32::from(*old) * f32::from(*old);
    }
    product / power.sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FRAME_SAMPLES;
    use proptest::prelude::*;

    /// A voiced sound: the harmonics of a pitch, weaker with height.
    fn voice(hz: f64, from: usize) -> [i16; FRAME_SAMPLES] {
        std::array::from_fn(|i| {
            let turn = std::f64::consts::TAU * hz * (from + i) as f64 / 8_000.0;
            let sum: f64 = (1..8).map(|k| (turn * f64::from(k)).sin() / f64::from(k)).sum();
            (sum * 5_000.0) as i16
        })
    }

    /// `heard` frames of the voice, then `lost` missing ones, then two again.
    fn play(hz: f64, heard: usize, lost: usize) -> Vec<i16> {
        let mut concealer = Concealer::new();
        let mut out = Vec::new();
        for frame in 0..heard + lost + 2 {
            let mut samples = voice(hz, frame * FRAME_SAMPLES);
            if (heard..heard + lost).contains(&frame) {
                samples = [0; FRAME_SAMPLES];
                concealer.lost(&mut samples);
            } else {
                concealer.received(&mut samples);
            }
            out.extend(samples);
        }
        out
    }

    fn original(hz: f64, frames: usize) -> Vec<i16> {
        (0..frames).flat_map(|frame| voice(hz, frame * FRAME_SAMPLES)).collect()
    }

    fn power(samples: &[i16]) -> f64 {
        samples.iter().map(|&s| f64::from(s).powi(2)).sum::<f64>() / samples.len() as f64
    }

    fn steepest(samples: &[i16]) -> u16 {
        samples.windows(2).map(|w| w[0].abs_diff(w[1])).max().unwrap_or(0)
    }

    const PITCHES: [f64; 6] = [70.0, 100.0, 123.0, 181.0, 220.0, 310.0];

    #[test]
    fn frames_that_arrive_are_left_alone() {
        assert_eq!(play(100.0, 10, 0), original(100.0, 12));
    }

    #[test]
    fn one_lost_frame_of_a_voice_is_filled_with_nearly_what_was_in_it() {
        // The highest has a period of 25.8 samples, which no whole number comes near enough.
        for hz in PITCHES.into_iter().filter(|hz| *hz < 300.0) {
            let (out, truth) = (play(hz, 5, 1), original(hz, 8));
            let gap = 5 * FRAME_SAMPLES..6 * FRAME_SAMPLES;
            let difference: Vec<i16> =
                out[gap.clone()].iter().zip(&truth[gap.clone()]).map(|(a, b)| a - b).collect();
            let error = power(&difference) / power(&truth[gap]);
            assert!(error < 0.15, "{hz} Hz: {error}");
        }
    }

    #[test]
    fn neither_end_of_a_gap_clicks() {
        for hz in PITCHES {
            for lost in 1..5 {
                let limit = steepest(&original(hz, 12));
                let worst = steepest(&play(hz, 5, lost));
                assert!(worst <= limit + limit / 4, "{hz} Hz, {lost} lost: {worst} > {limit}");
            }
        }
    }

    #[test]
    fn a_long_gap_fades_to_silence_within_60_ms() {
        for hz in PITCHES {
            let out = play(hz, 5, 5);
            let powers: Vec<f64> = out[5 * FRAME_SAMPLES..10 * FRAME_SAMPLES]
                .chunks(FRAME_SAMPLES)
                .map(power)
                .collect();
            assert!(powers.windows(2).all(|w| w[1] <= w[0]), "{hz} Hz: {powers:?}");
            assert_eq!(powers[3..], [0.0, 0.0]);
            assert!(powers[0] > power(&out[..5 * FRAME_SAMPLES]) * 0.7);
        }
    }

    #[test]
    fn the_sound_after_a_gap_is_exact_from_the_second_half_of_its_first_frame() {
        let (out, truth) = (play(100.0, 5, 3), original(100.0, 10));
        let exact = 8 * FRAME_SAMPLES + BLEND_MAX;
        assert_eq!(out[exact..], truth[exact..]);
        assert_ne!(out[8 * FRAME_SAMPLES..exact], truth[8 * FRAME_SAMPLES..exact]);
    }

    #[test]
    fn silence_is_concealed_by_silence() {
        let mut concealer = Concealer::new();
        let mut frame = [7; FRAME_SAMPLES];
        concealer.lost(&mut frame);
        assert_eq!(frame, [0; FRAME_SAMPLES]);
    }

    proptest! {
        #[test]
        fn frames_of_any_length_and_content_never_panic(
            frames in prop::collection::vec(
                (any::<bool>(), prop::collection::vec(any::<i16>(), 0..500)),
                0..20,
            ),
        ) {
            let mut concealer = Concealer::new();
            for (lost, mut frame) in frames {
                if lost {
                    concealer.lost(&mut frame);
                } else {
                    concealer.received(&mut frame);
                }
            }
        }
    }
}
