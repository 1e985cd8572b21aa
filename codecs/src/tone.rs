//! Tones: the sixteen keys, and what an exchange lets a caller hear (ITU-T E.180).
//!
//! A tone is one or two sines, each a number on the unit circle turned a little for every sample:
//! four multiplications instead of a call to `sin`. A call-progress tone is a cadence of such sines
//! and pauses; it is rendered once, as one whole turn of the cadence, and looped by who plays it.
//! All frequencies are whole numbers of hertz and an endless tone is rendered as one second, so
//! that the loop has no seam.

use std::f64::consts::TAU;

use crate::{Digit, SAMPLE_RATE, UNITS_PER_MS};

/// Frequencies of the rows of a keypad, in hertz (ITU-T Q.23).
pub const DTMF_LOW_HZ: [u16; 4] = [697, 770, 852, 941];

/// Frequencies of its columns.
pub const DTMF_HIGH_HZ: [u16; 4] = [1_209, 1_336, 1_477, 1_633];

/// Peak of each sine of a call-progress tone: -13 dBm0, E.180's middle.
const PROGRESS_PEAK: f64 = 5_100.0;

/// Peaks of the two sines of a key: -9 and -7 dBm0, the high one louder, as cables like it.
const DTMF_LOW_PEAK: f64 = 8_070.0;
const DTMF_HIGH_PEAK: f64 = 10_160.0;

/// A tone that begins or ends within this many samples does not click.
const RAMP: usize = 2 * UNITS_PER_MS as usize;

/// Row and column of a key, as indices into [`DTMF_LOW_HZ`] and [`DTMF_HIGH_HZ`].
pub const fn position_of(digit: Digit) -> (usize, usize) {
    match digit.event() {
        0 => (3, 1),
        10 => (3, 0),
        11 => (3, 2),
        event @ 12.. => (event as usize - 12, 3),
        event => ((event as usize - 1) / 3, (event as usize - 1) % 3),
    }
}

/// The key at a row and a column of the keypad; `None` beyond it.
pub fn digit_at(row: usize, column: usize) -> Option<Digit> {
    const EVENTS: [[u8; 4]; 4] = [[1, 2, 3, 12], [4, 5, 6, 13], [7, 8, 9, 14], [10, 0, 11, 15]];
    Digit::from_event(*EVENTS.get(row)?.get(column)?)
}

/// A sine by rotation.
#[derive(Clone, Copy, Debug)]
struct Sine {
    /// Where it stands: cosine and sine of the phase, times the peak.
    at: (f64, f64),
    /// One sample's turn.
    step: (f64, f64),
}

impl Sine {
    fn new(hz: f64, peak: f64) -> Self {
        let turn = TAU * hz / f64::from(SAMPLE_RATE);
        Self { at: (peak, 0.0), step: (turn.cos(), turn.sin()) }
    }

    fn next(&mut self) -> f64 {
        let ((x, y), (c, s)) = (self.at, self.step);
        self.at = (x * c - y * s, x * s + y * c);
        y
    }
}

/// Two sines without an end. Allocates nothing.
#[derive(Clone, Copy, Debug)]
pub struct Generator {
    low: Sine,
    high: Sine,
}

impl Generator {
    /// Two sines by frequency in hertz and peak in sample units; a peak of 0 leaves one out.
    pub fn new(low: (f64, f64), high: (f64, f64)) -> Self {
        Self { low: Sine::new(low.0, low.1), high: Sine::new(high.0, high.1) }
    }

    /// The tone of a key.
    pub fn dtmf(digit: Digit) -> Self {
        let (row, column) = position_of(digit);
        Self::new(
            (f64::from(DTMF_LOW_HZ[row]), DTMF_LOW_PEAK),
            (f64::from(DTMF_HIGH_HZ[column]), DTMF_HIGH_PEAK),
        )
    }

    /// The next samples, clipped to 16 bits.
    pub fn fill(&mut self, samples: &mut [i16]) {
        for sample in samples {
            // A cast from float to integer saturates.
            *sample = (self.low.next() + self.high.next()).round() as i16;
        }
    }
}

