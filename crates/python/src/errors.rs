//! What goes wrong in Python code, and what it says to `wsgi.errors`: both go into the log.

use std::cell::RefCell;
use std::sync::{Mutex, PoisonError};

use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::loader::ours;

/// An exception with its traceback, as Python prints it.
pub(crate) fn traceback(error: &PyErr, py: Python<'_>) -> String {
    let lines = py
        .import("traceback")
        .and_then(|module| {
            module.call_method1("format_exception", (error.get_type(py), error.value(py), error.traceback(py)))
        })
        .and_then(|lines| PyString::new(py, "").call_method1("join", (lines,)))
        .and_then(|text| readable(text.cast()?));
    lines.map_or_else(|_| error.to_string(), |text| text.trim_end().to_owned())
}

/// The text as UTF-8. Names of files may have lone surrogates in them, which Python prints as escapes, too.
fn readable(text: &Bound<'_, PyString>) -> PyResult<String> {
    match text.to_str() {
        Ok(text) => Ok(text.to_owned()),
        Err(_) => text.call_method1("encode", ("utf-8", "backslashreplace"))?.call_method0("decode")?.extract(),
    }
}

/// Logs an exception of the app.
pub(crate) fn log(py: Python<'_>, raised: &PyErr, request_line: &[u8], what: &str) {
    let request = String::from_utf8_lossy(request_line);
    // On lines of its own, as people know it.
    let traceback = format!("\n{}", traceback(raised, py));
    tracing::error!(%request, %traceback, "{what}");
}

/// Warns of a response's field that is the server's, once for each name: apps that set one do so all the time.
pub(crate) fn say_once(name: &str) {
    static SAID: Mutex<Vec<String>> = Mutex::new(Vec::new());
    let (name, mut said) = (name.to_ascii_lowercase(), SAID.lock().unwrap_or_else(PoisonError::into_inner));
    if !said.contains(&name) {
        tracing::warn!("the app sets the response header {name}, which is the server's; it is left out");
        said.push(name);
    }
}

/// Why an app could not be loaded: with a traceback if its own code has failed.
pub(crate) fn description(error: &PyErr, py: Python<'_>) -> String {
    // With its traceback: before CPython 3.12 the exception alone may be without.
    let raised = error.clone_ref(py).into_value(py);
    let text = ours(py).and_then(|ours| ours.call_method1("describe", (raised,)));
    text.and_then(|text| readable(text.cast()?)).unwrap_or_else(|_| traceback(error, py))
}

thread_local! {
    /// What this thread has written of a line that is not at its end.
    static BEGUN: RefCell<String> = const { RefCell::new(String::new()) };
}

/// `wsgi.errors`: whole lines go into the log.
#[pyclass(frozen, module = "rserve")]
pub(crate) struct Errors;

#[pymethods]
impl Errors {
    #[expect(clippy::unused_self, reason = "Python calls it on the object")]
    fn write(&self, text: &Bound<'_, PyString>) -> PyResult<usize> {
        let (length, text) = (text.len()?, &readable(text)?);
        BEGUN.with_borrow_mut(|begun| match text.rfind('\n') {
            None => begun.push_str(text),
            Some(end) => {
                begun.push_str(&text[..end]);
                say(begun);
                begun.clear();
                begun.push_str(&text[end + 1..]);
            }
        });
        Ok(length)
    }

    fn writelines(&self, lines: &Bound<'_, PyAny>) -> PyResult<()> {
        for line in lines.try_iter()? {
            self.write(line?.cast()?)?;
        }
        Ok(())
    }

    #[expect(clippy::unused_self, reason = "Python calls it on the object")]
    fn flush(&self) {
        end_line();
    }
}

/// Ends the line that this thread has begun, if any.
pub(crate) fn end_line() {
    BEGUN.with_borrow_mut(|begun| {
        say(begun);
        begun.clear();
    });
}

fn say(text: &str) {
    if !text.is_empty() {
        tracing::error!("{text}");
    }
}
