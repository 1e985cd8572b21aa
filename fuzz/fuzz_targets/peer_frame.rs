//! See `portkeeper::sim::fuzz::fuzz_peer_frame`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| portkeeper::sim::fuzz::fuzz_peer_frame(data));
