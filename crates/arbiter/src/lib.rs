//! The arbiter: processes, signals, listeners, and the drain.
//!
//! It binds the sockets, forks the workers, keeps them alive, and on SIGTERM stops them without losing a connection that
//! the kernel had accepted on their behalf. It knows nothing of HTTP: what a [`Worker`] does with a connection is its own
//! affair. `rserve` is built on it, and so can be any server whose clients connect to a socket.
//!
//! # How the parts fit
//!
//! ```text
//!  Settings ──▶ Arbiter::bind ──▶ Arbiter::run ──fork──▶ harness ──steps──▶ your Worker
//!                                      ▲                    ▲                    │
//!                                      │  one page of       │     Context:       │
//!                                      └─ shared memory ────┘     accept, Ticket ┘
//! ```
//!
//! - An [`Arbiter`] is the parent process. [`Settings`] say where it listens ([`Bind`]), how many workers there are, when
//!   one counts as stuck, and how it stops ([`DrainSettings`]). [`Arbiter::run`] returns when all is over, with the
//!   program's [`Exit`] code. A [`Program`] can read its settings again on SIGHUP.
//! - A [`Worker`] is how one process serves: a few short steps that a harness calls again and again. The harness, not the
//!   class, has the loop, the signals, the heartbeat and the deadline.
//! - A [`Context`] is what the worker sees of all this: the only way to a connection ([`Context::accept`]), and the answer to
//!   "may I still accept?". Each connection ([`Accepted`]) comes with a [`Ticket`], which says in the end how it ended
//!   ([`Outcome`]): so the counts in the report of a drain add up.
//! - A [`WorkerClass`] is a worker by name, for servers whose user chooses among several.
//!
//! # First steps
//!
//! A program with this in it is a server of two processes that drains on SIGTERM:
//!
//! ```no_run
//! use std::io::{self, Write};
//! use rserve_arbiter::{Arbiter, Context, Drain, DrainSettings, Outcome, Settings, Worker};
//!
//! /// Tells everybody the same.
//! struct Oracle;
//!
//! impl Worker for Oracle {
//!     fn serve_step(&mut self, cx: &mut Context) -> io::Result<()> {
//!         let Some(listener) = cx.wait_for_connection()? else { return Ok(()) };
//!         let Some(mut accepted) = cx.accept(listener)? else { return Ok(()) };
//!         accepted.ticket.request(false);
//!         let told = accepted.stream.write_all(b"ask again later\n");
//!         accepted.ticket.finish(if told.is_ok() { Outcome::Answered } else { Outcome::ClientGone });
//!         Ok(())
//!     }
//!
//!     fn drain_step(&mut self, cx: &mut Context) -> io::Result<Drain> {
//!         self.serve_step(cx)?;
//!         Ok(Drain::Done) // no connection outlives its step
//!     }
//! }
//!
//! fn main() -> Result<std::process::ExitCode, Box<dyn std::error::Error>> {
//!     let settings = Settings {
//!         binds: vec!["127.0.0.1:8000".parse()?],
//!         workers: 2,
//!         drain: Some(DrainSettings::default()),
//!         ..Settings::default()
//!     };
//!     Ok(Arbiter::bind(settings)?.run(&mut |_context| Ok(Box::new(Oracle))).into())
//! }
//! ```
//!
//! Next: [`Worker`], which says what is called when and what each part may do, with a worker that also *waits* for its
//! clients. What a drain does, and why so, is in `docs/drain.md` of the repository.
//!
//! # What a worker lives through
//!
//! | the server | the worker | [`Context::may_accept`] |
//! | --- | --- | --- |
//! | serves | `serve_step` | yes |
//! | drains ([`Settings::drain`], SIGTERM) | `handle_exit`, then `drain_step` | yes, until the listener's queue is empty behind its gate |
//! | stops the classic way: SIGTERM without a drain | `handle_exit`, then `drain_step` | no |
//! | goes on without this worker ([`Context::is_replaced`]): SIGHUP, [`Settings::max_requests`], SIGTERM to it alone | the same | no |
//! | quits: SIGINT, SIGQUIT, [`Settings::graceful_timeout`] | `handle_quit` | no |
//!
//! # What it asks for
//!
//! - **One thread.** [`Arbiter::run`] forks; call it before any thread is started. Workers may start threads.
//! - **Linux.** The gate and the readings of the kernel's queues are its own.
//! - **A `tracing` subscriber**, for the log; one that writes in the calling thread, as a thread in the background would not
//!   live on in a fork. Without one there is no log.
#![deny(unsafe_code)]

mod bind;
mod child;
mod context;
mod control;
mod driver;
mod error;
mod exit;
mod host;
mod identity;
mod inherit;
mod listener;
mod machine;
mod meters;
mod notify;
mod outcome;
mod page;
mod pid_file;
mod program;
mod report;
mod run;
mod say;
mod settings;
mod signals;
mod sock_diag;
mod status;
mod sys;
mod title;
mod worker;

pub use bind::{Bind, BindError};
pub use context::{Accepted, Context, ListenerId, Ticket, WorkerSettings};
pub use error::{BootError, Error};
pub use exit::Exit;
pub use host::Host;
pub use identity::{Identity, IdentityError};
pub use meters::{MAX_COUNTERS, MAX_GAUGES, Meters};
pub use outcome::Outcome;
pub use page::MAX_LISTENERS;
pub use program::Program;
pub use run::Arbiter;
pub use settings::{DrainSettings, Settings};
pub use status::{Cause, DrainStatus, ListenerStatus, Status};
pub use worker::{Built, Drain, Worker, WorkerClass};
