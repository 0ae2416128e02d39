//! Shows what a server loses when it is stopped under load: starts it, asks it for a page again and again, sends
//! SIGTERM, and tells what became of each request. `rserve drain-check` is its command line.
//!
//! [`Check`] does the whole of it. [`Load`] is the client alone, for tests of servers.
//!
//! A request is **lost** when `connect()` succeeded, the request was sent, and no whole response came. One whose
//! handshake was refused is not: nothing had been taken on, and a balancer may send it to the next server.
#![forbid(unsafe_code)]

mod ask;
mod check;
mod error;
mod load;
mod outcome;
mod process;
mod report;
mod response;
mod target;

pub use ask::{Ask, Method};
pub use check::Check;
pub use error::Error;
pub use load::{Load, Shape};
pub use outcome::{Exchange, Loss, Outcome, Tally};
pub use report::{Report, Stop};
pub use response::{Complete, complete};
pub use target::{Target, free_port};
