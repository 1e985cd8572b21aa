//! See `portkeeper::sim::fuzz::fuzz_configuration`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| portkeeper::sim::fuzz::fuzz_configuration(data));
