//! The `rserve` server as a library: its command line and everything behind it, for programs that bring their own app
//! or worker class. The binary `rserve` is [`Server::new`]`().main()`.
//!
//! ```no_run
//! use rserve::{App, Handler, Request, Response, Server};
//!
//! struct Greeting;
//!
//! impl Handler for Greeting {
//!     fn handle(&self, _: Request<'_>) -> Response {
//!         Response::new("hello\n".into())
//!     }
//! }
//!
//! fn main() -> std::process::ExitCode {
//!     Server::new().app("greeting", App::blocking(Greeting)).main()
//! }
//! ```
#![forbid(unsafe_code)]

mod config;
mod demo;
mod drain_check;
mod error;
mod flags;
mod health;
mod loader;
mod log;
mod server;
mod sources;
mod usage;

pub use loader::{HeaderMap, Loader, LoaderSettings};
pub use rserve_arbiter::{
    Accepted, BootError, Built, Context, Drain, DrainSettings, Exit, Host, ListenerId, Outcome, Ticket, Worker,
    WorkerClass, WorkerSettings,
};
pub use rserve_event_loop::{HttpSettings, Site};
pub use rserve_http as codec;
pub use rserve_http::{
    App, AsyncBody, Body, Client, ConnectInfo, Handler, Request, RequestBody, Response, Scheme, Version,
};
pub use server::Server;

use error::Error;
