//! See `portkeeper::sim::fuzz::fuzz_stream_framing`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| portkeeper::sim::fuzz::fuzz_stream_framing(data));
