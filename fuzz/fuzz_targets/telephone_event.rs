//! See `portkeeper::sim::fuzz::fuzz_telephone_event`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| portkeeper::sim::fuzz::fuzz_telephone_event(data));
