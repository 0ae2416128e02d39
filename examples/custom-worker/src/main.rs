//! `rserve` with one more worker class in it: `cargo run --package custom-worker -- -k thread-per-connection`.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use rserve::Server;

fn main() -> ExitCode {
    Server::new().worker_class(custom_worker::CLASS).main()
}
