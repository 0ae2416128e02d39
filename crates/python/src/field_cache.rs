use std::collections::HashMap;

use pyo3::prelude::*;
use pyo3::types::PyString;

/// Python strings of the last requests' header fields, for the next one's: most clients send the same fields in the same
/// order again and again.
#[derive(Default)]
pub(crate) struct FieldCache {
    keys: HashMap<Box<str>, Py<PyString>>,
    slots: Vec<Slot>,
}

/// The field that was last seen at one place in the order.
struct Slot {
    name: Box<str>,
    value: Box<[u8]>,
    key: Py<PyString>,
    text: Py<PyString>,
}

/// A client that makes names up gets no more of the memory than this many, of this length.
const KEYS: usize = 512;
const KEY_LENGTH: usize = 64;

/// Fields beyond these, and longer values, are seldom the same again.
const SLOTS: usize = 32;
const VALUE_LENGTH: usize = 1024;

impl FieldCache {
    /// What to set in the environ for the field at this place: its key and its value.
    pub(crate) fn get<'py>(
        &mut self,
        py: Python<'py>,
        place: usize,
        name: &str,
        value: &[u8],
    ) -> (Bound<'py, PyString>, Bound<'py, PyString>) {
        if let Some(slot) = self.slots.get(place)
            && *slot.value == *value
            && *slot.name == *name
        {
            return (slot.key.bind(py).clone(), slot.text.bind(py).clone());
        }
        let (key, text) = (self.key(py, name), latin1(py, value));
        if place < SLOTS && value.len() <= VALUE_LENGTH && name.len() <= KEY_LENGTH {
            let slot =
                Slot { name: name.into(), value: value.into(), key: key.clone().unbind(), text: text.clone().unbind() };
            match self.slots.get_mut(place) {
                Some(old) => *old = slot,
                // The fields of a request come in order, and only those before a long one are missing.
                None => self.slots.push(slot),
            }
        }
        (key, text)
    }

    fn key<'py>(&mut self, py: Python<'py>, name: &str) -> Bound<'py, PyString> {
        if let Some(key) = self.keys.get(name) {
            return key.bind(py).clone();
        }
        let key = PyString::intern(py, &key_of(name));
        if self.keys.len() < KEYS && name.len() <= KEY_LENGTH {
            self.keys.insert(name.into(), key.clone().unbind());
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
