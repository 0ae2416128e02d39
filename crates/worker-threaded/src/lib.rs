//! The threaded worker class: one thread with the event loop, and a pool of threads on which the app runs.
//!
//! As with the sync class, a request reaches the app when it is complete, and neither slow uploads nor slow readers nor
//! idle connections occupy a thread of the pool.
#![forbid(unsafe_code)]

mod in_hand;
mod pool;
mod queue;
mod worker;

pub use worker::CLASS;
