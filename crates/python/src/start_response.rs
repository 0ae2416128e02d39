use std::borrow::Cow;
use std::cell::RefCell;

use pyo3::exceptions::{PyAssertionError, PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyString, PyTuple};
use rserve::{RawHead, ResponseError};

use crate::errors;
use crate::host::is_ours_alone;

/// The `start_response` of one call, and what the app has said to it.
#[pyclass(module = "rserve")]
#[derive(Default)]
pub(crate) struct StartResponse {
    started: Option<RawHead>,
    /// The head is on its way: it cannot be changed any more.
    sent: bool,
    /// What the app has given to `write`.
    written: Vec<u8>,
}

thread_local! {
    /// The last call's, if nobody has kept it.
    static SPARE: RefCell<Option<Py<StartResponse>>> = const { RefCell::new(None) };
}

impl StartResponse {
    pub(crate) fn new(py: Python<'_>) -> PyResult<Bound<'_, Self>> {
        match SPARE.take() {
            Some(spare) => Ok(spare.into_bound(py)),
            None => Bound::new(py, Self::default()),
        }
    }

    /// After a call: keeps it for the next one, unless somebody else has it.
    pub(crate) fn give_back(this: Bound<'_, Self>) {
        if is_ours_alone(&this) {
            *this.borrow_mut() = Self::default();
            SPARE.set(Some(this.unbind()));
        }
    }

    pub(crate) const fn is_started(&self) -> bool {
        self.started.is_some() || self.sent
    }

    /// The head and what was written; from now on the response is on its way.
    pub(crate) fn take(&mut self) -> Option<(RawHead, Vec<u8>)> {
        let head = self.started.take()?;
        self.sent = true;
        Some((head, std::mem::take(&mut self.written)))
    }

    /// What was written since.
    pub(crate) fn take_written(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.written)
    }
}

#[pymethods]
impl StartResponse {
    #[pyo3(signature = (status, headers, exc_info=None))]
    fn __call__<'py>(
        this: &Bound<'py, Self>,
        status: &Bound<'py, PyAny>,
        headers: &Bound<'py, PyAny>,
        exc_info: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let is_started = this.borrow().is_started();
        if let Some(exc_info) = exc_info.filter(|exc_info| exc_info.is_truthy().unwrap_or(true)) {
            if this.borrow().sent {
                return Err(PyErr::from_value(exc_info.get_item(1)?));
            }
        } else if is_started {
            return Err(PyAssertionError::new_err("start_response was called before, and no exc_info is given now"));
        }
        let mut head = read_status(status)?;
        read_headers(&mut head, headers)?;
        this.borrow_mut().started = Some(head);
        this.getattr(intern!(this.py(), "write"))
    }

    /// The callable that `start_response` returns. What is written is sent in front of what the app returns.
    fn write(&mut self, data: &Bound<'_, PyBytes>) {
        self.written.extend_from_slice(data.as_bytes());
    }
}

/// `200 OK`.
fn read_status(status: &Bound<'_, PyAny>) -> PyResult<RawHead> {
    let text = exactly_text(status, "the status")?;
    latin1(text).map_or(Err(ResponseError::Status), |text| RawHead::new(&text)).map_err(|error| {
        PyValueError::new_err(match error {
            ResponseError::Interim(_) => format!("the status {text:?} is an interim one: 200 or above is needed"),
            _ => format!("the status {text:?} is not like '200 OK'"),
        })
    })
}

fn read_headers(head: &mut RawHead, headers: &Bound<'_, PyAny>) -> PyResult<()> {
    let Ok(headers) = headers.cast::<PyList>() else {
        let kind = headers.get_type().name()?;
        return Err(PyTypeError::new_err(format!("the response headers are {kind}: a list of tuples is needed")));
    };
    for index in 0..headers.len() {
        let item = headers.get_item(index)?;
        let Some((name, value)) = pair(&item) else {
            return Err(PyTypeError::new_err(format!("the response header {item:?} is not a tuple of name and value")));
        };
        let name = exactly_text(&name, "a header name")?;
        let text = match value.cast::<PyString>() {
            Ok(text) => text.to_str()?.trim_matches([' ', '\t']),
            Err(_) => {
                let kind = value.get_type().name()?;
                let message = format!("the value of the response header {name} is {kind}: a str is needed");
                return Err(PyTypeError::new_err(message));
            }
        };
        let added = latin1(text).map_or(Err(ResponseError::Value), |text| head.field(name.as_bytes(), &text));
        if !added.map_err(|error| unfit(name, &error))? {
            errors::say_once(name);
        }
    }
    Ok(())
}

/// What is wrong with a value is not quoted: it may be a secret.
fn unfit(name: &str, error: &ResponseError) -> PyErr {
    PyValueError::new_err(match error {
        ResponseError::Name => format!("the response header name {name:?} is not a token"),
        ResponseError::Value => {
            format!("the value of the response header {name} has characters that cannot be sent")
        }
        error => error.to_string(),
    })
}

/// Characters as bytes of the same number.
fn latin1(text: &str) -> Option<Cow<'_, [u8]>> {
    if text.is_ascii() {
        return Some(text.as_bytes().into());
    }
    text.chars().map(|character| u8::try_from(character).ok()).collect::<Option<Vec<u8>>>().map(Cow::from)
}

fn pair<'py>(item: &Bound<'py, PyAny>) -> Option<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
    let tuple = item.cast::<PyTuple>().ok()?;
    if tuple.len() == 2 { Some((tuple.get_item(0).ok()?, tuple.get_item(1).ok()?)) } else { None }
}

fn exactly_text<'a>(value: &'a Bound<'_, PyAny>, what: &str) -> PyResult<&'a str> {
    match value.cast::<PyString>() {
        Ok(text) => text.to_str(),
        Err(_) => Err(PyTypeError::new_err(format!("{what} is {}: a str is needed", value.get_type().name()?))),
    }
}