/// A part of a cadence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// Two frequencies in hertz, or one and 0; then milliseconds.
    On(u16, u16, u32),
    /// Milliseconds of silence.
    Off(u32),
    /// Two frequencies, or one and 0, for ever.
    Endless(u16, u16),
}

use Part::{Endless, Off, On};

/// The signals that have a name, as `tone:NAME` in ARI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Signal {
    /// The far end rings.
    Ring,
    /// The far end is engaged.
    Busy,
    /// No way through.
    Congestion,
    /// Dial, please.
    Dial,
    /// One short tone: speak after it.
    Beep,
}

impl Signal {
    /// All of them, for lists in messages.
    pub const ALL: [Self; 5] = [Self::Ring, Self::Busy, Self::Congestion, Self::Dial, Self::Beep];

    /// The name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ring => "ring",
            Self::Busy => "busy",
            Self::Congestion => "congestion",
            Self::Dial => "dial",
            Self::Beep => "beep",
        }
    }

    /// The signal of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|signal| signal.name() == name)
    }

    /// Whether it goes on until somebody stops it.
    pub const fn repeats(self) -> bool {
        match self {
            Self::Ring | Self::Busy | Self::Congestion | Self::Dial => true,
            Self::Beep => false,
        }
    }

    /// One turn of the cadence, to be looped when it [repeats](Self::repeats).
    pub fn render(self, zone: Zone) -> Vec<i16> {
        let mut samples = Vec::new();
        for &part in self.cadence(zone) {
            part.render(&mut samples);
        }
        samples
    }

    const fn cadence(self, zone: Zone) -> &'static [Part] {
        match (self, zone) {
            (Self::Beep, _) => &[On(1_000, 0, 250)],

            (Self::Dial, Zone::Neutral | Zone::De) => &[Endless(425, 0)],
            (Self::Dial, Zone::Us | Zone::Uk) => &[Endless(350, 440)],
            (Self::Dial, Zone::Jp) => &[Endless(400, 0)],

            (Self::Ring, Zone::Neutral | Zone::De) => &[On(425, 0, 1_000), Off(4_000)],
            (Self::Ring, Zone::Us) => &[On(440, 480, 2_000), Off(4_000)],
            (Self::Ring, Zone::Uk) => &[On(400, 450, 400), Off(200), On(400, 450, 400), Off(2_000)],
            // 400 Hz modulated with 15 Hz.
            (Self::Ring, Zone::Jp) => &[On(385, 415, 1_000), Off(2_000)],

            (Self::Busy, Zone::Neutral) => &[On(425, 0, 500), Off(500)],
            (Self::Busy, Zone::Us) => &[On(480, 620, 500), Off(500)],
            (Self::Busy, Zone::Uk) => &[On(400, 0, 375), Off(375)],
            (Self::Busy, Zone::De) => &[On(425, 0, 480), Off(480)],
            (Self::Busy | Self::Congestion, Zone::Jp) => &[On(400, 0, 500), Off(500)],

            (Self::Congestion, Zone::Neutral) => &[On(425, 0, 250), Off(250)],
            (Self::Congestion, Zone::Us) => &[On(480, 620, 250), Off(250)],
            (Self::Congestion, Zone::Uk) => &[On(400, 0, 400), Off(350), On(400, 0, 225), Off(525)],
            (Self::Congestion, Zone::De) => &[On(425, 0, 240), Off(240)],
        }
    }
}

/// Whose tones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Zone {
    /// What ITU-T E.180 recommends where a country has no habit of its own.
    #[default]
    Neutral,
    /// North America.
    Us,
    /// United Kingdom.
    Uk,
    /// Germany.
    De,
    /// Japan.
    Jp,
}

impl Zone {
    /// The zone of a country code in lower case; `None` when it is not known.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "us" => Some(Self::Us),
            "uk" => Some(Self::Uk),
            "de" => Some(Self::De),
            "jp" => Some(Self::Jp),
            _ => None,
        }
    }
}

impl Part {
    fn render(self, samples: &mut Vec<i16>) {
        let from = samples.len();
        match self {
            On(low, high, ms) => {
                samples.resize(from + samples_in(ms), 0);
                progress(low, high).fill(&mut samples[from..]);
                soften(&mut samples[from..]);
            }
            Off(ms) => samples.resize(from + samples_in(ms), 0),
            Endless(low, high) => {
                samples.resize(from + SAMPLE_RATE as usize, 0);
                progress(low, high).fill(&mut samples[from..]);
            }
        }
    }
}

