//! G.711 A-law and mu-law, exact to the software of ITU-T G.191 for all 65,536 samples.
//!
//! Both laws are a sign, a segment and four bits within it: a floating-point number of eight bits.
//! The segment is the position of the highest set bit, so encoding is one count of leading zeros;
//! decoding and the change of law are tables of 256 entries, made by the compiler.
//!
//! A negative sample is measured as its one's complement, as the ITU's software does: -1 and 0 are
//! neighbours of equal size, on two sides of zero.

/// Which of the two laws; RFC 3551 calls them PCMU and PCMA.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Law {
    /// mu-law: North America, Japan.
    Mu,
    /// A-law: everywhere else.
    A,
}

impl Law {
    /// The static RTP payload type (RFC 3551 table 4).
    pub const fn payload_type(self) -> u8 {
        match self {
            Self::Mu => 0,
            Self::A => 8,
        }
    }

    /// The octet of the quietest positive sample: a frame of it is silence.
    pub const fn silence(self) -> u8 {
        match self {
            Self::Mu => 0xFF,
            Self::A => 0xD5,
        }
    }

    /// One sample to its octet.
    pub const fn encode_sample(self, sample: i16) -> u8 {
        match self {
            Self::Mu => encode_mu(sample),
            Self::A => encode_a(sample),
        }
    }

    /// One octet to its sample.
    pub const fn decode_sample(self, octet: u8) -> i16 {
        match self {
            Self::Mu => MU_TO_LINEAR[octet as usize],
            Self::A => A_TO_LINEAR[octet as usize],
        }
    }

    /// Encodes as many samples as both slices hold, and says how many.
    pub fn encode(self, samples: &[i16], octets: &mut [u8]) -> usize {
        match self {
            Self::Mu => map(samples, octets, encode_mu),
            Self::A => map(samples, octets, encode_a),
        }
    }

    /// Encodes a whole prompt. For loading time: it allocates.
    pub fn encode_all(self, samples: &[i16]) -> Vec<u8> {
        samples.iter().map(|&sample| self.encode_sample(sample)).collect()
    }

    /// Decodes as many octets as both slices hold, and says how many.
    pub fn decode(self, octets: &[u8], samples: &mut [i16]) -> usize {
        let table = match self {
            Self::Mu => &MU_TO_LINEAR,
            Self::A => &A_TO_LINEAR,
        };
        map(octets, samples, |octet| table[usize::from(octet)])
    }

    /// Turns octets of this law into those of the other, in place, by tables 3 and 4 of G.711:
    /// a second change gives back what the first was given, save where one law is the coarser.
    pub fn transcode_in_place(self, to: Self, octets: &mut [u8]) {
        let table = match (self, to) {
            (Self::Mu, Self::A) => &MU_TO_A,
            (Self::A, Self::Mu) => &A_TO_MU,
            (Self::Mu, Self::Mu) | (Self::A, Self::A) => return,
        };
        for octet in octets {
            *octet = table[usize::from(*octet)];
        }
    }
}

/// One octet of mu-law as A-law (G.711 table 3).
pub const fn mu_to_a(octet: u8) -> u8 {
    MU_TO_A[octet as usize]
}

/// One octet of A-law as mu-law (G.711 table 4).
pub const fn a_to_mu(octet: u8) -> u8 {
    A_TO_MU[octet as usize]
}

fn map<A: Copy, B>(from: &[A], to: &mut [B], f: impl Fn(A) -> B) -> usize {
    for (out, &input) in to.iter_mut().zip(from) {
        *out = f(input);
    }
    from.len().min(to.len())
}

static MU_TO_LINEAR: [i16; 256] = MU_VALUES;
static A_TO_LINEAR: [i16; 256] = A_VALUES;
static MU_TO_A: [u8; 256] = TABLE_3;
static A_TO_MU: [u8; 256] = table_4();

/// Sign bit of an octet; set for samples of zero and above.
const POSITIVE: u8 = 0x80;

/// A-law octets travel with every even bit inverted (G.711 section 3.2).
const A_TOGGLE: u8 = 0x55;

const fn sign_of(sample: i16) -> u8 {
    if sample < 0 { 0 } else { POSITIVE }
}

/// Magnitude as the ITU's software takes it: the one's complement of a negative sample.
const fn magnitude(sample: i16) -> u16 {
    (if sample < 0 { !sample } else { sample }) as u16
}

const fn encode_mu(sample: i16) -> u8 {
    // 14-bit magnitude plus the bias of 33 that makes every segment begin at a power of two.
    let biased = (magnitude(sample) >> 2) + 33;
    let biased = if biased > 0x1FFF { 0x1FFF } else { biased };
    let segment = 10 - biased.leading_zeros();
    let step = (biased >> (segment + 1)) & 0x0F;
    let code = (segment << 4) as u8 | step as u8;
    (code ^ 0x7F) | sign_of(sample)
}

const fn encode_a(sample: i16) -> u8 {
    let steps = magnitude(sample) >> 4;
    let code = if steps < 16 {
        steps
    } else {
        let segment = 12 - steps.leading_zeros();
        (segment as u16) << 4 | (steps >> (segment - 1)) & 0x0F
    };
    (code as u8 | sign_of(sample)) ^ A_TOGGLE
}

