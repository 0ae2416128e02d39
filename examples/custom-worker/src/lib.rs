//! A worker class that came from elsewhere: a thread for each connection, and one request on each.
//!
//! It is what a stranger would write from the documentation of `rserve`, and serves as a model: `worker` is the class,
//! `connection` is HTTP over a blocking socket, and `main.rs` is the server that has it.
#![forbid(unsafe_code)]

mod connection;
mod worker;

pub use worker::CLASS;
