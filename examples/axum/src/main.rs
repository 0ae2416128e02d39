//! An axum app under rserve: `cargo run --package axum-example -- --worker-class async --drain-on-term`.
#![forbid(unsafe_code)]

mod app;

use std::process::ExitCode;

use rserve::{App, Server};

fn main() -> ExitCode {
    Server::new().app("axum", App::service(app::router())).main()
}
