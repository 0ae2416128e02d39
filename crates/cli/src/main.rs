//! The plain server: the worker classes that come with it, and the demo app.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    rserve::Server::new().main()
}
