//! See `portkeeper::sim::fuzz::fuzz_uri_headers`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| portkeeper::sim::fuzz::fuzz_uri_headers(data));
