use std::io::Read;
use std::sync::{Mutex, PoisonError};

use pyo3::exceptions::PyStopIteration;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};
use rserve::RequestBody;

/// `wsgi.input`: the body of a request, which is there as a whole before the app is called, in memory or in a file.
#[pyclass(module = "rserve")]
pub(crate) struct Input {
    /// Never locked: Python asks for objects that threads may share, and the borrow is exclusive as it is.
    body: Mutex<RequestBody>,
    /// Read from the body and not handed out yet, from `at`; used by what looks for lines.
    ahead: Vec<u8>,
    at: usize,
}

/// How much is read at once in search of the end of a line.
const AHEAD: usize = 16 * 1024;

impl Input {
    pub(crate) fn new(body: RequestBody) -> Self {
        Self { body: Mutex::new(body), ahead: Vec::new(), at: 0 }
    }

    fn body(&mut self) -> &mut RequestBody {
        self.body.get_mut().unwrap_or_else(PoisonError::into_inner)
    }

    fn left(&mut self) -> u64 {
        (self.ahead.len() - self.at) as u64 + self.body().len()
    }

    /// Up to `most` bytes, as many as there are.
    fn take<'py>(&mut self, py: Python<'py>, most: u64) -> PyResult<Bound<'py, PyBytes>> {
        let length = usize::try_from(most.min(self.left()))?;
        PyBytes::new_with(py, length, |bytes| {
            let begun = (self.ahead.len() - self.at).min(length);
            bytes[..begun].copy_from_slice(&self.ahead[self.at..self.at + begun]);
            self.at += begun;
            Ok(self.body().read_exact(&mut bytes[begun..])?)
        })
    }

    /// The length of the next line with its end, at most `most`.
    fn line(&mut self, most: usize) -> PyResult<usize> {
        let mut searched = 0;
        loop {
            let ahead = &self.ahead[self.at..];
            if let Some(end) = ahead[searched..].iter().position(|byte| *byte == b'\n') {
                return Ok((searched + end + 1).min(most));
            }
            searched = ahead.len();
            if searched >= most || self.body().is_empty() {
                return Ok(searched.min(most));
            }
            self.ahead.drain(..self.at);
            self.at = 0;
            let old = self.ahead.len();
            let more = self.body().len().min(AHEAD as u64) as usize;
            self.ahead.resize(old + more, 0);
            let Self { body, ahead, .. } = self;
            body.get_mut().unwrap_or_else(PoisonError::into_inner).read_exact(&mut ahead[old..])?;
        }
    }
}

/// Python's sizes: absent, None and negative mean all there is.
fn most(size: Option<i64>) -> u64 {
    size.and_then(|size| u64::try_from(size).ok()).unwrap_or(u64::MAX)
}

#[pymethods]
impl Input {
    #[pyo3(signature = (size=None, /))]
    fn read<'py>(&mut self, py: Python<'py>, size: Option<i64>) -> PyResult<Bound<'py, PyBytes>> {
        self.take(py, most(size))
    }

    #[pyo3(signature = (size=None, /))]
    fn readline<'py>(&mut self, py: Python<'py>, size: Option<i64>) -> PyResult<Bound<'py, PyBytes>> {
        let length = self.line(usize::try_from(most(size)).unwrap_or(usize::MAX))?;
        self.take(py, length as u64)
    }

    /// Whole lines; with a hint, none after that many bytes.
    #[pyo3(signature = (hint=None, /))]
    fn readlines<'py>(&mut self, py: Python<'py>, hint: Option<i64>) -> PyResult<Bound<'py, PyList>> {
        let enough = hint.and_then(|hint| u64::try_from(hint).ok()).filter(|hint| *hint > 0);
        let (lines, mut read) = (PyList::empty(py), 0);
        while self.left() > 0 && enough.is_none_or(|enough| read < enough) {
            let length = self.line(usize::MAX)? as u64;
            lines.append(self.take(py, length)?)?;
            read += length;
        }
        Ok(lines)
    }

    fn __iter__(this: Py<Self>) -> Py<Self> {
        this
    }

    fn __next__<'py>(&mut self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        if self.left() == 0 {
            return Err(PyStopIteration::new_err(()));
        }
        self.readline(py, None)
    }
}
