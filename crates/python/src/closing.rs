//! What is left to do when a response has been given: the end of the iterable, and its `close()`.
//!
//! It is done before the thread's next call into the app, or when the thread has nothing else to do: by then the response
//! is with the client in most cases, so that slow work in `close()` does not keep it waiting.

use std::cell::RefCell;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyIterator;

use crate::{body, errors, host};

/// An iterable that was returned by the app, with what it may need at its end.
pub(crate) struct Closing {
    /// To be run to its end first, which should be there.
    pub(crate) iterator: Option<Py<PyIterator>>,
    pub(crate) close: Option<Py<PyAny>>,
    /// The request line, for the log.
    pub(crate) line: Box<[u8]>,
}

thread_local! {
    static LEFT: RefCell<Vec<Closing>> = const { RefCell::new(Vec::new()) };
}

/// Leaves it for later. This is the thread that has called the app: a body stays with it.
pub(crate) fn later(closing: Closing) {
    if closing.iterator.is_some() || closing.close.is_some() {
        LEFT.with_borrow_mut(|left| left.push(closing));
    }
}

/// Does all that was left on this thread.
pub(crate) fn close_all(py: Python<'_>) {
    // What is closed may run anything; it is not to find the list borrowed.
    while let Some(closing) = LEFT.with_borrow_mut(|left| if left.is_empty() { None } else { Some(left.remove(0)) }) {
        closing.close(py);
    }
    // A line without an end would become part of another request's, or be lost with the process.
    errors::end_line();
}

impl Closing {
    fn close(self, py: Python<'_>) {
        let finished = self.iterator.as_ref().map_or(Ok(()), |iterator| finish(iterator.bind(py)));
        let closed = self.close.as_ref().map_or(Ok(()), |close| close.call0(py).map(drop));
        host::end_if_forked(py, finished.as_ref().and(closed.as_ref()).err());
        for raised in [finished.err(), closed.err()].into_iter().flatten() {
            errors::log(py, &raised, &self.line, "the app failed after its response");
        }
    }
}

/// Runs what stands behind the last piece of the body.
fn finish(iterator: &Bound<'_, PyIterator>) -> PyResult<()> {
    match body::next_piece(&mut iterator.clone())? {
        None => Ok(()),
        Some(_) => Err(PyValueError::new_err("the body is longer than its Content-Length")),
    }
}
