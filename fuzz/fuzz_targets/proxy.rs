//! See `rserve_http_fuzz::proxy`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rserve_http_fuzz::proxy(data));
