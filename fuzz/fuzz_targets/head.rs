//! See `rserve_http_fuzz::head`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rserve_http_fuzz::head(data));
