//! The readiness loop that the blocking worker classes share: many connections on one thread, their buffers and their
//! time limits. It hands over whole requests and sends responses; who runs the app, and where, is the worker's affair.
//!
//! An idle connection costs a descriptor and less than two hundred bytes: buffers belong to requests, not to connections.
#![forbid(unsafe_code)]

mod app_panic;
mod body_memory;
mod close_reason;
mod collect;
mod connection;
mod date;
mod doors;
mod event_loop;
mod feed;
mod incoming;
mod job;
mod output;
mod phase;
mod sending;
mod settings;
mod shared;
mod taken;
mod unsent;
mod waker;
mod watch;
mod window;

pub use app_panic::{catch_app_panic, quiet_app_panics};
pub use body_memory::BodyMemory;
pub use close_reason::CloseReason;
pub use collect::Collect;
pub use connection::Preface;
pub use event_loop::EventLoop;
pub use job::{Done, Hand, Job};
pub use phase::Phase;
pub use settings::{HttpSettings, Site};
pub use taken::Taken;
pub use waker::Waker;
pub use watch::{Answered, Asked, Census, Kept, Observer, Watch};
