//! Sound and payload formats: pure functions and small machines, no clock, no I/O but prompt files.
//!
//! Everything runs at 8,000 samples a second on linear 16-bit samples; `g711` is the border to the
//! wire. The per-frame paths (`g711`, `telephone_event`, `dtmf_detect`, `conceal`, `tone`) allocate
//! nothing after construction.

pub mod conceal;
mod digit;
pub mod dtmf_detect;
pub mod g711;
pub mod telephone_event;
pub mod tone;
pub mod wav;

pub use digit::Digit;

/// Samples a second of every stream: narrowband telephony.
pub const SAMPLE_RATE: u32 = 8_000;

/// Milliseconds of a frame, the unit in which the media threads work.
pub const FRAME_MS: u32 = 20;

/// Samples of a frame.
pub const FRAME_SAMPLES: usize = 160;

/// RTP timestamp units in a millisecond.
pub(crate) const UNITS_PER_MS: u32 = SAMPLE_RATE / 1_000;
