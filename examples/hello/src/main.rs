//! A server with an app of its own in it: `cargo run --package hello -- --help` is the command line of `rserve`.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use rserve::{App, Handler, Request, Response, Server};

/// Greets whoever the path names.
struct Hello;

impl Handler for Hello {
    fn handle(&self, request: Request<'_>) -> Response {
        let name = request.head().path().trim_matches('/');
        let name = if name.is_empty() { "world" } else { name };
        Response::new(format!("hello, {name}\n").into())
    }
}

fn main() -> ExitCode {
    Server::new().app("hello", App::blocking(Hello)).main()
}
