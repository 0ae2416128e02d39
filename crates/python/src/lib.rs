//! The Python host: the command line of `rserve` with WSGI apps in it, as the module `rserve._native` of a wheel.
//!
//! One interpreter, the one that runs `rserve`, is in every process: the arbiter forks inside of it. The main thread
//! holds the GIL all the time but for the waits that really block ([`Host`](rserve::Host) says where these are).
#![deny(unsafe_code)]

mod app;
mod body;
mod closing;
mod environ;
mod errors;
mod field_keys;
mod file_wrapper;
mod host;
mod input;
mod loader;
mod start_response;
mod template;

use pyo3::prelude::*;

/// What Python sees of this crate.
#[pymodule]
mod _native {
    use pyo3::prelude::*;

    use crate::{host, loader};

    /// Does what the words of the command line say; returns the exit code.
    #[pyfunction]
    fn main(py: Python<'_>, words: Vec<std::ffi::OsString>) -> u8 {
        loader::main(py, words)
    }

    /// Says that this process is a child that the app has forked.
    #[pyfunction]
    fn leave_worker() {
        host::leave_worker();
    }
}
