use std::collections::HashMap;

use pyo3::prelude::*;
use pyo3::types::PyString;

/// The keys of the environ for header fields, by the names that clients give these.
#[derive(Default)]
pub(crate) struct FieldKeys(HashMap<Box<str>, Py<PyString>>);

/// A client that makes names up gets no more of the memory than this many, of this length.
const KEYS: usize = 512;
const KEY_LENGTH: usize = 64;

impl FieldKeys {
    pub(crate) fn key<'py>(&mut self, py: Python<'py>, name: &str) -> Bound<'py, PyString> {
        if let Some(key) = self.0.get(name) {
            return key.bind(py).clone();
        }
        let key = PyString::intern(py, &key_of(name));
        if self.0.len() < KEYS && name.len() <= KEY_LENGTH {
            self.0.insert(name.into(), key.clone().unbind());
        }
        key
    }
}

/// The environ's name for a header field.
fn key_of(name: &str) -> String {
    let upper = name.to_ascii_uppercase().replace('-', "_");
    if matches!(name.len(), 12 | 14) && !name.contains('_') && (upper == "CONTENT_TYPE" || upper == "CONTENT_LENGTH") {
        return upper;
    }
    format!("HTTP_{upper}")
}

/// The bytes as characters of the same number, as PEP 3333 has them.
pub(crate) fn latin1<'py>(py: Python<'py>, bytes: &[u8]) -> Bound<'py, PyString> {
    match str::from_utf8(bytes) {
        Ok(text) if text.is_ascii() => PyString::new(py, text),
        _ => PyString::new(py, &bytes.iter().copied().map(char::from).collect::<String>()),
    }
}
