//! Sound and payload formats: pure functions and small machines, no clock, no I/O but prompt files.

mod digit;

pub use digit::Digit;
