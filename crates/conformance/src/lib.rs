//! Finds out whether a worker class of your own serves, beats, drains and quits as it must.
//!
//! A class is a few functions ([`Worker`]), and most of what can be wrong with it shows only when the server is stopped
//! under load: connections that are left in the queue, a request that is cut, a stop that lasts until its deadline. This
//! crate stops your server in all the ways that matter, and says what became of its clients. In your `Cargo.toml` it is a
//! dev-dependency; in your `tests/conformance.rs` it is one line:
//!
//! ```no_run
//! # macro_rules! env { ($name:literal) => { "target/debug/mine" }; }
//! #[test]
//! fn mine_is_a_good_worker_class() {
//!     rserve_conformance::Check::new(env!("CARGO_BIN_EXE_mine"), "mine").run().assert_passed();
//! }
//! ```
//!
//! A check that fails says what was seen, what to do about it, and what the server has logged.
//!
//! # What is run
//!
//! Your program itself with its own `main`, driven as its users drive it: by flags, over sockets, with signals. No part of
//! the server is replaced, so what passes here is what you ship. And the server is a process of its own, as it must be: an
//! arbiter forks, which a test runner with its threads may not. For the same reason the kit needs nothing of the server but
//! its command line, and depends on none of its crates.
//!
//! The program must end in [`Server::main`], as every program does that has a class of its own in it, and the class must
//! serve blocking apps: what is asked for is the demo app, which is always there. A library that has a class and no
//! program needs one of ten lines for this, as its users will.
//!
//! # What is found out
//!
//! [`CHECKS`] lists the checks. They look at the class from outside: what clients get, which processes live, and whether
//! the counts in the report of the drain are right. They do not say how fast it is, nor that its HTTP is right in every
//! corner: a class that decodes with `rserve-http` inherits that.
//!
//! All of them together take about fifteen seconds. Times are bounded, and traffic goes to loopback and to Unix sockets in
//! a temporary folder. Linux; no privilege is needed.
//!
//! [`Worker`]: ../rserve_arbiter/trait.Worker.html
//! [`Server::main`]: ../rserve/struct.Server.html#method.main
#![forbid(unsafe_code)]

mod check;
mod checks;
mod client;
mod drain_report;
mod log;
mod process;
mod report;
mod server;
mod verdict;

pub use check::Check;
pub use checks::{CHECKS, CheckInfo};
pub use report::{Failure, Report};
