//! See `rserve_http_fuzz::connection`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rserve_http_fuzz::connection(data));
