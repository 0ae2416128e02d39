//! The arbiter: processes, signals, listeners, and the drain.
//!
//! It binds the sockets, forks the workers, keeps them alive, and on SIGTERM stops them without losing a connection
//! that the kernel had accepted on their behalf. It knows nothing of HTTP: what a [`Worker`] does with a connection
//! is its own affair.
#![deny(unsafe_code)]

mod bind;
mod child;
mod context;
mod control;
mod driver;
mod error;
mod exit;
mod listener;
mod machine;
mod outcome;
mod page;
mod report;
mod run;
mod say;
mod settings;
mod signals;
mod sock_diag;
mod sys;
mod worker;

pub use bind::{Bind, BindError};
pub use context::{Accepted, Context, ListenerId, Ticket, WorkerSettings};
pub use error::{BootError, Error};
pub use exit::Exit;
pub use outcome::Outcome;
pub use page::MAX_LISTENERS;
pub use run::Arbiter;
pub use settings::{DrainSettings, Settings};
pub use worker::{Built, Drain, Worker, WorkerClass};
