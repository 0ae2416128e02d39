use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use pyo3::exceptions::{PyAssertionError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyString, PyTuple};

/// The `start_response` of one call, and what the app has said to it.
#[pyclass(module = "rserve")]
#[derive(Default)]
pub(crate) struct StartResponse {
    started: Option<(StatusCode, HeaderMap)>,
    /// The head is on its way: it cannot be changed any more.
    sent: bool,
    /// What the app has given to `write`.
    written: Vec<u8>,
}

impl StartResponse {
    pub(crate) const fn is_started(&self) -> bool {
        self.started.is_some() || self.sent
    }

    /// The head and what was written; from now on the response is on its way.
    pub(crate) fn take(&mut self) -> Option<(StatusCode, HeaderMap, Vec<u8>)> {
        let (status, headers) = self.started.take()?;
        self.sent = true;
        Some((status, headers, std::mem::take(&mut self.written)))
    }

    /// What was written since.
    pub(crate) fn take_written(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.written)
    }
}

#[pymethods]
impl StartResponse {
    #[pyo3(signature = (status, response_headers, exc_info=None, /))]
    fn __call__<'py>(
        this: &Bound<'py, Self>,
        status: &Bound<'py, PyAny>,
        response_headers: &Bound<'py, PyAny>,
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
        let started = (read_status(status)?, read_headers(response_headers)?);
        this.borrow_mut().started = Some(started);
        this.getattr("write")
    }

    /// The callable that `start_response` returns. What is written is sent in front of what the app returns.
    fn write(&mut self, data: &Bound<'_, PyBytes>) {
        self.written.extend_from_slice(data.as_bytes());
    }
}

/// `200 OK`. The reason is left to the server.
fn read_status(status: &Bound<'_, PyAny>) -> PyResult<StatusCode> {
    let text = exactly_text(status, "the status")?;
    let code = match text.as_bytes() {
        [_, _, _] => text,
        [_, _, _, b' ', reason @ ..] if reason.iter().all(|byte| *byte == b'\t' || *byte >= b' ' && *byte != 0x7f) => {
            &text[..3]
        }
        _ => "",
    };
    match StatusCode::from_bytes(code.as_bytes()) {
        Ok(code) if code.is_informational() => {
            Err(PyValueError::new_err(format!("the status {text:?} is an interim one: 200 or above is needed")))
        }
        Ok(code) => Ok(code),
        Err(_) => Err(PyValueError::new_err(format!("the status {text:?} is not like '200 OK'"))),
    }
}

fn read_headers(headers: &Bound<'_, PyAny>) -> PyResult<HeaderMap> {
    let Ok(headers) = headers.cast::<PyList>() else {
        let kind = headers.get_type().name()?;
        return Err(PyTypeError::new_err(format!("the response headers are {kind}: a list of tuples is needed")));
    };
    let mut map = HeaderMap::with_capacity(headers.len());
    for index in 0..headers.len() {
        let item = headers.get_item(index)?;
        let Some((name, value)) = pair(&item) else {
            return Err(PyTypeError::new_err(format!("the response header {item:?} is not a tuple of name and value")));
        };
        let name = exactly_text(&name, "a header name")?.to_owned();
        let parsed = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| PyValueError::new_err(format!("the response header name {name:?} is not a token")))?;
        map.append(parsed, read_value(&name, &value)?);
    }
    Ok(map)
}

fn pair<'py>(item: &Bound<'py, PyAny>) -> Option<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
    let tuple = item.cast::<PyTuple>().ok()?;
    if tuple.len() == 2 { Some((tuple.get_item(0).ok()?, tuple.get_item(1).ok()?)) } else { None }
}

/// A value in latin-1. What is wrong with it is not quoted: it may be a secret.
fn read_value(name: &str, value: &Bound<'_, PyAny>) -> PyResult<HeaderValue> {
    let text = exactly_text(value, &format!("the value of the response header {name}"))?.trim_matches([' ', '\t']);
    let parsed = if text.is_ascii() {
        HeaderValue::from_str(text).ok()
    } else {
        let latin: Option<Vec<u8>> = text.chars().map(|c| u8::try_from(c).ok()).collect();
        latin.and_then(|latin| HeaderValue::from_bytes(&latin).ok())
    };
    parsed.ok_or_else(|| {
        PyValueError::new_err(format!("the value of the response header {name} has characters that cannot be sent"))
    })
}

fn exactly_text<'a>(value: &'a Bound<'_, PyAny>, what: &str) -> PyResult<&'a str> {
    match value.cast::<PyString>() {
        Ok(text) => text.to_str(),
        Err(_) => Err(PyTypeError::new_err(format!("{what} is {}: a str is needed", value.get_type().name()?))),
    }
}
