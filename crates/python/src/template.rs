use std::net::{IpAddr, SocketAddr};

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};
use rserve::Request;

use crate::field_keys::{FieldKeys, latin1};

/// The last request's environ as far as the next one may well have the same: addresses and header fields. Most clients send
/// the same fields in the same order again and again, and a dict is copied in less time than it is filled.
pub(crate) struct Template {
    /// With `local`, and `remote` if that is known.
    addressed: Py<PyDict>,
    local: SocketAddr,
    remote: Option<IpAddr>,
    /// With the fields of `slots` as well.
    filled: Py<PyDict>,
    slots: Vec<Slot>,
}

/// A field of the last request's, by its place in the order. All keys differ.
struct Slot {
    name: Box<str>,
    value: Box<[u8]>,
    key: Py<PyString>,
}

/// Fields beyond these, and longer ones, are seldom the same again.
const SLOTS: usize = 32;
const NAME_LENGTH: usize = 64;
const VALUE_LENGTH: usize = 1024;

impl Template {
    /// `base` is what all requests have.
    pub(crate) fn new(base: &Bound<'_, PyDict>, local: SocketAddr) -> PyResult<Self> {
        let (py, addressed) = (base.py(), base.copy()?);
        addressed.set_item(intern!(py, "SERVER_NAME"), local.ip().to_string())?;
        addressed.set_item(intern!(py, "SERVER_PORT"), local.port().to_string())?;
        let filled = addressed.copy()?.unbind();
        Ok(Self { addressed: addressed.unbind(), local, remote: None, filled, slots: Vec::new() })
    }

    pub(crate) const fn local(&self) -> SocketAddr {
        self.local
    }

    /// An environ with the addresses and as many of the request's fields as can be kept, and how many these are.
    pub(crate) fn fill<'py>(
        &mut self,
        py: Python<'py>,
        remote: IpAddr,
        request: &Request<'_>,
        keys: &mut FieldKeys,
    ) -> PyResult<(Bound<'py, PyDict>, usize)> {
        if self.remote != Some(remote) {
            let text = PyString::new(py, &remote.to_string());
            for dict in [&self.addressed, &self.filled] {
                dict.bind(py).set_item(intern!(py, "REMOTE_ADDR"), &text)?;
            }
            self.remote = Some(remote);
        }
        let mut kept = 0;
        for (name, value) in request.head().headers() {
            if !self.keep(py, kept, name, value, keys)? {
                break;
            }
            kept += 1;
        }
        if kept < self.slots.len() {
            self.cut(py, kept)?;
        }
        Ok((self.filled.bind(py).copy()?, kept))
    }

    /// Whether the field at this place can be kept; then it is.
    fn keep(&mut self, py: Python<'_>, place: usize, name: &str, value: &[u8], keys: &mut FieldKeys) -> PyResult<bool> {
        match self.slots.get_mut(place) {
            Some(slot) if *slot.name == *name && *slot.value == *value => return Ok(true),
            Some(slot) if *slot.name == *name && value.len() <= VALUE_LENGTH => {
                self.filled.bind(py).set_item(&slot.key, latin1(py, value))?;
                slot.value = value.into();
                return Ok(true);
            }
            Some(_) => self.cut(py, place)?,
            None => {}
        }
        let is_short = name.len() <= NAME_LENGTH && value.len() <= VALUE_LENGTH;
        // What else there is to say of a field is said of those that are not kept.
        if place >= SLOTS || !is_short || name.contains('_') || name.eq_ignore_ascii_case("transfer-encoding") {
            return Ok(false);
        }
        let (key, filled) = (keys.key(py, name), self.filled.bind(py));
        if filled.contains(&key)? {
            return Ok(false);
        }
        filled.set_item(&key, latin1(py, value))?;
        self.slots.push(Slot { name: name.into(), value: value.into(), key: key.unbind() });
        Ok(true)
    }

    /// Forgets the fields from this place on.
    fn cut(&mut self, py: Python<'_>, place: usize) -> PyResult<()> {
        self.slots.truncate(place);
        let filled = self.addressed.bind(py).copy()?;
        for slot in &self.slots {
            filled.set_item(&slot.key, latin1(py, &slot.value))?;
        }
        self.filled = filled.unbind();
        Ok(())
    }
}
