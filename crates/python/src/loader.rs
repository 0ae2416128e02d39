use std::collections::HashMap;
use std::ffi::OsString;

use pyo3::prelude::*;
use rserve::{App, BootError, Host, Loader, LoaderSettings, Server};

use crate::app::Wsgi;
use crate::errors;
use crate::host::{Interpreter, run_signal_handlers};

/// Runs the whole command line inside the interpreter that has called us.
pub(crate) fn main(py: Python<'_>, words: Vec<OsString>) -> u8 {
    let code = Server::new().loader(PythonLoader).run(words).code();
    // The Ctrl-C that has ended the server is not to be raised once more.
    run_signal_handlers(py);
    code
}

/// Imports apps; `rserve/_load.py` has the Python side of it.
struct PythonLoader;

impl Loader for PythonLoader {
    fn host(&self) -> Option<&'static dyn Host> {
        Some(&Interpreter)
    }

    fn load(&self, name: &str, settings: &LoaderSettings) -> Result<App, BootError> {
        if settings.worker_class == "async" {
            return Err(BootError::worker(
                "the worker class async cannot run a WSGI app, which blocks; choose sync or threaded with --worker-class",
            ));
        }
        Python::attach(|py| {
            let env: HashMap<_, _> = settings.env.iter().cloned().collect();
            ours(py)?.call_method1("prepare", (settings.path.clone(), env))?;
            let app = ours(py)?.call_method1("load", (name,))?;
            let app = Wsgi::new(&app, settings)?;
            if settings.preload {
                ours(py)?.call_method0("freeze")?;
            }
            Ok(App::blocking(app))
        })
        .map_err(boot_error)
    }
}

/// The Python side of this crate.
pub(crate) fn ours(py: Python<'_>) -> PyResult<Bound<'_, PyModule>> {
    py.import("rserve._load")
}

#[expect(clippy::needless_pass_by_value, reason = "it is what map_err gives")]
fn boot_error(error: PyErr) -> BootError {
    BootError::app(Python::attach(|py| errors::description(&error, py)))
}
