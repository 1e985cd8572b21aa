//! See `portkeeper::sim::fuzz::fuzz_sip_message`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| portkeeper::sim::fuzz::fuzz_sip_message(data));
