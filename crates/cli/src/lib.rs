//! The `rserve` server as a library, for programs that bring their own app or their own worker class: its whole command
//! line and everything behind it.
//!
//! # First steps: an app
//!
//! A program with this `main` is `rserve` with one more app in it, the one that is served when the command line names none:
//!
//! ```no_run
//! use rserve::{App, Handler, Request, Response, Server};
//!
//! struct Greeting;
//!
//! impl Handler for Greeting {
//!     fn handle(&self, request: Request<'_>) -> Response {
//!         Response::new(format!("hello, {}\n", request.head().path()).into())
//!     }
//! }
//!
//! fn main() -> std::process::ExitCode {
//!     Server::new().app("greeting", App::blocking(Greeting)).main()
//! }
//! ```
//!
//! It has every flag (`--help` lists them), forks its workers, logs, and with `--drain-on-term` stops without losing a
//! connection. [`Server`] has the rest of the building; the plain binary is [`Server::new`]`().main()`.
//!
//! # How the parts fit
//!
//! ```text
//!  argv ──▶ Server::main ──▶ arbiter ──fork──▶ worker, of a WorkerClass ──Request──▶ Handler of the App
//!                                                 ▲        ▲                 ◀──Response──
//!                                              Context    Site
//! ```
//!
//! | to … | there is |
//! | --- | --- |
//! | write an app | [`App`], [`Handler`]; [`Request`] with its [`RequestBody`], [`ConnectInfo`] and [`Client`]; [`Response`] with its [`Body`]; [`App::service`] for tower services, [`AsyncBody`] |
//! | put a server together | [`Server`] |
//! | write a worker class | [`Worker`], [`WorkerClass`], [`Context`]; [`Accepted`], [`Ticket`], [`Outcome`]; [`Drain`]; [`Site`], [`HttpSettings`] |
//! | read and write HTTP in it | [`codec`], all of the crate `rserve-http` |
//! | or have that done by the loop that `sync` has | [`event_loop`], all of the crate `rserve-event-loop` |
//!
//! # A worker class
//!
//! How a process serves (one request at a time, on threads, on an async runtime) is a value of type [`WorkerClass`] and an
//! implementation of [`Worker`], whose page says what is called when. Yours stands beside those that come with the server:
//!
//! ```no_run
//! use std::io;
//! use rserve::{Built, Context, Drain, Server, Site, Worker, WorkerClass};
//!
//! const CLASS: WorkerClass<Site> = WorkerClass { name: "mine", summary: "as I like it", build };
//!
//! struct Mine {
//!     site: Site,
//! }
//!
//! fn build(site: &Site, _: &mut Context) -> Built {
//!     Ok(Box::new(Mine { site: site.clone() }))
//! }
//!
//! impl Worker for Mine {
//!     fn serve_step(&mut self, cx: &mut Context) -> io::Result<()> {
//!         let Some(listener) = cx.wait_for_connection()? else { return Ok(()) };
//!         let Some(accepted) = cx.accept(listener)? else { return Ok(()) };
//!         // Read a request, have the app in `self.site` answer it, send the response…
//! #       let _ = &self.site;
//!         accepted.ticket.finish(rserve::Outcome::Answered);
//!         Ok(())
//!     }
//!
//!     fn drain_step(&mut self, cx: &mut Context) -> io::Result<Drain> {
//!         self.serve_step(cx)?;
//!         Ok(Drain::Done)
//!     }
//! }
//!
//! fn main() -> std::process::ExitCode {
//!     Server::new().worker_class(CLASS).main()
//! }
//! ```
//!
//! The guide from an empty folder to a class that is tested is `docs/custom-workers.md` of the repository, and
//! `examples/custom-worker` is such a class. The crate `rserve-conformance` finds out whether yours serves, beats, drains and
//! quits as it must.
//!
//! # What it asks for
//!
//! Linux, and a `main` that starts no thread before [`Server::main`]: the arbiter forks.
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
mod shell;
mod sources;
mod telemetry;
mod terminal;
mod usage;
mod version;

pub use loader::{HeaderMap, Loader, LoaderSettings};
pub use rserve_arbiter::{
    Accepted, BootError, Built, Context, Drain, DrainSettings, Exit, Host, ListenerId, Outcome, Ticket, Worker,
    WorkerClass, WorkerSettings,
};
pub use rserve_event_loop as event_loop;
pub use rserve_event_loop::{Answered, Asked, HttpSettings, Observer, Site, Watch};
pub use rserve_http as codec;
pub use rserve_http::{
    Answer, AnswerHead, App, AsyncBody, Body, Client, ConnectInfo, Handler, RawHead, Request, RequestBody, Response,
    ResponseError, Scheme, Version,
};
pub use server::Server;

use error::Error;
