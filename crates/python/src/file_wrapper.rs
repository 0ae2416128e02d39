use pyo3::exceptions::PyStopIteration;
use pyo3::prelude::*;

/// `wsgi.file_wrapper`: a file-like object as an iterable of pieces. When an app returns one that wraps a real file, the
/// file is sent without Python.
#[pyclass(module = "rserve", subclass)]
pub(crate) struct FileWrapper {
    #[pyo3(get)]
    filelike: Py<PyAny>,
    #[pyo3(get)]
    blksize: i64,
}

impl FileWrapper {
    pub(crate) fn filelike<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        self.filelike.bind(py).clone()
    }
}

#[pymethods]
impl FileWrapper {
    #[new]
    #[pyo3(signature = (filelike, blksize=8192))]
    const fn new(filelike: Py<PyAny>, blksize: i64) -> Self {
        Self { filelike, blksize }
    }

    fn __iter__(this: Py<Self>) -> Py<Self> {
        this
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let piece = self.filelike.bind(py).call_method1("read", (self.blksize,))?;
        if piece.is_truthy()? { Ok(piece) } else { Err(PyStopIteration::new_err(())) }
    }

    fn close(&self, py: Python<'_>) -> PyResult<()> {
        match self.filelike.bind(py).getattr_opt("close")? {
            Some(close) => close.call0().map(drop),
            None => Ok(()),
        }
    }
}
