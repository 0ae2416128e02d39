//! End-to-end tests: the real binary, real sockets, every worker class.

mod harness;
mod support;
