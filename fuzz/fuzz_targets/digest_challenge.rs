//! See `portkeeper::sim::fuzz::fuzz_digest_challenge`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| portkeeper::sim::fuzz::fuzz_digest_challenge(data));