const fn decode_mu(octet: u8) -> i16 {
    let code = !octet;
    let segment = (code >> 4) & 0x07;
    let biased = ((((code & 0x0F) as i16) << 3) + 0x84) << segment;
    let size = biased - 0x84;
    if octet & POSITIVE == 0 { -size } else { size }
}

const fn decode_a(octet: u8) -> i16 {
    let code = octet ^ A_TOGGLE;
    let segment = (code >> 4) & 0x07;
    // The middle of the step.
    let within = (((code & 0x0F) as i16) << 4) + 8;
    let size = if segment == 0 { within } else { (within + 0x100) << (segment - 1) };
    if code & POSITIVE == 0 { -size } else { size }
}

const MU_VALUES: [i16; 256] = {
    let mut table = [0; 256];
    let mut octet = 0;
    while octet < 256 {
        table[octet] = decode_mu(octet as u8);
        octet += 1;
    }
    table
};

const A_VALUES: [i16; 256] = {
    let mut table = [0; 256];
    let mut octet = 0;
    while octet < 256 {
        table[octet] = decode_a(octet as u8);
        octet += 1;
    }
    table
};

/// Table 3 of G.711. The recommendation pairs the steps of the two laws by their numbers, which
/// comes to the nearest A-law step, upwards when a mu-law value lies within 4 of the border of two;
/// only its codes 92 to 95 take the nearest as it is.
const TABLE_3: [u8; 256] = {
    let mut table = [0; 256];
    let mut octet = 0;
    while octet < 256 {
        let code = octet & 0x7F;
        let upwards = if code >= 92 && code <= 95 { 0 } else { 4 };
        // 0x7F: the sign travels apart, because mu-law has two zeros.
        let nearest = encode_a(MU_VALUES[octet | POSITIVE as usize] + upwards) & 0x7F;
        table[octet] = nearest | (octet as u8 & POSITIVE);
        octet += 1;
    }
    table
};

/// Table 4 of G.711: table 3 read backwards, so that A-law survives the way there and back where a
/// mu-law code leads to it, the lower code of two where two do, and the nearest step elsewhere.
const fn table_4() -> [u8; 256] {
    let mut table = [0; 256];
    let mut octet = 0;
    while octet < 256 {
        table[octet] = encode_mu(A_VALUES[octet]);
        octet += 1;
    }
    // Between mu-law codes 47 and 48 the table prefers the smaller value to the nearest.
    table[26] = 48;
    table[26 | POSITIVE as usize] = 48 | POSITIVE;
    let mut octet = 256;
    while octet > 0 {
        octet -= 1;
        table[TABLE_3[octet] as usize] = octet as u8;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use audio_codec_algorithms as oracle;

    #[test]
    fn sip_m1_every_sample_encodes_as_the_oracle_does() {
        for sample in i16::MIN..=i16::MAX {
            assert_eq!(Law::Mu.encode_sample(sample), oracle::encode_ulaw(sample), "{sample}");
            assert_eq!(Law::A.encode_sample(sample), oracle::encode_alaw(sample), "{sample}");
        }
    }

    #[test]
    fn sip_m1_every_octet_decodes_and_changes_law_as_the_oracle_does() {
        for octet in 0..=255 {
            assert_eq!(Law::Mu.decode_sample(octet), oracle::decode_ulaw(octet), "{octet}");
            assert_eq!(Law::A.decode_sample(octet), oracle::decode_alaw(octet), "{octet}");
            assert_eq!(mu_to_a(octet), oracle::convert_ulaw_to_alaw(octet), "{octet}");
            assert_eq!(a_to_mu(octet), oracle::convert_alaw_to_ulaw(octet), "{octet}");
        }
    }

    #[test]
    fn slices_convert_like_single_samples_and_stop_at_the_shorter() {
        let samples: Vec<i16> = (0..160).map(|i| i * 199 - 16_000).collect();
        for law in [Law::Mu, Law::A] {
            let mut octets = [0; 100];
            assert_eq!(law.encode(&samples, &mut octets), 100);
            assert_eq!(law.encode_all(&samples)[..100], octets);
            let mut back = [0; 160];
            assert_eq!(law.decode(&octets, &mut back), 100);
            for i in 0..100 {
                assert_eq!(octets[i], law.encode_sample(samples[i]));
                assert_eq!(back[i], law.decode_sample(octets[i]));
            }
            assert!(back[100..].iter().all(|&s| s == 0));
        }
    }

    #[test]
    fn silence_is_the_smallest_positive_sample() {
        for law in [Law::Mu, Law::A] {
            assert_eq!(law.encode_sample(0), law.silence());
        }
    }

    #[test]
    fn changing_the_law_in_place_goes_by_the_tables() {
        let all: Vec<u8> = (0..=255).collect();
        let mut octets = all.clone();
        Law::Mu.transcode_in_place(Law::A, &mut octets);
        assert!(octets.iter().zip(&all).all(|(&a, &mu)| a == mu_to_a(mu)));
        Law::A.transcode_in_place(Law::A, &mut octets);
        Law::A.transcode_in_place(Law::Mu, &mut octets);
        let changed = octets.iter().zip(&all).filter(|(a, b)| a != b).count();
        assert_eq!(changed, 16, "only the steps of mu-law finer than any of A-law");
    }
}
