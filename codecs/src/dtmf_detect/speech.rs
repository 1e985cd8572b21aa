//! Talk, made of nothing: a formant synthesiser with many voices, for the test that hears no keys
//! in it.
//!
//! A train of glottal pulses, or noise, goes through three resonators whose frequencies glide from
//! sound to sound. Nobody would understand a word, but pitch, formants, harmonics, hiss, pauses and
//! sung notes are those that deceive a key detector. The same seed says the same.

use std::f32::consts::TAU;

/// SplitMix64: enough chance for a test, and the same on every machine.
pub(super) struct Chance(u64);

impl Chance {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Evenly spread between the two.
    pub(super) fn between(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * ((self.next() >> 40) as f32 / (1u64 << 24) as f32)
    }

    /// Below `bound`.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// Mean 0, variance 1, nearly normal: the sum of twelve even ones.
    pub(super) fn normal(&mut self) -> f32 {
        let (mut sum, bits) = (0, [self.next(), self.next(), self.next()]);
        for word in bits {
            sum += (0..4).map(|i| (word >> (16 * i)) & 0xFFFF).sum::<u64>();
        }
        sum as f32 / 65_536.0 - 6.0
    }
}

/// A two-pole resonator with unit gain at its peak, roughly.
#[derive(Clone, Copy, Default)]
struct Resonator {
    a: f32,
    b: f32,
    gain: f32,
    y1: f32,
    y2: f32,
}

impl Resonator {
    fn tune(&mut self, hz: f32, bandwidth: f32) {
        let radius = (-TAU / 2.0 * bandwidth / 8_000.0).exp();
        self.a = 2.0 * radius * (TAU * hz / 8_000.0).cos();
        self.b = -radius * radius;
        self.gain = 1.0 - radius;
    }

    fn pass(&mut self, x: f32) -> f32 {
        let y = self.gain * x + self.a * self.y1 + self.b * self.y2;
        (self.y2, self.y1) = (self.y1, y);
        y
    }
}

/// What a sound is made from.
#[derive(Clone, Copy)]
struct Sound {
    formants: [f32; 3],
    voice: f32,
    hiss: f32,
    /// Samples.
    length: usize,
    /// Relative pitch at the end.
    pitch: f32,
}

/// Somebody talking.
pub(super) struct Speaker {
    chance: Chance,
    /// Hertz.
    pitch: f32,
    /// Length of the vocal tract: formants times this.
    tract: f32,
    /// Share of sung notes, with steady pitch and formants.
    sings: f32,
    loudness: f32,
    now: Sound,
    next: Sound,
    at: usize,
    phase: f32,
    glottis: f32,
    resonators: [Resonator; 3],
    /// Current pitch in turns a sample, voice and hiss.
    source: (f32, f32, f32),
}

/// Samples between changes of the resonators.
const STEP: usize = 40;

/// First two formants of vowels, nasals and laterals of an adult.
const VOWELS: [(f32, f32); 14] = [
    (270.0, 2290.0),
    (390.0, 1990.0),
    (530.0, 1840.0),
    (660.0, 1720.0),
    (730.0, 1090.0),
    (570.0, 840.0),
    (440.0, 1020.0),
    (300.0, 870.0),
    (640.0, 1190.0),
    (490.0, 1350.0),
    (700.0, 1220.0),
    (850.0, 1610.0),
    (280.0, 1000.0),
    (360.0, 1300.0),
];

impl Speaker {
    pub(super) fn new(seed: u64) -> Self {
        let mut chance = Chance::new(seed);
        let pitch = chance.between(80.0, 320.0);
        let tract = chance.between(0.9, 1.25);
        let sings = chance.between(0.0, 0.3);
        let loudness = chance.between(1_500.0, 9_000.0);
        let silent =
            Sound { formants: [500.0, 1_500.0, 2_500.0], voice: 0.0, hiss: 0.0, length: 1, pitch };
        Self {
            chance,
            pitch,
            tract,
            sings,
            loudness,
            now: silent,
            next: silent,
            at: 0,
            phase: 0.0,
            glottis: 0.0,
            resonators: [Resonator::default(); 3],
            source: (0.0, 0.0, 0.0),
        }
    }

    /// The next samples.
    pub(super) fn say(&mut self, samples: &mut [i16]) {
        for step in samples.chunks_mut(STEP) {
            self.glide();
            for sample in step {
                *sample = self.sample();
            }
        }
    }

    fn sample(&mut self) -> i16 {
        let (turn, voice, hiss) = self.source;
        self.phase += turn;
        let mut pulse = 0.0;
        if self.phase >= 1.0 {
            self.phase -= 1.0;
            pulse = voice * self.chance.between(0.95, 1.05) * 9.0;
        }
        // The glottis falls off with 6 dB an octave.
        self.glottis = self.glottis * 0.9 + pulse;
        let noise = if hiss > 0.0 { hiss * self.chance.between(-1.0, 1.0) } else { 0.0 };
        let source = self.glottis + noise;
        let [one, two, three] = &mut self.resonators;
        let out = one.pass(source) + 0.7 * two.pass(source) + 0.35 * three.pass(source);
        (out * self.loudness) as i16
    }

    fn glide(&mut self) {
        if self.at >= self.now.length {
            self.at = 0;
            self.now = self.next;
            self.next = self.choose();
        }
        // The last third of a sound moves to the next.
        let done = self.at as f32 / self.now.length as f32;
        let moved = ((done - 0.67) * 3.0).max(0.0);
        let mix = |a: f32, b: f32| a + (b - a) * moved;
        for (i, resonator) in self.resonators.iter_mut().enumerate() {
            let hz = mix(self.now.formants[i], self.next.formants[i]);
            resonator.tune(hz, 50.0 + 30.0 * i as f32);
        }
        let pitch = mix(self.now.pitch, self.next.pitch) * self.chance.between(0.995, 1.005);
        let voice = mix(self.now.voice, self.next.voice);
        self.source = (pitch / 8_000.0, voice, mix(self.now.hiss, self.next.hiss));
        self.at += STEP;
    }

    fn choose(&mut self) -> Sound {
        let chance = &mut self.chance;
        let (first, second) = VOWELS[chance.below(VOWELS.len())];
        let tract = self.tract * chance.between(0.95, 1.05);
        let third = chance.between(2_300.0, 3_000.0);
        let mut sound = Sound {
            formants: [first * tract, second * tract, (third * tract).min(3_700.0)],
            voice: chance.between(0.6, 1.0),
            hiss: chance.between(0.0, 0.02),
            length: chance.between(400.0, 1_600.0) as usize,
            pitch: self.pitch * chance.between(0.8, 1.3),
        };
        match chance.below(10) {
            // Fricative, stop, pause.
            0 | 1 => (sound.voice, sound.hiss) = (0.0, chance.between(0.1, 0.5)),
            2 => (sound.voice, sound.hiss) = (0.0, 0.0),
            3 if chance.below(4) == 0 => {
                (sound.voice, sound.hiss) = (0.0, 0.001);
                sound.length *= 3;
            }
            _ if chance.between(0.0, 1.0) < self.sings => sound.length *= 4,
            _ => {}
        }
        sound
    }
}
