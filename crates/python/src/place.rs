use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::start_response::StartResponse;

/// Where the app is called for one request: what it sets in context variables is there as long as the response, and nobody
/// else's. Without a context of its own, which costs a little, it is the thread's.
#[derive(Default)]
pub(crate) struct Place(Option<Py<PyAny>>);

impl Place {
    /// One that may be taken to other threads.
    pub(crate) fn new(py: Python<'_>) -> PyResult<Self> {
        let context = py.import(intern!(py, "contextvars"))?.call_method0(intern!(py, "copy_context"))?;
        Ok(Self(Some(context.unbind())))
    }

    pub(crate) fn call_app<'py>(
        &self,
        app: &Bound<'py, PyAny>,
        environ: Bound<'py, PyDict>,
        start: &Bound<'py, StartResponse>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = app.py();
        match &self.0 {
            None => app.call1((environ, start)),
            Some(context) => context.bind(py).call_method1(intern!(py, "run"), (app, environ, start)),
        }
    }

    pub(crate) fn call<'py>(&self, callable: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = callable.py();
        match &self.0 {
            None => callable.call0(),
            Some(context) => context.bind(py).call_method1(intern!(py, "run"), (callable,)),
        }
    }
}
