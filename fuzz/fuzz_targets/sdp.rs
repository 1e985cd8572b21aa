//! See `portkeeper::sim::fuzz::fuzz_sdp`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| portkeeper::sim::fuzz::fuzz_sdp(data));
