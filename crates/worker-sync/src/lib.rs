//! The sync worker class: one request at a time in each process, many connections.
//!
//! A request reaches the app when it is complete, and its response is sent as the client reads it, so neither slow
//! uploads nor slow readers nor idle connections occupy the app. While the app runs, new connections stay in the queue
//! that all workers share.
#![forbid(unsafe_code)]

mod worker;

pub use worker::CLASS;