const fn samples_in(ms: u32) -> usize {
    (ms * UNITS_PER_MS) as usize
}

fn progress(low: u16, high: u16) -> Generator {
    let peak = |hz| if hz == 0 { 0.0 } else { PROGRESS_PEAK };
    Generator::new((f64::from(low), peak(low)), (f64::from(high), peak(high)))
}

/// Fades the beginning in and the end out.
fn soften(samples: &mut [i16]) {
    let ramp = RAMP.min(samples.len() / 2);
    let last = samples.len().saturating_sub(1);
    for i in 0..ramp {
        let gain = i as f64 / ramp as f64;
        samples[i] = (f64::from(samples[i]) * gain) as i16;
        samples[last - i] = (f64::from(samples[last - i]) * gain) as i16;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ZONES: [Zone; 5] = [Zone::Neutral, Zone::Us, Zone::Uk, Zone::De, Zone::Jp];

    /// Power of one frequency as a share of all power.
    fn share(samples: &[i16], hz: f64) -> f64 {
        let (mut re, mut im, mut all) = (0.0, 0.0, 0.0);
        for (i, &sample) in samples.iter().enumerate() {
            let (sin, cos) = (TAU * hz * i as f64 / f64::from(SAMPLE_RATE)).sin_cos();
            re += f64::from(sample) * cos;
            im += f64::from(sample) * sin;
            all += f64::from(sample).powi(2);
        }
        2.0 * (re * re + im * im) / (all * samples.len() as f64)
    }

    #[test]
    fn rows_and_columns_are_those_of_the_keypad() {
        let keypad = ["123A", "456B", "789C", "*0#D"];
        for (row, keys) in keypad.iter().enumerate() {
            for (column, key) in keys.chars().enumerate() {
                let digit = Digit::from_char(key).expect("a key");
                assert_eq!(position_of(digit), (row, column));
                assert_eq!(digit_at(row, column), Some(digit));
            }
        }
        assert_eq!(digit_at(4, 0), None);
    }

    #[test]
    fn a_key_is_its_two_frequencies_and_nothing_else() {
        let mut samples = [0; 1_600];
        for digit in (0..16).filter_map(Digit::from_event) {
            Generator::dtmf(digit).fill(&mut samples);
            let (row, column) = position_of(digit);
            let low = share(&samples, f64::from(DTMF_LOW_HZ[row]));
            let high = share(&samples, f64::from(DTMF_HIGH_HZ[column]));
            assert!(low > 0.3 && high > 0.5 && low + high > 0.99, "{low} {high}");
        }
    }

    #[test]
    fn every_signal_of_every_zone_sounds_and_is_as_long_as_its_cadence() {
        for signal in Signal::ALL {
            assert_eq!(Signal::from_name(signal.name()), Some(signal));
            for zone in ZONES {
                let samples = signal.render(zone);
                let peak = samples.iter().map(|s| s.unsigned_abs()).max().expect("some");
                assert!((4_500..11_000).contains(&peak), "{signal:?} {zone:?}: {peak}");
            }
        }
        assert_eq!(Signal::Ring.render(Zone::Us).len(), 6 * 8_000);
        assert_eq!(Signal::Busy.render(Zone::De).len(), 8 * 960);
        assert!(share(&Signal::Dial.render(Zone::Uk), 350.0) > 0.49);
    }

    #[test]
    fn an_endless_tone_loops_without_a_seam() {
        let samples = Signal::Dial.render(Zone::Us);
        let twice = [samples.clone(), samples].concat();
        let seam = twice[7_900..8_100].windows(2).map(|w| w[0].abs_diff(w[1])).max();
        let elsewhere = twice[..7_900].windows(2).map(|w| w[0].abs_diff(w[1])).max();
        assert!(seam <= elsewhere);
    }

    #[test]
    fn unknown_names_are_none() {
        assert_eq!(Signal::from_name("siren"), None);
        assert_eq!(Zone::from_name("atlantis"), None);
    }
}
