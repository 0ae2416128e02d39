//! What the fuzzers of `rserve-http` check.
//!
//! Each function takes the bytes of one input and panics if something is wrong with what the codec makes of them. The
//! targets in `fuzz_targets/` feed them from libFuzzer; `crates/http/tests/fuzz_bodies.rs` feeds them from the corpus
//! and from seeds, on any compiler.
#![forbid(unsafe_code)]

mod chunked;
mod connection;
mod differences;
mod differential;
mod drive;
mod head;
mod peer;
mod proxy;
mod response;

pub use chunked::chunked;
pub use connection::connection;
pub use differential::{differences_are_real, differential};
pub use head::head;
pub use proxy::proxy;
pub use response::response;
