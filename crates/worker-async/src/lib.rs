//! The async worker class: many requests at a time, on tokio and hyper.
//!
//! It runs apps that are tower services, with HTTP/1.1, HTTP/2 and upgrades, and blocking apps on threads beside them.
//!
//! What a request is, is decided by the codec of the other classes: hyper is given the bytes of an HTTP/1 connection only once
//! `rserve-http` has accepted them. So refusals, limits and time limits are the same in every class.
#![forbid(unsafe_code)]

mod answer;
mod blocking;
mod connection;
mod doors;
mod gate;
mod guarded;
mod http2;
mod readiness;
mod response;
mod serve;
mod shared;
mod worker;

pub use worker::CLASS;
